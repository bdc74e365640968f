"""The tables, and how an older database becomes today's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from rasa_handoff.errors import StoreError

_VERSION_1 = """
CREATE TABLE handoff_handoffs (
    id             TEXT PRIMARY KEY,
    sender_id      TEXT NOT NULL,
    channel        TEXT NOT NULL,
    backend        TEXT NOT NULL,
    status         TEXT NOT NULL,
    opened_at      DOUBLE PRECISION NOT NULL,
    chat_id        TEXT,
    end_reason     TEXT,
    agent_group    TEXT,
    agent          TEXT,
    queue_position INTEGER,
    accepted_at    DOUBLE PRECISION,
    closed_at      DOUBLE PRECISION,
    settled        INTEGER NOT NULL,
    last_seq       INTEGER NOT NULL,
    deadlines      TEXT NOT NULL,
    notes          TEXT NOT NULL,
    due_at         DOUBLE PRECISION
);
CREATE UNIQUE INDEX handoff_one_open ON handoff_handoffs (sender_id) WHERE status <> 'closed';
CREATE INDEX handoff_unsettled ON handoff_handoffs (sender_id) WHERE settled = 0;
CREATE INDEX handoff_by_sender ON handoff_handoffs (sender_id, opened_at);
CREATE INDEX handoff_by_chat ON handoff_handoffs (backend, chat_id);
CREATE INDEX handoff_due ON handoff_handoffs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX handoff_over ON handoff_handoffs (closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE handoff_requests (
    handoff_id TEXT PRIMARY KEY,
    body       TEXT NOT NULL
);

CREATE TABLE handoff_messages (
    id         TEXT PRIMARY KEY,
    handoff_id TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    body       TEXT NOT NULL
);
CREATE INDEX handoff_messages_in_order ON handoff_messages (handoff_id, seq);

CREATE TABLE handoff_deliveries (
    id         TEXT PRIMARY KEY,
    handoff_id TEXT NOT NULL,
    target     TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    message_id TEXT,
    body       TEXT NOT NULL,
    state      TEXT NOT NULL,
    attempts   INTEGER NOT NULL,
    next_at    DOUBLE PRECISION NOT NULL,
    give_up_at DOUBLE PRECISION NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    error      TEXT
);
CREATE INDEX handoff_deliveries_waiting ON handoff_deliveries (handoff_id, seq) WHERE state = 'pending';
CREATE INDEX handoff_deliveries_dead ON handoff_deliveries (created_at) WHERE state = 'dead';
CREATE INDEX handoff_deliveries_of ON handoff_deliveries (handoff_id);

CREATE TABLE handoff_seen (
    scope    TEXT NOT NULL,
    event_id TEXT NOT NULL,
    at       DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (scope, event_id)
);
CREATE INDEX handoff_seen_by_age ON handoff_seen (at);

CREATE TABLE handoff_stream (
    sender_id TEXT NOT NULL,
    id        BIGINT NOT NULL,
    event     TEXT NOT NULL,
    data      TEXT NOT NULL,
    at        DOUBLE PRECISION NOT NULL,
    source    TEXT,
    waiting   INTEGER NOT NULL,
    PRIMARY KEY (sender_id, id)
);
CREATE UNIQUE INDEX handoff_stream_once ON handoff_stream (sender_id, source) WHERE source IS NOT NULL;
CREATE INDEX handoff_stream_waiting ON handoff_stream (sender_id, id) WHERE waiting = 1;
CREATE INDEX handoff_stream_by_age ON handoff_stream (at);

CREATE TABLE handoff_desk_agents (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL,
    presence TEXT NOT NULL,
    seen_at  DOUBLE PRECISION NOT NULL
);

CREATE TABLE handoff_desk_chats (
    id          TEXT PRIMARY KEY,
    number      INTEGER NOT NULL,
    sender_id   TEXT NOT NULL,
    channel     TEXT NOT NULL,
    state       TEXT NOT NULL,
    agent_id    TEXT,
    agent_group TEXT,
    priority    TEXT,
    opened_at   DOUBLE PRECISION NOT NULL,
    accepted_at DOUBLE PRECISION,
    closed_at   DOUBLE PRECISION,
    last_text   TEXT,
    last_at     DOUBLE PRECISION NOT NULL,
    unanswered  INTEGER NOT NULL,
    end_of_chat TEXT,
    callback    TEXT
);
CREATE INDEX handoff_desk_chats_waiting ON handoff_desk_chats (opened_at) WHERE state = 'waiting';
CREATE INDEX handoff_desk_chats_open ON handoff_desk_chats (agent_id) WHERE state = 'open';
CREATE INDEX handoff_desk_chats_closed ON handoff_desk_chats (closed_at) WHERE state = 'closed';
CREATE INDEX handoff_desk_chats_by_number ON handoff_desk_chats (number);

CREATE TABLE handoff_desk_messages (
    id      TEXT PRIMARY KEY,
    chat_id TEXT NOT NULL,
    at      DOUBLE PRECISION NOT NULL,
    who     TEXT NOT NULL,
    state   TEXT NOT NULL,
    body    TEXT NOT NULL
);
CREATE INDEX handoff_desk_messages_in_order ON handoff_desk_messages (chat_id, at, id);
"""

_VERSION_2 = """
CREATE TABLE handoff_kept (
    scope     TEXT NOT NULL,
    name      TEXT NOT NULL,
    body      TEXT NOT NULL,
    at        DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (scope, name)
);
CREATE INDEX handoff_kept_by_age ON handoff_kept (at);

ALTER TABLE handoff_handoffs ADD COLUMN owner TEXT NOT NULL DEFAULT '';

CREATE TABLE handoff_workers (
    id         TEXT PRIMARY KEY,
    lease_ends DOUBLE PRECISION NOT NULL
);

CREATE TABLE handoff_access (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
);
"""

_VERSION_3 = """
-- Whom it is about. Most of what was kept before is kept under the user's name.
ALTER TABLE handoff_kept ADD COLUMN sender_id TEXT NOT NULL DEFAULT '';
UPDATE handoff_kept SET sender_id = name;
CREATE INDEX handoff_kept_by_user ON handoff_kept (sender_id);

CREATE INDEX handoff_desk_chats_by_user ON handoff_desk_chats (sender_id);

-- With one column SQLite prefers the index over all handoffs that this user ever had.
DROP INDEX handoff_unsettled;
CREATE INDEX handoff_unsettled ON handoff_handoffs (sender_id, settled) WHERE settled = 0;

-- The channel with whose next request it goes to the user.
ALTER TABLE handoff_stream ADD COLUMN channel TEXT;
UPDATE handoff_stream SET channel = (
    SELECT handoff_handoffs.channel FROM handoff_handoffs
    WHERE handoff_handoffs.sender_id = handoff_stream.sender_id AND opened_at <= handoff_stream.at
    ORDER BY opened_at DESC LIMIT 1
) WHERE waiting = 1;

ALTER TABLE handoff_handoffs ADD COLUMN replied_at DOUBLE PRECISION;
ALTER TABLE handoff_handoffs ADD COLUMN stars INTEGER;
ALTER TABLE handoff_handoffs ADD COLUMN resolved INTEGER;
CREATE INDEX handoff_by_time ON handoff_handoffs (opened_at, id);

-- Where a message stands in its chat: the clocks of several servers do not agree.
ALTER TABLE handoff_desk_messages ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
DROP INDEX handoff_desk_messages_in_order;
CREATE INDEX handoff_desk_messages_in_order ON handoff_desk_messages (chat_id, number, at);

-- Files that users and agents give us, in parts.
CREATE TABLE handoff_files (
    id         TEXT PRIMARY KEY,
    handoff_id TEXT NOT NULL,
    who        TEXT NOT NULL,
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    mime       TEXT NOT NULL,
    size       BIGINT NOT NULL,
    state      TEXT NOT NULL,
    at         DOUBLE PRECISION NOT NULL
);
CREATE INDEX handoff_files_of ON handoff_files (handoff_id);

CREATE TABLE handoff_file_parts (
    file_id TEXT NOT NULL,
    number  INTEGER NOT NULL,
    body    BYTEA NOT NULL,
    PRIMARY KEY (file_id, number)
);
"""

# One entry a version; a released entry is never edited, the next change is a new one.
VERSIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2, _VERSION_3)


def upgrade(run: Callable[..., Any], have: int) -> None:
    """Bring a database at version *have* (0: empty) to today's, inside the caller's transaction.

    Raises:
        StoreError: the database was made by a newer rasa_handoff.
    """
    if have > len(VERSIONS):
        raise StoreError(
            f"the database has schema version {have}, this rasa_handoff knows {len(VERSIONS)}; "
            "install the newer rasa_handoff that made it"
        )
    for version in range(have, len(VERSIONS)):
        for statement in VERSIONS[version].split(";"):
            if statement.strip():
                run(statement)
        run("UPDATE handoff_schema SET version = :version", {"version": version + 1})


class Runs(Protocol):
    """What runs a statement that writes."""

    def run(self, sql: str, values: dict[str, Any]) -> int: ...


def write_again(tx: Runs) -> int:
    """Write what is there already: a change that the disk has to take, and that changes nothing."""
    return tx.run("UPDATE handoff_schema SET version = version", {})
