// Where the agent is, as the page's address holds it: so reload and the back button work.

const CHAT = /^#\/chats\/([^/]+)(?:\/from\/([^/]+))?$/u;

/** The address of a chat, read `from` another one; of no chat, the list's. */
export function addressOf(id, from = null) {
  if (!id) return "#/";
  return `#/chats/${encodeURIComponent(id)}${from ? `/from/${encodeURIComponent(from)}` : ""}`;
}

/** What an address names: `{id, from}`, each null where it does not. */
export function readAddress(hash) {
  const [, id, from] = hash.match(CHAT) ?? [];
  return { id: decoded(id), from: decoded(from) };
}

function decoded(part) {
  try {
    return part ? decodeURIComponent(part) : null;
  } catch {
    return null; // typed by hand, and no address of ours
  }
}
