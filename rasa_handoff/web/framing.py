"""A guard before every request: one unambiguous length of the body, or 400 and the connection is closed.

Rasa's server reads the headers that say where a body ends more generously than the standard allows
(RFC 9112, section 6), and so it may disagree with a proxy in front of it about where a request ends.
"""

from __future__ import annotations

import re
from typing import Any

from httptools import HttpParserInvalidURLError
from sanic import Sanic
from sanic.exceptions import InvalidUsage
from sanic.request import Request

# Each line of the head after the first: a name of token characters, a colon right behind it, and a
# value without line breaks and NUL.
_ODD_LINE = re.compile(rb"\r\n(?![!#$%&'*+\-.^_`|~0-9A-Za-z]+:)|(?<!\r)\n|\r(?!\n)|\0")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*[0-9]{1,15}[ \t]*(?:\r\n|\Z)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked(?:\r\n|\Z)", re.IGNORECASE)


class Guard:
    """A part of a request class that refuses heads whose framing is not beyond doubt."""

    __slots__ = ()

    def __init__(self, url_bytes: bytes, *args: Any, head: bytes = b"", **kwargs: Any) -> None:
        # Sanic makes an empty request, with no head, to report that a real one failed.
        if head:
            _require_clear_lines(head)
        try:
            super().__init__(url_bytes, *args, head=head, **kwargs)  # type: ignore[call-arg]
        except HttpParserInvalidURLError:
            if head:
                raise InvalidUsage("Bad Request") from None
            super().__init__(b"*", *args, head=head, **kwargs)  # type: ignore[call-arg]
        if head:
            _require_clear_length(self)  # type: ignore[arg-type]


class GuardedRequest(Guard, Request):
    """A request whose framing is beyond doubt."""

    __slots__ = ()


def install(app: Sanic) -> None:
    """Guard every request of *app*; call it in a `before_server_start` listener.

    The request class is asked for at each new connection, so the guard is there before the first one.
    """
    current = app.request_class
    if issubclass(current, Guard):
        return
    if current is Request:
        app.request_class = GuardedRequest
    else:
        app.request_class = type("GuardedRequest", (Guard, current), {})


def _require_clear_lines(head: bytes) -> None:
    if _ODD_LINE.search(head):
        raise InvalidUsage("Bad Request")


def _require_clear_length(request: Request) -> None:
    headers = request.headers
    if "transfer-encoding" in headers:
        _require_chunked(request)
    elif "content-length" in headers and (
        len(headers.getall("content-length")) != 1 or not _LENGTH.search(request.head)
    ):
        raise InvalidUsage("Bad Request")


def _require_chunked(request: Request) -> None:
    headers = request.headers
    alone = "content-length" not in headers and len(headers.getall("transfer-encoding")) == 1
    # Sanic compares the value exactly, so nothing else than this spelling is read as chunks.
    exact = headers["transfer-encoding"] == "chunked" and _CHUNKED.search(request.head)
    if not alone or not exact or request.version != "1.1":
        raise InvalidUsage("Bad Request")
