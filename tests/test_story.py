"""The whole way, as two people see it: real servers, a real browser on both pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import pages
from tests.browsers import chromium
from tests.servers import Bot, running

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def bot(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bot]:
    section = {} if request.param == "sqlite" else {"database": request.getfixturevalue("new_database")}
    with running(Bot(tmp_path, section=section)) as bot:
        yield bot


@pytest.fixture
def user(bot: Bot, browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{bot.url}/webhooks/handoff/chat/")
        yield page


@pytest.fixture
def agent(bot: Bot, browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{bot.url}/webhooks/handoff/desk/")
        pages.sign_in(page, bot.access["agents"][0]["token"])
        pages.be(page, "online")
        yield page


def test_a_user_talks_to_a_person_and_comes_back_to_the_bot(bot: Bot, user: Page, agent: Page) -> None:
    ask_for_a_person(user)
    pages.user_says(user, "It is about order 4711")
    pages.accept_first(agent)
    pages.expect_line(agent, "It is about order 4711")
    expect(agent.get_by_text("I want to talk to an agent").first).to_be_attached()
    pages.expect_talking_to(user, "Agent 1")
    with user.expect_response(lambda answer: answer.url.endswith("/webhooks/handoff/read")) as read:
        pages.reply(agent, "Hello, I am looking at it.")
        pages.expect_line(user, "Hello, I am looking at it.")
    assert read.value.status == 204
    pages.expect_delivered(agent, "Hello, I am looking at it.")
    pages.user_says(user, "/restart")
    pages.expect_line(agent, "/restart")
    back_to_the_bot(user, agent)


def test_a_user_loses_nothing_when_the_server_is_killed_in_the_middle(bot: Bot, user: Page, agent: Page) -> None:
    ask_for_a_person(user)
    pages.accept_first(agent)
    pages.reply(agent, "Hello, I am looking at it.")
    pages.expect_line(user, "Hello, I am looking at it.")
    bot.rasa.kill()
    pages.user_says(user, "Are you still there?")
    expect(user.get_by_text(re.compile("[Rr]econnecting|[Nn]ot sent|[Oo]ffline")).first).to_be_visible()
    bot.rasa.start()
    pages.expect_connected(user)
    pages.expect_connected(agent)
    pages.expect_line(agent, "Are you still there?")  # the page says it again by itself
    pages.reply(agent, "Yes, I am.")
    pages.expect_line(user, "Yes, I am.")
    pages.expect_line(user, "Hello, I am looking at it.", times=1)
    back_to_the_bot(user, agent)


def ask_for_a_person(user: Page) -> None:
    pages.user_says(user, "hello")
    expect(user.get_by_text("Spoke & Chain").first).to_be_visible()
    pages.user_says(user, "I want to talk to an agent")
    expect(user.get_by_text("getting a person").first).to_be_visible()
    pages.expect_talking_to(user, "In the queue")


def back_to_the_bot(user: Page, agent: Page) -> None:
    pages.close_chat(agent, "Resolved", note="All is well", tags=["order"])
    expect(user.get_by_text("This is the bot again").first).to_be_visible()
    pages.expect_talking_to(user, "Assistant")
    pages.user_says(user, "what are your opening hours?")
    expect(user.get_by_text("9:00").last).to_be_visible()
