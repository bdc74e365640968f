"""What must survive: handoffs, messages, deliveries, on SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from rasa_handoff.errors import StoreClosed, StoreError
from rasa_handoff.model import Handoff, new_id
from rasa_handoff.store.database import Connection, Database, PostgreSQL, at, prepare
from rasa_handoff.store.peers import Alone, Among, Lost, Missed, Peers, Shared, Silent
from rasa_handoff.store.writer import Change, Tx, Writer

__all__ = ["Change", "Lost", "Missed", "Shared", "Silent", "Store", "Tx"]
log = logging.getLogger(__name__)
T = TypeVar("T")
F = TypeVar("F")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """All that was committed before has been told."""

    id: str


class Store:
    """The database, as the rest of the package sees it: changes, reads, and facts once committed.

    Where several processes share it, facts of the kinds given to `share` are told in all of them, in the order
    of the commits; other facts in the process that wrote them.
    """

    def __init__(self, url: str) -> None:
        self._database: Database = at(url)
        self._subscribers: dict[type, list[Callable[[Any], None]]] = defaultdict(list)
        self._shared: dict[str, Shared] = {}
        self._marks: dict[str, asyncio.Future[None]] = {}
        self._scrubbing: asyncio.Future[bool] | None = None  #: one that has not begun yet
        self._peers: Peers = Alone()
        self._readers: ThreadPoolExecutor | None = None
        self._closed = False
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
        if isinstance(self._database, PostgreSQL):
            self._peers = Among(self._database, self._shared, self.read, self._tell)
        self._writer = Writer(self._database, connection, self._tell, self._peers.carry)
        self.share(Shared(kind=_Mark, key=lambda mark: (mark.id,), find=lambda tx, id_: _Mark(id=id_)))
        self.subscribe(_Mark, self._reached)
        self.subscribe(Missed, self._unreachable)
        await self._peers.open()

    async def close(self) -> None:
        """Commit what is under way, and let the database go."""
        await self._writer.close()
        await self._peers.close()
        self._closed = True
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
            StoreClosed: it is not, for the server is stopping.
            StoreError: it is not.
            HandoffError: the change refused itself; nothing of it stays.
        """
        return self._writer.submit(change)

    async def scrub(self) -> bool:
        """Leave nothing of what was deleted on the disk; False where that is not in our hands, or not now.

        SQLite's file is written anew, at one to two seconds for each 100 MB; what is to be written waits meanwhile.
        On PostgreSQL nothing happens: deleted rows are its server's to remove. Once is enough for all who ask
        before it begins.

        Raises:
            StoreError: it failed, e.g. since the disk is full.
        """
        ahead = self._scrubbing
        if ahead is None or ahead.done():
            ahead = self._scrubbing = self._writer.apart(self._scrub)
        return await asyncio.shield(ahead)

    def _scrub(self, connection: Connection) -> bool:
        self._scrubbing = None  # what is deleted from here on needs another one
        return connection.scrub()

    async def read(self, query: Change[T]) -> T:
        """Run *query*, which only reads, on what is committed.

        Raises:
            StoreClosed: the server is stopping.
            StoreError: the database does not answer.
        """
        if self._closed:
            raise StoreClosed("the database is closed: the server is stopping")
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
        """Tell *facts* that are not kept on disk; nobody minds if they are lost."""
        if not self.is_shared:
            self._tell(facts)
            return
        try:
            self._writer.submit(partial(_announce, facts=facts)).add_done_callback(_forgive)
        except StoreError:
            log.debug("store.not_told facts=%s", len(facts))

    def _tell(self, facts: list[Any]) -> None:
        for fact in facts:
            for hear in self._subscribers[type(fact)]:
                try:
                    hear(fact)
                except Exception:
                    log.exception("store.subscriber_failed fact=%s", type(fact).__name__)

    async def told(self) -> None:
        """Return when all that was committed before has been told here.

        Raises:
            StoreError: some of it may never be; see `Missed`.
        """
        mark = _Mark(id=new_id())
        reached = self._marks[mark.id] = asyncio.get_running_loop().create_future()
        try:
            await self.write(lambda tx: tx.announce(mark))
            await reached
        finally:
            del self._marks[mark.id]

    def _reached(self, mark: _Mark) -> None:
        reached = self._marks.get(mark.id)
        if reached is not None and not reached.done():
            reached.set_result(None)

    def _unreachable(self, missed: Missed) -> None:
        for reached in self._marks.values():
            if not reached.done():
                reached.set_exception(StoreError("the database's line to this process was cut"))

    # -- several processes --------------------------------------------------------------------

    @property
    def is_shared(self) -> bool:
        """Whether other processes may use the database too."""
        return self._database.shared

    @property
    def worker(self) -> str:
        """This process, as the owner of handoffs; empty where it is the only one."""
        return self._peers.id

    @property
    def has_lease(self) -> bool:
        """Whether the other processes take this one for alive; always, where there are none."""
        return self._peers.holds()

    def owns(self, handoff: Handoff) -> bool:
        """Whether this process, and no other, looks after *handoff* at this moment."""
        return handoff.owner == self._peers.id and self._peers.holds()

    def resign(self) -> None:
        """From here on this process looks after nothing, and does not say that it is alive."""
        self._peers.resign()

    def share(self, shared: Shared) -> None:
        """Have facts of this kind told in every process."""
        self._shared[shared.kind.__name__] = shared


def _announce(tx: Tx, facts: list[object]) -> None:
    for fact in facts:
        tx.announce(fact)


def _forgive(told: asyncio.Future[Any]) -> None:
    if not told.cancelled() and told.exception() is not None:
        log.debug("store.not_told")
