"""Files of users: those that we keep, ours from this very server, others from public addresses only."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from rasa_handoff.backends.user_files import UserFiles
from rasa_handoff.errors import FetchError
from rasa_handoff.fetch import Fetched
from rasa_handoff.files import Files
from rasa_handoff.media import Media, MediaFile
from rasa_handoff.store import Store
from rasa_handoff.store.files import KeptFile
from rasa_handoff.testing import Wire

FILE = MediaFile(channel="telegram", handoff_id="h1", reference={"file": "F1"}, name="mein Rad/2.jpg")


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Our own server, which is at an address that is not public."""
    with Wire() as wire:
        wire.when("GET", "*", body=b"JPEG")
        yield wire


@pytest_asyncio.fixture
async def files(wire: Wire) -> AsyncIterator[UserFiles]:
    files = UserFiles(f"{wire.url}/webhooks/handoff")
    yield files
    await files.close()


async def test_a_link_of_ours_is_opened_wherever_we_are(wire: Wire, files: UserFiles) -> None:
    url = Media(lambda: "secret", wire.url, 3600.0, lambda: 0.0).url(FILE, ours=False)
    assert url is not None
    assert (await files.get(url, 1000)).body == b"JPEG"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/admin",
        "/webhooks/handoff/history/abc",
        "/webhooks/handoff/media/short/x",
        f"/webhooks/handoff/media/{'a' * 50}/../../../../admin",
        f"/webhooks/handoff/media/{'a' * 50}/x?y=1",
        f"/webhooks/handoffs/media/{'a' * 50}/x",
        f"@10.0.0.1/media/{'a' * 50}/x",
    ],
)
async def test_nothing_else_that_is_there_can_be_asked_for(wire: Wire, files: UserFiles, path: str) -> None:
    with pytest.raises(FetchError, match="its address"):
        await files.get(f"{wire.url}{path}", 1000)
    assert wire.asked == []


async def test_what_we_keep_is_had_without_the_network(store: Store, wire: Wire) -> None:
    kept = Files(store, Media(lambda: "secret", wire.url, 3600.0, time.time), 1000, 10_000, time.time)
    file = KeptFile(id="f1", handoff_id="h1", who="user", kind="image", name="Rad.jpg", mime="image/jpeg")

    async def body() -> AsyncIterator[bytes]:
        yield b"JPEG" * 20

    await kept.receive(file, body(), lambda tx: None)
    url = kept.url(file, ours=False)
    assert url is not None
    files = UserFiles(f"{wire.url}/webhooks/handoff", kept=kept)
    assert await files.get(url, 80) == Fetched(body=b"JPEG" * 20, mime="image/jpeg", name="Rad.jpg")
    with pytest.raises(FetchError, match="larger than 79 bytes"):
        await files.get(url, 79)
    assert wire.asked == []
    await files.close()
