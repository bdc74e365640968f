"""A handoff that is being opened when the database goes away stays nobody's secret: it ends, here and there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rasa_handoff.backends.base import Opened
from rasa_handoff.errors import StoreError, Unavailable
from rasa_handoff.model import EndReason, Handoff, Status
from rasa_handoff.store import handoffs
from tests.stage import Stage, Time
from tests.test_store import hang_up, nobody_let_in


@pytest.fixture
async def stage(new_database: str, tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(new_database, tmp_path, Time())
    await stage.up()
    yield stage
    await stage.down()


@pytest.mark.parametrize("takes_it", [True, False])
async def test_when_its_answer_cannot_be_written_down_it_ends_here_and_at_the_agent_system(
    stage: Stage, new_database: str, takes_it: bool
) -> None:
    answering, gone = asyncio.Event(), asyncio.Event()

    async def answer(handoff: Handoff) -> Opened | Exception:
        answering.set()
        await gone.wait()
        return Opened(chat_id=handoff.id) if takes_it else Unavailable("desk", "open a chat")

    stage.agents.answer = answer
    asking = asyncio.create_task(stage.request())
    await answering.wait()
    with nobody_let_in(new_database):
        hang_up(new_database)
        gone.set()
        with pytest.raises(StoreError):
            await asking
    [(asked, _)] = stage.agents.opened

    async def over() -> Handoff | None:
        found = await stage.runtime.store.read(lambda tx: handoffs.get(tx, asked.id))
        return found if found is not None and found.status is Status.CLOSED else None

    assert (await stage.until(over)).end_reason is EndReason.FAILED
    if takes_it:
        await stage.until(lambda: stage.agents.closed == [EndReason.FAILED])
    else:
        assert stage.agents.closed == []
    stage.agents.answer = lambda handoff: Opened(chat_id=handoff.id)
    assert (await stage.request()).status is Status.QUEUED
