"""What a bot's own turn costs: with the plugin and without, and as the way to forward to an agent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

from benchmarks.conversations import CONNECTIONS, TEXT, dealt, open_handoffs, user_says
from benchmarks.servers import Server
from benchmarks.throughput import Runs, run
from benchmarks.wire import Sink, closed_loop, post

_CONNECTIONS = 4  #: a turn keeps the core busy by itself
_A_CONVERSATION = 5  #: messages; a tracker grows, and with it each turn


def _turns(kind: str, text: str, count: int) -> list[bytes]:
    """Messages to the bot; *kind* keeps the conversations of one run apart from those of others."""
    return [
        post(
            "/webhooks/rest/webhook",
            {"sender": f"{kind}-{number // (_A_CONVERSATION * _CONNECTIONS)}-{number % _CONNECTIONS}", "message": text},
        )
        for number in range(count)
    ]


class GateOverhead:
    """The same turn of the same bot on both servers; by turns, and a little at a time, for machines are restless."""

    def __init__(self, plain: Server, plugin: Server) -> None:
        self._servers = {"plain": plain, "plugin": plugin}
        self._rounds = 0
        self.seconds: dict[str, list[float]] = {"plain": [], "plugin": []}

    async def round(self, count: int, *, counts: bool = True) -> None:
        """Measure each once; which comes first changes from round to round."""
        self._rounds += 1
        order = ("plain", "plugin") if self._rounds % 2 else ("plugin", "plain")
        for name in order:
            took = await self._burst(self._servers[name], _turns(f"{name}-{self._rounds}", "hello", count))
            if counts:
                self.seconds[name].append(took / count)

    async def _burst(self, server: Server, requests: Sequence[bytes]) -> float:
        started = time.monotonic()
        answers = await closed_loop(server.port, dealt(requests, _CONNECTIONS))
        answers.require(len(requests), filled=True)
        return time.monotonic() - started

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        pairs = zip(self.seconds["plugin"], self.seconds["plain"], strict=True)
        return median(plugin / plain for plugin, plain in pairs)

    @property
    def turn_us(self) -> float:
        """Microseconds of a turn without the plugin."""
        return median(self.seconds["plain"]) * 1e6


class ActionRelay:
    """A message to the agent through NLU, a policy and a custom action, and one through the plugin, by turns."""

    def __init__(self, plain: Server, plugin: Server, sink: Sink) -> None:
        self._plain = plain
        self._plugin = plugin
        self._sink = sink
        self._rounds = 0
        self.by_action, self.by_plugin = Runs(), Runs()

    async def prepare(self) -> None:
        self._users = [f"relayed-{number}" for number in range(CONNECTIONS)]
        await open_handoffs(self._plugin, self._users, "rest")

    async def round(self, count: int, *, counts: bool = True) -> None:
        """Measure each once; the plugin with ten times as many, for it is done with them sooner."""
        self._rounds += 1
        requests = _turns(f"forward-{self._rounds}", TEXT, count)
        by_action = await run(self._plain, self._sink, requests, lanes=_CONNECTIONS)
        by_plugin = await run(self._plugin, self._sink, user_says(self._users, 10 * count), filled=True)
        if counts:
            self.by_action.runs.append(by_action)
            self.by_plugin.runs.append(by_plugin)

    @property
    def ratio(self) -> float:
        return self.by_plugin.ratio_to(self.by_action)
