"""A request to call back: left at any hour, kept until the agent system has it, and an agent's to see through."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rasa_handoff.backends.base import Backend
from rasa_handoff.errors import BackendError, Conflict, TemporaryError
from rasa_handoff.events import AgentMessage, Closed
from rasa_handoff.model import Delivery, EndReason, Handoff, Line, Request, Status, new_handoff_id
from rasa_handoff.store import deliveries, handoffs, retention
from tests.stage import Recorder, Stage, Time, hardly_ever
from tests.web_stage import Answer, Web

CONTACT = {"name": "Ann Miller", "phone": "0151 2345678", "time": "tomorrow at ten"}
SAID = (Line(who="user", text="my card 4111 is broken", at=1.0),)


class Tickets(Recorder):
    """An agent system that takes requests to call back, and knows a repeat by its id."""

    def __init__(self) -> None:
        super().__init__()
        self.left: dict[str, Request] = {}
        self.number: str | None = "T-17"

    async def leave(self, handoff: Handoff, request: Request) -> str | None:
        if self.trouble:
            raise self.trouble.pop(0)
        self.left[handoff.id] = request
        return self.number


class Asking(Stage):
    """A stage where one can ask to be called back."""

    agents: Tickets

    def __init__(self, database: str, folder: Path, now: Callable[[], float], **section: Any) -> None:
        super().__init__(database, folder, now, **section)
        self.agents = Tickets()

    async def call_me(self, handoff_id: str | None = None, **values: Any) -> Handoff:
        request = Request(sender_id="ann", channel="handoff", callback=dict(CONTACT), **values)
        return await self.runtime.callbacks.leave(handoff_id or new_handoff_id(), request)

    async def current(self, handoff_id: str) -> Handoff:
        found = await self.runtime.store.read(lambda tx: handoffs.get(tx, handoff_id))
        assert found is not None
        return found

    async def tried(self, attempts: int) -> None:
        """Wait until it has been tried so often, or oftener."""

        async def so_often() -> bool:
            waiting = await self.runtime.store.read(deliveries.pending)
            return all(delivery.attempts >= attempts for delivery in waiting)

        await self.until(so_often)

    async def arrived(self) -> Request:
        """The one request that the agent system has."""
        await self.until(lambda: self.agents.left)
        (request,) = self.agents.left.values()
        return request


@pytest_asyncio.fixture
async def asking(database: str, tmp_path: Path, time: Time) -> AsyncIterator[Asking]:
    """Nobody is ever there, on either database."""
    stage = Asking(
        database,
        tmp_path,
        time,
        route=[{"to": "desk", "group": "night", "hours": hardly_ever()}],
        redact={"slots": ["card"], "patterns": ["4111"]},
    )
    await stage.up()
    yield stage
    await stage.down()


class TestLeaving:
    async def test_it_reaches_the_agents_system_at_any_hour_with_all_it_takes_to_call(self, asking: Asking) -> None:
        await asking.call_me(transcript=SAID, parameters={"topic": "bike", "card": "4111"})
        request = await asking.arrived()
        assert request.callback == CONTACT
        assert (request.group, request.parameters) == ("night", {"topic": "bike"})
        assert [line.text for line in request.transcript] == ["my card [redacted] is broken"]

    async def test_the_bot_stays_and_the_user_is_told_nothing_by_us(self, asking: Asking) -> None:
        handoff = await asking.call_me()
        assert (handoff.status, handoff.end_reason, handoff.settled) == (Status.CLOSED, EndReason.UNAVAILABLE, True)
        await asking.arrived()
        assert await asking.handoff() is None
        assert await asking.say("are you still there?") is None
        assert asking.to_user == []

    async def test_a_repeat_with_the_same_id_is_one_request(self, asking: Asking) -> None:
        name = new_handoff_id()
        first, second = await asyncio.gather(asking.call_me(name), asking.call_me(name))
        await asking.arrived()
        assert first.id == second.id == (await asking.call_me(name)).id == name
        assert len(asking.agents.left) == 1

    async def test_it_is_tried_until_it_gets_through(self, asking: Asking) -> None:
        asking.agents.trouble = [TemporaryError("desk", "leave", 503), TemporaryError("desk", "leave", 503)]
        await asking.call_me()
        for attempts in (1, 2):
            await asking.tried(attempts)
            asking.pass_time(2)
        assert (await asking.arrived()).callback == CONTACT

    async def test_it_survives_a_restart(self, asking: Asking) -> None:
        asking.agents.trouble = [TemporaryError("desk", "leave", 503)]
        await asking.call_me(transcript=SAID)
        await asking.until(lambda: not asking.agents.trouble)
        await asking.down()
        asking.now.advance(5)  # type: ignore[attr-defined]
        await asking.up()
        assert (await asking.arrived()).callback == CONTACT

    async def test_what_is_refused_for_good_is_put_aside_and_can_be_sent_again(self, asking: Asking) -> None:
        asking.agents.trouble = [BackendError("desk", "leave", 400)]
        await asking.call_me()
        await asking.until(lambda: not asking.agents.trouble)
        dead = await self.dead(asking)
        assert (dead.kind, dead.error) == ("callback", "desk: could not leave: HTTP 400")
        assert asking.to_user == []
        await asking.runtime.outbox.retry(dead.id)
        assert (await asking.arrived()).callback == CONTACT

    @staticmethod
    async def dead(asking: Asking) -> Delivery:
        async def put_aside() -> Delivery | None:
            found = await asking.runtime.store.read(deliveries.unfinished)
            return next((delivery for delivery in found if delivery.state == "dead"), None)

        return await asking.until(put_aside)

    async def test_the_tickets_id_is_kept_and_what_happens_to_it_there_does_no_harm(self, asking: Asking) -> None:
        handoff = await asking.call_me()
        await asking.arrived()

        async def is_named() -> bool:
            return (await asking.current(handoff.id)).chat_id == "T-17"

        await asking.until(is_named)
        assert (await asking.happen(Closed(chat_id="T-17"))).id == handoff.id
        with pytest.raises(Conflict):
            await asking.happen(AgentMessage(chat_id="T-17", text="are you there?"))
        assert asking.to_user == []

    async def test_who_asked_to_be_called_can_still_talk_to_somebody_later(
        self, database: str, tmp_path: Path, time: Time
    ) -> None:
        stage = Asking(database, tmp_path, time)
        stage.agents.number = None
        await stage.up()
        await stage.call_me()
        assert (await stage.request()).status is Status.QUEUED
        await stage.call_me()
        await stage.until(lambda: len(stage.agents.left) == 2)
        assert (await stage.say("hello")) is not None
        await stage.down()

    async def test_the_conversation_stays_out_where_the_settings_say_so(self, tmp_path: Path, time: Time) -> None:
        stage = Asking(f"sqlite:///{tmp_path}/handoff.db", tmp_path, time, transcript=False)
        await stage.up()
        await stage.call_me(transcript=SAID, last_message="call me")
        request = await stage.arrived()
        assert (request.transcript, request.last_message, request.callback) == ((), None, CONTACT)
        await stage.down()

    async def test_an_agent_system_that_takes_none_is_passed_over(self, stage: Stage) -> None:
        """The base class says no; the bot hears it at once, and nothing is left lying about."""
        assert not Backend.takes_callbacks()
        assert not stage.agents.takes_callbacks()
        with pytest.raises(Conflict) as refused:
            await stage.runtime.callbacks.leave(
                new_handoff_id(), Request(sender_id="ann", channel="handoff", callback=dict(CONTACT))
            )
        assert refused.value.code == "no_callbacks"
        assert await stage.runtime.store.read(deliveries.unfinished) == []
        with pytest.raises(BackendError, match="does not take callbacks"):
            await stage.agents.leave(await stage.request(), Request(sender_id="ann", channel="handoff"))


async def call_back(web: Web, sender: str = "ann", **values: Any) -> Answer:
    """What the bot's action posts."""
    web.secrets |= set(CONTACT.values())
    body = {"sender_id": sender, "channel": "handoff", "callback": CONTACT, **values}
    return await (await web.operator()).post("/callbacks", body)


async def waiting_request(web: Web, **values: Any) -> str:
    """The chat of a request to call back that the desk has."""
    answer = await call_back(web, **values)
    assert answer.status == 200, answer
    chat: str = answer.json["handoff"]["id"]
    agent = await web.agent("Cleo")

    async def is_there() -> bool:
        return (await agent.get(f"/desk/api/chats/{chat}")).status == 200

    await web.until(is_there)
    return chat


class TestOverHttp:
    async def test_the_answer_is_a_handoff_that_is_over(self, web_on_each: Web) -> None:
        answer = await call_back(web_on_each)
        handoff = answer.json["handoff"]
        assert (answer.status, handoff["status"], handoff["end_reason"]) == (200, "closed", "unavailable")
        assert handoff["sender_id"] == "ann"

    async def test_the_same_id_gives_the_same_one(self, web: Web) -> None:
        name = str(uuid.uuid4())
        first, second = await call_back(web, id=name), await call_back(web, id=name)
        assert first.json["handoff"]["id"] == second.json["handoff"]["id"] == name

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"callback": None}, "callback"),
            ({"callback": {}}, "callback"),
            ({"callback": "0151"}, "callback"),
            ({"callback": {"phone": ""}}, "phone"),
            ({"callback": {"phone": 151}}, "phone"),
            ({"callback": {"phone": "1" * 1001}}, "phone"),
            ({"callback": {"n" * 256: "x"}}, "callback"),
            ({"callback": {str(number): "x" for number in range(21)}}, "callback"),
            ({"id": "17"}, "id"),
            ({"backend": "nobody's"}, "backend"),
            ({"sender_id": ""}, "sender_id"),
        ],
    )
    async def test_what_is_no_request_names_the_field(self, web: Web, body: Any, field: str) -> None:
        answer = await call_back(web, **body)
        assert (answer.status, answer.code) == (400, "malformed")
        assert answer.message.startswith(f"{field} ")
        assert await web.runtime.store.read(deliveries.unfinished) == []

    async def test_without_the_token_there_is_an_empty_401(self, web: Web) -> None:
        answer = await (await web.stranger()).post("/callbacks", {"sender_id": "ann"})
        assert (answer.status, answer.body) == (401, b"")


class TestAtTheDesk:
    async def test_it_waits_for_an_agent_with_all_it_takes_to_call(self, web_on_each: Web) -> None:
        web = web_on_each
        said = [{"who": "user", "text": "my bike is broken", "at": 1.0}]
        chat = await waiting_request(web, transcript=said, parameters={"topic": "bike"}, last_message="call me")
        bo = await web.agent()
        (listed,) = (await bo.chats())["waiting"]
        assert (listed["id"], listed["state"], listed["callback"]) == (chat, "waiting", CONTACT)
        assert listed["user_connected"] is None
        shown = await bo.look_at(chat)
        assert (shown["transcript"], shown["parameters"], shown["messages"]) == (said, {"topic": "bike"}, [])

    async def test_open_consoles_see_it_come(self, web: Web) -> None:
        bo = await web.agent()
        console = await bo.come()
        await call_back(web)
        event = await console.next("chat")
        assert event.data["callback"] == CONTACT

    async def test_an_agent_takes_it_calls_and_closes_it(self, web_on_each: Web) -> None:
        web = web_on_each
        chat = await waiting_request(web)
        bo = await web.agent_online()
        taken = (await bo.accept(chat)).json["chat"]
        assert (taken["state"], taken["agent"]["name"]) == ("open", "Bo")
        closed = (await bo.close(chat, note="Wants a new chain", tags=["bike"])).json["chat"]
        assert closed["state"] == "closed"
        assert closed["end"] == {"reason": "resolved", "by": "agent", "note": "Wants a new chain", "tags": ["bike"]}
        handoff = (await (await web.operator()).get("/handoffs?sender_id=ann")).json["handoff"]
        assert (handoff["end_reason"], handoff["agent"]) == ("unavailable", None)

    async def test_nobody_is_there_to_be_written_to(self, web: Web) -> None:
        chat = await waiting_request(web)
        bo = await web.agent_online()
        await bo.accept(chat)
        answers = [await bo.reply(chat, "Hello?"), await bo.types(chat)]
        assert [(answer.status, answer.code) for answer in answers] == [(409, "callback")] * 2
        assert (await bo.look_at(chat))["messages"] == []

    async def test_it_can_go_to_another_agent_and_back(self, web: Web) -> None:
        chat = await waiting_request(web)
        bo, cleo = await web.agent_online("Bo"), await web.agent_online("Cleo")
        await bo.accept(chat)
        assert (await cleo.accept(chat)).code == "taken"
        assert (await bo.transfer(chat, cleo.id)).json["chat"]["agent"]["name"] == "Cleo"
        assert (await cleo.transfer(chat, None)).json["chat"]["state"] == "waiting"

    async def test_who_is_there_comes_before_who_wants_to_be_called(self, web_on_each: Web) -> None:
        web = web_on_each
        request = await waiting_request(web)
        bo = await web.agent_online()
        ann, first = await web.waiting_user()
        bob, second = await web.waiting_user()
        assert [chat["id"] for chat in (await bo.chats())["waiting"]] == [first, second, request]
        assert (await ann.asks_for_an_agent())["queue_position"] == 1
        assert (await bob.asks_for_an_agent())["queue_position"] == 2
        await bo.accept(request)
        assert (await bob.asks_for_an_agent())["queue_position"] == 2
        await bo.accept(first)
        assert (await bob.asks_for_an_agent())["queue_position"] == 1

    async def test_brought_twice_it_is_there_once(self, web: Web) -> None:
        chat = await waiting_request(web)
        handoff = await web.runtime.store.read(lambda tx: handoffs.get(tx, chat))
        asked = await web.runtime.store.read(lambda tx: handoffs.request_of(tx, chat))
        assert handoff is not None
        assert asked is not None
        assert await web.desk.leave(handoff, asked) == chat
        assert len((await (await web.agent()).chats())["waiting"]) == 1

    async def test_it_goes_with_its_handoff_when_its_time_is_over(self, web_on_each: Web) -> None:
        web = web_on_each
        chat = await waiting_request(web)
        handoff = await web.runtime.store.read(lambda tx: handoffs.get(tx, chat))
        assert handoff is not None
        assert handoff.closed_at is not None
        before = handoff.closed_at + 1
        await web.runtime.store.write(lambda tx: retention.delete_old(tx, before))
        assert (await (await web.agent()).get(f"/desk/api/chats/{chat}")).status == 404
