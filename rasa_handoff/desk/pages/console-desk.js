// What the page knows of the desk. Everything that changes it goes through here and is told by a "change" event.

import * as api from "./console-api.js";
import { setServerTime } from "./page-time.js";

const TYPING_LASTS = 8_000;
const RANKS = { high: -1, low: 1 };

/** The agents, the chats, and the talk of the chats that were opened. */
export class Desk extends EventTarget {
  me = null;
  largestFile = null; //: bytes that a file may have
  takesFiles = false; //: whether agents may give files at all
  savedReplies = []; //: {name, text}
  agents = new Map();
  chats = new Map();
  talks = new Map(); //: chat id -> {transcript, parameters, messages, earlier, fresh, problem, touched}
  replies = new Map(); //: chat id -> what this page wrote and the server has not taken yet
  selected = null;
  cameFrom = null; //: the chat that the selected one was opened from
  loaded = false;
  connection = "connecting";
  #seen = new Map(); //: chat id -> how many unanswered messages were looked at
  #typing = new Map(); //: chat id -> timer
  #touched = null; //: chats that the stream told of while a list was on its way
  #told = false;

  changed() {
    if (this.#told) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      this.dispatchEvent(new Event("change"));
    });
  }

  // What the server says

  hello({ agent, now }) {
    setServerTime(now);
    this.me = agent;
    this.putAgent(agent);
    for (const talk of this.talks.values()) talk.fresh = false;
  }

  /** Ask for everything again: at the start, and after the stream was away. */
  async load() {
    this.#touched = new Set();
    const [list, { agents }, saved] = await Promise.all([api.chats(), api.agents(), api.savedReplies()]);
    setServerTime(list.now);
    this.savedReplies = saved.saved_replies;
    this.agents = new Map(agents.map((agent) => [agent.id, agent]));
    this.#replaceChats([...list.waiting, ...list.open, ...list.closed]);
    this.loaded = true;
    if (this.selected) this.loadTalk(this.selected);
    this.look();
    this.changed();
  }

  // A chat that the stream told of meanwhile is newer than the list.
  #replaceChats(chats) {
    const newer = this.#touched ?? new Set();
    this.#touched = null;
    const kept = [...this.chats].filter(([id]) => newer.has(id));
    const listed = chats.filter(({ id }) => !newer.has(id));
    this.chats = new Map([...listed.map((chat) => [chat.id, chat]), ...kept]);
  }

  async loadTalk(id) {
    const talk = this.talks.get(id) ?? { messages: new Map(), parameters: {}, transcript: null };
    this.talks.set(id, talk);
    Object.assign(talk, { fresh: true, problem: null, touched: new Set() });
    this.changed();
    try {
      this.#putTalk(talk, await api.chat(id));
    } catch (error) {
      const forgotten = error.status === 404 ? { messages: new Map(), transcript: null, parameters: {} } : {};
      Object.assign(talk, { fresh: false, problem: error, ...forgotten });
    }
    this.changed();
  }

  #putTalk(talk, { chat, transcript, parameters, messages, earlier }) {
    Object.assign(talk, { transcript, parameters, earlier });
    const older = messages.filter((message) => !talk.touched.has(message.id));
    for (const message of older) talk.messages.set(message.id, message);
    if (!this.chats.has(chat.id)) this.chats.set(chat.id, chat);
  }

  putChat(chat) {
    this.#touched?.add(chat.id);
    if (!this.chats.has(chat.id)) this.#userCame(chat);
    this.chats.set(chat.id, chat);
    this.#seen.set(chat.id, Math.min(this.#seen.get(chat.id) ?? 0, chat.unanswered));
    if (chat.state === "closed") this.userTypes(chat.id, false);
    this.changed();
  }

  // Each of a user's chats lists the others, and there is one more.
  #userCame({ user }) {
    for (const [id, talk] of this.talks) {
      if (this.chats.get(id)?.user !== user) continue;
      talk.fresh = false;
      if (id === this.selected) this.loadTalk(id);
    }
  }

  /** A chat waits for another group: it is not listed, but stays where it is being read. */
  async forget(id) {
    this.#touched?.add(id);
    if (id !== this.selected) {
      this.chats.delete(id);
      return this.changed();
    }
    const answer = await api.chat(id).catch(() => null); // cut off: the next greeting loads
    if (answer) this.putChat(answer.chat);
  }

  putMessage(message) {
    const talk = this.talks.get(message.chat_id);
    talk?.touched.add(message.id);
    talk?.messages.set(message.id, message);
    if (message.who === "user") this.userTypes(message.chat_id, false);
    this.#dropReply(message);
    this.changed();
  }

  /** The answer to a reply; the stream may have told more of it already. */
  putAnswer(message) {
    const known = this.talks.get(message.chat_id)?.messages.get(message.id);
    this.putMessage(known ?? message);
  }

  putAgent(agent) {
    this.agents.set(agent.id, agent);
    if (agent.id === this.me?.id) this.me = agent;
    this.changed();
  }

  userTypes(id, typing) {
    clearTimeout(this.#typing.get(id));
    this.#typing.delete(id);
    if (typing)
      this.#typing.set(
        id,
        setTimeout(() => this.userTypes(id, false), TYPING_LASTS),
      );
    this.changed();
  }

  setConnection(connection) {
    this.connection = connection;
    this.changed();
  }

  // What this page does

  select(id, from = null) {
    this.selected = id;
    this.cameFrom = from;
    if (id && this.loaded && !this.talks.get(id)?.fresh) this.loadTalk(id);
    this.look();
    this.changed();
  }

  /** The agent is looking at the selected chat: nothing in it is unread. */
  look() {
    const chat = this.chat;
    if (!chat || document.hidden || this.#seen.get(chat.id) === chat.unanswered) return;
    this.#seen.set(chat.id, chat.unanswered);
    this.changed();
  }

  setReplies(id, replies) {
    this.replies.set(id, replies);
    this.changed();
  }

  #dropReply(message) {
    const waiting = this.replies.get(message.chat_id);
    if (!waiting) return;
    this.replies.set(
      message.chat_id,
      waiting.filter((reply) => reply.id !== message.id),
    );
  }

  // Questions

  get chat() {
    return this.chats.get(this.selected) ?? null;
  }

  isMine(chat) {
    return chat.state === "open" && chat.agent?.id === this.me?.id;
  }

  /** Whether this agent is there for a chat's group; one of nobody's group is everybody's. */
  mayAccept({ group }) {
    const takes = ({ groups }) => groups.length === 0 || groups.includes(group);
    return !group || takes(this.me) || ![...this.agents.values()].some(takes);
  }

  /** The names of all groups. */
  get groups() {
    const names = new Set([...this.agents.values()].flatMap(({ groups }) => groups));
    return [...names].sort((a, b) => a.localeCompare(b));
  }

  isTyping(id) {
    return this.#typing.has(id);
  }

  unread(chat) {
    return Math.max(0, chat.unanswered - (this.#seen.get(chat.id) ?? 0));
  }

  get waiting() {
    return this.#inTurn((chat) => !chat.callback);
  }

  /** Who is not there, but wants to be called. */
  get callbacks() {
    return this.#inTurn((chat) => chat.callback);
  }

  get mine() {
    return this.#sorted((chat) => this.isMine(chat), "accepted_at");
  }

  get others() {
    return this.#sorted((chat) => chat.state === "open" && !this.isMine(chat), "accepted_at");
  }

  get closed() {
    return this.#sorted((chat) => chat.state === "closed", "closed_at")
      .reverse()
      .slice(0, 50);
  }

  /** Everything said in a chat, what is on its way last. */
  lines(id) {
    const said = [...(this.talks.get(id)?.messages.values() ?? [])].sort(
      (a, b) => a.number - b.number || a.at - b.at,
    );
    return [...said, ...(this.replies.get(id) ?? [])];
  }

  #inTurn(wanted) {
    const waits = (chat) => chat.state === "waiting" && this.mayAccept(chat);
    const waiting = this.#sorted((chat) => waits(chat) && wanted(chat), "number");
    return waiting.sort((a, b) => rankOf(a) - rankOf(b));
  }

  #sorted(wanted, by) {
    return [...this.chats.values()].filter(wanted).sort((a, b) => a[by] - b[by]);
  }
}

function rankOf({ priority }) {
  return RANKS[priority?.toLowerCase()] ?? 0;
}
