"""Who holds the conversation: the bot or an agent. The only module that changes it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from rasa_handoff.backends.base import Backend, Opened
from rasa_handoff.errors import Conflict, UnknownChat
from rasa_handoff.events import (
    AgentAway,
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

    def begin(self, tx: Tx, request: Request, rules: Sequence[Rule]) -> tuple[Handoff, bool]:
        """Write down that an agent is asked for; the open handoff, and whether it was there before."""
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
        )
        if not rules:
            handoff = _ended(handoff, EndReason.UNAVAILABLE, self._now(), settled=True)
        handoffs.insert(tx, handoff, request)
        return handoff, False

    def try_at(self, tx: Tx, handoff: Handoff, rule: Rule) -> Handoff:
        """Write down which backend is asked; its events may come before its answer."""
        handoff = replace(self._fresh(tx, handoff), backend=rule.to, group=rule.group)
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
        if opened.status is Status.ACTIVE and known.status is Status.REQUESTED:
            handoff = self._taken_by(handoff, opened.agent)
        elif known.status is Status.REQUESTED:  # else an agent was faster than the answer
            queued = {"status": Status.QUEUED, "queue_position": opened.queue_position}
            handoff = replace(handoff, **queued, deadlines=self._start("accept"))
        handoff = self._update(tx, self._tell_state(tx, handoff))
        for delivery in deliveries.pending_of(tx, handoff.id):
            if delivery.target == "agent":  # typed while the chat was being opened
                tx.announce(Posted(handoff=handoff, delivery=delivery))
        log.info("handoff.opened id=%s backend=%s status=%s", handoff.id, handoff.backend, handoff.status.value)
        return handoff

    def close_late(self, tx: Tx, handoff: Handoff, opened: Opened) -> None:
        """A backend took the chat when nobody waited for it any more."""
        there = {"backend": handoff.backend, "chat_id": opened.chat_id, "notes": opened.notes}
        body = {"reason": EndReason.FAILED.value, "there": there}
        handoffs.count(tx, self._post(tx, self._fresh(tx, handoff), "agent", "close", body))

    def refused(self, tx: Tx, handoff: Handoff, reason: EndReason) -> Handoff:
        """Nobody took the chat: the bot keeps the conversation."""
        known = self._fresh(tx, handoff)
        if not known.is_open:
            return known
        handoff = _ended(known, reason, self._now(), settled=True)
        for delivery in deliveries.pending_of(tx, handoff.id):
            # Typed while the chat was being opened, which it never was: it is for the bot.
            deliveries.done(tx, delivery.id)
            handoff = self._post(tx, handoff, "user", "replay", message=delivery.message)
        handoffs.update(tx, handoff)
        log.info("handoff.not_opened id=%s backend=%s reason=%s", handoff.id, handoff.backend, reason.value)
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
        handoff = self._post(tx, handoff, "agent", "message", message=message)
        messages.insert(tx, handoff.id, handoff.last_seq, message)
        if handoff.status is Status.ACTIVE and "agent_reply" not in handoff.deadlines:
            handoff = replace(handoff, deadlines=self._start("agent_reply"))
        if handoff.deadlines is before.deadlines:
            handoffs.count(tx, handoff)
        else:
            handoffs.touch(tx, handoff)
        return Receipt(handoff=handoff, message_id=theirs)

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
        return take(self, tx, handoff, event) if take else handoff

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
        if handoff is None:
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
        if handoff.status is not Status.ACTIVE or (event.agent and handoff.agent is None):
            handoff = self._taken_by(handoff, event.agent or handoff.agent)
            handoff = self._update(tx, self._tell_state(tx, handoff))
        agent = event.agent or handoff.agent
        message = Message(
            id=new_id(),
            who="agent",
            text=event.text,
            name=agent.name if agent else None,
            avatar_url=agent.avatar_url if agent else None,
            attachments=event.attachments,
            buttons=event.buttons,
            at=self._now(),
        )
        handoff = self._post(tx, handoff, "user", "message", {"theirs": event.event_id}, message)
        messages.insert(tx, handoff.id, handoff.last_seq, message)
        if event.event_id and "status" in self._heard_by(handoff):
            handoff = self._post(tx, handoff, "agent", "status", {"message_id": event.event_id, "state": "submitted"})
        handoff = replace(handoff, deadlines=self._start("user_idle"))
        handoffs.touch(tx, handoff)
        return handoff

    def _queue_moved(self, tx: Tx, handoff: Handoff, event: QueueMoved) -> Handoff:
        if handoff.status is not Status.QUEUED or event.position == handoff.queue_position:
            return handoff
        handoff = self._tell_state(tx, replace(handoff, queue_position=event.position))
        if event.position is not None:
            handoff = self._notice(tx, handoff, "utter_handoff_queue_moved")
        return self._update(tx, handoff)

    def _transferred(self, tx: Tx, handoff: Handoff, event: Transferred) -> Handoff:
        handoff = replace(handoff, group=event.group or handoff.group)
        if event.agent is None:
            return self._back_in_queue(tx, handoff)
        handoff = self._taken_by(handoff, event.agent)
        handoff = self._tell_state(tx, handoff)
        return self._update(tx, self._notice(tx, handoff, "utter_handoff_transferred"))

    def _agent_away(self, tx: Tx, handoff: Handoff, event: AgentAway) -> Handoff:
        return self._back_in_queue(tx, replace(handoff, notes={**handoff.notes, "agent_left": True}))

    def _back_in_queue(self, tx: Tx, handoff: Handoff) -> Handoff:
        handoff = replace(handoff, status=Status.QUEUED, agent=None, deadlines=self._start("accept"))
        handoff = self._tell_state(tx, handoff)
        return self._update(tx, self._notice(tx, handoff, "utter_handoff_back_in_queue"))

    def _agent_closed(self, tx: Tx, handoff: Handoff, event: Closed) -> Handoff:
        return self._close(tx, handoff, event.reason, tell_agents="ended" in self._heard_by(handoff))

    _takers: ClassVar[dict[type, Callable[[Switchboard, Tx, Handoff, Any], Handoff]]] = {
        AgentJoined: _joined,
        AgentMessage: _wrote,
        QueueMoved: _queue_moved,
        Transferred: _transferred,
        AgentAway: _agent_away,
        Closed: _agent_closed,
    }

    def _taken_by(self, handoff: Handoff, agent: Person | None) -> Handoff:
        notes = {name: value for name, value in handoff.notes.items() if name != "agent_left"}
        return replace(
            handoff,
            status=Status.ACTIVE,
            agent=agent,
            queue_position=None,
            accepted_at=handoff.accepted_at or self._now(),
            deadlines=self._start("agent_reply"),
            notes=notes,
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
        handoff = _ended(handoff, reason, self._now(), settled=False)
        if tell_agents and handoff.chat_id is not None:
            handoff = self._post(tx, handoff, "agent", "close", {"reason": reason.value})
        handoff = self._tell_state(tx, handoff)
        handoff = self._post(tx, handoff, "user", "settle")
        log.info("handoff.closed id=%s backend=%s reason=%s", handoff.id, handoff.backend, reason.value)
        return self._update(tx, handoff)

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
        """After a restart: end what was being opened, since nobody waits for the answer any more."""
        await self._store.write(self._recover)

    def _recover(self, tx: Tx) -> None:
        for handoff in handoffs.unsettled_in(tx, Status.REQUESTED):
            self.refused(tx, handoff, EndReason.FAILED)

    def reported(self, tx: Tx, handoff: Handoff, delivery: Delivery) -> None:
        """What became of an agent's message, for a backend that wants to know for certain."""
        theirs = delivery.body.get("theirs")
        if not theirs or delivery.kind != "message" or "status" not in self._heard_by(handoff):
            return
        state = "delivered" if delivery.state == "done" else "rejected"
        body = {"message_id": theirs, "state": state, "cause": delivery.error}
        handoffs.count(tx, self._post(tx, self._fresh(tx, handoff), "agent", "status", body))

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

    def _start(self, name: str) -> dict[str, Deadline]:
        """One deadline runs at a time: whose turn it is decides which."""
        setting = self._settings.deadlines[name]
        now = self._now()
        warn = now + setting.warn if setting.warn is not None else None
        return {name: Deadline(due=now + setting.after, warn=warn)}

    def _notice(self, tx: Tx, handoff: Handoff, response: str) -> Handoff:
        """Have the bot's response *response* said to the user."""
        values = {
            "agent_name": handoff.agent.name if handoff.agent else None,
            "queue_position": handoff.queue_position,
        }
        return self._post(tx, handoff, "user", "notice", {"response": response, "values": values})

    def _tell_state(self, tx: Tx, handoff: Handoff) -> Handoff:
        return self._post(tx, handoff, "user", "state", state_of(handoff, self._now()))

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
        if target == "user" or handoff.status is not Status.REQUESTED:
            tx.announce(Posted(handoff=handoff, delivery=delivery))
        return handoff


def state_of(handoff: Handoff, at: float) -> Json:
    """What a user's page shows of a handoff."""
    agent = handoff.agent
    return {
        "handoff_id": handoff.id,
        "status": handoff.status.value,
        "agent": {"name": agent.name, "avatar_url": agent.avatar_url} if agent else None,
        "queue_position": handoff.queue_position,
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


def _reason(handoff: Handoff) -> str:
    return handoff.end_reason.value if handoff.end_reason else "closed"
