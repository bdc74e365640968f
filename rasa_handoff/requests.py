"""What is written down while an agent is asked for: the request, who is tried, and what they answered."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from rasa_handoff.backends.base import Opened
from rasa_handoff.changes import Changes, Posted, ended, estimated, minutes_of
from rasa_handoff.model import EndReason, Handoff, Request, Status, new_handoff_id
from rasa_handoff.settings import Rule
from rasa_handoff.store import Store, Tx, deliveries, handoffs

log = logging.getLogger(__name__)

_UNASKED = "unasked"  #: in a handoff's notes: its user did not ask for an agent


class Requests:
    """Each method is a change inside a transaction of the caller's."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    def begin(
        self,
        tx: Tx,
        request: Request,
        rules: Sequence[Rule],
        next_opening: str | None = None,
        unasked: bool = False,
    ) -> tuple[Handoff, bool]:
        """Write down that an agent is asked for; the open handoff, and whether it was there before.

        Args:
            next_opening: when all are closed, the local time at which the first of them opens.
            unasked: it is not the user who asks.
        """
        known = handoffs.unsettled(tx, request.sender_id)
        if known is not None and known.is_open:
            return known, True
        now = self._changes.now()
        handoff = Handoff(
            id=new_handoff_id(),
            sender_id=request.sender_id,
            channel=request.channel,
            backend=rules[0].to if rules else request.backend or "none",
            status=Status.REQUESTED,
            opened_at=now,
            notes={_UNASKED: True} if unasked else {},
            owner=self._store.worker,
        )
        if not rules:
            handoff = replace(handoff, notes={"next_opening": next_opening} if next_opening else {})
            handoff = ended(handoff, EndReason.UNAVAILABLE, now, settled=True)
        self._changes.begin(tx, handoff, request)
        return handoff, False

    def try_at(self, tx: Tx, handoff: Handoff, rule: Rule, request: Request) -> Handoff:
        """Write down which backend is asked, and for what; its events may come before its answer.

        Nobody is asked any more when the handoff has ended, or an agent has taken the chat of a backend
        whose answer did not come.
        """
        known = handoffs.fresh(tx, handoff)
        if known.status is not Status.REQUESTED:
            return known
        handoffs.ask(tx, handoff.id, request)
        handoff = replace(known, backend=rule.to, group=rule.group)
        handoff = replace(handoff, chat_id=self._changes.backends[rule.to].chat_id_of(handoff))
        self._changes.write(tx, handoff)
        return handoff

    def opened(self, tx: Tx, handoff: Handoff, opened: Opened) -> Handoff:
        """The backend took the chat."""
        known = handoffs.fresh(tx, handoff)
        if not known.is_open:  # ended meanwhile, e.g. by an operator
            self.close_late(tx, handoff, opened)
            return known
        handoff = replace(known, chat_id=opened.chat_id, notes={**known.notes, **opened.notes})
        if opened.status is Status.CLOSED:
            return self._handed_over(tx, replace(handoff, agent=opened.agent))
        if opened.status is Status.ACTIVE and known.status is Status.REQUESTED:
            handoff = self._changes.taken_by(handoff, opened.agent)
        elif known.status is Status.REQUESTED:  # else an agent was faster than the answer
            handoff = replace(handoff, status=Status.QUEUED, queue_position=opened.queue_position)
            handoff = self._changes.start(estimated(handoff, minutes_of(opened.queue_wait)), "accept")
        handoff = self._changes.tell_state(tx, handoff)
        if known.status is Status.REQUESTED and _UNASKED in known.notes:
            handoff = self._tell_unasked(tx, handoff)
        handoff = self._changes.update(tx, self._changes.release(tx, known, handoff))
        log.info("handoff.opened id=%s backend=%s status=%s", handoff.id, handoff.backend, handoff.status.value)
        return handoff

    def _tell_unasked(self, tx: Tx, handoff: Handoff) -> Handoff:
        """Tell the user who did not ask, and the bot, which has no action that waits for the answer."""
        handoff = self._changes.say(tx, handoff, "utter_handoff_taken_over")
        return self._changes.post(tx, handoff, "user", "slots")

    def _handed_over(self, tx: Tx, handoff: Handoff) -> Handoff:
        """The agents have the user where they are; the bot is told, and says nothing."""
        for delivery in deliveries.pending_of(tx, handoff.id):
            error = "the agents had the user already, who said it where they are"
            deliveries.failed(tx, replace(delivery, state="dead", error=error))
        handoff = ended(handoff, EndReason.HANDED_OVER, self._changes.now(), settled=False)
        handoff = self._changes.tell_state(tx, handoff)
        handoff = self._changes.post(tx, handoff, "user", "settle")
        log.info("handoff.handed_over id=%s backend=%s", handoff.id, handoff.backend)
        return self._changes.update(tx, handoff)

    def close_late(self, tx: Tx, handoff: Handoff, opened: Opened) -> None:
        """A backend took the chat when nobody waited for it any more."""
        if opened.status is Status.CLOSED:  # the agents have the user, and there is nothing of ours to end
            return
        known = handoffs.fresh(tx, handoff)
        same = (known.backend, known.chat_id) == (handoff.backend, opened.chat_id)
        if same and known.status in (Status.QUEUED, Status.ACTIVE):  # an agent was faster than the answer
            self._changes.update(tx, replace(known, notes={**known.notes, **opened.notes}))
            return
        there = {"backend": handoff.backend, "chat_id": opened.chat_id, "notes": opened.notes}
        body = {"reason": EndReason.FAILED.value, "there": there}
        handoffs.count(tx, self._changes.post(tx, known, "agent", "close", body))

    def forsaken(self, tx: Tx, handoff: Handoff) -> None:
        """The process is gone that asked, and with it the backend's answer; whatever it opened ends there."""
        self.refused(tx, handoff, EndReason.FAILED)
        if handoff.chat_id is not None:
            self.close_late(tx, handoff, Opened(chat_id=handoff.chat_id))

    def refused(self, tx: Tx, handoff: Handoff, reason: EndReason) -> Handoff:
        """Nobody took the chat: the bot keeps the conversation, unless an agent took it before its backend said no."""
        known = handoffs.fresh(tx, handoff)
        if known.status is not Status.REQUESTED:
            return known
        handoff = ended(known, reason, self._changes.now(), settled=True)
        for delivery in deliveries.pending_of(tx, handoff.id):
            if delivery.kind == "close":  # of a chat that was opened too late
                tx.announce(Posted(handoff=handoff, delivery=delivery))
                continue
            # Typed while the chat was being opened, which it never was: it is for the bot.
            deliveries.done(tx, delivery.id)
            handoff = self._changes.post(tx, handoff, "user", "replay", message=delivery.message)
        self._changes.write(tx, handoff)
        log.info("handoff.not_opened id=%s backend=%s reason=%s", handoff.id, handoff.backend, reason.value)
        return handoff
