// What was sent that is not text.

import { icon, link, make, webAddress } from "./page-dom.js";

const LABELS = { image: "Image", audio: "Audio", video: "Video", location: "Location" };

/** An attachment `{url, kind?, name?}`: shown where the page may load it (https only), else a link. */
export function attachmentOf({ url, kind = "file", name = null }) {
  const label = name || LABELS[kind] || "File";
  const address = webAddress(url);
  if (!address) return make("p", { class: "soft" }, `${label} (cannot be shown)`);
  const secure = address.startsWith("https:");
  if (kind === "image" && secure) return link(address, picture(address, label));
  if ((kind === "audio" || kind === "video") && secure) {
    return make(kind, { src: address, controls: true, preload: "none", "aria-label": label, class: "media" });
  }
  const anchor = link(address, make("bdi", {}, label));
  anchor.classList.add("attachment");
  anchor.prepend(icon("file"));
  return anchor;
}

/** An image in a message. */
export function picture(src, alt) {
  return make("img", { src, alt, loading: "lazy", class: "media" });
}
