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

from rasa_handoff.testing.wire import Wire
from tests.channels.line import Line

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest_asyncio.fixture
async def line(tmp_path: Path, rasa_agent: Agent) -> AsyncIterator[Line]:
    with Wire() as wire:
        wire.when("GET", "/api/version", body={"keys": [{"key": PUBLIC.decode(), "alg": "RS256"}]})
        line = Line(tmp_path, RasaChatInput(f"{wire.url}/api"), rasa_agent)
        await line.up()
        yield line
        await line.down()


async def say(line: Line, text: str, user: str = "cleo", **more: Any) -> tuple[int, Any]:
    token = jwt.encode({"username": user, "scopes": []}, KEY, "RS256")
    headers = {"Authorization": f"Bearer {token}"}
    status, answer = await line.hook({"message": text, **more}, headers=headers)
    return status, json.loads(answer) if status == 200 else answer


async def test_what_a_signed_in_user_says_reaches_the_agent(line: Line) -> None:
    await line.hand_over("cleo")
    attachment = {"url": "https://a.test/cat.png", "kind": "image"}
    assert (await say(line, "Hello", metadata={"attachments": [attachment]}))[0] == 200
    (message,) = await line.heard()
    assert (message.text, message.attachments[0].url) == ("Hello", "https://a.test/cat.png")
    assert await line.bot_heard("cleo") == []


async def test_what_the_agent_says_comes_with_the_users_next_request(line: Line) -> None:
    handoff = await line.hand_over("cleo")
    await line.reply(handoff, "Hi Cleo")
    assert "Hi Cleo" not in json.dumps((await say(line, "anybody?", user="bob"))[1])
    _, answer = await say(line, "Hello")
    assert "Hi Cleo" in [each.get("text") for each in answer]


async def test_another_users_conversation_stays_closed(line: Line) -> None:
    handoff = await line.hand_over("cleo")
    await line.reply(handoff, "Hi Cleo")
    status, _ = await say(line, "Hello", user="bob", conversation_id="cleo")
    assert status == 401
    assert line.agents.got == []
