"""Files that users and agents give us, kept in parts, so that none is ever in memory as a whole.

A file is *coming* until it is whole, then it is *given*, and from its first message on it is *sent*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rasa_handoff.model import AttachmentKind
from rasa_handoff.store.database import Row
from rasa_handoff.store.writer import Tx

PART = 256 * 1024  #: bytes of every part of a file but its last
GONE_AT_ONCE = 4  #: parts deleted in one transaction: they are overwritten, and everybody else waits meanwhile

_FIELDS = "id, handoff_id, who, kind, name, mime, size"
_INSERT = (
    f"INSERT INTO handoff_files ({_FIELDS}, state, at) "
    "VALUES (:id, :handoff_id, :who, :kind, :name, :mime, 0, 'coming', :at)"
)
_GROW = "UPDATE handoff_files SET size = size + :more, at = :at WHERE id = :id AND state = 'coming'"
_INSERT_PART = "INSERT INTO handoff_file_parts (file_id, number, body) VALUES (:id, :number, :body)"
_FINISH = "UPDATE handoff_files SET state = 'given', at = :at WHERE id = :id AND state = 'coming'"
_SENT = "UPDATE handoff_files SET state = 'sent' WHERE id = :id AND state = 'given'"
_TAKE_BACK = "UPDATE handoff_files SET state = 'coming' WHERE id = :id AND state = 'given'"
_GET = f"SELECT {_FIELDS} FROM handoff_files WHERE id = :id AND state <> 'coming'"
_PART = "SELECT body FROM handoff_file_parts WHERE file_id = :id AND number = :number"
_GIVEN = (
    "SELECT count(*), coalesce(sum(size), 0), count(CASE WHEN state = 'coming' AND at >= :since THEN 1 END) "
    "FROM handoff_files WHERE handoff_id = :handoff_id AND who = :who"
)
_OF_HANDOFF = "handoff_id = :handoff_id"
_OF_USER = "handoff_id IN (SELECT id FROM handoff_handoffs WHERE sender_id = :sender_id)"
_UNSENT = "((state = 'coming' AND at < :coming_before) OR (state = 'given' AND at < :given_before))"
_SOME_PARTS = (
    "SELECT p.file_id, p.number FROM handoff_files f JOIN handoff_file_parts p ON p.file_id = f.id "
    "WHERE {where} LIMIT :most"
)
_BREAK = "UPDATE handoff_files SET state = 'coming' WHERE id = :id"
_DELETE_PART = "DELETE FROM handoff_file_parts WHERE file_id = :id AND number = :number"

Giver = Literal["user", "agent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """A file of a user's or an agent's."""

    id: str
    handoff_id: str  #: the handoff in which it was given; it goes with it
    who: Giver
    kind: AttachmentKind
    name: str
    mime: str
    size: int = 0  #: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What one side has given us in a handoff."""

    files: int
    size: int  #: bytes
    coming: int  #: files, of those, that are not whole yet


# -- given ------------------------------------------------------------------------------------


def given(tx: Tx, handoff_id: str, who: Giver, since: float) -> Given:
    """What is there; of what is not whole only that counts as coming of which something came after *since*."""
    row = tx.one(_GIVEN, {"handoff_id": handoff_id, "who": who, "since": since}) or (0, 0, 0)
    return Given(files=int(row[0]), size=int(row[1]), coming=int(row[2]))


def kept_in_all(tx: Tx) -> int:
    """Bytes of all files of everybody, whole or not."""
    row = tx.one("SELECT coalesce(sum(size), 0) FROM handoff_files", {})
    return int(row[0]) if row else 0


def begin(tx: Tx, file: KeptFile, now: float) -> None:
    """Write that *file* is coming."""
    values = {name: getattr(file, name) for name in ("id", "handoff_id", "who", "kind", "name", "mime")}
    tx.run(_INSERT, {**values, "at": now})


def add(tx: Tx, file_id: str, number: int, body: bytes, now: float) -> bool:
    """Write a part of a file that is coming; False if it was deleted meanwhile.

    Args:
        number: from 0 on, without gaps; all but the last part have `PART` bytes.
    """
    if tx.run(_GROW, {"id": file_id, "more": len(body), "at": now}) != 1:
        return False
    tx.run(_INSERT_PART, {"id": file_id, "number": number, "body": body})
    return True


def finish(tx: Tx, file_id: str, now: float) -> KeptFile | None:
    """Write that the file is whole: from here on it can be opened. None if it was deleted meanwhile."""
    return get(tx, file_id) if tx.run(_FINISH, {"id": file_id, "at": now}) == 1 else None


def sent(tx: Tx, file_id: str) -> None:
    """Write that a message has the file: it stays as long as its handoff."""
    tx.run(_SENT, {"id": file_id})


def take_back(tx: Tx, file_id: str) -> bool:
    """Let nobody send or open a whole file any more, which is then to be deleted; False if a message has it."""
    return tx.run(_TAKE_BACK, {"id": file_id}) == 1


# -- opened -----------------------------------------------------------------------------------


def get(tx: Tx, file_id: str) -> KeptFile | None:
    """A whole file."""
    row = tx.one(_GET, {"id": file_id})
    return _file(row) if row else None


def part(tx: Tx, file_id: str, number: int) -> bytes | None:
    """A part of a file; None if there is none, or it has been deleted."""
    row = tx.one(_PART, {"id": file_id, "number": number})
    return bytes(row[0]) if row else None


# -- deleted: in steps, since all of a large file at once would keep others waiting -----------------


def shrink(tx: Tx, file_id: str) -> int:
    """Delete some of a file's parts; how many it were, 0 when there are none."""
    return _shrink(tx, "id = :id", {"id": file_id})


def shrink_of_user(tx: Tx, sender_id: str) -> int:
    """Delete some parts of a user's files; how many it were, 0 when there are none."""
    return _shrink(tx, _OF_USER, {"sender_id": sender_id})


def shrink_of_handoff(tx: Tx, handoff_id: str, most: int) -> int:
    """Delete parts of a handoff's files, but no more than *most*; how many it were."""
    return _shrink(tx, _OF_HANDOFF, {"handoff_id": handoff_id}, most)


def shrink_unsent(tx: Tx, coming_before: float, given_before: float) -> int:
    """Delete some of the files that nobody has sent; how many parts or files it were, 0 when there are none.

    Args:
        coming_before: since when nothing came of those that are not whole.
        given_before: when those were given that are.
    """
    values = {"coming_before": coming_before, "given_before": given_before}
    return _shrink(tx, _UNSENT, values) or tx.run(f"DELETE FROM handoff_files WHERE {_UNSENT}", values)


def delete(tx: Tx, file_id: str) -> None:
    """Forget a file whose parts are gone."""
    tx.run("DELETE FROM handoff_files WHERE id = :id", {"id": file_id})


def _shrink(tx: Tx, where: str, values: dict[str, Any], most: int = GONE_AT_ONCE) -> int:
    rows = tx.all(_SOME_PARTS.format(where=where), {**values, "most": most})
    for file_id in {row[0] for row in rows}:
        tx.run(_BREAK, {"id": file_id})  # nobody begins to read what is half gone
    for file_id, number in rows:
        tx.run(_DELETE_PART, {"id": file_id, "number": number})
    return len(rows)


def _file(row: Row) -> KeptFile:
    return KeptFile(id=row[0], handoff_id=row[1], who=row[2], kind=row[3], name=row[4], mime=row[5], size=row[6])
