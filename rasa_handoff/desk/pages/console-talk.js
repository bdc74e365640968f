// Everything said in a chat: with the bot before, and with people since.

import { withDays } from "./page-days.js";
import { icon, make, reconcile, richText, unseen } from "./page-dom.js";
import { attachmentOf } from "./page-media.js";
import { Follow } from "./page-scroll.js";
import { timeOf } from "./page-time.js";
import { some, stateOf, userOf } from "./console-words.js";

/** The scrolling part of one chat. */
export class Talk {
  #desk;
  #doing;
  #box = make("div", { class: "talk-scroll", tabindex: "0", role: "region", "aria-label": "What was said" });
  #before = make("div", { class: "before" });
  #state = make("div", { class: "talk-state" });
  #log = make("div", {
    class: "log",
    role: "log",
    "aria-label": "Messages",
    "aria-live": "polite",
    "aria-relevant": "additions",
  });
  #typing = make("p", { class: "typing" });
  #follow;
  #count = null;

  constructor(desk, doing) {
    this.#desk = desk;
    this.#doing = doing;
    const more = make("button", { type: "button", class: "more", hidden: true }, icon("down"), "New messages");
    this.#box.append(this.#before, this.#state, this.#log, this.#typing);
    this.node = make("div", { class: "talk" }, this.#box, more);
    this.#follow = new Follow(this.#box, more);
  }

  render(chat) {
    const talk = this.#desk.talks.get(chat.id);
    this.#renderState(talk, chat);
    this.#renderBefore(talk, chat);
    this.#renderLog(chat);
    this.#renderTyping(chat);
  }

  #renderState(talk, chat) {
    const state = talk?.problem ? "problem" : talk?.transcript ? "" : "loading";
    if (this.#state.dataset.state === state) return;
    this.#state.dataset.state = state;
    if (state === "") return this.#state.replaceChildren();
    if (state === "loading")
      return this.#state.replaceChildren(make("p", { class: "soft", role: "status" }, "Loading the conversation…"));
    const again = () => this.#desk.loadTalk(chat.id);
    this.#state.replaceChildren(
      make("p", { class: "problem", role: "alert" }, "The conversation could not be loaded."),
      make("button", { type: "button", onclick: again }, "Try again"),
    );
  }

  #renderBefore(talk, chat) {
    if (!talk?.transcript || this.#before.shown === talk.transcript) return;
    this.#before.shown = talk.transcript;
    const lines = talk.transcript.map(beforeLine);
    const open = chat.state === "waiting" || chat.callback || matchMedia("(min-width: 45rem)").matches;
    const summary = make("summary", {}, icon("down"), `With the bot before · ${some(lines.length, "line")}`);
    this.#before.replaceChildren(
      lines.length
        ? make("details", { open }, summary, make("ol", { class: "before-lines" }, ...lines))
        : make("p", { class: "soft centred" }, "The user said nothing to the bot before."),
    );
    this.#follow.grew();
  }

  #renderLog(chat) {
    const lines = withDays(this.#desk.lines(chat.id));
    reconcile(this.#log, lines, {
      key: (line) => line.key,
      build: (line) => (line.day ? make("div", { class: "day" }, line.day) : buildMessage(line.message)),
      update: (node, line) => line.message && this.#updateMessage(node, line, chat),
    });
    if (this.#count !== lines.length) this.#follow.grew(lines.at(-1)?.message?.state === "sending");
    this.#count = lines.length;
  }

  #updateMessage(node, { message, follows }, chat) {
    node.classList.toggle("follows", follows);
    node.classList.toggle("mine", message.who === "agent");
    if (message.who !== "agent") return;
    const shown = `${message.state} ${message.problem ?? ""} ${message.at}`;
    const place = node.querySelector(".message-state");
    if (place.dataset.shown === shown) return;
    place.dataset.shown = shown;
    place.dataset.state = message.state;
    place.replaceChildren(...this.#stateParts(message, chat));
  }

  #stateParts(message, chat) {
    const symbol = { sending: "clock", sent: "sent", delivered: "delivered", failed: "failed" }[message.state];
    const waiting = this.#desk.replies.get(chat.id)?.some((reply) => reply.id === message.id);
    const parts = [timeOf(message.at), icon(symbol ?? "sent")];
    if (message.state !== "failed") return [...parts, unseen(stateOf(message))];
    if (!waiting) return [...parts, make("span", {}, "The user could not be reached")];
    return [
      ...parts,
      make("span", { role: "alert" }, message.problem ? `Not sent: ${message.problem}` : "Not sent"),
      make("button", { type: "button", class: "inline", onclick: () => this.#doing.sayAgain(chat.id) }, "Try again"),
      make(
        "button",
        { type: "button", class: "inline", onclick: () => this.#doing.discard(chat.id, message.id) },
        "Discard",
      ),
    ];
  }

  #renderTyping(chat) {
    const typing = this.#desk.isTyping(chat.id);
    if (this.#typing.childElementCount > 0 === typing) return;
    const dots = [1, 2, 3].map(() => make("span", { class: "typing-dot" }));
    this.#typing.replaceChildren(...(typing ? [...dots, unseen(`${userOf(chat)} is typing`)] : []));
    this.#follow.grew();
  }
}

function beforeLine({ who, text, at }) {
  const name = { user: "User", bot: "Bot", agent: "Agent", system: "System" }[who] ?? who;
  return make(
    "li",
    { class: `before-line by-${who}` },
    make("span", { class: "before-who", dir: "auto" }, name),
    make("span", { class: "before-text", dir: "auto" }, ...richText(text ?? "")),
    at ? timeOf(at) : null,
  );
}

function buildMessage(message) {
  if (message.who === "system") {
    return make("div", { class: "notice" }, make("span", { dir: "auto" }, message.text), " ", timeOf(message.at));
  }
  const name = message.who === "agent" ? message.name || "Agent" : "User";
  return make(
    "div",
    { class: `message by-${message.who}` },
    make("span", { class: "message-name", dir: "auto" }, name, unseen(": ")),
    make(
      "div",
      { class: "bubble" },
      message.edited ? make("p", { class: "message-edited" }, "Edited message") : null,
      message.text ? make("p", { class: "message-text", dir: "auto" }, ...richText(message.text)) : null,
      ...(message.attachments ?? []).map(attachmentOf),
    ),
    make("span", { class: "message-state" }, message.who === "agent" ? null : timeOf(message.at)),
  );
}
