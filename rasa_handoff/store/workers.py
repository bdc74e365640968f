"""Which processes are alive, and whose handoffs are nobody's any more; on PostgreSQL, by its clock."""

from __future__ import annotations

from rasa_handoff.store.database import Connection
from rasa_handoff.store.writer import Tx

_NOW = "extract(epoch FROM clock_timestamp())"
_JOIN = f"INSERT INTO handoff_workers (id, lease_ends) VALUES (:id, {_NOW} + :seconds)"
_RENEW = f"UPDATE handoff_workers SET lease_ends = {_NOW} + :seconds WHERE id = :id"
_LEAVE = "DELETE FROM handoff_workers WHERE id = :id"
# When the server has just come back, nobody could renew: they get time to.
_SILENT = (
    f"lease_ends < {_NOW} AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => :grace) "
    "AND id <> :id"
)
_ANY_SILENT = f"SELECT 1 FROM handoff_workers WHERE {_SILENT} LIMIT 1"
_BURY = f"DELETE FROM handoff_workers WHERE {_SILENT}"
_COUNT = "SELECT count(*) FROM handoff_workers"
# What is over, and has nothing to deliver, needs nobody.
_ORPHANS = (
    "SELECT h.id FROM handoff_handoffs h WHERE h.owner NOT IN (SELECT id FROM handoff_workers) AND (h.settled = 0 "
    "OR h.id IN (SELECT d.handoff_id FROM handoff_deliveries d WHERE d.state = 'pending')) LIMIT :most"
)
_GIVE = "UPDATE handoff_handoffs SET owner = :owner WHERE id = :id"


def join(connection: Connection, worker_id: str, seconds: float) -> None:
    """Write down that this process is alive, for so many seconds."""
    connection.run(_JOIN, {"id": worker_id, "seconds": seconds})


def renew(connection: Connection, worker_id: str, seconds: float) -> bool:
    """The same, again; False if the others have taken it for dead."""
    return connection.run(_RENEW, {"id": worker_id, "seconds": seconds}) == 1


def leave(connection: Connection | Tx, worker_id: str) -> None:
    """This process looks after nothing any more."""
    connection.run(_LEAVE, {"id": worker_id})


def any_silent(connection: Connection, worker_id: str, grace: float) -> bool:
    """Whether the lease of another process has run out, though it had so many seconds since the server's start."""
    return connection.one(_ANY_SILENT, {"id": worker_id, "grace": grace}) is not None


def bury(tx: Tx, worker_id: str, grace: float) -> int:
    """Take for dead whose lease has run out: from this commit on they cannot renew it. How many."""
    return tx.run(_BURY, {"id": worker_id, "grace": grace})


def count(tx: Tx) -> int:
    """How many processes are alive, or were a moment ago."""
    row = tx.one(_COUNT, {})
    return int(row[0]) if row else 0


def orphans(tx: Tx, most: int) -> list[str]:
    """Ids of handoffs that somebody has to look after, and nobody does."""
    return [row[0] for row in tx.all(_ORPHANS, {"most": most})]


def give(tx: Tx, handoff_id: str, owner: str) -> None:
    """Have this process look after the handoff."""
    tx.run(_GIVE, {"id": handoff_id, "owner": owner})
