"""An agent takes back what they wrote: what has not gone out never does, and of that nothing is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rasa_handoff.errors import Conflict, TemporaryError, UserAway, UserUnreachable
from rasa_handoff.events import AgentJoined, AgentMessage, MessageTakenBack
from rasa_handoff.model import Delivery, Handoff, Person
from rasa_handoff.store import deliveries, messages
from rasa_handoff.store.peers import Among
from tests.stage import Stage, Time
from tests.test_outbox import are_waiting

BO = Person(name="Bo", id="bo")
FOREVER = 100


class SlowStage(Stage):
    """Its user's channel takes a message only when the test lets it."""

    def __init__(self, database: str, folder: Path) -> None:
        super().__init__(database, folder, Time())
        self.slow = False
        self.on_its_way: list[asyncio.Future[None]] = []

    async def _to_user(self, handoff: Handoff, delivery: Delivery) -> None:
        if self.slow and delivery.message:
            self.on_its_way.append(asyncio.get_running_loop().create_future())
            await self.on_its_way[-1]
        await super()._to_user(handoff, delivery)


@pytest_asyncio.fixture
async def stage(database: str, tmp_path: Path) -> AsyncIterator[SlowStage]:
    stage = SlowStage(database, tmp_path)
    await stage.up()
    yield stage
    await stage.down()


async def talking(stage: Stage, *, away: bool = True) -> Handoff:
    """A user with an agent, whom no message reaches while they are away."""
    handoff = await stage.request()
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await stage.until(lambda: stage.kinds_to_user()[-1:] == ["notice"])
    stage.user_trouble = [UserAway("the user is not there") for _ in range(FOREVER if away else 0)]
    return handoff


async def says(stage: Stage, handoff: Handoff, text: str) -> str:
    """The agent writes; what their side calls it."""
    event_id = f"id of {text}"
    await stage.happen(AgentMessage(chat_id=handoff.id, event_id=event_id, agent=BO, text=text))
    return event_id


async def takes_back(stage: Stage, handoff: Handoff, message_id: str, instead: str | None = None) -> None:
    event_id = f"{message_id} back"
    await stage.happen(MessageTakenBack(chat_id=handoff.id, event_id=event_id, message_id=message_id, instead=instead))


def heard(stage: Stage) -> list[str]:
    return [delivery.message.text for _, delivery in stage.to_user if delivery.message]


async def waiting(stage: Stage, handoff: Handoff) -> list[Delivery]:
    found = await stage.runtime.store.read(lambda tx: deliveries.pending_of(tx, handoff.id))
    return [each for each in found if each.kind == "message"]


async def until_it_waits(stage: Stage, handoff: Handoff) -> None:
    """Until the first message has been tried in vain so often that it waits a minute for its next time."""

    async def waits() -> bool:
        first, *_ = await waiting(stage, handoff)
        if first.attempts < 8 and are_waiting(stage):
            stage.pass_time(40.0)
        return first.attempts >= 8 and are_waiting(stage)

    await stage.until(waits)


async def user_comes(stage: Stage, handoff: Handoff) -> None:
    stage.user_trouble = []
    current = await stage.handoff()
    assert current is not None
    stage.runtime.outbox.nudge(current)


async def test_what_waits_for_the_user_never_comes_and_what_is_behind_it_does(stage: Stage) -> None:
    handoff = await talking(stage)
    wrong = await says(stage, handoff, "at nin")
    await until_it_waits(stage, handoff)
    await says(stage, handoff, "at nine")
    await takes_back(stage, handoff, wrong, instead="(A message was taken back.)")
    assert [each.message.text for each in await waiting(stage, handoff) if each.message] == ["at nine"]
    await user_comes(stage, handoff)
    await stage.until(lambda: heard(stage))
    assert heard(stage) == ["at nine"]


async def test_what_waits_behind_another_one_can_be_taken_back_too(stage: Stage) -> None:
    handoff = await talking(stage)
    await says(stage, handoff, "one")
    await until_it_waits(stage, handoff)
    two, _ = await says(stage, handoff, "two"), await says(stage, handoff, "three")
    await stage.runtime.store.told()  # they stand in line behind the first
    await takes_back(stage, handoff, two)
    await user_comes(stage, handoff)
    await stage.until(lambda: heard(stage)[-1:] == ["three"])
    assert heard(stage) == ["one", "three"]


async def test_a_server_that_hears_late_of_what_was_written_does_not_send_what_was_taken_back(
    new_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = SlowStage(new_database, tmp_path)
    await stage.up()
    handoff = await talking(stage)
    await says(stage, handoff, "one")
    await until_it_waits(stage, handoff)
    in_time, on_its_way = Among._facts_in, asyncio.Event()

    async def late(peers: Among, note: str) -> list[Any]:
        await on_its_way.wait()
        return await in_time(peers, note)

    monkeypatch.setattr(Among, "_facts_in", late)
    await takes_back(stage, handoff, await says(stage, handoff, "two"))
    await user_comes(stage, handoff)
    await stage.until(lambda: heard(stage) == ["one"] and not stage.runtime.outbox._lanes)
    on_its_way.set()
    await says(stage, handoff, "three")
    await stage.until(lambda: heard(stage)[-1:] == ["three"])
    assert heard(stage) == ["one", "three"]
    await stage.down()


async def test_it_is_nowhere_in_what_was_said(stage: Stage) -> None:
    handoff = await talking(stage)
    wrong = await says(stage, handoff, "at nin")
    await until_it_waits(stage, handoff)
    await takes_back(stage, handoff, wrong)
    assert await stage.runtime.store.read(lambda tx: messages.of(tx, handoff.id)) == []


async def test_who_has_got_it_reads_that_it_was_taken_back_once(stage: Stage) -> None:
    handoff = await talking(stage, away=False)
    wrong = await says(stage, handoff, "at nin")
    await stage.until(lambda: heard(stage) == ["at nin"])
    for _ in range(2):
        await takes_back(stage, handoff, wrong, instead="(A message was taken back.)")
    await says(stage, handoff, "at nine")
    await stage.until(lambda: heard(stage)[-1:] == ["at nine"])
    assert heard(stage) == ["at nin", "(A message was taken back.)", "at nine"]


async def test_where_nothing_is_to_be_said_instead_it_cannot_be_taken_back_any_more(stage: Stage) -> None:
    handoff = await talking(stage, away=False)
    said = await says(stage, handoff, "at nine")
    await stage.until(lambda: heard(stage) == ["at nine"])
    for unknown in (said, "of nobody"):
        with pytest.raises(Conflict) as refused:
            await takes_back(stage, handoff, unknown)
        assert refused.value.code == "delivered"
    await takes_back(stage, handoff, said, instead="")
    assert heard(stage) == ["at nine"]


async def test_what_is_on_its_way_counts_as_delivered(stage: SlowStage) -> None:
    handoff = await talking(stage, away=False)
    stage.user_trouble = [TemporaryError("telegram", "say", 502)]
    stage.slow = True
    said = await says(stage, handoff, "at nine")
    for _ in range(2):  # the first time, and when it has waited
        await stage.until(lambda: stage.on_its_way)
        with pytest.raises(Conflict) as refused:
            await takes_back(stage, handoff, said)
        assert refused.value.code == "delivered"
        stage.on_its_way.pop().set_result(None)
    await stage.until(lambda: heard(stage) == ["at nine"])


async def test_what_could_never_be_delivered_stays_so(stage: Stage) -> None:
    handoff = await talking(stage, away=False)
    stage.user_trouble = [UserUnreachable("blocked")]
    said = await says(stage, handoff, "at nin")

    async def is_dead() -> bool:
        return bool((await stage.runtime.store.read(deliveries.counts)).get("dead"))

    await stage.until(is_dead)
    await takes_back(stage, handoff, said)
    assert not (await stage.runtime.store.read(deliveries.counts)).get("dead")


async def test_a_restart_in_between_changes_nothing(stage: Stage) -> None:
    handoff = await talking(stage)
    await says(stage, handoff, "one")
    await until_it_waits(stage, handoff)
    two = await says(stage, handoff, "two")
    await stage.down()
    await stage.up()
    await until_it_waits(stage, handoff)
    await takes_back(stage, handoff, two)
    await user_comes(stage, handoff)
    await stage.until(lambda: heard(stage))
    assert heard(stage) == ["one"]
