"""What agent systems tell, without Rasa: each event has its effect once, on real databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rasa_handoff.errors import Conflict, UnknownChat
from rasa_handoff.events import AgentIdle, AgentJoined, AgentMessage, Closed, MessageStatus, QueueMoved, Transferred
from rasa_handoff.model import Person, Status
from rasa_handoff.store import messages
from tests.stage import Stage, Time

BO = Person(name="Bo", id="bo")


async def test_an_agent_joins_and_writes(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await stage.happen(AgentMessage(chat_id=handoff.id, event_id="e1", agent=BO, text="Hi"))
    await stage.happen(AgentMessage(chat_id=handoff.id, event_id="e1", agent=BO, text="Hi"))
    await stage.until(lambda: "message" in stage.kinds_to_user())
    await stage.until(lambda: stage.agents.reports)
    assert stage.kinds_to_user() == ["state", "state", "notice", "message"]
    assert [(report.message_id, report.state) for report in stage.agents.reports] == [("e1", "delivered")]
    now = await stage.handoff()
    assert now is not None
    assert (now.status, now.agent) == (Status.ACTIVE, BO)


async def test_what_the_agent_system_says_by_itself_is_not_an_agent_who_joined(stage: Stage) -> None:
    handoff = await stage.request()
    said = AgentMessage(chat_id=handoff.id, event_id="e1", text="You are number 3", automatic=True)
    await stage.happen(said)
    await stage.happen(said)
    await stage.until(lambda: "message" in stage.kinds_to_user())
    assert stage.kinds_to_user() == ["state", "message"]
    now = await stage.handoff()
    assert now is not None
    assert (now.status, now.agent, list(now.deadlines)) == (Status.QUEUED, None, ["accept"])
    (written,) = await stage.runtime.store.read(lambda tx: messages.of(tx, handoff.id))
    assert (written.who, written.name, written.text) == ("system", None, "You are number 3")


async def test_an_agent_closes_and_the_bot_is_told_once(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(Closed(chat_id=handoff.id))
    await stage.happen(Closed(chat_id=handoff.id))
    await stage.notices()  # and with them whatever else there was to tell
    assert stage.kinds_to_user().count("settle") == 1
    assert stage.agents.closed == []
    with pytest.raises(Conflict) as refused:
        await stage.happen(AgentMessage(chat_id=handoff.id, text="too late"))
    assert refused.value.code == "agent_closed"


async def test_events_for_a_chat_nobody_knows_are_refused(stage: Stage) -> None:
    with pytest.raises(UnknownChat):
        await stage.happen(AgentMessage(chat_id="nobody's", text="hi"))


async def test_a_place_in_the_queue_and_a_transfer_are_told(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(QueueMoved(chat_id=handoff.id, position=1))
    assert await stage.notices() == []
    await stage.happen(QueueMoved(chat_id=handoff.id, position=3))
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await stage.happen(Transferred(chat_id=handoff.id, agent=Person(name="Di", id="di")))
    await stage.happen(Transferred(chat_id=handoff.id))
    assert await stage.notices() == [
        "utter_handoff_queue_moved",
        "utter_handoff_joined",
        "utter_handoff_transferred",
        "utter_handoff_back_in_queue",
    ]


async def test_how_long_it_will_take_is_told_once_and_again_when_it_is_very_different(stage: Stage) -> None:
    handoff = await stage.request()
    for wait in (590.0, 600.0, 480.0, 0.0, 200.0, 170.0):
        await stage.happen(QueueMoved(chat_id=handoff.id, position=1, wait=wait))
    await stage.happen(QueueMoved(chat_id=handoff.id, position=2, wait=180.0))
    await stage.until(lambda: stage.kinds_to_user().count("notice") == 3)
    said = [delivery.body for _, delivery in stage.to_user if delivery.kind == "notice"]
    assert [(each["response"], each["values"]["queue_minutes"]) for each in said] == [
        ("utter_handoff_queue_wait", 10),
        ("utter_handoff_queue_wait", 4),
        ("utter_handoff_queue_moved", 3),
    ]


async def test_what_agents_have_read_is_told_to_the_users_side_once(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await stage.say("one", external_id="page-1")
    await stage.say("two", external_id="page-2")
    await stage.until(lambda: len(stage.agents.got) == 2)
    for message_id in (stage.agents.got[1].id, stage.agents.got[1].id, "of nobody"):
        await stage.happen(MessageStatus(chat_id=handoff.id, message_id=message_id, state="read"))
    await stage.happen(MessageStatus(chat_id=handoff.id, message_id=stage.agents.got[0].id, state="delivered"))
    await stage.happen(Closed(chat_id=handoff.id))
    await stage.happen(MessageStatus(chat_id=handoff.id, message_id=stage.agents.got[0].id, state="read"))
    await stage.until(lambda: "settle" in stage.kinds_to_user())
    [read] = [delivery.body for _, delivery in stage.to_user if delivery.kind == "read"]
    assert read == {"message_id": "page-2", "at": stage.now()}


async def test_what_an_agent_wrote_is_not_read_by_agents(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(AgentMessage(chat_id=handoff.id, agent=BO, text="Hello"))
    await stage.until(lambda: "message" in stage.kinds_to_user())
    [message] = [delivery.message for _, delivery in stage.to_user if delivery.message]
    await stage.happen(MessageStatus(chat_id=handoff.id, message_id=message.id, state="read"))
    await stage.happen(Closed(chat_id=handoff.id))
    await stage.until(lambda: "settle" in stage.kinds_to_user())
    assert "read" not in stage.kinds_to_user()


async def test_an_estimate_is_forgotten_when_an_agent_comes(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(QueueMoved(chat_id=handoff.id, position=1, wait=60.0))
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await stage.happen(Transferred(chat_id=handoff.id))
    await stage.happen(QueueMoved(chat_id=handoff.id, wait=60.0))
    assert (await stage.notices()).count("utter_handoff_queue_wait") == 2


async def test_what_comes_without_an_id_has_one_for_a_while(stage: Stage, time: Time) -> None:
    handoff = await stage.request()
    event = AgentMessage(chat_id=handoff.id, agent=BO, text="ok")

    async def happens(said: bytes, within: float) -> str:
        return await stage.agents.happened_unnamed(event, said, within)

    first = await happens(b"ok", 10.0)
    assert await happens(b"ok", 10.0) == first
    assert await happens(b"ok!", 10.0) != first
    stage.pass_time(10.0)
    assert await happens(b"ok", 10.0) != first
    assert await happens(b"ok", 0.0) != await happens(b"ok", 0.0)
    await stage.until(lambda: stage.kinds_to_user().count("message") == 5)


async def test_an_agent_who_joins_while_another_has_the_chat_takes_over(stage: Stage) -> None:
    handoff = await stage.request()
    for agent in (BO, BO, Person(name="Cleo", id="cleo")):
        await stage.happen(AgentJoined(chat_id=handoff.id, agent=agent))
    assert await stage.notices() == ["utter_handoff_joined", "utter_handoff_transferred"]


async def test_what_comes_to_be_known_of_an_agent_is_no_new_agent(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(AgentMessage(chat_id=handoff.id, agent=BO, text="Hi"))
    known = await stage.happen(AgentJoined(chat_id=handoff.id, agent=replace(BO, department="Sales")))
    assert known.agent == replace(BO, department="Sales")
    assert list(known.deadlines) == ["user_idle"]
    assert await stage.notices() == []


async def test_the_bot_s_slots_follow_who_has_the_chat_and_how_many_are_before(stage: Stage) -> None:
    handoff = await stage.request()
    for event in (
        QueueMoved(chat_id=handoff.id, position=3),
        AgentJoined(chat_id=handoff.id, agent=BO),
        Transferred(chat_id=handoff.id, agent=Person(name="Cleo")),
        Transferred(chat_id=handoff.id),
        AgentMessage(chat_id=handoff.id, agent=BO, text="Hi"),
    ):
        before = stage.slots_set
        await stage.happen(event)
        await stage.until(lambda: stage.slots_set == before + 1)  # noqa: B023


async def test_an_idle_agent_is_told_of_once_until_they_write_or_are_back(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(AgentIdle(chat_id=handoff.id))  # nobody has the chat
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    for _ in range(2):
        await stage.happen(AgentIdle(chat_id=handoff.id, seconds=120))
    await stage.happen(AgentMessage(chat_id=handoff.id, text="Sorry"))
    await stage.happen(AgentIdle(chat_id=handoff.id))
    await stage.happen(AgentIdle(chat_id=handoff.id, idle=False))
    now = await stage.happen(AgentIdle(chat_id=handoff.id))
    assert now.status is Status.ACTIVE
    assert await stage.notices() == ["utter_handoff_joined", *["utter_handoff_agent_slow"] * 3]


async def test_an_event_that_names_another_conversation_is_for_nobody(stage: Stage) -> None:
    handoff = await stage.request()
    with pytest.raises(UnknownChat):
        await stage.happen(AgentMessage(chat_id=handoff.id, sender_id="bob", text="for Bob"))
    assert (await stage.happen(AgentMessage(chat_id=handoff.id, sender_id="ann", text="for Ann"))).agent is None
