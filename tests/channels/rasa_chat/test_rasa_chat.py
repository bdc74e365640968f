"""The channel of Rasa Enterprise: Rasa's own, with a key server in its place, and what arrives at both ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from rasa.core.agent import Agent
from rasa.core.channels.rasa_chat import RasaChatInput

from rasa_handoff.model import Json
from rasa_handoff.testing.payloads import Payloads
from rasa_handoff.testing.wire import Wire
from tests.channels.line import Line

PAYLOADS = Payloads(__file__)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
BOB = {"username": "bob", "scopes": []}
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest_asyncio.fixture
async def line(tmp_path: Path, rasa_agent: Agent) -> AsyncIterator[Line]:
    with Wire() as wire:
        wire.when("GET", "/api/version", body={"keys": [{"key": PUBLIC.decode(), "alg": "RS256"}]})
        line = Line(tmp_path, RasaChatInput(f"{wire.url}/api"), rasa_agent)
        await line.up()
        yield line
        await line.down()


async def say(line: Line, payload: str, claims: Json | None = None) -> tuple[int, Any]:
    """What the chat posts, for whom the token says."""
    token = jwt.encode(claims or PAYLOADS["user"], KEY, "RS256")
    status, answer = await line.hook(PAYLOADS[payload], headers={"Authorization": f"Bearer {token}"})
    return status, json.loads(answer) if status == 200 else answer


async def test_what_a_signed_in_user_says_reaches_the_agent(line: Line) -> None:
    await line.hand_over("cleo")
    for name in ("message", "attachments", "attachments"):
        assert (await say(line, name))[0] == 200
    first, second = await line.heard(2)
    assert (first.text, second.text) == ("Hi there!", "Look")
    assert [each.url for each in second.attachments] == ["https://files.example.com/bike.jpg"]
    assert await line.bot_heard("cleo") == []


async def test_an_edited_message_is_marked(line: Line) -> None:
    await line.hand_over("cleo")
    for name in ("typo", "edited", "edited", "message"):
        await say(line, name)
    assert [each.text for each in await line.heard(3)] == ["At nin", "✎ At nine", "Hi there!"]


async def test_who_may_write_for_a_user_is_that_user(line: Line) -> None:
    """A developer of the bot, say, who tries things out."""
    await line.hand_over("cleo")
    assert (await say(line, "conversation", PAYLOADS["developer"]))[0] == 200
    assert [each.text for each in await line.heard()] == ["Hi there!"]


async def test_what_the_agent_says_comes_with_the_users_next_request(line: Line) -> None:
    handoff = await line.hand_over("cleo")
    await line.reply(handoff, "Hi Cleo")
    assert "Hi Cleo" not in json.dumps((await say(line, "message", BOB))[1])
    _, answer = await say(line, "message")
    assert "Hi Cleo" in [each.get("text") for each in answer]


async def test_another_users_conversation_stays_closed(line: Line) -> None:
    handoff = await line.hand_over("cleo")
    await line.reply(handoff, "Hi Cleo")
    status, _ = await say(line, "conversation", BOB)
    assert status == 401
    assert line.agents.got == []
