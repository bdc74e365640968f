// The dialogs: what they have in common, ending a chat, and the list of shortcuts.

import { make } from "./page-dom.js";
import { TagField } from "./console-tags.js";

const WORDS = {
  chat: { title: "End this chat", what: "The user is told, and the bot carries on with them.", button: "End chat" },
  callback: { title: "Close this request", what: "The bot tells the user nothing of it.", button: "Close" },
};

/** A `<dialog>` whose form is sent by `submit`; an error it throws is shown and keeps the dialog open. */
export class FormDialog {
  constructor(id) {
    this.dialog = document.querySelector(id);
    this.form = this.dialog.querySelector("form");
    this.problem = this.dialog.querySelector(".problem");
    this.dialog.querySelector("[value=cancel]")?.addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.form.addEventListener("submit", (event) => this.#send(event));
  }

  ask(submit) {
    this.submit = submit;
    if (this.problem) this.problem.textContent = "";
    this.dialog.showModal();
  }

  async #send(event) {
    if (!this.submit) return;
    event.preventDefault();
    const button = this.form.querySelector("[type=submit]");
    button.disabled = true;
    try {
      await this.submit();
      this.dialog.close();
    } catch (error) {
      this.problem.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  }
}

/** Asks how a chat ended. */
export class CloseDialog extends FormDialog {
  #tags = new TagField(document.querySelector("#close-tags"));

  constructor() {
    super("#close-dialog");
  }

  /** `close` gets `{reason, note?, tags}`. */
  open(chat, close) {
    this.form.reset();
    this.#name(chat.callback ? WORDS.callback : WORDS.chat);
    this.#tags.clear();
    this.ask(() => close(this.#answer()));
  }

  #name({ title, what, button }) {
    document.querySelector("#close-title").textContent = title;
    document.querySelector("#close-what").textContent = what;
    document.querySelector("#close-button").textContent = button;
  }

  #answer() {
    const { reason, note } = this.form.elements;
    const answer = { reason: reason.value, tags: this.#tags.take() };
    return note.value.trim() ? { ...answer, note: note.value.trim() } : answer;
  }
}

/** Shows what the keyboard can do. */
export class HelpDialog extends FormDialog {
  constructor() {
    super("#help-dialog");
  }

  open(shortcuts) {
    document
      .querySelector("#help-keys")
      .replaceChildren(
        ...shortcuts.map(({ keys, does }) =>
          make(
            "div",
            {},
            make("dt", {}, ...keys.flatMap((key, n) => [n ? " + " : "", make("kbd", {}, key)])),
            make("dd", {}, does),
          ),
        ),
      );
    this.ask(null);
  }
}
