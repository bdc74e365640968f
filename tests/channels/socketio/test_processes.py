"""Socket.IO at several servers: whoever has a page of the user's brings it what is said, whichever server says it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from rasa.core.agent import Agent
from rasa.core.channels.socketio import SocketIOInput

from rasa_handoff import outbox
from rasa_handoff.channels import socketio
from rasa_handoff.elsewhere import Asked
from rasa_handoff.outbox import Postponed
from tests.channels.line import Line
from tests.channels.socketio.page import Page, begin


class Beside(Line):
    """Another server; it shares this test's process and bot with the first, whose gate is enough."""

    def _stand_before_the_bot(self) -> None:
        """The first one does."""


@asynccontextmanager
async def server(kind: type[Line], database: str, folder: Path, agent: Agent) -> AsyncIterator[Line]:
    """A server with a channel of its own, on the common database."""
    folder.mkdir()
    line = kind(folder, SocketIOInput(session_persistence=True), agent, database=database)
    await line.up()
    try:
        yield line
    finally:
        await line.down()


@asynccontextmanager
async def tab(line: Line, user: str = "ann") -> AsyncIterator[Page]:
    page = Page(line.url)
    await page.come(user)
    try:
        yield page
    finally:
        await page.go()


@pytest_asyncio.fixture
async def one(new_database: str, tmp_path: Path, rasa_agent: Agent) -> AsyncIterator[Line]:
    """The server at which the handoffs are asked for, and which looks after them."""
    async with server(Line, new_database, tmp_path / "one", rasa_agent) as line:
        yield line


@pytest_asyncio.fixture
async def other(new_database: str, tmp_path: Path, rasa_agent: Agent, one: Line) -> AsyncIterator[Line]:
    async with server(Beside, new_database, tmp_path / "other", rasa_agent) as line:
        yield line


async def test_tabs_at_two_servers_both_get_what_an_agent_writes_once_and_in_order(one: Line, other: Line) -> None:
    async with tab(one) as here, tab(other) as there:
        handoff = await begin(one, here, there)
        words = [f"line {number}" for number in range(30)]
        for text in words:
            await one.reply(handoff, text)
        await one.until(lambda: here.texts() == there.texts() == words)


async def test_what_cannot_be_given_to_the_other_servers_now_comes_once_later(one: Line, other: Line) -> None:
    async with tab(one) as here, tab(other) as there:
        handoff = await begin(one, here, there)
        await one.runtime.store.write(lambda tx: tx.run("ALTER TABLE handoff_kept RENAME TO put_away", {}))
        await one.try_reply(handoff, "once")
        await one.runtime.store.write(lambda tx: tx.run("ALTER TABLE put_away RENAME TO handoff_kept", {}))
        await one.reply(handoff, "twice")
        await one.until(lambda: here.texts() == there.texts() == ["once", "twice"])


async def test_a_tab_at_a_server_that_is_slow_to_answer_gets_it_all_the_same(
    one: Line, other: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socketio, "_ANSWERS_WITHIN", 0.0)
    async with tab(one) as here, tab(other) as there:
        handoff = await begin(one, here, there)
        words = [f"line {number}" for number in range(20)]
        for text in words:
            await one.reply(handoff, text)
        await one.until(lambda: here.texts() == there.texts() == words)


async def test_a_tab_at_another_server_alone_gets_it_at_once(one: Line, other: Line) -> None:
    postponed: list[Postponed] = []
    async with tab(other) as there:
        handoff = await begin(one, there)
        one.runtime.store.subscribe(Postponed, postponed.append)
        words = [f"line {number}" for number in range(30)]
        for text in words:
            await one.reply(handoff, text)
        await one.until(lambda: there.texts() == words)
    assert len(postponed) < len(words) / 2  # not all: a server that stands still for seconds counts as gone meanwhile


async def test_typing_is_seen_in_every_tab(one: Line, other: Line) -> None:
    async with tab(one) as here, tab(other) as there:
        handoff = await one.hand_over("ann")
        await one.type(handoff)
        await one.until(lambda: here.said("handoff_typing") == there.said("handoff_typing") == [{"typing": True}])


async def test_the_bot_that_takes_over_again_speaks_in_every_tab(one: Line, other: Line) -> None:
    async with tab(one) as here, tab(other) as there:
        handoff = await begin(one, here, there)
        await one.close(handoff)
        said = await one.bot_said("ann")
        assert said
        await one.until(lambda: set(said) <= set(here.texts()))
        await one.until(lambda: there.texts() == here.texts())


async def test_the_bot_speaks_once_in_the_only_tab_which_is_at_another_server(one: Line, other: Line) -> None:
    async with tab(other) as there:
        handoff = await begin(one, there)
        await one.close(handoff)
        said = await one.bot_said("ann")
        assert said
        await one.until(lambda: there.texts() == said)
        await there.caught_up()
        assert there.texts() == said


async def test_what_nobody_hears_waits_until_a_tab_is_there_at_any_server(one: Line, other: Line) -> None:
    handoff = await one.hand_over("ann")
    await one.try_reply(handoff, "for Ann")
    async with tab(other, "bob") as bob, tab(other) as there:
        await one.until(lambda: "for Ann" in there.texts())
        await bob.caught_up()
        assert bob.said() == []
    await one.gone(handoff)


async def test_the_bot_does_not_speak_to_nobody(one: Line, other: Line) -> None:
    handoff = await one.hand_over("ann")
    async with tab(other):
        await one.gone(handoff)
    await one.until(lambda: not other.channel.sio.manager.rooms.get("/", {}).get("ann"))
    await one.try_to_close(handoff)
    assert await one.bot_said("ann") == []
    async with tab(one) as here:
        await one.gone(handoff)
        said = await one.bot_said("ann")
        assert said
        await one.until(lambda: here.texts() == said)


async def test_without_persistence_a_conversation_is_one_connection_which_no_other_server_has(
    one: Line, other: Line
) -> None:
    given: list[Asked] = []
    other.runtime.store.subscribe(Asked, given.append)
    one.channel.session_persistence = False
    async with tab(one) as here:
        handoff = await one.hand_over(here.connection)
        await one.reply(handoff, "Hi")
        await one.until(lambda: here.texts()[-1:] == ["Hi"])
    await other.runtime.store.told()
    assert given == []


async def test_nothing_of_what_was_said_is_left_behind_on_the_way(one: Line, other: Line) -> None:
    async with tab(one), tab(other) as there:
        handoff = await one.hand_over("ann")
        await one.reply(handoff, "for Ann")
        await one.until(lambda: "for Ann" in there.texts())

        async def nothing_left() -> bool:
            return not await one.runtime.store.read(lambda tx: tx.all("SELECT * FROM handoff_kept", {}))

        await one.until(nothing_left)


async def test_a_server_that_died_keeps_nobody_waiting(one: Line, other: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted for some seconds more, and answers nothing."""
    monkeypatch.setattr(socketio, "_ANSWERS_WITHIN", 600.0)  # longer than this test waits for anything
    async with tab(one) as here:
        handoff = await one.hand_over("ann")
        await one.gone(handoff)
        other.runtime.store._subscribers.clear()
        for number in range(5):
            await one.reply(handoff, f"line {number}")
        await one.until(lambda: here.texts()[-1:] == ["line 4"])


async def test_who_comes_while_a_server_that_died_is_asked_for_them_is_not_overlooked(
    one: Line, other: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_SCHEDULE", (600.0,))  # or it would come by itself
    monkeypatch.setattr(socketio, "_ANSWERS_WITHIN", 2.0)
    other.runtime.store._subscribers.clear()
    handoff = await one.hand_over("ann")

    async def is_asked() -> bool:
        return bool(one.runtime.elsewhere._questions or await one.tries(handoff))

    await one.until(is_asked)
    async with tab(one) as here:
        await one.until(lambda: here.texts() == ["Bo is here now."])
