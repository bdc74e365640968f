"""What the Chat Agent API answers, read into plain facts; pure functions.

https://developers.liveperson.com/chat-agent-api-overview.html and its methods (read 2026-11). Three things
hold everywhere: the names of attributes come with an ``@`` or without, a list of one is an object, and
links are known by their ``rel``, never by their place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from rasa_handoff import strict_json as read
from rasa_handoff.backends.markup import text_of
from rasa_handoff.errors import Malformed
from rasa_handoff.model import Json
from rasa_handoff.transcript import clean

_LONGEST = 64_000  #: characters of anything that is read
_MOST = 10_000  #: entries of a list

ENDED = "ended"


# Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user's session."""

    bearer: str = field(repr=False)
    csrf: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ringing:
    """Chats that wait to be taken by us."""

    count: int
    link: str | None  #: where to take the next one; only while one rings


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatEvent:
    """Something that happened in a chat."""

    id: int  #: grows within the chat
    kind: str  #: line, state, or one that we do nothing about
    text: str = ""
    source: str = ""  #: of a line: visitor, agent or system
    state: str = ""  #: waiting, chatting or ended
    at: float = 0.0  #: seconds since the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Some events of a chat, oldest first, and where the next ones are."""

    events: tuple[ChatEvent, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """A skill that a chat can be transferred to now."""

    id: str
    name: str
    agents: int | None  #: of them online; None: not said

    def is_called(self, wanted: str) -> bool:
        return wanted.strip().casefold() in (self.id.casefold(), self.name.casefold())


@dataclass(frozen=True, slots=True, kw_only=True)
class Colleague:
    """Another agent of the account."""

    id: str
    name: str  #: as visitors see it
    login: str
    state: str  #: Offline, Online, Occupied or Away
    skills: tuple[str, ...] = ()  #: ids

    @property
    def takes_transfers(self) -> bool:
        return self.state in ("Online", "Occupied")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A chat as a whole."""

    events: Events
    info: Json
    links: Mapping[str, str]


# The pieces that all of it is made of


def several(value: Any) -> list[Any]:
    """*value* as a list: they send one of it bare, and none of it not at all."""
    if value is None:
        return []
    return value[:_MOST] if isinstance(value, list) else [value]


def attribute(node: Any, name: str) -> Any:
    """The attribute *name*, however it is written."""
    if not isinstance(node, Mapping):
        return None
    found = node.get(f"@{name}")
    return node.get(name) if found is None else found


def links(node: Any) -> dict[str, str]:
    """The addresses in *node* by their ``rel``."""
    found = [each for each in several(attribute(node, "link")) if isinstance(each, Mapping)]
    pairs = [(attribute(each, "rel"), attribute(each, "href")) for each in found]
    return {rel: href for rel, href in pairs if isinstance(rel, str) and isinstance(href, str)}


def number(value: Any) -> int | None:
    """A whole number, which they also send as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    return value if isinstance(value, int) else None


def word(value: Any) -> str:
    """A short text, or a number as one; empty where there is none."""
    if isinstance(value, str):
        return clean(value[:_LONGEST])
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


def _required(node: Any, name: str) -> Any:
    found = attribute(node, name)
    if found is None:
        raise Malformed(f"{name} is missing")
    return found


# The session


def read_login(payload: Json) -> Login:
    """The answer to a login."""
    return Login(
        bearer=read.text(payload, "bearer", max_length=10_000), csrf=read.text(payload, "csrf", max_length=10_000)
    )


def read_location(payload: Json, name: str) -> str:
    """The address in e.g. ``{"chatLocation": {"link": {"@href": …, "@rel": "location"}}}``."""
    found = links(read.mapping(payload, name)).get("location")
    if found is None:
        raise Malformed(f"{name} has no link")
    return found


def read_availability(payload: Json) -> str:
    """Ours: Online, Occupied or Away."""
    return word(_required(read.mapping(payload, "availability"), "chat"))


def read_ringing(payload: Json) -> Ringing:
    node = read.mapping(payload, "incomingRequests")
    count = number(_required(node, "ringingCount"))
    if count is None:
        raise Malformed("ringingCount must be a number")
    return Ringing(count=count, link=next(iter(links(node).values()), None))


def read_taken(payload: Json) -> str:
    """The id of the chat that was taken."""
    return chat_id_in(read_location(payload, "chatLocation"))


def read_held(payload: Json) -> list[str]:
    """The ids of the chats that we hold."""
    entries = several(attribute(payload.get("chatSessions"), "chatSession"))
    # The link is a single one, whatever its rel is called.
    return [chat_id_in(href) for each in entries for href in list(links(each).values())[:1]]


def chat_id_in(address: str) -> str:
    """The id in the address of a chat.

    Raises:
        Malformed: it is no such address.
    """
    found = re.search(r"/chat/([^/]+)", urlsplit(address).path)
    if found is None:
        raise Malformed("a chat's link must have /chat/<id>")
    return unquote(found[1]).removesuffix(".json")


# A chat


def read_chat(payload: Json) -> Chat:
    """The document of a chat: events, info and links."""
    node = read.mapping(payload, "chat")
    info = attribute(node, "info")
    return Chat(
        events=_events_in(attribute(node, "events")),
        info=dict(info) if isinstance(info, Mapping) else {},
        links=links(node),
    )


def read_events(payload: Json) -> Events:
    """An answer to a poll: the events alone, or those of a chat's document."""
    if "chat" in payload:
        return read_chat(payload).events
    return _events_in(read.mapping(payload, "events"))


def _events_in(node: Any) -> Events:
    found = [read_event(each) for each in several(attribute(node, "event"))]
    return Events(events=tuple(sorted(found, key=lambda event: event.id)), next=links(node).get("next"))


def read_event(node: Any) -> ChatEvent:
    """One event.

    Raises:
        Malformed: it has no id.
    """
    id = number(_required(node, "id"))
    if id is None:
        raise Malformed("the id of an event must be a number")
    text = word(attribute(node, "text"))
    return ChatEvent(
        id=id,
        kind=word(attribute(node, "type")),
        text=text_of(text) if attribute(node, "textType") == "html" else text,
        source=word(attribute(node, "source")),
        state=word(attribute(node, "state")),
        at=seconds(attribute(node, "time")),
    )


def seconds(value: Any) -> float:
    """Seconds since the epoch, from ``2018-01-29T08:19:43.963-05:00``; 0 where it is none."""
    text = value.replace("Z", "+00:00") if isinstance(value, str) else ""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def answered_up_to(events: tuple[ChatEvent, ...]) -> int:
    """The last line of an agent: what a bot has to hear of a chat that it did not have before is behind it."""
    return max((event.id for event in events if event.kind == "line" and event.source == "agent"), default=-1)


# Who else is there


def read_skills(payload: Json) -> list[Skill]:
    """The skills with somebody online to whom a chat can be transferred."""
    node = read.mapping(payload, "transfer")
    return [
        Skill(
            id=word(attribute(each, "id")),
            name=word(attribute(each, "name")),
            agents=number(attribute(each, "onlineAgents")),
        )
        for each in several(attribute(node, "skill"))
    ]


_STATES = {1: "Offline", 2: "Online", 3: "Occupied", 4: "Away"}


def read_agents(payload: Json) -> list[Colleague]:
    """The agents of the account."""
    node = attribute(read.mapping(payload, "availableAgents"), "agents")
    return [_agent(each) for each in several(attribute(node, "agent"))]


def _agent(node: Any) -> Colleague:
    state = attribute(node, "chatState")
    return Colleague(
        id=word(attribute(node, "id")),
        name=word(attribute(node, "nickname")) or word(attribute(node, "userName")),
        login=word(attribute(node, "userName")),
        state=_STATES.get(number(state) or 0) or word(state),
        skills=tuple(word(each) for each in several(attribute(attribute(node, "skills"), "skill"))),
    )
