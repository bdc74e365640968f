"""Whether what the bot needs answers: asked for real, in bounded time, and changing nothing anywhere."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from rasa_handoff import access, backends
from rasa_handoff.doctor.case import Case
from rasa_handoff.doctor.findings import Finding, fine, note, problem
from rasa_handoff.errors import BackendError, ConfigError, HandoffError
from rasa_handoff.liveperson_agent import probe as agents
from rasa_handoff.liveperson_agent import settings as agent_settings
from rasa_handoff.project.actions import HANDOFF
from rasa_handoff.settings import Settings, page_of

TIMEOUT = 10.0  #: seconds for each
_ALIVE = "/webhooks/handoff/"
_AGENT = "liveperson_agent"
_LARGEST = 256 * 1024  #: bytes of an answer that are read
_FAILURES = (aiohttp.ClientError, OSError, ValueError)

Check = Callable[[], Awaitable[Finding]]


def look(case: Case) -> list[Finding]:
    """Ask all of them at the same time."""
    return asyncio.run(_look(case))


async def _look(case: Case) -> list[Finding]:
    return list(await asyncio.gather(*(_bounded(about, check) for about, check in _checks(case))))


def _checks(case: Case) -> Iterator[tuple[str, Check]]:
    yield "server", partial(_server, case)
    if case.endpoint("action_endpoint").get("url"):
        yield "action_endpoint", partial(_actions, str(case.endpoint("action_endpoint")["url"]))
    if case.endpoint("lock_store").get("type") == "redis":
        yield "lock_store", partial(_in_thread, _redis, case.endpoint("lock_store"))
    if case.settings is not None:
        yield from _of_settings(case, case.settings)


def _of_settings(case: Case, settings: Settings) -> Iterator[tuple[str, Check]]:
    if settings.database.startswith("sqlite:"):
        path = case.project.places.folder / settings.database.partition("sqlite:///")[2]
        yield "database", partial(_in_thread, _sqlite, path)
    else:
        yield "database", partial(_in_thread, _postgresql, settings.database)
    if settings.public_url:
        yield "public_url", partial(_public_url, settings.public_url)
    for name, section in settings.backends.items():
        if name != _AGENT:  # all that it needs to get there is in its channel's entry
            yield name, partial(_backend, name, section)
    if agent_settings.CHANNEL in case.channels:
        yield _AGENT, partial(_agent, case)


async def _bounded(about: str, check: Check) -> Finding:
    try:
        return await asyncio.wait_for(check(), TIMEOUT)
    except asyncio.TimeoutError:
        return problem(
            about, f"{about}: no answer within {TIMEOUT:g} s.", "See that it runs, and that no firewall is between."
        )


async def _in_thread(ask: Callable[..., Finding], *values: Any) -> Finding:
    return await asyncio.get_running_loop().run_in_executor(None, ask, *values)


# Over HTTP


async def _get(url: URL) -> tuple[int, Any]:
    """The status of an answer and, where it is JSON, its content."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, allow_redirects=False) as reply:
        content = await reply.content.read(_LARGEST)
        try:
            return reply.status, json.loads(content)
        except ValueError:
            return reply.status, None


async def _server(case: Case) -> Finding:
    """The Rasa server, where it runs already."""
    url = _server_url(case)
    if await _is_alive(url):
        return fine("server", f"The Rasa server runs with the plugin at {url}")
    return note("server", f"No Rasa server with the plugin answers at {url}.", "Start it, or set HANDOFF_URL.")


def _server_url(case: Case) -> str:
    """Where the Rasa server is, if it runs."""
    try:
        known = access.find(case.project.places.folder)
    except ConfigError:
        known = None  # said elsewhere
    return known.url if known else access.DEFAULT_URL


async def _public_url(url: str) -> Finding:
    if await _is_alive(url):
        return fine("public_url", f"{url} leads to the plugin")
    return problem(
        "public_url",
        f"{url}{_ALIVE} is not answered by the plugin.",
        "See that the server runs and that the proxy in front passes on /webhooks/handoff/.",
    )


async def _is_alive(url: str) -> bool:
    try:
        return await _get(URL(f"{url}{_ALIVE}")) == (200, {"status": "ok"})
    except _FAILURES:
        return False


async def _actions(url: str) -> Finding:
    """The action server says by itself what it serves."""
    try:
        status, served = await _get(URL(url).with_path("/actions").with_query(None))
    except _FAILURES as error:
        return problem(
            "action_endpoint", f"No action server at {url} ({type(error).__name__}).", "Start it:", ["rasa run actions"]
        )
    if status != 200 or not isinstance(served, list):
        return note("action_endpoint", f"Something answers at {url}, but does not say which actions it has.")
    names = {each.get("name") for each in served if isinstance(each, dict)}
    if HANDOFF in names:
        return fine("action_endpoint", f"The action server at {url} serves {HANDOFF}")
    return problem(
        "action_endpoint",
        f"The action server at {url} does not serve {HANDOFF}.",
        "Add this line to its code, and start it again:",
        ["from rasa_handoff.actions import *"],
    )


async def _backend(name: str, section: Any) -> Finding:
    backend = backends.load(name)
    try:
        said = await backend(section).probe()
    except HandoffError as error:
        # Backends of one vendor share requests, and the name that is told with them.
        text = str(error).removeprefix(f"{error.who}: ") if isinstance(error, BackendError) else str(error)
        page = page_of(name, backend.settings_model)
        return problem(
            name, f"{name}: {text}", f"See backends.{name} in credentials.yml" + (f", and {page}." if page else ".")
        )
    if said is None:
        return note(name, f"{name}: there is nothing that could be asked without an effect.")
    return fine(name, f"{name}: {said}")


async def _agent(case: Case) -> Finding:
    """The bot as one of LivePerson's agents; who is signed in already is not signed in a second time."""
    name, url = _AGENT, URL(f"{_server_url(case)}/webhooks/{_AGENT}/")
    with suppress(*_FAILURES):
        if await _get(url) == (200, {"status": "ok", "signed_in": True}):
            return fine(name, f"{name}: the Rasa server is signed in as an agent")
    try:
        said = await agents.probe(agent_settings.read(case.channels[agent_settings.CHANNEL]))
    except BackendError as error:
        return problem(name, f"{name}: {str(error).removeprefix(f'{error.who}: ')}", agents.remedy(error))
    return fine(name, f"{name}: {said}")


# Databases: they block, and run in a thread


def _postgresql(address: str) -> Finding:
    try:
        import psycopg2
    except ImportError:
        return problem(
            "database", "The driver of PostgreSQL is not installed.", "Run:", ["pip install psycopg2-binary"]
        )
    try:
        with closing(
            psycopg2.connect(address.replace("+psycopg2", "", 1), connect_timeout=int(TIMEOUT) - 2)
        ) as database:
            number = database.server_version
            return fine("database", f"PostgreSQL {number // 10_000} answers")
    except psycopg2.Error as error:
        return problem(
            "database", f"PostgreSQL does not let us in ({_why(error)}).", "See `database` in credentials.yml."
        )


def _why(error: Exception) -> str:
    """The last of what the driver says, which has no password in it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rpartition(": ")[2] if lines else type(error).__name__


def _sqlite(path: Path) -> Finding:
    if not path.exists():
        return fine("database", "SQLite's file is made on the first start")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=TIMEOUT / 2)) as database:
            (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return problem(
            "database", f"SQLite cannot read {path}: {error}.", "Bring a backup back, or move the file away."
        )
    if said != "ok":
        return problem("database", f"{path} is damaged: {said}.", "Bring a backup back, or move the file away.")
    return fine("database", f"SQLite's file {path.name} is sound")


def _redis(section: dict[str, Any]) -> Finding:
    import redis

    known = ("port", "db", "username", "password")
    options = {name: section[name] for name in known if section.get(name) is not None}
    seconds = TIMEOUT / 2
    client = redis.StrictRedis(
        host=section.get("url") or "localhost",
        ssl=bool(section.get("use_ssl")),
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        **options,
    )
    try:
        client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        return problem(
            "lock_store", f"Redis does not answer ({type(error).__name__}).", "See lock_store in endpoints.yml."
        )
    finally:
        client.close()
    return fine("lock_store", "Redis, the lock store, answers")
