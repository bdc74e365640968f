"""Files of users: ours from this very server, others from public addresses only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from rasa_handoff.backends.user_files import UserFiles
from rasa_handoff.errors import FetchError
from rasa_handoff.media import Media, MediaFile
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
