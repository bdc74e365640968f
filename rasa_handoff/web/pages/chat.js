// The page a user chats on: shows the conversation and lets them speak.

import { Conversation, MOST_FILES } from "./chat-conversation.js";
import { buildLine, showProgress, updateLine } from "./chat-lines.js";
import { NO_FOLDERS, leftOut, whom } from "./chat-words.js";
import { growing, icon, make, reconcile, sends, webAddress } from "./page-dom.js";
import { withDays } from "./page-days.js";
import { initials } from "./page-face.js";
import { Follow } from "./page-scroll.js";
import { Typing } from "./page-typing.js";
import { chosenFiles, pastedFiles, takeDrops } from "./page-upload.js";

const SUGGESTIONS = ["Hello", "I want to talk to a person"]; // what any bot with this plugin has an answer to
const SHORTLY = 300;
const NOTE_LASTS = 8_000;

const conversation = new Conversation();
const field = find("#message");
const typing = new Typing((now) => conversation.tellTyping(now));
const follow = new Follow(find("#scroll"), find("#more"));
let unread = 0;
let waitedLong = false;
let waiting = null;
let noteEnds = null;

function find(selector) {
  return document.querySelector(selector);
}

// Showing

function render() {
  renderHead();
  renderBanner();
  renderLines();
  renderTyping();
  document.title = unread > 0 ? `(${unread}) Chat` : "Chat";
}

function renderHead() {
  const { state, withPeople } = conversation;
  const { kind, name, more } = whom(state);
  write(find("#whom"), name);
  write(find("#whom-more"), more);
  find("#leave").hidden = !withPeople;
  write(find("#leave"), state?.status === "queued" ? "Leave" : "End chat");
  renderFace(kind, kind === "person" ? state.agent : null, name);
}

function renderFace(kind, agent, name) {
  const face = find("#face");
  const picture = webAddress(agent?.avatar_url);
  const shown = `${kind} ${name} ${picture}`;
  if (face.shown === shown) return;
  face.shown = shown;
  face.classList.toggle("is-waiting", kind === "wait");
  if (!agent?.name) return face.replaceChildren(icon(kind === "bot" ? "bot" : "person"));
  if (!picture?.startsWith("https:")) return face.replaceChildren(initials(name));
  const image = make("img", {
    src: picture,
    alt: "",
    class: "face",
    onerror: () => face.replaceChildren(initials(name)),
  });
  face.replaceChildren(image);
}

function renderBanner() {
  const { connection, lost } = conversation;
  const text = lost
    ? "This conversation has ended and cannot be continued."
    : ({ reconnecting: "Reconnecting…", unreachable: "The chat cannot be reached. Trying again…" }[connection] ?? "");
  find("#composer").hidden = lost;
  find("#attach").hidden = !conversation.takesFiles;
  find("#banner").hidden = text === "";
  write(find("#banner-text"), text);
  const button = find("#banner-button");
  button.hidden = !lost;
  write(button, "Start a new one");
}

function renderLines() {
  const { lines } = conversation;
  find("#welcome").hidden = lines.length > 0;
  const shown = withDays(lines).map((entry, n, all) => asShown(entry, n === all.length - 1));
  const before = find("#log").childElementCount;
  reconcile(find("#log"), shown, {
    key: ({ key }) => key,
    build: ({ day, line }) => (day ? make("p", { class: "day" }, day) : buildLine(line, conversation)),
    update: (node, entry) => entry.line && updateLine(node, entry, conversation),
  });
  if (shown.length !== before) follow.grew(lines.at(-1)?.who === "user");
}

// Only what was offered last can still be chosen.
function asShown({ key, day, message, follows }, last) {
  if (day) return { key, day };
  const offers = [message, ...(message.cards ?? [])].some(({ buttons }) => buttons?.length);
  return { key, line: message, follows, choosable: last && offers, read: message.id === conversation.readThere };
}

function renderTyping() {
  const { typing: who, withPeople, state, busy } = conversation;
  const works = busy && !withPeople;
  waitShortly(works);
  const shown = who !== null || (works && waitedLong);
  const busyWith = state?.status === "requested" ? "Looking for a person…" : "The assistant is writing";
  const text = who === null ? busyWith : `${who || "Somebody"} is typing`;
  write(find("#typing-text"), shown ? text : "");
  if (find("#typing").hidden === !shown) return;
  find("#typing").hidden = !shown;
  follow.grew();
}

// An answer that comes at once needs no sign that it is on its way.
function waitShortly(works) {
  if (works === (waiting !== null)) return;
  clearTimeout(waiting);
  waitedLong = false;
  waiting = works ? setTimeout(hasWaited, SHORTLY) : null;
}

function hasWaited() {
  waitedLong = true;
  renderTyping();
}

// A live region speaks when it is written to, so only news is written.
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Speaking

function send(event) {
  event.preventDefault();
  const text = field.value;
  field.focus();
  if (text.trim() === "") return;
  field.value = "";
  field.dispatchEvent(new Event("input"));
  typing.stop();
  conversation.say(text);
}

function give(files, folders = false) {
  const tooMany = files.length && conversation.give(files);
  note([tooMany ? leftOut(tooMany, MOST_FILES) : "", folders ? NO_FOLDERS : ""].join(" ").trim());
  field.focus();
}

// What is to be said once, and is of no line.
function note(text) {
  clearTimeout(noteEnds);
  write(find("#note"), text);
  if (text) noteEnds = setTimeout(() => note(""), NOTE_LASTS);
}

function paste(event) {
  const files = takesFiles() ? pastedFiles(event) : [];
  if (files.length === 0) return;
  event.preventDefault();
  give(files);
}

function takesFiles() {
  return conversation.takesFiles && !find("dialog[open]");
}

function progressed(id) {
  const line = conversation.lines.find((each) => each.id === id);
  const node = find(`#log > [data-key="${CSS.escape(id)}"]`);
  if (line && node) showProgress(node, line, conversation);
}

function ask(dialog, then) {
  dialog.returnValue = "no";
  dialog.onclose = () => dialog.returnValue === "yes" && then();
  dialog.showModal();
}

async function leave() {
  try {
    await conversation.leave();
  } catch {
    find("#whom-more").textContent = "That did not work. Please try again.";
  }
  field.focus();
}

async function startOver() {
  unread = 0;
  field.value = "";
  await conversation.startOver();
  field.focus();
}

function suggestion(text) {
  const choose = () => {
    conversation.say(text);
    field.focus();
  };
  return make("li", {}, make("button", { type: "button", class: "chip", onclick: choose }, text));
}

growing(field);
field.addEventListener("input", () => typing.changed(field.value));
field.addEventListener("keydown", (event) => sends(event) && send(event));
find("#composer").addEventListener("submit", send);
find("#attach").addEventListener("click", () => find("#files").click());
find("#files").addEventListener("change", ({ target }) => give(chosenFiles(target)));
document.addEventListener("paste", paste);
takeDrops({ overlay: find("#drop"), takes: takesFiles, dropped: ({ files, folders }) => give(files, folders) });
addEventListener("beforeunload", (event) => conversation.isUploading && event.preventDefault());
// A button that goes away with what it has done leaves the focus to the field.
find("#log").addEventListener("click", ({ target }) => target.isConnected || field.focus());
find("#leave").addEventListener("click", () => ask(find("#leave-dialog"), leave));
find("#start-over").addEventListener("click", () => ask(find("#over-dialog"), startOver));
find("#banner-button").addEventListener("click", startOver);
find("#chips").replaceChildren(...SUGGESTIONS.map(suggestion));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) unread = 0;
  if (!document.hidden) conversation.tellRead();
  render();
});
conversation.addEventListener("line", ({ detail }) => {
  if (document.hidden && detail.who !== "user") unread += 1;
  if (!document.hidden) conversation.tellRead();
});
conversation.addEventListener("change", render);
conversation.addEventListener("progress", ({ detail }) => progressed(detail));
render();
conversation.begin();
