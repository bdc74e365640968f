"""A server with everything but Rasa: python -m tests.crash.server <port> <folder> <sink> [<database>].

A user's message enters through ``/say`` and an agent's through ``/event``; each is acknowledged
when it is on disk, and brought to the sink.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from sanic import Sanic
from sanic.request import Request as HttpRequest
from sanic.response import HTTPResponse, json

from rasa_handoff import access, backends
from rasa_handoff.backends.base import Backend, Opened
from rasa_handoff.errors import StoreError
from rasa_handoff.events import AgentMessage
from rasa_handoff.model import Delivery, EndReason, Handoff, Message, Request, new_id
from rasa_handoff.runtime import Runtime
from rasa_handoff.settings import read_section
from rasa_handoff.store import deliveries
from tests.crash.wire import ToSink


class AtSink(Backend):
    """An agent system that is the sink."""

    name = "desk"  # under the one name that settings know without an account

    def __init__(self, sink: ToSink) -> None:
        super().__init__(None)
        self._sink = sink

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        return Opened(chat_id=f"chat-{handoff.id}")

    async def send(self, handoff: Handoff, message: Message) -> None:
        await self._sink.post("agent", handoff.sender_id, message.id, message.text)

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        """Nobody there minds."""


def make(folder: Path, sink: ToSink, database: str = "") -> Sanic:
    app = Sanic("crash", configure_logging=False)
    section = {"database": database or f"sqlite:///{folder}/handoff.db"}
    settings = read_section(section, backends.settings_models())
    known = access.ensure(folder, url=None, token=None, want_agent=True)
    runtime = Runtime(settings, known, folder)
    runtime.backends["desk"] = AtSink(sink)  # type: ignore[index]

    async def to_user(handoff: Handoff, delivery: Delivery) -> None:
        if delivery.kind == "message" and delivery.message is not None:
            await sink.post("user", handoff.sender_id, delivery.message.id, delivery.message.text)

    @app.before_server_start
    async def open_(app: Sanic, loop: object) -> None:
        await sink.start()
        await runtime.open(to_user)

    @app.after_server_start
    async def start(app: Sanic, loop: object) -> None:
        await runtime.start()

    @app.exception(StoreError)
    async def unavailable(request: HttpRequest, error: StoreError) -> HTTPResponse:
        return json({"error": str(error)}, 503)

    @app.post("/open")
    async def open_chat(request: HttpRequest) -> HTTPResponse:
        asked = Request(sender_id=request.json["conversation"], channel="handoff")
        handoff = await runtime.opening.request(asked)
        return json({"chat_id": handoff.chat_id})

    @app.post("/say")
    async def say(request: HttpRequest) -> HTTPResponse:
        said = request.json
        message = Message(id=new_id(), who="user", text=said["id"], at=time.time())
        receipt = await runtime.switchboard.said(said["conversation"], message, said["id"])
        return json({}, 200 if receipt else 409)

    @app.post("/event")
    async def event(request: HttpRequest) -> HTTPResponse:
        said = request.json
        event = AgentMessage(chat_id=said["chat_id"], event_id=said["id"], text=said["id"])
        await runtime.inbox.apply("desk", event)
        return json({})

    @app.get("/waiting")
    async def waiting(request: HttpRequest) -> HTTPResponse:
        return json(await runtime.store.read(deliveries.counts))

    return app


if __name__ == "__main__":
    port, folder, sink, *database = sys.argv[1:]
    make(Path(folder), ToSink(sink), *database).run(host="127.0.0.1", port=int(port), access_log=False, motd=False)
