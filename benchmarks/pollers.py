"""``python -m benchmarks.pollers``: what open chats cost whose agent system has to be asked for news.

3,000 chats of `liveperson_chat` with agents in them who say nothing, each asked about every 2 s; the agent system is
another process on the other core. Beside it: what the same requests cost aiohttp alone. It takes about 25 s.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from benchmarks import machine
from rasa_handoff import access, backends
from rasa_handoff.model import Handoff, Person, Request, Status, new_handoff_id
from rasa_handoff.runtime import Runtime
from rasa_handoff.settings import read_section
from rasa_handoff.store import Store, Tx, handoffs

CHATS = 3000
SECONDS = 10.0  #: of each measurement
_ACCOUNT = "42257269"
_NAME = "liveperson_chat"
_AT_ONCE = 64


class Vendor(asyncio.Protocol):
    """Says to everything that there is no news."""

    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            self._transport.write(self.answer)


async def serve() -> None:
    """Be the agent system until ended; the port is the first line that is printed."""
    server = await asyncio.get_running_loop().create_server(Vendor, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    host = f"127.0.0.1:{port}"
    links = [
        {"@href": f"http://{host}/api/account/{_ACCOUNT}/chat/H1/events?from=5", "@rel": rel}
        for rel in ("self", "next")
    ]
    # One answer for both questions: where it is, and what is new.
    body = json.dumps({"service": "conversationVep", "baseURI": host, "events": {"link": links}}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    Vendor.answer = head.encode() + body
    print(port, flush=True)
    await server.serve_forever()


async def fill(database: Path) -> None:
    """Write the open chats, as the switchboard writes them."""
    store = Store(f"sqlite:///{database}")
    await store.open()
    try:
        await store.write(_insert)
    finally:
        await store.close()


def _insert(tx: Tx) -> None:
    for number in range(CHATS):
        handoff = Handoff(
            id=new_handoff_id(),
            sender_id=f"user-{number}",
            channel="rest",
            backend=_NAME,
            status=Status.ACTIVE,
            opened_at=time.time(),
            chat_id=f"H{number:019d}-x0a7de5c",
            agent=Person(name="Natalie"),
            notes={"next": 5},
        )
        handoffs.insert(tx, handoff, Request(sender_id=handoff.sender_id, channel="rest"))


async def measure(port: int) -> dict[str, float]:
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        await fill(Path(folder) / "handoff.db")
        runtime = _runtime(Path(folder), url)
        gc.collect()
        before = machine.memory(os.getpid())
        await runtime.open(partial(asyncio.sleep, 0))
        pollers = runtime.backends[_NAME]._pollers  # type: ignore[attr-defined]
        looks = _counted(pollers)
        await asyncio.sleep(8.0)  # until each has been looked at, and is remembered
        grown = machine.memory(os.getpid()) - before
        asked, share = await _share(SECONDS, looks)
        await runtime.stop()
    bare = await _bare(f"{url}/api/account/{_ACCOUNT}/chat/H1/events?v=1&NC=true&from=5")
    return {
        "chats": CHATS,
        "bytes_per_chat": round(grown / CHATS),
        "looks_per_s": round(asked / SECONDS),
        "core_share": round(share, 3),
        "core_us_per_look": round(share * SECONDS / asked * 1e6),
        "core_us_per_request_of_aiohttp_alone": round(bare * 1e6),
    }


def _runtime(folder: Path, url: str) -> Runtime:
    section = {"account": _ACCOUNT, "domain_api": url}
    database = f"sqlite:///{folder}/handoff.db"
    settings = read_section({"database": database, "backends": {_NAME: section}}, backends.settings_models())
    return Runtime(settings, access.ensure(folder, url=None, token=None, want_agent=False), folder)


def _counted(pollers: Any) -> Callable[[], int]:
    """How many looks there have been."""
    count = 0
    look: Callable[[Any], Awaitable[Any]] = pollers._look

    async def counting(memory: Any) -> Any:
        nonlocal count
        count += 1
        return await look(memory)

    pollers._look = counting
    return lambda: count


async def _share(seconds: float, looks: Callable[[], int]) -> tuple[int, float]:
    """Looks in so many seconds, and which share of a core they took."""
    asked, used = looks(), machine.cpu_seconds(os.getpid())
    await asyncio.sleep(seconds)
    return looks() - asked, (machine.cpu_seconds(os.getpid()) - used) / seconds


async def _bare(url: str, count: int = 6000) -> float:
    """Seconds of a core for each request of aiohttp, with nothing around it but reading the JSON."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        rest = iter(range(count))

        async def ask() -> None:
            for _ in rest:
                async with session.get(url) as reply:
                    json.loads(await reply.read())

        used = machine.cpu_seconds(os.getpid())
        await asyncio.gather(*(ask() for _ in range(_AT_ONCE)))
        return (machine.cpu_seconds(os.getpid()) - used) / count


def main() -> int:
    uvloop.install()
    if sys.argv[1:] == ["vendor"]:
        asyncio.run(serve())
        return 0
    measured, ours = machine.cores()
    command = [sys.executable, "-m", "benchmarks.pollers", "vendor"]
    vendor = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert vendor.stdout is not None
        port = int(vendor.stdout.readline())
        print(machine.describe())
        machine.pin(ours, vendor.pid)
        machine.pin(measured)
        print(json.dumps(asyncio.run(measure(port)), indent=2))
    finally:
        vendor.terminate()
        vendor.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
