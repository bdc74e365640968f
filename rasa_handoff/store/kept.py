"""Small things that outlive a handoff: how to reach a user, who they are at an agent system."""

from __future__ import annotations

import json

from rasa_handoff.model import Json
from rasa_handoff.store.writer import Tx

_PUT = (
    "INSERT INTO handoff_kept (scope, name, body, at) VALUES (:scope, :name, :body, :at) "
    "ON CONFLICT (scope, name) DO UPDATE SET body = :body, at = :at"
)
_GET = "SELECT body FROM handoff_kept WHERE scope = :scope AND name = :name"
_FORGET = "DELETE FROM handoff_kept WHERE scope = :scope AND name = :name"
_OLD = (
    "DELETE FROM handoff_kept WHERE at < :before "
    "AND name NOT IN (SELECT sender_id FROM handoff_handoffs WHERE status <> 'closed')"
)


def put(tx: Tx, scope: str, name: str, body: Json, now: float) -> None:
    """Keep *body* under *name*, in the place of what was there.

    Args:
        scope: whose it is, e.g. ``channel:slack`` or a backend's name.
        name: e.g. a ``sender_id``.
    """
    tx.run(_PUT, {"scope": scope, "name": name, "body": json.dumps(body), "at": now})


def get(tx: Tx, scope: str, name: str) -> Json | None:
    """What was kept."""
    row = tx.one(_GET, {"scope": scope, "name": name})
    found: Json | None = json.loads(row[0]) if row else None
    return found


def forget(tx: Tx, scope: str, name: str) -> None:
    tx.run(_FORGET, {"scope": scope, "name": name})


def delete_old(tx: Tx, before: float) -> None:
    """Delete what was kept before *before* and not again since, but for users whose handoff is open."""
    tx.run(_OLD, {"before": before})
