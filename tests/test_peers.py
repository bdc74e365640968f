"""Several stores on one PostgreSQL database: what they tell each other, and who counts as alive."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg2
import pytest

from rasa_handoff.errors import StoreError
from rasa_handoff.store import Lost, Missed, Shared, Silent, Store, Tx, lease, messages, workers
from rasa_handoff.store.lease import Lease
from rasa_handoff.testing.waiting import until
from tests.test_store import ROOT, administer, hang_up, opened


@dataclass(frozen=True, kw_only=True)
class Said:
    """A fact that goes to everybody."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Whispered:
    """A fact that does not."""

    text: str


class Hearing:
    """A store, and what was told there."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.facts: list[object] = []
        self.found: list[str] = []
        self.deaf = False
        shared = Shared(kind=Said, key=lambda said: (said.text,), find=self._find, wanted=lambda text: not self.deaf)
        store.share(shared)
        for kind in (Said, Whispered, Missed, Lost, Silent):
            store.subscribe(kind, self.facts.append)

    def _find(self, tx: Tx, text: str) -> Said | None:
        self.found.append(text)
        return Said(text=text) if _is_there(tx, text) else None

    @property
    def said(self) -> list[str]:
        return [fact.text for fact in self.facts if isinstance(fact, Said)]

    def say(self, text: str) -> asyncio.Future[None]:
        return self.store.write(partial(_say, text=text))

    def heard(self, kind: type) -> bool:
        return any(isinstance(fact, kind) for fact in self.facts)


def _say(tx: Tx, text: str) -> None:
    messages.first_sight(tx, "test", text, 0.0)
    tx.announce(Said(text=text))
    tx.announce(Whispered(text=text))


def _is_there(tx: Tx, text: str) -> bool:
    sql = "SELECT 1 FROM handoff_seen WHERE scope = 'test' AND event_id = :text"
    return tx.one(sql, {"text": text}) is not None


@pytest.fixture
async def two(new_database: str) -> AsyncIterator[tuple[Hearing, Hearing]]:
    async with opened(new_database) as one, opened(new_database) as two:
        yield Hearing(one), Hearing(two)


Two = tuple[Hearing, Hearing]


class TestTelling:
    async def test_everybody_hears_everything_in_the_order_of_the_commits(self, two: Two, new_database: str) -> None:
        writes = [each.say(f"{name}-{number}") for number in range(300) for each, name in zip(two, "ab", strict=True)]
        await asyncio.gather(*writes)
        await until(lambda: all(len(each.said) == 600 for each in two))
        assert two[0].said == two[1].said
        for name in "ab":
            assert [text for text in two[0].said if text[0] == name] == [f"{name}-{number}" for number in range(300)]

    async def test_what_is_not_shared_stays_where_it_was_written(self, two: Two) -> None:
        await two[0].say("hello")
        await until(lambda: two[1].said == ["hello"])
        assert Whispered(text="hello") in two[0].facts
        assert not two[1].heard(Whispered)

    async def test_what_was_not_committed_is_not_told(self, two: Two) -> None:
        def fail(tx: Tx) -> None:
            _say(tx, "failed")
            raise ValueError

        outcomes = await asyncio.gather(
            two[0].say("one"), two[0].store.write(fail), two[0].say("two"), return_exceptions=True
        )
        assert isinstance(outcomes[1], StoreError)
        await until(lambda: [each.said for each in two] == [["one", "two"]] * 2)

    async def test_one_transaction_may_tell_more_than_fits_into_a_note(self, two: Two) -> None:
        texts = [f"{number}-{'x' * 200}" for number in range(500)]

        def all_at_once(tx: Tx) -> None:
            for text in texts:
                _say(tx, text)

        await two[0].store.write(all_at_once)
        await until(lambda: two[1].said == texts and two[0].said == texts)

    async def test_who_wrote_it_does_not_read_it_again_and_who_does_not_want_it_never(self, two: Two) -> None:
        two[1].deaf = True
        await two[0].say("hello")
        await two[0].store.told()
        await two[1].store.told()
        assert two[0].said == ["hello"]
        assert two[0].found == two[1].found == two[1].said == []

    async def test_what_is_not_kept_on_disk_is_told_as_well(self, two: Two) -> None:
        await two[0].say("kept")
        two[0].store.tell([Said(text="kept"), Whispered(text="not kept")])
        await until(lambda: two[1].said == ["kept", "kept"])
        await until(lambda: Whispered(text="not kept") in two[0].facts)

    async def test_all_that_was_committed_has_been_told(self, two: Two) -> None:
        for number in range(20):
            await two[0].say(str(number))
            await two[1].store.told()
            assert two[1].said[-1] == str(number)

    async def test_when_the_line_was_cut_everybody_knows_that_something_may_be_missing(
        self, two: Two, new_database: str
    ) -> None:
        await two[0].say("before")
        listening = "FROM pg_stat_activity WHERE application_name = 'rasa_handoff' AND query LIKE '%handoff_workers%'"
        # It is the last statement of these connections from the next time on that they renew their leases.
        await until(lambda: len(administer(new_database, f"SELECT pid {listening}")) == 2)
        assert len(administer(new_database, f"SELECT pg_terminate_backend(pid) {listening}")) == 2
        await until(lambda: all(each.heard(Missed) for each in two))
        await two[0].say("after")
        await until(lambda: all(each.said[-1:] == ["after"] for each in two))

    async def test_a_change_sees_what_others_wrote_while_it_waited_for_its_turn(self, new_database: str) -> None:
        """Also where the database's owner has made stricter levels the default."""
        name = psycopg2.extensions.parse_dsn(new_database)["dbname"]
        administer(new_database, f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")

        def add_one(tx: Tx) -> None:
            row = tx.one("SELECT count(*) FROM handoff_seen", {})
            assert row is not None
            sleep(0.01)
            assert messages.first_sight(tx, "number", str(row[0]), 0.0), "two had the same number"

        async with opened(new_database) as one, opened(new_database) as two:
            for _ in range(20):  # one change a transaction: several that fail together are tried again one by one
                await asyncio.gather(one.write(add_one), two.write(add_one))
            row = await one.read(lambda tx: tx.one("SELECT count(*) FROM handoff_seen", {}))
        assert row == (40,)


class TestHanging:
    async def test_who_stops_in_the_middle_of_a_transaction_is_thrown_out(self, new_database: str) -> None:
        async with opened(new_database) as store:
            with closing(psycopg2.connect(new_database)) as stopped:
                cursor = stopped.cursor()  # as a process of ours in the middle of a transaction
                cursor.execute("SET idle_in_transaction_session_timeout = '5s'")
                stopped.commit()
                started = monotonic()
                cursor.execute("SELECT pg_advisory_xact_lock(7361035, hashtext(current_schema()))")
                assert await store.write(lambda tx: messages.first_sight(tx, "test", "one", 0.0))
                assert 3 < monotonic() - started < 14

    @pytest.mark.processes
    @pytest.mark.slow
    async def test_a_process_that_is_stopped_while_it_writes_holds_nobody_up_for_long(self, new_database: str) -> None:
        async with opened(new_database) as store:
            with writing(new_database) as other:
                for _ in range(3):
                    other.send_signal(19)  # SIGSTOP, at whatever moment of its transactions
                    started = monotonic()
                    await store.write(lambda tx: messages.first_sight(tx, "test", str(monotonic()), 0.0))
                    assert monotonic() - started < 14
                    other.send_signal(18)  # SIGCONT
                    await asyncio.sleep(0.3)


@contextmanager
def writing(database: str) -> Iterator[subprocess.Popen[str]]:
    """A process that writes without a pause."""
    command = [sys.executable, "-m", "tests.crash.writing", database]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Moment:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TestLease:
    @pytest.fixture
    async def connection(self, new_database: str) -> AsyncIterator[Any]:
        async with opened(new_database) as store:
            connection = store._database.connect_listener()  # type: ignore[attr-defined]
            yield connection
            connection.close()

    async def test_it_holds_a_little_shorter_than_the_database_thinks(self, connection: Any) -> None:
        moment = Moment()
        mine = Lease(moment)
        assert not mine.holds()
        mine.begin(connection)
        assert mine.holds()
        moment.now += lease.SECONDS - 0.6
        assert mine.holds()
        moment.now += 0.2
        assert not mine.holds()
        assert mine.renew(connection) is None  # nobody had taken it for dead
        assert mine.holds()

    async def test_who_was_taken_for_dead_goes_on_under_another_name(self, connection: Any) -> None:
        mine = Lease(Moment())
        mine.begin(connection)
        workers.leave(connection, mine.id)
        before, name = mine.id, mine.renew(connection)
        assert name not in (None, before)
        assert not mine.holds()
        assert mine.id == before  # until the event loop knows
        assert mine.renew(connection) is None
        assert not mine.holds()
        mine.go_on_as(name)
        assert mine.renew(connection) is None
        assert mine.holds()

    async def test_who_had_trouble_itself_takes_nobody_for_dead(self, connection: Any) -> None:
        moment = Moment()
        mine = Lease(moment)
        mine.begin(connection)
        workers.join(connection, "somebody silent", -1.0)
        connection.run("UPDATE handoff_workers SET lease_ends = lease_ends - 100 WHERE id = 'somebody silent'", {})
        with replace_grace(0.0):
            assert mine.sees_silence(connection)
            moment.now += 60  # in which nobody could reach the database
            mine.renew(connection)
            assert not mine.sees_silence(connection)
            for _ in range(6):
                moment.now += 1
                mine.renew(connection)
            assert mine.sees_silence(connection)

    async def test_nobody_is_taken_for_dead_when_the_server_has_just_come_back(self, connection: Any) -> None:
        mine = Lease(Moment())
        mine.begin(connection)
        workers.join(connection, "somebody silent", -1.0)
        with replace_grace(0.0):
            assert mine.sees_silence(connection)
        with replace_grace(1e6):
            assert not mine.sees_silence(connection)


@contextmanager
def replace_grace(seconds: float) -> Iterator[None]:
    before, lease.GRACE = lease.GRACE, seconds
    try:
        yield
    finally:
        lease.GRACE = before


class TestNames:
    async def test_each_process_has_a_name_and_is_counted(self, two: Two) -> None:
        one, other = (each.store for each in two)
        assert one.worker
        assert one.worker != other.worker
        assert await one.read(workers.count) == 2

    async def test_who_closes_is_not_counted_any_more(self, new_database: str) -> None:
        async with opened(new_database) as one:
            async with opened(new_database):
                pass
            assert await one.read(workers.count) == 1

    async def test_alone_on_sqlite_there_is_no_name_and_nobody_to_tell(self, tmp_path: Path) -> None:
        async with opened(f"sqlite:///{tmp_path}/handoff.db") as store:
            hearing = Hearing(store)
            store.tell([Said(text="hello")])
            assert hearing.said == ["hello"]
            assert store.worker == ""
            assert not store.is_shared

    async def test_who_is_taken_for_dead_is_told_and_has_another_name(self, two: Two) -> None:
        one, other = (each.store for each in two)
        before = one.worker
        await other.write(lambda tx: workers.leave(tx, before))
        await until(lambda: two[0].heard(Lost))
        assert one.worker not in (before, other.worker)
        assert await other.read(workers.count) == 2

    async def test_every_connection_may_be_lost_and_the_name_stays(self, two: Two, new_database: str) -> None:
        names = [each.store.worker for each in two]
        hang_up(new_database)
        await until(lambda: all(each.heard(Missed) for each in two))
        await asyncio.sleep(2.5)
        assert [each.store.worker for each in two] == names
        assert not any(each.heard(Lost) for each in two)
