// The sentences of the page.

const ENDS = {
  agent_closed: "The chat was ended",
  user_left: "You ended the chat",
  not_accepted: "Nobody could take the chat in time",
  agent_silent: "There was no answer for too long",
  agent_left: "The other side has left",
  user_idle: "Nothing was written for a while",
};
const OVER = "The chat has ended";

/** With whom the user talks: `{name, more, kind}`. */
export function whom(state) {
  if (state?.status === "requested") return { kind: "wait", name: "One moment", more: "Looking for a person…" };
  if (state?.status === "queued") return { kind: "wait", name: "In the queue", more: place(state.queue_position) };
  if (state?.status === "active") return { kind: "person", name: state.agent?.name || "A person", more: "With you now" };
  return { kind: "bot", name: "Assistant", more: "Answers automatically" };
}

function place(position) {
  if (position === 1) return "You are next";
  return position ? `You are number ${position}` : "Waiting for a person";
}

/**
 * What changed between two states, as a line in the conversation; null if there is nothing to say.
 * What never came about is told by the bot in its own words.
 */
export function change(before, after) {
  const was = handoffOf(before) === handoffOf(after) ? before : null;
  const agent = after.agent?.name || "A person";
  if (after.status === "active" && was?.status !== "active") return `${agent} has joined`;
  if (after.status === "active" && was.agent?.name !== after.agent?.name) return `${agent} has taken over`;
  if (after.status === "queued" && was?.status === "active") return "Back in the queue";
  const began = was?.status === "queued" || was?.status === "active";
  return after.status === "closed" && began ? ENDS[after.end_reason] ?? OVER : null;
}

function handoffOf(state) {
  return state?.handoff_id ?? state?.id;
}

/** Letters for a person's picture. */
export function initials(name) {
  const words = name.trim().split(/\s+/u).map((word) => [...word][0] ?? "");
  return (words.length > 1 ? words[0] + words.at(-1) : words[0]).toUpperCase();
}
