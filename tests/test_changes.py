"""What a change causes at agent systems that differ: in parts, in patience, in what they hear, in when they listen."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from rasa_handoff.backends.base import Opened
from rasa_handoff.errors import TemporaryError, UnknownChat, UserAway
from rasa_handoff.events import AgentJoined, AgentMessage, Closed, MessageStatus, Transferred
from rasa_handoff.model import Deadline, EndReason, Handoff, Message, Person
from rasa_handoff.settings import DeadlineSetting
from rasa_handoff.store import deliveries, messages
from tests.stage import Recorder, Stage, Time

BO = Person(name="Bo", id="bo")


class Particular(Recorder):
    """An agent system with rules of its own: small messages, and an own idea of patience."""

    hears = frozenset({"status"})

    @property
    def deadlines(self) -> dict[str, DeadlineSetting]:
        return {"agent_reply": DeadlineSetting(after=7.0, warn=None)}

    def parts(self, message: Message) -> list[Message]:
        words = message.text.split() or [""]
        return [replace(message, id=f"{message.id}.{number}", text=word) for number, word in enumerate(words)]


@pytest.fixture
def particular(stage: Stage) -> Stage:
    """A stage whose agent system is `Particular`."""
    stage.agents = Particular()
    stage.runtime.backends["desk"] = stage.agents  # type: ignore[index]
    return stage


async def test_a_backend_can_have_deadlines_of_its_own(particular: Stage, time: Time) -> None:
    handoff = await particular.request()
    assert handoff.deadlines["accept"].due == time() + 300.0  # the general one
    handoff = await particular.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    assert handoff.deadlines == {"agent_reply": Deadline(due=time() + 7.0)}


async def test_a_message_goes_out_in_the_parts_that_the_backend_wants(particular: Stage) -> None:
    await particular.request()
    await particular.say("one two three")
    await particular.say("four")
    await particular.until(lambda: len(particular.agents.got) == 4)
    assert [message.text for message in particular.agents.got] == ["one", "two", "three", "four"]
    assert len({message.id for message in particular.agents.got}) == 4


async def test_a_part_that_failed_is_tried_again_alone(particular: Stage) -> None:
    await particular.request()
    await particular.say("one two three")
    await particular.until(lambda: len(particular.agents.got) == 3)
    particular.agents.trouble = [TemporaryError("desk", "send", 503)]
    await particular.say("four five")
    await particular.until(lambda: not particular.agents.trouble)
    particular.pass_time(1.0)
    await particular.until(lambda: len(particular.agents.got) == 5)
    assert [message.text for message in particular.agents.got][3:] == ["four", "five"]


async def test_the_transcript_has_a_message_whole(particular: Stage) -> None:
    handoff = await particular.request()
    await particular.say("one two three")
    found = await particular.runtime.store.read(lambda tx: messages.of(tx, handoff.id))
    assert [message.text for message in found] == ["one two three"]


async def test_what_is_typed_while_it_opens_goes_out_in_parts_and_in_order(particular: Stage) -> None:
    opens = asyncio.Event()

    async def slow(handoff_id: str) -> Opened:
        await opens.wait()
        return Opened(chat_id=handoff_id)

    particular.agents.answer = lambda handoff: slow(handoff.id)
    opening = asyncio.create_task(particular.request())
    await particular.until(lambda: particular.agents.opened)
    for text in ("a", "b c", "d"):
        await particular.say(text)
    opens.set()
    await opening
    await particular.until(lambda: len(particular.agents.got) == 4)
    assert [message.text for message in particular.agents.got] == ["a", "b", "c", "d"]


async def test_a_status_says_when_it_was_so(particular: Stage, time: Time) -> None:
    handoff = await particular.request()
    particular.user_trouble = [UserAway("away")] * 1000  # until the clock is moved
    await particular.happen(AgentMessage(chat_id=handoff.id, event_id="e1", agent=BO, text="Hi"))
    submitted = time()
    await particular.until(lambda: particular.agents.reports)
    particular.user_trouble = []
    particular.pass_time(60.0)
    await particular.until(lambda: len(particular.agents.reports) == 2)
    assert [(report.state, report.at) for report in particular.agents.reports] == [
        ("submitted", submitted),
        ("delivered", time()),
    ]


async def test_a_status_that_nobody_takes_holds_up_no_message(particular: Stage) -> None:
    async def refuse(handoff: Handoff, status: MessageStatus) -> None:
        raise TemporaryError("desk", "report", 503)

    particular.agents.report = refuse  # type: ignore[method-assign]
    handoff = await particular.request()
    await particular.happen(AgentMessage(chat_id=handoff.id, event_id="e1", agent=BO, text="Hi"))
    await particular.say("hello")
    await particular.until(lambda: [message.text for message in particular.agents.got] == ["hello"])


async def test_what_the_user_has_read_is_told_once(particular: Stage) -> None:
    handoff = await particular.request()
    await particular.happen(AgentMessage(chat_id=handoff.id, event_id="e1", agent=BO, text="Hi"))
    await particular.until(lambda: "message" in particular.kinds_to_user())
    message_id = next(delivery.message.id for _, delivery in particular.to_user if delivery.message)
    with pytest.raises(UnknownChat):
        await particular.runtime.switchboard.read("bob", message_id)
    for _ in range(2):
        await particular.runtime.switchboard.read("ann", message_id)
    await particular.until(lambda: len(particular.agents.reports) >= 3)
    await particular.all_gone()
    assert [report.state for report in particular.agents.reports] == ["submitted", "delivered", "read"]
    assert {report.message_id for report in particular.agents.reports} == {"e1"}


class Patient(Particular):
    """An agent system that takes nothing of the user before an agent has the chat, and hears who has it."""

    hears = frozenset({"accepted"})
    waits_for_agent = True

    async def accepted(self, handoff: Handoff) -> None:
        self.got.append(Message(id="", who="system", text="accepted"))


@pytest.fixture
def patient(stage: Stage) -> Stage:
    """A stage whose agent system is `Patient`."""
    stage.agents = Patient()
    stage.runtime.backends["desk"] = stage.agents  # type: ignore[index]
    return stage


def arrived(stage: Stage) -> list[str]:
    return [message.text for message in stage.agents.got]


async def test_what_the_user_says_can_wait_for_an_agent(patient: Stage) -> None:
    handoff = await patient.request()
    await patient.say("one two")
    await patient.say("three")
    await patient.all_gone()
    assert arrived(patient) == []
    await patient.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await patient.say("four")
    await patient.until(lambda: len(patient.agents.got) == 5)
    assert arrived(patient) == ["accepted", "one", "two", "three", "four"]


async def test_what_waits_for_an_agent_waits_after_a_restart_too(patient: Stage) -> None:
    handoff = await patient.request()
    await patient.say("one")
    await patient.down()
    await patient.up()
    await patient.all_gone()
    assert arrived(patient) == []
    await patient.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await patient.until(lambda: arrived(patient) == ["accepted", "one"])


async def test_how_long_it_waited_does_not_count_as_trying(database: str, tmp_path: Path, time: Time) -> None:
    stage = Stage(database, tmp_path, time, delivery_timeout="1m", deadlines={"accept": "1h"})
    stage.agents = Patient()
    await stage.up()
    handoff = await stage.request()
    await stage.say("one")
    stage.pass_time(1800.0)
    stage.agents.trouble = [TemporaryError("desk", "send", 503)]
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await stage.until(lambda: arrived(stage) == ["accepted", "one"])
    await stage.down()


async def test_back_in_the_queue_it_waits_again(patient: Stage) -> None:
    handoff = await patient.request()
    await patient.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await patient.happen(Transferred(chat_id=handoff.id))
    await patient.say("one two")
    await patient.all_gone()
    assert arrived(patient) == ["accepted"]
    await patient.happen(AgentJoined(chat_id=handoff.id, agent=Person(name="Cleo")))
    await patient.until(lambda: arrived(patient)[-2:] == ["one", "two"])


async def test_what_no_agent_came_for_is_put_aside_and_goes_nowhere(patient: Stage) -> None:
    handoff = await patient.request()
    await patient.say("one")
    await patient.happen(Closed(chat_id=handoff.id, reason=EndReason.REJECTED))
    await patient.until(lambda: "settle" in patient.kinds_to_user())
    left = await patient.runtime.store.read(deliveries.unfinished)
    aside = [(delivery.state, delivery.error) for delivery in left if delivery.target == "agent"]
    assert aside == [("dead", "no agent came who would read it")]
    assert arrived(patient) == []


async def test_an_agent_who_is_faster_than_the_answer_is_confirmed_once(patient: Stage) -> None:
    opens = asyncio.Event()

    async def slow(handoff: Handoff) -> Opened:
        await opens.wait()
        return Opened(chat_id=handoff.id)

    patient.agents.answer = slow
    opening = asyncio.create_task(patient.request())
    await patient.until(lambda: patient.agents.opened)
    await patient.say("one")
    handoff = patient.agents.opened[0][0]
    await patient.happen(AgentJoined(chat_id=handoff.id, sender_id="ann", agent=BO))
    opens.set()
    await opening
    await patient.say("two")
    await patient.until(lambda: len(patient.agents.got) >= 3)
    assert arrived(patient) == ["accepted", "one", "two"]
