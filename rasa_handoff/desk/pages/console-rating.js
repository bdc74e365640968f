// How content a user was, as stars.

import { make } from "./page-dom.js";

const MOST = 5;

/** A row of stars; a screen reader hears "4 of 5 stars". */
export function starsOf({ stars }) {
  const missing = make("span", { class: "stars-missing" }, "★".repeat(MOST - stars));
  return make("span", { class: "stars", ...spoken(stars) }, "★".repeat(stars), missing);
}

/** The same where there is little room: "★ 4". */
export function starOf({ stars }) {
  return make("span", { class: "stars", ...spoken(stars) }, `★ ${stars}`);
}

/** All that the user said, for the details of a chat. */
export function ratingOf({ stars, resolved }) {
  const settled = resolved ? "Their question was settled." : "Their question was not settled.";
  return make(
    "section",
    { class: "rating" },
    make("h3", {}, "The user's rating"),
    make("p", {}, starsOf({ stars })),
    resolved === null ? null : make("p", { class: "soft" }, settled),
  );
}

function spoken(stars) {
  return { role: "img", "aria-label": `${stars} of ${MOST} stars` };
}
