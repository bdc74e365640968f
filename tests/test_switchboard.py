"""Who holds the conversation, without Rasa: the switchboard, the outbox and the clock on real databases."""

from __future__ import annotations

import asyncio

import pytest

from rasa_handoff.errors import BackendError, ChatGone, Conflict, TemporaryError, Unavailable, UnknownChat
from rasa_handoff.events import AgentJoined, AgentMessage, Closed, QueueMoved, Transferred
from rasa_handoff.model import EndReason, Person, Status
from tests.stage import Stage, Time

BO = Person(name="Bo", id="bo")


async def test_an_accepted_request_is_queued(stage: Stage) -> None:
    handoff = await stage.request()
    assert (handoff.status, handoff.queue_position, handoff.chat_id) == (Status.QUEUED, 1, handoff.id)


async def test_a_second_request_finds_the_first(stage: Stage) -> None:
    first, second = await asyncio.gather(stage.request(), stage.request())
    third = await stage.request()
    assert first.id == second.id == third.id
    assert len(stage.agents.opened) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("desk", "open"), EndReason.UNAVAILABLE),
        (BackendError("desk", "open", 403), EndReason.FAILED),
        (TemporaryError("desk", "open", 503), EndReason.FAILED),
        (ValueError("a bug"), EndReason.FAILED),
    ],
)
async def test_a_refusal_leaves_the_bot_in_charge(stage: Stage, error: Exception, reason: EndReason) -> None:
    stage.agents.answer = lambda handoff: error
    handoff = await stage.request()
    assert (handoff.status, handoff.end_reason, handoff.settled) == (Status.CLOSED, reason, True)
    assert await stage.handoff() is None
    assert await stage.say("hello?") is None


async def test_what_the_user_says_reaches_the_agent_in_order(stage: Stage) -> None:
    await stage.request()
    for number in range(20):
        await stage.say(f"line {number}")
    await stage.until(lambda: len(stage.agents.got) == 20)
    assert [message.text for message in stage.agents.got] == [f"line {number}" for number in range(20)]


async def test_a_repeat_reaches_the_agent_once_and_typing_twice_reaches_twice(stage: Stage) -> None:
    await stage.request()
    first = await stage.say("yes", external_id="m1")
    again = await stage.say("yes", external_id="m1")
    await stage.say("yes", external_id="m2")
    await stage.until(lambda: len(stage.agents.got) == 2)
    assert (first.repeat, again.repeat) == (False, True)


async def test_an_agent_joins_and_writes(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await stage.happen(AgentMessage(chat_id=handoff.id, event_id="e1", agent=BO, text="Hi"))
    await stage.happen(AgentMessage(chat_id=handoff.id, event_id="e1", agent=BO, text="Hi"))
    await stage.until(lambda: "message" in stage.kinds_to_user())
    await stage.until(lambda: stage.agents.reports)
    assert stage.kinds_to_user() == ["state", "state", "notice", "slots", "message"]
    assert [(report.message_id, report.state) for report in stage.agents.reports] == [("e1", "delivered")]
    now = await stage.handoff()
    assert now is not None
    assert (now.status, now.agent) == (Status.ACTIVE, BO)


async def test_an_agent_closes_and_the_bot_is_told_once(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(Closed(chat_id=handoff.id))
    await stage.happen(Closed(chat_id=handoff.id))
    await stage.until(lambda: "settle" in stage.kinds_to_user())
    await asyncio.sleep(0.05)
    assert stage.kinds_to_user().count("settle") == 1
    assert stage.agents.closed == []
    with pytest.raises(Conflict) as refused:
        await stage.happen(AgentMessage(chat_id=handoff.id, text="too late"))
    assert refused.value.code == "agent_closed"


async def test_events_for_a_chat_nobody_knows_are_refused(stage: Stage) -> None:
    with pytest.raises(UnknownChat):
        await stage.happen(AgentMessage(chat_id="nobody's", text="hi"))


async def test_the_user_leaves_and_the_agents_side_hears_it(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.runtime.switchboard.close(EndReason.USER_LEFT, sender_id="ann")
    await stage.until(lambda: stage.agents.closed)
    assert stage.agents.closed == [EndReason.USER_LEFT]
    with pytest.raises(UnknownChat):
        await stage.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=handoff.id)


@pytest.mark.parametrize(
    ("setting", "events", "reason"),
    [
        ("accept", [], EndReason.NOT_ACCEPTED),
        ("agent_reply", ["joined"], EndReason.AGENT_SILENT),
        ("user_idle", ["joined", "wrote"], EndReason.USER_IDLE),
    ],
)
async def test_a_deadline_is_warned_of_and_then_acted_on(
    stage: Stage, time: Time, setting: str, events: list[str], reason: EndReason
) -> None:
    handoff = await stage.request()
    if "joined" in events:
        await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    if "wrote" in events:
        await stage.happen(AgentMessage(chat_id=handoff.id, agent=BO, text="Hi"))
    deadline = stage.settings.deadlines[setting]
    assert deadline.warn is not None
    before = len(await notices(stage))
    time.advance(deadline.warn + 1)
    await stage.runtime.clock.tick()
    await stage.runtime.clock.tick()
    assert len(await notices(stage)) == before + 1
    time.advance(deadline.after - deadline.warn)
    await stage.runtime.clock.tick()
    now = await stage.handoff()
    assert now is not None
    assert (now.status, now.end_reason) == (Status.CLOSED, reason)
    await stage.until(lambda: stage.agents.closed == [reason])


async def notices(stage: Stage) -> list[str]:
    await asyncio.sleep(0.1)
    return [each.body["response"] for _, each in stage.to_user if each.kind == "notice"]


async def test_a_deadline_survives_a_restart(stage: Stage, time: Time) -> None:
    await stage.request()
    await stage.down()
    time.advance(stage.settings.deadlines["accept"].after + 1)
    await stage.up()
    await stage.until(lambda: stage.agents.closed == [EndReason.NOT_ACCEPTED])


async def test_what_waits_is_delivered_after_a_restart_in_order(stage: Stage) -> None:
    await stage.request()
    stage.agents.trouble = [TemporaryError("desk", "send", 503)]
    for number in range(5):
        await stage.say(str(number))
    await stage.until(lambda: not stage.agents.trouble)
    await stage.down()
    assert stage.agents.got == []
    stage.runtime._now = stage.now  # type: ignore[attr-defined]
    await stage.up()
    stage.now.advance(2)  # type: ignore[attr-defined]
    await stage.until(lambda: len(stage.agents.got) == 5)
    assert [message.text for message in stage.agents.got] == list("01234")


async def test_a_permanent_refusal_is_a_dead_letter_that_can_be_sent_again(stage: Stage) -> None:
    await stage.request()
    stage.agents.trouble = [BackendError("desk", "send", 400)]
    await stage.say("one")
    await stage.say("two")
    await stage.until(lambda: [message.text for message in stage.agents.got] == ["two"])
    from rasa_handoff.store import deliveries

    dead = [each for each in await stage.runtime.store.read(deliveries.unfinished) if each.state == "dead"]
    assert [each.error for each in dead] == ["desk: could not send: HTTP 400"]
    assert "utter_handoff_undelivered" in await notices(stage)
    await stage.runtime.outbox.retry(dead[0].id)
    await stage.until(lambda: [message.text for message in stage.agents.got] == ["two", "one"])
    with pytest.raises(Conflict):
        await stage.runtime.outbox.retry(dead[0].id)


async def test_a_chat_that_is_gone_there_ends_here(stage: Stage) -> None:
    await stage.request()
    stage.agents.trouble = [ChatGone("desk", "send", 410)]
    await stage.say("one")
    await stage.until(lambda: "settle" in stage.kinds_to_user())
    handoff = await stage.handoff()
    assert handoff is not None
    assert handoff.end_reason is EndReason.AGENT_CLOSED


async def test_a_forgotten_chat_is_found_and_ended(stage: Stage) -> None:
    handoff = await stage.request()
    stage.agents.known = [Closed(chat_id=handoff.id)]
    await stage.runtime.clock.look()
    now = await stage.handoff()
    assert now is not None
    assert now.status is Status.CLOSED


async def test_a_chat_that_opens_too_late_is_closed_there(database: str, tmp_path: object, time: Time) -> None:
    from pathlib import Path

    from rasa_handoff.backends.base import Opened

    stage = Stage(database, Path(str(tmp_path)), time, open_timeout=0.1)
    await stage.up()

    async def slow(handoff_id: str) -> Opened:
        await asyncio.sleep(0.4)
        return Opened(chat_id=handoff_id)

    stage.agents.answer = lambda handoff: slow(handoff.id)
    handoff = await stage.request()
    assert handoff.end_reason is EndReason.FAILED
    await stage.until(lambda: stage.agents.closed == [EndReason.FAILED])
    await stage.down()


async def test_a_place_in_the_queue_and_a_transfer_are_told(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(QueueMoved(chat_id=handoff.id, position=1))
    assert await notices(stage) == []
    await stage.happen(QueueMoved(chat_id=handoff.id, position=3))
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await stage.happen(Transferred(chat_id=handoff.id, agent=Person(name="Di", id="di")))
    await stage.happen(Transferred(chat_id=handoff.id))
    assert await notices(stage) == [
        "utter_handoff_queue_moved",
        "utter_handoff_joined",
        "utter_handoff_transferred",
        "utter_handoff_back_in_queue",
    ]
