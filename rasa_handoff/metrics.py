"""What happens, as numbers for Prometheus: counted where it is committed, so that no two processes count it.

Names and units follow https://prometheus.io/docs/practices/naming/. Labels are few: an agent system, an end reason,
a direction; never a user.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from rasa_handoff.changes import Moved
from rasa_handoff.errors import ConfigError
from rasa_handoff.figures import fate
from rasa_handoff.model import EndReason, Handoff, Status
from rasa_handoff.outbox import Outcome, Postponed
from rasa_handoff.store import Store

_SECONDS = (5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 28_800)
_STARS = (1, 2, 3, 4, 5)
_DIRECTIONS = {"agent": "to_agent", "user": "to_user"}
_RESULTS = {"done": "delivered", "dead": "dead"}
# Where several processes answer at one address, each scrape meets another of them. Then they keep their numbers
# in files of a folder that this names, and any of them tells the sums
# (https://prometheus.github.io/client_python/multiprocess/).
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class _Series(dict[tuple[str, ...], Any]):
    """The series of a metric by their labels, found in a third of the time that the library takes."""

    def __init__(self, metric: Counter | Histogram) -> None:
        self._metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> Any:
        series = self[labels] = self._metric.labels(*labels)
        return series


class Metrics:
    """Counts in this process, from its start on.

    Args:
        backends: the agent systems in the settings; their series begin at 0, as rates need it.

    Raises:
        ConfigError: the folder for the numbers of several processes is not there.
    """

    def __init__(self, backends: Iterable[str]) -> None:
        _require_folder()
        self._registry = CollectorRegistry()
        counter, histogram = self._counter, self._histogram
        self._requests = counter("requests", "Requests for an agent.", "backend")
        self._opened = counter("opened", "Handoffs that an agent system accepted.", "backend")
        self._passed_on = counter("passed_on", "Handoffs refused that went on to the next agent system.", "backend")
        self._closed = counter("closed", "Handoffs that ended.", "backend", "reason")
        self._callbacks = counter("callbacks", "Requests to call a user back.", "backend")
        self._messages = counter("messages", "Messages delivered.", "backend", "direction")
        self._attempts = counter("delivery_attempts", "Tries to deliver.", "backend", "target", "result")
        self._webhooks = counter("webhooks", "Requests of agent systems, by the answer.", "backend", "code")
        self._waits = histogram("wait_seconds", "From the request until the wait ended.", _SECONDS, "backend", "end")
        self._replies = histogram(
            "first_reply_seconds", "From the request to an agent's first message.", _SECONDS, "backend"
        )
        self._durations = histogram(
            "duration_seconds", "From the request to the end, if an agent came.", _SECONDS, "backend"
        )
        self._stars = histogram("rating_stars", "How content users were, 1 to 5.", _STARS, "backend")
        for backend in backends:
            self._begin(backend)

    def _counter(self, name: str, words: str, *labels: str) -> _Series:
        return _Series(Counter(f"handoff_{name}_total", words, labels, registry=self._registry))

    def _histogram(self, name: str, words: str, buckets: tuple[int, ...], *labels: str) -> _Series:
        return _Series(Histogram(f"handoff_{name}", words, labels, registry=self._registry, buckets=buckets))

    def _begin(self, backend: str) -> None:
        """Let the series of an agent system be there before anything happens."""
        for alone in (self._requests, self._opened, self._passed_on, self._callbacks):
            alone[(backend,)]
        for measured in (self._replies, self._durations, self._stars):
            measured[(backend,)]
        for reason in EndReason:
            self._closed[backend, reason.value]
        for end in ("taken", "abandoned"):
            self._waits[backend, end]
        for target, direction in _DIRECTIONS.items():
            self._messages[backend, direction]
            for result in (*_RESULTS.values(), "postponed"):
                self._attempts[backend, target, result]

    def listen(self, store: Store) -> None:
        """Count what is committed by this process from here on."""
        store.subscribe(Moved, self._moved)
        store.subscribe(Outcome, self._settled)
        store.subscribe(Postponed, self._postponed)

    # -- handoffs -----------------------------------------------------------------------------

    def _moved(self, moved: Moved) -> None:
        before, handoff = moved.before, moved.handoff
        if before is None:
            self._began(moved)
            return
        if before.backend != handoff.backend:
            self._passed_on[(before.backend,)].inc()
        if before.status is Status.REQUESTED and _is_with_agents(handoff):
            self._opened[(handoff.backend,)].inc()
        if before.accepted_at is None and handoff.accepted_at is not None:
            self._waits[handoff.backend, "taken"].observe(_since_opened(handoff, handoff.accepted_at))
        if before.replied_at is None and handoff.replied_at is not None:
            self._replies[(handoff.backend,)].observe(_since_opened(handoff, handoff.replied_at))
        if before.rating is None and handoff.rating is not None:
            self._stars[(handoff.backend,)].observe(handoff.rating.stars)
        if before.is_open and not handoff.is_open:
            self._ended(handoff)

    def _began(self, moved: Moved) -> None:
        handoff = moved.handoff
        if moved.callback:
            self._callbacks[(handoff.backend,)].inc()
            return
        self._requests[(handoff.backend,)].inc()
        if not handoff.is_open:
            self._ended(handoff)

    def _ended(self, handoff: Handoff) -> None:
        if handoff.end_reason is None or handoff.closed_at is None:
            return
        seconds = _since_opened(handoff, handoff.closed_at)
        self._closed[handoff.backend, handoff.end_reason.value].inc()
        became = fate(handoff.end_reason, handoff.accepted_at is not None)
        if became == "taken":
            self._durations[(handoff.backend,)].observe(seconds)
        elif became == "abandoned":
            self._waits[handoff.backend, "abandoned"].observe(seconds)

    # -- what goes out, and what comes in -----------------------------------------------------

    def _settled(self, outcome: Outcome) -> None:
        backend, delivery = outcome.handoff.backend, outcome.delivery
        self._attempts[backend, delivery.target, _RESULTS[delivery.state]].inc()
        # A message that goes out in parts is one.
        if delivery.kind == "message" and delivery.state == "done" and not delivery.body.get("part"):
            self._messages[backend, _DIRECTIONS[delivery.target]].inc()

    def _postponed(self, postponed: Postponed) -> None:
        self._attempts[postponed.handoff.backend, postponed.delivery.target, "postponed"].inc()

    def answered(self, backend: str, status: int) -> None:
        """A request of an agent system got this HTTP status."""
        self._webhooks[backend, str(status)].inc()

    # -- the way out --------------------------------------------------------------------------

    def collect(self) -> Iterator[Metric]:
        """What was counted here; or by all processes that keep their numbers in one folder."""
        registry = self._registry
        if os.environ.get(_FOLDER):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        for metric in registry.collect():
            # When each series began doubles what is told, and Prometheus finds out by itself.
            metric.samples = [each for each in metric.samples if not each.name.endswith("_created")]
            yield metric


def _require_folder() -> None:
    folder = os.environ.get(_FOLDER)
    if folder and not os.path.isdir(folder):
        fault = f"{_FOLDER} names {folder}, which is no folder; make it, empty, before each start"
        raise ConfigError([fault], file="the environment")


def _is_with_agents(handoff: Handoff) -> bool:
    opened = handoff.status in (Status.QUEUED, Status.ACTIVE)
    return opened or handoff.end_reason is EndReason.HANDED_OVER


def _since_opened(handoff: Handoff, at: float) -> float:
    return max(at - handoff.opened_at, 0.0)
