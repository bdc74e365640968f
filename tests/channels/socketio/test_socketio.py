"""Socket.IO: Rasa's own channel, real connections of a page, and what arrives at both ends."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from rasa.core.agent import Agent
from rasa.core.channels.socketio import SocketIOInput
from socketio import AsyncServer

from rasa_handoff import outbox
from rasa_handoff.channels.base import Around
from rasa_handoff.channels.socketio import SocketIO
from rasa_handoff.model import Attachment, Button, Card
from tests.channels.line import Line
from tests.channels.socketio.page import Page, begin


@pytest_asyncio.fixture
async def line(tmp_path: Path, rasa_agent: Agent) -> AsyncIterator[Line]:
    line = Line(tmp_path, SocketIOInput(session_persistence=True), rasa_agent)
    await line.up()
    yield line
    await line.down()


@pytest_asyncio.fixture
async def page(line: Line) -> AsyncIterator[Page]:
    page = Page(line.url)
    await page.come()
    yield page
    await page.go()


async def test_a_text_reaches_the_agent_and_not_the_bot(line: Line, page: Page) -> None:
    await line.hand_over("ann")
    for name in ("user_uttered", "attachments", "attachments", "typo"):
        await page.say(name)
    first, second, third = await line.heard(3)
    assert (first.text, second.text, third.text) == ("Hi there!", "Look", "At nin")
    assert [each.url for each in second.attachments] == ["https://files.example.com/bike.jpg"]
    assert await line.bot_heard("ann") == []


async def test_an_edited_message_is_marked(line: Line, page: Page) -> None:
    await line.hand_over("ann")
    for name in ("typo", "edited", "edited", "user_uttered"):
        await page.say(name)
    assert [each.text for each in await line.heard(3)] == ["At nin", "✎ At nine", "Hi there!"]


async def test_an_agent_writes_to_the_page_that_is_open(line: Line, page: Page) -> None:
    handoff = await line.hand_over("ann")
    await line.reply(handoff, "Hi Ann")
    await line.until(lambda: "Hi Ann" in page.texts())
    who = page.said()[-1]["metadata"]["handoff"]
    assert (who["who"], who["name"], who["avatar_url"]) == ("agent", "Bo", "https://desk.test/bo.png")
    assert who["message_id"]


async def test_a_server_that_is_alone_has_nothing_to_complain_of(line: Line, page: Page) -> None:
    handoff = await line.hand_over("ann")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", RuntimeWarning)  # Python's, of an answer that nobody waits for
        await line.reply(handoff, "Hi Ann")
    assert [str(each.message) for each in told if each.category is RuntimeWarning] == []


async def test_what_was_written_meanwhile_comes_at_once_when_the_page_is_back(
    line: Line, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page only connects again; its user need not write."""
    monkeypatch.setattr(outbox, "_SCHEDULE", (600.0,))  # or it would come by itself
    handoff = await line.hand_over("ann")
    await line.gone(handoff)
    await page.go()
    await line.until(lambda: not line.channel.sio.manager.rooms.get("/", {}).get("ann"))
    for text in ("one", "two"):
        await line.try_reply(handoff, text)
    back = Page(line.url)
    await back.come()
    try:
        await line.gone(handoff)
        await back.caught_up()
        assert back.texts() == ["one", "two"]
    finally:
        await back.go()


async def test_another_users_page_gets_nothing_of_it(line: Line, page: Page) -> None:
    other = Page(line.url)
    await other.come("bob")
    try:
        handoff = await line.hand_over("ann")
        await line.reply(handoff, "for Ann")
        await line.until(lambda: "for Ann" in page.texts())
        await other.caught_up()
        assert other.said() == []
    finally:
        await other.go()


async def test_typing_is_an_event_of_ours(line: Line, page: Page) -> None:
    handoff = await line.hand_over("ann")
    await line.type(handoff)
    await line.until(lambda: page.said("handoff_typing"))
    assert page.said("handoff_typing") == [{"typing": True}]


async def test_pictures_buttons_and_cards_have_the_form_of_what_the_bot_says(line: Line, page: Page) -> None:
    handoff = await begin(line, page)
    await line.reply(
        handoff,
        "Sure?",
        buttons=(Button(title="Yes", payload="/affirm"),),
        attachments=(
            Attachment(url="https://a.test/cat.png", kind="image"),
            Attachment(url="https://a.test/bill.pdf", name="bill.pdf"),
        ),
        cards=(Card(title="Blue", text="A bike", image_url="https://a.test/b.png", url="https://a.test/b"),),
    )
    await line.until(lambda: len(page.said()) == 4)
    question, image, file, card = page.said()
    assert question["text"] == "Sure?"
    assert question["quick_replies"] == [{"content_type": "text", "title": "Yes", "payload": "/affirm"}]
    assert image["attachment"]["type"] == "image"
    assert image["attachment"]["payload"]["src"] == "https://a.test/cat.png"
    assert file["text"] == "bill.pdf: https://a.test/bill.pdf"
    (element,) = card["attachment"]["payload"]["elements"]
    assert (element["title"], element["subtitle"], element["image_url"]) == ("Blue", "A bike", "https://a.test/b.png")


async def test_the_bot_speaks_again_on_the_same_page(line: Line, page: Page) -> None:
    handoff = await line.hand_over("ann")
    await page.say("user_uttered")
    await line.heard()
    await line.close(handoff)
    said = await line.bot_said("ann")
    assert said
    await line.until(lambda: set(said) <= set(page.texts()))


# -- what does not work, and how it is known ------------------------------------------------------


def troubles(**settings: Any) -> list[str]:
    around = Around(store=None, now=lambda: 0.0)  # type: ignore[arg-type]
    return list(SocketIO(SocketIOInput(**settings), around).troubles())


def test_a_sound_set_up_has_no_troubles() -> None:
    assert troubles(session_persistence=True) == []


def test_without_persistence_a_user_who_reconnects_is_another() -> None:
    (trouble,) = troubles()
    assert "session_persistence: true" in trouble


def test_a_namespace_that_rasa_does_not_answer_in_is_known() -> None:
    (trouble,) = troubles(session_persistence=True, namespace="/chat")
    assert "namespace: /chat" in trouble


def test_a_version_of_socketio_that_loses_everything_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """python-socketio 5.10 made `enter_room` a coroutine, which Rasa 3.6 does not wait for."""

    async def enter_room(server: AsyncServer, sid: str, room: str, namespace: str | None = None) -> None:
        raise NotImplementedError

    monkeypatch.setattr(AsyncServer, "enter_room", enter_room)
    (trouble,) = troubles(session_persistence=True)
    assert "python-socketio<5.10" in trouble
