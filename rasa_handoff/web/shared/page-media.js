// What was sent that is not text.

import { icon, link, make, webAddress } from "./page-dom.js";

const LABELS = { image: "Image", audio: "Audio", video: "Video", location: "Location" };

/** An attachment `{url, kind?, name?}`: shown where the page may load it (https, or its own server), else a link. */
export function attachmentOf({ url, kind, name }) {
  const label = name || LABELS[kind] || "File";
  const address = webAddress(withServer(url));
  if (!address) return make("p", { class: "soft" }, `${label} (cannot be shown)`);
  if (kind === "location") return placeLink(address, name);
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
export function picture(src, alt) {
  return make("img", { src, alt, loading: "lazy", class: "media" });
}
