// Everything said in a chat: with the bot before, and with people since.

import { withDays } from "./page-days.js";
import { icon, link, make, reconcile, richText, unseen } from "./page-dom.js";
import { addressOf, attachmentOf, fileParts, picture } from "./page-media.js";
import { Follow } from "./page-scroll.js";
import { serverTime, timeOf } from "./page-time.js";
import { progressOf } from "./console-chips.js";
import { isUploading } from "./console-files.js";
import { WAITS, some, stateOf, userOf } from "./console-words.js";

const SYMBOLS = { sending: "clock", waiting: "clock", sent: "sent", delivered: "delivered", failed: "failed" };
const HELD_AFTER = 3; //: seconds after which a message that the user has not got waits for them

/** The scrolling part of one chat. */
export class Talk {
  #desk;
  #files;
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

  constructor(desk, files, doing) {
    this.#desk = desk;
    this.#files = files;
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
      build: (line) => (line.day ? make("div", { class: "day" }, line.day) : buildMessage(line.message, this.#files)),
      update: (node, line) => line.message && this.#updateMessage(node, line, chat),
    });
    if (this.#count !== lines.length) this.#follow.grew(lines.at(-1)?.message?.state === "sending");
    this.#count = lines.length;
  }

  #updateMessage(node, { message, follows }, chat) {
    node.classList.toggle("follows", follows);
    node.classList.toggle("mine", message.who === "agent");
    node.classList.toggle("taken-back", message.state === "taken_back");
    if (message.who !== "agent") return;
    updateFiles(node, message);
    const state = this.#isHeld(node, message, chat) ? "held" : message.state;
    const shown = `${state} ${message.problem ?? ""} ${message.at} ${isUploading(message)}`;
    const place = node.querySelector(".message-state");
    if (place.dataset.shown === shown) return;
    place.dataset.shown = shown;
    place.dataset.state = state;
    place.replaceChildren(...(state === "held" ? this.#heldParts(message, chat) : this.#stateParts(message, chat)));
    this.#follow.settled();
  }

  // Whether a message has waited for the user so long that it is worth a word; it is looked at again when it has.
  #isHeld(node, message, chat) {
    if (message.state !== "sent" || chat.callback || !this.#desk.isMine(chat)) return false;
    const left = message.at + HELD_AFTER - serverTime();
    clearTimeout(node.look);
    if (left > 0) node.look = setTimeout(() => this.#desk.changed(), left * 1000 + 50);
    return left <= 0;
  }

  #heldParts(message, chat) {
    const takeBack = () => this.#doing.takeBack(chat.id, message.id);
    const words = make("span", {}, "Not delivered yet");
    return [timeOf(message.at), icon("sent"), words, inlineButton("Take back", takeBack)];
  }

  #stateParts(message, chat) {
    const ours = this.#desk.replies.get(chat.id)?.some((reply) => reply.id === message.id);
    const parts = [timeOf(message.at), icon(SYMBOLS[message.state] ?? "sent")];
    const discard = () => this.#doing.discard(chat.id, message.id);
    if (isUploading(message)) return [...parts, unseen(stateOf(message)), inlineButton("Cancel", discard)];
    const toSend = (role, why, label) => [
      ...parts,
      make("span", { role }, why),
      inlineButton(label, () => this.#doing.sayAgain(chat.id)),
      inlineButton("Discard", discard),
    ];
    if (message.state === "taken_back") return [timeOf(message.at), make("span", {}, stateOf(message))];
    if (message.state === "waiting") return toSend("status", WAITS, "Try now");
    if (message.state !== "failed") return [...parts, unseen(stateOf(message))];
    if (!ours) return [...parts, make("span", {}, "The user could not be reached")];
    return toSend("alert", message.problem ? `Not sent: ${message.problem}` : "Not sent", "Try again");
  }

  #renderTyping(chat) {
    const typing = this.#desk.isTyping(chat.id);
    if (this.#typing.childElementCount > 0 === typing) return;
    const dots = [1, 2, 3].map(() => make("span", { class: "typing-dot" }));
    this.#typing.replaceChildren(...(typing ? [...dots, unseen(`${userOf(chat)} is typing`)] : []));
    this.#follow.grew();
  }
}

function inlineButton(label, onclick) {
  return make("button", { type: "button", class: "inline", onclick }, label);
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

function buildMessage(message, files) {
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
      ...(message.files ?? []).map((file) => buildFile(file, files)),
      ...(message.attachments ?? []).map(attachmentOf),
    ),
    make("span", { class: "message-state" }, message.who === "agent" ? null : timeOf(message.at)),
  );
}

// A file of a message that is on its way: it opens once the server has the message.
function buildFile(file, files) {
  const src = files.picture(file);
  const asName = () => shown.replaceChildren(...fileParts(file.name, file.size));
  const shown = make("a", { class: "attachment" }, src ? picture(src, file.name, { onerror: asName }) : "");
  if (!src) asName();
  return make("div", { class: "file" }, shown, progressOf(file, files.share(file)));
}

function updateFiles(node, { files, attachments }) {
  for (const [n, place] of node.querySelectorAll(".file").entries()) {
    if (files) place.lastChild.hidden = files[n].state !== "going";
    else settleFile(place, attachments[n]);
  }
}

// A picture that is shown already stays, so that nothing jumps.
function settleFile(place, attachment) {
  const [shown] = place.children;
  const image = shown.querySelector("img");
  if (!attachment || !image?.naturalWidth) return place.replaceWith(...(attachment ? [attachmentOf(attachment)] : []));
  const anchor = link(addressOf(attachment.url), image);
  anchor.classList.add("shown");
  place.replaceWith(anchor);
}
