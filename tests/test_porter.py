"""Files for whoever hands them on: ours without the network, others from public addresses, and a few at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import pytest
import pytest_asyncio

from rasa_handoff.errors import FetchError
from rasa_handoff.fetch import AnyFile
from rasa_handoff.porter import AT_ONCE, Crowded, Porter
from rasa_handoff.testing import Wire
from rasa_handoff.testing.waiting import PATIENCE, until

OURS = "https://bot.test/media/1"


class OurFile:
    """One that we keep."""

    mime = "image/jpeg"
    name: str | None = "bike.jpg"
    size: int | None = 8

    async def parts(self, skip: int = 0) -> AsyncIterator[bytes]:
        for part in (b"JPEG", b"EG.."):
            yield part


def behind(url: str) -> AbstractAsyncContextManager[AnyFile] | None:
    return _open() if url == OURS else None


@asynccontextmanager
async def _open() -> AsyncIterator[AnyFile]:
    yield OurFile()


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        wire.when("GET", "/bill.pdf", body=b"%PDF")
        yield wire


@pytest_asyncio.fixture
async def porter(wire: Wire) -> AsyncIterator[Porter]:
    porter = Porter(behind, [wire.url.removeprefix("http://")], patience=0.1)
    yield porter
    await porter.close()


async def content(porter: Porter, url: str, largest: int = 100) -> bytes:
    async with porter.open(url, largest) as file:
        return b"".join([part async for part in file.parts()])


async def all_places_taken(porter: Porter, url: str, opened: AsyncExitStack) -> None:
    for _ in range(AT_ONCE):
        await opened.enter_async_context(porter.open(url, 100))


async def test_a_file_of_ours_is_opened_where_it_is(porter: Porter, wire: Wire) -> None:
    assert await content(porter, OURS) == b"JPEGEG.."
    assert wire.asked == []


async def test_any_other_is_fetched(porter: Porter, wire: Wire) -> None:
    assert await content(porter, f"{wire.url}/bill.pdf") == b"%PDF"


async def test_from_public_addresses_only() -> None:
    with Wire() as inside:
        porter = Porter(lambda url: None)
        with pytest.raises(FetchError, match="not a public one"):
            await content(porter, f"{inside.url}/secret")
        assert inside.asked == []
        await porter.close()


async def test_one_that_is_too_large_is_not_begun(porter: Porter) -> None:
    with pytest.raises(FetchError, match="it is larger than 7 bytes"):
        await content(porter, OURS, largest=7)
    assert await content(porter, OURS, largest=8)


async def test_one_of_ours_has_to_come_again_where_a_few_are_open(porter: Porter, wire: Wire) -> None:
    async with AsyncExitStack() as opened:
        await all_places_taken(porter, OURS, opened)
        with pytest.raises(Crowded):
            await content(porter, OURS)
        assert await content(porter, f"{wire.url}/bill.pdf") == b"%PDF"
    assert await content(porter, OURS) == b"JPEGEG.."


async def test_slow_servers_elsewhere_hold_up_none_of_ours(porter: Porter, wire: Wire) -> None:
    """And what is elsewhere does not come again, for it has an address of its own."""
    async with AsyncExitStack() as opened:
        await all_places_taken(porter, f"{wire.url}/bill.pdf", opened)
        with pytest.raises(FetchError) as refusal:
            await content(porter, f"{wire.url}/bill.pdf")
        assert not isinstance(refusal.value, Crowded)
        assert await content(porter, OURS) == b"JPEGEG.."


async def test_what_cannot_be_had_makes_room(porter: Porter, wire: Wire) -> None:
    wire.when("GET", "/gone", 404)
    for _ in range(AT_ONCE + 1):
        with pytest.raises(FetchError, match="404"):
            await content(porter, f"{wire.url}/gone")


async def test_without_an_end_to_its_patience_everybody_gets_a_turn() -> None:
    porter, at_once, most = Porter(behind), 0, 0
    may_end = asyncio.Event()

    async def hold() -> None:
        nonlocal at_once, most
        async with porter.open(OURS, 100):
            at_once += 1
            most = max(most, at_once)
            await may_end.wait()
            at_once -= 1

    holding = asyncio.gather(*(hold() for _ in range(5 * AT_ONCE)))
    await until(lambda: at_once == AT_ONCE)
    may_end.set()
    await holding
    assert most == AT_ONCE
    await porter.close()


async def test_who_stops_waiting_takes_no_place(wire: Wire) -> None:
    porter = Porter(behind)
    async with AsyncExitStack() as opened:
        await all_places_taken(porter, OURS, opened)
        waiting = asyncio.create_task(content(porter, OURS))
        await until(lambda: porter._ours._waiters)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with AsyncExitStack() as opened:
        await asyncio.wait_for(all_places_taken(porter, OURS, opened), PATIENCE)
    await porter.close()
