"""Takes over what processes that are gone left behind, where several share a database."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from rasa_handoff.store import Lost, Shared, Silent, Store, Tx, handoffs, lease, workers
from rasa_handoff.switchboard import Switchboard
from rasa_handoff.tasks import safely

log = logging.getLogger(__name__)

_FAILED = "succession.failed"
_LOOK_EVERY = 5.0  #: seconds
_AT_ONCE = 100  #: handoffs a transaction: whoever is alive takes some, and so they are spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A process is gone: there may be handoffs to take over."""


class Succession:
    """Gives each handoff that nobody looks after to a process that is alive: to whoever takes it first."""

    def __init__(self, store: Store, switchboard: Switchboard) -> None:
        self._store = store
        self._switchboard = switchboard
        self._due = asyncio.Event()
        self._burying: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take over what was left before, and from here on what others leave; alone, there is nobody to leave any."""
        if not self._store.is_shared:
            return
        self._store.share(Shared(kind=Left, key=lambda left: (), find=lambda tx: Left()))
        self._store.subscribe(Left, lambda left: self._due.set())
        self._store.subscribe(Lost, lambda lost: self._due.set())
        self._store.subscribe(Silent, self._silent)
        await self._store.write(self._bury)
        await self._take_over()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Take over nothing any more."""
        tasks = [task for task in (self._task, self._burying) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def leave(self) -> None:
        """Tell the others that this process ends: what is ours is theirs at once."""
        if self._store.is_shared:
            self._store.resign()
            await safely(self._store.write(self._leave), log, _FAILED)

    def _leave(self, tx: Tx) -> None:
        workers.leave(tx, self._store.worker)
        tx.announce(Left())

    def _silent(self, silent: Silent) -> None:
        if self._burying is None or self._burying.done():
            self._burying = asyncio.create_task(safely(self._store.write(self._bury), log, _FAILED))

    def _bury(self, tx: Tx) -> None:
        buried = workers.bury(tx, self._store.worker, lease.GRACE)
        if buried:
            log.warning("succession.gone workers=%s", buried)
            tx.announce(Left())

    async def _run(self) -> None:
        while True:
            # Not `wait_for`: before Python 3.12 it may swallow a cancellation, and the server would not stop.
            timer = asyncio.get_running_loop().call_later(_LOOK_EVERY, self._due.set)
            await self._due.wait()
            timer.cancel()
            self._due.clear()
            await safely(self._take_over(), log, _FAILED)

    async def _take_over(self) -> None:
        while await self._store.read(lambda tx: workers.orphans(tx, 1)):
            taken = await self._store.write(self._take)
            log.info("succession.taken_over handoffs=%s", taken)

    def _take(self, tx: Tx) -> int:
        found = workers.orphans(tx, _AT_ONCE)
        for handoff_id in found:
            workers.give(tx, handoff_id, self._store.worker)
            handoff = handoffs.get(tx, handoff_id)
            if handoff is not None:
                self._switchboard.inherited(tx, handoff)
        return len(found)
