"""Rasa's Telegram channel, by Telegram's Bot API (https://core.telegram.org/bots/api).

Rasa tells the bot of texts, places and pressed buttons, and drops everything else that a user sends. Its
`get_output_channel` sets the webhook anew each time, with `asyncio.run`: that fails where a loop runs, and at the
server's start it leaves a client bound to a loop that is closed, so that every webhook is answered with 500
("Event loop is closed", Rasa 3.6.21 with the aiogram 2.15 and aiohttp 3.9.5 that it brings). `TelegramInput` here
is Rasa's channel without that.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
from aiogram.utils.exceptions import TelegramAPIError
from rasa.core.channels.channel import OutputChannel, UserMessage
from rasa.core.channels.telegram import TelegramInput as RasaTelegramInput
from rasa.core.channels.telegram import TelegramOutput
from rasa.shared.exceptions import RasaException
from sanic import Blueprint
from sanic.request import Request
from sanic.response import BaseHTTPResponse

from rasa_handoff.backends.http import Reply
from rasa_handoff.channels.agent_files import AgentFile, AgentFiles
from rasa_handoff.channels.base import FETCHING, Around, Channel, ChannelFile, Heard, To, Traits, place
from rasa_handoff.channels.telegram_calls import LONGEST_TEXT, Call, calls
from rasa_handoff.errors import BackendError, FetchError, HandoffError, TemporaryError, UserUnreachable
from rasa_handoff.fetch import File, host_of
from rasa_handoff.model import Attachment, Button, Json, Message

log = logging.getLogger(__name__)

API = "https://api.telegram.org"
_WHO = "telegram"
_GROUPS = {"group", "supergroup"}
_INSTEAD = (
    "`rasa_handoff.channels.telegram.TelegramInput` in the place of `telegram` in credentials.yml, with the "
    "same settings below it: Rasa 3.6.21's own answers every message with an error (Event loop is closed)."
)

# What Telegram says when it will never work, in the words of whoever reads why a message did not arrive.
_NEVER = {
    "bot was blocked by the user": "the user has blocked the bot",
    "user is deactivated": "the user's account is gone",
    "bot was kicked": "the bot was removed from the group",
    "bot is not a member": "the bot was removed from the group",
    "chat not found": "there is no such chat",
    "can't initiate conversation": "the user has not started a chat with the bot",
}


class Telegram(Channel):
    """Chats with the bot, and groups that it is in."""

    traits = Traits(
        name="telegram",
        push="yes: by the Bot API",
        hears=(
            "image",
            "file",
            "audio",
            "voice message",
            "video",
            "sticker",
            "location",
            "contact",
            "caption",
            "pressed button",
            "edited message",
        ),
        shows=("image", "file", "audio", "video", "buttons", "cards"),
        typing=True,
        longest_text=LONGEST_TEXT,
        needs=(
            _INSTEAD,
            "`public_url`, for agents at a system that takes links and no files to see files of users.",
        ),
        limits=(
            "Bots cannot get files of users that are larger than 20 MB.",
            "Files of agents that Telegram does not get from their address are uploaded, up to `largest_file` and "
            "pictures up to 10 MB; what is larger comes as a link.",
            "A group is one conversation: everybody in it is the user; the agent reads who writes.",
            "Rasa's channel does not check where a webhook comes from: keep its address to yourself.",
        ),
        sources=("https://core.telegram.org/bots/api",),
    )

    def __init__(self, rasa: Any, around: Around) -> None:
        super().__init__(rasa, around)
        self.files = AgentFiles(self.name, around)
        self._output: TelegramOutput | None = None

    @property
    def needs(self) -> Sequence[str]:
        met = () if self.troubles() else (_INSTEAD,)
        return [each for each in self.traits.needs if each not in met]

    def troubles(self) -> Sequence[str]:
        if type(self.rasa).get_output_channel is not RasaTelegramInput.get_output_channel:
            return ()
        return (
            "write rasa_handoff.channels.telegram.TelegramInput in the place of telegram in credentials.yml, with the "
            "same settings below it: Rasa 3.6.21's own answers every message with an error",
        )

    def trusted(self) -> Collection[str]:
        return (host_of(API),)

    async def close(self) -> None:
        if self._output is not None:
            await self._output.session.close()
        await self.files.close()
        await super().close()

    # -- what users say -----------------------------------------------------------------------

    def address(self, message: UserMessage, request: Request | None) -> Json | None:
        """In a group with topics, the one in which the user wrote last."""
        found = _message_in(_update(request)) if request is not None else {}
        if found.get("chat", {}).get("type") != "supergroup":
            return None
        return {"topic": found.get("message_thread_id") if found.get("is_topic_message") else None}

    def heard(self, request: Request) -> Sequence[Heard]:
        update = _update(request)
        message = _message_in(update)
        if "chat" not in message:
            return ()
        sender_id, event_id = str(message["chat"]["id"]), f"update:{update['update_id']}"
        query = update.get("callback_query")
        if query:
            writer = _writer(message["chat"], query)
            return (
                Heard(sender_id=sender_id, id=event_id, button=_pressed(query), writer=writer, query=str(query["id"])),
            )
        message_id, is_edit = f"message:{message['message_id']}", "edited_message" in update
        said = Heard(
            sender_id=sender_id,
            id=event_id if is_edit else message_id,
            edits=message_id if is_edit else None,
            text=_text(message),
            attachments=tuple(_attachments(message)),
            writer=_writer(message["chat"], message),
            dropped=not (is_edit or "text" in message or "location" in message),
        )
        if message.get("text") == "/restart":  # Rasa's channel has the bot begin again by itself
            return (said, Heard(sender_id=sender_id, id=f"{event_id}:start", unsaid=True))
        return (said,)

    def acknowledge(self, heard: Heard) -> None:
        """Without an answer the button that was pressed goes on spinning.

        https://core.telegram.org/bots/api#answercallbackquery
        """
        if heard.query is not None:
            self.tasks.start(self._answer(heard.query))

    async def _answer(self, query_id: str) -> None:
        try:
            await self._call("answer a pressed button", "answerCallbackQuery", {"callback_query_id": query_id})
        except HandoffError as error:  # too late, mostly; it stops spinning by itself then
            log.debug("telegram.not_answered %s", error)

    def took(self, request: Request, response: BaseHTTPResponse) -> bool:
        """Rasa refuses with ``200 failed``."""
        return super().took(request, response) and response.body == b"success"

    @asynccontextmanager
    async def open(self, reference: Json) -> AsyncIterator[File]:
        path = await self._path(str(reference["file"]))
        url = f"{API}/file/bot{self.rasa.access_token}/{path}"
        async with self.fetcher.open(url, self.around.largest_file) as file:
            yield file

    async def _path(self, file_id: str) -> str:
        try:
            answer = await self._call("open a file", "getFile", {"file_id": file_id})
        except (BackendError, UserUnreachable) as error:
            raise FetchError(f"its channel does not give it: {error}") from None
        if "file_path" not in answer:
            raise FetchError("its channel does not give it")
        return str(answer["file_path"])

    # -- what they get ------------------------------------------------------------------------

    def output(self, to: To) -> OutputChannel:
        if self._output is None:
            self._output = TelegramOutput(self.rasa.access_token)
        return self._output

    def parts(self, message: Message) -> Sequence[Call]:
        return calls(message)

    def patience(self, part: Call) -> float:
        return super().patience(part) + (FETCHING if part.file is not None else 0.0)

    async def put(self, to: To, part: Call) -> None:
        try:
            await self._send(to, part.method, part.params, FETCHING if part.file is not None else None)
        except _NotTaken as error:
            if not part.instead:
                raise UserUnreachable(str(error)) from error
            if part.file is None or await self.files.hand_on(part.file, partial(self._upload, to, part)) is None:
                await self._send(to, "sendMessage", part.instead)

    async def _upload(self, to: To, part: Call, file: AgentFile) -> bool:
        """The file itself, where Telegram does not take its address.

        https://core.telegram.org/bots/api#sending-files
        """
        try:
            await self._call("send a file", part.method, {**self._where(to), **part.params, part.param: file})
        except _NotTaken as error:
            raise FetchError("it is not taken by Telegram") from error
        return True

    async def typing(self, to: To, typing: bool) -> None:
        if typing:  # it shows for five seconds, or until the message is there
            await self._send(to, "sendChatAction", {"action": "typing"})

    async def _send(self, to: To, method: str, params: Json, timeout: float | None = None) -> None:
        await self._call("send a message", method, {**self._where(to), **params}, timeout)

    def _where(self, to: To) -> Json:
        topic = (to.address or {}).get("topic")
        return {"chat_id": to.sender_id, **({"message_thread_id": topic} if topic else {})}

    async def _call(self, doing: str, method: str, params: Json, timeout: float | None = None) -> Json:
        url, judge = f"{API}/bot{self.rasa.access_token}/{method}", partial(_judge, doing)
        reply = await self.http.ask(doing, "POST", url, judge=judge, timeout=timeout, **_sent_as(params))
        result: Any = reply.json(_WHO, doing)["result"]
        return result if isinstance(result, dict) else {}


def _sent_as(params: Json) -> Json:
    """As JSON; with a file in it, as a form, where what is neither text nor number is JSON."""
    if not any(isinstance(each, AgentFile) for each in params.values()):
        return {"body": params}
    form = aiohttp.FormData()
    for name, value in params.items():
        if isinstance(value, AgentFile):
            form.add_field(name, value.opened(), filename=value.name, content_type=value.mime)
        else:
            form.add_field(name, value if isinstance(value, str) else json.dumps(value))
    return {"form": form}


class TelegramInput(RasaTelegramInput):
    """Rasa's channel, whose webhook is set by the server's own loop."""

    def blueprint(self, on_new_message: Callable[[UserMessage], Awaitable[Any]]) -> Blueprint:
        blueprint: Blueprint = super().blueprint(on_new_message)
        blueprint.listener("before_server_start")(self._set_webhook)
        return blueprint

    def get_output_channel(self) -> TelegramOutput:
        return TelegramOutput(self.access_token)

    async def _set_webhook(self, app: Any, loop: Any = None) -> None:
        output = self.get_output_channel()
        try:
            await output.set_webhook(url=self.webhook_url)
        except TelegramAPIError as error:
            raise RasaException(f"Failed to set channel webhook: {error}") from error
        finally:
            await output.session.close()


class _NotTaken(BackendError):
    """Telegram does not take this content."""


def _judge(doing: str, reply: Reply) -> None:
    """Raise what Telegram's answer means (https://core.telegram.org/bots/api#making-requests)."""
    if reply.status == 200:
        return
    try:
        answer = reply.json(_WHO, doing)
    except BackendError:
        answer = {}
    what = str(answer.get("description") or "")
    if reply.status == 429 or reply.status >= 500:
        wait = (answer.get("parameters") or {}).get("retry_after")
        raise TemporaryError(_WHO, doing, reply.status, retry_after=float(wait) if wait else None)
    if reply.status in (401, 404):
        raise TemporaryError(_WHO, doing, reply.status, "it does not know the access_token in credentials.yml")
    never = next((ours for theirs, ours in _NEVER.items() if theirs in what), None)
    if never or reply.status == 403:
        raise UserUnreachable(f"{_WHO}: {never or what[:200]}")
    raise _NotTaken(_WHO, doing, reply.status, what)


# -- theirs, as ours ------------------------------------------------------------------------------


def _update(request: Request) -> Json:
    """https://core.telegram.org/bots/api#update"""
    found: Any = request.json
    found = json.loads(found) if isinstance(found, str) else found  # as Rasa's channel takes it, too
    return found if isinstance(found, dict) else {}


def _message_in(update: Json) -> Json:
    """The message that an update is about."""
    query = update.get("callback_query") or {}
    return query.get("message") or update.get("edited_message") or update.get("message") or {}


def _writer(chat: Json, said: Json) -> str | None:
    """Who wrote or pressed *said*, in a chat of several."""
    return (said.get("from") or {}).get("first_name") if chat.get("type") in _GROUPS else None


def _pressed(query: Json) -> Button:
    payload = str(query.get("data") or "")
    rows = ((query.get("message") or {}).get("reply_markup") or {}).get("inline_keyboard") or []
    titles = (each["text"] for row in rows for each in row if each.get("callback_data") == payload)
    return Button(title=next(titles, ""), payload=payload)


def _text(message: Json) -> str | None:
    """What the user wrote, or what stands for it; None: as Rasa's channel has it."""
    if "text" in message:
        return None
    said = [message.get("caption"), (message.get("sticker") or message.get("dice") or {}).get("emoji")]
    if "contact" in message:
        contact = message["contact"]
        name = " ".join(filter(None, (contact.get("first_name"), contact.get("last_name"))))
        said.append(f"Contact: {name}, {contact.get('phone_number')}")
    if "poll" in message:
        said.append(message["poll"].get("question"))
    return "\n".join(filter(None, said))


def _attachments(message: Json) -> Iterator[Attachment | ChannelFile]:
    for name, read in _READERS.items():
        found = message.get(name)
        # An animation is there a second time as a document, and a venue as a location.
        again = (name == "document" and "animation" in message) or (name == "location" and "venue" in message)
        if found and not again:
            yield read(found)


def _photo(sizes: list[Json]) -> ChannelFile:
    return _kept(sizes[-1], "image", "photo.jpg", "image/jpeg")


def _sticker(sticker: Json) -> ChannelFile:
    if sticker.get("is_video"):
        return _kept(sticker, "video", "sticker.webm", "video/webm")
    if sticker.get("is_animated"):  # in a form that only Telegram shows; its preview is a picture
        preview = sticker.get("thumbnail") or sticker.get("thumb")
        return _kept(preview or sticker, "image" if preview else "file", "sticker.webp" if preview else "sticker.tgs")
    return _kept(sticker, "image", "sticker.webp", "image/webp")


def _document(document: Json) -> ChannelFile:
    kind = str(document.get("mime_type") or "").partition("/")[0]
    return _kept(document, kind if kind in ("image", "audio", "video") else "file")


def _venue(venue: Json) -> Attachment:
    name = ", ".join(filter(None, (venue.get("title"), venue.get("address"))))
    return place(venue["location"]["latitude"], venue["location"]["longitude"], name)


def _kept(file: Json, kind: Any, name: str | None = None, mime: str | None = None) -> ChannelFile:
    return ChannelFile(
        reference={"file": file["file_id"]},
        kind=kind,
        name=file.get("file_name") or name,
        mime=file.get("mime_type") or mime,
    )


# A message's field -> what it carries (https://core.telegram.org/bots/api#message).
_READERS: dict[str, Callable[[Any], Attachment | ChannelFile]] = {
    "photo": _photo,
    "animation": lambda found: _kept(found, "video", "animation.mp4", "video/mp4"),
    "video": lambda found: _kept(found, "video", "video.mp4", "video/mp4"),
    "video_note": lambda found: _kept(found, "video", "video message.mp4", "video/mp4"),
    "audio": lambda found: _kept(found, "audio", found.get("title")),
    "voice": lambda found: _kept(found, "audio", "voice message.ogg", "audio/ogg"),
    "document": _document,
    "sticker": _sticker,
    "venue": _venue,
    "location": lambda found: place(found["latitude"], found["longitude"]),
}
