"""A conversation that the bot has goes to the agents, though its user did not ask for one."""

from __future__ import annotations

from dataclasses import replace

from rasa_handoff.dialogue import Dialogue
from rasa_handoff.model import Handoff
from rasa_handoff.runtime import Runtime


class Takeover:
    """Does what the bot's action does, from outside the bot."""

    def __init__(self, runtime: Runtime, dialogue: Dialogue) -> None:
        self._runtime = runtime
        self._dialogue = dialogue

    async def take(
        self, sender_id: str, *, backend: str | None = None, group: str | None = None, priority: str | None = None
    ) -> Handoff:
        """Ask for an agent; the open handoff, if there is one, else a new one, which may be closed already.

        A turn of the bot that is under way ends before; what the user writes behind it is the agents'.

        Args:
            backend, group, priority: in the place of those in the bot's slots.

        Raises:
            UnknownChat: the bot has not heard of this user yet.
            StoreError: what became of it is not written down.
        """
        opening = self._runtime.opening
        known = await self._runtime.switchboard.holder(sender_id)
        if known is not None and known.is_open:
            return await opening.answer_to(known)
        async with self._dialogue.turn(sender_id):
            request = await self._dialogue.request(sender_id)
            wanted = replace(
                request,
                backend=backend or request.backend,
                group=group or request.group,
                priority=priority or request.priority,
            )
            handoff = await opening.begin(wanted, unasked=True)
        return await opening.answer_to(handoff)
