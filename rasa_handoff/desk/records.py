"""The desk's own tables: agents, chats, messages."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from rasa_handoff.model import Json, Rating
from rasa_handoff.store import Tx

Presence = Literal["online", "away"]

_FIRST = "(SELECT min(number) FROM handoff_desk_chats f WHERE f.sender_id = c.sender_id)"
_CHAT = (
    f"c.id, c.number, {_FIRST}, c.sender_id, c.channel, c.state, c.agent_id, a.name, c.agent_group, c.priority, "
    "c.opened_at, c.accepted_at, c.closed_at, c.last_text, c.last_at, c.unanswered, c.end_of_chat, c.callback, "
    "h.stars, h.resolved"
)
_CHATS = (
    f"SELECT {_CHAT} FROM handoff_desk_chats c LEFT JOIN handoff_desk_agents a ON a.id = c.agent_id "
    "LEFT JOIN handoff_handoffs h ON h.id = c.id "
)
_RANK = "CASE lower({chat}.priority) WHEN 'high' THEN 0 WHEN 'low' THEN 2 ELSE 1 END"
# By number, for the clocks of several servers differ, and any of them may be set back.
_IN_TURN = f"{_RANK.format(chat='c')}, c.number"
_PLACE = (
    "SELECT count(*), coalesce(sum(CASE WHEN {rank} < {own} OR ({rank} = {own} AND c.number <= own.number) "
    "THEN 1 ELSE 0 END), 0) FROM handoff_desk_chats c, handoff_desk_chats own "
    "WHERE own.id = :id AND c.state = 'waiting' AND c.callback IS NULL AND "
).format(rank=_RANK.format(chat="c"), own=_RANK.format(chat="own"))
_INSERT_CHAT = (
    "INSERT INTO handoff_desk_chats (id, number, sender_id, channel, state, agent_group, priority, opened_at, "
    "last_text, last_at, unanswered, callback) VALUES (:id, (SELECT coalesce(max(number), 0) + 1 FROM "
    "handoff_desk_chats), :sender_id, :channel, 'waiting', :agent_group, :priority, :at, :last_text, :at, 0, "
    ":callback) ON CONFLICT DO NOTHING"
)
_ASSIGN = "UPDATE handoff_desk_chats SET state = 'open', agent_id = :agent_id, accepted_at = :at WHERE id = :id"
_UNASSIGN = (
    "UPDATE handoff_desk_chats SET state = 'waiting', agent_id = NULL, agent_group = :agent_group WHERE id = :id"
)
_CLOSE = (
    "UPDATE handoff_desk_chats SET state = 'closed', closed_at = :at, unanswered = 0, end_of_chat = :end WHERE id = :id"
)
_USER_WROTE = (
    "UPDATE handoff_desk_chats SET last_text = :text, last_at = :at, unanswered = unanswered + 1 WHERE id = :id"
)
_AGENT_WROTE = "UPDATE handoff_desk_chats SET last_text = :text, last_at = :at, unanswered = 0 WHERE id = :id"
_INSERT_MESSAGE = (
    "INSERT INTO handoff_desk_messages (id, chat_id, number, at, who, state, body) "
    "VALUES (:id, :chat_id, :number, :at, :who, :state, :body) ON CONFLICT DO NOTHING"
)
_NEXT = "SELECT coalesce(max(number), 0) + 1 FROM handoff_desk_messages WHERE chat_id = :chat_id"
_MESSAGE = "SELECT id, chat_id, number, at, who, state, body FROM handoff_desk_messages "
_SET_STATE = (
    "UPDATE handoff_desk_messages SET state = :state WHERE id = :id AND chat_id = :chat_id AND state <> 'taken_back'"
)
_LAST_IN_SHORT = "UPDATE handoff_desk_chats SET last_text = :text WHERE id = :id"
_AGENTS = (
    "SELECT a.id, a.name, a.presence, a.seen_at, "
    "(SELECT count(*) FROM handoff_desk_chats c WHERE c.agent_id = a.id AND c.state = 'open') "
    "FROM handoff_desk_agents a "
)
_PUT_AGENT = (
    "INSERT INTO handoff_desk_agents (id, name, presence, seen_at) VALUES (:id, :name, 'away', 0) "
    "ON CONFLICT (id) DO UPDATE SET name = :name"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Somebody who answers at the desk."""

    id: str
    name: str
    presence: Presence  #: as they chose; whether they are there is `rasa_handoff.desk.presence`'s to say
    seen_at: float
    chats: int  #: open ones they have


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A handoff, as the desk sees it."""

    id: str
    number: int  #: for people to name it by
    user_number: int  #: that of the user's first chat which is kept, for people to name who has no name by
    user: str
    channel: str
    state: Literal["waiting", "open", "closed"]
    agent_id: str | None
    agent_name: str | None
    group: str | None
    priority: str | None
    opened_at: float
    accepted_at: float | None
    closed_at: float | None
    last_message: str | None
    last_at: float
    unanswered: int
    end: Json | None  #: reason, by, note, tags
    callback: dict[str, str] | None  #: how to reach a user who is not in the chat, but wants to be called
    rating: Rating | None  #: the user's, once they gave one


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskMessage:
    """A line of a chat, as the desk shows it."""

    id: str
    chat_id: str
    who: Literal["user", "agent", "system"]
    name: str | None
    text: str
    attachments: list[Json]
    at: float
    state: Literal["sent", "delivered", "failed", "taken_back"]
    edited: bool = False  #: it takes the place of what the user had written before
    number: int = 0  #: its place in the chat, from the moment it is written; 0 from older versions, which went by time


def put_agents(tx: Tx, agents: dict[str, str]) -> None:
    """Write the agents of the settings, by id; who is new is away."""
    for agent_id, name in agents.items():
        tx.run(_PUT_AGENT, {"id": agent_id, "name": name})


def agents(tx: Tx) -> list[Agent]:
    return [_agent(row) for row in tx.all(_AGENTS + "ORDER BY a.name", {})]


def agent(tx: Tx, agent_id: str) -> Agent | None:
    row = tx.one(_AGENTS + "WHERE a.id = :id", {"id": agent_id})
    return _agent(row) if row else None


def set_presence(tx: Tx, agent_id: str, presence: Presence, now: float) -> None:
    sql = "UPDATE handoff_desk_agents SET presence = :presence, seen_at = :at WHERE id = :id"
    tx.run(sql, {"id": agent_id, "presence": presence, "at": now})


def add_chat(tx: Tx, values: dict[str, Any]) -> bool:
    """Write a new chat; False if it is there already."""
    return tx.run(_INSERT_CHAT, values) == 1


def chat(tx: Tx, chat_id: str) -> Chat | None:
    row = tx.one(_CHATS + "WHERE c.id = :id", {"id": chat_id})
    return _chat(row) if row else None


def groups_waiting(tx: Tx) -> list[str | None]:
    """Each group that somebody waits for, as it was written then; None: for anybody."""
    sql = "SELECT DISTINCT agent_group FROM handoff_desk_chats WHERE state = 'waiting'"
    return [row[0] for row in tx.all(sql, {})]


def waiting(tx: Tx, groups: Iterable[str | None]) -> list[Chat]:
    """Who waits for one of *groups*, next first; those who want to be called behind those who are there."""
    wanted, values = _one_of(groups)
    order = f"ORDER BY c.callback IS NOT NULL, {_IN_TURN} LIMIT 500"
    return _found(tx, f"WHERE c.state = 'waiting' AND {wanted} {order}", values)


def queue(tx: Tx, groups: Iterable[str | None], most: int) -> list[Chat]:
    """The users who are there and wait for one of *groups*, next first."""
    wanted, values = _one_of(groups)
    where = f"WHERE c.state = 'waiting' AND c.callback IS NULL AND {wanted}"
    return _found(tx, f"{where} ORDER BY {_IN_TURN} LIMIT {most:d}", values)


def place(tx: Tx, chat_id: str, groups: Iterable[str | None]) -> tuple[int, int]:
    """A chat's place (1 is next) among the users who are there and wait for one of *groups*, and how many they are."""
    wanted, values = _one_of(groups)
    row = tx.one(_PLACE + wanted, {"id": chat_id, **values})
    return (int(row[1]), int(row[0])) if row else (0, 0)


def open_chats(tx: Tx) -> list[Chat]:
    return _found(tx, "WHERE c.state = 'open' ORDER BY c.last_at DESC LIMIT 500")


def closed(tx: Tx) -> list[Chat]:
    """The last fifty that ended."""
    return _found(tx, "WHERE c.state = 'closed' ORDER BY c.closed_at DESC LIMIT 50")


def earlier(tx: Tx, chat: Chat) -> list[Chat]:
    """The last twenty other chats of the same user, newest first."""
    where = "WHERE c.sender_id = :user AND c.id <> :id ORDER BY c.number DESC LIMIT 20"
    return _found(tx, where, {"user": chat.user, "id": chat.id})


def assign(tx: Tx, chat_id: str, agent_id: str, now: float) -> None:
    tx.run(_ASSIGN, {"id": chat_id, "agent_id": agent_id, "at": now})


def unassign(tx: Tx, chat_id: str, group: str | None) -> None:
    """Let a chat wait again, for *group*."""
    tx.run(_UNASSIGN, {"id": chat_id, "agent_group": group})


def close(tx: Tx, chat_id: str, end: Json, now: float) -> None:
    tx.run(_CLOSE, {"id": chat_id, "end": json.dumps(end, ensure_ascii=False), "at": now})


def add_message(tx: Tx, message: DeskMessage) -> DeskMessage | None:
    """Write a message behind the others, and what it changes about its chat; None if it is there already."""
    row = tx.one(_NEXT, {"chat_id": message.chat_id})
    numbered = replace(message, number=int(row[0]) if row else 1)
    body = {name: getattr(message, name) for name in ("name", "text", "attachments", "edited")}
    values = {name: getattr(numbered, name) for name in ("id", "chat_id", "number", "at", "who", "state")}
    if tx.run(_INSERT_MESSAGE, {**values, "body": json.dumps(body, ensure_ascii=False)}) != 1:
        return None
    if message.who != "system":
        sql = _USER_WROTE if message.who == "user" else _AGENT_WROTE
        tx.run(sql, {"id": message.chat_id, "text": _in_short(message), "at": message.at})
    return numbered


def _in_short(message: DeskMessage) -> str:
    """What a list of chats shows of it: its words, else the names of its files."""
    names = [each["name"] or each["kind"] for each in message.attachments]
    return (message.text or ", ".join(names))[:200]


def message(tx: Tx, message_id: str) -> DeskMessage | None:
    row = tx.one(_MESSAGE + "WHERE id = :id", {"id": message_id})
    return _message(row) if row else None


def messages(tx: Tx, chat_id: str) -> list[DeskMessage]:
    """The messages of a chat, in order."""
    return [_message(row) for row in tx.all(_MESSAGE + "WHERE chat_id = :id ORDER BY number, at", {"id": chat_id})]


def set_state(tx: Tx, chat_id: str, message_id: str, state: str) -> bool:
    return tx.run(_SET_STATE, {"id": message_id, "chat_id": chat_id, "state": state}) == 1


def take_back(tx: Tx, message: DeskMessage) -> DeskMessage:
    """Write that an agent took *message* back, and what the list of chats shows instead."""
    set_state(tx, message.chat_id, message.id, "taken_back")
    said = [each for each in messages(tx, message.chat_id) if each.who != "system" and each.state != "taken_back"]
    tx.run(_LAST_IN_SHORT, {"id": message.chat_id, "text": _in_short(said[-1]) if said else None})
    return replace(message, state="taken_back")


def _found(tx: Tx, where: str, values: Json | None = None) -> list[Chat]:
    return [_chat(row) for row in tx.all(_CHATS + where, values or {})]


def _one_of(groups: Iterable[str | None]) -> tuple[str, Json]:
    """That a chat waits for one of *groups*, as SQL with its values."""
    values = {f"group_{number}": group or "" for number, group in enumerate(groups)}
    names = ", ".join(f":{name}" for name in values)
    return (f"coalesce(c.agent_group, '') IN ({names})", values) if values else ("1 = 0", {})


def _agent(row: tuple[Any, ...]) -> Agent:
    return Agent(id=row[0], name=row[1], presence=row[2], seen_at=row[3], chats=row[4])


def _chat(row: tuple[Any, ...]) -> Chat:
    end, callback = (json.loads(text) if text else None for text in row[16:18])
    stars, resolved = row[18:]
    rating = Rating(stars=stars, resolved=None if resolved is None else bool(resolved)) if stars else None
    return Chat(**dict(zip(Chat.__dataclass_fields__, (*row[:16], end, callback, rating), strict=True)))


def _message(row: tuple[Any, ...]) -> DeskMessage:
    known = dict(zip(("id", "chat_id", "number", "at", "who", "state"), row, strict=False))
    return DeskMessage(**known, **json.loads(row[6]))
