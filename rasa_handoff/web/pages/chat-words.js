// The sentences of the page.

const ENDS = {
  agent_closed: "The chat was ended. The assistant is back.",
  user_left: "You ended the chat. The assistant is back.",
  not_accepted: "Nobody could take your chat in time. The assistant is back.",
  agent_silent: "There was no answer for too long. The assistant is back.",
  agent_left: "The other side has left. The assistant is back.",
  user_idle: "The chat was ended as nothing was written for a while. The assistant is back.",
};
const OVER = "The chat has ended. The assistant is back.";

/** With whom the user talks: `{name, more, kind}`. */
export function whom(state) {
  if (state?.status === "requested") return { kind: "wait", name: "One moment", more: "Looking for a person…" };
  if (state?.status === "queued") return { kind: "wait", name: "Waiting for a person", more: place(state.queue_position) };
  if (state?.status === "active") return { kind: "person", name: state.agent?.name || "A person", more: "You are talking to a person" };
  return { kind: "bot", name: "Assistant", more: "Answers automatically" };
}

function place(position) {
  if (position === 1) return "You are next";
  return position ? `You are number ${position} in the queue` : "You are in the queue";
}

/** What changed between two states, as a line in the conversation; null if the header says it all. */
export function change(before, after) {
  const [was, is] = [before?.id === after.id ? before : null, after];
  const agent = is.agent?.name || "A person";
  if (is.status === "active" && was?.status !== "active") return `${agent} has joined.`;
  if (is.status === "active" && was.agent?.name !== is.agent?.name) return `${agent} has taken over.`;
  if (is.status === "queued" && was?.status === "active") return "You are back in the queue; somebody else will take over.";
  // What never came about was said by the bot in its own words.
  const began = was?.status === "queued" || was?.status === "active";
  if (is.status === "closed" && began) return ENDS[is.end_reason] ?? OVER;
  return null;
}

/** Letters for a person's picture. */
export function initials(name) {
  const words = name.trim().split(/\s+/u).map((word) => [...word][0] ?? "");
  return (words.length > 1 ? words[0] + words.at(-1) : words[0]).toUpperCase();
}
