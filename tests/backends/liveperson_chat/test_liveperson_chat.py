"""A chat at LivePerson from its beginning to its end, with all that can happen on the way."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rasa_handoff.backends import polling
from rasa_handoff.backends.liveperson_chat.backend import LivePersonChat
from rasa_handoff.changes import Posted
from rasa_handoff.events import Closed
from rasa_handoff.inbox import Typed
from rasa_handoff.model import Attachment, EndReason, Handoff, Line, Status
from rasa_handoff.store import deliveries
from rasa_handoff.testing import Asked, Payloads, Stage, Wire, on_stage
from rasa_handoff.testing.stage import Time
from tests.backends.liveperson_chat.test_contract import until_asked_for
from tests.backends.liveperson_chat.vendor import ACCOUNT, Vendor
from tests.backends.waiting import hanging

payloads = Payloads(__file__)
CHAT = f"/api/account/{ACCOUNT}/chat"


@pytest.fixture
def vendor(wire: Wire) -> Vendor:
    return Vendor(wire)


@pytest_asyncio.fixture
async def stage(tmp_path: Path, wire: Wire, vendor: Vendor) -> AsyncIterator[Stage]:
    async with staged(tmp_path, wire) as stage:
        yield stage


def staged(folder: Path, wire: Wire, **section: Any) -> AbstractAsyncContextManager[Stage]:
    pauses = {"poll_every": "100ms", "poll_queue_every": "100ms"}
    known = {"account": ACCOUNT, "domain_api": wire.url, **pauses, **section}
    return on_stage(folder, LivePersonChat, known)


async def talking(stage: Stage, vendor: Vendor, sender_id: str = "ann") -> Handoff:
    """A handoff that an agent has taken."""
    handoff = await stage.request(sender_id)
    assert handoff.status is Status.QUEUED, handoff
    await until_asked_for(stage, str(handoff.chat_id), vendor.accept(str(handoff.chat_id)))
    return await stage.handoff(sender_id)


def looks(wire: Wire, chat: str | None) -> list[Asked]:
    """How often it was asked what happened."""
    return [each for each in wire.taken("GET", f"{CHAT}/{chat}*") if not each.path.endswith("/info")]


async def over(stage: Stage) -> EndReason | None:
    """Wait for the end of the handoff; its reason."""

    async def is_over() -> bool:
        return not (await stage.handoff()).is_open

    await stage.until(is_over)
    return (await stage.handoff()).end_reason


# Opening


async def test_the_request_has_the_transcript_and_what_the_bot_knows(
    tmp_path: Path, wire: Wire, vendor: Vendor
) -> None:
    vendor.survey = payloads["survey"]["survey"]
    section = {
        "skill": "Sales",
        "max_wait": "2m",
        "visitor_name": "slot:name",
        "survey": {"What is your name?": "slot:name"},
        "request": {"visitorId": "metadata:visitor", "language": "text:en-US"},
    }
    async with staged(tmp_path, wire, **section) as stage:
        lines = (Line(who="user", text="My bike is broken"), Line(who="bot", text="Oh no"))
        slots = {"name": "Ann", "topic": "brakes"}
        await stage.request(transcript=lines, parameters=slots, metadata={"visitor": 1214701440733986})
    visit = vendor.only()
    assert visit.request == {
        "skill": "Sales",
        "maxWaitTime": 120,
        "visitorId": 1214701440733986,
        "language": "en-US",
        "survey": {"id": "40216", "question": [{"id": "16314710", "answer": "Ann"}]},
        "preChatLines": {"line": ["name: Ann", "topic: brakes", "Visitor: My bike is broken", "Bot: Oh no"]},
    }
    assert visit.visitor_name == "Ann"
    (availability,) = wire.taken("GET", f"{CHAT}/availability")
    assert (availability.query["skill"], availability.query["maxWaitTime"]) == ("Sales", "120")
    (survey,) = wire.taken("GET", f"{CHAT}/preSurvey")
    assert survey.query["skill"] == "Sales"


async def test_the_groups_of_a_route_are_skills(stage: Stage, vendor: Vendor) -> None:
    await stage.request(group="Billing")
    assert vendor.only().request["skill"] == "Billing"


@pytest.mark.parametrize("told", [False, "false"])
async def test_nobody_there_is_said_without_a_request(stage: Stage, vendor: Vendor, told: Any) -> None:
    vendor.available = told
    handoff = await stage.request()
    assert (handoff.status, handoff.end_reason) == (Status.CLOSED, EndReason.UNAVAILABLE)
    assert vendor.visits == {}


async def test_a_survey_that_cannot_be_had_is_no_reason_to_leave_the_user_alone(
    tmp_path: Path, wire: Wire, vendor: Vendor
) -> None:
    async with staged(tmp_path, wire, survey={"Name": "text:Ann"}) as stage:
        assert (await stage.request()).status is Status.QUEUED
    assert "survey" not in vendor.only().request


async def test_a_name_that_they_do_not_take_is_no_reason_either(tmp_path: Path, wire: Wire, vendor: Vendor) -> None:
    async with staged(tmp_path, wire, visitor_name="text:Ann") as stage:
        wire.fail(400, path="*/info/visitorName")
        assert (await stage.request()).status is Status.QUEUED


async def test_a_chat_begins_with_200_as_well_as_with_201(stage: Stage, vendor: Vendor) -> None:
    vendor.status_of_start = 200
    assert (await talking(stage, vendor)).status is Status.ACTIVE


async def test_a_chat_that_is_nowhere_is_none(stage: Stage, wire: Wire) -> None:
    wire.respond("POST", f"{CHAT}/request", lambda asked: (201, b""))
    assert (await stage.request()).end_reason is EndReason.FAILED


async def test_an_account_that_lets_nobody_in_is_said_with_the_remedy(
    stage: Stage, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = {"error": {"message": "Bad captcha", "internalCode": 10}}
    wire.respond("POST", f"{CHAT}/request", lambda asked: (401, refusal))
    assert (await stage.request()).end_reason is EndReason.FAILED
    assert "could not open a chat: HTTP 401 internalCode 10" in caplog.text
    assert "Common.Unified_window_captcha" in caplog.text


# In the queue


async def test_what_the_user_says_is_held_back_until_an_agent_is_there(
    stage: Stage, wire: Wire, vendor: Vendor
) -> None:
    handoff = await stage.request()
    for text in ("one", "two"):
        await stage.say(text)
    await stage.until(lambda: len(looks(wire, handoff.chat_id)) > 2)
    assert wire.taken("POST", f"{CHAT}/*/events") == []
    vendor.accept(str(handoff.chat_id))
    await stage.until(lambda: [text for _, text in vendor.said()] == ["one", "two"])


async def test_a_user_in_the_queue_is_not_taken_for_gone(tmp_path: Path, wire: Wire) -> None:
    now = Time()
    vendor = Vendor(wire, clock=now)
    async with staged(tmp_path, wire) as stage:
        handoff = await stage.request()
        for _ in range(5):
            now.advance(30.0)
            await stage.until(lambda: vendor.only().heard_at == now())
        await until_asked_for(stage, str(handoff.chat_id), vendor.accept(str(handoff.chat_id)))
        assert (await stage.handoff()).status is Status.ACTIVE


async def test_pauses_are_shorter_than_they_wait(tmp_path: Path, wire: Wire, vendor: Vendor) -> None:
    """Also where an account waits for less than the pause that is set."""
    async with staged(tmp_path, wire, poll_queue_every="15s") as stage:
        vendor.chat_timeout = 1
        handoff = await stage.request()
        await stage.until(lambda: len(looks(wire, handoff.chat_id)) >= 3)


async def test_how_long_it_will_take_reaches_the_user(stage: Stage, wire: Wire, vendor: Vendor) -> None:
    vendor.wait = 290
    handoff = await stage.request(group="Sales")
    await stage.until(lambda: looks(wire, handoff.chat_id))
    assert wire.taken("GET", f"{CHAT}/estimatedWaitTime") == []  # an agent may be there at once
    stage.pass_time(5.0)
    await stage.until(lambda: stage.notices() == ["utter_handoff_queue_wait"])
    ((_, delivery),) = [each for each in stage.to_user if each[1].kind == "notice"]
    assert delivery.body["values"]["queue_minutes"] == 5
    (asked,) = wire.taken("GET", f"{CHAT}/estimatedWaitTime")
    assert asked.query["skill"] == "Sales"
    vendor.wait = 1200
    stage.pass_time(61.0)
    await stage.until(lambda: stage.notices() == ["utter_handoff_queue_wait"] * 2)


@pytest.mark.parametrize("wait", [0, -1, -2, None, "soon"])
async def test_an_estimate_that_says_nothing_is_not_said(stage: Stage, wire: Wire, vendor: Vendor, wait: Any) -> None:
    vendor.wait = wait
    handoff = await stage.request()
    await stage.until(lambda: looks(wire, handoff.chat_id))
    stage.pass_time(5.0)
    await stage.until(lambda: wire.taken("GET", f"{CHAT}/estimatedWaitTime"))
    seen = len(looks(wire, handoff.chat_id))
    await stage.until(lambda: len(looks(wire, handoff.chat_id)) > seen + 1)
    assert stage.notices() == []
    assert (await stage.handoff()).status is Status.QUEUED


async def test_who_is_back_in_the_queue_waits_again(stage: Stage, wire: Wire, vendor: Vendor) -> None:
    handoff = await talking(stage, vendor)
    chat = str(handoff.chat_id)
    await until_asked_for(stage, chat, vendor.back_in_queue(chat))
    assert (await stage.handoff()).status is Status.QUEUED
    await stage.say("are you there?")
    seen = len(looks(wire, chat))
    await stage.until(lambda: len(looks(wire, chat)) > seen + 1)
    assert wire.taken("POST", f"{CHAT}/*/events") == []
    await until_asked_for(stage, chat, vendor.accept(chat, "Robin", 7))
    await stage.until(lambda: [text for _, text in vendor.said()] == ["are you there?"])
    told = ["utter_handoff_joined", "utter_handoff_back_in_queue", "utter_handoff_joined"]
    await stage.until(lambda: stage.notices() == told)
    agent = (await stage.handoff()).agent
    assert agent is not None
    assert agent.name == "Robin"


# While an agent has the chat


async def test_who_has_the_chat_is_known_by_name_and_skill(stage: Stage, vendor: Vendor) -> None:
    agent = (await talking(stage, vendor)).agent
    assert agent is not None
    assert (agent.name, agent.id, agent.department) == ("Natalie", "25025413", "Sales")


async def test_without_a_name_an_agent_is_an_agent(stage: Stage, wire: Wire, vendor: Vendor) -> None:
    handoff = await stage.request()
    await stage.until(lambda: looks(wire, handoff.chat_id))
    wire.respond("GET", f"{CHAT}/*/info", lambda asked: (403, {}))
    await until_asked_for(stage, str(handoff.chat_id), vendor.accept(str(handoff.chat_id)))
    agent = (await stage.handoff()).agent
    assert agent is not None
    assert agent.name == "An agent"


async def test_another_agent_takes_over(stage: Stage, vendor: Vendor) -> None:
    handoff = await talking(stage, vendor)
    await until_asked_for(stage, str(handoff.chat_id), vendor.transfer(str(handoff.chat_id), "Robin"))
    agent = (await stage.handoff()).agent
    assert agent is not None
    assert agent.name == "Robin"
    await stage.until(lambda: stage.notices() == ["utter_handoff_joined", "utter_handoff_transferred"])


async def test_html_links_and_pushed_pages_reach_the_user_as_text(stage: Stage, vendor: Vendor) -> None:
    chat = str((await talking(stage, vendor)).chat_id)
    vendor.write(chat, "<div>Hi &amp; <b>welcome</b></div><div>two</div>", textType="html")
    vendor.happen(chat, "line-status", lineStatus="ACCEPT", refSequenceId=1)
    vendor.write(chat, "psst", subType="ONLY_TO_REP")
    vendor.happen(chat, "url", url="https://example.com/offer", source="agent")
    vendor.write(chat, "a < b")
    await stage.until(lambda: stage.heard()[-1:] == ["a < b"])
    assert stage.heard() == ["Hi & welcome\ntwo", "https://example.com/offer", "a < b"]


async def test_what_an_agent_types_is_asked_only_where_a_page_can_show_it(
    stage: Stage, wire: Wire, vendor: Vendor
) -> None:
    shown: list[bool] = []
    stage.runtime.store.subscribe(Typed, lambda typed: shown.append(typed.typing))
    handoff = await talking(stage, vendor)
    vendor.only().agent_typing = "typing"
    seen = len(looks(wire, handoff.chat_id))
    asked = len(wire.taken("GET", f"{CHAT}/*/info"))
    await stage.until(lambda: len(looks(wire, handoff.chat_id)) > seen + 2)
    assert len(wire.taken("GET", f"{CHAT}/*/info")) == asked
    await stage.runtime.signals.user_presence("ann", True)
    await stage.until(lambda: shown[-1:] == [True])
    vendor.only().agent_typing = "not-typing"
    await stage.until(lambda: shown[-1:] == [False])
    await stage.runtime.signals.user_presence("ann", False)
    assert set(shown[:-1]) == {True}


async def test_what_the_user_types_is_told(stage: Stage, vendor: Vendor) -> None:
    await talking(stage, vendor)
    await stage.runtime.signals.user_typing("ann", True)
    assert vendor.only().visitor_typing == "typing"
    await stage.runtime.signals.user_typing("ann", False)
    assert vendor.only().visitor_typing == "not-typing"


async def test_files_go_as_links_and_long_texts_in_pieces(stage: Stage, vendor: Vendor) -> None:
    await talking(stage, vendor)
    picture = Attachment(url="https://example.com/bike.jpg", kind="image", name="bike")
    await stage.say("look", attachments=(picture, Attachment(url="https://example.com/2")))
    await stage.say("word " * 2000)
    await stage.until(lambda: len(vendor.said()) == 5)
    texts = [text for _, text in vendor.said()]
    assert texts[:3] == ["look", "bike: https://example.com/bike.jpg", "https://example.com/2"]
    assert "".join(texts[3:]) == "word " * 2000


async def test_a_line_whose_answer_is_lost_arrives_once_though_one_like_it_came_before(
    stage: Stage, wire: Wire, vendor: Vendor
) -> None:
    await talking(stage, vendor)
    await stage.say("ok")
    await stage.until(lambda: len(vendor.said()) == 1)
    wire.hang_up(path="POST */events")
    await stage.say("ok")
    await stage.say("ok")
    await stage.until(stage.all_sent)
    assert [text for _, text in vendor.said()] == ["ok", "ok", "ok"]


async def test_a_line_that_was_not_taken_is_sent_again_though_one_like_it_came_before(
    stage: Stage, wire: Wire, vendor: Vendor
) -> None:
    await talking(stage, vendor)
    await stage.say("ok")
    await stage.until(stage.all_sent)
    wire.fail(503, times=2, path="POST */events")
    await stage.say("ok")
    await stage.until(stage.all_sent)
    assert len(vendor.said()) == 2


async def test_where_they_do_not_say_which_line_it_is_it_comes_rather_twice_than_never(
    stage: Stage, wire: Wire, vendor: Vendor
) -> None:
    vendor.names_events = False
    await talking(stage, vendor)
    await stage.say("ok")
    await stage.until(stage.all_sent)
    wire.hang_up(path="POST */events")
    await stage.say("ok")
    await stage.until(stage.all_sent)
    assert [text for _, text in vendor.said()] == ["ok", "ok", "ok"]


async def test_a_line_for_which_nobody_is_there_yet_is_tried_again(stage: Stage, wire: Wire, vendor: Vendor) -> None:
    """The agent gave the chat back, and the user was faster than we were with asking."""
    await talking(stage, vendor)
    visit = vendor.only()
    visit.state = "waiting"  # without an event that would tell
    await stage.say("hello?")
    await stage.until(lambda: [a for a in wire.taken("POST", "*/events") if b"hello?" in a.body])
    visit.state = "chatting"
    stage.pass_time(2.0)
    await stage.until(lambda: [text for _, text in vendor.said()] == ["hello?"])


async def test_what_the_user_says_does_not_wait_behind_questions_that_hang(
    stage: Stage, wire: Wire, vendor: Vendor
) -> None:
    await talking(stage, vendor)
    async with hanging(wire, "GET */events"):
        await stage.say("hello?")
        await stage.until(lambda: [text for _, text in vendor.said()] == ["hello?"])


async def test_too_many_requests_are_answered_with_patience(stage: Stage, wire: Wire, vendor: Vendor) -> None:
    await talking(stage, vendor)
    wire.fail(429, path="POST */events")
    await stage.say("hello?")

    async def refused_once() -> bool:
        waiting = await stage.runtime.store.read(deliveries.pending)
        return [each.attempts for each in waiting] == [1]

    await stage.until(refused_once)
    (delivery,) = await stage.runtime.store.read(deliveries.pending)
    assert delivery.next_at - stage.now() >= 1.0


# The end


async def test_an_end_without_an_event_is_one_too(stage: Stage, wire: Wire, vendor: Vendor) -> None:
    """The first document says how a chat stands."""
    document = payloads["first_read"]
    document["chat"]["events"].pop("event")
    document["chat"]["info"]["state"] = "ended"
    wire.respond("GET", f"{CHAT}/H*a7de5c", lambda asked: (200, document))
    await stage.request()
    assert await over(stage) is EndReason.AGENT_CLOSED


async def test_an_agent_who_ends_it_before_taking_it_did_not_accept(stage: Stage, vendor: Vendor) -> None:
    handoff = await stage.request()
    vendor.end(str(handoff.chat_id))
    assert await over(stage) is EndReason.NOT_ACCEPTED


@pytest.mark.parametrize("status", [404, 410])
async def test_a_chat_that_is_gone_is_over(stage: Stage, wire: Wire, vendor: Vendor, status: int) -> None:
    handoff = await talking(stage, vendor)
    wire.fail(status, times=3, path=f"GET {CHAT}/{handoff.chat_id}/events")
    assert await over(stage) is EndReason.AGENT_CLOSED


async def test_a_chat_that_we_could_not_ask_about_for_too_long_has_failed(
    tmp_path: Path, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "_AFTER_FAILURES", (0.5,))
    now = Time()
    vendor = Vendor(wire, clock=now)
    async with staged(tmp_path, wire) as stage:
        handoff = await talking(stage, vendor)
        wire.fail(503, path=f"GET {CHAT}/{handoff.chat_id}/events")
        await stage.until(lambda: not all(each.taken for each in wire.asked))
        now.advance(41.0)
        stage.now.advance(41.0)
        assert await over(stage) is EndReason.FAILED


async def test_after_a_short_trouble_it_goes_on(
    stage: Stage, wire: Wire, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "_AFTER_FAILURES", (0.1,))
    chat = str((await talking(stage, vendor)).chat_id)
    wire.fail(503, times=3, path=f"GET {CHAT}/*")
    vendor.write(chat, "still there")
    await stage.until(lambda: stage.heard() == ["still there"])


async def test_after_the_end_nobody_asks_any_more(stage: Stage, wire: Wire, vendor: Vendor) -> None:
    handoff = await talking(stage, vendor)
    vendor.end(str(handoff.chat_id))
    assert await over(stage) is EndReason.AGENT_CLOSED
    before = len(wire.asked)
    await asyncio.sleep(0.4)
    assert len(wire.asked) == before


async def test_the_user_leaves_and_nobody_asks_any_more(stage: Stage, wire: Wire, vendor: Vendor) -> None:
    handoff = await talking(stage, vendor)
    await stage.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=handoff.id)
    await stage.until(lambda: vendor.ended_by_visitor() == [handoff.chat_id])
    await stage.until(stage.all_sent)
    await stage.until(lambda: not len(stage.backend._pollers))  # no look is under way
    before = len(wire.asked)
    await asyncio.sleep(0.4)
    assert len(wire.asked) == before


async def test_both_end_it_at_the_same_moment(stage: Stage, wire: Wire, vendor: Vendor) -> None:
    handoff = await talking(stage, vendor)
    vendor.end(str(handoff.chat_id))
    await stage.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=handoff.id)
    await stage.until(stage.all_sent)
    assert (await stage.runtime.store.read(deliveries.counts))["dead"] == 0
    assert (await stage.handoff()).end_reason is EndReason.USER_LEFT


async def test_a_line_for_a_chat_that_is_over_ends_the_trying(stage: Stage, vendor: Vendor) -> None:
    """The end came while the line was under way, and they refuse it as if nobody had come yet."""
    handoff = await talking(stage, vendor)
    vendor.only().state = "waiting"
    await stage.say("thank you")
    await stage.runtime.inbox.apply(stage.name, Closed(chat_id=str(handoff.chat_id)))
    stage.pass_time(2.0)
    await stage.until(lambda: "utter_handoff_undelivered" in stage.notices())


# Restarts


async def test_a_restart_neither_loses_nor_repeats_a_line(stage: Stage, wire: Wire, vendor: Vendor) -> None:
    chat = str((await talking(stage, vendor)).chat_id)
    await until_asked_for(stage, chat, vendor.write(chat, "before"))
    await stage.down()
    vendor.write(chat, "meanwhile")
    asked = len(wire.asked)
    await stage.up()
    vendor.write(chat, "after")
    await stage.until(lambda: stage.heard()[-1:] == ["after"])
    assert stage.heard() == ["before", "meanwhile", "after"]
    first = next(each for each in wire.asked[asked:] if each.path.startswith(f"{CHAT}/{chat}"))
    assert (first.path, first.query["from"]) == (f"{CHAT}/{chat}/events", "5")
    assert (await stage.handoff()).status is Status.ACTIVE


async def test_where_to_go_on_is_on_disk_in_the_moment_in_which_the_line_is(stage: Stage, vendor: Vendor) -> None:
    """In one transaction: when the line's delivery is told of, the place behind it can be read by others."""
    chat = str((await talking(stage, vendor)).chat_id)
    kept: list[str] = []

    def look(posted: Posted) -> None:
        if posted.delivery.kind == "message":
            with sqlite3.connect(stage.folder / "handoff.db") as database:
                kept.extend(row[0] for row in database.execute("SELECT notes FROM handoff_handoffs"))

    stage.runtime.store.subscribe(Posted, look)
    number = vendor.write(chat, "hello")
    await stage.until(lambda: kept)
    assert f'"next": {number + 1}' in kept[0]


async def test_after_a_restart_every_open_chat_is_taken_up_and_no_other(
    stage: Stage, wire: Wire, vendor: Vendor
) -> None:
    ended = await talking(stage, vendor, "cleo")
    vendor.end(str(ended.chat_id))

    async def is_over() -> bool:
        return not (await stage.handoff("cleo")).is_open

    await stage.until(is_over)
    queued, active = await stage.request("bob"), await talking(stage, vendor)
    await stage.down()
    asked = len(wire.asked)
    await stage.up()
    vendor.accept(str(queued.chat_id))
    vendor.write(str(active.chat_id), "hello")
    await stage.until(lambda: stage.heard() == ["hello"])
    await stage.until(lambda: "utter_handoff_joined" in stage.notices("bob"))
    assert not any(str(ended.chat_id) in each.path for each in wire.asked[asked:])


async def test_a_chat_that_ended_while_we_were_down_is_over(stage: Stage, vendor: Vendor) -> None:
    handoff = await talking(stage, vendor)
    await stage.down()
    vendor.end(str(handoff.chat_id))
    await stage.up()
    assert await over(stage) is EndReason.AGENT_CLOSED


async def test_only_what_this_process_looks_after_is_looked_at(
    stage: Stage, wire: Wire, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where several share a database, the others' chats are left alone, and taken up when they become ours."""
    monkeypatch.setattr(polling, "COMPARE_EVERY", 0.1)
    chat = str((await talking(stage, vendor)).chat_id)

    async def nothing_waits() -> bool:
        return not await stage.runtime.store.read(deliveries.pending)

    await stage.until(nothing_waits)
    async with hanging(wire, "GET */events"):  # so that no look is on its way to them
        await stage.down()
    _give_to(stage, "another process")
    await stage.up()
    asked = len(wire.asked)
    vendor.write(chat, "hello")
    await asyncio.sleep(0.5)
    assert wire.asked[asked:] == []
    _give_to(stage, "")
    await stage.until(lambda: stage.heard() == ["hello"])


def _give_to(stage: Stage, owner: str) -> None:
    with sqlite3.connect(stage.folder / "handoff.db") as database:
        database.execute("UPDATE handoff_handoffs SET owner = ?", (owner,))


# Where it is


async def test_their_address_is_looked_up_again_when_it_does_not_answer(
    tmp_path: Path, wire: Wire, vendor: Vendor
) -> None:
    async with staged(tmp_path, wire) as stage:
        await stage.request()
        with Wire() as elsewhere:
            moved = Vendor(elsewhere)
            entry = {"service": "conversationVep", "account": ACCOUNT, "baseURI": elsewhere.url.partition("//")[2]}
            wire.when("GET", "*/baseURI.json", body=entry)
            wire.hang_up(path=f"{CHAT}/availability")
            assert (await stage.request("bob")).end_reason is EndReason.FAILED
            stage.now.advance(31.0)
            assert (await stage.request("bob")).status is Status.QUEUED
            assert (len(vendor.visits), len(moved.visits)) == (1, 1)
