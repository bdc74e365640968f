"""Rasa's Twilio channel: SMS, MMS and WhatsApp, by Twilio's Messages resource.

Rasa reads the text and, on WhatsApp, a place. A message with a file and no text makes its handler fail, and
nobody hears of it.

Inbound: https://www.twilio.com/docs/messaging/guides/webhook-request
Outbound: https://www.twilio.com/docs/messaging/api/message-resource
"""

from __future__ import annotations

import asyncio
import mimetypes
import re
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urlsplit

from pydantic import BaseModel
from rasa.core.channels.channel import OutputChannel, UserMessage
from sanic.request import Request
from sanic.response import BaseHTTPResponse

from rasa_handoff.backends.http import Reply
from rasa_handoff.channels.base import (
    BLOCKED,
    Around,
    Channel,
    ChannelFile,
    Heard,
    Threaded,
    To,
    Traits,
    card_text,
    link,
    place,
)
from rasa_handoff.channels.notes import note
from rasa_handoff.channels.service import texts
from rasa_handoff.errors import BackendError, FetchError, TemporaryError, UserUnreachable
from rasa_handoff.fetch import File, host_of
from rasa_handoff.model import Attachment, AttachmentKind, Button, Json, Message

API = "https://api.twilio.com"
MESSAGING = "https://messaging.twilio.com"
LONGEST_TEXT = 1600  #: characters (https://www.twilio.com/docs/api/errors/21617)
WINDOW = 24 * 3600.0  #: seconds after a WhatsApp user's last message in which anything can be written to them
LOOKS = (1.0, 2.0)  #: seconds after which it is looked whether WhatsApp took a message
_WHO = "twilio"
_WHATSAPP = "whatsapp:"
_MOST_FILES = 10  #: of a message
_REMEMBERED = 10_000  #: users
_THEIRS = re.compile(r"api\.[a-z0-9-]+\.twilio\.com")  #: the API's hosts in other regions than the first
_MEDIUM = re.compile(r"/[0-9-]+/Accounts/\w+/Messages/\w+/Media/\w+")  #: and nothing else of the account's

# Twilio's number of what will never work (https://www.twilio.com/docs/api/errors) -> what an agent understands.
_NEVER = {
    21211: "this is not a valid number",
    21408: "messages to the user's country are not switched on in the Twilio account",
    21610: "the user has unsubscribed (STOP)",
    21612: "no message can go from the bot's number to the user's",
    21614: "the user's number is not a mobile one",
    30003: "the user's phone is off or out of reach",
    30004: "the user or their carrier blocks messages",
    30005: "the user's number is not in use",
    30006: "the user's number cannot take messages (a landline, perhaps)",
    30007: "the user's carrier took the message for spam",
    63003: "the user is not on WhatsApp",
    63016: "WhatsApp takes no message of this kind more than 24 hours after the user last wrote; only a template",
    63024: "the user cannot take WhatsApp messages",
    63032: "WhatsApp does not let this user have the message",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sms:
    """One message, but for whom it is to reach."""

    text: str = ""
    media_url: str | None = None
    instead: str = ""  #: what to say when the file is not taken


class Settings(BaseModel, extra="forbid"):
    """``channels: {twilio: …}`` in our section."""

    whatsapp_typing: bool = False
    #: Whether WhatsApp users see that the agent is typing, and that their last message was read. A public beta of
    #: Twilio's, and not for what falls under HIPAA or PCI
    #: (https://www.twilio.com/docs/whatsapp/api/typing-indicators-resource, read 2026-11).


class Twilio(Channel):
    """People with a phone number, or on WhatsApp."""

    settings_model = Settings
    traits = Traits(
        name="twilio",
        push="yes: by SMS, or WhatsApp within 24 hours after the user last wrote",
        hears=("image", "file", "audio", "voice message", "video", "location", "contact", "pressed button"),
        shows=("image", "file", "audio", "video", "buttons as lines of text", "cards as text"),
        typing="on WhatsApp, where it is switched on",
        longest_text=LONGEST_TEXT,
        needs=(
            "`public_url`, for agents at a system that takes links and no files to see files of users.",
            "`channels: {twilio: {whatsapp_typing: true}}` in our section, for WhatsApp users to see that the agent is "
            "typing: a public beta of Twilio's, which is not for what falls under HIPAA or PCI.",
        ),
        limits=(
            "WhatsApp: a message that is not a template does not reach a user who has not written for 24 hours; the "
            "agent is told so.",
            "SMS has no typing indicator.",
            "A link of more than 1,600 characters does not reach the user; the agent is told so.",
            "WhatsApp shows words between `*`, `_` or `~` bold, slanted or struck out, also in agents' texts: it has "
            "no way to say that they are plain.",
            "Choices are lines of text: SMS has no buttons, and WhatsApp's need a template that is registered with "
            "Twilio for each set of them.",
            "Files by MMS only where the carrier has it (USA, Canada, Australia); elsewhere they come as links.",
            "Rasa's channel does not check where a webhook comes from: keep its address to yourself.",
        ),
        sources=(
            "https://www.twilio.com/docs/messaging/guides/webhook-request",
            "https://www.twilio.com/docs/messaging/api/message-resource",
            "https://www.twilio.com/docs/api/errors/63016",
            "https://www.twilio.com/docs/whatsapp/api/typing-indicators-resource",
        ),
    )

    def __init__(self, rasa: Any, around: Around) -> None:
        super().__init__(rasa, around)
        self._wrote: OrderedDict[str, tuple[float, str | None]] = OrderedDict()  # when a user last did, and its id

    def trusted(self) -> Collection[str]:
        return (host_of(API),)

    # -- what users say -----------------------------------------------------------------------

    def address(self, message: UserMessage, request: Request | None) -> Json | None:
        """The number that the user wrote to, where it is not the one in credentials.yml."""
        form = request.form if request is not None else {}
        note(self._wrote, message.sender_id, (self.around.now(), form.get("MessageSid")), _REMEMBERED)
        number = form.get("To")
        return {"number": number} if number and number != self.rasa.twilio_number else None

    def heard(self, request: Request) -> Sequence[Heard]:
        form = request.form
        if not form.get("From"):
            return ()
        where = form.get("Latitude") and form.get("Longitude")
        text = form.get("Body")
        button = Button(title=form.get("ButtonText") or text or "", payload=form.get("ButtonPayload") or "")
        places = (_place(form),) if where else ()
        heard = Heard(
            sender_id=form.get("From"),
            id=form.get("MessageSid") or form.get("SmsMessageSid"),
            text=(text or "") if where or text is None else None,
            attachments=(*places, *_files(form)),
            button=button if button.payload else None,
            dropped=text is None and not where,
        )
        return (heard,)

    def took(self, request: Request, response: BaseHTTPResponse) -> bool:
        """Rasa's handler fails without a text, before anything else; it does not check who asks, either way."""
        return True

    def open(self, reference: Json) -> AbstractAsyncContextManager[File]:
        """Twilio's address of a file wants the account's credentials, and leads on to one that does not.

        https://www.twilio.com/docs/messaging/api/media-resource
        """
        url = str(reference["url"])
        if not _is_theirs(url):
            raise FetchError("its address is none of Twilio's")
        return self.fetcher.open(url, self.around.largest_file, self._credentials(), redirects=3)

    def _credentials(self) -> dict[str, str]:
        pair = f"{self.rasa.account_sid}:{self.rasa.auth_token}".encode()
        return {"Authorization": f"Basic {b64encode(pair).decode()}"}

    # -- what they get ------------------------------------------------------------------------

    def output(self, to: To) -> OutputChannel:
        output = self.rasa.get_output_channel()
        output.twilio_number = self._number(to)
        output.http_client.timeout = BLOCKED  # else it would wait for ever
        return Threaded(output, self)

    def parts(self, message: Message) -> Sequence[Sms]:
        return list(_parts(message))

    async def put(self, to: To, part: Sms) -> None:
        try:
            await self._send(to, part)
        except _NotTaken as error:
            if not part.instead:
                raise UserUnreachable(str(error)) from error
            _require_whole_link(part.instead)
            for each in _texts(part.instead):
                await self._send(to, each)

    async def typing(self, to: To, typing: bool) -> None:
        """It shows for 25 seconds, or until the message is there, as an answer to what the user last wrote."""
        message_id = self._wrote.get(to.sender_id, (0.0, None))[1]
        wanted = self.around.settings is not None and self.around.settings.whatsapp_typing
        if typing and wanted and message_id and to.sender_id.startswith(_WHATSAPP):
            doing = "show that the agent types"
            form = {"messageId": message_id, "channel": "whatsapp"}
            url = f"{MESSAGING}/v2/Indicators/Typing.json"
            await self.http.ask(doing, "POST", url, form=form, headers=self._credentials(), heed=False)

    async def _send(self, to: To, part: Sms) -> None:
        form = {"To": to.sender_id, "From": self._number(to), "Body": part.text, "MediaUrl": part.media_url}
        made = await self._ask("send a message", "POST", "Messages.json", {k: v for k, v in form.items() if v})
        if to.sender_id.startswith(_WHATSAPP) and not self._wrote_lately(to.sender_id):
            await self._require_taken(made)

    async def _require_taken(self, made: Json) -> None:
        """Require WhatsApp to have taken a message: Twilio itself takes it in any case, and only then asks."""
        for seconds in LOOKS:
            if made.get("status") not in ("queued", "accepted", "sending"):
                break
            await asyncio.sleep(seconds)
            made = await self._ask("look after a message", "GET", f"Messages/{quote(str(made['sid']), safe='')}.json")
        if made.get("status") in ("failed", "undelivered"):
            raise _refusal("send a message", made.get("error_code"), None)

    def _wrote_lately(self, sender_id: str) -> bool:
        return self.around.now() - self._wrote.get(sender_id, (0.0, None))[0] < WINDOW

    def _number(self, to: To) -> str:
        return str((to.address or {}).get("number") or self.rasa.twilio_number)

    async def _ask(self, doing: str, method: str, path: str, form: dict[str, str] | None = None) -> Json:
        reply = await self.http.ask(
            doing,
            method,
            f"{API}/2010-04-01/Accounts/{self.rasa.account_sid}/{path}",
            form=form,
            headers=self._credentials(),
            judge=lambda reply: _judge(doing, reply),
        )
        return reply.json(_WHO, doing)


class _NotTaken(BackendError):
    """Twilio does not take this content."""


def _judge(doing: str, reply: Reply) -> None:
    """Raise what Twilio's answer means (https://www.twilio.com/docs/usage/twilios-response)."""
    if reply.status < 300:
        return
    if reply.status == 429 or reply.status >= 500:
        raise TemporaryError(_WHO, doing, reply.status)
    if reply.status in (401, 403):
        raise TemporaryError(_WHO, doing, reply.status, "it does not take the account in credentials.yml")
    try:
        code = reply.json(_WHO, doing).get("code")
    except BackendError:
        code = None
    raise _refusal(doing, code, reply.status)


def _refusal(doing: str, code: Any, status: int | None) -> UserUnreachable | BackendError:
    if code in _NEVER:
        return UserUnreachable(f"{_WHO}: {_NEVER[code]} (error {code})")
    return _NotTaken(_WHO, doing, status, f"error {code}, see https://www.twilio.com/docs/api/errors/{code}")


# -- theirs, as ours ------------------------------------------------------------------------------


def _place(form: Any) -> Attachment:
    name = ", ".join(filter(None, (form.get("Label"), form.get("Address"))))
    return place(form.get("Latitude"), form.get("Longitude"), name)


def _files(form: Any) -> Iterator[ChannelFile]:
    count = form.get("NumMedia") or "0"
    for number in range(min(int(count), _MOST_FILES) if count.isdigit() else 0):
        url, mime = form.get(f"MediaUrl{number}"), form.get(f"MediaContentType{number}") or ""
        if url:
            kind = mime.partition("/")[0]
            known = cast("AttachmentKind", kind) if kind in ("image", "audio", "video") else "file"
            name = f"{known}{mimetypes.guess_extension(mime.partition(';')[0]) or ''}"
            yield ChannelFile(reference={"url": url}, kind=known, name=name, mime=mime or None)


def _is_theirs(url: str) -> bool:
    where = urlsplit(url)
    known = url.startswith(f"{API}/") or (where.scheme == "https" and _THEIRS.fullmatch(where.netloc))
    return bool(known and _MEDIUM.fullmatch(where.path))


# -- ours, as theirs ------------------------------------------------------------------------------


def _parts(message: Message) -> Iterator[Sms]:
    text = "\n\n".join(filter(None, (message.text.strip(), _lines(message.buttons))))
    yield from _texts(text)
    for each in message.attachments:
        if each.kind == "location":
            yield from _texts(link(each))
        else:
            yield Sms(media_url=each.url, instead=link(each))
    for card in message.cards:
        words = "\n\n".join(filter(None, (card_text(card), _lines(card.buttons))))
        if card.image_url:
            yield Sms(media_url=card.image_url, instead=card.image_url)
        yield from _texts(words)


def _require_whole_link(text: str) -> None:
    """Require the link in *text* to fit into one message: half a link leads nowhere."""
    longest = max(map(len, text.split()))
    if longest > LONGEST_TEXT:
        raise UserUnreachable(
            f"{_WHO}: the link to the file is too long for a message ({longest:,} characters; {LONGEST_TEXT:,} are "
            "the most)"
        )


def _texts(text: str) -> Iterator[Sms]:
    for piece in texts(text, LONGEST_TEXT):
        yield Sms(text=piece)


def _lines(buttons: Sequence[Button]) -> str:
    """Choices as lines that the user can answer with."""
    return "\n".join(f"{each.title}: {each.url}" if each.url else f"- {each.title}" for each in buttons)
