// The other chats of a user: what came of each, and the way to one and back.

import { addressOf } from "./console-address.js";
import { starOf } from "./console-rating.js";
import { endOf } from "./console-words.js";
import { icon, make } from "./page-dom.js";
import { dayName, timeOf } from "./page-time.js";

/** The list of them for the details of a chat; null while it is loaded. */
export function earlierOf(desk, chat) {
  const found = desk.talks.get(chat.id)?.earlier;
  if (!found) return null;
  const from = desk.cameFrom ?? chat.id;
  const others = found.map((each) => desk.chats.get(each.id) ?? each);
  const list = others.map((each) => make("li", {}, linkTo(each, each.id === from ? null : from)));
  return make(
    "section",
    {},
    make("h3", {}, "Other chats of this user"),
    list.length
      ? make("ul", { class: "earlier", "aria-label": "Other chats of this user" }, ...list)
      : make("p", { class: "soft" }, "This is their only one."),
  );
}

/** From such a chat back to the one that it was opened from; null where the agent came another way. */
export function wayBack(desk) {
  const { cameFrom, chat } = desk;
  if (!cameFrom || cameFrom === chat.id) return null;
  const before = desk.chats.get(cameFrom) ?? desk.talks.get(chat.id)?.earlier?.find(({ id }) => id === cameFrom);
  const label = before ? `Back to chat #${before.number}` : "Back to the chat before";
  return make(
    "nav",
    { class: "way-back", "aria-label": "Way back" },
    make("p", {}, "Another chat of the same user."),
    make("a", { class: "button", href: addressOf(cameFrom) }, icon("back"), label),
  );
}

function linkTo(chat, from) {
  const { rating, end } = chat;
  const when = make("strong", {}, dayName(chat.opened_at), ", ", timeOf(chat.opened_at));
  return make(
    "a",
    { class: "earlier-link", href: addressOf(chat.id, from) },
    make("span", { class: "earlier-top" }, when, rating ? starOf(rating) : null),
    make("span", { class: "soft" }, ...howItWent(chat)),
    end?.note ? make("span", { class: "earlier-note", dir: "auto" }, end.note) : null,
  );
}

function howItWent({ state, agent, end }) {
  const what = { waiting: "Waiting", open: "Open" }[state] ?? endOf(end?.reason ?? "other");
  return agent ? [what, ", with ", make("bdi", {}, agent.name)] : [what];
}
