"""All that the database has of one user: to be given to them, or deleted."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rasa_handoff.model import Json
from rasa_handoff.store import files, messages
from rasa_handoff.store.writer import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What the database had of a user is deleted; who has some of it in memory forgets that."""

    sender_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A chat with the user, as an agent system elsewhere knows it."""

    backend: str
    chat_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where rows of a user are."""

    table: str
    where: str
    columns: str  #: all of them
    order: str


_HANDOFFS = "(SELECT id FROM handoff_handoffs WHERE sender_id = :sender_id)"
_CHATS = "(SELECT id FROM handoff_desk_chats WHERE sender_id = :sender_id)"
_SCOPES = (
    "(SELECT 'user:' || :sender_id "
    "UNION ALL SELECT 'read:' || id FROM handoff_handoffs WHERE sender_id = :sender_id "
    "UNION ALL SELECT 'read there:' || id FROM handoff_handoffs WHERE sender_id = :sender_id "
    "UNION ALL SELECT backend || ':' || chat_id FROM handoff_handoffs WHERE sender_id = :sender_id)"
)

# By what they are called in an export. Those through which others are found come after these, to be deleted later.
PLACES: dict[str, Place] = {
    "messages": Place(
        table="handoff_messages",
        where=f"handoff_id IN {_HANDOFFS}",
        columns="id, handoff_id, seq, body",
        order="handoff_id, seq",
    ),
    "deliveries": Place(
        table="handoff_deliveries",
        where=f"handoff_id IN {_HANDOFFS}",
        columns=(
            "id, handoff_id, target, seq, kind, message_id, body, state, attempts, next_at, give_up_at, created_at, "
            "error"
        ),
        order="handoff_id, seq",
    ),
    "requests": Place(
        table="handoff_requests",
        where=f"handoff_id IN {_HANDOFFS}",
        columns="handoff_id, body",
        order="handoff_id",
    ),
    "file_parts": Place(
        table="handoff_file_parts",
        where=f"file_id IN (SELECT id FROM handoff_files WHERE handoff_id IN {_HANDOFFS})",
        columns="file_id, number, body",
        order="file_id, number",
    ),
    "files": Place(
        table="handoff_files",
        where=f"handoff_id IN {_HANDOFFS}",
        columns="id, handoff_id, who, kind, name, mime, size, state, at",
        order="at, id",
    ),
    "stream": Place(
        table="handoff_stream",
        where="sender_id = :sender_id",
        columns="sender_id, id, event, data, at, source, waiting, channel",
        order="id",
    ),
    "kept": Place(
        table="handoff_kept",
        where="sender_id = :sender_id",
        columns="scope, name, sender_id, body, at",
        order="at",
    ),
    "seen": Place(
        table="handoff_seen",
        where=f"scope IN {_SCOPES}",
        columns="scope, event_id, at",
        order="at",
    ),
    "desk_messages": Place(
        table="handoff_desk_messages",
        where=f"chat_id IN {_CHATS}",
        columns="id, chat_id, number, at, who, state, body",
        order="chat_id, number, at",
    ),
    "desk_chats": Place(
        table="handoff_desk_chats",
        where="sender_id = :sender_id",
        columns=(
            "id, number, sender_id, channel, state, agent_id, agent_group, priority, opened_at, accepted_at, "
            "closed_at, last_text, last_at, unanswered, end_of_chat, callback"
        ),
        order="opened_at",
    ),
    "handoffs": Place(
        table="handoff_handoffs",
        where="sender_id = :sender_id",
        columns=(
            "id, sender_id, channel, backend, status, opened_at, chat_id, end_reason, agent_group, agent, "
            "queue_position, accepted_at, closed_at, settled, last_seq, deadlines, notes, due_at, owner, replied_at, "
            "stars, resolved"
        ),
        order="opened_at",
    ),
}
# The tables in which nothing is of a user.
OF_NOBODY = {"handoff_schema", "handoff_desk_agents", "handoff_workers", "handoff_access"}

_INSIDE = {"file_parts"}  #: of what an export and a count of it have
_AS_JSON = {"agent", "body", "callback", "data", "deadlines", "end_of_chat", "notes"}  #: columns
_ELSEWHERE = (
    "SELECT DISTINCT backend, chat_id FROM handoff_handoffs WHERE sender_id = :sender_id AND chat_id IS NOT NULL "
    f"AND NOT (backend = 'desk' AND chat_id = id) AND chat_id NOT IN {_CHATS} ORDER BY backend, chat_id"
)
_PENDING = f"SELECT count(*) FROM handoff_deliveries WHERE state = 'pending' AND handoff_id IN {_HANDOFFS}"


def export(tx: Tx, sender_id: str) -> Json:
    """All of it, in the words of the tables; files without what is in them, which their links open."""
    found = {name: _rows(tx, place, sender_id) for name, place in PLACES.items() if name not in _INSIDE}
    requests = {each["handoff_id"]: each["body"] for each in found["requests"]}
    said = _by("handoff_id", map(_message, found["messages"]))
    sent = _by("handoff_id", found["deliveries"])
    given = _by("handoff_id", found["files"])
    at_desk = _by("chat_id", found["desk_messages"])
    return {
        "sender_id": sender_id,
        "handoffs": [
            {
                **each,
                "request": requests.get(each["id"]),
                "messages": said[each["id"]],
                "deliveries": sent[each["id"]],
                "files": given[each["id"]],
            }
            for each in found["handoffs"]
        ],
        "desk_chats": [{**each, "messages": at_desk[each["id"]]} for each in found["desk_chats"]],
        **{name: found[name] for name in ("stream", "kept", "seen")},
    }


def elsewhere(tx: Tx, sender_id: str) -> list[Chat]:
    """The chats with this user that agent systems elsewhere have."""
    return [Chat(backend=row[0], chat_id=row[1]) for row in tx.all(_ELSEWHERE, {"sender_id": sender_id})]


def pending(tx: Tx, sender_id: str) -> int:
    """How many deliveries of this user's handoffs are still to go out."""
    row = tx.one(_PENDING, {"sender_id": sender_id})
    return int(row[0]) if row else 0


def begin_to_erase(tx: Tx, sender_id: str) -> int:
    """Delete some of what is large, before `erase`; 0 when no more of it is left."""
    return files.shrink_of_user(tx, sender_id)


def erase(tx: Tx, sender_id: str) -> dict[str, int]:
    """Delete all of it, and announce `Erased`; how many rows, by the names of an export."""
    erased = {
        name: tx.run(f"DELETE FROM {place.table} WHERE {place.where}", {"sender_id": sender_id})
        for name, place in PLACES.items()
    }
    tx.announce(Erased(sender_id=sender_id))
    return {name: rows for name, rows in erased.items() if name not in _INSIDE}


def _rows(tx: Tx, place: Place, sender_id: str) -> list[Json]:
    sql = f"SELECT {place.columns} FROM {place.table} WHERE {place.where} ORDER BY {place.order}"
    names = place.columns.split(", ")
    rows = tx.all(sql, {"sender_id": sender_id})
    return [{name: _value(name, value) for name, value in zip(names, row, strict=True)} for row in rows]


def _value(column: str, value: Any) -> Any:
    return json.loads(value) if column in _AS_JSON and value is not None else value


def _message(row: Json) -> Json:
    """A message with names for all that it has."""
    message = messages.loads(row["id"], json.dumps(row["body"]))
    return {"handoff_id": row["handoff_id"], "seq": row["seq"], **asdict(message)}


def _by(column: str, rows: Iterable[Json]) -> defaultdict[str, list[Json]]:
    found: defaultdict[str, list[Json]] = defaultdict(list)
    for row in rows:
        found[row[column]].append(row)
    return found
