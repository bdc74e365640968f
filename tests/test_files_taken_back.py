"""Files that are removed before they are sent are deleted, and those that nobody may give are not taken."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FilePayload, Page, expect

from rasa_handoff.backends import settings_models
from rasa_handoff.errors import ConfigError
from rasa_handoff.settings import read_section
from rasa_handoff.store import files
from tests.browsers import console, running_browser
from tests.test_files import FILM, PDF, is_clean, rows
from tests.web_stage import Answer, Client, User, Web, open_web

PLAN: FilePayload = {"name": "plan.txt", "mimeType": "text/plain", "buffer": b"some words"}
SENDER = "Object.values(localStorage).map((each) => JSON.parse(each).sender).find(Boolean)"


async def users_take_back(user: User, file_id: str, sender: str = "") -> Answer:
    headers = {"Authorization": f"Bearer {user.token}"}
    return await user.ask("DELETE", f"/files/{file_id}?sender={sender or user.sender}", headers=headers)


async def agents_take_back(agent: Client, chat: str, file_id: str) -> Answer:
    return await agent.ask("DELETE", f"/desk/api/chats/{chat}/files/{file_id}")


class TestUsers:
    async def test_nothing_of_it_is_left_and_it_cannot_be_opened_from_that_moment(self, web_on_each: Web) -> None:
        web = web_on_each
        await web.agent_online()
        ann, _ = await web.waiting_user()
        file = (await ann.gives(FILM)).json["file"]
        assert (await users_take_back(ann, file["id"])).status == 204
        assert (await ann.opens(file["url"])).status == 502
        await web.until(lambda: is_clean(web))
        assert (await users_take_back(ann, file["id"])).status == 404

    async def test_it_does_not_count_any_more(self, tmp_path: Path) -> None:
        async with open_web(f"sqlite:///{tmp_path}/handoff.db", tmp_path, largest_file=len(PDF)) as web:
            await web.agent_online()
            ann, _ = await web.waiting_user()
            given = [(await ann.gives(PDF)).json["file"]["id"] for _ in range(4)]
            assert (await ann.gives(PDF)).code == "full"
            await users_take_back(ann, given[0])

            async def three_are_left() -> bool:
                return (await rows(web))[0] == 3

            await web.until(three_are_left)
            assert (await ann.gives(PDF)).status == 201

    async def test_one_that_a_message_has_stays(self, web: Web) -> None:
        await web.agent_online()
        ann, _ = await web.waiting_user()
        file = (await ann.gives(PDF)).json["file"]
        await web.runtime.store.write(partial(files.sent, file_id=file["id"]))
        answer = await users_take_back(ann, file["id"])
        assert (answer.status, answer.code) == (409, "sent")
        assert (await ann.opens(file["url"])).body == PDF

    async def test_also_when_the_conversation_is_over(self, web: Web) -> None:
        await web.agent_online()
        ann, _ = await web.waiting_user()
        file = (await ann.gives(PDF)).json["file"]
        await ann.leaves()
        assert (await users_take_back(ann, file["id"])).status == 204
        await web.until(lambda: is_clean(web))

    async def test_nobody_elses(self, web: Web) -> None:
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        ben, _ = await web.waiting_user()
        await bo.accept(chat)
        anns = (await ann.gives(PDF)).json["file"]["id"]
        agents = (await bo.gives(chat, PDF)).json["file"]["id"]
        for file_id in (anns, agents, str(uuid.UUID(int=7))):
            assert (await users_take_back(ben, file_id)).status == 404
        assert (await users_take_back(ann, agents)).status == 404
        assert (await users_take_back(ben, anns, sender=ann.sender)).status == 401
        assert await rows(web) == (2, 2)


class TestAgents:
    async def test_nothing_of_it_is_left(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        file = (await bo.gives(chat, FILM)).json["file"]
        assert (await agents_take_back(bo, chat, file["id"])).status == 204
        refused = await bo.reply(chat, "", files=[file["id"]])
        assert (refused.status, refused.code) == (400, "malformed")
        await web.until(lambda: is_clean(web))

    async def test_one_that_a_message_has_stays(self, web: Web) -> None:
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        file = (await bo.gives(chat, PDF)).json["file"]
        await bo.reply(chat, "", files=[file["id"]])
        answer = await agents_take_back(bo, chat, file["id"])
        assert (answer.status, answer.code) == (409, "sent")
        assert (await ann.opens(file["url"])).body == PDF

    async def test_also_when_the_chat_is_a_colleagues_or_over(self, web: Web) -> None:
        bo, cleo = await web.agent_online(), await web.agent_online("Cleo")
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        first, second = [(await bo.gives(chat, PDF)).json["file"]["id"] for _ in range(2)]
        await bo.transfer(chat, cleo.id)
        assert (await agents_take_back(bo, chat, first)).status == 204
        await cleo.close(chat)
        assert (await agents_take_back(bo, chat, second)).status == 204
        await web.until(lambda: is_clean(web))

    async def test_none_of_another_chat_or_of_a_users(self, web: Web) -> None:
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        _, other = await web.waiting_user()
        await bo.accept(chat)
        file = (await bo.gives(chat, PDF)).json["file"]["id"]
        anns = (await ann.gives(PDF)).json["file"]["id"]
        for where, which in ((other, file), (chat, anns), (chat, str(uuid.UUID(int=7)))):
            assert (await agents_take_back(bo, where, which)).status == 404
        assert (await agents_take_back(await web.stranger(), chat, file)).status == 401
        assert await rows(web) == (2, 2)


@asynccontextmanager
async def only(givers: list[str], folder: Path) -> AsyncIterator[Web]:
    async with open_web(f"sqlite:///{folder}/handoff.db", folder, files_from=givers) as web:
        yield web


class TestSwitchedOff:
    @pytest.mark.parametrize("givers", [[], ["users"], ["agents"], ["users", "agents"]])
    async def test_who_may_give_none_is_told_so(self, tmp_path: Path, givers: list[str]) -> None:
        async with only(givers, tmp_path) as web:
            bo = await web.agent_online()
            ann, chat = await web.waiting_user()
            await bo.accept(chat)
            me = (await bo.get("/desk/api/me")).json
            hello = (await (await ann.comes()).next("hello")).data
            for given, says, name in (
                (await ann.gives(PDF), hello["takes_files"], "users"),
                (await bo.gives(chat, PDF), me["takes_files"], "agents"),
            ):
                assert says is (name in givers)
                assert given.status == (201 if says else 409)
                assert says or (given.code, given.message) == ("files_off", f"files of {name} are switched off here")

    async def test_what_was_given_before_is_opened_and_deleted_as_ever(self, tmp_path: Path) -> None:
        async with open_web(f"sqlite:///{tmp_path}/handoff.db", tmp_path) as web:
            await web.agent_online()
            ann, _ = await web.waiting_user()
            file = (await ann.gives(PDF)).json["file"]
        async with only([], tmp_path) as web:
            again = User(web, (await web.stranger()).session, {})
            again.sender, again.token = ann.sender, ann.token
            assert (await again.opens(file["url"])).body == PDF
            assert (await users_take_back(again, file["id"])).status == 204

    def test_a_name_that_gives_none_is_a_fault(self) -> None:
        with pytest.raises(
            ConfigError, match=r"files_from\[0\]: nobody of this name gives files; did you mean `users`"
        ):
            read_section({"files_from": ["user", "agents"]}, settings_models())


class TestPages:
    @pytest_asyncio.fixture
    async def browser(self) -> AsyncIterator[Browser]:
        async with running_browser() as browser:
            yield browser

    async def at_console(self, web: Web, browser: Browser) -> tuple[Page, User]:
        """A page of Bo's, with a chat that they have accepted."""
        page = await console(web, browser)
        ann, chat = await web.waiting_user()
        await page.goto(f"{web.url}/desk/#/chats/{chat}")
        await page.get_by_role("button", name="Accept chat").click()
        await expect(page.get_by_role("textbox", name="Reply to")).to_be_focused()
        return page, ann

    async def at_chat(self, web: Web, browser: Browser) -> Page:
        """The chat page of somebody who waits for an agent."""
        page = await browser.new_page()
        await page.goto(f"{web.url}/chat/")
        sender = await (await page.wait_for_function(SENDER)).json_value()
        await web.open(sender)
        await expect(page.get_by_text("You are number 1", exact=True)).to_be_visible()
        return page

    @pytest.mark.browser
    async def test_what_an_agent_removes_is_deleted(self, web: Web, browser: Browser) -> None:
        page, _ = await self.at_console(web, browser)
        await page.locator("input[type=file]").set_input_files([PLAN])
        chips = page.get_by_role("list", name="Files to send")
        await expect(chips.get_by_text("ready")).to_be_attached()
        assert await rows(web) == (1, 1)
        await page.get_by_role("button", name="Remove plan.txt").click()
        await web.until(lambda: is_clean(web))

    @pytest.mark.browser
    async def test_what_waits_when_the_chat_ends_is_deleted(self, web: Web, browser: Browser) -> None:
        page, ann = await self.at_console(web, browser)
        await page.locator("input[type=file]").set_input_files([PLAN])
        await expect(page.get_by_role("list", name="Files to send").get_by_text("ready")).to_be_attached()
        await ann.leaves()
        await web.until(lambda: is_clean(web))

    @pytest.mark.browser
    async def test_what_a_user_discards_is_deleted(self, web: Web, browser: Browser) -> None:
        await web.agent_online()
        page = await self.at_chat(web, browser)
        await page.route("**/webhook", lambda route: route.abort())
        await page.locator("input[type=file]").set_input_files([PLAN])
        await expect(page.get_by_text("Not sent")).to_be_visible()
        assert await rows(web) == (1, 1)
        await page.get_by_role("button", name="Discard").click()
        await web.until(lambda: is_clean(web))

    @pytest.mark.browser
    @pytest.mark.parametrize("givers", [["users"], ["agents"]])
    async def test_where_none_are_taken_there_is_nothing_of_it(
        self, tmp_path: Path, browser: Browser, givers: list[str]
    ) -> None:
        async with only(givers, tmp_path) as web:
            page, _ = await self.at_console(web, browser)
            chat = await self.at_chat(web, browser)
            for shown, name in ((page, "agents"), (chat, "users")):
                clip = shown.get_by_role("button", name="Attach files")
                await expect(clip).to_have_count(1 if name in givers else 0)
            await page.keyboard.press("Alt+/")
            help = page.get_by_role("dialog", name="Keyboard shortcuts")
            await expect(help.get_by_text("Attach files")).to_have_count(1 if "agents" in givers else 0)
