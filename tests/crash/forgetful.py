"""A server as one writes it in an afternoon: it acknowledges first, and sends later from memory.

python -m tests.crash.forgetful <port> <folder> <sink>. It stands in the place of the real one, so that one
sees the crash test find what is lost.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict

from sanic import Sanic
from sanic.request import Request
from sanic.response import HTTPResponse, json

from rasa_handoff.errors import TemporaryError
from tests.crash.book import Lane
from tests.crash.wire import ToSink

_PAUSE = 0.5  #: seconds, as the outbox begins


class Memory:
    """What is acknowledged and not sent yet; in order within a lane, and gone with the process."""

    def __init__(self, sink: ToSink) -> None:
        self._sink = sink
        self._queues: dict[Lane, asyncio.Queue[str]] = defaultdict(asyncio.Queue)
        self._senders: dict[Lane, asyncio.Task[None]] = {}
        self._seen: set[str] = set()
        self.unsent: set[str] = set()

    def take(self, lane: Lane, text: str) -> None:
        """Remember *text* and see to it later; a repeat has no second effect."""
        if text in self._seen:
            return
        self._seen.add(text)
        self.unsent.add(text)
        self._queues[lane].put_nowait(text)
        if lane not in self._senders:
            self._senders[lane] = asyncio.create_task(self._send(lane))

    async def _send(self, lane: Lane) -> None:
        while True:
            text = await self._queues[lane].get()
            while text in self.unsent:
                await self._try(lane, text)

    async def _try(self, lane: Lane, text: str) -> None:
        try:
            await self._sink.post(lane.to, lane.conversation, text, text)
            self.unsent.discard(text)
        except TemporaryError:
            await asyncio.sleep(_PAUSE)


def make(sink: ToSink) -> Sanic:
    app = Sanic("forgetful", configure_logging=False)
    memory = Memory(sink)

    @app.before_server_start
    async def start(app: Sanic, loop: object) -> None:
        await sink.start()

    @app.post("/open")
    async def open_chat(request: Request) -> HTTPResponse:
        return json({"chat_id": request.json["conversation"]})

    @app.post("/say")
    async def say(request: Request) -> HTTPResponse:
        memory.take(Lane("agent", request.json["conversation"]), request.json["id"])
        return json({})

    @app.post("/event")
    async def event(request: Request) -> HTTPResponse:
        memory.take(Lane("user", request.json["chat_id"]), request.json["id"])
        return json({})

    @app.get("/waiting")
    async def waiting(request: Request) -> HTTPResponse:
        return json({"pending": len(memory.unsent)})

    return app


if __name__ == "__main__":
    port, _, sink = sys.argv[1:]
    make(ToSink(sink)).run(host="127.0.0.1", port=int(port), access_log=False, motd=False)
