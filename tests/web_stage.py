"""Our routes on a real server on a loopback port, without Rasa, and people who speak to it."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
import socket
import time as real_time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from rasa.core.channels.callback import CallbackInput
from rasa.core.channels.channel import InputChannel
from rasa.utils.endpoints import EndpointConfig
from sanic import Blueprint, Sanic

from rasa_handoff import access
from rasa_handoff.backends import settings_models
from rasa_handoff.channels import Channels
from rasa_handoff.channels.base import Around
from rasa_handoff.channels.intake import Intake
from rasa_handoff.desk import live
from rasa_handoff.desk.api import DeskApi
from rasa_handoff.desk.backend import Desk
from rasa_handoff.desk.presence import GRACE, Attendance
from rasa_handoff.fetch import AnyFile
from rasa_handoff.media import MediaFile
from rasa_handoff.model import Handoff, Message, new_id
from rasa_handoff.reach import Reach
from rasa_handoff.runtime import Runtime
from rasa_handoff.settings import read_section
from rasa_handoff.store import Store, handoffs
from rasa_handoff.switchboard import Switchboard
from rasa_handoff.testing.waiting import PATIENCE, until
from rasa_handoff.web import framing, logs, user
from rasa_handoff.web.figures import FiguresApi
from rasa_handoff.web.files import FilesApi
from rasa_handoff.web.health import HealthApi
from rasa_handoff.web.history import HistoryApi
from rasa_handoff.web.media import MediaApi
from rasa_handoff.web.metrics import MetricsApi
from rasa_handoff.web.operators import OperatorsApi
from rasa_handoff.web.users import UsersApi
from tests.described import PREFIX, require_described, require_described_event

BASE = "/webhooks/handoff"
SERVER_TOKEN = "the-server's-own-" + "s" * 32
AGENTS = ("Bo", "Cleo", "Dörte Müller")
_NUMBERS = itertools.count(1)
_PATIENCE = aiohttp.ClientTimeout(total=60)


def token_of(name: str) -> str:
    """What this agent signs in with."""
    return f"token-of-{name.split()[0].casefold().encode().hex()}-" + "t" * 32


class MonotonicTime:
    """Goes on by itself, and can be moved forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return real_time.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: aiohttp.typedefs.LooseHeaders
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of an error."""
        return str(self.json["error"]["code"])

    @property
    def message(self) -> str:
        """Of an error."""
        return str(self.json["error"]["message"])


@dataclass(frozen=True, kw_only=True)
class Event:
    """One of a stream."""

    name: str
    id: str | None
    data: Any


class Stream:
    """Server-Sent Events, as a browser reads them."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.comments = 0
        self.seen: list[Event] = []
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for event in self._parsed():
                self.seen.append(event)
                self.events.put_nowait(event)
        except (aiohttp.ClientError, asyncio.TimeoutError):
            pass
        finally:
            self.events.put_nowait(None)

    async def _parsed(self) -> AsyncIterator[Event]:
        fields: dict[str, str] = {}
        while raw := await self._response.content.readline():
            line = raw.decode().removesuffix("\n")
            name, _, value = line.partition(":")
            if line.startswith(":"):
                self.comments += 1
            elif line:
                fields[name] = value.removeprefix(" ")
            elif "data" in fields:
                data = json.loads(fields["data"])
                if self._response.url.path.startswith(PREFIX):
                    require_described_event(fields["event"], data)
                yield Event(name=fields["event"], id=fields.get("id"), data=data)
                fields = {}

    async def next(self, name: str | None = None, seconds: float = PATIENCE) -> Event:
        """The next event, or the next one of this name."""
        return await self.until(lambda event: name in (None, event.name), seconds)

    async def until(self, fits: Callable[[Event], Any], seconds: float = PATIENCE) -> Event:
        """The next event that fits; those before it are passed over."""

        async def look() -> Event:
            while (event := await self.events.get()) is not None:
                if fits(event):
                    return event
            raise AssertionError("the stream ended before it came")

        return await asyncio.wait_for(look(), seconds)

    async def is_over(self, seconds: float = PATIENCE) -> bool:
        await asyncio.wait_for(self._task, seconds)
        return True

    async def close(self) -> None:
        self._response.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Client:
    """Somebody who speaks HTTP to the server. Cookies are kept as a browser keeps them."""

    def __init__(self, web: Web, session: aiohttp.ClientSession, headers: dict[str, str]) -> None:
        self.web = web
        self.session = session
        self.headers = headers

    async def ask(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, raw: Any = None
    ) -> Answer:
        """Send a request: *body* as JSON, or *raw* as it is."""
        data = json.dumps(body, ensure_ascii=False).encode() if body is not None else raw
        sent = {"Content-Type": "application/json", **self.headers, **(headers or {})}
        async with self.session.request(
            method, self.web.url + path, data=data, headers=sent, allow_redirects=False, timeout=_PATIENCE
        ) as response:
            answer = Answer(status=response.status, headers=response.headers, body=await response.read())
        if (BASE + path).startswith(f"{PREFIX}/"):
            require_described(method, (BASE + path).partition("?")[0], answer.status, response.headers, answer.body)
        return answer

    async def get(self, path: str, **values: Any) -> Answer:
        return await self.ask("GET", path, **values)

    async def post(self, path: str, body: Any = None, **values: Any) -> Answer:
        return await self.ask("POST", path, body, **values)

    async def listen(self, path: str, **headers: str) -> Stream:
        """Open a stream."""
        response = await self.session.get(self.web.url + path, headers={**self.headers, **headers})
        assert response.status == 200, response.status
        stream = Stream(response)
        self.web.on_exit(stream.close)
        return stream


class Agent(Client):
    """Somebody who answers at the desk."""

    id: str

    async def sign_in(self, name: str) -> Answer:
        answer = await self.post("/desk/api/session", {"token": token_of(name)})
        self.id = answer.json["agent"]["id"]
        return answer

    async def come(self) -> Stream:
        """Open the console, and be online."""
        stream = await self.listen("/desk/api/stream")
        await stream.next("hello")
        await self.choose("online")
        return stream

    async def choose(self, presence: str) -> Answer:
        return await self.ask("PUT", "/desk/api/me/presence", {"presence": presence})

    async def chats(self) -> Any:
        return (await self.get("/desk/api/chats")).json

    async def look_at(self, chat: str) -> Any:
        return (await self.get(f"/desk/api/chats/{chat}")).json

    async def accept(self, chat: str) -> Answer:
        return await self.post(f"/desk/api/chats/{chat}/accept")

    async def gives(self, chat: str, body: Any, name: str = "bill.pdf", mime: str = "application/pdf") -> Answer:
        """A file, to be sent with a reply."""
        self.web.secrets |= {name, quote(name)}
        path = f"/desk/api/chats/{chat}/files?name={quote(name)}"
        return await self.ask("POST", path, raw=body, headers={"Content-Type": mime})

    async def reply(self, chat: str, text: str, message_id: str | None = None, **more: Any) -> Answer:
        self.web.secrets.add(text)
        body = {"id": message_id or str(uuid.uuid4()), "text": text, **more}
        return await self.post(f"/desk/api/chats/{chat}/messages", body)

    async def types(self, chat: str, typing: bool = True) -> Answer:
        return await self.post(f"/desk/api/chats/{chat}/typing", {"typing": typing})

    async def transfer(self, chat: str, to: str | None) -> Answer:
        return await self.post(f"/desk/api/chats/{chat}/transfer", {"agent_id": to})

    async def close(self, chat: str, reason: str = "resolved", **more: Any) -> Answer:
        return await self.post(f"/desk/api/chats/{chat}/close", {"reason": reason, **more})


class User(Client):
    """Somebody at a page of ours."""

    sender: str
    token: str

    async def begin(self) -> None:
        known = (await self.post("/conversations")).json
        self.sender, self.token = known["sender"], known["token"]
        self.web.secrets.add(self.token)

    async def comes(self, after: str | None = None, **headers: str) -> Stream:
        """Open the stream; the greeting is still to be read."""
        more = f"&after={after}" if after is not None else ""
        return await self.listen(f"/stream?sender={self.sender}&token={self.token}{more}", **headers)

    async def asks_for_an_agent(self, **values: Any) -> Any:
        """What the bot's action does for them."""
        return await self.web.open(self.sender, **values)

    async def says(self, text: str, message_id: str | None = None) -> Any:
        """What Rasa does with their message while an agent has the conversation."""
        return await self.web.say(self.sender, text, message_id)

    async def gives(self, body: Any, name: str = "bill.pdf", mime: str = "application/pdf", **headers: str) -> Answer:
        """A file."""
        self.web.secrets |= {name, quote(name)}
        known = {"Authorization": f"Bearer {self.token}", "Content-Type": mime, **headers}
        return await self.ask("POST", f"/files?sender={quote(self.sender)}&name={quote(name)}", raw=body, headers=known)

    async def opens(self, url: str, **headers: str) -> Answer:
        """What is behind a link of ours, which is relative."""
        return await self.get(url.removeprefix(BASE), headers=headers)

    async def types(self, typing: bool = True) -> Answer:
        return await self.post("/typing", {"sender": self.sender, "token": self.token, "typing": typing})

    async def leaves(self) -> Answer:
        return await self.post("/leave", {"sender": self.sender, "token": self.token})


class SilentBot:
    """Takes note of what it is told, in place of Rasa's dialogue; of notices it says their names."""

    def __init__(self, store: Store, switchboard: Switchboard) -> None:
        self._store = store
        self._switchboard = switchboard

    async def set_slots(self, handoff_id: str) -> None: ...

    async def settle(self, handoff_id: str, output: Any) -> None:
        handoff = await self._store.read(lambda tx: handoffs.get(tx, handoff_id))
        if handoff is not None:
            await self._switchboard.settled(handoff)

    async def words(self, handoff: Handoff, response: str, values: Any) -> dict[str, Any]:
        return {"text": response}


class Web:
    """The server, and the doors to it.

    Args:
        section: more settings, as in credentials.yml.
    """

    def __init__(self, database: str, folder: Path, **section: Any) -> None:
        agents = [{"name": name, "token": token_of(name)} for name in AGENTS]
        self.settings = read_section(
            {
                "database": database,
                "token": SERVER_TOKEN,
                "backends": {"desk": {"agents": agents}},
                "chat_page": True,
                **section,
            },
            settings_models(),
        )
        self.folder = folder
        self.monotonic = MonotonicTime()
        self.secrets = {SERVER_TOKEN, *map(token_of, AGENTS)}  #: what no log may have
        self._stack = AsyncExitStack()
        self.runtime: Runtime
        self._runs = False
        self.port = 0  #: any that is free; the same one after a restart
        self.url: str

    # -- up and down --------------------------------------------------------------------------

    async def up(self) -> None:
        known = access.ensure(self.folder, url=None, token=SERVER_TOKEN, want_agent=False)
        self.secrets.add(known.secret)
        self.runtime = Runtime(self.settings, known, self.folder)
        bot: Any = SilentBot(self.runtime.store, self.runtime.switchboard)
        user.watch(self.runtime)
        live.listen(self.runtime)
        around = Around(store=self.runtime.store, now=real_time.time, files=self.runtime.files)
        channels = self.channels = Channels(self._channels, around)
        await self.runtime.open(Reach(bot, Intake(self.runtime.store, channels), self.settings.agents))
        self.desk.staff.attendance = Attendance(self.monotonic)
        self.nobody_was_there()
        await self._serve()
        await self.runtime.start()
        self._runs = True

    def _channels(self) -> list[InputChannel]:
        """One of Rasa's own, whose users nobody can call back: the address does not exist."""
        return [CallbackInput(EndpointConfig(f"{self.url}/nowhere"))]

    def _open_file(self, file: MediaFile) -> AbstractAsyncContextManager[AnyFile]:
        return self.channels.named(file.channel).open(file.reference)

    def nobody_was_there(self) -> None:
        """Let the time be over that agents have to connect again after a start."""
        self.monotonic.advance(GRACE + 1)

    async def _serve(self) -> None:
        app = Sanic(f"web-{next(_NUMBERS)}", configure_logging=False)
        blueprint = Blueprint("handoff_webhook", url_prefix=BASE)
        user.UserApi(lambda: self.runtime, chat_page=self.settings.chat_page).add_to(blueprint)
        OperatorsApi(lambda: self.runtime).add_to(blueprint)
        UsersApi(lambda: self.runtime).add_to(blueprint)
        HealthApi(lambda: self.runtime).add_to(blueprint)
        MetricsApi(lambda: self.runtime).add_to(blueprint)
        FiguresApi(lambda: self.runtime).add_to(blueprint)
        HistoryApi(lambda: self.runtime).add_to(blueprint)
        FilesApi(lambda: self.runtime).add_to(blueprint)
        MediaApi(lambda: self.runtime, self._open_file).add_to(blueprint)
        DeskApi(lambda: self.runtime, self.monotonic).add_to(blueprint)
        app.blueprint(blueprint)
        framing.install(app)
        logs.install()
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}{BASE}"
        server = await app.create_server(sock=listening, return_asyncio_server=True, access_log=True)
        assert server is not None
        # Sanic rewrites its own methods at a start, and only so does it keep the ones to rewrite at the next.
        Sanic.test_mode = True
        await server.startup()
        Sanic.test_mode = False
        self._server = server

    async def down(self) -> None:
        await self._stack.aclose()
        await self._stop()

    async def restart(self) -> None:
        """Stop the server, and start it on the same database and port; who was there keeps their cookies."""
        await self._stop()
        await self.up()

    async def end_what_runs(self) -> None:
        """As at a stop of Rasa's server, which lets connections be for a while."""
        if self._runs:
            self._runs = False
            await self.runtime.stop()

    async def _stop(self) -> None:
        await self.end_what_runs()
        await self._server.close()
        for connection in list(self._server.connections):
            connection.abort()
        await asyncio.sleep(0)

    def on_exit(self, work: Callable[[], Any]) -> None:
        self._stack.push_async_callback(work)

    # -- who comes ----------------------------------------------------------------------------

    async def _session(self, at: str = "127.0.0.1") -> aiohttp.ClientSession:
        # The jar of a browser; by default it would not keep cookies of a number.
        jar, connector = aiohttp.CookieJar(unsafe=True), aiohttp.TCPConnector(local_addr=(at, 0))
        session = aiohttp.ClientSession(cookie_jar=jar, connector=connector)
        self.on_exit(session.close)
        return session

    async def stranger(self, at: str = "127.0.0.1", **headers: str) -> Client:
        """Somebody with these headers, at an address of this machine."""
        return Client(self, await self._session(at), headers)

    async def operator(self) -> Client:
        return await self.stranger(Authorization=f"Bearer {SERVER_TOKEN}")

    async def agent(self, name: str = "Bo") -> Agent:
        """An agent, signed in with a cookie, who has not chosen to be online."""
        agent = Agent(self, await self._session(), {})
        assert (await agent.sign_in(name)).status == 200
        return agent

    async def agent_online(self, name: str = "Bo") -> Agent:
        agent = await self.agent(name)
        await agent.come()
        return agent

    async def user(self) -> User:
        user = User(self, await self._session(), {})
        await user.begin()
        return user

    async def waiting_user(self, **values: Any) -> tuple[User, str]:
        """A user in the queue, and their chat."""
        user = await self.user()
        handoff = await user.asks_for_an_agent(**values)
        assert handoff["status"] == "queued", handoff
        return user, handoff["id"]

    # -- what Rasa does -----------------------------------------------------------------------

    async def open(self, sender: str, **values: Any) -> Any:
        operator = await self.operator()
        answer = await operator.post("/handoffs", {"sender_id": sender, "channel": "handoff", **values})
        assert answer.status == 200, answer
        return answer.json["handoff"]

    async def say(self, sender: str, text: str, message_id: str | None = None) -> Any:
        self.secrets.add(text)
        message = Message(id=new_id(), who="user", text=text, at=real_time.time())
        return await self.runtime.switchboard.said(sender, message, message_id or new_id())

    async def raw(self, request: bytes) -> bytes:
        """Send bytes as they are; the first answer to them."""
        return await asyncio.to_thread(_exchange, self.port, request)

    # -- what a test looks at -----------------------------------------------------------------

    @property
    def connections(self) -> Any:
        """Those to the server that are open."""
        return self._server.connections

    @property
    def desk(self) -> Desk:
        desk = self.runtime.backends["desk"]
        assert isinstance(desk, Desk)
        return desk

    until = staticmethod(until)


def _exchange(port: int, request: bytes) -> bytes:
    """The first answer to *request*. It can be read also where the server has hung up before it had read all."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        with suppress(ConnectionError):
            connection.sendall(request)
        with connection.makefile("rb") as answer:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = answer.readline()
                assert line, head
                head += line
            length = re.search(rb"content-length: (\d+)", head.lower())
            assert length is not None, head
            return head + answer.read(int(length[1]))


class Everything(logging.Handler):
    """Keeps whatever our loggers and Sanic's say, to the last field."""

    LOGGERS = ("rasa_handoff", "sanic.root", "sanic.error", "sanic.access", "aiohttp", "asyncio")

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        self.lines.append(f"{record.getMessage()} {record.__dict__} {trace}")


@asynccontextmanager
async def open_web(database: str, folder: Path, **section: Any) -> AsyncIterator[Web]:
    """A server for one test, which at its end must not have logged a token or what somebody wrote."""
    heard = Everything()
    loggers = [logging.getLogger(name) for name in heard.LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(heard)
        logger.setLevel(logging.DEBUG)
    web = Web(database, folder, **section)
    try:
        await web.up()
        try:
            yield web
        finally:
            await web.down()
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(heard)
            logger.setLevel(level)
    for secret in web.secrets:
        assert len(secret) < 6 or not any(secret in line for line in heard.lines), f"a log has {secret[:20]}…"
