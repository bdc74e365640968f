"""The bot hands over by a transfer: with a note, to somebody who is there, and then it has left the chat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rasa_handoff.backends import settings_models
from rasa_handoff.errors import ChatGone, ConfigError
from rasa_handoff.liveperson_agent import lines
from rasa_handoff.liveperson_agent.backend import LivePersonAgent, note
from rasa_handoff.liveperson_agent.chat import Chat as OurChat
from rasa_handoff.liveperson_agent.settings import BackendSettings
from rasa_handoff.model import EndReason, Handoff, Line, Message, Request, Status
from rasa_handoff.settings import read_section
from rasa_handoff.testing import on_stage as plugin_on_stage
from rasa_handoff.testing.stage import Stage as Plugin
from tests.liveperson_agent.stage import Stage
from tests.liveperson_agent.test_chats import answers
from tests.liveperson_agent.vendor import Chat, LivePerson


@pytest_asyncio.fixture
async def plugin(tmp_path: Path) -> AsyncIterator[Plugin]:
    async with plugin_on_stage(tmp_path, LivePersonAgent, {"skill": "Billing"}) as stage:
        yield stage


async def held(agent: Stage, vendor: LivePerson, **info: Any) -> tuple[Chat, OurChat]:
    chat = vendor.visitor("hello", **info)
    await agent.until(lambda: answers(chat))
    ours = agent.chats.of(f"liveperson-{chat.id}")
    assert ours is not None
    return chat, ours


async def test_a_chat_goes_to_the_skill_with_a_note_and_the_handoff_is_over(
    agent: Stage, vendor: LivePerson, plugin: Plugin
) -> None:
    chat, ours = await held(agent, vendor)
    said = (Line(who="user", text="my bill is wrong", at=1.0), Line(who="bot", text="I am sorry", at=2.0))
    handoff = await plugin.request(ours.sender_id, transcript=said, parameters={"topic": "billing"})
    assert (handoff.status, handoff.end_reason, handoff.chat_id) == (Status.CLOSED, EndReason.HANDED_OVER, chat.id)
    assert chat.transferred_to == {"skill": {"id": 2}}
    assert chat.note == (
        "The visitor asked the bot for a person.\n\nWhat the bot knows:\ntopic: billing"
        "\n\nWhat was said:\nvisitor: my bill is wrong\nbot: I am sorry"
    )
    await plugin.until(lambda: "settle" in [delivery.kind for _, delivery in plugin.to_user])


async def test_the_backend_knows_how_many_agents_are_there(agent: Stage, vendor: LivePerson, plugin: Plugin) -> None:
    await held(agent, vendor)
    await agent.until(lambda: agent.chats.online is not None)
    colleagues = [each for each in vendor.agents if each is not vendor.ours and each.state == 2]
    assert await plugin.backend.agents_online() == len(colleagues) > 0
    await agent.down()
    assert await plugin.backend.agents_online() is None
    await agent.up()


async def test_the_bot_has_left(agent: Stage, vendor: LivePerson, plugin: Plugin) -> None:
    chat, ours = await held(agent, vendor)
    await plugin.request(ours.sender_id)
    chat.says("hello? a person, please")
    await ours.say(lines.line("I should not be here"))
    await agent.until(lambda: agent.chats.of(ours.sender_id) is None)
    polls = len(vendor.took("GET", f"*/chat/{chat.id}/events"))
    looks = len(vendor.took("GET", "*/incomingRequests"))
    await agent.until(lambda: len(vendor.took("GET", "*/incomingRequests")) > looks + 10)  # it polls as often
    assert len(vendor.took("GET", f"*/chat/{chat.id}/events")) <= polls + 1  # one may have been under way
    assert agent.bot.texts() == ["hello"]
    assert answers(chat) == ["You said: hello"]


async def test_what_the_bot_said_before_comes_before(agent: Stage, vendor: LivePerson, plugin: Plugin) -> None:
    chat, ours = await held(agent, vendor)
    with vendor.wire.held("POST */events"):
        await ours.say(lines.line("One moment, I am getting a person."))
        asking = asyncio.create_task(plugin.request(ours.sender_id))
        await agent.until(lambda: "One moment" in chat.lines("agent")[-1])
        assert chat.transferred_to is None
    await asking
    transferred = next(event["@id"] for event in chat.events if event.get("systemMessageId") == 15)
    line = next(event["@id"] for event in chat.events if "One moment" in event.get("text", ""))
    assert int(line) < int(transferred)


async def test_a_turn_that_transfers_the_chat_ends_quietly(agent: Stage, vendor: LivePerson, plugin: Plugin) -> None:
    async def transfer(chat: OurChat, line: Any) -> None:
        if line.text == "a person, please":
            await plugin.request(chat.sender_id)

    agent.bot.before = transfer
    chat, _ = await held(agent, vendor)
    chat.says("a person, please")
    chat.says("are you there?")
    await agent.until(lambda: chat.transferred_to)
    await agent.until(lambda: agent.chats.of(f"liveperson-{chat.id}") is None)
    assert agent.bot.texts() == ["hello", "a person, please"]
    assert answers(chat) == ["You said: hello"]
    assert await agent.chats.book.known(chat.id) is None


@pytest.mark.parametrize(
    ("section", "group", "target"),
    [
        ({"skill": "2"}, None, {"skill": {"id": 2}}),
        ({"skill": "billing"}, None, {"skill": {"id": 2}}),
        ({"agent": "6"}, None, {"agent": {"id": 6}}),
        ({"skill": "Sales"}, "Billing", {"skill": {"id": 2}}),
        ({"agent": "7"}, "Billing", {"skill": {"id": 2}}),
        ({}, "agent: 6", {"agent": {"id": 6}}),
    ],
)
async def test_whom_it_goes_to(
    tmp_path: Path, agent: Stage, vendor: LivePerson, section: Any, group: str | None, target: Any
) -> None:
    async with plugin_on_stage(tmp_path, LivePersonAgent, section) as plugin:
        chat, ours = await held(agent, vendor)
        handoff = await plugin.request(ours.sender_id, group=group)
        assert handoff.end_reason is EndReason.HANDED_OVER
        assert chat.transferred_to == target
        assert (handoff.agent.name if handoff.agent else None) == ("Natalie" if "agent" in target else None)


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"skill": "Sales"}, EndReason.UNAVAILABLE),
        ({"skill": "Nowhere"}, EndReason.UNAVAILABLE),
        ({"agent": "7"}, EndReason.UNAVAILABLE),
        ({"agent": "99"}, EndReason.UNAVAILABLE),
        ({}, EndReason.FAILED),
    ],
)
async def test_where_nobody_is_the_bot_stays(
    tmp_path: Path, agent: Stage, vendor: LivePerson, section: Any, reason: EndReason
) -> None:
    async with plugin_on_stage(tmp_path, LivePersonAgent, section) as plugin:
        chat, ours = await held(agent, vendor)
        handoff = await plugin.request(ours.sender_id)
        assert (handoff.status, handoff.end_reason) == (Status.CLOSED, reason)
        assert vendor.took("POST", "*/transfer") == []
        chat.says("so be it")
        await agent.until(lambda: answers(chat)[1:] == ["You said: so be it"])


async def test_an_occupied_agent_takes_transfers(tmp_path: Path, agent: Stage, vendor: LivePerson) -> None:
    vendor.agents[1].state = 3
    async with plugin_on_stage(tmp_path, LivePersonAgent, {"agent": "6"}) as plugin:
        chat, ours = await held(agent, vendor)
        assert (await plugin.request(ours.sender_id)).end_reason is EndReason.HANDED_OVER
        assert chat.holder == "6"


async def test_whoever_leaves_at_the_last_moment_is_not_there(agent: Stage, vendor: LivePerson, plugin: Plugin) -> None:
    chat, ours = await held(agent, vendor)
    vendor.wire.fail(400, path="POST */transfer")
    assert (await plugin.request(ours.sender_id)).end_reason is EndReason.UNAVAILABLE
    chat.says("so be it")
    await agent.until(lambda: answers(chat)[1:] == ["You said: so be it"])


@pytest.mark.parametrize("status", [429, 503])
async def test_who_cannot_transfer_now_keeps_the_chat(
    agent: Stage, vendor: LivePerson, plugin: Plugin, status: int
) -> None:
    chat, ours = await held(agent, vendor)
    vendor.wire.fail(status, path="POST */transfer")
    assert (await plugin.request(ours.sender_id)).end_reason is EndReason.FAILED
    chat.says("so be it")
    await agent.until(lambda: answers(chat)[1:] == ["You said: so be it"])


async def test_a_transfer_whose_answer_is_lost_is_one(agent: Stage, vendor: LivePerson, plugin: Plugin) -> None:
    chat, ours = await held(agent, vendor)
    vendor.wire.hang_up(path="POST */transfer")
    assert (await plugin.request(ours.sender_id)).end_reason is EndReason.HANDED_OVER
    assert len([each for each in vendor.wire.asked if each.path.endswith("/transfer") and each.method == "POST"]) == 1
    assert chat.transferred_to is not None


async def test_asked_again_it_transfers_nothing_a_second_time(agent: Stage, vendor: LivePerson, plugin: Plugin) -> None:
    chat, ours = await held(agent, vendor)
    await plugin.request(ours.sender_id)
    again = await plugin.request(ours.sender_id)
    assert (again.end_reason, again.chat_id) == (EndReason.HANDED_OVER, chat.id)
    assert len(vendor.took("POST", "*/transfer")) == 1


async def test_a_conversation_that_is_no_chat_of_ours_stays_with_the_bot(plugin: Plugin) -> None:
    assert (await plugin.request("ann")).end_reason is EndReason.FAILED


async def test_a_chat_that_comes_back_is_the_bots_again(agent: Stage, vendor: LivePerson, plugin: Plugin) -> None:
    chat, ours = await held(agent, vendor)
    await plugin.request(ours.sender_id)
    await agent.until(lambda: agent.chats.of(ours.sender_id) is None)
    assert agent.bot.ended == [(ours.sender_id, False)]
    chat.says("I have waited")
    vendor.transfers_back(chat)
    chat.says("is it you?")
    await agent.until(lambda: agent.bot.texts() == ["hello", "is it you?"])
    await agent.until(lambda: answers(chat)[-1] == "You said: is it you?")
    handoff = await plugin.request(ours.sender_id)
    assert handoff.end_reason is EndReason.HANDED_OVER
    assert len(vendor.took("POST", "*/transfer")) == 2


async def test_nothing_can_be_sent_to_a_chat_that_was_left(plugin: Plugin) -> None:
    handoff = Handoff(
        id="h",
        sender_id="s",
        channel="liveperson_agent",
        backend="liveperson_agent",
        status=Status.CLOSED,
        opened_at=0.0,
    )
    with pytest.raises(ChatGone):
        await plugin.backend.send(handoff, Message(id="m", who="user", text="hello"))
    await plugin.backend.close(handoff, EndReason.FAILED)


# The note


def test_a_note_has_the_end_of_a_long_conversation() -> None:
    said = tuple(Line(who="user", text=f"{number} " + "x" * 500) for number in range(100))
    text = note(BackendSettings(note="Why."), Request(sender_id="s", channel="c", transcript=said))
    assert len(text) < 10_100
    assert text.startswith("Why.")
    assert "visitor: 99 x" in text
    assert "visitor: 60 x" not in text


def test_a_note_can_go_without_the_conversation() -> None:
    said = (Line(who="user", text="a secret"),)
    assert note(BackendSettings(transcript_lines=0), Request(sender_id="s", channel="c", transcript=said)) == (
        "The visitor asked the bot for a person."
    )


# Settings


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ({"agent": "natalie"}, "numeric id"),
        ({"skill": "2", "agent": "6"}, "keep one of them"),
        ({"transcript_lines": 500}, "0 to 200"),
        ({"skil": "2"}, "did you mean `skill`"),
    ],
)
def test_a_wrong_setting_is_named(section: Any, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        read_section({"backends": {"liveperson_agent": section}}, settings_models())
