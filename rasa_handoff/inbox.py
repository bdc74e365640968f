"""What agent systems tell us: each event has its effect on the handoff once, however often it comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from rasa_handoff.changes import Changes, estimated, minutes_of, without
from rasa_handoff.errors import Conflict, UnknownChat
from rasa_handoff.events import (
    AgentAway,
    AgentIdle,
    AgentJoined,
    AgentMessage,
    AgentTyping,
    AnyEvent,
    Closed,
    Event,
    MessageStatus,
    MessageTakenBack,
    QueueMoved,
    Transferred,
)
from rasa_handoff.model import Handoff, Json, Message, Person, Status, new_id
from rasa_handoff.store import Store, Tx, deliveries, handoffs, messages
from rasa_handoff.switchboard import Switchboard


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """An agent began or stopped typing."""

    handoff: Handoff
    typing: bool
    name: str | None


class Inbox:
    """Takes the events of all agent systems."""

    def __init__(self, store: Store, changes: Changes, switchboard: Switchboard) -> None:
        self._store = store
        self._changes = changes
        self._switchboard = switchboard

    async def apply(self, backend: str, event: AnyEvent) -> Handoff:
        """Something happened at the agent system; a repeat has no second effect.

        Raises:
            UnknownChat: no handoff of this backend has that chat.
            Conflict: the handoff is closed, and ``code`` is its end reason; or ``delivered``, it is too late to take
                a message back.
        """
        if isinstance(event, AgentTyping):
            return await self._typed(backend, event)
        return await self._store.write(partial(self.applied, backend=backend, event=event))

    def applied(self, tx: Tx, backend: str, event: AnyEvent) -> Handoff:
        """`apply`, inside a transaction of the caller's."""
        handoff = _of_chat(tx, backend, event)
        if event.event_id and not self._is_first(tx, f"{backend}:{event.chat_id}", event.event_id):
            return handoff
        if not handoff.is_open:
            if isinstance(event, (Closed, MessageStatus)):
                return handoff
            raise Conflict(_reason(handoff), f"the conversation has ended: {_reason(handoff)}")
        take = self._takers.get(type(event))
        if take is None:
            return handoff
        if handoff.chat_id is None:  # it is being opened, and its events say what it is called there
            handoff = replace(handoff, chat_id=event.chat_id)
        taken = take(self, tx, handoff, event)
        if not taken.is_open:
            return taken
        released = self._changes.release(tx, handoff, taken)
        if released is not taken:
            handoffs.count(tx, released)
        return released

    def _is_first(self, tx: Tx, scope: str, event_id: str) -> bool:
        return messages.first_sight(tx, scope, event_id, self._changes.now())

    async def _typed(self, backend: str, event: AgentTyping) -> Handoff:
        handoff = await self._store.read(lambda tx: _of_chat(tx, backend, event))
        if handoff.is_open:
            name = handoff.agent.name if handoff.agent else None
            self._store.tell([Typed(handoff=handoff, typing=event.typing, name=name)])
        return handoff

    # -- who has the chat ---------------------------------------------------------------------

    def _joined(self, tx: Tx, handoff: Handoff, event: AgentJoined) -> Handoff:
        if handoff.agent == event.agent:
            return handoff
        if handoff.agent is not None:  # from an agent to another
            return self._transferred(tx, handoff, Transferred(chat_id=event.chat_id, agent=event.agent))
        handoff = self._changes.taken_by(handoff, event.agent)
        handoff = self._changes.tell_state(tx, handoff)
        handoff = self._changes.say(tx, handoff, "utter_handoff_joined")
        handoff = self._changes.post(tx, handoff, "user", "slots")
        if self._changes.is_heard("accepted", handoff):
            handoff = self._changes.post(tx, handoff, "agent", "accepted")
        return self._changes.update(tx, handoff)

    def _transferred(self, tx: Tx, handoff: Handoff, event: Transferred) -> Handoff:
        handoff = replace(handoff, group=event.group or handoff.group)
        if event.agent is None:
            return self._back_in_queue(tx, handoff)
        if event.agent.is_same_as(handoff.agent):  # only more, or something else, is known of them
            handoff = self._changes.tell_agent(tx, replace(handoff, agent=event.agent))
            return self._changes.update(tx, handoff)
        handoff = self._changes.tell_agent(tx, self._changes.taken_by(handoff, event.agent))
        return self._say(tx, handoff, "utter_handoff_transferred")

    def _agent_away(self, tx: Tx, handoff: Handoff, event: AgentAway) -> Handoff:
        return self._back_in_queue(tx, replace(handoff, notes={**handoff.notes, "agent_left": True}))

    def _back_in_queue(self, tx: Tx, handoff: Handoff) -> Handoff:
        handoff = self._changes.start(replace(handoff, status=Status.QUEUED, agent=None), "accept")
        handoff = self._changes.tell_agent(tx, handoff)
        return self._say(tx, handoff, "utter_handoff_back_in_queue")

    def _agent_idle(self, tx: Tx, handoff: Handoff, event: AgentIdle) -> Handoff:
        """Said once, until the agent writes or is back."""
        if handoff.status is not Status.ACTIVE or event.idle == ("agent_idle" in handoff.notes):
            return handoff
        if not event.idle:
            return self._changes.update(tx, replace(handoff, notes=without(handoff.notes, "agent_idle")))
        handoff = replace(handoff, notes={**handoff.notes, "agent_idle": True})
        more = {"idle_seconds": event.seconds, "idle_cause": event.cause}
        return self._say(tx, handoff, "utter_handoff_agent_slow", more)

    def _queue_moved(self, tx: Tx, handoff: Handoff, event: QueueMoved) -> Handoff:
        if handoff.status is not Status.QUEUED:
            return handoff
        moved, minutes = event.position != handoff.queue_position, minutes_of(event.wait)
        waits_else = minutes is not None and _is_news(minutes, handoff.notes.get("queue_minutes_said"))
        if not moved and not waits_else:
            return handoff
        handoff = estimated(replace(handoff, queue_position=event.position), minutes)
        handoff = self._changes.tell_agent(tx, handoff)
        if moved and event.position is not None:
            handoff = self._changes.say(tx, handoff, "utter_handoff_queue_moved")
        elif waits_else:
            handoff = self._changes.say(tx, handoff, "utter_handoff_queue_wait")
        if minutes is not None:
            handoff = replace(handoff, notes={**handoff.notes, "queue_minutes_said": minutes})
        return self._changes.update(tx, handoff)

    def _closed(self, tx: Tx, handoff: Handoff, event: Closed) -> Handoff:
        tell_agents = self._changes.is_heard("ended", handoff)
        return self._switchboard.closed(tx, handoff, event.reason, tell_agents=tell_agents)

    def _say(self, tx: Tx, handoff: Handoff, response: str, more: Json | None = None) -> Handoff:
        """Say what has changed, as the last step of the change."""
        return self._changes.update(tx, self._changes.say(tx, handoff, response, more))

    # -- messages -----------------------------------------------------------------------------

    def _wrote(self, tx: Tx, handoff: Handoff, event: AgentMessage) -> Handoff:
        if event.automatic:
            handoff = self._post_written(tx, handoff, event, None)
            handoffs.count(tx, handoff)
            return handoff
        if handoff.status is not Status.ACTIVE or (event.agent and handoff.agent is None):
            handoff = self._changes.taken_by(handoff, event.agent or handoff.agent)
            handoff = self._changes.update(tx, self._changes.tell_agent(tx, handoff))
        elif "agent_idle" in handoff.notes:
            handoff = self._changes.update(tx, replace(handoff, notes=without(handoff.notes, "agent_idle")))
        handoff = self._post_written(tx, handoff, event, event.agent or handoff.agent)
        handoff = self._changes.start(handoff, "user_idle")
        if handoff.replied_at is None:
            handoff = replace(handoff, replied_at=self._changes.now())
            self._changes.write(tx, handoff)
        else:
            handoffs.touch(tx, handoff)
        return handoff

    def _post_written(self, tx: Tx, handoff: Handoff, event: AgentMessage, agent: Person | None) -> Handoff:
        message = Message(
            id=new_id(),
            who="system" if event.automatic else "agent",
            text=event.text,
            name=agent.name if agent else None,
            avatar_url=agent.avatar_url if agent else None,
            attachments=event.attachments,
            buttons=event.buttons,
            cards=event.cards,
            at=self._changes.now(),
        )
        handoff = self._changes.post(tx, handoff, "user", "message", {"theirs": event.event_id}, message)
        messages.insert(tx, handoff.id, handoff.last_seq, message)
        if event.event_id and self._changes.is_heard("status", handoff):
            handoff = self._changes.report(tx, handoff, event.event_id, "submitted")
        return handoff

    def _taken_back(self, tx: Tx, handoff: Handoff, event: MessageTakenBack) -> Handoff:
        delivery = deliveries.known_as(tx, handoff.id, event.message_id)
        if delivery is not None and deliveries.take_back(tx, delivery):
            return handoff
        if event.instead is None:
            raise Conflict("delivered", "it is too late: the user has got this message, or is about to")
        if not event.instead:
            return handoff
        said = AgentMessage(chat_id=event.chat_id, event_id=event.event_id, text=event.instead)
        return self._wrote(tx, handoff, said)

    def _read_there(self, tx: Tx, handoff: Handoff, event: MessageStatus) -> Handoff:
        """The agents have read what the user wrote, up to a message."""
        message = messages.get(tx, handoff.id, event.message_id) if event.state == "read" else None
        if message is None or message.known_as is None:
            return handoff
        if self._is_first(tx, f"read there:{handoff.id}", message.id):
            body = {"message_id": message.known_as, "at": self._changes.now()}
            handoff = self._changes.post(tx, handoff, "user", "read", body)
            handoffs.count(tx, handoff)
        return handoff

    _takers: ClassVar[dict[type, Callable[[Inbox, Tx, Handoff, Any], Handoff]]] = {
        AgentJoined: _joined,
        Transferred: _transferred,
        AgentAway: _agent_away,
        AgentIdle: _agent_idle,
        QueueMoved: _queue_moved,
        Closed: _closed,
        AgentMessage: _wrote,
        MessageStatus: _read_there,
        MessageTakenBack: _taken_back,
    }


def _of_chat(tx: Tx, backend: str, event: Event) -> Handoff:
    """The handoff that an event is about.

    Raises:
        UnknownChat: there is none, or it belongs to another user.
    """
    handoff = handoffs.by_chat(tx, backend, event.chat_id)
    if handoff is None and event.sender_id is not None:
        handoff = _being_opened(tx, backend, event.sender_id)
    if handoff is None or event.sender_id not in (None, handoff.sender_id):
        raise UnknownChat(f"{backend}: no such chat")
    return handoff


def _being_opened(tx: Tx, backend: str, sender_id: str) -> Handoff | None:
    """The handoff whose chat the agent system knows already, though its answer has not come yet."""
    handoff = handoffs.unsettled(tx, sender_id)
    opening = handoff is not None and handoff.backend == backend and handoff.chat_id is None
    return handoff if opening else None


def _is_news(minutes: int, known: int | None) -> bool:
    """Whether an estimate is so far from the one that was said that it is worth a word."""
    return known is None or abs(minutes - known) > known / 2


def _reason(handoff: Handoff) -> str:
    return handoff.end_reason.value if handoff.end_reason else "closed"
