"""Rasa's callback channel: what its users post, and what the bot owner's own server is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from rasa.core.agent import Agent
from rasa.core.channels.callback import CallbackInput
from rasa.utils.endpoints import EndpointConfig

from rasa_handoff.model import Attachment
from rasa_handoff.testing.payloads import Payloads
from tests.channels.line import Line
from tests.servers import Sink

PAYLOADS = Payloads(__file__)
USER = "test_user"
PICTURE = Attachment(url="https://files.example.com/bike.jpg", kind="image", name="bike.jpg", mime="image/jpeg")


@pytest.fixture
def sink() -> Iterator[Sink]:
    """The bot owner's server."""
    sink = Sink()
    yield sink
    sink.stop()


@pytest_asyncio.fixture
async def line(tmp_path: Path, rasa_agent: Agent, sink: Sink) -> AsyncIterator[Line]:
    line = Line(tmp_path, CallbackInput(EndpointConfig(url=sink.url)), rasa_agent)
    await line.up()
    yield line
    await line.down()


async def test_what_users_post_reaches_the_agent(line: Line) -> None:
    """Also what Rasa's channel leaves out of its messages."""
    await line.hand_over(USER)
    for name in ("message", "attachments", "attachments"):
        assert await line.hook(PAYLOADS[name]) == (200, "success")
    said = await line.heard(2)
    assert [(each.text, each.attachments) for each in said] == [("Hi there!", ()), ("Look", (PICTURE,))]
    assert await line.bot_heard(USER) == []


async def test_an_edited_message_is_marked(line: Line) -> None:
    await line.hand_over(USER)
    for name in ("typo", "edited", "edited"):
        await line.hook(PAYLOADS[name])
    await line.hook(PAYLOADS["message"])
    assert [each.text for each in await line.heard(3)] == ["At nin", "✎ At nine", "Hi there!"]


async def test_what_the_agent_says_is_a_request_to_the_owners_server(line: Line, sink: Sink) -> None:
    handoff = await line.hand_over(USER)
    await line.reply(handoff, "Hi, this is Bo")
    assert "Hi, this is Bo" in sink.texts(USER)


async def test_without_a_handoff_rasa_does_what_it_does(line: Line, sink: Sink) -> None:
    for name in ("message", "attachments", "edited"):
        assert await line.hook(PAYLOADS[name]) == (200, "success")
    assert await line.bot_heard(USER) == ["Hi there!", "Look", "At nine"]
    await line.until(lambda: sink.texts(USER))
    assert line.agents.got == []
