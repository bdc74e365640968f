"""Whether this process can do its work: take what is said onto the disk, and look after its handoffs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from rasa_handoff.errors import StoreError
from rasa_handoff.store import Store, schema

_PATIENCE = 2.0  #: seconds for the database to take a change
_FRESH = 1.0  #: seconds that an answer is good for: whoever asks more often costs nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How this process is."""

    database: str | None  #: why it takes no change; None: it does
    seconds: float  #: that it took to find out
    lease: bool  #: the other processes, where there are any, take this one for alive
    running: bool  #: started, and not stopping

    @property
    def is_ready(self) -> bool:
        """Whether requests should come here."""
        return self.database is None and self.lease and self.running


class Health:
    """Tries the database the way that every message goes: a change, and its commit."""

    def __init__(self, store: Store, now: Callable[[], float] = time.monotonic, patience: float = _PATIENCE) -> None:
        self._store = store
        self._now = now
        self._patience = patience
        self._trial: asyncio.Future[int] | None = None
        self._asking: asyncio.Task[Condition] | None = None
        self._asked_at = float("-inf")
        self.running = False  #: set by who starts and stops the parts

    async def look(self) -> Condition:
        """How it is, or was less than a second ago."""
        if self._asking is None or (self._asking.done() and self._now() - self._asked_at >= _FRESH):
            self._asked_at = self._now()
            self._asking = asyncio.create_task(self._look())
        return await asyncio.shield(self._asking)

    async def _look(self) -> Condition:
        started = time.monotonic()
        database = await self._trouble()
        return Condition(
            database=database,
            seconds=time.monotonic() - started,
            lease=self._store.has_lease,
            running=self.running,
        )

    async def _trouble(self) -> str | None:
        if self._trial is None or self._trial.done():  # while one hangs, another would only hang behind it
            try:
                self._trial = self._store.write(schema.write_again)
            except StoreError as closed:
                return str(closed)
        done, _ = await asyncio.wait({self._trial}, timeout=self._patience)
        if not done:
            return "the database does not answer"
        error = self._trial.exception()
        return str(error) if error else None
