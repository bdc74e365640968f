"""What a bot owner decides about live agents, whatever their system: hours, routes, transcripts, names and faces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from rasa_handoff.backends.base import Opened
from rasa_handoff.errors import ConfigError, Unavailable
from rasa_handoff.events import AgentJoined, AgentMessage
from rasa_handoff.faces import Faces
from rasa_handoff.hours import read_hours
from rasa_handoff.model import EndReason, Handoff, Line, Person, Request, Status
from rasa_handoff.store import handoffs, messages
from tests.stage import Stage, Time
from tests.web_stage import Web, open_web, token_of

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = "Mon-Fri 09:00-17:00 Europe/Berlin"
SAID = {"transcript": (Line(who="user", text="my bike is broken", at=1.0),), "last_message": "a person please"}

Open = Callable[..., Awaitable[Stage]]


@pytest_asyncio.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Gives a stage with these settings, at this time in Berlin; 2026-11-16 is a Monday."""
    async with AsyncExitStack() as exits:

        async def open_(at: str = "2026-11-16 12:00", **section: Any) -> Stage:
            time = Time()
            time.advance(berlin(at).timestamp() - time())
            stage = Stage(f"sqlite:///{tmp_path}/handoff.db", tmp_path, time, **section)
            await stage.up()
            exits.push_async_callback(stage.down)
            return stage

        yield open_


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def office(**more: Any) -> list[dict[str, Any]]:
    return [{"to": "desk", "hours": OFFICE, **more}]


class TestHours:
    async def test_inside_hours_somebody_is_asked(self, opened: Open) -> None:
        stage = await opened("2026-11-16 09:00", route=office())
        assert (await stage.request()).status is Status.QUEUED

    @pytest.mark.parametrize(
        ("now", "opens"),
        [
            ("2026-11-16 08:59", "2026-11-16T09:00+01:00"),
            ("2026-11-16 17:00", "2026-11-17T09:00+01:00"),
            ("2026-11-20 18:00", "2026-11-23T09:00+01:00"),
            ("2026-12-24 18:00", "2026-12-28T09:00+01:00"),
            ("2026-03-27 18:00", "2026-03-30T09:00+02:00"),
        ],
    )
    async def test_outside_hours_the_bot_stays_and_knows_when_they_open(
        self, opened: Open, now: str, opens: str
    ) -> None:
        stage = await opened(now, route=office(), holidays=["2026-12-25"])
        handoff = await stage.request()
        assert (handoff.status, handoff.end_reason) == (Status.CLOSED, EndReason.UNAVAILABLE)
        assert handoff.notes["next_opening"] == opens
        assert stage.agents.opened == []
        assert await stage.say("hello?") is None

    async def test_what_the_user_was_told_is_true(self, opened: Open) -> None:
        stage = await opened("2026-11-20 18:00", route=office(), holidays=["2026-11-23"])
        told = datetime.fromisoformat((await stage.request()).notes["next_opening"])
        stage.pass_time(told.timestamp() - stage.now() - 1)
        assert (await stage.request()).status is Status.CLOSED
        stage.pass_time(1)
        assert (await stage.request()).status is Status.QUEUED

    async def test_the_first_of_those_that_fit_opens(self, opened: Open) -> None:
        route = [
            {"to": "desk", "group": "day", "hours": OFFICE},
            {"to": "desk", "group": "vip", "hours": "Sun 10:00-12:00 Europe/Berlin", "when": {"slots": {"vip": True}}},
            {"to": "desk", "group": "weekend", "hours": "Sat 10:00-12:00 Europe/London"},
        ]
        stage = await opened("2026-11-20 18:00", route=route)
        assert (await stage.request()).notes["next_opening"] == "2026-11-21T10:00+00:00"
        assert (await stage.request(parameters={"vip": True})).notes["next_opening"] == "2026-11-21T10:00+00:00"
        stage.pass_time(timedelta(days=1).total_seconds())
        assert (await stage.request(parameters={"vip": True})).notes["next_opening"] == "2026-11-22T10:00+01:00"

    async def test_when_nobody_is_there_in_their_hours_no_time_is_promised(self, opened: Open) -> None:
        stage = await opened(route=[*office(), {"to": "desk", "hours": "Sun 10:00-12:00 Europe/Berlin"}])
        stage.agents.answer = lambda handoff: Unavailable("desk", "open a chat")
        assert "next_opening" not in (await stage.request()).notes

    async def test_a_request_that_fits_no_rule_has_no_hours(self, opened: Open) -> None:
        stage = await opened("2026-11-20 18:00", route=office(when={"channels": ["slack"]}))
        handoff = await stage.request()
        assert (handoff.end_reason, handoff.notes) == (EndReason.UNAVAILABLE, {})

    @pytest.mark.parametrize(
        ("hours", "now", "opens"),
        [
            ("22:00-06:00 Europe/Berlin", "2026-11-16 12:00", "2026-11-16 22:00"),
            ("Mon 9:00-12:00,13:00-17:00 Europe/Berlin", "2026-11-16 12:30", "2026-11-16 13:00"),
            ("Mon 13:00-17:00; Mon 09:00-12:00 Europe/Berlin", "2026-11-16 07:00", "2026-11-16 09:00"),
            ("Mon 09:00-17:00 Europe/Berlin", "2026-11-16 09:00", "2026-11-23 09:00"),
        ],
    )
    def test_the_next_window_is_the_next_on_the_clock(self, hours: str, now: str, opens: str) -> None:
        assert read_hours(hours).next_opening(berlin(now).astimezone(timezone.utc)) == berlin(opens)

    def test_hours_that_holidays_swallow_never_open(self) -> None:
        first = berlin("2026-11-16 00:00").date()
        year = frozenset(first + timedelta(days=number) for number in range(400))
        assert read_hours("Mon 09:00-17:00 Europe/Berlin").next_opening(berlin("2026-11-16 12:00"), year) is None


class TestTransferRules:
    ROUTE = (
        {"to": "desk", "group": "billing", "priority": "high", "when": {"slots": {"topic": ["invoice", "refund"]}}},
        {"to": "desk", "group": "slack", "when": {"channels": ["slack"]}},
        {"to": "desk", "group": "everybody"},
    )

    @pytest.mark.parametrize(
        ("asked", "group", "priority"),
        [
            ({"parameters": {"topic": "Refund"}}, "billing", "high"),
            ({"parameters": {"topic": "bikes"}}, "everybody", None),
            ({"group": "mine", "priority": "low"}, "mine", "low"),
        ],
    )
    async def test_slots_and_the_bot_itself_decide_who_gets_it(
        self, opened: Open, asked: dict[str, Any], group: str, priority: str | None
    ) -> None:
        stage = await opened(route=list(self.ROUTE))
        handoff = await stage.request(**asked)
        ((_, request),) = stage.agents.opened
        assert (handoff.group, request.group, request.priority) == (group, group, priority)

    async def test_so_does_the_channel(self, opened: Open) -> None:
        stage = await opened(route=list(self.ROUTE))
        handoff = await stage.runtime.opening.request(Request(sender_id="ann", channel="slack"))
        assert handoff.group == "slack"

    async def test_when_the_first_has_nobody_the_next_is_asked(self, opened: Open) -> None:
        stage = await opened(route=list(self.ROUTE))
        stage.agents.answer = only("everybody")
        handoff = await stage.request(parameters={"topic": "refund"})
        assert [asked.group for _, asked in stage.agents.opened] == ["billing", "everybody"]
        assert (handoff.status, handoff.group) == (Status.QUEUED, "everybody")


def only(group: str) -> Callable[[Handoff], Any]:
    """An agent system where somebody is there for this group alone."""

    def answer(handoff: Handoff) -> Any:
        return Opened(chat_id=handoff.id) if handoff.group == group else Unavailable("desk", "open a chat")

    return answer


class TestTranscript:
    async def test_it_goes_along_unless_told_otherwise(self, opened: Open) -> None:
        stage = await opened()
        handoff = await stage.request(**SAID, parameters={"topic": "bike"})
        assert (await kept(stage, handoff)).transcript == SAID["transcript"]
        assert stage.agents.opened[0][1].last_message == "a person please"

    async def test_without_it_the_agents_get_the_parameters_alone(self, opened: Open) -> None:
        stage = await opened(transcript=False)
        handoff = await stage.request(**SAID, parameters={"topic": "bike"})
        for request in (stage.agents.opened[0][1], await kept(stage, handoff)):
            assert (request.transcript, request.last_message) == ((), None)
            assert request.parameters == {"topic": "bike"}

    async def test_a_rule_can_say_it_for_its_agents(self, opened: Open) -> None:
        stage = await opened(
            transcript=False,
            route=[{"to": "desk", "group": "a", "transcript": True}, {"to": "desk", "group": "b"}],
        )
        stage.agents.answer = only("b")
        handoff = await stage.request(**SAID)
        assert [bool(asked.transcript) for _, asked in stage.agents.opened] == [True, False]
        assert (await kept(stage, handoff)).transcript == ()

    async def test_who_comes_second_may_get_what_the_first_may_not(self, opened: Open) -> None:
        stage = await opened(
            route=[{"to": "desk", "group": "a", "transcript": False}, {"to": "desk", "group": "b"}],
        )
        stage.agents.answer = only("b")
        handoff = await stage.request(**SAID)
        assert [bool(asked.transcript) for _, asked in stage.agents.opened] == [False, True]
        assert (await kept(stage, handoff)).transcript == SAID["transcript"]


async def kept(stage: Stage, handoff: Handoff) -> Request:
    """What the store has of the request, and so whoever asks later."""
    found = await stage.runtime.store.read(lambda tx: handoffs.request_of(tx, handoff.id))
    assert found is not None
    return found


PICTURE = "https://www.example.com/team.png"
ONE_FACE = {"show": "one", "name": "Our team", "avatar_url": PICTURE}


class TestFaces:
    async def test_by_default_users_see_who_it_is(self, tmp_path: Path) -> None:
        picture = "https://www.example.com/bo.png"
        agents = [{"name": "Bo", "token": token_of("Bo"), "avatar_url": picture}]
        async with open_web(f"sqlite:///{tmp_path}/h.db", tmp_path, backends={"desk": {"agents": agents}}) as web:
            seen = await everything_ann_sees(web)
        assert seen == {("Bo", picture)}

    async def test_who_has_no_picture_gets_the_one_for_all(self, tmp_path: Path) -> None:
        async with open_web(f"sqlite:///{tmp_path}/h.db", tmp_path, agents={"avatar_url": PICTURE}) as web:
            assert await everything_ann_sees(web) == {("Bo", PICTURE)}

    async def test_all_can_look_the_same(self, tmp_path: Path) -> None:
        async with open_web(f"sqlite:///{tmp_path}/h.db", tmp_path, agents=ONE_FACE) as web:
            assert await everything_ann_sees(web) == {("Our team", PICTURE)}

    async def test_the_store_the_console_and_operators_know_who_it_was(self, tmp_path: Path) -> None:
        async with open_web(f"sqlite:///{tmp_path}/h.db", tmp_path, agents=ONE_FACE) as web:
            bo = await web.agent_online()
            _, chat = await web.waiting_user()
            await bo.accept(chat)
            await bo.reply(chat, "Hello Ann")
            shown = await bo.look_at(chat)
            assert shown["chat"]["agent"]["name"] == "Bo"
            assert [line["name"] for line in shown["messages"]] == ["Bo"]
            assert [line.name for line in await web.runtime.store.read(lambda tx: messages.of(tx, chat))] == ["Bo"]
            (handoff,) = (await (await web.operator()).get("/handoffs")).json["handoffs"]
            assert (handoff["agent"]["name"], handoff["agent"]["shown_as"]) == ("Bo", "Our team")

    async def test_what_the_bot_says_of_an_agent_is_what_the_user_sees(self, opened: Open) -> None:
        stage = await opened()
        handoff = await stage.request()
        await stage.happen(AgentJoined(chat_id=handoff.id, agent=Person(name="Bo", id="bo")))
        await stage.happen(AgentMessage(chat_id=handoff.id, text="Hi"))
        await stage.until(lambda: "message" in stage.kinds_to_user())
        faces = Faces(name="Our team", avatar_url=PICTURE, same_for_all=True)
        shown = [faces.in_delivery(delivery) for _, delivery in stage.to_user]
        assert "Bo" not in str([(each.message, each.body) for each in shown])
        (notice,) = [each for each in shown if each.kind == "notice"]
        assert notice.body["values"]["agent_name"] == "Our team"

    def test_nobodys_name_is_made_up_where_there_is_none(self) -> None:
        assert Faces().of(Person(name="")).name == ""
        assert Faces(name="Our team").of(Person(name="")).name == "Our team"

    @pytest.mark.parametrize(
        ("agents", "fault"),
        [
            ({"show": "none"}, "agents.show: must be own"),
            ({"show": "one"}, "agents.name: is missing"),
            ({"show": "one", "name": " "}, "agents.name: is missing"),
            ({"avatar_url": "http://www.example.com/a.png"}, "agents.avatar_url: must be an https:// address"),
            ({"avatar_url": "https:// x"}, "agents.avatar_url: must be an https:// address"),
            ({"picture": "x"}, "agents.picture: there is no such setting"),
        ],
    )
    async def test_wrong_settings_are_named(self, opened: Open, agents: dict[str, str], fault: str) -> None:
        with pytest.raises(ConfigError) as caught:
            await opened(agents=agents)
        assert [each for each in caught.value.faults if each.startswith(fault)], caught.value.faults

    async def test_so_is_the_wrong_picture_of_an_agent(self, tmp_path: Path) -> None:
        agents = [{"name": "Bo", "token": token_of("Bo"), "avatar_url": "bo.png"}]
        with pytest.raises(ConfigError, match=r"backends\.desk\.agents\[0\]\.avatar_url: must be an https"):
            Web("sqlite:///h.db", tmp_path, backends={"desk": {"agents": agents}})


async def everything_ann_sees(web: Web) -> set[tuple[str, str | None]]:
    """Each name and picture of an agent that reaches the user's page."""
    bo = await web.agent_online()
    ann, chat = await web.waiting_user()
    page = await ann.comes()
    await bo.accept(chat)
    await bo.types(chat)
    await bo.reply(chat, "Hello Ann")
    said = await page.until(lambda event: event.data.get("text") == "Hello Ann")
    typing = next(event for event in page.seen if event.name == "typing")
    joined = next(event for event in page.seen if event.data.get("agent"))
    greeting = await (await ann.comes()).next("hello")
    people = [joined.data["agent"], greeting.data["handoff"]["agent"], said.data]
    assert typing.data["name"] == said.data["name"]
    return {(each["name"], each.get("avatar_url")) for each in people}
