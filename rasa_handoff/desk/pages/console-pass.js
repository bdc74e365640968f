// The dialog that hands a chat over: to a colleague, or to a queue.

import { FormDialog } from "./console-dialogs.js";
import { some } from "./console-words.js";
import { make } from "./page-dom.js";
import { initials } from "./page-face.js";

const ALL = "All groups";

/** Asks where a chat goes. */
export class PassDialog extends FormDialog {
  #choices = document.querySelector("#pass-choices");
  #nobody = document.querySelector("#pass-nobody");

  constructor() {
    super("#pass-dialog");
  }

  /** `pass` gets `{agent_id}`, null for the queue, and `group` where that is another group's. */
  open(desk, pass) {
    const others = [...desk.agents.values()].filter((agent) => agent.id !== desk.me.id);
    others.sort((a, b) =>
      a.presence === b.presence ? a.name.localeCompare(b.name) : a.presence === "online" ? -1 : 1,
    );
    const queues = queuesOf(desk).map((queue, n) => queueChoice(queue, n === 0));
    this.#choices.replaceChildren(...queues, ...agentChoices(others, desk.groups.length > 0));
    this.#nobody.textContent = whyNobody(others);
    this.#nobody.hidden = this.#nobody.textContent === "";
    this.ask(() => pass(JSON.parse(this.form.elements.to.value)));
  }
}

// Why nobody of the team can be chosen; empty when somebody can.
function whyNobody(others) {
  if (others.length === 0) return "You are the only agent at this desk. Whoever runs the bot can add colleagues.";
  const away = others.every(({ presence }) => presence !== "online");
  return away ? "None of your colleagues is online. The chat goes to whoever comes online first and accepts it." : "";
}

// The chat's own queue first, then those of the groups.
function queuesOf(desk) {
  const own = desk.chat.group;
  const others = desk.groups.filter((group) => group !== own);
  const queue = (group, to) => ({
    name: group ? `Back to the queue of ${group}` : "Back to the queue",
    who: whoAccepts(desk, group),
    to,
  });
  return [queue(own, { agent_id: null }), ...others.map((group) => queue(group, { agent_id: null, group }))];
}

function whoAccepts(desk, group) {
  if (!group) return "For whoever accepts it next";
  const others = [...desk.agents.values()].filter((agent) => agent.id !== desk.me.id && takes(agent, group));
  const there = others.filter(({ presence }) => presence === "online");
  return there.length ? `${some(there.length, "colleague")} online` : "No colleague who takes it is online";
}

function takes({ groups }, group) {
  return groups.length === 0 || groups.includes(group);
}

function queueChoice({ name, who, to }, checked) {
  return make(
    "label",
    { class: "choice" },
    make("input", { type: "radio", name: "to", value: JSON.stringify(to), checked }),
    make("span", {}, make("strong", { dir: "auto" }, name), make("span", { class: "soft" }, who)),
  );
}

// The agents, those of the same groups together where there are groups.
function agentChoices(agents, grouped) {
  if (!grouped) return agents.map(agentChoice);
  const titles = [...new Set(agents.map(titleOf))].sort((a, b) => (a === ALL) - (b === ALL) || a.localeCompare(b));
  return titles.map((title) => {
    const members = agents.filter((agent) => titleOf(agent) === title);
    const heading = make("p", { class: "choice-title", "aria-hidden": "true", dir: "auto" }, title);
    return make("div", { role: "group", "aria-label": title }, heading, ...members.map(agentChoice));
  });
}

function titleOf({ groups }) {
  return groups.join(", ") || ALL;
}

function agentChoice({ id, name, presence, chats }) {
  const away = presence !== "online";
  return make(
    "label",
    { class: "choice" },
    make("input", { type: "radio", name: "to", value: JSON.stringify({ agent_id: id }), disabled: away }),
    make("span", { class: "face small", "aria-hidden": "true" }, initials(name)),
    make(
      "span",
      {},
      make("strong", { dir: "auto" }, name),
      make("span", { class: "soft" }, away ? "Away" : `Online · ${some(chats, "open chat")}`),
    ),
  );
}
