"""Leaves requests to call a user back, at any hour, for the agent system to take."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from rasa_handoff import routing, transcript
from rasa_handoff.backends.base import Backend
from rasa_handoff.errors import Conflict
from rasa_handoff.model import Handoff, Request
from rasa_handoff.settings import Rule, Settings
from rasa_handoff.store import Store
from rasa_handoff.switchboard import Switchboard


class Callbacks:
    """Finds who calls back, and has the outbox bring the request there."""

    def __init__(
        self,
        store: Store,
        switchboard: Switchboard,
        backends: Mapping[str, Backend],
        settings: Settings,
    ) -> None:
        self._store = store
        self._switchboard = switchboard
        self._backends = backends
        self._settings = settings

    async def leave(self, handoff_id: str, request: Request) -> Handoff:
        """Write *request* down; a handoff that is over from the start. A repeat has no second effect.

        Raises:
            Conflict: ``no_callbacks``; no agent system of the route takes any.
        """
        rule = next((rule for rule in routing.fitting(self._settings.route, request) if self._takes(rule)), None)
        if rule is None:
            raise Conflict("no_callbacks", "no agent system that fits this request takes callbacks")
        # How to reach the user is not redacted: it is what they gave it for.
        request = routing.told(transcript.redact(request, self._settings.redact), rule)
        leave = partial(self._switchboard.leave, handoff_id=handoff_id, request=request, rule=rule)
        return await self._store.write(leave)

    def _takes(self, rule: Rule) -> bool:
        backend = self._backends.get(rule.to)
        return backend is not None and backend.takes_callbacks()
