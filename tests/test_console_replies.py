"""What an agent writes while the server cannot be reached, in a browser: it goes out by itself, once and in order."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, Route, expect

from tests.browsers import console, running_browser
from tests.web_stage import User, Web

pytestmark = pytest.mark.browser

WAITS = "Not sent yet, trying again"
MESSAGES = "**/chats/*/messages"
FILES = "**/chats/*/files?name=*"


@dataclass
class Cut:
    """A network that lets nothing of an agent's through, or (``answers``) only no answer back."""

    page: Page
    answers: bool = False
    on: bool = True
    ids: list[str] = field(default_factory=list)  #: of every attempt

    async def __call__(self, route: Route) -> None:
        if route.request.url.endswith("/messages"):
            self.ids.append(json.loads(route.request.post_data or "{}")["id"])
        if self.answers and self.on:
            await route.fetch()
        await (route.abort() if self.on else route.continue_())


@dataclass(frozen=True, kw_only=True)
class Chat:
    """A chat that is open at the console, whose agent has it."""

    web: Web
    page: Page
    user: User
    id: str

    @property
    def states(self) -> Locator:
        """What became of each of the agent's messages, oldest first."""
        return self.page.get_by_role("log", name="Messages").locator(".message.by-agent .message-state")

    async def cut(self, *, answers: bool = False) -> Cut:
        """Keep what the agent sends from now on from the server."""
        cut = Cut(self.page, answers)
        await self.page.route(MESSAGES, cut)
        await self.page.route(FILES, cut)
        return cut

    async def write(self, text: str) -> None:
        field = self.page.get_by_role("textbox", name="Reply to")
        await field.fill(text)
        await field.press("Enter")

    async def expect_waiting(self, count: int = 1) -> None:
        await expect(self.states.get_by_text(WAITS)).to_have_count(count)

    async def time_passes(self) -> None:
        """Let it be the time for the next try."""
        await self.page.clock.fast_forward("01:30")

    async def expect_delivered(self, *texts: str) -> None:
        """Expect the user to have exactly these, in this order."""
        await expect(self.states.and_(self.page.locator('[data-state="delivered"]'))).to_have_count(len(texts))
        events = await self.user.comes(after="0")
        for text in texts:
            assert (await events.until(lambda event: event.data.get("who") == "agent")).data["text"] == text
        assert not [each for each in await self.at_server() if each not in texts]

    async def another(self) -> Chat:
        """A chat of another user, which the agent has accepted on the same page."""
        user, chat = await self.web.waiting_user()
        await self.page.get_by_role("list", name="Waiting").get_by_role("link").click()
        await self.page.get_by_role("button", name="Accept chat").click()
        await expect(self.page).to_have_url(re.compile(chat))
        return replace(self, user=user, id=chat)

    async def write_with_a_file(self, text: str, name: str) -> Path:
        """Write, with a file that breaks off on its way once the message waits for it; where the file is."""
        path, go = self.web.folder / name, asyncio.Event()
        path.write_text("some words")

        async def break_off(route: Route) -> None:
            await go.wait()
            await route.abort()

        await self.page.route(FILES, break_off)
        await self.page.locator("input[type=file]").set_input_files(path)
        await self.write(text)
        await expect(self.states.get_by_role("button", name="Cancel")).to_be_visible()
        go.set()
        return path

    async def until_at_server(self, text: str) -> None:
        async def is_there() -> bool:
            return await self.at_server() == [text]

        await self.web.until(is_there)

    async def at_server(self) -> list[str]:
        """The texts of the agents' messages that the server has."""
        bo = await self.web.agent("Bo")
        return [each["text"] for each in (await bo.look_at(self.id))["messages"] if each["who"] == "agent"]


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with running_browser() as browser:
        yield browser


@pytest_asyncio.fixture
async def chat(web: Web, browser: Browser) -> Chat:
    page = await console(web, browser)
    user, chat = await web.waiting_user()
    await page.goto(f"{web.url}/desk/#/chats/{chat}")
    await page.get_by_role("button", name="Accept chat").click()
    await expect(page.get_by_role("textbox", name="Reply to")).to_be_focused()
    await page.clock.install()
    return Chat(web=web, page=page, user=user, id=chat)


async def test_it_goes_out_by_itself_in_the_order_in_which_it_was_written(chat: Chat) -> None:
    cut = await chat.cut()
    await chat.write("Good morning!")
    await chat.expect_waiting()
    await chat.write("What can I do for you?")
    await chat.expect_waiting(2)
    cut.on = False
    await chat.time_passes()
    await chat.expect_delivered("Good morning!", "What can I do for you?")


async def test_what_the_server_has_though_its_answer_was_lost_comes_once(chat: Chat) -> None:
    cut = await chat.cut(answers=True)
    await chat.write("Good morning!")
    await chat.expect_delivered("Good morning!")
    cut.on = False
    await chat.time_passes()
    await chat.write("What can I do for you?")
    await chat.expect_delivered("Good morning!", "What can I do for you?")
    assert len(set(cut.ids)) == 2


async def test_it_goes_out_at_once_when_the_page_is_back_in_touch(chat: Chat) -> None:
    page = chat.page
    await page.clock.pause_at(await page.evaluate("Date.now()") + 3_600_000)
    cut = await chat.cut()
    await chat.write("Good morning!")
    while not await chat.states.get_by_text(WAITS).count():
        await page.clock.run_for(300)  # of the five seconds until it is tried again
    cut.on = False
    await chat.web.restart()
    await expect(page.get_by_text("Reconnecting")).to_be_visible()
    await page.clock.run_for(1_000)
    await chat.expect_delivered("Good morning!")


async def test_who_does_not_want_to_wait_sends_it_now(chat: Chat) -> None:
    cut = await chat.cut()
    await chat.write("Good morning!")
    await chat.expect_waiting()
    cut.on = False
    await chat.page.get_by_role("button", name="Try now").click()
    await chat.expect_delivered("Good morning!")


async def test_it_can_be_taken_back_while_it_waits(chat: Chat) -> None:
    cut = await chat.cut()
    await chat.write("Good evening!")
    await chat.write("Good morning!")
    await chat.expect_waiting(2)
    await chat.page.get_by_role("button", name="Discard").first.click()
    cut.on = False
    await chat.time_passes()
    await chat.expect_delivered("Good morning!")


async def test_each_of_several_chats_sends_its_own(chat: Chat) -> None:
    cut = await chat.cut()
    await chat.write("Good morning!")
    await chat.expect_waiting()
    other = await chat.another()
    await other.write("Good evening!")
    await other.expect_waiting()
    cut.on = False
    await chat.time_passes()
    await other.expect_delivered("Good evening!")
    await chat.until_at_server("Good morning!")


async def test_what_the_server_refuses_is_not_tried_again_unasked(chat: Chat) -> None:
    cut = await chat.cut()
    await chat.write("Good morning!")
    await chat.expect_waiting()
    cleo = await chat.web.agent_online("Cleo")
    await (await chat.web.agent("Bo")).transfer(chat.id, cleo.id)
    cut.on = False
    await chat.time_passes()
    refused = chat.states.get_by_role("alert")
    await expect(refused).to_contain_text("Not sent: ")
    await expect(chat.page.get_by_text("so your message was not sent")).to_be_visible()
    tried = len(cut.ids)
    await chat.time_passes()
    async with chat.page.expect_response(MESSAGES) as answer:
        await chat.page.get_by_role("log", name="Messages").get_by_role("button", name="Try again").click()
    assert (await answer.value).status == 409
    assert len(cut.ids) == tried + 1
    assert await chat.at_server() == []


async def test_a_file_goes_with_it(chat: Chat) -> None:
    gone = await chat.write_with_a_file("The plan", "plan.txt")
    await chat.expect_waiting()
    await chat.page.unroute(FILES)
    await chat.time_passes()
    await chat.expect_delivered("The plan")
    await expect(chat.page.get_by_role("log", name="Messages").get_by_role("link", name="plan.txt")).to_be_visible()
    assert gone.exists()


async def test_a_file_that_is_not_there_any_more_is_not_tried_for_ever(chat: Chat) -> None:
    plan = await chat.write_with_a_file("The plan", "plan.txt")
    await chat.expect_waiting()
    plan.unlink()
    await chat.page.unroute(FILES)
    await chat.time_passes()
    await expect(chat.states.get_by_role("alert")).to_contain_text("Not sent: it is not there any more")
    await expect(chat.page.get_by_role("button", name="Discard")).to_be_visible()


async def test_who_signs_out_is_asked_before_it_is_lost(chat: Chat) -> None:
    await chat.cut()
    await chat.write("Good morning!")
    await chat.expect_waiting()
    await chat.page.get_by_role("button", name="Sign out").click()
    await expect(chat.page.get_by_role("dialog", name="Sign out?")).to_be_visible()
