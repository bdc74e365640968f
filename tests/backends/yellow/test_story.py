"""The whole way: a real Rasa server, and a custom live agent written for the Yellow platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from rasa_handoff.model import Json
from rasa_handoff.testing import Asked, Wire
from tests.backends.waiting import all_went_out
from tests.servers import Bot, Sink, running, until

TOKEN = "token-that-the-bot-presents"
WEBHOOK_TOKEN = "token-that-the-agents-present"
TICKET = 25633

pytestmark = [pytest.mark.processes, pytest.mark.slow]


class LiveAgent:
    """Software of an agent desk. Of ours it knows the base URL and the key, nothing else."""

    def __init__(self, wire: Wire, base_url: str) -> None:
        self._wire = wire
        self._url = f"{base_url}/integrations/genericIntegration/custom-live-agent"
        self.sender = ""
        wire.when("POST", "/*", body={"status": "success", "data": {"ticketId": TICKET}, "message": "ok"})
        wire.respond("POST", "/createTicket/spoke", self._create)

    def _create(self, asked: Asked) -> tuple[int, Json]:
        assert asked.headers["authorization"] == f"Bearer {TOKEN}"
        self.sender = asked.json["body"]["user"]["senderId"]
        data = {"ticketId": TICKET, "isAgentAvailable": False, "isQueued": True}
        return 200, {"status": "success", "data": data, "message": "queued"}

    def got(self, action: str) -> list[Json]:
        """The bodies that arrived at one of its addresses."""
        return [asked.json["body"] for asked in self._wire.taken("POST", f"/{action}/spoke")]

    def texts(self) -> list[str]:
        return [body["ticket"]["message"] for body in self.got("sendMessage")]

    def tell(self, event: str, **more: Any) -> requests.Response:
        body = {"ticketId": TICKET, "senderId": self.sender, "source": "web", "event": event, **more}
        agent = {"agentName": "Ines", "agentId": "a17", "department": "Repairs", "ticketAssignedTime": 3545454}
        headers = {"x-auth-token": WEBHOOK_TOKEN}
        return requests.post(self._url, json={**body, **agent}, headers=headers, timeout=30)

    def write(self, text: str) -> requests.Response:
        message = {"type": "text", "payLoad": {"content": text}}
        return self.tell("payload-received-from-agent", message=message)


@pytest.fixture
def bot(tmp_path: Path, wire: Wire, sink: Sink) -> Iterator[Bot]:
    yellow = {
        "url": wire.url,
        "company": "spoke",
        "token": TOKEN,
        "webhook_token": WEBHOOK_TOKEN,
        "user": {"name": "slot:callback_name"},
    }
    section = {"public_url": "https://bot.example.com", "backends": {"yellow": yellow}}
    with running(Bot(tmp_path, section=section, callback={"url": sink.url})) as bot:
        yield bot


def test_a_user_talks_to_an_agent_and_comes_back_to_the_bot(bot: Bot, wire: Wire, sink: Sink) -> None:
    agent = LiveAgent(wire, f"{bot.url}/webhooks/handoff/yellow")
    bot.say("what are your opening hours?", "ann", channel="callback")
    bot.learn("ann", callback_name="Ann")
    bot.say("I want to talk to an agent", "ann", channel="callback")
    (created,) = until(lambda: agent.got("createTicket"), what="the ticket")
    assert created["user"] == {"senderId": "ann", "userName": "Ann", "userMobile": "", "userEmail": ""}
    assert created["ticket"]["customFields"]["callback_name"] == "Ann"
    assert created["ticket"]["conversationHistoryJSON"][0]["text"] == "what are your opening hours?"
    until(lambda: any("getting a person" in text for text in sink.texts("ann")), what="the bot's word")
    assert slots(bot)["handoff_ticket"] == str(TICKET)

    # Whoever has the link can read what was said before.
    link = created["ticket"]["conversationHistory"].replace("https://bot.example.com", bot.url)
    page = requests.get(link, timeout=30)
    assert page.headers["content-type"].startswith("text/html")
    assert "what are your opening hours?" in page.text
    known = requests.get(link, headers={"Accept": "application/json"}, timeout=30).json()
    assert known["transcript"] == created["ticket"]["conversationHistoryJSON"]

    bot.say("it is about order 4711", "ann", channel="callback")
    until(lambda: agent.texts() == ["it is about order 4711"], what="what was said in the queue")
    assert agent.tell("queue-position", queuePosition=2).status_code == 200
    until(lambda: any("number 2" in text for text in sink.texts("ann")), what="the place in the queue")
    until(lambda: slots(bot)["handoff_queue_position"] == 2, what="the place as a slot")
    assert agent.tell("ticket-assigned").json()["status"] == "success"
    until(lambda: "Ines is here now." in sink.texts("ann"), what="who it is")
    until(lambda: slots(bot)["handoff_department"] == "Repairs", what="the department as a slot")
    assert agent.write("Hello, I am looking at it.").json()["status"] == "success"
    until(lambda: "Hello, I am looking at it." in sink.texts("ann"), what="the agent's words")

    # The agents' software is down, and comes back; what it gets again has the same id.
    all_went_out(bot)
    wire.down()
    bot.say("/restart", "ann", channel="callback")
    bot.say("are you there?", "ann", channel="callback")
    wire.hang_up(path="/sendMessage/*")
    wire.up()
    until(lambda: agent.texts()[-1:] == ["are you there?"], what="what was said meanwhile")
    by_id = {body["ticket"]["messageId"]: body["ticket"]["message"] for body in agent.got("sendMessage")}
    assert list(by_id.values()) == ["it is about order 4711", "/restart", "are you there?"]

    assert agent.tell("ticket-closed", ticketResolvedTime=4545454).json()["status"] == "success"
    until(lambda: any("This is the bot again" in text for text in sink.texts("ann")), what="the bot")
    late = agent.write("One more thing")
    assert (late.status_code, late.json()["status"]) == (409, "failure")
    bot.say("what are your opening hours?", "ann", channel="callback")
    until(lambda: "9:00" in sink.texts("ann")[-1], what="the bot's answer")
    assert slots(bot)["handoff_end_reason"] == "agent_closed"
    log = bot.rasa.said()
    for secret in (TOKEN, WEBHOOK_TOKEN, link.rpartition("/")[2], "order 4711"):
        assert secret not in log


def slots(bot: Bot) -> Json:
    found: Json = bot.tracker("ann")["slots"]
    return found
