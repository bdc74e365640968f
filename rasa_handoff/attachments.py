"""What a user's message carries beside its text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast, get_args
from urllib.parse import urlsplit

from rasa_handoff.model import Attachment, AttachmentKind, Message
from rasa_handoff.transcript import clean

MOST = 10  #: of one message
LONGEST_URL = 2048
_LONGEST_NAME = 200
_LARGEST = 1 << 53  #: bytes; from there on numbers in JSON are not what they seem (RFC 8259, 6)
_URL = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)
_KINDS = get_args(AttachmentKind)


def in_metadata(metadata: Any) -> tuple[Attachment, ...]:
    """The attachments in a message's metadata: ``attachments: [{"url", "kind"?, "name"?, "mime"?, "size"?}]``.

    A channel of Rasa's own has no place for them; the bot's own channels and our chat interface put them
    there. What is none is left out: metadata is the channel's, and may mean anything.
    """
    found = metadata.get("attachments") if isinstance(metadata, Mapping) else None
    return tuple(filter(None, map(read, found[:MOST]))) if isinstance(found, list) else ()


def edits_in(metadata: Any) -> str | None:
    """The ``message_id`` of what the user has changed, where a message's metadata says that it takes its place."""
    found = metadata.get("edits") if isinstance(metadata, Mapping) else None
    return found if isinstance(found, str) and found else None


def is_web_address(url: str) -> bool:
    return _URL.fullmatch(url) is not None


def read(told: Any) -> Attachment | None:
    """One attachment, ``{"url", "kind"?, "name"?, "mime"?, "size"?}``, as a stranger wrote it; None when it is none."""
    url = told.get("url") if isinstance(told, Mapping) else None
    if not isinstance(url, str) or len(url) > LONGEST_URL or not is_web_address(url):
        return None
    name, mime = _text(told.get("name")), _text(told.get("mime"))
    kind, size = _kind(told.get("kind"), mime), size_in(told)
    return Attachment(url=clean(url), kind=kind, name=name, mime=mime, size=size)


def size_in(told: Mapping[str, Any]) -> int | None:
    """The ``size`` of a file, in bytes, where a stranger says one that is possible."""
    size = told.get("size")
    return size if type(size) is int and 0 < size < _LARGEST else None


def ending_of(attachment: Attachment) -> str | None:
    """What the name of its file ends in, e.g. ``pdf``; None where it has no ending."""
    for name in (attachment.name or "", urlsplit(attachment.url).path):
        found = re.search(r"\.([A-Za-z0-9]{2,5})$", name)
        if found:
            return found[1].lower()
    return None


def as_line(attachment: Attachment) -> str:
    """*attachment* as text, for a place that takes nothing else."""
    if not is_web_address(attachment.url):
        return unshown(attachment)
    return f"{attachment.name}: {attachment.url}" if attachment.name else attachment.url


def unshown(attachment: Attachment, why: str = "the bot's server has no public_url") -> str:
    """What agents read who can neither be given a file nor a link to it."""
    what = f"{attachment.kind} {attachment.name}" if attachment.name else attachment.kind
    return f"[{what}: the user sent it, but it cannot be shown here: {why}]"


def for_others(message: Message) -> Message:
    """*message* for those who can open nothing but addresses of the web: a line in the place of every other file."""
    hidden = [each for each in message.attachments if not is_web_address(each.url)]
    if not hidden:
        return message
    shown = tuple(each for each in message.attachments if each not in hidden)
    text = "\n".join(filter(None, (message.text, *map(unshown, hidden))))
    return replace(message, text=text, attachments=shown)


def _kind(told: Any, mime: str | None) -> AttachmentKind:
    kind = told if told in _KINDS else (mime or "").partition("/")[0]
    return cast("AttachmentKind", kind) if kind in _KINDS else "file"


def _text(value: Any) -> str | None:
    return clean(value)[:_LONGEST_NAME] if isinstance(value, str) and value else None
