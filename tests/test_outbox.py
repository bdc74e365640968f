"""Deliveries out: in order, again and again, each lane by itself, and none forgotten at a start or a stop."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rasa_handoff import access
from rasa_handoff.backends.base import Opened
from rasa_handoff.errors import (
    BackendError,
    ChatGone,
    Conflict,
    TemporaryError,
    UnknownChat,
    UserAway,
    UserUnreachable,
)
from rasa_handoff.events import AgentAway, AgentJoined, AgentMessage
from rasa_handoff.model import Delivery, EndReason, Handoff, Message, Person, Status
from rasa_handoff.outbox import pause_after
from rasa_handoff.runtime import Runtime
from rasa_handoff.store import deliveries
from rasa_handoff.testing.waiting import PATIENCE
from tests.stage import Recorder, Stage, Time

BO = Person(name="Bo", id="bo")
SCHEDULE = [0.5, 1, 2, 5, 10, 15, 30, 60, 60, 60]


class Moody(Recorder):
    """An agent system that is in trouble with some of its chats, and stays so until told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.moods: dict[str, Exception] = {}  #: by conversation; "*" for all of them
        self.tried: list[str] = []
        self.of: dict[str, list[str]] = defaultdict(list)  #: what arrived, by conversation

    async def send(self, handoff: Handoff, message: Message) -> None:
        self.tried.append(message.text)
        error = self.moods.get(handoff.sender_id) or self.moods.get("*")
        if error is not None:
            raise error
        await super().send(handoff, message)
        self.of[handoff.sender_id].append(message.text)


def down() -> TemporaryError:
    return TemporaryError("desk", "send", 503)


@asynccontextmanager
async def staged(database: str, folder: Path, **section: Any) -> AsyncIterator[Stage]:
    stage = Stage(database, folder, Time(), **section)
    stage.agents = Moody()
    await stage.up()
    try:
        yield stage
    finally:
        await stage.down()


@pytest.fixture
async def moody(tmp_path: Path) -> AsyncIterator[Stage]:
    """The parts, with an agent system that can be put into a mood."""
    async with staged(f"sqlite:///{tmp_path}/handoff.db", tmp_path) as stage:
        yield stage


def agents_of(stage: Stage) -> Moody:
    assert isinstance(stage.agents, Moody)
    return stage.agents


async def unfinished(stage: Stage) -> list[Delivery]:
    return await stage.runtime.store.read(deliveries.unfinished)


async def the_one(stage: Stage) -> Delivery:
    """The message that waits or is dead, where there is one."""
    (delivery,) = [each for each in await unfinished(stage) if each.target == "agent"]
    return delivery


class TestSchedule:
    @pytest.mark.parametrize("attempts", range(len(SCHEDULE)))
    def test_a_pause_is_the_schedules_and_a_little_by_chance(self, attempts: int) -> None:
        pauses = [pause_after(attempts) for _ in range(300)]
        assert SCHEDULE[attempts] * 0.8 <= min(pauses) < max(pauses) <= SCHEDULE[attempts] * 1.2
        assert max(pauses) - min(pauses) > SCHEDULE[attempts] * 0.2  # all of them at once would be a herd

    @pytest.mark.parametrize(
        ("asked", "least", "most"),
        [
            (7.0, 7.0, 7.0),
            (0.0, 0.4, 0.6),
            (-5.0, 0.4, 0.6),
            (1e9, 600.0, 600.0),
            (float("inf"), 600.0, 600.0),
            (float("nan"), 0.4, 0.6),
        ],
    )
    def test_the_other_side_may_ask_for_more_time_within_limits(self, asked: float, least: float, most: float) -> None:
        assert least <= pause_after(0, asked) <= most

    async def test_each_attempt_comes_when_the_schedule_says_and_not_before(self, moody: Stage) -> None:
        await moody.request()
        agents_of(moody).moods["*"] = down()
        await moody.say("hello")
        for attempt, pause in enumerate(SCHEDULE, 1):
            await moody.until(lambda attempt=attempt: len(agents_of(moody).tried) == attempt)
            while (waiting := await the_one(moody)).attempts < attempt:
                await asyncio.sleep(0.005)
            seconds = waiting.next_at - moody.now()
            assert pause * 0.8 <= seconds <= pause * 1.2
            moody.pass_time(seconds - 0.4)
            if pause >= 5:  # short ones may pass by themselves, on a slow machine
                await asyncio.sleep(0.02)
                assert len(agents_of(moody).tried) == attempt
            moody.pass_time(0.4)
        agents_of(moody).moods.clear()
        await moody.until(lambda: len(agents_of(moody).tried) == len(SCHEDULE) + 1)
        await forwarded(moody)
        await moody.until(lambda: agents_of(moody).of["ann"] == ["hello"])


def are_waiting(stage: Stage) -> bool:
    """Whether all that is to go out waits for its next try, and something does."""
    lanes = stage.runtime.outbox._lanes.values()
    return bool(lanes) and all(lane.nudged is not None for lane in lanes)


async def forwarded(stage: Stage) -> None:
    """Move the clock, and only while the next try waits for that, until nothing waits any more."""

    async def nothing_waits() -> bool:
        if are_waiting(stage):
            stage.pass_time(1.0)
        return not any(each.state == "pending" for each in await unfinished(stage))

    await stage.until(nothing_waits)


class TestErrors:
    @pytest.mark.parametrize("error", [down(), OSError("the wire"), KeyError("a bug"), asyncio.TimeoutError()])
    async def test_what_may_pass_is_tried_again_in_order(self, moody: Stage, error: Exception) -> None:
        await moody.request()
        moody.agents.trouble = [error, error]
        for text in ("one", "two", "three"):
            await moody.say(text)
        await forwarded(moody)
        assert agents_of(moody).of["ann"] == ["one", "two", "three"]

    async def test_a_refusal_for_good_is_not_tried_again_and_said_to_the_user(self, moody: Stage) -> None:
        await moody.request()
        moody.agents.trouble = [BackendError("desk", "send", 400, "too rude")]
        await moody.say("one")
        await moody.say("two")
        await moody.until(lambda: agents_of(moody).of["ann"] == ["two"])
        await forwarded(moody)
        dead = await the_one(moody)
        assert (dead.state, dead.attempts, dead.error) == ("dead", 1, "desk: could not send: HTTP 400 too rude")
        await moody.until(lambda: "notice" in moody.kinds_to_user())
        handoff = await moody.handoff()
        assert handoff is not None
        assert handoff.is_open

    async def test_of_an_error_that_is_not_ours_only_the_kind_is_kept(self, moody: Stage) -> None:
        await moody.request()
        moody.agents.trouble = [ValueError("what the user wrote")]
        await moody.say("hello")
        await moody.until(lambda: not moody.agents.trouble)
        while (waiting := await the_one(moody)).error is None:
            await asyncio.sleep(0.005)
        assert waiting.error == "ValueError"

    async def test_a_chat_that_is_gone_ends_without_a_word_to_it(self, moody: Stage) -> None:
        handoff = await moody.request()
        moody.agents.trouble = [ChatGone("desk", "send", 410)]
        await moody.say("one")
        await moody.until(lambda: "settle" in moody.kinds_to_user())
        assert (await ended(moody, handoff)) is EndReason.AGENT_CLOSED
        assert moody.agents.closed == []

    async def test_a_user_who_is_away_gets_it_when_they_are_there(self, moody: Stage) -> None:
        handoff = await moody.request()
        await moody.until(lambda: moody.kinds_to_user() == ["state"])
        moody.user_trouble = [UserAway("not connected")]
        await moody.happen(AgentMessage(chat_id=handoff.id, agent=BO, text="Hi"))
        await moody.until(lambda: not moody.user_trouble)
        while not (await unfinished(moody))[0].attempts:
            await asyncio.sleep(0.005)
        moody.runtime.outbox.nudge(handoff)  # no time passed
        await moody.until(lambda: moody.kinds_to_user() == ["state", "state", "message"])

    async def test_a_user_who_cannot_be_reached_is_told_of_to_the_agents(self, moody: Stage) -> None:
        handoff = await moody.request()
        await moody.happen(AgentJoined(chat_id=handoff.id, agent=BO))
        await moody.until(lambda: moody.kinds_to_user() == ["state", "state", "notice"])
        moody.user_trouble = [UserUnreachable("blocked us")]
        await moody.happen(AgentMessage(chat_id=handoff.id, event_id="e1", agent=BO, text="Hi"))
        await moody.until(lambda: moody.agents.reports)
        assert [(report.message_id, report.state) for report in moody.agents.reports] == [("e1", "rejected")]

    async def test_nobody_to_nudge_is_no_trouble(self, moody: Stage) -> None:
        moody.runtime.outbox.nudge(await moody.request())


async def ended(stage: Stage, handoff: Handoff) -> EndReason | None:
    now = await stage.handoff(handoff.sender_id)
    assert now is not None
    assert now.status is Status.CLOSED
    return now.end_reason


class TestGivingUp:
    async def test_after_its_time_the_handoff_has_failed_and_everybody_hears_it(self, moody: Stage) -> None:
        handoff = await moody.request()
        await moody.happen(AgentJoined(chat_id=handoff.id, agent=BO))
        agents_of(moody).moods["*"] = down()
        await moody.say("hello")
        await moody.until(lambda: agents_of(moody).tried)
        limit = moody.now() + moody.settings.delivery_timeout
        await forwarded_until_dead(moody)
        assert moody.now() == pytest.approx(limit, abs=61)
        assert await ended(moody, handoff) is EndReason.FAILED
        await moody.until(lambda: moody.agents.closed == [EndReason.FAILED])
        await moody.until(lambda: "settle" in moody.kinds_to_user())
        notices = [each.body["response"] for _, each in moody.to_user if each.kind == "notice"]
        assert notices == ["utter_handoff_joined", "utter_handoff_undelivered"]

    async def test_a_dead_letter_goes_out_when_a_person_says_so(self, moody: Stage) -> None:
        await moody.request()
        moody.agents.trouble = [BackendError("desk", "send", 400)]
        await moody.say("hello")
        await moody.until(lambda: not moody.agents.trouble)
        while (dead := await the_one(moody)).state != "dead":
            await asyncio.sleep(0.005)
        again = await moody.runtime.outbox.retry(dead.id)
        assert (again.state, again.attempts, again.error) == ("pending", 0, None)
        await moody.until(lambda: agents_of(moody).of["ann"] == ["hello"])
        await forwarded(moody)
        with pytest.raises(Conflict):
            await moody.runtime.outbox.retry(dead.id)
        with pytest.raises(UnknownChat):
            await moody.runtime.outbox.retry("nobody's")

    async def test_who_says_so_at_the_moment_in_which_it_dies_is_heard(
        self, moody: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As another server may, which sees it on disk before this one is through with it."""
        again: list[asyncio.Task[Delivery]] = []

        async def refuse_the_first(handoff: Handoff, message: Message) -> None:
            if again:
                return await Moody.send(agents_of(moody), handoff, message)
            # What is asked for at the same moment goes to disk in the same transaction.
            again.append(asyncio.create_task(moody.runtime.outbox.retry(waiting.id)))
            raise BackendError("desk", "send", 400)

        await moody.request()
        agents_of(moody).moods["*"] = down()
        await moody.say("hello")
        while not (waiting := await the_one(moody)).attempts:
            await asyncio.sleep(0.005)
        agents_of(moody).moods.clear()
        monkeypatch.setattr(moody.agents, "send", refuse_the_first)
        moody.pass_time(1.0)
        await moody.until(lambda: again)
        assert (await again[0]).state == "pending"
        await moody.until(lambda: agents_of(moody).of["ann"] == ["hello"])

    async def test_what_waited_at_the_start_and_died_since_can_be_sent_again(self, moody: Stage) -> None:
        await moody.request()
        agents_of(moody).moods["*"] = down()
        await moody.say("hello")
        await moody.until(lambda: agents_of(moody).tried)
        await moody.down()
        agents_of(moody).moods["*"] = BackendError("desk", "send", 400)
        await moody.up()
        moody.pass_time(1.0)
        while (dead := await the_one(moody)).state != "dead":
            await asyncio.sleep(0.005)
        agents_of(moody).moods.clear()
        await moody.runtime.outbox.retry(dead.id)
        await moody.until(lambda: agents_of(moody).of["ann"] == ["hello"])


async def forwarded_until_dead(stage: Stage) -> None:
    """Move the clock, and only while the next try waits for that, until one is put aside."""

    async def one_is_dead() -> bool:
        if are_waiting(stage):
            stage.pass_time(15.0)
        return any(each.state == "dead" for each in await unfinished(stage))

    await stage.until(one_is_dead, 60)


class TestLanes:
    async def test_a_poisoned_conversation_slows_nobody(self, moody: Stage) -> None:
        names = [f"user-{number}" for number in range(51)]
        await asyncio.gather(*map(moody.request, names))
        agents_of(moody).moods["user-0"] = down()
        for text in ("one", "two", "three"):
            await asyncio.gather(*(moody.say(text, name) for name in names))
        await moody.until(lambda: len(agents_of(moody).got) == 150)
        assert all(agents_of(moody).of[name] == ["one", "two", "three"] for name in names[1:])
        agents_of(moody).moods.clear()
        await forwarded(moody)
        assert agents_of(moody).of["user-0"] == ["one", "two", "three"]

    async def test_a_user_who_is_away_holds_up_no_agent(self, moody: Stage) -> None:
        await moody.request()
        moody.user_trouble = [UserAway("away")] * 10
        await moody.say("hello")
        await moody.until(lambda: agents_of(moody).of["ann"] == ["hello"])

    async def test_slow_sends_of_different_conversations_overlap(self, moody: Stage) -> None:
        sending: set[str] = set()
        may_end = asyncio.Event()

        class Slow(Moody):
            async def send(self, handoff: Handoff, message: Message) -> None:
                sending.add(f"{message.text} of {handoff.sender_id}")
                await may_end.wait()
                await super().send(handoff, message)

        moody.runtime.backends["desk"] = slow = Slow()  # type: ignore[index]
        names = [f"user-{number}" for number in range(20)]
        await asyncio.gather(*map(moody.request, names))
        await asyncio.gather(*(moody.say(text, name) for text in "ab" for name in names))
        await moody.until(lambda: sending == {f"a of {name}" for name in names})
        may_end.set()
        await moody.until(lambda: len(slow.got) == 40)

    async def test_what_waits_for_its_next_try_is_not_sent_twice_when_another_agent_comes(self, moody: Stage) -> None:
        moody.agents.waits_for_agent = True  # type: ignore[misc]
        handoff = await moody.request()
        await moody.say("too early")
        await moody.happen(AgentJoined(chat_id=handoff.id, agent=BO))
        await moody.until(lambda: agents_of(moody).of["ann"] == ["too early"])
        agents_of(moody).moods["*"] = down()
        await moody.say("one")
        await moody.until(lambda: "one" in agents_of(moody).tried)
        await moody.happen(AgentAway(chat_id=handoff.id))
        await moody.say("two")
        await moody.happen(AgentJoined(chat_id=handoff.id, agent=BO))
        agents_of(moody).moods.clear()
        await forwarded(moody)
        assert agents_of(moody).of["ann"] == ["too early", "one", "two"]


class TestStartAndStop:
    async def test_what_is_being_sent_at_the_stop_is_finished_and_the_rest_stays_on_disk(
        self, database: str, tmp_path: Path
    ) -> None:
        sending, may_end = asyncio.Event(), asyncio.Event()

        class Slow(Moody):
            async def send(self, handoff: Handoff, message: Message) -> None:
                sending.set()
                await may_end.wait()
                await super().send(handoff, message)

        stage = Stage(database, tmp_path, Time())
        stage.agents = Slow()
        await stage.up()
        await stage.request()
        for text in ("one", "two", "three"):
            await stage.say(text)
        await sending.wait()
        stopping = asyncio.create_task(stage.down())
        await stage.until(lambda: stage.runtime.outbox._stopping)
        may_end.set()
        await stopping
        assert agents_of(stage).of["ann"] == ["one"]
        await stage.up()
        await stage.until(lambda: agents_of(stage).of["ann"] == ["one", "two", "three"])
        await stage.down()
        assert agents_of(stage).tried == ["one", "two", "three"]

    async def test_a_stop_waits_no_longer_than_it_must(self, moody: Stage) -> None:
        await moody.request()
        agents_of(moody).moods["*"] = TemporaryError("desk", "send", 503, retry_after=600.0)
        await moody.say("hello")
        await moody.until(lambda: are_waiting(moody))
        await asyncio.wait_for(moody.runtime.outbox.stop(600.0), PATIENCE)

    async def test_what_is_said_while_the_start_looks_is_neither_lost_nor_doubled(
        self, database: str, tmp_path: Path
    ) -> None:
        stage = Stage(database, tmp_path, Time())
        stage.agents = Moody()
        stage.agents.moods["*"] = down()
        await stage.up()
        await asyncio.gather(*(stage.request(f"user-{number}") for number in range(10)))
        said = 0

        async def talk(name: str) -> None:
            nonlocal said
            for _ in range(6):
                said += 1
                await stage.say(str(said), name)

        for _ in range(10):
            await stage.down()
            starting = asyncio.create_task(stage.up())
            while not starting.done():  # a user whose message comes too early sends it again
                talks = (asyncio.create_task(talk(f"user-{number}")) for number in range(10))
                for outcome in await asyncio.gather(*talks, return_exceptions=True):
                    assert not isinstance(outcome, AssertionError)
                await asyncio.sleep(0)
            await starting
        agents_of(stage).moods.clear()
        await forwarded(stage)
        on_disk = await stage.runtime.store.read(lambda tx: tx.all("SELECT body FROM handoff_messages", {}))
        assert len(agents_of(stage).got) == len(on_disk) > 100
        for texts in agents_of(stage).of.values():
            assert texts == sorted(texts, key=int)
            assert len(set(texts)) == len(texts)
        await stage.down()

    async def test_a_chat_that_is_being_opened_gets_nothing_before_it_is_open(
        self, database: str, tmp_path: Path
    ) -> None:
        """Even when the outbox starts meanwhile: the server takes requests before it has looked what waits."""
        opening, answer = asyncio.Event(), asyncio.Event()

        async def slowly(handoff: Handoff) -> Opened:
            opening.set()
            await answer.wait()
            return Opened(chat_id=f"chat-of-{handoff.id}")

        stage = Stage(database, tmp_path, Time())
        stage.agents = Moody()
        stage.agents.answer = slowly
        known = access.ensure(tmp_path, url=None, token=None, want_agent=True)
        runtime = stage.runtime = Runtime(stage.settings, known, tmp_path, stage.now)
        runtime.backends["desk"] = stage.agents  # type: ignore[index]
        await runtime.open(stage._to_user)
        requesting = asyncio.create_task(stage.request())
        await opening.wait()
        await stage.say("are you there?")
        await runtime.start()
        await asyncio.sleep(0.05)
        assert agents_of(stage).tried == []
        answer.set()
        handoff = await requesting
        assert handoff.status is Status.QUEUED
        await stage.until(lambda: agents_of(stage).of["ann"] == ["are you there?"])
        await stage.down()

    @pytest.mark.slow
    async def test_ten_thousand_that_wait_are_delivered_after_a_start(self, database: str, tmp_path: Path) -> None:
        async with staged(database, tmp_path) as stage:
            agents_of(stage).moods["*"] = down()
            names = [f"user-{number}" for number in range(100)]
            await asyncio.gather(*map(stage.request, names))
            for number in range(100):
                await asyncio.gather(*(stage.say(str(number), name) for name in names))
            await stage.down()
            stage.now.advance(1.0)  # type: ignore[attr-defined]
            agents_of(stage).moods.clear()
            await stage.up()
            await stage.until(lambda: len(agents_of(stage).got) == 10_000, 240)
            assert all(texts == [str(number) for number in range(100)] for texts in agents_of(stage).of.values())
            await forwarded(stage)
