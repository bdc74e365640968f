"""What is in an agent's message: words, files, cards, forms.

https://platform.text.com/docs/messaging/customer-chat-api/data-structures#events (read 2026-11)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast, get_args

from rasa_handoff import strict_json as read
from rasa_handoff.attachments import size_in
from rasa_handoff.errors import Malformed
from rasa_handoff.events import AgentMessage
from rasa_handoff.model import Attachment, AttachmentKind, Button, Card, Json

LONGEST_URL = 2048
_LONGEST_NAME = 200
_LONGEST_TEXT = 100_000
_MOST = 200  #: parts of one message
_KINDS = get_args(AttachmentKind)
_ADDRESS = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)


def _message(said: AgentMessage, event: Json) -> AgentMessage:
    return replace(said, text=read.text(event, "text", max_length=_LONGEST_TEXT, required=False) or "")


def _file(said: AgentMessage, event: Json) -> AgentMessage:
    name = event.get("name") or event.get("alternative_text")
    mime = event.get("content_type")
    file = Attachment(
        url=_url(event, "url"),
        kind=_kind(mime),
        name=name[:_LONGEST_NAME] if isinstance(name, str) else None,
        mime=mime[:_LONGEST_NAME] if isinstance(mime, str) else None,
        size=size_in(event),
    )
    return replace(said, attachments=(file,))


def _rich_message(said: AgentMessage, event: Json) -> AgentMessage:
    """Cards; or, of quick replies and stickers, their words, pictures and buttons."""
    elements = objects(event, "elements", _MOST)
    if event.get("template_id") == "cards":
        return replace(said, cards=tuple(filter(None, map(_card, elements))))
    images = filter(None, map(_image, elements))
    return replace(
        said,
        text="\n".join(filter(None, (line for each in elements for line in _lines(each)))),
        attachments=tuple(Attachment(url=url, kind="image") for url in images),
        buttons=tuple(button for each in elements for button in _buttons(each)),
    )


def _card(element: Json) -> Card | None:
    title, *rest = [*filter(None, _lines(element)), ""]
    image, buttons = _image(element), tuple(_buttons(element))
    if not title and not image and not buttons:
        return None
    return Card(title=title, text="\n".join(filter(None, rest)), image_url=image, buttons=buttons)


def _lines(element: Json) -> list[str]:
    """The words of an element; a number to call is one of them."""
    buttons = objects(element, "buttons", _MOST)
    calls = [
        f"{_words(each.get('text'))}: {_words(each.get('value'))}" for each in buttons if each.get("type") == "phone"
    ]
    return [_words(element.get("title")), _words(element.get("subtitle")), *calls]


def _buttons(element: Json) -> Iterator[Button]:
    for each in objects(element, "buttons", _MOST):
        title, value = _words(each.get("text")), _words(each.get("value"))
        if not title or each.get("type") == "phone":
            continue
        leads = each.get("type") in ("url", "webview") and _ADDRESS.fullmatch(value)
        yield Button(title=title, payload=value or title, url=value if leads else None)


def _form(said: AgentMessage, event: Json) -> AgentMessage:
    """A form as lines: its questions, with the answers where there are some."""
    lines = map(_line, objects(event, "fields", _MOST))
    return replace(said, text="\n".join(filter(None, lines)))


def _line(field: Json) -> str:
    answers = field.get("answers") if isinstance(field.get("answers"), list) else [field.get("answer")]
    told = ", ".join(filter(None, (_words(each) for each in cast("Iterable[Any]", answers))))
    label = _words(field.get("label"))
    return f"{label} {told}".strip() if told else label


SHOWN: Mapping[str, Callable[[AgentMessage, Json], AgentMessage]] = {
    "message": _message,
    "file": _file,
    "rich_message": _rich_message,
    "filled_form": _form,
    "form": _form,
}


def _words(value: Any) -> str:
    """A text of theirs, which may be in an object with a label."""
    if isinstance(value, dict):
        value = value.get("label")
    return value.strip()[:_LONGEST_TEXT] if isinstance(value, str) else ""


def _kind(mime: Any) -> AttachmentKind:
    kind = mime.partition("/")[0] if isinstance(mime, str) else ""
    return cast("AttachmentKind", kind) if kind in _KINDS else "file"


def _url(holder: Json, name: str) -> str:
    url = read.text(holder, name, max_length=LONGEST_URL)
    if not _ADDRESS.fullmatch(url):
        raise Malformed(f"{name} must be an http:// or https:// address")
    return url


def _image(element: Json) -> str | None:
    image = element.get("image")
    try:
        return _url(image, "url") if isinstance(image, dict) else None
    except Malformed:
        return None


def objects(holder: Json, name: str, most: int) -> list[Json]:
    found = read.sequence(holder, name, max_length=most, required=False) or []
    return [each for each in found if isinstance(each, dict)]
