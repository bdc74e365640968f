"""The pages find back to a server that was away, at the latest when somebody writes."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from tests.browsers import running_browser
from tests.web_stage import Web, token_of

pytestmark = pytest.mark.browser

STREAM = "**/stream*"
ATTEMPTS = 2  #: in vain
NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with running_browser() as browser:
        yield browser


async def cut_off(page: Page, address: str, greeting: str = "") -> None:
    """Open the page, whose stream ends behind the greeting and cannot be had again.

    From there on the page's time stands still, so that it tries again only when something else is a reason to.
    """
    attempts = 0

    async def refuse(route: Route) -> None:
        nonlocal attempts
        attempts += 1
        if greeting and attempts == 1:
            await route.fulfill(content_type="text/event-stream", body=f"event: hello\ndata: {greeting}\n\n")
        else:
            await route.abort()

    await page.clock.install(time=NOON)
    await page.clock.pause_at(NOON + timedelta(seconds=1))
    await page.route(STREAM, refuse)
    await page.goto(address)
    while attempts < ATTEMPTS + bool(greeting):
        await page.clock.run_for(500)
    await expect(page.get_by_text("Reconnecting")).to_be_visible()
    await page.unroute(STREAM)


async def write(page: Page, field: str) -> None:
    await page.get_by_role("textbox", name=field).fill("hello")
    await page.keyboard.press("Enter")


async def test_the_chat_page_is_back_when_the_user_could_write(web: Web, browser: Browser) -> None:
    page = await browser.new_page()
    await page.route("**/webhook", lambda route: route.fulfill(json=[]))  # Rasa's own, which is not on this stage
    await cut_off(page, f"{web.url}/chat/")
    await write(page, "Your message")
    await expect(page.locator(".message-state[data-state=sent]")).to_be_visible()
    await expect(page.get_by_text("Reconnecting")).to_be_hidden()


async def test_the_console_is_back_when_the_agent_could_write(web: Web, browser: Browser) -> None:
    bo = await web.agent_online()
    _, chat = await web.waiting_user()
    await bo.accept(chat)
    me = (await bo.get("/desk/api/me")).json["agent"]
    page = await browser.new_page()
    await page.context.request.post(f"{web.url}/desk/api/session", data={"token": token_of("Bo")})
    await cut_off(page, f"{web.url}/desk/#/chats/{chat}", json.dumps({"agent": me, "now": time.time()}))
    await write(page, "Reply to")
    await expect(page.get_by_text("Reconnecting")).to_be_hidden()


async def write_in_vain(page: Page, web: Web, status: str) -> None:
    """Write to the server, which is away; and have it back, with a handoff that has *status*."""
    greetings = iter([{"handoff_id": "h-1", "status": "active", "agent": None, "at": 1.0}])
    back = {"handoff_id": "h-1", "status": status, "agent": None, "at": 2.0}
    cut = True

    async def stream(route: Route) -> None:
        if cut and (greeting := next(greetings, None)) is None:
            await route.abort()
        else:
            hello = json.dumps({"handoff": greeting if cut else back})
            await route.fulfill(content_type="text/event-stream", body=f"event: hello\ndata: {hello}\n\n")

    async def webhook(route: Route) -> None:
        await (route.abort() if cut else route.fulfill(json=[]))

    await page.route(STREAM, stream)
    await page.route("**/webhook", webhook)
    await page.goto(f"{web.url}/chat/")
    await expect(page.get_by_text("Reconnecting")).to_be_visible()
    await write(page, "Your message")
    await expect(page.get_by_text("Not sent")).to_be_visible()
    cut = False


async def test_what_could_not_be_sent_goes_out_when_the_server_is_back(web: Web, browser: Browser) -> None:
    page = await browser.new_page()
    await write_in_vain(page, web, "active")
    await expect(page.locator(".message-state[data-state=sent]")).to_be_visible()


async def test_what_was_for_an_agent_does_not_go_to_the_bot_by_itself(web: Web, browser: Browser) -> None:
    page = await browser.new_page()
    await write_in_vain(page, web, "closed")
    await expect(page.get_by_text("With you now")).to_be_hidden()
    await expect(page.get_by_text("Not sent")).to_be_visible()


async def test_what_could_not_be_sent_goes_out_though_the_stream_never_broke(web: Web, browser: Browser) -> None:
    page = await browser.new_page()
    cut = True
    await page.route("**/webhook", lambda route: route.abort() if cut else route.fulfill(json=[]))
    await page.goto(f"{web.url}/chat/")
    await write(page, "Your message")
    await expect(page.get_by_text("Not sent")).to_be_visible()
    cut = False
    await expect(page.locator(".message-state[data-state=sent]")).to_be_visible()
