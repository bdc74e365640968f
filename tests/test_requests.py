"""Asking for an agent, without Rasa: who takes the chat, who refuses it, and who answers too late."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rasa_handoff.backends.base import Opened
from rasa_handoff.errors import BackendError, TemporaryError, Unavailable
from rasa_handoff.events import AgentJoined, AgentMessage, QueueMoved
from rasa_handoff.model import EndReason, Handoff, Person, Request, Status
from rasa_handoff.settings import Rule
from rasa_handoff.store import deliveries
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


async def test_who_is_handed_over_for_good_is_nobodys_here(stage: Stage) -> None:
    stage.agents.answer = lambda handoff: Opened(chat_id="c1", status=Status.CLOSED, agent=BO)
    handoff = await stage.request()
    assert (handoff.status, handoff.end_reason, handoff.agent) == (Status.CLOSED, EndReason.HANDED_OVER, BO)
    assert not handoff.settled
    await stage.until(lambda: stage.kinds_to_user() == ["state", "settle"])
    assert await stage.say("hello?") is None
    assert stage.agents.got == []
    assert stage.agents.closed == []


async def test_what_was_typed_while_the_user_was_handed_over_is_put_aside(stage: Stage) -> None:
    asked = asyncio.Event()

    async def answer_when_asked() -> Opened:
        await asked.wait()
        return Opened(chat_id="c1", status=Status.CLOSED)

    stage.agents.answer = lambda handoff: answer_when_asked()
    opening = asyncio.create_task(stage.request())
    await stage.until(lambda: stage.agents.opened)
    await stage.say("are you there?")
    asked.set()
    handoff = await opening
    left = await stage.runtime.store.read(lambda tx: deliveries.unfinished(tx))
    assert [(each.kind, each.state) for each in left if each.target == "agent"] == [("message", "dead")]
    assert (await stage.handoff() or handoff).end_reason is EndReason.HANDED_OVER
    assert stage.agents.got == []


async def test_who_was_handed_over_too_late_is_not_taken_back(database: str, tmp_path: Path, time: Time) -> None:
    stage = Stage(database, tmp_path, time, open_timeout="200ms")
    await stage.up()

    may_answer = asyncio.Event()

    async def late() -> Opened:
        await may_answer.wait()
        return Opened(chat_id="c1", status=Status.CLOSED)

    stage.agents.answer = lambda handoff: late()
    assert (await stage.request()).end_reason is EndReason.FAILED
    may_answer.set()
    await asyncio.sleep(0.2)
    assert stage.agents.closed == []
    await stage.down()


async def test_a_chat_that_opens_too_late_is_closed_there(database: str, tmp_path: object, time: Time) -> None:
    stage = Stage(database, Path(str(tmp_path)), time, open_timeout=0.1)
    await stage.up()

    may_answer = asyncio.Event()

    async def slow(handoff_id: str) -> Opened:
        await may_answer.wait()
        return Opened(chat_id=handoff_id)

    stage.agents.answer = lambda handoff: slow(handoff.id)
    handoff = await stage.request()
    assert handoff.end_reason is EndReason.FAILED
    may_answer.set()
    await stage.until(lambda: stage.agents.closed == [EndReason.FAILED])
    await stage.down()


async def test_how_long_it_will_take_is_known_with_the_place(stage: Stage) -> None:
    """To the bot's slots and the page at once; said with the next estimate, when it is certain that it is read."""
    stage.agents.answer = lambda handoff: Opened(chat_id=handoff.id, queue_position=1, queue_wait=590.0)
    handoff = await stage.request()
    assert handoff.queue_minutes == 10
    await stage.until(lambda: stage.states()[-1:] == [("queued", 10)])
    await stage.happen(QueueMoved(chat_id=handoff.id, position=1, wait=600.0))
    await stage.until(lambda: stage.kinds_to_user().count("notice") == 1)
    await stage.happen(QueueMoved(chat_id=handoff.id, position=1, wait=120.0))
    await stage.until(lambda: stage.states()[-1] == ("queued", 2))
    await stage.until(lambda: stage.slots_set == 2)
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await stage.until(lambda: stage.states()[-1] == ("active", None))


@pytest.mark.parametrize("error", [BackendError("desk", "open", 500), TemporaryError("desk", "open")])
async def test_an_agent_who_is_faster_than_a_refusal_keeps_the_chat(stage: Stage, error: Exception) -> None:
    async def late(handoff: Handoff) -> Exception:
        await stage.say("while it opens")
        await stage.happen(AgentMessage(chat_id="c1", sender_id="ann", event_id="e1", agent=BO, text="Hi"))
        return error

    stage.agents.answer = late
    handoff = await stage.request()
    assert (handoff.status, handoff.chat_id, handoff.agent) == (Status.ACTIVE, "c1", BO)
    await stage.say("and after")
    await stage.until(lambda: len(stage.agents.got) == 2)
    assert [message.text for message in stage.agents.got] == ["while it opens", "and after"]
    assert "replay" not in stage.kinds_to_user()


async def test_where_an_agent_was_faster_than_a_refusal_nobody_else_is_asked(
    database: str, tmp_path: Path, time: Time
) -> None:
    stage = Stage(database, tmp_path, time, route=[{"to": "desk"}, {"to": "desk"}])
    await stage.up()

    async def late(handoff: Handoff) -> Exception:
        await stage.happen(AgentMessage(chat_id="c1", sender_id="ann", event_id="e1", agent=BO, text="Hi"))
        return TemporaryError("desk", "open")

    stage.agents.answer = late
    assert (await stage.request()).status is Status.ACTIVE
    assert len(stage.agents.opened) == 1
    await stage.down()


async def test_an_agent_who_is_faster_than_a_late_answer_keeps_the_chat(
    database: str, tmp_path: Path, time: Time
) -> None:
    stage = Stage(database, tmp_path, time, open_timeout="5s")  # in which the agent has to have written
    await stage.up()
    may_answer = asyncio.Event()

    async def slow(handoff_id: str) -> Opened:
        await stage.happen(AgentMessage(chat_id=handoff_id, sender_id="ann", event_id="e1", agent=BO, text="Hi"))
        await may_answer.wait()
        return Opened(chat_id=handoff_id, notes={"seen": True})

    stage.agents.answer = lambda handoff: slow(handoff.id)
    assert (await stage.request()).status is Status.ACTIVE
    may_answer.set()

    async def is_noted() -> bool:
        handoff = await stage.handoff()
        assert handoff is not None
        return (handoff.status, handoff.notes) == (Status.ACTIVE, {"seen": True})

    await stage.until(is_noted)
    assert stage.agents.closed == []
    await stage.down()


async def test_a_chat_that_opened_too_late_is_closed_there_though_nobody_else_took_it(stage: Stage) -> None:
    write, requests = stage.runtime.store.write, stage.runtime.requests
    request, rule = Request(sender_id="ann", channel="handoff"), Rule(to="desk")
    handoff, _ = await write(lambda tx: requests.begin(tx, request, [rule]))
    handoff = await write(lambda tx: requests.try_at(tx, handoff, rule, request))
    await write(lambda tx: requests.close_late(tx, handoff, Opened(chat_id="late")))
    await write(lambda tx: requests.refused(tx, handoff, EndReason.FAILED))
    await stage.until(lambda: stage.agents.closed == [EndReason.FAILED])
    assert "replay" not in stage.kinds_to_user()


async def test_what_was_typed_while_nobody_took_the_chat_is_for_the_bot(stage: Stage) -> None:
    async def refuse(handoff: Handoff) -> Exception:
        await stage.say("while it opens")
        return Unavailable("desk", "open")

    stage.agents.answer = refuse
    handoff = await stage.request()
    assert (handoff.status, handoff.end_reason) == (Status.CLOSED, EndReason.UNAVAILABLE)
    await stage.until(lambda: stage.kinds_to_user() == ["replay"])
    ((_, delivery),) = stage.to_user
    assert delivery.message is not None
    assert delivery.message.text == "while it opens"
    assert stage.agents.got == []


async def test_an_agent_who_is_there_at_once_has_the_chat(stage: Stage) -> None:
    stage.agents.answer = lambda handoff: Opened(chat_id=handoff.id, status=Status.ACTIVE, agent=BO)
    handoff = await stage.request()
    assert (handoff.status, handoff.agent) == (Status.ACTIVE, BO)
    assert set(handoff.deadlines) == {"agent_reply"}
