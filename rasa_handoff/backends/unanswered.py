"""Requests for a chat whose answer never came: an agent system may have opened one, and tells of it later.

An answer gets lost, or the server stops while it waits for one. Then the handoff has ended, or is elsewhere, and nobody
looks after the chat, whose id is not known before there is news of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from rasa_handoff.errors import BackendError, Refused, TemporaryError, Unavailable
from rasa_handoff.model import Handoff
from rasa_handoff.store import Store, Tx, handoffs, kept

_MOST = 20  #: of a user, who may ask again and again while nobody answers
_NO = range(400, 500)


class Unanswered:
    """The requests of one backend.

    Args:
        backend: its name.
        now: seconds since the epoch.
    """

    def __init__(self, backend: str, store: Store, now: Callable[[], float]) -> None:
        self._backend = backend
        self._scope = f"{backend} unanswered"
        self._store = store
        self._now = now

    @asynccontextmanager
    async def asking(self, who: str, handoff: Handoff) -> AsyncIterator[None]:
        """Ask for a chat of *handoff*, and note it until there is an answer.

        Args:
            who: what their news of the chat calls the user.
        """
        await self._store.write(partial(self._note, who=who, handoff=handoff))
        try:
            yield
        except BackendError as error:
            if _is_no(error):
                await self._store.write(partial(self.settle, who=who, handoff=handoff))
            raise
        await self._store.write(partial(self.settle, who=who, handoff=handoff))

    def left(self, tx: Tx, who: str) -> Handoff | None:
        """The handoff for which an unknown chat of *who* was opened, if nobody waits for it any more."""
        asked = (handoffs.get(tx, name) for name in self._names(tx, who))
        return next((each for each in asked if each is not None and not self._is_waiting(each)), None)

    def _is_waiting(self, handoff: Handoff) -> bool:
        return handoff.is_open and handoff.backend == self._backend

    def settle(self, tx: Tx, who: str, handoff: Handoff) -> None:
        """It is known what became of the request: there is a chat, or none."""
        names = [name for name in self._names(tx, who) if name != handoff.id]
        if names:
            self._keep(tx, who, names, handoff)
        else:
            kept.forget(tx, self._scope, who)

    def _note(self, tx: Tx, who: str, handoff: Handoff) -> None:
        self._keep(tx, who, [*self._names(tx, who), handoff.id][-_MOST:], handoff)

    def _names(self, tx: Tx, who: str) -> list[str]:
        return list((kept.get(tx, self._scope, who) or {}).get("handoffs", ()))

    def _keep(self, tx: Tx, who: str, names: list[str], handoff: Handoff) -> None:
        kept.put(tx, self._scope, who, {"handoffs": names}, self._now(), handoff.sender_id)


def _is_no(error: BackendError) -> bool:
    """Whether they have said that there is no chat; what cannot be read may be a yes."""
    if isinstance(error, TemporaryError):
        return False
    return isinstance(error, (Refused, Unavailable)) or error.status in _NO
