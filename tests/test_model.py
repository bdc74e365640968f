"""The switchboard against a model of itself: users, agents, deadlines, crashes and repeats, in any order."""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from rasa_handoff.backends.base import Opened
from rasa_handoff.errors import (
    BackendError,
    ChatGone,
    Conflict,
    Refused,
    TemporaryError,
    Unavailable,
    UnknownChat,
    UserAway,
    UserUnreachable,
)
from rasa_handoff.events import (
    AgentAway,
    AgentIdle,
    AgentJoined,
    AgentMessage,
    AnyEvent,
    Closed,
    MessageStatus,
    QueueMoved,
    Transferred,
)
from rasa_handoff.model import Delivery, EndReason, Handoff, Message, Person, Request, Status
from rasa_handoff.store import deliveries, handoffs
from rasa_handoff.testing.waiting import PATIENCE
from tests.databases import folder_in_memory
from tests.stage import Recorder, Stage, Time
from tests.test_outbox import are_waiting

USERS = st.sampled_from(["ann", "bea"])
AGENTS = st.sampled_from([Person(name="Bo", id="bo"), Person(name="Di", id="di")])
ANY = st.integers(0, 999)  #: which one of those there are
TURNS = st.integers(0, 12)  #: how far things go on by themselves before the next step
AFTERWARDS = TemporaryError("desk", "send", 502, "it arrived all the same")
_ENDS = {
    "accept": EndReason.NOT_ACCEPTED,
    "agent_reply": EndReason.AGENT_SILENT,
    "user_idle": EndReason.USER_IDLE,
}


class Agents(Recorder):
    """An agent system that knows a message by its id, and has moods."""

    def __init__(self) -> None:
        super().__init__()
        self.opening: Exception | None = None  #: what it answers to a request; None: it accepts
        self.slow: set[str] = set()  #: users whose requests it thinks about for a while
        self.may_answer = asyncio.Event()
        self.mood: Exception | None = None
        self.accepted: set[str] = set()
        self.faults: list[str] = []  #: of the other side; raised here they would only be tried again
        self.done: set[tuple[str, str]] = set()  #: what it said yes to, since the last crash
        self.arrived: dict[str, list[str]] = defaultdict(list)  #: texts and the end, by chat, each once

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        if handoff.sender_id in self.slow:
            await self.may_answer.wait()
        if self.opening is not None:
            raise self.opening
        self.accepted.add(handoff.id)
        return Opened(chat_id=handoff.id)

    async def send(self, handoff: Handoff, message: Message) -> None:
        await self._take(handoff, message.text)

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        if isinstance(self.mood, ChatGone):
            self.arrived[handoff.id].append("<closed>")  # it was, before we said so
        await self._take(handoff, "<closed>")

    async def _take(self, handoff: Handoff, what: str) -> None:
        if self.mood is not None and self.mood is not AFTERWARDS:
            raise self.mood
        if handoff.chat_id != handoff.id:
            self.faults.append(f"for a chat that was never opened: {what}")
        if (handoff.id, what) in self.done:
            self.faults.append(f"sent again after a yes: {what}")
        if what not in self.arrived[handoff.id]:
            self.arrived[handoff.id].append(what)
        await asyncio.sleep(0)
        if self.mood is not None:
            raise self.mood
        self.done.add((handoff.id, what))


@dataclass
class Talk:
    """What the model knows of a handoff."""

    id: str
    status: Status
    agent: Person | None = None
    deadline: str | None = None
    due: float = 0.0
    left: bool = False  #: the agent logged out
    reason: EndReason | None = None
    opened: bool = False  #: the agent system accepted
    said: list[str] = field(default_factory=list)
    dropped: bool = False  #: it ended when no agent was there who would read what waited
    written: list[str] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.status is not Status.CLOSED


class World(RuleBasedStateMachine):
    """Everything but Rasa, on a real database, and what should have become of it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory(dir=folder_in_memory())
        self.time = Time()
        self.texts = itertools.count(1)
        self.talks: dict[str, Talk] = {}  #: by id
        self.latest: dict[str, Talk] = {}  #: by user
        self.external: dict[str, list[str]] = defaultdict(list)  #: ids of what users said, by user
        self.events: list[AgentMessage] = []
        self.asking: dict[str, asyncio.Task[Handoff]] = {}
        self.reached: dict[str, list[str]] = defaultdict(list)  #: texts at the user, by talk, each once
        self.replayed: dict[str, list[str]] = defaultdict(list)  #: texts handed to the bot after all
        self.told: dict[str, int] = defaultdict(int)  #: how often the bot heard of an end
        self.taken: set[str] = set()  #: ids of the deliveries that the user's side has had
        self.away: Exception | None = None
        self.run(self._set_up())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    async def _set_up(self) -> None:
        database = f"sqlite:///{self.folder.name}/handoff.db"
        # An agent system that takes its time answers when the model says so, however long the machine takes until then.
        self.stage = Stage(database, Path(self.folder.name), self.time, open_timeout="50s")
        self.agents = Agents()
        self.stage.agents = self.agents
        self.stage._to_user = self._to_user  # type: ignore[method-assign]
        await self._up()

    async def _up(self) -> None:
        await self.stage.up()
        await self.stage.runtime.clock.stop()
        await self._tick()

    # -- the user's side, which stands for the bot as well ------------------------------------

    async def _to_user(self, handoff: Handoff, delivery: Delivery) -> None:
        if self.away is not None:
            raise self.away
        if delivery.kind == "settle":
            await self._tell_bot(handoff)
        elif delivery.message is not None and delivery.id not in self.taken:
            self.taken.add(delivery.id)
            there = self.replayed if delivery.kind == "replay" else self.reached
            there[handoff.id].append(delivery.message.text)
        await asyncio.sleep(0)

    async def _tell_bot(self, handoff: Handoff) -> None:
        known = await self.stage.runtime.store.read(lambda tx: handoffs.get(tx, handoff.id))
        if known is None or known.is_open:
            self.agents.faults.append("the bot was told of an end that was none")
        self.told[handoff.id] += 0 if self.told[handoff.id] else 1  # its tracker remembers
        await self.stage.runtime.switchboard.settled(handoff)

    @initialize(waits=st.booleans())
    def choose_agent_system(self, waits: bool) -> None:
        """Some of them take no message before an agent is there."""
        self.agents.waits_for_agent = waits  # type: ignore[misc]

    # -- users --------------------------------------------------------------------------------

    @rule(user=USERS, opening=st.sampled_from([None, None, None, Unavailable, Refused, TemporaryError, BackendError]))
    def request(self, user: str, opening: type[BackendError] | None) -> None:
        self.agents.opening = opening("desk", "open a chat") if opening else None
        if user not in self.asking:
            self.run(self._requested(user, asyncio.ensure_future(self.stage.request(user), loop=self.loop)))

    async def _requested(self, user: str, asking: asyncio.Task[Handoff]) -> None:
        handoff = await asking
        known = self.latest.get(user)
        if known is not None and known.id == handoff.id:
            assert known.is_open, "a handoff that was over was given again"
            if known.status is Status.REQUESTED:
                self._answered(known, handoff)
            return
        assert not await self._still_open(user), "a second handoff was opened beside the first"
        assert handoff.id not in self.talks
        talk = self._remember(user, handoff)
        self._answered(talk, handoff)

    def _remember(self, user: str, handoff: Handoff) -> Talk:
        talk = self.talks[handoff.id] = self.latest[user] = Talk(id=handoff.id, status=Status.REQUESTED)
        return talk

    def _answered(self, talk: Talk, handoff: Handoff) -> None:
        if self.agents.opening is None:
            assert handoff.status is Status.QUEUED
            talk.status, talk.opened = Status.QUEUED, True
            self._start(talk, "accept")
        else:
            assert handoff.end_reason in (EndReason.UNAVAILABLE, EndReason.REJECTED, EndReason.FAILED)
            self._end(talk, handoff.end_reason)

    @rule(user=USERS)
    def request_slowly(self, user: str) -> None:
        """The agent system takes its time to answer."""
        if user in self.asking or self.run(self._still_open(user)):
            return
        self.agents.slow.add(user)
        self.agents.may_answer.clear()
        self.asking[user] = asyncio.ensure_future(self.stage.request(user), loop=self.loop)
        self._remember(user, self.run(self._begun(user)))

    async def _begun(self, user: str) -> Handoff:
        while True:
            handoff = await self.stage.handoff(user)
            if handoff is not None and handoff.status is Status.REQUESTED:
                return handoff
            await asyncio.sleep(0.001)

    @rule(opening=st.sampled_from([None, None, Unavailable]))
    def answer(self, opening: type[BackendError] | None) -> None:
        self.agents.opening = opening("desk", "open a chat") if opening else None
        self.agents.may_answer.set()
        for user, asking in self.asking.items():
            self.run(self._answer_came(self.latest[user], asking))
        self.asking.clear()
        self.agents.slow.clear()

    async def _answer_came(self, talk: Talk, asking: asyncio.Task[Handoff]) -> None:
        handoff = await asking
        assert handoff.id == talk.id
        if talk.is_open:
            self._answered(talk, handoff)
        else:
            assert handoff.end_reason is talk.reason

    @rule(user=USERS, turns=TURNS)
    def say(self, user: str, turns: int) -> None:
        text, external = f"{user}-{next(self.texts)}", f"m{next(self.texts)}"
        self.run(self._said(user, text, external, turns))

    async def _said(self, user: str, text: str, external: str, turns: int) -> None:
        receipt = await self.stage.say(text, user, external)
        if receipt is None:
            assert not await self._still_open(user), "the bot was given what was the agent's"
        else:
            talk = self.latest[user]
            assert talk.is_open, "the agent was given what was the bot's"
            assert not receipt.repeat
            talk.said.append(text)
            self.external[user].append(external)
            if talk.status is Status.ACTIVE and talk.deadline != "agent_reply":
                self._start(talk, "agent_reply")
        await self._go_on(turns)

    @rule(user=USERS, which=ANY)
    def say_again(self, user: str, which: int) -> None:
        known = self.external[user]
        if known:
            self.run(self._said_again(user, known[which % len(known)]))

    async def _said_again(self, user: str, external: str) -> None:
        receipt = await self.stage.say("never to be seen", user, external)
        if receipt is None:
            assert not await self._still_open(user), "the bot was given what was the agent's"
        else:
            assert self.latest[user].is_open, "the agent was given what was the bot's"
            assert receipt.repeat, "a repeat was taken for a new message"

    @rule(user=USERS, turns=TURNS)
    def leave(self, user: str, turns: int) -> None:
        self.run(self._left(user, turns))

    async def _left(self, user: str, turns: int) -> None:
        try:
            await self.stage.runtime.switchboard.close(EndReason.USER_LEFT, sender_id=user)
        except UnknownChat:
            assert not await self._still_open(user)
        else:
            self._end(self.latest[user], EndReason.USER_LEFT)
        await self._go_on(turns)

    # -- agents -------------------------------------------------------------------------------

    @rule(user=USERS, agent=AGENTS, turns=TURNS)
    def join(self, user: str, agent: Person, turns: int) -> None:
        def joined(talk: Talk) -> None:
            if talk.agent != agent:
                self._taken(talk, agent)

        self._happens(user, lambda talk: AgentJoined(chat_id=talk.id, agent=agent), joined, turns)

    @rule(user=USERS, agent=AGENTS | st.none(), turns=TURNS)
    def write(self, user: str, agent: Person | None, turns: int) -> None:
        text = f"agent-{next(self.texts)}"

        def wrote(talk: Talk) -> None:
            if talk.status is not Status.ACTIVE or (agent and talk.agent is None):
                self._taken(talk, agent or talk.agent)
            self.events.append(event)
            talk.written.append(text)
            self._start(talk, "user_idle")

        talk = self.latest.get(user)
        if talk is not None:
            event = AgentMessage(chat_id=talk.id, event_id=f"e-{text}", agent=agent, text=text)
            self._happens(user, lambda talk: event, wrote, turns)

    @rule(which=ANY)
    def repeat_an_event(self, which: int) -> None:
        """The agent system sends a webhook again, perhaps long after the end."""
        if self.events:
            self.run(self.stage.happen(self.events[which % len(self.events)]))

    @rule(user=USERS, position=st.integers(1, 3))
    def move_in_queue(self, user: str, position: int) -> None:
        self._happens(user, lambda talk: QueueMoved(chat_id=talk.id, position=position), lambda talk: None)

    @rule(user=USERS, agent=AGENTS | st.none())
    def transfer(self, user: str, agent: Person | None) -> None:
        def transferred(talk: Talk) -> None:
            if agent is None:
                self._queued(talk)
            elif agent != talk.agent:
                self._taken(talk, agent)

        self._happens(user, lambda talk: Transferred(chat_id=talk.id, agent=agent), transferred)

    @rule(user=USERS)
    def go_away(self, user: str) -> None:
        def gone(talk: Talk) -> None:
            self._queued(talk)
            talk.left = True

        self._happens(user, lambda talk: AgentAway(chat_id=talk.id), gone)

    @rule(user=USERS, reason=st.sampled_from([EndReason.AGENT_CLOSED, EndReason.REJECTED]), turns=TURNS)
    def close(self, user: str, reason: EndReason, turns: int) -> None:
        self._happens(
            user, lambda talk: Closed(chat_id=talk.id, reason=reason), lambda talk: self._end(talk, reason), turns
        )

    @rule(user=USERS, idle=st.booleans())
    def fall_asleep_or_wake_up(self, user: str, idle: bool) -> None:
        """An agent who is slow is still there."""
        self._happens(user, lambda talk: AgentIdle(chat_id=talk.id, idle=idle), lambda talk: None)

    @rule(user=USERS)
    def report(self, user: str) -> None:
        """What becomes of a message changes nothing."""
        self._happens(
            user,
            lambda talk: MessageStatus(chat_id=talk.id, message_id="m", state="read"),
            lambda talk: None,
        )

    @rule()
    def an_event_for_nobody(self) -> None:
        with pytest.raises(UnknownChat):
            self.run(self.stage.happen(AgentMessage(chat_id="nobody's", text="hello")))

    def _happens(self, user: str, event: Any, then: Any, turns: int = 0) -> None:
        talk = self.latest.get(user)
        if talk is not None:
            self.run(self._happened(user, talk, event(talk), then, turns))

    async def _happened(self, user: str, talk: Talk, event: AnyEvent, then: Any, turns: int) -> None:
        try:
            await self.stage.happen(event)
        except UnknownChat:
            assert not talk.opened
        except Conflict:
            assert not await self._still_open(user), "an event of an open chat was refused"
            assert not isinstance(event, (Closed, MessageStatus)), "the end of an ended chat is no conflict"
        else:
            assert talk.opened
            if talk.is_open and await self._still_open(user, ended_by=event):
                then(talk)
        await self._go_on(turns)

    # -- the world ----------------------------------------------------------------------------

    @rule(mood=st.sampled_from([None, None, "down", "afterwards", "refuses", "gone"]))
    def change_mood(self, mood: str | None) -> None:
        """The agent system has trouble with messages, or has got over it."""
        self.agents.mood = {
            None: None,
            "down": TemporaryError("desk", "send", 503),
            "afterwards": AFTERWARDS,
            "refuses": BackendError("desk", "send", 400),
            "gone": ChatGone("desk", "send", 410),
        }[mood]

    @rule(away=st.sampled_from([None, None, UserAway("away"), UserUnreachable("blocked us")]))
    def go_away_or_come_back(self, away: Exception | None) -> None:
        """The user cannot be reached, or can again."""
        # What the bot is told of an end cannot be refused for good.
        self.away = away if not isinstance(away, UserUnreachable) else None

    @rule(seconds=st.sampled_from([1, 30, 299, 301, 1000, 1801, 25_001]), turns=TURNS)
    def pass_time(self, seconds: float, turns: int) -> None:
        self.stage.pass_time(seconds)
        self.run(self._tick())
        self.run(self._go_on(turns))

    async def _tick(self) -> None:
        await self.stage.runtime.clock.tick()
        for user, talk in self.latest.items():
            if talk.deadline is not None and talk.due <= self.time() and await self._was_open(user):
                left = talk.deadline == "accept" and talk.left
                self._end(talk, EndReason.AGENT_LEFT if left else _ENDS[talk.deadline])
                await self._compare(user)

    async def _was_open(self, user: str) -> bool:
        """Whether it was the clock that ended it, and not the outbox before."""
        talk = self.latest[user]
        if not talk.is_open:
            return False
        actual = await self._actual(talk)
        if actual.end_reason in _ENDS.values() or actual.end_reason is EndReason.AGENT_LEFT:
            return True
        return await self._still_open(user)

    @rule(turns=TURNS)
    def let_it_go_on(self, turns: int) -> None:
        self.run(self._go_on(turns * 5))

    @rule()
    def restart(self) -> None:
        self._hang_up()
        self.run(self.stage.down())
        self.run(self._end_tasks())
        self._recovered()
        self.run(self._up())

    @rule()
    def crash(self) -> None:
        """The process dies, in the middle of whatever it does; what is on disk remains."""
        self._hang_up()
        self.run(self._die())
        self._recovered()
        self.run(self._up())

    async def _die(self) -> None:
        await self._end_tasks()
        await self.stage.runtime.store.close()
        self.agents.done.clear()

    async def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.agents.slow.clear()

    def _hang_up(self) -> None:
        for asking in self.asking.values():
            asking.cancel()
        self.asking.clear()

    def _recovered(self) -> None:
        for talk in self.latest.values():
            if talk.status is Status.REQUESTED:
                self._end(talk, EndReason.FAILED)

    async def _go_on(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    # -- the model's own changes --------------------------------------------------------------

    def _start(self, talk: Talk, deadline: str) -> None:
        talk.deadline = deadline
        talk.due = self.time() + self.stage.settings.deadlines[deadline].after

    def _taken(self, talk: Talk, agent: Person | None) -> None:
        talk.status, talk.agent, talk.left = Status.ACTIVE, agent, False
        self._start(talk, "agent_reply")

    def _queued(self, talk: Talk) -> None:
        talk.status, talk.agent = Status.QUEUED, None
        self._start(talk, "accept")

    def _end(self, talk: Talk, reason: EndReason | None) -> None:
        talk.dropped = talk.status is Status.QUEUED and self.agents.waits_for_agent
        talk.status, talk.reason, talk.deadline = Status.CLOSED, reason, None

    # -- what must hold -----------------------------------------------------------------------

    async def _actual(self, talk: Talk) -> Handoff:
        handoff = await self.stage.runtime.store.read(lambda tx: handoffs.get(tx, talk.id))
        assert handoff is not None
        return handoff

    async def _still_open(self, user: str, ended_by: AnyEvent | None = None) -> bool:
        """Whether this user's handoff is open. A delivery that failed for good may have ended it meanwhile."""
        talk = self.latest.get(user)
        if talk is None or not talk.is_open:
            return False
        actual = await self._actual(talk)
        if actual.is_open or (isinstance(ended_by, Closed) and ended_by.reason is actual.end_reason):
            return True
        if actual.end_reason in (EndReason.FAILED, EndReason.AGENT_CLOSED) and await self._dead(talk):
            self._end(talk, actual.end_reason)
        return talk.is_open

    async def _dead(self, talk: Talk) -> set[str]:
        """The texts of a talk's dead letters, which a person can see."""
        unfinished: Iterable[Delivery] = await self.stage.runtime.store.read(deliveries.unfinished)
        dead = (each for each in unfinished if each.state == "dead" and each.handoff_id == talk.id)
        return {each.message.text if each.message else f"<{each.kind}>" for each in dead}

    async def _compare(self, user: str) -> None:
        talk = self.latest[user]
        await self._still_open(user)
        actual = await self._actual(talk)
        if talk.is_open and not actual.is_open:  # a delivery died, and was committed, between the two looks
            await self._still_open(user)
        assert (actual.status, actual.end_reason) == (talk.status, talk.reason)
        assert actual.agent == talk.agent or not talk.is_open
        assert list(actual.deadlines) == ([talk.deadline] if talk.deadline else [])

    @invariant()
    def each_conversation_is_where_the_model_says(self) -> None:
        for user in self.latest:
            self.run(self._compare(user))

    @invariant()
    def one_handoff_is_open_at_most_and_each_has_a_deadline(self) -> None:
        sql = "SELECT sender_id, status, due_at FROM handoff_handoffs WHERE status <> 'closed'"
        rows = self.run(self.stage.runtime.store.read(lambda tx: tx.all(sql, {})))
        assert len({row[0] for row in rows}) == len(rows)
        assert all(row[2] is not None for row in rows if row[1] != "requested")

    @invariant()
    def nothing_was_sent_that_must_not_be(self) -> None:
        assert self.agents.faults == []

    def teardown(self) -> None:
        try:
            self.run(self._end_well())
        finally:
            self.run(self.stage.down())
            self.loop.close()
            self.folder.cleanup()

    async def _end_well(self) -> None:
        """Everybody gets over their trouble, and what still waits goes out; then the accounts must balance."""
        self.agents.mood = self.agents.opening = self.away = None
        self.agents.may_answer.set()
        await asyncio.gather(*self.asking.values())
        for user, talk in self.latest.items():
            if user in self.asking and talk.is_open:
                talk.status, talk.opened = Status.QUEUED, True
            if await self._still_open(user) and talk.status is Status.QUEUED:  # somebody who reads what waits
                with suppress(Conflict):  # a delivery that died this moment has ended it
                    await self.stage.happen(AgentJoined(chat_id=talk.id, agent=Person(name="Bo", id="bo")))
        end = time.monotonic() + PATIENCE
        while waiting := await self.stage.runtime.store.read(deliveries.pending):
            assert time.monotonic() < end, f"nobody sends what waits: {waiting}"
            if are_waiting(self.stage):
                self.stage.pass_time(1.0)
            await asyncio.sleep(0.002)
        assert self.agents.faults == []
        for user in self.latest:
            await self._still_open(user)
        for talk in self.talks.values():
            await self._require_balance(talk)

    async def _require_balance(self, talk: Talk) -> None:
        dead = await self._dead(talk)
        if talk.opened:
            arrived = [text for text in self.agents.arrived[talk.id] if text != "<closed>"]
            require_in_order(arrived, talk.said, dead | set(talk.said if talk.dropped else ()))
            assert self.replayed[talk.id] == []
        else:
            assert self.agents.arrived[talk.id] in ([], ["<closed>"])
            assert self.replayed[talk.id] == talk.said, "what was typed while nobody took the chat is the bot's"
        assert self.agents.arrived[talk.id][:-1].count("<closed>") == 0, "something came after the end"
        require_in_order(self.reached[talk.id], talk.written, dead)
        # One that was never opened was the bot's all the time: there is nothing to tell.
        assert self.told[talk.id] == (talk.opened and not talk.is_open) or "<settle>" in dead
        if talk.id in self.agents.accepted and talk.reason not in (None, EndReason.AGENT_CLOSED, EndReason.REJECTED):
            assert "<closed>" in self.agents.arrived[talk.id] or "<close>" in dead, "a chat was left open there"


def require_in_order(arrived: list[str], sent: list[str], dead: set[str]) -> None:
    """Each of *sent* arrived once, in order, or is a dead letter; and nothing else did."""
    assert len(set(arrived)) == len(arrived)
    assert arrived == [text for text in sent if text in arrived]
    assert set(sent) - set(arrived) <= dead


@pytest.mark.slow
def test_whatever_happens_the_switchboard_does_what_its_model_does() -> None:
    """HANDOFF_EXAMPLES=2000 looks longer."""
    examples = int(os.environ.get("HANDOFF_EXAMPLES", "200"))
    run_state_machine_as_test(
        World,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
