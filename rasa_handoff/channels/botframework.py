"""Microsoft's Bot Framework: Teams, Web Chat, Direct Line and what else is connected to an Azure bot.

Rasa's channel answers into the conversation of the request it has in hand, and keeps nothing of it. Attachments are
in the message's metadata; nothing is dropped but what is no message.
"""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import jwt
from rasa.core.channels import botframework
from rasa.core.channels.channel import OutputChannel, UserMessage
from sanic.request import Request

from rasa_handoff.backends.tokens import Token
from rasa_handoff.channels.agent_files import mime_of
from rasa_handoff.channels.base import Around, ChannelFile, Heard, To, Traits, card_text, in_words, place
from rasa_handoff.channels.service import Service, bearer, kind_of, require_host, texts
from rasa_handoff.channels.verbatim import in_markdown, is_typed
from rasa_handoff.errors import FetchError, TemporaryError, UserAway, UserUnreachable
from rasa_handoff.fetch import File
from rasa_handoff.model import Attachment, Button, Card, Json, Message

# Of those that are connected, most take this much of a text; Teams takes 100 kB of a whole message
# (https://learn.microsoft.com/microsoftteams/platform/bots/how-to/format-your-bot-messages).
_LONGEST_TEXT = 4000
_SCOPE = "https://api.botframework.com/.default"
_HERO = "application/vnd.microsoft.card.hero"
_TEAMS = "msteams"  #: the framework's name of it among the services that a bot is connected to
_TEAMS_FILE = "application/vnd.microsoft.teams.file.download.info"
_KEPT = ("id", "conversationType", "tenantId", "isGroup")  #: of a conversation
# Microsoft's own services, which take the bot's token, and no others:
# https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-authentication
_TEAMS_HOST = "smba.trafficmanager.net"
_HOSTS = (_TEAMS_HOST, ".botframework.com", ".botframework.us", ".teams.microsoft.com")
# What a file is taken for where nobody says more than its kind.
_USUAL = {"image": "image/png", "audio": "audio/mpeg", "video": "video/mp4"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message, but for whom it is to reach."""

    activity: Json
    instead: Json | None = None  #: where it is not taken
    in_teams: bool = True  #: whether Teams shows it
    typed: bool = False  #: a person did, who means no markup


class BotFramework(Service):
    traits = Traits(
        name="botframework",
        push="yes: into the conversation that the user wrote in last",
        hears=("image", "file", "audio", "video", "location", "pressed button", "edited message", "deleted message"),
        shows=("image", "file", "audio", "video", "buttons", "cards"),
        typing=True,
        speaker="in a notice",
        longest_text=_LONGEST_TEXT,
        needs=(
            "`app_id` and `app_password` of a bot that is registered as multi-tenant: Rasa's channel knows no other.",
        ),
        limits=(
            "Files in Teams come from personal chats only, and with `supportsFiles: true` in the app's manifest.",
            "In Teams, files, sounds and videos of agents come as links: it plays none of a bot's, and takes files "
            "only into the user's OneDrive, after a question each time whose answer Rasa's channel cannot take.",
        ),
        sources=(
            "https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference",
            "https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-add-media-attachments",
            "https://learn.microsoft.com/microsoftteams/platform/bots/how-to/bots-filesv4",
            "https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-reference",
        ),
    )

    # https://learn.microsoft.com/microsoftteams/platform/bots/build-conversational-capability: 412 is to be tried again
    again = Service.again | {412}

    def __init__(self, rasa: Any, around: Around) -> None:
        super().__init__(rasa, around)
        self._token = Token(self._sign_in, around.now)

    # -- what users say -----------------------------------------------------------------------

    def address(self, message: UserMessage, request: Request | None) -> Json | None:
        activity = request.json if request is not None else {}
        if request is None or activity.get("type") != "message" or not _is_trusted(activity["serviceUrl"], request):
            return None
        conversation = {name: value for name, value in activity["conversation"].items() if name in _KEPT}
        bot = {"id": activity["recipient"]["id"], "name": activity["recipient"].get("name")}
        channel = activity.get("channelId")
        return {"service_url": activity["serviceUrl"], "channel": channel, "conversation": conversation, "bot": bot}

    def heard(self, request: Request) -> Sequence[Heard]:
        activity = request.json
        if activity.get("type") == "messageUpdate":
            return (_edited(activity),)
        if activity.get("type") == "messageDelete":
            return (_deleted(activity),)
        if activity.get("type") != "message":
            return ()
        heard = Heard(
            sender_id=str(activity["from"]["id"]),
            id=activity.get("id"),
            attachments=(*_attachments(activity), *_places(activity)),
            button=_pressed(activity),
        )
        return (heard,)

    @asynccontextmanager
    async def open(self, reference: Json) -> AsyncIterator[File]:
        if not _wants_token(reference["url"]):
            raise FetchError("it is no file of the channel's")
        try:
            token = await self._token.get()
        except (TemporaryError, UserUnreachable) as error:
            raise FetchError("Microsoft does not sign the bot in") from error
        async with self.fetched(reference["url"], bearer(token)) as file:
            yield file

    def trusted(self) -> Collection[str]:
        return (f"{_TEAMS_HOST}:443",)

    # -- what they get ------------------------------------------------------------------------

    def output(self, to: To) -> OutputChannel:
        return _Output(self, to)

    def parts(self, message: Message) -> Sequence[Said]:
        return [replace(each, typed=is_typed(message)) for each in _said(message)]

    async def put(self, to: To, part: Said) -> None:
        in_teams = _require(to).get("channel", _TEAMS) == _TEAMS
        shown = part.in_teams or not in_teams
        show = partial(_verbatim, in_teams=in_teams) if part.typed else _as_it_is
        try:
            await self._say(to, show(part.activity if shown else part.instead or {}))
        except UserUnreachable as error:
            if part.instead is None or not shown or isinstance(error, UserAway):
                raise
            await self._say(to, show(part.instead))

    async def _say(self, to: To, activity: Json) -> None:
        await self.send(to, {"type": "message", **activity})

    async def typing(self, to: To, typing: bool) -> None:
        if typing:
            await self.send(to, {"type": "typing"})

    async def send(self, to: To, activity: Json) -> None:
        """Post *activity* into the conversation.

        Raises:
            UserAway: it is not known which.
            TemporaryError, UserUnreachable: as `Channel.put` does.
        """
        where = _require(to)
        body = {"from": where["bot"], "recipient": {"id": to.sender_id}, "conversation": where["conversation"]}
        await self.post_with(self._token, bearer, _url(where), {**body, **activity})

    def why(self, answer: Json) -> str:
        return str((answer.get("error") or {}).get("code", ""))

    async def _sign_in(self) -> tuple[str, float]:
        # Rasa keeps a token of its own to its very last second, and fetches it with the event loop standing still.
        url = f"{botframework.MICROSOFT_OAUTH2_URL}/{botframework.MICROSOFT_OAUTH2_PATH}"
        form = {
            "grant_type": "client_credentials",
            "client_id": self.rasa.app_id,
            "client_secret": self.rasa.app_password,
            "scope": _SCOPE,
        }
        answer = await self.post(url, None, {}, form=form, doing="sign the bot in")
        try:
            return str(answer["access_token"]), float(answer["expires_in"])
        except (KeyError, TypeError, ValueError) as error:
            raise TemporaryError(self.name, "sign the bot in", detail="no token in the answer") from error


class _Output(botframework.BotFramework):
    """Rasa's, whose requests would block, with requests that do not."""

    def __init__(self, channel: BotFramework, to: To) -> None:
        where = _require(to)
        super().__init__(
            channel.rasa.app_id, channel.rasa.app_password, where["conversation"], where["bot"], where["service_url"]
        )
        self._channel = channel
        self._to = to

    async def send(self, message_data: Json) -> None:
        await self._channel.send(self._to, message_data)


def _require(to: To) -> Json:
    if to.address is None:
        raise UserAway("botframework: the user has to write first")
    return to.address


def _url(where: Json) -> str:
    base = where["service_url"].rstrip("/")
    return f"{base}/v3/conversations/{quote(where['conversation']['id'], safe='')}/activities"


def _is_trusted(service_url: str, request: Request) -> bool:
    """Whether the bot's token may go there: to Microsoft, and to what Microsoft's signature in *request* names.

    Rasa's channel has found the signature right, but it is not about the body; the claim in it is what counts:
    https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-authentication
    """
    if _is_microsoft(service_url):
        return True
    token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return False
    return bool(service_url) and claims.get("serviceurl") == service_url


def _is_microsoft(url: str) -> bool:
    try:
        require_host(url, *_HOSTS)
    except FetchError:
        return False
    return True


# What users send


def _edited(activity: Json) -> Heard:
    """Under the id of what was edited, with all that it says now, and unknown to Rasa's channel.

    https://github.com/microsoft/botframework-sdk/blob/main/specs/botframework-activity/botframework-activity.md
    (message update activity); of those that are connected, Teams sends them.
    """
    return Heard(
        sender_id=str(activity["from"]["id"]),
        id=_change(activity),
        edits=str(activity["id"]),
        text=activity.get("text") or "",
        attachments=tuple(_attachments(activity)),
        dropped=True,
    )


def _deleted(activity: Json) -> Heard:
    """A message delete activity, of that page; Teams has one for each time."""
    return Heard(sender_id=str(activity["from"]["id"]), id=_change(activity), deletes=str(activity["id"]), dropped=True)


def _change(activity: Json) -> str | None:
    return f"{activity['id']}:{activity['timestamp']}" if activity.get("timestamp") else None


def _attachments(activity: Json) -> Iterator[Attachment | ChannelFile]:
    for each in activity.get("attachments") or ():
        mime, name, url = each.get("contentType"), each.get("name"), each.get("contentUrl")
        if mime == _TEAMS_FILE:  # the link is open to everybody, for minutes
            content = each.get("content") or {}
            guessed = mimetypes.guess_type(name or f"x.{content.get('fileType')}")[0]
            yield Attachment(url=content["downloadUrl"], kind=kind_of(guessed), name=name, mime=guessed)
        elif url and _wants_token(url):
            yield ChannelFile(reference={"url": url}, kind=kind_of(mime), name=name, mime=mime)
        elif url:
            yield Attachment(url=url, kind=kind_of(mime), name=name, mime=mime)


def _wants_token(url: str) -> bool:
    """Whether a file is Microsoft's to give, and to the bot only."""
    path = urlsplit(url).path
    return _is_microsoft(url) and "/attachments/" in path and ".." not in unquote(path)


def _places(activity: Json) -> Iterator[Attachment]:
    for each in activity.get("entities") or ():
        geo = each.get("geo") or {}
        if each.get("type") == "Place" and "latitude" in geo and "longitude" in geo:
            yield place(geo["latitude"], geo["longitude"], each.get("name") or "")


def _pressed(activity: Json) -> Button | None:
    """The button of ours that was pressed: what `_action` gave it comes back."""
    value = activity.get("value")
    if not isinstance(value, dict) or not {"title", "payload"} <= set(value):
        return None
    return Button(title=str(value["title"]), payload=str(value["payload"]))


# What agents send


def _said(message: Message) -> Iterator[Said]:
    said = texts(message.text, _LONGEST_TEXT)
    for text in said[:-1] if message.buttons else said:
        yield Said(activity={"text": text})
    if message.buttons:
        above = said[-1] if said else ""
        instead = {"text": in_words(above, message.buttons)}
        shown = _hero({}, message.buttons)
        yield Said(activity={"text": above, **shown} if above else shown, instead=instead)
    yield from map(_attachment, message.attachments)
    for card in message.cards:
        yield Said(activity=_card(card), instead={"text": in_words(card_text(card), card.buttons)})


def _attachment(attachment: Attachment) -> Said:
    """Teams shows a bot's pictures and no other files; the framework has the other services show what they can."""
    if attachment.kind == "location":
        return Said(activity=_link(attachment))
    known = mime_of(attachment)
    mime = known if kind_of(known) == attachment.kind else _USUAL.get(attachment.kind, known)
    name = attachment.name or attachment.kind
    shown = {"attachments": [{"contentType": mime, "contentUrl": attachment.url, "name": name}]}
    return Said(activity=shown, instead=_link(attachment), in_teams=attachment.kind == "image")


def _link(attachment: Attachment) -> Json:
    """By its name, where it has one."""
    if not attachment.name:
        return {"text": attachment.url}
    return _hero({}, [Button(title=attachment.name, payload="", url=attachment.url)])


def _card(card: Card) -> Json:
    content: Json = {"title": card.title, "text": card.text or None}
    if card.image_url:
        content["images"] = [{"url": card.image_url}]
    if card.url:
        content["tap"] = {"type": "openUrl", "value": card.url}
    return _hero(content, card.buttons)


def _as_it_is(activity: Json) -> Json:
    return activity


def _verbatim(activity: Json, *, in_teams: bool) -> Json:
    """*activity* with its texts as they are, where markup is looked for in both of an activity's.

    https://github.com/microsoft/botframework-sdk/blob/main/specs/botframework-activity/botframework-activity.md (text
    format); of a card's Teams reads HTML (https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/
    cards/cards-format), and Web Chat Markdown (https://github.com/microsoft/BotFramework-WebChat).
    """
    plain = {"textFormat": "plain"} if "text" in activity else {}
    escaped = partial(escape, quote=False) if in_teams else in_markdown
    cards = [
        {**each, "content": {**each["content"], "text": escaped(each["content"]["text"])}}
        if "text" in each.get("content", {})
        else each
        for each in activity.get("attachments", ())
    ]
    return {**activity, **plain, **({"attachments": cards} if cards else {})}


def _hero(content: Json, buttons: Sequence[Button]) -> Json:
    content = {name: value for name, value in content.items() if value}
    if buttons:
        content["buttons"] = [_action(each) for each in buttons]
    return {"attachments": [{"contentType": _HERO, "content": content}]}


def _action(button: Button) -> Json:
    """https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-add-rich-cards"""
    if button.url:
        return {"type": "openUrl", "title": button.title, "value": button.url}
    if button.payload == button.title:
        return {"type": "imBack", "title": button.title, "value": button.title}
    return {
        "type": "messageBack",
        "title": button.title,
        "displayText": button.title,
        "text": button.payload,
        "value": {"title": button.title, "payload": button.payload},
    }
