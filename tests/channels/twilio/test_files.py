"""Files of users behind links of ours, by the example of Twilio's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rasa.core.agent import Agent
from rasa.core.channels.twilio import TwilioInput

from rasa_handoff.channels import twilio
from rasa_handoff.channels.twilio import LONGEST_TEXT
from rasa_handoff.media import OURS, Media, MediaFile, file_name
from rasa_handoff.model import new_id
from rasa_handoff.store import handoffs
from rasa_handoff.testing.wire import Wire
from tests.channels.line import Line
from tests.channels.twilio.words import ACCOUNT, MESSAGES, NUMBER, PAYLOADS, TOKEN, USER, form

FILE = f"{MESSAGES}/MM0/Media/ME0"


@asynccontextmanager
async def a_line(folder: Path, agent: Agent, **section: Any) -> AsyncIterator[Line]:
    line = Line(folder, TwilioInput(ACCOUNT, TOKEN, NUMBER), agent, **section)
    await line.up()
    try:
        yield line
    finally:
        await line.down()


async def link_to(line: Line, wire: Wire, mime: str = "image/jpeg") -> str:
    """A user sends a file of this type during a handoff; the link that the agent gets."""
    await line.hand_over(USER)
    await line.hook(data={**PAYLOADS["mms_alone"], "MediaUrl0": f"{wire.url}{FILE}", "MediaContentType0": mime})
    (message,) = await line.heard()
    return message.attachments[0].url


def serve(wire: Wire, content: bytes, mime: str) -> None:
    wire.respond("GET", FILE, lambda asked: (200, content, {"Content-Type": mime}))


@pytest.mark.parametrize(
    ("mime", "given", "disposition"),
    [
        ("image/png", "image/png", "inline"),
        ("audio/ogg", "audio/ogg", "inline"),
        ("video/mp4", "video/mp4", "inline"),
        ("application/pdf", "application/pdf", "attachment"),
        ("text/html", "application/octet-stream", "attachment"),
        ("image/svg+xml", "application/octet-stream", "attachment"),
        ("application/javascript", "application/octet-stream", "attachment"),
    ],
)
async def test_what_could_hold_a_script_is_saved_and_never_shown(
    line: Line, wire: Wire, mime: str, given: str, disposition: str
) -> None:
    url = await link_to(line, wire, mime)
    serve(wire, b"<script>", mime)
    status, body, headers = await line.download(url)
    assert (status, body, headers["Content-Type"]) == (200, b"<script>", given)
    assert headers["Content-Disposition"].partition(";")[0] == disposition
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_a_file_larger_than_the_owner_allows_is_not_given(tmp_path: Path, wire: Wire, rasa_agent: Agent) -> None:
    async with a_line(tmp_path, rasa_agent, largest_file="1kB") as line:
        url = await link_to(line, wire)
        serve(wire, b"x" * 1025, "image/jpeg")
        status, body, _ = await line.download(url)
        assert (status, b"larger than 1024 bytes" in body) == (502, True)
        serve(wire, b"x" * 1024, "image/jpeg")
        assert (await line.download(url))[0] == 200


async def test_a_file_that_turns_out_too_large_is_broken_off(
    tmp_path: Path, wire: Wire, rasa_agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server does not say how large it is; nobody may take the half for the whole."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/jpeg\r\nconnection: close\r\n\r\n")
        for _ in range(40):
            writer.write(b"x" * 8192)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with a_line(tmp_path, rasa_agent, largest_file="100kB") as line:
        monkeypatch.setattr(twilio, "API", address)
        line.channels.named("twilio").fetcher._trusted = frozenset({address.removeprefix("http://")})
        await line.hand_over(USER)
        await line.hook(data={**PAYLOADS["mms_alone"], "MediaUrl0": f"{address}{FILE}"})
        (message,) = await line.heard()
        with pytest.raises(aiohttp.ClientPayloadError):
            await line.download(message.attachments[0].url)
    server.close()


async def test_a_player_gets_the_part_of_a_film_that_it_asks_for(line: Line, wire: Wire) -> None:
    """Safari asks for the first two bytes, and shows nothing of a server that gives it all."""
    film = bytes(range(256)) * 1000
    url = await link_to(line, wire, "video/mp4")
    serve(wire, film, "video/mp4")
    status, body, headers = await line.download(url, Range="bytes=0-1")
    assert (status, body, headers["Content-Range"]) == (206, film[:2], f"bytes 0-1/{len(film)}")
    assert (headers["Content-Length"], headers["Content-Type"]) == ("2", "video/mp4")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert (await line.download(url, Range="bytes=100000-"))[:2] == (206, film[100_000:])
    status, body, headers = await line.download(url, Range=f"bytes={len(film)}-")
    assert (status, body, headers["Content-Range"]) == (416, b"", f"bytes */{len(film)}")
    status, body, headers = await line.download(url)
    assert (status, body) == (200, film)
    assert (headers["Accept-Ranges"], headers["Content-Length"]) == ("bytes", str(len(film)))


async def test_who_asks_for_a_little_often_gets_it_each_time(line: Line, wire: Wire) -> None:
    """What has come of the rest by then does not stand in the way of the next request."""
    film = bytes(range(256)) * 1000
    url = await link_to(line, wire, "video/mp4")
    serve(wire, film, "video/mp4")
    for number in range(60):
        # The server is busy for a moment, so that much of the rest has come when it looks: now earlier, now later.
        asyncio.get_running_loop().call_later(number / 6000, time.sleep, 0.03)
        assert (await line.download(url, Range="bytes=0-1"))[:2] == (206, film[:2])


async def test_a_link_that_was_tampered_with_opens_nothing(line: Line, wire: Wire) -> None:
    url = await link_to(line, wire)
    assert (await line.download(url.replace("/media/", "/media/x")))[0] == 404


async def test_a_link_expires(tmp_path: Path, wire: Wire, rasa_agent: Agent) -> None:
    async with a_line(tmp_path, rasa_agent, media_links="1h") as line:
        url = await link_to(line, wire)
        serve(wire, b"JPEG", "image/jpeg")
        assert (await line.download(url))[0] == 200
        line.runtime.media._now = lambda: time.time() + 3601
        assert (await line.download(url))[0] == 404


async def test_a_link_goes_with_its_handoff(line: Line, wire: Wire) -> None:
    url = await link_to(line, wire)
    serve(wire, b"JPEG", "image/jpeg")
    assert (await line.download(url))[0] == 200
    await line.runtime.store.write(lambda tx: tx.run("DELETE FROM handoff_handoffs", {}))
    assert await line.runtime.store.read(lambda tx: handoffs.unsettled(tx, USER)) is None
    assert (await line.download(url))[0] == 404


async def test_a_name_in_any_letters_stays_what_it_is(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    file = MediaFile(
        channel="twilio", handoff_id=handoff.id, reference={"url": f"{wire.url}{FILE}"}, name='Rechnung "März"/🚲.pdf'
    )
    url = line.runtime.media.url(file, ours=False)
    serve(wire, b"PDF", "application/pdf")
    assert url is not None
    _, _, headers = await line.download(url)
    name = "Rechnung%20%22M%C3%A4rz%22%2F%F0%9F%9A%B2.pdf"
    assert headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{name}"


async def test_nothing_of_the_account_is_in_a_link(line: Line, wire: Wire) -> None:
    url = await link_to(line, wire)
    assert TOKEN not in url
    assert TOKEN not in str(line.runtime.media.file(url.rpartition("/")[0].rpartition("/")[2]))


@pytest.mark.parametrize("letter", ["x", "ä", "書", "🚲", '"'])
def test_a_link_fits_into_a_text_message_whatever_the_file_is_called(letter: str) -> None:
    media = Media(lambda: "secret", "https://rasa.customers.example.com:8443", 60.0, lambda: 0.0)
    name = file_name(f"{letter * 200}.pdf")
    file = MediaFile(channel=OURS, handoff_id=new_id(), reference={"file": new_id()}, name=name, mime="application/pdf")
    url = media.url(file, ours=True) or ""
    assert len(url) <= LONGEST_TEXT
    assert url.endswith(".pdf")
    assert media.behind(url) == file


def test_without_a_public_address_only_our_own_pages_get_a_link() -> None:
    media = Media(lambda: "secret", None, 60.0, lambda: 0.0)
    file = MediaFile(channel="twilio", handoff_id="h", reference={}, kind="image", name="a.jpg")
    assert (media.url(file, ours=True) or "").startswith("/webhooks/handoff/media/")
    assert media.url(file, ours=False) is None
    assert media.link(file) == media.url(file, ours=True)


def test_a_link_outlives_that_nobody_knew_our_address() -> None:
    """What was said before is still on its way to the agents."""
    file = MediaFile(channel="twilio", handoff_id="h", reference={}, kind="image", name="a.jpg")
    link = Media(lambda: "secret", None, 60.0, lambda: 0.0).link(file)
    media = Media(lambda: "secret", "https://bot.test", 60.0, lambda: 0.0)
    assert media.behind(link) == media.behind(media.link(file)) == file


async def test_every_file_of_a_message_has_a_link_of_its_own(line: Line, wire: Wire) -> None:
    await line.hand_over(USER)
    await form(line, wire, "mms")
    (message,) = await line.heard()
    assert len({each.url for each in message.attachments}) == 2
