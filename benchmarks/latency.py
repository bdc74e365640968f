"""How long a message is under way when users write as they like."""

from __future__ import annotations

import json
import random

from benchmarks.conversations import open_handoffs, require_all_kept, user_says
from benchmarks.servers import Server
from benchmarks.wire import Sink, Trouble, open_loop

CONVERSATIONS = 500
PER_S = 500


async def latencies(server: Server, sink: Sink, seconds: float) -> list[float]:
    """Milliseconds from when each message should have been posted to its arrival at the agent system, sorted.

    The users post at random times (a Poisson process), answered or not: a server that falls behind
    does not slow them down.
    """
    users = [f"patient-{number}" for number in range(CONVERSATIONS)]
    await open_handoffs(server, users, "rest")
    sink.clear()
    count, chance = int(PER_S * seconds), random.Random(1)
    gaps = [chance.expovariate(PER_S) for _ in range(count)]
    answers, intended = await open_loop(server.port, user_says(users, count), gaps, CONVERSATIONS)
    answers.require(count)
    await sink.wait_for(count)
    await require_all_kept(server, sink, "/messages", count)
    arrived = {_number(arrival.body): arrival.at for arrival in sink.arrivals}
    if len(arrived) != count:
        raise Trouble(f"{count} messages went out, {len(arrived)} different ones arrived")
    return sorted((arrived[number] - intended[number]) * 1000 for number in range(count))


def _number(body: bytes) -> int:
    """Which message it is: its text ends with its number."""
    return int(json.loads(body)["text"].rpartition(" ")[2])


def percentile(ordered: list[float], share: float) -> float:
    """The value that *share* of the ordered values do not exceed."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
