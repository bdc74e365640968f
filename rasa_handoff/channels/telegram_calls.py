"""What agents send, as calls of Telegram's Bot API (https://core.telegram.org/bots/api)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rasa_handoff.channels.agent_files import mime_of
from rasa_handoff.channels.base import card_text, in_words, link
from rasa_handoff.channels.service import texts
from rasa_handoff.model import Attachment, AttachmentKind, Button, Card, Json, Message
from rasa_handoff.pieces import pieces

LONGEST_TEXT = 4096  #: UTF-16 units (https://core.telegram.org/bots/api#sendmessage)
_LONGEST_CAPTION = 1024  #: of a picture
_LONGEST_PAYLOAD = 64  #: bytes of a button's (https://core.telegram.org/bots/api#inlinekeyboardbutton)

# Ours -> the method, and the name of its parameter (https://core.telegram.org/bots/api#sending-files). Telegram gets
# the file from its address by itself, and takes pictures up to 5 MB and others up to 20 MB; documents only some.
_METHODS: dict[AttachmentKind, tuple[str, str]] = {
    "image": ("sendPhoto", "photo"),
    "audio": ("sendAudio", "audio"),
    "video": ("sendVideo", "video"),
    "file": ("sendDocument", "document"),
}
# … and of a sound that is no music: https://core.telegram.org/bots/api#sendvoice
_VOICES = {"audio/ogg": ("sendVoice", "voice"), "audio/opus": ("sendVoice", "voice")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, but for whom it is to reach."""

    method: str
    params: Json
    file: Attachment | None = None  #: the one whose address it names
    param: str = ""  #: … and in which parameter
    instead: Json = field(default_factory=dict)  #: what to say when the file cannot be had


def calls(message: Message) -> list[Call]:
    """*message*, one after the other."""
    cards = [call for card in message.cards for call in _card(card)]
    return [*_texts(message.text, message.buttons), *map(_file, message.attachments), *cards]


def _texts(text: str, buttons: Sequence[Button]) -> Iterator[Call]:
    """The text in pieces; the buttons are below the last."""
    markup = _markup(buttons)
    found = texts(text, LONGEST_TEXT) or (["…"] if markup else [])
    for text in found[:-1] if markup else found:
        yield Call(method="sendMessage", params={"text": text})
    if markup:
        said = {"text": pieces(in_words(found[-1], buttons), LONGEST_TEXT)[0]}
        yield Call(method="sendMessage", params={"text": found[-1], **markup}, instead=said)


def _file(attachment: Attachment) -> Call:
    said = {"text": pieces(link(attachment), LONGEST_TEXT)[0]}
    if attachment.kind not in _METHODS:
        return Call(method="sendMessage", params=said)
    method, param = _VOICES.get(mime_of(attachment)) or _METHODS[attachment.kind]
    shown = attachment.name if attachment.kind != "image" else None
    name = {"caption": pieces(shown, _LONGEST_CAPTION)[0]} if shown else {}
    return Call(method=method, params={param: attachment.url, **name}, file=attachment, param=param, instead=said)


def _card(card: Card) -> Iterator[Call]:
    """A picture with all of the text below it; or by itself, where there is more of that than fits."""
    text = card_text(card) or "…"
    if not card.image_url:
        yield from _texts(text, card.buttons)
    elif pieces(text, _LONGEST_CAPTION) == [text]:
        shown = {"caption": text, **_markup(card.buttons)}
        said = {"text": text, **_markup(card.buttons)}
        image = Attachment(url=card.image_url, kind="image")
        yield Call(
            method="sendPhoto", params={"photo": card.image_url, **shown}, file=image, param="photo", instead=said
        )
    else:
        yield _file(Attachment(url=card.image_url, kind="image"))
        yield from _texts(text, card.buttons)


def _markup(buttons: Sequence[Button]) -> Json:
    """*buttons* below a message; as choices in the keyboard's place where a payload is too long to be below."""
    if not buttons:
        return {}
    if all(each.url or 0 < len(each.payload.encode()) <= _LONGEST_PAYLOAD for each in buttons):
        return {"reply_markup": {"inline_keyboard": [[_inline(each)] for each in buttons]}}
    rows = [[{"text": each.title}] for each in buttons]
    return {"reply_markup": {"keyboard": rows, "one_time_keyboard": True, "resize_keyboard": True}}


def _inline(button: Button) -> Json:
    return {"text": button.title, **({"url": button.url} if button.url else {"callback_data": button.payload})}
