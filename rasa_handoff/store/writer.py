"""The one writer: commits whatever has gathered in one transaction.

While one commit waits for the disk, the next changes gather; so a slow disk costs time per
batch and not per message. A change is a function of the transaction; it may run twice (when
another one of its batch fails), so it does nothing but read and write through it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from queue import SimpleQueue
from typing import Any, Callable, TypeVar

from rasa_handoff.errors import HandoffError, StoreError
from rasa_handoff.store.database import Connection, Database, Row

log = logging.getLogger(__name__)
T = TypeVar("T")
_LARGEST_BATCH = 256


class Tx:
    """A transaction, as a change sees it."""

    __slots__ = ("facts", "_connection", "all", "one", "wrote")

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
    """A change that waits for its commit."""

    __slots__ = ("change", "error", "facts", "future", "result")

    def __init__(self, change: Change[Any], future: asyncio.Future[Any]) -> None:
        self.change = change
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None
        self.facts: list[object] = []

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

    def settle(self) -> None:
        if self.future.done():  # its request was cancelled; the commit stands
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Writer:
    """A thread with the one connection that writes.

    Args:
        committed: called in the event loop with the facts of each batch, before its futures are done.
    """

    def __init__(self, database: Database, connection: Connection, committed: Callable[[list[object]], None]) -> None:
        self._database = database
        self._connection: Connection | None = connection
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="handoff-writer", daemon=True)
        self._thread.start()

    def submit(self, change: Change[T]) -> asyncio.Future[T]:
        """Queue *change*; the future is done when it is on disk."""
        if self._closed:
            raise StoreError("the database is closed: the server is stopping")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Job(change, future))
        return future

    async def close(self) -> None:
        """Commit what has been submitted, then stop."""
        self._closed = True
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _work(self) -> None:
        stopping = False
        while not stopping:
            batch, stopping = self._gather()
            if batch:
                self._settle(self._commit(batch))
        if self._connection is not None:
            self._connection.close()

    def _gather(self) -> tuple[list[_Job], bool]:
        job = self._queue.get()
        batch: list[_Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) == _LARGEST_BATCH or self._queue.empty():
                return batch, False
            job = self._queue.get()
        return batch, True

    def _settle(self, batch: list[_Job]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._tell, batch)
        except RuntimeError:  # the loop is gone; what was committed is on disk all the same
            log.debug("store.loop_closed jobs=%s", len(batch))

    def _tell(self, batch: list[_Job]) -> None:
        facts = [fact for job in batch for fact in job.facts]
        if facts:
            self._committed(facts)
        for job in batch:
            job.settle()

    def _commit(self, batch: list[_Job]) -> list[_Job]:
        """Run and commit *batch* in one transaction; if one of it fails, each in its own."""
        try:
            if self._commit_together(batch):
                return batch
        except Exception as error:  # noqa: BLE001 - found again, and told, one by one
            log.debug("store.batch_failed jobs=%s error=%s", len(batch), type(error).__name__)
            self._reset(error)
        for job in batch:
            self._commit_alone(job)
        return batch

    def _commit_together(self, batch: list[_Job]) -> bool:
        connection = self._connected()
        connection.begin()
        for job in batch:
            if not job.run(connection):
                connection.rollback()
                return False
        connection.commit()
        return True

    def _commit_alone(self, job: _Job) -> None:
        try:
            self._commit_together([job])
        except HandoffError as error:
            job.error, job.facts = error, []
        except Exception as error:
            log.exception("store.failed error=%s", type(error).__name__)
            self._reset(error)
            job.facts = []
            job.error = StoreError(f"the database could not take the change: {type(error).__name__}")
            job.error.__cause__ = error

    def _reset(self, error: Exception) -> None:
        """Leave no half transaction; after a lost or failing connection, begin with a fresh one.

        A failed fsync must not be tried again on the same file descriptor (https://lwn.net/Articles/752063/).
        """
        connection, lost = self._connection, isinstance(error, self._database.lost)
        if connection is None:
            return
        try:
            connection.rollback()
        except Exception:  # noqa: BLE001
            lost = True
        if lost:
            self._connection = None
            try:
                connection.close()
            except Exception:  # noqa: BLE001
                log.debug("store.close_failed")

    def _connected(self) -> Connection:
        if self._connection is None:
            started = time.monotonic()
            self._connection = self._database.connect()
            log.info("store.reconnected seconds=%.3f", time.monotonic() - started)
        return self._connection
