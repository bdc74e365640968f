"""The processes that share a database: what is committed by one is told in all of them, in one order."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Protocol

from rasa_handoff.errors import StoreError
from rasa_handoff.store.database import Connection, PostgreSQL, PostgreSQLConnection
from rasa_handoff.store.lease import RENEW_EVERY, Lease
from rasa_handoff.store.writer import Change, Tx

log = logging.getLogger(__name__)

_LONGEST_NOTE = 7000  #: bytes; PostgreSQL carries 7999
_AGAIN = 0.5  #: seconds until the next try to connect


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """How a kind of fact goes to the other processes: by ids, never by what somebody wrote."""

    kind: type
    key: Callable[[Any], tuple[Any, ...]]  #: what JSON can say; all of it below 1000 bytes
    find: Callable[..., Any]  #: the fact again, from a transaction and its key; None: it is no news any more
    wanted: Callable[..., bool] = lambda *key: True  #: whether anybody here would listen


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """Facts may have been committed that nobody was told of, for a connection was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The others took this process for dead; it has another name, and looks after no handoff."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """The lease of another process has run out."""


class Peers(Protocol):
    """The other processes."""

    @property
    def id(self) -> str: ...  #: this process, as the owner of handoffs
    def holds(self) -> bool: ...  #: whether it may act for what it owns
    def carry(self, connection: Connection, facts: list[object]) -> list[object]: ...
    async def open(self) -> None: ...
    def resign(self) -> None: ...  #: act no more for what it owns
    async def close(self) -> None: ...


class Alone:
    """There are no others."""

    id = ""

    def holds(self) -> bool:
        return True

    def carry(self, connection: Connection, facts: list[object]) -> list[object]:
        return facts

    async def open(self) -> None:
        """Nobody to meet."""

    def resign(self) -> None:
        """Nobody to leave it to."""

    async def close(self) -> None:
        """Nobody to leave."""


class Among:
    """One thread with one connection: it renews the lease, and hears what is told.

    Args:
        shared: which facts go to the others, by the name of their kind.
        read: reads what is committed.
        tell: tells facts in this process.
    """

    def __init__(
        self,
        database: PostgreSQL,
        shared: Mapping[str, Shared],
        read: Callable[[Change[Any]], Awaitable[Any]],
        tell: Callable[[list[Any]], None],
    ) -> None:
        self._database = database
        self._trouble: tuple[type[Exception], ...] = (StoreError, *database.lost)
        self._shared = shared
        self._read = read
        self._tell = tell
        self._lease = Lease()
        self._own = _Own()
        self._loop = asyncio.get_running_loop()
        self._came: asyncio.Queue[str | Missed] = asyncio.Queue()
        self._telling: asyncio.Task[None] | None = None
        self._ready: Future[None] = Future()
        self._waker, self._wake = socket.socketpair()
        self._resigned = False
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="handoff-peers", daemon=True)

    @property
    def id(self) -> str:
        return self._lease.id

    def holds(self) -> bool:
        return self._lease.holds()

    async def open(self) -> None:
        """Join the others.

        Raises:
            StoreError: the database cannot be reached.
        """
        self._thread.start()
        await asyncio.wrap_future(self._ready)
        self._telling = asyncio.create_task(self._tell_in_order())

    def resign(self) -> None:
        """Renew the lease no more."""
        self._resigned = True
        self._lease.end()

    async def close(self) -> None:
        """Leave the others: they look after what was ours from here on."""
        self._closing = True
        self._wake.send(b".")
        await self._loop.run_in_executor(None, self._thread.join)
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        self._waker.close()
        self._wake.close()

    # -- what this process tells --------------------------------------------------------------

    def carry(self, connection: Connection, facts: list[object]) -> list[object]:
        """Send along with the transaction what others have to hear; the facts that are only for this process.

        What the others hear this process hears on the same way, so that all hear it in one order.
        """
        theirs = [fact for fact in facts if type(fact).__name__ in self._shared]
        for bundle, text in self._bundles(theirs):
            assert isinstance(connection, PostgreSQLConnection)
            connection.notify(self._own.keep(bundle, text))
        return [fact for fact in facts if type(fact).__name__ not in self._shared] if theirs else facts

    def _bundles(self, facts: list[object]) -> Iterator[tuple[list[object], str]]:
        """As many facts as a note can carry, again and again."""
        bundle: list[object] = []
        texts: list[str] = []
        for fact in facts:
            name = type(fact).__name__
            text = json.dumps([name, *self._shared[name].key(fact)])
            if texts and sum(map(len, texts)) + len(text) + len(texts) > _LONGEST_NOTE:
                yield bundle, ",".join(texts)
                bundle, texts = [], []
            bundle.append(fact)
            texts.append(text)
        if texts:
            yield bundle, ",".join(texts)

    # -- the thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._closing:
            try:
                with closing(self._database.connect_listener()) as connection:
                    self._join(connection)
                    self._listen(connection)
            except self._trouble as error:
                if not self._ready.done():
                    self._ready.set_exception(error if isinstance(error, StoreError) else _cannot_join(error))
                    return
                log.warning("peers.connection_lost error=%s", type(error).__name__)
                time.sleep(_AGAIN)

    def _join(self, connection: PostgreSQLConnection) -> None:
        if self._ready.done():
            self._in_loop(self._came.put_nowait, Missed())
            self._renew(connection)
        else:
            self._lease.begin(connection)
            self._ready.set_result(None)

    def _listen(self, connection: PostgreSQLConnection) -> None:
        due = time.monotonic() + RENEW_EVERY
        while not self._closing:
            for note in connection.heard(self._waker.fileno(), due - time.monotonic()):
                self._in_loop(self._came.put_nowait, note)
            if time.monotonic() >= due:
                self._renew(connection)
                due = time.monotonic() + RENEW_EVERY
        self._lease.leave(connection)

    def _renew(self, connection: PostgreSQLConnection) -> None:
        if self._resigned:
            return
        new_name = self._lease.renew(connection)
        if new_name is not None:
            log.warning("peers.taken_for_dead")
            self._in_loop(self._lost, new_name)
        elif self._lease.sees_silence(connection):
            self._in_loop(self._tell, [Silent()])

    def _in_loop(self, work: Callable[..., object], *values: object) -> None:
        try:
            self._loop.call_soon_threadsafe(partial(work, *values))
        except RuntimeError:  # the loop is gone
            self._closing = True

    # -- the event loop -----------------------------------------------------------------------

    def _lost(self, new_name: str) -> None:
        self._lease.go_on_as(new_name)
        self._tell([Lost()])

    async def _tell_in_order(self) -> None:
        while True:
            note = await self._came.get()
            if isinstance(note, Missed):
                self._own.forget()
                self._tell([note])
                continue
            try:
                self._tell(await self._facts_in(note))
            except StoreError:  # the facts are there, and we cannot read them
                self._tell([Missed()])
            except Exception:
                log.exception("peers.note_failed")

    async def _facts_in(self, note: str) -> list[Any]:
        kept = self._own.take(note)
        if kept is not None:
            return kept
        told = [(self._shared.get(name), key) for name, *key in json.loads(f"[{note.split(' ', 2)[2]}]")]
        wanted = [(shared, key) for shared, key in told if shared is not None and shared.wanted(*key)]
        return await self._read(partial(_found, wanted=wanted)) if wanted else []


class _Own:
    """What this process has told and not heard itself yet, so that it need not read it again."""

    def __init__(self) -> None:
        self._who = os.urandom(8).hex()
        self._numbers = count(1)
        self._kept: dict[int, list[object]] = {}

    def keep(self, facts: list[object], text: str) -> str:
        """The note that carries *facts*."""
        number = next(self._numbers)
        self._kept[number] = facts
        return f"{self._who} {number} {text}"

    def take(self, note: str) -> list[object] | None:
        """The facts of a note of ours; those of the notes before it that never came were never committed."""
        who, number, _ = note.split(" ", 2)
        if who != self._who:
            return None
        for before in tuple(self._kept):  # which the writer's thread adds to
            if before < int(number):
                del self._kept[before]
        return self._kept.pop(int(number), None)

    def forget(self) -> None:
        """Notes may have been lost."""
        self._kept = {}


def _found(tx: Tx, wanted: list[tuple[Shared, list[Any]]]) -> list[Any]:
    facts = (shared.find(tx, *key) for shared, key in wanted)
    return [fact for fact in facts if fact is not None]


def _cannot_join(error: Exception) -> StoreError:
    return StoreError(f"cannot use the PostgreSQL database: {type(error).__name__}")
