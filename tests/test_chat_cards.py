"""Cards, links and files of the server's own, as the chat page shows them in a browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

from rasa_handoff.events import AgentMessage
from rasa_handoff.model import Attachment, Button, Card
from tests.browsers import running_browser
from tests.web_stage import Web

pytestmark = pytest.mark.browser


@pytest_asyncio.fixture
async def page(web: Web) -> AsyncIterator[Page]:
    """The chat page, in a conversation of its own."""
    async with running_browser() as browser:
        page = await browser.new_page()
        await page.goto(f"{web.url}/chat/")
        yield page


async def chat_of(web: Web, page: Page) -> str:
    """An agent has the page's conversation."""
    await web.agent_online()
    find = "Object.values(localStorage).map((each) => JSON.parse(each).sender).find(Boolean)"
    sender = await (await page.wait_for_function(find)).json_value()
    return str((await web.open(sender))["id"])


async def show(route: Route) -> None:
    """Answer with a picture."""
    picture = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="900"/>'
    await route.fulfill(content_type="image/svg+xml", body=picture)


async def test_a_card_has_a_picture_a_link_and_answers_that_can_be_pressed_once(web: Web, page: Page) -> None:
    chat = await chat_of(web, page)
    take, more = Button(title="Take it", payload="/take"), Button(title="More", payload="", url="https://x.test/more")
    card = Card(title="City bike", text="7 gears", url="https://x.test/bike", buttons=(take, more))
    await web.runtime.inbox.apply("desk", AgentMessage(chat_id=chat, text="Look:", cards=(card,)))
    shown = page.get_by_role("group", name="City bike")
    await expect(shown.get_by_text("7 gears")).to_be_visible()
    await expect(shown.get_by_role("link", name="City bike")).to_have_attribute("href", "https://x.test/bike")
    await expect(shown.get_by_role("link", name="More")).to_have_attribute("href", "https://x.test/more")
    await expect(shown.get_by_role("button", name="Take it")).to_be_visible()
    await web.runtime.inbox.apply("desk", AgentMessage(chat_id=chat, text="Or shall I?"))
    await expect(shown.get_by_role("button", name="Take it")).to_be_hidden()
    await expect(shown.get_by_role("link", name="More")).to_be_visible()


async def test_a_button_that_leads_elsewhere_is_a_link(web: Web, page: Page) -> None:
    chat = await chat_of(web, page)
    buttons = (Button(title="Yes", payload="/yes"), Button(title="Our site", payload="", url="https://x.test/"))
    await web.runtime.inbox.apply("desk", AgentMessage(chat_id=chat, text="Well?", buttons=buttons))
    await expect(page.get_by_role("button", name="Yes")).to_be_visible()
    await expect(page.get_by_role("link", name="Our site")).to_have_attribute("href", "https://x.test/")


async def test_a_file_of_the_server_itself_is_shown_whatever_its_address_and_once(web: Web, page: Page) -> None:
    await page.route("**/media/token/*", show)
    chat = await chat_of(web, page)
    file = Attachment(url="/webhooks/handoff/media/token/a.png", kind="image", name="a.png")
    await web.runtime.inbox.apply("desk", AgentMessage(chat_id=chat, attachments=(file,)))
    origin = web.url.partition("/webhooks")[0]
    picture = page.get_by_role("log").get_by_role("img")
    await expect(picture).to_have_attribute("src", f"{origin}/webhooks/handoff/media/token/a.png")
    await expect(picture).to_have_attribute("alt", "a.png")


async def test_a_picture_that_is_not_to_be_had_is_still_a_file(web: Web, page: Page) -> None:
    chat = await chat_of(web, page)
    file = Attachment(url="/webhooks/handoff/media/expired/a.png", kind="image", name="a.png")
    await web.runtime.inbox.apply("desk", AgentMessage(chat_id=chat, attachments=(file,)))
    await expect(page.get_by_role("link", name="a.png").get_by_text("a.png")).to_be_visible()
    await expect(page.get_by_role("log").get_by_role("img")).to_have_count(0)


async def test_sound_can_be_played_and_has_a_name_to_open_it_by(web: Web, page: Page) -> None:
    chat = await chat_of(web, page)
    file = Attachment(url="https://x.test/voice.mp3", kind="audio", name="voice.mp3")
    await web.runtime.inbox.apply("desk", AgentMessage(chat_id=chat, attachments=(file,)))
    await expect(page.get_by_label("voice.mp3")).to_have_attribute("src", "https://x.test/voice.mp3")
    await expect(page.get_by_role("link", name="voice.mp3")).to_have_attribute("href", "https://x.test/voice.mp3")


async def test_a_picture_that_comes_late_does_not_push_the_last_line_out_of_sight(web: Web, page: Page) -> None:
    has_words = asyncio.Event()

    async def show_late(route: Route) -> None:
        await has_words.wait()
        await show(route)

    await page.set_viewport_size({"width": 600, "height": 400})
    await page.route("https://x.test/a.svg", show_late)
    chat = await chat_of(web, page)
    picture = Attachment(url="https://x.test/a.svg", kind="image", name="a.svg")
    for message in (AgentMessage(chat_id=chat, attachments=(picture,)), AgentMessage(chat_id=chat, text="Well?")):
        await web.runtime.inbox.apply("desk", message)
    await expect(page.get_by_text("Well?")).to_be_visible()
    has_words.set()
    await expect(page.get_by_role("img", name="a.svg")).to_have_js_property("naturalHeight", 900)
    await expect(page.get_by_text("Well?")).to_be_in_viewport()
