"""Files of users for agent systems that take files: opened where they are, and read while they are sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from rasa_handoff.backends import user_files
from rasa_handoff.backends.http import Http, Reply
from rasa_handoff.backends.user_files import UserFiles, as_body
from rasa_handoff.errors import FetchError, TemporaryError
from rasa_handoff.fetch import AnyFile, whole
from rasa_handoff.files import Files
from rasa_handoff.media import Media
from rasa_handoff.porter import AT_ONCE
from rasa_handoff.store import Store
from rasa_handoff.store.files import KeptFile
from rasa_handoff.testing import Wire
from rasa_handoff.testing.waiting import PATIENCE, until

PART = b"x" * 100_000


class AFile:
    """A file in parts of 100 kB, which notes how much of it has been read."""

    name: str | None = "film.mp4"

    def __init__(
        self, parts: int, size: int | None = None, *, trouble: Exception | None = None, pause: float = 0.0
    ) -> None:
        self.mime = "video/mp4"
        self.size = len(PART) * parts if size is None else size or None
        self.read = 0
        self._parts = parts
        self._trouble = trouble
        self._pause = pause

    async def parts(self, skip: int = 0) -> AsyncIterator[bytes]:
        for _ in range(self._parts):
            if self._pause:
                await asyncio.sleep(self._pause)
            self.read += 1
            yield PART
        if self._trouble is not None:
            raise self._trouble


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        yield wire


async def sent(file: AnyFile, url: str, mime: str = "video/mp4") -> Reply:
    """What the server at *url* answers to *file* in a form."""
    http = Http("acme", timeout=PATIENCE)
    try:
        async with as_body(file, mime, 10 * len(PART)) as body:
            form = aiohttp.FormData()
            form.add_field("file", body, filename="film.mp4")
            return await http.ask("upload a file", "POST", url, form=form)
    finally:
        await http.close()


async def kept(store: Store, wire: Wire) -> tuple[Files, str]:
    """A file that a user has given, and the link to it."""
    files = Files(store, Media(lambda: "secret", wire.url, 3600.0, time.time), 1000, 10_000, time.time)
    file = KeptFile(id="f1", handoff_id="h1", who="user", kind="image", name="Rad.jpg", mime="image/jpeg")

    async def body() -> AsyncIterator[bytes]:
        yield b"JPEG" * 20

    await files.receive(file, body(), lambda tx: None)
    return files, files.url(file, ours=False) or ""


async def test_what_we_keep_is_had_without_the_network(store: Store, wire: Wire) -> None:
    ours, url = await kept(store, wire)
    files = UserFiles("acme", ours.behind)
    async with files.open(url, 80) as file:
        assert (file.name, file.mime, (await whole(file, 80)).body) == ("Rad.jpg", "image/jpeg", b"JPEG" * 20)
    with pytest.raises(FetchError, match="larger than 79 bytes"):
        async with files.open(url, 79):
            pass
    assert wire.asked == []
    await files.close()


async def test_one_too_many_is_tried_again(store: Store, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it keeps no place among all that goes out."""
    monkeypatch.setattr("rasa_handoff.backends.user_files._PATIENCE", 0.1)
    ours, url = await kept(store, wire)
    files = UserFiles("acme", ours.behind)
    async with AsyncExitStack() as opened:
        for _ in range(AT_ONCE):
            await opened.enter_async_context(files.open(url, 80))
        with pytest.raises(TemporaryError, match="acme: could not hand on a file"):
            async with files.open(url, 80):
                pass
    await files.close()


async def test_a_file_is_sent_with_its_length(wire: Wire) -> None:
    await sent(AFile(3), f"{wire.url}/files")
    (asked,) = wire.taken("POST", "/files")
    assert int(asked.headers["content-length"]) == len(asked.body)
    assert "transfer-encoding" not in asked.headers
    assert asked.body.count(PART) == 3
    assert b'name="file"; filename="film.mp4"' in asked.body


async def test_one_whose_length_nobody_knows_too(wire: Wire) -> None:
    await sent(AFile(3, size=0), f"{wire.url}/files")
    (asked,) = wire.taken("POST", "/files")
    assert int(asked.headers["content-length"]) == len(asked.body)
    assert asked.body.count(PART) == 3


async def test_one_that_turns_out_too_large_is_not_sent(wire: Wire) -> None:
    with pytest.raises(FetchError, match="larger than"):
        await sent(AFile(11, size=0), f"{wire.url}/files")
    assert wire.asked == []


async def test_no_more_of_it_is_read_than_they_take() -> None:
    """However large it is, hardly any of it is in memory."""
    go_on = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await go_on.wait()
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    file = AFile(200)
    async with server(take) as url:
        sending = asyncio.create_task(sent(file, url))
        await until(lambda: file.read)
        before = -1
        while file.read > before:  # until the network takes no more
            before = file.read
            await asyncio.sleep(0.2)
        assert file.read < 150
        go_on.set()
        assert (await sending).status == 200
    assert file.read == 200


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (FetchError("it has been deleted"), "it has been deleted"),
        (aiohttp.ClientPayloadError("cut"), "its server broke off: ClientPayloadError"),
        (asyncio.TimeoutError(), "its server broke off: TimeoutError"),
        (ConnectionResetError(), "its server broke off: ConnectionResetError"),
    ],
)
async def test_one_that_breaks_off_is_no_trouble_of_theirs(trouble: Exception, why: str) -> None:
    """It would break off again, however often it is tried; and they do not get the half for the whole."""
    got = bytearray()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend(await reader.read())

    async with server(take) as url:
        with pytest.raises(FetchError, match=why):
            await sent(AFile(2, 5 * len(PART), trouble=trouble), url)
    assert got.count(PART) <= 2


@pytest.mark.parametrize("size", [None, 0])
async def test_one_that_takes_for_ever_is_given_up(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    monkeypatch.setattr(user_files, "_LONGEST", 0.3)
    with pytest.raises(FetchError, match="it did not come in time"):
        await sent(AFile(9, size, pause=0.1), f"{wire.url}/files")
    assert wire.asked == []


async def test_a_server_that_takes_it_slowly_is_no_reason_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_files, "_LONGEST", 1.0)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(1.5)
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with server(take) as url:
        assert (await sent(AFile(200), url)).status == 200


async def test_trouble_of_theirs_is_tried_again(wire: Wire) -> None:
    wire.hang_up(path="/files")
    with pytest.raises(TemporaryError):
        await sent(AFile(3), f"{wire.url}/files")


async def test_what_follows_an_early_answer_is_not_taken_for_the_rest_of_the_file() -> None:
    """They may say no as soon as they have seen who asks."""
    connections = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        head = await reader.readuntil(b"\r\n\r\n")
        status = b"401 No" if b"multipart" in head.lower() else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()
        await reader.read()

    http = Http("acme", timeout=PATIENCE)
    async with server(refuse) as url, as_body(AFile(200), "video/mp4", 0) as body:
        form = aiohttp.FormData()
        form.add_field("file", body, filename="film.mp4")
        reply = await http.ask("upload a file", "POST", url, form=form, also=(401,))
        again = await http.ask("ask something else", "POST", url, body={})
        await http.close()
    assert (reply.status, again.status, connections) == (401, 200, 2)


async def test_a_type_that_somebody_made_up_adds_nothing_to_the_request(wire: Wire) -> None:
    await sent(AFile(1), f"{wire.url}/files", mime="image/png\r\nX-Evil: 1")
    (asked,) = wire.taken("POST", "/files")
    assert b"X-Evil" not in asked.body
    assert b"Content-Type: application/octet-stream" in asked.body


@asynccontextmanager
async def server(take: object) -> AsyncIterator[str]:
    """A server that does with each connection what *take* does."""
    serving = await asyncio.start_server(take, "127.0.0.1", 0)  # type: ignore[arg-type]
    yield f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}/files"
    serving.close()
