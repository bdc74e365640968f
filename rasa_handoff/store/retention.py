"""Deleting what is no longer needed."""

from __future__ import annotations

from rasa_handoff.store import files, kept
from rasa_handoff.store.writer import Tx

_SEEN_FOR = 72 * 3600.0  #: seconds; the longest that a provider is known to repeat a webhook
_COMES_FOR = 3600.0  #: seconds; longer than a file may take to come
_WAITS_FOR = 24 * 3600.0  #: seconds; longer than anybody takes to write a message that goes with a file
_AT_ONCE = 200

_OLD = "SELECT id, coalesce(chat_id, id) FROM handoff_handoffs WHERE closed_at < :before AND settled = 1 LIMIT :most"
_OF_HANDOFF = (
    "DELETE FROM handoff_messages WHERE handoff_id = :id",
    "DELETE FROM handoff_deliveries WHERE handoff_id = :id",
    "DELETE FROM handoff_requests WHERE handoff_id = :id",
    "DELETE FROM handoff_files WHERE handoff_id = :id",
    # Where the desk answered too late it has the chat under the handoff's id, and another system has it under :chat.
    "DELETE FROM handoff_desk_messages WHERE chat_id IN (:id, :chat)",
    "DELETE FROM handoff_desk_chats WHERE id IN (:id, :chat)",
    "DELETE FROM handoff_handoffs WHERE id = :id",
)
_OLD_SEEN = "DELETE FROM handoff_seen WHERE at < :before"
_OLD_STREAM = "DELETE FROM handoff_stream WHERE at < :before"


def delete_old(tx: Tx, before: float) -> int:
    """Delete some of the handoffs that ended before *before*, with all that belongs to them; how many."""
    rows = tx.all(_OLD, {"before": before, "most": _AT_ONCE})
    parts = files.GONE_AT_ONCE
    for handoff_id, chat_id in rows:
        gone = files.shrink_of_handoff(tx, handoff_id, parts)
        if gone == parts:  # there may be more, which is for the next time
            return len(rows)
        parts -= gone
        for sql in _OF_HANDOFF:
            tx.run(sql, {"id": handoff_id, "chat": chat_id})
    if not rows:
        tx.run(_OLD_STREAM, {"before": before})
        kept.delete_old(tx, before)
    return len(rows)


def delete_unsent(tx: Tx, now: float) -> int:
    """Delete some of what is left of files that broke off, or that never went with a message; 0 when there are none."""
    return files.shrink_unsent(tx, now - _COMES_FOR, now - _WAITS_FOR)


def forget_seen(tx: Tx, now: float) -> int:
    """Forget the ids of events that nobody repeats any more. It is done at once, so nothing remains."""
    tx.run(_OLD_SEEN, {"before": now - _SEEN_FOR})
    return 0
