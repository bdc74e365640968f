"""Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sanic.request import Request

from rasa_handoff.live import Listener

KEEP_ALIVE = 15.0  #: seconds between comments, so that no proxy takes the line for dead
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event(name: str, data: str, number: int | None = None) -> str:
    """One event; *data* is JSON, and so has no line break."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {name}\ndata: {data}\n\n"


async def serve(request: Request, events: AsyncIterator[str]) -> None:
    """Send *events* until they end, or the client goes (then this is cancelled)."""
    response = await request.respond(headers=dict(_HEADERS), content_type="text/event-stream; charset=utf-8")
    await response.send("retry: 1000\n\n")
    async for text in events:
        await response.send(text)
    await response.eof()


async def heard(listener: Listener) -> AsyncIterator[object]:
    """What *listener* hears; None now and then, for a sign of life."""
    while True:
        try:
            item = await listener.get(KEEP_ALIVE)
        except asyncio.TimeoutError:
            yield None
            continue
        if item is None:
            return
        yield item
