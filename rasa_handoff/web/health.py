"""Whether requests should come to this server: for load balancers and orchestrators, who have no token."""

from __future__ import annotations

from collections.abc import Callable

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse

from rasa_handoff.errors import StoreError
from rasa_handoff.runtime import Runtime
from rasa_handoff.web.answers import add_route, as_json


class HealthApi:
    """One route that says yes or no; why, it leaves to ``/status``.

    Args:
        running: gives the runtime, which is there once the server has started.
    """

    def __init__(self, running: Callable[[], Runtime]) -> None:
        self._running = running

    def add_to(self, blueprint: Blueprint) -> None:
        for method in ("GET", "HEAD"):
            add_route(blueprint, method, "/health", self.health, f"health_{method.lower()}")

    async def health(self, request: Request) -> HTTPResponse:
        if await self._is_ready():
            return as_json({"status": "ok"})
        return as_json({"status": "unavailable"}, 503)

    async def _is_ready(self) -> bool:
        try:
            condition = await self._running().health.look()
        except StoreError:  # starting or stopping
            return False
        return condition.is_ready
