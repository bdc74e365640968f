// Times as people read them. The server's are seconds since the epoch.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const RELATIVE_DAY = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

let skew = 0;

/** Take the server's clock for ours, so that waiting times are right on any computer. */
export function setServerTime(now) {
  skew = now - Date.now() / 1000;
}

/** The server's time now. */
export function serverTime() {
  return Date.now() / 1000 + skew;
}

/** The day of a time, as a key that compares. */
export function dayOf(at) {
  return new Date(at * 1000).toDateString();
}

/** "Today", "Yesterday" or the date. */
export function dayName(at) {
  const midnight = (date) => new Date(date).setHours(0, 0, 0, 0);
  const days = Math.round((midnight(at * 1000) - midnight(Date.now())) / 86_400_000);
  const name = days > -2 && days < 1 ? RELATIVE_DAY.format(days, "day") : DAY.format(at * 1000);
  return name.charAt(0).toUpperCase() + name.slice(1);
}

/** A `<time>` with the clock on it and the whole date behind it. */
export function timeOf(at) {
  const date = new Date(at * 1000);
  const node = document.createElement("time");
  node.dateTime = date.toISOString();
  node.title = FULL.format(date);
  node.textContent = CLOCK.format(date);
  return node;
}

/** A `<span>` that counts up from a time until it is known to have ended; class "late" after so many seconds. */
export function elapsedSince(at, { until = null, late = null } = {}) {
  const node = document.createElement("span");
  node.className = "elapsed";
  node.dataset.since = at;
  if (until !== null) node.dataset.until = until;
  if (late !== null) node.dataset.late = late;
  tick(node);
  return node;
}

/** Bring every counting time under a node up to date. */
export function tickAll(root) {
  for (const node of root.querySelectorAll("[data-since]:not([data-until])")) tick(node);
}

function tick(node) {
  const end = node.dataset.until ? Number(node.dataset.until) : serverTime();
  const seconds = Math.max(0, Math.floor(end - Number(node.dataset.since)));
  node.textContent = duration(seconds);
  if (node.dataset.late) node.classList.toggle("late", seconds >= Number(node.dataset.late));
}

/** Seconds in the two units that matter. */
export function duration(seconds) {
  const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(seconds / unit));
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  if (minutes > 0) return `${minutes} min ${seconds % 60} s`;
  return `${seconds} s`;
}
