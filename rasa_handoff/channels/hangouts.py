"""Google Chat, which was Hangouts Chat.

Rasa's channel answers inside Google's request and has no other way to a user. A service account has one, the Chat API;
without one, what waits comes with the user's next message. Rasa names a conversation after the user's display name.
It fails with a message that has files and no text, after it has checked Google's token.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from html import escape
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

import google.auth.exceptions
import google.auth.transport.requests
from google.oauth2 import service_account
from pydantic import BaseModel
from rasa.core.channels.channel import OutputChannel, UserMessage
from rasa.core.channels.hangouts import HangoutsOutput
from sanic.exceptions import SanicException
from sanic.request import Request
from sanic.response import BaseHTTPResponse

from rasa_handoff.backends.tokens import Token
from rasa_handoff.channels.base import (
    Around,
    Channel,
    ChannelFile,
    Heard,
    Notice,
    To,
    Traits,
    card_text,
    choices,
    in_words,
    link,
)
from rasa_handoff.channels.rest import Mailbox
from rasa_handoff.channels.service import Service, bearer, kind_of, require_path, texts
from rasa_handoff.channels.verbatim import JOINER, in_markdown, is_typed, with_room
from rasa_handoff.errors import FetchError, TemporaryError, UserAway, UserUnreachable
from rasa_handoff.fetch import File, host_of
from rasa_handoff.model import Attachment, AttachmentKind, Button, Card, Json, Message
from rasa_handoff.pieces import in_utf8

API = "https://chat.googleapis.com/v1"
_SCOPES = ("https://www.googleapis.com/auth/chat.bot",)
_LONGEST_TEXT = 4096  #: bytes, https://developers.google.com/workspace/chat/create-messages
# Ours -> an icon beside its name: https://developers.google.com/workspace/chat/format-messages#material-icons
_ICONS: dict[AttachmentKind, str] = {
    "audio": "music_note",
    "video": "movie",
    "file": "description",
    "location": "place",
}
# Google's own syntax has no way to say that nothing is markup; which one an app has is a setting of it otherwise:
# https://developers.google.com/workspace/chat/format-messages#format-texts
_MARKDOWN = "MARKUP_SYNTAX_MARKDOWN"
_TITLE = "title"  #: the parameter in which a button of ours brings its title back
_LIFETIME = 3600.0  #: seconds of Google's tokens, where it does not say


class HangoutsSettings(BaseModel, extra="forbid", frozen=True):
    """``channels: {hangouts: …}``."""

    service_account: str | None = None  #: the path of its key file (JSON)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the types cannot say."""
        if self.service_account is None:
            return
        try:
            _account(self.service_account)
        except OSError as error:
            yield "service_account", f"the file cannot be read: {error.strerror}"
        except (ValueError, google.auth.exceptions.GoogleAuthError):
            yield (
                "service_account",
                "the file is no service account's key; make one in the Google Cloud console: IAM > Service accounts > "
                "Keys > JSON",
            )


class Hangouts(Mailbox, Service):
    """With a service account it is like any service; without one, like a mailbox."""

    traits = Traits(
        name="hangouts",
        push="yes: by the Chat API, with a service account; else no: what waits comes with the user's next message",
        hears=("image", "file", "audio", "video", "pressed button"),
        shows=("image", "links to files", "buttons", "cards"),
        speaker="name before the text",
        longest_text=_LONGEST_TEXT,
        needs=(
            "`channels: {hangouts: {service_account: <its key file>}}` in our section, of the same Google Cloud "
            "project as the Chat app, for agents to reach users and to open their files.",
            "`project_id` in credentials.yml: without it Rasa's channel takes requests from anybody.",
        ),
        limits=(
            "Rasa names a conversation after the user's display name: two people of one name are one to it.",
            "Files cannot be uploaded: Google takes them from a person who has signed in, and from no service account.",
            "Google Chat has no typing indicator for apps.",
            "Without a service account Google Chat reads `*` and `_` in agents' texts as markup.",
        ),
        sources=(
            "https://developers.google.com/workspace/chat/api/reference/rest/v1/spaces.messages/create",
            "https://developers.google.com/workspace/chat/receive-respond-interactions",
            "https://developers.google.com/workspace/chat/download-media-attachments",
            "https://developers.google.com/workspace/chat/api/reference/rest/v1/media/upload",
            "https://developers.google.com/workspace/chat/api/reference/rest/v1/cards",
            "https://developers.google.com/workspace/chat/format-messages",
        ),
    )
    settings_model: ClassVar[type[BaseModel] | None] = HangoutsSettings

    def __init__(self, rasa: Any, around: Around) -> None:
        super().__init__(rasa, around)
        path = around.settings.service_account if around.settings is not None else None
        self._account: Any = _account(path) if path else None
        self._token = Token(self._sign_in, around.now)

    def troubles(self) -> Sequence[str]:
        if self.rasa.project_id:
            return ()
        return ("set project_id in credentials.yml: without it Rasa's channel takes requests from anybody",)

    @property
    def pushes(self) -> bool:
        return self._account is not None

    # -- what users say -----------------------------------------------------------------------

    def address(self, message: UserMessage, request: Request | None) -> Json | None:
        if request is None:
            return None
        event = request.json
        thread = (event.get("message") or {}).get("thread") or {}
        return {"space": event["space"]["name"], "thread": thread.get("name")}

    def heard(self, request: Request) -> Sequence[Heard]:
        event = request.json
        if event["type"] == "MESSAGE":
            return (_said(event["message"]),)
        sender_id = str(event["user"]["displayName"])
        if event["type"] == "CARD_CLICKED":
            clicked = (event.get("eventTime"), (event.get("message") or {}).get("name"))
            return (Heard(sender_id=sender_id, id=" ".join(filter(None, clicked)), button=_pressed(event["action"])),)
        return (Heard(sender_id=sender_id, unsaid=True),)

    def took(self, request: Request, response: BaseHTTPResponse) -> bool:
        """A message without a text lets Rasa's channel fail: only its own check tells whether it was authentic."""
        return super().took(request, response) or (response.status == 500 and self._is_authentic(request))

    def _is_authentic(self, request: Request) -> bool:
        if not self.rasa.project_id:  # then Rasa's channel asks for nothing either
            return True
        try:
            self.rasa._check_token(request.headers.get("Authorization", "").replace("Bearer ", ""))
        except (SanicException, google.auth.exceptions.GoogleAuthError):
            return False
        return True

    @asynccontextmanager
    async def open(self, reference: Json) -> AsyncIterator[File]:
        if self._account is None:
            raise FetchError("Google Chat gives files to a service account only; set channels.hangouts.service_account")
        try:
            token = await self._token.get()
        except (TemporaryError, UserUnreachable) as error:
            raise FetchError("Google does not sign the service account in") from error
        path = f"/media/{quote(reference['resource'])}"
        require_path(path, "/media/")
        url = f"{API}{path}?alt=media"
        async with self.fetched(url, bearer(token)) as file:
            yield file

    def trusted(self) -> Collection[str]:
        return (host_of(API),)

    # -- what they get ------------------------------------------------------------------------

    def output(self, to: To) -> OutputChannel:
        return _Output(self, to) if self._account else super().output(to)

    async def say(self, to: To, message: Message) -> None:
        await (Channel.say(self, to, message) if self._account else super().say(to, _calling_nobody(message)))

    async def notify(self, to: To, notice: Notice) -> None:
        await (Channel.notify(self, to, notice) if self._account else super().notify(to, notice))

    def parts(self, message: Message) -> Sequence[tuple[int, Json]]:
        return list(enumerate(_messages(message)))

    async def put(self, to: To, part: tuple[int, Json]) -> None:
        number, body = part
        request_id = f"handoff-{to.delivery_id}-{number}"[:60]
        try:
            await self.create(to, body, request_id)
        except UserUnreachable:
            if "cardsV2" not in body:
                raise
            syntax = {name: body[name] for name in ("markupSyntax",) if name in body}
            show = _as_typed if syntax else str
            instead = [show(each) for each in texts(body["fallbackText"], _LONGEST_TEXT, with_room(in_utf8))]
            for count, text in enumerate(filter(None, (body.get("text"), *instead))):
                await self.create(to, {"text": text, **syntax}, f"{request_id}-{count}")

    async def create(self, to: To, body: Json, request_id: str | None = None) -> None:
        """Post a message; the second one with the same *request_id* has no effect. Raises what `Channel.put` does."""
        if to.address is None:
            raise UserAway("hangouts: the user has to write first")
        query = {"messageReplyOption": "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"}
        if request_id:
            query["requestId"] = request_id
        thread = to.address.get("thread")
        url = f"{API}/{to.address['space']}/messages?{urlencode(query)}"
        await self.post_with(self._token, bearer, url, {**body, **({"thread": {"name": thread}} if thread else {})})

    def why(self, answer: Json) -> str:
        return str((answer.get("error") or {}).get("status", ""))

    async def _sign_in(self) -> tuple[str, float]:
        """A token for an hour, https://developers.google.com/workspace/chat/authenticate-authorize-chat-app."""
        account = self._account
        try:
            await self.in_thread(lambda: account.refresh(google.auth.transport.requests.Request()))
        except google.auth.exceptions.TransportError as error:
            raise TemporaryError(self.name, "sign the service account in", detail="Google cannot be reached") from error
        except google.auth.exceptions.GoogleAuthError as error:
            raise UserUnreachable("hangouts: Google does not take the service account's key") from error
        return str(account.token), _LIFETIME


class _Output(HangoutsOutput):
    """Rasa's, which gathers what it is to say for one answer, saying each thing by itself."""

    def __init__(self, channel: Hangouts, to: To) -> None:
        super().__init__()
        self._channel = channel
        self._to = to

    async def _persist_message(self, message: Json) -> None:
        await self._channel.create(self._to, message)


def _account(path: str) -> Any:
    return service_account.Credentials.from_service_account_file(path, scopes=_SCOPES)  # type: ignore[no-untyped-call]


# What users send


def _said(message: Json) -> Heard:
    text = message.get("argumentText") or message.get("text") or ""  # the former is without the mention
    return Heard(
        sender_id=str(message["sender"]["displayName"]),
        id=message.get("name"),
        text=text.strip(),
        attachments=tuple(_attachments(message)),
        dropped="text" not in message,
    )


def _attachments(message: Json) -> Iterator[Attachment | ChannelFile]:
    for each in message.get("attachment") or ():
        name, mime = each.get("contentName"), each.get("contentType")
        resource = (each.get("attachmentDataRef") or {}).get("resourceName")
        drive = (each.get("driveDataRef") or {}).get("driveFileId")
        if resource:
            yield ChannelFile(reference={"resource": resource}, kind=kind_of(mime), name=name, mime=mime)
        elif drive:  # whoever may see it there, sees it there
            url = f"https://drive.google.com/open?id={quote(drive, safe='')}"
            yield Attachment(url=url, kind="file", name=name, mime=mime)


def _pressed(action: Json) -> Button:
    parameters = {each.get("key"): each.get("value") for each in action.get("parameters") or ()}
    return Button(title=str(parameters.get(_TITLE) or ""), payload=str(action["actionMethodName"]))


# What agents send


def _messages(message: Message) -> Iterator[Json]:
    typed = is_typed(message)
    speaker = f"**{_as_typed(message.name)}**: " if typed and message.name else ""
    longest = _LONGEST_TEXT - sum(map(in_utf8, speaker))
    said = [_as_typed(each) if typed else each for each in texts(message.text, longest, with_room(in_utf8))]
    said[:1] = [speaker + each for each in said[:1]]
    syntax = {"markupSyntax": _MARKDOWN} if typed else {}
    for text in said[:-1] if message.buttons else said:
        yield {"text": text, **syntax}
    if message.buttons:
        above = {"text": said[-1]} if said else {}
        shown = _with_card("buttons", [_buttons(message.buttons)], instead=choices(message.buttons))
        yield {**shown, **above, **syntax}
    for attachment in message.attachments:
        yield {**_attachment(attachment), **syntax}
    for card in message.cards:
        yield {**_card(card, typed=typed), **syntax}


def _as_typed(text: str) -> str:
    """*text* in CommonMark, where every line ends that does, and nobody is called."""
    return in_markdown(_quiet(text), also="<&", address=lambda each: f"<{each}>").replace("\n", "  \n")


def _calling_nobody(message: Message) -> Message:
    return replace(message, text=_quiet(message.text)) if is_typed(message) else message


def _quiet(text: str) -> str:
    """https://developers.google.com/workspace/chat/format-messages#messages-@mention"""
    return text.replace("<users/", f"<{JOINER}users/")


def _attachment(attachment: Attachment) -> Json:
    """A picture, or the way to what Google Chat cannot show by its address."""
    if attachment.kind == "image":
        widget = {"image": _image(attachment.url, attachment.url, attachment.name)}
        return _with_card("image", [widget], instead=link(attachment))
    icon = {"materialIcon": {"name": _ICONS[attachment.kind]}}
    target = {"openLink": {"url": attachment.url}}
    name = escape(attachment.name or attachment.url, quote=False)
    named = {"startIcon": icon, "text": name, "wrapText": True, "onClick": target}
    return _with_card("file", [{"decoratedText": named}], instead=link(attachment))


def _card(card: Card, *, typed: bool) -> Json:
    """In which texts are HTML: https://developers.google.com/workspace/chat/format-messages#card-formatting."""
    widgets: list[Json] = [{"image": _image(card.image_url, card.url, card.title)}] if card.image_url else []
    text = escape(card.text, quote=False) if typed else card.text
    widgets += [{"textParagraph": {"text": text}}] if text else []
    leads = (Button(title=card.title, payload="", url=card.url),) if card.url else ()
    buttons = (*leads, *card.buttons)
    widgets += [_buttons(buttons)] if buttons else []
    shown = widgets or [{"textParagraph": {"text": card.title}}]
    return _with_card("card", shown, instead=in_words(card_text(card), card.buttons), title=card.title)


def _with_card(card_id: str, widgets: list[Json], *, instead: str, title: str = "") -> Json:
    """https://developers.google.com/workspace/chat/api/reference/rest/v1/cards

    Args:
        instead: where cards cannot be shown, as in notifications.
    """
    header = {"header": {"title": title}} if title else {}
    card = {"cardId": card_id, "card": {**header, "sections": [{"widgets": widgets}]}}
    return {"cardsV2": [card], "fallbackText": instead}


def _image(url: str, leads_to: str | None, name: str | None) -> Json:
    target = {"onClick": {"openLink": {"url": leads_to}}} if leads_to else {}
    return {"imageUrl": url, "altText": name or "image", **target}


def _buttons(buttons: Sequence[Button]) -> Json:
    return {"buttonList": {"buttons": [{"text": each.title, "onClick": _on_click(each)} for each in buttons]}}


def _on_click(button: Button) -> Json:
    if button.url:
        return {"openLink": {"url": button.url}}
    return {"action": {"function": button.payload, "parameters": [{"key": _TITLE, "value": button.title}]}}
