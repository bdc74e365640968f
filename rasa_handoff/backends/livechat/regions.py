"""Which of LiveChat's regions has an organization: one that is asked for another's says which it is."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from rasa_handoff.backends.http import Reply
from rasa_handoff.backends.livechat.settings import NAME
from rasa_handoff.errors import BackendError


class Misdirected(BackendError):
    """Another region has this organization.

    Args:
        region: the one to ask.
    """

    def __init__(self, doing: str, status: int, region: str) -> None:
        super().__init__(NAME, doing, status, "another region has this organization")
        self.region = region


class Region:
    """The region to ask, as far as one was named."""

    def __init__(self) -> None:
        self._name: str | None = None

    async def ask(self, ask: Callable[[Mapping[str, str]], Awaitable[Reply]]) -> Reply:
        """Ask with the headers that lead there; once more where another region is named.

        Args:
            ask: raises `Misdirected`.
        """
        try:
            return await ask(self._headers())
        except Misdirected as error:
            self._name = error.region
        return await ask(self._headers())

    def _headers(self) -> dict[str, str]:
        # Their pages had this header until 2025-04; clients of theirs send it.
        return {"X-Region": self._name} if self._name else {}


def require_here(doing: str, reply: Reply) -> None:
    """Raise `Misdirected` where *reply* names another region.

    https://platform.text.com/docs/messaging/customer-chat-api#possible-errors (read 2026-11)
    """
    region = _region_in(reply)
    if region is not None:
        raise Misdirected(doing, reply.status, region)


def _region_in(reply: Reply) -> str | None:
    """The region that ``{"error": {"type": "misdirected_request", "data": {"region": "fra"}}}`` names."""
    if reply.status < 400:
        return None
    try:
        error: Any = reply.json(NAME, "read an error").get("error")
        region = error["data"]["region"] if error["type"] == "misdirected_request" else None
    except (BackendError, KeyError, TypeError):
        return None
    return region if isinstance(region, str) and re.fullmatch(r"[\w-]{1,20}", region, re.ASCII) else None
