"""What strangers write and name is text at the console, and no part of the page."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from rasa_handoff.model import Attachment, Message, new_id
from tests.browsers import console as signed_in
from tests.browsers import running_browser
from tests.web_stage import Agent, Web, open_web, token_of

pytestmark = pytest.mark.browser

MARKUP = "<img src=x onerror=alert(1)>"
SCRIPT = "javascript:alert(1)"


async def settled(web: Web, sender: str) -> None:
    async def is_the_bots() -> bool:
        return await web.runtime.switchboard.holder(sender) is None

    await web.until(is_the_bots)


async def chat_of_a_stranger(web: Web, bo: Agent) -> str:
    """A chat that has markup in every place where somebody can write it, and another one before it."""
    user = await web.user()
    before = (await user.asks_for_an_agent(group=MARKUP))["id"]
    await bo.accept(before)
    await bo.close(before, reason="other", note=MARKUP, tags=[MARKUP])
    await settled(web, user.sender)
    transcript = [{"who": "user", "text": MARKUP, "at": time.time()}]
    wishes = {"group": MARKUP, "priority": MARKUP, "parameters": {MARKUP: MARKUP}, "last_message": MARKUP}
    chat = str((await user.asks_for_an_agent(transcript=transcript, **wishes))["id"])
    await bo.accept(chat)
    url = (await user.gives(b"some words", MARKUP, "text/plain")).json["file"]["url"]
    attachments = [Attachment(url=url, name=MARKUP)]
    attachments += [Attachment(url=SCRIPT, kind=kind, name=MARKUP) for kind in ("image", "video", "file", "location")]
    said = Message(id=new_id(), who="user", text=f"{MARKUP} {SCRIPT}", at=time.time(), attachments=tuple(attachments))
    await web.runtime.switchboard.said(user.sender, said, new_id())
    await bo.reply(chat, MARKUP, files=[(await bo.gives(chat, b"<svg>", MARKUP)).json["file"]["id"]])
    return chat


async def require_only_text(page: Page) -> None:
    """Require that nothing of what was written became an element or an address."""
    addresses = "[href^='javascript'], [src^='javascript'], [src='x'], [onerror]"
    assert await page.locator(addresses).count() == 0


async def test_markup_is_read_as_it_was_written(tmp_path: Path) -> None:
    desk = {
        "agents": [{"name": "Bo", "token": token_of("Bo"), "groups": [MARKUP]}],
        "saved_replies": [{"name": MARKUP, "text": MARKUP}],
    }
    section = {"backends": {"desk": desk}}
    async with running_browser() as browser, open_web(f"sqlite:///{tmp_path}/h.db", tmp_path, **section) as web:
        chat = await chat_of_a_stranger(web, await web.agent_online())
        page = await signed_in(web, browser)
        await page.goto(f"{web.url}/desk/#/chats/{chat}")
        log = page.get_by_role("log", name="Messages")
        await expect(log.locator(".message-text").filter(has_text=MARKUP)).to_have_count(2)
        await expect(log.get_by_role("link", name=MARKUP)).to_have_count(2)
        await expect(log.get_by_text("cannot be shown")).to_have_count(4)
        await expect(page.get_by_role("list", name="Other chats of this user").get_by_text(MARKUP)).to_be_visible()
        await page.get_by_role("textbox", name="Reply to").fill("/")
        await expect(page.get_by_role("option").filter(has_text=MARKUP)).to_be_visible()
        await require_only_text(page)
