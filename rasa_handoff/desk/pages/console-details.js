// The right column: what is known about the user, and how the chat went.

import { icon, make, richText } from "./page-dom.js";
import { elapsedSince, timeOf } from "./page-time.js";
import { contactOf } from "./console-callback.js";
import { earlierOf } from "./console-earlier.js";
import { ratingOf } from "./console-rating.js";
import { channelOf, connectionOf, endOf, endedBy } from "./console-words.js";

const pane = document.querySelector("#details");
const wide = matchMedia("(min-width: 74rem)");

/** Shows the selected chat's details: always on a wide screen, over the chat on a smaller one. */
export class Details {
  #desk;
  #asked = false;

  constructor(desk) {
    this.#desk = desk;
    wide.addEventListener("change", () => this.render());
    pane.addEventListener("click", (event) => event.target.closest(".earlier-link") && (this.#asked = false));
    pane.addEventListener("keydown", (event) => event.key === "Escape" && this.hide());
  }

  render() {
    const { chat } = this.#desk;
    if (!chat) this.#asked = false;
    pane.hidden = !chat || !(wide.matches || this.#asked);
    document.querySelector("#show-details")?.setAttribute("aria-expanded", String(!pane.hidden));
    if (chat) this.#renderChat(chat);
  }

  #renderChat(chat) {
    const { parameters = {}, earlier } = this.#desk.talks.get(chat.id) ?? {};
    const others = earlier?.map((each) => this.#desk.chats.get(each.id) ?? each);
    const { id, state, agent, group, user_connected, accepted_at, end, rating } = chat;
    const known = [id, state, agent, group, user_connected, accepted_at, end, rating, parameters];
    const shown = JSON.stringify([...known, others, this.#desk.cameFrom]);
    if (pane.shown === shown) return;
    pane.shown = shown;
    const within = pane.contains(document.activeElement);
    pane.replaceChildren(...this.#parts(chat, parameters));
    if (within) pane.querySelector("h2").focus();
  }

  toggle() {
    if (wide.matches) return pane.querySelector("h2")?.focus();
    if (this.#asked) return this.hide();
    this.#asked = true;
    this.render();
    pane.querySelector("h2").focus();
  }

  hide() {
    if (!this.#asked || wide.matches) return;
    this.#asked = false;
    this.render();
    document.querySelector("#show-details")?.focus();
  }

  #parts(chat, parameters) {
    return [
      make(
        "header",
        { class: "details-head" },
        make("h2", { tabindex: "-1" }, "About this chat"),
        make(
          "button",
          {
            type: "button",
            class: "quiet icon-only not-wide",
            "aria-label": "Close the details",
            onclick: () => this.hide(),
          },
          icon("close"),
        ),
      ),
      chat.end ? endCard(chat) : null,
      chat.rating ? ratingOf(chat.rating) : null,
      chat.callback && chat.end ? make("section", {}, make("h3", {}, "How to reach the user"), contactOf(chat)) : null,
      facts("Chat", chatFacts(chat)),
      parametersOf(parameters),
      earlierOf(this.#desk, chat),
    ].filter(Boolean);
  }
}

function chatFacts(chat) {
  return [
    ["User", make("bdi", { class: "mono" }, chat.user)],
    ["Chat", `#${chat.number}`],
    ["Channel", channelOf(chat.channel)],
    chat.state !== "closed" && !chat.callback && ["Connection", connectionOf(chat)],
    ["Agent", make("bdi", {}, chat.agent?.name ?? "Nobody yet")],
    chat.group && ["Group", make("bdi", {}, chat.group)],
    chat.priority && ["Priority", make("bdi", {}, chat.priority)],
    [chat.callback ? "Asked for a call" : "Asked for a person", timeOf(chat.opened_at)],
    [
      chat.accepted_at ? "Waited" : "Waiting",
      elapsedSince(chat.opened_at, { until: chat.accepted_at ?? chat.closed_at }),
    ],
    chat.accepted_at &&
      !chat.callback && [
        chat.closed_at ? "Talked for" : "Talking for",
        elapsedSince(chat.accepted_at, { until: chat.closed_at }),
      ],
  ].filter(Boolean);
}

function endCard(chat) {
  const { note, tags, reason } = chat.end;
  return make(
    "section",
    { class: "end-card" },
    make("h3", {}, endOf(reason)),
    make(
      "p",
      { class: "soft" },
      "Ended by ",
      make("bdi", {}, endedBy(chat)),
      chat.closed_at ? ", " : "",
      chat.closed_at ? timeOf(chat.closed_at) : null,
    ),
    note ? make("p", { class: "note", dir: "auto" }, ...richText(note)) : null,
    tags?.length
      ? make(
          "ul",
          { class: "tags", "aria-label": "Tags" },
          ...tags.map((tag) => make("li", { class: "tag", dir: "auto" }, tag)),
        )
      : null,
  );
}

function parametersOf(parameters) {
  const known = Object.entries(parameters).filter(([, value]) => value !== null && value !== "");
  if (known.length === 0)
    return make(
      "section",
      {},
      make("h3", {}, "What the bot knows"),
      make("p", { class: "soft" }, "The bot learned nothing about the user."),
    );
  return facts(
    "What the bot knows",
    known.map(([name, value]) => [name.replaceAll("_", " "), parameterOf(value)]),
  );
}

function parameterOf(value) {
  if (typeof value === "boolean") return value ? "Yes" : "No";
  if (typeof value === "object") return make("code", { class: "json", dir: "ltr" }, JSON.stringify(value, null, 2));
  return make("span", { dir: "auto" }, ...richText(String(value)));
}

function facts(title, pairs) {
  const rows = pairs.map(([term, value]) => make("div", {}, make("dt", { dir: "auto" }, term), make("dd", {}, value)));
  return make("section", {}, make("h3", {}, title), make("dl", { class: "facts" }, ...rows));
}
