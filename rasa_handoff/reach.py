"""Brings what the outbox has for the user's side: to the user on their own channel, or to the bot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from rasa_handoff.channels.base import Notice
from rasa_handoff.channels.intake import Intake
from rasa_handoff.dialogue import Dialogue
from rasa_handoff.errors import HandoffError, TemporaryError
from rasa_handoff.faces import Faces
from rasa_handoff.inbox import Typed
from rasa_handoff.model import Delivery, Handoff

log = logging.getLogger(__name__)

BOT_TIMEOUT = 50.0  #: seconds for what the bot has to do; Rasa's lock on the conversation lives 60


class Reach:
    """Brings a delivery to the user's side: to the user, or to the bot that takes over again.

    Args:
        intake: knows the channels, and how users are reached on them.
        faces: what users see of the agents.
    """

    def __init__(self, dialogue: Dialogue, intake: Intake, faces: Faces | None = None) -> None:
        self._faces = faces or Faces()
        self._dialogue = dialogue
        self._intake = intake
        self._channels = intake.channels
        self._kinds: dict[str, Callable[[Handoff, Delivery], Awaitable[None]]] = {
            "message": self._message,
            "notice": self._notice,
            "state": self._state,
            "read": self._read,
            "slots": self._slots,
            "settle": self._settle,
            "replay": self._replay,
        }

    async def __call__(self, handoff: Handoff, delivery: Delivery) -> None:
        self._intake.apart()
        await self._kinds[delivery.kind](handoff, self._faces.in_delivery(delivery))

    async def typing(self, typed: Typed) -> None:
        """Let the user see that the agent types, where their channel can show it."""
        channel = self._channels.named(typed.handoff.channel)
        if not channel.traits.typing:
            return
        try:
            await channel.typing(await self._intake.to(typed.handoff), typed.typing)
        except HandoffError as error:
            log.debug("reach.typing_lost handoff=%s %s", typed.handoff.id, error)

    async def _message(self, handoff: Handoff, delivery: Delivery) -> None:
        if delivery.message is not None:
            to = await self._intake.to(handoff, delivery.id)
            await self._channels.named(handoff.channel).say(to, delivery.message)

    async def _notice(self, handoff: Handoff, delivery: Delivery) -> None:
        body = delivery.body
        words = await self._dialogue.words(handoff, body["response"], body["values"])
        if words:  # a bot owner who wants none of it leaves the response out
            notice = Notice(name=body["response"], words=words, at=delivery.created_at)
            await self._channels.named(handoff.channel).notify(await self._intake.to(handoff, delivery.id), notice)

    async def _state(self, handoff: Handoff, delivery: Delivery) -> None:
        await self._channels.named(handoff.channel).show(await self._intake.to(handoff, delivery.id), delivery.body)

    async def _read(self, handoff: Handoff, delivery: Delivery) -> None:
        to = await self._intake.to(handoff, delivery.id)
        await self._channels.named(handoff.channel).mark_read(to, delivery.body)

    async def _slots(self, handoff: Handoff, delivery: Delivery) -> None:
        await self._dialogue.set_slots(handoff.id)

    async def _settle(self, handoff: Handoff, delivery: Delivery) -> None:
        to = await self._intake.to(handoff, delivery.id)
        output = await self._channels.named(handoff.channel).output_there(to)
        await _bounded(self._dialogue.settle(handoff.id, output), "take the conversation back")

    async def _replay(self, handoff: Handoff, delivery: Delivery) -> None:
        message = delivery.message
        if message is not None and message.to_bot != "":
            to = await self._intake.to(handoff, delivery.id)
            output = await self._channels.named(handoff.channel).output_there(to)
            await _bounded(self._dialogue.say_again(handoff, message, output), "answer a message")


async def _bounded(work: Awaitable[None], doing: str) -> None:
    try:
        await asyncio.wait_for(work, BOT_TIMEOUT)
    except asyncio.TimeoutError as error:
        raise TemporaryError("the bot", doing, detail="no answer in time") from error
