"""Files from elsewhere: from public addresses only, and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from rasa_handoff.errors import FetchError
from rasa_handoff.fetch import Fetcher, is_public
from rasa_handoff.testing import Wire

PICTURE = b"\x89PNG" * 100


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        wire.when("GET", "*", body=PICTURE)
        yield wire


@pytest_asyncio.fixture
async def fetcher(wire: Wire) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher({urlsplit(wire.url).netloc}, timeout=20.0)
    yield fetcher
    await fetcher.close()


async def test_a_file_comes_whole_with_its_name(wire: Wire, fetcher: Fetcher) -> None:
    file = await fetcher.get(f"{wire.url}/a/cat%20one.png?token=1", 1000, {"Authorization": "Bearer x"})
    assert (file.body, file.name) == (PICTURE, "cat one.png")
    (asked,) = wire.asked
    assert (asked.headers["authorization"], asked.query) == ("Bearer x", {"token": "1"})


async def test_a_file_that_is_too_large_is_not_taken(wire: Wire, fetcher: Fetcher) -> None:
    with pytest.raises(FetchError, match="larger than 399 bytes"):
        await fetcher.get(f"{wire.url}/a", 399)


async def test_a_redirect_is_not_followed(wire: Wire, fetcher: Fetcher) -> None:
    wire.fail(302, Location=f"{wire.url}/b")
    with pytest.raises(FetchError, match="HTTP 302"):
        await fetcher.get(f"{wire.url}/a", 1000)
    assert len(wire.asked) == 1


async def test_a_server_that_stalls_is_given_up(wire: Wire) -> None:
    fetcher = Fetcher({urlsplit(wire.url).netloc}, timeout=0.2)
    wire.stall(60.0)
    with pytest.raises(FetchError, match="in time"):
        await fetcher.get(f"{wire.url}/a", 1000)
    await fetcher.close()


async def test_a_server_that_is_gone_is_said_to_be(wire: Wire, fetcher: Fetcher) -> None:
    wire.down()
    with pytest.raises(FetchError, match="cannot be reached"):
        await fetcher.get(f"{wire.url}/a", 1000)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "127\u30020\u30020\u30021",
        "\uff11\uff12\uff17.0.0.1",
    ],
)
async def test_no_way_of_writing_it_leads_to_this_machine(wire: Wire, host: str) -> None:
    fetcher = Fetcher(timeout=20.0)
    with pytest.raises(FetchError) as refused:
        await fetcher.get(f"http://{host}:{urlsplit(wire.url).port}/a", 1000)
    await fetcher.close()
    assert wire.asked == []
    assert "HTTP" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["", "x", "ftp://example.com/a", "file:///etc/passwd", "http://", "http://u:p@example.com/a", "http://[::1/a"],
)
async def test_what_is_no_address_is_refused(url: str) -> None:
    fetcher = Fetcher(timeout=20.0)
    with pytest.raises(FetchError, match="^its address"):
        await fetcher.get(url, 1000)
    await fetcher.close()


NO_NAMES = ["a..b", ".example.com", "a" * 64 + ".example.com", "xn--a.example.com"]  #: of hosts


@pytest.mark.parametrize("host", NO_NAMES)
async def test_a_host_that_cannot_be_is_refused(host: str) -> None:
    fetcher = Fetcher(timeout=20.0)
    with pytest.raises(FetchError, match="^its address"):
        await fetcher.get(f"https://{host}/a", 1000)
    await fetcher.close()


@pytest.mark.parametrize("host", NO_NAMES)
async def test_a_redirect_to_a_host_that_cannot_be_is_not_followed(wire: Wire, fetcher: Fetcher, host: str) -> None:
    wire.respond("GET", "/a", lambda asked: (302, {}, {"Location": f"https://{host}/b"}))
    with pytest.raises(FetchError):
        async with fetcher.open(f"{wire.url}/a", 1000, redirects=3):
            pass


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:7f00:1::",
        "fc00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "no address",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:2800:220:1::1"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)


def test_the_wire_that_plays_the_server_is_on_this_machine(wire: Wire) -> None:
    """Else the refusals above would prove nothing."""
    assert urlsplit(wire.url).hostname == "127.0.0.1"


async def test_where_asked_redirects_are_followed_and_take_no_credentials_elsewhere(wire: Wire) -> None:
    with Wire() as other:
        other.when("GET", "/c.png", body=PICTURE)
        fetcher = Fetcher({urlsplit(each.url).netloc for each in (wire, other)}, timeout=20.0)
        wire.respond("GET", "/a", lambda asked: (307, {}, {"Location": f"{wire.url}/b"}))
        wire.respond("GET", "/b", lambda asked: (302, {}, {"Location": f"{other.url}/c.png"}))
        async with fetcher.open(f"{wire.url}/a", 1000, {"Authorization": "Bearer x"}, redirects=2) as file:
            assert (b"".join([part async for part in file.parts()]), file.name) == (PICTURE, "c.png")
        with pytest.raises(FetchError, match="TooManyRedirects"):
            async with fetcher.open(f"{wire.url}/a", 1000, redirects=1):
                pass
        await fetcher.close()
        assert [each.headers.get("authorization") for each in (*wire.asked[:2], other.asked[0])] == ["Bearer x"] * 2 + [
            None
        ]


async def test_no_redirect_leads_to_an_address_that_is_not_public(wire: Wire, fetcher: Fetcher) -> None:
    with Wire() as inside:
        wire.respond("GET", "/a", lambda asked: (302, {}, {"Location": f"{inside.url}/secret"}))
        with pytest.raises(FetchError, match="not a public one"):
            async with fetcher.open(f"{wire.url}/a", 1000, redirects=3):
                pass
        assert inside.asked == []


async def test_who_takes_a_file_slowly_gets_all_of_it(wire: Wire) -> None:
    """A player takes a film as it goes on: only a silence of the film's server ends it."""
    film = b"x" * 3_000_000  # more than all buffers between here and there hold
    wire.when("GET", "/film", body=film)
    fetcher = Fetcher({urlsplit(wire.url).netloc}, timeout=3.0)
    got = 0
    async with fetcher.open(f"{wire.url}/film", len(film)) as file:
        async for part in file.parts():
            if not got:
                await asyncio.sleep(3.2)
            got += len(part)
    await fetcher.close()
    assert got == len(film)


async def test_a_server_that_falls_silent_in_the_middle_is_given_up() -> None:
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
        await writer.drain()
        await over.wait()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    fetcher = Fetcher({host}, timeout=0.2)
    with pytest.raises(FetchError, match="in time"):
        async with fetcher.open(f"http://{host}/a", 1000) as file:
            _ = [part async for part in file.parts()]
    await fetcher.close()
    over.set()
    server.close()


async def test_a_proxy_of_the_owners_is_asked_in_the_files_place(wire: Wire, fetcher: Fetcher) -> None:
    async with fetcher.open("http://files.example/a.png", 1000, proxy=wire.url) as file:
        assert b"".join([part async for part in file.parts()]) == PICTURE
    assert wire.asked[0].headers["host"] == "files.example"
