"""Several servers on one PostgreSQL database, each of which has trouble of its own now and then."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from tests.crash.book import Book, Entry, Lane
from tests.crash.outside import Server, Sink

_AGAIN = 0.05  #: seconds
_PATIENCE = 4.0  #: seconds that a client waits for an answer
_LEASE = 5.0  #: seconds

Trouble = Callable[["Several"], Awaitable[None]]


class Several:
    """Conversations both ways, each message through any of the servers; *troubles* come one after the other."""

    def __init__(self, folder: Path, database: str, *, servers: int, conversations: int, seed: int) -> None:
        self.book = Book()
        self.database = database
        self._chance = random.Random(seed)
        self._sink = Sink(self.book, random.Random(seed + 1))
        self._folder = folder
        self._conversations = [f"user-{number}" for number in range(conversations)]
        self._how_many = servers
        self._over = asyncio.Event()
        self._http: aiohttp.ClientSession
        self.servers: list[Server] = []

    async def run(self, troubles: list[Trouble], seconds: float) -> Book:
        """Let it all happen, and drain; what was seen of it."""
        await self._sink.start()
        for number in range(self._how_many):
            folder = self._folder / str(number)
            folder.mkdir()
            self.servers.append(Server("tests.crash.server", folder, self._sink, self.database))
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=_PATIENCE)
        )
        for server in self.servers:
            server.start()
        try:
            await asyncio.wait_for(self._happen(troubles), seconds)
        finally:
            for server in self.servers:
                server.kill()
            await self._http.close()
            await self._sink.stop()
        return self.book

    async def _happen(self, troubles: list[Trouble]) -> None:
        chats = await asyncio.gather(*map(self._open, self._conversations))
        users = (self._talk(Lane("agent", name), "/say", {"conversation": name}) for name in self._conversations)
        agents = (
            self._talk(Lane("user", name), "/event", {"chat_id": chat})
            for name, chat in zip(self._conversations, chats, strict=True)
        )
        talking = asyncio.gather(*users, *agents)
        for trouble in troubles:
            await asyncio.sleep(1.0)
            await trouble(self)
            self.book.kills += 1
        await asyncio.sleep(1.0)
        self._over.set()
        await talking
        while (await self._ask("GET", "/waiting"))["pending"]:
            await asyncio.sleep(_AGAIN)

    async def _open(self, conversation: str) -> str:
        answer = await self._ask("POST", "/open", {"conversation": conversation})
        return str(answer["chat_id"])

    async def _talk(self, lane: Lane, path: str, whose: dict[str, str]) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            entry = Entry(lane, f"{lane.to}-{lane.conversation}-{number}")
            self.book.attempts.append(entry)
            await self._ask("POST", path, {**whose, "id": entry.id})
            self.book.acks.append(entry)
            await asyncio.sleep(self._chance.uniform(0.0, 0.2))

    async def _ask(
        self, method: str, path: str, body: dict[str, str] | None = None, only: Server | None = None
    ) -> dict[str, Any]:
        """Ask any of the servers, or this one, until one answers, with the same words each time."""
        while True:
            server = only or self.any()
            try:
                async with self._http.request(method, server.url + path, json=body) as response:
                    if response.status == 200:
                        answer: dict[str, Any] = await response.json()
                        return answer
            except (aiohttp.ClientError, asyncio.TimeoutError):
                server.require_alive()
            await asyncio.sleep(_AGAIN)

    def any(self) -> Server:
        return self._chance.choice(self.servers)

    async def start(self, server: Server) -> None:
        server.start()
        await self._ask("GET", "/waiting", only=server)


async def killed(several: Several) -> None:
    """A server dies, and another one is started in its place much later."""
    server = several.any()
    server.kill()
    await asyncio.sleep(_LEASE + 3)
    await several.start(server)


async def restarted(several: Several) -> None:
    """A server is ended in good order, and started again."""
    server = several.any()
    await server.end()
    await several.start(server)


async def paused(several: Several) -> None:
    """A server stands still for longer than its lease, and goes on as if nothing had been."""
    server = several.any()
    server.pause()
    await asyncio.sleep(_LEASE + 4)
    server.go_on()
