"""Who gave too many wrong tokens lately."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from rasa_handoff.web.answers import TooMany

WRONG_TRIES, IN_SECONDS = 10, 60.0
_MOST = 1000  #: addresses to remember


class Patience:
    """Counts wrong tokens by address, so that a stranger locks nobody out but themselves."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def require(self, address: str) -> None:
        """Require that few wrong tokens came from *address* lately.

        Raises:
            TooMany: there were too many.
        """
        times = self._wrong.get(address)
        if times is None or len(times) < WRONG_TRIES:
            return
        wait = times[0] + IN_SECONDS - self._now()
        if wait > 0:
            raise TooMany("too many wrong tokens; wait a minute", int(wait) + 1)

    def lose(self, address: str) -> None:
        """A wrong token came from *address*."""
        self._wrong.setdefault(address, deque(maxlen=WRONG_TRIES)).append(self._now())
        self._wrong.move_to_end(address)
        if len(self._wrong) > _MOST:
            self._wrong.popitem(last=False)
