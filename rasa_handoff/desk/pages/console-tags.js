// A field for several short words.

import { icon, make } from "./page-dom.js";

/** Turns what is typed into tags, each with a button that takes it away. */
export class TagField {
  #box;
  #input;
  #tags = new Set();

  constructor(box) {
    this.#box = box;
    this.#input = box.querySelector("input");
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#input.addEventListener("input", () => this.#input.value.includes(",") && this.#add());
  }

  clear() {
    this.#tags.clear();
    this.#input.value = "";
    this.#show();
  }

  /** All tags, with the one that is still being typed. */
  take() {
    this.#add();
    return [...this.#tags];
  }

  #key(event) {
    const empty = this.#input.value.trim() === "";
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      this.#add();
    } else if (event.key === "Backspace" && empty && this.#tags.size > 0) {
      this.#remove([...this.#tags].at(-1));
    }
  }

  #add() {
    const words = this.#input.value.split(",").map((word) => word.trim());
    for (const word of words.filter(Boolean)) this.#tags.add(word);
    this.#input.value = "";
    this.#show();
  }

  #remove(tag) {
    this.#tags.delete(tag);
    this.#show();
    this.#input.focus();
  }

  #show() {
    for (const tag of this.#box.querySelectorAll(".tag")) tag.remove();
    const nodes = [...this.#tags].map((tag) =>
      make(
        "span",
        { class: "tag" },
        make("bdi", {}, tag),
        make(
          "button",
          { type: "button", "aria-label": `Remove the tag ${tag}`, onclick: () => this.#remove(tag) },
          icon("close"),
        ),
      ),
    );
    this.#input.before(...nodes);
  }
}
