// The desk: signs the agent in, keeps what is shown and what is so the same, and carries out what the agent does.

import { addressOf, readAddress } from "./console-address.js";
import * as api from "./console-api.js";
import { ChatPane } from "./console-chat.js";
import { Desk } from "./console-desk.js";
import { Details } from "./console-details.js";
import { Files } from "./console-files.js";
import { CloseDialog, FormDialog, HelpDialog } from "./console-dialogs.js";
import { FiguresDialog } from "./console-figures.js";
import { renderList, renderMe } from "./console-list.js";
import * as notices from "./console-notices.js";
import { PassDialog } from "./console-pass.js";
import { Replies } from "./console-replies.js";
import { listen, shortcuts } from "./console-shortcuts.js";
import { askToSignIn } from "./console-signin.js";
import { givenUp, userOf } from "./console-words.js";
import { Live } from "./page-live.js";
import { tickAll } from "./page-time.js";
import { pastedFiles, takeDrops } from "./page-upload.js";

const root = document.querySelector("#desk");
const splash = document.querySelector("#splash");
const dropWhom = document.querySelector("#drop-whom");
const phone = matchMedia("(max-width: 44.99rem)");
const desk = new Desk();
const files = new Files(desk, fileRefused);
const replies = new Replies(
  desk,
  files,
  (chatId, error) => refused(error, chatId),
  () => live.hurry(),
);
const closing = new CloseDialog();
const passing = new PassDialog();
const leaving = new FormDialog("#out-dialog");
const help = new HelpDialog();
const figures = new FiguresDialog(api.figures);
const details = new Details(desk);
let signedOut = false;

const doing = {
  accept: () => desk.chat && accept(desk.chat),
  acceptNext: () => (desk.waiting.length > 0 ? accept(desk.waiting[0]) : notices.note("Nobody is waiting.")),
  say: (chatId, text, given) => replies.say(chatId, text, given),
  sayAgain: (chatId) => thenWrite(() => replies.again(chatId)),
  takeBack: (chatId, id) => thenWrite(() => takeBack(chatId, id)),
  discard: (chatId, id) => thenWrite(() => replies.discard(chatId, id)),
  pass: () => withOwnChat(() => passing.open(desk, pass)),
  end: () => withOwnChat(() => closing.open(desk.chat, end)),
  details: () => desk.chat && details.toggle(),
  back: () => go(null),
  next: () => step(1),
  previous: () => step(-1),
  reply: () => pane.focus(),
  attach: () => pane.attach(),
  list: focusList,
  help: () => help.open(shortcuts({ saved: desk.savedReplies.length > 0, files: desk.takesFiles })),
  figures: () => figures.open(),
};
const pane = new ChatPane(desk, files, doing);

const live = new Live({
  url: () => api.streamUrl,
  ready: stillSignedIn,
  onState: (state) => desk.setConnection(state),
  handlers: {
    hello: greeted,
    chat: chatChanged,
    message: (message) => desk.putMessage(message),
    typing: ({ chat_id, typing }) => desk.userTypes(chat_id, typing),
    agent: (agent) => desk.putAgent(agent),
    gone: ({ chat_id }) => desk.forget(chat_id),
  },
});

// Signing in and out

async function start() {
  try {
    begin(await api.me());
  } catch (error) {
    if (error.status === 401) return signInFirst();
    document.querySelector("#splash-text").textContent = "The server cannot be reached. Trying again…";
    setTimeout(start, 3_000);
  }
}

function signInFirst(message = "") {
  splash.hidden = true;
  askToSignIn(begin, message);
}

function begin({ agent, largest_file: largestFile, takes_files: takesFiles = true }) {
  splash.hidden = true;
  root.hidden = false;
  desk.me = agent;
  desk.largestFile = largestFile;
  desk.takesFiles = takesFiles;
  desk.setConnection("connecting");
  live.start();
  followAddress();
}

function leave(message) {
  live.stop();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  root.hidden = true;
  signInFirst(message);
}

// Whoever is asked by the browser when the page goes cannot stay any more: the server has signed them out by then.
function askToSignOut() {
  return files.waiting ? leaving.ask(signOut) : signOut();
}

async function signOut() {
  try {
    await api.signOut();
  } catch (error) {
    if (error.status !== 401) return refused(error);
  }
  signedOut = true;
  location.hash = "";
  location.reload(); // the next agent at this computer finds nothing of this one's
}

async function stillSignedIn() {
  try {
    await api.me();
    return true;
  } catch (error) {
    if (error.status === 401) leave("You have been signed out. Please sign in again; what you were writing is kept.");
    return false;
  }
}

// What the stream tells

function greeted(data) {
  desk.hello(data);
  replies.hurry();
  load();
}

async function load() {
  try {
    await desk.load();
    if (desk.connection === "stale") desk.setConnection("live");
  } catch (error) {
    if (error.status === 401) return void stillSignedIn();
    if (desk.connection === "reconnecting") return; // the next greeting loads
    desk.setConnection("stale");
    setTimeout(load, 2_000);
  }
}

function chatChanged(chat) {
  const before = desk.chats.get(chat.id);
  desk.putChat(chat);
  desk.look();
  if (!desk.loaded) return;
  if (chat.state === "waiting" && before?.state !== "waiting") notices.chatWaits(chat);
  if (before && desk.isMine(chat)) myChatChanged(before, chat);
  if (before && !before.rating && chat.rating && chat.agent?.id === desk.me.id) notices.userRated(chat);
}

function myChatChanged(before, chat) {
  if (before.agent && before.agent.id !== desk.me.id) notices.chatComes(chat);
  const unread = desk.unread(chat);
  if (unread > desk.unread(before)) notices.userWrote(chat, unread);
}

// What the agent does

async function accept(chat) {
  try {
    const answer = await api.accept(chat.id);
    desk.putChat(answer.chat);
    notices.announce(`You have accepted ${userOf(chat)}.`);
    go(chat.id);
    settled(() => pane.focus());
  } catch (error) {
    refused(error, chat.id);
  }
}

function withOwnChat(act) {
  if (!desk.chat || !desk.isMine(desk.chat)) return;
  pane.pause();
  act();
}

async function pass(to) {
  const answer = await api.transfer(desk.selected, to);
  desk.putChat(answer.chat);
  notices.announce("The chat was handed over.");
  settled(() => pane.focusHeading());
}

async function end(how) {
  const answer = await api.close(desk.selected, how);
  desk.putChat(answer.chat);
  notices.announce("The chat was ended.");
  settled(() => pane.focusHeading());
}

async function takeBack(chatId, id) {
  try {
    const { message } = await api.takeBack(chatId, id);
    desk.putMessage(message);
    notices.announce("The message was taken back.");
  } catch (error) {
    refused(error, chatId);
  }
}

async function togglePresence() {
  const presence = desk.me.presence === "online" ? "away" : "online";
  try {
    const { agent } = await api.setPresence(presence);
    desk.putAgent(agent);
    notices.announce(presence === "online" ? "You are online." : "You are away.");
  } catch (error) {
    refused(error);
  }
}

// The button that was pressed goes away.
function thenWrite(act) {
  act();
  settled(() => pane.focus());
}

// Why it was refused stands at the file; if the chat is not the agent's any more, that is seen by what there is.
function fileRefused(error) {
  if (error.status === 401) stillSignedIn();
  if (error.status === 409) load();
}

// Somebody was faster, or the server said no: show how things are, and say so kindly.
async function refused(error, chatId = null) {
  if (error.status === 401) return void stillSignedIn();
  if (error.status === 409) await desk.load().catch(() => {});
  notices.note(explain(error, desk.chats.get(chatId)));
}

function explain(error, chat) {
  if (error.code === "taken") return `${chat?.agent?.name ?? "Another agent"} has taken this chat.`;
  if (error.code === "not_yours")
    return `This chat is with ${chat?.agent?.name ?? "somebody else"} now, so your message was not sent.`;
  if (error.code === "not_your_group") return "This chat waits for another group.";
  if (error.code === "delivered") return "It is too late: the user has this message, or is about to get it.";
  if (error.code === "closed") return "This chat has ended meanwhile.";
  return error.message;
}

// Where the agent is

function go(id) {
  location.hash = addressOf(id);
}

function followAddress() {
  const { id, from } = readAddress(location.hash);
  desk.select(id, from);
  root.dataset.view = id ? "chat" : "list";
}

function focusShown() {
  if (!desk.selected) focusList();
  else if (phone.matches) pane.focusHeading();
  else pane.focus();
}

function step(by) {
  const { mine, selected } = desk;
  if (mine.length === 0) return;
  const at = mine.findIndex((chat) => chat.id === selected);
  const next = mine[(Math.max(at, by > 0 ? at : 0) + by + mine.length) % mine.length];
  go(next.id);
  settled(() => pane.focus());
}

function focusList() {
  if (phone.matches) go(null);
  settled(() => (document.querySelector(".chat-link[aria-current]") ?? document.querySelector(".chat-link"))?.focus());
}

// Once the page shows what was just changed.
function settled(act) {
  setTimeout(act, 0);
}

// Files that are dropped or pasted anywhere on the desk

function isFree() {
  return !document.querySelector("dialog[open], #desk[hidden]");
}

function paste(event) {
  const pasted = isFree() ? pastedFiles(event) : [];
  if (pasted.length === 0) return;
  event.preventDefault();
  pane.give({ files: pasted });
}

function showProgress(id) {
  for (const bar of document.querySelectorAll(`progress[data-file="${id}"]`)) bar.value = files.share({ id });
}

function render() {
  if (root.hidden) return;
  files.giveUp((chat, lost) => notices.note(givenUp(chat, lost)));
  dropWhom.textContent = desk.chat ? userOf(desk.chat) : "";
  renderMe(desk);
  renderList(desk);
  pane.render();
  details.render();
  notices.renderTitle(desk);
  notices.renderBanner(desk);
}

desk.addEventListener("change", render);
files.addEventListener("progress", ({ detail }) => showProgress(detail));
takeDrops({
  overlay: document.querySelector("#drop"),
  takes: () => pane.takesFiles && isFree(),
  dropped: (given) => pane.give(given),
});
document.addEventListener("paste", paste);
addEventListener("beforeunload", (event) => !signedOut && files.waiting && event.preventDefault());
addEventListener("hashchange", () => {
  const fromHere = document.activeElement?.closest(".chat-link, .chat-head, .earlier-link, .way-back");
  followAddress();
  if (fromHere) settled(focusShown);
});
document.addEventListener("visibilitychange", () => desk.look());
document.querySelector("#presence").addEventListener("click", togglePresence);
document.querySelector("#sign-out").addEventListener("click", askToSignOut);
document.querySelector("#help").addEventListener("click", doing.help);
document.querySelector("#figures").addEventListener("click", doing.figures);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.querySelector("#conversation").focus();
});
setInterval(() => tickAll(root), 1_000);
notices.prepareSound();
listen(doing);
start();
