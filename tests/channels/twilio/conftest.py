"""Twilio's place, and Rasa's channel for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from rasa.core.agent import Agent
from rasa.core.channels.twilio import TwilioInput
from twilio.rest import Client

from rasa_handoff.channels import twilio
from rasa_handoff.testing.wire import Wire
from tests.channels.line import Line
from tests.channels.twilio.words import ACCOUNT, MESSAGES, NUMBER, TOKEN


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """In the place of api.twilio.com."""
    real = twilio.API
    with Wire() as wire:
        monkeypatch.setattr(twilio, "API", wire.url)
        monkeypatch.setattr(twilio, "LOOKS", (0.01, 0.01))
        monkeypatch.setattr(Client, "get_hostname", lambda _, uri: uri.replace(real, wire.url, 1))
        wire.when("POST", f"{MESSAGES}.json", 201, {"sid": "SM1", "status": "queued", "error_code": None})
        wire.when("GET", f"{MESSAGES}/SM1.json", 200, {"sid": "SM1", "status": "sent", "error_code": None})
        yield wire


@pytest_asyncio.fixture
async def line(tmp_path: Path, wire: Wire, rasa_agent: Agent) -> AsyncIterator[Line]:
    line = Line(tmp_path, TwilioInput(ACCOUNT, TOKEN, NUMBER), rasa_agent)
    await line.up()
    yield line
    await line.down()
