"""Opens a chat, or takes up the one that the customer has."""

from __future__ import annotations

import logging
from dataclasses import replace

from rasa_handoff import strict_json as read
from rasa_handoff.backends.base import Opened
from rasa_handoff.backends.http import OPEN_TIMEOUT
from rasa_handoff.backends.livechat import reading, saying
from rasa_handoff.backends.livechat.accounts import unreadable
from rasa_handoff.backends.livechat.api import ChatLimitReached, CustomerApi
from rasa_handoff.backends.livechat.people import People
from rasa_handoff.backends.livechat.reading import About
from rasa_handoff.backends.livechat.settings import NAME, LiveChatSettings
from rasa_handoff.errors import BackendError, Malformed, TemporaryError, Unavailable
from rasa_handoff.events import QueueMoved
from rasa_handoff.model import Handoff, Json, Request, Status

log = logging.getLogger(__name__)

_DOING = "open a chat"
_QUICK = 3.0  #: seconds for what opening a chat can do without


class Opening:
    """The way from a request to a chat. There is one chat for each customer, so a second request finds the first's."""

    def __init__(self, settings: LiveChatSettings, api: CustomerApi, people: People) -> None:
        self._settings = settings
        self._api = api
        self._people = people

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        group = self._group_of(handoff)
        if not self._settings.continuous:
            await self._require_somebody(handoff, group)
        await self._introduce(handoff, request)
        events = saying.transcript_of(self._settings, handoff, request)
        try:
            body = saying.chat_of(self._settings, group, events)
            answer = await self._call(_DOING, handoff, "start_chat", body)
            opened = Opened(chat_id=_id(answer, "chat_id"), notes={"thread_id": _id(answer, "thread_id")})
        except ChatLimitReached:
            opened = await self._go_on(handoff, group, events)
        try:
            return await self._as_it_stands(handoff, opened)
        except BackendError as error:  # the chat is open; how it stands, a look will tell
            log.info("livechat.not_seen id=%s %s", handoff.id, error)
            return opened

    def _group_of(self, handoff: Handoff) -> str | None:
        group = handoff.group or self._settings.group
        if group is not None and not group.isdecimal():
            raise BackendError(NAME, _DOING, detail="a group is named by its number; see route and group")
        return group

    async def _require_somebody(self, handoff: Handoff, group: str | None) -> None:
        """Require an agent to be online, or a queue to be open, in the group; in any, where none is named."""
        doing = "ask who is there"
        asked = {"group_ids": [int(group)]} if group is not None else {"all": True}
        answer = await self._call(doing, handoff, "list_group_statuses", asked)
        try:
            states = read.mapping(answer, "groups_status")
        except Malformed as error:
            raise unreadable(doing, error) from None
        if not any(state != "offline" for state in states.values()):
            raise Unavailable(NAME, doing, detail="nobody is online" if states else "there is no such group")

    async def _introduce(self, handoff: Handoff, request: Request) -> None:
        """Say who the user is, and what the bot knows. A field that they do not take is no reason to stop."""
        fields = saying.session_fields_of(self._settings, request)
        for action, body in (
            ("update_customer", saying.customer_of(self._settings, request)),
            ("set_customer_session_fields", {"session_fields": fields} if fields else {}),
        ):
            try:
                if body:
                    await self._call("say who the user is", handoff, action, body)
            except TemporaryError:
                raise
            except BackendError as error:
                log.warning("livechat.not_introduced id=%s %s", handoff.id, error)

    # -- the chat that there is ---------------------------------------------------------------

    async def _go_on(self, handoff: Handoff, group: str | None, events: list[Json]) -> Opened:
        chat = await self._chat_there_is(handoff)
        if not chat.get("active"):
            try:
                return await self._resume(handoff, group, events, _id(chat, "id"))
            except (TemporaryError, Unavailable):
                raise
            except BackendError:
                chat = await self._chat_there_is(handoff)
                if not chat.get("active"):  # else it became active meanwhile, which has no name among their errors
                    raise
        return await self._join(handoff, _id(chat, "id"), events)

    async def _chat_there_is(self, handoff: Handoff) -> Json:
        chats = await self._api.chats(handoff.sender_id, timeout=OPEN_TIMEOUT)
        if not chats:
            raise BackendError(NAME, _DOING, detail="they say that the customer has a chat, and list none")
        return next((each for each in chats if each.get("active")), chats[0])

    async def _resume(self, handoff: Handoff, group: str | None, events: list[Json], chat_id: str) -> Opened:
        body = saying.chat_of(self._settings, group, events, chat_id)
        answer = await self._call("resume a chat", handoff, "resume_chat", body)
        return Opened(chat_id=chat_id, notes={"thread_id": _id(answer, "thread_id")})

    async def _join(self, handoff: Handoff, chat_id: str, events: list[Json]) -> Opened:
        """A chat that is active: the one we asked for when its answer got lost, or what is left of the one before."""
        thread = await self._api.thread(handoff.sender_id, chat_id)
        if thread is None:
            raise BackendError(NAME, _DOING, detail="the active chat has no thread")
        asked_before = reading.has_custom_id(thread, handoff.id)
        if not asked_before:
            for event in events:
                await self._call(_DOING, handoff, "send_event", {"chat_id": chat_id, "event": event})
        notes = {"thread_id": thread.get("id"), "after": None if asked_before else reading.last_event(thread)}
        return Opened(chat_id=chat_id, notes={name: value for name, value in notes.items() if value})

    async def _as_it_stands(self, handoff: Handoff, opened: Opened) -> Opened:
        """*opened* with the agent, or the place in the queue."""
        doing = "see the chat"
        about = About(chat_id=opened.chat_id)
        body = {"chat_id": opened.chat_id}
        chat = await self._api.call(doing, handoff.sender_id, "get_chat", body, timeout=_QUICK)
        try:
            agents = self._people.meet(chat)
            queue = reading.read_queue(read.mapping(chat, "thread", required=False) or {}, about)
        except Malformed as error:
            raise unreadable(doing, error) from None
        place = next((moved for moved in queue if isinstance(moved, QueueMoved)), None)
        if place is not None:
            return replace(opened, queue_position=place.position, queue_wait=place.wait)
        return replace(opened, status=Status.ACTIVE, agent=agents[0]) if agents else opened

    async def _call(self, doing: str, handoff: Handoff, action: str, body: Json) -> Json:
        return await self._api.call(doing, handoff.sender_id, action, body, timeout=OPEN_TIMEOUT)


def _id(answer: Json, name: str) -> str:
    try:
        return read.text(answer, name, max_length=reading.LONGEST_ID)
    except Malformed as error:
        raise unreadable(_DOING, error) from None
