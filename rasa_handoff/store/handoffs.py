"""Handoffs, and the requests that led to them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from rasa_handoff.model import Deadline, EndReason, Handoff, Line, Person, Rating, Request, Status
from rasa_handoff.store import stream
from rasa_handoff.store.database import Row
from rasa_handoff.store.writer import Tx

_FIELDS = (
    "id, sender_id, channel, backend, status, opened_at, chat_id, end_reason, agent_group, agent, "
    "queue_position, accepted_at, closed_at, settled, last_seq, deadlines, notes, owner, replied_at, stars, resolved"
)
_INSERT = (
    f"INSERT INTO handoff_handoffs ({_FIELDS}, due_at) VALUES (:id, :sender_id, :channel, :backend, :status, "
    ":opened_at, :chat_id, :end_reason, :agent_group, :agent, :queue_position, :accepted_at, :closed_at, :settled, "
    ":last_seq, :deadlines, :notes, :owner, :replied_at, :stars, :resolved, :due_at)"
)
_UPDATE = (
    "UPDATE handoff_handoffs SET backend = :backend, status = :status, chat_id = :chat_id, "
    "end_reason = :end_reason, agent_group = :agent_group, agent = :agent, queue_position = :queue_position, "
    "accepted_at = :accepted_at, closed_at = :closed_at, settled = :settled, last_seq = :last_seq, "
    "deadlines = :deadlines, notes = :notes, replied_at = :replied_at, stars = :stars, resolved = :resolved, "
    "due_at = :due_at WHERE id = :id"
)
_TOUCH = "UPDATE handoff_handoffs SET last_seq = :last_seq, deadlines = :deadlines, due_at = :due_at WHERE id = :id"
_COUNT = "UPDATE handoff_handoffs SET last_seq = :last_seq WHERE id = :id"
_UNSETTLED = f"SELECT {_FIELDS} FROM handoff_handoffs WHERE sender_id = :sender_id AND settled = 0"
# Every turn of every bot begins with this, so it is one statement, which mostly finds nothing: a row for each
# handoff, and one of NULL for each thing that waits.
_UNSETTLED_AND_MAIL = (
    f"{_UNSETTLED} UNION ALL SELECT {', '.join('NULL' for _ in _FIELDS.split(','))} "
    f"FROM handoff_stream WHERE {stream.WAITS}"
)
_BY_ID = f"SELECT {_FIELDS} FROM handoff_handoffs WHERE id = :id"
_BY_CHAT = f"SELECT {_FIELDS} FROM handoff_handoffs WHERE backend = :backend AND chat_id = :chat_id ORDER BY opened_at"
_OPEN = f"SELECT {_FIELDS} FROM handoff_handoffs WHERE status <> 'closed' ORDER BY opened_at LIMIT :most"
_OPEN_AFTER = (
    f"SELECT {_FIELDS} FROM handoff_handoffs WHERE status <> 'closed' AND sender_id > :sender_id "
    "ORDER BY sender_id LIMIT :most"
)
_UNTOLD = f"SELECT {_FIELDS} FROM handoff_handoffs WHERE settled = 0 AND status = :status"
_LAST = f"SELECT {_FIELDS} FROM handoff_handoffs WHERE sender_id = :sender_id ORDER BY opened_at DESC LIMIT 1"
_DUE = "SELECT id FROM handoff_handoffs WHERE due_at <= :now AND owner = :owner ORDER BY due_at LIMIT :most"
_WAITING_AT = (
    f"SELECT {_FIELDS} FROM handoff_handoffs WHERE backend = :backend AND status IN ('requested', 'queued') "
    "ORDER BY opened_at LIMIT :most"
)
# Without the `|| ''` the index over all chats that ever were would be taken, not the small one over the open ones.
_OPEN_AT = f"SELECT {_FIELDS} FROM handoff_handoffs WHERE status <> 'closed' AND backend || '' = :backend"
_COUNT_OPEN = "SELECT count(*) FROM handoff_handoffs WHERE status <> 'closed'"


def insert(tx: Tx, handoff: Handoff, request: Request) -> None:
    """Write a new handoff and what the bot asked for."""
    tx.run(_INSERT, {**_state(handoff), **_origin(handoff)})
    body = json.dumps(asdict(request), ensure_ascii=False)
    tx.run("INSERT INTO handoff_requests (handoff_id, body) VALUES (:id, :body)", {"id": handoff.id, "body": body})


def ask(tx: Tx, handoff_id: str, request: Request) -> None:
    """Write what is asked of the agent system that is tried next."""
    body = json.dumps(asdict(request), ensure_ascii=False)
    tx.run("UPDATE handoff_requests SET body = :body WHERE handoff_id = :id", {"id": handoff_id, "body": body})


def update(tx: Tx, handoff: Handoff) -> None:
    """Write everything about *handoff* that can change."""
    tx.run(_UPDATE, _state(handoff))


def touch(tx: Tx, handoff: Handoff) -> None:
    """Write what each message changes: the count and the deadlines."""
    values = {"id": handoff.id, "last_seq": handoff.last_seq}
    tx.run(_TOUCH, {**values, "deadlines": _deadlines(handoff), "due_at": due_at(handoff)})


def count(tx: Tx, handoff: Handoff) -> None:
    """Write how many messages and deliveries it has."""
    tx.run(_COUNT, {"id": handoff.id, "last_seq": handoff.last_seq})


def unsettled(tx: Tx, sender_id: str) -> Handoff | None:
    """The handoff of this conversation that is open, or closed and the bot does not know yet."""
    return _foremost(tx.all(_UNSETTLED, {"sender_id": sender_id}))


def unsettled_and_mail(tx: Tx, sender_id: str, mailbox: str) -> tuple[Handoff | None, bool]:
    """`unsettled`, and whether something waits for this user on the channel *mailbox*."""
    rows = tx.all(_UNSETTLED_AND_MAIL, {"sender_id": sender_id, "mailbox": mailbox})
    held = [row for row in rows if row[0] is not None]
    return _foremost(held), len(held) < len(rows)


def get(tx: Tx, handoff_id: str) -> Handoff | None:
    row = tx.one(_BY_ID, {"id": handoff_id})
    return _handoff(row) if row else None


def fresh(tx: Tx, handoff: Handoff) -> Handoff:
    """*handoff* as it is on disk; over, if it has been deleted."""
    return get(tx, handoff.id) or replace(handoff, status=Status.CLOSED, settled=True)


def by_chat(tx: Tx, backend: str, chat_id: str) -> Handoff | None:
    """The handoff with this chat: the open one, else the last (a chat id may serve several handoffs)."""
    return _foremost(tx.all(_BY_CHAT, {"backend": backend, "chat_id": chat_id}))


def last(tx: Tx, sender_id: str) -> Handoff | None:
    """The newest handoff of this conversation."""
    row = tx.one(_LAST, {"sender_id": sender_id})
    return _handoff(row) if row else None


def all_open(tx: Tx, most: int = 1000) -> list[Handoff]:
    """The open handoffs, oldest first."""
    return [_handoff(row) for row in tx.all(_OPEN, {"most": most})]


def open_after(tx: Tx, sender_id: str, most: int = 200) -> list[Handoff]:
    """The open handoffs of the conversations behind *sender_id*: to go through all of them, page by page."""
    return [_handoff(row) for row in tx.all(_OPEN_AFTER, {"sender_id": sender_id, "most": most})]


def waiting_at(tx: Tx, backend: str, most: int = 1000) -> list[Handoff]:
    """The handoffs at this backend that no agent has taken, oldest first."""
    return [_handoff(row) for row in tx.all(_WAITING_AT, {"backend": backend, "most": most})]


def open_at(tx: Tx, backend: str) -> list[Handoff]:
    """All open handoffs at this backend."""
    return [_handoff(row) for row in tx.all(_OPEN_AT, {"backend": backend})]


def count_open(tx: Tx) -> int:
    row = tx.one(_COUNT_OPEN, {})
    return int(row[0]) if row else 0


def unsettled_in(tx: Tx, status: Status) -> list[Handoff]:
    """Every handoff with this status that is not settled, of all conversations."""
    return [_handoff(row) for row in tx.all(_UNTOLD, {"status": status.value})]


def due(tx: Tx, now: float, owner: str, most: int = 200) -> list[str]:
    """Ids of this process's handoffs whose next deadline or warning has come."""
    return [row[0] for row in tx.all(_DUE, {"now": now, "owner": owner, "most": most})]


def request_of(tx: Tx, handoff_id: str) -> Request | None:
    """What the bot asked for when this handoff was opened."""
    row = tx.one("SELECT body FROM handoff_requests WHERE handoff_id = :id", {"id": handoff_id})
    if row is None:
        return None
    body = json.loads(row[0])
    return Request(**{**body, "transcript": tuple(Line(**line) for line in body["transcript"])})


def due_at(handoff: Handoff) -> float | None:
    """When the clock has to look at *handoff* next."""
    if not handoff.is_open or not handoff.deadlines:
        return None
    return min(deadline.next for deadline in handoff.deadlines.values())


def _foremost(rows: list[Row]) -> Handoff | None:
    """The open one, else the last."""
    found = [_handoff(row) for row in rows]
    return next((each for each in found if each.is_open), found[-1] if found else None)


def _origin(handoff: Handoff) -> dict[str, Any]:
    origin = {"sender_id": handoff.sender_id, "channel": handoff.channel, "opened_at": handoff.opened_at}
    return {**origin, "owner": handoff.owner}


def _state(handoff: Handoff) -> dict[str, Any]:
    return {
        "id": handoff.id,
        "backend": handoff.backend,
        "status": handoff.status.value,
        "chat_id": handoff.chat_id,
        "end_reason": handoff.end_reason.value if handoff.end_reason else None,
        "agent_group": handoff.group,
        "agent": json.dumps(asdict(handoff.agent)) if handoff.agent else None,
        "queue_position": handoff.queue_position,
        "accepted_at": handoff.accepted_at,
        "replied_at": handoff.replied_at,
        "closed_at": handoff.closed_at,
        "stars": handoff.rating.stars if handoff.rating else None,
        "resolved": _as_number(handoff.rating.resolved) if handoff.rating else None,
        "settled": int(handoff.settled),
        "last_seq": handoff.last_seq,
        "deadlines": _deadlines(handoff),
        "notes": json.dumps(handoff.notes),
        "due_at": due_at(handoff),
    }


def _as_number(value: bool | None) -> int | None:
    return None if value is None else int(value)


def _as_boolean(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _deadlines(handoff: Handoff) -> str:
    return json.dumps({name: [each.due, each.warn] for name, each in handoff.deadlines.items()})


def _handoff(row: Row) -> Handoff:
    return Handoff(
        id=row[0],
        sender_id=row[1],
        channel=row[2],
        backend=row[3],
        status=_STATUS[row[4]],
        opened_at=row[5],
        chat_id=row[6],
        end_reason=EndReason(row[7]) if row[7] else None,
        group=row[8],
        agent=_person(row[9]) if row[9] else None,
        queue_position=row[10],
        accepted_at=row[11],
        closed_at=row[12],
        settled=bool(row[13]),
        last_seq=row[14],
        deadlines=_deadlines_in(row[15]),
        notes=_notes_in(row[16]),
        owner=row[17],
        replied_at=row[18],
        rating=Rating(stars=row[19], resolved=_as_boolean(row[20])) if row[19] else None,
    )


# A conversation is read several times for each message, and these seldom change between; nobody changes
# them in place, for what is frozen stays as it is.


@lru_cache(4096)
def _person(text: str) -> Person:
    return Person(**json.loads(text))


@lru_cache(4096)
def _deadlines_in(text: str) -> dict[str, Deadline]:
    return {name: Deadline(due=each[0], warn=each[1]) for name, each in json.loads(text).items()}


@lru_cache(4096)
def _notes_in(text: str) -> dict[str, Any]:
    notes: dict[str, Any] = json.loads(text)
    return notes


_STATUS = {status.value: status for status in Status}
