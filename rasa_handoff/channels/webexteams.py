"""Webex: rooms and direct messages.

Rasa's channel names a conversation after its room. A webhook does not have all of a message: Rasa's channel asks for
the rest. What it does not look at in the answer are the files.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from rasa.core.channels.channel import OutputChannel, UserMessage
from sanic.request import Request

from rasa_handoff.channels.base import Around, ChannelFile, Heard, Threaded, To, Traits, card_text
from rasa_handoff.channels.service import Service, bearer, require_host, require_path, texts
from rasa_handoff.errors import UserUnreachable
from rasa_handoff.fetch import File
from rasa_handoff.model import Button, Card, Json, Message
from rasa_handoff.pieces import in_utf8

_LONGEST_TEXT = 7439  #: bytes, https://developer.webex.com/docs/api/v1/messages/create-a-message
_HOSTS = ("webexapis.com", "api.ciscospark.com", "webexapis-gov.us")
_NOTED = 1000  #: messages whose files are remembered, for as long as a webhook takes
_CARD = "application/vnd.microsoft.card.adaptive"


class WebexTeams(Service):
    traits = Traits(
        name="webexteams",
        push="yes: into the room, and into the thread that was written in last",
        hears=("file",),
        shows=("image", "file", "audio", "video", "cards"),
        speaker="name before the text",
        longest_text=_LONGEST_TEXT,
        needs=("A webhook for the resource `messages` with the event `created`.",),
        limits=(
            "A room is one conversation: everybody in it who mentions the bot is the user; the agent reads who writes.",
            "Rasa's channel does not check the webhook's signature; it asks Webex for the message, though.",
            "Buttons are a list to read, but for those with a link: Rasa's channel cannot take what is pressed.",
            "Webex has no typing indicator for bots.",
        ),
        sources=(
            "https://developer.webex.com/docs/api/v1/messages/create-a-message",
            "https://developer.webex.com/docs/api/guides/webhooks",
        ),
    )

    def __init__(self, rasa: Any, around: Around) -> None:
        super().__init__(rasa, around)
        self._files: OrderedDict[str, list[str]] = OrderedDict()  # by message
        self._read_along(rasa.api.messages)

    # -- what users say -----------------------------------------------------------------------

    def _read_along(self, messages: Any) -> None:
        """Note which files a message has when Rasa's channel asks for it, rather than ask a second time."""
        get = messages.get

        def noting(message_id: str) -> Any:
            message = get(message_id)
            if message.files:
                self._files[message_id] = list(message.files)
                if len(self._files) > _NOTED:
                    self._files.popitem(last=False)
            return message

        messages.get = noting

    def address(self, message: UserMessage, request: Request | None) -> Json | None:
        return {"parent": request.json["data"].get("parentId")} if request is not None else None

    def heard(self, request: Request) -> Sequence[Heard]:
        data = request.json["data"]
        urls = data.get("files") or self._files.get(data["id"], ())
        files = tuple(ChannelFile(reference={"url": each}) for each in urls)
        writer = data.get("personEmail") if data.get("roomType") == "group" else None
        return (Heard(sender_id=str(data["roomId"]), id=data["id"], attachments=files, writer=writer),)

    @asynccontextmanager
    async def open(self, reference: Json) -> AsyncIterator[File]:
        require_host(reference["url"], *_HOSTS)
        require_path(urlsplit(reference["url"]).path, "/v1/contents/")
        async with self.fetched(reference["url"], bearer(self.rasa.token)) as file:
            yield file

    def trusted(self) -> Collection[str]:
        return tuple(f"{host}:443" for host in _HOSTS)

    # -- what they get ------------------------------------------------------------------------

    def output(self, to: To) -> OutputChannel:
        return Threaded(self.rasa.get_output_channel(), self)

    def parts(self, message: Message) -> Sequence[Json]:
        speaker = f"{message.name}: " if message.who == "agent" and message.name else ""
        return list(_messages(message, speaker))

    async def put(self, to: To, part: Json) -> None:
        parent = (to.address or {}).get("parent")
        place = {"roomId": to.sender_id, **({"parentId": parent} if parent else {})}
        try:
            await self._create({**place, **part})
        except UserUnreachable:
            if "files" not in part:
                raise
            await self._create({**place, "text": part["files"][0]})  # Webex could not get it

    async def _create(self, message: Json) -> None:
        await self.post(f"{self.rasa.api.base_url}messages", message, bearer(self.rasa.token))


def _messages(message: Message, speaker: str) -> Iterator[Json]:
    lines = "\n".join(filter(None, [message.text, _choices(message.buttons)]))
    for text in texts(speaker + lines if lines else "", _LONGEST_TEXT, in_utf8):
        yield {"text": text}
    for attachment in message.attachments:
        yield {"files": [attachment.url]}  # Webex fetches it, and takes one in a message
    for card in message.cards:
        yield _card(card)


def _choices(buttons: Sequence[Button]) -> str:
    return "\n".join(f"- {each.title}: {each.url}" if each.url else f"- {each.title}" for each in buttons)


def _card(card: Card) -> Json:
    """https://developer.webex.com/docs/buttons-and-cards"""
    pressed = [each for each in card.buttons if not each.url]
    lines = "\n".join(filter(None, [card.text, _choices(pressed)]))
    body: list[Json] = [{"type": "TextBlock", "text": card.title, "weight": "bolder", "wrap": True}]
    body += [{"type": "Image", "url": card.image_url}] if card.image_url else []
    body += [{"type": "TextBlock", "text": lines, "wrap": True}] if lines else []
    content = {"type": "AdaptiveCard", "version": "1.2", "body": body, "actions": _links(card)}
    return {"text": card_text(card) or "…", "attachments": [{"contentType": _CARD, "content": content}]}


def _links(card: Card) -> list[Json]:
    leads = [Button(title=card.title, payload="", url=card.url)] if card.url else []
    links = [*leads, *(each for each in card.buttons if each.url)]
    return [{"type": "Action.OpenUrl", "title": each.title, "url": each.url} for each in links]
