"""The whole way on a real Rasa server, for the channels of people at work: asked for, answered, and over."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote_plus

import pytest

from tests.channels import posts
from tests.internet import Internet
from tests.servers import Agent, Bot, running, until


class Office:
    """A server with the channels, the services behind them, and an agent at the desk."""

    def __init__(self, folder: Path) -> None:
        self.internet = Internet(folder)
        self.internet.up()
        posts.services(self.internet)
        self.bot = Bot(folder, **{name: posts.CREDENTIALS[name] for name in SAY})
        self.bot.rasa.env = self.internet.environment
        self.agent: Agent

    def say(self, channel: str, text: str) -> None:
        """The user writes."""
        answer = SAY[channel](self, text).to(self.bot.url, channel)
        assert answer.status_code < 300, answer.text

    def arrived(self, words: str) -> bool:
        """Whether *words* have reached a user."""
        bodies = (each.body.decode() for each in self.internet.taken("POST"))
        return any(words in unquote_plus(body) for body in bodies)


def webex(office: Office, text: str) -> posts.Post:
    """A webhook has no text; Rasa's channel asks for it."""
    name = uuid.uuid4().hex
    message = {"id": name, "roomId": "w1", "personId": "ann", "text": text}
    office.internet.when("GET", f"/v1/messages/{name}", body=message)
    return posts.Post(why=text, body={"resource": "messages", "event": "created", "data": {"id": name, "roomId": "w1"}})


def slack(office: Office, text: str) -> posts.Post:
    return posts.slack_event(text, text=text, ts=f"1.{uuid.uuid4().int % 10**6}", thread_ts="1.1")


SAY: dict[str, Callable[[Office, str], posts.Post]] = {
    "botframework": lambda office, text: posts.activity(text, text=text, id=uuid.uuid4().hex),
    "mattermost": lambda office, text: posts.mattermost(
        text, text=f"@bot {text}", trigger_word="@bot", post_id=uuid.uuid4().hex
    ),
    "rocketchat": lambda office, text: posts.rocket(text, text=text, message_id=uuid.uuid4().hex),
    "slack": slack,
    "webexteams": webex,
}
NAMES = {  # of the conversations, as Rasa's channels make them
    "botframework": "29:ann",
    "mattermost": "u1",
    "rocketchat": "r1",
    "slack": "U1",
    "webexteams": "w1",
}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    office = Office(tmp_path_factory.mktemp("office"))
    try:
        with running(office.bot):
            office.agent = Agent(office.bot)
            office.agent.come()
            yield office
            office.agent.go()
    finally:
        office.internet.close()


@pytest.mark.parametrize("channel", SAY)
def test_from_the_bot_to_an_agent_and_back(office: Office, channel: str) -> None:
    user, agent = NAMES[channel], office.agent
    office.say(channel, "/handoff_request")
    chat = agent.accept(user)
    office.say(channel, f"a word from {channel}")
    until(lambda: f"a word from {channel}" in agent.heard(chat), what="the user's message")
    agent.reply(chat, f"an answer for {channel}")
    until(lambda: office.arrived(f"an answer for {channel}"), what="the agent's answer")
    agent.close(chat)
    until(lambda: office.bot.handoff(user)["status"] == "closed", what="the end")  # type: ignore[index]
    office.internet.asked.clear()
    office.say(channel, "/ask_hours")
    until(lambda: office.arrived("Monday to Friday"), what="the bot's answer")
    said = json.dumps([message["text"] for message in agent.ask("GET", f"/chats/{chat}")["messages"]])
    assert "/ask_hours" not in said


def test_the_answer_on_slack_is_in_the_users_thread_under_the_agents_name(office: Office) -> None:
    """What the service sees of it, as the test before has left it."""
    agent = office.agent
    office.say("slack", "/handoff_request")
    chat = agent.accept("U1")
    agent.reply(chat, "In your thread")
    until(lambda: office.arrived("In your thread"), what="the answer")
    body = next(
        each.body.decode() for each in office.internet.asked if "In your thread" in unquote_plus(each.body.decode())
    )
    said = json.loads(body)
    assert (said["channel"], said["thread_ts"]) == ("D1", "1.1")
    assert said["username"]
    agent.close(chat)
