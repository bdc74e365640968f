"""Looks at the chats that are open: the only way without webhooks, and what mends a lost one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from rasa_handoff.backends.base import Backend
from rasa_handoff.backends.livechat import asked_for, reading
from rasa_handoff.backends.livechat.accounts import unreadable
from rasa_handoff.backends.livechat.api import CustomerApi
from rasa_handoff.backends.livechat.customers import customer_of
from rasa_handoff.backends.livechat.hearing import Hearing
from rasa_handoff.backends.livechat.people import People
from rasa_handoff.backends.livechat.reading import About
from rasa_handoff.backends.livechat.settings import NAME, LiveChatSettings
from rasa_handoff.backends.polling import Pollers
from rasa_handoff.errors import ChatGone, Conflict, Malformed
from rasa_handoff.events import AgentAway, AgentJoined, AgentMessage, AnyEvent, Transferred
from rasa_handoff.model import Handoff, Json, Person, Status
from rasa_handoff.settings import read_duration
from rasa_handoff.store import Tx, handoffs

log = logging.getLogger(__name__)

_FORGOTTEN_AFTER = 48 * 3600.0  #: seconds; the store remembers longer what has been told
_QUEUE_EVERY = 15.0  #: seconds; no webhook says how the queue moves
_OPENING = 1.0  #: seconds
_SLOWEST = 30.0  #: seconds between two looks, where nothing has been said for long
_OF_THE_QUIET = 20  #: a chat that has been quiet for a minute can wait three seconds
_AT_ONCE = 20  #: looks
_A_START = 30.0  #: seconds in which the chats that were open before are looked at first


class _Watched:
    """What the looks at a chat have brought so far."""

    __slots__ = ("handoff_id", "is_known", "moved_at", "present", "told")

    def __init__(self, handoff_id: str) -> None:
        self.handoff_id = handoff_id
        self.is_known = False  #: that there is a chat: noted on disk
        self.moved_at: float | None = None  #: when something last happened
        self.present: list[str] | None = None  #: who was in the thread at the last look
        self.told: set[tuple[str | None, int]] = set()  #: messages, so that the store is spared


def pause(quiet: float, shortest: float) -> float:
    """Seconds until the next look at a chat in which nothing has happened for *quiet* seconds."""
    return max(shortest, min(quiet / _OF_THE_QUIET, _SLOWEST))


class Following:
    """Follows each open chat by looking at it."""

    def __init__(
        self, backend: Backend, settings: LiveChatSettings, api: CustomerApi, hearing: Hearing, people: People
    ) -> None:
        self._around = backend.around
        self._hooked = bool(settings.webhook_secret)
        self._shortest = read_duration(settings.poll_every)
        self._repair = read_duration(settings.repair_every)
        self._api = api
        self._hearing = hearing
        self._people = people
        self._pollers = Pollers(NAME, _Watched, self._look, self._ours, _AT_ONCE)

    async def start(self) -> None:
        """Take up what was open before; not all at once."""
        await self._pollers.start(min(self._repair if self._hooked else self._shortest, _A_START))

    async def stop(self) -> None:
        await self._pollers.stop()

    async def _ours(self) -> list[str]:
        """The handoffs whose chats are for this process to look at."""
        found = await self._around.store.read(lambda tx: [*handoffs.open_at(tx, NAME), *asked_for.unknown(tx)])
        return [each.id for each in found if self._around.mine(each)]

    def opened(self, handoff: Handoff) -> None:
        """A chat was asked for; whether there is one, a look will tell."""
        self._pollers.watch(handoff.id, min(_OPENING, self._shortest))

    def moves(self, handoff: Handoff) -> None:
        """Something happened in the chat: where no webhook says what comes next, it is looked at soon."""
        watched = self._pollers.get(handoff.id)
        if watched is not None:
            watched.moved_at = self._around.now()
        if not self._hooked:
            self._pollers.sooner(handoff.id, self._shortest)

    def look_soon(self, handoff: Handoff, seconds: float) -> None:
        """Find out who is there."""
        # Where another process follows it, we look once: it would hear of nothing before its next look.
        self._pollers.watch(handoff.id, seconds).present = None
        self._pollers.sooner(handoff.id, seconds)

    # -- a look -------------------------------------------------------------------------------

    async def _look(self, watched: _Watched) -> float | None:
        """See what happened in a chat; seconds until the next look, None: it is over."""
        handoff = await self._around.store.read(lambda tx: handoffs.get(tx, watched.handoff_id))
        if handoff is None:
            return None
        if not handoff.is_open or handoff.backend != NAME:
            await self._end_what_is_left(handoff)
            return None
        if handoff.status is Status.REQUESTED or handoff.chat_id is None:
            return min(_OPENING, self._shortest)
        if not watched.is_known:
            await self._around.store.write(lambda tx: asked_for.forget(tx, handoff.id))
            watched.is_known = True
        await self._catch_up(handoff, watched)
        if self._hooked:
            return min(_QUEUE_EVERY, self._repair) if handoff.status is Status.QUEUED else self._repair
        return pause(self._around.now() - (watched.moved_at or handoff.opened_at), self._shortest)

    async def _end_what_is_left(self, handoff: Handoff) -> None:
        """End the chat that nobody waits for any more, if it was opened and its answer got lost."""
        if not await self._around.store.read(partial(asked_for.is_noted, handoff_id=handoff.id)):
            return
        for chat in await self._left(handoff):
            await self._end(handoff, chat)
        await self._around.store.write(partial(asked_for.forget, handoff_id=handoff.id))

    async def _left(self, handoff: Handoff) -> list[Json]:
        """The active chats of the user, who may ask again at any moment: then it goes on, and none is left."""
        asked_again = partial(asked_for.asked_again, handoff=handoff)
        if await self._around.store.read(asked_again):
            return []
        found = [chat for chat in await self._api.chats(handoff.sender_id) if chat.get("active")]
        return [] if await self._around.store.read(asked_again) else found

    async def _end(self, handoff: Handoff, chat: Json) -> None:
        log.info("livechat.left_behind id=%s", handoff.id)
        with suppress(ChatGone):
            body = {"id": chat.get("id")}
            await self._api.call("end a chat that nobody waits for", handoff.sender_id, "deactivate_chat", body)

    async def _catch_up(self, handoff: Handoff, watched: _Watched) -> None:
        """Tell what we have not heard of: messages, the queue, who is there, the end."""
        chat_id = handoff.chat_id or ""
        thread = await self._api.thread(handoff.sender_id, chat_id, handoff.notes.get("thread_id"))
        customer = await self._around.store.read(partial(customer_of, sender_id=handoff.sender_id))
        about = self._hearing.about(chat_id, handoff, customer)
        try:
            await self._tell(handoff, watched, thread or {"active": False}, about)
        except Malformed as error:
            raise unreadable("see the chat", error) from None
        except Conflict:
            log.debug("livechat.over_meanwhile id=%s", handoff.id)

    async def _tell(self, handoff: Handoff, watched: _Watched, thread: Json, about: About) -> None:
        ended = reading.read_end(thread, about)
        if not ended:
            await self._tell_who_is_there(handoff, watched, thread, about)
        for said in reading.messages_in(thread, about, handoff.notes.get("after")):
            words = (said.event_id, hash(said.text))
            if words in watched.told or self._is_old(said):
                continue
            # Webhooks tell of edits themselves, and may spell a text differently.
            await self._apply(handoff, partial(self._hearing.said, said=said, edited=not self._hooked))
            watched.told.add(words)
            watched.moved_at = self._around.now()
        for event in (*reading.read_queue(thread, about), *ended):
            await self._happened(handoff, event)

    async def _happened(self, handoff: Handoff, event: AnyEvent) -> None:
        await self._apply(handoff, lambda tx: self._around.applied(tx, NAME, event))

    async def _apply(self, handoff: Handoff, change: Callable[[Tx], object]) -> None:
        """Make *change*, if the chat is still this handoff's: a user who asks again has the same chat.

        Raises:
            Conflict: it is not.
        """

        def apply(tx: Tx) -> None:
            holder = handoffs.by_chat(tx, NAME, handoff.chat_id or "")
            if holder is None or holder.id != handoff.id:
                raise Conflict("another", "the chat goes on in another handoff")
            change(tx)

        await self._around.store.write(apply)

    def _is_old(self, said: AgentMessage) -> bool:
        """Whether it was said so long ago that the store may have forgotten it."""
        return said.at is not None and said.at < self._around.now() - _FORGOTTEN_AFTER

    async def _tell_who_is_there(self, handoff: Handoff, watched: _Watched, thread: Json, about: About) -> None:
        """Ask, when others are in the thread than at the last look, or it waits and we think it does not."""
        present = [each for each in thread.get("user_ids") or [] if isinstance(each, str)]
        is_queued = isinstance(thread.get("queue"), dict)
        if watched.present == present and is_queued == (handoff.status is Status.QUEUED):
            return
        chat = await self._api.call("see the chat", handoff.sender_id, "get_chat", {"chat_id": about.chat_id})
        for event in self._changes(handoff, self._people.meet(chat), is_queued, about):
            await self._happened(handoff, event)
        watched.present = present

    def _changes(self, handoff: Handoff, agents: list[Person], is_queued: bool, about: About) -> list[AnyEvent]:
        """What it means that these agents are in the chat."""
        if is_queued:
            return [Transferred(chat_id=about.chat_id)] if about.taken else []
        if not about.taken:
            return [AgentJoined(chat_id=about.chat_id, agent=agents[0])] if agents else []
        if not agents:
            return [AgentAway(chat_id=about.chat_id)]
        # Webhooks tell of a change themselves, and may have another name for the same agent.
        if handoff.agent and (self._hooked or any(each.is_same_as(handoff.agent) for each in agents)):
            return []
        return [AgentJoined(chat_id=about.chat_id, agent=agents[-1])]
