// Names for messages, made where they are written: sent again under the same name, they count once.

/** A random UUID, also where `crypto.randomUUID` is missing: it exists on https and localhost only. */
export function newId() {
  return crypto.randomUUID?.() ?? uuid(crypto.getRandomValues(new Uint8Array(16)));
}

function uuid(bytes) {
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/u, "$1-$2-$3-$4-$5");
}
