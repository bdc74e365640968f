"""A restart with much to deliver: the agent system hangs, the server is killed, both come back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.conversations import dealt, open_handoffs, user_says
from benchmarks.servers import Server
from benchmarks.wire import Sink, Trouble, closed_loop

WAITING = 10_000
_CONVERSATIONS = 512


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds until everything had arrived."""

    start: float  #: until the server listens: Rasa's own start, and the loading of the model
    delivery: float  #: from then on


async def recover(start: Callable[[], Server], sink: Sink) -> Recovery:
    """Leave `WAITING` messages undelivered by a kill, start again, and wait for the last one.

    Args:
        start: starts the server on its database, which keeps.
    """
    before = start()
    await before.ready("/webhooks/handoff/")
    users = [f"waiting-{number}" for number in range(_CONVERSATIONS)]
    await open_handoffs(before, users, "rest")
    sink.holding = True  # it takes messages and does not answer: nothing gets delivered
    answers = await closed_loop(before.port, dealt(user_says(users, WAITING)))
    answers.require(WAITING, filled=True)
    before.kill()
    waiting = before.query("SELECT count(*) FROM handoff_deliveries WHERE state = 'pending' AND target = 'agent'")[0][0]
    if waiting != WAITING:
        raise Trouble(f"{WAITING} messages were accepted, {waiting} wait")
    sink.holding = False
    sink.clear()
    return await _restarted(start, sink)


async def _restarted(start: Callable[[], Server], sink: Sink) -> Recovery:
    started = time.monotonic()
    after = start()
    await after.listens()
    listens = time.monotonic()
    await sink.wait_for(WAITING, 120)
    last = sink.arrivals[WAITING - 1].at
    texts = {arrival.body for arrival in sink.arrivals if arrival.path == "/messages"}
    after.stop()
    if len(texts) != WAITING:
        raise Trouble(f"{WAITING} messages waited, {len(texts)} arrived")
    return Recovery(listens - started, last - listens)
