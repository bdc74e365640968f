"""What was said before a handoff, as a page for people and as JSON, behind a link that expires."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from html import escape
from itertools import groupby

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse, raw

from rasa_handoff import signing
from rasa_handoff.errors import NotAuthentic, UnknownChat
from rasa_handoff.model import Handoff, Json, Line
from rasa_handoff.model import Request as Asked
from rasa_handoff.runtime import HISTORY, Runtime
from rasa_handoff.store import Tx, handoffs
from rasa_handoff.web.answers import add_route, as_json
from rasa_handoff.web.pages import HEADERS, Pages

_FILES = ("history.css", "page.css", "page.svg")
_JSON = ".json"
_HEADERS = {**HEADERS, "Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow"}
_WHO = {"user": "User", "bot": "Bot", "agent": "Agent", "system": "Note"}


class HistoryApi:
    """The route that `Runtime.history_url` leads to.

    Args:
        running: gives the runtime, which is there once the server has started.
    """

    def __init__(self, running: Callable[[], Runtime], now: Callable[[], float] = time.time) -> None:
        self._running = running
        self._now = now
        self._pages = Pages("rasa_handoff.web", "history.css")

    def add_to(self, blueprint: Blueprint) -> None:
        for name in _FILES:
            add_route(blueprint, "GET", f"/history/{name}", self._file, f"history_{name.replace('.', '_')}")
        add_route(blueprint, "GET", "/history/<token:str>", self.show, "history")

    async def _file(self, request: Request) -> HTTPResponse:
        return self._pages.serve(request, request.path.rpartition("/")[2])

    async def show(self, request: Request, token: str) -> HTTPResponse:
        wants_json = token.endswith(_JSON) or _prefers_json(request.headers.get("accept", ""))
        try:
            handoff, asked = await self._find(token.removesuffix(_JSON))
        except UnknownChat:
            if wants_json:
                raise
            return _as_page(_NOTHING, 404)
        if wants_json:
            return as_json(as_data(handoff, asked), headers=_HEADERS)
        return _as_page(as_html(handoff, asked))

    async def _find(self, token: str) -> tuple[Handoff, Asked]:
        """The handoff that *token* opens.

        Raises:
            UnknownChat: none; the link is wrong or has expired, or what it led to was deleted.
        """
        runtime = self._running()
        try:
            handoff_id = signing.require_signed(runtime.access.secret, HISTORY, token, self._now())
        except NotAuthentic as error:
            raise UnknownChat("the link is wrong, or has expired") from error

        def find(tx: Tx) -> tuple[Handoff | None, Asked | None]:
            return handoffs.get(tx, handoff_id), handoffs.request_of(tx, handoff_id)

        handoff, asked = await runtime.store.read(find)
        if handoff is None or asked is None:
            raise UnknownChat("the conversation has been deleted")
        return handoff, asked


def _prefers_json(accept: str) -> bool:
    return "application/json" in accept and "text/html" not in accept


def _as_page(content: str, status: int = 200) -> HTTPResponse:
    return raw(content.encode(), status, _HEADERS, content_type="text/html; charset=utf-8")


# For programs


def as_data(handoff: Handoff, asked: Asked) -> Json:
    """What was said, in the words of docs/http.md."""
    lines = [{"who": line.who, "text": line.text, "at": line.at} for line in asked.transcript]
    return {"id": handoff.id, "channel": handoff.channel, "opened_at": handoff.opened_at, "transcript": lines}


# For people


def as_html(handoff: Handoff, asked: Asked) -> str:
    """What was said, as a page; all that people wrote is text in it."""
    when = _clock(handoff.opened_at, "%-d %B %Y, %H:%M")
    about = f"Asked for a person on {when} UTC, through the channel {escape(handoff.channel)}."
    said = "\n".join(_days(asked.transcript)) or "<p class=day>Nothing was said, or it is not shown.</p>"
    return _page("Before the handoff", about, f"<main>\n{said}\n</main>\n<footer class=soft>Times are UTC.</footer>")


def _days(lines: Iterable[Line]) -> Iterator[str]:
    for day, said in groupby(lines, key=lambda line: _clock(line.at, "%A, %-d %B %Y")):
        if day:
            yield f"<h2 class=day>{day}</h2>"
        yield f"<ol>\n{''.join(map(_line, said))}</ol>"


def _line(line: Line) -> str:
    side = " mine" if line.who == "user" else ""
    at = _clock(line.at, '<time datetime="%Y-%m-%dT%H:%M:%SZ">%H:%M</time>')
    return (
        f'<li class="line{side}">'
        f"<p class=name>{_WHO[line.who]} {at}</p>"
        f'<div class="bubble message-text" dir=auto>{escape(line.text)}</div>'
        "</li>\n"
    )


def _clock(at: float, form: str) -> str:
    """A moment in UTC; nothing where nobody knows it."""
    return datetime.fromtimestamp(at, timezone.utc).strftime(form) if at else ""


def _page(title: str, about: str, more: str = "") -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex, nofollow">
<title>{title}</title>
<link rel="icon" href="page.svg" type="image/svg+xml">
<link rel="stylesheet" href="page.css">
<link rel="stylesheet" href="history.css">
</head>
<body>
<header>
<h1>{title}</h1>
<p class=soft>{about}</p>
</header>
{more}
</body>
</html>
"""


_NOTHING = _page(
    "This link opens nothing",
    "It may have expired, or the conversation has been deleted.",
)
