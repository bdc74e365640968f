"""The bot's actions: hand over, take back, ask how it stands; in the action server, over HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
from rasa_sdk import Action, Tracker
from rasa_sdk.events import ConversationPaused, ConversationResumed, SlotSet
from rasa_sdk.executor import CollectingDispatcher

from rasa_handoff import access, strict_json, transcript
from rasa_handoff.errors import (
    BackendError,
    ConfigError,
    HandoffError,
    Malformed,
    TemporaryError,
    UnknownChat,
)
from rasa_handoff.model import EndReason, Json, Status

__all__ = [
    "ActionHandoff",
    "ActionHandoffCallback",
    "ActionHandoffCancel",
    "ActionHandoffRating",
    "ActionHandoffStatus",
]

log = logging.getLogger(__name__)

TIMEOUT = 15.0  #: seconds for an answer; an agent system has 10 s of them by default
_SERVER = "the Rasa server"
_MOST_BYTES = 65_536  #: of an answer; a real one has some hundred

# The slots with which a bot says where a handoff goes -> what the server calls it.
_WISHES = {"handoff_to": "backend", "handoff_group": "group", "handoff_priority": "priority"}

# What is said when the domain has no such response: silence would be worse than English.
_WORDS = {
    "utter_handoff_queued": "I am connecting you with a person. Please stay here.",
    "utter_handoff_active": "You are talking with a person now.",
    "utter_handoff_unavailable": "Nobody is available at the moment. I am still here to help.",
    "utter_handoff_outside_hours": "Nobody is here now, but again {next_opening}. I am still here to help.",
    "utter_handoff_rejected": "Your request was not accepted. I am still here to help.",
    "utter_handoff_failed": "I could not reach anybody just now. I am still here to help.",
    "utter_handoff_cancelled": "You are talking with me again.",
    "utter_handoff_none": "You are not waiting for a person.",
    "utter_handoff_status": "You asked for a person, and I am still connecting you.",
    "utter_handoff_callback_left": "Somebody will call you back.",
    "utter_handoff_callback_failed": "I could not leave your request for a call back. Please try again later.",
    "utter_handoff_rated": "Thank you for telling us.",
    "utter_handoff_rating_failed": "I could not pass that on. Thank you all the same.",
}
_REFUSALS = {
    EndReason.UNAVAILABLE.value: "utter_handoff_unavailable",
    EndReason.REJECTED.value: "utter_handoff_rejected",
}


class ActionHandoff(Action):
    """Ask for a person; the bot is quiet only when an agent system accepted."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout

    def name(self) -> str:
        return "action_handoff"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Json) -> list[Json]:
        turn = _Turn(dispatcher, tracker, domain)
        try:
            handoff = await self._open(tracker)
        except HandoffError as error:
            return turn.failed(self.name(), error)
        if handoff["end_reason"] == EndReason.HANDED_OVER:  # the bot has left, and nobody would hear it
            return [*turn.slots(handoff), ConversationPaused()]
        if handoff["status"] == Status.CLOSED:
            turn.say(_refused(handoff, turn), handoff)
            return turn.slots(handoff)
        turn.say(_opened(handoff), handoff)
        return [*turn.slots(handoff), ConversationPaused()]

    async def _open(self, tracker: Tracker) -> Json:
        server = _Server.find(self.timeout)
        try:
            return await server.open(_request(tracker))
        except TemporaryError as error:
            # Nobody knows what became of it. What the server says is what counts.
            return await _settle(server, tracker.sender_id, error)


class ActionHandoffCancel(Action):
    """End the handoff of this conversation; the bot is back."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout

    def name(self) -> str:
        return "action_handoff_cancel"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Json) -> list[Json]:
        turn = _Turn(dispatcher, tracker, domain)
        try:
            handoff = await _Server.find(self.timeout).close(tracker.sender_id)
        except HandoffError as error:
            return turn.failed(self.name(), error, keep=True)
        if handoff is None:
            turn.say("utter_handoff_none", _NONE)
            return [*turn.slots(_NONE), ConversationResumed()]
        turn.say("utter_handoff_cancelled", handoff)
        return [*turn.slots(handoff), ConversationResumed()]


class ActionHandoffStatus(Action):
    """Say how the handoff of this conversation stands."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout

    def name(self) -> str:
        return "action_handoff_status"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Json) -> list[Json]:
        turn = _Turn(dispatcher, tracker, domain)
        try:
            handoff = await _Server.find(self.timeout).current(tracker.sender_id)
        except HandoffError as error:
            return turn.failed(self.name(), error, keep=True)
        if handoff is None or handoff["status"] == Status.CLOSED:
            turn.say("utter_handoff_none", handoff or _NONE)
        else:
            turn.say("utter_handoff_status", handoff)
        return turn.slots(handoff or _NONE)


class ActionHandoffCallback(Action):
    """Leave a request to be called back, with what the bot has asked for; the bot goes on."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout

    def name(self) -> str:
        return "action_handoff_callback"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Json) -> list[Json]:
        turn = _Turn(dispatcher, tracker, domain)
        try:
            await self._leave(tracker)
        except HandoffError as error:
            turn.log(self.name(), error)
            turn.say("utter_handoff_callback_failed", _NONE)
            return turn.set(handoff_callback="failed")
        turn.say("utter_handoff_callback_left", _NONE)
        return turn.set(handoff_callback="left")

    async def _leave(self, tracker: Tracker) -> None:
        server = _Server.find(self.timeout)
        request = {**_request(tracker), "id": str(uuid.uuid4()), "callback": transcript.contact(tracker.slots)}
        for detail in request["callback"]:
            request["parameters"].pop(f"callback_{detail}", None)
        try:
            await server.leave(request)
        except TemporaryError:
            await server.leave(request)  # the id tells the server that it is the same one


class ActionHandoffRating(Action):
    """Pass on how content the user was with the agents, which the bot has asked for."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout

    def name(self) -> str:
        return "action_handoff_rating"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Json) -> list[Json]:
        turn = _Turn(dispatcher, tracker, domain)
        try:
            await _Server.find(self.timeout).rate(_rating(tracker))
        except HandoffError as error:
            turn.log(self.name(), error)
            turn.say("utter_handoff_rating_failed", _NONE)
        else:
            turn.say("utter_handoff_rated", _NONE)
        return turn.set(handoff_rating=None, handoff_resolved=None)  # of one handoff, not of the next


def _rating(tracker: Tracker) -> Json:
    """The user's answers; what is typed or pressed comes as text, what an entity extractor finds as a number."""
    stars, resolved = tracker.slots.get("handoff_rating"), tracker.slots.get("handoff_resolved")
    if isinstance(stars, str) and stars.strip().isdecimal():
        stars = int(stars.strip()[:2])
    known = {"stars": stars, "resolved": resolved if isinstance(resolved, bool) else None}
    return {"sender_id": tracker.sender_id, **{name: value for name, value in known.items() if value is not None}}


async def _settle(server: _Server, sender_id: str, error: TemporaryError) -> Json:
    """What became of a request whose answer did not arrive; an undecided one is taken back."""
    impatient = _Server(access=server.access, timeout=server.timeout / 3)
    handoff = await impatient.current(sender_id)
    if handoff is not None and handoff["status"] in (Status.QUEUED, Status.ACTIVE):
        return handoff
    if handoff is not None and handoff["status"] == Status.REQUESTED:
        await impatient.close(sender_id)
    raise error


def _refused(handoff: Json, turn: _Turn) -> str:
    own = turn.has("utter_handoff_outside_hours") or not turn.has("utter_handoff_unavailable")
    if handoff["next_opening"] and own:
        return "utter_handoff_outside_hours"
    return _REFUSALS.get(handoff["end_reason"], "utter_handoff_failed")


def _opened(handoff: Json) -> str:
    return "utter_handoff_active" if handoff["status"] == Status.ACTIVE else "utter_handoff_queued"


def _request(tracker: Tracker) -> Json:
    """Everything the agent should know."""
    lines = transcript.from_tracker(tracker.events)
    wishes = {word: tracker.slots.get(slot) for slot, word in _WISHES.items()}
    return {
        "sender_id": tracker.sender_id,
        "channel": tracker.get_latest_input_channel() or "unknown",
        "transcript": [{"who": line.who, "text": line.text, "at": line.at} for line in lines],
        "parameters": transcript.parameters(tracker.slots),
        "last_message": next((line.text for line in reversed(lines) if line.who == "user"), None),
        "metadata": transcript.metadata(tracker.latest_message.get("metadata")),
        **{word: transcript.clean(value) for word, value in wishes.items() if value is not None},
    }


# What the bot says and remembers


class _Turn:
    """One run of an action: what goes to the user and into the tracker, as far as the domain has it."""

    def __init__(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Json | None) -> None:
        self._dispatcher = dispatcher
        self._tracker = tracker
        self._domain = domain or {}

    def has(self, response: str) -> bool:
        """Whether the bot has its own words for *response*; a domain that is not known may have them."""
        responses = self._domain.get("responses")
        return responses is None or response in responses

    def say(self, response: str, handoff: Json) -> None:
        """Utter *response*, or plain words where the bot has none of its own."""
        values = {
            "status": handoff["status"],
            "queue_position": handoff["queue_position"],
            "queue_minutes": handoff["queue_minutes"],
            "ticket": handoff["ticket"],
            "agent_name": handoff["agent"] or "an agent",
            "department": handoff["department"],
            "end_reason": handoff["end_reason"],
            **_opening_in_words(handoff["next_opening"]),
        }
        if self.has(response):
            self._dispatcher.utter_message(response=response, **values)
        else:
            self._dispatcher.utter_message(text=_WORDS[response].format(**values))

    def slots(self, handoff: Json) -> list[Json]:
        """The handoff as those slots that the domain has."""
        return self.set(
            handoff_status=handoff["status"],
            handoff_id=handoff["id"],
            handoff_backend=handoff["backend"],
            handoff_queue_position=handoff["queue_position"],
            handoff_queue_minutes=handoff["queue_minutes"],
            handoff_ticket=handoff["ticket"],
            handoff_agent=handoff["agent"],
            handoff_department=handoff["department"],
            handoff_end_reason=handoff["end_reason"],
            handoff_next_opening=handoff["next_opening"],
        )

    def set(self, **values: Any) -> list[Json]:
        """Those of these slots that the domain has."""
        known: Iterable[str] | None = self._domain.get("slots")
        return [SlotSet(name, value) for name, value in values.items() if known is None or name in known]

    def failed(self, action: str, error: HandoffError, keep: bool = False) -> list[Json]:
        """Say and log that it did not work; *keep* the slots where the handoff may go on."""
        self.log(action, error)
        self.say("utter_handoff_failed", _FAILED)
        return [] if keep else self.slots(_FAILED)

    def log(self, action: str, error: HandoffError) -> None:
        log.error("handoff.action_failed action=%s sender_id=%r: %s", action, self._tracker.sender_id, error)


def _opening_in_words(local_time: str | None) -> dict[str, str]:
    """When somebody is there again: as English has it, and in parts for other languages."""
    if local_time is None:
        return {}
    opening = datetime.fromisoformat(local_time)
    days = (opening.date() - datetime.now(opening.tzinfo).date()).days
    near = {0: "today", 1: "tomorrow"}
    day = near.get(days) or (f"on {_WEEKDAYS[opening.weekday()]}" if days < 7 else f"on {opening:%Y-%m-%d}")
    return {
        "next_opening": f"{day} at {opening:%H:%M}",
        "next_opening_date": f"{opening:%Y-%m-%d}",
        "next_opening_time": f"{opening:%H:%M}",
    }


# Not strftime's: those are in the language of the machine.
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


# The Rasa server

_FIELDS = ("id", "backend", "status", "end_reason", "ticket", "agent", "department")
_NONE: Json = dict.fromkeys((*_FIELDS, "queue_position", "queue_minutes", "next_opening"))
_FAILED: Json = {**_NONE, "status": Status.CLOSED.value, "end_reason": EndReason.FAILED.value}


@dataclass(frozen=True, kw_only=True)
class _Server:
    """The plugin's HTTP interface, as the actions use it (docs/http.md)."""

    access: access.Access
    timeout: float  #: seconds for each request

    @classmethod
    def find(cls, timeout: float) -> _Server:
        found = access.find()
        if found is None:
            raise ConfigError(
                [
                    "where the Rasa server is and what opens it is not known here; start the Rasa server "
                    "in this folder first, or set HANDOFF_URL and HANDOFF_TOKEN"
                ]
            )
        return cls(access=found, timeout=timeout)

    async def open(self, request: Json) -> Json:
        handoff = await self._ask("open a handoff", "POST", "/handoffs", body=request)
        if handoff is None:
            raise BackendError(_SERVER, "open a handoff", detail="an answer without a handoff")
        return handoff

    async def leave(self, request: Json) -> None:
        """Leave a request to call back; with the same ``id`` a repeat has no second effect."""
        await self._ask("leave a request to call back", "POST", "/callbacks", body=request)

    async def rate(self, rating: Json) -> None:
        """Say how content the user was with their last handoff; a repeat takes the place of the first."""
        await self._ask("rate a handoff", "POST", "/handoffs/rating", body=rating)

    async def close(self, sender_id: str) -> Json | None:
        """The handoff that ended; None when none was open."""
        try:
            return await self._ask("end a handoff", "POST", "/handoffs/close", body={"sender_id": sender_id})
        except UnknownChat:
            return None

    async def current(self, sender_id: str) -> Json | None:
        """The open handoff, else the last one, else None."""
        return await self._ask("ask for a handoff", "GET", "/handoffs", query={"sender_id": sender_id})

    async def _ask(
        self,
        doing: str,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: dict[str, str] | None = None,
    ) -> Json | None:
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = {"Authorization": f"Bearer {self.access.token}", "Content-Type": "application/json"}
        url = f"{self.access.url}/webhooks/handoff{path}"
        timeout = aiohttp.ClientTimeout(total=self.timeout)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
                session.request(method, url, data=data, params=query, allow_redirects=False) as reply,
            ):
                status, content = reply.status, await _read(reply.content)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            raise TemporaryError(_SERVER, doing, detail=self._in_words(error)) from None
        _require_success(doing, status, content)
        return _handoff_in(doing, status, content)

    def _in_words(self, error: Exception) -> str:
        where = self._where()
        if isinstance(error, asyncio.TimeoutError):
            return f"no answer within {self.timeout:g}s from {where}; see whether it is overloaded"
        return f"{type(error).__name__}; see that it runs at {where}, or set HANDOFF_URL"

    def _where(self) -> str:
        """The server's address without a name and password that may be in it."""
        return re.sub(r"//[^/]*@", "//", self.access.url)


async def _read(content: aiohttp.StreamReader) -> bytes:
    """The body of an answer, up to a size no real one has."""
    read = bytearray()
    async for part in content.iter_any():
        read += part
        if len(read) > _MOST_BYTES:
            raise aiohttp.ClientPayloadError("too large")
    return bytes(read)


_FOREIGN = "an answer that is not the plugin's; see that HANDOFF_URL leads to the Rasa server"
_REMEDIES = {
    401: "the token is not the server's; give both the same HANDOFF_TOKEN, or neither",
    404: "the plugin is not there; add rasa_handoff.HandoffInput to the server's credentials.yml",
    413: "the request is too large",
}


def _require_success(doing: str, status: int, content: bytes) -> None:
    if status == 200:
        return
    if status >= 500 or status == 429:
        raise TemporaryError(_SERVER, doing, status, "see the server's log")
    complaint = _complaint(content)
    if status == 404 and complaint:
        raise UnknownChat(complaint)
    raise BackendError(_SERVER, doing, status, _REMEDIES.get(status) or complaint or _FOREIGN)


def _complaint(content: bytes) -> str | None:
    """What the plugin says is wrong; None when it is not the plugin that speaks."""
    try:
        error = strict_json.mapping(strict_json.loads_object(content), "error")
        return strict_json.text(error, "message", max_length=200)
    except Malformed:
        return None


def _handoff_in(doing: str, status: int, content: bytes) -> Json | None:
    """The handoff in an answer, with what the bot needs of it."""
    try:
        found = strict_json.mapping(strict_json.loads_object(content), "handoff", required=False)
        return None if found is None else _read_handoff(found)
    except Malformed:
        raise BackendError(_SERVER, doing, status, _FOREIGN) from None


def _read_handoff(found: Json) -> Json:
    agent = strict_json.mapping(found, "agent", required=False)
    status = strict_json.text(found, "status", max_length=20)
    if status not in {known.value for known in Status}:
        raise Malformed("status must be one of ours")
    return {
        "id": strict_json.text(found, "id", max_length=100),
        "backend": strict_json.text(found, "backend", max_length=100),
        "status": status,
        "end_reason": strict_json.text(found, "end_reason", max_length=40, required=False),
        "ticket": strict_json.text(found, "chat_id", max_length=1000, required=False),
        "agent": None if agent is None else strict_json.text(agent, "shown_as", max_length=1000, required=False),
        "department": None if agent is None else strict_json.text(agent, "department", max_length=1000, required=False),
        "queue_position": strict_json.number(found, "queue_position", required=False),
        "queue_minutes": strict_json.number(found, "queue_minutes", required=False),
        "next_opening": _local_time(found),
    }


def _local_time(found: Json) -> str | None:
    """The moment at which the agents are there again, as the clocks show it there."""
    text = strict_json.text(found, "next_opening", max_length=40, required=False)
    if text is None:
        return None
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise Malformed("next_opening must be a time") from None
    return text
