// The user's side of the HTTP interface, a function each.

const BASE = new URL("../", document.baseURI);
// The bot may take long: while it asks for a person, it waits for the agents' side.
const PATIENCE = 90_000;

/** The server said no, or (status 0) could not be asked. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** Whether the server does not know this conversation (any more). */
  get isUnknown() {
    return [401, 403, 404].includes(this.status);
  }

  /** Whether the same request may well succeed a little later. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export const openConversation = () => post("conversations", {});

/** What the bot answers; `messageId` makes a repeat harmless. */
export const say = ({ sender, token }, message, messageId) =>
  post("webhook", { sender, message, metadata: { message_id: messageId } }, token);

export const typing = ({ sender, token }, now) => post("typing", { sender, token, typing: now });

/** The user has seen an agent's message. */
export const read = ({ sender, token }, messageId) => post("read", { sender, token, message_id: messageId });

export const leave = ({ sender, token }) => post("leave", { sender, token });

/** Where everything arrives that is not an answer, from behind the last event that was seen. */
export function streamUrl({ sender, token, last }) {
  const url = new URL("stream", BASE);
  url.searchParams.set("sender", sender);
  url.searchParams.set("token", token);
  if (last) url.searchParams.set("after", last);
  return url.href;
}

async function post(path, body, token = null) {
  const answer = await fetchOrFail(path, body, token);
  if (!answer.ok) throw await asError(answer);
  return answer.status === 204 ? null : answer.json();
}

async function fetchOrFail(path, body, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    return await fetch(new URL(path, BASE), {
      method: "POST",
      headers,
      body: JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(PATIENCE),
    });
  } catch {
    throw new ApiError(0, "The server cannot be reached.");
  }
}

async function asError(answer) {
  const { error } = await answer.json().catch(() => ({}));
  return new ApiError(answer.status, error?.message ?? `The server answered with status ${answer.status}.`);
}
