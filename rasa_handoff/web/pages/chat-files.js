// A file of the user's in the conversation: a picture, or its name and size, and how far it has come.

import { isGoing } from "./chat-conversation.js";
import { link, make } from "./page-dom.js";
import { addressOf, fileParts, picture, pictureOf } from "./page-media.js";

/** The node of a line's file; `preview` is the picture while this page still has it. */
export function buildFile({ file }, preview) {
  const src = preview ?? pictureOf(file);
  const parts = () => fileParts(file.name, file.size);
  const anchor = make("a", { class: src ? "shown" : "attachment" }, ...(src ? [] : parts()));
  if (src) anchor.append(picture(src, file.name, { onerror: () => asName(anchor, parts()) }));
  return make("div", { class: "file" }, anchor, make("progress", { max: "1", "aria-label": `Sending ${file.name}` }));
}

// A picture that this browser cannot show, or whose link has expired.
function asName(anchor, parts) {
  anchor.className = "attachment";
  anchor.replaceChildren(...parts);
}

/** Bring it up to date: what has arrived can be opened. */
export function updateFile(node, line, share) {
  const [anchor, bar] = node.children;
  bar.hidden = !isGoing(line);
  bar.value = share;
  const address = line.file.url && addressOf(line.file.url);
  if (!address || anchor.href) return;
  const { target, rel } = link(address);
  Object.assign(anchor, { href: address, target, rel });
}
