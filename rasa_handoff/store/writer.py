"""The one writer: commits whatever has gathered in one transaction.

Where statements do not wait (SQLite) they run in the event loop, and only the commit, which waits for
the disk, in a thread: statement by statement the two would take the interpreter's lock from each other.

While one commit waits for the disk, the next changes gather; so a slow disk costs time per
batch and not per message. A change is a function of the transaction; it may run twice (when
another one of its batch fails), so it does nothing but read and write through it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from rasa_handoff.errors import HandoffError, StoreClosed, StoreError
from rasa_handoff.store.database import Connection, Database, Row

log = logging.getLogger(__name__)
T = TypeVar("T")
_LARGEST_BATCH = 256


class Tx:
    """A transaction, as a change sees it."""

    __slots__ = ("_connection", "all", "facts", "one", "wrote")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.facts: list[object] = []  #: told to the subscribers once committed
        self.one: Callable[[str, dict[str, Any]], Row | None] = connection.one
        self.all: Callable[[str, dict[str, Any]], list[Row]] = connection.all
        self.wrote = False

    def run(self, sql: str, values: dict[str, Any]) -> int:
        """Execute a writing statement; the number of rows it touched."""
        self.wrote = True
        return self._connection.run(sql, values)

    def announce(self, fact: object) -> None:
        """Tell *fact* to its subscribers when, and only when, this is committed."""
        self.facts.append(fact)


Change = Callable[[Tx], T]


class _Job:
    """A change that waits for its commit, or work that is done apart."""

    __slots__ = ("change", "committed", "error", "facts", "future", "result")

    def __init__(self, change: Callable[[Any], Any], future: asyncio.Future[Any]) -> None:
        self.change = change
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None
        self.facts: list[object] = []
        self.committed = False

    def run(self, connection: Connection) -> bool:
        """Run the change; False if what it wrote must not stay."""
        tx = Tx(connection)
        self.error = None
        self.facts = []
        try:
            self.result = self.change(tx)
        except HandoffError as refusal:
            self.error = refusal
            return not tx.wrote
        self.facts = tx.facts
        return True

    def take_facts(self) -> list[object]:
        """What it announced, once, if it is committed."""
        if not self.committed:
            return []
        facts, self.facts = self.facts, []
        return facts

    def settle(self) -> None:
        if self.future.done():  # its request was cancelled; the commit stands
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


Carry = Callable[[Connection, list[object]], list[object]]


class Writer:
    """The one connection that writes, used by the event loop and by a thread in turn.

    Args:
        committed: called in the event loop with the facts of each batch, before its futures are done.
        carry: sends facts to other processes along with the transaction; gives those that are left to tell here.
    """

    def __init__(
        self,
        database: Database,
        connection: Connection,
        committed: Callable[[list[object]], None],
        carry: Carry = lambda connection, facts: facts,
    ) -> None:
        self._database = database
        self._carry = carry
        self._connection: Connection | None = connection
        self._committed = committed
        self._in_doubt: tuple[int, list[_Job]] | None = None  #: a commit that may have been made
        self._loop = asyncio.get_running_loop()
        self._gathered: deque[_Job] = deque()
        self._apart: deque[_Job] = deque()
        self._queue: SimpleQueue[tuple[list[_Job], bool] | _Job | None] = SimpleQueue()
        self._idle = asyncio.Event()  #: no batch is under way; while one is, what is submitted gathers
        self._idle.set()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="handoff-writer", daemon=True)
        self._thread.start()

    def submit(self, change: Change[T]) -> asyncio.Future[T]:
        """Queue *change*; the future is done when it is on disk."""
        return self._take(self._gathered, change)

    def apart(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Queue *work*, to be done in the thread and in no transaction; changes wait until it is."""
        return self._take(self._apart, work)

    def _take(self, line: deque[_Job], work: Callable[[Any], T]) -> asyncio.Future[T]:
        if self._closed:
            raise StoreClosed("the database is closed: the server is stopping")
        future: asyncio.Future[T] = self._loop.create_future()
        line.append(_Job(work, future))
        if self._idle.is_set():
            self._idle.clear()
            self._loop.call_soon(self._turn)
        return future

    async def close(self) -> None:
        """Commit what has been submitted, then stop."""
        self._closed = True
        await self._idle.wait()
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _turn(self) -> None:
        """Hand the next batch, or what is done apart, to the thread."""
        if self._apart:
            self._queue.put(self._apart.popleft())
            return
        batch = [self._gathered.popleft() for _ in range(min(len(self._gathered), _LARGEST_BATCH))]
        if batch:
            self._queue.put((batch, self._run_here(batch)))
        else:
            self._idle.set()

    def _run_here(self, batch: list[_Job]) -> bool:
        """Run *batch* in a transaction that is left open; False if the thread has to begin anew."""
        connection = self._connection
        if connection is None or self._database.waits:
            return False
        try:
            connection.begin()
            return all(job.run(connection) for job in batch)
        except Exception as error:
            log.debug("store.batch_failed jobs=%s error=%s", len(batch), type(error).__name__)
            return False

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, _Job):
                self._do_apart(item)
                self._settle([item], self._next)
                continue
            batch, ran = item
            if not (ran and self._finished(batch)):
                self._commit(batch)
            self._settle(batch, self._next)
        if self._connection is not None:
            self._connection.close()

    def _do_apart(self, job: _Job) -> None:
        try:
            job.result = job.change(self._connected())
        except Exception as error:
            self._reset(error)
            _fail([job], error)

    def _finished(self, batch: list[_Job]) -> bool:
        """Commit what the event loop ran."""
        try:
            self._make_durable(batch, None)
        except Exception as error:
            self._reset(error)
            return False
        return True

    def _next(self, batch: list[_Job]) -> None:
        self._tell(batch)
        self._turn()

    def _settle(self, batch: list[_Job], tell: Callable[[list[_Job]], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(tell, batch)
        except RuntimeError:  # the loop is gone; what was committed is on disk all the same
            log.debug("store.loop_closed jobs=%s", len(batch))

    def _tell(self, batch: list[_Job]) -> None:
        facts = [fact for job in batch for fact in job.take_facts()]
        if facts:
            self._committed(facts)
        for job in batch:
            job.settle()

    def _commit(self, batch: list[_Job]) -> None:
        """Run and commit *batch* in one transaction; if one of it fails, each in its own."""
        self._forget_half()
        groups = deque([batch])
        while groups:
            group = groups.popleft()
            try:
                transaction = self._begin()
            except Exception as error:  # it would be the same for each of the others
                _fail([job for rest in (group, *groups) for job in rest], error)
                return
            if not self._commit_together(group, transaction):
                groups.extend([job] for job in group)

    def _forget_half(self) -> None:
        """Roll back what the event loop began and could not finish."""
        if self._connection is not None:
            with suppress(Exception):  # a connection that is lost says so at the next begin
                self._connection.rollback()

    def _begin(self) -> int | None:
        try:
            return self._connected().begin_waiting()
        except self._database.lost as error:  # perhaps long ago, while nobody used it
            self._reset(error)
            return self._connected().begin_waiting()

    def _commit_together(self, group: list[_Job], transaction: int | None) -> bool:
        """Run *group* and commit; False if nothing of it stays, and each is to be tried in its own transaction."""
        connection = self._connected()
        try:
            if not all(job.run(connection) for job in group):
                connection.rollback()
                return len(group) == 1
            self._share(connection, group)
            self._make_durable(group, transaction)
        except Exception as error:
            self._reset(error)
            if len(group) > 1 and self._in_doubt is None:
                log.debug("store.batch_failed jobs=%s error=%s", len(group), type(error).__name__)
                return False
            _fail(group, error)
        return True

    def _share(self, connection: Connection, group: list[_Job]) -> None:
        """Let the commit take along what other processes have to hear."""
        facts = [fact for job in group for fact in job.facts]
        for job in group:
            job.facts = []
        group[0].facts = self._carry(connection, facts)

    def _make_durable(self, group: list[_Job], transaction: int | None) -> None:
        """Commit. Where the answer is lost with the connection, ask over a new one what became of it."""
        try:
            self._connected().commit()
        except self._database.lost as error:
            self._reset(error)
            if transaction is None:
                raise
            self._in_doubt = (transaction, group)
            self._connected()
            if not group[0].committed:
                raise
        for job in group:
            job.committed = True

    def _reset(self, error: Exception) -> None:
        """Leave no half transaction; after a lost or failing connection, begin with a fresh one.

        A failed fsync must not be tried again on the same file descriptor (https://lwn.net/Articles/752063/).
        """
        connection, lost = self._connection, isinstance(error, self._database.lost)
        if connection is None:
            return
        try:
            connection.rollback()
        except Exception:
            lost = True
        if lost:
            self._connection = None
            _close(connection)

    def _connected(self) -> Connection:
        if self._connection is None:
            started = time.monotonic()
            connection = self._database.connect()
            try:
                self._resolve(connection)
            except BaseException:
                _close(connection)
                raise
            self._connection = connection
            log.info("store.reconnected seconds=%.3f", time.monotonic() - started)
        return self._connection

    def _resolve(self, connection: Connection) -> None:
        """Find out whether the commit was made whose answer was lost; if so, its facts are told after all."""
        if self._in_doubt is None:
            return
        transaction, group = self._in_doubt
        if connection.was_committed(transaction):
            for job in group:
                job.committed, job.error = True, None
            self._settle(group, self._tell)
        self._in_doubt = None


def _fail(jobs: list[_Job], error: Exception) -> None:
    """Let *jobs* end with what the database said, unless they are run again."""
    # Only where and what kind: a driver's message can repeat what was to be written, a user's text included.
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error("store.failed jobs=%s error=%s\n%s", len(jobs), type(error).__name__, where)
    for job in jobs:
        if isinstance(error, StoreError):
            job.error = error
        else:
            job.error = StoreError(f"the database could not take the change: {type(error).__name__}")
            job.error.__cause__ = error


def _close(connection: Connection) -> None:
    try:
        connection.close()
    except Exception:
        log.debug("store.close_failed")
