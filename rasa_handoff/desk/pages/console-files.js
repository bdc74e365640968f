// Files that agents send: they go up while the message is still being written, and wait for it.

import * as api from "./console-api.js";
import { newId } from "./page-id.js";
import { Uploads } from "./page-uploads.js";

export const MOST_FILES = 10; //: of one message

/**
 * Each chat's files for the next message: `{id, name, size, state: "going"|"there"|"failed", problem, known}`, the
 * size in bytes; `known` is what the server says of it once it is there.
 *
 * `report` gets the error of a file that was refused before its message was sent. A "progress" event has a file's id.
 */
export class Files extends EventTarget {
  #desk;
  #report;
  #trays = new Map();
  #uploads = new Uploads((id) => this.dispatchEvent(new CustomEvent("progress", { detail: id })));

  constructor(desk, report) {
    super();
    this.#desk = desk;
    this.#report = report;
  }

  /** What the next message of a chat is to have. */
  of(chatId) {
    return this.#trays.get(chatId) ?? [];
  }

  /** Add a file to a chat's next message. */
  add(chatId, file) {
    const { name, size } = file;
    const added = { id: newId(), name: name || "file", size, state: "going", problem: null, known: null };
    this.#uploads.hold(added.id, file);
    this.#put(chatId, [...this.of(chatId), added]);
    this.again(chatId, added);
  }

  /** Send a file that failed once more. */
  again(chatId, file) {
    this.arrive(chatId, file).catch((error) => this.of(chatId).includes(file) && this.#report(error));
  }

  remove(chatId, file) {
    const left = this.of(chatId).filter((each) => each !== file);
    this.#put(chatId, left);
    this.takeBack(chatId, [file]);
  }

  /** Give what there is to a message, which takes care of it from here on. */
  take(chatId) {
    const taken = this.of(chatId);
    this.#put(chatId, []);
    return taken;
  }

  /** The id of a file that is at the server, once it is; whatever was on its way goes on. */
  async arrive(chatId, file) {
    if (file.known) return file.known.id;
    this.#change(file, { state: "going", problem: null });
    try {
      const known = await this.#uploads.send(file.id, (how) => api.sendFile(chatId, how));
      this.#change(file, { state: "there", known });
      return known.id;
    } catch (error) {
      this.#change(file, { state: "failed", problem: error.message });
      throw error;
    }
  }

  /** An address of the picture that works on this page only, or null. */
  picture({ id }) {
    return this.#uploads.picture(id);
  }

  /** Which share of the file has left, from 0 to 1. */
  share({ id }) {
    return this.#uploads.share(id);
  }

  /** Whether there are files, or a reply that could not be sent, which would be lost with the page. */
  get waiting() {
    const replies = [...this.#desk.replies.values()].flat();
    const stays = replies.some((reply) => reply.state !== "sending" || isUploading(reply));
    return stays || [...this.#trays.values()].some((files) => files.length > 0);
  }

  /** Stop sending files, and let go of their bytes. */
  forget(files) {
    for (const { id } of files) this.#uploads.drop(id);
  }

  /** `forget` files that will not be sent, here and at the server: what it does not hear of, it deletes in a day. */
  takeBack(chatId, files) {
    this.forget(files);
    for (const { known } of files) if (known) api.takeFileBack(chatId, known.id).catch(() => {});
  }

  /** Give up what was meant for chats that are not the agent's any more; `lost` gets each chat and its files. */
  giveUp(lost) {
    for (const [id, files] of this.#trays) {
      const chat = this.#desk.chats.get(id);
      if (files.length === 0 || (chat && this.#desk.isMine(chat))) continue;
      this.#trays.delete(id);
      this.takeBack(id, files);
      if (chat) lost(chat, files);
    }
  }

  #put(chatId, files) {
    this.#trays.set(chatId, files);
    this.#desk.changed();
  }

  #change(file, values) {
    Object.assign(file, values);
    this.#desk.changed();
  }
}

/** Whether a message still waits for a file of its. */
export function isUploading({ state, files }) {
  return state === "sending" && (files ?? []).some((file) => file.state === "going");
}
