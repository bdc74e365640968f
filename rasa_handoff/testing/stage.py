"""The plugin without Rasa: a real database, a real HTTP server for webhooks, a user's side that writes down."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import time as real_time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from sanic import Blueprint, Sanic

from rasa_handoff import access, backends
from rasa_handoff.backends.base import Backend
from rasa_handoff.model import Delivery, Handoff, Json, Message, Request, new_id
from rasa_handoff.runtime import Runtime
from rasa_handoff.settings import read_section
from rasa_handoff.store import deliveries, handoffs
from rasa_handoff.switchboard import Receipt
from rasa_handoff.testing.calls import Answered, Call
from rasa_handoff.testing.waiting import until
from rasa_handoff.web import logs
from rasa_handoff.web.webhooks import WebhooksApi

_PREFIX = "/webhooks/handoff"
_LOGGERS = ("rasa_handoff", "sanic.root", "sanic.error", "sanic.access", "aiohttp", "asyncio")
_NUMBERS = itertools.count(1)


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self._now = real_time.time()

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


class Stage:
    """The plugin with one backend, for one test.

    Args:
        backend: its class; one that is not in the registry is put there.
        section: its settings, as in credentials.yml.
        settings: more settings of the plugin.
    """

    def __init__(self, folder: Path, backend: type[Backend], section: Json, **settings: Any) -> None:
        self.name = backend.name
        if backend.name not in backends.names() or backends.load(backend.name) is not backend:
            backends.register(backend.name, f"{backend.__module__}:{backend.__qualname__}")
        everything = {"database": f"sqlite:///{folder}/handoff.db", "backends": {backend.name: section}, **settings}
        self.settings = read_section(everything, backends.settings_models())
        self.folder = folder
        self.now = Time()
        self.to_user: list[tuple[Handoff, Delivery]] = []  #: all that reached the user's side
        self.user_trouble: list[Exception] = []  #: raised one by one when something is brought to the user
        self.secrets: set[str] = set()  #: what no log may have; what is said is added
        self.runtime: Runtime
        self.url = ""  #: what the vendor's base URL is replaced by; no slash at the end
        self._port = 0
        self._server: Any

    @property
    def backend(self) -> Any:
        """The backend that runs."""
        return self.runtime.backends[self.name]

    # -- up and down --------------------------------------------------------------------------

    async def up(self) -> None:
        known = access.ensure(self.folder, url=None, token=None, want_agent=False)
        self.secrets |= {known.secret, known.token}
        self.runtime = Runtime(self.settings, known, self.folder, self.now)
        await self._serve()
        await self.runtime.open(self._to_user)
        await self.runtime.start()
        self._session = aiohttp.ClientSession()

    async def down(self) -> None:
        await self._session.close()
        await self.runtime.stop()
        await self._server.close()
        for connection in list(self._server.connections):
            connection.abort()
        await asyncio.sleep(0)

    async def restart(self) -> None:
        """Stop, and start on the same database and port."""
        await self.down()
        await self.up()

    async def _serve(self) -> None:
        app = Sanic(f"stage-{next(_NUMBERS)}", configure_logging=False)
        blueprint = Blueprint("handoff_webhook", url_prefix=_PREFIX)
        WebhooksApi(lambda: self.runtime, [self.name]).add_to(blueprint)
        app.blueprint(blueprint)
        logs.install()
        listening = socket.create_server(("127.0.0.1", self._port))
        self._port = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}{_PREFIX}/{self.name}"
        server: Any = await app.create_server(sock=listening, return_asyncio_server=True, access_log=True)
        # Sanic rewrites its own methods at a start, and only so does it keep the ones to rewrite at the next.
        Sanic.test_mode = True
        await server.startup()
        Sanic.test_mode = False
        self._server = server

    async def _to_user(self, handoff: Handoff, delivery: Delivery) -> None:
        if self.user_trouble and delivery.kind == "message":
            raise self.user_trouble.pop(0)
        self.to_user.append((handoff, delivery))
        if delivery.kind == "settle":
            await self.runtime.switchboard.settled(handoff)

    # -- what the bot and the user do ---------------------------------------------------------

    async def request(self, sender_id: str = "ann", **values: Any) -> Handoff:
        """The bot asks for an agent; *values* as in `rasa_handoff.model.Request`."""
        self._keep_out_of_logs(line.text for line in values.get("transcript", ()))
        return await self.runtime.opening.request(Request(sender_id=sender_id, **{"channel": "handoff", **values}))

    async def say(self, text: str, sender_id: str = "ann", **values: Any) -> Receipt | None:
        """The user writes; None: it is for the bot."""
        self._keep_out_of_logs([text])
        message = Message(id=new_id(), who="user", text=text, at=self.now(), **values)
        return await self.runtime.switchboard.said(sender_id, message, message.id)

    async def handoff(self, sender_id: str = "ann") -> Handoff:
        """The last handoff of this user."""
        found = await self.runtime.store.read(lambda tx: handoffs.last(tx, sender_id))
        assert found is not None, f"no handoff of {sender_id}"
        return found

    # -- what the agent system does -----------------------------------------------------------

    async def ask(self, call: Call) -> Answered:
        """The agent system calls us."""
        url = f"{self.url}/{call.path}"
        async with self._session.request(
            call.method, url, data=call.content or None, params=dict(call.query), headers=_typed(call)
        ) as reply:
            return Answered(status=reply.status, headers=reply.headers, body=await reply.read())

    # -- what a test looks at -----------------------------------------------------------------

    def heard(self, sender_id: str = "ann") -> list[str]:
        """The texts of agents that reached this user, in order."""
        came = [delivery for handoff, delivery in self.to_user if handoff.sender_id == sender_id]
        return [each.message.text for each in came if each.message and each.kind == "message"]

    def notices(self, sender_id: str = "ann") -> list[str]:
        """The responses of the bot that were said to this user, in order."""
        came = [delivery for handoff, delivery in self.to_user if handoff.sender_id == sender_id]
        return [each.body["response"] for each in came if each.kind == "notice"]

    async def all_sent(self) -> bool:
        """Whether nothing waits to be told to the agent system."""
        waiting = await self.runtime.store.read(deliveries.pending)
        return not any(delivery.target == "agent" for delivery in waiting)

    until = staticmethod(until)

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and wake what was waiting for that."""
        self.now.advance(seconds)
        for lane in self.runtime.outbox._lanes.values():
            if lane.nudged is not None and lane.queue[0].delivery.next_at <= self.now():
                lane.nudged.set()

    def _keep_out_of_logs(self, texts: Any) -> None:
        self.secrets |= {text for text in texts if len(text) >= 6}


def _typed(call: Call) -> dict[str, str]:
    known = {"Content-Type": "application/json"} if call.body is not None else {}
    return {**known, **call.headers}


@asynccontextmanager
async def on_stage(
    folder: Path, backend: type[Backend], section: Json, *, secrets: tuple[str, ...] = (), **settings: Any
) -> AsyncIterator[Stage]:
    """A stage that is up; at its end no log may have a secret, or what somebody said."""
    stage = Stage(folder, backend, section, **settings)
    stage.secrets |= set(secrets)
    with _logged() as lines:
        await stage.up()
        try:
            yield stage
        finally:
            await stage.down()
    for secret in stage.secrets:
        assert not any(secret in line for line in lines), f"a log has {secret[:12]}…"


@contextmanager
def _logged() -> Iterator[list[str]]:
    """All that our loggers and Sanic's say meanwhile, to the last field."""
    keeping = _Keeping()
    levels = {logger: logger.level for logger in map(logging.getLogger, _LOGGERS)}
    for logger in levels:
        logger.addHandler(keeping)
        logger.setLevel(logging.DEBUG)
    try:
        yield keeping.lines
    finally:
        for logger, level in levels.items():
            logger.removeHandler(keeping)
            logger.setLevel(level)


class _Keeping(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        self.lines.append(f"{record.getMessage()} {record.__dict__} {trace}")
