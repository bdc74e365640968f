"""What LivePerson says about a chat, read into our events; pure functions.

https://developers.liveperson.com/server-chat-api-retrieve-chat-resources-events-and-information.html (read 2026-11)
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from rasa_handoff import strict_json
from rasa_handoff.backends.liveperson.content import read_rich_content
from rasa_handoff.backends.markup import text_of
from rasa_handoff.errors import Malformed
from rasa_handoff.events import AgentJoined, AgentMessage, AnyEvent, Closed, Transferred
from rasa_handoff.model import EndReason, Json, Person

log = logging.getLogger(__name__)

CHAT_TIMEOUT = 40.0  #: seconds after which they drop a user from whom nothing came, where they do not say
NOT_IN_CHAT = 5  #: `internalCode` of a refusal: nobody has the chat (any more) who could read the line
NOT_ALLOWED = 10  #: … of a user whom the account does not let in

_LONGEST_NAME = 200
_LONGEST_URL = 2048
_LONGEST_TEXT = 100_000
_FROM = re.compile(r"[?&]from=([0-9]{1,17})(?:&|$)")


# Their documents


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """How a chat stands."""

    state: str | None = None  #: waiting, chatting or ended
    agent: Person | None = None
    typing: bool = False  #: the agent
    timeout: float = CHAT_TIMEOUT  #: seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What happened to a chat behind some event."""

    items: tuple[Json, ...]  #: their events, in order
    next: int  #: the `@id` to go on with
    info: Info | None = None  #: where the answer has it


def read_page(payload: Json, start: int) -> Page:
    """The events from *start* on, from a chat's whole document or from its events alone.

    Raises:
        Malformed: there are no events in it.
    """
    chat = strict_json.mapping(payload, "chat", required=False) or payload
    events = strict_json.mapping(chat, "events")
    items = sorted(_numbered(events, start), key=_id)
    after_last = _id(items[-1]) + 1 if items else start
    return Page(
        items=tuple(items),
        next=max(after_last, _start_of(link(events, "next"))),
        info=_info_in(chat),
    )


def _info_in(chat: Json) -> Info | None:
    """How the chat stands, where the answer says it readably; the events matter more."""
    try:
        return read_info(chat) if "info" in chat else None
    except Malformed as error:
        log.error("liveperson_chat.unreadable info: %s", error)
        return None


def _numbered(events: Json, start: int) -> Iterator[Json]:
    for item in many(events, "event"):
        id = _id(item)
        if id < 0:
            log.error("liveperson_chat.unreadable an event without a number as its @id is left out")
        elif id >= start:
            yield item


def _id(item: Json) -> int:
    """The event's number, of which they make a text; -1: it has none."""
    id = str(item.get("@id", ""))
    return int(id) if id.isascii() and id.isdigit() and len(id) < 18 else -1


def _start_of(href: Any) -> int:
    """The event that a `next` link begins with; 0 where it does not say."""
    found = _FROM.search(href) if isinstance(href, str) else None
    return int(found[1]) if found else 0


def link(holder: Json, rel: str) -> Any:
    """Where the link *rel* leads, as they wrote it; they stand in any order."""
    return next((each.get("@href") for each in many(holder, "link") if each.get("@rel") == rel), None)


def many(holder: Any, name: str) -> list[Json]:
    """The objects under *name*: theirs is a list for several, an object for one, and absent for none."""
    found = holder.get(name) if isinstance(holder, dict) else None
    return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, dict)]


def read_info(payload: Json) -> Info:
    """How the chat stands, from ``{"info": {…}}``.

    Raises:
        Malformed: a field is not what it should be.
    """
    info = strict_json.mapping(payload, "info")
    timeout = strict_json.number(info, "chatTimeout", required=False)
    return Info(
        state=_text(info, "state"),
        agent=_person(info),
        typing=_text(info, "agentTyping") == "typing",
        timeout=timeout if timeout and timeout > 0 else CHAT_TIMEOUT,
    )


def _person(info: Json) -> Person | None:
    name, id = _text(info, "agentName"), info.get("agentId")
    return Person(name=name, id=None if id is None else str(id), department=_text(info, "skillName")) if name else None


def _text(holder: Json, name: str) -> str | None:
    return strict_json.text(holder, name, max_length=_LONGEST_NAME, required=False) or None


def read_code(body: bytes) -> int | None:
    """The `internalCode` of a refusal."""
    try:
        error = strict_json.mapping(strict_json.loads_object(body), "error")
        code = strict_json.number(error, "internalCode", required=False)
    except Malformed:
        return None
    return None if code is None else int(code)


def name_in(location: str | None) -> str | None:
    """What stands at the end of where they put a chat, or an event."""
    name = urlsplit(location or "").path.rstrip("/").rpartition("/")[2].removesuffix(".json")
    return name or None


def number_in(location: str | None) -> int | None:
    """The event's number at the end of where they put it."""
    number = _id({"@id": name_in(location)})
    return None if number < 0 else number


# Their events -> ours


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What there is to know of the chat whose events are read."""

    chat_id: str
    agent: Person  #: who has it, as far as is known
    chatting: bool = False  #: an agent has it


def wants_agent(page: Page) -> bool:
    """Whether an agent has taken the chat, so that it matters who it is."""
    return any(item.get("state") == "chatting" or item.get("@type") == "a2a-transfer" for item in page.items)


def said_by_user(page: Page, text: str) -> bool:
    """Whether the user's *text* is among the events."""
    return any(item.get("source") == "visitor" and item.get("text") == text for item in page.items)


def read_events(page: Page, about: About) -> list[AnyEvent]:
    """Our events, in order, up to the end of the chat. What cannot be read is logged and left out."""
    events: list[AnyEvent] = []
    for item in page.items:
        event = _read(item, about)
        if event is None:
            continue
        events.append(event)
        if isinstance(event, Closed):
            break
        if isinstance(event, (AgentJoined, Transferred)):
            about = replace(about, chatting=isinstance(event, AgentJoined))
    return events


def _read(item: Json, about: About) -> AnyEvent | None:
    reader = _READERS.get(str(item.get("@type")))
    try:
        return reader(item, about) if reader else None
    except Malformed as error:
        # Without it the events behind would never come.
        log.error("liveperson_chat.unreadable chat=%s event=%s %s", about.chat_id, _id(item), error)
        return None


def read_state(item: Json, about: About) -> AnyEvent | None:
    state = strict_json.text(item, "state", max_length=_LONGEST_NAME)
    if state == "chatting":
        return AgentJoined(**_about(item, about), agent=about.agent)
    if state == "ended":
        reason = EndReason.AGENT_CLOSED if about.chatting else EndReason.NOT_ACCEPTED
        return Closed(**_about(item, about), reason=reason)
    if state == "waiting" and about.chatting:  # a chat begins by waiting; later it is back in the queue
        return Transferred(**_about(item, about))
    return None


def read_line(item: Json, about: About) -> AgentMessage | None:
    # Lines of the user come back; those of the system speak for a website without a bot.
    if item.get("source") != "agent" or item.get("subType") == "ONLY_TO_REP":
        return None
    text = strict_json.text(item, "text", max_length=_LONGEST_TEXT, required=False) or ""
    message = AgentMessage(**_about(item, about), agent=_writer(item))
    if item.get("textType") == "rich-content":
        content = read_rich_content({"content": strict_json.loads_object(text.encode())})
        attachments, buttons = tuple(content.attachments), tuple(content.buttons)
        return replace(message, text=content.text, attachments=attachments, buttons=buttons) if content else None
    if item.get("textType") == "html":
        text = text_of(text)
    return replace(message, text=text) if text.strip() else None


def _writer(item: Json) -> Person | None:
    name, id = _text(item, "by"), item.get("agentId")
    return Person(name=name, id=None if id is None else str(id)) if name else None


def read_url(item: Json, about: About) -> AgentMessage:
    """A page that the agent pushed: a link, for a user who is not on the website."""
    url = strict_json.text(item, "url", max_length=_LONGEST_URL)
    if urlsplit(url).scheme not in ("http", "https"):
        raise Malformed("url must be an http:// or https:// address")
    return AgentMessage(**_about(item, about), agent=_writer(item), text=url)


def read_transfer(item: Json, about: About) -> AgentJoined:
    return AgentJoined(**_about(item, about), agent=about.agent)


# Any other event of theirs (e.g. line-status) is no business of ours.
_READERS: Mapping[str, Callable[[Json, About], AnyEvent | None]] = {
    "state": read_state,
    "line": read_line,
    "url": read_url,
    "a2a-transfer": read_transfer,
}


def _about(item: Json, about: About) -> dict[str, Any]:
    return {"chat_id": about.chat_id, "event_id": str(_id(item)), "at": _moment(item.get("time"))}


def _moment(time: Any) -> float | None:
    try:
        return datetime.fromisoformat(time).timestamp()
    except (TypeError, ValueError):
        return None
