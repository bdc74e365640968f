"""Rasa's rest channel: what its users post, and what they get for it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from rasa.core.agent import Agent
from rasa.core.channels.rest import RestInput

from rasa_handoff.model import Attachment
from rasa_handoff.testing.payloads import Payloads
from tests.channels.line import Line

PAYLOADS = Payloads(__file__)
USER = "test_user"
PICTURE = Attachment(url="https://files.example.com/bike.jpg", kind="image", name="bike.jpg", mime="image/jpeg")


@pytest_asyncio.fixture
async def line(tmp_path: Path, rasa_agent: Agent) -> AsyncIterator[Line]:
    line = Line(tmp_path, RestInput(), rasa_agent)
    await line.up()
    yield line
    await line.down()


async def test_what_users_post_reaches_the_agent_and_is_answered_with_a_receipt(line: Line) -> None:
    await line.hand_over(USER)
    for name in ("message", "attachments", "attachments"):
        status, answer = await line.hook(PAYLOADS[name])
        assert status == 200
        assert "received" in json.loads(answer)[-1]["custom"]["handoff"]
    said = await line.heard(2)
    assert [(each.text, each.attachments) for each in said] == [("Hi there!", ()), ("Look", (PICTURE,))]
    assert await line.bot_heard(USER) == []


async def test_an_edited_message_is_marked(line: Line) -> None:
    await line.hand_over(USER)
    for name in ("typo", "edited", "edited"):
        await line.hook(PAYLOADS[name])
    await line.hook(PAYLOADS["message"])
    assert [each.text for each in await line.heard(3)] == ["At nin", "✎ At nine", "Hi there!"]


async def test_without_a_handoff_rasa_does_what_it_does(line: Line) -> None:
    for name in ("message", "attachments", "edited"):
        assert (await line.hook(PAYLOADS[name]))[0] == 200
    assert await line.bot_heard(USER) == ["Hi there!", "Look", "At nine"]
    assert line.agents.got == []
