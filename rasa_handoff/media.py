"""Links of ours to files of users, so that no channel's credentials leave this server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from urllib.parse import quote

from rasa_handoff import signing
from rasa_handoff.errors import NotAuthentic
from rasa_handoff.model import AttachmentKind, Json

_PURPOSE = "media"
PATH = "/webhooks/handoff"  #: of our routes; also what a link begins with where nobody knows the server's address


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFile:
    """A file of a user's that its channel keeps."""

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
        if self._public_url is None and not ours:
            return None
        value = json.dumps(asdict(file), separators=(",", ":"))
        token = signing.sign(self._secret(), _PURPOSE, value, self._now() + self._lasting)
        return f"{self._public_url or ''}{PATH}/media/{token}/{quote(file.name or file.kind, safe='')}"

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


def unshown(file: MediaFile) -> str:
    """What an agent reads who cannot be given a link to *file*."""
    what = f"{file.kind} {file.name}" if file.name else file.kind
    return f"[{what}: the user sent it, but it cannot be shown here, because the bot's server has no public_url]"
