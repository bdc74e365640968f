// Where the agent writes, with files and saved replies.

import { growing, icon, make, sends } from "./page-dom.js";
import { Typing } from "./page-typing.js";
import { chosenFiles, refusal } from "./page-upload.js";
import * as api from "./console-api.js";
import { Chips } from "./console-chips.js";
import { MOST_FILES } from "./console-files.js";
import { announce } from "./console-notices.js";
import { SavedList } from "./console-saved.js";
import { NO_FOLDERS, NO_PUBLIC_URL, leftOut, notSent, some, userOf } from "./console-words.js";

/** The field, its buttons and what goes along, for one chat; `say` gets the chat's id, the text and the files. */
export class Composer {
  #desk;
  #chat;
  #files;
  #say;
  #typing;
  #field;
  #chooser;
  #attach;
  #savedButton;
  #saved;
  #chips;
  #hint = make("p", { id: "reply-hint", class: "composer-hint" });
  #problem = make("p", { class: "problem composer-problem", role: "alert" });

  constructor(desk, chat, files, { say }, draft = "") {
    this.#desk = desk;
    this.#chat = chat;
    this.#files = files;
    this.#say = say;
    this.#typing = new Typing((now) => api.typing(chat.id, now));
    this.#field = this.#makeField(draft);
    this.#chooser = make("input", { type: "file", multiple: true, hidden: true, onchange: () => this.#chosen() });
    this.#attach = this.#makeAttach();
    this.#attach.hidden = !desk.takesFiles;
    this.#savedButton = toolOf("saved", "Saved replies", "Saved replies (/)", () => this.#saved.toggle());
    this.#savedButton.setAttribute("aria-haspopup", "listbox");
    this.#saved = new SavedList(this.#field, () => desk.savedReplies);
    this.#chips = new Chips(files, { again: (file) => this.#again(file), remove: (file) => this.#remove(file) });
    this.node = make(
      "form",
      { class: "composer", onsubmit: (event) => this.#submit(event), onfocusout: (event) => this.#left(event) },
      this.#saved.node,
      this.#chips.node,
      this.#problem,
      this.#attach,
      this.#chooser,
      this.#savedButton,
      this.#field,
      make("button", { class: "primary send", "aria-label": "Send", title: "Send (Enter)" }, icon("send")),
      this.#hint,
    );
    this.render();
  }

  render() {
    this.#chips.render(this.#files.of(this.#chat.id));
    this.#renderSaved(this.#desk.savedReplies.length > 0);
  }

  // Nothing of it is there where there are none.
  #renderSaved(there) {
    if (this.#savedButton.hidden === !there && this.#hint.textContent) return;
    this.#savedButton.hidden = !there;
    this.#field.setAttribute("aria-autocomplete", there ? "list" : "none");
    this.#hint.textContent = `Enter sends, Shift+Enter begins a new line${there ? ", / finds a saved reply" : ""}`;
  }

  focus() {
    this.#field.focus();
  }

  /** Let the agent choose files, or say why they cannot. */
  attach() {
    if (this.#desk.takesFiles) this.#attach.click();
  }

  pause() {
    this.#typing.stop();
  }

  /** Stop, and give back what was not sent. */
  close() {
    this.#typing.stop();
    return this.#field.value;
  }

  /** Whether files may be dropped and pasted. */
  get takesFiles() {
    return this.#desk.takesFiles && this.#chat.takes_files;
  }

  /** Add files to what is being written; `folders` says whether there were some, too. */
  give({ files, folders = false }) {
    if (!this.#desk.takesFiles) return;
    if (!this.takesFiles) return this.#tell(NO_PUBLIC_URL);
    const before = this.#files.of(this.#chat.id).length;
    const problems = files.slice(0, MOST_FILES - before).map((file) => this.#give(file));
    const tooMany = files.length + before - MOST_FILES;
    if (tooMany > 0) problems.push(leftOut(tooMany, MOST_FILES));
    if (folders) problems.push(NO_FOLDERS);
    this.#tell(problems.filter(Boolean).join(" "));
    const added = this.#files.of(this.#chat.id).length - before;
    if (added > 0) announce(`${some(added, "file")} attached.`);
    this.focus();
  }

  #give(file) {
    const why = refusal(file, this.#desk.largestFile);
    if (why) return notSent(file.name, why);
    this.#files.add(this.#chat.id, file);
    return null;
  }

  #again(file) {
    this.#files.again(this.#chat.id, file);
    this.#tell("");
    this.focus();
  }

  #remove(file) {
    this.#files.remove(this.#chat.id, file);
    this.#tell("");
    this.focus();
  }

  #tell(problem) {
    this.#problem.textContent = problem;
  }

  #makeField(draft) {
    const field = make("textarea", {
      id: "reply",
      rows: "1",
      dir: "auto",
      "aria-label": `Reply to ${userOf(this.#chat)}`,
      placeholder: "Write a reply",
      enterkeyhint: "send",
      "aria-describedby": "reply-hint",
      oninput: () => this.#changed(),
      onkeydown: (event) => this.#key(event),
    });
    field.value = draft;
    growing(field);
    return field;
  }

  // One that cannot be used says why, to whoever points at it, comes to it by the keyboard or presses it.
  #makeAttach() {
    if (this.takesFiles) return toolOf("clip", "Attach files", "Attach files (Alt+A)", () => this.#chooser.click());
    const button = toolOf("clip", `Attach files: ${NO_PUBLIC_URL}`, NO_PUBLIC_URL, () => this.#tell(NO_PUBLIC_URL));
    button.setAttribute("aria-disabled", "true");
    return button;
  }

  #chosen() {
    this.give({ files: chosenFiles(this.#chooser) });
  }

  #changed() {
    this.#typing.changed(this.#field.value);
    this.#saved.changed();
  }

  #key(event) {
    if (this.#saved.key(event)) return;
    if (sends(event)) this.#submit(event);
  }

  #left({ relatedTarget }) {
    if (!this.node.contains(relatedTarget)) this.#saved.close();
  }

  #submit(event) {
    event.preventDefault();
    const text = this.#field.value;
    const files = this.#files.of(this.#chat.id);
    const failed = files.find(({ state }) => state === "failed");
    if (failed) return this.#tell(notSent(failed.name, "try again, or remove it"));
    this.#tell("");
    if (text.trim() === "" && files.length === 0) return this.#field.focus();
    this.#field.value = "";
    this.#field.dispatchEvent(new Event("input"));
    this.#typing.stop();
    this.#say(this.#chat.id, text.trim() === "" ? "" : text, this.#files.take(this.#chat.id));
    this.#field.focus();
  }
}

function toolOf(symbol, label, title, onclick) {
  // The field keeps the focus, and with it the cursor.
  const stay = (event) => event.preventDefault();
  const all = { type: "button", class: "quiet composer-tool", "aria-label": label, title, onclick, onmousedown: stay };
  return make("button", all, icon(symbol));
}
