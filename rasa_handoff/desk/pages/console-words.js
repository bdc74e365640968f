// What the interface's words are called on the page.

const ENDS = {
  resolved: "Resolved",
  unresolved: "Not resolved",
  spam: "Spam",
  other: "Something else",
  agent_closed: "Ended by an agent",
  user_left: "The user left",
  unavailable: "Nobody was available",
  rejected: "Turned away",
  not_accepted: "Nobody accepted in time",
  agent_silent: "No answer from the agent",
  agent_left: "The agent went away",
  user_idle: "The user stopped writing",
  bot_resumed: "Given back to the bot",
  failed: "Could not be delivered",
  handed_over: "Went on elsewhere",
};
const CHANNELS = {
  handoff: "Web chat",
  rest: "Web (rest)",
  socketio: "Web (socket.io)",
  callback: "Callback",
  cmdline: "Command line",
  facebook: "Facebook",
  hangouts: "Google Chat",
  mattermost: "Mattermost",
  rocketchat: "Rocket.Chat",
  slack: "Slack",
  telegram: "Telegram",
  twilio: "Twilio",
  twilio_voice: "Twilio Voice",
  webexteams: "Webex",
};
export const WAITS = "Not sent yet, trying again";
const STATES = {
  sending: "Sending",
  waiting: WAITS,
  sent: "Sent",
  delivered: "Delivered",
  failed: "Not delivered",
  taken_back: "Taken back",
};

/** Why a chat ended. */
export function endOf(reason) {
  return ENDS[reason] ?? reason;
}

/** Who ended it, given the chat. */
export function endedBy(chat) {
  if (chat.end.by === "agent") return chat.agent?.name ?? "an agent";
  return chat.end.by === "user" ? "the user" : "the system";
}

/** The user's channel. */
export function channelOf(name) {
  return CHANNELS[name] ?? name;
}

/** What became of a message. */
export function stateOf(message) {
  return STATES[message.state] ?? message.state;
}

/** Whether the user's name was made up for the web chat. */
export function isGuest(chat) {
  return chat.user.startsWith("web-");
}

/** How the list calls a user: a made-up web name says nothing, the number of their first chat does. */
export function userOf(chat) {
  if (chat.callback?.name) return chat.callback.name;
  return isGuest(chat) ? `Guest ${chat.user_number}` : chat.user;
}

/** Whether the user's side is there. */
export function connectionOf(chat) {
  if (chat.user_connected === null) return "Connection unknown";
  return chat.user_connected ? "Connected" : "Not connected";
}

/** The stem of the CSS class for it. */
export function connectionClass(chat) {
  if (chat.user_connected === null) return "unknown";
  return chat.user_connected ? "here" : "gone";
}

export const NO_FOLDERS = "A folder cannot be sent, only the files in it.";
export const NO_PUBLIC_URL = "Users of this channel cannot open files until public_url is set";

/** That a file is not sent, and why. */
export function notSent(name, why) {
  return `“${name}” is not sent: ${why}.`;
}

/** That a message takes only so many files. */
export function leftOut(count, most) {
  return `A message takes up to ${most} files. ${count === 1 ? "One was" : `${count} were`} left out.`;
}

/** That files were given up, as the chat is not the agent's any more. */
export function givenUp(chat, files) {
  const what = files.length === 1 ? `“${files[0].name}” was` : `${files.length} files were`;
  if (chat.state === "closed") return `The chat with ${userOf(chat)} has ended, and ${what} not sent.`;
  if (chat.state === "waiting") return `${userOf(chat)} is back in the queue, and ${what} not sent.`;
  return `${userOf(chat)} is with ${chat.agent?.name ?? "somebody else"} now, and ${what} not sent.`;
}

/** A number and its noun. */
export function some(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
