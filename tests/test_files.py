"""Files of users and agents, over HTTP: kept whole or not at all, opened by link, and gone with their handoff."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rasa_handoff import files as kept_files
from rasa_handoff.errors import FetchError
from rasa_handoff.media import Media, MediaFile
from rasa_handoff.model import EndReason, Handoff, Request, Status, new_id
from rasa_handoff.store import Tx, files, handoffs, retention, users
from rasa_handoff.store.files import PART, KeptFile
from rasa_handoff.testing.waiting import PATIENCE
from rasa_handoff.web import files as web_files
from tests.web_stage import Answer, User, Web, open_web

PDF = b"%PDF-1.7 " + b"x" * 1000
FILM = os.urandom(2 * PART + 1700)
TOLD = re.compile(r"\d+(\.\d)? (kB|MB)")


async def rows(web: Web) -> tuple[int, int]:
    """How many files there are, and how many parts."""

    def count(tx: Tx) -> tuple[int, int]:
        tables = ("handoff_files", "handoff_file_parts")
        found, parts = (tx.all(f"SELECT count(*) FROM {table}", {})[0][0] for table in tables)
        return found, parts

    return await web.runtime.store.read(count)


async def is_clean(web: Web) -> bool:
    return await rows(web) == (0, 0)


async def end(web: Web, user: User) -> None:
    """The handoff is over, and the bot knows."""
    handoff = await web.runtime.switchboard.close(EndReason.BOT_RESUMED, sender_id=user.sender)
    await web.runtime.switchboard.settled(handoff)


@pytest_asyncio.fixture
async def small(tmp_path: Path) -> AsyncIterator[Web]:
    """A server that takes files of at most 600 kB."""
    async with open_web(f"sqlite:///{tmp_path}/handoff.db", tmp_path, largest_file="600kB") as web:
        yield web


class Sending:
    """A file that a user sends as slowly as a test wants."""

    def __init__(self, user: User) -> None:
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.answer: asyncio.Task[Answer] = asyncio.create_task(user.gives(self._body(), "film.mp4", "video/mp4"))

    async def _body(self) -> AsyncIterator[bytes]:
        while piece := await self._pieces.get():
            yield piece

    def send(self, piece: bytes) -> None:
        """Some more of it; nothing: this was all."""
        self._pieces.put_nowait(piece)


async def half_sent(web: Web, user: User, more: int = 1000) -> Sending:
    """A file of which a part is on the disk, and more has come."""
    sending = Sending(user)
    sending.send(FILM[: PART + more])

    async def has_begun() -> bool:
        return (await rows(web))[1] == 1

    await web.until(has_begun)
    return sending


async def hardly_sent(user: User) -> asyncio.Task[Answer]:
    """A file of which the server has begun to read, and gets nothing."""
    asked = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        asked.set()
        await asyncio.Event().wait()
        yield b""

    sending = asyncio.create_task(user.gives(body(), Expect="100-continue"))
    await asyncio.wait_for(asked.wait(), PATIENCE)
    return sending


class TestGiving:
    async def test_a_file_is_kept_and_opened_by_its_link(self, web_on_each: Web) -> None:
        web = web_on_each
        await web.agent_online()
        ann, _ = await web.waiting_user()
        answer = await ann.gives(PDF, "Rechnung März.pdf")
        assert answer.status == 201, answer
        file = answer.json["file"]
        link = file.pop("url")
        assert len(file.pop("id")) == 36
        assert file == {"kind": "file", "name": "Rechnung März.pdf", "mime": "application/pdf", "size": len(PDF)}
        opened = await (await web.user()).opens(link)
        assert (opened.status, opened.body, opened.headers["Content-Type"]) == (200, PDF, "application/pdf")
        assert "filename*=UTF-8''Rechnung%20M%C3%A4rz.pdf" in opened.headers["Content-Disposition"]

    @pytest.mark.parametrize("size", [1, PART - 1, PART, PART + 1, 2 * PART])
    async def test_of_every_size_every_byte_is_kept(self, web: Web, size: int) -> None:
        await web.agent_online()
        ann, _ = await web.waiting_user()
        file = (await ann.gives(FILM[:size])).json["file"]
        assert (file["size"], (await ann.opens(file["url"])).body) == (size, FILM[:size])

    async def test_a_body_of_unknown_length_is_as_good(self, web_on_each: Web) -> None:
        web = web_on_each
        await web.agent_online()
        ann, _ = await web.waiting_user()
        sending = await half_sent(web, ann)
        sending.send(FILM[PART + 1000 :])
        sending.send(b"")
        file = (await sending.answer).json["file"]
        assert file["size"] == len(FILM)
        assert (await ann.opens(file["url"])).body == FILM

    @pytest.mark.parametrize(
        ("mime", "name", "kind", "kept"),
        [
            ("image/png", "a.png", "image", "image/png"),
            ("Video/MP4; codecs=avc1", "a", "video", "video/mp4"),
            ("application/octet-stream", "voice.ogg", "audio", "audio/ogg"),
            ("image/svg+xml", "a.svg", "file", "application/octet-stream"),
            ("text/html", "a.png.html", "file", "application/octet-stream"),
            ("application/x-msdownload", "a.exe", "file", "application/octet-stream"),
            ("text/plain", "a.txt", "file", "text/plain"),
            ("not a type at all", "a", "file", "application/octet-stream"),
        ],
    )
    async def test_of_its_type_what_is_harmless_is_kept(
        self, web: Web, mime: str, name: str, kind: str, kept: str
    ) -> None:
        await web.agent_online()
        ann, _ = await web.waiting_user()
        file = (await ann.gives(PDF, name, mime)).json["file"]
        assert (file["kind"], file["mime"]) == (kind, kept)
        opened = await ann.opens(file["url"])
        assert opened.headers["Content-Type"] == kept
        shown = "inline" if kind != "file" else "attachment"
        assert opened.headers["Content-Disposition"].startswith(f"{shown};")
        assert opened.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in opened.headers["Content-Security-Policy"]

    async def test_no_log_has_their_names_however_the_address_is_written(self, web: Web) -> None:
        ann = await web.user()
        web.secrets.add("my-illness.pdf")
        for path in ("/files", "/files/"):
            answer = await ann.ask("POST", f"{path}?sender={ann.sender}&name=my-illness.pdf", raw=PDF)
            assert answer.status == 401

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("Ærø & søn.pdf", "Ærø & søn.pdf"),
            (
                "\u05d0\u05d1 \u4e2d\u6587 \U0001f469\u200d\U0001f4bb.pdf",
                "\u05d0\u05d1 \u4e2d\u6587 \U0001f469\u200d\U0001f4bb.pdf",
            ),
            ("a\"b'c;d%20e+f.pdf", "a\"b'c;d%20e+f.pdf"),
            ("../../etc/passwd", "etc passwd"),
            ("C:\\Users\\ann\\x.pdf", "C: Users ann x.pdf"),
            ("line\r\nSet-Cookie: x=y.pdf", "line Set-Cookie: x=y.pdf"),
            ("photo\u202egnp.exe", "photo gnp.exe"),
            ("photo\u061cgnp.exe", "photo gnp.exe"),
            ("..", None),
            ("\u202e/", None),
            ("", None),
            ("x" * 300 + ".pdf", "x" * 96 + ".pdf"),
        ],
    )
    async def test_names_have_every_letter_and_nothing_that_misleads(
        self, web: Web, given: str, kept: str | None
    ) -> None:
        await web.agent_online()
        ann, _ = await web.waiting_user()
        answer = await ann.gives(PDF, given)
        if kept is None:
            assert (answer.status, answer.code, "name" in answer.message) == (400, "malformed", True)
            return
        file = answer.json["file"]
        assert file["name"] == kept
        opened = await ann.opens(file["url"])
        assert (opened.status, opened.body) == (200, PDF)

    async def test_several_at_once_do_not_mix(self, web_on_each: Web) -> None:
        web = web_on_each
        await web.agent_online()
        ann, _ = await web.waiting_user()
        bodies = [bytes([number]) * (PART + number) for number in range(8)]
        answers = await asyncio.gather(*(ann.gives(body, f"{len(body)}.bin") for body in bodies))
        for body, answer in zip(bodies, answers, strict=True):
            assert (await ann.opens(answer.json["file"]["url"])).body == body


class TestNotTaken:
    @pytest.mark.parametrize("token", ["", "0" * 64, "bob's"])
    async def test_without_the_users_token_nothing_of_it_is_read(self, web: Web, token: str) -> None:
        """The answer comes although not a byte of the body does."""
        await web.agent_online()
        ann, _ = await web.waiting_user()
        bob = await web.user()
        token = bob.token if token == "bob's" else token
        head = f"POST /webhooks/handoff/files?sender={ann.sender}&name=a.pdf HTTP/1.1\r\nHost: x\r\n"
        head += f"Authorization: Bearer {token}\r\nContent-Length: 1000000\r\n\r\n"
        answer = await web.raw(head.encode())
        assert answer.startswith(b"HTTP/1.1 401")
        assert answer.endswith(b"\r\n\r\n")

    async def test_while_the_bot_has_the_conversation(self, web: Web) -> None:
        await web.agent_online()
        ann = await web.user()
        answer = await ann.gives(PDF)
        assert (answer.status, answer.code) == (409, "not_open")
        await ann.asks_for_an_agent()
        assert (await ann.gives(PDF)).status == 201
        await ann.leaves()
        assert (await ann.gives(PDF)).code == "not_open"

    async def test_an_empty_one(self, web: Web) -> None:
        await web.agent_online()
        ann, _ = await web.waiting_user()

        async def nothing() -> AsyncIterator[bytes]:
            return
            yield b""

        for body in (b"", nothing()):
            answer = await ann.gives(body)
            assert (answer.status, answer.code, answer.message) == (400, "malformed", "the file is empty")

    async def test_one_that_says_it_is_too_large_before_it_comes(self, small: Web) -> None:
        await small.agent_online()
        ann, _ = await small.waiting_user()
        head = f"POST /webhooks/handoff/files?sender={ann.sender}&name=a.pdf HTTP/1.1\r\nHost: x\r\n"
        head += f"Authorization: Bearer {ann.token}\r\nContent-Length: {600 * 1000 * 1000}\r\n\r\n"
        answer = await small.raw(head.encode())
        assert answer.startswith(b"HTTP/1.1 413")
        assert b'"code":"too_large","message":"the file is larger than 600 kB"' in answer

    async def test_one_that_does_not_say_so_at_its_first_byte_too_many(self, small: Web) -> None:
        await small.agent_online()
        ann, _ = await small.waiting_user()
        sending = await half_sent(small, ann)
        sending.send(FILM[: 600 * 1024])
        answer = await sending.answer  # it has not come to its end
        assert (answer.status, answer.code) == (413, "too_large")
        await small.until(partial(is_clean, small))

    async def test_the_largest_is_taken(self, small: Web) -> None:
        await small.agent_online()
        ann, _ = await small.waiting_user()
        assert (await ann.gives(b"x" * 600 * 1024)).status == 201
        answer = await ann.gives(b"x" * (600 * 1024 + 1))
        assert (answer.status, answer.code) == (413, "too_large")

    async def test_whoever_sends_too_much_gets_to_the_answer(self, small: Web) -> None:
        """Though they do not look for it before they have sent it all."""
        await small.agent_online()
        ann, _ = await small.waiting_user()
        reader, writer = await asyncio.open_connection("127.0.0.1", small.port)
        head = f"POST /webhooks/handoff/files?sender={ann.sender}&name=a.pdf HTTP/1.1\r\nHost: x\r\n"
        head += f"Authorization: Bearer {ann.token}\r\nContent-Length: {8 << 20}\r\n\r\n"
        writer.write(head.encode())
        for _ in range(8):
            writer.write(b"x" * (1 << 20))
            await writer.drain()
        assert (await reader.readexactly(12)) == b"HTTP/1.1 413"
        writer.close()

    async def test_more_than_one_conversation_may_hold(self, small: Web) -> None:
        await small.agent_online()
        (ann, _), (bob, _) = await small.waiting_user(), await small.waiting_user()
        answers = [await ann.gives(b"x" * 550 * 1024) for _ in range(5)]
        assert [answer.status for answer in answers] == [201, 201, 201, 201, 409]
        assert answers[-1].code == "full"
        assert TOLD.search(answers[-1].message)
        assert (await ann.gives(PDF)).status == 201  # there is room for a small one
        assert (await bob.gives(b"x" * 550 * 1024)).status == 201

    async def test_more_than_it_may_hold_though_nobody_said_how_much_it_is(self, small: Web) -> None:
        await small.agent_online()
        ann, _ = await small.waiting_user()
        for _ in range(4):
            await ann.gives(b"x" * 500 * 1024)

        async def body() -> AsyncIterator[bytes]:
            for _ in range(6):
                yield b"x" * 100 * 1024

        answer = await ann.gives(body())
        assert (answer.status, answer.code) == (409, "full")
        await small.until(lambda: _count_is(small, 4))

    async def test_more_files_than_anybody_needs(self, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kept_files, "_MOST", 2)
        await web.agent_online()
        ann, _ = await web.waiting_user()
        answers = [await ann.gives(PDF) for _ in range(3)]
        assert [answer.status for answer in answers] == [201, 201, 409]
        assert answers[-1].code == "full"

    async def test_too_many_at_once(self, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
        """At whichever server, unless nothing has come of the others for a while: theirs may be dead."""
        monkeypatch.setattr(kept_files, "_AT_ONCE", 1)
        await web.agent_online()
        ann, chat = await web.waiting_user()
        await web.runtime.store.write(lambda tx: _begin(tx, chat, time.time()))
        assert (await ann.gives(PDF)).code == "full"
        monkeypatch.setattr(kept_files, "_COMING", -1.0)
        assert (await ann.gives(PDF)).status == 201

    async def test_more_than_all_may_have_together(
        self, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever begins is refused, and whoever is in the middle; what is deleted makes room again."""
        monkeypatch.setattr(kept_files, "_LOOKS_EVERY", 0.0)
        async with open_web(database, tmp_path, all_files=PART + len(FILM)) as web:
            await web.agent_online()
            ann, _ = await web.waiting_user()
            ben, _ = await web.waiting_user()
            sending = await half_sent(web, ben)
            assert (await ann.gives(FILM)).status == 201
            answer = await ann.gives(PDF)
            assert (answer.status, answer.code, answer.message) == (
                409,
                "full",
                "the server has no room for more files",
            )
            sending.send(FILM[PART:])
            assert (await sending.answer).code == "full"
            await (await web.operator()).post("/users/erase", {"sender_id": ann.sender, "close": True})
            await web.until(lambda: _is_taken(ben))

    @pytest.mark.parametrize("limit", ["_AT_ONCE", "_AT_ONCE_HERE"])
    async def test_too_many_that_hardly_come(self, web: Web, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
        """Each holds memory, though the database has nothing of it; until one of them is gone."""
        monkeypatch.setattr(kept_files, limit, 2)
        await web.agent_online()
        ann, _ = await web.waiting_user()
        slow = [await hardly_sent(ann) for _ in range(2)]
        answer = await ann.gives(PDF)
        assert (answer.status, answer.code) == (409, "full")
        slow[0].cancel()
        await web.until(lambda: _is_taken(ann))

    async def test_what_agents_could_not_open(self, web: Web) -> None:
        """Their system is elsewhere, and there the server has no address."""
        ann = await web.user()
        handoff = Handoff(
            id=new_id(), sender_id=ann.sender, channel="handoff", backend="acme", status=Status.ACTIVE, opened_at=1.0
        )
        request = Request(sender_id=ann.sender, channel="handoff")
        await web.runtime.store.write(lambda tx: handoffs.insert(tx, handoff, request))
        answer = await ann.gives(PDF)
        assert (answer.status, answer.code) == (409, "no_public_url")


async def _is_taken(user: User) -> bool:
    return (await user.gives(PDF)).status == 201


async def _count_is(web: Web, files: int) -> bool:
    return (await rows(web))[0] == files


class TestBrokenOff:
    """What is not whole is not there."""

    async def test_the_sender_is_gone(self, web_on_each: Web) -> None:
        web = web_on_each
        await web.agent_online()
        ann, _ = await web.waiting_user()
        sending = await half_sent(web, ann)
        sending.answer.cancel()
        await web.until(partial(is_clean, web))

    async def test_the_conversation_ends(self, web_on_each: Web) -> None:
        web = web_on_each
        await web.agent_online()
        ann, _ = await web.waiting_user()
        sending = await half_sent(web, ann)
        await ann.leaves()
        sending.send(FILM)
        answer = await sending.answer
        assert (answer.status, answer.code) == (409, "not_open")
        await web.until(partial(is_clean, web))

    async def test_the_conversation_ends_behind_the_last_byte(self, web: Web) -> None:
        await web.agent_online()
        ann, _ = await web.waiting_user()
        sending = await half_sent(web, ann, more=0)
        await ann.leaves()
        sending.send(b"")
        assert (await sending.answer).code == "not_open"
        await web.until(partial(is_clean, web))

    async def test_the_user_is_erased(self, web_on_each: Web) -> None:
        web = web_on_each
        await web.agent_online()
        ann, _ = await web.waiting_user()
        sending = await half_sent(web, ann)
        await end(web, ann)
        await web.runtime.eraser.erase(ann.sender)
        assert await is_clean(web)
        sending.send(FILM)
        sending.send(b"")
        answer = await sending.answer
        assert (answer.status, answer.code) == (409, "not_open")
        assert await is_clean(web)

    async def test_nothing_more_comes(self, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
        await web.agent_online()
        ann, _ = await web.waiting_user()
        sending = await half_sent(web, ann)
        monkeypatch.setattr(web_files, "_SILENCE", 0.2)
        sending.send(b"x")
        answer = await sending.answer
        assert (answer.status, answer.code) == (408, "too_slow")
        await web.until(partial(is_clean, web))

    async def test_it_comes_for_ever(self, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
        """A byte now and then is no file."""
        monkeypatch.setattr(web_files, "_LONGEST", 0.5)
        await web.agent_online()
        ann, _ = await web.waiting_user()

        async def drops() -> AsyncIterator[bytes]:
            while True:
                yield b"x"
                await asyncio.sleep(0.02)

        assert (await ann.gives(drops())).status == 408

    async def test_the_disk_is_full(self, web: Web) -> None:
        await web.agent_online()
        ann, _ = await web.waiting_user()
        sending = await half_sent(web, ann)
        connection: Any = web.runtime.store._writer._connection
        connection.pragma("max_page_count=1")  # no more than there are
        sending.send(FILM)
        answer = await sending.answer
        assert (answer.status, answer.code) == (503, "unavailable")
        await web.until(partial(is_clean, web))
        assert (await ann.gives(FILM)).status == 201  # there is room again

    @pytest.mark.parametrize("looks", [0.0, 60.0])
    async def test_the_server_stops(
        self, web_on_each: Web, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, looks: float
    ) -> None:
        """Whoever sends it hears that they have to try again; for whoever runs the server it is nothing to look at."""
        web = web_on_each
        await web.agent_online()
        ann, _ = await web.waiting_user()
        monkeypatch.setattr(kept_files, "_LOOKS_EVERY", looks)  # whether it is a read or a change that comes next
        sending = await half_sent(web, ann)
        caplog.clear()
        await web.end_what_runs()
        sending.send(FILM)
        answer = await sending.answer
        assert (answer.status, answer.code) == (503, "unavailable")
        assert [each.getMessage() for each in caplog.records if each.levelno > logging.INFO] == []
        assert "web.not_stored" in caplog.text

    async def test_the_server_was_killed(self, web_on_each: Web) -> None:
        """An hour later nothing is left, and of what comes just then nothing is missing."""
        web, now = web_on_each, time.time()
        await web.agent_online()
        _, chat = await web.waiting_user()
        for ago in (3700.0, 10.0):
            await web.runtime.store.write(partial(_begin, chat=chat, at=now - ago))
        await web.runtime.clock.prune()
        assert await rows(web) == (1, 6)

    async def test_it_is_never_sent(self, web_on_each: Web) -> None:
        """A day later it is gone, and what went with a message is not."""
        web = web_on_each
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        for body in (FILM, PDF):
            assert (await ann.gives(body)).status == 201
        file = (await bo.gives(chat, PDF)).json["file"]
        await bo.reply(chat, "Here", files=[file["id"]])
        await web.runtime.clock.prune()
        assert await rows(web) == (3, 5)
        await web.runtime.store.write(lambda tx: tx.run("UPDATE handoff_files SET at = at - 90000", {}))
        await web.runtime.clock.prune()
        assert await rows(web) == (1, 1)
        assert (await ann.opens(file["url"])).body == PDF

    async def test_a_half_one_cannot_be_opened(self, web: Web) -> None:
        await web.agent_online()
        _, chat = await web.waiting_user()
        file = await web.runtime.store.write(partial(_begin, chat=chat, at=time.time()))
        url = web.runtime.files.url(file, ours=True)
        assert url is not None
        assert (await (await web.user()).opens(url)).status == 502


def _begin(tx: Tx, chat: str, at: float, parts: int = 6) -> KeptFile:
    file = KeptFile(id=new_id(), handoff_id=chat, who="user", kind="video", name="a.mp4", mime="video/mp4")
    files.begin(tx, file, at)
    for number in range(parts):
        files.add(tx, file.id, number, b"x" * PART, at)
    return file


class TestOpening:
    @pytest.mark.parametrize(
        ("asked", "part"),
        [
            ("bytes=0-0", slice(0, 1)),
            (f"bytes={PART - 1}-{PART}", slice(PART - 1, PART + 1)),
            (f"bytes={PART}-{2 * PART - 1}", slice(PART, 2 * PART)),
            (f"bytes={PART + 5}-", slice(PART + 5, None)),
            ("bytes=-10", slice(-10, None)),
        ],
    )
    async def test_players_get_the_part_that_they_ask_for(self, web: Web, asked: str, part: slice) -> None:
        await web.agent_online()
        ann, _ = await web.waiting_user()
        file = (await ann.gives(FILM, "film.mp4", "video/mp4")).json["file"]
        opened = await ann.opens(file["url"], Range=asked)
        assert (opened.status, opened.body) == (206, FILM[part])
        assert (await ann.opens(file["url"], Range=f"bytes={len(FILM)}-")).status == 416

    async def test_one_that_is_deleted_while_it_is_read_does_not_pass_for_whole(self, web_on_each: Web) -> None:
        web = web_on_each
        await web.agent_online()
        ann, _ = await web.waiting_user()
        file = (await ann.gives(FILM)).json["file"]
        async with web.runtime.files.open(file["id"]) as opened:
            parts = opened.parts()
            await anext(parts)
            await end(web, ann)
            await web.runtime.eraser.erase(ann.sender)
            with pytest.raises(FetchError):
                await anext(parts)
        assert (await ann.opens(file["url"])).status == 404

    async def test_one_that_is_being_deleted_is_not_begun(self, web: Web) -> None:
        await web.agent_online()
        ann, chat = await web.waiting_user()
        file = (await ann.gives(FILM)).json["file"]
        await web.runtime.store.write(partial(files.shrink_of_handoff, handoff_id=chat, most=1))
        assert (await rows(web))[1] == 2
        with pytest.raises(FetchError):
            async with web.runtime.files.open(file["id"]):
                pass
        assert (await ann.opens(file["url"])).status == 502

    async def test_a_link_to_another_file_is_not_made_by_hand(self, web: Web) -> None:
        await web.agent_online()
        ann, _ = await web.waiting_user()
        link = (await ann.gives(PDF)).json["file"]["url"]
        changed = link.replace("/media/", "/media/e30")
        assert (await ann.opens(changed)).status == 404


class TestAgents:
    async def test_an_agents_file_reaches_the_user_with_a_message(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        answer = await bo.gives(chat, PDF, "Vertrag.pdf")
        assert answer.status == 201, answer
        file = answer.json["file"]
        sent = await bo.reply(chat, "", files=[file["id"]])
        assert sent.status == 201, sent
        known = {"kind": "file", "name": "Vertrag.pdf", "mime": "application/pdf", "size": len(PDF)}
        attachment = {"url": file["url"], **known}
        assert sent.json["message"]["attachments"] == [attachment]
        assert (await bo.look_at(chat))["chat"]["last_message"] == "Vertrag.pdf"
        page = await ann.comes()
        came = await page.until(lambda event: event.data.get("attachments"))
        assert came.data["attachments"] == [attachment]
        assert (await ann.opens(attachment["url"])).body == PDF

    async def test_a_repeat_is_kept_once(self, web: Web) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        file = (await bo.gives(chat, PDF)).json["file"]["id"]
        name = "6f1d2c3b-0000-4000-8000-000000000001"
        answers = [await bo.reply(chat, "Here", name, files=[file]) for _ in range(2)]
        assert [answer.status for answer in answers] == [201, 200]
        assert answers[0].json == answers[1].json

    async def test_the_same_file_can_be_sent_twice(self, web: Web) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        file = (await bo.gives(chat, PDF)).json["file"]["id"]
        answers = [await bo.reply(chat, text, files=[file]) for text in ("", "again")]
        assert [answer.status for answer in answers] == [201, 201]

    async def test_only_what_agents_gave_in_this_chat_is_sent(self, web: Web) -> None:
        bo = await web.agent_online()
        (ann, chat), (_, other) = await web.waiting_user(), await web.waiting_user()
        for each in (chat, other):
            await bo.accept(each)
        theirs = (await ann.gives(PDF)).json["file"]["id"]
        elsewhere = (await bo.gives(other, PDF)).json["file"]["id"]
        mine = (await bo.gives(chat, PDF)).json["file"]["id"]
        for file in (theirs, elsewhere, "no-id", 7, None, {}):
            answer = await bo.reply(chat, "Here", files=[mine, file])
            assert (answer.status, answer.code) == (400, "malformed"), file
            assert answer.message.startswith("files")
        assert (await bo.reply(chat, "Here", files=[mine] * 11)).status == 400
        assert (await bo.look_at(chat))["messages"] == []

    @pytest.mark.parametrize("more", [{}, {"files": []}, {"files": None}])
    async def test_nothing_is_no_message(self, web: Web, more: dict[str, Any]) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        answer = await bo.reply(chat, " ", **more)
        assert (answer.status, answer.code) == (400, "malformed")

    async def test_no_file_goes_into_a_chat_that_is_not_ones_own(self, web: Web) -> None:
        bo, cleo = await web.agent_online(), await web.agent_online("Cleo")
        _, chat = await web.waiting_user()
        await cleo.accept(chat)
        answer = await bo.gives(chat, PDF)
        assert (answer.status, answer.code) == (409, "not_yours")
        await cleo.close(chat)
        assert (await cleo.gives(chat, PDF)).code == "closed"
        assert (await cleo.gives("unknown", PDF)).status == 404
        stranger = await web.stranger()
        assert (await stranger.post(f"/desk/api/chats/{chat}/files?name=a.pdf")).status == 401
        assert await is_clean(web)

    async def test_a_user_without_our_page_needs_an_address_that_they_can_open(self, tmp_path: Path) -> None:
        for public_url in (None, "https://bot.test"):
            (tmp_path / str(len(public_url or ""))).mkdir()
            folder = tmp_path / str(len(public_url or ""))
            async with open_web(f"sqlite:///{folder}/handoff.db", folder, public_url=public_url) as web:
                bo = await web.agent_online()
                _, chat = await web.waiting_user(channel="telegram")
                taken = (await bo.accept(chat)).json["chat"]["takes_files"]
                answer = await bo.gives(chat, PDF)
                _, ours = await web.waiting_user()
                assert (await bo.look_at(ours))["chat"]["takes_files"] is True
            if public_url is None:
                assert (taken, answer.status, answer.code) == (False, 409, "no_public_url")
            else:
                assert (taken, answer.status) == (True, 201)
                assert answer.json["file"]["url"].startswith("https://bot.test/webhooks/handoff/media/")

    async def test_of_a_chat_without_a_user_there_is_nobody_to_open_it(self, web: Web) -> None:
        bo = await web.agent_online()
        operator = await web.operator()
        body = {"sender_id": "ann", "channel": "handoff", "callback": {"phone": "0800"}}
        chat = (await operator.post("/callbacks", body)).json["handoff"]["id"]
        await bo.accept(chat)
        answer = await bo.gives(chat, PDF)
        assert (answer.status, answer.code) == (409, "callback")


class TestGone:
    async def test_with_the_handoff_when_its_time_is_over(self, web_on_each: Web) -> None:
        """A large one in several steps, and not before everything that is older."""
        web = web_on_each
        await web.agent_online()
        ann, _ = await web.waiting_user()
        link = (await ann.gives(FILM * 3)).json["file"]["url"]
        bob, _ = await web.waiting_user()
        kept = (await bob.gives(PDF)).json["file"]["url"]
        await end(web, ann)
        web.runtime.clock._keep_for = -1.0
        await web.runtime.clock.prune()
        assert await rows(web) == (1, 1)
        assert (await ann.opens(link)).status == 404
        assert (await bob.opens(kept)).body == PDF

    async def test_in_steps_so_that_nobody_waits_long(self, web_on_each: Web) -> None:
        web, now = web_on_each, time.time()
        store = web.runtime.store
        await web.agent_online()
        ann, chat = await web.waiting_user()
        for _ in range(2):
            await store.write(partial(_begin, chat=chat, at=now, parts=7))
        assert await store.write(partial(users.begin_to_erase, sender_id=ann.sender)) == files.GONE_AT_ONCE
        assert await rows(web) == (2, 14 - files.GONE_AT_ONCE)
        await end(web, ann)
        assert await store.write(partial(retention.delete_old, before=now + 60)) == 1
        assert await rows(web) == (2, 14 - 2 * files.GONE_AT_ONCE)
        assert await store.read(lambda tx: handoffs.get(tx, chat)) is not None

    async def test_with_the_user_down_to_the_last_byte(self, tmp_path: Path) -> None:
        mark = b"a user's own picture, " * 20_000
        path = tmp_path / "handoff.db"
        async with open_web(f"sqlite:///{path}", tmp_path) as web:
            await web.agent_online()
            ann, chat = await web.waiting_user()
            await ann.gives(mark * 3)
            await web.runtime.store.write(partial(_begin, chat=chat, at=time.time()))
            await end(web, ann)
            operator = await web.operator()
            export = (await operator.post("/users/export", {"sender_id": ann.sender})).json["user"]
            told = export["handoffs"][0]["files"]
            assert [(each["size"], each["state"]) for each in told] == [(len(mark) * 3, "given"), (6 * PART, "coming")]
            assert (await ann.opens(told[0]["url"])).body == mark * 3
            erased = (await operator.post("/users/erase", {"sender_id": ann.sender})).json
            assert (erased["rows"]["files"], erased["overwritten"]) == (2, True)
            left = path.read_bytes() + Path(f"{path}-wal").read_bytes()
        assert mark[:22] not in left
        assert b"x" * 100 not in left


@pytest.mark.parametrize("public_url", [None, "https://bot.test"])
def test_our_own_links_are_known_until_they_expire(public_url: str | None) -> None:
    now = [1000.0]
    media = Media(lambda: "secret", public_url, 3600.0, lambda: now[0])
    file = MediaFile(channel="handoff", handoff_id="h1", reference={"file": "f1"}, name="a/b.pdf")
    url = media.url(file, ours=True)
    assert url is not None
    assert media.behind(url) == file
    assert media.behind(f"https://evil.test{url}") is None
    assert media.behind(url.replace("/media/", "/media/x")) is None
    now[0] += 3601
    assert media.behind(url) is None


async def test_a_file_given_at_one_server_is_opened_at_the_other(new_database: str, tmp_path: Path) -> None:
    """Of two that share a PostgreSQL database."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    async with open_web(new_database, tmp_path / "one") as one, open_web(new_database, tmp_path / "other") as other:
        bo = await one.agent_online()
        ann, chat = await one.waiting_user()
        link = (await ann.gives(FILM, "film.mp4", "video/mp4")).json["file"]["url"]
        theirs = await other.stranger()
        assert (await theirs.get(link.removeprefix("/webhooks/handoff"))).body == FILM
        await bo.accept(chat)
        cousin = await other.agent("Bo")
        file = (await cousin.gives(chat, PDF)).json["file"]["id"]
        assert (await bo.reply(chat, "", files=[file])).status == 201
