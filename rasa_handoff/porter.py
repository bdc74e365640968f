"""Opens files for whoever hands them on: ours without the network, others from public addresses, and a few at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from rasa_handoff.errors import FetchError
from rasa_handoff.fetch import AnyFile, Fetcher
from rasa_handoff.files import in_words

AT_ONCE = 4  #: files of ours that are open, and as many from elsewhere, whose servers may be slow
LONGEST = 40.0  #: seconds for a file from elsewhere, however slowly it comes or is handed on
_REDIRECTS = 3  #: to where the file is; each to a public address, too

#: Opens the file that a link of ours stands for, without the way over the network; None where an address is none.
Behind = Callable[[str], AbstractAsyncContextManager[AnyFile] | None]


class Crowded(FetchError):
    """So many files are open that this one has to wait for another time."""


class Porter:
    """Opens files by their addresses.

    Args:
        behind: knows our own.
        trusted: ``host:port`` of other servers that may be at any address.
        patience: seconds to wait until there is room for one more; None: as long as it takes.
    """

    def __init__(self, behind: Behind, trusted: Collection[str] = (), patience: float | None = None) -> None:
        self._behind = behind
        self._fetcher = Fetcher(trusted)
        self._patience = patience
        self._ours = asyncio.Semaphore(AT_ONCE)
        self._elsewhere = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        await self._fetcher.close()

    @asynccontextmanager
    async def open(self, url: str, largest: int) -> AsyncIterator[AnyFile]:
        """A file of at most *largest* bytes, to be read part by part.

        Raises:
            Crowded: it is one of ours, and can be had later.
            FetchError: it cannot be had.
        """
        ours = self._behind(url)
        room = self._elsewhere if ours is None else self._ours
        try:
            await asyncio.wait_for(room.acquire(), self._patience)
        except asyncio.TimeoutError:
            raise (FetchError if ours is None else Crowded)("its turn did not come in time") from None
        try:
            async with ours or self._fetcher.open(url, largest, redirects=_REDIRECTS, longest=LONGEST) as file:
                if file.size is not None and file.size > largest:
                    raise FetchError(f"it is larger than {in_words(largest)}")
                yield file
        finally:
            room.release()
