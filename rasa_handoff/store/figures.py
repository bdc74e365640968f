"""Handoffs in numbers: how many there are at this moment, and the course of each that there was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rasa_handoff.model import EndReason, Status, Target
from rasa_handoff.store.writer import Tx

_AGAIN_WITHIN = 86_400.0  #: seconds

# Without the `|| ''` the index over all chats that ever were would be taken, not the small one over the open ones.
_OPEN = (
    "SELECT backend || '', agent_group, status, count(*), min(opened_at) FROM handoff_handoffs "
    "WHERE status <> 'closed' GROUP BY backend || '', agent_group, status"
)
# One query for each state: the indexes are over one of them, and over both nothing but the whole table.
_DELIVERIES = " UNION ALL ".join(
    f"SELECT '{state}', target, count(*), min(created_at) FROM handoff_deliveries WHERE state = '{state}' "
    "GROUP BY target"
    for state in ("pending", "dead")
)
# A request to call back is no handoff: nobody is connected with anybody.
_IS_CALLBACK = (
    "h.end_reason = 'unavailable' AND EXISTS (SELECT 1 FROM handoff_deliveries d "
    "WHERE d.handoff_id = h.id AND d.kind = 'callback')"
)
_IS_AGAIN = (
    "EXISTS (SELECT 1 FROM handoff_handoffs p WHERE p.sender_id = h.sender_id AND p.opened_at < h.opened_at "
    "AND p.accepted_at IS NOT NULL AND p.closed_at >= h.opened_at - :again_within)"
)
_COURSES = (
    "SELECT h.id, h.backend, h.agent_group, h.opened_at, h.accepted_at, h.replied_at, h.closed_at, h.end_reason, "
    f"h.stars, h.resolved, CASE WHEN {_IS_AGAIN} THEN 1 ELSE 0 END FROM handoff_handoffs h "
    f"WHERE (h.opened_at, h.id) > (:at, :id) AND h.opened_at < :until AND NOT ({_IS_CALLBACK}) "
    "ORDER BY h.opened_at, h.id LIMIT :most"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHandoffs:
    """The handoffs of one group at one agent system that stand alike."""

    backend: str
    group: str | None
    status: Status
    count: int
    oldest: float  #: when the first of them was opened, seconds since the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """The deliveries to one side that wait, or are dead."""

    target: Target
    state: str  #: pending or dead
    count: int
    oldest: float  #: when the first of them was posted, seconds since the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How one handoff went; times in seconds since the epoch."""

    id: str
    backend: str
    group: str | None
    opened_at: float
    accepted_at: float | None
    replied_at: float | None
    closed_at: float | None
    end_reason: EndReason | None
    stars: int | None
    resolved: bool | None
    again: bool  #: the user had been with an agent less than a day before


def open_handoffs(tx: Tx) -> list[OpenHandoffs]:
    """What is open at this moment."""
    rows = tx.all(_OPEN, {})
    return [
        OpenHandoffs(backend=row[0], group=row[1], status=Status(row[2]), count=row[3], oldest=row[4]) for row in rows
    ]


def unfinished(tx: Tx) -> list[Unfinished]:
    """What is to be delivered, or could not be."""
    rows = tx.all(_DELIVERIES, {})
    return [Unfinished(state=row[0], target=row[1], count=row[2], oldest=row[3]) for row in rows]


def courses(tx: Tx, since: float, until: float, after: Course | None, most: int) -> list[Course]:
    """The handoffs that were opened in this time, oldest first, behind *after*: to go through them page by page.

    Requests to call back are not among them.
    """
    at, behind = (after.opened_at, after.id) if after else (since, "")
    values = {"at": at, "id": behind, "until": until, "most": most, "again_within": _AGAIN_WITHIN}
    return list(_courses(tx, values))


def _courses(tx: Tx, values: dict[str, object]) -> Iterator[Course]:
    for row in tx.all(_COURSES, values):
        yield Course(
            id=row[0],
            backend=row[1],
            group=row[2],
            opened_at=row[3],
            accepted_at=row[4],
            replied_at=row[5],
            closed_at=row[6],
            end_reason=EndReason(row[7]) if row[7] else None,
            stars=row[8],
            resolved=None if row[9] is None else bool(row[9]),
            again=bool(row[10]),
        )
