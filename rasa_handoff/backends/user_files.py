"""Files of users, for agent systems that take files rather than links."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from rasa_handoff.errors import FetchError, TemporaryError
from rasa_handoff.fetch import AnyFile, Fetched, whole
from rasa_handoff.porter import Behind, Crowded, Porter

_MIME = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)  #: what may stand in a header: users may have written it
_UNKNOWN = "application/octet-stream"
_LATE = "it did not come in time"
_LONGEST = 40.0  #: seconds that whoever has a file may need to give it: theirs to take it do not count
_PATIENCE = 5.0  #: seconds until others go first: whoever waits keeps a place among all that goes out


class UserFiles:
    """Opens what we keep, what is behind our other links, and files from public addresses, for a backend to hand on.

    Args:
        who: the backend, for errors.
        behind: knows links of ours: `Surroundings.behind`.
        trusted: ``host:port`` of other servers that may be at any address.
    """

    def __init__(self, who: str, behind: Behind, trusted: Collection[str] = ()) -> None:
        self._who = who
        self._porter = Porter(behind, trusted, _PATIENCE)

    async def close(self) -> None:
        await self._porter.close()

    @asynccontextmanager
    async def open(self, url: str, largest: int) -> AsyncIterator[AnyFile]:
        """A file of at most *largest* bytes, to be read part by part.

        Raises:
            FetchError: it cannot be had.
            TemporaryError: it is one of ours, and others are being handed on.
        """
        try:
            async with self._porter.open(url, largest) as file:
                yield file
        except Crowded as error:
            raise TemporaryError(self._who, "hand on a file", detail=str(error)) from None


async def in_memory(file: AnyFile, largest: int) -> Fetched:
    """All of *file*, if it has no more than *largest* bytes.

    Raises:
        FetchError: it cannot be had, or not in time.
    """
    try:
        return await asyncio.wait_for(whole(file, largest), _LONGEST)
    except asyncio.TimeoutError:
        raise FetchError(_LATE) from None


@asynccontextmanager
async def as_body(file: AnyFile, mime: str, largest: int) -> AsyncIterator[aiohttp.payload.Payload]:
    """*file* as the body of a request, or as a part of one.

    It is read while it is sent. Where nobody says how large it is, it is read before: some servers want to be told.

    Raises:
        FetchError: it could not be read to its end, and nobody has got it.
    """
    mime = mime if _MIME.fullmatch(mime) else _UNKNOWN
    if file.size is None:
        read = await in_memory(file, largest)
        yield aiohttp.BytesIOPayload(BytesIO(read.body), content_type=mime)
        return
    body = _Body(file, mime)
    try:
        yield body
    except TemporaryError:
        if body.trouble is None:
            raise
        raise FetchError(body.trouble) from None


class _Body(aiohttp.payload.Payload):
    """A file of a known size, on its way."""

    def __init__(self, file: AnyFile, mime: str) -> None:
        super().__init__(file, content_type=mime)
        self._size = file.size
        self._file = file
        self.trouble: str | None = None  #: why it could not be read to its end

    async def write(self, writer: AbstractStreamWriter) -> None:
        try:
            async for part in self._parts():
                await writer.write(part)
        except asyncio.CancelledError:
            # They have answered before they had it all, and would take what comes next on this connection for the rest.
            transport = cast("Any", writer).transport
            if transport is not None:
                transport.close()
            raise

    async def _parts(self) -> AsyncIterator[bytes]:
        parts, waited = self._file.parts(), 0.0
        try:
            while True:
                asked = time.monotonic()
                part = await anext(parts, None)
                waited += time.monotonic() - asked
                if part is None:
                    return
                if waited > _LONGEST:
                    raise FetchError(_LATE)
                yield part
        except FetchError as error:
            self.trouble = str(error)
            raise
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:  # of the server that it comes from
            self.trouble = f"its server broke off: {type(error).__name__}"
            raise
