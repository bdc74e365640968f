"""Who holds the conversation: the bot or an agent. What the user does about it, and how it ends."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from functools import partial

from rasa_handoff.changes import Changes, Posted, ended
from rasa_handoff.errors import Conflict, UnknownChat
from rasa_handoff.model import REFUSALS, Delivery, EndReason, Handoff, Message, Rating, Status
from rasa_handoff.requests import Requests
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
class Receipt:
    """The user's message is on disk and belongs to the agents' side."""

    handoff: Handoff
    message_id: str
    repeat: bool = False  #: it had been received before


class Switchboard:
    """Feeds and ends handoffs; each change is one transaction with what it causes."""

    def __init__(self, store: Store, changes: Changes, requests: Requests) -> None:
        self._store = store
        self._changes = changes
        self._requests = requests

    # -- the user's side ----------------------------------------------------------------------

    async def holder(self, sender_id: str) -> Handoff | None:
        """The handoff that holds this conversation, or has ended without the bot knowing yet."""
        return await self._store.read(lambda tx: handoffs.unsettled(tx, sender_id))

    async def holder_and_mail(self, sender_id: str, mailbox: str) -> tuple[Handoff | None, bool]:
        """`holder`, and whether something waits for the user's next request on the channel *mailbox*."""
        return await self._store.read(lambda tx: handoffs.unsettled_and_mail(tx, sender_id, mailbox))

    async def said(self, sender_id: str, message: Message, external_id: str) -> Receipt | None:
        """The user wrote; None if it is for the bot.

        Args:
            external_id: the channel's id of the message; a repeat of it has no second effect, and neither has
                an edit that changes nothing, or what says that a message is gone which the agents never got.
        """
        return await self._store.write(partial(self._said, sender_id=sender_id, message=message, theirs=external_id))

    def _said(self, tx: Tx, sender_id: str, message: Message, theirs: str) -> Receipt | None:
        handoff = handoffs.unsettled(tx, sender_id)
        if handoff is None or not handoff.is_open:
            return None
        if not messages.first_sight(tx, f"user:{sender_id}", theirs, message.at):
            return Receipt(handoff=handoff, message_id=theirs, repeat=True)
        if message.edits and messages.is_no_news(tx, handoff.id, message):
            return Receipt(handoff=handoff, message_id=theirs, repeat=True)
        if message.deletes and not messages.is_known_as(tx, handoff.id, message.deletes):
            return Receipt(handoff=handoff, message_id=theirs, repeat=True)
        before = handoff
        handoff = self._changes.pass_on(tx, handoff, message)
        messages.insert(tx, handoff.id, handoff.last_seq, replace(message, known_as=theirs))
        awaits_reply = handoff.status is Status.ACTIVE and not message.deletes
        if awaits_reply and "agent_reply" not in handoff.deadlines:
            handoff = self._changes.start(handoff, "agent_reply")
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
        if not theirs or not self._changes.is_heard("status", handoff):
            return
        if messages.first_sight(tx, f"read:{handoff.id}", message_id, self._changes.now()):
            handoffs.count(tx, self._changes.report(tx, handoff, theirs, "read"))

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
        backend = self._changes.backends.get(handoff.backend)
        if backend is None or not backend.takes_ratings() or _was_refused(handoff):
            raise Conflict("no_ratings", "the agent system takes no rating of this handoff")
        handoff = self._changes.post(tx, replace(handoff, rating=rating), "agent", "rating", asdict(rating))
        self._changes.write(tx, handoff)
        return handoff

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
        return self.closed(tx, handoff, reason, tell_agents=True)

    def closed(self, tx: Tx, handoff: Handoff, reason: EndReason, *, tell_agents: bool) -> Handoff:
        """`close`, inside a transaction of the caller's, who has the handoff."""
        if handoff.status is Status.REQUESTED:  # the bot still holds the conversation
            return self._requests.refused(tx, handoff, reason)
        self._put_aside_unread(tx, handoff)
        handoff = ended(handoff, reason, self._changes.now(), settled=False)
        if tell_agents and handoff.chat_id is not None:
            handoff = self._changes.post(tx, handoff, "agent", "close", {"reason": reason.value})
        handoff = self._changes.tell_state(tx, handoff)
        handoff = self._changes.post(tx, handoff, "user", "settle")
        log.info("handoff.closed id=%s backend=%s reason=%s", handoff.id, handoff.backend, reason.value)
        return self._changes.update(tx, handoff)

    def _put_aside_unread(self, tx: Tx, handoff: Handoff) -> None:
        """No agent came who would read what waited for one: it is for people to see, and goes nowhere."""
        if not self._changes.waits_for_agent(handoff):
            return
        for delivery in deliveries.pending_of(tx, handoff.id):
            if self._changes.waits(handoff, delivery):
                deliveries.failed(tx, replace(delivery, state="dead", error="no agent came who would read it"))

    async def is_telling(self, handoff_id: str) -> bool:
        """Whether something that was said is still on its way to the user."""
        waiting = await self._store.read(lambda tx: deliveries.pending_of(tx, handoff_id))
        return any(each.target == "user" and each.kind in _SAID for each in waiting)

    async def settled(self, handoff: Handoff) -> None:
        """The bot knows that *handoff* is over."""
        await self._store.write(lambda tx: self._changes.update(tx, replace(handoffs.fresh(tx, handoff), settled=True)))

    # -- deadlines ----------------------------------------------------------------------------

    async def expire(self, handoff_id: str) -> Handoff | None:
        """Act on the deadlines of *handoff* that have passed: warn, or end it."""
        return await self._store.write(partial(self._expire, handoff_id=handoff_id))

    def _expire(self, tx: Tx, handoff_id: str) -> Handoff | None:
        handoff = handoffs.get(tx, handoff_id)
        if handoff is None or not handoff.is_open:
            return handoff
        now = self._changes.now()
        for name, deadline in handoff.deadlines.items():
            reason, warning = _PASSED[name]
            if deadline.due <= now:
                left = name == "accept" and handoff.notes.get("agent_left")
                return self.closed(tx, handoff, EndReason.AGENT_LEFT if left else reason, tell_agents=True)
            if deadline.warn is not None and deadline.warn <= now:
                deadlines = {**handoff.deadlines, name: replace(deadline, warn=None)}
                handoff = self._changes.say(tx, replace(handoff, deadlines=deadlines), warning)
        return self._changes.update(tx, handoff)

    # -- what another run of the server left --------------------------------------------------

    async def recover(self) -> None:
        """After a restart: end what was being opened, since nobody waits for the answer any more, and what has
        no agent system any more, since the settings have changed."""
        await self._store.write(self._recover)

    def _recover(self, tx: Tx) -> None:
        for handoff in handoffs.unsettled_in(tx, Status.REQUESTED):
            self._requests.forsaken(tx, handoff)
        for status in (Status.QUEUED, Status.ACTIVE):
            for handoff in handoffs.unsettled_in(tx, status):
                self._close_homeless(tx, handoff)

    def inherited(self, tx: Tx, handoff: Handoff) -> None:
        """Go on with *handoff*, after which another process looked that is gone."""
        if handoff.status is Status.REQUESTED:
            self._requests.forsaken(tx, handoff)
            return
        for delivery in deliveries.pending_of(tx, handoff.id):
            if not self._changes.waits(handoff, delivery):
                tx.announce(Posted(handoff=handoff, delivery=delivery))
        if handoff.is_open:
            self._close_homeless(tx, handoff)

    def _close_homeless(self, tx: Tx, handoff: Handoff) -> None:
        """End *handoff* if its agent system is in the settings no more."""
        if handoff.backend not in self._changes.backends:
            self.closed(tx, handoff, EndReason.FAILED, tell_agents=False)

    # -- what became of deliveries ------------------------------------------------------------

    def reported(self, tx: Tx, handoff: Handoff, delivery: Delivery) -> None:
        """What became of an agent's message, for a backend that wants to know for certain."""
        theirs = delivery.body.get("theirs")
        if not theirs or delivery.kind != "message" or not self._changes.is_heard("status", handoff):
            return
        state = "delivered" if delivery.state == "done" else "rejected"
        handoff = handoffs.fresh(tx, handoff)
        handoffs.count(tx, self._changes.report(tx, handoff, theirs, state, delivery.error))

    def gave_up(self, tx: Tx, handoff: Handoff, delivery: Delivery, *, gone: bool, exhausted: bool) -> None:
        """A delivery is dead; what follows for its handoff, inside the outbox's transaction.

        Args:
            gone: the agent system says the chat is over.
            exhausted: it was tried until its time was up.
        """
        handoff = handoffs.fresh(tx, handoff)
        if delivery.target != "agent" or delivery.kind != "message":
            return
        handoff = self._changes.say(tx, handoff, "utter_handoff_undelivered")
        if handoff.is_open and (gone or exhausted):
            self.closed(tx, handoff, EndReason.AGENT_CLOSED if gone else EndReason.FAILED, tell_agents=exhausted)
        else:
            handoffs.count(tx, handoff)


def _was_refused(handoff: Handoff) -> bool:
    """Whether its agent system never had it."""
    return handoff.accepted_at is None and (handoff.status is Status.REQUESTED or handoff.end_reason in REFUSALS)
