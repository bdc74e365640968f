"""Nobody is there, so somebody calls back: the user's page and the console in a browser, with real servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import pages
from tests.servers import Bot, running, until
from tests.stage import hardly_ever
from tests.test_story import browser  # noqa: F401 (a fixture)


@pytest.fixture
def bot(tmp_path: Path) -> Iterator[Bot]:
    with running(Bot(tmp_path, section={"route": [{"to": "desk", "hours": hardly_ever()}]})) as bot:
        yield bot


@pytest.fixture
def user(bot: Bot, browser: Browser) -> Iterator[Page]:  # noqa: F811
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{bot.url}/webhooks/handoff/chat/")
        yield page


@pytest.fixture
def agent(bot: Bot, browser: Browser) -> Iterator[Page]:  # noqa: F811
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.goto(f"{bot.url}/webhooks/handoff/desk/")
        pages.sign_in(page, bot.access["agents"][0]["token"])
        yield page


@pytest.mark.browser
@pytest.mark.processes
def test_a_user_who_finds_nobody_is_called_back(bot: Bot, user: Page, agent: Page) -> None:
    pages.user_says(user, "I want to talk to an agent")
    opening = re.compile(r"Somebody is here again (today|tomorrow|on \w+) at 03:00\.")
    expect(user.get_by_text(opening).first).to_be_visible()
    pages.user_chooses(user, "Call me back")
    for answer in ("Ann Miller", "0151 2345678", "tomorrow at ten"):
        pages.user_says(user, answer)
        pages.expect_line(user, answer)
    expect(user.get_by_text("somebody will call you").first).to_be_visible()
    pages.user_says(user, "what are your opening hours?")
    expect(user.get_by_text("9:00").last).to_be_visible()

    request = pages.to_call_back(agent).filter(has_text="Ann Miller")
    expect(request).to_contain_text("0151 2345678 · tomorrow at ten")
    request.click()
    expect(agent.get_by_text("I want to talk to an agent").first).to_be_visible()
    pages.take_callback(agent)
    expect(agent.get_by_role("link", name="0151 2345678", exact=True)).to_have_attribute("href", "tel:01512345678")
    expect(agent.get_by_role("textbox", name="Reply to")).to_have_count(0)
    pages.close_callback(agent, "Resolved", note="Comes on Friday", tags=["bike"])
    expect(agent.get_by_text("Comes on Friday").first).to_be_visible()
    assert bot.operator("GET", "/status")["open"] == 0
    until(lambda: bot.operator("GET", "/outbox")["deliveries"] == [], what="an empty outbox")
    expect(user.get_by_text("Comes on Friday")).to_have_count(0)
