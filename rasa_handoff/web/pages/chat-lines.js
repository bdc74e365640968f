// The lines of the conversation.

import { isGoing } from "./chat-conversation.js";
import { buildFile, updateFile } from "./chat-files.js";
import { icon, link, make, richText, unseen } from "./page-dom.js";
import { attachmentOf, picture } from "./page-media.js";
import { timeOf } from "./page-time.js";

/** Build a line's node; what may change later is left to `updateLine`. */
export function buildLine(line, conversation) {
  if (isNotice(line)) return make("p", { class: "notice", dir: "auto" }, line.text);
  return make(
    "div",
    { class: `message by-${line.who === "system" ? "bot" : line.who}` },
    make("span", { class: "message-name", dir: "auto" }, nameOf(line), unseen(": ")),
    bubble(line, conversation),
    choices(),
    make("span", { class: "message-state" }),
  );
}

/** Bring a line's node up to date. */
export function updateLine(node, { line, follows, choosable, read }, conversation) {
  if (isNotice(line)) return;
  node.classList.toggle("follows", follows);
  node.classList.toggle("mine", line.who === "user");
  const offered = [...(line.cards ?? []).map(({ buttons }) => buttons), line.buttons]; // in the order of their places
  for (const [n, place] of node.querySelectorAll(".choices-row").entries()) {
    once(place, choosable, (row) => fillChoices(row, offered[n] ?? [], choosable, conversation));
  }
  if (line.file) showProgress(node, line, conversation);
  const state = read ? "read" : isGoing(line) ? "uploading" : (line.state ?? "");
  once(node.querySelector(".message-state"), state, (place) => fillState(place, line, state, conversation));
}

/** Show how far a line's file has come. */
export function showProgress(node, line, conversation) {
  updateFile(node.querySelector(".file"), line, conversation.upload(line.id).share);
}

function isNotice({ who, image, buttons, cards }) {
  return who === "system" && !image && !buttons?.length && !cards?.length;
}

// Only what changed is touched: a log is read aloud.
function once(node, shown, fill) {
  if (node.shown === shown) return;
  node.shown = shown;
  fill(node);
}

function nameOf({ who, name }) {
  if (who === "user") return "You";
  return who === "agent" ? name || "A person" : "Assistant";
}

function bubble(line, conversation) {
  const { text, image, attachment, attachments, cards, file } = line;
  const parts = [
    file ? buildFile(line, conversation.upload(line.id).picture) : null,
    text ? make("p", { class: "message-text", dir: "auto" }, ...richText(text)) : null,
    image && !attachments?.some(({ url }) => url === image) ? imageOf(image) : null,
    attachment ? botAttachment(attachment) : null,
    ...(attachments ?? []).map(attachmentOf),
    ...(cards ?? []).map(cardOf),
  ].filter(Boolean);
  return make("div", { class: "bubble", hidden: parts.length === 0 }, ...parts);
}

/** A card `{title?, text?, image?, url?, buttons?}`; its buttons are left to `updateLine`. */
function cardOf({ title, text, image, url }) {
  const heading = title || url;
  return make(
    "div",
    { class: "card", role: "group", "aria-label": heading },
    image ? imageOf(image) : null,
    heading ? make("p", { class: "card-title", dir: "auto" }, (url && link(url, heading)) || heading) : null,
    text ? make("p", { class: "message-text", dir: "auto" }, ...richText(text)) : null,
    choices(),
  );
}

function choices() {
  return make("div", { class: "choices-row", role: "group", "aria-label": "Answers to choose from" });
}

function imageOf(image) {
  if (/^data:image\//iu.test(image)) return picture(image, "Image");
  return attachmentOf({ url: image, kind: "image" });
}

// Rasa leaves open what an attachment is: an address, or an object as some channels use it.
function botAttachment(attachment) {
  if (typeof attachment === "string") return attachmentOf({ url: attachment, name: attachment });
  const { type, payload, url, name } = attachment;
  return attachmentOf({ url: payload?.src ?? payload?.url ?? url, kind: type ?? "file", name: payload?.title ?? name });
}

// Links can be followed at any time; answers only while they are what was offered last.
function fillChoices(row, buttons, choosable, conversation) {
  const shown = buttons.filter(({ url }) => url || choosable);
  row.hidden = shown.length === 0;
  row.replaceChildren(...shown.map((button) => choice(button, conversation)));
}

function choice({ title, payload, url }, conversation) {
  const anchor = url && link(url, title);
  if (anchor) anchor.classList.add("chip");
  const say = () => conversation.say(title, payload ?? title);
  return anchor || make("button", { type: "button", class: "chip", dir: "auto", onclick: say }, title);
}

function fillState(place, line, state, conversation) {
  place.dataset.state = state;
  const parts = [timeOf(line.at)];
  const discard = () => conversation.discard(line.id);
  if (state === "sending") parts.push(icon("clock"), unseen("Sending"));
  if (state === "uploading") parts.push(act("Cancel", discard));
  if (state === "sent") parts.push(icon("sent"), unseen("Sent"));
  if (state === "read") parts.push(make("span", { class: "state-text" }, "Read"));
  if (state === "failed")
    parts.push(
      icon("failed"),
      problem("Not sent"),
      act("Try again", () => conversation.again()),
    );
  if (state === "refused")
    parts.push(icon("failed"), problem(`${line.file ? "Not sent" : "Not accepted"}: ${line.problem}`));
  if (state === "failed" || state === "refused") parts.push(act("Discard", discard));
  place.replaceChildren(...parts);
}

function problem(text) {
  return make("span", { role: "alert", class: "state-text" }, text);
}

function act(label, onclick) {
  return make("button", { type: "button", class: "inline", onclick }, label);
}
