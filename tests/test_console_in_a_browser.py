"""What the desk's console shows of groups, of ratings and of a user's other chats, in a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browsers import console, running_browser
from tests.web_stage import Agent, Web, open_web, token_of

pytestmark = pytest.mark.browser

STAFF = {"Bo": ["billing"], "Cleo": ["returns"], "Dörte Müller": []}


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with running_browser() as browser:
        yield browser


@pytest_asyncio.fixture
async def grouped(tmp_path: Path) -> AsyncIterator[Web]:
    """Bo takes billing, Cleo returns, and Dörte everything."""
    agents = [{"name": name, "token": token_of(name), "groups": groups} for name, groups in STAFF.items()]
    database = f"sqlite:///{tmp_path}/handoff.db"
    async with open_web(database, tmp_path, backends={"desk": {"agents": agents}}) as web:
        yield web


async def closed_chat(web: Web, agent: Agent, sender: str, **end: Any) -> str:
    """A chat of this user from its beginning to its end."""
    chat = str((await web.open(sender))["id"])
    await agent.accept(chat)
    await agent.reply(chat, "Good morning!")
    await agent.close(chat, **end)

    async def is_the_bots() -> bool:
        return await web.runtime.switchboard.holder(sender) is None

    await web.until(is_the_bots)
    return chat


async def test_an_agent_works_with_the_chats_of_their_groups(grouped: Web, browser: Browser) -> None:
    await grouped.agent_online("Cleo")
    page = await console(grouped, browser, "Bo")
    await expect(page.get_by_text("Takes billing", exact=True)).to_be_visible()
    await expect(page.get_by_text("Nobody is waiting for your groups")).to_be_visible()
    for sender, group, priority in (("ann", "returns", None), ("ben", "billing", None), ("cem", "billing", "high")):
        await grouped.open(sender, group=group, priority=priority)
    links = page.get_by_role("list", name="Waiting").get_by_role("link")
    await expect(links.locator(".item-name")).to_have_text(["cem", "ben"])
    await links.first.click()
    await page.get_by_role("button", name="Accept chat").click()
    await page.get_by_role("button", name="Hand over").click()
    dialog = page.get_by_role("dialog", name="Hand over this chat")
    await expect(dialog.get_by_role("radio", name="Back to the queue of billing")).to_be_checked()
    await expect(dialog.get_by_role("group", name="returns").get_by_role("radio", name="Cleo")).to_be_enabled()
    await expect(dialog.get_by_role("group", name="All groups").get_by_role("radio", name="Dörte")).to_be_disabled()
    await dialog.get_by_role("radio", name="Back to the queue of returns").check()
    await dialog.get_by_role("button", name="Hand over").click()
    await expect(page.get_by_text("for agents of returns.")).to_be_visible()
    await expect(page.get_by_role("button", name="Accept chat")).to_be_hidden()
    await expect(links.locator(".item-name")).to_have_text(["ben"])


async def test_a_chat_that_waits_for_another_group_is_listed_no_more_but_can_be_read_on(
    grouped: Web, browser: Browser
) -> None:
    cleo = await grouped.agent_online("Cleo")
    page = await console(grouped, browser, "Bo")
    chat, other = [str((await grouped.open(sender, group="returns"))["id"]) for sender in ("ann", "ben")]
    for each in (chat, other):
        await cleo.accept(each)
    links = page.get_by_role("list", name="With others").get_by_role("link")
    await links.filter(has_text="ann").click()
    await expect(page.get_by_text("is talking with this user")).to_be_visible()
    await cleo.transfer(other, None)
    await expect(links).to_have_count(1)
    await cleo.transfer(chat, None)
    await expect(page.get_by_text("for agents of returns.")).to_be_visible()
    await expect(links).to_have_count(0)
    await cleo.accept(chat)
    await expect(page.get_by_text("is talking with this user")).to_be_visible()


async def test_a_rating_appears_on_the_closed_chat_as_it_comes(web: Web, browser: Browser) -> None:
    page = await console(web, browser)
    bo = await web.agent_online("Bo")
    await closed_chat(web, bo, "ann")
    await page.get_by_role("list", name="Recently closed").get_by_role("link").click()
    await expect(page.get_by_role("heading", name="ann")).to_be_visible()
    operator = await web.operator()
    await operator.post("/handoffs/rating", {"sender_id": "ann", "stars": 4, "resolved": True})
    stars = page.get_by_role("img", name="4 of 5 stars")
    await expect(stars).to_have_count(3)  # in the list, below the chat, and beside it
    about = page.get_by_role("complementary", name="About this chat")
    await expect(about.get_by_text("Their question was settled.")).to_be_visible()
    await expect(page.get_by_role("status").get_by_text("ann gave 4 of 5 stars.")).to_be_attached()


async def test_who_comes_back_without_a_name_is_the_same_guest(web: Web, browser: Browser) -> None:
    page = await console(web, browser)
    bo = await web.agent_online("Bo")
    for sender in ("web-ann", "web-ben"):
        await closed_chat(web, bo, sender)
    await web.open("web-ann")
    waiting = page.get_by_role("list", name="Waiting").get_by_role("link")
    await expect(waiting.locator(".item-name")).to_have_text(["Guest 1"])
    await waiting.click()
    await expect(page.get_by_role("heading", name="Guest 1")).to_be_visible()


async def test_a_users_other_chats_can_be_read_and_left_again(web: Web, browser: Browser) -> None:
    page = await console(web, browser)
    bo = await web.agent_online("Bo")
    await closed_chat(web, bo, "ann", reason="unresolved", note="Waits for a part")
    await web.open("ann")
    await page.get_by_role("list", name="Waiting").get_by_role("link").click()
    await page.get_by_role("button", name="Accept chat").click()
    others = page.get_by_role("list", name="Other chats of this user").get_by_role("link")
    await expect(others).to_have_count(1)
    await expect(others.get_by_text("Not resolved, with Bo")).to_be_visible()
    await expect(others.get_by_text("Waits for a part")).to_be_visible()
    await others.click()
    await expect(page.get_by_role("log", name="Messages").get_by_text("Good morning!")).to_be_visible()
    await expect(page.get_by_role("textbox", name="Reply to")).to_be_hidden()
    await page.get_by_role("navigation", name="Way back").get_by_role("link", name="Back to chat #2").click()
    await expect(page.get_by_role("textbox", name="Reply to ann")).to_be_focused()
    await expect(page.get_by_role("navigation", name="Way back")).to_be_hidden()


async def test_a_chat_that_is_being_read_hears_that_its_user_came_again(web: Web, browser: Browser) -> None:
    page = await console(web, browser)
    bo = await web.agent_online("Bo")
    await closed_chat(web, bo, "ann")
    await page.get_by_role("list", name="Recently closed").get_by_role("link").click()
    await expect(page.get_by_text("This is their only one.")).to_be_visible()
    await web.open("ann")
    others = page.get_by_role("list", name="Other chats of this user").get_by_role("link")
    await expect(others.get_by_text("Waiting")).to_be_visible()
