"""Webex: rooms and direct messages.

Rasa's channel names a conversation after its room. A webhook does not have all of a message: Rasa's channel asks for
the rest. What it does not look at in the answer are the files. It takes every webhook for one of a message that is
there: where it is one of a pressed button (https://developer.webex.com/docs/buttons-and-cards), or of a message that is
gone, it is given something in a message's place.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

from aiohttp import content_disposition_filename, parse_content_disposition
from rasa.core.channels.channel import OutputChannel, UserMessage
from sanic.request import Request

from rasa_handoff.channels.base import FETCHING, Around, ChannelFile, Heard, Threaded, To, Traits, card_text, in_words
from rasa_handoff.channels.notes import note
from rasa_handoff.channels.service import NotThere, Service, bearer, kind_of, require_host, require_path, texts
from rasa_handoff.channels.verbatim import in_markdown, is_typed
from rasa_handoff.errors import TemporaryError, UserUnreachable
from rasa_handoff.fetch import File
from rasa_handoff.model import Button, Card, Json, Message
from rasa_handoff.pieces import in_utf8

log = logging.getLogger(__name__)

_LONGEST_TEXT = 7439  #: bytes, https://developer.webex.com/docs/api/v1/messages/create-a-message
_HOSTS = ("webexapis.com", "api.ciscospark.com", "webexapis-gov.us")
_NOTED = 1000  #: messages whose files are remembered, and presses, for as long as a webhook takes
_CARD = "application/vnd.microsoft.card.adaptive"
_MOST_ACTIONS = 5  #: of a card, https://developer.webex.com/docs/buttons-and-cards
_PRESSES = "attachmentActions"  #: the resource whose webhooks bring them
_LOOKED = 600.0  #: seconds for which it is known whether there is such a webhook


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One message, but for where it goes."""

    body: Json
    unpressed: Json | None = None  #: where nobody would hear of what is pressed


@dataclass(frozen=True, slots=True, kw_only=True)
class Instead:
    """What Rasa's channel gets in the place of a message, by Webex's names of what it looks at."""

    heard: Heard
    personId: str  #: of a message of the bot's own it tells the bot nothing
    roomId: str
    text: str = ""
    files: None = None


class WebexTeams(Service):
    traits = Traits(
        name="webexteams",
        push="yes: into the room, and into the thread that was written in last",
        hears=("image", "file", "audio", "video", "pressed button", "edited message", "deleted message"),
        shows=("image", "file", "audio", "video", "buttons", "cards"),
        speaker="name before the text",
        longest_text=_LONGEST_TEXT,
        needs=(
            "A webhook for the resource `messages` with the event `created`.",
            "A second one to the same address, for `attachmentActions` with the event `created`: without it, buttons "
            "are a list to read.",
            "A third one, for `messages` with the event `updated`, for agents to read what users have changed. "
            "While the bot has the conversation, Rasa's channel takes what was changed for a new message.",
            "A fourth one, for `messages` with the event `deleted`, for agents to read that users have deleted one.",
        ),
        limits=(
            "A room is one conversation: everybody in it who mentions the bot is the user; the agent reads who writes.",
            "Rasa's channel does not check the webhook's signature; it asks Webex for the message, though.",
            "Webex has no typing indicator for bots.",
        ),
        sources=(
            "https://developer.webex.com/docs/api/v1/messages/create-a-message",
            "https://developer.webex.com/docs/api/guides/webhooks",
            "https://developer.webex.com/docs/buttons-and-cards",
            "https://developer.webex.com/docs/api/guides/message-attachments",
        ),
    )

    def __init__(self, rasa: Any, around: Around) -> None:
        super().__init__(rasa, around)
        self._files: OrderedDict[str, list[str]] = OrderedDict()  # by message
        self._instead: OrderedDict[str, Instead] = OrderedDict()  # by action, and by message
        self._takes_presses = False
        self._look_again = 0.0  #: when that is to be found out anew
        self._read_along(rasa.api.messages)

    # -- what users say -----------------------------------------------------------------------

    def _read_along(self, messages: Any) -> None:
        """Note which files a message has when Rasa's channel asks for it, rather than ask a second time."""
        get = messages.get

        def noting(message_id: str) -> Any:
            if message_id in self._instead:
                return self._instead[message_id]
            message = get(message_id)
            if message.files:
                note(self._files, message_id, list(message.files), _NOTED)
            return message

        messages.get = noting

    def address(self, message: UserMessage, request: Request | None) -> Json | None:
        if request is None or _is_press(request) or _is_deletion(request):
            return None
        return {"parent": request.json["data"].get("parentId")}

    def heard(self, request: Request) -> Sequence[Heard]:
        data = request.json["data"]
        if data["id"] in self._instead:
            return (self._instead[data["id"]].heard,)
        if _is_press(request):
            return ()
        urls = data.get("files") or self._files.get(data["id"], ())
        files = tuple(ChannelFile(reference={"url": each}) for each in urls)
        is_edit = request.json.get("event") == "updated"
        heard = Heard(
            sender_id=str(data["roomId"]),
            id=None if is_edit else data["id"],  # an edit has none of its own
            edits=data["id"] if is_edit else None,
            attachments=files,
            writer=_writer(data),
        )
        return (heard,)

    async def look_up(self, request: Request) -> None:
        """Ask Webex whether what a webhook says is so: that is the proof that it is authentic, too."""
        if not (_is_press(request) or _is_deletion(request)):
            return
        data = request.json["data"]
        try:
            instead = await (self._pressed(data["id"]) if _is_press(request) else self._deleted(data))
        except (TemporaryError, UserUnreachable) as error:
            log.warning("webexteams.not_looked_up %s", error)
        else:
            if instead is not None:
                note(self._instead, data["id"], instead, _NOTED)

    async def _deleted(self, data: Json) -> Instead | None:
        """In the place of a message that is gone, of which the bot is to be told nothing."""
        try:
            await self._get(f"messages/{quote(data['id'], safe='')}")
        except NotThere:
            me = await self._get("people/me")
            gone = Heard(
                sender_id=str(data["roomId"]),
                id=f"{data['id']}:deleted",
                deletes=data["id"],
                writer=_writer(data),
                dropped=True,
            )
            return Instead(heard=gone, personId=str(me.get("id")), roomId=gone.sender_id)
        return None

    async def _pressed(self, action_id: str) -> Instead | None:
        """What was pressed, which the webhook does not say; None where it is no button of ours.

        https://developer.webex.com/docs/api/v1/attachment-actions/get-attachment-action-details
        """
        action = await self._get(f"attachment/actions/{quote(action_id, safe='')}")
        inputs, room_id = action.get("inputs") or {}, str(action.get("roomId") or "")
        button = Button(title=str(inputs.get("title") or ""), payload=str(inputs.get("payload") or ""))
        if not (room_id and (button.title or button.payload)):
            return None
        room = await self._get(f"rooms/{quote(room_id, safe='')}")
        writer = await self._email(action) if room.get("type") == "group" else None
        return Instead(
            heard=Heard(sender_id=room_id, id=action_id, button=button, writer=writer),
            personId=str(action.get("personId") or ""),
            roomId=room_id,
            text=button.payload or button.title,
        )

    async def _email(self, action: Json) -> str | None:
        person = await self._get(f"people/{quote(str(action.get('personId') or ''), safe='')}")
        return next(iter(person.get("emails") or ()), None)

    async def described(self, file: ChannelFile) -> ChannelFile:
        """https://developer.webex.com/docs/api/guides/message-attachments"""
        headers = await self.head(_file(file.reference), bearer(self.rasa.token), doing="look at a file")
        mime = headers.get("Content-Type", "").partition(";")[0].strip().lower() or None
        _, parameters = parse_content_disposition(headers.get("Content-Disposition"))
        return replace(file, kind=kind_of(mime), name=content_disposition_filename(parameters), mime=mime)

    @asynccontextmanager
    async def open(self, reference: Json) -> AsyncIterator[File]:
        async with self.fetched(_file(reference), bearer(self.rasa.token)) as file:
            yield file

    def trusted(self) -> Collection[str]:
        return tuple(f"{host}:443" for host in _HOSTS)

    # -- what they get ------------------------------------------------------------------------

    def output(self, to: To) -> OutputChannel:
        return Threaded(self.rasa.get_output_channel(), self)

    def parts(self, message: Message) -> Sequence[Post]:
        speaker = f"{message.name}: " if message.who == "agent" and message.name else ""
        return list(_posts(message, speaker))

    def patience(self, part: Post) -> float:
        return super().patience(part) + (_fetching(part.body) or 0.0)

    async def put(self, to: To, part: Post) -> None:
        body = part.body if part.unpressed is None or await self._hears_presses() else part.unpressed
        parent = (to.address or {}).get("parent")
        place = {"roomId": to.sender_id, **({"parentId": parent} if parent else {})}
        try:
            await self._create({**place, **body})
        except UserUnreachable:
            if not {"files", "attachments"} & set(body):
                raise
            instead = body["files"][0] if "files" in body else body["text"]  # Webex could not get it, or show it
            for text in texts(instead, _LONGEST_TEXT, in_utf8):
                await self._create({**place, "text": text})

    async def _create(self, message: Json) -> None:
        url = f"{self.rasa.api.base_url}messages"
        await self.post(url, message, bearer(self.rasa.token), timeout=_fetching(message))

    async def _get(self, path: str) -> Json:
        return await self.get(f"{self.rasa.api.base_url}{path}", bearer(self.rasa.token), doing="look something up")

    async def _hears_presses(self) -> bool:
        """Whether Webex tells this server what is pressed; a button that does nothing is worse than a list to read."""
        now = self.around.now()
        if now >= self._look_again:
            self._look_again = now + _LOOKED
            try:
                self._takes_presses = _brings_presses((await self._get("webhooks?max=100")).get("items") or ())
            except (TemporaryError, UserUnreachable) as error:
                log.warning("webexteams.webhooks_unknown %s", error)
        return self._takes_presses


def _fetching(message: Json) -> float | None:
    """Seconds for Webex to take *message*, whose file it gets from its address; None: as for any."""
    return FETCHING if "files" in message else None


def _file(reference: Json) -> str:
    """Its address, where it is one of Webex's."""
    url = str(reference["url"])
    require_host(url, *_HOSTS)
    require_path(urlsplit(url).path, "/v1/contents/")
    return url


# What users press and delete


def _is_press(request: Request) -> bool:
    return _is_about(request, _PRESSES)


def _is_deletion(request: Request) -> bool:
    return _is_about(request, "messages") and request.json.get("event") == "deleted"


def _is_about(request: Request, resource: str) -> bool:
    told = request.json
    named = isinstance(told, dict) and told.get("resource") == resource
    return named and isinstance((told.get("data") or {}).get("id"), str)


def _writer(data: Json) -> str | None:
    return data.get("personEmail") if data.get("roomType") == "group" else None


def _brings_presses(webhooks: Sequence[Json]) -> bool:
    """Whether presses go where messages go: https://developer.webex.com/docs/api/v1/webhooks/list-webhooks."""
    created = [each for each in webhooks if each.get("event") in ("created", "all") and each.get("status") == "active"]
    messages, presses = (
        {each.get("targetUrl") for each in created if each.get("resource") in (resource, "all")}
        for resource in ("messages", _PRESSES)
    )
    return bool(messages & presses)


# What agents send


def _posts(message: Message, speaker: str) -> Iterator[Post]:
    show = _as_typed if is_typed(message) else str
    said = texts(speaker + message.text if message.text else "", _LONGEST_TEXT, in_utf8)
    for text in said[:-1] if message.buttons else said:
        yield Post(body={"text": text})
    if message.buttons:
        yield from _offer(said[-1] if said else speaker.strip(), message.buttons, show)
    for attachment in message.attachments:
        yield Post(body={"files": [attachment.url]})  # Webex fetches it, and takes one in a message
    for card in message.cards:
        yield from _card(card, show)


def _as_typed(text: str) -> str:
    """*text* for a card, where it is Markdown; that of a message is not.

    https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features
    """
    return in_markdown(text, address=lambda each: f"[{each}]({each})")


def _offer(text: str, buttons: Sequence[Button], show: Callable[[str], str]) -> Iterator[Post]:
    """A text with choices below it, and those for which there is no room below them."""
    for start in range(0, len(buttons), _MOST_ACTIONS):
        offered = buttons[start : start + _MOST_ACTIONS]
        yield _with_choices(in_words(text, offered), [], show(text), offered)
        text = ""


def _card(card: Card, show: Callable[[str], str]) -> Iterator[Post]:
    leads = [Button(title=card.title, payload="", url=card.url)] if card.url else []
    buttons = [*leads, *card.buttons]
    top = [{**_text(show(card.title)), "weight": "bolder"}]
    top += [{"type": "Image", "url": card.image_url}] if card.image_url else []
    said = in_words(card_text(card), [each for each in card.buttons if each in buttons[:_MOST_ACTIONS]])
    yield _with_choices(said or "…", top, show(card.text), buttons[:_MOST_ACTIONS])
    yield from _offer("", buttons[_MOST_ACTIONS:], show)


def _with_choices(said: str, top: list[Json], text: str, buttons: Sequence[Button]) -> Post:
    """A card with *buttons* below it; those that lead elsewhere need nobody who hears of it.

    Args:
        said: all of it, for those who cannot see cards.
        text: as cards have it.
    """
    links = [each for each in buttons if each.url]
    post = Post(body=_as_card(said, [*top, *_texts(text)], buttons))
    if len(links) == len(buttons):
        return post
    lines = in_words(text, [each for each in buttons if not each.url])
    unpressed = _as_card(said, [*top, *_texts(lines)], links) if top or links else {"text": said}
    return replace(post, unpressed=unpressed)


def _as_card(said: str, body: list[Json], buttons: Sequence[Button]) -> Json:
    """https://developer.webex.com/docs/buttons-and-cards"""
    content = {"type": "AdaptiveCard", "version": "1.2", "body": body, "actions": [_action(each) for each in buttons]}
    return {"text": said, "attachments": [{"contentType": _CARD, "content": content}]}


def _action(button: Button) -> Json:
    if button.url:
        return {"type": "Action.OpenUrl", "title": button.title, "url": button.url}
    data = {"title": button.title, "payload": button.payload}
    return {"type": "Action.Submit", "title": button.title, "data": data}


def _texts(text: str) -> list[Json]:
    return [_text(text)] if text else []


def _text(text: str) -> Json:
    return {"type": "TextBlock", "text": text, "wrap": True}
