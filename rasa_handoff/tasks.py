"""Work in the background that nobody waits for, but the end does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any

from rasa_handoff.errors import HandoffError

log = logging.getLogger(__name__)


class Tasks:
    """Keeps a reference to each task (the event loop does not) and logs what it raised."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._stopped = False

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Begin *work*; after `stop`, drop it."""
        if self._stopped:
            work.close()
            return
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("task.failed", exc_info=task.exception())

    async def stop(self, seconds: float = 2.0) -> None:
        """Wait a little for what runs, then cancel it."""
        self._stopped = True
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                task.cancel()


async def safely(work: Awaitable[object], log: logging.Logger, what: str) -> None:
    """Wait for *work* that is done again and again; what it raises is logged as *what*, and stops nothing."""
    try:
        await work
    except HandoffError as error:
        log.error("%s %s", what, error)
    except Exception:
        log.exception(what)
