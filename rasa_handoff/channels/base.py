"""The contract between this package and one of Rasa's channels.

Rasa's channels were made for a bot that answers. A `Channel` of ours knows what one of them leaves out, in the
words of that channel and nowhere else: how its users are reached when they did not just write (`address`,
`output`, `say`), what they send beside text (`heard`, `open`), and what it can show (`parts`, `typing`).

A module of a channel usually has `traits`, `heard`, `parts` and `put`; the rest stands here.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel
from rasa.core.channels.channel import OutputChannel, UserMessage
from sanic.request import Request
from sanic.response import BaseHTTPResponse

from rasa_handoff.backends.http import Http
from rasa_handoff.elsewhere import Elsewhere
from rasa_handoff.errors import FetchError, TemporaryError, UserAway
from rasa_handoff.fetch import AnyFile, Fetcher
from rasa_handoff.files import Files
from rasa_handoff.model import Attachment, AttachmentKind, Button, Card, Json, Message
from rasa_handoff.store import Store
from rasa_handoff.tasks import Tasks

T = TypeVar("T")

TIMEOUT = 30.0  #: seconds for a channel to take a part of a message
BLOCKED = 90.0  #: seconds for a library that blocks to have an answer: it keeps a thread meanwhile
FETCHING = 60.0  #: … for its service to get a file from its address, where it does so while we wait
_THREADS = 8  #: of a channel whose library blocks
_UNDER_WAY = 1000  #: messages of which some parts are there and others are to be tried again
_RESPONSE = {"text", "buttons", "quick_replies", "image", "elements", "attachment", "metadata"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What people want to know of a channel: read by ``rasa-handoff doctor`` and by docs/channels.md."""

    name: str  #: Rasa's, as in credentials.yml
    push: str  #: whether a user can be reached who did not just write: "yes", "yes: how", or "no: what happens instead"
    hears: tuple[str, ...] = ()  #: what a user can send beside text, e.g. "image", "voice message", "pressed button"
    shows: tuple[str, ...] = ()  #: what an agent can send beside text, e.g. "image", "file", "buttons", "cards"
    spoken: bool = False  #: users hear and cannot read: a conversation there is not handed over
    typing: bool | str = False  #: whether the user sees that the agent is typing; a text says where
    speaker: str = "in a notice"  #: how the user sees who writes
    longest_text: int | None = None  #: characters of one message there; longer texts come in pieces
    needs: tuple[str, ...] = ()  #: what the bot's owner has to set up, a sentence each
    limits: tuple[str, ...] = ()  #: what it cannot do, a sentence each
    sources: tuple[str, ...] = ()  #: links to the service's own documentation

    @property
    def pushes(self) -> bool:
        return self.push.startswith("yes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFile:
    """A file of the user's that cannot be had without the channel's credentials."""

    reference: Json  #: what `Channel.open` takes; small, and no credentials in it
    kind: AttachmentKind = "file"
    name: str | None = None
    mime: str | None = None
    size: int | None = None  #: bytes, where the channel says so


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What one of a channel's webhooks says that a user did."""

    sender_id: str  #: as Rasa's channel makes it
    id: str | None = None  #: the channel's own; the same when it repeats the webhook
    text: str | None = None  #: as an agent should read it; None: as Rasa's channel makes it
    attachments: tuple[Attachment | ChannelFile, ...] = ()
    button: Button | None = None  #: what the user pressed
    edits: str | None = None  #: the `id` of the message that they have changed, and that reads like this now
    deletes: str | None = None  #: the `id` of the message that they have deleted
    writer: str | None = None  #: who of them, where several people are one user to Rasa's channel
    query: str | None = None  #: what `Channel.acknowledge` answers, where the service waits to hear that it was taken
    dropped: bool = False  #: Rasa's channel will not tell the bot of it
    unsaid: bool = False  #: Rasa's channel makes it up: the bot is told, and an agent is not
    for_agents: bool = False  #: it is refused while the bot has the conversation, for it would be lost on the bot


@dataclass(frozen=True, slots=True, kw_only=True)
class To:
    """Whom something goes to."""

    sender_id: str
    channel: str  #: the name by which the message came that led to the handoff
    address: Json | None = None  #: what `Channel.address` found in a message of theirs
    delivery_id: str = ""  #: the same each time it is tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A line of the plugin's own, in the bot owner's words."""

    name: str  #: of the response in the domain
    words: Json  #: a response as Rasa makes it: text, buttons, image, custom, …
    at: float  #: seconds since the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a channel finds around it."""

    store: Store
    now: Callable[[], float]  #: seconds since the epoch
    public_url: str | None = None  #: where others reach this server, if they do
    largest_file: int = 26_214_400  #: bytes of a file: a user's that an agent can open, or an agent's that is uploaded
    settings: Any = None  #: the channel's `settings_model`, read; None where it has none
    elsewhere: Elsewhere | None = None  #: the other processes; None: there are none
    files: Files | None = None  #: those that we keep ourselves; None: there are none


class Channel:
    """What we know of one of Rasa's channels.

    Args:
        rasa: Rasa's own `InputChannel`, with the credentials in it; None where the server has none of this name.
        around: what a channel finds around it.
    """

    traits: ClassVar[Traits]
    settings_model: ClassVar[type[BaseModel] | None] = None  #: of ``channels: {<name>: …}`` in our section

    def __init__(self, rasa: Any, around: Around) -> None:
        self.rasa = rasa
        self.around = around
        self.name: str = rasa.name() if rasa is not None else self.traits.name
        self.http = Http(self.name, TIMEOUT / 2)
        self.fetcher = Fetcher(self.trusted())
        self.tasks = Tasks()
        self._there: OrderedDict[str, int] = OrderedDict()  # how many parts of a delivery the user has
        self._threads: ThreadPoolExecutor | None = None

    async def close(self) -> None:
        """The server stops."""
        await self.tasks.stop()
        await self.http.close()
        await self.fetcher.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False)

    def troubles(self) -> Sequence[str]:
        """What is wrong with this server's set-up of it: a sentence each, which says what to do."""
        return ()

    @property
    def needs(self) -> Sequence[str]:
        """What the bot's owner has to set up, without what the set-up tells that they have; a sentence each."""
        return self.traits.needs

    @property
    def pushes(self) -> bool:
        """Whether a user can be reached who did not just write, as this server is set up."""
        return self.traits.pushes

    def watch(self, came: Callable[[str], Awaitable[None]]) -> None:
        """Call *came*, from now on, with the ``sender_id`` of a user who is there again, where it knows."""

    # -- what users say -----------------------------------------------------------------------

    def address(self, message: UserMessage, request: Request | None) -> Json | None:
        """What is needed beside the ``sender_id`` to reach this user again; None where that is enough.

        It is kept on disk, so that it holds after a restart and in another process: no credentials.

        Args:
            request: the webhook that brought *message*, found authentic by now; None where it came another way.
        """
        return None

    def heard(self, request: Request) -> Sequence[Heard]:
        """What users did, as *request*, a webhook of the channel, says it: a pure reading, in the order in which
        Rasa's channel tells the bot of it.

        It is called before the channel has found out whether the request is authentic. What it raises is logged
        and means nothing heard.
        """
        return ()

    async def learned(self, heard: Heard) -> Heard:
        """*heard*, which an agent gets, with what only the service knows of it; in no time, for the agent waits."""
        return heard

    def acknowledge(self, heard: Heard) -> None:
        """Let the service know, in the background, that an agent gets what it waits to hear of (`Heard.query`)."""

    async def look_up(self, request: Request) -> None:
        """Ask the service for what *request* leaves out and Rasa's channel does not ask for, before that gets it.

        It is called before it is known whether *request* is authentic. What it raises is logged, and means that nothing
        was found.
        """

    def took(self, request: Request, response: BaseHTTPResponse) -> bool:
        """Whether Rasa's channel has found *request* authentic, judging by its *response*.

        Only then what it dropped is taken in. Override it where a refusal is a success in HTTP's eyes.
        """
        return 200 <= response.status < 300

    def open(self, reference: Json) -> AbstractAsyncContextManager[AnyFile]:
        """A file of a user's, from what `heard` said of it, to be received part by part; see `Fetcher.open`.

        The reference is ours and unchanged; but what it came from was somebody's webhook: credentials go to
        the channel's own hosts and nowhere else.

        Raises:
            FetchError: it cannot be had.
        """
        raise FetchError("its channel keeps no files")

    def trusted(self) -> Collection[str]:
        """``host:port`` of the servers that the bot's owner named, and that may have private addresses."""
        return ()

    # -- what they get ------------------------------------------------------------------------

    def output(self, to: To) -> OutputChannel:
        """Rasa's own way to the user, for what the bot says.

        A library that blocks has to run in a thread (`Threaded`), for Rasa's other users wait meanwhile.

        Raises:
            UserAway: nobody would hear it.
        """
        output = self.rasa.get_output_channel()
        if output is None:
            raise UserAway(f"{self.name}: the channel has no way to the user now")
        return output

    async def output_there(self, to: To) -> OutputChannel:
        """`output`, for what is said unasked; a channel that can find it out makes sure that somebody hears it.

        Raises:
            UserAway: nobody would.
        """
        return self.output(to)

    def parts(self, message: Message) -> Sequence[Any]:
        """*message*, an agent's, in the best form that the channel has: what `put` takes, one after the other."""
        return as_responses(message)

    async def put(self, to: To, part: Any) -> None:
        """Bring one part of a message to the user.

        Raises:
            UserAway: they are not there now; tried again later, and at once when they write.
            TemporaryError: the channel is not there now; tried again, after its ``retry_after`` if it has one.
            UserUnreachable: it will never work; the message says why, in words that an agent understands.
        """
        await self.output(to).send_response(to.sender_id, deepcopy(part))

    def patience(self, part: Any) -> float:
        """Seconds for `put`: more where a service gets a file meanwhile, for it may come as often as it is tried."""
        return TIMEOUT

    async def say(self, to: To, message: Message) -> None:
        """Bring an agent's message; when it is tried again, what is there does not come a second time.

        Raises:
            UserAway, TemporaryError, UserUnreachable: as `put` does.
        """
        there = self._there.pop(to.delivery_id, 0)
        for number, part in enumerate(self.parts(message)):
            if number >= there:
                await self._put_or_note(to, part, number)

    async def notify(self, to: To, notice: Notice) -> None:
        """Bring a notice, with what a channel of Rasa's understands in it.

        Raises:
            UserAway, TemporaryError, UserUnreachable: as `put` does.
        """
        message = as_message(notice, to.delivery_id)
        if message is not None:
            await self.say(to, message)
        else:
            output = await self.output_there(to)
            await self.bounded(output.send_response(to.sender_id, deepcopy(notice.words)), TIMEOUT)

    async def show(self, to: To, state: Json) -> None:
        """Show where the handoff stands, where the channel has a place for it."""

    async def mark_read(self, to: To, read: Json) -> None:
        """Show that the agents have read what the user wrote, up to ``read["message_id"]``, where it can be shown."""

    async def typing(self, to: To, typing: bool) -> None:
        """Let the user see that the agent began or stopped typing; what it raises is nobody's loss."""

    # -- for those who write channels ---------------------------------------------------------

    async def bounded(self, work: Awaitable[T], seconds: float) -> T:
        """*work*, or `TemporaryError` when the channel does not take it in time."""
        try:
            return await asyncio.wait_for(work, seconds)
        except asyncio.TimeoutError as error:
            raise TemporaryError(self.name, "send a message", detail="not taken in time") from error

    async def in_thread(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Have a library that blocks do something, while everybody else goes on."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, f"handoff-{self.name}")
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **kwargs))

    async def _put_or_note(self, to: To, part: Any, number: int) -> None:
        try:
            await self.bounded(self.put(to, part), self.patience(part))
        except BaseException:
            self._there[to.delivery_id] = number
            if len(self._there) > _UNDER_WAY:
                self._there.popitem(last=False)
            raise


class Threaded(OutputChannel):
    """An output channel of Rasa's whose library blocks: each response has a thread, and an event loop in it.

    Args:
        output: Rasa's own, made for this user.
        channel: whose thread it is.
    """

    def __init__(self, output: OutputChannel, channel: Channel) -> None:
        super().__init__()
        self._output = output
        self._channel = channel

    async def send_response(self, recipient_id: str, message: Json) -> None:
        await self._channel.in_thread(lambda: asyncio.run(self._output.send_response(recipient_id, message)))

    @classmethod
    def name(cls) -> str:
        return "handoff_threaded"


def as_responses(message: Message) -> list[Json]:
    """*message* for a channel that nothing more is known of: responses of Rasa's, one after the other."""
    found: list[Json] = []
    if message.text:
        found.append(_response(message.text, message.buttons))
    found += [_as_response(each) for each in message.attachments]
    for card in message.cards:
        found += _card_as_responses(card)
    if message.buttons and not message.text:
        found.append(_response("…", message.buttons))
    return found


def link(attachment: Attachment) -> str:
    """*attachment* as a line of text."""
    return f"{attachment.name}: {attachment.url}" if attachment.name else attachment.url


def place(latitude: float, longitude: float, name: str = "") -> Attachment:
    """A place on the map, in degrees."""
    where = f"{float(latitude):.6f}", f"{float(longitude):.6f}"
    url = "https://www.openstreetmap.org/?mlat={}&mlon={}#map=17/{}/{}".format(*where, *where)
    return Attachment(url=url, kind="location", name=name or ", ".join(where))


def card_text(card: Card) -> str:
    """*card* as lines of text, without its buttons."""
    return "\n".join(each for each in (card.title, card.text, card.url) if each)


def choices(buttons: Sequence[Button]) -> str:
    """*buttons* as lines of text, where they cannot be pressed."""
    return "\n".join(f"- {each.title}: {each.url}" if each.url else f"- {each.title}" for each in buttons)


def in_words(text: str, buttons: Sequence[Button]) -> str:
    """*text* with its *buttons* below it."""
    return "\n".join(filter(None, (text, choices(buttons))))


def as_button(button: Button) -> Json:
    """*button* as Rasa's responses have it; one with a link as Facebook's and most web chats know it."""
    if button.url:
        return {"title": button.title, "payload": button.payload or button.url, "type": "web_url", "url": button.url}
    return {"title": button.title, "payload": button.payload}


def as_message(notice: Notice, message_id: str) -> Message | None:
    """*notice* as a message; None when it says what only Rasa's own output channel understands."""
    words = {name: value for name, value in notice.words.items() if value}
    images, files = words.get("image"), words.get("attachment")
    plain = all(isinstance(each, str) for each in (images or "", files or "", words.get("text", "")))
    if not plain or set(words) - _RESPONSE:
        return None
    attachments = [Attachment(url=images, kind="image")] if images else []
    attachments += [Attachment(url=files)] if files else []
    try:
        return Message(
            id=message_id,
            who="system",
            text=words.get("text", ""),
            attachments=tuple(attachments),
            buttons=tuple(_button(each) for each in words.get("quick_replies") or words.get("buttons", ())),
            cards=tuple(_card(each) for each in words.get("elements", ())),
            at=notice.at,
        )
    except (KeyError, TypeError, AttributeError):
        return None


def pressed(button: Button) -> str:
    """What an agent reads when a user has pressed *button*: its title, and what it stands for where that differs."""
    title, payload = button.title.strip(), button.payload.strip()
    if not title or not payload or title.casefold() == payload.lstrip("/").casefold():
        return title or payload
    return f"{title} ({payload})"


def _response(text: str, buttons: Sequence[Button]) -> Json:
    return {"text": text, "buttons": [as_button(each) for each in buttons]} if buttons else {"text": text}


def _as_response(attachment: Attachment) -> Json:
    return {"image": attachment.url} if attachment.kind == "image" else {"text": link(attachment)}


def _card_as_responses(card: Card) -> list[Json]:
    found: list[Json] = [{"image": card.image_url}] if card.image_url else []
    return [*found, _response(card_text(card) or "…", card.buttons)]


def _button(button: Mapping[str, Any]) -> Button:
    return Button(title=button["title"], payload=button.get("payload") or "", url=button.get("url"))


def _card(element: Mapping[str, Any]) -> Card:
    action = element.get("default_action") or {}
    return Card(
        title=element.get("title") or "",
        text=element.get("subtitle") or "",
        image_url=element.get("image_url"),
        url=action.get("url"),
        buttons=tuple(_button(each) for each in element.get("buttons") or ()),
    )
