// The conversation as this page knows it. Everything that changes it goes through here and is told by a "change" event.

import * as api from "./chat-api.js";
import * as memory from "./chat-memory.js";
import { CHAT_ENDED, PAGE_CLOSED, change, handoffOf, whyNot } from "./chat-words.js";
import { Again } from "./page-again.js";
import { newId } from "./page-id.js";
import { Live } from "./page-live.js";
import { refusal } from "./page-upload.js";
import { Uploads } from "./page-uploads.js";

const TYPING_LASTS = 8_000;

export const MOST_FILES = 10; //: on their way at once

/** Who the user is to the server, what was said, and who has the conversation. */
export class Conversation extends EventTarget {
  state = null; //: the handoff's, as the interface describes it
  typing = null; //: who is typing, by name, or "" for somebody
  connection = "connecting";
  lost = false; //: the server does not know this conversation
  busy = false; //: a message is on its way to its answer
  #kept = memory.recall();
  #live = null;
  #introducing = null;
  #typingEnds = null;
  #again = new Again(() => this.#sendFailed());
  #largestFile = null;
  #filesOn = false; //: whether users may give files at all
  #uploads = new Uploads((id) => this.dispatchEvent(new CustomEvent("progress", { detail: id })));

  constructor() {
    super();
    for (const line of this.lines) {
      if (line.state === "sending") line.state = "failed";
      if (line.state === "failed" && !this.#isOurs(line)) refuse(line, PAGE_CLOSED);
    }
    memory.onChangeElsewhere(() => this.#readAgain());
  }

  get lines() {
    return this.#kept.lines;
  }

  /** The id of the user's last message that a person has read. */
  get readThere() {
    return this.#kept.read;
  }

  get withPeople() {
    return ["queued", "active"].includes(this.state?.status);
  }

  /** Whether a file would reach somebody. */
  get takesFiles() {
    return this.#filesOn && this.#handoff !== null && !this.lost;
  }

  /** Whether the page cannot be closed without a file being lost. */
  get isUploading() {
    return this.lines.some((line) => isGoing(line) && this.#isOurs(line));
  }

  /** The picture of a line's file and which share of it has left, as long as this page has it: `{picture, share}`. */
  upload(id) {
    return { picture: this.#uploads.picture(id), share: this.#uploads.share(id) };
  }

  // Beginning and ending

  /** Make sure the server knows us, and listen to it. */
  async begin() {
    try {
      await this.#introduce();
    } catch {
      this.#set({ connection: "unreachable" });
      setTimeout(() => this.begin(), 3_000);
    }
  }

  async startOver() {
    if (this.withPeople) await this.leave().catch(() => {});
    this.#live?.stop();
    this.#live = null;
    this.#uploads.dropAll();
    this.#kept = memory.nothing();
    this.#set({ state: null, typing: null, lost: false, connection: "connecting" });
    await this.begin();
  }

  leave() {
    return api.leave(this.#kept);
  }

  tellTyping(now) {
    return this.withPeople ? api.typing(this.#kept, now) : null;
  }

  /** Tell the agents' side what the user has seen of theirs; what could not be told is told with the next. */
  tellRead() {
    for (const line of this.lines) {
      if (line.who !== "agent" || !line.message_id || line.read) continue;
      line.read = true;
      api.read(this.#kept, line.message_id).catch((error) => (line.read = !error.passes));
    }
  }

  // Who hears what is said: the bot, or the people of a handoff.
  get #listener() {
    return this.withPeople ? handoffOf(this.state) : "bot";
  }

  // The handoff that takes files, also while a person is only asked for; the bot takes none.
  get #handoff() {
    return ["requested", "queued", "active"].includes(this.state?.status) ? (handoffOf(this.state) ?? null) : null;
  }

  #isHeard({ file, to }) {
    return to === (file ? this.#handoff : this.#listener);
  }

  // What failed goes out by itself, unless somebody else would hear it: then the user decides.
  #sendFailed() {
    if (this.connection !== "live") return; // who would hear it is known when it is
    const failed = this.lines.filter(({ state }) => state === "failed");
    if (failed.length && failed.every((line) => this.#isHeard(line))) this.again();
  }

  // Asked for at the start and with each message; one conversation is opened all the same.
  #introduce() {
    this.#introducing ??= this.#open().finally(() => (this.#introducing = null));
    return this.#introducing;
  }

  async #open() {
    if (!this.#kept.token) {
      const { sender, token } = await api.openConversation();
      Object.assign(this.#kept, { sender, token });
      this.#changed();
    }
    if (!this.#live) this.#listen();
  }

  #listen() {
    this.#live = new Live({
      url: () => api.streamUrl(this.#kept),
      ready: () => this.#isKnown(),
      onState: (connection) => this.#set({ connection }),
      handlers: {
        hello: ({ handoff, largest_file: largestFile, takes_files: takesFiles = true }) => {
          this.#largestFile = largestFile;
          this.#filesOn = takesFiles;
          this.#set({ state: handoff });
          this.#endFiles();
          this.#sendFailed();
        },
        message: (message, id) => this.#received(message, id),
        handoff: (state, id) => this.#moved(state, id),
        read: ({ message_id }, id) => this.#readThere(message_id, id),
        typing: ({ typing, name }) => this.#othersType(typing ? (name ?? "") : null),
      },
    });
    this.#live.start();
  }

  // An event stream that breaks cannot say why, a request can.
  async #isKnown() {
    try {
      await api.typing(this.#kept, false);
      return true;
    } catch (error) {
      if (error.isUnknown) this.#forgotten();
      return false;
    }
  }

  #forgotten() {
    this.#live?.stop();
    this.#set({ lost: true, state: null });
  }

  // What the user says: in order, one at a time, repeated under the same id

  say(text, payload = text) {
    const at = Date.now() / 1000;
    this.lines.push({ id: newId(), who: "user", text, payload, at, state: "sending", to: this.#listener });
    this.again();
  }

  /** Send files, in this order, and say for how many there was no room; one that cannot be sent says so in its line. */
  give(files) {
    const room = Math.max(0, MOST_FILES - this.lines.filter((line) => line.file && this.#waits(line)).length);
    for (const file of files.slice(0, room)) this.#give(file);
    this.again();
    return Math.max(0, files.length - room);
  }

  #give(file) {
    const id = newId();
    const problem = refusal(file, this.#largestFile);
    if (!problem) this.#uploads.hold(id, file);
    const known = { name: file.name || "file", size: file.size };
    const line = { id, who: "user", file: known, at: Date.now() / 1000, state: "sending", to: this.#handoff };
    if (problem) refuse(line, problem);
    this.lines.push(line);
  }

  /** Send what waits, also what failed before. */
  again() {
    const failed = this.lines.filter((line) => line.state === "failed" && this.#isOurs(line));
    for (const line of failed) Object.assign(line, { state: "sending", to: line.file ? line.to : this.#listener });
    for (const line of this.lines) if (isGoing(line) && this.#isOurs(line)) this.#uploadEarly(line.id);
    this.#changed();
    if (!this.busy) this.#sendAll();
  }

  /** Take a line back, and stop sending its file. */
  discard(id) {
    const { file } = this.#line(id) ?? {};
    if (file?.id) api.takeFileBack(this.#kept, file.id).catch(() => {}); // what it does not hear of goes in a day
    this.#kept.lines = this.lines.filter((line) => line.id !== id);
    this.#uploads.drop(id);
    this.#changed();
  }

  // A file that another tab sends, or a page that is gone, is not here to be sent.
  #isOurs({ id, file }) {
    return !file || Boolean(file.id) || this.#uploads.has(id);
  }

  #waits(line) {
    return line.state === "sending" && this.#isOurs(line);
  }

  // Nothing overtakes: after a failure whatever was written behind it waits with it.
  async #sendAll() {
    this.busy = true;
    try {
      await this.#introduce();
      for (let line; (line = this.lines.find((each) => this.#waits(each)));) await this.#sendOrKeep(line);
      this.#again.succeeded();
    } catch (error) {
      if (error.isUnknown) this.#forgotten();
      else this.#again.later();
      for (const line of this.lines) if (this.#waits(line)) line.state = "failed";
    } finally {
      this.busy = false;
      this.#changed();
    }
  }

  // What was meant for people who are gone meanwhile, as behind a large file, is not for the bot: the user decides.
  async #sendOrKeep(line) {
    if (line.file || line.to === "bot" || this.#isHeard(line)) return this.#send(line);
    this.#mark(line.id, { state: "failed" });
    this.#changed();
  }

  async #send({ id, payload = "" }) {
    try {
      if (isGoing(this.#line(id))) await this.#upload(id);
      const line = this.#line(id);
      if (!line) return; // taken back
      const answers = await api.say(this.#kept, payload, id, line.file?.id);
      this.#live?.hurry();
      this.#mark(id, { state: "sent" });
      answers.forEach((answer, n) => this.#answered(answer, `${id}/${n}`));
    } catch (error) {
      if (error.passes || error.isUnknown) throw error;
      this.#refused(id, error);
    }
    this.#changed();
  }

  async #upload(id) {
    const file = await this.#uploads.send(id, (held) => api.sendFile(this.#kept, held));
    this.#mark(id, { file });
    this.#changed();
  }

  // A file leaves at once, whatever is before it; only the message that tells of it waits its turn.
  #uploadEarly(id) {
    this.#upload(id).catch((error) => error.passes || error.isUnknown || this.#refused(id, error));
  }

  // It will never be taken as it is; what was written behind it may.
  #refused(id, error) {
    const line = this.#line(id);
    if (!line || error.code === "cancelled") return;
    refuse(line, line.file ? whyNot(error) : error.message);
    this.#uploads.drop(id);
    this.#changed();
  }

  // The bot takes no files: those of a chat that is over go nowhere.
  #endFiles() {
    for (const line of this.lines) {
      if (!line.file || !["sending", "failed"].includes(line.state) || this.#isHeard(line)) continue;
      refuse(line, CHAT_ENDED);
      this.#uploads.drop(line.id);
    }
    this.#changed();
  }

  // By id: another tab may have put its lines in the place of ours meanwhile.
  #line(id) {
    return this.lines.find((each) => each.id === id);
  }

  #mark(id, values) {
    const line = this.#line(id);
    if (line) Object.assign(line, values);
  }

  #answered({ text, image, buttons, attachment, custom }, id) {
    const receipt = custom?.handoff;
    if (receipt) this.state = { ...this.state, status: receipt.status };
    if (!text && !image && !buttons?.length && !attachment) return;
    this.#add({ id, who: "bot", text, image, buttons, attachment, at: Date.now() / 1000 });
  }

  // What the stream tells; an event that is told again is known by its id

  #received(message, id) {
    this.#kept.last = id || this.#kept.last;
    if (message.who !== "system") this.#othersType(null);
    this.#add(message);
    this.#changed();
  }

  #moved(state, id) {
    this.#kept.last = id || this.#kept.last;
    const text = change(this.#kept.told, state);
    this.#kept.told = state;
    if (text) this.#add({ id: `handoff ${id}`, who: "system", text, at: state.at, ours: true });
    // The greeting of a connection has the newest state, what follows it may be older.
    if (!this.state?.at || state.at >= this.state.at) this.state = state;
    if (state.status !== "active") this.typing = null;
    this.#endFiles();
  }

  #readThere(messageId, id) {
    this.#kept.last = id || this.#kept.last;
    const place = (wanted) => this.lines.findIndex((line) => line.id === wanted);
    if (place(messageId) > place(this.#kept.read)) this.#kept.read = messageId;
    this.#changed();
  }

  #othersType(typing) {
    clearTimeout(this.#typingEnds);
    if (typing !== null) this.#typingEnds = setTimeout(() => this.#othersType(null), TYPING_LASTS);
    this.#set({ typing });
  }

  #add(line) {
    if (this.lines.some(({ id }) => id === line.id)) return;
    // Where the bot has words of its own for what happened, they stand instead of ours.
    const ours = line.who === "system" && !line.ours ? this.#oursSince() : -1;
    if (ours < 0) this.lines.push(line);
    else this.lines.splice(ours, 1, line);
    this.dispatchEvent(new CustomEvent("line", { detail: line }));
  }

  // Where our words for what happened stand, if nobody but the user has said anything since; else -1.
  #oursSince() {
    const last = this.lines.map(({ who }) => who !== "user").lastIndexOf(true);
    return this.lines[last]?.ours ? last : -1;
  }

  #readAgain() {
    const { sender } = this.#kept;
    this.#kept = memory.recall();
    if (sender !== this.#kept.sender) return location.reload();
    // The other tab does not have the files that this one is sending, and took them for lost.
    for (const line of this.lines) if (this.#uploads.has(line.id) && line.state === "refused") line.state = "sending";
    this.dispatchEvent(new Event("change"));
  }

  #set(values) {
    Object.assign(this, values);
    this.#changed();
  }

  #changed() {
    memory.keep(this.#kept);
    this.dispatchEvent(new Event("change"));
  }
}

/** Whether bytes of a line's file are still to leave. */
export function isGoing({ state, file }) {
  return state === "sending" && Boolean(file) && !file.id;
}

function refuse(line, problem) {
  Object.assign(line, { state: "refused", problem });
}
