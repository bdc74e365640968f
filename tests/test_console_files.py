"""What agents send besides what they type, in a browser: files, and saved replies."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, FilePayload, Locator, Page, Route, expect

from tests.browsers import console, running_browser
from tests.web_stage import User, Web, open_web, token_of

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

LARGEST = 100 * 1024
UPLOADS = "**/files?name=*"
# 24 by 16 points of one colour.
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000001800000010010300000036ea2dd600000003504c544514594ca846ddd00000000c4944415478"
    "da6360a00c00000040000189c9af430000000049454e44ae426082"
)
SAVED = [
    {"name": "Opening hours", "text": "We are open from nine to six."},
    {"name": "Hello", "text": "Hello, I am {agent_name}."},
    {"name": "Prices", "text": "A check costs 49 euros,\nand it is done within the hour."},
]
SENDER = "Object.values(localStorage).map((each) => JSON.parse(each).sender).find(Boolean)"
FETCH = "(url) => fetch(url).then((answer) => answer.arrayBuffer()).then((body) => [...new Uint8Array(body)])"
GIVE = """([kind, names]) => {
  const given = new DataTransfer();
  for (const name of names) given.items.add(new File(["given"], name, { type: "text/plain" }));
  const how = { bubbles: true, cancelable: true };
  const event = kind === "paste" ? new ClipboardEvent(kind, { ...how, clipboardData: given })
                                 : new DragEvent(kind, { ...how, dataTransfer: given });
  (kind === "drop" ? document.querySelector("#drop") : document.activeElement).dispatchEvent(event);
}"""


def a_file(name: str, content: bytes = b"some words", mime: str = "text/plain") -> FilePayload:
    return {"name": name, "mimeType": mime, "buffer": content}


@dataclass(frozen=True, kw_only=True)
class Chat:
    """A chat that is open at the console, whose agent has it."""

    page: Page
    user: User
    id: str

    @property
    def field(self) -> Locator:
        return self.page.get_by_role("textbox", name="Reply to")

    @property
    def chips(self) -> Locator:
        return self.page.get_by_role("list", name="Files to send").get_by_role("listitem")

    @property
    def saved(self) -> Locator:
        """The list of saved replies, while it is open."""
        return self.page.get_by_role("listbox", name="Saved replies").get_by_role("option")

    @property
    def messages(self) -> Locator:
        """The agent's, oldest first."""
        return self.page.get_by_role("log", name="Messages").locator(".message.by-agent")

    async def attach(self, *files: FilePayload) -> None:
        async with self.page.expect_file_chooser() as chooser:
            await self.page.get_by_role("button", name="Attach files").click()
        await (await chooser.value).set_files(list(files))

    async def give(self, kind: str, *names: str) -> None:
        """Paste or drop files, or drag them over the page."""
        await self.page.evaluate(GIVE, [kind, names])

    async def send(self, text: str = "") -> None:
        await self.field.fill(text)
        await self.field.press("Enter")

    async def expect_sent(self, count: int) -> None:
        """Expect the user to have that many messages."""
        done = self.messages.locator('.message-state[data-state="delivered"]')
        await expect(done).to_have_count(count)

    async def sent(self) -> list[tuple[str, list[str]]]:
        """The text of each message that the server has of an agent, and its files' names."""
        bo = await self.user.web.stranger(Authorization=f"Bearer {token_of('Bo')}")
        lines = (await bo.get(f"/desk/api/chats/{self.id}")).json["messages"]
        return [(line["text"], [each["name"] for each in line["attachments"]]) for line in lines]


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A server, and a browser in which Bo is signed in."""

    web: Web
    browser: Browser
    page: Page  #: of Bo's, so that somebody is there

    async def chat(self, **values: Any) -> Chat:
        """A chat that Bo has just accepted, on a page of its own."""
        user, chat = await self.web.waiting_user(**values)
        return Chat(page=await self.accept(chat), user=user, id=chat)

    async def accept(self, chat: str) -> Page:
        """A page of Bo's, who has accepted this chat on it."""
        page = await self.page.context.new_page()
        await page.goto(f"{self.web.url}/desk/#/chats/{chat}")
        await page.get_by_role("button", name="Accept chat").click()
        await expect(page.get_by_role("textbox", name="Reply to")).to_be_focused()
        return page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at_desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    async with running_browser() as browser, at(browser, folder, saved_replies=SAVED) as desk:
        yield desk


@pytest_asyncio.fixture(loop_scope="module")
async def chat(at_desk: Desk) -> AsyncIterator[Chat]:
    chat = await at_desk.chat()
    yield chat
    await chat.page.close()


@asynccontextmanager
async def at(browser: Browser, folder: Path, **settings: Any) -> AsyncIterator[Desk]:
    """A desk with these settings."""
    desk = {"agents": [{"name": "Bo", "token": token_of("Bo")}], **settings}
    section = {"backends": {"desk": desk}, "largest_file": LARGEST}
    async with open_web(f"sqlite:///{folder}/handoff.db", folder, **section) as web:
        page = await console(web, await browser.new_context())
        yield Desk(web=web, browser=browser, page=page)


@asynccontextmanager
async def held(page: Page) -> AsyncIterator[asyncio.Event]:
    """Uploads stay on their way until the event is set."""
    go = asyncio.Event()

    async def hold(route: Route) -> None:
        await go.wait()
        with suppress(Error):  # it was taken back
            await route.continue_()

    await page.route(UPLOADS, hold)
    yield go
    go.set()


class TestFiles:
    async def test_a_picture_and_a_document_reach_the_user_with_the_text(self, at_desk: Desk) -> None:
        users = await at_desk.browser.new_page()
        await users.goto(f"{at_desk.web.url}/chat/")
        sender = await (await users.wait_for_function(SENDER)).json_value()
        there = str((await at_desk.web.open(sender))["id"])
        chat = Chat(page=await at_desk.accept(there), user=await at_desk.web.user(), id=there)
        document = b"%PDF-1.4 " + bytes(range(256)) * 40

        await chat.attach(a_file("wheel.png", PICTURE, "image/png"), a_file("bill.pdf", document, "application/pdf"))
        await expect(chat.chips).to_contain_text(["wheel.png84 bytes", "bill.pdf10 kB"])
        await chat.send("As it was, and what it costs")
        await chat.expect_sent(1)
        await expect(chat.chips).to_have_count(0)

        for shown in (users, chat.page):
            message = shown.get_by_role("log", name="Messages").locator(".message.by-agent")
            await expect(message).to_have_count(1)
            await expect(message).to_contain_text("As it was, and what it costs")
            await expect(message.get_by_role("img", name="wheel.png")).to_have_js_property("naturalWidth", 24)
            await expect(message.get_by_role("link", name="bill.pdf")).to_contain_text("10 kB")
            for name, content in (("wheel.png", PICTURE), ("bill.pdf", document)):
                link = message.get_by_role("link", name=name)
                assert bytes(await shown.evaluate(FETCH, await link.get_attribute("href"))) == content
        await users.close()
        await chat.page.close()

    async def test_one_that_is_taken_back_is_not_sent(self, chat: Chat) -> None:
        await chat.attach(a_file("right.txt"), a_file("wrong.txt"))
        await chat.page.get_by_role("button", name="Remove wrong.txt").click()
        await expect(chat.field).to_be_focused()
        await chat.field.press("Enter")
        await chat.expect_sent(1)
        assert await chat.sent() == [("", ["right.txt"])]

    async def test_what_cannot_be_sent_is_refused_at_once(self, chat: Chat) -> None:
        asked: list[str] = []
        chat.page.on("request", lambda request: asked.append(request.url))
        await chat.attach(a_file("large.mov", b"x" * (LARGEST + 1)), a_file("none.txt", b""))
        problem = chat.page.get_by_role("alert")
        await expect(problem.filter(has_text="“large.mov” is not sent: larger than 100 kB,")).to_be_visible()
        await expect(problem.filter(has_text="“none.txt” is not sent: the file is empty.")).to_be_visible()
        await expect(chat.chips).to_have_count(0)
        assert not [url for url in asked if "/files" in url]

    async def test_a_message_takes_ten(self, chat: Chat) -> None:
        names = [f"{number}.txt" for number in range(12)]
        await chat.attach(*map(a_file, names))
        await expect(chat.page.get_by_text("A message takes up to 10 files. 2 were left out.")).to_be_visible()
        await chat.send("All of them")
        await chat.expect_sent(1)
        assert await chat.sent() == [("All of them", names[:10])]

    async def test_one_that_failed_says_why_and_keeps_the_message_back(self, chat: Chat) -> None:
        await chat.page.route(UPLOADS, lambda route: route.abort())
        await chat.attach(a_file("plan.txt"))
        await expect(chat.chips).to_contain_text("The server cannot be reached.")
        await chat.send("The plan")
        await expect(chat.page.get_by_text("“plan.txt” is not sent: try again, or remove it.")).to_be_visible()
        await expect(chat.messages).to_have_count(0)
        await chat.page.unroute(UPLOADS)
        await chat.page.get_by_role("button", name="Try again").click()
        await expect(chat.field).to_have_value("The plan")
        await chat.field.press("Enter")
        await chat.expect_sent(1)
        assert await chat.sent() == [("The plan", ["plan.txt"])]

    async def test_what_the_server_refuses_is_told_in_its_words(self, chat: Chat) -> None:
        kept = chat.user.web.runtime.files
        largest, kept.largest = kept.largest, 4
        try:
            await chat.attach(a_file("plan.txt"))
            await expect(chat.chips.get_by_role("alert")).to_contain_text("4 bytes")
        finally:
            kept.largest = largest

    async def test_a_message_waits_for_its_files_and_nothing_overtakes_it(self, chat: Chat) -> None:
        async with held(chat.page) as go:
            await chat.attach(a_file("plan.txt"))
            await chat.send("The plan")
            await chat.send("Do you like it?")
            await expect(chat.messages.get_by_role("progressbar", name="Sending plan.txt")).to_be_visible()
            await expect(chat.messages.locator('[data-state="sending"]')).to_have_count(2)
            assert await chat.sent() == []
            go.set()
            await chat.expect_sent(2)
            assert await chat.sent() == [("The plan", ["plan.txt"]), ("Do you like it?", [])]

    async def test_a_message_that_waits_can_be_taken_back(self, chat: Chat) -> None:
        async with held(chat.page):
            await chat.attach(a_file("wrong.txt"))
            await chat.send("The wrong plan")
            await chat.send("One moment")
            await chat.page.get_by_role("button", name="Cancel").click()
            await chat.expect_sent(1)
            await expect(chat.messages).to_have_count(1)
            assert await chat.sent() == [("One moment", [])]

    async def test_each_chat_keeps_its_own(self, at_desk: Desk, chat: Chat) -> None:
        await chat.attach(a_file("plan.txt"))
        await chat.field.fill("The plan")
        await expect(chat.chips).to_have_count(1)
        other, there = await at_desk.web.waiting_user()
        await chat.page.get_by_role("list", name="Waiting").get_by_role("link").wait_for()
        await chat.page.keyboard.press("Alt+n")
        await expect(chat.page).to_have_url(re.compile(there))
        await expect(chat.field).to_have_value("")
        await expect(chat.chips).to_have_count(0)
        await chat.page.go_back()
        await expect(chat.chips).to_contain_text(["plan.txt"])
        await expect(chat.field).to_have_value("The plan")
        await other.leaves()

    async def test_what_is_dropped_and_pasted_is_taken(self, chat: Chat) -> None:
        overlay = chat.page.get_by_text("Drop files here to send them to Guest")
        await chat.give("dragover", "dropped.txt")
        await expect(overlay).to_be_visible()
        await chat.give("drop", "dropped.txt")
        await expect(overlay).to_be_hidden()
        await chat.give("paste", "pasted.txt")
        await expect(chat.chips).to_contain_text(["dropped.txt", "pasted.txt"])

    async def test_the_end_of_the_chat_is_the_end_of_what_waits(self, chat: Chat) -> None:
        await chat.attach(a_file("plan.txt"))
        await chat.user.leaves()
        note = chat.page.get_by_text(re.compile(r"^The chat with Guest \d+ has ended, and “plan.txt” was not sent.$"))
        await expect(note).to_be_visible()

    async def test_a_drawing_that_could_hold_a_script_is_a_file_to_its_sender_too(self, chat: Chat) -> None:
        drawing = b"<svg xmlns='http://www.w3.org/2000/svg' width='20' height='20'></svg>"
        await chat.attach(a_file("frame.svg", drawing, "image/svg+xml"))
        await expect(chat.chips).to_contain_text(["frame.svg"])
        await expect(chat.chips.locator("img")).to_have_count(0)
        await chat.send("The frame")
        await chat.expect_sent(1)
        await expect(chat.messages.get_by_role("link", name="frame.svg")).to_contain_text("frame.svg")
        await expect(chat.messages.get_by_role("img")).to_have_count(0)

    async def test_who_signs_out_is_asked_before_what_is_not_sent_is_lost(self, at_desk: Desk, tmp_path: Path) -> None:
        async with at(at_desk.browser, tmp_path) as desk:
            chat = await desk.chat()
            await chat.attach(a_file("plan.txt"))
            await chat.page.get_by_role("button", name="Sign out").click()
            asked = chat.page.get_by_role("dialog", name="Sign out?")
            await asked.get_by_role("button", name="Stay").click()
            await chat.send("The plan")
            await chat.expect_sent(1)
            await chat.page.route(UPLOADS, lambda route: route.abort())
            await chat.attach(a_file("costs.txt"))
            await chat.page.get_by_role("button", name="Sign out").click()
            await asked.get_by_role("button", name="Sign out").click()
            await expect(chat.page.get_by_role("heading", name="Sign in to the desk")).to_be_visible()

    async def test_a_message_that_failed_with_its_files_is_not_lost_unasked(
        self, at_desk: Desk, tmp_path: Path
    ) -> None:
        async with at(at_desk.browser, tmp_path) as desk:
            chat = await desk.chat()
            go = asyncio.Event()

            async def cut_off(route: Route) -> None:
                await go.wait()
                await route.abort()

            await chat.page.route(UPLOADS, cut_off)
            await chat.attach(a_file("plan.txt"))
            await chat.send("The plan")
            go.set()
            await expect(chat.page.get_by_text("Not sent")).to_be_visible()
            await chat.page.get_by_role("button", name="Sign out").click()
            await expect(chat.page.get_by_role("dialog", name="Sign out?")).to_be_visible()

    async def test_where_users_could_not_open_them_the_button_says_so(self, at_desk: Desk) -> None:
        chat = await at_desk.chat(channel="callback")
        why = "Users of this channel cannot open files until public_url is set"
        button = chat.page.get_by_role("button", name="Attach files")
        await expect(button).to_have_attribute("aria-disabled", "true")
        await expect(button).to_have_attribute("title", why)
        await chat.page.keyboard.press("Alt+a")
        await expect(chat.page.get_by_role("alert").filter(has_text=why)).to_be_visible()
        await chat.give("dragover", "plan.txt")
        await expect(chat.page.get_by_text("Drop files here")).to_be_hidden()
        await chat.give("paste", "plan.txt")
        await expect(chat.chips).to_have_count(0)
        await chat.page.close()


class TestSavedReplies:
    async def test_a_slash_and_some_letters_find_one(self, chat: Chat) -> None:
        await chat.field.press_sequentially("/")
        await expect(chat.saved).to_contain_text(["Opening hours", "Hello", "Prices"])
        await chat.field.press_sequentially("pe")
        await expect(chat.saved).to_contain_text(["Opening hours"])
        await chat.field.press("Enter")
        await expect(chat.field).to_have_value("We are open from nine to six.")
        await expect(chat.saved).to_have_count(0)
        await chat.field.press("Enter")
        await chat.expect_sent(1)
        assert await chat.sent() == [("We are open from nine to six.", [])]

    async def test_names_come_before_texts_and_arrows_choose(self, chat: Chat) -> None:
        await chat.field.press_sequentially("/h")
        await expect(chat.saved).to_contain_text(["Hello", "Opening hours", "Prices"])
        await expect(chat.saved.nth(0)).to_have_attribute("aria-selected", "true")
        await chat.field.press("ArrowUp")
        await expect(chat.saved.nth(2)).to_have_attribute("aria-selected", "true")
        await expect(chat.field).to_have_attribute("aria-activedescendant", "saved-replies-2")
        await chat.field.press("ArrowDown")
        await chat.field.press("Tab")
        await expect(chat.field).to_have_value("Hello, I am Bo.")
        await expect(chat.field).to_be_focused()

    async def test_what_fits_nothing_is_not_sent_by_accident(self, chat: Chat) -> None:
        await chat.field.press_sequentially("/prixes")
        await expect(chat.page.get_by_text("No saved reply has “prixes” in it.")).to_be_visible()
        await chat.field.press("Enter")
        await expect(chat.field).to_have_value("/prixes")
        await expect(chat.messages).to_have_count(0)
        await chat.field.press("Escape")
        await chat.field.press("Enter")
        await chat.expect_sent(1)

    async def test_the_button_puts_one_where_the_cursor_is(self, chat: Chat) -> None:
        await chat.field.fill("So: ")
        await chat.page.get_by_role("button", name="Saved replies").click()
        await chat.saved.filter(has_text="Prices").click()
        await expect(chat.field).to_have_value("So: A check costs 49 euros,\nand it is done within the hour.")
        await expect(chat.field).to_be_focused()

    async def test_the_keyboards_list_names_it(self, chat: Chat) -> None:
        await chat.page.keyboard.press("Alt+/")
        help = chat.page.get_by_role("dialog", name="Keyboard shortcuts")
        await expect(help.get_by_text("Find a saved reply, at the beginning of a reply")).to_be_visible()

    async def test_without_any_there_is_nothing_of_it(self, at_desk: Desk, tmp_path: Path) -> None:
        async with at(at_desk.browser, tmp_path) as desk:
            chat = await desk.chat()
            await expect(chat.page.get_by_role("button", name="Attach files")).to_be_visible()
            await expect(chat.page.get_by_role("button", name="Saved replies")).to_be_hidden()
            await expect(chat.page.get_by_text("saved reply")).to_have_count(0)
            await chat.send("/hours")
            await chat.expect_sent(1)
