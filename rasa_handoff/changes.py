"""What all changes of a handoff have in common: how they are written, told, and put into the outbox."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rasa_handoff.attachments import for_others
from rasa_handoff.backends.base import Backend
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
    new_id,
)
from rasa_handoff.settings import Settings
from rasa_handoff.store import Tx, deliveries, handoffs


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
class Moved:
    """A handoff was written down, told by whoever wrote it: the two differ in how far it has come."""

    before: Handoff | None  #: None: it is new
    handoff: Handoff
    callback: bool = False  #: it is a request to call back: nobody is connected with anybody


class Changes:
    """The steps of a change; whoever takes them has a transaction, and hands the handoff on from step to step."""

    def __init__(self, backends: Mapping[str, Backend], settings: Settings, now: Callable[[], float]) -> None:
        self.backends = backends
        self.now = now
        self._settings = settings

    # -- the handoff --------------------------------------------------------------------------

    def update(self, tx: Tx, handoff: Handoff) -> Handoff:
        """Write *handoff* down, and tell who watches it."""
        self.write(tx, handoff)
        tx.announce(Changed(handoff=handoff))
        return handoff

    def write(self, tx: Tx, handoff: Handoff) -> None:
        """Write *handoff* down, and tell who counts."""
        before = handoffs.get(tx, handoff.id)
        handoffs.update(tx, handoff)
        if before is not None:  # else it was deleted
            tx.announce(Moved(before=before, handoff=handoff))

    def begin(self, tx: Tx, handoff: Handoff, request: Request) -> None:
        """Write down a new handoff, and tell who counts."""
        handoffs.insert(tx, handoff, request)
        tx.announce(Moved(before=None, handoff=handoff, callback=request.callback is not None))

    def start(self, handoff: Handoff, deadline: str) -> Handoff:
        """Let this deadline run, and no other: whose turn it is decides which."""
        backend = self.backends.get(handoff.backend)
        own = backend.deadlines if backend else {}
        setting = own.get(deadline) or self._settings.deadlines[deadline]
        now = self.now()
        warn = now + setting.warn if setting.warn is not None else None
        return replace(handoff, deadlines={deadline: Deadline(due=now + setting.after, warn=warn)})

    def taken_by(self, handoff: Handoff, agent: Person | None) -> Handoff:
        """*handoff* in the hands of an agent, whose turn it is."""
        taken = replace(
            handoff,
            status=Status.ACTIVE,
            agent=agent,
            queue_position=None,
            accepted_at=handoff.accepted_at or self.now(),
            notes=without(handoff.notes, "agent_left", "agent_idle", "queue_minutes", "queue_minutes_said"),
        )
        return self.start(taken, "agent_reply")

    # -- to the user's side -------------------------------------------------------------------

    def say(self, tx: Tx, handoff: Handoff, response: str, more: Json | None = None) -> Handoff:
        """Have the bot's response *response* said to the user."""
        values = {
            "agent_name": handoff.agent.name if handoff.agent else None,
            "department": handoff.agent.department if handoff.agent else None,
            "queue_position": handoff.queue_position,
            "queue_minutes": handoff.queue_minutes,
            "ticket": handoff.chat_id,
            **(more or {}),
        }
        return self.post(tx, handoff, "user", "notice", {"response": response, "values": values})

    def tell_state(self, tx: Tx, handoff: Handoff) -> Handoff:
        """Let the user's page show where the handoff stands."""
        return self.post(tx, handoff, "user", "state", state_of(handoff, self.now()))

    def tell_agent(self, tx: Tx, handoff: Handoff) -> Handoff:
        """Let the user's page and the bot's slots say who has the chat, or how many are before it."""
        return self.post(tx, self.tell_state(tx, handoff), "user", "slots")

    # -- to the agents' side ------------------------------------------------------------------

    def is_heard(self, kind: str, handoff: Handoff) -> bool:
        """Whether the agent system wants this kind of delivery, which not every one does."""
        backend = self.backends.get(handoff.backend)
        return backend is not None and kind in backend.hears

    def report(self, tx: Tx, handoff: Handoff, theirs: str, state: str, cause: str | None = None) -> Handoff:
        """Say what became of a message of an agent's, which is called *theirs* there."""
        body = {"message_id": theirs, "state": state, "cause": cause, "at": self.now()}
        return self.post(tx, handoff, "agent", "status", body)

    def pass_on(self, tx: Tx, handoff: Handoff, message: Message) -> Handoff:
        """Give the agents' side a message of the user, in as many deliveries as its system needs."""
        parts = self._parts_of(handoff, message)
        # While it is being opened it is not known yet, whose it will be.
        if handoff.status is Status.REQUESTED or self.waits_for_agent(handoff) or len(parts) == 1:
            return self.post(tx, handoff, "agent", "message", message=message)
        for number in range(len(parts)):
            handoff = self.post(tx, handoff, "agent", "message", {"part": number}, message)
        return handoff

    def release(self, tx: Tx, before: Handoff, handoff: Handoff) -> Handoff:
        """What waited for the chat to be open, or for an agent, can go out; only now it is known where to."""
        if before.status is handoff.status:
            return handoff
        waiting = [
            delivery
            for delivery in deliveries.pending_of(tx, handoff.id)
            if delivery.seq <= before.last_seq and self.waits(before, delivery) and not self.waits(handoff, delivery)
        ]
        if all("part" in each.body or len(self._parts_of(handoff, each.message)) == 1 for each in waiting):
            for delivery in waiting:
                delivery = replace(delivery, give_up_at=self.now() + self._settings.delivery_timeout)
                deliveries.renew(tx, delivery)
                tx.announce(Posted(handoff=handoff, delivery=delivery))
            return handoff
        for delivery in waiting:
            deliveries.done(tx, delivery.id)
            handoff = self._post_again(tx, handoff, delivery)
        return handoff

    def _post_again(self, tx: Tx, handoff: Handoff, delivery: Delivery) -> Handoff:
        """Post *delivery* behind what has just been posted, in parts if need be."""
        if delivery.message is not None and "part" not in delivery.body:
            return self.pass_on(tx, handoff, delivery.message)
        return self.post(tx, handoff, delivery.target, delivery.kind, delivery.body, delivery.message)

    def parts(self, backend: Backend, message: Message) -> Sequence[Message]:
        """What goes out for *message* of the user; an edit has its mark in the text, where nothing else shows it."""
        if message.edits and not backend.shows_edits:
            text = self._settings.edited_text.replace("{text}", message.text)
            message = replace(message, text=text.strip())
        return backend.parts(message if backend.takes_files else for_others(message))

    def _parts_of(self, handoff: Handoff, message: Message | None) -> Sequence[Message | None]:
        backend = self.backends.get(handoff.backend)
        return self.parts(backend, message) if backend and message else (message,)

    # -- the outbox ---------------------------------------------------------------------------

    def post(
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
        now = self.now()
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
        return handoff.status is Status.REQUESTED or (delivery.kind == "message" and self.waits_for_agent(handoff))

    def waits_for_agent(self, handoff: Handoff) -> bool:
        """Whether what the user writes stays here until an agent has come."""
        backend = self.backends.get(handoff.backend)
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


def ended(handoff: Handoff, reason: EndReason, now: float, *, settled: bool) -> Handoff:
    """*handoff*, over; *settled* when the bot need not be told."""
    return replace(
        handoff,
        status=Status.CLOSED,
        end_reason=reason,
        closed_at=now,
        deadlines={},
        queue_position=None,
        settled=settled,
    )


def estimated(handoff: Handoff, minutes: int | None) -> Handoff:
    """*handoff*, with what is known of how long it will take until an agent is there."""
    return handoff if minutes is None else replace(handoff, notes={**handoff.notes, "queue_minutes": minutes})


def minutes_of(seconds: float | None) -> int | None:
    """An estimate as it is said; None where there is none."""
    return math.ceil(seconds / 60) if seconds else None


def without(notes: Json, *names: str) -> Json:
    """The notes but these."""
    return {name: value for name, value in notes.items() if name not in names}
