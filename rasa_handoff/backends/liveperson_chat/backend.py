"""LivePerson accounts that are still on chat: the user's side, which has to ask what agents did.

https://developers.liveperson.com/server-chat-api-overview.html (read 2026-11)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from pydantic import BaseModel

from rasa_handoff.attachments import as_line
from rasa_handoff.backends import sources
from rasa_handoff.backends.base import Backend, Opened, Surroundings
from rasa_handoff.backends.http import Http
from rasa_handoff.backends.liveperson.domains import Domains, knows
from rasa_handoff.backends.liveperson_chat.api import ChatApi, NotInChat
from rasa_handoff.backends.liveperson_chat.reading import (
    CHAT_TIMEOUT,
    About,
    Info,
    Page,
    read_events,
    said_by_user,
    wants_agent,
)
from rasa_handoff.backends.liveperson_chat.request import chat_request, routing, skill_of, survey_answers
from rasa_handoff.backends.liveperson_chat.settings import LivePersonChatSettings, read_pause
from rasa_handoff.backends.polling import Pollers
from rasa_handoff.errors import BackendError, ChatGone, Conflict, TemporaryError, Unavailable, UnknownChat
from rasa_handoff.events import AgentJoined, AgentMessage, AgentTyping, AnyEvent, Closed, QueueMoved, Transferred
from rasa_handoff.model import EndReason, Handoff, Json, Message, Person, Request, Status
from rasa_handoff.pieces import pieces
from rasa_handoff.store import Tx, handoffs

log = logging.getLogger(__name__)

LONGEST_TEXT = 8000  #: characters of a line; they name no limit
_SOON = 0.25  #: seconds until the handoff of a chat that was just opened is written down
_FIRST_ASK_WAIT, _ASK_WAIT_EVERY = 3.0, 60.0  #: seconds
_NEXT = "next"  #: in the handoff's notes: the event to go on with


@dataclass(slots=True)
class Chat:
    """What is remembered of an open chat between two looks."""

    id: str
    next: int | None = None  #: the event to go on with; None: look it up
    chatting: bool = False  #: an agent has it
    watched: bool = False  #: the user has a page open that shows who is typing
    typing: bool = False  #: the agent, when last seen
    timeout: float = CHAT_TIMEOUT  #: seconds of silence after which they drop the user
    heard_at: float | None = None  #: when they answered last
    said: int | None = None  #: lines of ours that arrived for certain are not behind this event; None: unknown
    names_lines: bool = True  #: they say which event a line has become
    doubt: tuple[str, int] | None = None  #: the message that may have arrived, and the event from which on to look
    ask_wait_at: float = 0.0  #: when to ask how long it will take


class LivePersonChat(Backend):
    """Chats as a visitor of LivePerson."""

    name = "liveperson_chat"
    settings_model: ClassVar[type[BaseModel]] = LivePersonChatSettings
    waits_for_agent = True  # a line before that is refused
    settings: LivePersonChatSettings

    async def start(self, around: Surroundings) -> None:
        await super().start(around)
        self._pause = read_pause(self.settings.poll_every)
        self._queue_pause = read_pause(self.settings.poll_queue_every)
        # Two, so that what users say does not queue behind thousands of looks.
        self._api = self._api_over(Http(self.name))
        self._looking = self._api_over(Http(self.name, breaker=True))
        self._pollers = Pollers(self.name, Chat, self._look, self._ours)
        await self._pollers.start(self._queue_pause)

    def _api_over(self, http: Http) -> ChatApi:
        settings = self.settings
        domains = Domains(http, settings.account, settings.domain_api, self.around.now)
        return ChatApi(http, domains, settings.account, settings.app_key)

    async def stop(self) -> None:
        await self._pollers.stop()
        await self._api.close()
        await self._looking.close()

    async def probe(self) -> str | None:
        return await knows(self.settings.account, self.settings.domain_api, "conversationVep")

    # -- opening ------------------------------------------------------------------------------

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        available, survey = await asyncio.gather(
            self._api.is_available(routing(self.settings, request)), self._survey(request)
        )
        if not available:
            raise Unavailable(self.name, "open a chat", detail="no agent is available")
        chat_id = await self._api.start(chat_request(self.settings, request, survey))
        await self._name_user(chat_id, request)
        self._pollers.watch(chat_id)
        return Opened(chat_id=chat_id)

    async def _survey(self, request: Request) -> Json | None:
        """The answers to the pre-chat survey; a chat without them is better than none."""
        if not self.settings.survey:
            return None
        try:
            survey = await self._api.survey(skill_of(self.settings, request))
        except BackendError as error:
            log.warning("liveperson_chat.no_survey %s", error)
            return None
        return survey_answers(self.settings, request, survey)

    async def _name_user(self, chat_id: str, request: Request) -> None:
        name = sources.text(self.settings.visitor_name, request)
        if not name:
            return
        try:
            await self._api.put("name the user", chat_id, "visitorName", name)
        except BackendError as error:  # "Visitor" will do
            log.info("liveperson_chat.no_name chat=%s %s", chat_id, error)

    # -- to the agent -------------------------------------------------------------------------

    def parts(self, message: Message) -> Sequence[Message]:
        links = map(as_line, message.attachments)
        texts = [piece for text in (message.text, *links) if text for piece in pieces(text, LONGEST_TEXT)]
        parts = [replace(message, text=text, attachments=()) for text in texts or [message.text]]
        return [replace(part, id=f"{message.id}.{n}" if n else message.id) for n, part in enumerate(parts)]

    async def send(self, handoff: Handoff, message: Message) -> None:
        chat_id = _chat_id(handoff)
        chat = self._pollers.get(chat_id) or Chat(chat_id)
        if await self._has_arrived(chat, message):
            return
        # Lines carry no id of ours: one whose answer is lost is looked for behind all that is known.
        since = max(chat.next or 0, chat.said + 1) if chat.said is not None and chat.names_lines else None
        try:
            number = await self._api.say("bring a message", chat_id, {"@type": "line", "text": message.text})
        except NotInChat as error:
            if not await self._is_open(chat_id):
                raise ChatGone(self.name, error.doing, error.status) from None
            raise
        except TemporaryError:
            chat.doubt = None if since is None else (message.id, since)
            raise
        chat.doubt = None
        if number is None:
            chat.names_lines = False
        else:
            chat.said = number

    async def _has_arrived(self, chat: Chat, message: Message) -> bool:
        """Whether *message* is there, though no answer said so."""
        if chat.doubt is None or chat.doubt[0] != message.id:
            return False
        page = await self._api.page(chat.id, chat.doubt[1])
        if not said_by_user(page, message.text):
            return False
        chat.said, chat.doubt = page.next - 1, None
        return True

    async def _is_open(self, chat_id: str) -> bool:
        handoff = await self._handoff(chat_id)
        return handoff is not None and handoff.is_open

    async def _handoff(self, chat_id: str) -> Handoff | None:
        return await self.around.store.read(lambda tx: handoffs.by_chat(tx, self.name, chat_id))

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        chat_id = _chat_id(handoff)
        self._pollers.drop(chat_id)
        try:
            await self._api.say("end a chat", chat_id, {"@type": "state", "state": "ended"})
        except BackendError as error:
            # What they say when it has ended already is not documented.
            if error.status != 400 or (await self._api.info(chat_id)).state != "ended":
                raise

    async def typing(self, handoff: Handoff, typing: bool) -> None:
        what = "typing" if typing else "not-typing"
        await self._api.put("tell of typing", _chat_id(handoff), "visitorTyping", what)

    async def presence(self, handoff: Handoff, connected: bool) -> None:
        """Whether to ask what the agent is typing: it is one more request each time, and only a page shows it."""
        chat = self._pollers.get(_chat_id(handoff))
        if chat is not None:
            chat.watched = connected

    # -- from the agent -----------------------------------------------------------------------

    async def _ours(self) -> list[str]:
        """The chats that are for this process to look at."""
        found = await self.around.store.read(lambda tx: handoffs.open_at(tx, self.name))
        return [each.chat_id for each in found if each.chat_id is not None and self.around.mine(each)]

    async def _look(self, chat: Chat) -> float | None:
        """Take what happened since the last look; the seconds until the next, or None when the chat is over."""
        if chat.next is None:
            handoff = await self._handoff(chat.id)
            if handoff is None:  # it was opened a moment ago
                return _SOON
            if not handoff.is_open:
                return None
            self._take_up(chat, handoff)
        page, events = await self._news(chat, chat.next or 0)
        if events and not await self._happened(chat.id, page.next, events):
            return None
        self._remember(chat, page, events)
        if any(isinstance(event, Closed) for event in events):
            return None
        await self._tell_wait(chat)
        await self._tell_typing(chat, page.info)
        return min(self._pause if chat.chatting else self._queue_pause, chat.timeout / 3)

    def _take_up(self, chat: Chat, handoff: Handoff) -> None:
        chat.next = handoff.notes.get(_NEXT, 0)
        chat.chatting = handoff.status is Status.ACTIVE
        chat.ask_wait_at = self.around.now() + _FIRST_ASK_WAIT  # an agent may be there before

    async def _news(self, chat: Chat, start: int) -> tuple[Page, list[AnyEvent]]:
        try:
            page = await self._looking.page(chat.id, start)
        except ChatGone:
            return Page(items=(), next=start), [Closed(chat_id=chat.id, reason=self._why_gone(chat))]
        about = About(chat_id=chat.id, agent=await self._agent(chat.id, page), chatting=chat.chatting)
        events = read_events(page, about)
        is_over = page.info is not None and page.info.state == "ended"
        if is_over and not any(isinstance(event, Closed) for event in events):
            events.append(Closed(chat_id=chat.id))
        return page, events

    async def _agent(self, chat_id: str, page: Page) -> Person:
        """Who has the chat, as far as it matters."""
        agent = page.info.agent if page.info else None
        if agent is None and wants_agent(page):
            try:
                agent = (await self._looking.info(chat_id)).agent
            except TemporaryError:
                raise
            except BackendError as error:  # a name is not worth a message
                log.info("liveperson_chat.no_agent_name chat=%s %s", chat_id, error)
        return agent or Person(name=self.settings.agent_name)

    async def _happened(self, chat_id: str, next: int, events: Sequence[AnyEvent]) -> bool:
        """Tell what happened, and write down where to go on, in one transaction; False: the handoff is over."""
        try:
            await self.around.store.write(partial(self._apply, chat_id=chat_id, next=next, events=events))
        except (Conflict, UnknownChat):
            return False
        return True

    def _apply(self, tx: Tx, chat_id: str, next: int, events: Sequence[AnyEvent]) -> None:
        for event in events:
            self.around.applied(tx, self.name, event)
        handoff = handoffs.by_chat(tx, self.name, chat_id)
        if handoff is not None:
            handoffs.update(tx, replace(handoff, notes={**handoff.notes, _NEXT: next}))

    def _remember(self, chat: Chat, page: Page, events: Sequence[AnyEvent]) -> None:
        chat.next, chat.heard_at = page.next, self.around.now()
        if chat.said is None:
            chat.said = page.next - 1
        if page.info is not None:
            chat.timeout = page.info.timeout
        for event in events:
            if isinstance(event, (AgentJoined, AgentMessage)):
                chat.chatting = True
            elif isinstance(event, Transferred):
                chat.chatting = False

    def _why_gone(self, chat: Chat) -> EndReason:
        """Why a chat is not there that nobody said had ended."""
        if chat.heard_at is not None and self.around.now() - chat.heard_at > chat.timeout:
            return EndReason.FAILED  # we could not ask for so long that they took the user for gone
        return EndReason.AGENT_CLOSED if chat.chatting else EndReason.NOT_ACCEPTED

    async def _tell_wait(self, chat: Chat) -> None:
        """Now and then, while nobody has the chat, how long it will take."""
        now = self.around.now()
        if chat.chatting or now < chat.ask_wait_at:
            return
        chat.ask_wait_at = now + _ASK_WAIT_EVERY
        request = await self.around.store.read(partial(self._request_of, chat_id=chat.id))
        if request is None:
            return
        try:
            wait = await self._looking.waiting_time(skill_of(self.settings, request))
        except BackendError as error:
            log.info("liveperson_chat.no_waiting_time chat=%s %s", chat.id, error)
            return
        if wait is not None:
            await self.happened(QueueMoved(chat_id=chat.id, wait=wait))

    def _request_of(self, tx: Tx, chat_id: str) -> Request | None:
        handoff = handoffs.by_chat(tx, self.name, chat_id)
        return handoffs.request_of(tx, handoff.id) if handoff else None

    async def _tell_typing(self, chat: Chat, info: Info | None) -> None:
        if not (chat.watched and chat.chatting):
            return
        typing = (info or await self._looking.info(chat.id)).typing
        if typing or chat.typing:
            await self.happened(AgentTyping(chat_id=chat.id, typing=typing))
        chat.typing = typing


def _chat_id(handoff: Handoff) -> str:
    return handoff.chat_id or ""
