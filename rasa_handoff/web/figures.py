"""What handoffs came to, for whoever leads the agents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse

from rasa_handoff import figures
from rasa_handoff.errors import Malformed
from rasa_handoff.figures import BY, By, Figures, Question
from rasa_handoff.model import Json
from rasa_handoff.runtime import Runtime
from rasa_handoff.settings.values import read_duration
from rasa_handoff.web.answers import add_route, as_json
from rasa_handoff.web.server_token import require_server_token

_SINCE = "7d"
_ZONE = "UTC"
T = TypeVar("T")


class FiguresApi:
    """One route, with the server's token.

    Args:
        running: gives the runtime, which is there once the server has started.
    """

    def __init__(self, running: Callable[[], Runtime]) -> None:
        self._running = running

    def add_to(self, blueprint: Blueprint) -> None:
        add_route(blueprint, "GET", "/stats", self.stats, "stats")

    async def stats(self, request: Request) -> HTTPResponse:
        runtime = require_server_token(request, self._running)
        question = _question(request, runtime.now())
        report = await figures.report(runtime.store, question)
        return as_json(
            {
                "since": question.since,
                "until": question.until,
                "by": question.by,
                "kept_for": runtime.settings.retention,
                "total": of_figures(report.total),
                "rows": [{"name": name, **of_figures(row)} for name, row in report.rows.items()],
            }
        )


def of_figures(one: Figures) -> Json:
    """Figures in the words of docs/http.md, with the shares that people ask for."""
    return {**asdict(one), "taken_share": _share(one.taken, one), "abandoned_share": _share(one.abandoned, one)}


def _share(part: int, one: Figures) -> float | None:
    return part / one.handoffs if one.handoffs else None


def _question(request: Request, now: float) -> Question:
    seconds = _read(request, "since", _SINCE, read_duration)
    zone = _read(request, "zone", _ZONE, _zone)
    by = _read(request, "by", "", _by)
    since = max(now - seconds, 0.0)
    if by == "day":  # the first day is whole, too
        since = figures.midnight_before(since, zone)
    return Question(since=since, until=now, by=by, zone=zone)


def _read(request: Request, name: str, otherwise: str, read: Callable[[str], T]) -> T:
    """What the address says of *name*.

    Raises:
        Malformed: it cannot be read.
    """
    try:
        return read(request.args.get(name) or otherwise)
    except ValueError as error:
        raise Malformed(f"{name} {error}") from error


def _by(text: str) -> By | None:
    if not text:
        return None
    found = next((by for by in BY if by == text), None)
    if found is None:
        raise ValueError(f"must be one of {', '.join(BY)}")
    return found


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        raise ValueError("is not a time zone; write e.g. Europe/Berlin") from None
