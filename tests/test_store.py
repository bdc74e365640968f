"""What must survive: the files, their versions, the one writer, and a database in trouble."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg2
import pytest

from rasa_handoff.errors import Conflict, StoreError, StoreInUse
from rasa_handoff.store import Store, Tx, messages, schema, stream
from rasa_handoff.testing.waiting import PATIENCE, until
from tests.databases import postgresql_server
from tests.servers import until as wait_until

ROOT = Path(__file__).parent.parent
LONGEST_RUN = 120.0  #: seconds that a program of ours has, on a machine that is busy with others
NEXT_VERSION = """
ALTER TABLE handoff_seen ADD COLUMN extra TEXT;
CREATE TABLE handoff_more (id TEXT PRIMARY KEY);
CREATE INDEX handoff_more_by_id ON handoff_more (id);
"""
STATEMENTS = NEXT_VERSION.strip().rstrip(";").split(";")


def see(tx: Tx, event_id: str) -> bool:
    """The smallest change there is: remember an id, and tell of it the first time."""
    first = messages.first_sight(tx, "test", event_id, 0.0)
    if first:
        tx.announce(event_id)
    return first


def write(store: Store, event_id: str) -> asyncio.Future[bool]:
    return store.write(partial(see, event_id=event_id))


async def seen(store: Store) -> set[str]:
    return {row[0] for row in await store.read(lambda tx: tx.all("SELECT event_id FROM handoff_seen", {}))}


async def version_of(store: Store) -> int:
    row = await store.read(lambda tx: tx.one("SELECT version FROM handoff_schema", {}))
    assert row is not None
    return int(row[0])


@asynccontextmanager
async def opened(database: str) -> AsyncIterator[Store]:
    """The store at *database*, for as long as the block lasts."""
    store = Store(database)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def gathering(store: Store) -> AsyncIterator[list[str]]:
    """Keep the writer busy with one commit during the block, so that what is written in it gathers.

    Where the event loop runs the changes (SQLite) it is the commit itself that waits; what is given are the
    statements from then on.
    """
    busy, done = threading.Event(), threading.Event()
    statements: list[str] = []

    def wait(*_: Tx) -> None:
        busy.set()
        done.wait(60)

    def trace(statement: str) -> None:
        statements.append(statement)
        if statement == "COMMIT" and not done.is_set():
            wait()

    if store._database.waits:
        first = store.write(wait)
    else:
        store._writer._connection._raw.set_trace_callback(trace)  # type: ignore[union-attr]
        first = store.write(lambda tx: None)
    await asyncio.get_running_loop().run_in_executor(None, busy.wait)
    try:
        yield statements
    finally:
        done.set()
    await first


def on_disk(database: str, sql: str) -> list[tuple[Any, ...]]:
    """What somebody else sees in the database."""
    path = database.removeprefix("sqlite:///")
    with closing(psycopg2.connect(database) if path == database else sqlite3.connect(path)) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def started(module: str, *arguments: str) -> subprocess.Popen[str]:
    """A program of ours in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/folder/handoff.db"


class TestFiles:
    async def test_only_the_owner_can_read_them_whatever_the_umask(self, sqlite: str) -> None:
        path = sqlite.removeprefix("sqlite:///")
        before = os.umask(0)
        try:
            async with opened(sqlite) as store:
                await write(store, "one")
                modes = {suffix: mode(path + suffix) for suffix in ("", "-wal", "-shm", ".lock")}
        finally:
            os.umask(before)
        assert modes == {"": 0o600, "-wal": 0o600, "-shm": 0o600, ".lock": 0o600}
        assert mode(os.path.dirname(path)) == 0o700

    @pytest.mark.processes
    async def test_a_second_process_is_refused_and_told_the_way_out(self, sqlite: str) -> None:
        async with opened(sqlite):
            second = started("tests.crash.holder", sqlite)
            said, _ = second.communicate(timeout=LONGEST_RUN)
        assert second.returncode == 1
        assert "another process writes the database" in said
        assert "database: postgresql://" in said

    @pytest.mark.processes
    async def test_a_killed_process_leaves_the_file_free(self, sqlite: str) -> None:
        first = started("tests.crash.holder", sqlite)
        assert first.stdout is not None
        assert first.stdout.readline() == "open\n"
        with pytest.raises(StoreInUse):
            await Store(sqlite).open()
        first.kill()
        first.wait()
        first.stdout.close()
        async with opened(sqlite) as store:
            assert await write(store, "one")

    async def test_a_commit_is_on_the_disk_before_it_counts(self, sqlite: str) -> None:
        async with opened(sqlite) as store:
            assert await store.write(lambda tx: tx.one("PRAGMA journal_mode", {})) == ("wal",)
            assert await store.write(lambda tx: tx.one("PRAGMA synchronous", {})) == (2,)  # FULL

    async def test_a_file_that_is_no_database_is_refused(self, sqlite: str) -> None:
        path = Path(sqlite.removeprefix("sqlite:///"))
        path.parent.mkdir()
        path.write_text("a letter, and not a database" * 100)
        for _ in range(2):  # and the refusal lets it go again
            with pytest.raises(StoreError, match="handoff.db"):
                await Store(sqlite).open()
        assert path.read_text().startswith("a letter")

    async def test_a_place_where_no_file_can_be_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="cannot open the database"):
            await Store(f"sqlite:///{tmp_path}/file/handoff.db").open()

    async def test_any_number_of_stores_share_a_postgresql_database(self, new_database: str) -> None:
        async with opened(new_database) as one, opened(new_database) as two:
            writes = [write(store, str(number)) for number in range(100) for store in (one, two)]
            firsts = await asyncio.gather(*writes)
            assert sum(firsts) == 100  # nobody overlooked what the other had written
            assert await seen(one) == await seen(two) == {str(number) for number in range(100)}

    async def test_a_server_that_is_not_there_is_named_without_its_password(self) -> None:
        with pytest.raises(StoreError) as refused:
            await Store("postgresql://ann:hunter2@127.0.0.1:1/handoff").open()
        assert "is it running" in str(refused.value)
        assert "hunter2" not in str(refused.value)


class TestVersions:
    async def test_an_empty_database_becomes_todays(self, store: Store) -> None:
        assert await version_of(store) == len(schema.VERSIONS)

    async def test_it_stays_what_it_is_at_the_next_start(self, database: str) -> None:
        async with opened(database) as store:
            await write(store, "one")
        async with opened(database) as store:
            assert await seen(store) == {"one"}
            assert await version_of(store) == len(schema.VERSIONS)

    async def test_an_older_database_is_upgraded_with_what_is_in_it(
        self, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with opened(database) as store:
            await write(store, "one")
        monkeypatch.setattr(schema, "VERSIONS", (*schema.VERSIONS, NEXT_VERSION))
        async with opened(database) as store:
            assert await version_of(store) == len(schema.VERSIONS)
            assert await seen(store) == {"one"}
            await store.write(lambda tx: tx.run("INSERT INTO handoff_more (id) VALUES ('new')", {}))

    async def test_what_waits_and_what_is_kept_from_version_2_finds_its_user(
        self, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        today = schema.VERSIONS
        monkeypatch.setattr(schema, "VERSIONS", today[:2])
        async with opened(database) as store:
            await store.write(_as_version_2_had_it)
        monkeypatch.setattr(schema, "VERSIONS", today)
        async with opened(database) as store:
            waiting = await store.read(partial(stream.waiting, sender_id="ann", mailbox="rest"))
            assert [entry.data for entry in waiting] == ['{"text": "hello"}']
            kept_for = await store.read(lambda tx: tx.all("SELECT sender_id FROM handoff_kept", {}))
            assert kept_for == [("ann",)]

    async def test_a_newer_database_is_refused_and_left_alone(self, database: str) -> None:
        async with opened(database) as store:
            await store.write(lambda tx: tx.run("UPDATE handoff_schema SET version = 99", {}))
        for _ in range(2):  # and the refusal lets it go again
            with pytest.raises(StoreError, match="schema version 99.*install the newer rasa_handoff"):
                await Store(database).open()
        assert on_disk(database, "SELECT version FROM handoff_schema") == [(99,)]

    @pytest.mark.parametrize("broken", range(len(STATEMENTS) + 1))
    async def test_an_upgrade_that_fails_leaves_the_old_version(
        self, database: str, monkeypatch: pytest.MonkeyPatch, broken: int
    ) -> None:
        async with opened(database) as store:
            await write(store, "one")
        old = schema.VERSIONS
        statements = [*STATEMENTS[:broken], "CREATE TABLE handoff_seen (id TEXT)", *STATEMENTS[broken:]]
        monkeypatch.setattr(schema, "VERSIONS", (*old, ";".join(statements)))
        with pytest.raises(StoreError, match="upgrade"):
            await Store(database).open()
        monkeypatch.setattr(schema, "VERSIONS", old)
        await require_untouched(database)

    @pytest.mark.processes
    @pytest.mark.parametrize("lives", range(len(STATEMENTS) + 2))
    async def test_an_upgrade_that_is_killed_leaves_the_old_version(self, database: str, lives: int) -> None:
        async with opened(database) as store:
            await write(store, "one")
        program = started("tests.crash.upgrading", database, NEXT_VERSION, str(lives))
        program.communicate(timeout=LONGEST_RUN)
        assert program.returncode == -signal.SIGKILL
        if lives <= len(STATEMENTS):
            await require_untouched(database)
        else:  # it lived to commit
            assert on_disk(database, "SELECT version FROM handoff_schema") == [(len(schema.VERSIONS) + 1,)]
            assert on_disk(database, "SELECT event_id, extra FROM handoff_seen") == [("one", None)]


def _as_version_2_had_it(tx: Tx) -> None:
    tx.run(
        "INSERT INTO handoff_handoffs (id, sender_id, channel, backend, status, opened_at, settled, last_seq, deadlines, notes) "
        "VALUES ('h', 'ann', 'rest', 'desk', 'active', 1, 0, 0, '{}', '{}')",
        {},
    )
    tx.run(
        "INSERT INTO handoff_stream (sender_id, id, event, data, at, waiting) "
        """VALUES ('ann', 1, 'message', '{"text": "hello"}', 2, 1)""",
        {},
    )
    tx.run("INSERT INTO handoff_kept (scope, name, body, at) VALUES ('address', 'ann', '{}', 1)", {})


async def require_untouched(database: str) -> None:
    """The database is as it was before the upgrade, and opens."""
    async with opened(database) as store:
        assert await version_of(store) == len(schema.VERSIONS)
        assert await seen(store) == {"one"}
    assert len(on_disk(database, "SELECT * FROM handoff_seen")[0]) == 3
    with pytest.raises((sqlite3.OperationalError, psycopg2.ProgrammingError)):
        on_disk(database, "SELECT * FROM handoff_more")


class TestWriter:
    async def test_what_gathers_is_committed_together(self, sqlite: str) -> None:
        async with opened(sqlite) as store:
            async with gathering(store) as statements:
                writes = [write(store, str(number)) for number in range(1000)]
            assert all(await asyncio.gather(*writes))
        assert statements.count("COMMIT") <= 5  # that one, and four for the thousand

    async def test_what_gathers_is_one_transaction_on_postgresql(self, new_database: str) -> None:
        async with opened(new_database) as store:
            async with gathering(store):
                writes = [write(store, str(number)) for number in range(1000)]
            assert all(await asyncio.gather(*writes))
        assert on_disk(new_database, "SELECT count(DISTINCT xmin::text) FROM handoff_seen") == [(4,)]

    async def test_a_change_that_fails_takes_no_other_with_it(self, store: Store) -> None:
        facts: list[str] = []
        store.subscribe(str, facts.append)

        def refuse(tx: Tx) -> None:
            see(tx, "refused")
            raise Conflict("taken", "no")

        def fail(tx: Tx) -> None:
            see(tx, "failed")
            raise ValueError("a bug")

        def misspell(tx: Tx) -> None:
            see(tx, "misspelt")
            tx.run("INSERT INTO handoff_nowhere VALUES (1)", {})

        async with gathering(store):
            changes = [write(store, "one"), *map(store.write, (refuse, fail, misspell)), write(store, "two")]
        outcomes = await asyncio.gather(*changes, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [bool, Conflict, StoreError, StoreError, bool]
        assert await seen(store) == {"one", "two"}
        assert facts == ["one", "two"]

    async def test_facts_are_told_in_order_when_they_are_on_disk_and_before_anybody_goes_on(
        self, database: str
    ) -> None:
        facts: list[str] = []
        visible: list[bool] = []
        early: list[bool] = []

        def hear(fact: str) -> None:
            facts.append(fact)
            visible.append((fact,) in on_disk(database, "SELECT event_id FROM handoff_seen"))
            early.append(writes[int(fact)].done())

        async with opened(database) as store:
            store.subscribe(str, hear)
            writes = [write(store, str(number)) for number in range(60)]
            await asyncio.gather(*writes)
        assert facts == [str(number) for number in range(60)]
        assert all(visible)
        assert not any(early)

    async def test_a_subscriber_that_fails_keeps_nobody_from_hearing(self, store: Store) -> None:
        facts: list[str] = []
        store.subscribe(str, lambda fact: 1 / 0)
        store.subscribe(str, facts.append)
        assert await write(store, "one")
        assert facts == ["one"]

    async def test_a_request_that_hangs_up_does_not_stop_its_change(self, store: Store) -> None:
        facts: list[str] = []
        store.subscribe(str, facts.append)

        async def handle(number: int) -> None:
            await write(store, str(number))

        async with gathering(store):
            requests = [asyncio.create_task(handle(number)) for number in range(300)]
            await asyncio.sleep(0)
            for request in requests:
                request.cancel()
            await asyncio.wait(requests)
        await until(lambda: len(facts) == 300)
        assert await seen(store) == set(facts) == {str(number) for number in range(300)}

    async def test_what_was_submitted_before_the_end_is_committed(self, database: str) -> None:
        async with opened(database) as store:
            writes = [write(store, str(number)) for number in range(300)]
        assert all(await asyncio.gather(*writes))
        with pytest.raises(StoreError, match="the server is stopping"):
            await write(store, "too late")
        assert on_disk(database, "SELECT count(*) FROM handoff_seen") == [(300,)]

    async def test_a_reader_cannot_write(self, store: Store) -> None:
        with pytest.raises(StoreError):
            await store.read(partial(see, event_id="one"))
        assert await seen(store) == set()


@contextmanager
def full_disk(path: str, room: int) -> Iterator[None]:
    """No file of this process grows beyond what the database's log has, and *room* bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(f"{path}-wal").st_size + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


class TestTrouble:
    async def test_a_full_disk_is_said_and_got_over(self, sqlite: str) -> None:
        facts: list[str] = []
        async with opened(sqlite) as store:
            store.subscribe(str, facts.append)
            with full_disk(store._database.path, 20_000):  # type: ignore[attr-defined]
                writes = [write(store, f"{number}-{'x' * 4000}") for number in range(50)]
                outcomes = await asyncio.gather(*writes, return_exceptions=True)
            refused = [outcome for outcome in outcomes if isinstance(outcome, StoreError)]
            assert refused
            assert len(refused) + outcomes.count(True) == 50
            assert await write(store, "after")
            kept = await seen(store)
        assert kept == set(facts)
        assert len(kept) == outcomes.count(True) + 1
        assert on_disk(sqlite, "PRAGMA integrity_check") == [("ok",)]

    async def test_a_file_locked_by_somebody_else_is_said_to_everybody_at_once(self, sqlite: str) -> None:
        async with opened(sqlite) as store:
            path = sqlite.removeprefix("sqlite:///")
            with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
                somebody.execute("BEGIN IMMEDIATE")
                started_at = monotonic()
                writes = [write(store, str(number)) for number in range(20)]
                outcomes = await asyncio.gather(*writes, return_exceptions=True)
                took = monotonic() - started_at
                somebody.execute("COMMIT")
            assert [type(outcome) for outcome in outcomes] == [StoreError] * 20
            assert took < 50  # SQLite waits 5 s for a lock, and not once for each of them, which would be 100 s
            assert await write(store, "after")
            assert await seen(store) == {"after"}

    async def test_a_lost_connection_is_made_anew(self, new_database: str) -> None:
        async with opened(new_database) as store:
            assert await write(store, "one")
            hang_up(new_database)
            assert await seen(store) == {"one"}
            assert await write(store, "two")
            assert await seen(store) == {"one", "two"}

    async def test_no_commit_is_forgotten_or_repeated_while_connections_are_lost(self, new_database: str) -> None:
        """A connection may be lost when the commit is done and nobody has heard of it."""
        facts: list[str] = []
        async with opened(new_database) as store:
            store.subscribe(str, facts.append)
            ran_again, names = set[str](), [f"{round_}-{number}" for round_ in range(25) for number in range(40)]

            async def insist(name: str) -> None:
                """Write as a client does: until it is acknowledged."""
                while True:
                    try:
                        if not await write(store, name):
                            ran_again.add(name)
                        return
                    except StoreError:
                        refused.add(name)

            refused = set[str]()
            lost = 0
            for round_ in range(25):
                writing = asyncio.gather(*map(insist, names[round_ * 40 : round_ * 40 + 40]))
                await asyncio.sleep(0.0003 * round_)
                lost += hang_up(new_database)
                await writing
            kept = await seen(store)
        assert lost > 10
        assert sorted(facts) == sorted(kept) == sorted(names)
        assert ran_again <= refused, "a change ran again that was on disk"

    async def test_a_commit_whose_answer_was_lost_has_been_made(self, new_database: str) -> None:
        facts: list[str] = []
        async with opened(new_database) as store:
            store.subscribe(str, facts.append)
            with commits_that_wait(new_database):
                writes = asyncio.gather(*(write(store, str(number)) for number in range(3)))
                await until(lambda: on_disk(new_database, COMMITTED_BUT_SILENT) == [(1,)])
                hang_up(new_database)
                assert await asyncio.wait_for(writes, PATIENCE) == [True] * 3
            assert await write(store, "after")
        assert facts == ["0", "1", "2", "after"]

    async def test_a_commit_that_was_refused_and_made_all_the_same_is_told_in_the_end(self, new_database: str) -> None:
        facts: list[str] = []
        async with opened(new_database) as store:
            store.subscribe(str, facts.append)
            with commits_that_wait(new_database):
                writing = write(store, "one")
                await until(lambda: on_disk(new_database, COMMITTED_BUT_SILENT) == [(1,)])
                with nobody_let_in(new_database):
                    hang_up(new_database)
                    with pytest.raises(StoreError):
                        await asyncio.wait_for(writing, PATIENCE)
            assert facts == []
            assert not await write(store, "one")
        assert facts == ["one"]

    @pytest.mark.slow
    async def test_a_server_that_goes_and_comes_back_is_got_over(self) -> None:
        facts: list[str] = []
        with postgresql_server() as server:
            async with opened(server.get_uri()) as store:
                store.subscribe(str, facts.append)
                assert await write(store, "before")
                os.kill(server.get_pid(), signal.SIGQUIT)  # without a word to its clients
                server.get_postmaster_info().process.wait(PATIENCE)
                writes = [write(store, str(number)) for number in range(50)]
                outcomes = await asyncio.gather(*writes, return_exceptions=True)
                assert [type(outcome) for outcome in outcomes] == [StoreError] * 50
                with pytest.raises(StoreError):
                    await seen(store)
                server.ensure_postgres_running()
                assert await write(store, "after")
                assert await seen(store) == set(facts) == {"before", "after"}


COMMITTED_BUT_SILENT = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@contextmanager
def commits_that_wait(database: str) -> Iterator[None]:
    """The server answers no commit, though it makes it: it waits for a replica that never comes."""
    administer(database, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
    try:
        _until_commits_wait(database)
        yield
    finally:
        administer(database, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")


def _until_commits_wait(database: str) -> None:
    """The server reads its settings when it comes to that: commit until one waits, and give that one up."""
    with closing(psycopg2.connect(database)) as connection:
        connection.autocommit = True
        committing = threading.Thread(target=_commit_until_thrown_out, args=(connection,))
        committing.start()
        wait_until(lambda: on_disk(database, COMMITTED_BUT_SILENT) == [(1,)])
        administer(database, f"SELECT pg_terminate_backend({connection.get_backend_pid()})")
        committing.join(PATIENCE)
        wait_until(lambda: on_disk(database, COMMITTED_BUT_SILENT) == [(0,)])


def _commit_until_thrown_out(connection: Any) -> None:
    with suppress(psycopg2.Error):
        while True:
            connection.cursor().execute("SELECT pg_logical_emit_message(true, 'test', '')")


@contextmanager
def nobody_let_in(database: str) -> Iterator[None]:
    """The server takes no new connection to *database*."""
    name = psycopg2.extensions.parse_dsn(database)["dbname"]
    administer(database, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        yield
    finally:
        administer(database, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def hang_up(database: str) -> int:
    """End every connection of ours to *database* from the server's side; how many there were."""
    ours = "FROM pg_stat_activity WHERE application_name = 'rasa_handoff'"
    return len(administer(database, f"SELECT pg_terminate_backend(pid) {ours}"))


def administer(database: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run *statements* as the server's owner, each on its own; the rows of the last one."""
    elsewhere = psycopg2.extensions.make_dsn(database, dbname="postgres")
    with closing(psycopg2.connect(elsewhere, options="-c synchronous_commit=local")) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
