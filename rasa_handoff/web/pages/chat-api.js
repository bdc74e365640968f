// The user's side of the HTTP interface, a function each.

import { upload } from "./page-upload.js";

const BASE = new URL("../", document.baseURI);
// The bot may take long: while it asks for a person, it waits for the agents' side.
const PATIENCE = 90_000;

/** The server said no, or (status 0) could not be asked. */
export class ApiError extends Error {
  constructor(status, message, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** Whether the server does not know this conversation (any more). */
  get isUnknown() {
    return [401, 403, 404].includes(this.status);
  }

  /** Whether the same request may well succeed a little later. */
  get passes() {
    return [0, 408, 429].includes(this.status) || this.status >= 500;
  }
}

/** A file was not taken. A proxy in front may refuse a file as well; only one answer means the conversation. */
class FileError extends ApiError {
  get isUnknown() {
    return this.status === 401;
  }

  get passes() {
    return super.passes && !["cancelled", "unreadable"].includes(this.code);
  }
}

export const openConversation = () => post("conversations", {});

/** What the bot answers; `messageId` makes a repeat harmless, `file` is the id of one that was sent before. */
export function say({ sender, token }, message, messageId, file = null) {
  const attachments = file ? { attachments: [{ file }] } : {};
  return post("webhook", { sender, message, metadata: { message_id: messageId, ...attachments } }, token);
}

/** Send a file, for a message to tell of; see `upload`. */
export async function sendFile({ sender, token }, { file, onProgress, signal }) {
  const url = new URL("files", BASE);
  url.searchParams.set("sender", sender);
  url.searchParams.set("name", file.name || "file");
  const headers = { Authorization: `Bearer ${token}` };
  try {
    return await upload({ url, headers, file, onProgress, signal });
  } catch ({ status, message, code }) {
    throw new FileError(status, message, code);
  }
}

/** Delete a file that no message has. */
export function takeFileBack({ sender, token }, fileId) {
  const path = `files/${encodeURIComponent(fileId)}?sender=${encodeURIComponent(sender)}`;
  return request("DELETE", path, undefined, token);
}

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

function post(path, body, token = null) {
  return request("POST", path, body, token);
}

async function request(method, path, body, token) {
  const answer = await fetchOrFail(method, path, body, token);
  if (!answer.ok) throw await asError(answer);
  return answer.status === 204 ? null : answer.json();
}

async function fetchOrFail(method, path, body, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    return await fetch(new URL(path, BASE), {
      method,
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
  const message = error?.message ?? `The server answered with status ${answer.status}.`;
  return new ApiError(answer.status, message, error?.code);
}
