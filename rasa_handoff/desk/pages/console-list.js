// The left column: who waits, who is being talked to, and who was; and the agent's own corner.

import { icon, make, reconcile, unseen } from "./page-dom.js";
import { elapsedSince, timeOf } from "./page-time.js";
import { initials } from "./page-face.js";
import { addressOf } from "./console-address.js";
import { contactLine } from "./console-callback.js";
import { faceOf } from "./console-face.js";
import { starOf } from "./console-rating.js";
import { channelOf, connectionClass, connectionOf, endOf, userOf } from "./console-words.js";

const LATE = 120;
const GROUPS = [
  { key: "waiting", title: "Waiting", empty: "Nobody is waiting" },
  { key: "callbacks", title: "To call back", empty: null },
  { key: "mine", title: "With you", empty: "You have no open chats" },
  { key: "others", title: "With others", empty: null },
  { key: "closed", title: "Recently closed", empty: null },
];
const groups = document.querySelector("#groups");

/** Show the desk's chats in their groups. */
export function renderList(desk) {
  if (!desk.loaded) return void groups.replaceChildren(...skeleton());
  groups.querySelector(".skeleton")?.parentElement.replaceChildren();
  const shown = GROUPS.map((group) => ({ ...group, chats: desk[group.key], empty: emptyOf(group, desk) }));
  reconcile(
    groups,
    shown.filter(({ chats, empty }) => chats.length > 0 || empty),
    {
      key: (group) => group.key,
      build: buildGroup,
      update: (node, group) => updateGroup(node, group, desk),
    },
  );
}

function emptyOf({ key, empty }, { me }) {
  return key === "waiting" && me.groups.length ? "Nobody is waiting for your groups" : empty;
}

/** Show who is signed in, and whether they take chats. */
export function renderMe(desk) {
  const { name, presence, groups } = desk.me;
  const online = presence === "online";
  document.querySelector("#my-face").textContent = initials(name);
  document.querySelector("#my-name").textContent = name;
  document.querySelector("#my-presence").textContent = online ? "Online" : "Away: no new chats for you";
  renderMyGroups(groups);
  document.querySelector("#presence").setAttribute("aria-checked", online);
}

function renderMyGroups(groups) {
  const place = document.querySelector("#my-groups");
  place.hidden = groups.length === 0;
  place.textContent = groups.length ? `Takes ${groups.join(", ")}` : "";
  place.title = place.textContent;
}

function skeleton() {
  return [1, 2, 3].map(() => make("div", { class: "skeleton", "aria-hidden": "true" }));
}

function buildGroup({ key, title }) {
  const heading = make("h2", { id: `group-${key}` }, title, " ", make("span", { class: "count" }));
  const items = make("ul", { "aria-labelledby": `group-${key}` });
  const empty = make("p", { class: "empty-group" });
  if (key !== "closed") return make("section", { class: "group" }, heading, items, empty);
  const summary = make("summary", {}, heading, icon("down"));
  return make("section", { class: "group" }, make("details", { open: true }, summary, items), empty);
}

function updateGroup(node, { key, chats, empty }, desk) {
  node.querySelector(".count").textContent = chats.length || "";
  node.querySelector(".empty-group").textContent = chats.length ? "" : empty;
  node.querySelector("ul").hidden = chats.length === 0;
  reconcile(node.querySelector("ul"), chats, {
    key: (chat) => chat.id,
    build: () => make("li", {}, make("a", { class: "chat-link" })),
    update: (item, chat) => updateItem(item.firstChild, chat, key, desk),
  });
}

// Rebuilt only when something it shows has changed: a list that is read aloud must not move under its reader.
function updateItem(node, chat, group, desk) {
  const unread = group === "waiting" || group === "mine" ? desk.unread(chat) : 0;
  const typing = desk.isTyping(chat.id);
  const shown = JSON.stringify([chat, unread, typing, group]);
  node.toggleAttribute("data-current", chat.id === desk.selected);
  if (chat.id === desk.selected) node.setAttribute("aria-current", "true");
  else node.removeAttribute("aria-current");
  if (node.shown === shown) return;
  node.shown = shown;
  node.href = addressOf(chat.id);
  node.dataset.unread = unread;
  node.replaceChildren(...itemParts(chat, { group, unread, typing }));
}

function itemParts(chat, { group, unread, typing }) {
  const name = make("strong", { class: "item-name", dir: "auto" }, userOf(chat));
  return [
    faceOf(chat),
    make("span", { class: "item-top" }, name, whenOf(chat, group)),
    make("span", { class: "item-bottom" }, lastOf(chat, typing), unread ? badge(unread) : null),
    make("span", { class: "item-tags" }, ...tagsOf(chat, group)),
  ];
}

function lastOf(chat, typing) {
  if (typing) return make("span", { class: "item-last is-typing" }, "typing…");
  const text = oneLine(chat.callback ? contactLine(chat) : chat.last_message);
  return make("span", { class: "item-last", dir: "auto" }, text || "No message yet");
}

function whenOf(chat, group) {
  if (group === "closed") return make("span", { class: "item-when" }, timeOf(chat.closed_at));
  if (group === "callbacks") return make("span", { class: "item-when" }, elapsedSince(chat.opened_at));
  if (group !== "waiting") return make("span", { class: "item-when" }, timeOf(chat.last_at ?? chat.opened_at));
  const waits = elapsedSince(chat.opened_at, { late: LATE });
  return make("span", { class: "item-when is-waiting" }, icon("clock"), unseen("waiting "), waits);
}

function tagsOf(chat, group) {
  const tags = [make("span", {}, channelOf(chat.channel))];
  if (chat.group) tags.push(make("span", { dir: "auto" }, chat.group));
  if (chat.priority) tags.push(priorityTag(chat));
  if (group === "others") tags.unshift(make("span", { dir: "auto" }, `with ${chat.agent?.name ?? "another agent"}`));
  if (chat.callback && group !== "callbacks") tags.unshift(make("span", {}, "Call back"));
  if (group === "closed") return [...endTags(chat), ...tags];
  if (chat.callback) return tags;
  return [make("span", { class: `dot ${connectionClass(chat)}` }, unseen(connectionOf(chat))), ...tags];
}

function endTags({ end, rating }) {
  const how = make("span", {}, endOf(end?.reason ?? ""));
  return rating ? [how, starOf(rating)] : [how];
}

function priorityTag({ priority }) {
  const high = priority.toLowerCase() === "high";
  return make("span", { class: high ? "is-priority" : null, dir: "auto" }, `${priority} priority`);
}

function badge(unread) {
  return make("span", { class: "badge" }, String(unread), unseen(" unread"));
}

function oneLine(text) {
  return (text ?? "").slice(0, 200).replace(/\s+/gu, " ");
}
