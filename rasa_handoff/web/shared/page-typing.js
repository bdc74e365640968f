// Tells the other side that somebody is typing: seldom while they type, and once when they stop.

const REPEAT = 3_000;
const IDLE = 4_000;

/** Calls `tell(true)` and `tell(false)`; a failure is of no consequence. */
export class Typing {
  #tell;
  #told = null;
  #idle = null;

  constructor(tell) {
    this.#tell = tell;
  }

  /** The field changed. */
  changed(text) {
    clearTimeout(this.#idle);
    if (text.trim() === "") return this.stop();
    this.#idle = setTimeout(() => this.stop(), IDLE);
    if (this.#told !== null && Date.now() - this.#told < REPEAT) return;
    this.#told = Date.now();
    this.#say(true);
  }

  /** The message went out, or was given up. */
  stop() {
    clearTimeout(this.#idle);
    if (this.#told === null) return;
    this.#told = null;
    this.#say(false);
  }

  #say(typing) {
    Promise.resolve(this.#tell(typing)).catch(() => {});
  }
}
