"""What the actions ask for, and what operators look at: one token opens it all."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Any

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse

from rasa_handoff import model
from rasa_handoff import strict_json as read
from rasa_handoff.errors import Malformed
from rasa_handoff.faces import Faces
from rasa_handoff.health import Condition
from rasa_handoff.model import Delivery, EndReason, Handoff, Json, Line, Rating, new_handoff_id
from rasa_handoff.runtime import Runtime
from rasa_handoff.store import deliveries, handoffs
from rasa_handoff.transcript import LONGEST_DETAIL, MOST_DETAILS
from rasa_handoff.web.answers import add_route, as_json, payload_of
from rasa_handoff.web.server_token import require_server_token

_NAME = 255  #: characters
_TEXT = 20_000
_LINES = 1_000


class OperatorsApi:
    """The routes with the server's token.

    Args:
        running: gives the runtime, which is there once the server has started.
    """

    def __init__(self, running: Callable[[], Runtime]) -> None:
        self._running = running

    def add_to(self, blueprint: Blueprint) -> None:
        for method, path, handler in (
            ("POST", "/handoffs", self.open),
            ("GET", "/handoffs", self.handoffs),
            ("POST", "/handoffs/close", self.close),
            ("POST", "/handoffs/rating", self.rate),
            ("POST", "/callbacks", self.call_back),
            ("GET", "/outbox", self.outbox),
            ("POST", "/outbox/<delivery_id:str>/retry", self.retry),
            ("GET", "/status", self.status),
        ):
            name = f"operators_{handler.__name__}_{method.lower()}"
            add_route(blueprint, method, path, handler, name)

    async def open(self, request: Request) -> HTTPResponse:
        runtime = require_server_token(request, self._running)
        asked = _request(await payload_of(request))
        require_known(asked.backend, runtime)
        return self._answer(runtime, await runtime.opening.request(asked))

    async def call_back(self, request: Request) -> HTTPResponse:
        runtime = require_server_token(request, self._running)
        payload = await payload_of(request)
        handoff_id, asked = _callback_id(payload), _request(payload)
        require_known(asked.backend, runtime)
        asked = replace(asked, callback=_contact(payload))
        return self._answer(runtime, await runtime.callbacks.leave(handoff_id, asked))

    async def handoffs(self, request: Request) -> HTTPResponse:
        runtime = require_server_token(request, self._running)
        sender_id = request.get_args(keep_blank_values=True).get("sender_id")
        if sender_id is None:
            found = await runtime.store.read(handoffs.all_open)
            return as_json({"handoffs": [of_handoff(each, runtime.settings.agents) for each in found]})
        if "\0" in sender_id:  # which PostgreSQL would not look for
            return as_json({"handoff": None})
        last = await runtime.store.read(lambda tx: handoffs.unsettled(tx, sender_id) or handoffs.last(tx, sender_id))
        return self._answer(runtime, last)

    async def close(self, request: Request) -> HTTPResponse:
        runtime = require_server_token(request, self._running)
        which = _which(await payload_of(request))
        return self._answer(runtime, await runtime.switchboard.close(EndReason.BOT_RESUMED, **which))

    async def rate(self, request: Request) -> HTTPResponse:
        runtime = require_server_token(request, self._running)
        payload = await payload_of(request)
        rated = await runtime.switchboard.rate(_rating(payload), **_which(payload))
        return self._answer(runtime, rated)

    def _answer(self, runtime: Runtime, handoff: Handoff | None) -> HTTPResponse:
        return as_json({"handoff": of_handoff(handoff, runtime.settings.agents) if handoff else None})

    async def outbox(self, request: Request) -> HTTPResponse:
        runtime = require_server_token(request, self._running)
        found = await runtime.store.read(deliveries.unfinished)
        return as_json({"deliveries": [of_delivery(each) for each in found]})

    async def retry(self, request: Request, delivery_id: str) -> HTTPResponse:
        runtime = require_server_token(request, self._running)
        await payload_of(request)
        return as_json({"delivery": of_delivery(await runtime.outbox.retry(delivery_id))})

    async def status(self, request: Request) -> HTTPResponse:
        runtime = require_server_token(request, self._running)
        counts = await runtime.store.read(deliveries.counts)
        return as_json(
            {
                "version": version(),
                "database": runtime.store.database,
                "open": await runtime.store.read(handoffs.count_open),
                "waiting": counts["pending"],
                "dead": counts["dead"],
                "backends": list(runtime.backends),
                "health": _health(await runtime.health.look()),
            }
        )


def _health(condition: Condition) -> Json:
    """Why ``/health`` says what it says."""
    return {"ready": condition.is_ready, **asdict(condition)}


def of_handoff(handoff: Handoff, faces: Faces) -> Json:
    """A handoff in the words of docs/http.md."""
    agent, shown = handoff.agent, faces.of(handoff.agent) if handoff.agent else None
    return {
        "id": handoff.id,
        "sender_id": handoff.sender_id,
        "channel": handoff.channel,
        "backend": handoff.backend,
        "status": handoff.status.value,
        "end_reason": handoff.end_reason.value if handoff.end_reason else None,
        "chat_id": handoff.chat_id,
        "agent": {"name": agent.name, "shown_as": shown.name, "department": shown.department}
        if agent and shown
        else None,
        "group": handoff.group,
        "queue_position": handoff.queue_position,
        "queue_minutes": handoff.queue_minutes,
        "opened_at": handoff.opened_at,
        "accepted_at": handoff.accepted_at,
        "closed_at": handoff.closed_at,
        "next_opening": handoff.notes.get("next_opening"),
    }


def of_delivery(delivery: Delivery) -> Json:
    """A delivery in the words of docs/http.md: never what it says."""
    names = ("id", "handoff_id", "target", "kind", "state", "attempts", "next_at", "error", "created_at")
    return {name: getattr(delivery, name) for name in names}


def _request(payload: Json) -> model.Request:
    return model.Request(
        sender_id=read.text(payload, "sender_id", max_length=_NAME),
        channel=read.text(payload, "channel", max_length=_NAME),
        transcript=_transcript(payload),
        parameters=read.mapping(payload, "parameters", required=False) or {},
        last_message=read.text(payload, "last_message", max_length=_TEXT, required=False),
        metadata=read.mapping(payload, "metadata", required=False) or {},
        backend=read.text(payload, "backend", max_length=_NAME, required=False),
        group=read.text(payload, "group", max_length=_NAME, required=False),
        priority=read.text(payload, "priority", max_length=_NAME, required=False),
    )


def require_known(backend: str | None, runtime: Runtime) -> None:
    """Require *backend*, where one is asked for, to be in the settings.

    Raises:
        Malformed: it is not; says which are.
    """
    if backend is not None and backend not in runtime.backends:
        raise Malformed(f"backend must be one of {', '.join(runtime.backends)}")


def _which(payload: Json) -> dict[str, str]:
    """Which handoff is meant: by its own name, or by the conversation's."""
    sender_id = read.text(payload, "sender_id", max_length=_NAME, required=False) or ""
    handoff_id = read.text(payload, "id", max_length=_NAME, required=False) or ""
    if not sender_id and not handoff_id:
        raise Malformed("sender_id or id is missing")
    return {"sender_id": sender_id, "handoff_id": handoff_id}


def _rating(payload: Json) -> Rating:
    stars = read.number(payload, "stars")
    if stars not in (1, 2, 3, 4, 5):
        raise Malformed("stars must be a whole number from 1 to 5")
    return Rating(stars=int(stars), resolved=read.boolean(payload, "resolved", required=False))


def _callback_id(payload: Json) -> str:
    given = read.text(payload, "id", max_length=36, required=False)
    try:
        return str(uuid.UUID(given)) if given else new_handoff_id()
    except ValueError:
        raise Malformed("id must be a UUID of your making") from None


def _contact(payload: Json) -> dict[str, str]:
    """How to reach the user: at least one detail, in whatever words the bot has for them."""
    details = read.mapping(payload, "callback")
    if not 0 < len(details) <= MOST_DETAILS or any(len(name) > _NAME for name in details):
        raise Malformed(f"callback must have 1 to {MOST_DETAILS} details, with names of at most {_NAME} characters")
    return {name: read.text(details, name, max_length=LONGEST_DETAIL) for name in details}


def _transcript(payload: Json) -> tuple[Line, ...]:
    return tuple(map(_line, read.sequence(payload, "transcript", max_length=_LINES, required=False) or []))


def _line(line: Any) -> Line:
    if not isinstance(line, dict) or line.get("who") not in ("user", "bot", "agent", "system"):
        raise Malformed("transcript must be a list of objects with who (user or bot), text and at")
    text = read.text(line, "text", max_length=_TEXT, required=False) or ""
    return Line(who=line["who"], text=text, at=read.number(line, "at", required=False) or 0.0)


def version() -> str:
    """Of this package; of a folder that was never installed it is not known."""
    try:
        return version_of("rasa_handoff")
    except PackageNotFoundError:
        return "unknown"
