"""Messages a second on one core: through the plugin both ways, and through a forwarder that keeps nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.conversations import (
    CONNECTIONS,
    agent_says,
    dealt,
    messages_kept,
    open_handoffs,
    require_all_kept,
    user_says,
)
from benchmarks.servers import Server
from benchmarks.wire import Sink, Trouble, closed_loop


@dataclass(frozen=True, slots=True)
class Run:
    """So many messages, one after the other over each connection."""

    count: int
    seconds: float  #: from the first request to the last message's arrival at the sink
    cpu: float  #: seconds that the server computed meanwhile

    @property
    def per_s(self) -> float:
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of the core for each message."""
        return self.cpu / self.count * 1e6


@dataclass
class Runs:
    """The same, several times."""

    runs: list[Run] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        return median(run.per_s for run in self.runs)

    @property
    def cpu_us(self) -> float:
        return median(run.cpu_us for run in self.runs)

    @property
    def share(self) -> float:
        """How much of the core the server had."""
        return median(run.cpu / run.seconds for run in self.runs)

    def ratio_to(self, others: Runs) -> float:
        """How fast this is beside *others*; the median over the rounds, each of which had both."""
        return median(run.per_s / other.per_s for run, other in zip(self.runs, others.runs, strict=True))


async def run(
    server: Server, sink: Sink, requests: Sequence[bytes], *, lanes: int = CONNECTIONS, filled: bool = False
) -> Run:
    """Send *requests* and wait until as many have arrived at the sink.

    Raises:
        Trouble: one was refused, or did not arrive.
    """
    sink.clear()
    count, cpu, started = len(requests), server.cpu_seconds(), time.monotonic()
    answers = await closed_loop(server.port, dealt(requests, lanes))
    answers.require(count, filled=filled)
    await sink.wait_for(count)
    return Run(count, sink.arrivals[count - 1].at - started, server.cpu_seconds() - cpu)


class Throughput:
    """Forward, relay, reply, and a forwarder on Rasa's route, in turn."""

    def __init__(self, limit: Server, plugin: Server, bare_route: Server, sink: Sink) -> None:
        self._limit = limit
        self._plugin = plugin
        self._bare_route = bare_route
        self._sink = sink
        self._said = 0
        self.forward, self.relay, self.reply, self.bare = Runs(), Runs(), Runs(), Runs()

    async def prepare(self, conversations: int) -> None:
        """Open the handoffs: as many whose users come by Rasa's rest channel as by its callback channel."""
        self._users = [f"user-{number}" for number in range(conversations)]
        called = [f"called-{number}" for number in range(conversations)]
        await open_handoffs(self._plugin, self._users, "rest")
        self._chats = list((await open_handoffs(self._plugin, called, "callback")).values())[-conversations:]

    async def round(self, count: int, *, counts: bool = True) -> None:
        """Measure each once; a round that does not count warms the servers up."""
        forwarded = await run(self._limit, self._sink, [*_alike(count)])
        relayed = await run(self._plugin, self._sink, user_says(self._users, count), filled=True)
        await require_all_kept(self._plugin, self._sink, "/messages", count)
        replied = await run(self._plugin, self._sink, agent_says(self._chats, count, self._said))
        await require_all_kept(self._plugin, self._sink, "/user", count)
        self._said += count
        if messages_kept(self._plugin) != 2 * self._said:
            raise Trouble(f"{2 * self._said} messages were accepted, {messages_kept(self._plugin)} are in the store")
        bare = await run(self._bare_route, self._sink, user_says(self._users, count), filled=True)
        if counts:
            self.bare.runs.append(bare)
            self.forward.runs.append(forwarded)
            self.relay.runs.append(relayed)
            self.reply.runs.append(replied)


def _alike(count: int) -> list[bytes]:
    """What the rest channel gets, for the server that only forwards."""
    return [request.replace(b"POST /webhooks/rest/webhook", b"POST /", 1) for request in user_says(["user-1"], count)]
