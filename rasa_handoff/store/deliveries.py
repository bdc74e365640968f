"""What is to go out: waiting, done, or dead until a person looks at it."""

from __future__ import annotations

import json
from typing import Any

from rasa_handoff.model import Delivery, Message
from rasa_handoff.store import messages
from rasa_handoff.store.database import Row
from rasa_handoff.store.writer import Tx

_INSERT = (
    "INSERT INTO handoff_deliveries (id, handoff_id, target, seq, kind, message_id, body, state, attempts, next_at, "
    "give_up_at, created_at, error) VALUES (:id, :handoff_id, :target, :seq, :kind, :message_id, :body, 'pending', 0, "
    ":created_at, :give_up_at, :created_at, NULL)"
)
_SELECT = (
    "SELECT d.id, d.handoff_id, d.target, d.seq, d.kind, d.message_id, m.body, d.body, d.state, d.attempts, "
    "d.next_at, d.give_up_at, d.created_at, d.error FROM handoff_deliveries d "
    "LEFT JOIN handoff_messages m ON m.id = d.message_id "
)
_DONE = "UPDATE handoff_deliveries SET state = 'done' WHERE id = :id AND state = 'pending'"
_FAILED = (
    "UPDATE handoff_deliveries SET state = :state, attempts = :attempts, next_at = :next_at, error = :error "
    "WHERE id = :id AND state = 'pending'"
)
# Where there are several processes, what one did counts only while the handoff is its own.
_OWNED = " AND handoff_id IN (SELECT id FROM handoff_handoffs WHERE id = :handoff_id AND owner = :owner)"
_REVIVE = (
    "UPDATE handoff_deliveries SET state = 'pending', attempts = 0, next_at = :now, give_up_at = :give_up_at, "
    "error = NULL WHERE id = :id AND state = 'dead'"
)
_CLAIM = "UPDATE handoff_deliveries SET next_at = 0 WHERE id = :id AND state = 'pending'"
# It waits itself, or behind one that does; what waits goes nowhere before it is claimed.
_TAKE_BACK = (
    "DELETE FROM handoff_deliveries WHERE id = :id AND (state = 'dead' OR (state = 'pending' AND "
    "((attempts > 0 AND next_at > 0) OR EXISTS (SELECT 1 FROM handoff_deliveries first "
    "WHERE first.handoff_id = :handoff_id AND first.target = :target AND first.seq < :seq "
    "AND first.state = 'pending' AND first.attempts > 0 AND first.kind NOT IN ('status', 'slots')))))"
)
_FORGET = (
    "DELETE FROM handoff_deliveries WHERE id = :id "
    "AND NOT EXISTS (SELECT 1 FROM handoff_handoffs WHERE handoff_handoffs.id = handoff_deliveries.handoff_id)"
)
_RENEW = "UPDATE handoff_deliveries SET give_up_at = :give_up_at WHERE id = :id"
# One query for each state: the indexes are over one of them, and over both nothing but the whole table.
_COUNTS = " UNION ALL ".join(
    f"SELECT '{state}', count(*) FROM handoff_deliveries WHERE state = '{state}'" for state in ("pending", "dead")
)


def insert(tx: Tx, delivery: Delivery) -> None:
    """Write a new delivery; its message, if it has one, is in the messages' table."""
    values = {
        "id": delivery.id,
        "handoff_id": delivery.handoff_id,
        "target": delivery.target,
        "seq": delivery.seq,
        "kind": delivery.kind,
        "message_id": delivery.message.id if delivery.message else None,
        "body": json.dumps(delivery.body) if delivery.body else "{}",
        "created_at": delivery.created_at,
        "give_up_at": delivery.give_up_at,
    }
    tx.run(_INSERT, values)


def done(tx: Tx, delivery_id: str) -> bool:
    """Mark it delivered; False if it was settled before."""
    return tx.run(_DONE, {"id": delivery_id}) == 1


def done_by(tx: Tx, delivery: Delivery, owner: str) -> bool:
    """`done`, unless another process than *owner* looks after the handoff by now."""
    return _run_as(tx, owner, _DONE, delivery, {"id": delivery.id})


def failed(tx: Tx, delivery: Delivery, owner: str = "") -> bool:
    """Write the failed attempt; False if it was settled before, or another process has the handoff by now."""
    values = {"id": delivery.id, "state": delivery.state, "attempts": delivery.attempts}
    return _run_as(tx, owner, _FAILED, delivery, {**values, "next_at": delivery.next_at, "error": delivery.error})


def _run_as(tx: Tx, owner: str, sql: str, delivery: Delivery, values: dict[str, Any]) -> bool:
    if not owner:
        return tx.run(sql, values) == 1
    return tx.run(sql + _OWNED, {**values, "handoff_id": delivery.handoff_id, "owner": owner}) == 1


def claim(tx: Tx, delivery: Delivery, owner: str) -> bool:
    """Write that *delivery*, which waited, is on its way; False if it was taken back, or is another process's."""
    return _run_as(tx, owner, _CLAIM, delivery, {"id": delivery.id})


def take_back(tx: Tx, delivery: Delivery) -> bool:
    """Delete an agent's message that did not reach the user; False if it did, or may have, or is on its way."""
    key = {"id": delivery.id, "handoff_id": delivery.handoff_id, "target": delivery.target, "seq": delivery.seq}
    if tx.run(_TAKE_BACK, key) != 1:
        return False
    if delivery.message is not None:
        messages.delete(tx, delivery.message.id)
    return True


def revive(tx: Tx, delivery_id: str, now: float, give_up_at: float) -> bool:
    """Send a dead one again; False if it is not dead."""
    return tx.run(_REVIVE, {"id": delivery_id, "now": now, "give_up_at": give_up_at}) == 1


def forget(tx: Tx, delivery_id: str) -> None:
    """Delete it, if its handoff has been: nothing else would."""
    tx.run(_FORGET, {"id": delivery_id})


def renew(tx: Tx, delivery: Delivery) -> None:
    """Write until when it is tried: it could not go out before."""
    tx.run(_RENEW, {"id": delivery.id, "give_up_at": delivery.give_up_at})


def get(tx: Tx, delivery_id: str) -> Delivery | None:
    row = tx.one(_SELECT + "WHERE d.id = :id", {"id": delivery_id})
    return _delivery(row) if row else None


def pending(tx: Tx, owner: str | None = None) -> list[Delivery]:
    """Everything that waits, or what this process has to send of it, in the order it has to go."""
    whose = "AND d.handoff_id IN (SELECT id FROM handoff_handoffs WHERE owner = :owner) " if owner else ""
    sql = f"{_SELECT}WHERE d.state = 'pending' {whose}ORDER BY d.handoff_id, d.seq"
    return [_delivery(row) for row in tx.all(sql, {"owner": owner})]


def pending_of(tx: Tx, handoff_id: str) -> list[Delivery]:
    sql = _SELECT + "WHERE d.handoff_id = :id AND d.state = 'pending' ORDER BY d.seq"
    return [_delivery(row) for row in tx.all(sql, {"id": handoff_id})]


def to_user_with(tx: Tx, message_id: str) -> Delivery | None:
    """The delivery that brought this message to the user."""
    sql = _SELECT + "WHERE m.id = :id AND d.handoff_id = m.handoff_id AND d.target = 'user' AND d.kind = 'message'"
    row = tx.one(sql, {"id": message_id})
    return _delivery(row) if row else None


def known_as(tx: Tx, handoff_id: str, theirs: str) -> Delivery | None:
    """What brings an agent's message to the user which the agent system calls *theirs*."""
    sql = _SELECT + "WHERE d.handoff_id = :id AND d.target = 'user' AND d.kind = 'message' ORDER BY d.seq DESC"
    found = map(_delivery, tx.all(sql, {"id": handoff_id}))
    return next((each for each in found if each.body.get("theirs") == theirs), None)


def unfinished(tx: Tx, most: int = 1000) -> list[Delivery]:
    """What waits and what is dead, oldest first: for people to look at."""
    sql = _SELECT + "WHERE d.state = 'pending' OR d.state = 'dead' ORDER BY d.created_at LIMIT :most"
    return [_delivery(row) for row in tx.all(sql, {"most": most})]


def counts(tx: Tx) -> dict[str, int]:
    """How many wait and how many are dead."""
    return {row[0]: row[1] for row in tx.all(_COUNTS, {})}


def _delivery(row: Row) -> Delivery:
    message: Message | None = messages.loads(row[5], row[6]) if row[5] and row[6] else None
    return Delivery(
        id=row[0],
        handoff_id=row[1],
        target=row[2],
        seq=row[3],
        kind=row[4],
        message=message,
        body=json.loads(row[7]),
        state=row[8],
        attempts=row[9],
        next_at=row[10],
        give_up_at=row[11],
        created_at=row[12],
        error=row[13],
    )
