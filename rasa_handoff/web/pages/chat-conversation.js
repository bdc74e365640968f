// The conversation as this page knows it. Everything that changes it goes through here and is told by a "change" event.

import * as api from "./chat-api.js";
import * as memory from "./chat-memory.js";
import { change, handoffOf } from "./chat-words.js";
import { newId } from "./page-id.js";
import { Live } from "./page-live.js";

const TYPING_LASTS = 8_000;
const AGAIN_AFTER = 5_000;

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
  #resend = null;

  constructor() {
    super();
    for (const line of this.lines) if (line.state === "sending") line.state = "failed";
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

  // What failed goes out by itself, unless somebody else would hear it: then the user decides.
  #sendFailed() {
    if (this.connection !== "live") return; // who would hear it is known when it is
    const failed = this.lines.filter(({ state }) => state === "failed");
    if (failed.length && failed.every(({ to }) => to === this.#listener)) this.again();
  }

  #sendFailedLater() {
    clearTimeout(this.#resend);
    this.#resend = setTimeout(() => this.#sendFailed(), AGAIN_AFTER);
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
        hello: ({ handoff }) => {
          this.#set({ state: handoff });
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

  /** Send what waits, also what failed before. */
  again() {
    for (const line of this.lines) if (line.state === "failed") Object.assign(line, { state: "sending", to: this.#listener });
    this.#changed();
    if (!this.busy) this.#sendAll();
  }

  discard(id) {
    this.#kept.lines = this.lines.filter((line) => line.id !== id);
    this.#changed();
  }

  // Nothing overtakes: after a failure whatever was written behind it waits with it.
  async #sendAll() {
    this.busy = true;
    try {
      await this.#introduce();
      for (let line; (line = this.lines.find(({ state }) => state === "sending"));) await this.#send(line);
    } catch (error) {
      if (error.isUnknown) this.#forgotten();
      else this.#sendFailedLater();
      for (const line of this.lines) if (line.state === "sending") line.state = "failed";
    } finally {
      this.busy = false;
      this.#changed();
    }
  }

  async #send({ id, payload }) {
    try {
      const answers = await api.say(this.#kept, payload, id);
      this.#live?.hurry();
      this.#mark(id, { state: "sent" });
      answers.forEach((answer, n) => this.#answered(answer, `${id}/${n}`));
    } catch (error) {
      if (error.passes || error.isUnknown) throw error;
      // It will never be taken as it is; what was written behind it may.
      this.#mark(id, { state: "refused", problem: error.message });
    }
    this.#changed();
  }

  // By id: another tab may have put its lines in the place of ours meanwhile.
  #mark(id, values) {
    const line = this.lines.find((each) => each.id === id);
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
    this.#changed();
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
    if (line.who === "system" && this.lines.at(-1)?.ours && !line.ours) this.lines.pop();
    this.lines.push(line);
    this.dispatchEvent(new CustomEvent("line", { detail: line }));
  }

  #readAgain() {
    const { sender } = this.#kept;
    this.#kept = memory.recall();
    if (sender !== this.#kept.sender) return location.reload();
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
