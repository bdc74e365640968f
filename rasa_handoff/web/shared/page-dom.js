// Builds what is shown. What people wrote becomes text nodes and links, never markup.

const SVG = "http://www.w3.org/2000/svg";
const ADDRESS = /\bhttps?:\/\/[^\s<>"“”]+/giu;
const SENTENCE_END = /[.,;:!?'’»)\]}]+$/u;

/** Make an element: `on…` attributes are listeners, null and false ones are left out. */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** One of the page's symbols; decoration, so a screen reader passes it by. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Words for a screen reader only. */
export function unseen(text) {
  return make("span", { class: "unseen" }, text);
}

/** A link that opens beside the page, or null when the address is not for the web. */
export function link(address, label = address) {
  const url = webAddress(address);
  if (!url) return null;
  return make("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, label);
}

/** The address as the browser understands it, if it is http or https. */
export function webAddress(address) {
  try {
    const url = new URL(String(address));
    return ["http:", "https:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** What somebody wrote, with its web addresses as links. */
export function richText(text) {
  const parts = [];
  let done = 0;
  for (const found of text.matchAll(ADDRESS)) {
    const address = withoutSentenceEnd(found[0]);
    const anchor = link(address);
    if (!anchor) continue;
    parts.push(text.slice(done, found.index), anchor);
    done = found.index + address.length;
  }
  parts.push(text.slice(done));
  return parts;
}

// "(see https://example.com/a_(b))." ends the sentence, not the address; a closing
// bracket belongs to the address only if its opening one does.
function withoutSentenceEnd(address) {
  const end = address.match(SENTENCE_END)?.[0] ?? "";
  const bare = address.slice(0, address.length - end.length);
  const closes = end.startsWith(")") && count(bare, "(") > count(bare, ")");
  return closes ? `${bare})` : bare;
}

function count(text, letter) {
  return text.split(letter).length - 1;
}

/**
 * Make a parent's children match the items, reusing the node of an item that was there:
 * focus, scroll position and screen reader stay where they are.
 */
export function reconcile(parent, items, { key, build, update }) {
  const kept = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  const wanted = new Set(items.map(key));
  for (const [id, node] of kept) if (!wanted.has(id)) node.remove();
  let place = parent.firstElementChild;
  for (const item of items) {
    const node = kept.get(key(item)) ?? build(item);
    node.dataset.key = key(item);
    update?.(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
}

/** Let a text field be as tall as its text. */
export function growing(field) {
  if (CSS.supports("field-sizing", "content")) return;
  const fit = () => {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  };
  field.addEventListener("input", fit);
}

/** Whether this key press sends: Enter alone, and not the one that ends a composed letter. */
export function sends(event) {
  return event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}
