"""Avaamo keeps the contract, says what its documentation has, and answers each odd request clearly."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rasa_handoff import backends
from rasa_handoff.backends.avaamo import (
    Avaamo,
    AvaamoSettings,
    Names,
    chat_request_accepted,
    chat_terminated,
    new_chat_request,
    read_message,
    user_message,
    waiting_request,
)
from rasa_handoff.errors import ConfigError, Malformed
from rasa_handoff.events import AgentMessage
from rasa_handoff.model import Attachment, EndReason, Handoff, Json, Line, Message, Person, Request, Status
from rasa_handoff.settings import read_section
from rasa_handoff.testing import Answered, Asked, BackendContract, Call, Payloads, Stage, Wire, on_stage
from tests.backends.waiting import is_tried_again

payloads = Payloads(__file__)

ACCESS_TOKEN = "access-token-of-the-live-agent"
API_KEY = "api-key-of-the-live-agent"
CLIENT_SECRET = "client-secret-of-the-bot"
ROOT = "live_agent/custom"


class Speaks:
    """How a custom live agent speaks to the Avaamo platform."""

    backend = Avaamo
    secrets = (ACCESS_TOKEN, API_KEY, CLIENT_SECRET)
    numbered = False

    def section(self, url: str) -> Json:
        return {
            "webhook_url": f"{url}/hook?tenant=a",
            "access_token": ACCESS_TOKEN,
            "headers": {"X-Api-Key": API_KEY, "X-Tenant": "a"},
        }

    def signed(self, call: Call) -> Call:
        return call.having(query={"access_token": ACCESS_TOKEN})

    def accepting(self, handoff: Handoff) -> Call:
        return Call(method="PUT", path=f"{ROOT}/conversations/{handoff.chat_id}/accept_chat.json")

    def writing(self, handoff: Handoff, text: str, number: int) -> Call:
        message = {"conversation": {"uuid": handoff.chat_id}, "content": text, "content_type": "text"}
        return Call(method="POST", path=f"{ROOT}/messages.json", body={"message": message})

    def closing(self, handoff: Handoff) -> Call:
        return Call(method="DELETE", path=f"{ROOT}/conversations/{handoff.chat_id}/end_chat.json")

    def requests(self, wire: Wire) -> list[str]:
        return [event["chat_request"]["uuid"] for event in events(wire, "new_chat_request")]

    def said(self, wire: Wire) -> list[tuple[str, str]]:
        return [(event["message"]["uuid"], event["message"]["content"]) for event in events(wire, "user_message")]

    def endings(self, wire: Wire) -> list[Json]:
        return events(wire, "chat_terminated")


def events(wire: Wire, kind: str | None = None) -> list[Json]:
    """What the webhook URL got, or what it got of one type."""
    found = [asked.json["event"] for asked in wire.taken("POST", "/hook")]
    return [event for event in found if kind in (None, event["event_type"])]


def kinds(wire: Wire) -> list[str]:
    return [event["event_type"] for event in events(wire)]


class TestAvaamo(Speaks, BackendContract):
    """With static headers."""


class TestAvaamoByOAuth2(Speaks, BackendContract):
    """With a token of an OAuth2 provider, which is on the same wire."""

    path = "/hook"

    def section(self, url: str) -> Json:
        oauth2 = {"client_id": "bot", "client_secret": CLIENT_SECRET, "authorization_url": f"{url}/token"}
        return {**super().section(url), "oauth2": oauth2}

    def agree(self, wire: Wire) -> None:
        wire.when("POST", "/token", body={"access_token": "t1", "token_type": "Bearer", "expires_in": 3600})


class TestCallingBack(Speaks):
    """A request that is left when nobody is there."""

    CONTACT = {"name": "Ann Lee", "phone": "0151 2345678", "email": "ann@example.com"}  # noqa: RUF012
    NAME = "6a2d01cc-126d-4f00-bbcf-4c281bff4374"

    async def left(self, stage: Stage, wire: Wire) -> Json:
        """The event that the live agent got."""
        request = Request(sender_id="ann", channel="handoff", callback=self.CONTACT)
        await stage.runtime.callbacks.leave(self.NAME, request)
        await stage.until(lambda: events(wire))
        return events(wire)[0]

    async def test_it_is_a_chat_request_with_how_to_reach_the_user(self, tmp_path: Path) -> None:
        with Wire() as wire:
            async with on_stage(tmp_path, Avaamo, self.section(wire.url), secrets=self.secrets) as stage:
                event = await self.left(stage, wire)
        assert (event["event_type"], event["chat_request"]["uuid"]) == ("new_chat_request", self.NAME)
        assert event["user"]["custom_properties"] == {"callback": self.CONTACT}
        assert (event["user"]["display_name"], event["user"]["email"]) == ("Ann Lee", "ann@example.com")

    async def test_nobody_waits_in_it(self, tmp_path: Path) -> None:
        """It is not among the requests that wait, and who takes it or writes in it hears that nobody is there."""
        with Wire() as wire:
            async with on_stage(tmp_path, Avaamo, self.section(wire.url), secrets=self.secrets) as stage:
                await self.left(stage, wire)
                await stage.until(lambda: self.has_chat(stage))
                handoff = await stage.handoff()
                calls = (self.accepting(handoff), self.writing(handoff, "Hello?", 1), self.closing(handoff))
                answers = [await stage.ask(self.signed(call)) for call in calls]
                listed = await stage.ask(self.signed(Call(method="GET", path=f"{ROOT}/conversations/requests.json")))
                assert [answer.status for answer in answers] == [409, 409, 204]
                assert listed.json == {"requests": []}
                assert stage.to_user == []

    async def has_chat(self, stage: Stage) -> bool:
        return (await stage.handoff()).chat_id is not None


# -- what we say, object by object ------------------------------------------------------------

BARE: Json = {"webhook_url": "https://agents.example.com/hook", "access_token": ACCESS_TOKEN}
BOT = {
    "name": "Mac Pizza Agent ",
    "description": "Order Pizzas and more",
    "uuid": "4a94ec00-c368-4e1b-946a-e8cc04172812",
}
USER = {
    "first_name": "slot:first_name",
    "last_name": "slot:last_name",
    "email": "slot:email",
    "device_uuid": "metadata:device.id",
    "last_visited_page": "metadata:page",
}
SAMPLE = AvaamoSettings(**BARE, bot=BOT, user=USER)
NAMES = Names("the server's own secret")
REQUEST = Request(
    sender_id="dashboard_admin_test_user_273",
    channel="web",
    parameters={"first_name": "John", "last_name": "C"},
    metadata={"page": "https://cx.avaamo.com/", "device": {"id": "fc12568a-f5dd-468c-bc88-d800ce2d362c"}},
)
HANDOFF = Handoff(
    id="6a2d01cc-126d-4f00-bbcf-4c281bff4374",
    sender_id=REQUEST.sender_id,
    channel="web",
    backend="avaamo",
    status=Status.ACTIVE,
    chat_id="e3889415d95b7ffc7a00e0048265c4b9",
    opened_at=1571122425.9567587,
    accepted_at=1571123874.0260987,
    closed_at=1571125260.8660843,
)
MESSAGE = Message(
    id="a7b34601-8031-49ac-a9d7-6c4c5e9d93b3", who="user", text="I am unable to place order", at=1571124082.887109
)


def as_documented(said: Json, sample: Json) -> Json:
    """*said* with what cannot be as in the sample: ids of ours, and the user's, which only the table has."""
    said = {**said, "uuid": sample["uuid"]}
    if "user" in said:
        assert said["user"].pop("uuid") == NAMES.uuid("user", REQUEST.sender_id)
    return said


def test_a_new_chat_request_is_as_documented() -> None:
    sample = payloads["new_chat_request"]["event"]
    assert as_documented(new_chat_request(SAMPLE, NAMES, HANDOFF, REQUEST), sample) == sample


def test_an_accepted_chat_request_is_as_documented() -> None:
    sample = payloads["chat_request_accepted"]["event"]
    assert as_documented(chat_request_accepted(SAMPLE, NAMES, HANDOFF, REQUEST), sample) == sample


def test_a_users_message_is_as_documented() -> None:
    sample = payloads["user_message"]["event"]
    said = as_documented(user_message(SAMPLE, NAMES, HANDOFF, REQUEST, MESSAGE), sample)
    # The event is as old as the message, so that it is the same when it is sent again.
    assert said == {**sample, "created_at": sample["message"]["created_at"]}


def test_the_end_of_a_chat_is_as_documented() -> None:
    sample = payloads["chat_terminated"]["event"]
    assert as_documented(chat_terminated(SAMPLE, NAMES, HANDOFF, REQUEST), sample) == sample


def test_a_waiting_request_is_as_documented() -> None:
    (sample,) = payloads["requests"]["requests"]
    user = {**USER, "custom_properties": {"email": "text:john@avaamo.com"}}
    said = waiting_request(AvaamoSettings(**BARE, bot=BOT, user=user), NAMES, HANDOFF, REQUEST)
    assert as_documented(said, sample) == sample


def test_what_is_unknown_of_a_user_is_null() -> None:
    said = new_chat_request(AvaamoSettings(**BARE), NAMES, HANDOFF, Request(sender_id="u1", channel="rest"))
    assert said["user"] == {
        "uuid": NAMES.uuid("user", "u1"),
        "first_name": None,
        "last_name": None,
        "email": None,
        "custom_properties": {},
        "display_name": None,
        "layer_id": "u1",
        "device": {
            "device_uuid": NAMES.uuid("device", "rest:u1"),
            "channel_name": "rest",
            "last_visited_page": None,
        },
    }
    assert said["conversation"]["display_name"] == said["bot"]["display_name"] == "Bot"


def test_custom_properties_are_of_any_type_and_from_anywhere() -> None:
    custom = {
        "topics": "slot:topics",
        "vip": "metadata:customer.vip",
        "dotted": "metadata:a.b",
        "talk": "request:transcript",
        "last": "request:last_message",
        "group": "request:group",
        "priority": "request:priority",
        "fixed": "text:a: b",
        "none": "slot:nothing",
    }
    settings = AvaamoSettings(**BARE, user={"custom_properties": custom})
    request = replace(
        REQUEST,
        parameters={"topics": ["a", 1]},
        metadata={"customer": {"vip": True}, "a.b": 2},
        transcript=(Line(who="user", text="hi"), Line(who="bot", text="hello")),
        last_message="a person",
        group="billing",
        priority="high",
    )
    assert new_chat_request(settings, NAMES, HANDOFF, request)["user"]["custom_properties"] == {
        "topics": ["a", 1],
        "vip": True,
        "dotted": 2,
        "talk": "user: hi\nbot: hello",
        "last": "a person",
        "group": "billing",
        "priority": "high",
        "fixed": "a: b",
        "none": None,
    }


def test_a_picture_goes_as_text_which_is_all_the_protocol_has() -> None:
    message = replace(MESSAGE, attachments=(Attachment(url="https://example.com/bike.jpg", kind="image"),))
    said = user_message(SAMPLE, NAMES, HANDOFF, REQUEST, message)["message"]
    assert said["content"] == "I am unable to place order\n[image: https://example.com/bike.jpg]"


def test_ids_are_the_same_for_a_user_and_tell_nothing() -> None:
    assert NAMES.conversation("ann") == NAMES.conversation("ann")
    assert NAMES.conversation("ann") not in (NAMES.conversation("bob"), Names("another secret").conversation("ann"))
    assert len(NAMES.conversation("ann")) == len(payloads["user_message"]["event"]["conversation"]["uuid"])
    assert set(NAMES.conversation("ann")) <= set("0123456789abcdef")


# -- what they say ----------------------------------------------------------------------------


def test_an_agents_message_is_read() -> None:
    assert read_message(payloads["message"], SAMPLE) == AgentMessage(
        chat_id="e3889415d95b7ffc7a00e0048265c4b9",
        agent=Person(name="An agent"),
        text="Can you elaborate more on the order you were trying to place?",
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"content": None}, "content"),
        ({"content": " "}, "content"),
        ({"content": 7}, "content"),
        ({"content_type": "image"}, "content_type"),
        ({"conversation": None}, "conversation"),
        ({"conversation": {}}, "uuid"),
    ],
)
def test_what_cannot_be_read_is_named_and_not_shown(change: Json, field: str) -> None:
    payload = payloads["message"]
    payload["message"].update(change)
    with pytest.raises(Malformed, match=field) as refused:
        read_message(payload, SAMPLE)
    assert "elaborate" not in str(refused.value)


# -- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"webhook_url": None}, "backends.avaamo.webhook_url: is missing"),
        ({"webhook_url": "agents.example.com"}, "backends.avaamo.webhook_url: must be an http"),
        ({"access_token": "short"}, "backends.avaamo.access_token: is shorter than 16 characters"),
        ({"access_token": ""}, "backends.avaamo.access_token: is shorter than 16 characters"),
        ({"headers": {"Content-Type": "x"}}, "backends.avaamo.headers: must not have Content-Type"),
        ({"headers": {"X-Key": "a\nb"}}, "backends.avaamo.headers: cannot be sent: 'X-Key'"),
        ({"repeats_within": "soon"}, "backends.avaamo.repeats_within: is not a duration"),
        ({"user": {"email": "slot"}}, "backends.avaamo.user.email: does not say where"),
        ({"user": {"email": "request:shoe_size"}}, "backends.avaamo.user.email: there is no such thing"),
        ({"user": {"custom_properties": {"a": "b"}}}, "backends.avaamo.user.custom_properties.a: does not say"),
        ({"user": {"shoe_size": "slot:a"}}, "backends.avaamo.user.shoe_size: there is no such setting"),
        ({"oauth2": {"client_id": "a"}}, "backends.avaamo.oauth2.client_secret: is missing"),
        (
            {"oauth2": {"client_id": "a", "client_secret": "", "authorization_url": "https://a.example/token"}},
            "backends.avaamo.oauth2.client_secret: is empty",
        ),
        (
            {"oauth2": {"client_id": "a", "client_secret": "b", "authorization_url": "example"}},
            "backends.avaamo.oauth2.authorization_url: must be an http",
        ),
        (
            {
                "headers": {"Authorization": "x"},
                "oauth2": {"client_id": "a", "client_secret": "b", "authorization_url": "https://a.example/token"},
            },
            "backends.avaamo.headers: must not have Authorization",
        ),
    ],
)
def test_wrong_settings_are_named_with_the_remedy(change: Json, fault: str) -> None:
    section = {**Speaks().section("https://agents.example.com"), **change}
    section = {name: value for name, value in section.items() if value is not None}
    with pytest.raises(ConfigError, match=fault):
        read_section({"backends": {"avaamo": section}}, backends.settings_models())


# -- request by request -----------------------------------------------------------------------


@pytest.fixture
def live() -> BackendContract:
    """The live agent, and what it asks of us."""
    return TestAvaamo()


@pytest_asyncio.fixture
async def stage(live: BackendContract, tmp_path: Path, wire: Wire) -> AsyncIterator[Stage]:
    async with live.on_stage(tmp_path, wire) as stage:
        yield stage


async def get_requests(stage: Stage) -> Any:
    path = f"{ROOT}/conversations/requests.json"
    answer = await stage.ask(Call(method="GET", path=path, query={"access_token": ACCESS_TOKEN}))
    assert answer.status == 200
    return answer.json["requests"]


def code_of(answer: Answered) -> tuple[int, str]:
    return answer.status, answer.json["error"]["code"]


async def test_every_request_has_the_static_headers(stage: Stage, wire: Wire) -> None:
    await stage.request()
    (asked,) = wire.asked
    assert (asked.headers["x-api-key"], asked.headers["x-tenant"]) == (API_KEY, "a")
    assert (asked.query, asked.headers["content-type"]) == ({"tenant": "a"}, "application/json")
    assert "authorization" not in asked.headers


async def test_the_conversation_stays_and_the_request_is_new(live: BackendContract, stage: Stage, wire: Wire) -> None:
    for _ in range(2):
        handoff = await live.talking(stage)
        await live.ask(stage, live.closing(handoff))
        await stage.until(lambda: _is_over(stage))
    first, second = events(wire, "new_chat_request")
    assert first["conversation"] == second["conversation"]
    assert first["chat_request"]["uuid"] != second["chat_request"]["uuid"]
    assert first["uuid"] != second["uuid"]


async def _is_over(stage: Stage) -> bool:
    return (await stage.handoff()).settled


async def test_waiting_requests_can_be_retrieved(live: BackendContract, stage: Stage, wire: Wire) -> None:
    ann = await stage.request("ann")
    stage.pass_time(1.0)
    bob = await stage.request("bob")
    found = await get_requests(stage)
    assert [each["uuid"] for each in found] == [ann.id, bob.id]
    assert [each["conversation"]["uuid"] for each in found] == [ann.chat_id, bob.chat_id]
    assert all(isinstance(each["created_at"], int) for each in found)
    assert [each["user"] for each in found] == [each["user"] for each in events(wire, "new_chat_request")]
    await live.accept(stage, ann)
    assert [each["uuid"] for each in await get_requests(stage)] == [bob.id]
    await live.ask(stage, live.closing(bob))
    assert await get_requests(stage) == []


async def test_a_request_can_be_retrieved_while_it_is_being_sent(stage: Stage, wire: Wire) -> None:
    with wire.held():
        opening = asyncio.create_task(stage.request())
        await stage.until(lambda: wire.asked)
        (found,) = await get_requests(stage)
    assert found["uuid"] == (await opening).id


async def test_accepting_is_answered_and_confirmed(live: BackendContract, stage: Stage, wire: Wire) -> None:
    handoff = await stage.request()
    answer = await live.ask(stage, live.accepting(handoff))
    assert answer.status == 200
    assert answer.json == {"conversation": {"uuid": handoff.chat_id, "display_name": "Bot"}}
    await stage.until(lambda: "chat_request_accepted" in kinds(wire))
    accepted = events(wire, "chat_request_accepted")[0]
    assert accepted["chat_request"] == {"uuid": handoff.id}
    assert accepted["conversation"] == answer.json["conversation"]
    await stage.until(lambda: "utter_handoff_joined" in stage.notices())


async def test_accepting_twice_is_answered_alike_and_confirmed_once(
    live: BackendContract, stage: Stage, wire: Wire
) -> None:
    handoff = await stage.request()
    first, second = await asyncio.gather(*(live.ask(stage, live.accepting(handoff)) for _ in range(2)))
    assert (first.status, first.json) == (second.status, second.json)
    await stage.say("hello")
    await stage.until(lambda: "user_message" in kinds(wire))
    assert kinds(wire).count("chat_request_accepted") == 1
    await live.ask(stage, live.writing(handoff, "Good morning", 1))
    await stage.until(lambda: stage.heard() == ["Good morning"])
    assert stage.notices().count("utter_handoff_joined") == 1


async def test_an_answer_to_a_message_is_as_documented(live: BackendContract, stage: Stage) -> None:
    handoff = await live.talking(stage)
    call = live.writing(handoff, payloads["message"]["message"]["content"], 1)
    answer = await live.ask(stage, call)
    sample = payloads["message_answer"]["message"]
    said = answer.json["message"]
    assert answer.status == 200
    assert said == {**sample, "uuid": said["uuid"], "created_at": said["created_at"]}
    assert [type(value) for value in said.values()] == [type(value) for value in sample.values()]


async def test_the_same_words_at_once_are_a_repeat_and_later_they_are_meant(
    live: BackendContract, stage: Stage
) -> None:
    handoff = await live.talking(stage)
    call = live.writing(handoff, "Yes", 1)
    first, repeat = await live.ask(stage, call), await live.ask(stage, call)
    stage.pass_time(11.0)
    second = await live.ask(stage, call)
    assert first.json["message"]["uuid"] == repeat.json["message"]["uuid"] != second.json["message"]["uuid"]
    await stage.until(lambda: stage.heard() == ["Yes", "Yes"])


async def test_answering_before_accepting_is_refused(live: BackendContract, stage: Stage, wire: Wire) -> None:
    handoff = await stage.request()
    assert code_of(await live.ask(stage, live.writing(handoff, "Hello Ann", 1))) == (409, "not_accepted")
    assert (await stage.handoff()).status is Status.QUEUED
    await live.accept(stage, handoff)
    assert (await live.ask(stage, live.writing(handoff, "Hello Bob", 1))).status == 200
    await stage.until(lambda: stage.heard() == ["Hello Bob"])


async def test_what_the_user_says_in_the_queue_waits_for_the_agent(
    live: BackendContract, stage: Stage, wire: Wire
) -> None:
    handoff = await stage.request()
    await stage.say("it is about order 4711")
    await stage.say("and it is urgent")
    await asyncio.sleep(0.1)
    assert kinds(wire) == ["new_chat_request"]
    await live.accept(stage, handoff)
    await stage.say("hello")
    await stage.until(lambda: len(events(wire)) == 5)
    assert kinds(wire) == ["new_chat_request", "chat_request_accepted", *["user_message"] * 3]
    assert live.texts(wire) == ["it is about order 4711", "and it is urgent", "hello"]


async def test_what_waits_for_the_agent_survives_a_restart(live: BackendContract, stage: Stage, wire: Wire) -> None:
    handoff = await stage.request()
    await stage.say("it is about order 4711")
    await stage.restart()
    await asyncio.sleep(0.1)
    assert kinds(wire) == ["new_chat_request"]
    await live.accept(stage, handoff)
    await stage.until(lambda: live.texts(wire) == ["it is about order 4711"])


async def test_ending_before_accepting_is_a_rejection(live: BackendContract, stage: Stage, wire: Wire) -> None:
    handoff = await stage.request()
    await stage.say("is anybody there?")
    answer = await live.ask(stage, live.closing(handoff))
    assert (answer.status, answer.body) == (204, b"")
    ended = await stage.handoff()
    assert (ended.status, ended.end_reason) == (Status.CLOSED, EndReason.REJECTED)
    await stage.until(lambda: "chat_terminated" in kinds(wire))
    await stage.until(lambda: _is_over(stage))
    assert kinds(wire) == ["new_chat_request", "chat_terminated"]


async def test_rejecting_before_the_request_is_answered(live: BackendContract, stage: Stage, wire: Wire) -> None:
    with wire.held():
        opening = asyncio.create_task(stage.request())
        await stage.until(lambda: wire.asked)
        assert (await live.ask(stage, live.closing(await stage.handoff()))).status == 204
    handoff = await opening
    assert (handoff.status, handoff.end_reason) == (Status.CLOSED, EndReason.REJECTED)


async def test_ending_is_answered_with_nothing_and_told_back(live: BackendContract, stage: Stage, wire: Wire) -> None:
    handoff = await live.talking(stage)
    for _ in range(2):  # twice is once
        answer = await live.ask(stage, live.closing(handoff))
        assert (answer.status, answer.body) == (204, b"")
    await stage.until(lambda: "chat_terminated" in kinds(wire))
    await stage.until(lambda: _is_over(stage))
    assert kinds(wire) == ["new_chat_request", "chat_request_accepted", "chat_terminated"]
    asked, ended = events(wire, "new_chat_request")[0], events(wire, "chat_terminated")[0]
    assert [ended[name] for name in ("conversation", "bot", "user")] == [
        asked[name] for name in ("conversation", "bot", "user")
    ]


async def test_after_the_end_each_request_says_why_not(live: BackendContract, stage: Stage) -> None:
    handoff = await live.talking(stage)
    await live.ask(stage, live.closing(handoff))
    for call in (live.accepting(handoff), live.writing(handoff, "are you there?", 1)):
        assert code_of(await live.ask(stage, call)) == (409, "agent_closed")


async def test_an_unknown_uuid_is_not_found(live: BackendContract, stage: Stage) -> None:
    handoff = replace(await stage.request(), chat_id="f" * 32)
    for call in (live.accepting(handoff), live.writing(handoff, "are you there?", 1), live.closing(handoff)):
        assert code_of(await live.ask(stage, call)) == (404, "unknown")


async def test_something_else_than_text_is_refused(live: BackendContract, stage: Stage) -> None:
    handoff = await live.talking(stage)
    call = live.writing(handoff, "https://example.com/picture.png", 1)
    call.body["message"]["content_type"] = "image"
    answer = await live.ask(stage, call)
    assert code_of(answer) == (400, "malformed")
    assert "content_type" in answer.json["error"]["message"]
    assert stage.heard() == []


@pytest.mark.parametrize("where", ["query", "header"])
async def test_the_token_goes_in_the_query_or_as_a_bearer(live: BackendContract, stage: Stage, where: str) -> None:
    handoff = await stage.request()
    call = live.accepting(handoff)
    good = {"query": {"access_token": ACCESS_TOKEN}, "header": {"Authorization": f"Bearer {ACCESS_TOKEN}"}}
    proof = {"query": good["query"]} if where == "query" else {"headers": good["header"]}
    assert (await stage.ask(call)).status == 401
    assert (await stage.ask(call.having(**proof))).status == 200


async def test_the_end_is_not_told_when_the_user_has_asked_again(
    live: BackendContract, stage: Stage, wire: Wire
) -> None:
    handoff = await live.talking(stage)
    wire.fail(503, path="/hook", Retry_After="60")
    await live.ask(stage, live.closing(handoff))
    await stage.until(lambda: _is_over(stage))
    await stage.until(lambda: is_tried_again(stage))
    again = await stage.request()
    stage.pass_time(61.0)
    await stage.until(stage.all_sent)
    assert again.is_open
    assert "chat_terminated" not in kinds(wire)


async def test_the_same_event_has_the_same_uuid_when_it_is_sent_again(
    live: BackendContract, stage: Stage, wire: Wire
) -> None:
    await live.talking(stage)
    await stage.until(lambda: "chat_request_accepted" in kinds(wire))
    wire.hang_up()
    await stage.say("only once")
    await stage.until(lambda: len(live.said(wire)) == 2)
    first, second = events(wire, "user_message")
    assert first == second


# -- OAuth2 -----------------------------------------------------------------------------------


class Provider:
    """An OAuth2 provider on the wire: numbers its tokens, and the webhook takes only the last."""

    def __init__(self, wire: Wire, **answer: Any) -> None:
        self.wire = wire
        self.answer = {"token_type": "bearer", "expires_in": 3600, **answer}
        self.good = ""
        wire.respond("POST", "/token", self._give)
        wire.respond("POST", "/hook", self._take)

    def _give(self, asked: Asked) -> tuple[int, Json]:
        self.good = f"token-{len(self.given) + 1}"
        return 200, {"access_token": self.good, **self.answer}

    def _take(self, asked: Asked) -> tuple[int, Json]:
        return (200 if asked.headers["authorization"] == f"Bearer {self.good}" else 401), {}

    @property
    def given(self) -> list[Asked]:
        return self.wire.taken("POST", "/token")

    def bearers(self, kind: str | None = None) -> list[str]:
        """The tokens with which it was told of something, or of events of one type."""
        asked = [each for each in self.wire.taken("POST", "/hook") if kind in (None, each.json["event"]["event_type"])]
        return [each.headers["authorization"] for each in asked]


@pytest.fixture
def provider(wire: Wire) -> Provider:
    return Provider(wire)


@pytest_asyncio.fixture
async def secured(tmp_path: Path, wire: Wire, provider: Provider) -> AsyncIterator[Stage]:
    async with TestAvaamoByOAuth2().on_stage(tmp_path, wire) as stage:
        yield stage


async def test_a_token_is_fetched_by_client_credentials_and_kept(
    live: BackendContract, secured: Stage, provider: Provider
) -> None:
    await live.talking(secured)
    await secured.until(lambda: len(provider.bearers()) == 2)
    assert provider.bearers() == ["Bearer token-1"] * 2
    (asked,) = provider.given
    assert asked.body == b"grant_type=client_credentials"
    assert asked.headers["authorization"] == f"Basic {b64encode(b'bot:' + CLIENT_SECRET.encode()).decode()}"
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"


async def test_a_token_is_replaced_shortly_before_it_expires(
    live: BackendContract, secured: Stage, provider: Provider
) -> None:
    await secured.request("ann")
    secured.pass_time(3500)
    await secured.request("bob")
    secured.pass_time(71)
    await secured.request("cem")
    assert provider.bearers("new_chat_request") == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


async def test_a_token_that_was_revoked_is_fetched_anew_and_the_call_repeated(
    secured: Stage, provider: Provider
) -> None:
    await secured.request("ann")
    provider.good = "another"
    assert (await secured.request("bob")).is_open
    assert provider.bearers() == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


async def test_a_call_is_repeated_once_and_no_more(secured: Stage, wire: Wire, provider: Provider) -> None:
    wire.when("POST", "/hook", 403)
    handoff = await secured.request()
    assert handoff.end_reason is EndReason.FAILED
    assert provider.bearers() == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_is_no_fault_of_the_token_asks_for_no_new_one(
    secured: Stage, wire: Wire, provider: Provider, status: int
) -> None:
    wire.when("POST", "/hook", status)
    await secured.request()
    assert provider.bearers() == ["Bearer token-1"]


async def test_one_token_is_fetched_however_many_wait(secured: Stage, wire: Wire, provider: Provider) -> None:
    with wire.held("/token"):
        opening = asyncio.gather(*(secured.request(f"user-{number}") for number in range(20)))
        await secured.until(lambda: provider.given)
    handoffs = await opening
    assert all(handoff.is_open for handoff in handoffs)
    assert len(provider.given) == 1
    provider.good = "another"
    handoffs = await asyncio.gather(*(secured.request(f"other-{number}") for number in range(20)))
    assert all(handoff.is_open for handoff in handoffs)
    assert len(provider.given) == 2


async def test_messages_wait_while_no_token_can_be_had(
    live: BackendContract, secured: Stage, wire: Wire, provider: Provider
) -> None:
    await live.talking(secured)
    await secured.until(lambda: len(provider.bearers()) == 2)
    provider.good = "another"
    wire.fail(401, times=1, path="/token")
    await secured.say("only once")
    await secured.until(lambda: live.texts(wire).count("only once") == 1 and len(provider.given) == 2)
    await secured.until(lambda: provider.bearers()[-1] == "Bearer token-2")
    assert "utter_handoff_undelivered" not in secured.notices()


@pytest.mark.parametrize(
    "answer",
    [
        {"token_type": "mac"},
        {"access_token": ""},
        {"access_token": None},
        {"expires_in": True},
    ],
)
async def test_an_answer_that_is_no_token_opens_nothing(tmp_path: Path, wire: Wire, answer: Json) -> None:
    Provider(wire, **answer)
    async with TestAvaamoByOAuth2().on_stage(tmp_path, wire) as stage:
        assert (await stage.request()).end_reason is EndReason.FAILED
    assert wire.taken("POST", "/hook") == []


@pytest.mark.parametrize("answer", [{"expires_in": None}, {"expires_in": "3600"}, {"token_type": "Bearer"}])
async def test_answers_that_are_seen_in_the_field_are_taken(tmp_path: Path, wire: Wire, answer: Json) -> None:
    provider = Provider(wire, **answer)
    async with TestAvaamoByOAuth2().on_stage(tmp_path, wire) as stage:
        assert (await stage.request("ann")).is_open
        assert (await stage.request("bob")).is_open
    assert len(provider.given) == 1
