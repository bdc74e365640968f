"""How users are reached again, kept on disk from the messages that came in."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from rasa.core.channels.channel import UserMessage
from sanic.request import Request

from rasa_handoff.channels.base import Channel
from rasa_handoff.model import Json
from rasa_handoff.store import Missed, Store, kept
from rasa_handoff.store.users import Erased

_REMEMBERED = 10_000  #: users
_ANEW = 3600.0  #: seconds after which an address is kept again, so that those in use do not expire


class Addresses:
    """The last address of each user, for channels that need more than a ``sender_id``."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._last: OrderedDict[tuple[str, str], tuple[Json, float]] = OrderedDict()
        store.subscribe(Erased, self._forget)
        store.subscribe(Missed, lambda missed: self._last.clear())  # others may have been erased meanwhile

    def keep(self, channel: Channel, message: UserMessage, request: Request | None = None) -> Awaitable[object] | None:
        """Keep how the user who wrote *message* is reached: what is still to be waited for, if anything."""
        address = channel.address(message, request)
        if address is None:
            return None
        key, now = (channel.name, message.sender_id), self._now()
        known = self._last.get(key)
        if known and known[0] == address and now - known[1] < _ANEW:
            self._last.move_to_end(key)
            return None
        return asyncio.ensure_future(self._write(channel, message.sender_id, address, now))

    async def _write(self, channel: Channel, sender_id: str, address: Json, now: float) -> None:
        await self._store.write(lambda tx: kept.put(tx, _scope(channel), sender_id, address, now, sender_id))
        self._last[channel.name, sender_id] = address, now  # only now: else a failed one would not be tried again
        self._last.move_to_end((channel.name, sender_id))
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)

    def _forget(self, erased: Erased) -> None:
        """It is on disk no more; the next message is to bring it there again."""
        for key in [key for key in self._last if key[1] == erased.sender_id]:
            del self._last[key]

    async def find(self, channel: Channel, sender_id: str) -> Json | None:
        """How this user is reached, beside their ``sender_id``; from disk, for another process may know better."""
        if type(channel).address is Channel.address:  # it needs none
            return None
        return await self._store.read(lambda tx: kept.get(tx, _scope(channel), sender_id))


def _scope(channel: Channel) -> str:
    return f"channel:{channel.name}"
