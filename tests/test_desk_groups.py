"""Groups at the desk: who sees, accepts and is asked for which chats, and in which order they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rasa_handoff.backends import settings_models
from rasa_handoff.desk.groups import Groups, is_same_group
from rasa_handoff.errors import ConfigError
from rasa_handoff.settings import read_section
from tests.web_stage import Agent, Answer, Web, open_web, token_of

STAFF = {"Bo": ["billing"], "Cleo": ["Returns"], "Dörte Müller": []}


def named(name: str, *groups: str) -> dict[str, Any]:
    """An agent of the settings."""
    return {"name": name, "token": token_of(name), "groups": list(groups)}


def backends(staff: dict[str, list[str]]) -> dict[str, Any]:
    return {"desk": {"agents": [named(name, *groups) for name, groups in staff.items()]}}


@pytest_asyncio.fixture
async def grouped(tmp_path: Path) -> AsyncIterator[Web]:
    """Bo takes billing, Cleo returns, and Dörte everything."""
    async with open_web(f"sqlite:///{tmp_path}/handoff.db", tmp_path, backends=backends(STAFF)) as web:
        yield web


@pytest_asyncio.fixture
async def grouped_on_each(database: str, tmp_path: Path) -> AsyncIterator[Web]:
    async with open_web(database, tmp_path, backends=backends(STAFF)) as web:
        yield web


async def waiting_at(agent: Agent) -> list[str]:
    return [each["id"] for each in (await agent.chats())["waiting"]]


async def give_back(agent: Agent, chat: str, group: str) -> Answer:
    return await agent.post(f"/desk/api/chats/{chat}/transfer", {"agent_id": None, "group": group})


class TestSettings:
    """What the section in credentials.yml may say."""

    def faults(self, staff: dict[str, list[str]], *route: dict[str, Any]) -> list[str]:
        section = {"backends": backends(staff), **({"route": list(route)} if route else {})}
        try:
            read_section(section, settings_models())
        except ConfigError as error:
            return error.faults
        return []

    @pytest.mark.parametrize("group", ["billing", "BILLING", " Billing ", "returns"])
    def test_a_rule_may_name_an_agents_group(self, group: str) -> None:
        assert self.faults({"Bo": ["billing"], "Cleo": ["Returns"]}, {"to": "desk", "group": group}) == []

    def test_a_rule_whose_chats_nobody_would_take_is_a_fault(self) -> None:
        assert self.faults({"Bo": ["billing"]}, {"to": "desk"}, {"to": "desk", "group": "biling"}) == [
            "route[1].group: no agent of the desk is in this group, and none takes everything; did you mean `billing`?"
        ]

    def test_who_takes_everything_takes_any_group(self) -> None:
        assert self.faults(STAFF, {"to": "desk", "group": "complaints"}) == []

    def test_without_agents_in_the_settings_there_is_one_who_takes_everything(self) -> None:
        assert self.faults({}, {"to": "desk", "group": "complaints"}) == []

    def test_a_group_has_a_name(self) -> None:
        (fault,) = self.faults({"Bo": ["billing", " "]})
        assert fault.startswith("backends.desk.agents[0].groups[1]: is empty; write a name such as billing")

    def test_a_number_is_a_name(self) -> None:
        section = {"backends": {"desk": {"agents": [{**named("Bo"), "groups": [14343]}]}}}
        desk = read_section(section, settings_models()).backends["desk"]
        assert desk.agents[0].groups == ["14343"]  # type: ignore[union-attr]


class TestGroups:
    groups = Groups({"bo": ["Billing", "billing", "Straße"], "cleo": ["returns"], "ada": []})

    def test_capitals_do_not_matter(self) -> None:
        assert self.groups.takes("bo", "BILLING")
        assert self.groups.takes("bo", "STRASSE")
        assert is_same_group("Returns", " returns")
        assert not is_same_group("returns", None)

    def test_are_called_what_the_settings_call_them_first(self) -> None:
        assert self.groups.of("bo") == ["Billing", "Straße"]
        assert self.groups.name("BILLING") == "Billing"
        assert self.groups.name("shipping") == "shipping"
        assert self.groups.name("") is None

    @pytest.mark.parametrize("group", ["billing", "returns", "shipping", None, ""])
    def test_who_has_none_takes_everything(self, group: str | None) -> None:
        assert self.groups.takes("ada", group)

    def test_whoever_is_not_at_the_desk_takes_nothing(self) -> None:
        assert not self.groups.takes("eve", None)

    def test_a_chat_of_nobodys_group_is_everybodys(self) -> None:
        groups = Groups({"bo": ["billing"], "cleo": ["returns"]})
        assert not groups.takes("bo", "shipping")
        assert groups.may_accept("bo", "shipping")
        assert not groups.may_accept("bo", "returns")


class TestAvailability:
    async def test_nobody_of_the_group_online_means_unavailable(self, grouped_on_each: Web) -> None:
        web = grouped_on_each
        await web.agent_online("Cleo")
        assert (await web.open("ann", group="billing"))["end_reason"] == "unavailable"
        assert (await web.open("ann", group="returns"))["status"] == "queued"

    async def test_who_takes_everything_is_there_for_every_group(self, grouped: Web) -> None:
        await grouped.agent_online("Dörte Müller")
        assert (await grouped.open("ann", group="billing"))["status"] == "queued"

    async def test_for_a_chat_without_a_group_anybody_is_enough(self, grouped: Web) -> None:
        await grouped.agent_online("Cleo")
        assert (await grouped.open("ann"))["status"] == "queued"

    async def test_the_next_rule_is_tried(self, tmp_path: Path) -> None:
        route = [{"to": "desk", "group": "billing"}, {"to": "desk", "group": "returns"}]
        async with open_web(f"sqlite:///{tmp_path}/handoff.db", tmp_path, backends=backends(STAFF), route=route) as web:
            await web.agent_online("Cleo")
            handoff = await web.open("ann")
            assert (handoff["status"], handoff["group"]) == ("queued", "returns")


class TestTheQueue:
    async def test_an_agent_sees_who_waits_for_them(self, grouped_on_each: Web) -> None:
        web = grouped_on_each
        bo, cleo, doerte = [await web.agent_online(name) for name in STAFF]
        chats = {group: (await web.waiting_user(group=group))[1] for group in ("Billing", "returns", None)}
        assert await waiting_at(bo) == [chats["Billing"], chats[None]]
        assert await waiting_at(cleo) == [chats["returns"], chats[None]]
        assert await waiting_at(doerte) == list(chats.values())

    async def test_a_group_is_spelt_as_in_the_settings(self, grouped: Web) -> None:
        cleo = await grouped.agent_online("Cleo")
        await grouped.waiting_user(group="RETURNS")
        assert [each["group"] for each in (await cleo.chats())["waiting"]] == ["Returns"]

    async def test_a_place_counts_those_who_wait_for_the_same_group(self, grouped_on_each: Web) -> None:
        web = grouped_on_each
        bo = await web.agent_online("Bo")
        await web.agent_online("Cleo")
        handoffs = [await web.open(f"u{at}", group=group) for at, group in enumerate(["billing", "returns", "BILLING"])]
        assert [each["queue_position"] for each in handoffs] == [1, 1, 2]
        await bo.accept(handoffs[0]["id"])
        known = (await (await web.operator()).get("/handoffs?sender_id=u2")).json["handoff"]
        assert known["queue_position"] == 1

    async def test_requests_to_call_back_go_to_the_group(self, grouped_on_each: Web) -> None:
        web = grouped_on_each
        bo, cleo = await web.agent("Bo"), await web.agent("Cleo")
        operator = await web.operator()
        body = {"sender_id": "ann", "channel": "handoff", "callback": {"phone": "0151 2345678"}, "group": "billing"}
        left = (await operator.post("/callbacks", body)).json["handoff"]

        async def is_there() -> bool:
            return await waiting_at(bo) == [left["id"]]

        await web.until(is_there)
        assert await waiting_at(cleo) == []
        assert (await cleo.accept(left["id"])).code == "not_your_group"
        assert (await bo.accept(left["id"])).status == 200

    async def test_what_waits_for_a_group_that_is_nobodys_any_more_is_everybodys(self, grouped: Web) -> None:
        bo, cleo = await grouped.agent_online("Bo"), await grouped.agent_online("Cleo")
        _, chat = await grouped.waiting_user(group="billing")
        grouped.desk.staff.groups = Groups({"bo": ["invoices"], "cleo": ["returns"]})
        assert (await waiting_at(bo), await waiting_at(cleo)) == ([chat], [chat])
        assert (await cleo.accept(chat)).status == 200

    async def test_high_priority_goes_first_and_low_last(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        users = {"low": "low", "none": None, "other": "vip", "high": "High"}
        handoffs = {user: await web.open(user, priority=priority) for user, priority in users.items()}
        assert [each["user"] for each in (await bo.chats())["waiting"]] == ["high", "none", "other", "low"]
        assert [each["queue_position"] for each in handoffs.values()] == [1, 1, 2, 1]

    async def test_who_is_overtaken_hears_it(self, web: Web) -> None:
        await web.agent_online()
        await web.open("ann")
        await web.open("ben", priority="high")
        known = (await (await web.operator()).get("/handoffs?sender_id=ann")).json["handoff"]
        assert known["queue_position"] == 2


class TestAccepting:
    async def test_a_chat_of_another_group_is_refused(self, grouped_on_each: Web) -> None:
        web = grouped_on_each
        bo, cleo, doerte = [await web.agent_online(name) for name in STAFF]
        _, chat = await web.waiting_user(group="billing")
        refused = await cleo.accept(chat)
        assert (refused.status, refused.code) == (409, "not_your_group")
        assert (await bo.accept(chat)).status == 200
        _, another = await web.waiting_user(group="billing")
        assert (await doerte.accept(another)).status == 200

    async def test_taking_over_is_for_the_group_too(self, grouped: Web) -> None:
        bo, cleo, doerte = [await grouped.agent_online(name) for name in STAFF]
        _, chat = await grouped.waiting_user(group="billing")
        await bo.accept(chat)
        await bo.choose("away")
        assert (await cleo.accept(chat)).code == "not_your_group"
        assert (await doerte.accept(chat)).json["chat"]["agent"]["name"] == "Dörte Müller"


class TestTransferring:
    async def test_to_an_agent_of_any_group(self, grouped: Web) -> None:
        bo, cleo = await grouped.agent_online("Bo"), await grouped.agent_online("Cleo")
        _, chat = await grouped.waiting_user(group="billing")
        await bo.accept(chat)
        assert (await bo.transfer(chat, "cleo")).json["chat"]["agent"]["name"] == "Cleo"
        assert (await cleo.accept(chat)).status == 200
        assert (await cleo.reply(chat, "Hello, I am Cleo")).status == 201

    async def test_back_to_the_queue_of_a_group(self, grouped_on_each: Web) -> None:
        web = grouped_on_each
        bo, cleo = await web.agent_online("Bo"), await web.agent_online("Cleo")
        ann, chat = await web.waiting_user(group="billing")
        await bo.accept(chat)
        answer = await give_back(bo, chat, "RETURNS")
        assert (answer.status, answer.json["chat"]["state"], answer.json["chat"]["group"]) == (
            200,
            "waiting",
            "Returns",
        )
        assert (await waiting_at(bo), await waiting_at(cleo)) == ([], [chat])
        known = (await (await web.operator()).get(f"/handoffs?sender_id={ann.sender}")).json["handoff"]
        assert (known["status"], known["group"], known["queue_position"]) == ("queued", "Returns", 1)

    async def test_without_a_group_it_is_back_where_it_came_from(self, grouped: Web) -> None:
        bo = await grouped.agent_online("Bo")
        _, chat = await grouped.waiting_user(group="billing")
        await bo.accept(chat)
        assert (await bo.transfer(chat, None)).json["chat"]["group"] == "billing"
        assert await waiting_at(bo) == [chat]

    async def test_to_a_group_that_is_nobodys_is_refused(self, tmp_path: Path) -> None:
        only = backends({"Bo": ["billing"]})
        async with open_web(f"sqlite:///{tmp_path}/handoff.db", tmp_path, backends=only) as web:
            bo = await web.agent_online("Bo")
            _, chat = await web.waiting_user()
            await bo.accept(chat)
            refused = await give_back(bo, chat, "shipping")
            assert (refused.status, refused.code) == (409, "no_such_group")
            assert (await bo.look_at(chat))["chat"]["agent"]["name"] == "Bo"

    @pytest.mark.parametrize(
        "body",
        [
            {"agent_id": None, "group": 5},
            {"agent_id": None, "group": "x" * 201},
            {"agent_id": "cleo", "group": "returns"},
            {"group": "returns"},
        ],
    )
    async def test_what_makes_no_sense_is_refused(self, grouped: Web, body: object) -> None:
        bo = await grouped.agent_online("Bo")
        await grouped.agent_online("Cleo")
        _, chat = await grouped.waiting_user()
        await bo.accept(chat)
        answer = await bo.post(f"/desk/api/chats/{chat}/transfer", body)
        assert (answer.status, answer.code) == (400, "malformed")


class TestStream:
    async def test_agents_hear_of_the_chats_that_they_may_accept(self, grouped_on_each: Web) -> None:
        web = grouped_on_each
        bo, cleo = await web.agent("Bo"), await web.agent("Cleo")
        _, hers = await bo.come(), await cleo.come()
        await web.waiting_user(group="billing")
        _, chat = await web.waiting_user(group="returns")
        assert (await hers.next("chat")).data["id"] == chat

    async def test_open_and_closed_ones_are_everybodys(self, grouped: Web) -> None:
        bo, cleo = await grouped.agent_online("Bo"), await grouped.agent("Cleo")
        page = await cleo.come()
        _, chat = await grouped.waiting_user(group="billing")
        await bo.accept(chat)
        await page.until(lambda event: event.name == "chat" and event.data["state"] == "open")
        await bo.close(chat)
        await page.until(lambda event: event.name == "chat" and event.data["state"] == "closed")
        assert [each["id"] for each in (await cleo.chats())["closed"]] == [chat]

    async def test_one_that_goes_back_to_another_groups_queue_is_gone(self, grouped: Web) -> None:
        bo, cleo = await grouped.agent_online("Bo"), await grouped.agent("Cleo")
        page = await cleo.come()
        _, chat = await grouped.waiting_user(group="billing")
        await bo.accept(chat)
        await page.until(lambda event: event.name == "chat" and event.data["state"] == "open")
        await bo.transfer(chat, None)
        assert (await page.next("gone")).data == {"chat_id": chat}
        assert all(event.data["state"] != "waiting" for event in page.seen if event.name == "chat")


async def test_agents_know_each_others_groups(grouped: Web) -> None:
    bo = await grouped.agent_online("Bo")
    assert (await bo.get("/desk/api/me")).json["agent"]["groups"] == ["billing"]
    agents = (await bo.get("/desk/api/agents")).json["agents"]
    assert {each["name"]: each["groups"] for each in agents} == STAFF
