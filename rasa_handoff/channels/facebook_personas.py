"""Messenger's personas: agents under their own names and pictures.

https://developers.facebook.com/docs/messenger-platform/send-messages/personas
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from rasa_handoff.channels.base import Around
from rasa_handoff.channels.notes import ANEW, note
from rasa_handoff.errors import BackendError, StoreError, UserUnreachable
from rasa_handoff.model import Json, Message
from rasa_handoff.store import Tx, kept

log = logging.getLogger(__name__)

REMEMBERED = 1000  #: personas that are in memory; those of more are on disk
_LONGEST_NAME = 50  #: characters
_SCOPE = "facebook:personas"


class Personas:
    """A page's personas, made when they are needed and kept on disk.

    Args:
        make: has Meta make one of ``name`` and ``profile_picture_url``, and gives its id; it raises `BackendError` or
            `UserUnreachable` where Meta does not.
    """

    def __init__(self, make: Callable[[Json], Awaitable[str]], around: Around) -> None:
        self._make = make
        self._store = around.store
        self._now = around.now
        self._known: OrderedDict[str, str] = OrderedDict()  # ids
        self._not_before: OrderedDict[str, float] = OrderedDict()

    async def of(self, speaker: Json) -> str | None:
        """The id of *speaker*'s persona, as `speaker_of` gives them; None where the page has to speak itself."""
        if not speaker or self._now() < self._not_before.get(_key(speaker), 0.0):
            return None
        return self._known.get(_key(speaker)) or await self._found(speaker) or await self._made(speaker)

    async def forget(self, speaker: Json) -> None:
        """Meta does not know the persona, or not any more."""
        key = _key(speaker)
        self._known.pop(key, None)
        note(self._not_before, key, self._now() + ANEW, REMEMBERED)
        await self._keep(lambda tx: kept.forget(tx, _SCOPE, key))

    async def _found(self, speaker: Json) -> str | None:
        key = _key(speaker)
        found = await self._store.read(lambda tx: kept.get(tx, _SCOPE, key))
        if found is not None:
            note(self._known, key, found["id"], REMEMBERED)
        return self._known.get(key)

    async def _made(self, speaker: Json) -> str | None:
        key, now = _key(speaker), self._now()
        try:
            persona = await self._make(speaker)
        except (BackendError, UserUnreachable) as error:
            note(self._not_before, key, now + ANEW, REMEMBERED)
            log.info("facebook.no_persona why=%s", error)
            return None
        note(self._known, key, persona, REMEMBERED)
        await self._keep(lambda tx: kept.put(tx, _SCOPE, key, {"id": persona}, now, ""))
        return persona

    async def _keep(self, change: Callable[[Tx], None]) -> None:
        """Write it down, if that works: where it does not, no message is to come twice."""
        try:
            await self._store.write(change)
        except StoreError as error:
            log.warning("facebook.persona_not_noted %s", error)


def speaker_of(message: Message) -> Json:
    """Who speaks in *message*, as Meta's request for a persona has it; empty where that is nobody with a picture."""
    if message.who != "agent" or not message.name or not message.avatar_url:
        return {}
    return {"name": message.name[:_LONGEST_NAME], "profile_picture_url": message.avatar_url}


def _key(speaker: Json) -> str:
    return f"{speaker['name']} {speaker['profile_picture_url']}"
