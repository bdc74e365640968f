// Trying again what could not be sent.

const FIRST_WAIT = 5_000;
const LONGEST_WAIT = 60_000;

/** Calls `act` a while after somebody asked for it, ever more seldom: a large file begins anew each time. */
export class Again {
  #act;
  #timer = null;
  #wait = FIRST_WAIT;

  constructor(act) {
    this.#act = act;
  }

  later() {
    if (this.#timer) return;
    this.#timer = setTimeout(() => this.#now(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }

  /** Something got through: nothing waits for its time any more. */
  succeeded() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#wait = FIRST_WAIT;
  }

  #now() {
    this.#timer = null;
    this.#act();
  }
}
