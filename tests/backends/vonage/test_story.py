"""The whole way with the agents of an AI Studio integration: a real Rasa server, and a server in the agents' place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from rasa_handoff.model import Json
from rasa_handoff.testing import Wire
from tests.servers import Bot, running, until

KEY = "vgai-0123456789abcdef"
USER = "447700900000"
PICTURE = {"url": "https://media.example.com/42.jpg", "kind": "image", "name": "42.jpg"}

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture
def bot(tmp_path: Path, wire: Wire) -> Iterator[Bot]:
    vonage = {
        "vgai_key": KEY,
        "start_connection": {"url": f"{wire.url}/start"},
        "inbound_transfer": {"url": f"{wire.url}/inbound"},
        "status_delivery": {"url": f"{wire.url}/status"},
        "system_parameters": {"PROFILE_NAME": "metadata:name", "AGENT_ID": "text:bike-shop"},
    }
    with running(Bot(tmp_path, section={"backends": {"vonage": vonage}})) as bot:
        yield bot


def studio(bot: Bot, what: str, session: str, body: Json) -> requests.Response:
    """The integration calls the studio: its own path and header, another base URL and key."""
    url = f"{bot.url}/webhooks/handoff/vonage/live-agent/{what}/{session}"
    return requests.post(url, json=body, headers={"X-Vgai-Key": KEY}, timeout=30)


def test_a_user_talks_to_an_agent_and_the_bot_comes_back(bot: Bot, wire: Wire) -> None:
    bot.say("hello", USER, metadata={"name": "Ann"})
    bot.say("I want to talk to a person", USER, metadata={"name": "Ann"})
    started = wire.taken("POST", "/start")[0].json
    session = started["sessionId"]
    found = {each["name"]: each["value"] for each in started["history"]["parameters"]}
    assert (found["SESSION_ID"], found["AGENT_ID"], found["PROFILE_NAME"]) == (session, "bike-shop", "Ann")
    assert found["SENDER_PHONE_NUMBER"] == USER
    spoken = started["history"]["transcription"]
    assert {"user": "hello"} in spoken
    assert {"user": "I want to talk to a person"} in spoken
    assert any("agent" in line for line in spoken)

    answer = studio(bot, "outbound", session, {"message_type": "text", "text": "Bo here. What is it?"})
    assert answer.status_code == 200
    until(lambda: handoff(bot)["status"] == "active", what="the agent's coming")
    # The rest channel cannot be called: what the agent says is handed over with the next request.
    until(lambda: states(wire) == ["submitted", "delivered"], what="the statuses")
    heard = bot.say("My bike is broken", USER)
    assert "Bo here. What is it?" in [each.get("text") for each in heard]
    assert {asked.json["message_uuid"] for asked in wire.taken("POST", "/status")} == {answer.json()["message_uuid"]}
    bot.say("", USER, metadata={"attachments": [PICTURE]})
    until(lambda: len(wire.taken("POST", "/inbound")) == 2, what="what the user said")
    text, media = [asked.json for asked in wire.taken("POST", "/inbound")]
    assert text == {"sessionId": session, "text": "My bike is broken", "type": "text"}
    assert media == {"sessionId": session, "type": "image", "image": {"url": PICTURE["url"], "name": "42.jpg"}}

    assert studio(bot, "disconnect", session, {}).status_code == 200
    assert handoff(bot)["end_reason"] == "agent_closed"
    until(lambda: any(each.get("text") for each in bot.say("hello", USER)), what="the bot")
    assert studio(bot, "outbound", session, {"text": "one more thing"}).status_code == 404
    assert len(wire.taken("POST", "/inbound")) == 2


def handoff(bot: Bot) -> Any:
    found = bot.handoff(USER)
    assert found is not None
    return found


def states(wire: Wire) -> list[str]:
    return [asked.json["status"] for asked in wire.taken("POST", "/status")]
