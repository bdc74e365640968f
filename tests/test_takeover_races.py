"""A conversation is taken over while something else is going on in it: a real Rasa agent in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import pytest_asyncio
from rasa.core.agent import Agent
from rasa.shared.core.events import UserUttered

from rasa_handoff.backends.base import Opened
from rasa_handoff.errors import StoreError, Unavailable, UnknownChat
from rasa_handoff.model import EndReason, Handoff, Person, Status
from rasa_handoff.takeover import Takeover
from tests.servers import trained
from tests.stage import Stage, Time
from tests.test_dialogue import Talk
from tests.test_store import hang_up, nobody_let_in

NUMBER = "4111 1111 1111 1111"


@pytest.fixture(scope="module")
def rasa_agent() -> Agent:
    return Agent.load(trained())


@pytest_asyncio.fixture
async def talk(rasa_agent: Agent, new_database: str, tmp_path: Path) -> AsyncIterator[Talk]:
    redact = {"patterns": [r"\d{4}( \d{4}){3}"]}
    stage = Stage(new_database, tmp_path, Time(), redact=redact)
    await stage.up()
    talk = Talk(rasa_agent, stage)
    with talk.gate.installed():
        yield talk
    await stage.down()


class Answer:
    """An agent system's answer that comes when it is told to."""

    def __init__(self, stage: Stage) -> None:
        self.asked = asyncio.Event()
        self._given: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        stage.agents.answer = self._answer

    async def _answer(self, handoff: Handoff) -> Any:
        self.asked.set()
        found = await self._given
        return found or Opened(chat_id=handoff.id)

    def give(self, found: Exception | Opened | None = None) -> None:
        self._given.set_result(found)


def take(talk: Talk, **wishes: Any) -> asyncio.Task[Handoff]:
    return asyncio.create_task(Takeover(talk.stage.runtime, talk.dialogue).take(talk.user, **wishes))


async def tickets(talk: Talk, number: int) -> None:
    """Until so many have, or want, a turn with the conversation; who asks for one later comes behind them."""

    def are_issued() -> bool:
        lock = talk.agent.lock_store.get_lock(talk.user)
        return lock is not None and len(lock.tickets) == number

    await talk.stage.until(are_issued)


async def has_looked(talk: Talk, taking: asyncio.Task[Handoff]) -> None:
    """Until *taking*, which has just begun, knows who has the conversation: reads come one after the other."""
    await asyncio.sleep(0)
    await talk.stage.handoff(talk.user)
    assert not taking.done()


async def told(talk: Talk) -> tuple[list[str], int]:
    """What the bot was asked to say, and how often it was told where the handoff stands."""
    return await talk.stage.notices(), talk.stage.slots_set


@contextmanager
def another_process_writes(database: str) -> Iterator[None]:
    """What is to be written waits."""
    with closing(psycopg2.connect(database)) as other, closing(other.cursor()) as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(7361035, hashtext(current_schema()))")
        yield


async def test_who_writes_right_behind_it_writes_to_the_agents(talk: Talk, new_database: str) -> None:
    await talk.say("hello")
    with another_process_writes(new_database):
        async with talk.dialogue.turn(talk.user):  # the bot is answering
            taking = take(talk)
            await tickets(talk, 2)
            assert await talk.stage.handoff(talk.user) is None
            saying = asyncio.create_task(talk.say("what are your opening hours?"))
            await tickets(talk, 3)
        done, _ = await asyncio.wait({saying}, timeout=2.5)  # Rasa looks once a second whose turn it is
        assert not done
    [answer] = await saying
    assert "custom" in answer
    assert (await taking).status is Status.QUEUED
    await talk.stage.until(lambda: [each.text for each in talk.stage.agents.got] == ["what are your opening hours?"])


async def test_the_user_and_the_bot_are_told_once_that_nobody_asked(talk: Talk) -> None:
    await talk.say("hello")
    await take(talk)
    await take(talk)
    assert await told(talk) == (["utter_handoff_taken_over"], 1)


async def test_whose_user_asks_by_themselves_meanwhile_is_theirs(talk: Talk) -> None:
    await talk.say("hello")
    async with talk.dialogue.turn(talk.user):
        taking = take(talk)
        await tickets(talk, 2)
        own = await talk.stage.request(talk.user)  # as action_handoff does, in the bot's turn
    assert (await taking).id == own.id
    assert await told(talk) == ([], 0)


@pytest.mark.parametrize(
    ("answer", "status"), [(None, Status.QUEUED), (Unavailable("desk", "open a chat"), Status.CLOSED)]
)
async def test_where_the_user_asks_already_it_says_what_came_of_that(
    talk: Talk, answer: Exception | None, status: Status
) -> None:
    await talk.say("hello")
    there = Answer(talk.stage)
    async with talk.dialogue.turn(talk.user):
        own = asyncio.create_task(talk.stage.request(talk.user))
        await there.asked.wait()
        taking = take(talk)
        await has_looked(talk, taking)
        done, _ = await asyncio.wait({taking}, timeout=0.2)
        assert not done
        there.give(answer)
        found = await taking
    assert (found.id, found.status) == ((await own).id, status)
    assert await told(talk) == ([], 0)


async def test_two_at_once_are_one(talk: Talk) -> None:
    await talk.say("hello")
    first, second = await asyncio.gather(take(talk), take(talk))
    assert first.id == second.id
    assert await told(talk) == (["utter_handoff_taken_over"], 1)


async def test_who_hangs_up_meanwhile_leaves_nobody_in_the_dark(talk: Talk) -> None:
    await talk.say("hello")
    there = Answer(talk.stage)
    taking = take(talk)
    await there.asked.wait()
    taking.cancel()
    with suppress(asyncio.CancelledError):
        await taking
    there.give()

    async def queued() -> bool:
        handoff = await talk.stage.handoff(talk.user)
        return handoff is not None and handoff.status is Status.QUEUED

    await talk.stage.until(queued)
    assert await told(talk) == (["utter_handoff_taken_over"], 1)


async def test_an_agent_who_takes_it_at_once_is_told_of_in_the_same_words(talk: Talk) -> None:
    await talk.say("hello")
    bo = Person(name="Bo")
    talk.stage.agents.answer = lambda handoff: Opened(chat_id=handoff.id, status=Status.ACTIVE, agent=bo)
    assert (await take(talk)).agent == bo
    assert await told(talk) == (["utter_handoff_taken_over"], 1)


async def test_who_has_been_handed_over_for_good_hears_nothing(talk: Talk) -> None:
    await talk.say("hello")
    talk.stage.agents.answer = lambda handoff: Opened(chat_id="c1", status=Status.CLOSED)
    assert (await take(talk)).end_reason is EndReason.HANDED_OVER
    await talk.stage.until(lambda: talk.stage.kinds_to_user() == ["state", "settle"])


async def test_a_user_who_hears_and_cannot_read_stays_with_the_bot(talk: Talk) -> None:
    await talk.say("hello")
    talk.stage.runtime.opening.spoken = {"rest"}
    handoff = await take(talk)
    assert (handoff.status, handoff.end_reason) == (Status.CLOSED, EndReason.UNAVAILABLE)
    assert talk.stage.agents.opened == []
    assert await told(talk) == ([], 0)


async def test_what_is_to_be_hidden_is_hidden(talk: Talk) -> None:
    await talk.say(f"my card is {NUMBER}", metadata={"card": NUMBER})
    await take(talk)
    [(_, request)] = talk.stage.agents.opened
    assert NUMBER not in str(request)
    assert [line.text for line in request.transcript if line.who == "user"] == ["my card is [redacted]"]
    assert request.last_message == "my card is [redacted]"


async def test_a_conversation_that_the_bot_does_not_have_is_nobodys(talk: Talk) -> None:
    with pytest.raises(UnknownChat):
        await take(talk)
    assert await talk.stage.handoff(talk.user) is None
    await talk.say("hello")  # and the conversation is not locked


async def test_what_a_program_wrote_last_does_not_hide_the_users_channel(talk: Talk) -> None:
    await talk.say("hello")
    tracker = await talk.tracker()
    tracker.update_with_events([UserUttered(text="from a program")], talk.agent.domain)
    await talk.agent.tracker_store.save(tracker)
    assert (await take(talk)).channel == "rest"


async def test_where_the_database_goes_away_it_is_not_said_to_be_open(talk: Talk, new_database: str) -> None:
    await talk.say("hello")
    there = Answer(talk.stage)
    taking = take(talk)
    await there.asked.wait()
    with nobody_let_in(new_database):
        hang_up(new_database)
        there.give(Unavailable("desk", "open a chat"))
        with pytest.raises(StoreError):
            await taking


async def test_where_another_server_asks_it_says_what_came_of_that(talk: Talk, new_database: str) -> None:
    await talk.say("hello")
    other = Stage(new_database, talk.stage.folder, talk.stage.now)
    await other.up()
    there = Answer(other)
    own = asyncio.create_task(other.request(talk.user))
    await there.asked.wait()
    taking = take(talk)
    done, _ = await asyncio.wait({taking}, timeout=0.3)
    assert not done
    there.give()
    assert ((await taking).id, (await taking).status) == ((await own).id, Status.QUEUED)
    assert await other.notices() == []
    await other.down()
