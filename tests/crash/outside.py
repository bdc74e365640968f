"""Everything around a server in a crash test: who writes, who receives and fails at times, and who kills it."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.crash.book import Book, Entry, Lane
from tests.servers import free_port

ROOT = Path(__file__).parent.parent.parent
_FAULTS = 0.05  #: of the calls
_REPEATS = 0.05  #: of the messages
_AGAIN = 0.02  #: seconds


class Sink:
    """Where the server delivers, to agents and to users; of its answers, one in twenty is trouble."""

    def __init__(self, book: Book, chance: random.Random) -> None:
        self._book = book
        self._chance = chance
        self._runner: web.AppRunner
        self.url: str

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/{to}", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        said = await request.json()
        trouble = self._chance.choice(["refused", "mistaken", "cut off"]) if self._chance.random() < _FAULTS else ""
        if trouble == "refused":
            return web.Response(status=500)
        lane = Lane(request.match_info["to"], said["conversation"])
        self._book.deliveries.append(Entry(lane, said["text"], said["id"]))
        if not trouble:
            return web.Response()
        self._book.mistaken += 1
        if trouble == "cut off" and request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)


class Server:
    """A program under test, in a process of its own, that is killed and started again."""

    def __init__(self, module: str, folder: Path, sink: Sink, *database: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", module, str(self.port), str(folder), sink.url, *database]
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes]
        self._ended = False  #: by us

    def start(self) -> None:
        self._ended = False
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=log)

    def kill(self) -> None:
        """As `kill -9` does."""
        self._ended = True
        self._process.kill()
        self._process.wait()

    async def end(self) -> None:
        """As a process manager does; the server may still have something to bring to the sink, which is here."""
        self._ended = True
        self._process.terminate()
        await asyncio.to_thread(self._process.wait)

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def require_alive(self) -> None:
        assert self._ended or self._process.poll() is None, (
            f"the server ended by itself:\n{self._log.read_text()[-3000:]}"
        )


class Outside:
    """Conversations both ways with a server that is killed now and then."""

    def __init__(self, module: str, folder: Path, *, conversations: int, messages: int, kills: int, seed: int) -> None:
        self.book = Book()
        self._chance = random.Random(seed)
        self._sink = Sink(self.book, random.Random(seed + 1))
        self._conversations = [f"user-{number}" for number in range(conversations)]
        self._messages = range(messages)
        self._kills = kills
        self._module, self._folder = module, folder
        self._acked = asyncio.Condition()
        self._http: aiohttp.ClientSession
        self._server: Server

    async def run(self, seconds: float) -> Book:
        """Let it all happen, and drain; what was seen of it."""
        await self._sink.start()
        self._server = Server(self._module, self._folder, self._sink)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=10)
        )
        self._server.start()
        try:
            await asyncio.wait_for(self._happen(), seconds)
        finally:
            self._server.kill()
            await self._http.close()
            await self._sink.stop()
        return self.book

    async def _happen(self) -> None:
        chats = await asyncio.gather(*map(self._open, self._conversations))
        killing = asyncio.create_task(self._kill_now_and_then())
        users = (self._talk(Lane("agent", name), "/say", {"conversation": name}) for name in self._conversations)
        agents = (
            self._talk(Lane("user", name), "/event", {"chat_id": chat})
            for name, chat in zip(self._conversations, chats, strict=True)
        )
        await asyncio.gather(killing, *users, *agents)
        while (await self._ask("GET", "/waiting"))["pending"]:
            await asyncio.sleep(_AGAIN)

    async def _open(self, conversation: str) -> str:
        answer = await self._ask("POST", "/open", {"conversation": conversation})
        return str(answer["chat_id"])

    async def _talk(self, lane: Lane, path: str, whose: dict[str, str]) -> None:
        for number in self._messages:
            entry = Entry(lane, f"{lane.to}-{lane.conversation}-{number}")
            self.book.attempts.append(entry)
            await self._ask("POST", path, {**whose, "id": entry.id})
            self.book.acks.append(entry)
            if self._chance.random() < _REPEATS:  # the answer got lost on the way
                await self._ask("POST", path, {**whose, "id": entry.id})
            async with self._acked:
                self._acked.notify_all()

    async def _kill_now_and_then(self) -> None:
        """Kill at random moments of the work, the last time when all is acknowledged and some not delivered."""
        total = len(self._conversations) * len(self._messages) * 2
        for so_many in sorted([total, *(self._chance.randrange(total) for _ in range(self._kills - 1))]):
            async with self._acked:
                await self._acked.wait_for(lambda so_many=so_many: len(self.book.acks) >= so_many)
            await self._ask("GET", "/waiting")  # it is up, so the kill hits it at work
            await asyncio.sleep(self._chance.uniform(0, 0.03))
            self._server.kill()
            self.book.kills += 1
            self._server.start()

    async def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        """Ask the server until it answers, with the same words each time."""
        while True:
            try:
                async with self._http.request(method, self._server.url + path, json=body) as response:
                    if response.status == 200:
                        answer: dict[str, Any] = await response.json()
                        return answer
            except (aiohttp.ClientError, asyncio.TimeoutError):
                self._server.require_alive()
            await asyncio.sleep(_AGAIN)
