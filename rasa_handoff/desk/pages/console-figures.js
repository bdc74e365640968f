// What the handoffs of the last day came to, in a dialog.

import { FormDialog } from "./console-dialogs.js";
import { make } from "./page-dom.js";
import { duration } from "./page-time.js";

/** Asks for the figures each time it is opened. */
export class FiguresDialog extends FormDialog {
  #ask;
  #list = document.querySelector("#figures-list");
  #note = document.querySelector("#figures-note");

  /** `ask` gives a promise of `{figures}`. */
  constructor(ask) {
    super("#figures-dialog");
    this.#ask = ask;
  }

  async open() {
    this.#show([], "Counting…");
    this.ask(null);
    try {
      const { figures } = await this.#ask();
      this.#show(figures.handoffs ? rows(figures) : [], figures.handoffs ? "" : "Nobody asked for an agent.");
    } catch (error) {
      this.#show([], "");
      this.problem.textContent = error.message;
    }
  }

  #show(rows, note) {
    this.#list.replaceChildren(...rows);
    this.#note.textContent = note;
    this.#note.hidden = note === "";
  }
}

function rows(figures) {
  const { handoffs, wait, first_reply: reply, duration: length, ratings } = figures;
  const parts = [
    ["Accepted", figures.taken],
    ["Given up before", figures.abandoned],
    ["Nobody was there", figures.refused],
    ["Waiting", figures.waiting],
  ];
  return [
    row("Asked for an agent", String(handoffs)),
    ...parts.map(([name, count]) => row(name, String(count), share(count, handoffs))),
    row("Came again", String(figures.again), "within a day"),
    row("Wait", ...spread(wait)),
    row("First reply", ...spread(reply)),
    row("Whole chat", ...spread(length)),
    ...(ratings.count ? [row("Rating", `${ratings.average.toFixed(1)} of 5`, `from ${ratings.count}`)] : []),
  ];
}

function row(name, value, more = "") {
  const shown = [make("strong", {}, value), ...(more ? [make("span", { class: "soft" }, more)] : [])];
  return make("div", {}, make("dt", {}, name), make("dd", {}, ...shown));
}

function share(count, all) {
  return count ? `${Math.round((100 * count) / all)} %` : "";
}

// The middle, and what nine in ten did not exceed.
function spread(seconds) {
  if (!seconds) return ["–"];
  return [duration(Math.round(seconds.median)), `9 in 10 within ${duration(Math.round(seconds.p90))}`];
}
