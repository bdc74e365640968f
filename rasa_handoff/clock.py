"""Deadlines that passed, chats the agent system forgot, and data that is old enough to go."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from rasa_handoff.backends.base import Backend
from rasa_handoff.errors import HandoffError
from rasa_handoff.inbox import Inbox
from rasa_handoff.model import Handoff, Status
from rasa_handoff.store import Store, Tx, handoffs, retention
from rasa_handoff.switchboard import Switchboard
from rasa_handoff.tasks import safely

log = logging.getLogger(__name__)

_TICK = 1.0  #: seconds
_LOOK_EVERY = 300.0
_PRUNE_EVERY = 3600.0


class Clock:
    """Looks at the time, so that no conversation stays stuck.

    Args:
        keep_for: seconds after its end that a handoff and its transcript are kept; None: for ever.
    """

    def __init__(
        self,
        store: Store,
        switchboard: Switchboard,
        inbox: Inbox,
        backends: Mapping[str, Backend],
        now: Callable[[], float] = time.time,
        keep_for: float | None = None,
    ) -> None:
        self._store = store
        self._switchboard = switchboard
        self._inbox = inbox
        self._backends = backends
        self._now = now
        self._keep_for = keep_for
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        looked = pruned = 0.0
        while True:
            await safely(self.tick(), log, "clock.failed")
            if time.monotonic() - looked > _LOOK_EVERY or not looked:
                await safely(self.look(), log, "clock.failed")
                looked = time.monotonic()
            if time.monotonic() - pruned > _PRUNE_EVERY or not pruned:
                await safely(self.prune(), log, "clock.failed")
                pruned = time.monotonic()
            await asyncio.sleep(_TICK)

    async def tick(self) -> None:
        """Act on every deadline that has passed."""
        now = self._now()
        while ids := await self._store.read(partial(handoffs.due, now=now, owner=self._store.worker)):
            for handoff_id in ids:
                await self._switchboard.expire(handoff_id)

    async def look(self) -> None:
        """Ask each agent system about the open chats that are ours, and end what is over there."""
        after = ""
        while page := await self._store.read(partial(handoffs.open_after, sender_id=after)):
            for handoff in page:
                await self._look_at(handoff)
            after = page[-1].sender_id

    async def _look_at(self, handoff: Handoff) -> None:
        backend = self._backends.get(handoff.backend)
        being_opened = handoff.status is Status.REQUESTED  # there may be nothing to see yet
        if backend is None or handoff.chat_id is None or being_opened or not self._store.owns(handoff):
            return
        try:
            for event in await backend.look(handoff):
                await self._inbox.apply(backend.name, event)
        except HandoffError as error:
            log.info("clock.look_failed id=%s %s", handoff.id, error)
        except Exception:  # ours to mend, and no reason to forget the other chats
            log.exception("clock.look_failed id=%s", handoff.id)

    async def prune(self) -> None:
        """Delete what is older than it may be."""
        now = self._now()
        more = True
        while more:
            more = await self._store.write(partial(self._prune, now=now))

    def _prune(self, tx: Tx, now: float) -> bool:
        old = retention.delete_old(tx, now - self._keep_for) if self._keep_for is not None else 0
        return old + retention.delete_unsent(tx, now) + retention.forget_seen(tx, now) > 0
