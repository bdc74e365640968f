"""Each user message of every channel: to the bot, or to the agent.

Rasa hands every message to ``Agent.handle_message``, which takes the conversation's lock and calls its
processor (rasa/core/agent.py, 3.6.21). The gate stands before the processor, inside the lock: a message
that waited for the lock while a handoff was being opened meets it afterwards. ``PUT /model`` puts a new
agent in place, and a model server a new processor; so the gate is set up where every agent's messages
pass, and puts itself before whatever processor it finds there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from weakref import WeakSet

from rasa.core.agent import Agent
from rasa.core.channels.channel import CollectingOutputChannel, UserMessage

from rasa_handoff import attachments
from rasa_handoff.channels.base import Channel, Heard
from rasa_handoff.channels.intake import Intake
from rasa_handoff.dialogue import Dialogue
from rasa_handoff.errors import UnknownChat
from rasa_handoff.files import not_open
from rasa_handoff.heard import Hearing, external_id
from rasa_handoff.media import Media
from rasa_handoff.model import EndReason, Handoff, new_id
from rasa_handoff.settings import Settings
from rasa_handoff.switchboard import Receipt, Switchboard
from rasa_handoff.transcript import clean

log = logging.getLogger(__name__)

LONGEST_TEXT = 64_000  #: characters
_HEARS_OUT = 2.0  #: seconds
_LOOKS_EVERY = 0.01


class Gate:
    """Decides, message by message.

    Args:
        intake: knows what a message's webhook says beside its text.
        media: makes links to files that users sent.
        nudge: called with the handoff whose user has just written: they are there.
        loaded: called when the bot has a new model.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        dialogue: Dialogue,
        intake: Intake,
        media: Media,
        settings: Settings,
        nudge: Callable[[Handoff], None],
        loaded: Callable[[], None] = lambda: None,
    ) -> None:
        self._switchboard = switchboard
        self._dialogue = dialogue
        self._intake = intake
        self._hearing = Hearing(media, settings.redact.patterns, settings.deleted_text)
        self._settings = settings
        self._nudge = nudge
        self._loaded = loaded
        self._guarded: WeakSet[Any] = WeakSet()  # what a model reload replaces may go
        self._end_words = frozenset(word.casefold() for word in settings.end_words)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Stand before every agent of this process, whatever replaces it, until the end of the block."""
        handle, trigger = Agent.handle_message, Agent.trigger_intent
        gate = self

        async def handle_message(agent: Agent, message: UserMessage) -> Any:
            gate.guard(agent.processor)
            return await handle(agent, message)

        async def trigger_intent(agent: Agent, *args: Any, **kwargs: Any) -> Any:
            gate.guard(agent.processor)
            return await trigger(agent, *args, **kwargs)

        Agent.handle_message, Agent.trigger_intent = handle_message, trigger_intent
        try:
            yield
        finally:
            Agent.handle_message, Agent.trigger_intent = handle, trigger
            for processor in self._guarded:
                del processor.handle_message, processor.trigger_external_user_uttered
            self._guarded.clear()

    def guard(self, processor: Any) -> None:
        """Stand before *processor*, once."""
        if processor is None or processor in self._guarded:
            return
        self._guarded.add(processor)
        to_bot, to_bot_unasked = processor.handle_message, processor.trigger_external_user_uttered

        async def handle_message(message: UserMessage) -> Any:
            return await self.handle(message, to_bot)

        async def trigger_external_user_uttered(*args: Any, **kwargs: Any) -> None:
            tracker = kwargs["tracker"] if "tracker" in kwargs else args[2]
            handoff = await self._switchboard.holder(tracker.sender_id)
            if handoff is not None and handoff.is_open:
                # A reminder, or a call from outside: the bot must not speak now.
                log.info("gate.kept_silent handoff=%s", handoff.id)
                return
            await to_bot_unasked(*args, **kwargs)

        processor.handle_message = handle_message
        processor.trigger_external_user_uttered = trigger_external_user_uttered
        self._loaded()

    async def came(self, sender_id: str) -> None:
        """A user's page is connected again: what could not reach them is tried at once."""
        handoff = await self._switchboard.holder(sender_id)
        if handoff is not None:
            self._nudge(handoff)

    async def handle(self, message: UserMessage, to_bot: Callable[[UserMessage], Awaitable[Any]]) -> Any:
        """A user's message, with the conversation's lock held."""
        keeping = self._intake.keep_address(message)
        heard = self._intake.heard(message)
        try:
            return await self._decide(message, heard, to_bot)
        finally:
            if keeping is not None:
                await self._intake.kept(keeping)

    async def _decide(
        self, message: UserMessage, heard: Heard | None, to_bot: Callable[[UserMessage], Awaitable[Any]]
    ) -> Any:
        """Give *message* to who has the conversation.

        Raises:
            Conflict: ``not_open``; it was for agents alone, who have left meanwhile.
        """
        handoff = await self._meet(message)
        if handoff is not None and handoff.is_open:
            self._nudge(handoff)
            if await self._to_agent(message, heard or Heard(sender_id=message.sender_id), handoff):
                return _collected(message)
            handoff = await self._switchboard.holder(message.sender_id)
        if heard is not None and heard.for_agents and not self._is_end_word(message):
            # Before the bot says what it has to say at an end: that would go down with this message.
            raise not_open()
        if handoff is not None:
            # It ended, and the bot does not know yet: it has to, before it can answer.
            await self._hear_out(message, handoff)
            await self._dialogue.settle_locked(handoff.id, message.output_channel)
            if self._is_end_word(message):
                return _collected(message)
        return await to_bot(message)

    async def _meet(self, message: UserMessage) -> Handoff | None:
        """Give the user what waited for them; the handoff that holds the conversation."""
        mailbox = self._intake.mailbox(message)
        if mailbox is None:
            return await self._switchboard.holder(message.sender_id)
        handoff, mail = await self._switchboard.holder_and_mail(message.sender_id, mailbox)
        if not mail:
            return handoff
        await self._intake.hand_over(message)
        return await self._switchboard.holder(message.sender_id)  # handing over took a while

    async def _hear_out(self, message: UserMessage, handoff: Handoff) -> None:
        """Let the user have what the agents said last, before the bot speaks again; but do not wait for ever."""
        self._nudge(handoff)
        end = time.monotonic() + _HEARS_OUT
        while await self._switchboard.is_telling(handoff.id) and time.monotonic() < end:
            await asyncio.sleep(_LOOKS_EVERY)
        await self._intake.hand_over(message)

    async def _to_agent(self, message: UserMessage, heard: Heard, handoff: Handoff) -> bool:
        """Give *message* to the agents' side; False if it is the bot's after all."""
        if self._is_end_word(message):
            return not await self._left(handoff)
        if heard.unsaid:
            return True
        channel = self._intake.channel(message)
        heard = await channel.learned(_with_metadata(heard, message.metadata))
        said = self._hearing.message(channel, handoff, heard, clean(message.text))
        if not said.text and not said.attachments:
            return True
        if len(said.text) > LONGEST_TEXT:
            await self._refuse(message, handoff)
            return True
        receipt = await self._switchboard.said(message.sender_id, said, _external_id(message, heard))
        if receipt is not None:
            channel.acknowledge(heard)
            await self._acknowledge(message, receipt)
        return receipt is not None

    async def take_in(self, channel: Channel, heard: Heard) -> bool:
        """What Rasa's *channel* dropped, for an agent; False where the bot has the conversation.

        Raises:
            StoreError: it is not on disk.
        """
        async with self._dialogue.turn(heard.sender_id):  # behind what was said before, and is being answered
            handoff = await self._switchboard.holder(heard.sender_id)
            if handoff is None or not handoff.is_open:
                return False
            said = self._hearing.message(channel, handoff, await channel.learned(heard), "")
            if not said.text and not said.attachments:
                return False
            self._nudge(handoff)
            said = replace(said, text=said.text[:LONGEST_TEXT])
            return await self._switchboard.said(heard.sender_id, said, external_id(heard.id or new_id())) is not None

    def _is_end_word(self, message: UserMessage) -> bool:
        return bool(message.text) and message.text.strip().casefold() in self._end_words

    async def _left(self, handoff: Handoff) -> bool:
        """The user typed that they leave; True once it has ended."""
        try:
            await self._switchboard.close(EndReason.USER_LEFT, handoff_id=handoff.id)
        except UnknownChat:
            log.debug("gate.ended_already handoff=%s", handoff.id)
        return True

    async def _acknowledge(self, message: UserMessage, receipt: Receipt) -> None:
        """Answer a client that waits for an answer.

        A client of a rest-like channel that gets nothing may take its message for lost and post it again
        (a second time a person would read it twice), so it gets something that is no text.
        """
        if not self._settings.acknowledge or not isinstance(message.output_channel, CollectingOutputChannel):
            return
        if message.output_channel.name() == "callback":  # answers "success" by itself
            return
        status = receipt.handoff.status.value
        custom = {"handoff": {"received": receipt.message_id, "status": status}}
        await message.output_channel.send_custom_json(message.sender_id, custom)

    async def _refuse(self, message: UserMessage, handoff: Handoff) -> None:
        log.warning("gate.too_long handoff=%s characters=%s", handoff.id, len(message.text))
        words = await self._dialogue.words(handoff, "utter_handoff_undelivered", {})
        if words and message.output_channel is not None:
            await message.output_channel.send_response(message.sender_id, words)


def _with_metadata(heard: Heard, metadata: Any) -> Heard:
    """*heard*, with what a channel that nothing more is known of says beside the text; see docs/http.md."""
    return replace(
        heard,
        attachments=heard.attachments or attachments.in_metadata(metadata),
        edits=heard.edits or attachments.edits_in(metadata),
    )


def _external_id(message: UserMessage, heard: Heard) -> str:
    """The id by which a repeat is known: the client's own, else the channel's."""
    theirs = (message.metadata or {}).get("message_id")
    given = theirs if isinstance(theirs, str) and theirs else heard.id
    return external_id(given or message.message_id)


def _collected(message: UserMessage) -> Any:
    """What the processor returns: the answers, where the channel collects them."""
    if isinstance(message.output_channel, CollectingOutputChannel):
        return message.output_channel.messages
    return None
