"""What the tests stand on: real databases, a clock that is moved by hand, the parts without Rasa."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from rasa_handoff.store import Store
from rasa_handoff.testing import Wire
from tests import databases
from tests.stage import Stage, Time
from tests.web_stage import Web, open_web

_NUMBERS = itertools.count(1)

# That one example took long tells of the machine, and nothing of what is tried.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


# Files that start servers of their own take longest: they go first, so that no process works on one alone at the end.
_LONG = re.compile("servers|crash|story|demo|gate|untouched|model")


def pytest_configure() -> None:
    """Keep the tests' files in memory: a disk that is slow for a moment makes a bot late, and tells nothing of it."""
    if (folder := databases.folder_in_memory()) is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _LONG.search(item.path.name) is None)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server of our own."""
    with databases.postgresql_server() as server:
        yield server.get_uri()


@pytest.fixture
def new_database(postgresql: str) -> Iterator[str]:
    """The address of an empty PostgreSQL database."""
    with databases.database(postgresql, f"handoff_{next(_NUMBERS)}") as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/handoff.db"
    address: str = request.getfixturevalue("new_database")
    return address


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A server in a vendor's place, which takes everything."""
    with Wire() as wire:
        yield wire


@pytest.fixture
def time() -> Time:
    return Time()


@pytest_asyncio.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """An open store."""
    store = Store(database)
    await store.open()
    yield store
    await store.close()


@pytest_asyncio.fixture
async def stage(database: str, tmp_path: Path, time: Time) -> AsyncIterator[Stage]:
    """Everything but Rasa, on either database, with an agent system and a user that write down what arrives."""
    stage = Stage(database, tmp_path, time)
    await stage.up()
    yield stage
    await stage.down()


@pytest_asyncio.fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    """A real server with our routes, on SQLite."""
    async with open_web(f"sqlite:///{tmp_path}/handoff.db", tmp_path) as web:
        yield web


@pytest_asyncio.fixture
async def web_on_each(database: str, tmp_path: Path) -> AsyncIterator[Web]:
    """A real server with our routes, once on SQLite and once on PostgreSQL."""
    async with open_web(database, tmp_path) as web:
        yield web
