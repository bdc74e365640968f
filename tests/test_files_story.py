"""Files that a user sends from the chat page: a real browser, a real bot, and an agent who gets them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, FilePayload, Locator, Page, Route, expect

from tests import pages
from tests.servers import Agent, Bot, running, until
from tests.test_story import browser  # noqa: F401 (a fixture)

pytestmark = pytest.mark.browser

LARGEST = 100 * 1024
UPLOADS = "**/webhooks/handoff/files?*"
SENDER = "Object.values(localStorage).map((each) => JSON.parse(each).sender).find(Boolean) ?? ''"
# 24 by 16 points of one colour.
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000001800000010010300000036ea2dd600000003504c544514594ca846ddd00000000c4944415478"
    "da6360a00c00000040000189c9af430000000049454e44ae426082"
)
PASTE = """(names) => {
  const clipboardData = new DataTransfer();
  for (const name of names) clipboardData.items.add(new File(["pasted"], name, { type: "text/plain" }));
  document.activeElement.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
}"""


def a_file(name: str, content: bytes = b"some words", mime: str = "text/plain") -> FilePayload:
    return {"name": name, "mimeType": mime, "buffer": content}


@dataclass(frozen=True, kw_only=True)
class Chat:
    """A conversation that an agent has, from both ends."""

    page: Page  #: the user's
    agent: Agent
    sender: str
    id: str

    def give(self, *files: FilePayload) -> None:
        """Choose files, as if the dialog of the operating system had been open."""
        self.page.locator("input[type=file]").set_input_files(list(files))

    def give_held(self, name: str) -> None:
        """Choose a file that is `held`; it is on its way then."""
        with self.page.expect_request(UPLOADS):
            self.give(a_file(name))

    def line(self, name: str) -> Locator:
        """The line of the file that was given last by this name."""
        with_name = self.page.locator(f'text="{name}"').or_(self.page.get_by_role("img", name=name))
        return self.page.get_by_role("log", name="Messages").locator(".message").filter(has=with_name).last

    def said(self) -> list[str]:
        """What the agent has of the user: texts, and files by their names."""
        messages = self.agent.ask("GET", f"/chats/{self.id}")["messages"]
        found = [[message["text"], *names(message)] for message in messages if message["who"] == "user"]
        return [word for words in found for word in words if word]

    def expect_said(self, *words: str) -> None:
        until(lambda: len(self.said()) >= len(words), what=f"{words}")
        assert self.said() == list(words)


def names(message: dict[str, Any]) -> list[str]:
    return [each["name"] for each in message["attachments"]]


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    with running(Bot(tmp_path_factory.mktemp("files"), section={"largest_file": LARGEST})) as bot:
        yield bot


@pytest.fixture(scope="module")
def agent(bot: Bot) -> Iterator[Agent]:
    agent = Agent(bot)
    agent.come()
    yield agent
    agent.go()


@pytest.fixture
def user(bot: Bot, browser: Browser) -> Iterator[Page]:  # noqa: F811
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{bot.url}/webhooks/handoff/chat/")
        yield page


@pytest.fixture
def chat(bot: Bot, agent: Agent, user: Page) -> Chat:
    sender = until(lambda: user.evaluate(SENDER), what="the conversation")
    bot.operator("POST", "/handoffs", {"sender_id": sender, "channel": "handoff"})
    chat = Chat(page=user, agent=agent, sender=sender, id=agent.accept(sender))
    pages.expect_talking_to(user, "Agent 1")
    return chat


@contextmanager
def held(page: Page) -> Iterator[list[Route]]:
    """Files do not get out of the browser until the end; those that it gives up are to be taken from the list."""
    routes: list[Route] = []
    page.route(UPLOADS, lambda route: routes.append(route))
    yield routes
    for route in routes:
        route.continue_()
    page.unroute(UPLOADS)


def test_a_picture_is_shown_at_both_ends_and_stays_after_a_reload(bot: Bot, chat: Chat, browser: Browser) -> None:  # noqa: F811
    with chat.page.expect_file_chooser() as chooser:
        chat.page.get_by_role("button", name="Attach files").click()
    assert chooser.value.is_multiple()
    chooser.value.set_files([a_file("bike.png", PICTURE, "image/png"), a_file("bill.pdf", b"%PDF-", "application/pdf")])
    pages.user_says(chat.page, "This is the bike.")
    chat.expect_said("bike.png", "bill.pdf", "This is the bike.")
    expect(chat.line("bill.pdf")).to_contain_text("5 bytes")
    thumbnail = chat.page.get_by_role("img", name="bike.png")
    expect(thumbnail).to_have_attribute("src", re.compile("^blob:"))
    expect_shown(thumbnail)
    chat.page.reload()
    expect(thumbnail).to_have_attribute("src", re.compile("^http"))
    expect_shown(thumbnail)
    with browser.new_context() as context:
        console = context.new_page()
        console.goto(f"{bot.url}/webhooks/handoff/desk/")
        pages.sign_in(console, chat.agent.token)
        pages.open_chat(console, f"Guest {chat.agent.ask('GET', f'/chats/{chat.id}')['chat']['user_number']}")
        arrived = console.get_by_role("log", name="Messages").get_by_role("img", name="bike.png")
        expect_shown(arrived)
        bill = console.get_by_role("log", name="Messages").get_by_role("link", name="bill.pdf")
        expect(bill).to_contain_text("5 bytes")
        assert requests.get(str(arrived.get_attribute("src")), timeout=60).content == PICTURE


def expect_shown(picture: Locator) -> None:
    """Expect the browser to have it, and its size."""
    expect(picture).to_have_js_property("naturalWidth", 24)


def test_files_are_dropped_on_the_page_while_somebody_takes_them(
    bot: Bot, agent: Agent, user: Page, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("dropped")
    folder = tmp_path / "folder"
    folder.mkdir()
    overlay = user.get_by_text("Drop files here to send them")
    for step in ("dragEnter", "dragOver", "drop"):
        drag(user, step, tmp_path / "a.txt")
    expect(overlay).to_be_hidden()
    expect(user.get_by_role("button", name="Attach files")).to_be_hidden()
    chat: Chat = request.getfixturevalue("chat")
    drag(user, "dragEnter", tmp_path / "a.txt")
    expect(overlay).to_be_visible()
    overlay.dispatch_event("dragleave")
    expect(overlay).to_be_hidden()
    drag(user, "dragOver", tmp_path / "a.txt")
    expect(overlay).to_be_visible()
    drag(user, "dragCancel", tmp_path / "a.txt")
    user.mouse.move(250, 300)
    expect(overlay).to_be_hidden()
    drag(user, "dragEnter", tmp_path / "a.txt", tmp_path / "b.txt", folder)
    drag(user, "dragOver", tmp_path / "a.txt", tmp_path / "b.txt", folder)
    drag(user, "drop", tmp_path / "a.txt", tmp_path / "b.txt", folder)
    expect(overlay).to_be_hidden()
    expect(user.get_by_text("A folder cannot be sent")).to_be_visible()
    chat.expect_said("a.txt", "b.txt")


def drag(page: Page, step: str, *files: Path) -> None:
    """What the operating system tells the browser while somebody drags files over it."""
    wire = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(each) for each in files], "dragOperationsMask": 1}
    wire.send("Input.dispatchDragEvent", {"type": step, "x": 200, "y": 300, "data": data})
    wire.detach()


def test_what_is_pasted_goes_too_and_no_more_than_ten_at_once(chat: Chat) -> None:
    chat.page.evaluate(PASTE, [f"{number}.txt" for number in range(12)])
    expect(chat.page.get_by_text("Up to 10 files can be sent at once. 2 were left out.")).to_be_visible()
    chat.expect_said(*[f"{number}.txt" for number in range(10)])


def test_nothing_overtakes_a_file_that_takes_long(chat: Chat) -> None:
    with held(chat.page):
        chat.give_held("long.txt")
        expect(chat.page.get_by_role("progressbar", name="Sending long.txt")).to_be_visible()
        pages.user_says(chat.page, "What do you say?")
        expect(chat.line("long.txt").get_by_role("button", name="Cancel")).to_be_visible()
        assert chat.said() == []
    chat.expect_said("long.txt", "What do you say?")
    expect(chat.page.get_by_role("progressbar", name="Sending long.txt")).to_be_hidden()
    pages.expect_sent(chat.page, "What do you say?")


def test_a_file_is_taken_back_while_it_goes(chat: Chat) -> None:
    wire = chat.page.context.new_cdp_session(chat.page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 8 * 1024}
    wire.send("Network.emulateNetworkConditions", slow)
    chat.give(a_file("wrong.txt", b"x" * LARGEST))
    bar = chat.page.get_by_role("progressbar", name="Sending wrong.txt")
    until(lambda: 0 < float(bar.evaluate("(bar) => bar.value")) < 1, what="progress")
    with chat.page.expect_event("requestfailed"):
        chat.line("wrong.txt").get_by_role("button", name="Cancel").click()
    expect(chat.line("wrong.txt")).to_have_count(0)
    expect(chat.page.get_by_role("textbox", name="Your message")).to_be_focused()
    wire.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    chat.give(a_file("right.txt"))
    chat.expect_said("right.txt")


def test_what_cannot_be_sent_says_why_and_keeps_nobody_waiting(chat: Chat) -> None:
    asked: list[str] = []
    chat.page.on("request", lambda request: asked.append(request.url))
    chat.give(a_file("huge.txt", b"x" * (LARGEST + 1)), a_file("empty.txt", b""))
    pages.user_says(chat.page, "Did you get them?")
    too_large = "Not sent: larger than 100 kB, which is the most that can be sent"
    expect(chat.line("huge.txt").get_by_role("alert")).to_have_text(too_large)
    expect(chat.line("empty.txt").get_by_role("alert")).to_have_text("Not sent: the file is empty")
    chat.expect_said("Did you get them?")
    assert not any("/files?" in url for url in asked)
    chat.give(*[a_file(f"{number}.txt", b"x" * (LARGEST - 1)) for number in range(5)])
    expect(chat.line("4.txt").get_by_role("alert")).to_have_text("Not sent: this chat cannot take any more files")
    chat.line("4.txt").get_by_role("button", name="Discard").click()
    expect(chat.line("4.txt")).to_have_count(0)
    chat.expect_said("Did you get them?", "0.txt", "1.txt", "2.txt", "3.txt")


def test_a_chat_that_ends_takes_no_file_and_the_bot_hears_nothing_of_it(bot: Bot, chat: Chat) -> None:
    with held(chat.page) as routes:
        chat.give_held("late.txt")
        pages.user_says(chat.page, "My number is in the file.")
        chat.agent.close(chat.id)
        ended = "Not sent: the chat ended before it was there"
        expect(chat.line("late.txt").get_by_role("alert")).to_have_text(ended)
        routes.clear()  # the browser has given them up
    text = chat.page.locator(".message").filter(has_text="My number is in the file.")
    expect(text.get_by_role("button", name="Try again")).to_be_visible()
    expect(chat.page.get_by_role("button", name="Attach files")).to_be_hidden()
    assert chat.said() == []
    assert "My number" not in str(bot.tracker(chat.sender)["events"])


def test_a_file_waits_for_the_connection(chat: Chat) -> None:
    chat.page.context.set_offline(True)
    chat.give(a_file("later.txt"))
    failed = chat.line("later.txt")
    expect(failed.get_by_role("alert")).to_have_text("Not sent")
    chat.page.context.set_offline(False)
    try_again(chat.page)
    chat.expect_said("later.txt")
    expect(failed.locator(".message-state")).to_have_attribute("data-state", "sent")


def try_again(page: Page) -> None:
    """Press the button, unless the page has tried by itself."""
    page.get_by_role("button", name="Try again").evaluate_all("(buttons) => buttons[0]?.click()")


def test_a_file_that_is_gone_meanwhile_is_not_tried_for_ever(chat: Chat, tmp_path: Path) -> None:
    path = tmp_path / "moved.txt"
    path.write_text("some words")
    chat.page.context.set_offline(True)
    chat.page.locator("input[type=file]").set_input_files(path)
    expect(chat.line("moved.txt").get_by_role("alert")).to_have_text("Not sent")
    path.unlink()
    pages.user_says(chat.page, "Well?")
    gone = "Not sent: it is not there any more, or has been changed"
    expect(chat.line("moved.txt").get_by_role("alert")).to_have_text(gone)
    expect(chat.page.get_by_role("button", name="Try again")).to_have_count(1)
    chat.page.context.set_offline(False)
    try_again(chat.page)
    chat.expect_said("Well?")


def test_a_page_that_is_closed_too_early_says_what_it_lost(chat: Chat) -> None:
    chat.page.on("dialog", lambda dialog: dialog.accept())
    with held(chat.page) as routes:
        chat.give_held("lost.txt")
        pages.user_says(chat.page, "Here you are.")
        chat.page.reload()
        routes.clear()
    lost = "Not sent: the page was closed before it was there"
    expect(chat.line("lost.txt").get_by_role("alert")).to_have_text(lost)
    chat.expect_said("Here you are.")


def test_another_tab_of_the_chat_does_not_stop_a_file(bot: Bot, chat: Chat) -> None:
    with held(chat.page):
        chat.give_held("both.txt")
        tab = chat.page.context.new_page()
        tab.goto(f"{bot.url}/webhooks/handoff/chat/")
        expect(tab.get_by_text("both.txt", exact=True)).to_be_visible()
        pages.user_says(tab, "From the other tab.")
        chat.expect_said("From the other tab.")
    chat.expect_said("From the other tab.", "both.txt")
    for page in (tab, chat.page):
        expect(page.locator(".message").filter(has_text="both.txt").get_by_text("Sent", exact=True)).to_be_attached()
        expect(page.get_by_role("alert")).to_have_count(0)
