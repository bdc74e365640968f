"""Which part of a file a reader asks for: RFC 9110, 14; players of films ask for parts, and some for nothing else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

_ONE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)


class NoSuchPart(Exception):
    """The file has no bytes there."""


def wanted(headers: Mapping[str, str], size: int | None) -> range | None:
    """The bytes, of *size*, that a request with these headers asks for; None: all of them.

    Several parts at once are as good as all, as the RFC allows; and so is a part of an earlier state of the file,
    for we do not know of any; or of one whose size nobody knows.

    Raises:
        NoSuchPart: it has none of them.
    """
    asked = _ONE.fullmatch(headers.get("range", ""))
    if asked is None or size is None or asked.group(1) == asked.group(2) == "" or "if-range" in headers:
        return None
    first, last = asked.groups()
    if first and last and int(last) < int(first):
        return None
    found = range(int(first), min(int(last or size) + 1, size)) if first else range(max(size - int(last), 0), size)
    if not found:
        raise NoSuchPart
    return found


async def at_most(parts: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """Of a file's *parts* as many bytes as this."""
    async for part in parts:
        yield part[:most]
        most -= len(part)
        if most <= 0:
            return
