// A request to call back: nobody is in the chat, so there is nothing to write; here is how to reach them instead.

import { icon, make } from "./page-dom.js";
import { elapsedSince } from "./page-time.js";

const NUMBER = /^\+?[\d\s()./-]{5,}$/u;
const MAIL = /^[^\s@]+@[^\s@]+\.[^\s@]+$/u;

/** Each detail of how to reach the user, as a list; numbers and addresses can be pressed. */
export function contactOf(chat) {
  const rows = Object.entries(chat.callback).map(([name, value]) =>
    make(
      "div",
      {},
      make("dt", { dir: "auto" }, name.replaceAll("_", " ")),
      make("dd", { dir: "auto" }, reachable(value)),
    ),
  );
  return make("dl", { class: "facts contact", "aria-label": "How to reach the user" }, ...rows);
}

/** The same in a line, without the name. */
export function contactLine(chat) {
  const details = Object.entries(chat.callback).filter(([name]) => name !== "name");
  return details.map(([, value]) => value).join(" · ");
}

/** What stands where an agent writes otherwise. */
export const CALL_FEET = {
  waiting: (chat, { accept }) =>
    foot(
      chat,
      make("p", {}, "Asked to be called ", elapsedSince(chat.opened_at), " ago"),
      make("button", { id: "accept", type: "button", class: "primary", onclick: accept }, icon("phone"), "Take it"),
    ),

  write: (chat, { end }) =>
    foot(
      chat,
      make("p", { class: "soft" }, "Nobody is in this chat. Call, then note what came of it."),
      make("button", { type: "button", class: "primary", onclick: end, "aria-haspopup": "dialog" }, "Done"),
    ),

  read: (chat, { accept }, agent) => {
    const away = agent?.presence === "away";
    const name = make("strong", { dir: "auto" }, chat.agent?.name ?? "Another agent");
    const takeOver = make("button", { id: "accept", type: "button", class: "primary", onclick: accept }, "Take over");
    const what = away ? " wanted to call, but is away." : " calls this user.";
    return foot(chat, make("p", {}, name, what), away && accept ? takeOver : null);
  },
};

function foot(chat, text, button) {
  return make(
    "section",
    { class: "foot-bar is-callback", "aria-label": "Call back" },
    make("div", { class: "foot-contact" }, contactOf(chat), text),
    button,
  );
}

function reachable(value) {
  if (NUMBER.test(value)) return make("a", { href: `tel:${value.replaceAll(/[^\d+]/gu, "")}` }, value);
  if (MAIL.test(value)) return make("a", { href: `mailto:${encodeURIComponent(value).replace("%40", "@")}` }, value);
  return value;
}
