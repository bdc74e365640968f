"""What the bot is told: slots, the end of a handoff, and what it says in our name; under Rasa's lock."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from rasa.core.channels.channel import OutputChannel, UserMessage
from rasa.shared.core.events import (
    ActionExecuted,
    BotUttered,
    ConversationPaused,
    ConversationResumed,
    Event,
    SlotSet,
    UserUttered,
)
from rasa.shared.core.trackers import DialogueStateTracker

from rasa_handoff import transcript
from rasa_handoff.errors import UnknownChat
from rasa_handoff.faces import Faces
from rasa_handoff.model import EndReason, Handoff, Message, Request
from rasa_handoff.store import Store, handoffs, messages
from rasa_handoff.switchboard import Switchboard

if TYPE_CHECKING:
    from rasa.core.agent import Agent

log = logging.getLogger(__name__)

INTENT_CLOSED = "handoff_closed"
_LISTEN = "action_listen"
_MUST_BE_SAID = {"utter_handoff_undelivered": "Your last message could not be delivered."}


class Dialogue:
    """Speaks to the bot's tracker.

    Args:
        agent: gives Rasa's agent, which a model reload replaces.
        log_to_tracker: write into the tracker what user and agent said.
        faces: what users see of the agents, and so the slots that the bot speaks from.
    """

    def __init__(
        self,
        agent: Callable[[], Agent],
        store: Store,
        switchboard: Switchboard,
        log_to_tracker: bool,
        faces: Faces | None = None,
    ) -> None:
        self._agent = agent
        self._switchboard = switchboard
        self._store = store
        self._log_to_tracker = log_to_tracker
        self._faces = faces or Faces()

    def turn(self, sender_id: str) -> AbstractAsyncContextManager[Any]:
        """Rasa's lock on the conversation: whoever holds it is alone with the user."""
        found: AbstractAsyncContextManager[Any] = self._agent().lock_store.lock(sender_id)
        return found

    async def request(self, sender_id: str) -> Request:
        """Everything an agent should know of this conversation, which the bot has; the caller holds the lock.

        Raises:
            UnknownChat: the bot has not heard of this user yet.
        """
        tracker = await self._agent().tracker_store.retrieve(sender_id)
        channel = _channel_of(tracker) if tracker else None
        if tracker is None or channel is None:
            raise UnknownChat("no such conversation")
        events = [event.as_dict() for event in tracker.events]
        details = tracker.latest_message.metadata if tracker.latest_message else None
        return transcript.request(sender_id, channel, events, tracker.current_slot_values(), details)

    async def set_slots(self, handoff_id: str) -> None:
        """Let the bot's slots say where the handoff stands, and make sure that it is paused."""
        handoff = await self._fresh(handoff_id)
        if handoff is None:
            return
        agent = self._agent()
        async with agent.lock_store.lock(handoff.sender_id):
            handoff = await self._fresh(handoff_id)
            if handoff is None or not handoff.is_open:  # it ended meanwhile; whoever ends it tells the bot
                return
            tracker = await agent.processor.get_tracker(handoff.sender_id)
            events = self._slots(tracker, handoff)
            if not _is_paused(tracker):
                events.append(ConversationPaused())
            tracker.update_with_events(events, agent.domain)
            await agent.tracker_store.save(tracker)

    async def settle(self, handoff_id: str, output: OutputChannel) -> None:
        """Tell the bot that the handoff is over: slots, resume and the intent, in one go."""
        handoff = await self._fresh(handoff_id)
        if handoff is None or handoff.settled:
            return
        async with self._agent().lock_store.lock(handoff.sender_id):
            await self.settle_locked(handoff_id, output)

    async def settle_locked(self, handoff_id: str, output: OutputChannel) -> None:
        """`settle`, where the caller holds the lock."""
        handoff = await self._fresh(handoff_id)
        if handoff is None or handoff.settled:
            return
        agent = self._agent()
        tracker = await agent.processor.get_tracker(handoff.sender_id)
        if not self._knows(tracker, handoff):
            tracker.update_with_events(await self._end(tracker, handoff), agent.domain)
            if handoff.end_reason is EndReason.HANDED_OVER:  # the user is with the agents, and not here
                await agent.tracker_store.save(tracker)
            else:
                # Saves the tracker, with everything above, when the bot has had its say.
                await agent.trigger_intent(INTENT_CLOSED, [], output, tracker)
        await self._switchboard.settled(handoff)

    async def _fresh(self, handoff_id: str) -> Handoff | None:
        return await self._store.read(lambda tx: handoffs.get(tx, handoff_id))

    def _knows(self, tracker: DialogueStateTracker, handoff: Handoff) -> bool:
        """Whether the bot was told, and only our own note of it was lost."""
        told = tracker.get_slot("handoff_id"), tracker.get_slot("handoff_status")
        return told == (handoff.id, "closed") and not _is_paused(tracker)

    async def _end(self, tracker: DialogueStateTracker, handoff: Handoff) -> list[Event]:
        events: list[Event] = []
        if self._log_to_tracker:
            events += await self._logged(handoff)
        if tracker.latest_action_name != _LISTEN:
            # The pause cut the turn off before the bot listened, and rules begin behind a listen.
            events.append(ActionExecuted(action_name=_LISTEN))
        return [*events, ConversationResumed(), *self._slots(tracker, handoff)]

    async def _logged(self, handoff: Handoff) -> list[Event]:
        said = await self._store.read(lambda tx: messages.of(tx, handoff.id))
        return [_as_event(message, handoff.channel) for message in said]

    def _slots(self, tracker: DialogueStateTracker, handoff: Handoff) -> list[Event]:
        agent = self._faces.of(handoff.agent) if handoff.agent else None
        values = {
            "handoff_id": handoff.id,
            "handoff_status": handoff.status.value,
            "handoff_backend": handoff.backend,
            "handoff_ticket": handoff.chat_id,
            "handoff_agent": agent.name if agent else None,
            "handoff_department": agent.department if agent else None,
            "handoff_queue_position": handoff.queue_position,
            "handoff_queue_minutes": handoff.queue_minutes,
            "handoff_end_reason": handoff.end_reason.value if handoff.end_reason else None,
            "handoff_next_opening": handoff.notes.get("next_opening"),
        }
        return [
            SlotSet(key=name, value=value)
            for name, value in values.items()
            if name in tracker.slots and tracker.get_slot(name) != value
        ]

    async def say_again(self, handoff: Handoff, message: Message, output: OutputChannel) -> None:
        """Give the bot a message that was meant for it after all."""
        text = message.text if message.to_bot is None else message.to_bot
        again = UserMessage(text, output, handoff.sender_id, input_channel=handoff.channel)
        await self._agent().handle_message(again)

    async def words(self, handoff: Handoff, response: str, values: dict[str, Any]) -> dict[str, Any] | None:
        """What the bot's owner wrote for *response*; of what they left out, only what must be said."""
        agent = self._agent()
        if agent.domain is None or response not in agent.domain.responses:
            return {"text": _MUST_BE_SAID[response]} if response in _MUST_BE_SAID else None
        tracker = await agent.processor.get_tracker(handoff.sender_id)
        known = {name: value for name, value in values.items() if value is not None}
        found: dict[str, Any] | None = await agent.nlg.generate(response, tracker, handoff.channel, **known)
        return found


def _channel_of(tracker: DialogueStateTracker) -> str | None:
    """The channel by which the user wrote last; what programs put into a tracker need not have one."""
    channels = (event.input_channel for event in reversed(tracker.events) if isinstance(event, UserUttered))
    return next(filter(None, channels), None)


def _is_paused(tracker: DialogueStateTracker) -> bool:
    paused = getattr(tracker, "paused", None)  # a property in Rasa Pro 3.16 and later
    return bool(tracker.is_paused()) if paused is None or callable(paused) else bool(paused)


def _as_event(message: Message, channel: str) -> Event:
    if message.who == "user":
        parsed = {"intent": {"name": None, "confidence": 0.0}, "entities": [], "text": message.text}
        return UserUttered(
            text=message.text,
            intent=parsed["intent"],
            entities=[],
            parse_data=parsed,
            timestamp=message.at,
            input_channel=channel,
        )
    return BotUttered(text=message.text, metadata={"handoff_agent": message.name}, timestamp=message.at)
