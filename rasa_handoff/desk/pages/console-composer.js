// Where the agent writes.

import { growing, icon, make, sends } from "./page-dom.js";
import { Typing } from "./page-typing.js";
import * as api from "./console-api.js";
import { userOf } from "./console-words.js";

/** The field and its button for one chat. */
export class Composer {
  #field;
  #typing;
  #send;

  constructor(desk, chat, { say }, draft = "") {
    this.#typing = new Typing((now) => api.typing(chat.id, now));
    this.#send = (text) => say(chat.id, text);
    this.#field = make("textarea", {
      id: "reply",
      rows: "1",
      dir: "auto",
      "aria-label": `Reply to ${userOf(chat)}`,
      placeholder: "Write a reply",
      enterkeyhint: "send",
      "aria-describedby": "reply-hint",
      oninput: () => this.#typing.changed(this.#field.value),
      onkeydown: (event) => this.#key(event),
    });
    this.#field.value = draft;
    growing(this.#field);
    this.node = make(
      "form",
      { class: "composer", onsubmit: (event) => this.#submit(event) },
      this.#field,
      make("button", { class: "primary send", "aria-label": "Send", title: "Send (Enter)" }, icon("send")),
      make("p", { id: "reply-hint", class: "composer-hint" }, "Enter sends, Shift+Enter begins a new line"),
    );
  }

  focus() {
    this.#field.focus();
  }

  pause() {
    this.#typing.stop();
  }

  /** Stop, and give back what was not sent. */
  close() {
    this.#typing.stop();
    return this.#field.value;
  }

  #key(event) {
    if (sends(event)) this.#submit(event);
  }

  #submit(event) {
    event.preventDefault();
    const text = this.#field.value;
    if (text.trim() === "") return this.#field.focus();
    this.#field.value = "";
    this.#field.dispatchEvent(new Event("input"));
    this.#typing.stop();
    this.#send(text);
    this.#field.focus();
  }
}
