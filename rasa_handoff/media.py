"""Links of ours to files: those that channels keep, whose credentials never leave this server, and our own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import cast
from urllib.parse import quote

from rasa_handoff import signing
from rasa_handoff.errors import NotAuthentic
from rasa_handoff.model import AttachmentKind, Json
from rasa_handoff.transcript import clean

_PURPOSE = "media"
PATH = "/webhooks/handoff"  #: of our routes; also what a link begins with where nobody knows the server's address
_LINKS = f"{PATH}/media/"
OURS = "handoff"  #: our own channel, as Rasa calls it: its files are kept in our database

UNKNOWN = "application/octet-stream"
# What a browser may show by itself: none of it can hold a script.
SHOWN = {
    *(f"image/{each}" for each in ("avif", "bmp", "gif", "heic", "jpeg", "png", "webp")),
    *(f"audio/{each}" for each in ("aac", "amr", "flac", "m4a", "mp4", "mpeg", "ogg", "opus", "wav", "webm", "x-m4a")),
    *(f"video/{each}" for each in ("3gpp", "mp4", "mpeg", "ogg", "quicktime", "webm")),
}
# What is worth its name, though it is saved and not shown.
_SAVED = {"application/pdf", "application/zip", "text/csv", "text/plain", "text/vcard"}

_LONGEST_NAME = 100  #: characters of a file's; its end says what it is
_LONGEST_END = 240  #: characters of a link: it has to fit into a text message, which takes 1,600
# Control characters, what separates folders, and what makes a name read otherwise than it is (Unicode TR 36, 2.5).
_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f/\\\\\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFile:
    """A file that a channel keeps."""

    channel: str  #: Rasa's name of it
    handoff_id: str  #: the handoff in which it was sent; when that is deleted, its links open nothing
    reference: Json  #: the channel's words for it
    kind: AttachmentKind = "file"
    name: str | None = None
    mime: str | None = None


class Media:
    """Makes and reads the links.

    Args:
        secret: gives what signs them; at the start servers that share a database agree on one.
        public_url: where others reach this server; None: only pages of our own do.
        lasting: seconds for which a link opens its file.
    """

    def __init__(
        self, secret: Callable[[], str], public_url: str | None, lasting: float, now: Callable[[], float]
    ) -> None:
        self._secret = secret
        self._public_url = public_url
        self._lasting = lasting
        self._now = now

    def url(self, file: MediaFile, *, ours: bool) -> str | None:
        """A link to *file*; None where whoever reads it could not open it.

        Args:
            ours: it is for a page of ours, which finds it without knowing the server's address.
        """
        return None if self._public_url is None and not ours else self.link(file)

    def link(self, file: MediaFile) -> str:
        """A link to *file*; where nobody knows the server's address, only pages of ours and `behind` can use it."""
        value = json.dumps(asdict(file), ensure_ascii=False, separators=(",", ":"))
        token = signing.sign(self._secret(), _PURPOSE, value, self._now() + self._lasting)
        return f"{self._public_url or ''}{_LINKS}{token}/{_end(file.name or file.kind)}"

    def behind(self, url: str) -> MediaFile | None:
        """The file that a link of ours stands for; None where *url* is none, or has expired."""
        path = url.removeprefix(self._public_url or "")  # it may be older than our having one
        if not path.startswith(_LINKS):
            return None
        try:
            return self.file(path.removeprefix(_LINKS).partition("/")[0])
        except NotAuthentic:
            return None

    def opens_on(self, channel: str) -> bool:
        """Whether the users of *channel* can open a link: those of our own pages need not know the server's address."""
        return self._public_url is not None or channel == OURS

    def file(self, token: str) -> MediaFile:
        """The file that a link's *token* stands for.

        Raises:
            NotAuthentic: it is not ours, or has expired.
        """
        value = signing.require_signed(self._secret(), _PURPOSE, token, self._now())
        try:
            return MediaFile(**json.loads(value))
        except (TypeError, ValueError) as error:  # another version's
            raise NotAuthentic("the link is of another version") from error


def _end(name: str) -> str:
    """What a link ends in, for those who save the file by it: as much of *name*'s end as leaves the link short."""
    while len(end := quote(name, safe="")) > _LONGEST_END:
        name = name[1:]
    return end


def harmless(*told: str | None) -> str:
    """The first of these MIME types that nobody can hide a script in; ``application/octet-stream`` if none is."""
    read = ((each or "").partition(";")[0].strip().lower() for each in told)
    return next((each for each in read if each in SHOWN or each in _SAVED), UNKNOWN)


def kind_of(mime: str) -> AttachmentKind:
    """How a file of this type, which is a `harmless` one, is shown."""
    return cast("AttachmentKind", mime.partition("/")[0]) if mime in SHOWN else "file"


def file_name(given: str) -> str:
    """*given* as a name that is safe to show and to save under; empty if nothing is left of it."""
    name = " ".join(_NOT_IN_NAMES.sub(" ", clean(given)).split()).strip(". ")
    return name[-_LONGEST_NAME:].strip(". ")
