"""Whether this process can do its work is found out the way that a message goes, and told to whoever asks."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rasa_handoff.health import Health
from rasa_handoff.store import Store, schema
from rasa_handoff.testing.waiting import PATIENCE
from tests.stage import Stage, Time
from tests.web_stage import Web


class Stopwatch:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


def of(store: Store, stopwatch: Stopwatch, patience: float = PATIENCE) -> Health:
    health = Health(store, stopwatch, patience)
    health.running = True
    return health


@contextmanager
def another_program(file: Path) -> Iterator[sqlite3.Connection]:
    """Has the database's file, as a backup or a shell may."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


async def test_all_is_well(store: Store, stopwatch: Stopwatch) -> None:
    condition = await of(store, stopwatch).look()
    assert condition.is_ready
    assert (condition.database, condition.lease) == (None, True)


async def test_not_before_the_start_nor_after_the_end(stage: Stage) -> None:
    stage.runtime.health._patience = PATIENCE
    assert (await stage.runtime.health.look()).is_ready
    await stage.down()
    stage.runtime.health._asked_at = float("-inf")
    condition = await stage.runtime.health.look()
    assert not condition.running
    assert not condition.is_ready
    await stage.up()


async def test_a_database_that_takes_no_change_is_noticed(tmp_path: Path, stopwatch: Stopwatch) -> None:
    """As on a full disk: it can be read, and transactions begin and end."""
    file = tmp_path / "handoff.db"
    store = Store(f"sqlite:///{file}")
    await store.open()
    health = of(store, stopwatch)
    with another_program(file) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON handoff_schema BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
        condition = await health.look()
        assert "could not take the change" in (condition.database or "")
        assert not condition.is_ready
        connection.execute("DROP TRIGGER full")
    stopwatch.seconds += 1
    assert (await health.look()).is_ready
    await store.close()


async def test_a_database_that_hangs_is_noticed_and_asked_once(tmp_path: Path, stopwatch: Stopwatch) -> None:
    file = tmp_path / "handoff.db"
    store = Store(f"sqlite:///{file}")
    await store.open()
    health = of(store, stopwatch, patience=0.3)
    with another_program(file) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            condition = await health.look()
            assert condition.database == "the database does not answer"
            stopwatch.seconds += 1
        assert len(store._writer._gathered) == 0
        connection.execute("ROLLBACK")
    await store.told()
    health._patience = PATIENCE
    assert (await health.look()).is_ready
    await store.close()


async def test_whoever_asks_often_costs_one_change_a_second(
    store: Store, stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: list[object] = []
    write_again = schema.write_again
    monkeypatch.setattr(schema, "write_again", lambda tx: changes.append(tx) or write_again(tx))
    health = of(store, stopwatch)
    await asyncio.gather(*(health.look() for _ in range(20)))
    await health.look()
    assert len(changes) == 1
    stopwatch.seconds += 1
    await health.look()
    assert len(changes) == 2


async def test_without_its_lease_a_process_is_not_ready(new_database: str, tmp_path: Path, time: Time) -> None:
    stage = Stage(new_database, tmp_path, time)
    await stage.up()
    stage.runtime.store.resign()
    stage.runtime.health._patience = PATIENCE
    condition = await stage.runtime.health.look()
    assert condition.database is None
    assert not condition.lease
    assert not condition.is_ready
    await stage.down()


# Over HTTP


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_who_has_no_token_hears_yes(web: Web, method: str) -> None:
    web.runtime.health._patience = PATIENCE
    answer = await (await web.stranger()).ask(method, "/health")
    assert answer.status == 200
    assert answer.body == (b'{"status":"ok"}' if method == "GET" else b"")
    assert answer.headers["cache-control"] == "no-store"


async def test_who_has_no_token_hears_no_and_nothing_more(web: Web) -> None:
    web.runtime.health.running = False
    answer = await (await web.stranger()).get("/health")
    assert (answer.status, answer.json) == (503, {"status": "unavailable"})


async def test_why_is_for_those_with_the_token(web: Web) -> None:
    web.runtime.health.running = False
    web.runtime.health._patience = PATIENCE
    answer = await (await web.operator()).get("/status")
    health = answer.json["health"]
    assert 0 <= health.pop("seconds") < PATIENCE
    assert health == {"ready": False, "database": None, "lease": True, "running": False}
