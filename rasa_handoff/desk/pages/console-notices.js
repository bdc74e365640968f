// What the agent is told when they look elsewhere: a voice, a sound, a number in the title, a note in the corner.

import { icon, make } from "./page-dom.js";
import { some, userOf } from "./console-words.js";

const NOTE_LASTS = 8_000;
const SOUND = "rasa_handoff.desk.sound";
const BANNERS = {
  reconnecting: "Reconnecting… What you see may be out of date.",
  stale: "The chats could not be loaded. Trying again…",
};
const announcer = document.querySelector("#announcer");
const toasts = document.querySelector("#toasts");
const banner = document.querySelector("#banner");
const soundButton = document.querySelector("#sound");
let audio = null;

/** Say something to a screen reader; the eye sees it happen. */
export function announce(text) {
  announcer.textContent = "";
  setTimeout(() => (announcer.textContent = text), 50);
}

/** Show something that went another way than expected. */
export function note(text) {
  const close = make("button", { type: "button", class: "quiet icon-only", "aria-label": "Dismiss" }, icon("close"));
  const toast = make("div", { class: "toast" }, make("p", { dir: "auto" }, text), close);
  close.addEventListener("click", () => toast.remove());
  toasts.append(toast);
  setTimeout(() => toast.remove(), NOTE_LASTS);
}

/** Say how many wait and how much is unread where the agent sees it from another tab. */
export function renderTitle(desk) {
  const unread = desk.mine.reduce((sum, chat) => sum + desk.unread(chat), 0);
  const count = desk.waiting.length + desk.callbacks.length + unread;
  document.title = count > 0 ? `(${count}) Desk` : "Desk";
}

/** Say that the page is cut off; what it shows may be old. */
export function renderBanner(desk) {
  const text = BANNERS[desk.connection] ?? "";
  if (banner.textContent !== text) banner.textContent = text;
}

/** A chat came into the queue. */
export function chatWaits(chat) {
  announce(chat.callback ? `${userOf(chat)} wants to be called.` : `${userOf(chat)} is waiting.`);
  ring(660);
}

/** A chat was handed to this agent. */
export function chatComes(chat) {
  note(`${userOf(chat)} was handed to you.`);
  ring(660);
}

/** A user wrote in one of the agent's chats. */
export function userWrote(chat, unread) {
  announce(`${some(unread, "unread message")} from ${userOf(chat)}.`);
  ring(880);
}

/** A user said how content they were with this agent. */
export function userRated(chat) {
  announce(`${userOf(chat)} gave ${chat.rating.stars} of 5 stars.`);
}

/** Sound is off until the agent wants it. */
export function prepareSound() {
  soundButton.addEventListener("click", () => {
    localStorage.setItem(SOUND, wantsSound() ? "off" : "on");
    showSound();
    ring(880);
  });
  showSound();
}

function wantsSound() {
  return localStorage.getItem(SOUND) === "on";
}

function showSound() {
  soundButton.setAttribute("aria-pressed", String(wantsSound()));
  soundButton.title = wantsSound() ? "Sound is on" : "Sound is off";
  soundButton.replaceChildren(icon(wantsSound() ? "sound" : "mute"));
}

function ring(pitch) {
  if (!wantsSound()) return;
  audio ??= new AudioContext();
  const [tone, volume, now] = [audio.createOscillator(), audio.createGain(), audio.currentTime];
  tone.frequency.value = pitch;
  volume.gain.setValueAtTime(0.08, now);
  volume.gain.exponentialRampToValueAtTime(0.0001, now + 0.35);
  tone.connect(volume).connect(audio.destination);
  tone.start(now);
  tone.stop(now + 0.35);
}
