"""A token that is kept, and fetched once however many calls wait for it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

_MARGIN = 30.0  #: seconds before its end that a token is replaced, or a tenth of its life where that is less

Fetch = Callable[[], Awaitable[tuple[str, float]]]


class Token:
    """One token.

    Args:
        fetch: gets a new one, and for how many seconds it is good (``inf`` is fine). What it raises goes to
            everybody who waits.
        spread: the part of its life by which it may be replaced earlier, so that tokens which were fetched
            together are not replaced together. 0 where there is only one.
    """

    def __init__(self, fetch: Fetch, now: Callable[[], float] = time.time, spread: float = 0.1) -> None:
        self._fetch = fetch
        self._now = now
        self._spread = spread
        self._token: str | None = None
        self._good_until = 0.0
        self._fetching: asyncio.Task[str] | None = None

    async def get(self, instead_of: str | None = None) -> str:
        """The token; a new one where it ends soon, or is *instead_of*, which was refused."""
        if self._token is not None and self._token != instead_of and self._now() < self._good_until:
            return self._token
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._renew())
            self._fetching.add_done_callback(self._fetched)
        # Who waits may be cancelled; the others still want it.
        return await asyncio.shield(self._fetching)

    def _fetched(self, fetching: asyncio.Task[str]) -> None:
        self._fetching = None
        if not fetching.cancelled():
            fetching.exception()  # seen, also where nobody waits any more

    async def _renew(self) -> str:
        asked = self._now()
        token, seconds = await self._fetch()
        self._token = token
        self._good_until = asked + max(seconds - _MARGIN, seconds * 0.9) * random.uniform(1 - self._spread, 1)
        return token
