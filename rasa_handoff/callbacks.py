"""Leaves requests to call a user back, at any hour, for the agent system to take."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from rasa_handoff import routing, transcript
from rasa_handoff.backends.base import Backend
from rasa_handoff.changes import Changes, ended
from rasa_handoff.errors import Conflict
from rasa_handoff.model import EndReason, Handoff, Request, Status
from rasa_handoff.settings import Rule, Settings
from rasa_handoff.store import Store, Tx, handoffs

log = logging.getLogger(__name__)


class Callbacks:
    """Finds who calls back, and has the outbox bring the request there."""

    def __init__(
        self,
        store: Store,
        changes: Changes,
        backends: Mapping[str, Backend],
        settings: Settings,
    ) -> None:
        self._store = store
        self._changes = changes
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
        return await self._store.write(partial(self._leave, handoff_id=handoff_id, request=request, rule=rule))

    def _leave(self, tx: Tx, handoff_id: str, request: Request, rule: Rule) -> Handoff:
        known = handoffs.get(tx, handoff_id)
        if known is not None:
            return known
        now = self._changes.now()
        handoff = Handoff(
            id=handoff_id,
            sender_id=request.sender_id,
            channel=request.channel,
            backend=rule.to,
            group=rule.group,
            status=Status.REQUESTED,
            opened_at=now,
            owner=self._store.worker,
        )
        handoff = ended(handoff, EndReason.UNAVAILABLE, now, settled=True)
        handoff = self._changes.post(tx, handoff, "agent", "callback")
        self._changes.begin(tx, handoff, request)
        log.info("handoff.callback id=%s backend=%s", handoff.id, handoff.backend)
        return handoff

    async def left(self, handoff: Handoff, chat_id: str) -> None:
        """The agent system took a request to call back, under this id."""
        await self._store.write(lambda tx: handoffs.update(tx, replace(handoffs.fresh(tx, handoff), chat_id=chat_id)))

    def _takes(self, rule: Rule) -> bool:
        backend = self._backends.get(rule.to)
        return backend is not None and backend.takes_callbacks()
