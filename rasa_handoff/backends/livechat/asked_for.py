"""Who has asked for a chat: until it is known what became of it, for the answer may get lost, and a server may stop."""

from __future__ import annotations

from rasa_handoff.backends.livechat.settings import NAME
from rasa_handoff.model import Handoff
from rasa_handoff.store import Tx, handoffs, kept

_ASKED_FOR = f"{NAME} asked for"  #: by the handoff's id


def note(tx: Tx, handoff: Handoff, now: float) -> None:
    """A chat is being asked for."""
    kept.put(tx, _ASKED_FOR, handoff.id, {}, now, handoff.sender_id)


def is_noted(tx: Tx, handoff_id: str) -> bool:
    """Whether it is not known yet what became of it."""
    return kept.get(tx, _ASKED_FOR, handoff_id) is not None


def forget(tx: Tx, handoff_id: str) -> None:
    """It is known: there is the handoff's chat, or none."""
    kept.forget(tx, _ASKED_FOR, handoff_id)


def unknown(tx: Tx) -> list[Handoff]:
    """The handoffs of which it is not known."""
    found = (handoffs.get(tx, name) for name in kept.names(tx, _ASKED_FOR))
    return [handoff for handoff in found if handoff is not None]


def asked_again(tx: Tx, handoff: Handoff) -> bool:
    """Whether the user has asked again meanwhile, and their one chat goes on in a newer handoff."""
    latest = handoffs.unsettled(tx, handoff.sender_id)
    return latest is not None and latest.is_open and latest.id != handoff.id and latest.backend == NAME
