"""Deletes what is kept of a user, once nobody is in a conversation with them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from rasa_handoff.errors import Conflict, StoreError, UnknownChat
from rasa_handoff.model import EndReason, Status
from rasa_handoff.store import Store, Tx, handoffs, users
from rasa_handoff.store.users import Chat
from rasa_handoff.switchboard import Switchboard

log = logging.getLogger(__name__)

_WAITS = 10.0  #: seconds for what is on its way, as long as one attempt may take
_LOOKS_EVERY = 0.1  #: seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What was deleted, and what is left for others to delete."""

    rows: dict[str, int]  #: deleted, by kind
    undelivered: int  #: deliveries among them that had not gone out yet, and never will
    elsewhere: tuple[Chat, ...]  #: chats that agent systems have
    overwritten: bool  #: nothing of it is left on the disk, as far as the database's files go


class Eraser:
    """Deletes users.

    Args:
        waits: seconds for an answer of the agent system, and for what is on its way.
    """

    def __init__(self, store: Store, switchboard: Switchboard, waits: float = _WAITS) -> None:
        self._store = store
        self._switchboard = switchboard
        self._waits = waits

    async def erase(self, sender_id: str, *, close: bool = False) -> Erasure:
        """Delete all that the database has of this user; doing it again does no harm.

        Args:
            close: first end the handoff that is open, as ``bot_resumed``.

        Raises:
            Conflict: ``open``, an agent has the user or is asked for; ``settling``, a handoff is over and
                the bot was not told yet.
        """
        if close:
            await self._close(sender_id)
        await self._until(_is_quiet, sender_id)
        while await self._store.write(partial(_begin, sender_id=sender_id)):
            pass  # in steps, so that nobody else waits long
        erasure = await self._store.write(partial(_erase, sender_id=sender_id))
        with suppress(StoreError):  # then this process hears later that all has to be looked at again
            await self._store.told()
        erasure = replace(erasure, overwritten=await self._overwrite())
        # Not who it was: a log must not remember whom the database has forgotten.
        log.info("users.erased rows=%s overwritten=%s", sum(erasure.rows.values()), erasure.overwritten)
        return erasure

    async def _close(self, sender_id: str) -> None:
        # While an agent system is being asked, nobody knows which chat would have to be ended there.
        await self._until(_is_answered, sender_id)
        with suppress(UnknownChat):  # none is open
            await self._switchboard.close(EndReason.BOT_RESUMED, sender_id=sender_id)

    async def _until(self, true: Callable[[Tx, str], bool], sender_id: str) -> None:
        """Wait until something holds, but not for ever."""
        end = time.monotonic() + self._waits
        while not await self._store.read(lambda tx: true(tx, sender_id)) and time.monotonic() < end:
            await asyncio.sleep(_LOOKS_EVERY)

    async def _overwrite(self) -> bool:
        try:
            return await self._store.scrub()
        except StoreError as error:
            log.error("users.not_overwritten %s", error)
            return False


def _is_answered(tx: Tx, sender_id: str) -> bool:
    """No agent system is being asked to take the user."""
    handoff = handoffs.unsettled(tx, sender_id)
    return handoff is None or handoff.status is not Status.REQUESTED


def _is_quiet(tx: Tx, sender_id: str) -> bool:
    """There is nothing to wait for: all has gone out that the end of a handoff brings."""
    handoff = handoffs.unsettled(tx, sender_id)
    if handoff is None:
        return users.pending(tx, sender_id) == 0
    return handoff.is_open


def _begin(tx: Tx, sender_id: str) -> int:
    _require_over(tx, sender_id)
    return users.begin_to_erase(tx, sender_id)


def _erase(tx: Tx, sender_id: str) -> Erasure:
    _require_over(tx, sender_id)
    undelivered, elsewhere = users.pending(tx, sender_id), users.elsewhere(tx, sender_id)
    rows = users.erase(tx, sender_id)
    return Erasure(rows=rows, undelivered=undelivered, elsewhere=tuple(elsewhere), overwritten=False)


def _require_over(tx: Tx, sender_id: str) -> None:
    handoff = handoffs.unsettled(tx, sender_id)
    if handoff is not None and handoff.is_open:
        raise Conflict("open", "the user is with an agent, or waits for one; end that first")
    if handoff is not None:
        raise Conflict("settling", "the bot has not been told yet that the handoff is over; try again in a moment")
