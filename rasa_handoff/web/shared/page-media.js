// What was sent that is not text.

import { icon, link, make, webAddress } from "./page-dom.js";
import { sizeInWords } from "./page-upload.js";

const LABELS = { image: "Image", audio: "Audio", video: "Video", location: "Location" };

/**
 * An attachment `{url, kind?, name?, size?}`: shown where the page may load it (https, or its own server), else a link.
 * `size` is in bytes.
 */
export function attachmentOf({ url, kind, name, size }) {
  const label = name || LABELS[kind] || "File";
  const address = addressOf(url);
  if (!address) return make("p", { class: "soft" }, `${label} (cannot be shown)`);
  if (kind === "location") return placeLink(address, name);
  const show = mayLoad(address) ? (SHOWN[kind] ?? fileLink) : fileLink;
  return show(address, label, size);
}

/** The whole address of an attachment, or null when it is not for the web. */
export function addressOf(url) {
  // A server that does not know its own address leaves it out of its links.
  return webAddress(String(url).startsWith("/") ? `${location.origin}${url}` : url);
}

/** The address of an attachment that is a picture which the page may load, or null. */
export function pictureOf({ url, kind }) {
  const address = kind === "image" && url ? addressOf(url) : null;
  return address && mayLoad(address) ? address : null;
}

function mayLoad(address) {
  return address.startsWith("https:") || address.startsWith(`${location.origin}/`);
}

const SHOWN = {
  image: pictureLink,
  audio: (address, label, size) => player("audio", address, label, size),
  video: (address, label, size) => player("video", address, label, size),
};

// A picture that is not to be had, or that this browser cannot show, is still a file.
function pictureLink(address, label, size) {
  const image = picture(address, label, { onerror: () => anchor.replaceWith(fileLink(address, label, size)) });
  const anchor = link(address, image);
  anchor.classList.add("shown");
  return anchor;
}

// Nothing of it is loaded before somebody wants to hear or see it.
function player(kind, src, label, size) {
  return make(
    "figure",
    { class: "player" },
    make(kind, { src, controls: true, preload: "none", "aria-label": label, class: "media" }),
    make("figcaption", {}, fileLink(src, label, size)),
  );
}

function fileLink(address, label, size) {
  const anchor = link(address, "");
  anchor.classList.add("attachment");
  anchor.append(...fileParts(label, size));
  return anchor;
}

/** What stands for a file that is not shown: its name, and its size (bytes) where that is known. */
export function fileParts(name, size = null) {
  const known = size ? make("span", { class: "attachment-size" }, sizeInWords(size)) : null;
  return [icon("file"), make("span", {}, make("bdi", {}, name), " ", known)];
}

// Latitude and longitude, as the addresses of maps have them. The map itself is loaded only by whoever follows the link.
const DEGREES = /(?<![\d.])(-?\d{1,2}\.\d+)(?:,|%2C|\/|&mlon=)(-?\d{1,3}\.\d+)/iu;

function placeLink(address, name) {
  const [, latitude, longitude] = address.match(DEGREES) ?? [];
  const where = latitude ? `${Number(latitude).toFixed(5)}, ${Number(longitude).toFixed(5)}` : webHost(address);
  const title = name && !/^[-\d., ]+$/u.test(name) ? name : LABELS.location;
  const words = make("span", {}, make("bdi", {}, title), make("span", { class: "place-where" }, where));
  const anchor = link(address, words);
  anchor.classList.add("place");
  anchor.title = "Open the map";
  anchor.prepend(icon("place"));
  return anchor;
}

function webHost(address) {
  return new URL(address).host;
}

/** An image in a message. */
export function picture(src, alt, more = {}) {
  return make("img", { src, alt, loading: "lazy", class: "media", ...more });
}
