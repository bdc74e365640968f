"""Chats at LiveChat: opened, fed, followed and ended, with all that can go wrong on the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rasa_handoff.backends import breaker
from rasa_handoff.backends.livechat import backend as livechat
from rasa_handoff.backends.livechat import customers, following
from rasa_handoff.backends.livechat.api import LARGEST_FILE
from rasa_handoff.backends.livechat.backend import LiveChat
from rasa_handoff.backends.livechat.following import pause
from rasa_handoff.backends.user_files import UserFiles
from rasa_handoff.errors import UserAway
from rasa_handoff.media import MediaFile
from rasa_handoff.model import Attachment, EndReason, Handoff, Json, Line, Rating, Status
from rasa_handoff.store import deliveries, users
from rasa_handoff.testing import Stage, Wire, on_stage
from tests.backends.given import given
from tests.backends.livechat.test_livechat import SECRETS, section, signed
from tests.backends.livechat.vendor import (
    AGENT,
    CDN,
    FORMER_SECRET,
    HASHED,
    LICENSE,
    ORGANIZATION,
    REDIRECT,
    Chat,
    No,
    Vendor,
)
from tests.backends.waiting import hanging, is_tried_again

JONES = "jones@example.com"
FILM = bytes(range(256)) * 3000  #: more than a part of what we keep
PATIENCE = {"accept": "9d", "agent_reply": "9d", "user_idle": "9d"}
TRANSCRIPT = (Line(who="bot", text="Hello", at=1.0), Line(who="user", text="a person, please", at=2.0))


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def wire(vendor: Vendor) -> Iterator[Wire]:
    with Wire() as wire:
        vendor.on(wire)
        yield wire


@pytest.fixture
def no_looks(monkeypatch: pytest.MonkeyPatch) -> Json:
    """With these settings nobody looks at a chat unasked: what a test has not told by a webhook stays unknown."""
    monkeypatch.setattr(following, "_OPENING", 3600.0)
    return {"poll_every": "1h", "repair_every": "1h"}


@pytest_asyncio.fixture
async def stage(tmp_path: Path, wire: Wire, no_looks: Json) -> AsyncIterator[Stage]:
    """With webhooks, and nothing else."""
    async with staged(tmp_path, wire, **no_looks) as stage:
        yield stage


@pytest_asyncio.fixture
async def polling(tmp_path: Path, wire: Wire) -> AsyncIterator[Stage]:
    """Without webhooks, and quick."""
    async with staged(tmp_path, wire, webhook_secret=None, former_webhook_secret=None, poll_every="30ms") as stage:
        yield stage


def staged(folder: Path, wire: Wire, **more: Any) -> AbstractAsyncContextManager[Stage]:
    settings = {name: value for name, value in section(wire.url, **more).items() if value is not None}
    return on_stage(folder, LiveChat, settings, secrets=SECRETS)


def cookie_grant(**more: Any) -> Json:
    return {"refresh_token": None, "client_secret": None, "redirect_uri": REDIRECT, **more}


def asked(wire: Wire, action: str) -> list[Json]:
    """What the API took of one action, in order."""
    return [each.json for each in wire.taken("POST", f"*/customer/action/{action}")]


def actions(wire: Wire) -> list[str]:
    return [each.path.rpartition("/")[2] for each in wire.taken("POST", "*/customer/action/*")]


def chat_of(vendor: Vendor) -> Chat:
    [chat] = vendor.chats.values()
    return chat


def texts(vendor: Vendor) -> list[str]:
    """What was said in the chat, in order."""
    return [event["text"] for event in chat_of(vendor).thread.events if event["type"] == "message"]


async def talking(stage: Stage, vendor: Vendor) -> Handoff:
    handoff = await stage.request()
    await stage.ask(signed(vendor.take(handoff.chat_id or "")))
    await stage.until(lambda: is_active(stage))
    return await stage.handoff()


def reads(stage: Stage) -> list[str]:
    """Up to which messages the agents have read, as the user's side was told."""
    return [each.body["message_id"] for _, each in stage.to_user if each.kind == "read"]


def looks_at(stage: Stage, handoff: Handoff) -> Any:
    """What is remembered between two looks at the chat."""
    return stage.backend._following._pollers.get(handoff.id)


async def is_active(stage: Stage) -> bool:
    return (await stage.handoff()).status is Status.ACTIVE


async def ended(stage: Stage) -> EndReason | None:
    return (await stage.handoff()).end_reason


class TestOpening:
    async def test_the_whole_way(self, stage: Stage, vendor: Vendor, wire: Wire) -> None:
        handoff = await stage.request(transcript=TRANSCRIPT, parameters={"order": 4711, "vip": True, "none": None})
        assert actions(wire)[:4] == ["list_group_statuses", "set_customer_session_fields", "start_chat", "get_chat"]
        chat = chat_of(vendor)
        assert handoff.chat_id == chat.id
        assert (handoff.status, handoff.queue_position) == (Status.QUEUED, 2)
        [event] = chat.thread.events
        assert (event["text"], event["custom_id"]) == ("Bot: Hello\nUser: a person, please", handoff.id)
        assert vendor.customers[chat.customer]["session_fields"] == [{"order": "4711"}, {"vip": "true"}]
        assert asked(wire, "list_group_statuses") == [{"all": True}]

    async def test_who_the_user_is(self, tmp_path: Path, vendor: Vendor, wire: Wire) -> None:
        user = {"name": "slot:name", "email": "slot:mail", "avatar": "metadata:picture"}
        fields = {"channel": "request:channel", "topic": "slot:topic", "missing": "slot:missing"}
        async with staged(tmp_path, wire, user=user, session_fields=fields) as stage:
            await stage.request(parameters={"name": "Ann", "mail": "ann@example.com", "topic": "billing"})
        customer = vendor.customers[chat_of(vendor).customer]
        assert (customer["name"], customer["email"]) == ("Ann", "ann@example.com")
        assert customer["session_fields"] == [{"channel": "handoff"}, {"topic": "billing"}]

    async def test_a_field_that_they_do_not_take_is_no_reason_to_stop(
        self, tmp_path: Path, vendor: Vendor, wire: Wire, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        async with staged(tmp_path, wire, user={"email": "slot:mail"}) as stage:
            assert (await stage.request(parameters={"mail": "not an address"})).status is Status.QUEUED
        assert "livechat.not_introduced" in caplog.text
        assert "not an address" not in caplog.text

    @pytest.mark.parametrize(("setting", "asked_for"), [("3", None), (None, "3")])
    async def test_a_group(
        self, tmp_path: Path, vendor: Vendor, wire: Wire, setting: str | None, asked_for: str | None
    ) -> None:
        vendor.groups = {"0": "offline", "3": "online_for_queue"}
        async with staged(tmp_path, wire, group=setting) as stage:
            handoff = await stage.request(group=asked_for)
        assert handoff.status is Status.QUEUED
        assert asked(wire, "list_group_statuses") == [{"group_ids": [3]}]
        assert asked(wire, "start_chat")[0]["chat"]["access"] == {"group_ids": [3]}

    async def test_a_group_is_a_number(self, stage: Stage, wire: Wire) -> None:
        assert (await stage.request(group="billing")).end_reason is EndReason.FAILED
        assert asked(wire, "start_chat") == []

    @pytest.mark.parametrize("groups", [{"0": "offline"}, {"0": "offline", "1": "offline"}, {}])
    async def test_nobody_is_online(self, polling: Stage, vendor: Vendor, wire: Wire, groups: dict[str, str]) -> None:
        vendor.groups = groups
        assert (await polling.request()).end_reason is EndReason.UNAVAILABLE
        await polling.until(lambda: not len(polling.backend._following._pollers))
        assert actions(wire) == ["list_group_statuses"]  # and nobody looks for a chat that there cannot be

    async def test_a_group_that_does_not_exist(self, stage: Stage) -> None:
        assert (await stage.request(group="99")).end_reason is EndReason.UNAVAILABLE

    async def test_they_go_offline_between_the_question_and_the_chat(self, stage: Stage, vendor: Vendor) -> None:
        vendor.refuse["start_chat"] = [No("groups_offline")]
        assert (await stage.request()).end_reason is EndReason.UNAVAILABLE

    async def test_a_continuous_chat_waits_for_somebody_to_come(
        self, tmp_path: Path, vendor: Vendor, wire: Wire
    ) -> None:
        vendor.groups = {"0": "offline"}
        async with staged(tmp_path, wire, continuous=True) as stage:
            assert (await stage.request()).status is Status.QUEUED
        assert asked(wire, "start_chat")[0]["continuous"] is True

    async def test_an_agent_is_there_at_once(self, stage: Stage, vendor: Vendor) -> None:
        vendor.routes_to = [AGENT]
        handoff = await stage.request()
        assert handoff.status is Status.ACTIVE
        assert handoff.agent is not None
        assert handoff.agent.name == "Agent Smith"

    async def test_place_and_waiting_time_reach_the_user(self, polling: Stage) -> None:
        handoff = await polling.request()
        assert (handoff.queue_position, handoff.queue_minutes) == (2, 2)  # of 90 seconds
        await polling.until(lambda: "utter_handoff_queue_wait" in polling.notices())
        [values] = [each.body["values"] for _, each in polling.to_user if each.kind == "notice"]
        assert values["queue_minutes"] == 2

    async def test_how_it_stands_can_wait(self, stage: Stage, vendor: Vendor) -> None:
        vendor.refuse["get_chat"] = [No("internal")]
        assert (await stage.request()).status is Status.QUEUED

    async def test_a_long_transcript_is_several_messages(self, stage: Stage, vendor: Vendor) -> None:
        text = "Zwölf 🚲 Räder. " * 2000
        await stage.request(transcript=(Line(who="user", text=text, at=1.0),))
        events = chat_of(vendor).thread.events
        assert len(events) > 2
        assert "".join(event["text"] for event in events) == f"User: {text}"

    async def test_the_speakers_may_have_other_names(self, tmp_path: Path, vendor: Vendor, wire: Wire) -> None:
        async with staged(tmp_path, wire, speakers={"user": "Kundin", "bot": "Rad-Bot"}) as stage:
            await stage.request(transcript=TRANSCRIPT)
        assert texts(vendor) == ["Rad-Bot: Hello\nKundin: a person, please"]

    async def test_without_a_transcript_there_is_what_the_user_said_last(self, stage: Stage, vendor: Vendor) -> None:
        await stage.request(last_message="a person")
        assert [event["text"] for event in chat_of(vendor).thread.events] == ["a person"]


class TestTheSecondChat:
    """A customer has one chat: it is resumed."""

    async def again(self, stage: Stage, vendor: Vendor, **values: Any) -> Handoff:
        handoff = await talking(stage, vendor)
        await stage.ask(signed(vendor.end(handoff.chat_id or "")))
        await stage.until(lambda: "settle" in [each.kind for _, each in stage.to_user])
        return await stage.request(**values)

    async def test_it_is_resumed(self, stage: Stage, vendor: Vendor) -> None:
        second = await self.again(stage, vendor, transcript=TRANSCRIPT)
        chat = chat_of(vendor)
        assert second.status is Status.QUEUED
        assert second.notes["thread_id"] == chat.thread.id == vendor.opened[1]
        assert chat.thread.events[0]["custom_id"] == second.id

    async def test_it_is_joined_where_it_still_goes_on(self, stage: Stage, vendor: Vendor, wire: Wire) -> None:
        first = await talking(stage, vendor)
        await stage.ask(signed(vendor.write(first.chat_id or "", "an old word")))
        vendor.refuse["deactivate_chat"] = [No("authorization")]
        await stage.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=first.id)
        await stage.until(lambda: "settle" in [each.kind for _, each in stage.to_user])
        await stage.until(lambda: asked(wire, "deactivate_chat"))
        second = await stage.request(transcript=TRANSCRIPT)
        assert (second.status, second.chat_id) == (Status.ACTIVE, first.chat_id)
        assert chat_of(vendor).thread.events[-1]["custom_id"] == second.id
        await stage.ask(signed(vendor.write(first.chat_id or "", "a new word")))
        await stage.until(lambda: stage.heard()[-1:] == ["a new word"])
        assert stage.heard().count("an old word") == 1

    async def test_an_answer_that_got_lost_is_not_a_second_chat(self, stage: Stage, vendor: Vendor, wire: Wire) -> None:
        wire.hang_up(path="*/start_chat")
        assert (await stage.request(transcript=TRANSCRIPT)).end_reason is EndReason.FAILED
        # Nobody looks at what is left, which would be ended.
        again = await stage.request(transcript=TRANSCRIPT)
        assert again.status is Status.QUEUED
        assert len(vendor.opened) == 1

    async def test_a_chat_that_nobody_waits_for_is_ended(self, polling: Stage, vendor: Vendor, wire: Wire) -> None:
        wire.hang_up(path="*/start_chat")
        assert (await polling.request(transcript=TRANSCRIPT)).end_reason is EndReason.FAILED
        await polling.until(lambda: not chat_of(vendor).thread.active)
        await polling.until(lambda: not len(polling.backend._following._pollers))
        wire.fail(503, path="*/start_chat")
        assert (await polling.request("bob")).end_reason is EndReason.FAILED
        await polling.until(lambda: not len(polling.backend._following._pollers))
        assert len(asked(wire, "deactivate_chat")) == 1

    async def test_a_chat_is_ended_though_another_agent_system_was_asked_then(
        self, tmp_path: Path, vendor: Vendor, wire: Wire
    ) -> None:
        backends = {"livechat": section(wire.url), "desk": {}}
        route = [{"to": "livechat"}, {"to": "desk"}]
        async with on_stage(tmp_path, LiveChat, {}, secrets=SECRETS, backends=backends, route=route) as stage:
            wire.hang_up(path="*/start_chat")
            assert (await stage.request()).backend == "desk"
            await stage.until(lambda: not chat_of(vendor).thread.active)

    async def test_a_chat_that_was_being_opened_when_the_server_stopped_is_ended(
        self, polling: Stage, vendor: Vendor, wire: Wire
    ) -> None:
        with wire.held("*/start_chat"):
            opening = asyncio.create_task(polling.request())
            await polling.until(lambda: vendor.chats)
            await polling.down()
            opening.cancel()
        wire.fail(503, path="*/list_chats")
        await polling.up()
        assert await ended(polling) is EndReason.FAILED
        await polling.until(lambda: not chat_of(vendor).thread.active)

    async def test_a_chat_that_nobody_waited_for_goes_on_where_the_user_asks_again(
        self, polling: Stage, vendor: Vendor, wire: Wire
    ) -> None:
        wire.hang_up(path="*/start_chat")
        with wire.held("*/list_chats"):  # the look at what is left: the user is faster than its answer
            assert (await polling.request(transcript=TRANSCRIPT)).end_reason is EndReason.FAILED
            await polling.until(lambda: asked(wire, "list_chats"))
            assert (await polling.request(transcript=TRANSCRIPT)).status is Status.QUEUED
        await polling.until(lambda: len(polling.backend._following._pollers) == 1)  # that look is over
        looks = len(asked(wire, "list_threads"))
        await polling.until(lambda: len(asked(wire, "list_threads")) > looks + 5)
        assert chat_of(vendor).thread.active
        assert not asked(wire, "deactivate_chat")

    async def test_a_chat_that_becomes_active_meanwhile(self, stage: Stage, vendor: Vendor) -> None:
        first = await talking(stage, vendor)
        await stage.ask(signed(vendor.end(first.chat_id or "")))
        await stage.until(lambda: "settle" in [each.kind for _, each in stage.to_user])
        resume, chat = vendor._resume_chat, chat_of(vendor)

        def too_late(customer: str, body: Json) -> Json:
            resume(customer, body)
            raise No("validation", "Chat is already active")

        vendor._resume_chat = too_late  # type: ignore[method-assign]
        second = await stage.request()
        assert (second.status, second.notes["thread_id"]) == (Status.QUEUED, chat.thread.id)

    async def test_late_news_of_the_thread_before_have_no_effect(self, stage: Stage, vendor: Vendor) -> None:
        first = await talking(stage, vendor)
        chat_id = first.chat_id or ""
        late = [vendor.write(chat_id, "too late"), vendor.end(chat_id)]
        await stage.ask(signed(vendor.webhook("chat_deactivated", late[1].body["payload"], chat_id)))
        await stage.until(lambda: "settle" in [each.kind for _, each in stage.to_user])
        second = await stage.request()
        for call in late:
            assert (await stage.ask(signed(call))).status == 200
        assert (await stage.handoff()).id == second.id
        assert (await stage.handoff()).status is Status.QUEUED
        assert "too late" not in stage.heard()

    async def test_a_late_look_at_the_first_has_no_effect_on_the_second(
        self, polling: Stage, vendor: Vendor, wire: Wire
    ) -> None:
        first = await talking(polling, vendor)
        chat = chat_of(vendor)

        def has_news() -> bool:
            """Whether the look that has just been answered found the end; else the next one does."""
            if chat.thread.active:
                vendor.write(chat.id, "too late")
                vendor.end(chat.id)
                return False
            return True

        async with hanging(wire, "*/list_threads", when=has_news):
            await polling.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=first.id)
            await polling.until(lambda: "settle" in [each.kind for _, each in polling.to_user])
            second = await polling.request()
        assert (second.chat_id, second.status) == (first.chat_id, Status.QUEUED)
        await polling.until(lambda: first.id not in polling.backend._following._pollers._pollers)
        assert (await polling.handoff()).id == second.id
        assert (await polling.handoff()).is_open
        assert "too late" not in polling.heard()

    async def test_the_end_of_the_first_does_not_end_the_second(self, stage: Stage, vendor: Vendor, wire: Wire) -> None:
        first = await talking(stage, vendor)
        wire.fail(503, times=1, path="*/deactivate_chat", Retry_After="60")
        await stage.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=first.id)
        await stage.until(lambda: "settle" in [each.kind for _, each in stage.to_user])
        await stage.until(lambda: is_tried_again(stage))
        second = await stage.request()
        stage.pass_time(60.0)
        await stage.until(stage.all_sent)
        assert chat_of(vendor).thread.active
        assert (await stage.handoff()).id == second.id
        assert asked(wire, "deactivate_chat") == []


class TestCustomers:
    async def customers(self, folder: Path, wire: Wire, vendor: Vendor, **more: Any) -> list[str]:
        """Who the user was in two handoffs, with a restart between them."""
        found = []
        async with staged(folder, wire, **more) as stage:
            first = await talking(stage, vendor)
            found.append(chat_of(vendor).customer)
            await stage.ask(signed(vendor.end(first.chat_id or "")))
            await stage.until(lambda: "settle" in [each.kind for _, each in stage.to_user])
            await stage.restart()
            assert (await stage.request()).is_open
            found.append(chat_of(vendor).customer)
        return found

    async def test_the_same_user_is_the_same_customer(self, tmp_path: Path, wire: Wire, vendor: Vendor) -> None:
        first, second = await self.customers(tmp_path, wire, vendor)
        assert first == second
        bodies = [each.json for each in wire.taken("POST", "/v2/customer/token")]
        assert [body.get("entity_id") for body in bodies] == [None, first]

    async def test_also_by_cookies(self, tmp_path: Path, wire: Wire, vendor: Vendor) -> None:
        first, second = await self.customers(tmp_path, wire, vendor, **cookie_grant())
        assert first == second
        cookies = [each.headers.get("cookie") for each in wire.taken("POST", "/v2/customer/token")]
        assert cookies[0] is None
        assert f"__lc_cid={first}" in (cookies[1] or "")
        assert len(vendor.customers) == 1

    async def test_who_is_erased_comes_as_somebody_else(self, tmp_path: Path, wire: Wire, vendor: Vendor) -> None:
        """Nothing is left that says who they were, and agents' answers reach them as ever."""
        async with staged(tmp_path, wire) as stage:
            first = await talking(stage, vendor)
            customer = chat_of(vendor).customer
            await stage.ask(signed(vendor.end(first.chat_id or "")))
            await stage.until(lambda: "settle" in [each.kind for _, each in stage.to_user])
            await stage.runtime.switchboard.settled(first)
            erasure = await stage.runtime.eraser.erase("ann")
            assert [(chat.backend, chat.chat_id) for chat in erasure.elsewhere] == [("livechat", first.chat_id)]
            tables = [place.table for place in users.PLACES.values()]
            found = [await stage.runtime.store.read(lambda tx, t=t: tx.all(f"SELECT * FROM {t}", {})) for t in tables]
            assert found == [[]] * len(tables)
            second = await talking(stage, vendor)
            again = vendor.chats[second.chat_id or ""].customer
            assert again != customer
            await stage.ask(signed(vendor.write(second.chat_id or "", "an echo", agent=again)))
            await stage.ask(signed(vendor.write(second.chat_id or "", "welcome back")))
            await stage.until(lambda: "welcome back" in stage.heard())
            assert "an echo" not in stage.heard()

    async def test_who_is_in_a_chat_is_not_forgotten(self, tmp_path: Path, wire: Wire, vendor: Vendor) -> None:
        settings = {**section(wire.url), "repair_every": "50ms"}
        async with on_stage(tmp_path, LiveChat, settings, secrets=SECRETS, retention="1h", deadlines=PATIENCE) as stage:
            handoff = await talking(stage, vendor)
            for _ in range(4):
                stage.pass_time(1000.0)
                await stage.say("still here")
                await stage.until(stage.all_sent)
                await stage.runtime.clock.prune()
            customer = chat_of(vendor).customer
            await stage.ask(signed(vendor.write(handoff.chat_id or "", "an echo", agent=customer)))
            await stage.ask(signed(vendor.write(handoff.chat_id or "", "hello")))
            await stage.until(lambda: stage.heard() == ["hello"])

    async def test_the_organization_from_the_license(self, tmp_path: Path, wire: Wire, vendor: Vendor) -> None:
        more = cookie_grant(organization_id=None, license_id=LICENSE)
        async with staged(tmp_path, wire, **more) as stage:
            assert (await stage.request()).is_open
            assert (await stage.request("bob")).is_open
        assert len(wire.taken("GET", "*/get_dynamic_configuration")) == 1

    async def test_the_organization_is_looked_up_once_however_many_wait_and_fail(
        self, tmp_path: Path, wire: Wire
    ) -> None:
        names = ("ann", "bob", "eve")
        async with staged(tmp_path, wire, **cookie_grant(organization_id=None, license_id=LICENSE)) as stage:
            places = stage.backend._api._customers._places
            wire.respond("GET", "*/get_dynamic_configuration", lambda asked: (503, {}))
            with wire.held("*/get_dynamic_configuration"):
                opening = asyncio.gather(*(stage.request(name) for name in names))
                await stage.until(lambda: places._value == customers._AT_ONCE - len(names))  # all of them wait for it
            handoffs = await opening
            assert {each.end_reason for each in handoffs} == {EndReason.FAILED}
            assert len(wire.taken("GET", "*/get_dynamic_configuration")) == 1

    async def test_the_organization_as_the_token_names_it(self, tmp_path: Path, wire: Wire) -> None:
        async with staged(tmp_path, wire, organization_id=None) as stage:
            assert (await stage.request()).is_open
        assert {each.query["organization_id"] for each in wire.taken("POST", "*/customer/action/*")} == {ORGANIZATION}

    async def test_a_token_is_replaced_before_it_ends(self, tmp_path: Path, vendor: Vendor, wire: Wire) -> None:
        async with on_stage(tmp_path, LiveChat, section(wire.url), secrets=SECRETS, deadlines=PATIENCE) as stage:
            await talking(stage, vendor)
            for hours, tokens in ((6.0, 1), (2.1, 2)):
                stage.pass_time(hours * 3600)
                await stage.say(f"after {hours} hours more")
                await stage.until(stage.all_sent)
                assert len(wire.taken("POST", "/v2/customer/token")) == tokens
        used = {each.headers["authorization"] for each in wire.taken("POST", "*/send_event")}
        assert len(used) == 2

    async def test_a_token_that_ended_early_is_replaced_once(self, stage: Stage, vendor: Vendor, wire: Wire) -> None:
        await talking(stage, vendor)
        customer = chat_of(vendor).customer
        vendor.tokens.clear()
        await stage.say("still me")
        await stage.until(lambda: texts(vendor)[-1:] == ["still me"])
        assert [each.json.get("entity_id") for each in wire.taken("POST", "/v2/customer/token")] == [None, customer]

    async def test_a_message_waits_where_new_tokens_are_not_taken_either(
        self, stage: Stage, vendor: Vendor, wire: Wire
    ) -> None:
        await talking(stage, vendor)
        vendor.refuse["send_event"] = [No("authentication"), No("authentication")]
        await stage.say("not lost")
        await stage.until(lambda: texts(vendor)[-1:] == ["not lost"])

    async def test_accounts_that_do_not_answer_are_left_alone(
        self, stage: Stage, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("_FIRST_PAUSE", "_LONGEST_PAUSE"):
            monkeypatch.setattr(breaker, name, 3600.0)
        wire.fail(503, times=100, path="/v2/*")
        for number in range(10):
            assert (await stage.request(f"user {number}")).end_reason is EndReason.FAILED
        assert len([each for each in wire.asked if each.path.startswith("/v2/")]) == 5

    async def test_the_agents_token_is_fetched_once_and_again_when_it_was_revoked(
        self, stage: Stage, vendor: Vendor, wire: Wire
    ) -> None:
        await asyncio.gather(*(stage.request(name) for name in ("ann", "bob", "eve")))
        assert len(wire.taken("POST", "/v2/token")) == 1
        vendor.agent_tokens.clear()
        assert (await stage.request("joe")).is_open
        assert len(wire.taken("POST", "/v2/token")) == 2

    async def test_credentials_that_they_do_not_take_are_named(
        self, tmp_path: Path, wire: Wire, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        async with staged(tmp_path, wire, refresh_token="dal:of-another-app-0123456789") as stage:
            assert (await stage.request()).end_reason is EndReason.FAILED
        assert "invalid_grant; see client_id and the credentials beside it" in caplog.text

    async def test_what_was_said_meanwhile_waits_until_the_credentials_are_right(
        self, stage: Stage, vendor: Vendor, wire: Wire
    ) -> None:
        await talking(stage, vendor)
        vendor.tokens.clear()
        wire.fail(401, times=2, path="/v2/customer/token")
        await stage.say("not lost")
        await stage.until(lambda: len([a for a in wire.asked if a.path == "/v2/customer/token"]) >= 3)
        stage.pass_time(60.0)
        await stage.until(lambda: texts(vendor)[-1:] == ["not lost"])


class TestErrors:
    async def test_another_region(self, stage: Stage, vendor: Vendor, wire: Wire) -> None:
        vendor.region = "fra"
        assert (await stage.request()).is_open
        regions = [each.headers.get("x-region") for each in wire.taken("POST", "*/customer/action/*")]
        assert regions[:2] == [None, "fra"]
        assert set(regions[1:]) == {"fra"}

    async def test_another_region_has_the_license(self, tmp_path: Path, vendor: Vendor, wire: Wire) -> None:
        vendor.region = "fra"
        async with staged(tmp_path, wire, **cookie_grant(organization_id=None, license_id=LICENSE)) as stage:
            assert (await stage.request()).is_open
        assert len(wire.taken("GET", "*/get_dynamic_configuration")) == 2

    async def test_an_organization_that_moves_takes_nobody_away(self, stage: Stage, vendor: Vendor) -> None:
        vendor.region = "fra"
        await talking(stage, vendor)
        vendor.region = "dal"
        await stage.say("still there?")
        await stage.until(lambda: texts(vendor)[-1:] == ["still there?"])

    async def test_another_region_that_makes_no_sense(self, stage: Stage, vendor: Vendor) -> None:
        refusal = No("misdirected_request", data={"region": "no region\r\nX-Evil: 1"})
        vendor.refuse["list_group_statuses"] = [refusal]
        assert (await stage.request()).end_reason is EndReason.FAILED

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("groups_offline", EndReason.UNAVAILABLE),
            ("group_offline", EndReason.UNAVAILABLE),
            ("group_unavailable", EndReason.UNAVAILABLE),
            ("group_not_found", EndReason.UNAVAILABLE),
            ("validation", EndReason.FAILED),
            ("authorization", EndReason.FAILED),
            ("customer_banned", EndReason.FAILED),
            ("chat_anonymized", EndReason.FAILED),
            ("authentication", EndReason.FAILED),
            ("too_many_requests", EndReason.FAILED),
            ("request_timeout", EndReason.FAILED),
            ("service_unavailable", EndReason.FAILED),
            ("internal", EndReason.FAILED),
            ("license_expired", EndReason.FAILED),
            ("license_not_found", EndReason.FAILED),
            ("unsupported_version", EndReason.FAILED),
            ("wrong_product_version", EndReason.FAILED),
            ("something_new", EndReason.FAILED),
        ],
    )
    async def test_a_refused_chat_leaves_the_bot_in_charge(
        self, stage: Stage, vendor: Vendor, kind: str, reason: EndReason
    ) -> None:
        vendor.refuse["start_chat"] = [No(kind), No(kind)]
        assert (await stage.request()).end_reason is reason

    @pytest.mark.parametrize("kind", ["validation", "authorization", "license_expired", "license_not_found"])
    async def test_a_message_that_is_refused_for_good_is_put_aside_and_the_next_goes_on(
        self, stage: Stage, vendor: Vendor, kind: str
    ) -> None:
        await talking(stage, vendor)
        vendor.refuse["send_event"] = [No(kind)]
        await stage.say("not this one")
        await stage.say("but this one")
        await stage.until(lambda: texts(vendor)[-1:] == ["but this one"])
        assert "not this one" not in texts(vendor)
        await stage.until(lambda: "utter_handoff_undelivered" in stage.notices())
        assert (await stage.handoff()).is_open

    @pytest.mark.parametrize("kind", ["too_many_requests", "request_timeout", "service_unavailable", "internal"])
    async def test_what_passes_is_tried_again(self, stage: Stage, vendor: Vendor, kind: str) -> None:
        await talking(stage, vendor)
        vendor.refuse["send_event"] = [No(kind), No(kind)]
        await stage.say("at last")
        await stage.until(lambda: texts(vendor)[-1:] == ["at last"])

    @pytest.mark.parametrize("kind", ["chat_inactive", "chat_anonymized", "customer_banned"])
    async def test_a_missed_end_shows_when_the_user_writes(self, stage: Stage, vendor: Vendor, kind: str) -> None:
        await talking(stage, vendor)
        vendor.refuse["send_event"] = [No(kind)]
        await stage.say("are you there?")
        await stage.until(lambda: ended(stage))
        assert await ended(stage) is EndReason.AGENT_CLOSED
        await stage.until(lambda: "utter_handoff_undelivered" in stage.notices())

    async def test_to_end_what_is_over_is_fine(self, stage: Stage, vendor: Vendor, wire: Wire) -> None:
        handoff = await talking(stage, vendor)
        vendor.end(handoff.chat_id or "")
        await stage.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=handoff.id)
        await stage.until(lambda: asked(wire, "deactivate_chat"))
        await stage.until(stage.all_sent)
        assert asked(wire, "deactivate_chat") == [{"id": handoff.chat_id}]

    async def test_an_error_repeats_nothing_that_was_sent(
        self, stage: Stage, vendor: Vendor, caplog: pytest.LogCaptureFixture
    ) -> None:
        await talking(stage, vendor)
        vendor.refuse["send_event"] = [No("validation", "`event.text` is bad: my secret wish")]
        await stage.say("my secret wish")
        await stage.until(lambda: "utter_handoff_undelivered" in stage.notices())
        assert "validation; `event.text` is bad: …" in caplog.text

    async def test_an_error_repeats_no_part_of_what_was_sent(
        self, stage: Stage, vendor: Vendor, caplog: pytest.LogCaptureFixture
    ) -> None:
        """They may cut it short, or write it differently."""
        await talking(stage, vendor)
        vendor.refuse["send_event"] = [No("validation", "too long: 'SECRET wish to ma…' of 30")]
        await stage.say("My secret wish to marry Bo")
        await stage.until(lambda: "utter_handoff_undelivered" in stage.notices())
        assert "validation; too long: '…" in caplog.text
        assert not any(word in caplog.text.casefold() for word in ("secret", "wish", "marry"))

    @pytest.mark.parametrize("header", ["Legacy", "Deprecation"])
    async def test_the_end_of_a_version_is_said_once_a_day(
        self, stage: Stage, vendor: Vendor, caplog: pytest.LogCaptureFixture, header: str
    ) -> None:
        def said() -> int:
            return sum("livechat.version_ends" in line for line in caplog.messages)

        vendor.headers = {header: "2027-03-31"}
        await talking(stage, vendor)
        assert said() == 1
        assert f"version=3.6 header={header} until=2027-03-31" in caplog.text
        stage.pass_time(25 * 3600.0)
        await stage.say("one day later")
        await stage.until(lambda: said() == 2)


class TestSending:
    async def test_a_message(self, stage: Stage, vendor: Vendor, wire: Wire) -> None:
        handoff = await talking(stage, vendor)
        receipt = await stage.say("My bike is broken")
        await stage.until(lambda: asked(wire, "send_event"))
        assert receipt is not None
        event = {"type": "message", "text": "My bike is broken", "recipients": "all", "custom_id": receipt.message_id}
        assert asked(wire, "send_event") == [{"chat_id": handoff.chat_id, "event": event}]

    async def test_a_long_text_arrives_whole_and_in_order(self, stage: Stage, vendor: Vendor, wire: Wire) -> None:
        await talking(stage, vendor)
        text = "Zwölf 🚲 Räder. " * 3000
        await stage.say(text)
        await stage.until(stage.all_sent)
        events = [each["event"] for each in asked(wire, "send_event")]
        assert "".join(event["text"] for event in events) == text
        assert all(len(event["text"].encode()) <= 16_000 for event in events)
        assert len({event["custom_id"] for event in events}) == len(events) == 4

    async def test_what_arrived_though_its_answer_got_lost_is_not_sent_twice(
        self, stage: Stage, vendor: Vendor, wire: Wire
    ) -> None:
        await talking(stage, vendor)
        wire.hang_up(times=1, path="*/send_event")
        await stage.say("once")
        await stage.say("and this")
        await stage.until(stage.all_sent)
        assert texts(vendor) == ["once", "and this"]

    async def test_what_may_have_arrived_before_a_restart_is_not_sent_twice(
        self, stage: Stage, vendor: Vendor, wire: Wire
    ) -> None:
        await talking(stage, vendor)
        with wire.held("*/send_event"):
            await stage.say("once")
            await stage.until(lambda: chat_of(vendor).thread.events)
            stage.runtime.outbox._stopping = True  # as when the process is killed: what came back is not written down
            for lane in stage.runtime.outbox._lanes.values():
                if lane.task:
                    lane.task.cancel()
            await stage.restart()
        await stage.until(stage.all_sent)
        assert texts(vendor) == ["once"]

    async def test_typing_is_a_sneak_peek(self, stage: Stage, vendor: Vendor) -> None:
        handoff = await talking(stage, vendor)
        await stage.runtime.signals.user_typing("ann", True)
        await stage.runtime.signals.user_typing("ann", False)
        assert vendor.sneak_peeks == [(handoff.chat_id, "…")]


class TestMedia:
    @pytest.fixture
    def files(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
        """The server that has the user's files; the address guard would let nobody to it."""
        with Wire() as files:
            trusted = files.url.removeprefix("http://")
            monkeypatch.setattr(livechat, "UserFiles", lambda who, behind: UserFiles(who, behind, [trusted]))
            yield files

    async def sent(self, folder: Path, wire: Wire, vendor: Vendor, *media: Attachment, **more: Any) -> list[Json]:
        async with staged(folder, wire, **more) as stage:
            await talking(stage, vendor)
            await stage.say("", attachments=media)
            await stage.until(stage.all_sent)
        return [each["event"] for each in asked(wire, "send_event")]

    async def test_a_picture_is_laid_down_there(self, tmp_path: Path, wire: Wire, vendor: Vendor, files: Wire) -> None:
        files.when("GET", "/42", body=b"\x89PNG")
        picture = Attachment(url=f"{files.url}/42", kind="image", name="bike 🚲.png", mime="image/png")
        [event] = await self.sent(tmp_path, wire, vendor, picture)
        assert (event["type"], event["url"].startswith(CDN)) == ("file", True)
        [file] = vendor.files
        assert (file["content"], file["content_type"]) == (b"\x89PNG", "image/png")
        assert file["name"].endswith(".png")

    async def gave(self, stage: Stage, vendor: Vendor, wire: Wire, body: bytes, name: str = "bike.png") -> Json:
        """A message with a file that we keep; the event that LiveChat has of it."""
        await talking(stage, vendor)
        await stage.say("", attachments=[await given(stage, body, name)])
        await stage.until(stage.all_sent)
        [event] = [each["event"] for each in asked(wire, "send_event")]
        return event

    async def test_a_file_that_we_keep_is_laid_down_there_though_nobody_knows_our_address(
        self, stage: Stage, wire: Wire, vendor: Vendor
    ) -> None:
        event = await self.gave(stage, vendor, wire, FILM)
        assert (event["type"], event["url"].startswith(CDN)) == ("file", True)
        assert vendor.files == [{"name": "bike.png", "content": FILM, "content_type": "image/png"}]
        assert wire.taken("GET") == []

    @pytest.mark.parametrize("public_url", [None, "https://bot.example.com"])
    @pytest.mark.parametrize(("trouble", "why"), [("size", "it is larger than 10 MB"), ("kind", "it is not taken")])
    async def test_one_that_cannot_go_there_is_a_link_or_a_line_that_says_so(
        self, tmp_path: Path, wire: Wire, vendor: Vendor, public_url: str | None, trouble: str, why: str
    ) -> None:
        vendor.refuse["upload_file"] = [No("validation")] if trouble == "kind" else []
        body = b"x" * (LARGEST_FILE + 1) if trouble == "size" else b"MZ"
        known = {"public_url": public_url} if public_url else {}
        async with on_stage(tmp_path, LiveChat, section(wire.url), secrets=SECRETS, **known) as stage:
            event = await self.gave(stage, vendor, wire, body, "tool.exe")
        if public_url is None:
            assert event["text"] == f"[image tool.exe: the user sent it, but it cannot be shown here: {why}]"
        else:
            assert event["text"].startswith("[image: https://bot.example.com/webhooks/handoff/media/")
        assert vendor.files == []

    async def test_where_nothing_is_to_be_uploaded_it_is_a_line(
        self, tmp_path: Path, wire: Wire, vendor: Vendor
    ) -> None:
        async with staged(tmp_path, wire, upload=False) as stage:
            event = await self.gave(stage, vendor, wire, b"\x89PNG")
        why = "the bot's server has no public_url"
        assert event["text"] == f"[image bike.png: the user sent it, but it cannot be shown here: {why}]"

    async def test_one_that_was_deleted_meanwhile_is_a_line(self, stage: Stage, wire: Wire, vendor: Vendor) -> None:
        await talking(stage, vendor)
        picture = await given(stage, b"\x89PNG")
        await stage.runtime.store.write(lambda tx: tx.run("DELETE FROM handoff_files", {}))
        await stage.say("", attachments=[picture])
        await stage.until(lambda: texts(vendor))
        why = "it has been deleted"
        assert texts(vendor) == [f"[image bike.png: the user sent it, but it cannot be shown here: {why}]"]

    @pytest.mark.parametrize(
        ("of", "why"), [("theirs", "its channel is not here"), ("another", "its conversation has been deleted")]
    )
    async def test_what_is_behind_a_link_that_opens_nothing_any_more_is_a_line(
        self, stage: Stage, vendor: Vendor, of: str, why: str
    ) -> None:
        handoff = await talking(stage, vendor)
        name = handoff.id if of == "theirs" else "deleted"
        photo = MediaFile(channel="telegram", handoff_id=name, reference={"file_id": "F1"}, kind="image")
        await stage.say("", attachments=[Attachment(url=stage.runtime.media.link(photo), kind="image")])
        await stage.until(lambda: texts(vendor))
        assert texts(vendor) == [f"[image: the user sent it, but it cannot be shown here: {why}]"]

    @pytest.mark.parametrize("kind", ["too_many_requests", "service_unavailable"])
    async def test_what_passes_does_not_make_a_link_of_it(
        self, stage: Stage, wire: Wire, vendor: Vendor, kind: str
    ) -> None:
        vendor.refuse["upload_file"] = [No(kind)]
        assert (await self.gave(stage, vendor, wire, FILM))["type"] == "file"
        assert [file["content"] for file in vendor.files] == [FILM]

    async def test_each_medium_is_a_message_of_its_own(self, tmp_path: Path, wire: Wire, vendor: Vendor) -> None:
        places = Attachment(url="https://maps.example.com/1", kind="location")
        files = [Attachment(url=f"https://files.example.com/{n}", kind="file") for n in (1, 2)]
        events = await self.sent(tmp_path, wire, vendor, places, *files, upload=False)
        assert [event["text"] for event in events] == [
            "https://maps.example.com/1",
            "[file: https://files.example.com/1]",
            "[file: https://files.example.com/2]",
        ]

    async def test_a_link_where_the_file_cannot_be_fetched(
        self, tmp_path: Path, wire: Wire, vendor: Vendor, files: Wire
    ) -> None:
        files.when("GET", "/gone", 404)
        [event] = await self.sent(tmp_path, wire, vendor, Attachment(url=f"{files.url}/gone", kind="audio"))
        assert event["text"] == f"[audio: {files.url}/gone]"

    async def test_a_link_where_the_address_is_not_public(self, tmp_path: Path, wire: Wire, vendor: Vendor) -> None:
        with Wire() as inside:
            inside.when("GET", "/secret", body=b"of the house")
            [event] = await self.sent(tmp_path, wire, vendor, Attachment(url=f"{inside.url}/secret"))
            assert event["type"] == "message"
            assert inside.asked == vendor.files == []

    @pytest.mark.parametrize("refusal", ["entity_too_large", "validation"])
    async def test_a_link_where_they_do_not_take_it(
        self, tmp_path: Path, wire: Wire, vendor: Vendor, files: Wire, refusal: str
    ) -> None:
        files.when("GET", "/tool", body=b"MZ")
        vendor.refuse["upload_file"] = [No(refusal)]
        [event] = await self.sent(tmp_path, wire, vendor, Attachment(url=f"{files.url}/tool"))
        assert event["text"] == f"[file: {files.url}/tool]"

    async def test_a_link_where_the_file_breaks_off(
        self, tmp_path: Path, wire: Wire, vendor: Vendor, files: Wire
    ) -> None:
        """Its server says that there is more; LiveChat gets nothing of it."""
        files.respond("GET", "/film", lambda asked: (200, b"half", {"Content-Length": "8", "Connection": "close"}))
        [event] = await self.sent(tmp_path, wire, vendor, Attachment(url=f"{files.url}/film", kind="video"))
        assert event["text"] == f"[video: {files.url}/film]"
        assert vendor.files == []

    @pytest.mark.parametrize("no", [No("authentication"), No("misdirected_request", data={"region": "fra"})])
    @pytest.mark.parametrize("where", ["here", "elsewhere"])
    async def test_a_file_is_sent_anew_and_whole_with_another_token_or_to_another_region(
        self, tmp_path: Path, wire: Wire, vendor: Vendor, files: Wire, no: No, where: str
    ) -> None:
        files.when("GET", "/42.png", body=FILM)
        vendor.refuse["upload_file"] = [no]
        async with staged(tmp_path, wire) as stage:
            await talking(stage, vendor)
            elsewhere = Attachment(url=f"{files.url}/42.png", kind="image")
            picture = elsewhere if where == "elsewhere" else await given(stage, FILM)
            await stage.say("", attachments=[picture])
            await stage.until(stage.all_sent)
        [event] = [each["event"] for each in asked(wire, "send_event")]
        assert event["type"] == "file"
        assert [file["content"] for file in vendor.files] == [FILM]


class TestWebhooks:
    async def test_the_secret_is_in_the_body(self, stage: Stage, vendor: Vendor) -> None:
        handoff = await stage.request()
        call = vendor.take(handoff.chat_id or "")
        for secret in ("", "wrong", None, 7, ["x"], "webhook-secret-0123456789abcdeF"):
            call.body["secret_key"] = secret
            assert (await stage.ask(call)).status == 401
        assert (await stage.handoff()).status is Status.QUEUED
        assert (await stage.ask(signed(vendor.take(handoff.chat_id or "")))).status == 200

    async def test_the_former_secret_opens_too(self, stage: Stage, vendor: Vendor) -> None:
        handoff = await stage.request()
        assert (await stage.ask(signed(vendor.take(handoff.chat_id or ""), FORMER_SECRET))).status == 200
        assert (await stage.handoff()).status is Status.ACTIVE

    async def test_the_secret_is_not_stored(self, stage: Stage, vendor: Vendor, tmp_path: Path) -> None:
        handoff = await talking(stage, vendor)
        await stage.ask(signed(vendor.write(handoff.chat_id or "", "hello")))
        await stage.until(lambda: stage.heard() == ["hello"])
        kept = b"".join(path.read_bytes() for path in tmp_path.glob("handoff.db*"))
        assert b"hello" in kept
        assert b"webhook-secret" not in kept

    async def test_without_a_secret_nobody_is_let_in(self, polling: Stage, vendor: Vendor) -> None:
        handoff = await polling.request()
        assert (await polling.ask(signed(vendor.take(handoff.chat_id or ""), ""))).status == 401

    async def test_what_is_no_business_of_ours(self, stage: Stage, vendor: Vendor) -> None:
        handoff = await talking(stage, vendor)
        call = vendor.webhook("chat_properties_updated", {"chat_id": handoff.chat_id}, handoff.chat_id or "")
        assert (await stage.ask(signed(call))).status == 200

    async def test_a_whisper_never_reaches_the_user(self, stage: Stage, vendor: Vendor) -> None:
        handoff = await talking(stage, vendor)
        chat_id = handoff.chat_id or ""
        await stage.ask(signed(vendor.write(chat_id, "is she a VIP?", visibility="agents")))
        await stage.ask(signed(vendor.write(chat_id, "hello")))
        await stage.until(lambda: stage.heard() == ["hello"])

    async def test_a_whisper_that_is_edited_or_in_the_chat_that_comes_in_never_reaches_the_user(
        self, stage: Stage, vendor: Vendor
    ) -> None:
        chat_id = (await talking(stage, vendor)).chat_id or ""
        vendor.shows_whispers = True
        vendor.write(chat_id, "is she a VIP?", "W1", visibility="agents")
        chat = {"chat": vendor.shown_chat(chat_of(vendor))}
        edited = vendor.edit(chat_id, "W1", "she is a VIP")
        for call in (vendor.webhook("incoming_chat", chat, chat_id), edited, edited):
            assert (await stage.ask(signed(call))).status == 200
        await stage.ask(signed(vendor.write(chat_id, "hello")))
        await stage.until(lambda: stage.heard() == ["hello"])

    async def test_what_the_user_wrote_does_not_come_back(self, stage: Stage, vendor: Vendor) -> None:
        await talking(stage, vendor)
        chat = chat_of(vendor)
        assert (await stage.ask(signed(vendor.write(chat.id, "an echo", agent=chat.customer)))).status == 200
        await stage.ask(signed(vendor.write(chat.id, "hello")))
        await stage.until(lambda: stage.heard() == ["hello"])

    async def test_an_agent_who_writes_before_the_chat_is_open(self, stage: Stage, vendor: Vendor, wire: Wire) -> None:
        with wire.held("*/start_chat"):
            opening = asyncio.create_task(stage.request())
            await stage.until(lambda: vendor.chats)
            assert (await stage.ask(signed(vendor.take(chat_of(vendor).id)))).status == 200
            assert (await stage.ask(signed(vendor.write(chat_of(vendor).id, "I am quick")))).status == 200
        assert (await opening).status is Status.ACTIVE
        await stage.until(lambda: stage.heard() == ["I am quick"])

    async def test_an_edited_message_is_said_again_once(self, stage: Stage, vendor: Vendor) -> None:
        handoff = await talking(stage, vendor)
        chat_id = handoff.chat_id or ""
        await stage.ask(signed(vendor.write(chat_id, "at nine", "E1")))
        unchanged = vendor.edit(chat_id, "E1", "at nine")
        changed = vendor.edit(chat_id, "E1", "at ten")
        for call in (unchanged, changed, changed):
            assert (await stage.ask(signed(call))).status == 200
        await stage.ask(signed(vendor.write(chat_id, "ok?", "E2")))
        await stage.until(lambda: stage.heard()[-1:] == ["ok?"])
        assert stage.heard() == ["at nine", "✎ at ten", "ok?"]

    async def test_an_edit_that_a_look_has_seen_before_its_webhook_comes(
        self, tmp_path: Path, wire: Wire, vendor: Vendor
    ) -> None:
        async with staged(tmp_path, wire, poll_every="30ms", repair_every="30ms") as stage:
            chat_id = (await talking(stage, vendor)).chat_id or ""
            await stage.ask(signed(vendor.write(chat_id, "at nine", "E1")))
            edited = vendor.edit(chat_id, "E1", "at ten")
            looks = len(asked(wire, "list_threads"))
            await stage.until(lambda: len(asked(wire, "list_threads")) > looks + 2)
            assert (await stage.ask(signed(edited))).status == 200
            await stage.until(lambda: stage.heard() == ["at nine", "✎ at ten"])

    async def test_an_edit_that_overtakes_its_message(self, stage: Stage, vendor: Vendor) -> None:
        handoff = await talking(stage, vendor)
        chat_id = handoff.chat_id or ""
        late = vendor.write(chat_id, "at nine", "E1")
        late.body["payload"]["event"] = dict(late.body["payload"]["event"])
        await stage.ask(signed(vendor.edit(chat_id, "E1", "at ten")))
        await stage.ask(signed(late))
        await stage.ask(signed(vendor.write(chat_id, "ok?", "E2")))
        await stage.until(lambda: stage.heard() == ["at ten", "ok?"])

    async def test_a_deleted_message_is_said_to_be_taken_back_once(self, stage: Stage, vendor: Vendor) -> None:
        chat_id = (await talking(stage, vendor)).chat_id or ""
        await stage.ask(signed(vendor.write(chat_id, "oops", "E1")))
        deleted = vendor.delete(chat_id, "E1")
        for _ in range(2):
            assert (await stage.ask(signed(deleted))).status == 200
        await stage.ask(signed(vendor.write(chat_id, "hello", "E2")))
        await stage.until(lambda: stage.heard()[-1:] == ["hello"])
        assert stage.heard() == ["oops", "✎ (A message was taken back.)", "hello"]

    @pytest.mark.parametrize(("text", "heard"), [("", []), ("(forget it)", ["(forget it)"])])
    async def test_what_is_said_of_a_deleted_message_is_a_setting(
        self, tmp_path: Path, wire: Wire, vendor: Vendor, text: str, heard: list[str]
    ) -> None:
        async with staged(tmp_path, wire, deleted_text=text) as stage:
            chat_id = (await talking(stage, vendor)).chat_id or ""
            await stage.ask(signed(vendor.write(chat_id, "oops", "E1")))
            await stage.ask(signed(vendor.delete(chat_id, "E1")))
            await stage.ask(signed(vendor.write(chat_id, "hello", "E2")))
            await stage.until(lambda: stage.heard()[-1:] == ["hello"])
            assert stage.heard() == ["oops", *heard, "hello"]

    async def test_what_the_user_never_read_is_not_taken_back(self, stage: Stage, vendor: Vendor) -> None:
        chat_id = (await talking(stage, vendor)).chat_id or ""
        await stage.ask(signed(vendor.write(chat_id, "is she a VIP?", "W1", visibility="agents")))
        await stage.ask(signed(vendor.delete(chat_id, "W1")))
        await stage.ask(signed(vendor.write(chat_id, "hello", "E2")))
        await stage.until(lambda: stage.heard()[-1:] == ["hello"])
        assert stage.heard() == ["hello"]

    @pytest.mark.parametrize("read_before", [True, False])
    async def test_what_waits_for_the_user_is_taken_back_without_a_word(
        self, stage: Stage, vendor: Vendor, read_before: bool
    ) -> None:
        chat_id = (await talking(stage, vendor)).chat_id or ""
        away = [UserAway("the user is not there")] * 100

        async def waits() -> bool:
            return any(each.attempts for each in await stage.runtime.store.read(deliveries.pending))

        stage.user_trouble = [] if read_before else away
        await stage.ask(signed(vendor.write(chat_id, "oops", "E1")))
        if read_before:
            await stage.until(lambda: stage.heard() == ["oops"])
            stage.user_trouble = away
            await stage.ask(signed(vendor.edit(chat_id, "E1", "ooops")))
        await stage.until(waits)
        if not read_before:
            await stage.ask(signed(vendor.edit(chat_id, "E1", "ooops")))
        assert (await stage.ask(signed(vendor.delete(chat_id, "E1")))).status == 200
        stage.user_trouble = []
        await stage.ask(signed(vendor.write(chat_id, "hello", "E2")))
        stage.pass_time(120.0)
        await stage.until(lambda: stage.heard()[-1:] == ["hello"])
        assert stage.heard() == (["oops", "✎ (A message was taken back.)", "hello"] if read_before else ["hello"])

    async def test_a_deletion_that_overtakes_its_message_and_an_edit(self, stage: Stage, vendor: Vendor) -> None:
        chat_id = (await talking(stage, vendor)).chat_id or ""
        late = [vendor.write(chat_id, "oops", "E1"), vendor.edit(chat_id, "E1", "ooops")]
        for call in (vendor.delete(chat_id, "E1"), *late, vendor.write(chat_id, "hello", "E2")):
            assert (await stage.ask(signed(call))).status == 200
        await stage.until(lambda: stage.heard()[-1:] == ["hello"])
        assert stage.heard() == ["hello"]

    async def test_an_edit_that_comes_behind_the_deletion(self, stage: Stage, vendor: Vendor) -> None:
        chat_id = (await talking(stage, vendor)).chat_id or ""
        await stage.ask(signed(vendor.write(chat_id, "at nine", "E1")))
        late = vendor.edit(chat_id, "E1", "at ten")
        for call in (vendor.delete(chat_id, "E1"), late, vendor.write(chat_id, "hello", "E2")):
            assert (await stage.ask(signed(call))).status == 200
        await stage.until(lambda: stage.heard()[-1:] == ["hello"])
        assert stage.heard() == ["at nine", "✎ (A message was taken back.)", "hello"]

    async def test_what_the_agents_have_read_reaches_the_users_side(
        self, stage: Stage, vendor: Vendor, wire: Wire
    ) -> None:
        chat_id = (await talking(stage, vendor)).chat_id or ""
        first = await stage.say("one")
        await stage.until(stage.all_sent)
        stage.pass_time(10.0)
        wire.fail(503, times=1, path="*/send_event", Retry_After="60")
        await stage.say("two, which does not arrive")
        await stage.until(lambda: is_tried_again(stage))
        for who, until in ((chat_of(vendor).customer, 5.0), (AGENT, -5.0), (AGENT, 5.0)):
            seen = {"user_id": who, "chat_id": chat_id, "seen_up_to": rfc3339(stage.now() + until)}
            assert (await stage.ask(signed(vendor.webhook("events_marked_as_seen", seen, chat_id)))).status == 200
        assert first is not None
        await stage.until(lambda: reads(stage) == [first.message_id])

    async def test_a_joined_agent_may_be_told_again_in_any_order(self, stage: Stage, vendor: Vendor) -> None:
        handoff = await stage.request()
        chat_id = handoff.chat_id or ""
        smith, jones = vendor.take(chat_id), vendor.take(chat_id, JONES)
        for call in (smith, jones, smith, jones):
            assert (await stage.ask(signed(call))).status == 200
        agent = (await stage.handoff()).agent
        assert agent is not None
        assert agent.name == "Agent Jones"

    async def test_back_in_the_queue(self, stage: Stage, vendor: Vendor) -> None:
        handoff = await talking(stage, vendor)
        about = {"chat_id": handoff.chat_id, "thread_id": chat_of(vendor).thread.id}
        queue = {"position": 3, "wait_time": 60, "queued_at": "2026-11-20T07:11:28.288340Z"}
        chat_of(vendor).thread.queue, chat_of(vendor).agents = queue, []
        body = {**about, "reason": "manual", "transferred_to": {"group_ids": [19]}, "queue": queue}
        await stage.ask(signed(vendor.webhook("chat_transferred", body, handoff.chat_id or "")))
        found = await stage.handoff()
        assert (found.status, found.queue_position, found.group) == (Status.QUEUED, 3, "19")

    async def test_who_it_went_to_is_found_out(
        self, stage: Stage, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(livechat._LOOK_AFTER, "chat_transferred", 0.05)
        handoff = await stage.request()
        chat_of(vendor).agents, chat_of(vendor).thread.queue = [JONES], None
        body = {"chat_id": handoff.chat_id, "reason": "assigned", "transferred_to": {"agent_ids": [JONES]}}
        await stage.ask(signed(vendor.webhook("chat_transferred", body, handoff.chat_id or "")))
        await stage.until(lambda: is_active(stage))
        agent = (await stage.handoff()).agent
        assert agent is not None
        assert agent.name == "Agent Jones"

    async def test_the_last_agent_leaves(self, stage: Stage, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(livechat._LOOK_AFTER, "user_removed_from_chat", 0.05)
        handoff = await talking(stage, vendor)
        await stage.ask(signed(vendor.leave(handoff.chat_id or "")))
        await stage.until(lambda: "utter_handoff_back_in_queue" in stage.notices())

    async def test_the_last_agent_leaves_and_another_process_hears_of_it(
        self, stage: Stage, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its webhooks come to any process, and the chat is not its own to look at."""
        monkeypatch.setitem(livechat._LOOK_AFTER, "user_removed_from_chat", 0.01)
        handoff = await talking(stage, vendor)
        stage.backend._following._pollers.drop(handoff.id)
        await stage.ask(signed(vendor.leave(handoff.chat_id or "")))
        await stage.until(lambda: "utter_handoff_back_in_queue" in stage.notices())

    async def test_one_of_two_agents_leaves(
        self, stage: Stage, vendor: Vendor, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(livechat._LOOK_AFTER, "user_removed_from_chat", 0.05)
        handoff = await talking(stage, vendor)
        chat_of(vendor).agents.append(JONES)
        before = len(asked(wire, "get_chat"))
        await stage.ask(signed(vendor.leave(handoff.chat_id or "", JONES)))
        await stage.until(lambda: len(asked(wire, "get_chat")) > before)
        await stage.until(lambda: looks_at(stage, handoff).present)  # what it found has been told
        assert (await stage.handoff()).status is Status.ACTIVE
        await stage.ask(signed(vendor.write(handoff.chat_id or "", "I am still here")))
        await stage.until(lambda: stage.heard() == ["I am still here"])
        assert "utter_handoff_back_in_queue" not in stage.notices()

    async def test_their_router_ends_it(self, stage: Stage, vendor: Vendor) -> None:
        handoff = await stage.request()
        await stage.ask(signed(vendor.end(handoff.chat_id or "", agent=None)))
        assert await ended(stage) is EndReason.NOT_ACCEPTED


class TestLooking:
    """Without webhooks; and, with them, what mends a lost one."""

    async def test_a_whole_chat(self, polling: Stage, vendor: Vendor) -> None:
        vendor.shows_whispers = True
        handoff = await talking(polling, vendor)
        chat_id = handoff.chat_id or ""
        await polling.until(lambda: "utter_handoff_joined" in polling.notices())
        vendor.write(chat_id, "is she a VIP?", visibility="agents")
        vendor.write(chat_id, "How can I help?")
        await polling.until(lambda: polling.heard() == ["How can I help?"])
        await polling.say("My bike is broken")
        await polling.until(lambda: texts(vendor)[-1:] == ["My bike is broken"])
        vendor.end(chat_id)
        await polling.until(lambda: ended(polling))
        assert await ended(polling) is EndReason.AGENT_CLOSED
        assert polling.heard() == ["How can I help?"]

    async def test_the_queue_moves(self, polling: Stage, vendor: Vendor) -> None:
        await polling.request()
        chat_of(vendor).thread.queue = {"position": 1, "wait_time": 30}
        await polling.until(lambda: "utter_handoff_queue_moved" in polling.notices())

    async def test_another_agent_takes_over_and_goes(self, polling: Stage, vendor: Vendor) -> None:
        await talking(polling, vendor)
        chat_of(vendor).agents = [JONES]
        await polling.until(lambda: "utter_handoff_transferred" in polling.notices())
        chat_of(vendor).agents = []
        await polling.until(lambda: "utter_handoff_back_in_queue" in polling.notices())

    async def test_an_edit_is_seen(self, polling: Stage, vendor: Vendor) -> None:
        handoff = await talking(polling, vendor)
        vendor.write(handoff.chat_id or "", "at nine", "E1")
        await polling.until(lambda: polling.heard() == ["at nine"])
        vendor.edit(handoff.chat_id or "", "E1", "at ten")
        await polling.until(lambda: polling.heard() == ["at nine", "✎ at ten"])

    async def test_the_end_of_a_thread_behind_which_there_is_another(self, polling: Stage, vendor: Vendor) -> None:
        handoff = await talking(polling, vendor)
        chat = chat_of(vendor)
        vendor.write(chat.id, "goodbye")
        vendor.end(chat.id, kind="routing.archived_inactive")
        vendor._begin(chat, {}, {})  # an agent opens it again at once
        await polling.until(lambda: ended(polling))
        assert await ended(polling) is EndReason.USER_IDLE
        await polling.until(lambda: polling.heard() == ["goodbye"])
        assert (await polling.handoff()).id == handoff.id

    async def test_what_was_said_while_we_were_down_comes_once(self, polling: Stage, vendor: Vendor) -> None:
        handoff = await talking(polling, vendor)
        vendor.write(handoff.chat_id or "", "before")
        await polling.until(lambda: polling.heard() == ["before"])
        await polling.down()
        vendor.write(handoff.chat_id or "", "meanwhile")
        await polling.up()
        await polling.until(lambda: polling.heard()[-1:] == ["meanwhile"])
        assert polling.heard() == ["before", "meanwhile"]

    async def test_a_chat_that_is_open_for_days_repeats_nothing(
        self, tmp_path: Path, wire: Wire, vendor: Vendor
    ) -> None:
        without = {name: value for name, value in section(wire.url, poll_every="30ms").items() if "webhook" not in name}
        async with on_stage(tmp_path, LiveChat, without, secrets=SECRETS, deadlines=PATIENCE) as stage:
            handoff = await talking(stage, vendor)
            vendor.write(handoff.chat_id or "", "three days ago")
            await stage.until(lambda: stage.heard() == ["three days ago"])
            await stage.down()
            stage.now.advance(80 * 3600.0)
            await stage.up()
            await stage.runtime.clock.prune()  # the ids are forgotten
            vendor.write(handoff.chat_id or "", "today", created_at=rfc3339(stage.now()))
            await stage.until(lambda: stage.heard()[-1:] == ["today"])
            assert stage.heard() == ["three days ago", "today"]

    async def test_an_answer_without_threads_does_not_end_a_chat(
        self, polling: Stage, vendor: Vendor, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rasa_handoff.backends.polling._AFTER_FAILURES", (0.02,))
        handoff = await talking(polling, vendor)
        looks = len(asked(wire, "list_threads"))
        wire.respond("POST", "*/list_threads", lambda given: (200, {}))
        await polling.until(lambda: len(asked(wire, "list_threads")) > looks + 4)
        assert (await polling.handoff()).is_open
        vendor.on(wire)
        vendor.write(handoff.chat_id or "", "hello")
        await polling.until(lambda: polling.heard() == ["hello"])

    async def test_their_trouble_is_waited_out(
        self, polling: Stage, vendor: Vendor, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rasa_handoff.backends.polling._AFTER_FAILURES", (0.05,))
        handoff = await talking(polling, vendor)
        wire.fail(503, times=3, path="*/list_threads")
        vendor.write(handoff.chat_id or "", "hello")
        await polling.until(lambda: polling.heard() == ["hello"])

    @pytest.mark.parametrize(
        ("quiet", "seconds"), [(0.0, 3.0), (60.0, 3.0), (200.0, 10.0), (600.0, 30.0), (86_400.0, 30.0)]
    )
    def test_a_quiet_chat_is_looked_at_less_often(self, quiet: float, seconds: float) -> None:
        assert pause(quiet, 3.0) == seconds

    async def test_a_lost_webhook_is_mended(self, tmp_path: Path, wire: Wire, vendor: Vendor) -> None:
        async with staged(tmp_path, wire, repair_every="50ms") as stage:
            handoff = await talking(stage, vendor)
            vendor.write(handoff.chat_id or "", "the webhook of this is lost", "E1")
            both = vendor.write(handoff.chat_id or "", "and this comes both ways", "E2")
            await stage.until(lambda: len(stage.heard()) == 2)
            await stage.ask(signed(both))
            vendor.end(handoff.chat_id or "")
            await stage.until(lambda: ended(stage))
            assert stage.heard() == ["the webhook of this is lost", "and this comes both ways"]

    async def test_a_chat_that_is_over_is_looked_at_no_more(self, polling: Stage, vendor: Vendor, wire: Wire) -> None:
        handoff = await talking(polling, vendor)
        await polling.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=handoff.id)
        await polling.until(lambda: not len(polling.backend._following._pollers))
        looks = len(asked(wire, "list_threads"))
        await asyncio.sleep(0.2)
        assert len(asked(wire, "list_threads")) == looks


async def test_ids_of_agents_do_not_come_between_webhooks_and_looks(tmp_path: Path, wire: Wire, vendor: Vendor) -> None:
    """Webhooks know agents by their e-mail address, the API by a hash, and perhaps by another name."""
    async with staged(tmp_path, wire, repair_every="50ms") as stage:
        handoff = await talking(stage, vendor)
        chat_of(vendor).agents = [JONES]  # as the API names them
        looks = len(asked(wire, "list_threads"))
        await stage.until(lambda: len(asked(wire, "list_threads")) > looks + 2)
        assert "utter_handoff_transferred" not in stage.notices()
        await stage.ask(signed(vendor.write(handoff.chat_id or "", "hello")))
        await stage.until(lambda: stage.heard() == ["hello"])
        [message] = [each.message for _, each in stage.to_user if each.kind == "message"]
        assert message is not None
        assert message.name == "Agent Smith"
    assert HASHED[AGENT] != AGENT


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# Pressed buttons, ratings

YES: Json = {"text": "Yes", "postback_id": "action_yes"}
NO: Json = {"type": "message", "text": "No", "value": "no_thanks", "postback_id": "action_no"}
SHOP: Json = {"type": "url", "text": "Shop", "value": "https://shop.example.com", "postback_id": "open_url"}


async def offered(stage: Stage, vendor: Vendor, *buttons: Json, template_id: str = "quick_replies") -> Handoff:
    """An agent has sent a rich message, and the user sees it."""
    handoff = await talking(stage, vendor)
    await stage.ask(signed(vendor.offer(handoff.chat_id or "", template_id, *buttons)))
    await stage.until(lambda: any(each.message for _, each in stage.to_user))
    return handoff


def answers(vendor: Vendor) -> list[tuple[str, Any]]:
    """What the user said in the chat: each text, and the postback with it."""
    chat = chat_of(vendor)
    said = [each for each in chat.thread.events if each["type"] == "message" and each["author_id"] == chat.customer]
    return [(each["text"], each.get("postback")) for each in said]


@pytest.mark.parametrize("template_id", ["quick_replies", "cards"])
@pytest.mark.parametrize(
    ("said", "text", "postback"),
    [
        ("Yes", "Yes", {"id": "action_yes"}),
        ("no_thanks", "No", {"id": "action_no", "type": "message", "value": "no_thanks"}),
        ("No (no_thanks)", "No", {"id": "action_no", "type": "message", "value": "no_thanks"}),
        ("no", "No", {"id": "action_no", "type": "message", "value": "no_thanks"}),
    ],
)
async def test_a_pressed_button_is_the_answer_to_its_rich_message(
    stage: Stage, vendor: Vendor, wire: Wire, template_id: str, said: str, text: str, postback: Json
) -> None:
    handoff = await offered(stage, vendor, YES, NO, template_id=template_id)
    await stage.say(said)
    await stage.until(stage.all_sent)
    thread = chat_of(vendor).thread
    rich = next(each for each in thread.events if each["type"] == "rich_message")
    where = {"thread_id": thread.id, "event_id": rich["id"]}
    assert answers(vendor) == [(text, {**postback, **where})]
    marked = {"chat_id": handoff.chat_id, **where, "postback": {"id": postback["id"], "toggled": True}}
    assert asked(wire, "send_rich_message_postback") == [marked]


@pytest.mark.parametrize("said", ["Yes, please", "Shop", "https://shop.example.com", "Which one?"])
async def test_other_words_are_plain_text(stage: Stage, vendor: Vendor, wire: Wire, said: str) -> None:
    await offered(stage, vendor, YES, SHOP)
    looks = len(asked(wire, "list_threads"))
    await stage.say(said)
    await stage.until(stage.all_sent)
    assert answers(vendor) == [(said, None)]
    assert asked(wire, "send_rich_message_postback") == []
    assert len(asked(wire, "list_threads")) == looks  # nothing is asked for what is no button's


async def test_a_title_that_is_typed_later_answers_what_was_said_since(
    stage: Stage, vendor: Vendor, wire: Wire
) -> None:
    handoff = await offered(stage, vendor, YES, NO)
    seen = len(stage.heard())
    await stage.ask(signed(vendor.write(handoff.chat_id or "", "Do you have a car?")))
    await stage.until(lambda: len(stage.heard()) > seen)
    await stage.say("Yes")
    await stage.say("no_thanks")  # which only the button says
    await stage.until(stage.all_sent)
    assert [(text, bool(postback)) for text, postback in answers(vendor)] == [("Yes", False), ("No", True)]


async def test_a_press_that_they_do_not_take_is_an_answer_all_the_same(
    stage: Stage, vendor: Vendor, wire: Wire
) -> None:
    await offered(stage, vendor, YES)
    vendor.refuse["send_rich_message_postback"] = [No("validation", "`postback`")]
    await stage.say("Yes")
    await stage.until(stage.all_sent)
    [(text, postback)] = answers(vendor)
    assert (text, postback["id"]) == ("Yes", "action_yes")


async def test_a_press_whose_answer_is_lost_is_said_once(stage: Stage, vendor: Vendor, wire: Wire) -> None:
    await offered(stage, vendor, YES)
    wire.hang_up(path="*/send_rich_message_postback")
    wire.hang_up(path="*/send_event")
    await stage.say("Yes")
    await stage.until(stage.all_sent)
    assert [text for text, _ in answers(vendor)] == ["Yes"]
    assert len(asked(wire, "send_rich_message_postback")) == 2  # the same mark again changes nothing


@pytest.mark.parametrize(
    ("rating", "score", "comment"),
    [
        (Rating(stars=5), 1, "5 of 5"),
        (Rating(stars=4, resolved=False), 1, "4 of 5, not settled"),
        (Rating(stars=3, resolved=True), 1, "3 of 5, settled"),
        (Rating(stars=3), 0, "3 of 5"),
        (Rating(stars=1, resolved=True), 0, "1 of 5, settled"),
    ],
)
async def test_a_rating_is_a_thumb_up_or_down_with_what_that_leaves_out(
    stage: Stage, vendor: Vendor, wire: Wire, rating: Rating, score: int, comment: str
) -> None:
    handoff = await talking(stage, vendor)
    await stage.ask(signed(vendor.end(handoff.chat_id or "")))
    await stage.until(lambda: "settle" in [each.kind for _, each in stage.to_user])
    await stage.runtime.switchboard.rate(rating, sender_id="ann")
    await stage.until(lambda: chat_of(vendor).thread.properties)
    assert chat_of(vendor).thread.properties == {"rating": {"score": score, "comment": comment}}


async def test_a_rating_is_of_the_thread_that_the_handoff_was(stage: Stage, vendor: Vendor, wire: Wire) -> None:
    handoff = await talking(stage, vendor)
    await stage.ask(signed(vendor.end(handoff.chat_id or "")))
    await stage.until(lambda: "settle" in [each.kind for _, each in stage.to_user])
    await stage.request()
    await stage.runtime.switchboard.rate(Rating(stars=5), handoff_id=handoff.id)
    first, second = chat_of(vendor).threads
    await stage.until(lambda: first.properties)
    assert second.properties == {}
