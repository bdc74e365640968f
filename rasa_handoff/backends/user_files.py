"""Files of users, for agent systems that take files rather than links."""

from __future__ import annotations

import re
from collections.abc import Collection

from rasa_handoff.fetch import Fetched, Fetcher, host_of

_LINK = re.compile(r"/media/[\w.-]{40,}/[^/?#\\]+")  #: of ours, see rasa_handoff/media.py


class UserFiles:
    """Gets what is behind our own links, wherever this server is, and other files from public addresses.

    Args:
        ours: where our routes are, as others reach them: `Surroundings.hooks_url`.
        trusted: ``host:port`` of other servers that may be at any address.
    """

    def __init__(self, ours: str, trusted: Collection[str] = ()) -> None:
        self._ours = ours
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
        # No more than our links: what else is on a private host is not for those who write addresses to us.
        is_link = url.startswith(self._ours) and _LINK.fullmatch(url.removeprefix(self._ours))
        return await (self._here if is_link else self._elsewhere).get(url, largest)
