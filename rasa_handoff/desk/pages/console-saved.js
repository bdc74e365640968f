// The saved replies: texts that every agent has at hand, found by a few letters.

import { make, unseen } from "./page-dom.js";

const LIST = "saved-replies";

/**
 * The list that belongs to a text field. It opens for a "/" at the beginning of the text, and what is chosen then takes
 * the place of what was typed; opened by `toggle`, it puts the text where the cursor is.
 */
export class SavedList {
  #field;
  #replies;
  #found = [];
  #active = 0;
  #place = null; //: {from, to} in the field's text; null: it is closed
  #dismissed = false;

  /** `replies` gives what there is: `[{name, text}, …]`. */
  constructor(field, replies) {
    this.#field = field;
    this.#replies = replies;
    this.node = make("div", { class: "saved", hidden: true, onmousedown: (event) => event.preventDefault() });
  }

  /** The field has another text than before. */
  changed() {
    const { value } = this.#field;
    const asks = value.startsWith("/") && !value.includes("\n") && this.#replies().length > 0;
    if (!asks) this.#dismissed = false;
    if (asks && !this.#dismissed) this.#open(value.slice(1), { from: 0, to: value.length });
    else this.close();
  }

  toggle() {
    if (this.#place) return this.close();
    const { selectionStart: from, selectionEnd: to } = this.#field;
    this.#open("", { from, to });
    this.#field.focus();
  }

  close() {
    this.#place = null;
    this.node.hidden = true;
    for (const name of ["aria-controls", "aria-activedescendant"]) this.#field.removeAttribute(name);
  }

  /** Take a key press that is the list's; whether it was. */
  key(event) {
    const withOthers = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
    if (!this.#place || event.isComposing || withOthers) return false;
    const act = this.#acts()[event.key];
    if (!act) return false;
    event.preventDefault();
    act();
    return true;
  }

  // While nothing fits, Enter does nothing: what was meant for the list must not go to the user.
  #acts() {
    const fits = this.#found.length > 0;
    const choose = () => this.#choose(this.#found[this.#active]);
    return {
      Escape: () => this.#dismiss(),
      Enter: fits ? choose : () => {},
      ...(fits && { Tab: choose, ArrowDown: () => this.#step(1), ArrowUp: () => this.#step(-1) }),
    };
  }

  #dismiss() {
    this.#dismissed = true;
    this.close();
  }

  #open(asked, place) {
    this.#place = place;
    this.#found = fitting(this.#replies(), asked);
    this.node.replaceChildren(...(this.#found.length ? this.#listParts() : noneParts(asked)));
    this.node.hidden = false;
    this.#field.setAttribute("aria-controls", LIST);
    this.#activate(0);
  }

  #listParts() {
    const options = this.#found.map((reply, n) => this.#option(reply, n));
    const count = options.length === 1 ? "1 saved reply" : `${options.length} saved replies`;
    return [
      make("ul", { id: LIST, role: "listbox", "aria-label": "Saved replies" }, ...options),
      make("p", { class: "unseen", role: "status" }, count),
    ];
  }

  #option(reply, n) {
    return make(
      "li",
      {
        id: `${LIST}-${n}`,
        role: "option",
        class: "saved-reply",
        onclick: () => this.#choose(reply),
        onmousemove: () => this.#active === n || this.#activate(n),
      },
      make("strong", { dir: "auto" }, reply.name),
      unseen(": "),
      make("span", { class: "saved-text", dir: "auto" }, reply.text),
    );
  }

  #activate(n) {
    this.#active = n;
    const options = [...this.node.querySelectorAll("[role=option]")];
    for (const [at, option] of options.entries()) option.setAttribute("aria-selected", String(at === n));
    if (!options[n]) return this.#field.removeAttribute("aria-activedescendant");
    options[n].scrollIntoView({ block: "nearest" });
    this.#field.setAttribute("aria-activedescendant", options[n].id);
  }

  #step(by) {
    this.#activate((this.#active + by + this.#found.length) % this.#found.length);
  }

  #choose({ text }) {
    const { from, to } = this.#place;
    this.#dismiss(); // also if the text itself begins with "/"
    this.#field.setRangeText(text, from, to, "end");
    this.#field.dispatchEvent(new Event("input"));
    this.#field.focus();
  }
}

/** Those that have every word in their name or text; where the name fits better first. */
function fitting(replies, asked) {
  const sought = asked.trim().toLowerCase();
  const words = sought.split(/\s+/u);
  const has = ({ name, text }) => words.every((word) => `${name}\n${text}`.toLowerCase().includes(word));
  const rank = ({ name }) => RANKS.findIndex((fits) => fits(name.toLowerCase(), sought));
  return replies.filter(has).sort((a, b) => rank(a) - rank(b));
}

const RANKS = [(name, sought) => name.startsWith(sought), (name, sought) => name.includes(sought), () => true];

function noneParts(asked) {
  return [
    make(
      "p",
      { id: LIST, class: "saved-none", role: "status" },
      "No saved reply has “",
      make("bdi", {}, asked.trim()),
      "” in it. To send it as it is, press ",
      make("kbd", {}, "Esc"),
      " first.",
    ),
  ];
}
