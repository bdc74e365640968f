"""The whole way: a real Rasa server, and a custom live agent written for the Avaamo platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from rasa_handoff.model import Json
from rasa_handoff.testing import Wire
from tests.backends.waiting import all_went_out
from tests.servers import Bot, Sink, running, until

ACCESS_TOKEN = "access-token-of-the-live-agent"


class LiveAgent:
    """Software of an agent desk. Of ours it knows the base URL and the access token, nothing else."""

    def __init__(self, wire: Wire, base_url: str) -> None:
        self._wire = wire
        self._base_url = f"{base_url}/live_agent/custom"

    def heard(self, kind: str) -> list[Json]:
        """The events of this type that its webhook got."""
        found = [asked.json["event"] for asked in self._wire.taken("POST", "/webhook")]
        return [event for event in found if event["event_type"] == kind]

    def texts(self) -> list[str]:
        return [event["message"]["content"] for event in self.heard("user_message")]

    def waiting(self) -> list[Json]:
        found: list[Json] = self._ask("GET", "conversations/requests.json").json()["requests"]
        return found

    def accept(self, conversation: str) -> None:
        self._ask("PUT", f"conversations/{conversation}/accept_chat.json")

    def write(self, conversation: str, text: str) -> None:
        message = {"conversation": {"uuid": conversation}, "content": text, "content_type": "text"}
        self._ask("POST", "messages.json", {"message": message})

    def end(self, conversation: str) -> None:
        self._ask("DELETE", f"conversations/{conversation}/end_chat.json")

    def _ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        url = f"{self._base_url}/{path}?access_token={ACCESS_TOKEN}"
        answer = requests.request(method, url, json=body, timeout=30)
        assert answer.status_code in (200, 204), f"{method} {path}: {answer.status_code} {answer.text}"
        return answer


@pytest.fixture
def bot(tmp_path: Path, wire: Wire, sink: Sink) -> Iterator[Bot]:
    avaamo = {
        "webhook_url": f"{wire.url}/webhook",
        "access_token": ACCESS_TOKEN,
        "bot": {"name": "Spoke & Chain"},
        "user": {"first_name": "slot:callback_name", "custom_properties": {"talk": "request:transcript"}},
    }
    section = {"backends": {"avaamo": avaamo}}
    with running(Bot(tmp_path, section=section, callback={"url": sink.url})) as bot:
        yield bot


def test_a_user_talks_to_an_agent_and_comes_back_to_the_bot(bot: Bot, wire: Wire, sink: Sink) -> None:
    agent = LiveAgent(wire, f"{bot.url}/webhooks/handoff/avaamo")
    bot.say("what are your opening hours?", "ann", channel="callback")
    bot.learn("ann", callback_name="Ann")
    bot.say("I want to talk to an agent", "ann", channel="callback")
    (request,) = until(lambda: agent.heard("new_chat_request"), what="the request")
    assert request["conversation"]["display_name"] == "Ann,Spoke & Chain"
    assert request["user"]["first_name"] == "Ann"
    assert "user: what are your opening hours?" in request["user"]["custom_properties"]["talk"]
    until(lambda: any("getting a person" in text for text in sink.texts("ann")), what="the bot's word")

    bot.say("it is about order 4711", "ann", channel="callback")
    (waiting,) = agent.waiting()
    conversation = waiting["conversation"]["uuid"]
    agent.accept(conversation)
    until(lambda: agent.heard("chat_request_accepted"), what="the confirmation")
    until(lambda: agent.texts() == ["it is about order 4711"], what="what was said in the queue")
    agent.write(conversation, "Hello, I am looking at it.")
    until(lambda: "Hello, I am looking at it." in sink.texts("ann"), what="the agent's words")

    # The agents' software is down, and comes back.
    all_went_out(bot)
    wire.down()
    bot.say("/restart", "ann", channel="callback")
    bot.say("are you there?", "ann", channel="callback")
    wire.up()
    until(lambda: agent.texts()[1:] == ["/restart", "are you there?"], what="what was said meanwhile")

    agent.end(conversation)
    until(lambda: agent.heard("chat_terminated"), what="the end, told back")
    until(lambda: any("This is the bot again" in text for text in sink.texts("ann")), what="the bot")
    bot.say("what are your opening hours?", "ann", channel="callback")
    until(lambda: "9:00" in sink.texts("ann")[-1], what="the bot's answer")
    assert bot.tracker("ann")["slots"]["handoff_end_reason"] == "agent_closed"
    assert ACCESS_TOKEN not in bot.rasa.said()
