// Files on their way from this device: how they are given to the page, and how they are sent.

const PATIENCE = 90_000; // how long nothing may move
const STEP = 1024; // as the server counts its sizes

/** Why a file did not arrive: `code` is the server's, or one of those below, and `message` is for people. */
export class UploadError extends Error {
  constructor(code, message, status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/**
 * Send a file; the promise is of `{id, kind, name, mime, size, url}`, or an `UploadError`.
 *
 * `onProgress` hears which share (0 to 1) has left, `signal` takes it back. Only XMLHttpRequest knows how much has left.
 */
export function upload({ url, headers = {}, file, onProgress, signal }) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(cancelled());
    const request = new XMLHttpRequest();
    const patience = new Patience(() => request.abort());
    request.open("POST", url);
    request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => {
      patience.again();
      onProgress?.(total ? loaded / total : 0);
    };
    request.onload = () => answered(request, resolve, reject);
    request.onerror = async () => reject((await isThere(file)) ? unreachable() : unreadable());
    request.onabort = () => reject(signal?.aborted ? cancelled() : unreachable());
    request.onloadend = () => patience.end();
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    patience.again();
    request.send(file);
  });
}

/** Gives up on what does not move. */
class Patience {
  #lost;
  #timer;

  constructor(lost) {
    this.#lost = lost;
  }

  again() {
    this.end();
    this.#timer = setTimeout(this.#lost, PATIENCE);
  }

  end() {
    clearTimeout(this.#timer);
  }
}

function answered({ status, responseText }, resolve, reject) {
  const answer = asJson(responseText);
  if (status === 201 && answer?.file) return resolve(answer.file);
  const { code = "refused", message = withoutWords(status) } = answer?.error ?? {};
  return reject(new UploadError(code, message, status));
}

// A proxy in front of the server does not answer in its words.
function withoutWords(status) {
  return status === 413 ? "it is too large for this server" : `The server answered with status ${status}.`;
}

function asJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const cancelled = () => new UploadError("cancelled", "It was cancelled.");
const unreachable = () => new UploadError("unreachable", "The server cannot be reached.");
const unreadable = () => new UploadError("unreadable", "it is not there any more, or has been changed");

// To the browser it is the same whether the connection broke or the file was moved meanwhile.
async function isThere(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

/** Why a file need not be sent at all, in words; null if it may go. `largest` is in bytes, null where it is not known. */
export function refusal(file, largest = null) {
  if (file.size === 0) return "the file is empty";
  if (largest && file.size > largest) return `larger than ${sizeInWords(largest)}, which is the most that can be sent`;
  return null;
}

/** Bytes as people read them: "820 bytes", "14 kB", "2.5 MB". */
export function sizeInWords(bytes) {
  if (bytes < STEP) return bytes === 1 ? "1 byte" : `${bytes} bytes`;
  const power = Math.min(Math.floor(Math.log(bytes) / Math.log(STEP)), 3);
  const count = bytes / STEP ** power;
  return `${count < 10 ? Number(count.toFixed(1)) : Math.round(count)} ${["kB", "MB", "GB"][power - 1]}`;
}

/** What was chosen in an `<input type=file>`, which is empty again afterwards: the same may be chosen once more. */
export function chosenFiles(input) {
  const files = [...input.files];
  input.value = "";
  return files;
}

/** The files in what is pasted; none where it is a text, too: a table comes with a picture of itself. */
export function pastedFiles(event) {
  const { files, types } = event.clipboardData;
  const isText = types.includes("text/plain") && types.includes("text/html");
  return isText ? [] : [...files];
}

/** What was dropped: its files, and whether there were folders, which cannot be sent. */
export function droppedFiles(event) {
  const items = [...event.dataTransfer.items].filter(({ kind }) => kind === "file");
  const isFolder = (item) => item.webkitGetAsEntry?.()?.isDirectory ?? false;
  const files = items.filter((item) => !isFolder(item)).map((item) => item.getAsFile());
  return { files: files.filter(Boolean), folders: items.some(isFolder) };
}

/**
 * Take files that are dragged over the page, and show `overlay` (which covers it) meanwhile.
 *
 * `takes` says whether files are welcome at the moment, `dropped` takes what `droppedFiles` gives. Where they are not,
 * nothing happens: left to itself, the browser would open the file in the place of the page.
 */
export function takeDrops({ overlay, takes, dropped }) {
  let ownDrag = false; // a picture of the page itself, which some browsers take for a file
  addEventListener("dragstart", () => (ownDrag = true));
  addEventListener("dragend", () => (ownDrag = false));
  const isOurs = (event) => !ownDrag && event.dataTransfer?.types.includes("Files");
  const over = (event) => {
    if (!isOurs(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = takes() ? "copy" : "none";
    overlay.hidden = !takes();
  };
  addEventListener("dragenter", over);
  addEventListener("dragover", over);
  addEventListener("drop", (event) => {
    if (!isOurs(event)) return;
    event.preventDefault();
    overlay.hidden = true;
    if (takes()) dropped(droppedFiles(event));
  });
  // It lies above all else and what is in it takes no part, so whatever leaves it leaves the page. A pointer that moves
  // drags nothing: whoever gives up in the middle does not always leave.
  for (const name of ["dragleave", "pointermove"]) overlay.addEventListener(name, () => (overlay.hidden = true));
}
