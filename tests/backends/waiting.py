"""Waiting for moments that no answer tells of."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from rasa_handoff.store import deliveries
from rasa_handoff.testing import Stage, Wire
from rasa_handoff.testing.waiting import until
from tests import servers


@asynccontextmanager
async def hanging(wire: Wire, path: str, when: Callable[[], Any] = lambda: True) -> AsyncIterator[None]:
    """Have the next request to *path* after which *when* is true hang: it has come when this begins."""
    has_come = threading.Event()

    def catch() -> bool:
        caught = bool(when())
        if caught:
            has_come.set()
        return caught

    with wire.held(path, when=catch):
        await until(has_come.is_set)
        yield


async def is_tried_again(stage: Stage) -> bool:
    """Whether something for the agents has failed, and waits for another try."""
    waiting = await stage.runtime.store.read(deliveries.pending)
    return any(each.target == "agent" and each.attempts for each in waiting)


def all_went_out(bot: servers.Bot) -> None:
    """Wait until nothing that was said is on its way to either side, and that is on disk."""

    def is_empty() -> bool:
        return not any(each["state"] == "pending" for each in bot.operator("GET", "/outbox")["deliveries"])

    servers.until(is_empty, what="the last delivery")
