"""Files of agents, for channels that take files: had from public addresses, in time, a few at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from rasa_handoff import porter
from rasa_handoff.channels import agent_files
from rasa_handoff.channels.agent_files import AgentFile, AgentFiles
from rasa_handoff.channels.base import Around
from rasa_handoff.errors import FetchError, TemporaryError
from rasa_handoff.files import Files
from rasa_handoff.media import Media
from rasa_handoff.model import Attachment
from rasa_handoff.store import Store
from rasa_handoff.store.files import KeptFile
from rasa_handoff.testing import Wire
from rasa_handoff.testing.waiting import until


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        wire.respond("GET", "/bill*", lambda asked: (200, b"%PDF", {"Content-Type": "application/pdf"}))
        wire.respond("GET", "/raw*", lambda asked: (200, b"raw", {"Content-Type": "application/octet-stream"}))
        yield wire


@pytest_asyncio.fixture
async def files(wire: Wire) -> AsyncIterator[AgentFiles]:
    files = AgentFiles("slack", Around(store=Store("sqlite:///nowhere.db"), now=time.time, largest_file=100))
    files._porter._fetcher._trusted = frozenset({wire.url.removeprefix("http://")})
    yield files
    await files.close()


async def taken(file: AgentFile) -> AgentFile:
    return file


@pytest.mark.parametrize(
    ("path", "name", "mime", "expected"),
    [
        ("/bill.pdf?key=1", None, None, ("bill.pdf", "application/pdf")),
        ("/bill", "The bill", None, ("The bill.pdf", "application/pdf")),
        ("/bill", "bill.txt", None, ("bill.txt", "application/pdf")),
        ("/bill", None, "text/csv", ("bill.csv", "text/csv")),
        ("/raw/song.mp3", None, None, ("song.mp3", "audio/mpeg")),
        ("/raw", "film.mp4", None, ("film.mp4", "video/mp4")),
        ("/raw/", None, None, ("file.bin", "application/octet-stream")),
    ],
)
async def test_a_file_has_a_name_with_an_ending_and_a_type(
    wire: Wire, files: AgentFiles, path: str, name: str | None, mime: str | None, expected: tuple[str, str]
) -> None:
    file = await files.hand_on(Attachment(url=f"{wire.url}{path}", name=name, mime=mime), taken)
    assert file is not None
    assert (file.name, file.mime) == expected


async def test_a_file_is_had_from_where_its_address_leads(wire: Wire, files: AgentFiles) -> None:
    wire.respond("GET", "/short", lambda asked: (302, b"", {"Location": f"{wire.url}/bill.pdf"}))
    file = await files.hand_on(Attachment(url=f"{wire.url}/short"), taken)
    assert file is not None
    assert (file.name, file.body) == ("bill.pdf", b"%PDF")


async def test_an_address_does_not_lead_into_our_network(wire: Wire, files: AgentFiles) -> None:
    with Wire() as inside:
        wire.respond("GET", "/short", lambda asked: (302, b"", {"Location": f"{inside.url}/secret.pdf"}))
        assert await files.hand_on(Attachment(url=f"{wire.url}/short"), taken) is None
        assert inside.asked == []


async def test_a_page_is_a_file_only_where_the_agent_sent_one(wire: Wire, files: AgentFiles) -> None:
    wire.respond("GET", "/page*", lambda asked: (200, b"<html>", {"Content-Type": "text/html; charset=utf-8"}))
    assert await files.hand_on(Attachment(url=f"{wire.url}/page"), taken) is None
    assert await files.hand_on(Attachment(url=f"{wire.url}/page", name="report.html"), taken) is not None


async def test_a_file_too_large_is_not_had(wire: Wire, files: AgentFiles) -> None:
    wire.when("GET", "/large", body=b"x" * 101)
    assert await files.hand_on(Attachment(url=f"{wire.url}/large"), taken) is None


async def test_what_takes_too_long_is_given_up(wire: Wire, files: AgentFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_files, "LONGEST", 0.2)
    wire.stall(60.0, path="/slow")
    assert await files.hand_on(Attachment(url=f"{wire.url}/slow"), taken) is None

    async def stand(file: AgentFile) -> AgentFile:
        await asyncio.sleep(60)
        return file

    assert await files.hand_on(Attachment(url=f"{wire.url}/bill"), stand) is None


async def test_whoever_takes_it_may_say_no_or_not_now(wire: Wire, files: AgentFiles) -> None:
    async def refuse(file: AgentFile) -> AgentFile:
        raise FetchError("it is not taken")

    async def wait(file: AgentFile) -> None:
        raise TemporaryError("slack", "share a file", 503)

    assert await files.hand_on(Attachment(url=f"{wire.url}/bill"), refuse) is None
    with pytest.raises(TemporaryError):
        await files.hand_on(Attachment(url=f"{wire.url}/bill"), wait)


async def test_only_a_few_are_in_memory_at_once(wire: Wire, files: AgentFiles) -> None:
    held: list[int] = []
    most = 0
    let_go = asyncio.Event()

    async def hold(file: AgentFile) -> None:
        nonlocal most
        held.append(1)
        most = max(most, len(held))
        await let_go.wait()
        held.pop()

    handing_on = asyncio.gather(*(files.hand_on(Attachment(url=f"{wire.url}/bill"), hold) for _ in range(20)))
    await until(lambda: len(held) == porter.AT_ONCE)
    await asyncio.sleep(0.1)  # in which one more would come
    let_go.set()
    await handing_on
    assert most == porter.AT_ONCE


async def test_a_file_of_ours_is_had_without_the_network(wire: Wire, tmp_path: Path) -> None:
    """Though the server's own address is a private one, at which nothing answers now."""
    store = Store(f"sqlite:///{tmp_path}/handoff.db")
    await store.open()
    kept = Files(store, Media(lambda: "secret", wire.url, 3600.0, time.time), 100, 1000, time.time)
    file = KeptFile(id="f1", handoff_id="h1", who="agent", kind="file", name="Your bill", mime="application/pdf")
    body = b"x" * 90

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    await kept.receive(file, pieces(), lambda tx: None)
    url = kept.url(file, ours=False)
    assert url is not None
    for largest, expected in ((100, ("Your bill.pdf", "application/pdf", body)), (89, None)):
        files = AgentFiles("slack", Around(store=store, now=time.time, largest_file=largest, files=kept))
        found = await files.hand_on(Attachment(url=url, name="Your bill", mime="application/pdf"), taken)
        assert (found and (found.name, found.mime, found.body)) == expected
        await files.close()
    assert wire.asked == []
    await store.close()
