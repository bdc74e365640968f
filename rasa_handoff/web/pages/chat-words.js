// The sentences of the page.

const ENDS = {
  agent_closed: "The chat was ended.",
  user_left: "You ended the chat.",
  not_accepted: "Nobody could take the chat in time.",
  agent_silent: "There was no answer for too long.",
  agent_left: "The other side has left.",
  user_idle: "Nothing was written for a while.",
};
const OVER = "The chat has ended.";

/** With whom the user talks: `{name, more, kind}`. */
export function whom(state) {
  if (state?.status === "requested") return { kind: "wait", name: "One moment", more: "Looking for a person…" };
  if (state?.status === "queued") return { kind: "wait", name: "In the queue", more: patience(state) };
  if (state?.status === "active") return { kind: "person", name: agentOf(state), more: "With you now" };
  return { kind: "bot", name: "Assistant", more: "Answers automatically" };
}

function patience({ queue_position: position, queue_minutes: minutes }) {
  return minutes ? `${place(position)}, about ${minutes} min` : place(position);
}

function place(position) {
  return position ? `You are number ${position}` : "Waiting for a person";
}

/**
 * What changed between two states, as a line in the conversation; null if there is nothing to say.
 * What never came about is told by the bot in its own words.
 */
export function change(before, after) {
  const same = before && handoffOf(before) === handoffOf(after);
  return CHANGES[after.status]?.(same ? before : NOT_YET, after) ?? null;
}

const NOT_YET = { status: null, agent: null };
const CHANGES = {
  queued: (was) => (was.status === "active" ? "You are back in the queue." : null),
  active: (was, is) => {
    if (was.status !== "active") return `${agentOf(is)} has joined.`;
    return agentOf(was) === agentOf(is) ? null : `${agentOf(is)} has taken over.`;
  },
  closed: (was, is) => (["queued", "active"].includes(was.status) ? (ENDS[is.end_reason] ?? OVER) : null),
};

function agentOf(state) {
  return state.agent?.name || "A person";
}

// Why a file was not sent, as in "Not sent: …".
export const CHAT_ENDED = "the chat ended before it was there";
export const PAGE_CLOSED = "the page was closed before it was there";
const REASONS = {
  files_off: "files cannot be sent in this chat",
  not_open: CHAT_ENDED,
  full: "this chat cannot take any more files",
  no_public_url: "the other side of this chat cannot open files",
};

/** Why the server did not take a file. */
export function whyNot({ code, message }) {
  return REASONS[code] ?? message;
}

/** That of several files only so many go at once. */
export function leftOut(count, most) {
  return `Up to ${most} files can be sent at once. ${count === 1 ? "One was" : `${count} were`} left out.`;
}

export const NO_FOLDERS = "A folder cannot be sent, only the files in it.";

/** The id of the handoff that *state* is of. */
export function handoffOf(state) {
  return state.handoff_id ?? state.id;
}
