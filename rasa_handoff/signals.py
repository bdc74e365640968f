"""What is worth telling the agents' side but not worth keeping: typing, presence, receipts."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping

from rasa_handoff.backends.base import Backend
from rasa_handoff.events import MessageStatus
from rasa_handoff.model import Handoff, Status
from rasa_handoff.switchboard import Switchboard

log = logging.getLogger(__name__)


class Signals:
    """Tells once, and does not mind when nobody hears."""

    def __init__(self, switchboard: Switchboard, backends: Mapping[str, Backend]) -> None:
        self._switchboard = switchboard
        self._backends = backends

    async def user_typing(self, sender_id: str, typing: bool) -> None:
        """The user began or stopped typing."""
        handoff = await self._switchboard.holder(sender_id)
        if handoff is not None and handoff.status is Status.ACTIVE:
            await self._tell(handoff, self._backends[handoff.backend].typing(handoff, typing))

    async def user_presence(self, sender_id: str, connected: bool) -> None:
        """The user's page connected or went away."""
        handoff = await self._switchboard.holder(sender_id)
        if handoff is not None and handoff.chat_id is not None and handoff.is_open:
            await self._tell(handoff, self._backends[handoff.backend].presence(handoff, connected))

    async def report(self, handoff: Handoff, status: MessageStatus) -> None:
        """What became of an agent's message."""
        if handoff.chat_id is not None and handoff.backend in self._backends:
            await self._tell(handoff, self._backends[handoff.backend].report(handoff, status))

    async def _tell(self, handoff: Handoff, telling: Awaitable[None]) -> None:
        try:
            await telling
        except Exception as error:
            log.debug("signal.lost id=%s error=%s", handoff.id, type(error).__name__)
