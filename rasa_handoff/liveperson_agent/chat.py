"""One chat that the bot holds: heard and answered line by line, until it is over or left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import quote

from rasa_handoff.backends.breaker import jittered
from rasa_handoff.errors import BackendError, TemporaryError
from rasa_handoff.liveperson_agent import reading
from rasa_handoff.liveperson_agent.book import Book, Kept
from rasa_handoff.liveperson_agent.reading import ChatEvent
from rasa_handoff.liveperson_agent.session import Session, Sleep, pause_after, pauses
from rasa_handoff.liveperson_agent.settings import ChannelSettings
from rasa_handoff.liveperson_agent.visitors import Visitor, look_up
from rasa_handoff.model import Json
from rasa_handoff.transcript import UNSAID

log = logging.getLogger(__name__)

FLUSH = 3.0  #: seconds that the end of the server, or a transfer, waits for lines that are on their way
_LAST_TURN = 60.0  #: seconds that a chat which is over waits for the bot to end its turn
_GONE = (404, 410)  #: the chat, or only our agent session: who polls finds out


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A line for the bot."""

    id: str  #: the same for the same line, also after a restart
    text: str
    metadata: Json


class Bot(Protocol):
    """What the chats need of the bot."""

    async def is_ready(self) -> bool:
        """Whether it has a model."""

    async def meet(self, chat: Chat) -> None:
        """A chat begins: let the bot's slots say who is there."""

    async def hear(self, chat: Chat, line: Heard) -> None:
        """Take a line of the visitor, and answer through `Chat.say`."""

    async def has_heard(self, chat: Chat, line: Heard) -> bool:
        """Whether it took the line before the server was restarted."""

    async def over(self, sender_id: str, *, gone: bool) -> None:
        """The conversation's chat is over: the visitor has *gone*, or is with somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a chat finds around it."""

    session: Session
    book: Book
    settings: ChannelSettings
    bot: Bot
    sleep: Sleep  #: waits so many seconds
    agents: Callable[[], Json]  #: who else is there, for the bot
    left: Callable[[Chat], None]  #: told which chat was transferred
    over: Callable[[Chat], Coroutine[Any, Any, None]]  #: told which chat has ended, for us


class Chat:
    """One chat, from the moment it is taken until it is over or left."""

    def __init__(self, id: str, sender_id: str, document: reading.Chat, kept: Kept | None, around: Around) -> None:
        self.id = id
        self.sender_id = sender_id
        self.visitor = Visitor(chat=id)
        self.path = f"/chat/{quote(id, safe='')}"  #: below the agent session
        self.has_left = False  #: transferred: whatever the bot still says, nobody is to hear
        self.session, self._book, self._settings = around.session, around.book, around.settings
        self._around = around
        self._document = document
        self._kept = kept or Kept(position=reading.answered_up_to(document.events.events), met=False)
        self._seen = self._kept.position  #: the last event that was polled
        self._next: tuple[int, str] | None = None  #: where the next events are, and in which agent session
        self._inbox: asyncio.Queue[ChatEvent | None] = asyncio.Queue()
        self._outbox: asyncio.Queue[tuple[int | None, str, Json]] = asyncio.Queue()
        self._ours: list[str] = []  #: lines of agents, as they came back
        self._polled = asyncio.Event()
        self._over = asyncio.Event()
        self._resumes = kept is not None

    # -- what the bot does --------------------------------------------------------------------

    async def say(self, event: Json) -> None:
        """Have an event go out, behind those before it; it is on disk when this returns."""
        if self.has_left or self._over.is_set():
            log.info("liveperson_agent.not_said chat=%s transferred=%s", self.id, self.has_left)
            return
        number = await self._book.wrote(self.id, event)
        self._outbox.put_nowait((number, "events", {"event": event}))

    def show_typing(self, typing: bool) -> None:
        """Let the visitor see whether the bot is at work; best effort."""
        if self._settings.typing and not self.has_left:
            state = "typing" if typing else "not-typing"
            self._outbox.put_nowait((None, "info/agentTyping", {"agentTyping": state}))

    async def said(self, seconds: float = FLUSH) -> None:
        """Wait until all that was said is out, but not longer than so many seconds."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._outbox.join(), seconds)

    async def transfer(self, target: Json, note: str) -> None:
        """Give the chat to a skill or an agent, with a note that they alone see, and leave it.

        Args:
            target: ``{"skill": {"id": …}}`` or ``{"agent": {"id": …}}``.

        Raises:
            TemporaryError, BackendError: it is still ours.
        """
        body = {"transfer": {**target, "text": note}}
        try:
            await self.session.ask("transfer the chat", "POST", f"{self.path}/transfer", body, heed=False)
        except TemporaryError as error:
            # No answer: it may be theirs already, and then it is none of ours any more.
            if error.status is not None or self.id in await self.session.held():
                raise
        self.has_left = True
        self._around.left(self)
        self._over.set()

    # -- its life -----------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Take up what was not sent; before anything is said."""
        for number, event in await self._book.unsent(self.id):
            self._outbox.put_nowait((number, "events", {"event": event}))
        await self._keep()

    async def run(self) -> None:
        """Poll, have the bot hear, and send, until the chat is over."""
        self._take(self._document.events)
        work: list[Coroutine[Any, Any, None]] = [self._poll(), self._hear(), self._send()]
        tasks = [asyncio.create_task(each) for each in work]
        over: asyncio.Task[Any] = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({over, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            await self._finish(tasks[1])
        finally:
            for task in (over, *tasks):
                task.cancel()
            await asyncio.gather(over, *tasks, return_exceptions=True)
        await self._book.forget(self.id)
        await self._guarded(self._around.over(self))
        log.info("liveperson_agent.over chat=%s left=%s", self.id, self.has_left)

    async def _finish(self, hearing: asyncio.Task[None]) -> None:
        """Let the bot end its turn; it is in the middle of one when it transfers the chat."""
        self._inbox.put_nowait(None)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(hearing), _LAST_TURN)

    async def _keep(self, **changes: Any) -> None:
        self._kept = replace(self._kept, **changes)
        await self._book.keep(self.id, self._kept)

    # -- from the visitor ---------------------------------------------------------------------

    async def _poll(self) -> None:
        waits = pauses()
        while not self._over.is_set():
            await self._around.sleep(jittered(self._settings.pause))
            try:
                found = await self.session.ask_for("poll a chat", self._where(), reading.read_events)
            except TemporaryError as error:
                log.debug("liveperson_agent.not_polled chat=%s %s", self.id, error)
                await self._around.sleep(pause_after(error, waits))
                continue
            except BackendError as error:
                if not await self._is_ours():
                    log.warning("liveperson_agent.gone chat=%s %s", self.id, error)
                    self._inbox.put_nowait(None)
                    return
                await self._around.sleep(jittered(next(waits)))
                continue
            waits = pauses()
            self._take(found)

    async def _is_ours(self) -> bool:
        """Whether what is gone is not the chat but our agent session; then there is a new one."""
        number = self.session.number
        try:
            return self.id in await self.session.held()
        except TemporaryError:
            return True
        except BackendError:
            with suppress(TemporaryError):
                await self.session.sign_in(instead_of=number)
            return True

    def _where(self) -> str:
        """What they said the next address is; of another agent session's, only the place in the chat counts."""
        if self._next is not None and self._next[0] == self.session.number:
            return self._next[1]
        return f"{self.path}/events?from={self._seen + 1}"

    def _take(self, found: reading.Events) -> None:
        if found.next is not None:
            self._next = (self.session.number, found.next)
        for event in found.events:
            if event.id > self._seen:
                self._seen = event.id
                self._take_event(event)
        self._polled.set()

    def _take_event(self, event: ChatEvent) -> None:
        if event.kind == "line" and event.source == "visitor" and event.text.strip():
            self._inbox.put_nowait(event)
        elif event.kind == "line" and event.source == "agent":
            self._ours.append(event.text)
        elif event.kind == "state" and event.state == reading.ENDED:
            self._inbox.put_nowait(None)

    async def _hear(self) -> None:
        """Have the bot hear, line by line, and write down how far it has come."""
        await self._meet()
        while (event := await self._inbox.get()) is not None and not self.has_left:
            await self._hear_line(event)
            await self._keep(position=event.id)
        self._over.set()

    async def _meet(self) -> None:
        self.visitor = await look_up(self.session, self.id, self._document, self._settings.visit_information)
        if self._kept.met:
            return
        await self._guarded(self._around.bot.meet(self))
        if self._settings.greeting:
            await self._turn(self._line(f"{self.id}:greeting", self._settings.greeting, {UNSAID: True}))
        await self._keep(met=True)

    async def _hear_line(self, event: ChatEvent) -> None:
        line = self._line(f"{self.id}:{event.id}", event.text)
        repeat, self._resumes = self._resumes, False
        # Of all lines only the first after a restart may have been heard without a note of it.
        if repeat and await self._around.bot.has_heard(self, line):
            return
        await self._turn(line)

    def _line(self, id: str, text: str, more: Json | None = None) -> Heard:
        metadata = {"liveperson": {**self.visitor.as_json(), "agents": self._around.agents()}}
        return Heard(id=id, text=text, metadata={**metadata, **(more or {})})

    async def _turn(self, line: Heard) -> None:
        self.show_typing(True)
        await self._guarded(self._around.bot.hear(self, line))
        self.show_typing(False)

    async def _guarded(self, turn: Coroutine[Any, Any, None]) -> None:
        """A bot that fails at one line hears the next one all the same."""
        try:
            await turn
        except Exception:
            log.exception("liveperson_agent.turn_failed chat=%s", self.id)

    # -- to the visitor -----------------------------------------------------------------------

    async def _send(self) -> None:
        while True:
            number, where, body = await self._outbox.get()
            try:
                if not self.has_left:
                    await (self._show(where, body) if number is None else self._bring(body))
                if number is not None:
                    await self._book.sent(number)
            finally:
                self._outbox.task_done()

    async def _show(self, where: str, body: Json) -> None:
        with suppress(BackendError):
            await self.session.ask("show typing", "POST", f"{self.path}/{where}", body, put=True, heed=False)

    async def _bring(self, body: Json) -> None:
        """Send an event until it is there, or they say no."""
        waits = pauses()
        while not self.has_left:
            before = len(self._ours)
            try:
                await self.session.ask("send a line", "POST", f"{self.path}/events", body, heed=False)
            except TemporaryError as error:
                await self._around.sleep(pause_after(error, waits))
                if error.status is None and await self._arrived(body, before):
                    return
            except BackendError as error:
                if error.status not in _GONE:
                    log.error("liveperson_agent.not_sent chat=%s %s", self.id, error)
                    return
                await self._around.sleep(jittered(next(waits)))
            else:
                return

    async def _arrived(self, body: Json, before: int) -> bool:
        """Whether a line that was not answered came back as one of ours: then it is not sent a second time."""
        for _ in range(2):  # the poll that is under way may have been answered before the line came
            self._polled.clear()
            await self._polled.wait()
        text = _words(body["event"])
        return bool(text) and text in map(_normal, self._ours[before:])


def _words(event: Json) -> str:
    node = {"id": 0, **event}
    return _normal(reading.read_event(node).text)


def _normal(text: str) -> str:
    return " ".join(text.split())
