"""What happens, as numbers for Prometheus: counted where it is committed, so that no two processes count it.

Names and units follow https://prometheus.io/docs/practices/naming/. Labels are few: an agent system, a group that
the settings name, an end reason, a direction; never a user.
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
NO_GROUP = ""  #: which for Prometheus is the same as no such label
_DIRECTIONS = {"agent": "to_agent", "user": "to_user"}
_RESULTS = {"done": "delivered", "dead": "dead"}
# Where several processes answer at one address, each scrape meets another of them. Then they keep their numbers
# in files of a folder that this names, and any of them tells the sums
# (https://prometheus.github.io/client_python/multiprocess/).
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


_COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "requests": ("Requests for an agent.", ("backend",)),
    "opened": ("Handoffs that an agent system accepted.", ("backend",)),
    "passed_on": ("Handoffs refused that went on to the next agent system.", ("backend",)),
    "closed": ("Handoffs that ended.", ("backend", "reason")),
    "callbacks": ("Requests to call a user back.", ("backend",)),
    "messages": ("Messages delivered.", ("backend", "direction")),
    "delivery_attempts": ("Tries to deliver.", ("backend", "target", "result")),
    "webhooks": ("Requests of agent systems, by the answer.", ("backend", "code")),
}
_HISTOGRAMS: dict[str, tuple[str, tuple[str, ...], tuple[int, ...]]] = {
    "wait_seconds": ("From the request until the wait ended.", ("backend", "group", "end"), _SECONDS),
    "first_reply_seconds": ("From the request to an agent's first message.", ("backend",), _SECONDS),
    "duration_seconds": ("From the request to the end, if an agent came.", ("backend",), _SECONDS),
    "rating_stars": ("How content users were, 1 to 5.", ("backend",), (1, 2, 3, 4, 5)),
}


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
        groups: those in the settings. Others, which bots and agent systems may name as they like, are no label.

    Raises:
        ConfigError: the folder for the numbers of several processes is not there.
    """

    def __init__(self, backends: Iterable[str], groups: Iterable[str] = ()) -> None:
        _require_folder()
        self._groups = frozenset(groups)
        self._registry = registry = CollectorRegistry()
        self._series: dict[str, _Series] = {}
        for name, (words, labels) in _COUNTERS.items():
            self._series[name] = _Series(Counter(f"handoff_{name}", words, labels, registry=registry))
        for name, (words, labels, buckets) in _HISTOGRAMS.items():
            histogram = Histogram(f"handoff_{name}", words, labels, registry=registry, buckets=buckets)
            self._series[name] = _Series(histogram)
        for backend in backends:
            self._begin(backend)

    def _begin(self, backend: str) -> None:
        """Let the series of an agent system be there before anything happens."""
        for name, (_, labels, *_) in {**_COUNTERS, **_HISTOGRAMS}.items():
            if labels == ("backend",):
                self._series[name][(backend,)]
        for reason in EndReason:
            self._series["closed"][backend, reason.value]
        for end in ("taken", "abandoned"):
            self._series["wait_seconds"][backend, NO_GROUP, end]
        for target, direction in _DIRECTIONS.items():
            self._series["messages"][backend, direction]
            for result in (*_RESULTS.values(), "postponed"):
                self._series["delivery_attempts"][backend, target, result]

    def _count(self, name: str, *labels: str) -> None:
        self._series[name][labels].inc()

    def _observe(self, name: str, value: float, *labels: str) -> None:
        self._series[name][labels].observe(value)

    def group_of(self, group: str | None) -> str:
        """The label of this group; `NO_GROUP` if the settings do not have it."""
        return group if group in self._groups else NO_GROUP

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
            self._count("passed_on", before.backend)
        if before.status is Status.REQUESTED and _is_with_agents(handoff):
            self._count("opened", handoff.backend)
        if before.accepted_at is None and handoff.accepted_at is not None:
            self._waited(handoff, handoff.accepted_at, "taken")
        if before.replied_at is None and handoff.replied_at is not None:
            self._observe("first_reply_seconds", _since_opened(handoff, handoff.replied_at), handoff.backend)
        if before.rating is None and handoff.rating is not None:
            self._observe("rating_stars", handoff.rating.stars, handoff.backend)
        if before.is_open and not handoff.is_open:
            self._ended(handoff)

    def _began(self, moved: Moved) -> None:
        handoff = moved.handoff
        if moved.callback:
            self._count("callbacks", handoff.backend)
            return
        self._count("requests", handoff.backend)
        if not handoff.is_open:
            self._ended(handoff)

    def _ended(self, handoff: Handoff) -> None:
        if handoff.end_reason is None or handoff.closed_at is None:
            return
        self._count("closed", handoff.backend, handoff.end_reason.value)
        became = fate(handoff.end_reason, handoff.accepted_at is not None)
        if became == "taken":
            self._observe("duration_seconds", _since_opened(handoff, handoff.closed_at), handoff.backend)
        elif became == "abandoned":
            self._waited(handoff, handoff.closed_at, "abandoned")

    def _waited(self, handoff: Handoff, until: float, end: str) -> None:
        self._observe("wait_seconds", _since_opened(handoff, until), handoff.backend, self.group_of(handoff.group), end)

    # -- what goes out, and what comes in -----------------------------------------------------

    def _settled(self, outcome: Outcome) -> None:
        backend, delivery = outcome.handoff.backend, outcome.delivery
        self._count("delivery_attempts", backend, delivery.target, _RESULTS[delivery.state])
        # A message that goes out in parts is one.
        if delivery.kind == "message" and delivery.state == "done" and not delivery.body.get("part"):
            self._count("messages", backend, _DIRECTIONS[delivery.target])

    def _postponed(self, postponed: Postponed) -> None:
        self._count("delivery_attempts", postponed.handoff.backend, postponed.delivery.target, "postponed")

    def answered(self, backend: str, status: int) -> None:
        """A request of an agent system got this HTTP status."""
        self._count("webhooks", backend, str(status))

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
