"""What the two pages show of places, queues and colleagues, in a browser."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from rasa_handoff.channels.base import place
from rasa_handoff.events import AgentMessage
from rasa_handoff.model import Attachment, Message, new_id
from tests.browsers import console, running_browser
from tests.web_stage import Web, open_web, token_of

pytestmark = pytest.mark.browser

WORKSHOP = place(52.520008, 13.404954, "The workshop")


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with running_browser() as browser:
        yield browser


async def chat_page(web: Web, browser: Browser) -> tuple[Page, str]:
    """The chat page, in a conversation of its own, and that conversation's name."""
    page = await browser.new_page()
    await page.goto(f"{web.url}/chat/")
    find = "Object.values(localStorage).map((each) => JSON.parse(each).sender).find(Boolean)"
    return page, await (await page.wait_for_function(find)).json_value()


async def hand_over(page: Page) -> Any:
    """Accept the chat that waits, and open the dialog by which it goes to somebody else."""
    await page.get_by_role("list", name="Waiting").get_by_role("link").first.click()
    await page.get_by_role("button", name="Accept chat").click()
    await page.get_by_role("button", name="Hand over").click()
    return page.get_by_role("dialog", name="Hand over this chat")


@pytest.mark.parametrize(
    ("sent", "shown", "where"),
    [
        (WORKSHOP, "The workshop", "52.52001, 13.40495"),
        (place(-33.8568, 151.2153), "Location", "-33.85680, 151.21530"),
        (Attachment(url="https://maps.x.test/?q=52.5,13.4", kind="location"), "Location", "52.50000, 13.40000"),
        (Attachment(url="http://maps.x.test/abc", kind="location", name="Here"), "Here", "maps.x.test"),
    ],
)
async def test_a_place_is_a_link_to_the_map_with_its_coordinates(
    web: Web, browser: Browser, sent: Attachment, shown: str, where: str
) -> None:
    page, sender = await chat_page(web, browser)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await web.agent_online()
    chat = str((await web.open(sender))["id"])
    await web.runtime.inbox.apply("desk", AgentMessage(chat_id=chat, text="Here:", attachments=(sent,)))
    link = page.get_by_role("log").get_by_role("link")
    await expect(link.get_by_text(shown, exact=True)).to_be_visible()
    await expect(link.get_by_text(where, exact=True)).to_be_visible()
    await expect(link).to_have_attribute("href", sent.url)
    await expect(link.locator("use")).to_have_attribute("href", "#icon-place")
    assert all(url.startswith(web.url.partition("/webhooks")[0]) for url in asked)


async def test_the_head_counts_the_queue_as_the_bot_does(web: Web, browser: Browser) -> None:
    page, sender = await chat_page(web, browser)
    await web.agent_online()
    await web.open(sender)
    await expect(page.get_by_text("You are number 1", exact=True)).to_be_visible()


async def test_what_happened_is_told_in_sentences(web: Web, browser: Browser) -> None:
    page, sender = await chat_page(web, browser)
    agent = await web.agent_online()
    chat = str((await web.open(sender))["id"])
    await agent.accept(chat)
    await agent.close(chat)
    await expect(page.get_by_text("The chat was ended.", exact=True)).to_be_visible()


async def test_the_bots_words_stand_instead_of_the_pages_though_the_user_wrote_meanwhile(
    web: Web, browser: Browser
) -> None:
    joined = {"handoff_id": "h-1", "status": "active", "agent": {"name": "Bo"}, "at": 1.0}
    told = {"who": "system", "notice": "utter_handoff_joined", "text": "Bo is here now.", "at": 1.0}
    events = ["event: hello\ndata: {}\n\n", f"event: handoff\nid: 1\ndata: {json.dumps(joined)}\n\n"]
    page = await browser.new_page()
    await page.route("**/webhook", lambda route: route.fulfill(json=[]))
    await page.route("**/stream*", lambda route: route.fulfill(content_type="text/event-stream", body="".join(events)))
    await page.goto(f"{web.url}/chat/")
    notices = page.get_by_role("log", name="Messages").locator(".notice")
    await expect(notices).to_have_text(["Bo has joined."])
    await page.get_by_role("textbox", name="Your message").fill("Good morning")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Good morning")).to_be_visible()
    events.append(f"event: message\nid: 2\ndata: {json.dumps(told)}\n\n")
    await expect(notices).to_have_text(["Bo is here now."])


async def test_whoever_has_no_colleague_online_is_told_where_the_chat_goes(web: Web, browser: Browser) -> None:
    page = await console(web, browser)
    await web.waiting_user()
    dialog = await hand_over(page)
    await expect(dialog.get_by_text("None of your colleagues is online")).to_be_visible()
    await page.keyboard.press("Escape")
    await web.agent_online("Cleo")
    await web.waiting_user()
    waiting = page.get_by_role("list", name="Waiting").get_by_role("link")
    await expect(waiting).to_have_count(1)  # which the page hears of behind Cleo
    await page.get_by_role("button", name="Hand over").click()
    await expect(dialog.get_by_role("radio", name="Cleo")).to_be_enabled()
    await expect(dialog.get_by_text("None of your colleagues is online")).to_be_hidden()


async def test_the_only_agent_is_told_why_there_is_nobody_to_choose(tmp_path: Path, browser: Browser) -> None:
    alone = {"desk": {"agents": [{"name": "Bo", "token": token_of("Bo")}]}}
    async with open_web(f"sqlite:///{tmp_path}/handoff.db", tmp_path, backends=alone) as web:
        page = await console(web, browser)
        await web.waiting_user()
        dialog = await hand_over(page)
        await expect(dialog.get_by_text("You are the only agent at this desk.")).to_be_visible()
        await expect(dialog.get_by_role("radio", name="Back to the queue")).to_be_checked()


async def test_a_message_that_the_user_has_changed_is_marked_at_the_desk(web: Web, browser: Browser) -> None:
    page = await console(web, browser)
    user, _ = await web.waiting_user()
    for text, edits in (("at nin", None), ("at nine", "m1")):
        said = Message(id=new_id(), who="user", text=text, edits=edits, at=1.0)
        await web.runtime.switchboard.said(user.sender, said, new_id())
    await page.get_by_role("list", name="Waiting").get_by_role("link").first.click()
    marked = page.locator(".bubble", has_text="Edited message")
    await expect(marked).to_have_count(1)
    await expect(marked).to_contain_text("at nine")


async def test_the_figures_of_the_day_are_one_key_away(web: Web, browser: Browser) -> None:
    page = await console(web, browser)
    await page.keyboard.press("Alt+f")
    figures = page.get_by_role("dialog", name="The last 24 hours")
    await expect(figures.get_by_text("Nobody asked for an agent.")).to_be_visible()
    await figures.get_by_role("button", name="Done").click()
    await expect(figures).to_be_hidden()
    await web.open("ann")
    await page.get_by_role("list", name="Waiting").get_by_role("link").first.click()
    await page.get_by_role("button", name="Accept chat").click()
    await expect(page.get_by_role("textbox", name="Reply to")).to_be_visible()
    await page.get_by_role("button", name="Figures of the last day").click()
    for name, value in (("Asked for an agent", "1"), ("Accepted", "1100 %"), ("Waiting", "0"), ("First reply", "–")):
        line = figures.locator("div", has=page.get_by_role("term").get_by_text(name, exact=True))
        await expect(line.get_by_role("definition")).to_have_text(value)
    await expect(figures.get_by_text("9 in 10 within")).to_have_count(1)


async def test_figures_that_cannot_be_had_say_why(web: Web, browser: Browser) -> None:
    page = await console(web, browser)
    await page.route("**/api/figures", lambda route: route.abort())
    await page.get_by_role("button", name="Figures of the last day").click()
    figures = page.get_by_role("dialog", name="The last 24 hours")
    await expect(figures.get_by_role("alert")).to_have_text("The server cannot be reached.")
