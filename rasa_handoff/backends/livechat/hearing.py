"""What LiveChat says, told to the switchboard once, whichever way it comes."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from functools import partial

from rasa_handoff import strict_json as read
from rasa_handoff.backends.base import Backend
from rasa_handoff.backends.livechat import reading
from rasa_handoff.backends.livechat.accounts import Customer
from rasa_handoff.backends.livechat.customers import customer_of, sender_of
from rasa_handoff.backends.livechat.people import People
from rasa_handoff.backends.livechat.reading import About
from rasa_handoff.backends.livechat.settings import NAME, LiveChatSettings
from rasa_handoff.errors import Conflict
from rasa_handoff.events import AgentMessage, AnyEvent, MessageStatus, MessageTakenBack
from rasa_handoff.model import Handoff, Json, Message, Status
from rasa_handoff.store import Tx, deliveries, handoffs, messages

log = logging.getLogger(__name__)

_REPEATED_WITHIN = 90.0  #: seconds; they repeat a webhook for about a minute


class Hearing:
    """Tells events, each once: a webhook may be repeated, come late, or tell what a look has brought already."""

    def __init__(self, backend: Backend, settings: LiveChatSettings, people: People) -> None:
        self._backend = backend
        self._around = backend.around
        self._settings = settings
        self._people = people

    # -- webhooks -----------------------------------------------------------------------------

    async def take(self, action: str, payload: Json, additional: Json) -> Handoff | None:
        """Tell what a webhook says; the open handoff that it is about, if it is.

        Raises:
            Malformed: a field is missing or wrong.
            UnknownChat: there is no such chat.
            Conflict: an agent wrote in a chat that is over.
        """
        chat_id, thread_id = reading.chat_of(payload)
        self._people.meet(read.mapping(payload, "chat", required=False) or {"users": [payload.get("user")]})
        people = reading.people_at(payload, additional)
        handoff, about = await self._around.store.read(partial(self._find, chat_id=chat_id, people=people))
        ours = handoff.notes.get("thread_id") if handoff else None
        if ours and thread_id and thread_id != ours:  # late news of a thread before, or of one behind
            log.debug("livechat.another_thread action=%r", action)
            return None
        said = json.dumps([action, payload], sort_keys=True).encode()
        for event in reading.READERS[action](payload, about):
            if isinstance(event, AgentMessage):
                await self.say(event, edited=action == "event_updated")
            else:
                await self._happened(event, said)
        if handoff is None or not handoff.is_open:
            return None
        await self._beyond(action, payload, about, handoff)
        return handoff

    async def _happened(self, event: AnyEvent, said: bytes) -> None:
        try:
            await self._backend.happened_unnamed(event, said + type(event).__name__.encode(), _REPEATED_WITHIN)
        except Conflict:  # they go on telling who left a chat that is over
            log.debug("livechat.after_the_end event=%s", type(event).__name__)

    def _find(self, tx: Tx, chat_id: str, people: list[str]) -> tuple[Handoff | None, About]:
        """The handoff that has the chat, and what is known of that."""
        handoff = handoffs.by_chat(tx, NAME, chat_id)
        if handoff is not None:
            return handoff, self.about(chat_id, handoff, customer_of(tx, handoff.sender_id))
        # It is being opened, perhaps: then the customer tells which it is.
        for each in people:
            if sender_id := sender_of(tx, each):
                return None, replace(self.about(chat_id, None, Customer(id=each)), sender_id=sender_id)
        return None, self.about(chat_id, None, None)

    def about(self, chat_id: str, handoff: Handoff | None, customer: Customer | None) -> About:
        return About(
            chat_id=chat_id,
            customer=customer.id if customer else None,
            people=self._people,
            agent_name=self._people.unnamed,
            taken=handoff is not None and handoff.status is Status.ACTIVE,
        )

    async def _beyond(self, action: str, payload: Json, about: About, handoff: Handoff) -> None:
        """What follows from what was said before."""
        if action == "event_deleted":
            event_id = read.text(payload, "event_id", max_length=reading.LONGEST_ID)
            await self._around.store.write(partial(self._deleted, event_id=event_id, about=about))
        elif action == "events_marked_as_seen":
            await self._seen(payload, about, handoff)

    def _deleted(self, tx: Tx, event_id: str, about: About) -> None:
        """An agent took a message back. Users' channels cannot, so who has got it is told, as in LiveChat's widget."""
        scope, now = _scope(about.chat_id), self._around.now()
        messages.first_sight(tx, scope, _deletion(event_id), now)
        if messages.first_sight(tx, scope, _words(event_id), now):  # a whisper, or it comes yet: too late
            return
        for edited in _edits_to_come(tx, about.chat_id, event_id):
            self._take_back(tx, about, edited, "")
        self._take_back(tx, about, event_id, self._settings.deleted_text or "")

    def _take_back(self, tx: Tx, about: About, event_id: str, instead: str) -> None:
        back = f"{event_id} deleted"
        event = MessageTakenBack(chat_id=about.chat_id, event_id=back, message_id=event_id, instead=instead)
        self._around.applied(tx, NAME, event)

    async def _seen(self, payload: Json, about: About, handoff: Handoff) -> None:
        """The agents have read what the user wrote, up to a moment."""
        until = reading.seconds_of(payload.get("seen_up_to"))
        if until is None or payload.get("user_id") == about.customer:
            return
        there = await self._around.store.read(partial(_sent, handoff_id=handoff.id))
        read_now = [each for each in there if each.at <= until]
        if read_now:
            event = MessageStatus(chat_id=about.chat_id, message_id=read_now[-1].id, state="read")
            await self._backend.happened(event)

    # -- what agents write --------------------------------------------------------------------

    async def say(self, said: AgentMessage, *, edited: bool) -> None:
        """Tell what an agent wrote: once, and once more where it was *edited* and says something else.

        Raises:
            UnknownChat, Conflict.
        """
        await self._around.store.write(partial(self.said, said=said, edited=edited))

    def said(self, tx: Tx, said: AgentMessage, *, edited: bool) -> None:
        """`say`, inside a transaction."""
        scope, now = _scope(said.chat_id), self._around.now()
        event_id = said.event_id or ""
        as_it_is = f"{event_id} {hashlib.sha256(said.text.encode()).hexdigest()}"
        is_new = messages.first_sight(tx, scope, _words(event_id), now)
        if not is_new and not edited:  # a repeat; or a look has seen an edit, of which a webhook will tell
            return
        if not messages.first_sight(tx, scope, _words(as_it_is), now):
            return
        if is_new:
            self._around.applied(tx, NAME, said)
        elif self._settings.edited_text and not messages.was_seen(tx, scope, _deletion(event_id)):
            text = self._settings.edited_text.replace("{text}", said.text)
            event = replace(said, event_id=as_it_is, text=text, attachments=(), buttons=(), cards=())
            self._around.applied(tx, NAME, event)


def _scope(chat_id: str) -> str:
    """What the ids that were seen in a chat are kept under."""
    return f"{NAME}:{chat_id}"


def _words(event_id: str) -> str:
    """That a message was said: at all, or with certain words."""
    return f"words {event_id}"


def _deletion(event_id: str) -> str:
    """That a message was taken back."""
    return f"taken back {event_id}"


def _edits_to_come(tx: Tx, chat_id: str, event_id: str) -> list[str]:
    """What we call the edits of a message which wait for the user, see `Hearing.said`."""
    handoff = handoffs.by_chat(tx, NAME, chat_id)
    waiting = deliveries.pending_of(tx, handoff.id) if handoff else []
    theirs = [str(each.body.get("theirs")) for each in waiting]
    return [each for each in theirs if each.startswith(f"{event_id} ")]


def _sent(tx: Tx, handoff_id: str) -> list[Message]:
    """The user's messages that are there, in order; none that waits for another try, or behind such a one."""
    waiting = [each for each in deliveries.pending_of(tx, handoff_id) if each.target == "agent"]
    # One that was not tried before is there, perhaps: agents may have read it when we have not yet noted that.
    stuck = {each.message.id for each in waiting if each.message} if any(each.attempts for each in waiting) else ()
    return [each for each in messages.of(tx, handoff_id) if each.who == "user" and each.id not in stuck]
