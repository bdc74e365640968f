"""Deadlines that passed, chats the agent system forgot, and data that is old enough to go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rasa_handoff.clock import Clock
from rasa_handoff.errors import TemporaryError
from rasa_handoff.events import AgentJoined, AgentMessage, AnyEvent, Closed
from rasa_handoff.model import EndReason, Handoff, Person, Status
from rasa_handoff.store import handoffs, messages
from tests.stage import Recorder, Stage, Time

BO = Person(name="Bo", id="bo")
DAY = 86_400.0


@pytest.fixture
async def still(tmp_path: Path, time: Time) -> AsyncIterator[Stage]:
    """The parts on SQLite, with a clock that only looks when told to."""
    stage = Stage(f"sqlite:///{tmp_path}/handoff.db", tmp_path, time, open_timeout="45s")
    await stage.up()
    await stage.runtime.clock.stop()
    yield stage
    await stage.down()


async def reasons(stage: Stage) -> list[str]:
    sql = "SELECT coalesce(end_reason, status) FROM handoff_handoffs ORDER BY sender_id"
    return [row[0] for row in await stage.runtime.store.read(lambda tx: tx.all(sql, {}))]


class TestDeadlines:
    async def test_every_open_handoff_has_one_at_each_step(self, still: Stage) -> None:
        handoff = await still.request()
        steps = [handoff, await still.happen(AgentJoined(chat_id=handoff.id, agent=BO))]
        steps.append(await still.happen(AgentMessage(chat_id=handoff.id, text="Hi")))
        await still.say("hello")
        now = await still.handoff()
        assert now is not None
        assert [list(step.deadlines) for step in (*steps, now)] == [
            ["accept"],
            ["agent_reply"],
            ["user_idle"],
            ["agent_reply"],
        ]

    async def test_the_user_waits_from_their_first_unanswered_message_on(self, still: Stage, time: Time) -> None:
        handoff = await still.request()
        await still.happen(AgentJoined(chat_id=handoff.id, agent=BO))
        await still.happen(AgentMessage(chat_id=handoff.id, text="Hi"))
        await still.say("one")
        first = await still.handoff()
        time.advance(100)
        await still.say("two")
        second = await still.handoff()
        assert first is not None
        assert second is not None
        assert first.deadlines == second.deadlines

    async def test_nothing_is_done_a_moment_too_early(self, still: Stage, time: Time) -> None:
        handoff = await still.request()
        time.advance(handoff.deadlines["accept"].due - time() - 0.001)
        await still.runtime.clock.tick()
        assert await reasons(still) == ["queued"]
        time.advance(0.001)
        await still.runtime.clock.tick()
        assert await reasons(still) == ["not_accepted"]

    async def test_a_thousand_at_once_are_all_ended(self, still: Stage, time: Time) -> None:
        await asyncio.gather(*(still.request(f"user-{number}") for number in range(1000)))
        time.advance(still.settings.deadlines["accept"].after)
        await still.runtime.clock.tick()
        assert await reasons(still) == ["not_accepted"] * 1000

    async def test_one_that_ended_in_time_is_left_alone(self, still: Stage, time: Time) -> None:
        handoff = await still.request()
        await still.happen(Closed(chat_id=handoff.id))
        time.advance(DAY)
        await still.runtime.clock.tick()
        assert await still.runtime.switchboard.expire(handoff.id) is not None
        assert await still.runtime.switchboard.expire("nobody's") is None
        assert await reasons(still) == ["agent_closed"]

    async def test_it_runs_by_itself_and_stops(self, stage: Stage, time: Time) -> None:
        await stage.request()
        time.advance(stage.settings.deadlines["accept"].after)
        await stage.until(lambda: stage.agents.closed == [EndReason.NOT_ACCEPTED])
        await stage.runtime.clock.stop()


class Forgetful(Recorder):
    """An agent system that can be asked about its chats."""

    def __init__(self) -> None:
        super().__init__()
        self.knows: dict[str, list[AnyEvent] | Exception] = {}  #: by conversation

    async def look(self, handoff: Handoff) -> list[AnyEvent]:
        found = self.knows.get(handoff.sender_id, [])
        if isinstance(found, Exception):
            raise found
        return found


class TestLooking:
    @pytest.mark.parametrize("trouble", [TemporaryError("desk", "look", 503), KeyError("a bug")])
    async def test_trouble_with_one_chat_keeps_no_other_from_being_looked_at(
        self, still: Stage, trouble: Exception
    ) -> None:
        backend = Forgetful()
        still.runtime.backends["desk"] = backend  # type: ignore[index]
        opened = [await still.request(name) for name in ("ann", "bea", "cleo")]
        backend.knows["ann"] = trouble
        backend.knows["bea"] = [Closed(chat_id=opened[1].id)]
        await still.runtime.clock.look()
        assert await reasons(still) == ["queued", "agent_closed", "queued"]

    async def test_what_was_missed_is_caught_up_with(self, still: Stage) -> None:
        backend = Forgetful()
        still.runtime.backends["desk"] = backend  # type: ignore[index]
        handoff = await still.request()
        backend.knows["ann"] = [
            AgentJoined(chat_id=handoff.id, agent=BO),
            AgentMessage(chat_id=handoff.id, event_id="e1", text="Hi"),
        ]
        await still.runtime.clock.look()
        await still.runtime.clock.look()
        await still.all_gone()
        assert still.kinds_to_user().count("message") == 1

    async def test_a_chat_that_is_being_opened_is_left_alone(self, still: Stage) -> None:
        """There may be none yet where it is asked for, which does not mean that it is over."""
        backend = Forgetful()
        backend.chat_id_of = lambda handoff: handoff.id  # type: ignore[method-assign]
        backend.answer = lambda handoff: asyncio.Event().wait()
        still.runtime.backends["desk"] = backend  # type: ignore[index]
        asking = asyncio.create_task(still.request())
        await still.until(lambda: backend.opened)
        backend.knows["ann"] = [Closed(chat_id=backend.opened[0][0].id)]
        await still.runtime.clock.look()
        assert await reasons(still) == ["requested"]
        asking.cancel()

    async def test_every_open_chat_is_looked_at_however_many_there_are(self, still: Stage) -> None:
        backend = Forgetful()
        still.runtime.backends["desk"] = backend  # type: ignore[index]
        for number in range(1010):
            still.now.advance(0.001)  # type: ignore[attr-defined]
            handoff = await still.request(f"user-{number:04}")
        backend.knows["user-1009"] = [Closed(chat_id=handoff.id)]
        await still.runtime.clock.look()
        assert (await reasons(still))[-1] == "agent_closed"


class TestKeeping:
    async def test_what_is_old_enough_goes_with_all_that_belongs_to_it(self, still: Stage, time: Time) -> None:
        old = await still.request("ann")
        await still.say("hello", "ann")
        await still.happen(Closed(chat_id=old.id))
        await still.until(lambda: "settle" in still.kinds_to_user())
        await still.runtime.switchboard.settled(old)
        open_ = await still.request("bea")
        await still.say("hello", "bea")
        await still.until(lambda: len(still.agents.got) == 2)
        time.advance(31 * DAY)
        await still.runtime.clock.prune()
        left = await still.runtime.store.read(handoffs.all_open)
        assert [handoff.id for handoff in left] == [open_.id]
        for table in ("handoff_handoffs", "handoff_messages", "handoff_requests"):
            assert await count(still, table) == 1
        assert await count(still, "handoff_seen") == 0
        assert [message.text for message in await said_in(still, open_)] == ["hello"]

    async def test_what_the_bot_has_not_heard_of_yet_stays(self, still: Stage, time: Time) -> None:
        handoff = await still.request()
        await still.happen(Closed(chat_id=handoff.id))
        time.advance(31 * DAY)
        await still.runtime.clock.prune()
        now = await still.handoff()
        assert now is not None
        assert (now.id, now.status) == (handoff.id, Status.CLOSED)

    async def test_a_repeat_is_known_for_three_days(self, still: Stage, time: Time) -> None:
        await still.request()
        await still.say("yes", external_id="m1")
        time.advance(3 * DAY - 1)
        await still.runtime.clock.prune()
        assert (await still.say("yes", external_id="m1")).repeat
        time.advance(2)
        await still.runtime.clock.prune()
        assert not (await still.say("yes", external_id="m1")).repeat

    async def test_without_a_limit_nothing_goes(self, still: Stage, time: Time) -> None:
        handoff = await still.request()
        await still.happen(Closed(chat_id=handoff.id))
        await still.runtime.switchboard.settled(handoff)
        time.advance(10_000 * DAY)
        runtime = still.runtime
        await Clock(runtime.store, runtime.switchboard, runtime.inbox, runtime.backends, time, keep_for=None).prune()
        assert await count(still, "handoff_handoffs") == 1


async def count(stage: Stage, table: str) -> int:
    row = await stage.runtime.store.read(lambda tx: tx.one(f"SELECT count(*) FROM {table}", {}))
    assert row is not None
    return int(row[0])


async def said_in(stage: Stage, handoff: Handoff) -> list[messages.Message]:
    return await stage.runtime.store.read(lambda tx: messages.of(tx, handoff.id))
