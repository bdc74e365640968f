"""The Rasa server and the action server, with the files that they start from."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
from ruamel.yaml import YAML

from rasa_handoff.credentials import SECTION
from rasa_handoff.demo.lines import Filter
from rasa_handoff.demo.options import BOT, ENDPOINTS, DemoError, Options, say, show_stand_in
from rasa_handoff.demo.processes import Server, first_end, started
from rasa_handoff.testing.agent_side import Running

LONGEST_START = 180.0  #: seconds until both servers must answer

_ACTIONS_PORT = ":5055/"  # as endpoints.yml has it


@contextlib.asynccontextmanager
async def servers(options: Options, model: Path, credentials: Path, endpoints: Path) -> AsyncIterator[list[Server]]:
    """Both servers; they are ended on the way out, whatever happened."""
    # fmt: off
    actions = ["-m", "rasa_sdk", "--actions", f"{BOT}.actions", "--port", str(options.actions_port)]
    rasa = [
        "-m", "rasa", "run", "--model", str(model), "--port", str(options.port),
        "--credentials", str(credentials), "--endpoints", str(endpoints),
    ]
    # fmt: on
    say(options, "Starting the Rasa server and the action server (a quarter of a minute)")
    async with (
        started("actions", actions, options, show=Filter().show) as action_server,
        started("rasa", rasa, options, show=Filter().show) as rasa_server,
    ):
        try:
            yield [rasa_server, action_server]
        finally:
            say(options, "Stopping")


@contextlib.contextmanager
def stand_in(options: Options) -> Iterator[Running | None]:
    """The stand-in of the agent system that is asked for, while it runs here."""
    if options.backend is None:
        yield None
        return
    webhooks = f"{options.url}/webhooks/handoff/{options.backend}"
    agents = Running(options.backend, webhooks, show=show_stand_in(options), wire=options.wire)
    agents.start()
    try:
        yield agents
    finally:
        agents.stop()


@contextlib.contextmanager
def credentials(options: Options, agents: Running | None) -> Iterator[Path]:
    """The bot's credentials.yml; where there is a stand-in, one that leads to it."""
    path = options.folder / BOT / "credentials.yml"
    if agents is None:
        yield path
        return
    channels = YAML(typ="safe").load(path)
    ours = {"public_url": options.url, "backends": {options.backend: agents.section}}
    channels = {**channels, SECTION: {**(channels[SECTION] or {}), **ours}, **agents.channels}
    with tempfile.TemporaryDirectory(prefix="rasa-handoff-demo-") as temporary:
        changed = Path(temporary) / path.name
        changed.write_text(json.dumps(channels), encoding="utf-8")
        yield changed


@contextlib.contextmanager
def endpoints(options: Options) -> Iterator[Path]:
    """endpoints.yml with the action server's port in it."""
    text = (options.folder / ENDPOINTS).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="rasa-handoff-demo-") as temporary:
        path = Path(temporary) / ENDPOINTS
        path.write_text(text.replace(_ACTIONS_PORT, f":{options.actions_port}/"), encoding="utf-8")
        yield path


async def ready(options: Options, servers: list[Server]) -> None:
    """Return when both servers answer."""
    answers = asyncio.ensure_future(_both_answer(options))
    ends = asyncio.ensure_future(first_end(servers))
    try:
        await asyncio.wait([answers, ends], return_when=asyncio.FIRST_COMPLETED)
        if ends.done():
            ends.result()
        await answers
    finally:
        answers.cancel()
        ends.cancel()


async def _both_answer(options: Options) -> None:
    deadline = time.monotonic() + LONGEST_START
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        for url in (
            f"http://127.0.0.1:{options.actions_port}/health",
            f"http://127.0.0.1:{options.port}/webhooks/handoff/chat/",
        ):
            while not await _answers(session, url):
                if time.monotonic() > deadline:
                    raise DemoError(f"{url} does not answer; `--verbose` shows what the servers say")
                await asyncio.sleep(0.2)


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, asyncio.TimeoutError):
        return False
