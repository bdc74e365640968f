// Keeps a conversation at its newest line, unless its reader has scrolled up.

const NEAR = 80;

/** Watches a scrolling element; `more` is the button that leads back down. */
export class Follow {
  #box;
  #more;
  #near = true;

  constructor(box, more) {
    this.#box = box;
    this.#more = more;
    box.addEventListener("scroll", () => this.#look(), { passive: true });
    more.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.#near && this.toEnd()).observe(box);
    box.addEventListener("load", () => this.#near && this.toEnd(), true); // a picture takes its room when it is there
    more.hidden = true;
  }

  /** Something was added; `own` is true for what the reader wrote. */
  grew(own = false) {
    if (this.#near || own) this.toEnd();
    else this.#more.hidden = false;
  }

  /** What was there already takes another room. */
  settled() {
    if (this.#near) this.toEnd();
  }

  toEnd() {
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#near = true;
    this.#more.hidden = true;
  }

  #look() {
    this.#near = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight < NEAR;
    if (this.#near) this.#more.hidden = true;
  }
}
