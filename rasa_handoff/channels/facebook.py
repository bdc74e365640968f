"""Rasa's Facebook channel: Messenger, by Meta's Send API.

Rasa tells the bot of the first message in a request, and of its text or its first file's address; it drops the
rest. Its own client takes every answer of Meta's for a success.

Inbound: https://developers.facebook.com/docs/messenger-platform/reference/webhook-events/messages
Outbound: https://developers.facebook.com/docs/messenger-platform/reference/send-api
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from pydantic import BaseModel
from rasa.core.channels.channel import OutputChannel
from requests.adapters import HTTPAdapter
from sanic.request import Request
from sanic.response import BaseHTTPResponse

from rasa_handoff import attachments
from rasa_handoff.backends.http import Reply
from rasa_handoff.channels.base import (
    BLOCKED,
    Around,
    Channel,
    Heard,
    Threaded,
    To,
    Traits,
    card_text,
    in_words,
    link,
    place,
)
from rasa_handoff.channels.facebook_personas import Personas, speaker_of
from rasa_handoff.channels.service import read, texts
from rasa_handoff.errors import BackendError, TemporaryError, UserUnreachable
from rasa_handoff.model import Attachment, AttachmentKind, Button, Card, Json, Message

# Without a version Meta takes the oldest that it still has, so that none can expire under us.
API = "https://graph.facebook.com"
LONGEST_TEXT = 2000  #: characters (https://developers.facebook.com/docs/messenger-platform/reference/send-api#message)
_LONGEST_OFFER = 640  #: … of a text above buttons
_LONGEST_LINE = 80  #: … of a card's title, and of its text
_LONGEST_TITLE = 20  #: … of a button
_MOST_REPLIES = 13  #: choices below a text
_MOST_BUTTONS = 3  #: … of a template, and of a card
_MOST_CARDS = 10  #: side by side
# Meta gets a file from its address while we wait, and gives a video up after 75 seconds
# (https://developers.facebook.com/documentation/business-messaging/messenger-platform/send-messages/saving-assets).
_VIDEO = 90.0  #: seconds for Meta to take one
_WHO = "facebook"
_DOING = "send a message"

# Theirs -> ours. A sticker comes as both "sticker" and "image" until 2026-08-30.
_KINDS: dict[str, AttachmentKind] = {
    "image": "image",
    "sticker": "image",
    "audio": "audio",
    "video": "video",
    "reel": "video",
    "ig_reel": "video",
}
_TOLD = {"audio", "image", "video", "file"}  #: first files whose address Rasa's channel tells the bot

# https://developers.facebook.com/docs/messenger-platform/error-codes
_WINDOW = {2018278, 2018065}  #: subcodes
_TEMPORARY = {1, 2, 4, 17, 32, 341, 368, 613, 1200}  #: codes
_NEVER = {
    2018001: "Messenger knows no such user of this page",
    2018108: "the user takes no messages from the page",
    1545041: "the user cannot be reached now: they have blocked the page, or left Messenger",
    2018027: "the user's account is gone",
}


class Settings(BaseModel, extra="forbid"):
    """``channels: {facebook: …}`` in our section."""

    human_agent: bool = False
    #: Whether Meta has granted the app "Human Agent": agents can then answer for seven days after the user last
    #: wrote, and not for 24 hours (https://developers.facebook.com/docs/features-reference/human-agent).


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One message as the Send API takes it."""

    message: Json
    instead: str = ""  #: what to say when it is not taken
    speaker: Json = field(default_factory=dict)  #: see `speaker_of`


class Facebook(Channel):
    """People who write to a page."""

    settings_model = Settings
    traits = Traits(
        name="facebook",
        push="yes: within 24 hours after the user last wrote; 7 days where Meta has granted Human Agent",
        hears=(
            "image",
            "file",
            "audio",
            "video",
            "sticker",
            "shared link",
            "location",
            "pressed button",
            "edited message",
        ),
        shows=("image", "file", "audio", "video", "quick replies", "buttons", "cards"),
        typing=True,
        speaker="name and picture, as a persona of the page, where Meta lets it have some; and in a notice",
        longest_text=LONGEST_TEXT,
        needs=(
            "`channels: {facebook: {human_agent: true}}` in our section, if Meta has granted the app Human Agent.",
            "The webhook field `message_edits`, for agents to read what users have changed.",
        ),
        limits=(
            "After 24 hours (7 days with Human Agent) nothing reaches a user until they write; the agent is told so.",
            "Messenger may show words between `*` or `_` bold or slanted, also in agents' texts: it has no way to say "
            "that they are plain.",
        ),
        sources=(
            "https://developers.facebook.com/docs/messenger-platform/reference/webhook-events",
            "https://developers.facebook.com/docs/messenger-platform/reference/webhook-events/message-edits",
            "https://developers.facebook.com/docs/messenger-platform/reference/send-api",
            "https://developers.facebook.com/docs/messenger-platform/send-messages/personas",
            "https://developers.facebook.com/docs/messenger-platform/policy/policy-overview#standard_messaging",
        ),
    )

    def __init__(self, rasa: Any, around: Around) -> None:
        super().__init__(rasa, around)
        self.personas = Personas(self._make_persona, around)

    # -- what users say -----------------------------------------------------------------------

    def heard(self, request: Request) -> Sequence[Heard]:
        return tuple(_heard(request.json))

    def took(self, request: Request, response: BaseHTTPResponse) -> bool:
        """Rasa refuses with ``200 not validated``."""
        return super().took(request, response) and response.body == b"success"

    # -- what they get ------------------------------------------------------------------------

    def output(self, to: To) -> OutputChannel:
        output = self.rasa.get_output_channel()
        for scheme in ("https://", "http://"):
            output.messenger_client.session.mount(scheme, _InTime())
        return Threaded(output, self)

    def parts(self, message: Message) -> Sequence[Post]:
        return [replace(each, speaker=speaker_of(message)) for each in _posts(message)]

    def patience(self, part: Post) -> float:
        """A video that is not taken is tried without the persona, too, before it comes as a link."""
        longest = _longest(part.message)
        return super().patience(part) + (2 * longest if longest else 0.0)

    async def put(self, to: To, part: Post) -> None:
        try:
            await self._send(to, part.message, part.speaker)
        except _NotTaken as error:
            if not part.instead:
                raise UserUnreachable(str(error)) from error
            for text in texts(part.instead, LONGEST_TEXT):
                await self._send(to, {"text": text}, part.speaker)

    async def typing(self, to: To, typing: bool) -> None:
        action = "typing_on" if typing else "typing_off"
        await self._ask("messages", {"recipient": {"id": to.sender_id}, "sender_action": action})

    async def _send(self, to: To, message: Json, speaker: Json) -> None:
        persona = await self.personas.of(speaker)
        if persona is None:
            await self._say(to, {"message": message})
            return
        try:
            await self._say(to, {"message": message, "persona_id": persona})
        except _NotTaken:
            await self._say(to, {"message": message})
            await self.personas.forget(speaker)  # it was not the message

    async def _say(self, to: To, said: Json) -> None:
        body, longest = {"recipient": {"id": to.sender_id}, **said}, _longest(said["message"])
        try:
            await self._ask("messages", {**body, "messaging_type": "RESPONSE"}, longest)
        except _WindowClosed:
            if self.around.settings is None or not self.around.settings.human_agent:
                raise
            await self._ask("messages", {**body, "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}, longest)

    async def _make_persona(self, speaker: Json) -> str:
        made = await self._ask("personas", speaker)
        if "id" not in made:
            raise BackendError(_WHO, "make a persona", detail="no id in the answer")
        return str(made["id"])

    async def _ask(self, what: str, body: Json, longest: float | None = None) -> Json:
        headers, url = {"Authorization": f"Bearer {self.rasa.fb_access_token}"}, f"{API}/me/{what}"
        reply = await self.http.ask(_DOING, "POST", url, body=body, headers=headers, judge=_judge, timeout=longest)
        return read(reply)


class _InTime(HTTPAdapter):
    """Gives up what is not answered, where Rasa's client would wait for ever."""

    def send(self, request: Any, stream: bool = False, timeout: Any = None, *rest: Any, **more: Any) -> Any:
        return super().send(request, stream, timeout or BLOCKED, *rest, **more)


class _NotTaken(BackendError):
    """Meta does not take this content."""


class _WindowClosed(UserUnreachable):
    """Too long ago that the user last wrote."""


def _judge(reply: Reply) -> None:
    """Raise what Meta's answer means."""
    doing = _DOING
    if reply.status < 300:
        return
    try:
        error = reply.json(_WHO, doing).get("error") or {}
    except BackendError:
        error = {}
    code, subcode = error.get("code"), error.get("error_subcode")
    if subcode in _WINDOW:
        raise _WindowClosed(f"{_WHO}: Messenger takes no message so long after the user last wrote ({code}/{subcode})")
    if subcode in _NEVER or code == 551:
        raise UserUnreachable(f"{_WHO}: {_NEVER.get(cast('int', subcode), _NEVER[1545041])} ({code}/{subcode})")
    if reply.status == 429 or reply.status >= 500 or code in _TEMPORARY:
        raise TemporaryError(_WHO, doing, reply.status, f"error {code}")
    if code == 190 or reply.status == 401:
        raise TemporaryError(_WHO, doing, reply.status, "it does not take the page-access-token in credentials.yml")
    raise _NotTaken(_WHO, doing, reply.status, f"error {code}/{subcode}")


# -- theirs, as ours ------------------------------------------------------------------------------


def _heard(payload: Json) -> Iterator[Heard]:
    first = True  # Rasa's channel is done with a request after its first message
    for entry in payload["entry"]:
        for event in entry.get("messaging", ()):
            if event.get("message"):
                if not event["message"].get("is_echo"):
                    yield _message(event, told=first)
                first = False
            elif event.get("postback"):
                yield _postback(event, told=first)
                first = False
            elif event.get("message_edit"):
                yield _edit(event)


def _message(event: Json, *, told: bool) -> Heard:
    message = event["message"]
    payload = (message.get("quick_reply") or {}).get("payload")
    found = message.get("attachments") or []
    told = told and bool(payload or "text" in message or (found and found[0].get("type") in _TOLD))
    carried = {each.url: each for each in map(_attachment, found) if each is not None}
    said = [message.get("text"), *(_words(each) for each in found)]
    return Heard(
        sender_id=str(event["sender"]["id"]),
        id=message.get("mid"),
        text="\n".join(filter(None, said)),
        attachments=tuple(carried.values()),
        button=Button(title=message.get("text") or "", payload=payload) if payload else None,
        dropped=not told,
    )


def _postback(event: Json, *, told: bool) -> Heard:
    postback = event["postback"]
    return Heard(
        sender_id=str(event["sender"]["id"]),
        id=postback.get("mid") or f"postback:{event.get('timestamp')}",
        button=Button(title=postback.get("title") or "", payload=postback.get("payload") or ""),
        dropped=not told,
    )


def _edit(event: Json) -> Heard:
    """https://developers.facebook.com/docs/messenger-platform/reference/webhook-events/message-edits"""
    edit = event["message_edit"]
    return Heard(
        sender_id=str(event["sender"]["id"]),
        id=f"{edit['mid']}:{edit['num_edit']}",
        edits=edit["mid"],
        text=edit.get("text") or "",
        dropped=True,
    )


def _attachment(told: Json) -> Attachment | None:
    payload = told.get("payload") or {}
    where = payload.get("coordinates")
    if where:
        return place(where["lat"], where["long"], told.get("title") or "")
    url = payload.get("url") or told.get("url")
    name = payload.get("title") or told.get("title")
    return attachments.read({"url": url, "kind": _KINDS.get(told.get("type", ""), "file"), "name": name})


def _words(told: Json) -> str:
    """What can be read of an attachment that has nothing to look at."""
    payload = told.get("payload") or {}
    products = (payload.get("product") or {}).get("elements") or ()
    lines = [" - ".join(filter(None, (each.get("title"), each.get("subtitle")))) for each in products]
    if payload.get("booking_id"):
        lines.append(f"Appointment {payload['booking_id']}: {payload.get('status')}")
    return "\n".join(lines)


# -- ours, as theirs ------------------------------------------------------------------------------


def _posts(message: Message) -> Iterator[Post]:
    yield from _said(message.text, message.buttons)
    yield from map(_file, message.attachments)
    yield from _cards(message.cards)


def _said(text: str, buttons: Sequence[Button]) -> Iterator[Post]:
    """A text in pieces; its choices are with the last."""
    *before, last = texts(text, LONGEST_TEXT) or [""]
    yield from (Post(message={"text": each}) for each in before)
    if buttons and len(buttons) <= _MOST_REPLIES and not any(each.url for each in buttons):
        replies = [
            {"content_type": "text", "title": _cut(each.title, _LONGEST_TITLE), "payload": each.payload or each.title}
            for each in buttons
        ]
        yield Post(message={"text": last or "…", "quick_replies": replies}, instead=in_words(last, buttons))
        return
    if last and (not buttons or len(last) > _LONGEST_OFFER):
        yield Post(message={"text": last})
        last = ""
    for begin in range(0, len(buttons), _MOST_BUTTONS):
        offered, above = buttons[begin : begin + _MOST_BUTTONS], last if not begin else ""
        payload = {"template_type": "button", "text": above or "…", "buttons": [_button(each) for each in offered]}
        instead = in_words(above, offered)
        yield Post(message={"attachment": {"type": "template", "payload": payload}}, instead=instead)


def _file(attachment: Attachment) -> Post:
    if attachment.kind == "location":
        return Post(message={"text": link(attachment)})
    sent = {"type": attachment.kind, "payload": {"url": attachment.url, "is_reusable": False}}
    return Post(message={"attachment": sent}, instead=link(attachment))


def _longest(message: Json) -> float | None:
    """Seconds for Meta to take *message*; None: as for any."""
    return _VIDEO if message.get("attachment", {}).get("type") == "video" else None


def _cards(cards: Sequence[Card]) -> Iterator[Post]:
    """Side by side where they fit, else one below the other."""
    if not all(map(_fits, cards)):
        for card in cards:
            picture = (Attachment(url=card.image_url, kind="image"),) if card.image_url else ()
            yield from map(_file, picture)
            yield from _said(card_text(card), card.buttons)
        return
    for begin in range(0, len(cards), _MOST_CARDS):
        shown = cards[begin : begin + _MOST_CARDS]
        payload = {"template_type": "generic", "elements": [_element(each) for each in shown]}
        instead = "\n\n".join(in_words(card_text(each), each.buttons) for each in shown)
        yield Post(message={"attachment": {"type": "template", "payload": payload}}, instead=instead)


def _fits(card: Card) -> bool:
    more = card.text or card.image_url or card.buttons or card.url
    lines = max(len(card.title), len(card.text)) <= _LONGEST_LINE and len(card.buttons) <= _MOST_BUTTONS
    return bool(card.title and more) and lines


def _element(card: Card) -> Json:
    element: Json = {"title": card.title, "subtitle": card.text, "image_url": card.image_url}
    if card.url:
        element["default_action"] = {"type": "web_url", "url": card.url}
    if card.buttons:
        element["buttons"] = [_button(each) for each in card.buttons]
    return {name: value for name, value in element.items() if value}


def _button(button: Button) -> Json:
    title = _cut(button.title, _LONGEST_TITLE)
    if button.url:
        return {"type": "web_url", "title": title, "url": button.url}
    return {"type": "postback", "title": title, "payload": button.payload or button.title}


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
