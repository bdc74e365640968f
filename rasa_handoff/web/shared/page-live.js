// An event stream that comes back by itself.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;

/**
 * Listens to a stream and opens it again whenever it breaks.
 *
 * The browser's own reconnecting gives up on an HTTP error and cannot tell which; here `ready` is
 * asked before each new attempt, so that the page can find out (signed out? unreachable?) by a request.
 * `url` gives the address of each attempt, `handlers` take an event's data and id by its name, `onState`
 * hears "live" and "reconnecting".
 */
export class Live {
  #options;
  #source = null;
  #timer = null;
  #wait = FIRST_WAIT;
  #running = false;

  constructor({ url, handlers, onState, ready }) {
    this.#options = { url, handlers, onState, ready };
    addEventListener("online", () => this.hurry());
    addEventListener("pageshow", (event) => event.persisted && this.#running && this.#open());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
  }

  start() {
    this.#running = true;
    this.#open();
  }

  stop() {
    this.#running = false;
    this.#quit();
  }

  #quit() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#source?.close();
    this.#source = null;
  }

  #open() {
    this.#quit();
    const { url, handlers, onState } = this.#options;
    const source = new EventSource(url());
    this.#source = source;
    source.addEventListener("hello", () => {
      this.#wait = FIRST_WAIT;
      onState("live");
    });
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handle(JSON.parse(event.data), event.lastEventId));
    }
    source.addEventListener("error", () => source === this.#source && this.#broken());
  }

  #broken() {
    this.#quit();
    this.#options.onState("reconnecting");
    // Spread out, so that a thousand pages do not knock in the same instant after a restart.
    this.#timer = setTimeout(() => this.#again(), this.#wait * (0.75 + Math.random() / 2));
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }

  async #again() {
    this.#timer = null;
    const ready = await this.#options.ready();
    if (!this.#running || this.#source || this.#timer) return;
    if (ready) this.#open();
    else this.#broken();
  }

  /** The server may be there again: try at once, if we were waiting to. */
  hurry() {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#wait = FIRST_WAIT;
    this.#again();
  }
}
