"""What is kept of each chat on disk: how far the bot has heard it, and what it said that is not sent yet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rasa_handoff.model import Json
from rasa_handoff.store.database import SQLite, SQLiteConnection

_TABLES = (
    "CREATE TABLE IF NOT EXISTS chats (chat_id TEXT PRIMARY KEY, position INTEGER NOT NULL, met INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS lines "
    "(number INTEGER PRIMARY KEY AUTOINCREMENT, chat_id TEXT NOT NULL, body TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS lines_of_chat ON lines (chat_id)",
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How far a chat has come."""

    position: int  #: the id of the last event that the bot is done with; -1: none
    met: bool  #: the bot knows the visitor, and has said hello


class Book:
    """A small SQLite file of this process alone; it is there whether or not the plugin's own database is."""

    def __init__(self, path: Path) -> None:
        self._file = SQLite(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="liveperson_agent")
        self._connection: SQLiteConnection

    def open(self) -> None:
        """Open the file, or make it.

        Raises:
            StoreInUse: another process has it; the same agent is not signed in twice.
            StoreError: it cannot be opened.
        """
        self._file.hold()
        self._connection = self._file.connect()
        for statement in _TABLES:
            self._connection.run(statement, {})

    async def close(self) -> None:
        await self._do(self._connection.close)
        self._thread.shutdown()
        self._file.let_go()

    async def known(self, chat_id: str) -> Kept | None:
        """What is known of a chat; None: it is a new one."""
        row = await self._do(
            lambda: self._connection.one("SELECT position, met FROM chats WHERE chat_id = :chat", {"chat": chat_id})
        )
        return Kept(position=row[0], met=bool(row[1])) if row else None

    async def keep(self, chat_id: str, kept: Kept) -> None:
        """Write down how far a chat has come."""
        sql = (
            "INSERT INTO chats (chat_id, position, met) VALUES (:chat, :position, :met) "
            "ON CONFLICT (chat_id) DO UPDATE SET position = :position, met = :met"
        )
        values = {"chat": chat_id, "position": kept.position, "met": int(kept.met)}
        await self._do(lambda: self._connection.run(sql, values))

    async def wrote(self, chat_id: str, body: Json) -> int:
        """Keep an event of ours until it is sent; its number."""

        def insert() -> int:
            values = {"chat": chat_id, "body": json.dumps(body)}
            self._connection.run("INSERT INTO lines (chat_id, body) VALUES (:chat, :body)", values)
            row = self._connection.one("SELECT last_insert_rowid()", {})
            return int(row[0]) if row else 0

        return await self._do(insert)

    async def unsent(self, chat_id: str) -> list[tuple[int, Json]]:
        """The events of ours that wait, oldest first."""
        sql = "SELECT number, body FROM lines WHERE chat_id = :chat ORDER BY number"
        rows = await self._do(lambda: self._connection.all(sql, {"chat": chat_id}))
        return [(number, json.loads(body)) for number, body in rows]

    async def sent(self, number: int) -> None:
        """The event is out, or will never be."""
        await self._do(lambda: self._connection.run("DELETE FROM lines WHERE number = :number", {"number": number}))

    async def forget(self, chat_id: str) -> None:
        """The chat is over: nothing of it stays, in the file or in its log."""

        def delete() -> None:
            for table in ("lines", "chats"):
                self._connection.run(f"DELETE FROM {table} WHERE chat_id = :chat", {"chat": chat_id})
            self._connection.empty_log()

        await self._do(delete)

    async def forget_others(self, chat_ids: Iterable[str]) -> list[str]:
        """Forget every chat but these; which they were."""
        keep = set(chat_ids)
        rows = await self._do(lambda: self._connection.all("SELECT chat_id FROM chats", {}))
        others = [chat_id for (chat_id,) in rows if chat_id not in keep]
        for chat_id in others:
            await self.forget(chat_id)
        return others

    async def _do(self, work: Callable[[], T]) -> T:
        """In the one thread that waits for the disk, so that nobody else does; each statement is a transaction."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
