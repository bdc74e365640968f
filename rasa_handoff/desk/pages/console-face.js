// A round sign for a person: their letters on a colour that stays theirs.

import { icon, make } from "./page-dom.js";
import { initials } from "./page-face.js";
import { isGuest } from "./console-words.js";

const TINTS = 6;

/** The sign of a chat's user; decoration, the name stands beside it. */
export function faceOf(chat) {
  if (chat.callback) return make("span", { class: `face tint-${tintOf(chat)}`, "aria-hidden": "true" }, icon("phone"));
  const letters = /\p{L}/u.test(chat.user) && !isGuest(chat) ? initials(chat.user) : String(chat.user_number % 1000);
  return make("span", { class: `face tint-${tintOf(chat)}`, "aria-hidden": "true" }, letters);
}

// A guest's name is made up; the number of their first chat keeps neighbours apart.
function tintOf(chat) {
  if (isGuest(chat)) return chat.user_number % TINTS;
  return [...chat.user].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 997, 7) % TINTS;
}
