// What the keyboard can do anywhere on the desk.

const KEYS = [
  { code: "KeyN", key: "N", does: "Accept whoever has waited longest", action: "acceptNext" },
  { code: "ArrowDown", key: "↓", does: "Next of your chats", action: "next" },
  { code: "ArrowUp", key: "↑", does: "Previous of your chats", action: "previous" },
  { code: "KeyR", key: "R", does: "Go to the reply field", action: "reply" },
  { code: "KeyA", key: "A", does: "Attach files", action: "attach" },
  { code: "KeyL", key: "L", does: "Go to the list of chats", action: "list" },
  { code: "KeyD", key: "D", does: "Show or hide the details", action: "details" },
  { code: "KeyT", key: "T", does: "Hand the chat over", action: "pass" },
  { code: "KeyE", key: "E", does: "End the chat", action: "end" },
  { code: "KeyF", key: "F", does: "Show the figures of the last day", action: "figures" },
  { code: "Slash", key: "/", does: "Show this list", action: "help" },
];

/** The list for the help dialog; `saved` says whether there are saved replies, `files` whether files are taken. */
export function shortcuts({ saved, files }) {
  return [
    { keys: ["Enter"], does: "Send the reply" },
    { keys: ["Shift", "Enter"], does: "Begin a new line" },
    ...(saved ? [{ keys: ["/"], does: "Find a saved reply, at the beginning of a reply" }] : []),
    ...KEYS.filter(({ action }) => files || action !== "attach").map(({ key, does }) => ({ keys: ["Alt", key], does })),
    { keys: ["Esc"], does: "Close what lies on top" },
  ];
}

/** Let Alt and a key do what `doing` has a function for; by place on the keyboard, as Alt changes letters on a Mac. */
export function listen(doing) {
  document.addEventListener("keydown", (event) => {
    if (!event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const pressed = KEYS.find(({ code }) => code === event.code);
    if (!pressed || document.querySelector("dialog[open], #desk[hidden]")) return;
    event.preventDefault();
    doing[pressed.action]();
  });
}
