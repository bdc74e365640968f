"""Who holds the conversation, without Rasa: the switchboard, the outbox and the clock on real databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from rasa_handoff.backends.base import Opened
from rasa_handoff.errors import BackendError, ChatGone, Conflict, TemporaryError, Unavailable, UnknownChat, UserAway
from rasa_handoff.events import AgentIdle, AgentJoined, AgentMessage, Closed, MessageStatus, QueueMoved, Transferred
from rasa_handoff.model import Deadline, EndReason, Handoff, Message, Person, Rating, Request, Status
from rasa_handoff.settings import DeadlineSetting, Rule
from rasa_handoff.store import deliveries, handoffs, messages
from tests.stage import Recorder, Stage, Time

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

    async def late() -> Opened:
        await asyncio.sleep(0.3)
        return Opened(chat_id="c1", status=Status.CLOSED)

    stage.agents.answer = lambda handoff: late()
    assert (await stage.request()).end_reason is EndReason.FAILED
    await asyncio.sleep(0.2)
    assert stage.agents.closed == []
    await stage.down()


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
    await stage.until(lambda: "settle" in stage.kinds_to_user())
    await asyncio.sleep(0.05)
    assert stage.kinds_to_user().count("settle") == 1
    assert stage.agents.closed == []
    with pytest.raises(Conflict) as refused:
        await stage.happen(AgentMessage(chat_id=handoff.id, text="too late"))
    assert refused.value.code == "agent_closed"


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


async def test_the_open_chats_of_an_agent_system_are_listed(stage: Stage) -> None:
    over, queued, active = [await stage.request(name) for name in ("ann", "bob", "cleo")]
    await stage.happen(AgentJoined(chat_id=active.id, agent=BO))
    await stage.happen(Closed(chat_id=over.id))
    found = await stage.runtime.store.read(lambda tx: handoffs.open_at(tx, queued.backend))
    assert {handoff.id for handoff in found} == {queued.id, active.id}
    assert await stage.runtime.store.read(lambda tx: handoffs.open_at(tx, "another")) == []


async def test_an_estimate_is_forgotten_when_an_agent_comes(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(QueueMoved(chat_id=handoff.id, position=1, wait=60.0))
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await stage.happen(Transferred(chat_id=handoff.id))
    await stage.happen(QueueMoved(chat_id=handoff.id, wait=60.0))
    assert (await notices(stage)).count("utter_handoff_queue_wait") == 2


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
    await asyncio.sleep(0.05)
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
    stage = Stage(database, tmp_path, time, open_timeout="200ms")
    await stage.up()

    async def slow(handoff_id: str) -> Opened:
        await stage.happen(AgentMessage(chat_id=handoff_id, sender_id="ann", event_id="e1", agent=BO, text="Hi"))
        await asyncio.sleep(0.5)
        return Opened(chat_id=handoff_id, notes={"seen": True})

    stage.agents.answer = lambda handoff: slow(handoff.id)
    assert (await stage.request()).status is Status.ACTIVE
    await asyncio.sleep(0.6)
    handoff = await stage.handoff()
    assert handoff is not None
    assert (handoff.status, handoff.notes) == (Status.ACTIVE, {"seen": True})
    assert stage.agents.closed == []
    await stage.down()


async def test_a_chat_that_opened_too_late_is_closed_there_though_nobody_else_took_it(stage: Stage) -> None:
    write, switchboard = stage.runtime.store.write, stage.runtime.switchboard
    request, rule = Request(sender_id="ann", channel="handoff"), Rule(to="desk")
    handoff, _ = await write(lambda tx: switchboard.begin(tx, request, [rule]))
    handoff = await write(lambda tx: switchboard.try_at(tx, handoff, rule, request))
    await write(lambda tx: switchboard.close_late(tx, handoff, Opened(chat_id="late")))
    await write(lambda tx: switchboard.refused(tx, handoff, EndReason.FAILED))
    await stage.until(lambda: stage.agents.closed == [EndReason.FAILED])
    assert "replay" not in stage.kinds_to_user()


async def test_a_status_says_when_it_was_so(particular: Stage, time: Time) -> None:
    handoff = await particular.request()
    particular.user_trouble = [UserAway("away")]
    await particular.happen(AgentMessage(chat_id=handoff.id, event_id="e1", agent=BO, text="Hi"))
    submitted = time()
    await particular.until(lambda: particular.agents.reports)
    await asyncio.sleep(0.05)
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


async def test_what_the_user_has_read_is_told_once(particular: Stage) -> None:
    handoff = await particular.request()
    await particular.happen(AgentMessage(chat_id=handoff.id, event_id="e1", agent=BO, text="Hi"))
    await particular.until(lambda: "message" in particular.kinds_to_user())
    message_id = next(delivery.message.id for _, delivery in particular.to_user if delivery.message)
    with pytest.raises(UnknownChat):
        await particular.runtime.switchboard.read("bob", message_id)
    for _ in range(2):
        await particular.runtime.switchboard.read("ann", message_id)
    await particular.until(lambda: len(particular.agents.reports) == 3)
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
    await asyncio.sleep(0.05)
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
    await asyncio.sleep(0.05)
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
    await asyncio.sleep(0.05)
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


async def test_an_agent_who_joins_while_another_has_the_chat_takes_over(stage: Stage) -> None:
    handoff = await stage.request()
    for agent in (BO, BO, Person(name="Cleo", id="cleo")):
        await stage.happen(AgentJoined(chat_id=handoff.id, agent=agent))
    assert await notices(stage) == ["utter_handoff_joined", "utter_handoff_transferred"]


async def test_what_comes_to_be_known_of_an_agent_is_no_new_agent(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(AgentMessage(chat_id=handoff.id, agent=BO, text="Hi"))
    known = await stage.happen(AgentJoined(chat_id=handoff.id, agent=replace(BO, department="Sales")))
    assert known.agent == replace(BO, department="Sales")
    assert list(known.deadlines) == ["user_idle"]
    assert await notices(stage) == []


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
    assert await notices(stage) == ["utter_handoff_joined", *["utter_handoff_agent_slow"] * 3]


async def test_an_event_that_names_another_conversation_is_for_nobody(stage: Stage) -> None:
    handoff = await stage.request()
    with pytest.raises(UnknownChat):
        await stage.happen(AgentMessage(chat_id=handoff.id, sender_id="bob", text="for Bob"))
    assert (await stage.happen(AgentMessage(chat_id=handoff.id, sender_id="ann", text="for Ann"))).agent is None


async def test_a_handoff_whose_agent_system_left_the_settings_ends_at_the_start(stage: Stage) -> None:
    await stage.request()
    del stage.runtime.backends["desk"]  # type: ignore[attr-defined]
    await stage.runtime.switchboard.recover()
    handoff = await stage.handoff()
    assert handoff is not None
    assert (handoff.status, handoff.end_reason) == (Status.CLOSED, EndReason.FAILED)
    await stage.until(lambda: "settle" in stage.kinds_to_user())
