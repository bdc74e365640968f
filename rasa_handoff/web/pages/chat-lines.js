// The lines of the conversation.

import { icon, make, richText, unseen } from "./page-dom.js";
import { attachmentOf, picture } from "./page-media.js";
import { timeOf } from "./page-time.js";

/** Build a line's node; what may change later is left to `updateLine`. */
export function buildLine(line) {
  if (isNotice(line)) return make("p", { class: "notice", dir: "auto" }, line.text);
  return make(
    "div",
    { class: `message by-${line.who === "system" ? "bot" : line.who}` },
    make("span", { class: "message-name", dir: "auto" }, nameOf(line), unseen(": ")),
    bubble(line),
    make("div", { class: "choices-row", role: "group", "aria-label": "Answers to choose from" }),
    make("span", { class: "message-state" }),
  );
}

/** Bring a line's node up to date. */
export function updateLine(node, { line, follows, choosable }, conversation) {
  if (isNotice(line)) return;
  node.classList.toggle("follows", follows);
  node.classList.toggle("mine", line.who === "user");
  once(node.querySelector(".choices-row"), choosable, (row) =>
    fillChoices(row, choosable ? line.buttons : [], conversation),
  );
  once(node.querySelector(".message-state"), line.state ?? "", (place) => fillState(place, line, conversation));
}

function isNotice({ who, image, buttons }) {
  return who === "system" && !image && !buttons?.length;
}

// Only what changed is touched: a log is read aloud.
function once(node, shown, fill) {
  if (node.shown === shown) return;
  node.shown = shown;
  fill(node);
}

function nameOf({ who, name }) {
  if (who === "user") return "You";
  return who === "agent" ? name || "Agent" : "Assistant";
}

function bubble({ text, image, attachment, attachments }) {
  const parts = [
    text ? make("p", { class: "message-text", dir: "auto" }, ...richText(text)) : null,
    image ? imageOf(image) : null,
    attachment ? botAttachment(attachment) : null,
    ...(attachments ?? []).map(attachmentOf),
  ].filter(Boolean);
  return make("div", { class: "bubble", hidden: parts.length === 0 }, ...parts);
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

function fillChoices(row, buttons, conversation) {
  row.hidden = buttons.length === 0;
  row.replaceChildren(
    ...buttons.map(({ title, payload }) =>
      make(
        "button",
        { type: "button", class: "chip", dir: "auto", onclick: () => conversation.say(title, payload ?? title) },
        title,
      ),
    ),
  );
}

function fillState(place, line, conversation) {
  const { state } = line;
  place.dataset.state = state ?? "";
  const parts = [timeOf(line.at)];
  if (state === "sending") parts.push(icon("clock"), unseen("Sending"));
  if (state === "sent") parts.push(icon("sent"), unseen("Sent"));
  if (state === "failed")
    parts.push(
      icon("failed"),
      problem("Not sent"),
      act("Try again", () => conversation.again()),
    );
  if (state === "refused") parts.push(icon("failed"), problem(`Not accepted: ${line.problem}`));
  if (state === "failed" || state === "refused") parts.push(act("Discard", () => conversation.discard(line.id)));
  place.replaceChildren(...parts);
}

function problem(text) {
  return make("span", { role: "alert", class: "state-text" }, text);
}

function act(label, onclick) {
  return make("button", { type: "button", class: "inline", onclick }, label);
}
