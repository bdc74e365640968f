"""The whole way on a real Rasa server: users of Telegram, Twilio and Messenger, and an agent at the desk."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus, urlencode

import pytest
import requests

from rasa_handoff.testing.wire import Asked
from tests.internet import Internet
from tests.servers import Agent, Bot, running, until

ASK = "I want to talk to an agent"
TELEGRAM, FACEBOOK_SECRET = "12345:telegram-secret", "facebook-secret"
MEDIA = "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1"


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A webhook's request."""

    channel: str
    body: str
    headers: dict[str, str]

    def post(self, bot: Bot) -> None:
        url = f"{bot.url}/webhooks/{self.channel}/webhook"
        answer = requests.post(url, data=self.body, headers=self.headers, timeout=60)
        assert answer.status_code < 300, answer.text


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service, as its users meet it."""

    user: str
    text: Callable[[str], Hook]  #: the webhook of a text
    photo: Hook  #: … of a photo that only the bot's credentials open, or that anybody can see
    host: str  #: where its users are reached

    def told(self, internet: Internet) -> str:
        """All that its users were sent."""
        return "\n".join(unquote_plus(each.body.decode()) for each in internet.asked_of(self.host))


JSON = {"Content-Type": "application/json"}
_NUMBERS = itertools.count(1)


def telegram(**message: Any) -> Hook:
    chat = {"id": 1111111, "type": "private", "first_name": "Ann"}
    said = {"message_id": 1, "date": 1441645532, "chat": chat, "from": {"id": 1111111, "is_bot": False}, **message}
    body = json.dumps({"update_id": next(_NUMBERS), "message": said})
    return Hook(channel="telegram", body=body, headers=JSON)


def twilio(**values: str) -> Hook:
    form = urlencode({"From": "+14017122661", "To": "+15550001", **values})
    return Hook(channel="twilio", body=form, headers={"Content-Type": "application/x-www-form-urlencoded"})


def facebook(**message: Any) -> Hook:
    event = {"sender": {"id": "1254459154682919"}, "recipient": {"id": "page"}, "timestamp": 1, "message": message}
    body = json.dumps({"object": "page", "entry": [{"id": "page", "time": 1, "messaging": [event]}]})
    mac = hmac.new(FACEBOOK_SECRET.encode(), body.encode(), hashlib.sha1).hexdigest()
    return Hook(channel="facebook", body=body, headers={**JSON, "X-Hub-Signature": f"sha1={mac}"})


SERVICES = {
    "telegram": Service(
        user="1111111",
        text=lambda text: telegram(text=text),
        photo=telegram(photo=[{"file_id": "F1", "file_unique_id": "U1", "width": 1, "height": 1}]),
        host="api.telegram.org",
    ),
    "twilio": Service(
        user="+14017122661",
        text=lambda text: twilio(Body=text),
        photo=twilio(MessageSid="MM1", NumMedia="1", MediaUrl0=MEDIA, MediaContentType0="image/jpeg"),
        host="api.twilio.com",
    ),
    "facebook": Service(
        user="1254459154682919",
        text=lambda text: facebook(text=text),
        photo=facebook(mid="m1", attachments=[{"type": "image", "payload": {"url": "https://cdn.example/bike.jpg"}}]),
        host="graph.facebook.com",
    ),
}


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    """In the place of every service."""
    with Internet(tmp_path_factory.mktemp("internet")) as internet:
        internet.respond("POST", f"/bot{TELEGRAM}/*", as_telegram)
        internet.when("GET", f"/file/bot{TELEGRAM}/*", 200, b"JPEG")
        internet.when("POST", "/2010-04-01/*", 201, {"sid": "SM1", "status": "queued"})
        internet.when("GET", "*/Media/ME1", 200, b"JPEG")
        yield internet


def as_telegram(asked: Asked) -> tuple[int, Any]:
    me = {"id": 1, "is_bot": True, "first_name": "Spoke", "username": "spoke_bot"}
    results = {"getme": me, "setwebhook": True, "getfile": {"file_id": "F1", "file_path": "photos/1.jpg"}}
    sent = {"message_id": 10, "date": 1700000000, "chat": {"id": 1111111, "type": "private"}}
    return 200, {"ok": True, "result": results.get(asked.path.rpartition("/")[2].lower(), sent)}


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory, internet: Internet) -> Iterator[Bot]:
    channels = {
        "rasa_handoff.channels.telegram.TelegramInput": {
            "access_token": TELEGRAM,
            "verify": "spoke_bot",
            "webhook_url": "https://bot.example/webhooks/telegram/webhook",
        },
        "twilio": {"account_sid": "AC1", "auth_token": "twilio-secret", "twilio_number": "+15550001"},
        "facebook": {"verify": "verify", "secret": FACEBOOK_SECRET, "page-access-token": "page-secret"},
    }
    bot = Bot(tmp_path_factory.mktemp("bot"), **channels)
    bot.rasa.env = internet.environment
    with running(bot) as bot:
        yield bot


@pytest.fixture
def agent(bot: Bot) -> Iterator[Agent]:
    agent = Agent(bot)
    agent.come()
    yield agent
    agent.go()


@pytest.mark.parametrize("name", SERVICES)
def test_a_user_and_an_agent_talk_and_the_bot_comes_back(bot: Bot, agent: Agent, internet: Internet, name: str) -> None:
    service = SERVICES[name]

    service.text(ASK).post(bot)
    chat = agent.accept(service.user)
    service.photo.post(bot)

    def shown() -> Any:
        messages = agent.ask("GET", f"/chats/{chat}")["messages"]
        return next((each["attachments"][0] for each in messages if each["attachments"]), None)

    photo = until(shown, what="the photo")
    assert photo["kind"] == "image"
    if photo["url"].startswith("/"):
        assert requests.get(bot.url + photo["url"], timeout=30).content == b"JPEG"
    agent.reply(chat, f"Nice bike, {name}.")
    until(lambda: f"Nice bike, {name}." in service.told(internet), what="the agent's words")
    agent.close(chat)
    until(lambda: "This is the bot again" in service.told(internet), what="the bot's words")
    assert "-secret" not in bot.rasa.said()


def test_a_user_is_reached_after_a_restart(bot: Bot, internet: Internet) -> None:
    before = Agent(bot)
    before.come()
    service = SERVICES["telegram"]
    service.text(ASK).post(bot)
    chat = before.accept(service.user)
    bot.rasa.stop()
    bot.rasa.start()
    after = Agent(bot)
    after.come()
    after.reply(chat, "We are back.")
    until(lambda: "We are back." in service.told(internet), what="the agent's words")
    after.close(chat)
