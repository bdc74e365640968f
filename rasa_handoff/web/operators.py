"""What the actions ask for, and what operators look at: one token opens it all."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse

from rasa_handoff import model, signing
from rasa_handoff import strict_json as read
from rasa_handoff.errors import Malformed
from rasa_handoff.model import Delivery, EndReason, Handoff, Json, Line
from rasa_handoff.runtime import Runtime
from rasa_handoff.store import deliveries, handoffs
from rasa_handoff.web.answers import answering, as_json, payload_of

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
            ("GET", "/outbox", self.outbox),
            ("POST", "/outbox/<delivery_id:str>/retry", self.retry),
            ("GET", "/status", self.status),
        ):
            name = f"operators_{handler.__name__}_{method.lower()}"
            blueprint.add_route(answering(handler), path, [method], name=name, stream=method == "POST")

    def _require_token(self, request: Request) -> Runtime:
        runtime = self._running()
        signing.require_bearer(request.headers.get("authorization"), runtime.access.token)
        return runtime

    async def open(self, request: Request) -> HTTPResponse:
        runtime = self._require_token(request)
        asked = _request(await payload_of(request))
        if asked.backend is not None and asked.backend not in runtime.backends:
            raise Malformed(f"backend must be one of {', '.join(runtime.backends)}")
        return as_json({"handoff": of_handoff(await runtime.opening.request(asked))})

    async def handoffs(self, request: Request) -> HTTPResponse:
        runtime = self._require_token(request)
        sender_id = request.args.get("sender_id")
        if sender_id is None:
            found = await runtime.store.read(handoffs.all_open)
            return as_json({"handoffs": [of_handoff(each) for each in found]})
        last = await runtime.store.read(lambda tx: handoffs.unsettled(tx, sender_id) or handoffs.last(tx, sender_id))
        return as_json({"handoff": of_handoff(last) if last else None})

    async def close(self, request: Request) -> HTTPResponse:
        runtime = self._require_token(request)
        payload = await payload_of(request)
        sender_id = read.text(payload, "sender_id", max_length=_NAME, required=False) or ""
        handoff_id = read.text(payload, "id", max_length=_NAME, required=False) or ""
        if not sender_id and not handoff_id:
            raise Malformed("sender_id or id is missing")
        ended = await runtime.switchboard.close(EndReason.BOT_RESUMED, sender_id=sender_id, handoff_id=handoff_id)
        return as_json({"handoff": of_handoff(ended)})

    async def outbox(self, request: Request) -> HTTPResponse:
        runtime = self._require_token(request)
        found = await runtime.store.read(deliveries.unfinished)
        return as_json({"deliveries": [of_delivery(each) for each in found]})

    async def retry(self, request: Request, delivery_id: str) -> HTTPResponse:
        runtime = self._require_token(request)
        await payload_of(request)
        return as_json({"delivery": of_delivery(await runtime.outbox.retry(delivery_id))})

    async def status(self, request: Request) -> HTTPResponse:
        runtime = self._require_token(request)
        counts = await runtime.store.read(deliveries.counts)
        return as_json(
            {
                "version": _version(),
                "database": runtime.store.database,
                "open": await runtime.store.read(handoffs.count_open),
                "waiting": counts["pending"],
                "dead": counts["dead"],
                "backends": list(runtime.backends),
            }
        )


def of_handoff(handoff: Handoff) -> Json:
    """A handoff in the words of docs/http.md."""
    return {
        "id": handoff.id,
        "sender_id": handoff.sender_id,
        "channel": handoff.channel,
        "backend": handoff.backend,
        "status": handoff.status.value,
        "end_reason": handoff.end_reason.value if handoff.end_reason else None,
        "agent": {"name": handoff.agent.name} if handoff.agent else None,
        "group": handoff.group,
        "queue_position": handoff.queue_position,
        "opened_at": handoff.opened_at,
        "accepted_at": handoff.accepted_at,
        "closed_at": handoff.closed_at,
    }


def of_delivery(delivery: Delivery) -> Json:
    """A delivery in the words of docs/http.md: never what it says."""
    names = ("id", "handoff_id", "target", "kind", "state", "attempts", "next_at", "error", "created_at")
    return {name: getattr(delivery, name) for name in names}


def _request(payload: Json) -> model.Request:
    return model.Request(
        sender_id=read.text(payload, "sender_id", max_length=_NAME),
        channel=read.text(payload, "channel", max_length=_NAME),
        transcript=tuple(_line(line) for line in read.sequence(payload, "transcript", max_length=_LINES, required=False) or []),
        parameters=read.mapping(payload, "parameters", required=False) or {},
        last_message=read.text(payload, "last_message", max_length=_TEXT, required=False),
        metadata=read.mapping(payload, "metadata", required=False) or {},
        backend=read.text(payload, "backend", max_length=_NAME, required=False),
        group=read.text(payload, "group", max_length=_NAME, required=False),
        priority=read.text(payload, "priority", max_length=_NAME, required=False),
    )


def _line(line: Any) -> Line:
    if not isinstance(line, dict) or line.get("who") not in ("user", "bot", "agent", "system"):
        raise Malformed("transcript must be a list of objects with who (user or bot), text and at")
    text = read.text(line, "text", max_length=_TEXT, required=False) or ""
    return Line(who=line["who"], text=text, at=read.number(line, "at", required=False) or 0.0)


def _version() -> str:
    try:
        return version("rasa_handoff")
    except PackageNotFoundError:
        return "unknown"


