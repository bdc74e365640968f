"""What Rasa's channels leave out is taken in: by the example of Twilio's, whose files without text it drops."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from rasa.core.agent import Agent
from rasa.core.channels.twilio import TwilioInput

from rasa_handoff import reach
from rasa_handoff.errors import Unavailable
from rasa_handoff.testing.wire import Wire
from tests.channels.line import Line
from tests.channels.twilio.words import (
    ACCOUNT,
    NUMBER,
    TOKEN,
    USER,
    WHATSAPP_NUMBER,
    WHATSAPP_USER,
    form,
    sent,
)


async def test_a_file_sent_while_an_agent_is_being_asked_for_reaches_the_agent(line: Line, wire: Wire) -> None:
    """Rasa holds the conversation's lock meanwhile, and the handoff may not be on disk yet."""
    async with line.agent.lock_store.lock(USER):
        sending = asyncio.create_task(form(line, wire, "mms_alone"))
        await line.until(lambda: line.is_awaited(USER))
        assert not sending.done()
        await line.hand_over(USER)
    assert await sending == 200
    assert len((await line.heard())[0].attachments) == 1


async def test_one_connections_requests_are_not_mixed_up(line: Line, wire: Wire) -> None:
    await line.hand_over(USER)
    for name in ("mms", "sms", "mms_alone", "whatsapp_text"):
        await form(line, wire, name)
    first, second, third = await line.heard(3)
    assert [len(each.attachments) for each in (first, second, third)] == [2, 0, 1]
    assert await line.bot_heard(WHATSAPP_USER) == ["hello"]


async def test_two_users_at_once_are_not_mixed_up(line: Line, wire: Wire) -> None:
    await line.hand_over(USER)
    await line.hand_over(WHATSAPP_USER)
    await asyncio.gather(*(form(line, wire, name) for name in ("mms", "whatsapp_pressed", "whatsapp_voice")))
    texts = sorted((each.text, len(each.attachments)) for each in await line.heard(3))
    assert texts == [("", 1), ("Large (size-l)", 0), ("look at this", 2)]


async def test_how_a_user_is_reached_outlives_the_server(
    line: Line,
    wire: Wire,
    rasa_agent: Agent,
    tmp_path: Path,
) -> None:
    await form(line, wire, "whatsapp_text")
    handoff = await line.hand_over(WHATSAPP_USER)
    await line.down()
    again = Line(tmp_path, TwilioInput(ACCOUNT, TOKEN, NUMBER), rasa_agent)
    await again.up()
    await again.reply(handoff, "we are back")
    assert sent(wire)[-1] == {"To": WHATSAPP_USER, "From": WHATSAPP_NUMBER, "Body": "we are back"}
    await again.down()
    await line.up()  # for the fixture to take down


class Opening:
    """An agent system that takes its time, and then has nobody."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def __call__(self, handoff: Any) -> Exception:
        await self.over.wait()
        return Unavailable("desk", "open a chat")


async def test_the_bot_gets_what_its_channel_makes_of_a_message_that_was_for_it_after_all(
    line: Line,
    wire: Wire,
) -> None:
    opening = Opening()
    line.agents.answer = opening
    asking = asyncio.create_task(line.ask_for_an_agent(WHATSAPP_USER))
    await line.until(lambda: line.agents.opened)
    for name in ("whatsapp_pressed", "whatsapp_voice", "whatsapp_location"):
        await form(line, wire, name)
    opening.over.set()
    assert not (await asking).is_open
    # The voice message would have been no news for the bot.
    told = ["Large", "/locationData{'Latitude': 37.7879277,'Longitude': -122.3937508}"]

    async def is_told() -> bool:
        return await line.bot_heard(WHATSAPP_USER) == told

    await line.until(is_told)
    assert line.agents.got == []


async def test_a_bot_that_hangs_over_such_a_message_holds_nothing_up(
    line: Line,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reach, "BOT_TIMEOUT", 0.2)
    hung: list[str] = []

    async def hang(agent: Agent, message: Any) -> None:
        hung.append(message.text)
        await asyncio.sleep(30)

    opening = Opening()
    line.agents.answer = opening
    asking = asyncio.create_task(line.ask_for_an_agent(WHATSAPP_USER))
    await line.until(lambda: line.agents.opened)
    await form(line, wire, "whatsapp_pressed")
    with monkeypatch.context() as slow:
        slow.setattr(Agent, "handle_message", hang)
        opening.over.set()
        await asking
        await line.until(lambda: len(hung) > 1)  # given up, and tried again
