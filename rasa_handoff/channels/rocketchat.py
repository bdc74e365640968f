"""Rocket.Chat: rooms by an outgoing webhook, and live chats by the omnichannel webhook; answers by the REST API.

Rasa's channel names a conversation after its room, so a room is one conversation, whoever writes in it. It reads the
first message of a live chat's webhook and drops the others, and it knows nothing of files. It logs in anew for every
message, with a request that blocks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

from rasa.core.channels.channel import OutputChannel, UserMessage
from rasa.core.channels.rocketchat import RocketChatBot
from sanic.request import Request

from rasa_handoff.backends.tokens import Token
from rasa_handoff.channels.base import Around, ChannelFile, Heard, To, Traits, card_text
from rasa_handoff.channels.service import Service, kind_of, require_path, texts
from rasa_handoff.errors import FetchError, TemporaryError, UserUnreachable
from rasa_handoff.fetch import File, host_of
from rasa_handoff.model import Attachment, Button, Card, Json, Message

_LONGEST_TEXT = 5000  #: Message_MaxAllowedSize, https://docs.rocket.chat/docs/message
_LOGIN = 86_400.0  #: seconds that a login is used; the server's own limit is 90 days unless set otherwise
_FILES = "/file-upload/"
_SPEAKER = ("alias", "avatar")
_URLS = {"image": "image_url", "audio": "audio_url", "video": "video_url"}


class RocketChat(Service):
    traits = Traits(
        name="rocketchat",
        push="yes: into the room, and into the thread that was written in last",
        hears=("image", "file", "audio", "video"),
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
            "https://docs.rocket.chat/docs/integrations",
            "https://docs.rocket.chat/docs/webhooks",
        ),
    )

    def __init__(self, rasa: Any, around: Around) -> None:
        super().__init__(rasa, around)
        self._token = Token(self._log_in, around.now)
        self._named = True  #: agents write under their own names, until the server says that it may not be

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

    def parts(self, message: Message) -> Sequence[Json]:
        speaker = {"alias": message.name, "avatar": message.avatar_url} if message.who == "agent" else {}
        speaker = {name: value for name, value in speaker.items() if value}
        return [{**each, **speaker} for each in _posts(message)]

    async def put(self, to: To, part: Json) -> None:
        thread = (to.address or {}).get("thread")
        place = {"roomId": to.sender_id, **({"tmid": thread} if thread else {})}
        plain = {name: value for name, value in part.items() if name not in _SPEAKER}
        try:
            await self.create({**place, **(part if self._named else plain)})
        except UserUnreachable:
            if not self._named or plain == part:
                raise
            await self.create({**place, **plain})
            self._named = False

    async def create(self, post: Json) -> None:
        """Post a message; raises what `Channel.put` does."""
        answer = await self.post_with(self._token, _signed, self._url("/api/v1/chat.postMessage"), post)
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
    return Heard(
        sender_id=str(output["channel_id"]),
        id=None if output.get("isEdited") else output.get("message_id"),  # an edit is worth reading, too
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


def _posts(message: Message) -> Iterator[Json]:
    said = texts(message.text, _LONGEST_TEXT)
    for text in said[:-1] if message.buttons else said:
        yield {"text": text}
    if message.buttons:
        yield {"text": said[-1] if said else "", "attachments": [{"actions": _actions(message.buttons)}]}
    for attachment in message.attachments:
        yield {"attachments": [_attachment(attachment)]}
    for card in message.cards:
        yield {"attachments": [_card(card)]}


def _attachment(attachment: Attachment) -> Json:
    """https://developer.rocket.chat/apidocs/post-message: attachments"""
    field = _URLS.get(attachment.kind)
    title = attachment.name or attachment.url
    return {"title": title, "title_link": attachment.url, **({field: attachment.url} if field else {})}


def _card(card: Card) -> Json:
    shown = {
        "title": card.title,
        "title_link": card.url,
        "text": card.text or (None if card.title else card_text(card)),
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
