"""What the tests of the LivePerson agent stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from rasa_handoff.liveperson_agent import chats, visitors
from rasa_handoff.liveperson_agent.chat import Chat
from tests.liveperson_agent.stage import PATIENCE, Stage, on_stage
from tests.liveperson_agent.vendor import LivePerson


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given up because this machine stood still."""
    monkeypatch.setattr(chats, "FLUSH", PATIENCE)
    monkeypatch.setattr(Chat.said, "__defaults__", (PATIENCE,))
    monkeypatch.setattr(visitors, "_PATIENCE", PATIENCE)


@pytest.fixture
def vendor() -> Iterator[LivePerson]:
    with LivePerson() as vendor:
        yield vendor


@pytest_asyncio.fixture
async def agent(tmp_path: Path, vendor: LivePerson) -> AsyncIterator[Stage]:
    """The bot as an agent of the account, signed in or about to be."""
    async with on_stage(tmp_path, vendor) as stage:
        yield stage
