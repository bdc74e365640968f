"""The whole way with LiveChat: a real Rasa server, and a server in LiveChat's place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, expect

from rasa_handoff.testing import Call, Wire
from tests import pages
from tests.backends.livechat.test_livechat import section, signed
from tests.backends.livechat.vendor import AGENT, Chat, Vendor, now
from tests.backends.waiting import all_went_out
from tests.servers import Bot, running, until
from tests.test_story import browser  # noqa: F401 (a fixture)

USER = "ann"
PICTURE = b"\x89PNG" + bytes(range(256)) * 3000  #: more than a part of what we keep
PHOTO = "znana1194jfkbfowhpcq68ncgo"  #: Mattermost's name of one

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def wire(vendor: Vendor) -> Iterator[Wire]:
    with Wire() as wire:
        vendor.on(wire)
        yield wire


def texts(chat: Chat) -> list[str]:
    return [event["text"] for event in chat.thread.events if event["type"] == "message"]


def the_chat(vendor: Vendor) -> Chat:
    [chat] = vendor.chats.values()
    return chat


def files_in(vendor: Vendor) -> list[Any]:
    """The messages with files, of all chats."""
    events = [event for chat in list(vendor.chats.values()) for event in chat.thread.events]
    return [event for event in events if event["type"] == "file"]


def status(bot: Bot) -> Any:
    found = bot.handoff(USER)
    assert found is not None
    return found["status"]


def heard(bot: Bot, text: str) -> bool:
    """Whether the user has got *text*, which the rest channel hands over with the next request."""
    return text in [each.get("text") for each in bot.say("Hello?", USER)]


def test_with_webhooks(tmp_path: Path, vendor: Vendor, wire: Wire) -> None:
    def livechat(call: Call) -> int:
        url = f"{bot.url}/webhooks/handoff/livechat/{call.path}"
        return requests.post(url, json=signed(call).body, timeout=30).status_code

    with running(Bot(tmp_path, section={"backends": {"livechat": section(wire.url)}})) as bot:
        bot.say("hello", USER)
        bot.say("I want to talk to a person", USER)
        chat = the_chat(vendor)
        [transcript] = texts(chat)
        assert "User: hello" in transcript
        assert "User: I want to talk to a person" in transcript
        assert status(bot) == "queued"

        assert livechat(vendor.take(chat.id)) == 200
        assert status(bot) == "active"
        assert livechat(vendor.write(chat.id, "is she a VIP?", visibility="agents")) == 200
        assert livechat(vendor.write(chat.id, "Smith here. What is it?")) == 200
        until(lambda: heard(bot, "Smith here. What is it?"), what="the agent's message")
        bot.say("My bike is broken", USER)
        until(lambda: texts(chat)[-1] == "My bike is broken", what="the user's message")

        all_went_out(bot)
        assert livechat(vendor.end(chat.id)) == 200
        assert status(bot) == "closed"
        said = len(texts(chat))
        until(lambda: any(each.get("text") for each in bot.say("hello", USER)), what="the bot")
        assert livechat(vendor.write(chat.id, "one more thing")) == 409
        assert len(texts(chat)) == said + 1


@pytest.mark.browser
def test_on_the_chat_page(tmp_path: Path, vendor: Vendor, wire: Wire, browser: Browser) -> None:  # noqa: F811
    """The place in the queue, how long it takes, who is there, and what they have read."""

    def livechat(call: Call) -> None:
        url = f"{bot.url}/webhooks/handoff/livechat/{call.path}"
        assert requests.post(url, json=signed(call).body, timeout=30).status_code == 200

    with running(Bot(tmp_path, section={"backends": {"livechat": section(wire.url)}})) as bot:
        page = browser.new_page()
        page.goto(f"{bot.url}/webhooks/handoff/chat/")
        pages.user_says(page, "I want to talk to a person")
        expect(page.get_by_text("You are number 2, about 2 min")).to_be_visible(timeout=60_000)
        chat = the_chat(vendor)
        livechat(vendor.take(chat.id))
        pages.expect_talking_to(page, "Agent Smith")
        for text in ("My bike is broken", "It is red", "And old"):
            pages.user_says(page, text)
        until(lambda: texts(chat)[-1] == "And old", what="the user's messages")
        # Ahead of what the bot's clock said when it took them: clocks step back.
        read = {"user_id": AGENT, "chat_id": chat.id, "seen_up_to": now(ahead=60.0)}
        livechat(vendor.webhook("events_marked_as_seen", read, chat.id))
        pages.expect_read(page, "And old")
        pages.user_says(page, "Hello?")
        pages.expect_sent(page, "Hello?")
        page.reload()
        pages.expect_read(page, "And old")
        page.close()


@pytest.fixture
def mattermost() -> Iterator[Wire]:
    with Wire() as mattermost:
        known = {"id": PHOTO, "name": "receipt.png", "mime_type": "image/png"}
        mattermost.when("GET", f"/api/v4/files/{PHOTO}", body=PICTURE)
        mattermost.when("GET", f"/api/v4/files/{PHOTO}/info", body=known)
        mattermost.when("POST", "/api/v4/posts", 201, {"id": "post"})
        yield mattermost


def test_files_though_nobody_knows_our_address(tmp_path: Path, vendor: Vendor, wire: Wire, mattermost: Wire) -> None:
    """One that a user gives us, and one that their channel keeps; both go to LiveChat from here."""
    channel = {"url": f"{mattermost.url}/api/v4", "token": "t", "webhook_url": "https://bot.test/hook"}
    settings = {"backends": {"livechat": section(wire.url)}}
    with running(Bot(tmp_path, section=settings, mattermost=channel)) as bot:
        known = bot.ask("POST", "/conversations").json()
        bot.operator("POST", "/handoffs", {"sender_id": known["sender"], "channel": "handoff"})
        url, authorization = f"{bot.url}/webhooks/handoff", {"Authorization": f"Bearer {known['token']}"}
        headers = {**authorization, "Content-Type": "image/png"}
        where = f"{url}/files?sender={known['sender']}&name=bike.png"
        given = requests.post(where, data=PICTURE, headers=headers, timeout=30)
        assert given.status_code == 201, given.text
        said = {"message": "", "metadata": {"attachments": [{"file": given.json()["file"]["id"]}]}}
        sending = {"sender": known["sender"], **said}
        assert requests.post(f"{url}/webhook", json=sending, headers=authorization, timeout=30).ok
        until(lambda: len(vendor.files) == 1, what="the file that was given to us")

        bot.operator("POST", "/handoffs", {"sender_id": USER, "channel": "mattermost"})
        post = {"user_id": USER, "channel_id": "c1", "post_id": "p1", "trigger_word": "", "file_ids": PHOTO, "text": ""}
        assert requests.post(f"{bot.url}/webhooks/mattermost/webhook", json=post, timeout=30).ok
        until(lambda: len(vendor.files) == 2, what="the file of the user's channel")
        until(lambda: len(files_in(vendor)) == 2, what="both of them in the chats")
    assert [each["name"] for each in vendor.files] == ["bike.png", "receipt.png"]
    assert all(each["content"] == PICTURE for each in vendor.files)


def test_without_webhooks_and_over_a_restart(tmp_path: Path, vendor: Vendor, wire: Wire) -> None:
    known = section(wire.url, poll_every="100ms")
    settings = {name: value for name, value in known.items() if "webhook" not in name}
    with running(Bot(tmp_path, section={"backends": {"livechat": settings}})) as bot:
        bot.say("I want to talk to a person", USER)
        chat = the_chat(vendor)
        vendor.take(chat.id)
        until(lambda: status(bot) == "active", what="the agent's coming")
        bot.rasa.kill()
        vendor.write(chat.id, "Smith here. What is it?")
        bot.rasa.start()
        until(lambda: heard(bot, "Smith here. What is it?"), what="the agent's message")
        until(lambda: texts(chat)[-1] == "Hello?", what="the user's message")
        vendor.end(chat.id)
        until(lambda: status(bot) == "closed", what="the end")
        assert len(vendor.customers) == 1
