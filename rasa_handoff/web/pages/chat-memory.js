// What this device remembers of the conversation, so that a reload shows it again.

const KEY = `rasa_handoff.chat ${new URL("../", document.baseURI).pathname}`;
const LINES = 500;

/** The memory of a conversation that has not begun. */
export function nothing() {
  return { sender: null, token: null, last: null, told: null, read: null, lines: [] };
}

/** What was kept; nothing if the browser does not let us, or something else wrote there. */
export function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY));
    return Array.isArray(kept?.lines) ? { ...nothing(), ...kept } : nothing();
  } catch {
    return nothing();
  }
}

/** Keep it. A browser that is full or forbids it still chats, it only forgets. */
export function keep(memory) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...memory, lines: memory.lines.slice(-LINES) }));
  } catch {
    // Nothing to do: the page shows what it has.
  }
}

/** Call back when the same chat in another tab has changed what is kept. */
export function onChangeElsewhere(changed) {
  addEventListener("storage", (event) => event.key === KEY && changed());
}
