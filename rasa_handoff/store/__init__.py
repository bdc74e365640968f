"""What must survive: handoffs, messages, deliveries, on SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from rasa_handoff.errors import StoreError
from rasa_handoff.store.database import Connection, Database, at, prepare
from rasa_handoff.store.writer import Change, Tx, Writer

__all__ = ["Change", "Store", "Tx"]
log = logging.getLogger(__name__)
T = TypeVar("T")
F = TypeVar("F")


class Store:
    """The database, as the rest of the package sees it: changes, reads, and facts once committed."""

    def __init__(self, url: str) -> None:
        self._database: Database = at(url)
        self._subscribers: dict[type, list[Callable[[Any], None]]] = defaultdict(list)
        self._readers: ThreadPoolExecutor | None = None
        self._writer: Writer
        self._reader: Connection

    @property
    def database(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._database.name

    async def open(self) -> None:
        """Take the database, and create or upgrade its tables.

        Raises:
            StoreInUse: another process writes this SQLite file.
            StoreError: it cannot be opened, or a newer version made it.
        """
        self._database.hold()
        try:
            connection = self._database.connect()
            prepare(connection)
            self._reader = self._database.connect_reader()
        except BaseException:
            self._database.let_go()
            raise
        if self._database.waits:
            self._readers = ThreadPoolExecutor(1, "handoff-reader")
        self._writer = Writer(self._database, connection, self.tell)

    async def close(self) -> None:
        """Commit what is under way, and let the database go."""
        await self._writer.close()
        if self._readers:
            self._readers.shutdown()
        self._reader.close()
        self._database.let_go()

    def subscribe(self, kind: type[F], hear: Callable[[F], None]) -> None:
        """Have *hear* called, in the event loop, with every committed fact of this kind."""
        self._subscribers[kind].append(hear)

    def write(self, change: Change[T]) -> asyncio.Future[T]:
        """Run *change* in a transaction; done when it is on disk.

        Raises:
            StoreError: it is not.
            HandoffError: the change refused itself; nothing of it stays.
        """
        return self._writer.submit(change)

    async def read(self, query: Change[T]) -> T:
        """Run *query*, which only reads, on what is committed.

        Raises:
            StoreError: the database does not answer.
        """
        if self._readers is None:
            return self._read_now(query)
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read_now, query)

    def _read_now(self, query: Change[T]) -> T:
        try:
            return query(Tx(self._reader))
        except self._database.lost:
            return self._read_anew(query)

    def _read_anew(self, query: Change[T]) -> T:
        """Try once more: the connection may have been lost while nobody used it."""
        try:
            self._reader.close()
            self._reader = self._database.connect_reader()
            return query(Tx(self._reader))
        except self._database.lost as error:
            raise StoreError(f"the database could not answer: {type(error).__name__}") from error

    def tell(self, facts: list[object]) -> None:
        """Tell *facts* to their subscribers; what is not kept on disk comes this way too."""
        for fact in facts:
            for hear in self._subscribers[type(fact)]:
                try:
                    hear(fact)
                except Exception:
                    log.exception("store.subscriber_failed fact=%s", type(fact).__name__)
