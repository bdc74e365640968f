"""Looks at each open chat again and again, where an agent system does not tell by itself what happened."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Generic, TypeVar

from rasa_handoff.backends.breaker import NotAsked, jittered
from rasa_handoff.errors import BackendError, HandoffError

log = logging.getLogger(__name__)

M = TypeVar("M")

AT_ONCE = 64  #: looks at the same moment: fewer than the connections of an aiohttp session
COMPARE_EVERY = 15.0  #: seconds; less than any agent system waits for a user who is silent
_YOUNG = 60.0  #: seconds in which a chat may not be written down yet

# Seconds before the next look, after so many that failed; the last stays
# (https://developers.liveperson.com/retry-policy-recommendations.html asks for just this, read 2026-11).
_AFTER_FAILURES = (5.0, 10.0, 15.0, 120.0, 240.0, 480.0)
_LONGEST_AFTER_429 = 15.0  #: the host works, and takes users for gone from whom nothing comes for long
_TOO_MANY = 429


class _Poller(Generic[M]):
    """Of one chat. While it waits it is a line in the event loop's timetable: no task, no connection."""

    __slots__ = ("by", "dropped", "due", "failures", "looking", "memory", "name", "since", "timer")

    def __init__(self, name: str, memory: M, since: float) -> None:
        self.name = name
        self.memory = memory
        self.since = since
        self.timer: asyncio.Handle | None = None
        self.due = float("inf")  #: when it goes off; the loop's time (uvloop's handles do not all tell)
        self.by = float("inf")  #: when the next look is to be, at the latest; the loop's time
        self.looking = False  #: or about to: it waits for nothing but its turn
        self.dropped = False
        self.failures = 0


class Pollers(Generic[M]):
    """At most one poller for a chat, and a bounded number of looks at the same moment.

    Args:
        who: the backend's name, for logs.
        begin: what a poller remembers of the chat with this name, at first.
        look: looks at a chat once, given what is remembered; returns the seconds until the next look, or None
            when the chat is over. What it raises is logged, and the next look comes later and later.
        ours: the names of the chats that are for this process to look at. Asked at the start and every
            `COMPARE_EVERY` seconds: what is missing is taken up, what is not ours is let go.
    """

    def __init__(
        self,
        who: str,
        begin: Callable[[str], M],
        look: Callable[[M], Awaitable[float | None]],
        ours: Callable[[], Awaitable[Iterable[str]]],
        at_once: int = AT_ONCE,
    ) -> None:
        self._who = who
        self._begin = begin
        self._look = look
        self._ours = ours
        self._at_once = at_once
        self._pollers: dict[str, _Poller[M]] = {}
        self._ready: deque[_Poller[M]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._failing: set[str] = set()
        self._comparing: asyncio.Task[None] | None = None
        self._stopping = False

    def __len__(self) -> int:
        return len(self._pollers)

    async def start(self, spread: float) -> None:
        """Take up every chat that is ours, the first looks spread over so many seconds."""
        await self._compare(spread)
        self._comparing = asyncio.create_task(self._keep_comparing(spread))

    async def stop(self) -> None:
        """Look no more; a look that is under way is broken off."""
        self._stopping = True
        for poller in self._pollers.values():
            if poller.timer is not None:
                poller.timer.cancel()
        under_way = [*self._running, *([self._comparing] if self._comparing else [])]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def watch(self, name: str, after: float = 0.0) -> M:
        """Look at the chat *name* from here on, first after so many seconds; what is remembered of it.

        It has no effect on a chat that is looked at already.
        """
        poller = self._pollers.get(name)
        if poller is None:
            now = asyncio.get_running_loop().time()
            poller = self._pollers[name] = _Poller(name, self._begin(name), now)
            self._wait(poller, after)
        poller.dropped = False
        return poller.memory

    def sooner(self, name: str, after: float) -> None:
        """Look at the chat *name* in so many seconds, unless that is planned; also behind a look that is under way."""
        poller = self._pollers.get(name)
        if poller is None:
            return
        loop = asyncio.get_running_loop()
        poller.by = min(poller.by, loop.time() + after)
        if poller.timer is not None and poller.due > poller.by:
            poller.timer.cancel()
            self._wait(poller, poller.by - loop.time())

    def get(self, name: str) -> M | None:
        """What is remembered of a chat that is looked at."""
        poller = self._pollers.get(name)
        return None if poller is None or poller.dropped else poller.memory

    def drop(self, name: str) -> None:
        """Look at this chat no more."""
        poller = self._pollers.get(name)
        if poller is None:
            return
        poller.dropped = True
        if not poller.looking:  # else the look that is under way is the last
            self._forget(poller)

    # -- one chat -----------------------------------------------------------------------------

    def _wait(self, poller: _Poller[M], seconds: float) -> None:
        poller.looking = False
        if not self._stopping:
            loop = asyncio.get_running_loop()
            poller.due = loop.time() + seconds
            poller.timer = loop.call_later(max(0.0, seconds), self._due, poller)

    def _due(self, poller: _Poller[M]) -> None:
        poller.timer = None
        poller.by = float("inf")
        poller.looking = True
        self._ready.append(poller)
        self._begin_looks()

    def _begin_looks(self) -> None:
        while self._ready and len(self._running) < self._at_once and not self._stopping:
            task = asyncio.create_task(self._look_at(self._ready.popleft()))
            self._running.add(task)
            task.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._begin_looks()

    async def _look_at(self, poller: _Poller[M]) -> None:
        pause = None if poller.dropped else await self._pause_after_look(poller)
        if pause is None or poller.dropped:
            self._forget(poller)
        else:
            left = poller.by - asyncio.get_running_loop().time()
            self._wait(poller, max(0.0, min(pause, left)))

    async def _pause_after_look(self, poller: _Poller[M]) -> float | None:
        try:
            pause = await self._look(poller.memory)
        except NotAsked as error:  # says nothing about this chat
            return error.retry_after or _AFTER_FAILURES[0]
        except HandoffError as error:
            return self._failed(poller, error)
        except Exception as error:  # ours to mend, and no reason to leave the user alone
            log.exception("polling.error backend=%s chat=%s", self._who, poller.name)
            return self._failed(poller, error)
        self._went_well(poller)
        return None if pause is None else jittered(pause)

    def _failed(self, poller: _Poller[M], error: Exception) -> float:
        # When an agent system is down thousands of looks fail: the first is news, the others are not.
        level = logging.DEBUG if self._failing else logging.WARNING
        log.log(level, "polling.failed backend=%s chat=%s %s", self._who, poller.name, _what(error))
        self._failing.add(poller.name)
        pause = _AFTER_FAILURES[min(poller.failures, len(_AFTER_FAILURES) - 1)]
        if isinstance(error, BackendError) and error.status == _TOO_MANY:
            pause = min(pause, _LONGEST_AFTER_429)
        poller.failures += 1
        return max(jittered(pause), getattr(error, "retry_after", None) or 0.0)

    def _went_well(self, poller: _Poller[M]) -> None:
        if poller.failures:
            poller.failures = 0
            self._forget_failure(poller.name)

    def _forget_failure(self, name: str) -> None:
        if name in self._failing:
            self._failing.discard(name)
            if not self._failing:
                log.info("polling.recovered backend=%s", self._who)

    def _forget(self, poller: _Poller[M]) -> None:
        if poller.timer is not None:
            poller.timer.cancel()
        self._pollers.pop(poller.name, None)
        self._forget_failure(poller.name)

    # -- all of them --------------------------------------------------------------------------

    async def _keep_comparing(self, spread: float) -> None:
        while True:
            await asyncio.sleep(COMPARE_EVERY)
            with suppress(HandoffError):  # of the database, which says so itself
                await self._compare(spread)

    async def _compare(self, spread: float) -> None:
        """Take up what is ours and has no poller, let go of what has one and is not ours."""
        wanted = frozenset(await self._ours())
        for name in wanted - self._pollers.keys():
            self.watch(name, random.uniform(0.0, spread))
        old = asyncio.get_running_loop().time() - _YOUNG
        for poller in list(self._pollers.values()):
            if poller.name not in wanted and poller.since < old:
                self.drop(poller.name)


def _what(error: Exception) -> str:
    """What came back, for people: our own errors say it, of others only the kind is safe to log."""
    return str(error) if isinstance(error, HandoffError) else type(error).__name__
