"""The chats of one agent with LivePerson's stand-in, and in Rasa's place a bot that writes down what it hears."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rasa_handoff.backends.http import Http
from rasa_handoff.backends.liveperson.domains import Domains
from rasa_handoff.liveperson_agent import lines
from rasa_handoff.liveperson_agent.book import Book
from rasa_handoff.liveperson_agent.chat import Chat, Heard
from rasa_handoff.liveperson_agent.chats import Chats
from rasa_handoff.liveperson_agent.session import WHO, Session
from rasa_handoff.liveperson_agent.settings import ChannelSettings
from rasa_handoff.settings import read_channel
from rasa_handoff.testing.waiting import until
from tests.liveperson_agent.vendor import ACCOUNT, CLIENT, PASSWORD, SECRET, USER, LivePerson

FASTER = 200.0  #: their pauses pass so much faster
PATIENCE = 60.0  #: seconds; far more than anything takes


class Clock:
    """Time that passes faster, and remembers how long anybody wanted to wait."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._started = time.monotonic()

    def __call__(self) -> float:
        return (time.monotonic() - self._started) * FASTER

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(seconds / FASTER)

    def waited_out(self) -> list[float]:
        """The pauses behind failures: longer than those between two polls, and not those between two looks around."""
        return [pause for pause in self.pauses if pause > 3 and not 24 <= pause <= 36]


class EchoBot:
    """Answers each line with itself."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Heard]] = []
        self.met: list[Chat] = []
        self.known: set[str] = set()  #: lines that the tracker has
        self.before: Callable[[Chat, Heard], Any] | None = None
        self.ready = True
        self.ended: list[tuple[str, bool]] = []  #: conversations, and whether their visitors have gone

    async def is_ready(self) -> bool:
        return self.ready

    async def meet(self, chat: Chat) -> None:
        self.met.append(chat)

    async def hear(self, chat: Chat, line: Heard) -> None:
        if self.before is not None:
            await self.before(chat, line)
        self.heard.append((chat.sender_id, line))
        self.known.add(line.id)
        await chat.say(lines.line(f"You said: {line.text}"))

    async def has_heard(self, chat: Chat, line: Heard) -> bool:
        return line.id in self.known

    async def over(self, sender_id: str, *, gone: bool) -> None:
        self.ended.append((sender_id, gone))

    def texts(self) -> list[str]:
        return [line.text for _, line in self.heard]


class Stage:
    """One start of the server after the other, on the same file."""

    def __init__(self, folder: Path, vendor: LivePerson, **settings: Any) -> None:
        self.vendor = vendor
        self.bot = EchoBot()
        self.clock = Clock()
        self.settings = read_channel(section(vendor, **settings), ChannelSettings)
        self._folder = folder
        self.chats: Chats

    async def up(self) -> None:
        book = Book(self._folder / "positions.db")
        book.open()
        self._http = Http(WHO, 10 * PATIENCE, breaker=True)
        domains = Domains(self._http, self.settings.account, self.settings.domain_api, self.clock)
        session = Session(self._http, domains, self.settings, self.clock)
        self.chats = Chats(session, book, self.settings, self.bot, self.clock.sleep)
        self.chats.start()

    async def down(self) -> None:
        await self.all_said()
        await self.chats.stop()
        await self.chats.book.close()
        await self._http.close()

    async def die(self) -> None:
        """As after a kill -9: nobody is told, nothing is finished."""
        tasks = [*self.chats._tasks, *(task for _, task in self.chats._running.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.until(lambda: not self.chats._running)
        self.chats.session._login = None
        await self.down()

    async def all_said(self) -> None:
        """Wait until nothing is on its way to a visitor, and nothing is written down that is to go there."""
        await asyncio.gather(*(chat.said(PATIENCE) for chat, _ in self.chats._running.values()))

    until = staticmethod(partial(until, seconds=PATIENCE))


def section(vendor: LivePerson, **settings: Any) -> dict[str, Any]:
    """The section in credentials.yml."""
    known = {"account": ACCOUNT, "username": USER, "password": PASSWORD, "domain_api": vendor.url}
    return {name: value for name, value in {**known, **settings}.items() if value is not None}


APPLICATION = {"password": None, "app_key": CLIENT, "secret": SECRET}


@asynccontextmanager
async def on_stage(folder: Path, vendor: LivePerson, **settings: Any) -> AsyncIterator[Stage]:
    stage = Stage(folder, vendor, **settings)
    await stage.up()
    try:
        yield stage
    finally:
        await stage.down()
