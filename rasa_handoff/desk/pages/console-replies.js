// What the agent wrote, on its way to the server: in order, one at a time, repeated under the same id.

import * as api from "./console-api.js";
import { Again } from "./page-again.js";
import { newId } from "./page-id.js";

const PAUSES = [600, 1_800];
const LONGEST_PAUSE = 5_000;

/**
 * Sends replies, which are "sending" at first, "waiting" to be tried again when the server could not be reached, and
 * "failed" when it said no.
 *
 * `report` gets the error when the chat is not the agent's to write in any more, and `taken` is called when the server
 * has taken one.
 */
export class Replies {
  #desk;
  #files;
  #report;
  #taken;
  #busy = new Set();
  #again = new Again(() => this.hurry());

  constructor(desk, files, report, taken) {
    this.#desk = desk;
    this.#files = files;
    this.#report = report;
    this.#taken = taken;
  }

  /** Send a text and files, which may still be on their way: the message waits for them. */
  say(chatId, text, files) {
    const reply = {
      id: newId(),
      chat_id: chatId,
      who: "agent",
      name: this.#desk.me.name,
      text,
      files,
      attachments: [],
      at: Date.now() / 1000,
      state: "sending",
    };
    this.#desk.setReplies(chatId, [...this.#of(chatId), reply]);
    this.again(chatId);
  }

  /** Send what waits, also what failed before. */
  again(chatId) {
    const once = (reply) => (reply.state === "failed" ? { ...reply, state: "sending", problem: null } : reply);
    this.#desk.setReplies(chatId, this.#of(chatId).map(once));
    if (!this.#busy.has(chatId)) this.#sendAll(chatId);
  }

  /** The server may be there again: send what waits for that. */
  hurry() {
    for (const [chatId, replies] of this.#desk.replies) {
      if (replies.some(({ state }) => state === "waiting") && !this.#busy.has(chatId)) this.#sendAll(chatId);
    }
  }

  discard(chatId, id) {
    this.#files.takeBack(chatId, this.#of(chatId).find((reply) => reply.id === id)?.files ?? []);
    this.#drop(chatId, id);
  }

  #drop(chatId, id) {
    this.#desk.setReplies(
      chatId,
      this.#of(chatId).filter((reply) => reply.id !== id),
    );
  }

  #of(chatId) {
    return this.#desk.replies.get(chatId) ?? [];
  }

  // Nothing overtakes: after a failure whatever was written behind it waits with it.
  async #sendAll(chatId) {
    this.#busy.add(chatId);
    try {
      for (let next; (next = this.#of(chatId).find(({ state }) => state !== "failed"));) {
        await this.#sendOrDrop(chatId, next);
      }
    } catch (error) {
      this.#fail(chatId, error);
    } finally {
      this.#busy.delete(chatId);
    }
  }

  // What was taken back while its files were on their way keeps nothing else from going.
  async #sendOrDrop(chatId, reply) {
    try {
      const { message } = await this.#send(chatId, reply);
      this.#taken();
      this.#desk.putAnswer(message);
      this.#drop(chatId, reply.id);
      this.#files.forget(reply.files);
      this.#again.succeeded();
      this.hurry(); // those of other chats
    } catch (error) {
      if (this.#of(chatId).some(({ id }) => id === reply.id)) throw error;
    }
  }

  async #send(chatId, { id, text, files }) {
    const known = await Promise.all(files.map((file) => this.#files.arrive(chatId, file)));
    const message = { id, ...(text && { text }), ...(known.length && { files: known }) };
    for (const pause of PAUSES) {
      try {
        return await api.say(chatId, message);
      } catch (error) {
        if (!error.passes) throw error;
        await sleep(error.retryAfter ? Math.min(error.retryAfter * 1000, LONGEST_PAUSE) : pause);
      }
    }
    return api.say(chatId, message);
  }

  #fail(chatId, error) {
    if (error.passes) return this.#keep(chatId);
    const failed = (reply, n) => ({ ...reply, state: "failed", problem: n === 0 ? error.message : null });
    this.#desk.setReplies(chatId, this.#of(chatId).map(failed));
    if (error.status === 401 || error.status === 409) this.#report(chatId, error);
  }

  #keep(chatId) {
    const kept = this.#of(chatId).map((reply) => ({ ...reply, state: "waiting" }));
    this.#desk.setReplies(chatId, kept);
    this.#again.later();
  }
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
