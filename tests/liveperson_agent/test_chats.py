"""The bot takes chats from the queue, hears and answers them in order, and loses and repeats nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from rasa_handoff.liveperson_agent import lines
from rasa_handoff.liveperson_agent.chat import Chat as OurChat
from rasa_handoff.liveperson_agent.chat import Heard
from rasa_handoff.transcript import UNSAID
from tests.liveperson_agent.stage import Stage, on_stage
from tests.liveperson_agent.vendor import Chat, LivePerson


def answers(chat: Chat) -> list[str]:
    """What the bot said, as a visitor reads it."""
    return [each.removeprefix("<div dir='auto'>").removesuffix("</div>") for each in chat.lines("agent")]


def said(*texts: str) -> list[str]:
    return [f"You said: {text}" for text in texts]


# From the queue


async def test_a_ringing_chat_is_taken_and_answered(agent: Stage, vendor: LivePerson) -> None:
    chat = vendor.visitor("hello")
    await agent.until(lambda: answers(chat) == said("hello"))
    chat.says("are you a bot?")
    await agent.until(lambda: answers(chat) == said("hello", "are you a bot?"))
    assert {sender for sender, _ in agent.bot.heard} == {f"liveperson-{chat.id}"}


async def test_it_is_taken_long_before_twenty_seconds_are_over(agent: Stage, vendor: LivePerson) -> None:
    await agent.until(lambda: len(vendor.took("GET", "*/incomingRequests")) > 5)
    # A look every 2 s, with a fifth of jitter; the longer ones are those around.
    looks = [pause for pause in agent.clock.pauses if pause < 20]
    assert 1.6 <= min(looks) <= max(looks) <= 2.4
    rang, chat = time.monotonic(), vendor.visitor()
    await agent.until(lambda: chat.state == "chatting")
    (taken,) = vendor.took("POST", "*/incomingRequests")
    looks = [each for each in vendor.took("GET", "*/incomingRequests") if rang < each.at < taken.at]
    assert len(looks) <= 2  # one may have been under way when it began to ring


async def test_a_chat_that_is_slow_to_open_does_not_let_the_next_one_ring(agent: Stage, vendor: LivePerson) -> None:
    with vendor.wire.held("GET */chat/*"):
        slow = vendor.visitor("hello")
        await agent.until(lambda: slow.state == "chatting")
        chat = vendor.visitor("hello, too")
        await agent.until(lambda: answers(chat) == said("hello, too"))
    await agent.until(lambda: answers(slow) == said("hello"))


async def test_a_chat_that_was_taken_and_could_not_be_opened_is_found(agent: Stage, vendor: LivePerson) -> None:
    vendor.wire.hang_up(path="GET */chat/*", times=2)
    chat = vendor.visitor("hello")
    await agent.until(lambda: answers(chat) == said("hello"))
    assert len(vendor.took("POST", "*/incomingRequests")) == 1


async def test_many_chats_are_held_at_once_and_a_slow_turn_holds_up_its_own(agent: Stage, vendor: LivePerson) -> None:
    slow = asyncio.Event()

    async def wait_for_one(chat: OurChat, line: Heard) -> None:
        if line.text == "slow":
            await slow.wait()

    agent.bot.before = wait_for_one
    waiting = vendor.visitor("slow", "and on")
    chats = [vendor.visitor(f"hello {number}") for number in range(20)]
    await agent.until(lambda: all(answers(chat) for chat in chats))
    assert [answers(chat) for chat in chats] == [said(f"hello {number}") for number in range(20)]
    assert answers(waiting) == []
    slow.set()
    await agent.until(lambda: answers(waiting) == said("slow", "and on"))


async def test_a_chat_that_somebody_else_took_is_no_trouble(agent: Stage, vendor: LivePerson) -> None:
    vendor.wire.fail(400, path="POST */incomingRequests")
    chat = vendor.visitor("hello")
    await agent.until(lambda: answers(chat) == said("hello"))
    assert len(vendor.took("POST", "*/login")) == 1


async def test_a_chat_that_was_taken_with_the_answer_lost_is_found(agent: Stage, vendor: LivePerson) -> None:
    await agent.until(lambda: vendor.took("GET", "*/chatSessions"))
    vendor.wire.hang_up(path="POST */incomingRequests")
    chat = vendor.visitor("hello")
    await agent.until(lambda: answers(chat) == said("hello"))


async def test_nothing_rings_for_a_bot_without_a_model(tmp_path: Path, vendor: LivePerson) -> None:
    stage = Stage(tmp_path, vendor)
    stage.bot.ready = False
    await stage.up()
    chat = vendor.visitor("hello")
    await asyncio.sleep(0.1)
    assert (vendor.ours.state, chat.state) == (1, "waiting")
    stage.bot.ready = True
    await stage.until(lambda: answers(chat) == said("hello"))
    await stage.down()


# Lines


async def test_lines_are_heard_in_their_order_one_or_many_at_a_time(agent: Stage, vendor: LivePerson) -> None:
    chat = vendor.visitor()
    texts = [f"line {number}" for number in range(30)]
    for number, text in enumerate(texts):
        chat.says(text)
        await asyncio.sleep(0.02 * (number % 3))
    await agent.until(lambda: answers(chat) == said(*texts))
    assert agent.bot.texts() == texts


async def test_a_list_of_one_may_be_a_list(agent: Stage, vendor: LivePerson) -> None:
    vendor.single_as_object = False
    chat = vendor.visitor("hello")
    await agent.until(lambda: answers(chat) == said("hello"))


async def test_only_what_the_visitor_wrote_is_heard(agent: Stage, vendor: LivePerson) -> None:
    chat = vendor.visitor()
    await agent.until(lambda: chat.state == "chatting")
    chat.add(**{"@type": "url", "url": "https://example.com"})
    chat.add(**{"@type": "line", "text": "", "source": "visitor", "textType": "plain"})
    chat.add(**{"@type": "line-status", "lineStatus": "ACCEPT"})
    chat.says("<b>5 &gt; 4</b>", textType="html")
    await agent.until(lambda: agent.bot.texts() == ["5 > 4"])


async def test_an_odd_text_does_not_keep_the_next_ones_away(agent: Stage, vendor: LivePerson) -> None:
    chat = vendor.visitor("a NUL \0 and half a pair \ud83d", "and on")
    await agent.until(lambda: len(answers(chat)) == 2)
    assert agent.bot.texts() == ["a NUL \ufffd and half a pair \ufffd", "and on"]


async def test_polls_that_fail_are_further_and_further_apart(agent: Stage, vendor: LivePerson) -> None:
    chat = vendor.visitor("hello")
    await agent.until(lambda: answers(chat))
    agent.clock.pauses.clear()
    vendor.wire.fail(503, times=4, path=f"GET */chat/{chat.id}/events")
    chat.says("still there?")
    await agent.until(lambda: answers(chat)[1:] == said("still there?"))
    waited = agent.clock.waited_out()
    assert [0.8 * at <= pause <= 1.2 * at for at, pause in zip((5, 10, 15, 120), waited, strict=True)] == [True] * 4


async def test_a_chat_that_is_over_is_not_taken_up_from_their_list(tmp_path: Path, vendor: LivePerson) -> None:
    chat = vendor.visitor("hello")
    chat.holder, chat.state = vendor.ours.id, "chatting"
    chat.info["state"] = "ended"
    async with on_stage(tmp_path, vendor) as stage:
        await stage.until(lambda: stage.chats._taken_up)
        assert stage.chats.of(f"liveperson-{chat.id}") is None


async def test_a_turn_that_fails_does_not_end_the_chat(
    agent: Stage, vendor: LivePerson, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(chat: OurChat, line: Heard) -> None:
        if line.text == "one":
            raise RuntimeError("a bug in an action")

    agent.bot.before = fail
    chat = vendor.visitor("one", "two")
    await agent.until(lambda: answers(chat) == said("two"))
    assert "liveperson_agent.turn_failed" in caplog.text


async def test_typing_shows_while_the_bot_works_and_stops_behind_its_answer(agent: Stage, vendor: LivePerson) -> None:
    chat = vendor.visitor("hello")
    await agent.until(lambda: chat.agent_typing == ["typing", "not-typing"])
    posts = [each for each in vendor.wire.asked if each.path.endswith(("agentTyping", "/events")) and each.body]
    assert [each.path.rpartition("/")[2] for each in posts] == ["agentTyping", "events", "agentTyping"]


async def test_typing_can_be_left_out(tmp_path: Path, vendor: LivePerson) -> None:
    async with on_stage(tmp_path, vendor, typing=False) as stage:
        chat = vendor.visitor("hello")
        await stage.until(lambda: answers(chat))
    assert chat.agent_typing == []


async def test_the_bot_says_hello_first_where_it_is_told_to(tmp_path: Path, vendor: LivePerson) -> None:
    async with on_stage(tmp_path, vendor, greeting="/greet") as stage:
        chat = vendor.visitor("hello")
        await stage.until(lambda: answers(chat) == said("/greet", "hello"))
    assert [line.metadata.get(UNSAID) for _, line in stage.bot.heard] == [True, None]


# Trouble on the way out


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_answer_is_sent_again_and_nothing_overtakes_it(agent: Stage, vendor: LivePerson, status: int) -> None:
    vendor.wire.fail(status, times=2, path="POST */events")
    chat = vendor.visitor("one", "two", "three")
    await agent.until(lambda: answers(chat) == said("one", "two", "three"))


async def test_an_answer_whose_fate_is_not_known_is_not_sent_twice(agent: Stage, vendor: LivePerson) -> None:
    vendor.wire.hang_up(times=1, path="POST */events")
    chat = vendor.visitor("one <two> & three\nfour")
    await agent.until(lambda: len(answers(chat)) == 1)
    chat.says("five")
    await agent.until(lambda: answers(chat)[-1] == "You said: five")
    assert len(answers(chat)) == 2


async def test_an_answer_that_did_not_arrive_is_sent_again(agent: Stage, vendor: LivePerson) -> None:
    chat = vendor.visitor()
    ours = await agent.until(lambda: agent.chats.of(f"liveperson-{chat.id}"))
    vendor.wire.down()
    await ours.say(lines.line("are you there?"))
    await agent.until(lambda: len(agent.clock.waited_out()) > 2)
    vendor.wire.up()
    await agent.until(lambda: answers(chat) == ["are you there?"])


async def test_an_answer_that_is_refused_is_left_out_and_the_next_goes_on(
    agent: Stage, vendor: LivePerson, caplog: pytest.LogCaptureFixture
) -> None:
    vendor.wire.fail(400, path="POST */events")
    chat = vendor.visitor("one", "two")
    await agent.until(lambda: answers(chat) == said("two"))
    assert "liveperson_agent.not_sent" in caplog.text
    assert "You said" not in caplog.text


# The end


async def test_a_chat_that_the_visitor_ends_is_over(agent: Stage, vendor: LivePerson) -> None:
    chat = vendor.visitor("bye")
    await agent.until(lambda: answers(chat))
    vendor.leaves(chat)
    await agent.until(lambda: agent.chats.of(f"liveperson-{chat.id}") is None)
    assert await agent.chats.book.known(chat.id) is None
    assert agent.bot.ended == [(f"liveperson-{chat.id}", True)]


async def test_a_chat_that_is_gone_is_over(agent: Stage, vendor: LivePerson) -> None:
    chat = vendor.visitor("hello")
    await agent.until(lambda: answers(chat))
    vendor.forgets(chat)
    await agent.until(lambda: agent.chats.of(f"liveperson-{chat.id}") is None)
    assert agent.bot.ended == [(f"liveperson-{chat.id}", True)]


async def test_chats_outlive_their_agent_session(agent: Stage, vendor: LivePerson) -> None:
    slow = asyncio.Event()

    async def wait(chat: OurChat, line: Heard) -> None:
        if line.text == "slow":
            await slow.wait()

    agent.bot.before = wait
    chats = [vendor.visitor("hello") for _ in range(3)]
    await agent.until(lambda: all(answers(chat) for chat in chats))
    chats[0].says("slow")
    await agent.until(lambda: chats[0].agent_typing[-1] == "typing")
    for _ in range(2):
        vendor.end_sessions()
        await agent.until(lambda: vendor.sessions)
    slow.set()
    for chat in chats:
        chat.says("and on")
    await agent.until(lambda: all(answers(chat)[-1] == "You said: and on" for chat in chats))
    assert [answers(chat) for chat in chats] == [said("hello", "slow", "and on"), *[said("hello", "and on")] * 2]


async def test_an_answer_outlives_its_agent_session(agent: Stage, vendor: LivePerson) -> None:
    chat = vendor.visitor()
    ours = await agent.until(lambda: agent.chats.of(f"liveperson-{chat.id}"))
    vendor.end_sessions()
    await ours.say(lines.line("are you there?"))
    await agent.until(lambda: answers(chat) == ["are you there?"])


async def test_the_bot_can_end_a_chat_behind_its_last_words(agent: Stage, vendor: LivePerson) -> None:
    chat = vendor.visitor()
    ours = await agent.until(lambda: agent.chats.of(f"liveperson-{chat.id}"))
    await ours.say(lines.line("Goodbye."))
    await ours.say(lines.custom({"liveperson": {"end_chat": True}}))
    await agent.until(lambda: chat.state == "ended")
    assert answers(chat) == ["Goodbye."]
    await agent.until(lambda: agent.chats.of(f"liveperson-{chat.id}") is None)


# Restarts


async def test_running_chats_are_taken_up_without_repeating_or_losing_a_line(
    tmp_path: Path, vendor: LivePerson
) -> None:
    stage = Stage(tmp_path, vendor)
    await stage.up()
    chats = [vendor.visitor(f"hello {number}") for number in range(3)]
    await stage.until(lambda: all(answers(chat) for chat in chats))
    await stage.down()
    for chat in chats:
        chat.says("while you were away")
    await stage.up()
    await stage.until(lambda: all(len(answers(chat)) == 2 for chat in chats))
    assert [answers(chat)[1] for chat in chats] == said("while you were away") * 3
    assert len(stage.bot.heard) == 6
    assert len(stage.bot.met) == 3
    await stage.down()


async def test_a_line_that_was_heard_when_the_server_was_killed_is_not_heard_again(
    tmp_path: Path, vendor: LivePerson
) -> None:
    stage = Stage(tmp_path, vendor)

    async def die_behind_the_tracker(chat: OurChat, line: Heard) -> None:
        if line.text == "two":
            stage.bot.known.add(line.id)  # the tracker was saved; our own note of it is not there yet
            await asyncio.sleep(60)

    stage.bot.before = die_behind_the_tracker
    await stage.up()
    chat = vendor.visitor("one", "two", "three")
    await stage.until(lambda: f"{chat.id}:3" in stage.bot.known)
    await stage.die()
    stage.bot.before = None
    await stage.up()
    await stage.until(lambda: stage.bot.texts() == ["one", "three"])
    await stage.down()


async def test_a_line_that_was_half_heard_when_the_server_was_killed_is_heard_again(
    tmp_path: Path, vendor: LivePerson
) -> None:
    stage = Stage(tmp_path, vendor)
    started = asyncio.Event()

    async def die(chat: OurChat, line: Heard) -> None:
        started.set()
        await asyncio.sleep(60)

    stage.bot.before = die
    await stage.up()
    chat = vendor.visitor("one", "two")
    await started.wait()
    await stage.die()
    stage.bot.before = None
    await stage.up()
    await stage.until(lambda: answers(chat) == said("one", "two"))
    await stage.down()


async def test_what_was_said_and_not_sent_is_sent_after_a_restart(tmp_path: Path, vendor: LivePerson) -> None:
    stage = Stage(tmp_path, vendor)
    await stage.up()
    chat = vendor.visitor()
    await stage.until(lambda: stage.chats.of(f"liveperson-{chat.id}"))
    vendor.wire.fail(503, times=100, path="POST */events")
    chat.says("hello")
    await stage.until(lambda: stage.bot.texts() == ["hello"])
    await stage.until(lambda: [each for each in vendor.wire.asked if not each.taken])
    await stage.die()
    vendor.wire.calm()
    await stage.up()
    await stage.until(lambda: answers(chat) == said("hello"))
    chat.says("and on")
    await stage.until(lambda: answers(chat)[1:])
    assert (answers(chat), stage.bot.texts()) == (said("hello", "and on"), ["hello", "and on"])
    await stage.down()


async def test_chats_that_are_held_no_more_are_forgotten(tmp_path: Path, vendor: LivePerson) -> None:
    stage = Stage(tmp_path, vendor)
    await stage.up()
    chat = vendor.visitor("hello")
    await stage.until(lambda: answers(chat))
    await stage.down()
    vendor.leaves(chat)
    await stage.up()
    await stage.until(lambda: stage.chats._taken_up)
    assert await stage.chats.book.known(chat.id) is None
    assert stage.bot.ended == [(f"liveperson-{chat.id}", True)]
    await stage.down()


async def test_a_chat_that_goes_on_after_a_restart_is_not_over(tmp_path: Path, vendor: LivePerson) -> None:
    stage = Stage(tmp_path, vendor)
    await stage.up()
    chat = vendor.visitor("hello")
    await stage.until(lambda: answers(chat))
    await stage.down()
    await stage.up()
    await stage.until(lambda: stage.chats._taken_up)
    await stage.down()
    assert stage.bot.ended == []


async def test_a_chat_without_a_position_is_heard_behind_the_last_answer(tmp_path: Path, vendor: LivePerson) -> None:
    stage = Stage(tmp_path, vendor)
    await stage.up()
    chat = vendor.visitor("hello")
    await stage.until(lambda: answers(chat))
    await stage.down()
    chat.says("anybody?")
    for file in tmp_path.glob("positions.db*"):
        file.unlink()
    await stage.up()
    await stage.until(lambda: answers(chat) == said("hello", "anybody?"))
    await stage.down()


async def test_two_processes_do_not_share_an_agent(agent: Stage, tmp_path: Path, vendor: LivePerson) -> None:
    from rasa_handoff.errors import StoreInUse

    with pytest.raises(StoreInUse):
        await Stage(tmp_path, vendor).up()


# Who it is


def known(agent: Stage) -> Any:
    return agent.bot.heard[-1][1].metadata["liveperson"]


async def test_the_bot_knows_the_visitor_the_survey_and_who_else_is_there(agent: Stage, vendor: LivePerson) -> None:
    vendor.visits["Ann1"] = {"appSessions": [{"ipv4": "192.0.2.7", "deviceOS": "LINUX", "geo": {"city": "Ulm"}}]}
    vendor.participants["p1"] = {"authenticatedParticipantInfo": {"customerType": "vip"}}
    await agent.until(lambda: agent.chats.online is not None)
    link = "{base}/visits/visit/surveys".format(base=f"{vendor.url}/api/account/12345678/agentSession/1")
    survey = {"questions": {"question": {"label": "Topic", "answer": "Billing"}}}
    vendor.visit_documents["surveys"] = {"survey": survey}
    chat = vendor.visitor(
        "hello",
        name="Ann",
        document={"link": {"@href": link, "@rel": "pre-chat-survey"}, "os": "Windows"},
        sharkVisitorId="Ann1",
        sharkSessionId="s1",
        participantId="p1",
        skillName="Bots",
        campaignId=3,
    )
    await agent.until(lambda: agent.bot.heard)
    assert known(agent) == {
        "chat": {
            "id": chat.id,
            "skill": "Bots",
            "campaign_id": "3",
            "started": "2026-11-20T08:19:43.976-05:00",
        },
        "visitor": {
            "name": "Ann",
            "id": "Ann1",
            "session": "s1",
            "language": "en-US",
            "participant": "p1",
            "ip": "192.0.2.7",
            "os": "LINUX",
            "city": "Ulm",
        },
        "survey": {"Topic": "Billing"},
        "authenticated": {"customerType": "vip"},
        "agents": {"online": 1, "availability": "Online"},
    }


async def test_what_cannot_be_found_out_is_left_out(agent: Stage, vendor: LivePerson) -> None:
    vendor.visitor("hello", sharkVisitorId="nobody", sharkSessionId="s", participantId="nobody")
    await agent.until(lambda: agent.bot.heard)
    assert (known(agent)["survey"], known(agent)["authenticated"]) == ({}, {})


async def test_a_visitor_can_be_one_conversation_over_many_chats(tmp_path: Path, vendor: LivePerson) -> None:
    async with on_stage(tmp_path, vendor, conversation="visitor") as stage:
        first = vendor.visitor("hello", sharkVisitorId="Ann1")
        await stage.until(lambda: answers(first))
        vendor.leaves(first)
        second = vendor.visitor("me again", sharkVisitorId="Ann1")
        await stage.until(lambda: answers(second))
        assert {sender for sender, _ in stage.bot.heard} == {"liveperson-Ann1"}


async def test_logs_have_no_text_and_no_secret(
    tmp_path: Path, vendor: LivePerson, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "rasa_handoff")
    async with on_stage(tmp_path, vendor) as stage:
        vendor.wire.fail(503, times=2, path="POST */events")
        chat = vendor.visitor("my card is 4711")
        await stage.until(lambda: answers(chat))
        bearers = list(vendor.logins)
    assert "liveperson_agent.took" in caplog.text
    for secret in ("4711", "a-password-nobody-else-has", *bearers):
        assert secret not in caplog.text
