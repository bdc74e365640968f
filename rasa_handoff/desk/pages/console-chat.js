// The middle column: the selected chat, with what may be done to it at its foot.

import { icon, make, unseen } from "./page-dom.js";
import { elapsedSince, timeOf } from "./page-time.js";
import { CALL_FEET } from "./console-callback.js";
import { Composer } from "./console-composer.js";
import { faceOf } from "./console-face.js";
import { Talk } from "./console-talk.js";
import { wayBack } from "./console-earlier.js";
import { starsOf } from "./console-rating.js";
import { channelOf, connectionClass, connectionOf, endOf, endedBy, userOf } from "./console-words.js";

const pane = document.querySelector("#conversation");

/** Shows one chat at a time; `doing` has a function for each thing an agent can do. */
export class ChatPane {
  #desk;
  #files;
  #doing;
  #id = undefined;
  #talk = null;
  #composer = null;
  #head = null;
  #way = null;
  #foot = null;
  #drafts = new Map();

  constructor(desk, files, doing) {
    this.#desk = desk;
    this.#files = files;
    this.#doing = doing;
  }

  render() {
    const { selected, chat } = this.#desk;
    const shown = chat ? selected : null;
    if (shown === null) return this.#renderNothing();
    if (shown !== this.#id) this.#open(chat);
    this.#renderHead(chat);
    this.#renderWay();
    this.#talk.render(chat);
    this.#renderFoot(chat);
    this.#composer?.render();
  }

  /** Move the keyboard to where the agent goes on. */
  focus() {
    if (this.#composer) this.#composer.focus();
    else (pane.querySelector("#accept") ?? pane.querySelector("#chat-title") ?? pane).focus();
  }

  /** The agent turned to something else than writing. */
  pause() {
    this.#composer?.pause();
  }

  /** Whether files may be dropped and pasted. */
  get takesFiles() {
    return this.#composer?.takesFiles ?? false;
  }

  attach() {
    this.#composer?.attach();
  }

  /** Add `{files, folders?}` to what is being written. */
  give(given) {
    this.#composer?.give(given);
  }

  focusHeading() {
    pane.querySelector("#chat-title")?.focus();
  }

  #open(chat) {
    this.#keepDraft();
    this.#id = chat.id;
    this.#head = make("header", { class: "chat-head" });
    this.#way = make("div");
    this.#foot = make("footer", { class: "chat-foot" });
    this.#composer = null;
    this.#talk = new Talk(this.#desk, this.#files, this.#doing);
    pane.replaceChildren(this.#head, this.#way, this.#talk.node, this.#foot);
  }

  #keepDraft() {
    if (this.#composer) this.#drafts.set(this.#id, this.#composer.close());
  }

  // Nothing selected, or a chat that is not there

  #renderNothing() {
    const { selected, loaded, talks } = this.#desk;
    const problem = selected ? talks.get(selected)?.problem : null;
    const { waiting, callbacks, mine } = this.#desk;
    const quiet = waiting.length + callbacks.length + mine.length === 0;
    const empty = quiet ? "quiet" : "nothing";
    const state = problem ? "missing" : !loaded || selected ? "loading" : empty;
    if (this.#id === state) return;
    this.#keepDraft();
    this.#composer = null;
    this.#id = state;
    pane.replaceChildren(NOTHING[state]());
  }

  // The head: who it is, and what can be done

  #renderHead(chat) {
    const mine = this.#desk.isMine(chat);
    const shown = JSON.stringify([chat.state, chat.agent, chat.user_connected, chat.group, mine]);
    if (this.#head.shown === shown) return;
    const back = document.activeElement?.closest("#conversation .chat-head [id]")?.id;
    this.#head.shown = shown;
    this.#head.replaceChildren(...this.#headParts(chat, mine));
    if (back) (pane.querySelector(`#${back}`) ?? pane.querySelector("#chat-title")).focus();
  }

  #renderWay() {
    const way = wayBack(this.#desk);
    if (this.#way.textContent === (way?.textContent ?? "")) return;
    this.#way.replaceChildren(...(way ? [way] : []));
  }

  #headParts(chat, mine) {
    const { back, pass, end, details } = this.#doing;
    return [
      toolButton("back", "Back to the list", back, { id: "back", class: "quiet icon-only only-phone" }),
      faceOf(chat),
      make(
        "div",
        { class: "chat-who" },
        make("h2", { id: "chat-title", tabindex: "-1", dir: "auto" }, userOf(chat)),
        make(
          "p",
          { class: "chat-where" },
          chat.callback ? make("span", {}, "Call back") : null,
          chat.state === "closed" || chat.callback ? null : connectionPill(chat),
          make("span", {}, channelOf(chat.channel)),
          chat.group ? make("span", { dir: "auto" }, chat.group) : null,
        ),
      ),
      mine ? toolButton("pass", "Hand over", pass, { id: "pass", "aria-haspopup": "dialog" }, "Alt+T") : null,
      mine ? toolButton("end", chat.callback ? "Close" : "End chat", end, { id: "end", "aria-haspopup": "dialog" }, "Alt+E") : null,
      toolButton("details", "Details", details, { id: "show-details", class: "quiet icon-only not-wide" }, "Alt+D"),
    ].filter(Boolean);
  }

  // The foot: write, accept, read along, or see how it ended

  #renderFoot(chat) {
    const kind = this.#footKind(chat);
    const agent = kind === "read" ? this.#desk.agents.get(chat.agent?.id) : null;
    const accepts = kind !== "write" && this.#desk.mayAccept(chat);
    const known = [kind, chat.agent, chat.group, chat.end, chat.rating, agent?.presence, accepts, chat.takes_files];
    const shown = JSON.stringify(known);
    if (this.#foot.shown === shown) return;
    const here = this.#foot.contains(document.activeElement);
    this.#foot.shown = shown;
    this.#keepDraft();
    const writes = kind === "write" && !chat.callback;
    const feet = chat.callback ? { ...FEET, ...CALL_FEET } : FEET;
    this.#composer = writes ? this.#makeComposer(chat) : null;
    const doing = accepts ? this.#doing : { ...this.#doing, accept: null };
    this.#foot.replaceChildren(this.#composer?.node ?? feet[kind](chat, doing, agent));
    if (here) this.focus();
  }

  #makeComposer(chat) {
    return new Composer(this.#desk, chat, this.#files, this.#doing, this.#drafts.get(chat.id));
  }

  #footKind(chat) {
    if (chat.state === "waiting" && !this.#desk.mayAccept(chat)) return "elsewhere";
    if (chat.state === "open") return this.#desk.isMine(chat) ? "write" : "read";
    return chat.state;
  }
}

function toolButton(symbol, label, onclick, attributes, keys = null) {
  const title = keys ? `${label} (${keys})` : label;
  const all = { type: "button", class: "tool", onclick, title, ...attributes };
  return make("button", all, icon(symbol), make("span", { class: "label" }, label));
}

function connectionPill(chat) {
  return make(
    "span",
    { class: `connection ${connectionClass(chat)}` },
    make("span", { class: `dot ${connectionClass(chat)}` }),
    connectionOf(chat),
  );
}

const FEET = {
  waiting: (chat, { accept }) =>
    make(
      "div",
      { class: "foot-bar" },
      make(
        "p",
        {},
        "Waiting for ",
        elapsedSince(chat.opened_at),
        make("br"),
        make("span", { class: "soft" }, "You can read everything before you accept."),
      ),
      make(
        "button",
        {
          id: "accept",
          type: "button",
          class: "primary",
          onclick: accept,
          title: "Accept (Alt+N accepts the next one)",
        },
        "Accept chat",
      ),
    ),

  elsewhere: (chat) =>
    make(
      "div",
      { class: "foot-bar" },
      make("p", {}, "Waiting for ", elapsedSince(chat.opened_at), ", for agents of ", make("bdi", {}, chat.group), "."),
    ),

  read: (chat, { accept }, agent) => {
    const away = agent?.presence === "away";
    const what = away ? " has this chat, but is away." : " is talking with this user. You can read along.";
    const takeOver = make("button", { id: "accept", type: "button", class: "primary", onclick: accept }, "Take over");
    const name = make("strong", { dir: "auto" }, chat.agent?.name ?? "Another agent");
    return make("div", { class: "foot-bar" }, make("p", {}, name, what), away && accept ? takeOver : null);
  },

  closed: (chat) =>
    make(
      "div",
      { class: "foot-bar" },
      make(
        "p",
        {},
        make("strong", {}, endOf(chat.end?.reason ?? "other")),
        make(
          "span",
          { class: "soft" },
          " · ended by ",
          make("bdi", {}, chat.end ? endedBy(chat) : "the system"),
          chat.closed_at ? " at " : "",
        ),
        chat.closed_at ? timeOf(chat.closed_at) : null,
      ),
      chat.rating ? starsOf(chat.rating) : null,
    ),
};

const NOTHING = {
  loading: () =>
    make("div", { class: "blank", "aria-busy": "true" }, make("p", { class: "soft", role: "status" }, "Loading…")),

  missing: () =>
    make(
      "div",
      { class: "blank" },
      make("h2", { id: "chat-title", tabindex: "-1" }, "This chat is not here"),
      make("p", { class: "soft" }, "It may have been deleted since. Choose another one from the list."),
      make("a", { class: "button", href: "#/" }, "Back to the list"),
    ),

  quiet: () =>
    make(
      "div",
      { class: "blank" },
      make("span", { class: "blank-mark" }, icon("mark")),
      make("h2", { id: "chat-title", tabindex: "-1" }, "All quiet"),
      make("p", { class: "soft" }, "When somebody asks for a person, they appear in the list by themselves."),
    ),

  nothing: () =>
    make(
      "div",
      { class: "blank" },
      make("span", { class: "blank-mark" }, icon("mark")),
      make("h2", { id: "chat-title", tabindex: "-1" }, "No chat selected"),
      make(
        "p",
        { class: "soft" },
        "Choose one from the list, or press ",
        make("kbd", {}, "Alt"),
        unseen(" "),
        make("kbd", {}, "N"),
        " to accept whoever has waited longest.",
      ),
    ),
};
