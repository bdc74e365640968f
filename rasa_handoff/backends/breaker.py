"""Leaves a host alone that does not answer, and finds out with one request at a time when it does again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rasa_handoff.errors import BackendError, TemporaryError

_FAILURES = 5  #: in a row, until it is left alone
_FIRST_PAUSE = 1.0  #: seconds; doubled with each probe that fails
_LONGEST_PAUSE = 60.0
_JITTER = 0.2


def jittered(seconds: float) -> float:
    """About so many seconds: what began together does not come together again."""
    return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)


class NotAsked(TemporaryError):
    """The host is left alone for a while: the request was not sent."""


class Breaker:
    """One host's.

    Args:
        who: the backend's name, for errors.
        now: seconds on a clock that only goes forward.
    """

    def __init__(self, who: str, now: Callable[[], float] = time.monotonic) -> None:
        self._who = who
        self._now = now
        self._failures = 0
        self._until = 0.0  #: left alone until then
        self._probing = False

    @contextmanager
    def guarding(self, doing: str) -> Iterator[None]:
        """Let a request through, and learn from how it ends.

        Raises:
            NotAsked: the host is left alone for a while.
        """
        probe = self._let_through(doing)
        try:
            yield
        except TemporaryError as error:
            self._ended(probe, well=error.status is not None and error.status < 500)
            raise
        except BackendError:
            self._ended(probe, well=True)  # a host that says no is there
            raise
        except BaseException:
            if probe:  # cancelled: nothing was learned
                self._probing = False
            raise
        else:
            self._ended(probe, well=True)

    def _let_through(self, doing: str) -> bool:
        """Whether the request is the probe."""
        if self._failures < _FAILURES:
            return False
        left = self._until - self._now()
        if left > 0 or self._probing:
            detail = "not asked: it has not been answering"
            raise NotAsked(self._who, doing, detail=detail, retry_after=jittered(max(left, _FIRST_PAUSE)))
        self._probing = True
        return True

    def _ended(self, probe: bool, *, well: bool) -> None:
        if probe:
            self._probing = False
        if well:
            self._failures = 0
        elif probe or self._failures < _FAILURES:  # what was under way meanwhile tells nothing new
            self._failures += 1
            self._leave_alone()

    def _leave_alone(self) -> None:
        """For a while, if it has failed often enough."""
        if self._failures >= _FAILURES:
            pause = _FIRST_PAUSE * 2 ** min(self._failures - _FAILURES, 16)
            self._until = self._now() + jittered(min(pause, _LONGEST_PAUSE))
