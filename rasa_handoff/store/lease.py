"""This process's word that it is alive, which the others go by."""

from __future__ import annotations

import time
from collections.abc import Callable

from rasa_handoff.model import new_id
from rasa_handoff.store import workers
from rasa_handoff.store.database import Connection

SECONDS = 5.0  #: that a lease lasts by the database's clock
RENEW_EVERY = 1.0  #: seconds
_MARGIN = 0.5  #: seconds before its end that this process stops to act on it
_LATE = 2.5  #: seconds without a renewal that tell of trouble of our own
GRACE = 2 * SECONDS  #: seconds after the database server's start that nobody is taken for dead


def _since_boot() -> float:
    """Seconds, those in which the machine slept among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """Renewed by a thread, for Rasa keeps the event loop waiting while it loads a model.

    Whose lease ran out may be taken for dead by any other process. It learns so at its next renewal, and goes
    on under a new name: what it does under the old one has no effect any more.
    """

    def __init__(self, now: Callable[[], float] = _since_boot) -> None:
        self.id = new_id()  #: as the event loop knows it
        self._now = now
        self._name = self.id  #: as the database knows it: new a moment earlier than `id`
        self._ends = -1.0
        self._renewed: float | None = None
        self._steady_since = float("-inf")

    def holds(self) -> bool:
        """Whether nobody can have taken this process for dead."""
        return self._now() < self._ends

    def begin(self, connection: Connection) -> None:
        started = self._now()
        workers.join(connection, self._name, SECONDS)
        self._went_well(started)

    def renew(self, connection: Connection) -> str | None:
        """Renew it; the new name, to be put in force with `go_on_as`, if the others have taken us for dead."""
        started = self._now()
        if workers.renew(connection, self._name, SECONDS):
            if self._name == self.id:
                self._went_well(started)
            return None
        self._ends = -1.0
        self._renewed, self._steady_since = None, started
        self._name = new_id()
        workers.join(connection, self._name, SECONDS)
        return self._name

    def go_on_as(self, name: str) -> None:
        """From here on *name* is who we are; the next renewal lets us act."""
        self.id = name

    def end(self) -> None:
        """Act no more, whatever the others think."""
        self._ends = -1.0

    def leave(self, connection: Connection) -> None:
        self.end()
        workers.leave(connection, self._name)

    def sees_silence(self, connection: Connection) -> bool:
        """Whether another's lease ran out, and not because we all could not reach the database."""
        if self._now() - self._steady_since < SECONDS:
            return False
        return workers.any_silent(connection, self._name, GRACE)

    def _went_well(self, started: float) -> None:
        if self._renewed is not None and started - self._renewed > _LATE:
            self._steady_since = started
        self._renewed = started
        self._ends = started + SECONDS - _MARGIN
