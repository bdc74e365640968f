// The page of LivePerson's stand-in on which a person is the visitor: begins a chat, writes, and reads what comes.

import { growing, make, richText, sends, unseen } from "./page-dom.js";
import { Follow } from "./page-scroll.js";

const LOOK_EVERY = 700;
const SUGGESTIONS = ["What are your opening hours?", "I want to talk to an agent", "bye"];
const WHOM = {
  queue: { name: "In the queue", more: "The bot takes the chat in a moment" },
  bot: { name: "Bot", more: "An agent of the account" },
  person: { name: "Robin", more: "The bot has left the chat" },
};
const OVER = { name: "The chat is over", more: "Start another one whenever you like" };

const find = (selector) => document.querySelector(selector);
const field = find("#message");
const follow = new Follow(find("#scroll"), find("#more"));
let chat = null; //: its id
let next = 0; //: the number of the first event that is not shown yet

async function ask(method, path = "", body = undefined) {
  const answer = await fetch(`chats${path}`, { method, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json();
}

async function begin() {
  const { id } = await ask("POST");
  [chat, next] = [id, 0];
  find("#log").replaceChildren();
  for (const selector of ["#composer", "#leave", "#chips"]) find(selector).hidden = false;
  find("#welcome").hidden = true;
  field.focus();
  look();
}

async function look() {
  if (chat === null) return;
  try {
    show(await ask("GET", `/${chat}?from=${next}`));
  } catch {
    find("#whom-more").textContent = "The stand-in does not answer. Trying again…";
  }
  setTimeout(look, LOOK_EVERY);
}

function show(told) {
  next = told.next;
  const { name, more } = told.state === "ended" ? OVER : WHOM[told.with];
  write(find("#whom"), name);
  write(find("#whom-more"), told.typing ? "is typing…" : more);
  find("#log").append(...told.lines.map(line));
  if (told.lines.length) follow.grew();
  if (told.state === "ended") end();
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function line({ who, name, text }) {
  if (who === "system") return make("p", { class: "notice" }, text);
  const side = who === "visitor" ? "mine by-user" : name === "Bot" ? "by-bot" : "by-agent";
  const words = make("p", { class: "message-text", dir: "auto" }, ...richText(text));
  const by = make("span", { class: "message-name" }, who === "visitor" ? "You" : name, unseen(": "));
  return make("div", { class: `message ${side}` }, by, make("div", { class: "bubble" }, words));
}

function end() {
  chat = null;
  for (const selector of ["#composer", "#leave", "#chips"]) find(selector).hidden = true;
  find("#log").append(make("p", { class: "notice" }, make("button", { type: "button", class: "inline", onclick: begin }, "Start another chat")));
  follow.toEnd();
}

function say(text) {
  if (text.trim() === "" || chat === null) return;
  ask("POST", `/${chat}`, { text }).catch(() => (field.value ||= text));
}

function send(event) {
  event.preventDefault();
  const text = field.value;
  field.value = "";
  field.dispatchEvent(new Event("input"));
  say(text);
}

function suggestion(text) {
  return make("li", {}, make("button", { type: "button", class: "chip", onclick: () => say(text) }, text));
}

growing(field);
field.addEventListener("keydown", (event) => sends(event) && send(event));
find("#composer").addEventListener("submit", send);
find("#begin").addEventListener("click", begin);
find("#leave").addEventListener("click", () => ask("DELETE", `/${chat}`));
find("#chips").replaceChildren(...SUGGESTIONS.map(suggestion));
