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

# Each line after the first begins with a name of token characters and a colon right behind it.
_NO_NAME = re.compile(rb"\r\n(?![!#$%&'*+\-.^_`|~0-9A-Za-z]+:)")
_LENGTH = b"\r\ncontent-length:"
_ENCODING = b"\r\ntransfer-encoding:"
_MOST_DIGITS = 15


class Guard:
    """A part of a request class that refuses heads whose framing is not beyond doubt."""

    __slots__ = ()

    def __init__(self, url_bytes: bytes, *args: Any, head: bytes = b"", **kwargs: Any) -> None:
        # Sanic makes an empty request, with no head, to report that a real one failed.
        if head:
            require_clear_framing(head)
        try:
            super().__init__(url_bytes, *args, head=head, **kwargs)  # type: ignore[call-arg]
        except HttpParserInvalidURLError:
            if head:
                raise InvalidUsage("Bad Request") from None
            super().__init__(b"*", *args, head=head, **kwargs)  # type: ignore[call-arg]


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


def require_clear_framing(head: bytes) -> None:
    """Require *head*, as it came from the wire, to say in one way where the body ends."""
    # Searching bytes costs a third of what expressions do, and every request of the server pays.
    if not _has_clear_lines(head):
        raise InvalidUsage("Bad Request")
    lower = head.lower()
    lengths, encodings = lower.count(_LENGTH), lower.count(_ENCODING)
    if not lengths and not encodings:
        return
    clear = lengths + encodings == 1 and (_has_clear_length(head, lower) if lengths else _has_clear_chunks(head, lower))
    if not clear:
        raise InvalidUsage("Bad Request")


def _has_clear_lines(head: bytes) -> bool:
    breaks = head.count(b"\r\n")
    whole = head.count(b"\n") == breaks == head.count(b"\r") and b"\0" not in head
    return whole and not _NO_NAME.search(head)


def _has_clear_length(head: bytes, lower: bytes) -> bool:
    digits = _value(head, lower, _LENGTH).strip(b" \t")
    return digits.isdigit() and len(digits) <= _MOST_DIGITS


def _has_clear_chunks(head: bytes, lower: bytes) -> bool:
    # Sanic compares the value exactly, so it reads no other spelling as chunks.
    exact = _value(head, lower, _ENCODING).lstrip(b" \t") == b"chunked"
    return exact and head.partition(b"\r\n")[0].endswith(b" HTTP/1.1")


def _value(head: bytes, lower: bytes, name: bytes) -> bytes:
    """What stands behind *name*, up to the end of the line; as sent, for a space too many matters."""
    return head[lower.index(name) + len(name) :].partition(b"\r\n")[0]
