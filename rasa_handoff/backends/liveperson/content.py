"""What an agent sent through LivePerson, as the text, files and buttons that a user's channel can show.

https://developers.liveperson.com/getting-started-with-rich-messaging-introduction.html (read 2026-11)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rasa_handoff import strict_json as read
from rasa_handoff.backends.markup import text_of
from rasa_handoff.errors import Malformed
from rasa_handoff.model import Attachment, Button, Json

LONGEST_TEXT = 100_000
_LONGEST_URL = 2048
_LONGEST_NAME = 500
_URL = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)
_PICTURES = frozenset(("JPG", "JPEG", "PNG", "GIF"))

FileUrl = Callable[[str], str]  #: the link to a file of theirs, by its path


@dataclass(slots=True)
class Content:
    """What is gathered from a message, in the order of its elements."""

    lines: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(line for line in self.lines if line)

    def __bool__(self) -> bool:
        return bool(self.text.strip() or self.attachments or self.buttons)


def read_content(event: Json, file_url: FileUrl) -> Content:
    """A ``ContentEvent``: text, or a file that they host; either may have quick replies.

    Raises:
        Malformed: a field is missing or wrong.
    """
    content = Content()
    kind = read.text(event, "contentType", max_length=_LONGEST_NAME, required=False) or "text/plain"
    if kind == "hosted/file":
        _add_file(content, read.mapping(event, "message"), file_url)
    elif isinstance(event.get("message"), str):
        said = read.text(event, "message", max_length=LONGEST_TEXT, required=False) or ""
        content.lines.append(text_of(said) if kind == "text/html" else said.rstrip("\n"))
    _add_quick_replies(content, event)
    return content


def read_rich_content(event: Json) -> Content:
    """A ``RichContentEvent``: elements inside each other.

    Raises:
        Malformed: a field is missing or wrong.
    """
    content = Content()
    _add(content, read.mapping(event, "content"))
    _add_quick_replies(content, event)
    return content


def _add_quick_replies(content: Content, event: Json) -> None:
    replies = read.mapping(event, "quickReplies", required=False)
    if replies:
        _add(content, replies)


def _add_file(content: Content, message: Json, file_url: FileUrl) -> None:
    path = read.text(message, "relativePath", max_length=_LONGEST_URL)
    kind = (read.text(message, "fileType", max_length=_LONGEST_NAME, required=False) or "").upper()
    caption = read.text(message, "caption", max_length=LONGEST_TEXT, required=False)
    content.lines.append(caption or "")
    name = path.rpartition("/")[2]
    content.attachments.append(
        Attachment(url=file_url(path), kind="image" if kind in _PICTURES else "file", name=name or None)
    )


def _add(content: Content, element: Json) -> None:
    """One element, with all that is inside it; a kind that is not known is what is inside it."""
    add = _ADDERS.get(str(element.get("type")))
    if add is not None:
        add(content, element)
    for inside in _inside(element):
        _add(content, inside)


def _inside(element: Json) -> Iterator[Json]:
    for name in ("elements", "replies", "sections"):
        for each in element.get(name) or ():
            if not isinstance(each, dict):
                raise Malformed(f"{name} must be a list of objects")
            yield each


def _add_text(content: Content, element: Json) -> None:
    content.lines.append(read.text(element, "text", max_length=LONGEST_TEXT, required=False) or "")


def _add_image(content: Content, element: Json) -> None:
    url = _address(element, "url")
    if url:
        content.attachments.append(Attachment(url=url, kind="image"))


def _add_map(content: Content, element: Json) -> None:
    content.attachments.append(Attachment(url=_place(element), kind="location"))


def _add_button(content: Content, element: Json) -> None:
    """What pressing it would say is a button, where it would lead is a link."""
    title = read.text(element, "title", max_length=LONGEST_TEXT, required=False) or ""
    actions = [each for each in _actions(element) if isinstance(each, dict)]
    said = next((each.get("text") for each in actions if each.get("type") == "publishText"), None)
    leads = [link for link in map(_link, actions) if link]
    content.lines += [f"{title}: {link}" if title else link for link in leads]
    if isinstance(said, str) and said:
        content.buttons.append(Button(title=title or said, payload=said))
    elif title and not leads:
        content.buttons.append(Button(title=title, payload=title))


def _actions(element: Json) -> list[Any]:
    click = read.mapping(element, "click", required=False) or {}
    return read.sequence(click, "actions", max_length=100, required=False) or []


def _link(action: Json) -> str:
    if action.get("type") == "link":
        return _address(action, "uri")
    return _place(action) if action.get("type") == "navigate" else ""


def _place(element: Json) -> str:
    latitude, longitude = read.number(element, "la"), read.number(element, "lo")
    return f"https://www.openstreetmap.org/?mlat={latitude}&mlon={longitude}"


def _address(element: Json, name: str) -> str:
    """An address of the web; empty for anything else, e.g. one that only their own window can open."""
    url = read.text(element, name, max_length=_LONGEST_URL, required=False) or ""
    return url if _URL.fullmatch(url) else ""


_ADDERS: dict[str, Callable[[Content, Json], None]] = {
    "text": _add_text,
    "image": _add_image,
    "map": _add_map,
    "button": _add_button,
}
