"""Several processes on one PostgreSQL database: each handoff is one's to look after, and any may take a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import pytest

from rasa_handoff import access, succession
from rasa_handoff.backends.base import Opened
from rasa_handoff.desk import live, records
from rasa_handoff.desk.backend import Desk
from rasa_handoff.desk.facts import AgentThere, ChatChanged, MessageChanged, UserTyped
from rasa_handoff.errors import Unavailable, UserAway
from rasa_handoff.events import AgentJoined, AgentMessage, AgentTyping
from rasa_handoff.inbox import Typed
from rasa_handoff.model import Delivery, EndReason, Handoff, Message, Person, Request, Status, new_id
from rasa_handoff.runtime import Runtime
from rasa_handoff.store import Missed, deliveries, handoffs, stream, workers
from rasa_handoff.store.stream import Entry
from rasa_handoff.testing.waiting import PATIENCE, until
from rasa_handoff.web import user
from tests.stage import Stage, Time
from tests.test_outbox import are_waiting

BO = Person(name="Bo", id="bo")
AnyStage = TypeVar("AnyStage", bound=Stage)
KEPT = "SELECT * FROM handoff_kept"
OWNERS = "SELECT owner, count(*) FROM handoff_handoffs GROUP BY owner"


class RealDesk(Stage):
    """A process whose agent system is the desk."""

    async def up(self) -> None:
        known = access.ensure(self.folder, url=None, token=None, want_agent=True)
        self.runtime = Runtime(self.settings, known, self.folder, self.now)
        live.listen(self.runtime)
        user.watch(self.runtime)
        await self.runtime.open(self._to_user)
        await self.runtime.start()

    @property
    def desk(self) -> Desk:
        desk = self.runtime.backends["desk"]
        assert isinstance(desk, Desk)
        return desk


@asynccontextmanager
async def up(stage: AnyStage) -> AsyncIterator[AnyStage]:
    await stage.up()
    try:
        yield stage
    finally:
        await stage.down()


def process(database: str, folder: Path, **section: Any) -> AbstractAsyncContextManager[Stage]:
    """One process, in a folder of its own, with an agent system that writes down what this process brings."""
    folder.mkdir()
    return up(Stage(database, folder, Time(), **section))


def real_desk(database: str, folder: Path) -> AbstractAsyncContextManager[RealDesk]:
    """One process with the desk."""
    folder.mkdir()
    return up(RealDesk(database, folder, Time()))


@pytest.fixture
async def one(new_database: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with process(new_database, tmp_path / "one") as stage:
        yield stage


@pytest.fixture
async def other(new_database: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with process(new_database, tmp_path / "other") as stage:
        yield stage


def texts(stage: Stage) -> list[str]:
    """What agents got from this process."""
    return [message.text for message in stage.agents.got]


def to_user(stage: Stage) -> list[str]:
    """What users got from this process."""
    return [delivery.message.text for _, delivery in stage.to_user if delivery.message]


def die(stage: Stage) -> None:
    """As `kill -9` does: from here on it says and does nothing."""
    stage.runtime.store.resign()
    stage.runtime.outbox._stopping = True
    stage.runtime.succession._task.cancel()  # type: ignore[union-attr]


async def pending(stage: Stage) -> list[Delivery]:
    return await stage.runtime.store.read(deliveries.pending)


async def eventually(ask: Callable[[], Awaitable[Any]], fits: Callable[[Any], Any]) -> Any:
    """Ask until the answer fits; fail loudly when it never does."""

    async def answer_that_fits() -> tuple[Any] | None:
        found = await ask()
        return (found,) if fits(found) else None

    (found,) = await until(answer_that_fits)
    return found


async def lease_of(stage: Stage) -> float:
    """The seconds that others go on to take this process for alive, by the database's clock."""
    sql = "SELECT lease_ends - extract(epoch FROM clock_timestamp()) FROM handoff_workers WHERE id = :id"
    row = await stage.runtime.store.read(lambda tx: tx.one(sql, {"id": stage.runtime.store.worker}))
    assert row is not None
    return float(row[0])


async def of(stage: Stage, handoff: Handoff) -> Handoff:
    found = await stage.runtime.store.read(lambda tx: handoffs.get(tx, handoff.id))
    assert found is not None
    return found


class TestOwning:
    async def test_who_opened_a_handoff_delivers_all_that_comes_in_anywhere_in_order(
        self, one: Stage, other: Stage
    ) -> None:
        handoff = await one.request()
        assert handoff.owner == one.runtime.store.worker
        for number in range(100):
            stage = (one, other)[number % 2]
            await stage.say(f"line {number}")
            await stage.happen(AgentMessage(chat_id=handoff.id, event_id=f"e{number}", agent=BO, text=f"{number}"))
        await one.until(lambda: len(texts(one)) == len(to_user(one)) == 100)
        assert texts(one) == [f"line {number}" for number in range(100)]
        assert to_user(one) == [f"{number}" for number in range(100)]
        assert texts(other) == to_user(other) == []

    async def test_it_is_the_backends_own_only_at_its_owner(self, one: Stage, other: Stage) -> None:
        handoff = await one.request()
        assert one.agents.around.mine(handoff)
        assert not other.agents.around.mine(handoff)

    async def test_a_repeat_at_another_process_has_no_second_effect(self, one: Stage, other: Stage) -> None:
        await one.request()
        first = await one.say("hello", external_id="m1")
        again = await other.say("hello", external_id="m1")
        assert (first.repeat, again.repeat) == (False, True)
        await one.say("bye")
        await one.until(lambda: texts(one) == ["hello", "bye"])

    async def test_servers_need_not_agree_about_the_time_for_a_message_to_go_out_at_once(
        self, one: Stage, other: Stage
    ) -> None:
        await one.request()
        other.now.advance(30)  # type: ignore[attr-defined]
        await other.say("hello")
        await one.until(lambda: texts(one) == ["hello"])

    async def test_only_its_owner_acts_on_a_deadline(self, one: Stage, other: Stage) -> None:
        await one.request()
        other.now.advance(301)  # type: ignore[attr-defined]
        await other.runtime.clock.tick()
        handoff = await other.handoff()
        assert handoff is not None
        assert handoff.is_open
        one.now.advance(301)  # type: ignore[attr-defined]
        await one.runtime.clock.tick()
        assert (await of(other, handoff)).end_reason is EndReason.NOT_ACCEPTED

    async def test_a_dead_delivery_is_revived_from_any_process_by_its_owner(self, one: Stage, other: Stage) -> None:
        await one.request()
        one.agents.trouble = [Unavailable("desk", "send")]
        await one.say("hello")
        [dead] = await eventually(lambda: dead_at(other), len)
        await one.until(lambda: not one.runtime.outbox._lanes)  # a person is not quicker
        await other.runtime.outbox.retry(dead.id)
        await one.until(lambda: texts(one) == ["hello"])
        assert texts(other) == []

    async def test_a_user_who_writes_elsewhere_wakes_what_waits_for_them(self, one: Stage, other: Stage) -> None:
        handoff = await one.request()
        await one.until(lambda: one.kinds_to_user() == ["state"])
        one.user_trouble = [UserAway("not connected")] * 100
        other.user_trouble = [UserAway("not connected")] * 100
        await one.happen(AgentMessage(chat_id=handoff.id, agent=BO, text="Hi"))

        async def next_try_is_far_off() -> bool:
            """A minute, which is more than anybody waits here."""
            found = await pending(one)
            if not found or not are_waiting(one):
                return False
            if found[0].attempts < 8:
                one.pass_time(40)
            return found[0].attempts >= 8

        await one.until(next_try_is_far_off)
        one.user_trouble = []
        other.runtime.outbox.nudge(await of(other, handoff))
        await one.until(lambda: to_user(one) == ["Hi"])

    async def test_who_asks_elsewhere_while_a_chat_is_being_opened_gets_the_answer_too(
        self, one: Stage, other: Stage
    ) -> None:
        may_answer = asyncio.Event()

        async def slowly(handoff: Handoff) -> Opened:
            await may_answer.wait()
            return Opened(chat_id=handoff.id, queue_position=1)

        one.agents.answer = slowly
        first = asyncio.create_task(one.request())
        await one.until(lambda: one.agents.opened)
        second = asyncio.create_task(other.request())
        await asyncio.sleep(0.3)
        assert not second.done()
        may_answer.set()
        assert (await first).id == (await second).id
        assert (await second).status is Status.QUEUED
        assert other.agents.opened == []


async def dead_at(stage: Stage) -> list[Delivery]:
    return [each for each in await stage.runtime.store.read(deliveries.unfinished) if each.state == "dead"]


class TestSuccession:
    @pytest.fixture
    def only_when_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody looks by itself for what others left."""
        monkeypatch.setattr(succession, "_LOOK_EVERY", 3600.0)

    @pytest.mark.usefixtures("only_when_told")
    async def test_who_stops_hands_its_conversations_over_at_once(
        self, one: Stage, new_database: str, tmp_path: Path
    ) -> None:
        async with process(new_database, tmp_path / "leaving") as leaving:
            handoff = await leaving.request()
            leaving.agents.trouble = [OSError()] * 100
            await leaving.say("undelivered")
            await leaving.until(lambda: len(leaving.agents.trouble) < 100)
        await one.until(lambda: texts(one) == ["undelivered"])
        assert (await of(one, handoff)).owner == one.runtime.store.worker

    @pytest.mark.slow
    async def test_who_dies_is_followed_when_its_lease_is_over(
        self, one: Stage, new_database: str, tmp_path: Path
    ) -> None:
        async with process(new_database, tmp_path / "dying") as dying:
            handoff = await dying.request()
            dying.agents.trouble = [OSError()] * 100
            for number in range(50):
                await (one, dying)[number % 2].say(str(number))
            die(dying)
            died, left = monotonic(), await lease_of(dying)
            await one.say("and one more")
            await one.until(lambda: len(texts(one)) == 51)
            took = monotonic() - died
            assert texts(one) == [*map(str, range(50)), "and one more"]
            assert took > left - 0.5, "it was taken for dead before its lease was over"
            assert (await of(one, handoff)).owner == one.runtime.store.worker
        print(f"\ntaken over in {took:.1f} s")

    async def test_a_chat_that_was_being_opened_is_given_up_and_the_bot_has_the_user_back(
        self, one: Stage, new_database: str, tmp_path: Path
    ) -> None:
        async with process(new_database, tmp_path / "leaving") as leaving:
            leaving.agents.answer = lambda handoff: asyncio.sleep(60)
            asking = asyncio.create_task(leaving.request())
            await leaving.until(lambda: leaving.agents.opened)
            handoff = leaving.agents.opened[0][0]
            await one.say("are you there?")
            asking.cancel()
        await one.until(lambda: one.kinds_to_user() == ["replay"])
        assert (await of(one, handoff)).end_reason is EndReason.FAILED

    async def test_whoever_takes_over_leaves_some_to_the_others(
        self, one: Stage, other: Stage, new_database: str, tmp_path: Path
    ) -> None:
        for stage in (one, other):  # which of them is quicker is the system's choice
            await stage.runtime.succession.stop()
        async with process(new_database, tmp_path / "leaving") as leaving:
            await asyncio.gather(*(leaving.request(f"user-{number}") for number in range(250)))
        for stage in (one, other, one):
            await stage.runtime.store.write(stage.runtime.succession._take)
        rows = await one.runtime.store.read(lambda tx: tx.all(OWNERS, {}))
        assert dict(rows) == {one.runtime.store.worker: 150, other.runtime.store.worker: 100}

    async def test_a_first_start_takes_what_was_written_before_there_were_several(
        self, new_database: str, tmp_path: Path
    ) -> None:
        async with process(new_database, tmp_path / "old") as old:
            await old.request()
            old.agents.trouble = [OSError()] * 100
            await old.say("hello")
            await old.runtime.store.write(lambda tx: tx.run("UPDATE handoff_handoffs SET owner = ''", {}))
        async with process(new_database, tmp_path / "new") as new:
            await new.until(lambda: texts(new) == ["hello"])

    async def test_who_was_taken_for_dead_sends_nothing_more_and_what_it_did_does_not_count(
        self, one: Stage, other: Stage
    ) -> None:
        """It stood still, in the middle of sending, for longer than its lease."""
        await one.request()
        going_on, sending = asyncio.Event(), asyncio.Event()

        async def send(handoff: Handoff, message: Message) -> None:
            sending.set()
            await asyncio.shield(going_on.wait())
            one.agents.got.append(message)

        one.agents.send = send  # type: ignore[method-assign]
        await one.say("first")
        await one.say("second")
        await sending.wait()
        before = one.runtime.store.worker
        await one.runtime.succession.stop()
        one.runtime.store._subscribers.clear()  # it does not know it yet
        other.agents.trouble = [OSError()] * 100
        await other.runtime.store.write(lambda tx: workers.leave(tx, before))
        await other.until(lambda: len(other.agents.trouble) < 100)
        going_on.set()
        await asyncio.sleep(0.5)
        assert texts(one) == ["first"]  # which was on its way
        assert [each.message.text for each in await pending(other) if each.message] == ["first", "second"]
        other.agents.trouble = []
        other.pass_time(60)
        await other.until(lambda: texts(other) == ["first", "second"])

    async def test_who_was_taken_for_dead_goes_on_under_its_new_name(self, one: Stage) -> None:
        handoff = await one.request()
        one.agents.trouble = [OSError()] * 3
        await one.say("hello")
        before = one.runtime.store.worker
        await one.runtime.store.write(lambda tx: workers.leave(tx, before))
        await one.until(lambda: one.runtime.store.worker != before)
        await one.say("again")
        await one.until(lambda: texts(one) == ["hello", "again"])
        assert (await of(one, handoff)).owner == one.runtime.store.worker

    @pytest.mark.parametrize("turns", range(4))
    async def test_news_at_the_moment_of_a_stop_does_not_keep_it_from_stopping(self, one: Stage, turns: int) -> None:
        one.runtime.succession._due.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(one.runtime.succession.stop(), PATIENCE)


class TestLookingForWhatWasMissed:
    async def test_what_was_posted_while_the_line_was_cut_goes_out_once_and_in_order(
        self, one: Stage, other: Stage, new_database: str
    ) -> None:
        await one.request()
        peers: Any = one.runtime.store._peers
        told, peers._came.put_nowait = peers._came.put_nowait, lambda note: None  # nothing is heard
        await other.say("one")
        await one.say("two")
        await asyncio.sleep(0.2)
        assert texts(one) == []
        peers._came.put_nowait = told
        peers._came.put_nowait(Missed())
        await other.say("three")
        await one.until(lambda: len(texts(one)) == 3)
        assert texts(one) == ["one", "two", "three"]


async def takes(got: list[Any], sender_id: str, given: Any) -> bool:
    got.append((sender_id, given))
    return True


async def takes_nothing(sender_id: str, given: Any) -> bool:
    return False


class TestElsewhere:
    async def test_a_user_whose_socket_is_at_another_process_is_reached_through_it(
        self, one: Stage, other: Stage
    ) -> None:
        handoff = await one.request()
        await one.until(lambda: one.kinds_to_user() == ["state"])
        one.user_trouble = [UserAway("not here")] * 10
        await one.happen(AgentJoined(chat_id=handoff.id, agent=BO))
        await one.happen(AgentMessage(chat_id=handoff.id, agent=BO, text="Hi"))
        await other.until(lambda: other.kinds_to_user() == ["state", "notice", "message"])
        await one.until(lambda: len(one.user_trouble) == 7)
        await eventually(lambda: pending(one), lambda found: not found)
        assert one.kinds_to_user() == ["state"]

    async def test_a_user_who_is_nowhere_is_away(self, one: Stage, other: Stage) -> None:
        handoff = await one.request()
        one.user_trouble = [UserAway("not here")] * 100
        other.user_trouble = [UserAway("not here")] * 100
        await one.happen(AgentMessage(chat_id=handoff.id, agent=BO, text="Hi"))
        await one.until(lambda: len(other.user_trouble) < 100)
        waiting = await eventually(lambda: pending(one), lambda found: found and found[0].attempts)
        assert waiting[0].error == "not here"

    async def test_a_process_that_does_not_answer_is_not_waited_for_for_ever(self, one: Stage, other: Stage) -> None:
        other.runtime.store._subscribers.clear()
        started = monotonic()
        assert not await asyncio.wait_for(one.runtime.elsewhere.ask("page", "ann", 0.5), PATIENCE)
        assert monotonic() - started > 0.4
        await one.until(lambda: one.runtime.elsewhere._questions == {})

    async def test_alone_nobody_is_asked(self, one: Stage) -> None:
        assert not await asyncio.wait_for(one.runtime.elsewhere.ask("page", "ann", 600), PATIENCE)

    async def test_what_is_given_comes_to_every_other_process_in_order_and_is_kept_nowhere(
        self, one: Stage, other: Stage, new_database: str, tmp_path: Path
    ) -> None:
        async with process(new_database, tmp_path / "third") as third:
            got: dict[Stage, list[Any]] = {stage: [] for stage in (one, other, third)}
            for stage, had in got.items():
                stage.runtime.elsewhere.take("words", partial(takes, had))
            for number in range(20):
                given = await one.runtime.elsewhere.give("words", "ann", {"number": number}, PATIENCE, lasting=True)
            assert await given
            await third.until(lambda: len(got[other]) == len(got[third]) == 20)
            assert got[other] == got[third] == [("ann", {"number": number}) for number in range(20)]
            assert got[one] == []
            await eventually(lambda: one.runtime.store.read(lambda tx: tx.all(KEPT, {})), lambda rows: not rows)

    async def test_what_nobody_has_a_use_for_is_known_to_be_so(self, one: Stage, other: Stage) -> None:
        assert not await (await one.runtime.elsewhere.give("words", "ann", {}, 30, lasting=False))
        other.runtime.elsewhere.take("words", takes_nothing)
        assert not await (await one.runtime.elsewhere.give("words", "ann", {}, 30, lasting=False))

    async def test_nobody_waits_for_an_answer_when_the_server_stops(self, one: Stage, other: Stage) -> None:
        other.runtime.store._subscribers.clear()
        asked = asyncio.create_task(one.runtime.elsewhere.ask("page", "ann", 60))
        given = await one.runtime.elsewhere.give("words", "ann", {}, 60, lasting=False)
        await one.runtime.elsewhere.stop()
        assert await asyncio.wait_for(asyncio.gather(asked, given), PATIENCE) == [False, False]
        assert not await one.runtime.elsewhere.ask("page", "ann", 60)

    async def test_a_page_is_found_at_any_process(self, one: Stage, other: Stage) -> None:
        assert not await one.runtime.user_has_page("ann")
        other.runtime.hub.listen("user:ann")
        assert await one.runtime.user_has_page("ann")
        assert await other.runtime.user_has_page("ann")

    async def test_a_page_is_found_at_a_process_that_stands_still_for_a_moment(self, one: Stage, other: Stage) -> None:
        async def answer_late(sender_id: str) -> bool:
            await asyncio.sleep(1.5)
            return True

        other.runtime.elsewhere.answer("page", answer_late)
        assert await one.runtime.user_has_page("ann")


class TestPages:
    async def test_a_users_page_at_another_process_hears_everything_within_milliseconds(
        self, one: Stage, other: Stage
    ) -> None:
        handoff = await one.request()
        page = other.runtime.hub.listen("user:ann")
        took = []
        for number in range(50):
            started = monotonic()
            await one.runtime.store.write(
                lambda tx, number=number: stream.append(tx, "ann", "message", {"n": number}, one.now(), str(number))
            )
            entry = await page.get(PATIENCE)
            took.append(monotonic() - started)
            assert isinstance(entry, Entry)
            assert f'"n": {number}' in entry.data
        await one.happen(AgentTyping(chat_id=handoff.id))
        assert isinstance(await page.get(PATIENCE), Typed)
        print(f"\nto a page at another process: {1000 * sorted(took)[25]:.1f} ms, at most {1000 * max(took):.1f} ms")
        assert sorted(took)[25] < 1

    async def test_pages_come_again_when_something_may_have_been_missed(self, one: Stage) -> None:
        page = one.runtime.hub.listen("user:ann")
        one.runtime.store._tell([Missed()])
        assert await page.get(PATIENCE) is None

    async def test_servers_in_different_folders_take_each_others_tokens(self, one: Stage, other: Stage) -> None:
        first, second = one.runtime.access, other.runtime.access
        assert replace(first, url="") == replace(second, url="")
        assert first.secret in (one.folder / ".rasa_handoff" / "access.json").read_text()
        assert first.secret in (other.folder / ".rasa_handoff" / "access.json").read_text()

    async def test_a_token_in_the_settings_comes_first_and_the_others_learn_it(
        self, one: Stage, new_database: str, tmp_path: Path
    ) -> None:
        token = "configured-" + "t" * 32
        async with process(new_database, tmp_path / "configured", token=token) as configured:
            assert configured.runtime.access.token == token
        async with process(new_database, tmp_path / "later") as later:
            assert later.runtime.access.token == token
            assert later.runtime.access.secret == one.runtime.access.secret


class TestDesk:
    @pytest.fixture
    async def desks(self, new_database: str, tmp_path: Path) -> AsyncIterator[tuple[RealDesk, RealDesk]]:
        async with (
            real_desk(new_database, tmp_path / "one") as one,
            real_desk(new_database, tmp_path / "other") as other,
        ):
            yield one, other

    async def test_an_agent_with_a_page_at_one_process_is_there_for_all(self, desks: tuple[RealDesk, RealDesk]) -> None:
        one, other = desks
        agent = await come(other, one)
        for desk in (one.desk, other.desk):
            desk.staff.attendance._started = -1e9  # they have been up for long
        assert (await one.runtime.opening.request(Request(sender_id="ann", channel="rest"))).is_open
        other.desk.staff.attendance.went(agent.id)
        await told_everywhere(other, one)
        for desk in (one.desk, other.desk):
            desk.staff.attendance._left = {agent.id: monotonic() - 31}
        refused = await one.runtime.opening.request(Request(sender_id="bea", channel="rest"))
        assert refused.end_reason is EndReason.UNAVAILABLE

    async def test_a_console_at_another_process_sees_chats_lines_and_typing_at_once(
        self, desks: tuple[RealDesk, RealDesk]
    ) -> None:
        one, other = desks
        await come(other, one)
        console = other.runtime.hub.listen("desk")
        handoff = await one.runtime.opening.request(Request(sender_id="ann", channel="rest"))
        chat = await heard(console, ChatChanged)
        assert (chat.chat.id, chat.chat.state) == (handoff.id, "waiting")
        started = monotonic()
        await one.runtime.switchboard.said("ann", Message(id=new_id(), who="user", text="Hi", at=one.now()), "m1")
        line = await heard(console, MessageChanged)
        took = monotonic() - started
        assert line.message.text == "Hi"
        await one.desk.typing(await of(one, handoff), True)
        assert (await heard(console, UserTyped)).typing
        print(f"\nto a console at another process: {1000 * took:.1f} ms")

    async def test_every_console_knows_whether_the_users_page_is_open(self, desks: tuple[RealDesk, RealDesk]) -> None:
        one, other = desks
        await come(one, other)
        other.runtime.hub.listen("user:ann")
        handoff = await one.runtime.opening.request(Request(sender_id="ann", channel="handoff"))
        await one.until(lambda: one.desk.connected == other.desk.connected == {handoff.id: True})
        await one.runtime.switchboard.close(EndReason.USER_LEFT, sender_id="ann")
        await one.until(lambda: one.desk.connected == other.desk.connected == {})


async def come(stage: RealDesk, *others: RealDesk) -> Any:
    """The agent opens a page at this process, and is online, which the others know."""
    [agent] = await stage.runtime.store.read(records.agents)
    stage.desk.staff.attendance.came(agent.id)
    stage.runtime.store.tell([AgentThere(agent_id=agent.id)])
    agent = await stage.desk.work.set_presence(agent, "online")
    await told_everywhere(stage, *others)
    return agent


async def told_everywhere(*stages: Stage) -> None:
    """All that the first of them has told so far is known to each."""
    for stage in stages:
        await stage.runtime.store.told()


async def heard(listener: Any, kind: type) -> Any:
    while not isinstance(fact := await listener.get(PATIENCE), kind):
        pass
    return fact
