"""One poller for a chat, however often it is asked for; none for a chat that is over or not ours."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
import uvloop

from rasa_handoff.backends import polling
from rasa_handoff.backends.breaker import NotAsked
from rasa_handoff.backends.polling import Pollers
from rasa_handoff.errors import StoreError, TemporaryError
from rasa_handoff.testing.waiting import until

DOWN = TemporaryError("acme", "ask for news", 503)
Look = Callable[[str], Awaitable["float | None"]]


class Agents:
    """An agent system that is asked, and writes down when."""

    def __init__(self) -> None:
        self.looks: list[str] = []
        self.ours: set[str] = set()
        self.at_once = self.most_at_once = 0
        self.takes = 0.0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answers: Callable[[str], float | None] = lambda chat: 0.01

    async def look(self, chat: str) -> float | None:
        self.looks.append(chat)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.takes)
            await self.may_answer.wait()
            return self.answers(chat)
        finally:
            self.at_once -= 1

    async def list_ours(self) -> set[str]:
        return set(self.ours)


@pytest.fixture
def agents() -> Agents:
    return Agents()


@pytest_asyncio.fixture
async def pollers(agents: Agents, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pollers[str]]:
    monkeypatch.setattr(polling, "COMPARE_EVERY", 0.05)
    monkeypatch.setattr(polling, "_AFTER_FAILURES", (0.02, 0.04, 10.0))
    monkeypatch.setattr(polling, "_LONGEST_AFTER_429", 0.04)
    pollers = Pollers("acme", str, agents.look, agents.list_ours, at_once=3)
    yield pollers
    await pollers.stop()


async def test_a_chat_is_looked_at_again_and_again_until_it_is_over(agents: Agents, pollers: Pollers[str]) -> None:
    agents.answers = lambda chat: 0.01 if len(agents.looks) < 4 else None
    assert pollers.watch("a") == "a"
    await until(lambda: len(pollers) == 0)
    assert agents.looks == ["a"] * 4
    await asyncio.sleep(0.05)
    assert len(agents.looks) == 4


async def test_several_pollers_never_look_at_one_chat(agents: Agents, pollers: Pollers[str]) -> None:
    agents.takes = 0.02
    for _ in range(5):
        pollers.watch("a")
    await until(lambda: len(agents.looks) >= 3)
    assert (len(pollers), agents.most_at_once) == (1, 1)


async def test_a_chat_that_is_let_go_and_taken_up_during_a_look_has_one_poller(
    agents: Agents, pollers: Pollers[str]
) -> None:
    agents.takes = 0.05
    pollers.watch("a")
    await until(lambda: agents.at_once)
    pollers.drop("a")
    assert pollers.get("a") is None
    pollers.watch("a")
    await until(lambda: len(agents.looks) >= 3)
    assert agents.most_at_once == 1


async def test_a_chat_that_is_let_go_is_not_looked_at_again(agents: Agents, pollers: Pollers[str]) -> None:
    agents.takes = 0.02
    pollers.watch("a")
    pollers.watch("b", after=60.0)
    await until(lambda: agents.at_once)
    pollers.drop("a")
    pollers.drop("b")
    pollers.drop("never seen")
    await asyncio.sleep(0.1)
    assert (agents.looks, len(pollers)) == (["a"], 0)


async def test_only_so_many_look_at_the_same_moment_and_each_has_its_turn(
    agents: Agents, pollers: Pollers[str]
) -> None:
    agents.may_answer.clear()
    names = [f"chat {number}" for number in range(40)]
    for name in names:
        pollers.watch(name)
    await until(lambda: agents.at_once == 3)
    agents.may_answer.set()
    await until(lambda: set(agents.looks) == set(names))
    assert agents.most_at_once == 3


async def test_a_look_that_fails_is_repeated_later_and_later_and_said_once(
    agents: Agents, pollers: Pollers[str], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(chat: str) -> float:
        raise DOWN

    agents.answers = fail
    with caplog.at_level(logging.INFO, polling.__name__):
        for name in ("a", "b"):
            pollers.watch(name)
        await until(lambda: len(agents.looks) == 6)
        await asyncio.sleep(0.1)
    assert len(agents.looks) == 6  # the fourth would come after ten seconds
    assert [record.getMessage().split()[0] for record in caplog.records] == ["polling.failed"]


async def test_the_end_of_trouble_is_said_and_forgotten(
    agents: Agents, pollers: Pollers[str], caplog: pytest.LogCaptureFixture
) -> None:
    def fail_twice(chat: str) -> float:
        if len(agents.looks) <= 2:
            raise (DOWN, StoreError("the database is away"))[len(agents.looks) - 1]
        return 0.01

    agents.answers = fail_twice
    with caplog.at_level(logging.INFO, polling.__name__):
        pollers.watch("a")
        await until(lambda: len(agents.looks) >= 5)
    assert [record.getMessage().split()[0] for record in caplog.records] == ["polling.failed", "polling.recovered"]


async def test_a_look_can_be_had_sooner_and_never_later(agents: Agents, pollers: Pollers[str]) -> None:
    agents.answers = lambda chat: 60.0
    pollers.watch("a", 60.0)
    pollers.sooner("a", 0.02)
    pollers.sooner("a", 60.0)
    pollers.sooner("nobody", 0.0)
    await until(lambda: agents.looks)
    await asyncio.sleep(0.1)
    assert agents.looks == ["a"]


def test_a_look_can_be_had_sooner_than_at_once_on_the_loop_of_sanic(agents: Agents) -> None:
    """uvloop gives another kind of handle for what is to be called at once."""

    async def watch() -> None:
        pollers = Pollers("acme", str, agents.look, agents.list_ours)
        agents.answers = lambda chat: None
        pollers.watch("a", 0.0)
        pollers.sooner("a", -1.0)
        await until(lambda: len(pollers) == 0)
        await pollers.stop()

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(watch())
    finally:
        loop.close()
    assert agents.looks == ["a"]


async def test_who_wants_a_look_during_a_look_gets_another(agents: Agents, pollers: Pollers[str]) -> None:
    agents.answers, agents.takes = lambda chat: 60.0, 0.05
    pollers.watch("a")
    await until(lambda: agents.at_once)
    pollers.sooner("a", 0.0)
    await until(lambda: len(agents.looks) == 2)
    await asyncio.sleep(0.1)
    assert agents.looks == ["a", "a"]


async def test_who_asks_for_time_gets_it(agents: Agents, pollers: Pollers[str]) -> None:
    def busy(chat: str) -> float:
        raise TemporaryError("acme", "ask for news", 429, retry_after=30.0)

    agents.answers = busy
    pollers.watch("a")
    await until(lambda: agents.looks)
    await asyncio.sleep(0.1)
    assert len(agents.looks) == 1


async def test_who_asks_for_time_is_never_asked_before(
    agents: Agents, pollers: Pollers[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    loop, times = asyncio.get_running_loop(), []

    def busy(chat: str) -> float:
        times.append(loop.time())
        raise TemporaryError("acme", "ask for news", 429, retry_after=0.3)

    agents.answers = busy
    pollers.watch("a")
    await until(lambda: len(times) == 2)
    assert times[1] - times[0] > 0.29  # with what a clock leaves out


async def test_too_many_requests_never_make_the_pause_long(agents: Agents, pollers: Pollers[str]) -> None:
    """The host works: a user who is silent for long would be taken for gone."""

    def busy(chat: str) -> float:
        raise TemporaryError("acme", "ask for news", 429)

    agents.answers = busy
    pollers.watch("a")
    await until(lambda: len(agents.looks) >= 6)


async def test_a_chat_that_was_not_asked_about_has_not_failed(agents: Agents, pollers: Pollers[str]) -> None:
    """While a host is left alone thousands of chats are not asked about; when it is back, they go on at once."""
    refused = NotAsked("acme", "ask for news", retry_after=0.02)

    def left_alone(chat: str) -> float:
        if len(agents.looks) < 8:
            raise refused
        return 60.0

    agents.answers = left_alone
    pollers.watch("a")
    await until(lambda: len(agents.looks) == 8)


async def test_a_fault_of_ours_does_not_end_a_chat(
    agents: Agents, pollers: Pollers[str], caplog: pytest.LogCaptureFixture
) -> None:
    agents.answers = lambda chat: 1 / 0 if len(agents.looks) == 1 else 0.01
    pollers.watch("a")
    await until(lambda: len(agents.looks) >= 3)
    assert "ZeroDivisionError" in caplog.text


async def test_every_chat_of_ours_is_taken_up_at_the_start_and_later(agents: Agents, pollers: Pollers[str]) -> None:
    agents.ours = {"a", "b"}
    await pollers.start(spread=0.02)
    await until(lambda: set(agents.looks) == {"a", "b"})
    agents.ours.add("c")
    await until(lambda: "c" in agents.looks)


async def test_a_chat_that_is_not_ours_any_more_is_let_go_unless_it_is_very_young(
    agents: Agents, pollers: Pollers[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    agents.ours = {"a"}
    await pollers.start(spread=0.0)
    pollers.watch("b")  # opened, and not written down yet
    await asyncio.sleep(0.1)
    assert pollers.get("b") is not None
    monkeypatch.setattr(polling, "_YOUNG", 0.0)
    await until(lambda: pollers.get("b") is None)
    assert pollers.get("a") is not None
    agents.ours = set()
    await until(lambda: len(pollers) == 0)


async def test_a_database_that_is_away_does_not_end_the_comparing(agents: Agents, pollers: Pollers[str]) -> None:
    await pollers.start(spread=0.0)
    listing, failures = agents.list_ours, iter([StoreError("away")] * 2)

    async def fail_first() -> set[str]:
        for failure in failures:
            raise failure
        return await listing()

    pollers._ours = fail_first
    agents.ours = {"a"}
    await until(lambda: "a" in agents.looks)


async def test_the_first_looks_are_spread(agents: Agents, pollers: Pollers[str]) -> None:
    random.seed(1)
    agents.ours = {f"chat {number}" for number in range(50)}
    now = asyncio.get_running_loop().time()
    await pollers.start(spread=60.0)
    pauses = [poller.due - now for poller in pollers._pollers.values()]
    assert 2 < sum(pause < 15.0 for pause in pauses) < 35
    assert 2 < sum(pause > 45.0 for pause in pauses) < 35


async def test_after_the_stop_nothing_is_looked_at(agents: Agents, pollers: Pollers[str]) -> None:
    agents.takes = 0.05
    pollers.watch("a")
    pollers.watch("b", after=0.05)
    await until(lambda: agents.at_once)
    looks = list(agents.looks)
    await pollers.stop()
    await asyncio.sleep(0.1)
    assert (agents.looks, agents.at_once) == (looks, 0)


async def test_a_poller_that_waits_has_no_task(agents: Agents, pollers: Pollers[str]) -> None:
    agents.answers = lambda chat: 60.0
    names = [f"chat {number}" for number in range(30)]
    for name in names:
        pollers.watch(name)
    await until(lambda: len(agents.looks) == 30 and not agents.at_once)
    gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_the_schedule_is_the_one_that_liveperson_asks_for() -> None:
    """Three after 5, 10 and 15 s, then 2, 4 and 8 min: the first three before a user is taken for gone after 40 s."""
    assert polling._AFTER_FAILURES == (5.0, 10.0, 15.0, 120.0, 240.0, 480.0)
