"""What the tests of backends with real servers stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import Sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Where a callback channel's owner takes what the bot and the agents say."""
    sink = Sink()
    yield sink
    sink.stop()
