"""What comes from strangers and clumsy clients: refused clearly, or kept byte for byte; on every route."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from rasa_handoff.testing.waiting import until
from rasa_handoff.web.answers import LARGEST_BODY
from tests.web_stage import BASE, SERVER_TOKEN, Agent, User, Web, open_web, token_of

AGENT, SERVER = f"Bearer {token_of('Bo')}", f"Bearer {SERVER_TOKEN}"
CHAT = "/desk/api/chats/17"
TAKING_A_BODY = [
    ("POST", "/conversations", None),
    ("POST", "/typing", None),
    ("POST", "/leave", None),
    ("POST", "/handoffs", SERVER),
    ("POST", "/handoffs/close", SERVER),
    ("POST", "/outbox/17/retry", SERVER),
    ("POST", "/desk/api/session", None),
    ("DELETE", "/desk/api/session", AGENT),
    ("PUT", "/desk/api/me/presence", AGENT),
    ("POST", f"{CHAT}/accept", AGENT),
    ("POST", f"{CHAT}/messages", AGENT),
    ("POST", f"{CHAT}/typing", AGENT),
    ("POST", f"{CHAT}/transfer", AGENT),
    ("POST", f"{CHAT}/close", AGENT),
]
MALFORMED = [
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"17",
    b"{} {}",
    b"\xff\xfe",
    '{"text": "a"}'.encode("utf-16"),
    b'{"text": NaN}',
    b'{"text": -Infinity}',
    b'{"text": 1e999}',
    b'{"text": ' + b"9" * 5000 + b"}",
    b'{"text": "a", "text": "b"}',
    b'{"text": "\\ud800"}',
    b'{"\\udfff": "a"}',
    b'{"text": "a\\u0000b"}',
    b'{"text": "a\0b"}',
    b'{"text": ' + b"[" * 200 + b"]" * 200 + b"}",
    b"[" * 100_000,
]
TEXTS = [
    "שלום, איך אפשר לעזור?",
    "مرحبا \u202b(١٢٣)\u202c",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪",
    "e\u0301 ≠ é, ﬁ, Å, \u200b\u200d\ufeff",
    "<script>alert('x')</script> & \"quotes\" \\ / ' -- ; DROP TABLE",
    "line one\nline two\r\n\tand a tab\u2028\u2029\u0085",
    "data: event: id: \n\ndata: {}\n\n: a comment",
    "${HANDOFF_TOKEN} {{agent}} %s %(text)s :id $1",
    "\x01\x02\x1b[31m\x7f",
    " leading and trailing ",
    "x" * 10_000,
    "👍" * 10_000,
    "\U0010ffff\ue000",
]


class TestTooLarge:
    @pytest.mark.parametrize(("method", "path", "authorization"), TAKING_A_BODY)
    async def test_announced_it_is_refused_before_it_comes(
        self, web: Web, method: str, path: str, authorization: str | None
    ) -> None:
        answer = await web.raw(head(method, path, authorization, f"Content-Length: {LARGEST_BODY + 1}") + b"{")
        assert answer.startswith(b"HTTP/1.1 413"), answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_large"

    @pytest.mark.parametrize(("method", "path", "authorization"), TAKING_A_BODY)
    async def test_in_chunks_it_is_refused_when_it_has_grown(
        self, web: Web, method: str, path: str, authorization: str | None
    ) -> None:
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        answer = await web.raw(head(method, path, authorization, "Transfer-Encoding: chunked") + chunk * 5)
        assert answer.startswith(b"HTTP/1.1 413"), answer

    async def test_nothing_of_it_is_kept(self, web: Web) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        body = json.dumps({"id": str(uuid.uuid4()), "text": "Hello", "more": "x" * LARGEST_BODY}).encode()
        request = head("POST", f"/desk/api/chats/{chat}/messages", AGENT, f"Content-Length: {len(body)}") + body
        assert (await web.raw(request)).startswith(b"HTTP/1.1 413")
        assert (await bo.look_at(chat))["messages"] == []

    async def test_up_to_the_limit_it_is_taken(self, web: Web) -> None:
        await web.agent_online()
        asked = {"sender_id": "ann", "channel": "handoff", "metadata": {"x": ""}}
        asked["metadata"] = {"x": "x" * (LARGEST_BODY - len(json.dumps(asked)))}
        raw = json.dumps(asked).encode()
        assert len(raw) == LARGEST_BODY
        operator = await web.operator()
        assert (await operator.post("/handoffs", raw=raw)).status == 200
        assert (await operator.post("/handoffs", raw=raw + b" ")).status == 413

    @pytest.mark.parametrize(
        "path", ["/status", "/desk/api/chats", "/desk/api/openapi.json", "/chat/", "/stream?sender=a"]
    )
    async def test_where_none_is_expected_it_is_not_gathered(self, web: Web, path: str) -> None:
        """The answer comes without waiting for a body that nobody reads."""
        answer = await web.raw(head("GET", path, None, "Content-Length: 50000000") + b"x")
        assert answer.startswith(b"HTTP/1.1 "), answer


@pytest.mark.parametrize(("method", "path", "authorization"), TAKING_A_BODY)
async def test_malformed_bodies_are_400_on_every_route(
    web: Web, method: str, path: str, authorization: str | None
) -> None:
    client = await web.stranger(**({"Authorization": authorization} if authorization else {}))
    for body in MALFORMED:
        answer = await client.ask(method, path, raw=body)
        assert (answer.status, answer.code) == (400, "malformed"), body[:40]
        assert "a\\u0000b" not in answer.message


async def test_a_closed_connection_in_the_middle_of_a_body_changes_nothing(web: Web) -> None:
    bo = await web.agent_online()
    _, chat = await web.waiting_user()
    await bo.accept(chat)
    known = set(web.connections)
    _, writer = await asyncio.open_connection("127.0.0.1", web.port)
    writer.write(head("POST", f"/desk/api/chats/{chat}/messages", AGENT, "Content-Length: 100") + b'{"id"')
    await writer.drain()
    await web.until(lambda: set(web.connections) - known)
    (broken,) = set(web.connections) - known
    writer.close()
    await web.until(lambda: broken not in web.connections)
    assert (await bo.look_at(chat))["messages"] == []


@pytest.mark.parametrize("logger", ["rasa_handoff.desk", "sanic.access"])
async def test_a_secret_in_a_log_would_be_noticed(tmp_path: Path, logger: str) -> None:
    """The control of what every test here checks at its end."""
    with pytest.raises(AssertionError, match="a log has"):
        async with open_web(f"sqlite:///{tmp_path}/handoff.db", tmp_path):
            logging.getLogger(logger).debug("signed in", extra={"request": f"/session {SERVER_TOKEN}"})


class TestTexts:
    async def test_of_an_agent_come_out_as_they_went_in(self, web_on_each: Web) -> None:
        bo, ann, chat = await talking(web_on_each)
        page = await ann.comes()
        for text in TEXTS:
            assert (await bo.reply(chat, text)).json["message"]["text"] == text
            heard = await page.until(lambda event: event.name == "message" and event.data["who"] == "agent")
            assert heard.data["text"] == text
        assert [line["text"] for line in (await bo.look_at(chat))["messages"]] == TEXTS

    async def test_of_a_user_come_out_as_they_went_in(self, web_on_each: Web) -> None:
        bo, ann, chat = await talking(web_on_each)
        console = await bo.come()
        for text in TEXTS:
            await ann.says(text)
            assert (await console.next("message")).data["text"] == text
        assert [line["text"] for line in (await bo.look_at(chat))["messages"]] == TEXTS

    async def test_of_the_bot_and_of_slots_come_out_as_they_went_in(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        transcript = [{"who": "user", "text": text, "at": 1.0} for text in TEXTS]
        parameters = {text[:100]: text for text in TEXTS} | {"big": 2**63, "small": 1e-300, "deep": [[{"": None}]]}
        _, chat = await web.waiting_user(transcript=transcript, parameters=parameters)
        found = await bo.look_at(chat)
        assert (found["transcript"], found["parameters"]) == (transcript, parameters)

    async def test_of_a_close_come_out_as_they_went_in(self, web_on_each: Web) -> None:
        bo, _, chat = await talking(web_on_each)
        tags = [text[:50] for text in TEXTS]
        await bo.close(chat, note=TEXTS[2], tags=tags)
        end = (await bo.look_at(chat))["chat"]["end"]
        assert (end["note"], end["tags"]) == (TEXTS[2], tags)


async def talking(web: Web) -> tuple[Agent, User, str]:
    bo = await web.agent_online()
    ann, chat = await web.waiting_user()
    await bo.accept(chat)
    return bo, ann, chat


class TestDatabaseThatFails:
    async def test_a_full_disk_is_503_until_there_is_room(self, web: Web) -> None:
        bo, ann, chat = await talking(web)
        message_id = str(uuid.uuid4())
        with no_room(web.folder / "handoff.db-wal"):
            answers = [
                await bo.reply(chat, "Is anybody there?", message_id),
                await bo.close(chat),
                await bo.choose("away"),
                await ann.leaves(),
                await (await web.operator()).post("/handoffs", {"sender_id": "bob", "channel": "handoff"}),
            ]
            for answer in answers:
                assert (answer.status, answer.code) == (503, "unavailable")
                assert int(answer.headers["Retry-After"]) >= 1
            assert (await bo.get("/desk/api/chats")).status == 200
        assert (await bo.look_at(chat))["messages"] == []
        assert (await bo.reply(chat, "Is anybody there?", message_id)).status == 201

    async def test_postgresql_that_only_reads_is_503_until_it_writes(self, new_database: str, tmp_path: Path) -> None:
        async with open_web(new_database, tmp_path) as web:
            bo, _, chat = await talking(web)
            async with trouble(new_database, "SET default_transaction_read_only = on"):
                refused = await bo.reply(chat, "Is anybody there?")
                assert (refused.status, refused.code) == (503, "unavailable")
                assert (await bo.look_at(chat))["messages"] == []
            await web.until(lambda: _is_taken(bo, chat))

    async def test_postgresql_that_is_away_is_503_until_it_is_back(self, new_database: str, tmp_path: Path) -> None:
        async with open_web(new_database, tmp_path) as web:
            bo, _, chat = await talking(web)
            async with trouble(new_database, "ALLOW_CONNECTIONS false"):
                for answer in (await bo.reply(chat, "Is anybody there?"), await bo.get("/desk/api/chats")):
                    assert (answer.status, answer.code) == (503, "unavailable")
                    assert int(answer.headers["Retry-After"]) >= 1
            await web.until(lambda: _is_taken(bo, chat))
            assert (await bo.get("/desk/api/chats")).status == 200

    async def test_a_file_that_cannot_be_read_is_503(self, web: Web) -> None:
        """The answer of SQLite itself: a table is not there any more."""
        bo = await web.agent()
        with closing(sqlite3.connect(web.folder / "handoff.db")) as connection:
            connection.execute("ALTER TABLE handoff_desk_chats RENAME TO gone")
        answer = await bo.get("/desk/api/chats")
        assert (answer.status, answer.code) == (503, "unavailable")


async def _is_taken(agent: Agent, chat: str) -> bool:
    return (await agent.reply(chat, "here again")).status == 201


@contextmanager
def no_room(file: Path) -> Iterator[None]:
    """Let no file of this process grow beyond the size that *file* has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@asynccontextmanager
async def trouble(database: str, setting: str) -> AsyncIterator[None]:
    """Give *database* a setting that new connections feel, end the old ones, and take it back afterwards."""
    name = database.rpartition("?")[0].rpartition("/")[2]
    back = "RESET ALL" if setting.startswith("SET") else "ALLOW_CONNECTIONS true"
    with closing(psycopg2.connect(database.replace(f"/{name}?", "/postgres?", 1))) as connection:
        connection.autocommit = True
        cursor = connection.cursor()

        def connected() -> set[int]:
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s", (name,))
            return {pid for (pid,) in cursor.fetchall()}

        async def change(what: str) -> None:
            cursor.execute(f"ALTER DATABASE {name} {what}")
            old = connected()
            cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", (list(old),))
            await until(lambda: not old & connected())  # who is told to end does so a moment later

        await change(setting)
        try:
            yield
        finally:
            await change(back)


def head(method: str, path: str, authorization: str | None, *more: str) -> bytes:
    lines: list[Any] = [f"{method} {BASE}{path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *more]
    lines += [f"Authorization: {authorization}"] if authorization else []
    return "\r\n".join([*lines, "", ""]).encode()
