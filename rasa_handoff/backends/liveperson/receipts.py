"""Which number each of the user's last messages has there, so that it can be said which of them agents have read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rasa_handoff.events import AnyEvent, MessageStatus
from rasa_handoff.store import Tx, kept

_KEPT = "liveperson sent"  #: our names of messages by their numbers, for each conversation
_MOST = 20  #: messages of a conversation


def keep(tx: Tx, conversation: str, number: str, message_id: str, now: float, sender_id: str) -> None:
    """The message has this *number*, ``<dialog>:<sequence>``."""
    sent = {**(kept.get(tx, _KEPT, conversation) or {}), number: message_id}
    kept.put(tx, _KEPT, conversation, dict(list(sent.items())[-_MOST:]), now, sender_id)


def forget(tx: Tx, conversation: str) -> None:
    """The conversation is over."""
    kept.forget(tx, _KEPT, conversation)


def by_our_names(tx: Tx, conversation: str, events: Sequence[AnyEvent]) -> Sequence[AnyEvent]:
    """*events*; in the place of what became of messages by their numbers, what became of the last that is ours."""
    became = {each.message_id: each for each in events if isinstance(each, MessageStatus)}
    if not became:
        return events
    sent = kept.get(tx, _KEPT, conversation) or {}
    ours = [replace(became[number], message_id=name) for number, name in sent.items() if number in became]
    return ours[-1:]
