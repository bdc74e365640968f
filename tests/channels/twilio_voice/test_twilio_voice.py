"""Twilio Voice: a call is not handed over, and the caller is told so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from rasa.core.agent import Agent
from rasa.core.channels.twilio_voice import TwilioVoiceInput

from rasa_handoff.channels import traits_of
from rasa_handoff.model import EndReason, Request
from tests.channels.line import Line

CALLER = "+15550003"


@pytest_asyncio.fixture
async def line(tmp_path: Path, rasa_agent: Agent) -> AsyncIterator[Line]:
    line = Line(tmp_path, TwilioVoiceInput.from_credentials({}), rasa_agent)
    await line.up()
    yield line
    await line.down()


async def test_a_call_stays_with_the_bot_at_any_hour(line: Line) -> None:
    """With messages to an agent the caller would hear nothing, and Twilio would hang up."""
    handoff = await line.runtime.opening.request(Request(sender_id=CALLER, channel="twilio_voice"))
    assert handoff.end_reason is EndReason.UNAVAILABLE
    assert "next_opening" not in handoff.notes
    assert line.agents.opened == []
    words = {"From": CALLER, "CallStatus": "in-progress", "SpeechResult": "/ask_hours"}
    status, answer = await line.hook(data=words)
    assert status == 200
    assert "Monday to Friday" in answer


def test_people_are_told_what_to_do_instead() -> None:
    traits = traits_of(TwilioVoiceInput)
    assert traits.push.startswith("no: a call cannot be handed over")
    assert any("action_handoff_callback" in each for each in traits.needs)
