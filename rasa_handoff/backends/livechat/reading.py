"""What LiveChat tells us, in our words: webhooks, and threads that were asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rasa_handoff import strict_json as read
from rasa_handoff.backends.livechat.content import LONGEST_URL, SHOWN, objects
from rasa_handoff.errors import Malformed
from rasa_handoff.events import AgentJoined, AgentMessage, AnyEvent, Closed, QueueMoved, Transferred
from rasa_handoff.model import EndReason, Json, Person

LONGEST_ID = 200
_LONGEST_NAME = 200
_MOST_USERS = 200
_MOST_THREADS = 200
_MOST_CHATS = 100
_MOST_EVENTS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is known of the chat that something is about."""

    chat_id: str
    sender_id: str | None = None  #: the conversation, where it is found by the customer
    customer: str | None = None  #: the user's id there
    people: Mapping[str, Person] = field(default_factory=dict)  #: agents, by either of their ids
    agent_name: str = "An agent"  #: where they do not say who it is
    taken: bool = False  #: an agent has it

    @property
    def where(self) -> dict[str, Any]:
        return {"chat_id": self.chat_id, "sender_id": self.sender_id}


# Webhooks: https://platform.text.com/docs/management/webhooks (read 2026-11)


def read_incoming_chat(payload: Json, about: About) -> list[AnyEvent]:
    """A chat began or goes on; who is routed at once is in it already."""
    chat = read.mapping(payload, "chat")
    thread = read.mapping(chat, "thread", required=False) or {}
    joined = [AgentJoined(**about.where, agent=person) for person in agents_in(chat, about.agent_name).values()]
    return [*joined[:1], *read_queue(thread, about), *messages_in(thread, about)]


def read_incoming_event(payload: Json, about: About) -> list[AnyEvent]:
    said = read_event(read.mapping(payload, "event"), about)
    return [said] if said else []


def read_user_added(payload: Json, about: About) -> list[AnyEvent]:
    user = read.mapping(payload, "user", required=False) or {"type": payload.get("user_type")}
    person = _agent(user, about.agent_name)
    return [AgentJoined(**about.where, agent=person)] if person else []


def read_transferred(payload: Json, about: About) -> list[AnyEvent]:
    """To an agent whose name is known, or back to where nobody has it; other news a look brings."""
    target = read.mapping(payload, "transferred_to", required=False) or {}
    groups, agents = _ids(target, "group_ids"), _ids(target, "agent_ids")
    queue = read_queue(payload, about)
    if agents:
        person = about.people.get(agents[0])
        group = groups[0] if groups else None
        if person is None:
            return []
        return [Transferred(**about.where, agent=person, group=group) if about.taken else _joined(person, about)]
    if not about.taken or payload.get("reason") == "assigned":
        return queue
    return [Transferred(**about.where, group=groups[0] if groups else None), *queue]


def read_deactivated(payload: Json, about: About) -> list[AnyEvent]:
    """The chat is over; who ended it is not named where their router did."""
    by = read.text(payload, "user_id", max_length=LONGEST_ID, required=False)
    if by is None:
        reason = EndReason.AGENT_CLOSED if about.taken else EndReason.NOT_ACCEPTED
    else:
        reason = EndReason.USER_LEFT if by == about.customer else EndReason.AGENT_CLOSED
    return [Closed(**about.where, reason=reason)]


def read_nothing(payload: Json, about: About) -> list[AnyEvent]:
    return []


# Their event -> ours; any other of theirs is no business of ours. What follows from the last ones depends on more
# than they say: who is still there, what the message said before, which of ours had been sent.
READERS: Mapping[str, Callable[[Json, About], list[AnyEvent]]] = {
    "incoming_chat": read_incoming_chat,
    "incoming_event": read_incoming_event,
    "event_updated": read_incoming_event,
    "user_added_to_chat": read_user_added,
    "chat_transferred": read_transferred,
    "chat_deactivated": read_deactivated,
    "user_removed_from_chat": read_nothing,
    "events_marked_as_seen": read_nothing,
    "event_deleted": read_nothing,
}


def chat_of(payload: Json) -> tuple[str, str | None]:
    """The chat that a webhook is about, and its thread where that is named."""
    chat = read.mapping(payload, "chat", required=False)
    if chat is None:
        return _id(payload, "chat_id"), _id_or_none(payload, "thread_id")
    thread = read.mapping(chat, "thread", required=False) or {}
    return _id(chat, "id"), _id_or_none(thread, "id")


def people_at(payload: Json, additional: Json) -> list[str]:
    """The ids of everybody in the chat, as far as a webhook names them."""
    chat = read.mapping(payload, "chat", required=False) or {}
    users = [user.get("id") for user in objects(chat, "users", _MOST_USERS)]
    present = additional.get("chat_presence_user_ids")
    named = [*users, *(present if isinstance(present, list) else [])]
    return [each for each in named if isinstance(each, str)]


def agents_in(chat: Json, agent_name: str) -> dict[str, Person]:
    """The agents in a chat, by id."""
    found = {user.get("id"): _agent(user, agent_name) for user in objects(chat, "users", _MOST_USERS)}
    return {key: person for key, person in found.items() if isinstance(key, str) and person}


def _agent(user: Json, agent_name: str) -> Person | None:
    """An agent who is in the chat; their id stays out of it, for webhooks and the API have different ones."""
    if user.get("type") != "agent" or user.get("present") is False:
        return None
    name, avatar = user.get("name"), user.get("avatar")
    known = isinstance(avatar, str) and len(avatar) <= LONGEST_URL and avatar.startswith("https://")
    return Person(
        name=name[:_LONGEST_NAME] if isinstance(name, str) and name.strip() else agent_name,
        avatar_url=avatar if known else None,
    )


def _joined(person: Person, about: About) -> AgentJoined:
    return AgentJoined(**about.where, agent=person)


def read_queue(holder: Json, about: About) -> list[AnyEvent]:
    """The place in the queue, while there is one."""
    queue = read.mapping(holder, "queue", required=False)
    if queue is None:
        return []
    position = read.number(queue, "position", required=False)
    wait = read.number(queue, "wait_time", required=False)
    place = int(position) if position is not None and position >= 1 else None
    return [QueueMoved(**about.where, position=place, wait=wait)]


# Threads, as `list_threads` and `get_chat` give them

# Which of their system messages say why a thread is over.
# https://platform.text.com/docs/messaging/references/system-activities (read 2026-11)
_ENDS: Mapping[str, EndReason] = {
    "manual_archived_agent": EndReason.AGENT_CLOSED,
    "manual_archived_customer": EndReason.USER_LEFT,
    "archived_customer_disconnected": EndReason.USER_LEFT,
    "routing.archived_inactive": EndReason.USER_IDLE,
    "routing.archived_offline": EndReason.AGENT_LEFT,
    "routing.archived_disconnected": EndReason.AGENT_LEFT,
    "routing.archived_signed_out": EndReason.AGENT_LEFT,
    "routing.archived_remotely_signed_out": EndReason.AGENT_LEFT,
    "routing.archived_deleted": EndReason.AGENT_LEFT,
    "routing.archived_other": EndReason.AGENT_CLOSED,
    "system_archived": EndReason.AGENT_CLOSED,
}


def chats_in(answer: Json) -> list[Json]:
    """The chats in an answer of `list_chats`.

    Raises:
        Malformed: there is no list of them.
    """
    # 3.7 has another name for it.
    found = read.sequence(answer, "chats_info" if "chats_info" in answer else "chats_summary", max_length=_MOST_CHATS)
    return [each for each in found if isinstance(each, dict)]


def thread_in(answer: Json, thread_id: str | None) -> Json | None:
    """The thread with this id, else (none is asked for) the newest; None: it is not among them.

    Raises:
        Malformed: there is no list of them, which says nothing about the chat.
    """
    threads = read.sequence(answer, "threads", max_length=_MOST_THREADS)
    return next((each for each in threads if isinstance(each, dict) and thread_id in (None, each.get("id"))), None)


def messages_in(thread: Json, about: About, after: str | None = None) -> list[AgentMessage]:
    """What agents wrote in a thread, behind the event *after* where that is in it."""
    events = objects(thread, "events", _MOST_EVENTS)
    ids = [event.get("id") for event in events]
    behind = events[ids.index(after) + 1 :] if after in ids else events
    found = (_read_or_none(event, about) for event in behind)
    return [said for said in found if said]


def read_end(thread: Json, about: About) -> list[AnyEvent]:
    """The end, where the thread is over."""
    if thread.get("active") is not False:
        return []
    kinds = [event.get("system_message_type") for event in objects(thread, "events", _MOST_EVENTS)]
    reasons = [_ENDS[kind] for kind in kinds if isinstance(kind, str) and kind in _ENDS]
    default = EndReason.AGENT_CLOSED if about.taken else EndReason.NOT_ACCEPTED
    return [Closed(**about.where, reason=reasons[-1] if reasons else default)]


def has_custom_id(thread: Json, custom_id: str) -> bool:
    """Whether something of ours is in the thread."""
    return any(event.get("custom_id") == custom_id for event in objects(thread, "events", _MOST_EVENTS))


def last_event(thread: Json) -> str | None:
    """The id of the newest event."""
    events = objects(thread, "events", _MOST_EVENTS)
    return _id_or_none(events[-1], "id") if events else None


# Events: https://platform.text.com/docs/messaging/customer-chat-api/data-structures#events (read 2026-11)


def read_event(event: Json, about: About) -> AgentMessage | None:
    """What an agent wrote to the user; None for all else: whispers, what the user said, what the system says."""
    author = read.text(event, "author_id", max_length=LONGEST_ID, required=False)
    show = SHOWN.get(read.text(event, "type", max_length=LONGEST_ID))
    if show is None or not author or author == about.customer or not _is_for_all(event):
        return None
    at = seconds_of(event.get("created_at"))
    said = AgentMessage(**about.where, event_id=_id(event, "id"), at=at, agent=about.people.get(author))
    said = show(said, event)
    return said if said.text.strip() or said.attachments or said.buttons or said.cards else None


def _read_or_none(event: Json, about: About) -> AgentMessage | None:
    """Of a whole thread one event that cannot be read is no reason to drop the others."""
    try:
        return read_event(event, about)
    except Malformed:
        return None


def _is_for_all(event: Json) -> bool:
    return all(event.get(name, "all") == "all" for name in ("visibility", "recipients"))


def seconds_of(moment: Any) -> float | None:
    """Seconds since the epoch of a time as in ``2017-10-12T15:19:21.010200Z``."""
    if not isinstance(moment, str):
        return None
    try:
        # Python 3.10 reads no Z, and no fraction that has not three or six digits.
        found = re.fullmatch(r"(.{19})(\.\d+)?(Z|[+-]\d\d:\d\d)", moment)
        zone = "+00:00" if found is None or found[3] == "Z" else found[3]
        return datetime.fromisoformat(f"{found[1]}{zone}").timestamp() + float(found[2] or 0) if found else None
    except (ValueError, OverflowError):
        return None


def _ids(holder: Json, name: str) -> list[str]:
    """A list of ids, numbers or texts."""
    return list(_as_texts(read.sequence(holder, name, max_length=_MOST_USERS, required=False) or []))


def _as_texts(values: list[Any]) -> Iterator[str]:
    for each in values:
        if isinstance(each, (str, int)) and not isinstance(each, bool):
            yield str(each)


def _id(holder: Json, name: str) -> str:
    return read.text(holder, name, max_length=LONGEST_ID)


def _id_or_none(holder: Json, name: str) -> str | None:
    return read.text(holder, name, max_length=LONGEST_ID, required=False) or None
