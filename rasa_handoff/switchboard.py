"""Who holds the conversation: the bot or an agent. The only module that changes it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, ClassVar

from rasa_handoff.backends.base import Backend, Opened
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
    QueueMoved,
    Transferred,
)
from rasa_handoff.model import (
    Deadline,
    Delivery,
    EndReason,
    Handoff,
    Json,
    Message,
    Person,
    Rating,
    Request,
    Status,
    Target,
    new_handoff_id,
    new_id,
)
from rasa_handoff.settings import Rule, Settings
from rasa_handoff.store import Store, Tx, deliveries, handoffs, messages

log = logging.getLogger(__name__)

# Which end the passing of a deadline brings, and which response warns of it.
_PASSED = {
    "accept": (EndReason.NOT_ACCEPTED, "utter_handoff_still_waiting"),
    "agent_reply": (EndReason.AGENT_SILENT, "utter_handoff_agent_slow"),
    "user_idle": (EndReason.USER_IDLE, "utter_handoff_user_idle"),
}
_SAID = {"message", "notice"}  #: kinds of deliveries that a user reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A delivery was committed and can go out."""

    handoff: Handoff
    delivery: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A handoff has another state."""

    handoff: Handoff


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """An agent began or stopped typing."""

    handoff: Handoff
    typing: bool
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The user's message is on disk and belongs to the agents' side."""

    handoff: Handoff
    message_id: str
    repeat: bool = False  #: it had been received before


class Switchboard:
    """Opens, feeds and ends handoffs; each change is one transaction with what it causes."""

    def __init__(
        self,
        store: Store,
        backends: Mapping[str, Backend],
        settings: Settings,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._backends = backends
        self._settings = settings
        self._now = now

    # -- opening ------------------------------------------------------------------------------

    def begin(
        self, tx: Tx, request: Request, rules: Sequence[Rule], next_opening: str | None = None
    ) -> tuple[Handoff, bool]:
        """Write down that an agent is asked for; the open handoff, and whether it was there before.

        Args:
            next_opening: when all are closed, the local time at which the first of them opens.
        """
        known = handoffs.unsettled(tx, request.sender_id)
        if known is not None and known.is_open:
            return known, True
        handoff = Handoff(
            id=new_handoff_id(),
            sender_id=request.sender_id,
            channel=request.channel,
            backend=rules[0].to if rules else request.backend or "none",
            status=Status.REQUESTED,
            opened_at=self._now(),
            owner=self._store.worker,
        )
        if not rules:
            handoff = replace(handoff, notes={"next_opening": next_opening} if next_opening else {})
            handoff = _ended(handoff, EndReason.UNAVAILABLE, self._now(), settled=True)
        handoffs.insert(tx, handoff, request)
        return handoff, False

    def try_at(self, tx: Tx, handoff: Handoff, rule: Rule, request: Request) -> Handoff:
        """Write down which backend is asked, and for what; its events may come before its answer.

        Nobody is asked any more when the handoff has ended, or an agent has taken the chat of a backend
        whose answer did not come.
        """
        known = self._fresh(tx, handoff)
        if known.status is not Status.REQUESTED:
            return known
        handoffs.ask(tx, handoff.id, request)
        handoff = replace(known, backend=rule.to, group=rule.group)
        handoff = replace(handoff, chat_id=self._backends[rule.to].chat_id_of(handoff))
        handoffs.update(tx, handoff)
        return handoff

    def opened(self, tx: Tx, handoff: Handoff, opened: Opened) -> Handoff:
        """The backend took the chat."""
        known = self._fresh(tx, handoff)
        if not known.is_open:  # ended meanwhile, e.g. by an operator
            self.close_late(tx, handoff, opened)
            return known
        handoff = replace(known, chat_id=opened.chat_id, notes={**known.notes, **opened.notes})
        if opened.status is Status.CLOSED:
            return self._handed_over(tx, replace(handoff, agent=opened.agent))
        if opened.status is Status.ACTIVE and known.status is Status.REQUESTED:
            handoff = self._taken_by(handoff, opened.agent)
        elif known.status is Status.REQUESTED:  # else an agent was faster than the answer
            handoff = replace(handoff, status=Status.QUEUED, queue_position=opened.queue_position)
            handoff = _waiting_for(handoff, _minutes(opened.queue_wait))
            handoff = replace(handoff, deadlines=self._start(handoff, "accept"))
        handoff = self._tell_state(tx, handoff)
        handoff = self._update(tx, self._release(tx, known, handoff))
        log.info("handoff.opened id=%s backend=%s status=%s", handoff.id, handoff.backend, handoff.status.value)
        return handoff

    def _handed_over(self, tx: Tx, handoff: Handoff) -> Handoff:
        """The agents have the user where they are; the bot is told, and says nothing."""
        for delivery in deliveries.pending_of(tx, handoff.id):
            error = "the agents had the user already, who said it where they are"
            deliveries.failed(tx, replace(delivery, state="dead", error=error))
        handoff = self._tell_state(tx, _ended(handoff, EndReason.HANDED_OVER, self._now(), settled=False))
        handoff = self._post(tx, handoff, "user", "settle")
        log.info("handoff.handed_over id=%s backend=%s", handoff.id, handoff.backend)
        return self._update(tx, handoff)

    def _release(self, tx: Tx, before: Handoff, handoff: Handoff) -> Handoff:
        """What waited for the chat to be open, or for an agent, can go out; only now it is known where to."""
        if before.status is handoff.status:
            return handoff
        waiting = [
            delivery
            for delivery in deliveries.pending_of(tx, handoff.id)
            if delivery.seq <= before.last_seq and self.waits(before, delivery) and not self.waits(handoff, delivery)
        ]
        if all("part" in each.body or len(self._parts(handoff, each.message)) == 1 for each in waiting):
            for delivery in waiting:
                delivery = replace(delivery, give_up_at=self._now() + self._settings.delivery_timeout)
                deliveries.renew(tx, delivery)
                tx.announce(Posted(handoff=handoff, delivery=delivery))
            return handoff
        for delivery in waiting:
            deliveries.done(tx, delivery.id)
            handoff = self._post_in_parts(tx, handoff, delivery)
        return handoff

    def close_late(self, tx: Tx, handoff: Handoff, opened: Opened) -> None:
        """A backend took the chat when nobody waited for it any more."""
        if opened.status is Status.CLOSED:  # the agents have the user, and there is nothing of ours to end
            return
        known = self._fresh(tx, handoff)
        same = (known.backend, known.chat_id) == (handoff.backend, opened.chat_id)
        if same and known.status in (Status.QUEUED, Status.ACTIVE):  # an agent was faster than the answer
            self._update(tx, replace(known, notes={**known.notes, **opened.notes}))
            return
        there = {"backend": handoff.backend, "chat_id": opened.chat_id, "notes": opened.notes}
        body = {"reason": EndReason.FAILED.value, "there": there}
        handoffs.count(tx, self._post(tx, known, "agent", "close", body))

    def refused(self, tx: Tx, handoff: Handoff, reason: EndReason) -> Handoff:
        """Nobody took the chat: the bot keeps the conversation, unless an agent took it before its backend said no."""
        known = self._fresh(tx, handoff)
        if known.status is not Status.REQUESTED:
            return known
        handoff = _ended(known, reason, self._now(), settled=True)
        for delivery in deliveries.pending_of(tx, handoff.id):
            if delivery.kind == "close":  # of a chat that was opened too late
                tx.announce(Posted(handoff=handoff, delivery=delivery))
                continue
            # Typed while the chat was being opened, which it never was: it is for the bot.
            deliveries.done(tx, delivery.id)
            handoff = self._post(tx, handoff, "user", "replay", message=delivery.message)
        handoffs.update(tx, handoff)
        log.info("handoff.not_opened id=%s backend=%s reason=%s", handoff.id, handoff.backend, reason.value)
        return handoff

    # -- calling back -------------------------------------------------------------------------

    def leave(self, tx: Tx, handoff_id: str, request: Request, rule: Rule) -> Handoff:
        """Write down that the user wants to be called back; the bot keeps the conversation.

        A repeat, which has the same *handoff_id*, has no second effect.
        """
        known = handoffs.get(tx, handoff_id)
        if known is not None:
            return known
        now = self._now()
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
        handoff = _ended(handoff, EndReason.UNAVAILABLE, now, settled=True)
        handoff = self._post(tx, handoff, "agent", "callback")
        handoffs.insert(tx, handoff, request)
        log.info("handoff.callback id=%s backend=%s", handoff.id, handoff.backend)
        return handoff

    async def left(self, handoff: Handoff, chat_id: str) -> None:
        """The agent system took a request to call back, under this id."""
        await self._store.write(lambda tx: handoffs.update(tx, replace(self._fresh(tx, handoff), chat_id=chat_id)))

    # -- rating -------------------------------------------------------------------------------

    async def rate(self, rating: Rating, *, sender_id: str = "", handoff_id: str = "") -> Handoff:
        """The user said how content they were with this handoff, or with their last one.

        Raises:
            UnknownChat: there is none.
            Conflict: ``no_ratings``; its agent system takes none, or never had it.
        """
        return await self._store.write(partial(self._rate, rating=rating, sender_id=sender_id, handoff_id=handoff_id))

    def _rate(self, tx: Tx, rating: Rating, sender_id: str, handoff_id: str) -> Handoff:
        handoff = handoffs.get(tx, handoff_id) if handoff_id else handoffs.last(tx, sender_id)
        if handoff is None:
            raise UnknownChat("no handoff")
        backend = self._backends.get(handoff.backend)
        if backend is None or not backend.takes_ratings() or handoff.chat_id is None:
            raise Conflict("no_ratings", "the agent system takes no rating of this handoff")
        handoff = self._post(tx, handoff, "agent", "rating", asdict(rating))
        handoffs.count(tx, handoff)
        return handoff

    # -- the user's side ----------------------------------------------------------------------

    async def holder(self, sender_id: str) -> Handoff | None:
        """The handoff that holds this conversation, or has ended without the bot knowing yet."""
        return await self._store.read(lambda tx: handoffs.unsettled(tx, sender_id))

    async def said(self, sender_id: str, message: Message, external_id: str) -> Receipt | None:
        """The user wrote; None if it is for the bot.

        Args:
            external_id: the channel's id of the message; a repeat of it has no second effect.
        """
        return await self._store.write(partial(self._said, sender_id=sender_id, message=message, theirs=external_id))

    def _said(self, tx: Tx, sender_id: str, message: Message, theirs: str) -> Receipt | None:
        handoff = handoffs.unsettled(tx, sender_id)
        if handoff is None or not handoff.is_open:
            return None
        if not messages.first_sight(tx, f"user:{sender_id}", theirs, message.at):
            return Receipt(handoff=handoff, message_id=theirs, repeat=True)
        before = handoff
        handoff = self._post_said(tx, handoff, message)
        messages.insert(tx, handoff.id, handoff.last_seq, replace(message, known_as=theirs))
        if handoff.status is Status.ACTIVE and "agent_reply" not in handoff.deadlines:
            handoff = replace(handoff, deadlines=self._start(handoff, "agent_reply"))
        if handoff.deadlines is before.deadlines:
            handoffs.count(tx, handoff)
        else:
            handoffs.touch(tx, handoff)
        return Receipt(handoff=handoff, message_id=theirs)

    async def read(self, sender_id: str, message_id: str) -> None:
        """The user has read a message of an agent; a second time is no news.

        Raises:
            UnknownChat: this user got no such message.
        """
        await self._store.write(partial(self._read, sender_id=sender_id, message_id=message_id))

    def _read(self, tx: Tx, sender_id: str, message_id: str) -> None:
        delivery = deliveries.to_user_with(tx, message_id)
        handoff = handoffs.get(tx, delivery.handoff_id) if delivery else None
        if delivery is None or handoff is None or handoff.sender_id != sender_id:
            raise UnknownChat("no such message")
        theirs = delivery.body.get("theirs")
        if not theirs or "status" not in self._heard_by(handoff):
            return
        if messages.first_sight(tx, f"read:{handoff.id}", message_id, self._now()):
            handoffs.count(tx, self._post(tx, handoff, "agent", "status", self._status(theirs, "read")))

    def _post_said(self, tx: Tx, handoff: Handoff, message: Message) -> Handoff:
        """Give the agents' side a message of the user, in as many deliveries as its system needs."""
        parts = self._parts(handoff, message)
        # While it is being opened it is not known yet, whose it will be.
        if handoff.status is Status.REQUESTED or self._waits_for_agent(handoff) or len(parts) == 1:
            return self._post(tx, handoff, "agent", "message", message=message)
        for number in range(len(parts)):
            handoff = self._post(tx, handoff, "agent", "message", {"part": number}, message)
        return handoff

    def _post_in_parts(self, tx: Tx, handoff: Handoff, delivery: Delivery) -> Handoff:
        """Post *delivery* again, behind what has just been posted."""
        if delivery.message is not None and "part" not in delivery.body:
            return self._post_said(tx, handoff, delivery.message)
        return self._post(tx, handoff, delivery.target, delivery.kind, delivery.body, delivery.message)

    def _parts(self, handoff: Handoff, message: Message | None) -> Sequence[Message | None]:
        backend = self._backends.get(handoff.backend)
        return backend.parts(message) if backend and message else (message,)

    # -- the agents' side ---------------------------------------------------------------------

    async def apply(self, backend: str, event: AnyEvent) -> Handoff:
        """Something happened at the agent system; a repeat has no second effect.

        Raises:
            UnknownChat: no handoff of this backend has that chat.
            Conflict: the handoff is closed; ``code`` is its end reason.
        """
        if isinstance(event, AgentTyping):
            return await self._typed(backend, event)
        return await self._store.write(partial(self.applied, backend=backend, event=event))

    def applied(self, tx: Tx, backend: str, event: AnyEvent) -> Handoff:
        """`apply`, inside a transaction of the caller's."""
        handoff = self._of_chat(tx, backend, event)
        if event.event_id and not messages.first_sight(tx, f"{backend}:{event.chat_id}", event.event_id, self._now()):
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
        released = self._release(tx, handoff, taken)
        if released is not taken:
            handoffs.count(tx, released)
        return released

    async def _typed(self, backend: str, event: AgentTyping) -> Handoff:
        handoff = await self._store.read(lambda tx: self._of_chat(tx, backend, event))
        if handoff.is_open:
            name = handoff.agent.name if handoff.agent else None
            self._store.tell([Typed(handoff=handoff, typing=event.typing, name=name)])
        return handoff

    def _of_chat(self, tx: Tx, backend: str, event: Event) -> Handoff:
        handoff = handoffs.by_chat(tx, backend, event.chat_id)
        if handoff is None and event.sender_id is not None:
            handoff = self._being_opened(tx, backend, event.sender_id)
        if handoff is None or event.sender_id not in (None, handoff.sender_id):
            raise UnknownChat(f"{backend}: no such chat")
        return handoff

    def _being_opened(self, tx: Tx, backend: str, sender_id: str) -> Handoff | None:
        """The handoff whose chat the agent system knows already, though its answer has not come yet."""
        handoff = handoffs.unsettled(tx, sender_id)
        opening = handoff is not None and handoff.backend == backend and handoff.chat_id is None
        return handoff if opening else None

    def _joined(self, tx: Tx, handoff: Handoff, event: AgentJoined) -> Handoff:
        if handoff.agent == event.agent:
            return handoff
        if handoff.agent is not None:  # from an agent to another
            return self._transferred(tx, handoff, Transferred(chat_id=event.chat_id, agent=event.agent))
        handoff = self._taken_by(handoff, event.agent)
        handoff = self._tell_state(tx, handoff)
        handoff = self._notice(tx, handoff, "utter_handoff_joined")
        handoff = self._post(tx, handoff, "user", "slots")
        if "accepted" in self._heard_by(handoff):
            handoff = self._post(tx, handoff, "agent", "accepted")
        return self._update(tx, handoff)

    def _heard_by(self, handoff: Handoff) -> frozenset[str]:
        backend = self._backends.get(handoff.backend)
        return backend.hears if backend else frozenset()

    def _wrote(self, tx: Tx, handoff: Handoff, event: AgentMessage) -> Handoff:
        if event.automatic:
            handoff = self._post_written(tx, handoff, event, None)
            handoffs.count(tx, handoff)
            return handoff
        if handoff.status is not Status.ACTIVE or (event.agent and handoff.agent is None):
            handoff = self._taken_by(handoff, event.agent or handoff.agent)
            handoff = self._update(tx, self._tell_agent(tx, handoff))
        elif "agent_idle" in handoff.notes:
            handoff = self._update(tx, replace(handoff, notes=_without(handoff.notes, "agent_idle")))
        handoff = self._post_written(tx, handoff, event, event.agent or handoff.agent)
        handoff = replace(handoff, deadlines=self._start(handoff, "user_idle"))
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
            at=self._now(),
        )
        handoff = self._post(tx, handoff, "user", "message", {"theirs": event.event_id}, message)
        messages.insert(tx, handoff.id, handoff.last_seq, message)
        if event.event_id and "status" in self._heard_by(handoff):
            handoff = self._post(tx, handoff, "agent", "status", self._status(event.event_id, "submitted"))
        return handoff

    def _queue_moved(self, tx: Tx, handoff: Handoff, event: QueueMoved) -> Handoff:
        if handoff.status is not Status.QUEUED:
            return handoff
        moved, minutes = event.position != handoff.queue_position, _minutes(event.wait)
        waits_else = minutes is not None and _is_news(minutes, handoff.notes.get("queue_minutes_said"))
        if not moved and not waits_else:
            return handoff
        handoff = _waiting_for(replace(handoff, queue_position=event.position), minutes)
        handoff = self._tell_agent(tx, handoff)
        if moved and event.position is not None:
            handoff = self._notice(tx, handoff, "utter_handoff_queue_moved")
        elif waits_else:
            handoff = self._notice(tx, handoff, "utter_handoff_queue_wait")
        if minutes is not None:
            handoff = replace(handoff, notes={**handoff.notes, "queue_minutes_said": minutes})
        return self._update(tx, handoff)

    def _transferred(self, tx: Tx, handoff: Handoff, event: Transferred) -> Handoff:
        handoff = replace(handoff, group=event.group or handoff.group)
        if event.agent is None:
            return self._back_in_queue(tx, handoff)
        if event.agent.is_same_as(handoff.agent):  # only more, or something else, is known of them
            return self._update(tx, self._tell_agent(tx, replace(handoff, agent=event.agent)))
        handoff = self._tell_agent(tx, self._taken_by(handoff, event.agent))
        return self._update(tx, self._notice(tx, handoff, "utter_handoff_transferred"))

    def _agent_away(self, tx: Tx, handoff: Handoff, event: AgentAway) -> Handoff:
        return self._back_in_queue(tx, replace(handoff, notes={**handoff.notes, "agent_left": True}))

    def _back_in_queue(self, tx: Tx, handoff: Handoff) -> Handoff:
        handoff = replace(handoff, status=Status.QUEUED, agent=None, deadlines=self._start(handoff, "accept"))
        handoff = self._tell_agent(tx, handoff)
        return self._update(tx, self._notice(tx, handoff, "utter_handoff_back_in_queue"))

    def _agent_idle(self, tx: Tx, handoff: Handoff, event: AgentIdle) -> Handoff:
        """Said once, until the agent writes or is back."""
        if handoff.status is not Status.ACTIVE or event.idle == ("agent_idle" in handoff.notes):
            return handoff
        if not event.idle:
            return self._update(tx, replace(handoff, notes=_without(handoff.notes, "agent_idle")))
        handoff = replace(handoff, notes={**handoff.notes, "agent_idle": True})
        more = {"idle_seconds": event.seconds, "idle_cause": event.cause}
        return self._update(tx, self._notice(tx, handoff, "utter_handoff_agent_slow", more))

    def _read_there(self, tx: Tx, handoff: Handoff, event: MessageStatus) -> Handoff:
        """The agents have read what the user wrote, up to a message."""
        message = messages.get(tx, handoff.id, event.message_id) if event.state == "read" else None
        if message is None or message.known_as is None:
            return handoff
        now = self._now()
        if messages.first_sight(tx, f"read there:{handoff.id}", message.id, now):
            handoff = self._post(tx, handoff, "user", "read", {"message_id": message.known_as, "at": now})
            handoffs.count(tx, handoff)
        return handoff

    def _agent_closed(self, tx: Tx, handoff: Handoff, event: Closed) -> Handoff:
        return self._close(tx, handoff, event.reason, tell_agents="ended" in self._heard_by(handoff))

    _takers: ClassVar[dict[type, Callable[[Switchboard, Tx, Handoff, Any], Handoff]]] = {
        AgentJoined: _joined,
        AgentMessage: _wrote,
        QueueMoved: _queue_moved,
        Transferred: _transferred,
        AgentAway: _agent_away,
        AgentIdle: _agent_idle,
        MessageStatus: _read_there,
        Closed: _agent_closed,
    }

    def _taken_by(self, handoff: Handoff, agent: Person | None) -> Handoff:
        return replace(
            handoff,
            status=Status.ACTIVE,
            agent=agent,
            queue_position=None,
            accepted_at=handoff.accepted_at or self._now(),
            deadlines=self._start(handoff, "agent_reply"),
            notes=_without(handoff.notes, "agent_left", "agent_idle", "queue_minutes", "queue_minutes_said"),
        )

    # -- the end ------------------------------------------------------------------------------

    async def close(self, reason: EndReason, *, sender_id: str = "", handoff_id: str = "") -> Handoff:
        """End the open handoff of this conversation, or with this id; the agents' side is told.

        Raises:
            UnknownChat: there is none.
        """
        return await self._store.write(
            partial(self._close_named, reason=reason, sender_id=sender_id, handoff_id=handoff_id)
        )

    def _close_named(self, tx: Tx, reason: EndReason, sender_id: str, handoff_id: str) -> Handoff:
        handoff = handoffs.get(tx, handoff_id) if handoff_id else handoffs.unsettled(tx, sender_id)
        if handoff is None or not handoff.is_open:
            raise UnknownChat("no open handoff")
        return self._close(tx, handoff, reason, tell_agents=True)

    def _close(self, tx: Tx, handoff: Handoff, reason: EndReason, *, tell_agents: bool) -> Handoff:
        if handoff.status is Status.REQUESTED:  # the bot still holds the conversation
            return self.refused(tx, handoff, reason)
        self._put_aside_unread(tx, handoff)
        handoff = _ended(handoff, reason, self._now(), settled=False)
        if tell_agents and handoff.chat_id is not None:
            handoff = self._post(tx, handoff, "agent", "close", {"reason": reason.value})
        handoff = self._tell_state(tx, handoff)
        handoff = self._post(tx, handoff, "user", "settle")
        log.info("handoff.closed id=%s backend=%s reason=%s", handoff.id, handoff.backend, reason.value)
        return self._update(tx, handoff)

    def _put_aside_unread(self, tx: Tx, handoff: Handoff) -> None:
        """No agent came who would read what waited for one: it is for people to see, and goes nowhere."""
        if not self._waits_for_agent(handoff):
            return
        for delivery in deliveries.pending_of(tx, handoff.id):
            if self.waits(handoff, delivery):
                deliveries.failed(tx, replace(delivery, state="dead", error="no agent came who would read it"))

    async def is_telling(self, handoff_id: str) -> bool:
        """Whether something that was said is still on its way to the user."""
        waiting = await self._store.read(lambda tx: deliveries.pending_of(tx, handoff_id))
        return any(each.target == "user" and each.kind in _SAID for each in waiting)

    async def settled(self, handoff: Handoff) -> None:
        """The bot knows that *handoff* is over."""
        await self._store.write(lambda tx: self._update(tx, replace(self._fresh(tx, handoff), settled=True)))

    async def expire(self, handoff_id: str) -> Handoff | None:
        """Act on the deadlines of *handoff* that have passed: warn, or end it."""
        return await self._store.write(partial(self._expire, handoff_id=handoff_id))

    def _expire(self, tx: Tx, handoff_id: str) -> Handoff | None:
        handoff = handoffs.get(tx, handoff_id)
        if handoff is None or not handoff.is_open:
            return handoff
        now = self._now()
        for name, deadline in handoff.deadlines.items():
            reason, warning = _PASSED[name]
            if deadline.due <= now:
                left = name == "accept" and handoff.notes.get("agent_left")
                return self._close(tx, handoff, EndReason.AGENT_LEFT if left else reason, tell_agents=True)
            if deadline.warn is not None and deadline.warn <= now:
                deadlines = {**handoff.deadlines, name: replace(deadline, warn=None)}
                handoff = self._notice(tx, replace(handoff, deadlines=deadlines), warning)
        return self._update(tx, handoff)

    async def recover(self) -> None:
        """After a restart: end what was being opened, since nobody waits for the answer any more, and what has
        no agent system any more, since the settings have changed."""
        await self._store.write(self._recover)

    def _recover(self, tx: Tx) -> None:
        for handoff in handoffs.unsettled_in(tx, Status.REQUESTED):
            self.refused(tx, handoff, EndReason.FAILED)
        for status in (Status.QUEUED, Status.ACTIVE):
            for handoff in handoffs.unsettled_in(tx, status):
                if handoff.backend not in self._backends:
                    self._close(tx, handoff, EndReason.FAILED, tell_agents=False)

    def inherited(self, tx: Tx, handoff: Handoff) -> None:
        """Go on with *handoff*, after which another process looked that is gone."""
        if handoff.status is Status.REQUESTED:  # nobody waits for the answer any more
            self.refused(tx, handoff, EndReason.FAILED)
            return
        for delivery in deliveries.pending_of(tx, handoff.id):
            if not self.waits(handoff, delivery):
                tx.announce(Posted(handoff=handoff, delivery=delivery))
        if handoff.is_open and handoff.backend not in self._backends:
            self._close(tx, handoff, EndReason.FAILED, tell_agents=False)

    def reported(self, tx: Tx, handoff: Handoff, delivery: Delivery) -> None:
        """What became of an agent's message, for a backend that wants to know for certain."""
        theirs = delivery.body.get("theirs")
        if not theirs or delivery.kind != "message" or "status" not in self._heard_by(handoff):
            return
        state = "delivered" if delivery.state == "done" else "rejected"
        body = self._status(theirs, state, delivery.error)
        handoffs.count(tx, self._post(tx, self._fresh(tx, handoff), "agent", "status", body))

    def _status(self, message_id: str, state: str, cause: str | None = None) -> Json:
        return {"message_id": message_id, "state": state, "cause": cause, "at": self._now()}

    def gave_up(self, tx: Tx, handoff: Handoff, delivery: Delivery, *, gone: bool, exhausted: bool) -> None:
        """A delivery is dead; what follows for its handoff, inside the outbox's transaction.

        Args:
            gone: the agent system says the chat is over.
            exhausted: it was tried until its time was up.
        """
        handoff = self._fresh(tx, handoff)
        if delivery.target != "agent" or delivery.kind != "message":
            return
        handoff = self._notice(tx, handoff, "utter_handoff_undelivered")
        if handoff.is_open and (gone or exhausted):
            self._close(tx, handoff, EndReason.AGENT_CLOSED if gone else EndReason.FAILED, tell_agents=exhausted)
        else:
            handoffs.count(tx, handoff)

    # -- what every change does ---------------------------------------------------------------

    def _fresh(self, tx: Tx, handoff: Handoff) -> Handoff:
        return handoffs.get(tx, handoff.id) or handoff

    def _update(self, tx: Tx, handoff: Handoff) -> Handoff:
        handoffs.update(tx, handoff)
        tx.announce(Changed(handoff=handoff))
        return handoff

    def _start(self, handoff: Handoff, name: str) -> dict[str, Deadline]:
        """One deadline runs at a time: whose turn it is decides which."""
        backend = self._backends.get(handoff.backend)
        own = backend.deadlines if backend else {}
        setting = own.get(name) or self._settings.deadlines[name]
        now = self._now()
        warn = now + setting.warn if setting.warn is not None else None
        return {name: Deadline(due=now + setting.after, warn=warn)}

    def _notice(self, tx: Tx, handoff: Handoff, response: str, more: Json | None = None) -> Handoff:
        """Have the bot's response *response* said to the user."""
        values = {
            "agent_name": handoff.agent.name if handoff.agent else None,
            "department": handoff.agent.department if handoff.agent else None,
            "queue_position": handoff.queue_position,
            "queue_minutes": handoff.queue_minutes,
            "ticket": handoff.chat_id,
            **(more or {}),
        }
        return self._post(tx, handoff, "user", "notice", {"response": response, "values": values})

    def _tell_state(self, tx: Tx, handoff: Handoff) -> Handoff:
        return self._post(tx, handoff, "user", "state", state_of(handoff, self._now()))

    def _tell_agent(self, tx: Tx, handoff: Handoff) -> Handoff:
        """Let the user's page and the bot's slots say who has the chat, or how many are before it."""
        return self._post(tx, self._tell_state(tx, handoff), "user", "slots")

    def _post(
        self,
        tx: Tx,
        handoff: Handoff,
        target: Target,
        kind: str,
        body: Json | None = None,
        message: Message | None = None,
    ) -> Handoff:
        """Put a delivery into the outbox; the handoff, with its next number."""
        handoff = replace(handoff, last_seq=handoff.last_seq + 1)
        now = self._now()
        delivery = Delivery(
            id=new_id(),
            handoff_id=handoff.id,
            target=target,
            seq=handoff.last_seq,
            kind=kind,
            message=message,
            body=body or {},
            next_at=now,
            give_up_at=now + self._settings.delivery_timeout,
            created_at=now,
        )
        deliveries.insert(tx, delivery)
        if not self.waits(handoff, delivery):
            tx.announce(Posted(handoff=handoff, delivery=delivery))
        return handoff

    def waits(self, handoff: Handoff, delivery: Delivery) -> bool:
        """Whether it is too early for *delivery*: the chat is being opened, or nobody would read it yet."""
        if delivery.target == "user":
            return False
        return handoff.status is Status.REQUESTED or (delivery.kind == "message" and self._waits_for_agent(handoff))

    def _waits_for_agent(self, handoff: Handoff) -> bool:
        backend = self._backends.get(handoff.backend)
        return handoff.status is Status.QUEUED and backend is not None and backend.waits_for_agent


def state_of(handoff: Handoff, at: float) -> Json:
    """What a user's page shows of a handoff."""
    agent = handoff.agent
    return {
        "handoff_id": handoff.id,
        "status": handoff.status.value,
        "agent": {"name": agent.name, "avatar_url": agent.avatar_url} if agent else None,
        "queue_position": handoff.queue_position,
        "queue_minutes": handoff.queue_minutes,
        "end_reason": handoff.end_reason.value if handoff.end_reason else None,
        "at": at,
    }


def _ended(handoff: Handoff, reason: EndReason, now: float, *, settled: bool) -> Handoff:
    return replace(
        handoff,
        status=Status.CLOSED,
        end_reason=reason,
        closed_at=now,
        deadlines={},
        queue_position=None,
        settled=settled,
    )


def _minutes(seconds: float | None) -> int | None:
    """An estimate as it is said; None where there is none."""
    return math.ceil(seconds / 60) if seconds else None


def _waiting_for(handoff: Handoff, minutes: int | None) -> Handoff:
    """*handoff*, with what is known of how long it will take."""
    return handoff if minutes is None else replace(handoff, notes={**handoff.notes, "queue_minutes": minutes})


def _is_news(minutes: int, known: int | None) -> bool:
    """Whether an estimate is so far from the one that was said that it is worth a word."""
    return known is None or abs(minutes - known) > known / 2


def _without(notes: Json, *names: str) -> Json:
    return {name: value for name, value in notes.items() if name not in names}


def _reason(handoff: Handoff) -> str:
    return handoff.end_reason.value if handoff.end_reason else "closed"
