// The dialogs: ending a chat, handing it over, and the list of shortcuts.

import { make } from "./page-dom.js";
import { initials } from "./page-face.js";
import { some } from "./console-words.js";
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

/** Asks whom a chat goes to. */
export class PassDialog extends FormDialog {
  #choices = document.querySelector("#pass-choices");
  #nobody = document.querySelector("#pass-nobody");

  constructor() {
    super("#pass-dialog");
  }

  /** `pass` gets the agent's id, or null for the queue. */
  open(desk, pass) {
    const others = [...desk.agents.values()].filter((agent) => agent.id !== desk.me.id);
    others.sort((a, b) =>
      a.presence === b.presence ? a.name.localeCompare(b.name) : a.presence === "online" ? -1 : 1,
    );
    this.#choices.replaceChildren(queueChoice(), ...others.map(agentChoice));
    this.#nobody.textContent = whyNobody(others);
    this.#nobody.hidden = this.#nobody.textContent === "";
    this.ask(() => pass(this.form.elements.agent.value || null));
  }
}

/** Shows what the keyboard can do. */
export class HelpDialog extends FormDialog {
  constructor(shortcuts) {
    super("#help-dialog");
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
  }

  open() {
    this.ask(null);
  }
}

// Why nobody of the team can be chosen; empty when somebody can.
function whyNobody(others) {
  if (others.length === 0) return "You are the only agent at this desk. Whoever runs the bot can add colleagues.";
  const away = others.every(({ presence }) => presence !== "online");
  return away ? "None of your colleagues is online. The chat goes to whoever comes online first and accepts it." : "";
}

function queueChoice() {
  return make(
    "label",
    { class: "choice" },
    make("input", { type: "radio", name: "agent", value: "", checked: true }),
    make(
      "span",
      {},
      make("strong", {}, "Back to the queue"),
      make("span", { class: "soft" }, "For whoever accepts it next"),
    ),
  );
}

function agentChoice({ id, name, presence, chats }) {
  const away = presence !== "online";
  return make(
    "label",
    { class: "choice" },
    make("input", { type: "radio", name: "agent", value: id, disabled: away }),
    make("span", { class: "face small", "aria-hidden": "true" }, initials(name)),
    make(
      "span",
      {},
      make("strong", { dir: "auto" }, name),
      make("span", { class: "soft" }, away ? "Away" : `Online · ${some(chats, "open chat")}`),
    ),
  );
}
