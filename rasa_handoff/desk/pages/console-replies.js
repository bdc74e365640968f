// What the agent wrote, on its way to the server: in order, one at a time, repeated under the same id.

import * as api from "./console-api.js";
import { newId } from "./page-id.js";

const PAUSES = [600, 1_800];
const LONGEST_PAUSE = 5_000;

/**
 * Sends replies; `report` gets the error when the chat is not the agent's to write in any more, and `taken` is called
 * when the server has taken one.
 */
export class Replies {
  #desk;
  #report;
  #taken;
  #busy = new Set();

  constructor(desk, report, taken) {
    this.#desk = desk;
    this.#report = report;
    this.#taken = taken;
  }

  say(chatId, text) {
    const reply = {
      id: newId(),
      chat_id: chatId,
      who: "agent",
      name: this.#desk.me.name,
      text,
      attachments: [],
      at: Date.now() / 1000,
      state: "sending",
    };
    this.#desk.setReplies(chatId, [...this.#of(chatId), reply]);
    this.again(chatId);
  }

  /** Send what waits, also what failed before. */
  again(chatId) {
    const waiting = this.#of(chatId).map((reply) => ({ ...reply, state: "sending", problem: null }));
    this.#desk.setReplies(chatId, waiting);
    if (!this.#busy.has(chatId)) this.#sendAll(chatId);
  }

  discard(chatId, id) {
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
      for (let next; (next = this.#of(chatId).find((reply) => reply.state === "sending"));) {
        const { message } = await this.#send(chatId, next);
        this.#taken();
        this.#desk.putAnswer(message);
        this.discard(chatId, next.id);
      }
    } catch (error) {
      this.#fail(chatId, error);
    } finally {
      this.#busy.delete(chatId);
    }
  }

  async #send(chatId, { id, text }) {
    for (const pause of PAUSES) {
      try {
        return await api.say(chatId, { id, text });
      } catch (error) {
        if (!error.passes) throw error;
        await sleep(error.retryAfter ? Math.min(error.retryAfter * 1000, LONGEST_PAUSE) : pause);
      }
    }
    return api.say(chatId, { id, text });
  }

  #fail(chatId, error) {
    const failed = (reply, n) => ({
      ...reply,
      state: "failed",
      problem: n === 0 && !error.passes ? error.message : null,
    });
    this.#desk.setReplies(chatId, this.#of(chatId).map(failed));
    if (error.status === 401 || error.status === 409) this.#report(chatId, error);
  }
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
