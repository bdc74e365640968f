// Puts messages in the order they are shown: by day, and each author's together.

import { dayName, dayOf } from "./page-time.js";

const TOGETHER = 180;

/**
 * Messages with a line between days: `{key, day}` or `{key, message, follows}`.
 * `follows` is true for a message right after its author's last, which needs no name.
 */
export function withDays(messages) {
  const lines = [];
  let before = null;
  for (const message of messages) {
    const newDay = !before || dayOf(before.at) !== dayOf(message.at);
    if (newDay) lines.push({ key: `day ${dayOf(message.at)} ${message.id}`, day: dayName(message.at) });
    lines.push({ key: message.id, message, follows: !newDay && together(before, message) });
    before = message;
  }
  return lines;
}

function together(before, message) {
  return before.who === message.who && before.name === message.name && message.at - before.at < TOGETHER;
}
