"""Nothing is lost, nothing overtakes, and no two send at once, while servers that share a database have trouble."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.crash.book import Entry, judge
from tests.crash.several import Several, killed, paused, restarted
from tests.databases import postgresql_server
from tests.test_store import administer, hang_up

SEED = 20_261_121
pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture
def own_server() -> Iterator[Any]:
    """A PostgreSQL server that a test may end and start."""
    with postgresql_server() as server:
        yield server


async def disconnected(several: Several) -> None:
    """The database server hangs up on everybody."""
    assert hang_up(several.database) >= 3


async def unheard(several: Several) -> None:
    """What hears the others' notes is cut off, everywhere, and nothing else."""
    listening = "FROM pg_stat_activity WHERE application_name = 'rasa_handoff' AND query ILIKE '%handoff_workers%'"
    administer(several.database, f"SELECT pg_terminate_backend(pid) {listening}")


async def taken_for_dead(several: Several) -> None:
    """A server that is well is taken for dead, as after a stop of the whole machine."""
    with closing(psycopg2.connect(several.database)) as connection:
        connection.autocommit = True
        connection.cursor().execute("DELETE FROM handoff_workers WHERE id IN (SELECT min(id) FROM handoff_workers)")


async def test_what_was_acknowledged_arrives_in_order_whatever_happens_to_the_servers(
    own_server: Any, tmp_path: Path
) -> None:
    async def database_restarted(several: Several) -> None:
        """The database server dies without a word, and is started again."""
        os.kill(own_server.get_pid(), signal.SIGQUIT)
        await asyncio.get_running_loop().run_in_executor(None, own_server.get_postmaster_info().process.wait, 60)
        await asyncio.sleep(2)
        own_server.ensure_postgres_running()

    troubles = [killed, paused, unheard, taken_for_dead, disconnected, restarted, database_restarted, killed]
    several = Several(tmp_path, own_server.get_uri(), servers=3, conversations=20, seed=SEED)
    book = await several.run(troubles, seconds=400)
    assert len(book.acks) > 1000
    verdict = judge(book)
    assert (verdict.lost, verdict.unexpected, verdict.overtaken, verdict.renamed) == ([], [], [], [])
    assert verdict.duplicates <= verdict.bound
    require_once_in_store(own_server.get_uri(), book.acks)
    print(f"\n{len(book.acks)} messages, {len(troubles)} troubles, {verdict.duplicates} came twice")


def require_once_in_store(database: str, acks: Iterable[Entry]) -> None:
    """Each message is in the database once, and was delivered once by its account."""
    with closing(psycopg2.connect(database)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT body FROM handoff_messages")
        texts = [json.loads(row[0])["text"] for row in cursor.fetchall()]
        cursor.execute("SELECT message_id, state FROM handoff_deliveries WHERE kind = 'message'")
        rows = cursor.fetchall()
    assert Counter(texts) == Counter(entry.id for entry in acks)
    assert len({message_id for message_id, _ in rows}) == len(rows) == len(texts)
    assert {state for _, state in rows} == {"done"}
