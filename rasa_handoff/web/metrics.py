"""Numbers for Prometheus: what was counted, and how things stand at the moment that it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse, raw

from rasa_handoff.errors import StoreError
from rasa_handoff.metrics import NO_GROUP, Metrics
from rasa_handoff.model import Status
from rasa_handoff.runtime import Runtime
from rasa_handoff.store import figures
from rasa_handoff.web.answers import add_route
from rasa_handoff.web.operators import version
from rasa_handoff.web.server_token import require_server_token

_OPEN = [status for status in Status if status is not Status.CLOSED]
_NONE = (0, 0.0)  #: how many, and for how many seconds the oldest


class MetricsApi:
    """One route, with the server's token.

    Args:
        running: gives the runtime, which is there once the server has started.
    """

    def __init__(self, running: Callable[[], Runtime]) -> None:
        self._running = running

    def add_to(self, blueprint: Blueprint) -> None:
        add_route(blueprint, "GET", "/metrics", self.metrics, "metrics")

    async def metrics(self, request: Request) -> HTTPResponse:
        runtime = require_server_token(request, self._running)
        encode, content_type = choose_encoder(request.headers.get("accept") or "")
        body = encode(_All(runtime.metrics, await _gauges(runtime)))
        return raw(body, headers={"Cache-Control": "no-store"}, content_type=content_type)


class _All:
    """What the library writes down: counters first, gauges behind them."""

    def __init__(self, metrics: Metrics, gauges: list[Metric]) -> None:
        self._metrics = metrics
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics.collect()
        yield from self._gauges


async def _gauges(runtime: Runtime) -> list[Metric]:
    """How things stand; of the database nothing while it does not answer, for a 0 would be a lie."""
    condition = await runtime.health.look()
    ready = _gauge("ready", "Whether this process can do its work.", (), {(): condition.is_ready})
    what = {"version": version(), "database": runtime.store.database}
    about = InfoMetricFamily("handoff", "What runs here.", value=what)
    try:
        return [ready, about, *await _stored(runtime), await _agents(runtime)]
    except StoreError:
        return [ready, about]


async def _stored(runtime: Runtime) -> list[Metric]:
    """Of all processes that share the database."""
    now = runtime.now()
    found = await runtime.store.read(figures.open_handoffs)
    handoffs = dict.fromkeys(product(runtime.backends, [NO_GROUP], [status.value for status in _OPEN]), _NONE)
    for each in found:
        labels = (each.backend, runtime.metrics.group_of(each.group), each.status.value)
        count, age = handoffs.get(labels, _NONE)
        handoffs[labels] = (count + each.count, max(age, now - each.oldest))
    unfinished = await runtime.store.read(figures.unfinished)
    deliveries = dict.fromkeys(product(("agent", "user"), ("pending", "dead")), _NONE)
    deliveries.update({(each.target, each.state): (each.count, now - each.oldest) for each in unfinished})
    return [
        *_two_gauges("open", "Handoffs that are open.", ("backend", "group", "status"), handoffs),
        *_two_gauges("deliveries", "Deliveries that wait or are dead.", ("target", "state"), deliveries),
    ]


async def _agents(runtime: Runtime) -> Metric:
    """Of the agent systems that know."""
    online = {(name,): await backend.agents_online() for name, backend in runtime.backends.items()}
    known = {labels: count for labels, count in online.items() if count is not None}
    return _gauge("agents_online", "Agents who are there, where that is known.", ("backend",), known)


def _two_gauges(
    name: str, words: str, labels: tuple[str, ...], values: Mapping[Any, tuple[int, float]]
) -> tuple[Metric, Metric]:
    """How many there are, and how old the oldest is."""
    counts = {key: count for key, (count, _) in values.items()}
    ages = {key: max(age, 0.0) for key, (_, age) in values.items()}
    oldest = f"{words.removesuffix('.')}: the age of the oldest, or 0."
    return _gauge(name, words, labels, counts), _gauge(f"{name}_oldest_seconds", oldest, labels, ages)


def _gauge(name: str, words: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
    """A gauge with a number for the values of its labels."""
    family = GaugeMetricFamily(f"handoff_{name}", words, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
