// The files of the next message, above its text: what they are, how far they have come, and why not.

import { icon, make, reconcile, unseen } from "./page-dom.js";
import { sizeInWords } from "./page-upload.js";

/** Shows the files of a chat; `again` and `remove` get the one that is meant. */
export class Chips {
  #files;
  #doing;
  node = make("ul", { class: "file-chips", "aria-label": "Files to send", hidden: true });

  constructor(files, doing) {
    this.#files = files;
    this.#doing = doing;
  }

  render(shown) {
    this.node.hidden = shown.length === 0;
    reconcile(this.node, shown, {
      key: (file) => file.id,
      build: (file) => this.#build(file),
      update: (node, file) => this.#update(node, file),
    });
  }

  #build(file) {
    const away = () => this.#doing.remove(file);
    return make(
      "li",
      { class: "file-chip" },
      thumbOf(this.#files.picture(file)),
      make(
        "span",
        { class: "file-words" },
        make("bdi", { class: "file-name", title: file.name }, file.name),
        make("span", { class: "file-state" }),
      ),
      make(
        "button",
        { type: "button", class: "quiet icon-only", "aria-label": `Remove ${file.name}`, onclick: away },
        icon("close"),
      ),
      progressOf(file, this.#files.share(file)),
    );
  }

  #update(node, file) {
    if (node.dataset.state === file.state) return;
    node.dataset.state = file.state;
    node.querySelector("progress").hidden = file.state !== "going";
    node.querySelector(".file-state").replaceChildren(...this.#stateParts(file));
  }

  #stateParts(file) {
    const again = () => this.#doing.again(file);
    if (file.state === "there") return [sizeInWords(file.size), unseen(", ready")];
    if (file.state === "going") return [sizeInWords(file.size)];
    return [
      make("span", { class: "problem", role: "alert" }, file.problem),
      " ",
      make("button", { type: "button", class: "inline", onclick: again }, "Try again", unseen(` to send ${file.name}`)),
    ];
  }
}

/** How far a file has come; who hears of it finds the bar by `data-file`. */
export function progressOf({ id, name }, share) {
  return make("progress", { max: "1", value: share, "data-file": id, "aria-label": `Sending ${name}` });
}

function thumbOf(src) {
  const place = make("span", { class: "file-thumb" });
  const symbol = () => place.replaceChildren(icon("file"));
  if (src) place.append(make("img", { src, alt: "", onerror: symbol }));
  else symbol();
  return place;
}
