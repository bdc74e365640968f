"""Who holds the conversation, without Rasa: the switchboard, the outbox and the clock on real databases."""

from __future__ import annotations

import asyncio

import pytest

from rasa_handoff.errors import BackendError, ChatGone, Conflict, TemporaryError, Unavailable, UnknownChat
from rasa_handoff.events import AgentJoined, AgentMessage, Closed
from rasa_handoff.model import EndReason, Person, Rating, Status
from rasa_handoff.store import deliveries, handoffs
from tests.stage import Stage, Time

BO = Person(name="Bo", id="bo")


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


async def test_a_rating_reaches_the_agents_also_after_the_end(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(Closed(chat_id=handoff.id))
    rating = Rating(stars=4, resolved=True)
    await stage.runtime.switchboard.rate(rating, sender_id="ann")
    await stage.runtime.switchboard.rate(Rating(stars=1), handoff_id=handoff.id)
    await stage.until(lambda: stage.agents.rated == [rating, Rating(stars=1)])


async def test_there_is_nothing_to_rate_without_a_chat(stage: Stage) -> None:
    with pytest.raises(UnknownChat):
        await stage.runtime.switchboard.rate(Rating(stars=4), sender_id="ann")
    stage.agents.answer = lambda handoff: Unavailable("desk", "open")
    await stage.request()
    with pytest.raises(Conflict) as refused:
        await stage.runtime.switchboard.rate(Rating(stars=4), sender_id="ann")
    assert refused.value.code == "no_ratings"


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
    before = len(await stage.notices())
    time.advance(deadline.warn + 1)
    await stage.runtime.clock.tick()
    await stage.runtime.clock.tick()
    assert len(await stage.notices()) == before + 1
    time.advance(deadline.after - deadline.warn)
    await stage.runtime.clock.tick()
    now = await stage.handoff()
    assert now is not None
    assert (now.status, now.end_reason) == (Status.CLOSED, reason)
    await stage.until(lambda: stage.agents.closed == [reason])


async def test_a_deadline_survives_a_restart(stage: Stage, time: Time) -> None:
    await stage.request()
    await stage.down()
    time.advance(stage.settings.deadlines["accept"].after + 1)
    await stage.up()
    await stage.until(lambda: stage.agents.closed == [EndReason.NOT_ACCEPTED])


async def test_what_waits_is_delivered_after_a_restart_in_order(stage: Stage) -> None:
    await stage.request()
    stage.agents.trouble = [TemporaryError("desk", "send", 503)] * 100
    for number in range(5):
        await stage.say(str(number))
    await stage.until(lambda: len(stage.agents.trouble) < 100)
    await stage.down()
    assert stage.agents.got == []
    stage.agents.trouble = []
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

    dead = [each for each in await stage.runtime.store.read(deliveries.unfinished) if each.state == "dead"]
    assert [each.error for each in dead] == ["desk: could not send: HTTP 400"]
    assert "utter_handoff_undelivered" in await stage.notices()
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


async def test_the_open_chats_of_an_agent_system_are_listed(stage: Stage) -> None:
    over, queued, active = [await stage.request(name) for name in ("ann", "bob", "cleo")]
    await stage.happen(AgentJoined(chat_id=active.id, agent=BO))
    await stage.happen(Closed(chat_id=over.id))
    found = await stage.runtime.store.read(lambda tx: handoffs.open_at(tx, queued.backend))
    assert {handoff.id for handoff in found} == {queued.id, active.id}
    assert await stage.runtime.store.read(lambda tx: handoffs.open_at(tx, "another")) == []


async def test_a_chat_that_may_have_been_opened_when_its_server_died_ends_at_the_next_start(stage: Stage) -> None:
    stage.agents.chat_id_of = lambda handoff: handoff.id  # type: ignore[method-assign]
    stage.agents.answer = lambda handoff: asyncio.Event().wait()
    asking = asyncio.create_task(stage.request())
    await stage.until(lambda: stage.agents.opened)
    await stage.runtime.switchboard.recover()
    await stage.until(lambda: stage.agents.closed == [EndReason.FAILED])
    asking.cancel()


async def test_a_handoff_whose_agent_system_left_the_settings_ends_at_the_start(stage: Stage) -> None:
    await stage.request()
    del stage.runtime.backends["desk"]  # type: ignore[attr-defined]
    await stage.runtime.switchboard.recover()
    handoff = await stage.handoff()
    assert handoff is not None
    assert (handoff.status, handoff.end_reason) == (Status.CLOSED, EndReason.FAILED)
    await stage.until(lambda: "settle" in stage.kinds_to_user())
