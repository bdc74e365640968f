// The desk's HTTP interface, a function each.

import { upload } from "./page-upload.js";

const BASE = new URL("api/", document.baseURI);
const PATIENCE = 20_000;

/** The server said no, or (status 0) could not be asked. */
export class ApiError extends Error {
  constructor(status, code, message, retryAfter = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may well succeed a little later. */
  get passes() {
    if (this.code === "cancelled" || this.code === "unreadable") return false; // a file, and not for the server's sake
    return [0, 408, 429].includes(this.status) || this.status >= 500;
  }
}

export const streamUrl = new URL("stream", BASE).href;

export const signIn = (token) => request("POST", "session", { token });
export const signOut = () => request("DELETE", "session");
export const me = () => request("GET", "me");
export const setPresence = (presence) => request("PUT", "me/presence", { presence });
export const agents = () => request("GET", "agents");
export const savedReplies = () => request("GET", "saved-replies");
export const figures = () => request("GET", "figures");
export const chats = () => request("GET", "chats");
export const chat = (id) => request("GET", chatPath(id));
export const accept = (id) => request("POST", chatPath(id, "accept"));
export const say = (id, message) => request("POST", chatPath(id, "messages"), message);
export const takeBack = (id, messageId) => request("DELETE", chatPath(id, `messages/${encodeURIComponent(messageId)}`));
export const typing = (id, now) => request("POST", chatPath(id, "typing"), { typing: now });
export const transfer = (id, to) => request("POST", chatPath(id, "transfer"), to);
export const close = (id, end) => request("POST", chatPath(id, "close"), end);

/** Send a file, for a message to have; `how` is as in `upload`. What was taken back fails as "cancelled". */
export async function sendFile(id, how) {
  const url = new URL(chatPath(id, "files"), BASE);
  url.searchParams.set("name", how.file.name || "file");
  try {
    return await upload({ url, ...how });
  } catch ({ status, code, message }) {
    throw new ApiError(status, code, message);
  }
}

/** Delete a file that no message has. */
export const takeFileBack = (id, fileId) => request("DELETE", chatPath(id, `files/${encodeURIComponent(fileId)}`));

function chatPath(id, action = null) {
  const path = `chats/${encodeURIComponent(id)}`;
  return action ? `${path}/${action}` : path;
}

async function request(method, path, body) {
  const answer = await fetchOrFail(method, path, body);
  if (!answer.ok) throw await asError(answer);
  return answer.status === 204 ? null : answer.json();
}

async function fetchOrFail(method, path, body) {
  try {
    return await fetch(new URL(path, BASE), {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE),
    });
  } catch {
    throw new ApiError(0, "unreachable", "The server cannot be reached.");
  }
}

async function asError(answer) {
  const { error } = await answer.json().catch(() => ({}));
  const retryAfter = Number(answer.headers.get("Retry-After")) || null;
  const message = error?.message ?? `The server answered with status ${answer.status}.`;
  return new ApiError(answer.status, error?.code ?? null, message, retryAfter);
}
