// The files that this page is sending: their bytes are nowhere but here, and gone with the page.

const AT_ONCE = 3; // a browser has few connections to a server, and talking needs one, too

/** What is held of each file, by the id of its line. */
export class Uploads {
  #held = new Map();
  #free = AT_ONCE;
  #queue = [];
  #onProgress;

  /** `onProgress` hears a line's id whenever more of its file has left. */
  constructor(onProgress) {
    this.#onProgress = onProgress;
  }

  hold(id, file) {
    const picture = isPicture(file) ? URL.createObjectURL(file) : null;
    this.#held.set(id, { file, picture, share: 0, going: null, stop: null });
  }

  has(id) {
    return this.#held.has(id);
  }

  /** An address of the picture that works on this page only, or null. */
  picture(id) {
    return this.#held.get(id)?.picture ?? null;
  }

  /** Which share of the file has left, from 0 to 1. */
  share(id) {
    return this.#held.get(id)?.share ?? 0;
  }

  /** Send it with `send({file, onProgress, signal})`; asked again meanwhile, it is still the same attempt. */
  send(id, send) {
    const held = this.#held.get(id);
    held.going ??= this.#inTurn(id, held, send).finally(() => (held.going = null));
    return held.going;
  }

  /** Stop sending a file, and forget it. */
  drop(id) {
    const held = this.#held.get(id);
    this.#held.delete(id);
    held?.stop?.abort();
    if (held?.picture) URL.revokeObjectURL(held.picture);
  }

  dropAll() {
    for (const id of [...this.#held.keys()]) this.drop(id);
  }

  async #inTurn(id, held, send) {
    held.stop = new AbortController();
    await this.#turn();
    try {
      return await send({
        file: held.file,
        signal: held.stop.signal,
        onProgress: (share) => this.#moved(id, held, share),
      });
    } catch (error) {
      this.#moved(id, held, 0);
      throw error;
    } finally {
      this.#next();
    }
  }

  #moved(id, held, share) {
    held.share = share;
    this.#onProgress(id);
  }

  #turn() {
    if (this.#free > 0) return (this.#free -= 1);
    return new Promise((go) => this.#queue.push(go));
  }

  #next() {
    const go = this.#queue.shift();
    if (go) go();
    else this.#free += 1;
  }
}

// A drawing that can hold a script is a file to everybody else, so to its sender, too.
function isPicture({ type }) {
  return type.startsWith("image/") && type !== "image/svg+xml";
}
