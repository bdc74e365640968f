"""Drives the two pages as people do: by the names and roles they see or hear (Playwright's sync API)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from playwright.sync_api import Locator, Page, expect

PATIENCE = 60.0  #: seconds that a page has for what somebody expects
Reason = Literal["Resolved", "Not resolved", "Spam", "Something else"]

# -- both pages -------------------------------------------------------------------------------


def lines(page: Page) -> Locator:
    """What was said, one element each, oldest first."""
    return page.get_by_role("log", name="Messages").locator(".message-text")


def expect_line(page: Page, text: str, *, times: int = 1, within: float = PATIENCE) -> None:
    """Expect *text* as a line of the conversation, so many times, within so many seconds."""
    found = lines(page).filter(has_text=re.compile(rf"^{re.escape(text)}$"))
    expect(found).to_have_count(times, timeout=within * 1000)


def expect_notice(page: Page, text: str, *, within: float = PATIENCE) -> None:
    """Expect a line that nobody said, as who joined."""
    notice = page.get_by_role("log", name="Messages").locator(".notice").filter(has_text=text)
    expect(notice.last).to_be_visible(timeout=within * 1000)


def expect_connected(page: Page, *, within: float = PATIENCE) -> None:
    """Expect the page to be in touch with the server (again)."""
    expect(page.get_by_text("Reconnecting")).to_be_hidden(timeout=within * 1000)


# -- the agents' console ------------------------------------------------------------------------


def sign_in(page: Page, token: str) -> None:
    """Sign in at the console, which is open; the agent is online then."""
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Waiting")).to_be_visible()


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to the desk")).to_be_visible()


def be(page: Page, presence: Literal["online", "away"]) -> None:
    """Take chats, or have a break."""
    switch = page.get_by_role("switch", name="Online")
    wanted = str(presence == "online").lower()
    if switch.get_attribute("aria-checked") != wanted:
        switch.click()
    expect(switch).to_have_attribute("aria-checked", wanted)


def waiting(page: Page) -> Locator:
    """The chats that wait, oldest first."""
    return page.get_by_role("list", name="Waiting").get_by_role("link")


def accept_first(page: Page, *, within: float = PATIENCE) -> None:
    """Accept whoever has waited longest."""
    waiting(page).first.click(timeout=within * 1000)
    page.get_by_role("button", name="Accept chat").click()
    expect(page.get_by_role("textbox", name="Reply to")).to_be_focused()


def to_call_back(page: Page) -> Locator:
    """The requests to call somebody back that nobody has taken, oldest first."""
    return page.get_by_role("list", name="To call back").get_by_role("link")


def take_callback(page: Page) -> None:
    """Take the request that is open."""
    page.get_by_role("button", name="Take it").click()
    expect(page.get_by_role("button", name="Done")).to_be_visible()


def open_chat(page: Page, name: str) -> None:
    """Select a chat in the list, by what the list calls its user."""
    page.get_by_role("navigation", name="Chats").get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def reply(page: Page, text: str) -> None:
    """Write to the user whose chat is open; several lines are typed as such."""
    field = page.get_by_role("textbox", name="Reply to")
    field.fill(text)
    field.press("Enter")


def expect_delivered(page: Page, text: str, *, within: float = PATIENCE) -> None:
    """Expect the reply to have reached the user."""
    message = page.get_by_role("log", name="Messages").locator(".message").filter(has_text=text).last
    expect(message.locator(".message-state")).to_have_attribute("data-state", "delivered", timeout=within * 1000)


def expect_user_typing(page: Page) -> None:
    expect(page.get_by_text(re.compile(r" is typing$"))).to_be_attached()


def hand_over(page: Page, to: str | None) -> None:
    """Give the open chat to another agent, or (None) back to the queue."""
    page.get_by_role("button", name="Hand over").click()
    dialog = page.get_by_role("dialog", name="Hand over this chat")
    dialog.get_by_role("radio", name=to or "Back to the queue").check()
    dialog.get_by_role("button", name="Hand over").click()
    expect(dialog).to_be_hidden()


def close_chat(page: Page, reason: Reason = "Resolved", *, note: str = "", tags: Sequence[str] = ()) -> None:
    """End the open chat."""
    page.get_by_role("button", name="End chat").click()
    _close(page.get_by_role("dialog", name="End this chat"), "End chat", reason, note, tags)


def close_callback(page: Page, reason: Reason = "Resolved", *, note: str = "", tags: Sequence[str] = ()) -> None:
    """Close the request to call back that is open: it was done."""
    page.get_by_role("button", name="Done").click()
    _close(page.get_by_role("dialog", name="Close this request"), "Close", reason, note, tags)


def _close(dialog: Locator, button: str, reason: Reason, note: str, tags: Sequence[str]) -> None:
    dialog.get_by_role("radio", name=reason, exact=True).check()
    dialog.get_by_role("textbox", name="Note").fill(note)
    for tag in tags:
        field = dialog.get_by_role("textbox", name="Tags")
        field.fill(tag)
        field.press("Enter")
    dialog.get_by_role("button", name=button).click()
    expect(dialog).to_be_hidden()


# -- the user's page ------------------------------------------------------------------------------


def user_says(page: Page, text: str) -> None:
    """Write on the user's page, which is open."""
    field = page.get_by_role("textbox", name="Your message")
    field.fill(text)
    field.press("Enter")


def user_chooses(page: Page, title: str) -> None:
    """Press a button that the bot offers."""
    page.get_by_role("group", name="Answers to choose from").get_by_role("button", name=title).click()


def user_leaves(page: Page) -> None:
    """End the chat with the agents' side, or stop waiting for it."""
    page.get_by_role("button", name=re.compile("^(End chat|Leave)$")).first.click()
    page.get_by_role("dialog", name="End this chat?").get_by_role("button", name="End chat").click()


def expect_talking_to(page: Page, name: str, *, within: float = PATIENCE) -> None:
    """Expect the page's head to say whom the user talks to: "Assistant", "In the queue", or an agent."""
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible(timeout=within * 1000)


def expect_sent(page: Page, text: str, *, within: float = PATIENCE) -> None:
    """Expect the server to have what the user wrote."""
    message = page.get_by_role("log", name="Messages").locator(".message").filter(has_text=text).last
    expect(message.locator(".message-state")).to_have_attribute("data-state", "sent", timeout=within * 1000)


def expect_read(page: Page, text: str, *, within: float = PATIENCE) -> None:
    """Expect the page to say that a person has read what the user wrote up to here, and no further."""
    found = page.get_by_role("log", name="Messages").locator('.message:has([data-state="read"])')
    expect(found).to_have_count(1, timeout=within * 1000)
    expect(found).to_contain_text(text, timeout=within * 1000)
    expect(found.get_by_text("Read", exact=True)).to_be_visible()
