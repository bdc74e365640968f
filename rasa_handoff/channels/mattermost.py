"""Mattermost, by an outgoing webhook and the REST API.

Rasa's channel needs the bot's token in credentials.yml: it does not log in by itself. It cuts the first word from
every text, which it takes for the trigger word, also where there is none; and it knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

from rasa.core.channels.channel import OutputChannel, UserMessage
from rasa.core.channels.mattermost import MattermostBot
from sanic.request import Request

from rasa_handoff.channels.agent_files import AgentFile, AgentFiles
from rasa_handoff.channels.base import Around, ChannelFile, Heard, To, Traits, card_text, link
from rasa_handoff.channels.service import Service, bearer, kind_of, texts
from rasa_handoff.channels.verbatim import in_markdown, is_typed, quiet, with_room
from rasa_handoff.errors import FetchError, UserAway, UserUnreachable
from rasa_handoff.fetch import File, host_of
from rasa_handoff.model import Attachment, Button, Card, Json, Message

_ID = re.compile("[a-z0-9]{26}")  #: https://developers.mattermost.com/api-documentation/#/#schema
_LONGEST_TEXT = 16_383  #: https://docs.mattermost.com/about/product-limits (since server 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One post, but for where it goes."""

    body: Json
    number: int = 0  #: among those of one message
    file: Attachment | None = None  #: which it leads to, and which is better uploaded


class Mattermost(Service):
    traits = Traits(
        name="mattermost",
        push="yes: into the channel that the user wrote in last",
        hears=("image", "file", "audio", "video", "pressed button"),
        shows=("image", "file", "audio", "video", "buttons", "cards"),
        typing=True,
        speaker="name before the text",
        longest_text=_LONGEST_TEXT,
        needs=(
            "An outgoing webhook with content type `application/json`, which Mattermost has for public channels only.",
            "The `token` of a bot account that is a member of the channel.",
            "`webhook_url`, for buttons.",
            "The permission `upload_file` for the bot, or files of agents come as links.",
        ),
        limits=(
            "Rasa's channel does not check the webhook's own token: let nobody but Mattermost reach its address.",
            "A conversation is a user's, whatever channel they write in: answers go where they wrote last.",
            "Outgoing webhooks are for new posts alone: agents do not read what users change in theirs.",
        ),
        sources=(
            "https://developers.mattermost.com/integrate/webhooks/outgoing/",
            "https://developers.mattermost.com/integrate/plugins/interactive-messages/",
            "https://developers.mattermost.com/api-documentation/#/operations/CreatePost",
            "https://developers.mattermost.com/api-documentation/#/operations/UploadFile",
            "https://developers.mattermost.com/api-documentation/#/operations/GetFileInfo",
        ),
    )

    def __init__(self, rasa: Any, around: Around) -> None:
        super().__init__(rasa, around)
        self.files = AgentFiles(self.name, around)

    async def close(self) -> None:
        await self.files.close()
        await super().close()

    # -- what users say -----------------------------------------------------------------------

    def address(self, message: UserMessage, request: Request | None) -> Json | None:
        output = message.output_channel
        return {"channel": output.bot_channel} if isinstance(output, MattermostBot) else None

    def heard(self, request: Request) -> Sequence[Heard]:
        output = request.json
        if not output:
            return ()
        if "trigger_word" in output:
            return (_said(output),)
        return (_pressed(output),) if "context" in output else ()

    async def described(self, file: ChannelFile) -> ChannelFile:
        """https://developers.mattermost.com/api-documentation/#/operations/GetFileInfo"""
        info = await self.get(f"{self._file(file.reference)}/info", bearer(self.rasa.token), doing="look at a file")
        mime = info.get("mime_type") or None
        return replace(file, kind=kind_of(mime), name=info.get("name") or None, mime=mime)

    @asynccontextmanager
    async def open(self, reference: Json) -> AsyncIterator[File]:
        async with self.fetched(self._file(reference), bearer(self.rasa.token)) as file:
            yield file

    def _file(self, reference: Json) -> str:
        if not _ID.fullmatch(reference["id"]):  # anybody can have said it: see the limits above
            raise FetchError("it is no file of Mattermost's")
        return f"{self.rasa.url}/files/{reference['id']}"

    def trusted(self) -> Collection[str]:
        return (host_of(self.rasa.url),)

    # -- what they get ------------------------------------------------------------------------

    def output(self, to: To) -> OutputChannel:
        return _Output(self, _channel(to))

    def parts(self, message: Message) -> Sequence[Post]:
        speaker = f"**{_as_typed(message.name)}**: " if message.who == "agent" and message.name else ""
        posts = _posts(message, speaker, self.rasa.webhook_url)
        return [replace(each, number=number) for number, each in enumerate(posts)]

    async def put(self, to: To, part: Post) -> None:
        channel_id, body = _channel(to), part.body
        if part.file is not None:
            file_id = await self.files.hand_on(part.file, partial(self._upload, channel_id))
            body = {"message": "", "file_ids": [file_id]} if file_id else body
        await self.create({"channel_id": channel_id, "pending_post_id": f"{to.delivery_id}:{part.number}", **body})

    async def _upload(self, channel_id: str, file: AgentFile) -> str:
        """The file's id; nobody sees it before a post has it.

        https://developers.mattermost.com/api-documentation/#/operations/UploadFile
        """
        where = f"{self.rasa.url}/files?{urlencode({'channel_id': channel_id, 'filename': file.name})}"
        headers = {**bearer(self.rasa.token), "Content-Type": file.mime}
        try:
            answer = await self.post(where, file.body, headers, doing="upload a file")
            return str(answer["file_infos"][0]["id"])
        except UserUnreachable as error:
            raise FetchError(str(error)) from error
        except (KeyError, IndexError, TypeError) as error:
            raise FetchError("it has no id at Mattermost") from error

    async def create(self, post: Json) -> None:
        """Create a post; raises what `Channel.put` does.

        One with the ``pending_post_id`` of another within 30 seconds has no effect, and ends in 500 while that is being
        made: https://github.com/mattermost/mattermost/blob/master/server/channels/app/post.go (deduplicateCreatePost).
        """
        await self.post(f"{self.rasa.url}/posts", post, bearer(self.rasa.token))

    async def typing(self, to: To, typing: bool) -> None:
        if typing:
            body = {"channel_id": _channel(to)}
            await self.post(f"{self.rasa.url}/users/me/typing", body, bearer(self.rasa.token))

    def why(self, answer: Json) -> str:
        return str(answer.get("id", ""))


class _Output(MattermostBot):
    """Rasa's, whose requests would block and log a post that was taken as one that failed, with requests of ours."""

    def __init__(self, channel: Mattermost, channel_id: str) -> None:
        super().__init__(channel.rasa.url, channel.rasa.token, channel_id, channel.rasa.webhook_url)
        self._channel = channel
        self._posts: list[Json] = []

    def _post_data_to_channel(self, data: Json) -> None:
        self._posts.append(data)

    async def send_response(self, recipient_id: str, message: Json) -> None:
        await super().send_response(recipient_id, message)
        posts, self._posts = self._posts, []
        for post in posts:
            await self._channel.create(post)


def _channel(to: To) -> str:
    if to.address is None:
        raise UserAway("mattermost: the user has to write first")
    return str(to.address["channel"])


def _said(output: Json) -> Heard:
    ids = [each for each in (output.get("file_ids") or "").split(",") if each]
    return Heard(
        sender_id=str(output["user_id"]),
        id=output.get("post_id"),
        text=(output.get("text") or "").removeprefix(output["trigger_word"] or "").strip(),
        attachments=tuple(ChannelFile(reference={"id": each}) for each in ids),
    )


def _pressed(output: Json) -> Heard:
    context = output["context"]
    button = Button(title=str(context.get("title", "")), payload=str(context["action"]))
    return Heard(sender_id=str(output["user_id"]), id=output.get("trigger_id"), button=button)


def _posts(message: Message, speaker: str, webhook_url: str | None) -> Iterator[Post]:
    show = _as_typed if is_typed(message) else str
    said = [show(each) for each in texts(message.text, _LONGEST_TEXT - len(speaker), with_room(lambda each: 1))]
    said[:1] = [speaker + each for each in said[:1]]
    for text in said[:-1] if message.buttons else said:
        yield Post(body={"message": text})
    if message.buttons:
        yield Post(body=_with_buttons(said[-1] if said else speaker, {}, message.buttons, webhook_url))
    yield from map(_attachment, message.attachments)
    for card in message.cards:
        yield Post(body=_card(card, show, webhook_url))


def _as_typed(text: str) -> str:
    """*text*, which nothing is made of, and which calls nobody.

    https://docs.mattermost.com/collaborate/format-messages.html
    """
    return quiet(in_markdown(text))


def _attachment(attachment: Attachment) -> Post:
    if attachment.kind != "image":
        file = attachment if attachment.kind != "location" else None
        return Post(body={"message": _as_typed(link(attachment))}, file=file)
    shown = {"fallback": attachment.url, "image_url": attachment.url, "title": attachment.name}
    return Post(body={"message": "", "props": {"attachments": [{name: each for name, each in shown.items() if each}]}})


def _card(card: Card, show: Callable[[str], str], webhook_url: str | None) -> Json:
    shown = {
        "fallback": card_text(card),
        "title": quiet(card.title),
        "title_link": card.url,
        "text": show(card.text),
        "image_url": card.image_url,
    }
    return _with_buttons("", {name: value for name, value in shown.items() if value}, card.buttons, webhook_url)


def _with_buttons(text: str, shown: Json, buttons: Sequence[Button], webhook_url: str | None) -> Json:
    """A post with what Mattermost can press; where a button leads elsewhere, or nowhere, it is a line of text."""
    pressable = [each for each in buttons if webhook_url and not each.url]
    others = [_in_words(each) for each in buttons if each not in pressable]
    actions = [_action(number, each, webhook_url) for number, each in enumerate(pressable)]
    shown = {**shown, "actions": actions} if actions else shown
    props = {"props": {"attachments": [shown]}} if shown else {}
    return {"message": "\n".join(filter(None, [text, *others])), **props}


def _in_words(button: Button) -> str:
    title = _as_typed(button.title)
    return f"[{title}]({button.url})" if button.url else title


def _action(number: int, button: Button, webhook_url: str | None) -> Json:
    """https://developers.mattermost.com/integrate/plugins/interactive-messages/: ids of letters and digits only."""
    context = {"action": button.payload, "title": button.title}
    return {
        "id": f"choice{number}",
        "type": "button",
        "name": button.title,
        "integration": {"url": webhook_url, "context": context},
    }
