"""All chats that the bot holds: taken from LivePerson's queue, taken up after a restart, found by conversation."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from urllib.parse import quote

from rasa_handoff.backends.breaker import jittered
from rasa_handoff.errors import BackendError, TemporaryError
from rasa_handoff.liveperson_agent import profiles, reading
from rasa_handoff.liveperson_agent.book import Book
from rasa_handoff.liveperson_agent.chat import FLUSH, Around, Bot, Chat
from rasa_handoff.liveperson_agent.session import Session, Sleep, pause_after, pauses
from rasa_handoff.liveperson_agent.settings import ChannelSettings
from rasa_handoff.model import Json

log = logging.getLogger(__name__)

PREFIX = "liveperson-"  #: of the conversations' names
WATCH = 30.0  #: seconds between two looks at our availability and at who else is there
REFRESH = 240.0  #: seconds between two refreshes; "every 3 to 5 minutes"
_SILENT = 20.0  #: seconds of waiting without any answer, until we sign in anew
_LAST_WORDS = 5.0  #: seconds for a turn that ends in a chat that has been transferred, when it is back already
_UNDER_WAY, _AGAIN = 0, -1  #: in the place of an agent session, whose chats are looked for, or have to be
_KNOWN_LEFT = 1000  #: chats that have been left and are remembered, to keep quiet in them


class Chats:
    """All chats of one agent, and what keeps the agent there.

    Args:
        sleep: waits so many seconds.
    """

    def __init__(self, session: Session, book: Book, settings: ChannelSettings, bot: Bot, sleep: Sleep) -> None:
        self.session = session
        self.book = book
        self.settings = settings
        self.bot = bot
        self.sleep = sleep
        self.availability: str | None = None
        self.online: int | None = None  #: other agents who take chats now
        self._running: dict[str, tuple[Chat, asyncio.Task[None]]] = {}
        self._by_sender: dict[str, Chat] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}  #: chats that were taken a moment ago
        self._left: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._taken_up = _UNDER_WAY  #: the agent session whose chats we hold
        self._around = Around(
            session=session,
            book=book,
            settings=settings,
            bot=bot,
            sleep=sleep,
            agents=self.agents_as_json,
            left=self.remember_left,
            over=self._over,
        )

    # -- begin and end ------------------------------------------------------------------------

    def start(self) -> None:
        """Sign in, take up what runs, and take what rings, in the background."""
        _RUNNING.append(self)
        self._tasks = [asyncio.create_task(each) for each in (self._work(), self._watch())]

    async def stop(self) -> None:
        """Let what is on its way arrive. Chats that run stay ours: the next start takes them up."""
        if self in _RUNNING:
            _RUNNING.remove(self)
        await _cancel([*self._tasks, *self._opening.values()])
        chats = list(self._running.values())
        await asyncio.gather(*(chat.said() for chat, _ in chats))
        await _cancel([task for _, task in chats])
        if not self.session.is_signed_in:
            return
        with suppress(BackendError, asyncio.TimeoutError):
            await asyncio.wait_for(self._go(bool(chats)), FLUSH)

    async def _go(self, comes_back: bool) -> None:
        """Nothing rings for us any more. Signing out would send running chats back to the queue."""
        await self.session.be("Away")
        if not comes_back:
            await self.session.sign_out()

    # -- who is there -------------------------------------------------------------------------

    def of(self, sender_id: str) -> Chat | None:
        """The chat that is this conversation."""
        return self._by_sender.get(sender_id)

    def left(self, name: str) -> str | None:
        """The id of the chat, of this conversation or with this id, that was transferred, a while ago at most."""
        return self._left.get(name)

    def remember_left(self, chat: Chat) -> None:
        self._left.update({chat.sender_id: chat.id, chat.id: chat.id})
        while len(self._left) > _KNOWN_LEFT:
            del self._left[next(iter(self._left))]

    def agents_as_json(self) -> Json:
        return {"online": self.online, "availability": self.availability}

    # -- the queue ----------------------------------------------------------------------------

    async def _work(self) -> None:
        """Take what rings, for ever; when we are signed in anew, what we hold already."""
        while not await self.bot.is_ready():  # a line that nobody can hear would be lost
            await self.sleep(1.0)
        waits, silent = pauses(), 0.0
        while True:
            number = self.session.number
            try:
                await self._look()
            except TemporaryError as error:
                log.warning("liveperson_agent.waits %s", error)
                pause = pause_after(error, waits)
                await self.sleep(pause)
                silent = silent + pause if error.status is None else 0.0
                if silent > _SILENT:  # perhaps the Domain API names another host
                    silent = 0.0
                    await self._again(number)
            except BackendError as error:
                # The agent session is gone: it had been idle, or somebody else signed in.
                log.warning("liveperson_agent.session_lost %s", error)
                await self.sleep(jittered(next(waits)))
                await self._again(number)
            except Exception:  # whatever it is, the queue does not stop for it
                log.exception("liveperson_agent.failed")
                await self.sleep(jittered(next(waits)))
            else:
                waits, silent = pauses(), 0.0
                await self.sleep(jittered(self.settings.pause))

    async def _again(self, number: int) -> None:
        with suppress(TemporaryError):
            await self.session.sign_in(instead_of=number)

    async def _look(self) -> None:
        ringing = await self.session.ask_for("look who rings", "/incomingRequests", reading.read_ringing)
        if self._taken_up != self.session.number:
            await self._take_up()
        for _ in range(ringing.count if ringing.link else 0):
            await self._take(ringing.link or "")

    async def _take(self, link: str) -> None:
        """Take the chat that rings; within 20 seconds, or they set us to Away."""
        try:
            chat_id = await self.session.ask_for("take a chat", link, reading.read_taken, "POST", {})
        except TemporaryError:
            self._taken_up = _AGAIN  # it may be ours all the same
            raise
        except BackendError as error:
            log.info("liveperson_agent.not_taken %s", error)  # the visitor has gone, or a colleague was faster
            return
        # Not waited for: the next one rings.
        self._opening[chat_id] = task = asyncio.create_task(self._open(chat_id))
        task.add_done_callback(lambda done: self._opening.pop(chat_id, None))

    async def _open(self, chat_id: str) -> None:
        """Begin with a chat that was taken."""
        try:
            await self._end_turn(chat_id)
            await self._begin(chat_id)
        except TemporaryError as error:
            log.warning("liveperson_agent.not_opened chat=%s %s", chat_id, error)
            self._taken_up = _AGAIN  # it is ours: their list has it
        except BackendError as error:
            log.info("liveperson_agent.not_opened chat=%s %s", chat_id, error)  # the visitor has gone
        except Exception:
            log.exception("liveperson_agent.failed")
            self._taken_up = _AGAIN

    async def _end_turn(self, chat_id: str) -> None:
        """A chat that comes back from a colleague begins anew."""
        _, former = self._running.get(chat_id, (None, None))
        if former is not None:
            await asyncio.wait({former}, timeout=_LAST_WORDS)
            await _cancel([former])

    async def _take_up(self) -> None:
        """Go on with the chats that are ours."""
        number, self._taken_up = self.session.number, _UNDER_WAY
        held = await self.session.held()
        for chat_id in held:
            await self._begin_again(chat_id)
        for chat_id in await self.book.forget_others({*held, *self._running, *self._opening}):
            await self._gone_meanwhile(chat_id)
        if self._taken_up == _UNDER_WAY:
            self._taken_up = number
        with suppress(BackendError):
            await self.look_around()

    async def _gone_meanwhile(self, chat_id: str) -> None:
        """A chat that we knew is not ours any more; a visitor's conversation may go on in another chat."""
        if self.settings.conversation == "chat":
            await self.bot.over(f"{PREFIX}{chat_id}", gone=True)

    async def _begin_again(self, chat_id: str) -> None:
        """Go on with a chat, unless it is over, or was transferred and only their list has not heard of it."""
        if chat_id in self._running or chat_id in self._opening or self.left(chat_id):
            return
        try:
            await self._begin(chat_id)
        except TemporaryError:
            raise
        except BackendError as error:
            log.info("liveperson_agent.not_taken_up chat=%s %s", chat_id, error)

    async def _begin(self, chat_id: str) -> None:
        kept = await self.book.known(chat_id)
        since = f"?from={kept.position + 1}" if kept else ""
        document = await self.session.ask_for(
            "open a chat", f"/chat/{quote(chat_id, safe='')}{since}", reading.read_chat
        )
        if document.info.get("state") == reading.ENDED:
            return
        chat = Chat(chat_id, self._sender_of(chat_id, document), document, kept, self._around)
        await chat.prepare()
        for name in (chat.sender_id, chat.id):
            self._left.pop(name, None)
        task = asyncio.create_task(chat.run())
        self._running[chat_id] = (chat, task)
        self._by_sender[chat.sender_id] = chat
        task.add_done_callback(lambda done: self._ended(chat, done))
        log.info("liveperson_agent.took chat=%s again=%s", chat_id, kept is not None)

    def _sender_of(self, chat_id: str, document: reading.Chat) -> str:
        visitor = profiles.read_visitor(document.info).get("id") if self.settings.conversation == "visitor" else None
        return f"{PREFIX}{visitor or chat_id}"

    async def _over(self, chat: Chat) -> None:
        if self._by_sender.get(chat.sender_id) is chat:  # else the conversation goes on in a newer chat
            await self.bot.over(chat.sender_id, gone=not chat.has_left)

    def _ended(self, chat: Chat, task: asyncio.Task[None]) -> None:
        del self._running[chat.id]
        if self._by_sender.get(chat.sender_id) is chat:
            del self._by_sender[chat.sender_id]
        if not task.cancelled() and task.exception() is not None:
            log.error("liveperson_agent.chat_failed chat=%s", chat.id, exc_info=task.exception())
            self._taken_up = _AGAIN  # it is still ours

    # -- being there --------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Stay available, know who else is, and keep the session."""
        refreshed = 0.0
        while True:
            await self.sleep(jittered(WATCH))
            refreshed += WATCH
            if not self.session.is_signed_in:
                continue
            with suppress(BackendError):
                await self.look_around()
            if refreshed >= REFRESH:
                refreshed = 0.0
                with suppress(BackendError):
                    await self.session.refresh()

    async def look_around(self) -> None:
        """See what they take us for, put it right, and count the others who are there."""
        self.availability = await self.session.availability()
        if self.availability != self.settings.availability:
            log.warning("liveperson_agent.was availability=%s", self.availability)
            await self.session.be(self.settings.availability)
        self.online = len(await self.session.colleagues("Online"))


_RUNNING: list[Chats] = []  #: in this process: where the plugin's backend finds the chats of the channel


def chat_of(sender_id: str) -> Chat | None:
    """The chat that is this conversation; None: it is not one of this channel, or over."""
    return next(filter(None, (chats.of(sender_id) for chats in _RUNNING)), None)


def left_chat(sender_id: str) -> str | None:
    """The id of this conversation's chat, if it was transferred, a while ago at most."""
    return next(filter(None, (chats.left(sender_id) for chats in _RUNNING)), None)


def agents_online() -> int | None:
    """How many other agents take chats now, as far as the channel knows."""
    known = [chats.online for chats in _RUNNING if chats.online is not None]
    return sum(known) if known else None


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
