"""Which files of users LivePerson takes as such: pictures of three kinds, and small.

https://developers.liveperson.com/connector-api-examples-file-sharing.html (read 2026-11)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rasa_handoff.attachments import as_line, ending_of
from rasa_handoff.backends.liveperson.requests import LONGEST_TEXT
from rasa_handoff.model import Attachment, Message
from rasa_handoff.pieces import pieces

LARGEST = 3 * 1024 * 1024  #: bytes

# How a file of each kind begins, whatever its name says.
_BEGINNINGS = {b"\xff\xd8\xff": "JPG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF87a": "GIF", b"GIF89a": "GIF"}
_ENDINGS = frozenset(("jpg", "jpeg", "png", "gif"))


def kind_of(body: bytes) -> str | None:
    """``JPG``, ``PNG`` or ``GIF``; None for anything else."""
    return next((kind for beginning, kind in _BEGINNINGS.items() if body.startswith(beginning)), None)


def may_be_taken(attachment: Attachment) -> bool:
    """Whether it is worth a look: what is called a picture, unless its name says that it is of another kind."""
    if attachment.mime and attachment.mime.startswith("image/"):
        return attachment.mime.partition(";")[0].strip()[6:].lower() in _ENDINGS
    ending = ending_of(attachment)
    return ending in _ENDINGS if ending else attachment.kind == "image"


def parts_of(message: Message, *, upload: bool) -> Sequence[Message]:
    """A user's message as they take it: first the text, in pieces, with the links; then each picture by itself."""
    pictures = [each for each in message.attachments if upload and may_be_taken(each)]
    links = [as_line(each) for each in message.attachments if each not in pictures]
    said = "\n".join(filter(None, [message.text, *links]))
    parts = [replace(message, text=piece, attachments=()) for piece in pieces(said, LONGEST_TEXT) if said]
    parts += [replace(message, text="", attachments=(each,)) for each in pictures]
    return [replace(part, id=_part_id(message, number)) for number, part in enumerate(parts or [message])]


def whole_id(part: Message) -> str:
    """The id of the message that *part* is of."""
    return part.id.partition(".")[0]


def _part_id(message: Message, number: int) -> str:
    return f"{message.id}.{number + 1}" if number else message.id
