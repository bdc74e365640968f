"""The whole way: a real Rasa server as an agent of LivePerson, a visitor, and a person they are given to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from rasa_handoff.liveperson_agent.settings import CHANNEL
from tests.liveperson_agent.stage import section
from tests.liveperson_agent.vendor import PASSWORD, Chat, LivePerson
from tests.servers import Agent, Bot, running, until

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture
def bot(tmp_path: Path, vendor: LivePerson) -> Iterator[Bot]:
    slots = {"callback_name": "visitor.name", "callback_phone": "survey.Your number"}
    ours = section(vendor, poll="200ms", slots=slots)
    backends = {"liveperson_agent": {"skill": "Billing"}}
    with running(Bot(tmp_path, section={"backends": backends}, **{CHANNEL: ours})) as bot:
        yield bot


def said(chat: Chat) -> str:
    return "\n".join(chat.lines("agent"))


def test_a_visitor_talks_to_the_bot_and_is_transferred_to_a_person(bot: Bot, vendor: LivePerson) -> None:
    survey = {"survey": {"questions": {"question": [{"label": "Your number:", "answer": "0151 2345678"}]}}}
    vendor.visits["Ann1"] = {"appSessions": [{"ipv4": "192.0.2.7", "deviceOS": "LINUX", "deviceFamily": "DESKTOP"}]}
    document = {"visit": {"preChatSurvey": survey}}
    chat = vendor.visitor(name="Ann", document=document, sharkVisitorId="Ann1", sharkSessionId="s1")
    sender = f"liveperson-{chat.id}"
    until(lambda: chat.state == "chatting", what="the chat to be taken")

    chat.says("what are your opening hours?")
    until(lambda: "9:00" in said(chat), what="the bot's answer")
    until(lambda: chat.agent_typing[-1:] == ["not-typing"], what="the end of typing")
    assert chat.agent_typing[0] == "typing"
    tracker = bot.tracker(sender)
    known = tracker["latest_message"]["metadata"]["liveperson"]
    assert (known["visitor"]["ip"], known["visitor"]["os"]) == ("192.0.2.7", "LINUX")
    assert (known["agents"]["online"], known["survey"]) == (1, {"Your number": "0151 2345678"})
    assert tracker["slots"]["callback_name"] == "Ann"
    assert tracker["slots"]["callback_phone"] == "0151 2345678"

    # Nobody is there for the skill: the bot stays, and says so.
    vendor.agents[1].state = 1
    chat.says("I want to talk to an agent")
    until(lambda: "nobody is at the desk right now" in said(chat), what="the bot's word")
    assert bot.handoff(sender)["end_reason"] == "unavailable"

    # The server is killed, and goes on where it was.
    bot.rasa.kill()
    chat.says("where are you?")
    bot.rasa.start()
    until(lambda: "12 Mill Lane" in said(chat), what="the answer to what was said meanwhile")
    assert said(chat).count("9:00") == 1

    vendor.agents[1].state = 2
    lines = len(chat.lines("agent"))
    chat.says("I want to talk to an agent")
    until(lambda: chat.transferred_to, what="the transfer")
    assert chat.transferred_to == {"skill": {"id": 2}}
    assert chat.note is not None
    assert "visitor: what are your opening hours?" in chat.note
    assert "bot: We are open Monday to Friday" in chat.note
    assert "callback_name: Ann" in chat.note
    until(lambda: bot.handoff(sender)["end_reason"] == "handed_over", what="the end of it")
    until(lambda: knows_the_end(bot, sender), what="the bot to know")
    assert bot.tracker(sender)["slots"]["handoff_status"] == "closed"
    chat.says("hello?")

    # A colleague gives the chat back, and the bot is there again.
    vendor.transfers_back(chat)
    chat.says("what are your opening hours?")
    until(lambda: said(chat).count("9:00") == 2, what="the bot's answer")
    assert chat.lines("agent")[lines:-1] == ["How can I help?"]  # the colleague's; to what was said before, nothing

    log = bot.rasa.said()
    for secret in (PASSWORD, *vendor.logins, "0151 2345678", "where are you"):
        assert secret not in log
    alive = requests.get(f"{bot.url}/webhooks/liveperson_agent/", timeout=60).json()
    assert alive == {"status": "ok", "signed_in": True}


def test_a_chat_that_is_taken_over_is_transferred_without_a_word(bot: Bot, vendor: LivePerson) -> None:
    chat = vendor.visitor(name="Ann")
    sender = f"liveperson-{chat.id}"
    until(lambda: chat.state == "chatting", what="the chat to be taken")
    chat.says("what are your opening hours?")
    until(lambda: "9:00" in said(chat), what="the bot's answer")
    lines = chat.lines("agent")
    vendor.agents[1].state = 1
    assert taken_over(bot, sender) == ("closed", "unavailable")
    vendor.agents[1].state = 2
    assert taken_over(bot, sender) == ("closed", "handed_over")
    assert chat.transferred_to == {"skill": {"id": 2}}
    assert "visitor: what are your opening hours?" in (chat.note or "")
    until(lambda: knows_the_end(bot, sender), what="the bot to know")
    assert chat.lines("agent") == lines


def knows_the_end(bot: Bot, sender: str) -> bool:
    """Whether the bot knows that the user has been handed over, and would listen again."""
    tracker = bot.tracker(sender)
    return tracker["slots"]["handoff_end_reason"] == "handed_over" and not tracker["paused"]


def taken_over(bot: Bot, sender: str) -> tuple[str, str]:
    """Take a conversation over; what came of it."""
    handoff = bot.operator("POST", "/handoffs/take", {"sender_id": sender})["handoff"]
    return handoff["status"], handoff["end_reason"]


def test_a_visitor_who_leaves_leaves_the_agents_of_another_system_too(tmp_path: Path, vendor: LivePerson) -> None:
    ours = section(vendor, poll="200ms")
    with running(Bot(tmp_path, **{CHANNEL: ours})) as bot:
        agent = Agent(bot)
        agent.come()
        chats = [vendor.visitor(name=name) for name in ("Ann", "Bob")]
        for chat in chats:
            until(lambda chat=chat: chat.state == "chatting", what="the chat to be taken")
            chat.says("I want to talk to an agent")
        ann, bob = [f"liveperson-{chat.id}" for chat in chats]
        talks = [agent.accept(sender) for sender in (ann, bob)]
        for chat, talk in zip(chats, talks, strict=True):
            agent.reply(talk, "Hello from the desk.")
            until(lambda chat=chat: "Hello from the desk." in said(chat), what="the agent's words")
        chats[0].says("never mind")
        vendor.leaves(chats[0])
        until(lambda: bot.handoff(ann)["status"] == "closed", what="the end")
        assert bot.handoff(ann)["end_reason"] == "user_left"
        until(lambda: "never mind" in agent.heard(talks[0]), what="the last words")

        # Bob leaves while the server is down.
        bot.rasa.stop()
        vendor.leaves(chats[1])
        bot.rasa.start()
        until(lambda: bot.handoff(bob)["status"] == "closed", what="the end")
        assert bot.handoff(bob)["end_reason"] == "user_left"
