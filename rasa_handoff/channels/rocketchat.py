"""Rocket.Chat: rooms by an outgoing webhook, and live chats by the omnichannel webhook; answers by the REST API.

Rasa's channel names a conversation after its room, so a room is one conversation, whoever writes in it. It reads the
first message of a live chat's webhook and drops the others, and it knows nothing of files. It logs in anew for every
message, with a request that blocks.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from aiohttp import FormData
from rasa.core.channels.channel import OutputChannel, UserMessage
from rasa.core.channels.rocketchat import RocketChatBot
from sanic.request import Request

from rasa_handoff.backends.tokens import Token
from rasa_handoff.channels.agent_files import AgentFile, AgentFiles
from rasa_handoff.channels.base import Around, ChannelFile, Heard, To, Traits, card_text
from rasa_handoff.channels.notes import ANEW
from rasa_handoff.channels.service import Service, kind_of, require_path, texts
from rasa_handoff.channels.verbatim import ADDRESS, JOINER, is_typed, quiet, with_room
from rasa_handoff.errors import FetchError, TemporaryError, UserUnreachable
from rasa_handoff.fetch import File, host_of
from rasa_handoff.model import Attachment, Button, Card, Json, Message
from rasa_handoff.pieces import in_utf16

log = logging.getLogger(__name__)

_LONGEST_TEXT = 5000  #: Message_MaxAllowedSize, https://docs.rocket.chat/docs/message
_LOGIN = 86_400.0  #: seconds that a login is used; the server's own limit is 90 days unless set otherwise
_FILES = "/file-upload/"
_POST = "/api/v1/chat.postMessage"
_MEDIA = "/api/v1/rooms.media"
_CONFIRM = "/api/v1/rooms.mediaConfirm"
_URLS = {"image": "image_url", "audio": "audio_url", "video": "video_url"}
# What its message parser reads as markup, and what of it a backslash takes the meaning from:
# https://github.com/RocketChat/Rocket.Chat/blob/develop/packages/message-parser/src/grammar.pegjs
_INLINE = re.compile(rf"(?P<address>{ADDRESS.pattern})|[*~`]|(?<![^\W_])_|_(?![^\W_])", re.IGNORECASE)
_BLOCK = re.compile(r"^((?:\d+(?=\.))?)([#.])", re.MULTILINE)
_UNESCAPABLE = re.compile(r"^(?=[>-])|(?<=\|)(?=\|)|(?<=\])(?=\()", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One message, but for where it goes."""

    body: Json
    speaker: Json = field(default_factory=dict)
    file: Attachment | None = None  #: which it leads to, and which is better uploaded


class RocketChat(Service):
    traits = Traits(
        name="rocketchat",
        push="yes: into the room, and into the thread that was written in last",
        hears=("image", "file", "audio", "video", "edited message"),
        shows=("image", "file", "audio", "video", "buttons", "cards"),
        speaker="name and picture, with the permission `message-impersonate` (the role bot has it)",
        longest_text=_LONGEST_TEXT,
        needs=(
            "A second outgoing webhook with the event *File Uploaded*, for files: *Message Sent* has none.",
            "A higher limit in the server's *API Rate Limiter* where many chats are open: 10 messages a minute else.",
        ),
        limits=(
            "Rasa's channel does not check the webhook's token: let nobody but Rocket.Chat reach its address.",
            "A room is one conversation: everybody in it is the user; the agent reads who writes.",
            "Rocket.Chat's REST API has no typing indicator.",
        ),
        sources=(
            "https://developer.rocket.chat/apidocs/post-message",
            "https://developer.rocket.chat/apidocs/upload-media-files-to-a-room",
            "https://docs.rocket.chat/docs/integrations",
            "https://docs.rocket.chat/docs/webhooks",
        ),
    )

    def __init__(self, rasa: Any, around: Around) -> None:
        super().__init__(rasa, around)
        self._token = Token(self._log_in, around.now)
        self.files = AgentFiles(self.name, around)
        self._named_from = 0.0  #: when agents write under their own names, after the server said that it may not be

    async def close(self) -> None:
        await self.files.close()
        await super().close()

    # -- what users say -----------------------------------------------------------------------

    def address(self, message: UserMessage, request: Request | None) -> Json | None:
        output = request.json if request is not None else None
        return {"thread": output.get("tmid")} if output and "visitor" not in output else None

    def heard(self, request: Request) -> Sequence[Heard]:
        output = request.json
        if not output:
            return ()
        if "visitor" in output:
            return tuple(self._from_live_chat(output))
        return () if output.get("user_name") == self.rasa.user else (_from_room(output),)

    def _from_live_chat(self, output: Json) -> Iterator[Heard]:
        """https://docs.rocket.chat/docs/webhooks: other types than messages repeat what was said before."""
        is_message = output.get("type", "Message") == "Message"
        for number, each in enumerate(output["messages"]):
            by_user = is_message and not each.get("agentId") and each.get("username") != self.rasa.user
            if number == 0 or by_user:
                yield Heard(
                    sender_id=str(output["_id"]),
                    id=each.get("_id"),
                    text=each.get("msg") or "",
                    attachments=tuple(_files(each)),
                    dropped=number > 0,
                    unsaid=not by_user,
                )

    @asynccontextmanager
    async def open(self, reference: Json) -> AsyncIterator[File]:
        require_path(reference["path"], _FILES)
        try:
            headers = _signed(await self._token.get())
        except (TemporaryError, UserUnreachable) as error:
            raise FetchError("the server does not log the bot in") from error
        async with self.fetched(self._url(reference["path"]), headers) as file:
            yield file

    def trusted(self) -> Collection[str]:
        return (host_of(self.rasa.server_url),)

    # -- what they get ------------------------------------------------------------------------

    def output(self, to: To) -> OutputChannel:
        return _Output(self)

    def parts(self, message: Message) -> Sequence[Post]:
        named = {"alias": message.name, "avatar": message.avatar_url} if message.who == "agent" else {}
        speaker = {name: value for name, value in named.items() if value}
        return [replace(each, speaker=speaker) for each in _posts(message)]

    async def put(self, to: To, part: Post) -> None:
        if part.file is None or not await self._share(to, part.file, part.speaker):
            await self._say(to, _POST, {"roomId": to.sender_id, **part.body}, part.speaker)

    async def _share(self, to: To, attachment: Attachment, speaker: Json) -> bool:
        """Upload a file; False where it has to come as a link, as with servers that do not know of this way yet.

        https://developer.rocket.chat/apidocs/upload-media-files-to-a-room
        """
        room = quote(to.sender_id, safe="")
        file_id = await self.files.hand_on(attachment, partial(self._upload, room))
        if file_id is None:
            return False
        try:
            await self._say(to, f"{_CONFIRM}/{room}/{quote(file_id, safe='')}", {}, speaker)
        except UserUnreachable as error:
            log.info("channel.file_as_link channel=%s why=%s", self.name, error)
            return False
        return True

    async def _upload(self, room: str, file: AgentFile) -> str:
        form = FormData()
        form.add_field("file", file.opened(), filename=file.name, content_type=file.mime)
        headers = _signed(await self._token.get())
        try:
            answer = await self.post(self._url(f"{_MEDIA}/{room}"), None, headers, form=form, doing="upload a file")
            return str(answer["file"]["_id"])
        except UserUnreachable as error:
            raise FetchError(str(error)) from error
        except (KeyError, TypeError) as error:
            raise FetchError("it has no id at Rocket.Chat") from error

    async def _say(self, to: To, path: str, body: Json, speaker: Json) -> None:
        thread = (to.address or {}).get("thread")
        placed = {**body, **({"tmid": thread} if thread else {})}
        speaker = speaker if self.around.now() >= self._named_from else {}
        try:
            await self._post(path, {**placed, **speaker})
        except UserUnreachable:
            if not speaker:
                raise
            await self._post(path, placed)
            if path == _POST:  # else it may be the file that comes under no other name
                self._named_from = self.around.now() + ANEW

    async def create(self, post: Json) -> None:
        """Post a message; raises what `Channel.put` does."""
        await self._post(_POST, post)

    async def _post(self, path: str, body: Json) -> None:
        answer = await self.post_with(self._token, _signed, self._url(path), body)
        if answer.get("success") is False:
            raise UserUnreachable(f"{self.name}: could not send a message: {self.why(answer)}")

    def why(self, answer: Json) -> str:
        return str(answer.get("errorType", ""))

    def retry_after(self, headers: Mapping[str, str]) -> float | None:
        """The rate limiter says in milliseconds since the epoch when it lets us in again."""
        reset = headers.get("X-RateLimit-Reset", "")
        wait = float(reset) / 1000 - self.around.now() if reset.isdigit() else None
        return max(0.0, wait) if wait is not None else super().retry_after(headers)

    async def _log_in(self) -> tuple[str, float]:
        body = {"user": self.rasa.user, "password": self.rasa.password}
        answer = await self.post(self._url("/api/v1/login"), body, {}, doing="log the bot in")
        try:
            return f"{answer['data']['userId']} {answer['data']['authToken']}", _LOGIN
        except (KeyError, TypeError) as error:
            raise TemporaryError(self.name, "log the bot in", detail="no token in the answer") from error

    def _url(self, path: str) -> str:
        return f"{self.rasa.server_url.rstrip('/')}{path}"


class _Output(RocketChatBot):
    """Rasa's, with requests of ours: what it would ask its client to post is noted, and posted afterwards."""

    def __init__(self, channel: RocketChat) -> None:
        OutputChannel.__init__(self)
        self.rocket = self  # in the place of a client that logs in at once
        self._channel = channel
        self._posts: list[Json] = []

    def chat_post_message(
        self, text: str | None, room_id: str | None = None, channel: str | None = None, **more: Any
    ) -> None:
        post = {"roomId": room_id, "channel": channel, "text": text, **more}
        self._posts.append({name: value for name, value in post.items() if value is not None})

    async def send_response(self, recipient_id: str, message: Json) -> None:
        await super().send_response(recipient_id, message)
        posts, self._posts = self._posts, []
        for post in posts:
            await self._channel.create(post)


def _signed(token: str) -> dict[str, str]:
    user, _, secret = token.partition(" ")
    return {"X-User-Id": user, "X-Auth-Token": secret}


# What users send


def _from_room(output: Json) -> Heard:
    message_id, is_edit = output.get("message_id"), output.get("isEdited")
    return Heard(
        sender_id=str(output["channel_id"]),
        id=None if is_edit else message_id,  # an edit has none of its own
        edits=message_id if is_edit else None,
        text=output.get("text") or "",
        attachments=tuple(_files(output.get("message") or {})),
        writer=output.get("user_name") if output.get("channel_name") else None,  # a direct message has no such name
    )


def _files(message: Json) -> Iterator[ChannelFile]:
    if message.get("fileUpload"):
        yield _from_upload(message)
        return
    for file in message.get("files") or [message.get("file") or {}]:
        if file.get("_id") and file.get("name"):
            name, mime = file["name"], file.get("type")
            path = f"{_FILES}{quote(file['_id'], safe='')}/{quote(name, safe='')}"
            yield ChannelFile(reference={"path": path}, kind=kind_of(mime), name=name, mime=mime)


def _from_upload(message: Json) -> ChannelFile:
    """A live chat's file; the link in it may hold the visitor's token, which is not for agents to see."""
    upload, name = message["fileUpload"], (message.get("file") or {}).get("name")
    path = urlsplit(upload["publicFilePath"]).path
    mime = upload.get("type")
    return ChannelFile(reference={"path": path}, kind=kind_of(mime), name=name, mime=mime)


# What agents send


def _posts(message: Message) -> Iterator[Post]:
    show = _as_typed if is_typed(message) else str
    said = [show(each) for each in texts(message.text, _LONGEST_TEXT, with_room(in_utf16))]
    for text in said[:-1] if message.buttons else said:
        yield Post(body={"text": text})
    if message.buttons:
        actions = [{"actions": _actions(message.buttons)}]
        yield Post(body={"text": said[-1] if said else "", "attachments": actions})
    for attachment in message.attachments:
        file = attachment if attachment.kind == "file" else None  # the others are shown from where they are
        yield Post(body={"attachments": [_attachment(attachment)]}, file=file)
    for card in message.cards:
        yield Post(body={"attachments": [_card(card, show)]})


def _as_typed(text: str) -> str:
    """*text*, which nothing is made of, and which calls nobody."""
    said = _INLINE.sub(_unmarked, text)
    return quiet(_UNESCAPABLE.sub(JOINER, _BLOCK.sub(r"\g<1>\\\g<2>", said)))


def _unmarked(found: re.Match[str]) -> str:
    if not found["address"]:
        return f"\\{found[0]}"
    is_stuck = found.string[found.end() : found.end() + 1] in ("*", "~", "`")
    return f"{found[0]} " if is_stuck else found[0]  # the backslash would become a part of the address


def _attachment(attachment: Attachment) -> Json:
    """https://developer.rocket.chat/apidocs/post-message: attachments"""
    field = _URLS.get(attachment.kind)
    title = attachment.name or attachment.url
    return {"title": title, "title_link": attachment.url, **({field: attachment.url} if field else {})}


def _card(card: Card, show: Callable[[str], str]) -> Json:
    shown = {
        "title": card.title,
        "title_link": card.url,
        "text": show(card.text) or (None if card.title else card_text(card)),
        "image_url": card.image_url,
        "actions": _actions(card.buttons),
    }
    return {name: value for name, value in shown.items() if value}


def _actions(buttons: Sequence[Button]) -> list[Json]:
    return [_action(each) for each in buttons]


def _action(button: Button) -> Json:
    if button.url:
        return {"type": "button", "text": button.title, "url": button.url}
    return {"type": "button", "text": button.title, "msg": button.payload, "msg_in_chat_window": True}
