"""What a user's own stream carries, numbered within the conversation so that it can be replayed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rasa_handoff.store.database import Row
from rasa_handoff.store.writer import Tx

_NEXT = "SELECT coalesce(max(id), 0) + 1 FROM handoff_stream WHERE sender_id = :sender_id"
_INSERT = (
    "INSERT INTO handoff_stream (sender_id, id, event, data, at, source, waiting, channel) "
    "VALUES (:sender_id, :id, :event, :data, :at, :source, :waiting, :channel) "
    "ON CONFLICT (sender_id, source) WHERE source IS NOT NULL DO NOTHING"
)
_FIELDS = "SELECT sender_id, id, event, data FROM handoff_stream"
_AFTER = f"{_FIELDS} WHERE sender_id = :sender_id AND id > :after ORDER BY id LIMIT :most"
#: What waits for a user: a condition on ``handoff_stream``, with ``:sender_id`` and ``:mailbox``.
WAITS = "sender_id = :sender_id AND waiting = 1 AND channel = :mailbox"
_WAITING = f"{_FIELDS} WHERE {WAITS} ORDER BY id"
_TAKEN = f"UPDATE handoff_stream SET waiting = 0 WHERE {WAITS} AND id <= :id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event of a user's stream."""

    sender_id: str
    id: int
    event: str
    data: str  #: JSON on one line


def append(
    tx: Tx, sender_id: str, event: str, data: dict[str, Any], now: float, source: str, mailbox: str | None = None
) -> bool:
    """Add an event, and announce it; False if this *source* is in the stream already.

    Args:
        source: the id of what it stands for, so that a repeated delivery has no second effect.
        mailbox: the channel with whose next request the user gets it, too.
    """
    row = tx.one(_NEXT, {"sender_id": sender_id})
    # Milliseconds, where they are ahead: when the past has been deleted, no page may know a higher number.
    number = max(int(row[0]) if row else 1, int(now * 1000))
    text = json.dumps({**data, "id": str(number)}, ensure_ascii=False)
    values = {"sender_id": sender_id, "id": number, "event": event, "data": text, "at": now}
    if tx.run(_INSERT, {**values, "source": source, "waiting": int(mailbox is not None), "channel": mailbox}) != 1:
        return False
    tx.announce(Entry(sender_id=sender_id, id=number, event=event, data=text))
    return True


def after(tx: Tx, sender_id: str, number: int, most: int = 500) -> list[Entry]:
    """The events behind *number*, in order."""
    return [_entry(row) for row in tx.all(_AFTER, {"sender_id": sender_id, "after": number, "most": most})]


def at(tx: Tx, sender_id: str, number: int) -> Entry | None:
    """The event with this number."""
    found = after(tx, sender_id, number - 1, most=1)
    return found[0] if found and found[0].id == number else None


def waiting(tx: Tx, sender_id: str, mailbox: str) -> list[Entry]:
    """What waits for the user's next request on the channel *mailbox*: other people may use their name on others."""
    return [_entry(row) for row in tx.all(_WAITING, {"sender_id": sender_id, "mailbox": mailbox})]


def taken(tx: Tx, sender_id: str, mailbox: str, number: int) -> None:
    """The user has got what waited there, up to *number*."""
    tx.run(_TAKEN, {"sender_id": sender_id, "mailbox": mailbox, "id": number})


def _entry(row: Row) -> Entry:
    return Entry(sender_id=row[0], id=row[1], event=row[2], data=row[3])
