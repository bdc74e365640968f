"""Files that agents send, for channels that take a file itself where others take its address."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePath
from typing import TypeVar
from urllib.parse import urlsplit

from rasa_handoff.channels.base import Around
from rasa_handoff.errors import FetchError
from rasa_handoff.fetch import whole
from rasa_handoff.model import Attachment
from rasa_handoff.porter import Porter

log = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST = 12.0  #: seconds to get a file and to hand it on: a link has to fit into what a channel has for a part, too
_UNKNOWN = "application/octet-stream"
_PAGE = "text/html"  #: what a server gives to those who have to sign in, or a page around the file


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFile:
    """A file of an agent's, whole."""

    body: bytes
    name: str  #: with an ending, where one is known
    mime: str

    def opened(self) -> BytesIO:
        """To be sent in parts: aiohttp sends bytes in one go, and a large file would hold up the loop."""
        return BytesIO(self.body)


class AgentFiles:
    """Gets them from our own database or from public addresses, and sees to it that a slow one holds up nothing.

    Args:
        who: the channel, for the log.
        around: what the channel finds around it.
    """

    def __init__(self, who: str, around: Around) -> None:
        self._who = who
        self._largest = around.largest_file
        # A link of ours need not lead here for this server itself: `public_url` may be behind a proxy, or private.
        self._porter = Porter(around.files.behind if around.files is not None else lambda url: None)

    async def close(self) -> None:
        await self._porter.close()

    async def hand_on(self, attachment: Attachment, take: Callable[[AgentFile], Awaitable[T]]) -> T | None:
        """What *take* makes of the file; None where it cannot be had or handed on in time, and a link has to do.

        Args:
            take: hands it on, without a user seeing anything of it yet, or in one request at its end; it may raise
                `FetchError` to say that it does not come to that.
        """
        try:
            return await asyncio.wait_for(self._handed_on(attachment, take), LONGEST)
        except asyncio.TimeoutError:
            log.info("channel.file_as_link channel=%s why=%s", self._who, "it takes too long")
        except FetchError as error:
            log.info("channel.file_as_link channel=%s why=%s", self._who, error)
        return None

    async def _handed_on(self, attachment: Attachment, take: Callable[[AgentFile], Awaitable[T]]) -> T:
        async with self._had(attachment) as file:
            return await take(file)

    @asynccontextmanager
    async def _had(self, attachment: Attachment) -> AsyncIterator[AgentFile]:
        async with self._porter.open(attachment.url, self._largest) as file:
            if file.mime == _PAGE != mime_of(attachment):
                raise FetchError("it is a page, and not the file")
            found, mime = await whole(file, self._largest), mime_of(attachment, file.mime)
            name = _with_ending(attachment.name or found.name or attachment.kind, mime)
            yield AgentFile(body=found.body, name=name, mime=mime)


def mime_of(attachment: Attachment, told: str = _UNKNOWN) -> str:
    """Its MIME type: as the agent system says, as its server has *told*, or as its name ends."""
    if attachment.mime or told != _UNKNOWN:
        return attachment.mime or told
    names = filter(None, (attachment.name, urlsplit(attachment.url).path))
    return next(filter(None, (mimetypes.guess_type(each)[0] for each in names)), _UNKNOWN)


def _with_ending(name: str, mime: str) -> str:
    return name if PurePath(name).suffix else name + (mimetypes.guess_extension(mime) or "")
