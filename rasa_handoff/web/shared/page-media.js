// What was sent that is not text.

import { icon, link, make, webAddress } from "./page-dom.js";

const LABELS = { image: "Image", audio: "Audio", video: "Video", location: "Location" };

/** An attachment `{url, kind?, name?}`: shown where the page may load it (https, or its own server), else a link. */
export function attachmentOf({ url, kind, name }) {
  const label = name || LABELS[kind] || "File";
  const address = webAddress(withServer(url));
  if (!address) return make("p", { class: "soft" }, `${label} (cannot be shown)`);
  const mayLoad = address.startsWith("https:") || address.startsWith(`${location.origin}/`);
  const show = mayLoad ? (SHOWN[kind] ?? fileLink) : fileLink;
  return show(address, label);
}

// A server that does not know its own address leaves it out of its links.
function withServer(url) {
  return String(url).startsWith("/") ? `${location.origin}${url}` : url;
}

const SHOWN = {
  image: (address, label) => link(address, picture(address, label)),
  audio: (address, label) => player("audio", address, label),
  video: (address, label) => player("video", address, label),
};

function player(kind, src, label) {
  return make(kind, { src, controls: true, preload: "none", "aria-label": label, class: "media" });
}

function fileLink(address, label) {
  const anchor = link(address, make("bdi", {}, label));
  anchor.classList.add("attachment");
  anchor.prepend(icon("file"));
  return anchor;
}

/** An image in a message. */
export function picture(src, alt) {
  return make("img", { src, alt, loading: "lazy", class: "media" });
}
