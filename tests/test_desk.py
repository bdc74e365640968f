"""The desk as an agent system, without HTTP: what the switchboard asks of it, and who counts as there."""

from __future__ import annotations

import asyncio

import pytest

from rasa_handoff.backends.base import Opened
from rasa_handoff.desk.patience import WRONG_TRIES, Patience
from rasa_handoff.desk.presence import GRACE, Attendance
from rasa_handoff.desk.records import Agent
from rasa_handoff.desk.settings import DeskAgent
from rasa_handoff.desk.staff import Staff, agent_id
from rasa_handoff.errors import ChatGone
from rasa_handoff.events import Closed
from rasa_handoff.model import EndReason, Handoff, Message, Request, new_id
from rasa_handoff.store import handoffs
from rasa_handoff.web.answers import TooMany
from tests.stage import Time
from tests.web_stage import Web


async def handoff_of(web: Web, chat: str) -> Handoff:
    handoff = await web.runtime.store.read(lambda tx: handoffs.get(tx, chat))
    assert handoff is not None
    return handoff


class TestAsAgentSystem:
    async def test_opening_twice_makes_one_chat(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        handoff = await handoff_of(web, chat)
        again = await web.desk.open(handoff, Request(sender_id=handoff.sender_id, channel="handoff"))
        assert (again.chat_id, again.queue_position) == (chat, 1)
        assert len((await bo.chats())["waiting"]) == 1

    async def test_a_chat_whose_server_died_before_it_had_the_answer_waits_for_nobody(
        self, web_on_each: Web, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        web = web_on_each
        bo = await web.agent_online()
        real = web.desk.open

        async def opened_and_died(handoff: Handoff, request: Request) -> Opened:
            await real(handoff, request)
            return await asyncio.get_running_loop().create_future()

        monkeypatch.setattr(web.desk, "open", opened_and_died)
        asking = asyncio.create_task(web.open("ann"))

        async def is_in(name: str) -> bool:
            return [chat["user"] for chat in (await bo.chats())[name]] == ["ann"]

        await web.until(lambda: is_in("waiting"))
        await web.runtime.switchboard.recover()
        await web.until(lambda: is_in("closed"))
        asking.cancel()

    async def test_a_message_brought_twice_is_there_once(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        handoff = await handoff_of(web, chat)
        message = Message(id=new_id(), who="user", text="Hello", at=1.0)
        for _ in range(2):
            await web.desk.send(handoff, message)
        found = await bo.look_at(chat)
        assert [line["text"] for line in found["messages"]] == ["Hello"]
        assert found["chat"]["unanswered"] == 1

    async def test_messages_stand_in_the_order_in_which_they_came_whatever_the_servers_clocks_say(
        self, web_on_each: Web
    ) -> None:
        web = web_on_each
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        handoff = await handoff_of(web, chat)
        for text, at in (("first", 9.0), ("second", 8.0), ("third", 8.0)):
            await web.desk.send(handoff, Message(id=new_id(), who="user", text=text, at=at))
        assert [line["text"] for line in (await bo.look_at(chat))["messages"]] == ["first", "second", "third"]

    async def test_users_stand_in_the_order_in_which_they_came_whatever_the_servers_clocks_say(
        self, web_on_each: Web
    ) -> None:
        web = web_on_each
        bo = await web.agent_online()
        chats = [(await web.open("ann"))["id"]]
        later = "UPDATE handoff_desk_chats SET opened_at = opened_at + 60"
        await web.runtime.store.write(lambda tx: tx.run(later, {}))
        for name in ("ben", "cem"):
            handoff = await web.open(name)
            chats.append(handoff["id"])
            assert handoff["queue_position"] == len(chats)
        assert [each["id"] for each in (await bo.chats())["waiting"]] == chats

    async def test_a_closed_chat_is_gone(self, web_on_each: Web) -> None:
        web = web_on_each
        await web.agent_online()
        _, chat = await web.waiting_user()
        handoff = await handoff_of(web, chat)
        assert await web.desk.look(handoff) == []
        for _ in range(2):
            await web.desk.close(handoff, EndReason.USER_IDLE)
        assert await web.desk.look(handoff) == [Closed(chat_id=chat)]
        with pytest.raises(ChatGone):
            await web.desk.send(handoff, Message(id=new_id(), who="user", text="Hello?", at=1.0))

    @pytest.mark.parametrize(
        ("reason", "by"),
        [
            (EndReason.USER_LEFT, "user"),
            (EndReason.USER_IDLE, "user"),
            (EndReason.NOT_ACCEPTED, "system"),
            (EndReason.AGENT_SILENT, "system"),
            (EndReason.BOT_RESUMED, "system"),
        ],
    )
    async def test_an_end_says_whose_it_was(self, web: Web, reason: EndReason, by: str) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await web.desk.close(await handoff_of(web, chat), reason)
        end = (await bo.look_at(chat))["chat"]["end"]
        assert (end["reason"], end["by"]) == (reason.value, by)

    async def test_one_that_leaves_the_queue_moves_the_others_up(self, web: Web) -> None:
        await web.agent_online()
        first, _ = await web.waiting_user()
        _, second = await web.waiting_user()
        await first.leaves()
        await web.until(lambda: _is_next(web, second))

    async def test_what_is_known_of_a_page_is_forgotten_with_its_chat(self, web: Web) -> None:
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        page = await ann.comes()
        await web.until(lambda: web.desk.connected.get(chat))
        await bo.accept(chat)
        await bo.close(chat)
        await page.until(lambda event: event.name == "handoff" and event.data["status"] == "closed")
        await page.close()
        await web.until(lambda: chat not in web.desk.connected)

    async def test_a_restart_loses_nothing(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        await bo.reply(chat, "Hello Ann")
        await ann.says("Hello Bo")

        async def both_are_there() -> bool:
            return [line["state"] for line in (await bo.look_at(chat))["messages"]] == ["delivered"] * 2

        await web.until(both_are_there)
        before = await bo.look_at(chat)
        await web.restart()
        after = await bo.look_at(chat)
        assert after["chat"].pop("user_connected") is None  # nobody knows yet
        del before["chat"]["user_connected"]
        assert after == before
        assert (await bo.reply(chat, "Still here")).status == 201


async def _is_next(web: Web, chat: str) -> bool:
    return (await handoff_of(web, chat)).queue_position == 1


class TestIds:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("Bo", "bo"),
            ("Agent 1", "agent-1"),
            ("  Dörte  Müller ", "dörte-müller"),
            ("O'Neil/Sr.", "o-neil-sr"),
            ("★", "agent"),
        ],
    )
    def test_are_made_of_names(self, name: str, expected: str) -> None:
        assert agent_id(name) == expected

    def test_of_names_that_look_alike_are_different(self) -> None:
        agents = [DeskAgent(name=name, token=name * 20) for name in ("Anna B", "anna-b", "Bo", "★", "☆", "Anna B")]
        staff = Staff()
        staff.hire(agents)
        assert list(staff.members) == ["anna-b", "anna-b-2", "bo", "agent", "agent-2", "anna-b-3"]
        assert (staff.members["anna-b-2"].name, staff.members["anna-b-2"].token) == ("anna-b", "anna-b" * 20)


class TestAttendance:
    agent = Agent(id="bo", name="Bo", presence="online", seen_at=0.0, chats=0)
    away = Agent(id="bo", name="Bo", presence="away", seen_at=0.0, chats=0)

    def test_after_a_start_there_is_time_to_connect_again(self) -> None:
        time = Time()
        attendance = Attendance(time)
        assert attendance.is_there(self.agent)
        time.advance(GRACE + 1)
        assert not attendance.is_there(self.agent)

    def test_who_is_away_is_not_there_whatever_is_open(self) -> None:
        attendance = Attendance(Time())
        attendance.came("bo")
        assert not attendance.is_there(self.away)

    def test_counts_pages(self) -> None:
        time = Time()
        attendance = Attendance(time)
        attendance.came("bo")
        attendance.came("bo")
        time.advance(1000)
        attendance.went("bo")
        time.advance(GRACE + 1)
        assert attendance.is_there(self.agent)
        attendance.went("bo")
        assert attendance.is_there(self.agent)
        time.advance(GRACE + 1)
        assert not attendance.is_there(self.agent)


class TestPatience:
    def test_ends_for_the_address_that_tries(self) -> None:
        patience = Patience(Time())
        for _ in range(WRONG_TRIES):
            patience.require("1.1.1.1")
            patience.lose("1.1.1.1")
        with pytest.raises(TooMany):
            patience.require("1.1.1.1")
        patience.require("2.2.2.2")

    def test_comes_back_when_it_said(self) -> None:
        time = Time()
        patience = Patience(time)
        for _ in range(WRONG_TRIES):
            patience.lose("1.1.1.1")
            time.advance(1)
        with pytest.raises(TooMany) as refused:
            patience.require("1.1.1.1")
        time.advance(refused.value.retry_after)
        patience.require("1.1.1.1")

    def test_remembers_no_more_than_it_can_hold(self) -> None:
        patience = Patience(Time())
        for number in range(3000):
            patience.lose(f"address {number}")
        assert len(patience._wrong) == 1000
