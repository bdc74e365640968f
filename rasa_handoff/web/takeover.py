"""A conversation is given to the agents by whoever has the server's token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse

from rasa_handoff import strict_json as read
from rasa_handoff.model import Handoff
from rasa_handoff.runtime import Runtime
from rasa_handoff.web.answers import add_route, as_json, payload_of
from rasa_handoff.web.operators import of_handoff, require_known
from rasa_handoff.web.server_token import require_server_token

Take = Callable[..., Awaitable[Handoff]]

_NAME = 255  #: characters
_WISHES = ("backend", "group", "priority")


class TakeoverApi:
    """One route.

    Args:
        running: gives the runtime, which is there once the server has started.
        take: `rasa_handoff.takeover.Takeover.take`.
    """

    def __init__(self, running: Callable[[], Runtime], take: Take) -> None:
        self._running = running
        self._take = take

    def add_to(self, blueprint: Blueprint) -> None:
        add_route(blueprint, "POST", "/handoffs/take", self.take, "takeover")

    async def take(self, request: Request) -> HTTPResponse:
        runtime = require_server_token(request, self._running)
        payload = await payload_of(request)
        wishes = {name: read.text(payload, name, max_length=_NAME, required=False) for name in _WISHES}
        require_known(wishes["backend"], runtime)
        handoff = await self._take(read.text(payload, "sender_id", max_length=_NAME), **wishes)
        return as_json({"handoff": of_handoff(handoff, runtime.settings.agents)})
