// The sign-in form: a wrong token, too many tries, a server that cannot be reached.

import * as api from "./console-api.js";

const form = document.querySelector("#sign-in-form");
const field = document.querySelector("#token");
const button = document.querySelector("#sign-in-button");
const problem = document.querySelector("#sign-in-problem");
const show = document.querySelector("#show-token");
let countdown = null;

/** Show the form; `done` gets what the server answers once it knows the agent. */
export function askToSignIn(done, message = "") {
  document.querySelector("#sign-in").hidden = false;
  document.title = "Sign in · Desk";
  say(message);
  form.onsubmit = (event) => {
    event.preventDefault();
    if (!countdown) attempt(done);
  };
  field.focus();
}

async function attempt(done) {
  const token = field.value.trim();
  if (!token) return refuse("Please enter your token.");
  busy(true);
  try {
    const known = await api.signIn(token);
    const { agent } = await api.setPresence("online"); // who comes in is there, as who signs out is away
    leave();
    done({ ...known, agent });
  } catch (error) {
    refuse(explain(error));
    if (error.status === 429) waitFor(error.retryAfter ?? 60);
  } finally {
    busy(false);
  }
}

function explain(error) {
  if (error.status === 401 || error.status === 400)
    return "That token is not known here. Please check it and try again.";
  if (error.status === 0) return "The server cannot be reached. Please check your connection and try again.";
  return `Signing in did not work: ${error.message}`;
}

function refuse(message) {
  say(message);
  field.setAttribute("aria-invalid", "true");
  field.focus();
  field.select();
}

function waitFor(seconds) {
  const until = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    button.textContent = left > 0 ? `Try again in ${left} s` : "Sign in";
    if (left > 0) return;
    clearInterval(countdown);
    countdown = null;
    button.removeAttribute("aria-disabled");
    say("");
  };
  say("Too many wrong tokens. Please wait a moment before the next one.");
  button.setAttribute("aria-disabled", "true");
  countdown = setInterval(tick, 250);
  tick();
}

function busy(now) {
  form.setAttribute("aria-busy", now);
  button.disabled = now;
  if (!countdown) button.textContent = now ? "Signing in…" : "Sign in";
}

function say(message) {
  problem.textContent = message;
  if (!message) field.removeAttribute("aria-invalid");
}

function leave() {
  document.querySelector("#sign-in").hidden = true;
  field.value = "";
  conceal(true);
}

function conceal(hidden) {
  field.type = hidden ? "password" : "text";
  show.setAttribute("aria-pressed", String(!hidden));
  show.firstChild.textContent = hidden ? "Show" : "Hide";
}

show.addEventListener("click", () => conceal(field.type === "text"));
