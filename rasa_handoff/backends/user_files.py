"""Files of users, for agent systems that take files rather than links."""

from __future__ import annotations

import re
from collections.abc import Collection

from rasa_handoff.fetch import Fetched, Fetcher, host_of, whole
from rasa_handoff.files import Files

_LINK = re.compile(r"/media/[\w.-]{40,}/[^/?#\\]+")  #: of ours, see rasa_handoff/media.py


class UserFiles:
    """Gets what we keep, what is behind our other links, wherever this server is, and files from public addresses.

    Args:
        ours: where our routes are, as others reach them: `Surroundings.hooks_url`.
        trusted: ``host:port`` of other servers that may be at any address.
        kept: what we keep: `Surroundings.files`.
    """

    def __init__(self, ours: str, trusted: Collection[str] = (), kept: Files | None = None) -> None:
        self._ours = ours
        self._kept = kept
        self._here = Fetcher({host_of(ours)})
        self._elsewhere = Fetcher(trusted)

    async def close(self) -> None:
        await self._here.close()
        await self._elsewhere.close()

    async def get(self, url: str, largest: int) -> Fetched:
        """A whole file of at most *largest* bytes.

        Raises:
            FetchError: it cannot be had.
        """
        kept = self._kept.behind(url) if self._kept is not None else None
        if kept is not None:
            async with kept as file:
                return await whole(file, largest)
        # No more than our links: what else is on a private host is not for those who write addresses to us.
        is_link = url.startswith(self._ours) and _LINK.fullmatch(url.removeprefix(self._ours))
        return await (self._here if is_link else self._elsewhere).get(url, largest)
