"""Small things that outlive a handoff: how to reach a user, who they are at an agent system."""

from __future__ import annotations

import json

from rasa_handoff.model import Json
from rasa_handoff.store.writer import Tx

_PUT = (
    "INSERT INTO handoff_kept (scope, name, sender_id, body, at) VALUES (:scope, :name, :sender_id, :body, :at) "
    "ON CONFLICT (scope, name) DO UPDATE SET sender_id = :sender_id, body = :body, at = :at"
)
_GET = "SELECT body FROM handoff_kept WHERE scope = :scope AND name = :name"
_NAMES = "SELECT name FROM handoff_kept WHERE scope = :scope ORDER BY name"
_FORGET = "DELETE FROM handoff_kept WHERE scope = :scope AND name = :name"
_OLD = (
    "DELETE FROM handoff_kept WHERE at < :before "
    "AND sender_id NOT IN (SELECT sender_id FROM handoff_handoffs WHERE status <> 'closed')"
)


def put(tx: Tx, scope: str, name: str, body: Json, now: float, sender_id: str) -> None:
    """Keep *body* under *name*, in the place of what was there.

    Args:
        scope: what kind of thing it is, e.g. ``channel:slack`` or a backend's name.
        name: what it is looked up by, e.g. the ``sender_id``, or what the user is called elsewhere.
        sender_id: the conversation of the user whom it is about; it goes when they are erased.
    """
    values = {"scope": scope, "name": name, "sender_id": sender_id}
    tx.run(_PUT, {**values, "body": json.dumps(body), "at": now})


def get(tx: Tx, scope: str, name: str) -> Json | None:
    """What was kept."""
    row = tx.one(_GET, {"scope": scope, "name": name})
    found: Json | None = json.loads(row[0]) if row else None
    return found


def names(tx: Tx, scope: str) -> list[str]:
    """What is kept, by name; for scopes of few."""
    return [row[0] for row in tx.all(_NAMES, {"scope": scope})]


def forget(tx: Tx, scope: str, name: str) -> None:
    tx.run(_FORGET, {"scope": scope, "name": name})


def delete_old(tx: Tx, before: float) -> None:
    """Delete what was kept before *before* and not again since, but for users whose handoff is open."""
    tx.run(_OLD, {"before": before})
