"""Rasa's own channels do with the plugin what they do without it.

Two real servers, one with the plugin and one without, get the same requests through every channel of Rasa's; what
they answer, and what arrives at the services behind the channels, must be the same.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
import requests
import yaml

from rasa_handoff.testing.waiting import until
from rasa_handoff.testing.wire import Asked
from tests.channels.posts import (
    CREDENTIALS,
    Post,
    activity,
    facebook,
    form,
    from_enterprise,
    from_slack,
    google,
    mattermost,
    rocket,
    services,
    slack_action,
    slack_event,
    telegram,
    webex,
)
from tests.channels.socketio.page import Page
from tests.internet import Internet
from tests.servers import PATIENCE, Bot

CHANGED = {"user": "U1", "text": "/greet", "ts": "1.1", "edited": {"user": "U1", "ts": "1.2"}}
PHOTO = [{"file_id": "f1", "file_unique_id": "u1", "width": 1, "height": 1}]
PICTURE = {"type": "image", "payload": {"url": "https://cdn.example/cat.png"}}
POSTS: dict[str, list[Post]] = {
    "botframework": [
        activity("a text", text="/greet"),
        activity("a picture", attachments=[{"contentType": "image/png", "contentUrl": "https://cdn.example/a.png"}]),
        activity("somebody joined", type="conversationUpdate"),
        Post(why="no token", body={"type": "message"}),
        activity("an edited message", type="messageUpdate", text="/greet"),
    ],
    "callback": [
        Post(why="a text", body={"sender": "ann", "message": "/ask_hours"}),
        Post(why="no message", body={"sender": "ann"}),
        Post(why="no JSON", body="{"),
    ],
    "facebook": [
        facebook("a text", message={"mid": "m1", "text": "/greet"}),
        facebook("a picture", message={"mid": "m2", "attachments": [PICTURE]}),
        facebook("two pictures and a text", message={"mid": "m3", "text": "look", "attachments": [PICTURE] * 2}),
        facebook("a button", postback={"title": "Opening hours", "payload": "/ask_hours"}),
        facebook("a quick reply", message={"mid": "m4", "text": "Hours", "quick_reply": {"payload": "/ask_hours"}}),
        facebook("an echo of the page's own", message={"mid": "m5", "is_echo": True, "text": "/greet"}),
        facebook("an edited message", message_edit={"mid": "m1", "text": "/greet", "num_edit": 1}),
        facebook("read", read={"watermark": 1}),
        Post(why="a wrong signature", body={"entry": []}, headers={"X-Hub-Signature": "sha1=00"}),
    ],
    "hangouts": [
        google("a text", type="MESSAGE", message={"text": "/greet", "sender": {"displayName": "Ann"}}),
        google("a file alone", type="MESSAGE", message={"sender": {"displayName": "Ann"}, "attachment": [{}]}),
        google("a button", type="CARD_CLICKED", action={"actionMethodName": "/ask_hours"}),
        Post(why="no token", body={"type": "MESSAGE"}),
    ],
    "mattermost": [
        mattermost("a text", text="@bot /greet", trigger_word="@bot"),
        mattermost("a file", text="", trigger_word="", file_ids="f1,f2"),
        mattermost("a button", context={"action": "/ask_hours"}),
        mattermost("neither", text="hello"),
        Post(why="an empty body", body=""),
    ],
    "rasa": [
        Post(why="a text", body={"message": "/greet"}, sign=from_enterprise),
        Post(why="another's conversation", body={"message": "/greet", "conversation_id": "bo"}, sign=from_enterprise),
        Post(why="no token", body={"message": "/greet"}),
    ],
    "rest": [
        Post(why="a text", body={"sender": "ann", "message": "/greet", "metadata": {"page": "/"}}),
        Post(why="in parts", body={"sender": "ann", "message": "/ask_hours"}, path="webhook?stream=true"),
        Post(why="no message", body={"sender": "ann"}),
        Post(why="no JSON", body="{"),
    ],
    "rocketchat": [
        rocket("a text", text="/greet"),
        rocket("a file", text="", message={"file": {"_id": "f1", "name": "a.png", "type": "image/png"}}),
        rocket("an edited message", text="/ask_hours", isEdited=True),
        rocket("the bot's own", text="/greet", user_name="bot"),
        Post(why="from a live chat", body={"_id": "l1", "visitor": {}, "messages": [{"msg": "/greet"}, {"msg": "x"}]}),
        Post(why="a live chat without messages", body={"_id": "l1", "visitor": {}}),
    ],
    "slack": [
        slack_event("a direct message", text="/greet"),
        slack_event("in a thread", text="/ask_hours", thread_ts="0.9"),
        slack_event("a mention", type="app_mention", text="<@U0> /ask_hours", channel="C1", channel_type="channel"),
        slack_event(
            "a file", text="", subtype="file_share", files=[{"id": "F1", "url_private": "https://slack.com/f"}]
        ),
        slack_event("a file and a text", text="/ask_hours", subtype="file_share", files=[{"id": "F1"}]),
        slack_event("in a channel, to others", text="lunch?", channel="C1", channel_type="channel"),
        slack_event("an edited message", subtype="message_changed", message=CHANGED),
        slack_event("a bot's", text="/greet", bot_id="B1"),
        slack_action("a button", value="/ask_hours", text={"type": "plain_text", "text": "Hours"}),
        slack_action("a link button"),
        slack_action("something else", type="checkboxes"),
        Post(why="a challenge", body={"type": "url_verification", "challenge": "c"}, sign=from_slack),
        Post(why="a wrong signature", body={"type": "event_callback"}),
    ],
    "telegram": [
        telegram("a text", text="/greet"),
        telegram("a photo", photo=PHOTO, caption="look"),
        telegram("a place", location={"longitude": 1.5, "latitude": 2.5}),
        Post(
            why="a button",
            body={
                "update_id": 2,
                "callback_query": {
                    "id": "q1",
                    "from": {"id": 55, "is_bot": False, "first_name": "Ann"},
                    "chat_instance": "i",
                    "data": "/ask_hours",
                    "message": {"message_id": 9, "date": 1, "chat": {"id": 55, "type": "private"}},
                },
            },
        ),
        Post(
            why="an edited message",
            body={
                "update_id": 3,
                "edited_message": {
                    "message_id": 9,
                    "date": 1,
                    "edit_date": 2,
                    "chat": {"id": 55, "type": "private"},
                    "text": "/ask_hours",
                },
            },
        ),
        Post(why="neither", body={"update_id": 4}),
    ],
    "twilio": [
        form("a text", From="+15550002", Body="/greet", MessageSid="SM1", NumMedia="0"),
        form("a picture", From="+15550002", Body="", NumMedia="1", MediaUrl0="https://api.twilio.com/m/1"),
        form("a place", From="whatsapp:+1", Body="", Latitude="1.5", Longitude="2.5"),
        form("no text at all", From="+15550002", NumMedia="1", MediaUrl0="https://api.twilio.com/m/1"),
        form("nobody", Body="/greet"),
    ],
    "twilio_voice": [
        form("it rings", From="+15550003", CallStatus="ringing"),
        form("a sentence", From="+15550003", CallStatus="in-progress", SpeechResult="/ask_hours"),
        form("silence", From="+15550003", CallStatus="in-progress"),
    ],
    "webexteams": [
        webex("a text", "greeting"),
        webex("a file", "file"),
        webex("the bot's own", "own"),
        webex("one that is gone", "gone"),
    ],
}


# Rasa's own class for Telegram answers every webhook with the same error, with the plugin or without: Rasa 3.6.21 wants
# an aiohttp with which pip finds no newer aiogram than 2.15, and there its connection belongs to a loop that is over. So
# both servers have the class that differs from it in when the webhook is set, and in nothing else: what is compared is
# how Rasa's code hears and answers with the plugin, and without.
WORKING = {
    "rasa_handoff.channels.telegram.TelegramInput" if name == "telegram" else name: settings
    for name, settings in CREDENTIALS.items()
}


#: Where Rasa's channel answers before the bot has heard of it (rasa/core/channels/slack.py), and who the user is then.
ANSWERS_FIRST = {"slack": "U1"}


# -- the two servers --------------------------------------------------------------------------


class Side:
    """A Rasa server and the services behind it."""

    def __init__(self, folder: Path, *, plugin: bool) -> None:
        folder.mkdir()
        self.internet = Internet(folder)
        self.internet.up()
        services(self.internet)
        self.bot = Bot(folder, **WORKING)
        self.bot.rasa.env = self.internet.environment
        self.bot.rasa.alive = f"{self.bot.url}/webhooks/rest/"
        self._seen = 0
        if not plugin:
            without_plugin(folder / "credentials.yml")

    def start(self) -> None:
        self.bot.rasa.start()
        self.news()

    def stop(self) -> None:
        self.bot.rasa.stop()
        self.internet.close()

    def settle(self, sender: str) -> None:
        """Wait until the bot has done with all that this user has said: it changes a conversation behind that."""
        self.bot.learn(sender, callback_name="Ann")

    def news(self) -> list[Asked]:
        """What its services were asked since the last look, but for what is of no note."""
        asked = list(self.internet.asked)
        news, self._seen = asked[self._seen :], len(asked)
        return [each for each in news if is_of_note(each)]


@dataclass
class Transcript:
    """What came of each request."""

    answers: dict[str, Any] = field(default_factory=dict)
    arrived: dict[str, list[Any]] = field(default_factory=dict)


def drive(sides: tuple[Side, Side], channel: str) -> tuple[Transcript, Transcript]:
    """Post all there is for *channel* to both, one after the other."""
    found = Transcript(), Transcript()
    with ThreadPoolExecutor() as pool:
        for post in POSTS[channel]:
            answers = list(pool.map(lambda side, post=post: post.to(side.bot.url, channel), sides))
            if channel in ANSWERS_FIRST:
                list(pool.map(lambda side: side.settle(ANSWERS_FIRST[channel]), sides))
            for side, answer, transcript in zip(sides, answers, found, strict=True):
                transcript.answers[post.why] = described(answer)
                transcript.arrived[post.why] = [arrival(each) for each in side.news()]
    return found


def without_plugin(credentials: Path) -> None:
    channels = yaml.safe_load(credentials.read_text())
    del channels["rasa_handoff.HandoffInput"]
    credentials.write_text(yaml.safe_dump(channels))


def described(answer: requests.Response) -> tuple[int, dict[str, str], str]:
    headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() != "date"}
    return answer.status_code, headers, answer.text


def is_of_note(asked: Asked) -> bool:
    """All but requests for public keys, which are kept as long as Google's answers say; these here do not say."""
    return not asked.path.startswith("/service_accounts/")


def arrival(asked: Asked) -> tuple[Any, ...]:
    """A request as a service sees it, but for what is new each time."""
    kept = ("host", "authorization", "content-type", "x-auth-token")
    headers = {name: boundless(asked.headers[name]) for name in kept if name in asked.headers}
    return asked.method, asked.path, dict(asked.query), headers, boundless(asked.body.decode())


def boundless(text: str) -> str:
    return re.sub(r"(boundary=|--)[0-9a-f]{32}", r"\1…", text)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    folder = tmp_path_factory.mktemp("sides")
    both = Side(folder / "without", plugin=False), Side(folder / "with", plugin=True)
    with ThreadPoolExecutor() as pool:
        try:
            list(pool.map(Side.start, both))
            yield both
        finally:
            list(pool.map(Side.stop, both))


SPEAK = set(POSTS) - {"hangouts", "rasa", "rest", "twilio_voice"}  #: where the bot's words arrive at a service


@pytest.mark.parametrize("channel", POSTS)
def test_a_channel_answers_and_sends_the_same(sides: tuple[Side, Side], channel: str) -> None:
    """Status, headers and body of every answer, and every request to the service behind the channel."""
    without, with_plugin = drive(sides, channel)
    assert with_plugin.answers == without.answers
    assert with_plugin.arrived == without.arrived
    if channel in SPEAK:  # or the comparison would compare nothing
        said = unquote_plus(json.dumps(without.arrived))
        assert "bike workshop" in said or "Monday" in said


def test_a_socket_hears_the_same(sides: tuple[Side, Side]) -> None:
    without, with_plugin = (asyncio.run(socket_heard(side)) for side in sides)
    assert without[0] == ("session_confirm", "ann")
    assert len([event for event, _ in without if event == "bot_uttered"]) > 1
    assert with_plugin == without


async def socket_heard(side: Side) -> list[tuple[str, Any]]:
    """All that a browser hears that asks for its session, says a word and presses a button."""
    page = Page(side.bot.url)
    await page.come("ann")
    try:
        for text in ("/greet", "/ask_hours"):
            before = len(page.said())
            await page.type(text)
            await until(lambda before=before: len(page.said()) > before, PATIENCE)  # type: ignore[misc]
            await asyncio.to_thread(side.settle, "ann")
            await page.caught_up()
    finally:
        await page.go()
    return page.heard
