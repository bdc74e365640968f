"""An agent of the desk takes back what the user has not got: over HTTP, and on the console."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect
from rasa.core.channels.callback import CallbackInput
from rasa.utils.endpoints import EndpointConfig

from rasa_handoff.testing import Wire
from tests.browsers import console, running_browser
from tests.web_stage import Agent, Answer, Web, open_web

FIRST, SECOND = (str(uuid.UUID(int=number, version=4)) for number in (1, 2))


@pytest_asyncio.fixture
async def web(tmp_path: Path, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Web]:
    """A server whose users on the channel ``callback`` are reached when the wire is up, which it is not."""
    monkeypatch.setattr(Web, "_channels", lambda web: [CallbackInput(EndpointConfig(wire.url))])
    wire.down()
    async with open_web(f"sqlite:///{tmp_path}/handoff.db", tmp_path) as web:
        yield web


async def talking(web: Web, channel: str = "callback") -> tuple[Agent, str]:
    """An agent, and their chat with a user."""
    bo = await web.agent_online()
    chat = str((await web.open("ann", channel=channel))["id"])
    await bo.accept(chat)
    return bo, chat


async def takes_back(agent: Agent, chat: str, message_id: str) -> Answer:
    return await agent.ask("DELETE", f"/desk/api/chats/{chat}/messages/{message_id}")


async def until_taken_back(web: Web, agent: Agent, chat: str, message_id: str) -> Any:
    """The message, taken back at a moment at which it is not on its way."""
    answers: list[Answer] = []

    async def is_done() -> bool:
        answers.append(await takes_back(agent, chat, message_id))
        return answers[-1].status == 200

    await web.until(is_done)
    return answers[-1].json["message"]


def texts(wire: Wire) -> list[str]:
    """What users read of agents."""
    return [each.json["text"] for each in wire.taken() if not each.json["text"].startswith("utter_")]


async def test_it_never_comes_and_what_was_written_next_does(web: Web, wire: Wire) -> None:
    bo, chat = await talking(web)
    await bo.reply(chat, "at nin", FIRST)
    await bo.reply(chat, "at nine", SECOND)
    stream = await bo.come()
    assert (await until_taken_back(web, bo, chat, FIRST))["state"] == "taken_back"
    told = await stream.until(lambda event: event.name == "message" and event.data["state"] == "taken_back")
    assert told.data["id"] == FIRST
    assert (await takes_back(bo, chat, FIRST)).json["message"] == told.data
    wire.up()
    await web.until(lambda: texts(wire) == ["at nine"])
    states = [(each["text"], each["state"]) for each in (await bo.look_at(chat))["messages"]]
    assert states[0] == ("at nin", "taken_back")


async def test_the_list_of_chats_shows_what_was_said_before(web: Web) -> None:
    bo, chat = await talking(web)
    await bo.reply(chat, "Good morning!", FIRST)
    await bo.reply(chat, "at nin", SECOND)
    for message_id, shown in ((SECOND, "Good morning!"), (FIRST, None)):
        await until_taken_back(web, bo, chat, message_id)
        assert [each["last_message"] for each in (await bo.chats())["open"]] == [shown]


async def test_what_the_user_has_stays(web: Web) -> None:
    bo, chat = await talking(web, channel="handoff")
    stream = await bo.come()
    await bo.reply(chat, "at nine", FIRST)
    await stream.until(lambda event: event.name == "message" and event.data["state"] == "delivered")
    answer = await takes_back(bo, chat, FIRST)
    assert (answer.status, answer.code) == (409, "delivered")
    assert [each["state"] for each in (await bo.look_at(chat))["messages"]] == ["delivered"]


async def test_only_agents_messages_of_an_own_chat_that_goes_on_can_be_taken_back(web: Web) -> None:
    bo, chat = await talking(web)
    await bo.reply(chat, "at nin", FIRST)
    await web.say("ann", "hello")
    other = str((await web.open("ben", channel="callback"))["id"])
    await bo.accept(other)

    users: list[str] = []

    async def is_there() -> bool:
        users[:] = [each["id"] for each in (await bo.look_at(chat))["messages"] if each["who"] == "user"]
        return bool(users)

    await web.until(is_there)
    for where, which in ((chat, SECOND), (other, FIRST), (chat, users[0]), (FIRST, FIRST)):
        assert (await takes_back(bo, where, which)).status == 404
    assert (await takes_back(await web.agent_online("Cleo"), chat, FIRST)).code == "not_yours"
    await bo.close(chat)
    assert (await takes_back(bo, chat, FIRST)).code == "closed"


@pytest.mark.browser
async def test_the_console_offers_it_once_the_message_has_waited(web: Web, wire: Wire) -> None:
    async with running_browser() as browser:
        page = await console(web, browser)
        chat = str((await web.open("ann", channel="callback"))["id"])
        await page.goto(f"{web.url}/desk/#/chats/{chat}")
        await page.get_by_role("button", name="Accept chat").click()
        field = page.get_by_role("textbox", name="Reply to")
        for text in ("at nin", "at nine"):
            await field.fill(text)
            await field.press("Enter")
        messages = page.get_by_role("log", name="Messages").locator(".message.by-agent")
        await expect(messages.get_by_text("Not delivered yet")).to_have_count(2)
        taken_back = messages.first.get_by_text("Taken back", exact=True)
        while not await taken_back.is_visible():  # while it is being tried again, it cannot be
            await messages.first.get_by_role("button", name="Take back").click()
            await expect(taken_back.or_(page.get_by_text("It is too late"))).to_be_visible()
        await expect(field).to_be_focused()
        wire.up()
        await expect(messages.last.locator(".message-state")).to_have_attribute("data-state", "delivered")
        await expect(page.get_by_role("button", name="Take back")).to_have_count(0)
        assert texts(wire) == ["at nine"]
