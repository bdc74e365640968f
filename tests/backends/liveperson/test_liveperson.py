"""LivePerson through the Connector API: the contract of all backends, and what is its own."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import aiohttp
import jwt
import pytest
import pytest_asyncio

from rasa_handoff import store
from rasa_handoff.backends import settings_models
from rasa_handoff.backends.http import TIMEOUT
from rasa_handoff.backends.liveperson import backend as liveperson
from rasa_handoff.backends.liveperson.backend import LivePerson
from rasa_handoff.backends.liveperson.files import LARGEST
from rasa_handoff.backends.liveperson.order import Order
from rasa_handoff.errors import ConfigError
from rasa_handoff.inbox import Typed
from rasa_handoff.model import Attachment, EndReason, Handoff, Json, Line, Rating, Status
from rasa_handoff.settings import read_section
from rasa_handoff.store import users
from rasa_handoff.testing import Answered, BackendContract, Call, Payloads, Stage, Wire, on_stage
from tests.backends.given import given
from tests.backends.liveperson.vendor import (
    ACCOUNT,
    AGENT,
    CLIENT_ID,
    CLIENT_SECRET,
    CONSUMER,
    CONVERSATION,
    FORMER_SECRET,
    OTHER_AGENT,
    SEND,
    TOKEN,
    LivePersonSide,
    messages,
    signed,
    states,
)

PUBLIC_URL = "https://bot.example.com"
AT_MOST = 2.5  #: seconds that they wait for an answer, on average, before they switch the app off
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100

payloads = Payloads(__file__)


def section(url: str, **more: Any) -> Json:
    known = {"account": ACCOUNT, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "domain_api": url}
    return {**known, "former_client_secret": FORMER_SECRET, **more}


class TestLivePerson(BackendContract):
    """The contract of all backends."""

    backend = LivePerson
    secrets = (CLIENT_SECRET, FORMER_SECRET)
    settings: ClassVar[Json] = {"public_url": PUBLIC_URL}
    path = f"POST {SEND}"
    early = False  # what they tell of a conversation that is not known yet is told again

    def section(self, url: str) -> Json:
        return section(url)

    def agree(self, wire: Wire) -> None:
        self.side = LivePersonSide(wire)

    def signed(self, call: Call) -> Call:
        return signed(call)

    def accepting(self, handoff: Handoff) -> Call:
        return states(self.side.state(handoff.chat_id or "", AGENT))

    def writing(self, handoff: Handoff, text: str, number: int) -> Call:
        return messages(self.side.text(handoff.chat_id or "", text, number))

    def closing(self, handoff: Handoff) -> Call:
        return states(self.side.closed(handoff.chat_id or ""))

    def requests(self, wire: Wire) -> list[str]:
        return list(self.side.conversations)

    def said(self, wire: Wire) -> list[tuple[str, str]]:
        return [(name, event["message"]) for name, event in self.side.said() if not name.startswith("transcript")]

    def endings(self, wire: Wire) -> list[Any]:
        return [each for each in list(self.side.conversations.values()) if not each.open]

    def took(self, answer: Answered) -> bool:
        return answer.status == 200 and answer.json == {}

    def refused(self, answer: Answered) -> bool:
        # A refusal would be told again and again: what cannot have an effect is taken, and called ignored.
        return 400 <= answer.status < 500 or "ignored" in answer.json


# The stage


@pytest.fixture
def side(wire: Wire) -> LivePersonSide:
    return LivePersonSide(wire)


def staged(folder: Path, wire: Wire, **more: Any) -> Any:
    secrets = (CLIENT_SECRET, FORMER_SECRET)
    return on_stage(folder, LivePerson, section(wire.url, **more), secrets=secrets, public_url=PUBLIC_URL)


@pytest_asyncio.fixture
async def stage(tmp_path: Path, wire: Wire, side: LivePersonSide) -> AsyncIterator[Stage]:
    async with staged(tmp_path, wire) as stage:
        side.now = stage.now
        yield stage


async def tell(stage: Stage, call: Call) -> Answered:
    return await stage.ask(signed(call))


async def talking(stage: Stage, side: LivePersonSide) -> str:
    """A conversation with an agent in it; its id."""
    handoff = await stage.request()
    assert (await tell(stage, states(side.state(handoff.chat_id or "", AGENT)))).status == 200
    assert (await stage.handoff()).status is Status.ACTIVE
    return handoff.chat_id or ""


# Opening


async def test_the_two_requests_of_the_documentation_open_a_conversation(
    tmp_path: Path, wire: Wire, side: LivePersonSide
) -> None:
    profile = {"ctype": "slot:tier", "registrationDate.year": "slot:since", "role": "slot:nothing"}
    person = {"firstname": "slot:name", "contacts.email": "slot:email"}
    more: Json = {"customer_info": profile, "personal_info": person, "context": {"lang": "text:de-DE"}}
    more["campaign"] = {"campaign_id": "99999", "engagement_id": "888888"}
    async with staged(tmp_path, wire, **more) as stage:
        slots = {"tier": "vip", "since": 2019, "name": "Ann", "email": "ann@example.com"}
        await stage.request(parameters=slots, group="12345", priority="urgent")
    attributes = [
        {"type": "ctmrinfo", "info": {"ctype": "vip", "registrationDate": {"year": 2019}}},
        {"type": "personal", "personal": {"firstname": "Ann", "contacts": [{"email": "ann@example.com"}]}},
    ]
    wanted = {
        "ttrDefName": "URGENT",
        "channelType": "MESSAGING",
        "brandId": ACCOUNT,
        "skillId": "12345",
        "campaignInfo": {"campaignId": "99999", "engagementId": "888888"},
        "conversationContext": {"lang": "de-DE", "type": "SharkContext"},
    }
    assert side.last.wanted == [
        {
            "kind": "req",
            "id": "1,",
            "type": "userprofile.SetUserProfile",
            "body": {"authenticatedData": {"lp_sdes": attributes}},
        },
        {"kind": "req", "id": "2,", "type": "cm.ConsumerRequestConversation", "body": wanted},
    ]


async def test_without_any_settings_the_request_is_for_any_skill(stage: Stage, side: LivePersonSide) -> None:
    await stage.request(priority="whatever")
    profile, wanted = side.last.wanted
    assert profile["body"] == {}
    assert (wanted["body"]["skillId"], wanted["body"]["ttrDefName"]) == ("-1", "NORMAL")


async def test_each_call_has_both_tokens_bare_and_what_the_user_s_side_can_show(
    stage: Stage, wire: Wire, side: LivePersonSide
) -> None:
    await stage.request()
    (asked,) = wire.taken("POST", CONVERSATION)
    assert asked.headers["authorization"].count(".") == 2
    assert " " not in asked.headers["authorization"]
    assert jwt.decode(asked.headers["x-lp-on-behalf"], options={"verify_signature": False})["account_id"] == ACCOUNT
    features = ["AUTO_MESSAGES", "RICH_CONTENT", "QUICK_REPLIES"]
    assert json.loads(asked.headers["client-properties"]) == {"type": ".ClientProperties", "features": features}


async def test_a_user_is_the_same_consumer_each_time_and_no_other_and_their_name_stays_here(
    stage: Stage, wire: Wire, side: LivePersonSide
) -> None:
    for sender_id in ("ann@example.com", "bob", "ann@example.com"):
        handoff = await stage.request(sender_id)
        await tell(stage, states(side.closed(handoff.chat_id or "")))
    first, other, again = [each.consumer for each in side.conversations.values()]
    assert first == again != other
    everything = b"".join(asked.body + str(asked.headers).encode() for asked in wire.asked)
    assert b"ann@example.com" not in everything
    assert len(wire.taken("POST", CONSUMER)) == 2  # the token does not end, and is kept


async def test_what_is_kept_of_a_consumer_goes_with_the_user_who_is_it(stage: Stage) -> None:
    """Though it is kept under their name there, which tells nothing of who they are."""
    await stage.request()
    await stage.say("hello")
    await stage.until(stage.all_sent)
    rows = await stage.runtime.store.read(lambda tx: tx.all("SELECT scope, sender_id FROM handoff_kept", {}))
    assert sorted(rows) == [("liveperson", "ann"), ("liveperson sent", "ann")]
    await stage.runtime.store.write(lambda tx: users.erase(tx, "ann"))
    assert await stage.runtime.store.read(lambda tx: tx.all("SELECT * FROM handoff_kept", {})) == []


async def test_agents_read_first_what_was_said_before(stage: Stage, side: LivePersonSide) -> None:
    lines = (Line(who="user", text="My bike is broken", at=1.0), Line(who="bot", text="Which part?", at=2.0))
    await stage.request(transcript=lines)
    assert side.texts() == ["Conversation with the bot:\nUser: My bike is broken\nBot: Which part?"]


async def test_a_long_transcript_is_several_messages_in_their_order(stage: Stage, side: LivePersonSide) -> None:
    lines = tuple(Line(who="user", text=f"line number {number}", at=1.0) for number in range(1000))
    await stage.request(transcript=lines)
    assert len(side.texts()) > 1
    assert "".join(side.texts()).count("line number") == 1000
    assert all(len(text) <= 4000 for text in side.texts())


async def test_a_transcript_that_cannot_be_told_opens_nothing(stage: Stage, wire: Wire, side: LivePersonSide) -> None:
    wire.fail(503, path=f"POST {SEND}")
    handoff = await stage.request(transcript=(Line(who="user", text="My bike is broken", at=1.0),))
    assert (handoff.status, handoff.end_reason) == (Status.CLOSED, EndReason.FAILED)
    assert not side.last.open


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        [{"code": "OK", "body": {"msg": "x"}, "reqId": "1,"}],
        [{"code": "ERROR", "body": None, "reqId": "2,"}],
        b"x",
    ],
)
async def test_an_answer_without_a_conversation_leaves_the_bot_in_charge(
    stage: Stage, wire: Wire, side: LivePersonSide, body: Any
) -> None:
    wire.when("POST", CONVERSATION, 200, body)
    handoff = await stage.request()
    assert (handoff.status, handoff.end_reason) == (Status.CLOSED, EndReason.FAILED)


async def test_a_user_who_comes_back_before_the_end_has_arrived_has_one_open_conversation(
    stage: Stage, wire: Wire, side: LivePersonSide
) -> None:
    await talking(stage, side)
    await stage.until(stage.all_sent)
    wire.fail(503, path=f"POST {SEND}")
    await stage.runtime.switchboard.close(EndReason.USER_LEFT, sender_id="ann")
    await stage.until(lambda: not wire._troubles)
    assert (await stage.request()).status is Status.QUEUED
    stage.pass_time(60.0)
    await stage.until(stage.all_sent)
    assert [each.open for each in side.conversations.values()] == [False, True]


async def test_a_conversation_that_nobody_waits_for_is_ended_after_a_crash(
    stage: Stage, wire: Wire, side: LivePersonSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rasa_handoff.backends.liveperson.backend._LEFT_AFTER", 0.0)
    assert (await stage.request("bob")).is_open
    with wire.held(f"POST {SEND}"):
        opening = asyncio.create_task(stage.request(transcript=(Line(who="user", text="a person", at=1.0),)))
        await stage.until(lambda: len(side.conversations) == 2)
        await stage.until(lambda: wire.taken("POST", SEND))
        for task in asyncio.all_tasks():
            if getattr(task.get_coro(), "__qualname__", "") in ("Opening._ask_each", "LivePerson.open"):
                task.cancel()  # in the middle of it, as by a kill
        await asyncio.gather(opening, return_exceptions=True)
    await stage.restart()
    assert (await stage.handoff()).end_reason is EndReason.FAILED
    bobs, anns = side.conversations.values()
    await stage.until(lambda: not anns.open)
    await stage.until(stage.backend._tidying.done)
    await stage.restart()
    await stage.until(stage.backend._tidying.done)
    assert bobs.open
    assert len([each for each in side.sent() if each["type"] == "cm.UpdateConversationField"]) == 1


# Requests whose answer never comes


def endings(side: LivePersonSide) -> list[str]:
    """The conversations that we have ended."""
    return [each["body"]["conversationId"] for each in side.sent() if each["type"] == "cm.UpdateConversationField"]


async def test_a_conversation_whose_answer_got_lost_is_ended_when_there_is_news_of_it(
    stage: Stage, wire: Wire, side: LivePersonSide
) -> None:
    wire.hang_up(path=CONVERSATION)
    assert (await stage.request()).end_reason is EndReason.FAILED
    orphan = side.last
    created = states(side.state(orphan.id))
    assert (await tell(stage, created)).status == 200
    await stage.until(lambda: not orphan.open)
    assert (await tell(stage, created)).json == {"ignored": {"unknown": 1}}
    await stage.until(stage.all_sent)
    assert endings(side) == [orphan.id]
    assert stage.to_user == []


async def test_so_is_one_whose_server_died_before_the_answer_came(
    stage: Stage, wire: Wire, side: LivePersonSide
) -> None:
    with wire.held(f"POST {CONVERSATION}"):
        opening = asyncio.create_task(stage.request())
        await stage.until(lambda: side.conversations)
        for task in asyncio.all_tasks():
            if getattr(task.get_coro(), "__qualname__", "") in ("Opening._ask_each", "LivePerson.open"):
                task.cancel()  # in the middle of it, as by a kill
        await asyncio.gather(opening, return_exceptions=True)
    await stage.restart()
    assert (await stage.handoff()).end_reason is EndReason.FAILED
    wire.fail(503, path=f"POST {SEND}")
    assert (await tell(stage, states(side.state(side.last.id, AGENT)))).status == 200
    await stage.until(lambda: not wire._troubles)
    stage.pass_time(60.0)
    await stage.until(lambda: not side.last.open)


async def test_the_user_may_have_asked_again_meanwhile(stage: Stage, wire: Wire, side: LivePersonSide) -> None:
    """They take no second conversation of a consumer before the first has ended."""
    wire.hang_up(path=CONVERSATION)
    await stage.request()
    orphan = side.last
    assert (await stage.request()).end_reason is EndReason.FAILED
    await tell(stage, states(side.state(orphan.id)))
    await stage.until(lambda: not orphan.open)
    assert (await stage.request()).status is Status.QUEUED
    assert (await tell(stage, states(side.state(side.last.id, AGENT)))).status == 200
    assert (await stage.handoff()).status is Status.ACTIVE
    assert endings(side) == [orphan.id]


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_after_a_clear_no_there_is_nothing_to_be_ended(
    stage: Stage, wire: Wire, side: LivePersonSide, status: int
) -> None:
    """A conversation of this user is then somebody else's doing."""
    wire.fail(status, times=2, path=f"POST {CONVERSATION}")
    assert (await stage.request()).end_reason is EndReason.FAILED
    side.open("another", stage.backend.consumer("ann"))
    assert (await tell(stage, states(side.state("another")))).json == {"ignored": {"unknown": 1}}
    await stage.until(stage.all_sent)
    assert endings(side) == []


async def test_news_of_somebody_else_s_conversation_ends_nothing(
    stage: Stage, wire: Wire, side: LivePersonSide
) -> None:
    wire.hang_up(path=CONVERSATION)
    await stage.request()
    for told in (side.state("of-another-app"), {**side.state("x"), "result": {"convId": "x"}}):
        assert (await tell(stage, states(told))).json == {"ignored": {"unknown": 1}}
    odd = side.state("x")
    odd["result"]["conversationDetails"]["participants"] = [7, {"role": "CONSUMER"}, {"role": "CONSUMER", "id": 7}]
    assert (await tell(stage, states(odd))).json == {"ignored": {"unknown": 1}}
    await tell(stage, states(side.closed(side.last.id)))
    await stage.until(stage.all_sent)
    assert endings(side) == []


# Tokens


async def test_an_app_token_is_replaced_before_its_end(stage: Stage, wire: Wire, side: LivePersonSide) -> None:
    await talking(stage, side)
    await stage.say("one")
    await stage.until(stage.all_sent)
    assert len(wire.taken("POST", TOKEN)) == 1
    stage.pass_time(3600.0 - 20)
    await stage.say("two")
    await stage.until(stage.all_sent)
    assert len(wire.taken("POST", TOKEN)) == 2
    assert not [asked for asked in wire.asked if not asked.taken]


async def test_an_app_token_that_ended_early_is_renewed_and_the_message_sent_once_more(
    stage: Stage, wire: Wire, side: LivePersonSide
) -> None:
    await talking(stage, side)
    side.revoke_app_tokens()
    await stage.say("hello")
    await stage.until(lambda: [each["body"]["event"]["message"] for each in side.last.published] == ["hello"])
    assert (len(wire.taken("POST", TOKEN)), len(wire.taken("POST", CONSUMER))) == (2, 1)


async def test_a_consumer_token_they_do_not_take_is_minted_again(
    stage: Stage, wire: Wire, side: LivePersonSide
) -> None:
    await talking(stage, side)
    side.revoke_consumers()
    await stage.say("hello")
    await stage.until(lambda: [each["body"]["event"]["message"] for each in side.last.published] == ["hello"])
    assert (len(wire.taken("POST", TOKEN)), len(wire.taken("POST", CONSUMER))) == (1, 2)


async def test_a_consumer_token_is_minted_with_a_new_app_token_where_the_old_one_ended(
    stage: Stage, wire: Wire, side: LivePersonSide
) -> None:
    await talking(stage, side)
    side.revoke_app_tokens()
    assert (await stage.request("bob")).status is Status.QUEUED
    assert len(wire.taken("POST", TOKEN)) == 2


async def test_a_401_of_an_unknown_kind_renews_both_once(stage: Stage, wire: Wire, side: LivePersonSide) -> None:
    await talking(stage, side)
    before = len(wire.taken("POST", SEND))
    wire.when("POST", SEND, 401, {"body": {"errorCode": 40199}})
    await stage.say("hello")
    await stage.until(lambda: "utter_handoff_undelivered" in stage.notices())
    assert len(wire.taken("POST", SEND)) == before + 2
    assert (len(wire.taken("POST", TOKEN)), len(wire.taken("POST", CONSUMER))) == (2, 2)


async def test_many_users_at_once_need_one_app_token(stage: Stage, wire: Wire, side: LivePersonSide) -> None:
    await asyncio.gather(*(stage.request(f"user-{number}") for number in range(20)))
    assert (len(wire.taken("POST", TOKEN)), len(side.conversations)) == (1, 20)


async def test_a_secret_that_is_put_right_loses_no_message(stage: Stage, wire: Wire, side: LivePersonSide) -> None:
    await talking(stage, side)
    side.revoke_app_tokens()
    wire.fail(401, times=2, path=f"POST {TOKEN}")
    await stage.say("hello")
    await stage.until(lambda: side.texts() == ["hello"])
    assert not wire._troubles
    assert "utter_handoff_undelivered" not in stage.notices()


# What the user says and does


async def test_what_the_user_says_has_the_fields_of_the_documentation(stage: Stage, side: LivePersonSide) -> None:
    chat = await talking(stage, side)
    receipt = await stage.say("My bike is broken")
    await stage.until(stage.all_sent)
    event = {"type": "ContentEvent", "contentType": "text/plain", "message": "My bike is broken"}
    body = {"dialogId": chat, "event": event}
    assert receipt is not None
    assert side.last.published == [{"kind": "req", "id": receipt.message_id, "type": "ms.PublishEvent", "body": body}]


async def test_a_long_text_is_several_messages(stage: Stage, side: LivePersonSide) -> None:
    await talking(stage, side)
    await stage.say("word " * 2000)
    await stage.until(lambda: "".join(side.texts()) == "word " * 2000)
    assert len(side.texts()) == 3
    assert len({name for name, _ in side.said()}) == 3


async def test_an_answer_that_is_no_success_is_a_message_that_was_not_taken(
    stage: Stage, wire: Wire, side: LivePersonSide
) -> None:
    await talking(stage, side)
    wire.when("POST", SEND, 200, {"reqId": "1", "code": "BAD_REQUEST", "body": "no"})
    await stage.say("hello")
    await stage.until(lambda: "utter_handoff_undelivered" in stage.notices())


async def test_the_user_types_and_stops_and_goes(stage: Stage, side: LivePersonSide) -> None:
    await talking(stage, side)
    await stage.runtime.signals.user_typing("ann", True)
    await stage.runtime.signals.user_typing("ann", False)
    await stage.runtime.signals.user_presence("ann", False)
    await stage.runtime.signals.user_presence("ann", True)
    told = [event["chatState"] for _, event in side.said("ChatStateEvent")]
    assert told == ["COMPOSING", "PAUSE", "GONE", "ACTIVE"]


async def test_agents_learn_what_has_arrived_and_what_has_been_read(stage: Stage, side: LivePersonSide) -> None:
    chat = await talking(stage, side)
    await tell(stage, messages(side.text(chat, "Hello", 7)))
    await stage.until(lambda: stage.heard() == ["Hello"])
    await stage.until(lambda: side.said("AcceptStatusEvent"))
    message = next(delivery.message for _, delivery in stage.to_user if delivery.kind == "message")
    await stage.runtime.switchboard.read("ann", message.id if message else "")
    await stage.until(lambda: len(side.said("AcceptStatusEvent")) == 2)
    told = [(event["status"], event["sequenceList"]) for _, event in side.said("AcceptStatusEvent")]
    assert told == [("ACCEPT", [7]), ("READ", [7])]


async def test_the_user_learns_what_agents_have_read(stage: Stage, side: LivePersonSide) -> None:
    chat = await talking(stage, side)
    for text in ("one", "two " * 2000, "three"):
        await stage.say(text)
        await stage.until(stage.all_sent)
    numbers = [number for number, event in enumerate(side.said()) if event[1]["message"].startswith(("one", "two"))]

    def read(*sequences: int) -> Call:
        event = {"type": "AcceptStatusEvent", "status": "READ", "sequenceList": list(sequences)}
        return messages(side.message(chat, event, 20))

    assert (await tell(stage, read(*reversed(numbers), 999))).status == 200
    await stage.restart()
    side.now = stage.now
    assert (await tell(stage, read(numbers[-1] + 1))).status == 200
    assert (await tell(stage, read(numbers[0]))).status == 200  # late
    await tell(stage, states(side.closed(chat)))
    await stage.until(lambda: "settle" in [delivery.kind for _, delivery in stage.to_user])
    handoff = await stage.handoff()
    written = await stage.runtime.store.read(lambda tx: store.messages.of(tx, handoff.id))
    texts = {each.known_as: each.text[:3] for each in written}
    shown = [delivery.body["message_id"] for _, delivery in stage.to_user if delivery.kind == "read"]
    assert [texts[name] for name in shown] == ["two", "thr", "one"]


async def test_receipts_can_be_switched_off(tmp_path: Path, wire: Wire, side: LivePersonSide) -> None:
    async with staged(tmp_path, wire, receipts=False) as stage:
        chat = await talking(stage, side)
        await tell(stage, messages(side.text(chat, "Hello", 7)))
        await stage.until(lambda: stage.heard() == ["Hello"])
        await stage.until(stage.all_sent)
    assert side.said("AcceptStatusEvent") == []


async def test_the_user_leaves_and_their_conversation_is_closed(stage: Stage, side: LivePersonSide) -> None:
    chat = await talking(stage, side)
    await stage.runtime.switchboard.close(EndReason.USER_LEFT, sender_id="ann")
    await stage.until(stage.all_sent)
    assert not side.last.open
    field = {"field": "ConversationStateField", "conversationState": "CLOSE"}
    assert side.sent()[-1]["body"] == {"conversationId": chat, "conversationField": field}


async def test_closing_what_is_closed_there_is_done(stage: Stage, side: LivePersonSide) -> None:
    await talking(stage, side)
    side.last.open = False
    await stage.runtime.switchboard.close(EndReason.USER_LEFT, sender_id="ann")
    await stage.until(stage.all_sent)
    counts = await stage.runtime.store.read(
        lambda tx: tx.one("SELECT count(*) FROM handoff_deliveries WHERE state = 'dead'", {})
    )
    assert counts == (0,)


@pytest.mark.parametrize(("resolved", "status"), [(True, "FILLED"), (False, "FILLED"), (None, "PARTIALLY_FILLED")])
async def test_what_the_user_thinks_of_it_is_told_after_the_end(
    stage: Stage, side: LivePersonSide, resolved: bool | None, status: str
) -> None:
    chat = await talking(stage, side)
    await tell(stage, states(side.closed(chat)))
    await stage.runtime.switchboard.rate(Rating(stars=4, resolved=resolved), sender_id="ann")
    await stage.until(lambda: side.last.rating)
    answered = {} if resolved is None else {"csatResolutionConfirmation": resolved}
    assert side.last.rating == {"field": "CSATRate", "csatRate": 4, "status": status, **answered}


# What the user attaches


@pytest_asyncio.fixture
async def with_files(tmp_path: Path, wire: Wire, side: LivePersonSide) -> AsyncIterator[Stage]:
    """A stage on which pictures may come from the wire, which has an address that is not public."""
    wire.when("GET", "/user/bike.png", 200, PNG)
    async with staged(tmp_path, wire, file_hosts=[urlsplit(wire.url).netloc]) as stage:
        yield stage


async def test_a_picture_that_we_keep_is_uploaded_though_its_link_leads_nowhere_from_here(
    stage: Stage, wire: Wire, side: LivePersonSide
) -> None:
    """`public_url` may be a name that this server itself does not know."""
    await talking(stage, side)
    large = PNG + bytes(range(256)) * 3000  # more than a part of what we keep
    await stage.say("", attachments=(await given(stage, large),))
    await stage.until(lambda: len(side.last.published) == 1)
    assert list(side.files.values()) == [large]
    assert [each for each in wire.taken("GET") if "/media/" in each.path] == []


async def test_a_file_that_we_keep_and_they_do_not_take_is_a_link(stage: Stage, side: LivePersonSide) -> None:
    await talking(stage, side)
    attached = [
        await given(stage, b"%PDF", "bill.pdf", "application/pdf"),
        await given(stage, PNG + b"x" * LARGEST, "large.png"),
        await given(stage, b"<svg>", "drawn.png"),
    ]
    await stage.say("", attachments=attached)
    await stage.until(lambda: len(side.texts()) == 3)
    assert side.texts() == [f"{each.name}: {each.url}" for each in attached]
    assert all(each.url.startswith(f"{PUBLIC_URL}/webhooks/handoff/media/") for each in attached)
    assert side.files == {}


async def test_a_picture_is_uploaded_and_published_with_its_preview(
    with_files: Stage, wire: Wire, side: LivePersonSide
) -> None:
    chat = await talking(with_files, side)
    picture = Attachment(url=f"{wire.url}/user/bike.png", kind="image", name="bike.png")
    await with_files.say("Look", attachments=(picture,))
    await with_files.until(lambda: len(side.last.published) == 2)
    (path,) = side.files
    assert side.files[path] == PNG
    text, published = [body["body"] for body in side.last.published]
    assert text["event"]["message"] == "Look"
    assert (published["dialogId"], published["event"]["contentType"]) == (chat, "hosted/file")
    message = published["event"]["message"]
    assert (message["relativePath"], message["fileType"], message["caption"]) == (path, "PNG", "bike.png")
    assert message["preview"].startswith("data:image/png;base64,")
    asked = next(body for body in side.sent() if body["type"] == "ms.GenerateURLForUploadFile")
    assert asked["body"] == {"fileSize": str(len(PNG)), "fileType": "PNG"}


@pytest.mark.parametrize(
    ("status", "body"), [(404, b""), (200, b"<html>"), (200, b"\x89PNG\r\n\x1a\n" + b"x" * (3 * 1024 * 1024))]
)
async def test_what_they_would_not_take_goes_as_a_link(
    with_files: Stage, wire: Wire, side: LivePersonSide, status: int, body: bytes
) -> None:
    await talking(with_files, side)
    wire.when("GET", "/user/bike.png", status, body)
    await with_files.say("", attachments=(Attachment(url=f"{wire.url}/user/bike.png", kind="image", name="bike.png"),))
    await with_files.until(lambda: side.texts() == [f"bike.png: {wire.url}/user/bike.png"])


async def test_an_address_that_is_not_public_is_not_fetched(stage: Stage, wire: Wire, side: LivePersonSide) -> None:
    await talking(stage, side)
    await stage.say("", attachments=(Attachment(url=f"{wire.url}/user/bike.png", kind="image"),))
    await stage.until(lambda: side.texts() == [f"{wire.url}/user/bike.png"])
    assert wire.taken("GET", "/user/*") == []


async def test_an_account_without_file_sharing_gets_a_link(with_files: Stage, wire: Wire, side: LivePersonSide) -> None:
    await talking(with_files, side)
    wire.fail(400, path=f"POST {SEND}")
    await with_files.say("", attachments=(Attachment(url=f"{wire.url}/user/bike.png", kind="image"),))
    await with_files.until(lambda: side.texts() == [f"{wire.url}/user/bike.png"])


async def test_an_upload_that_fails_for_now_is_tried_again(with_files: Stage, wire: Wire, side: LivePersonSide) -> None:
    await talking(with_files, side)
    wire.fail(503, path="PUT /v1/*")
    await with_files.say("", attachments=(Attachment(url=f"{wire.url}/user/bike.png", kind="image"),))
    await with_files.until(lambda: len(side.last.published) == 1)
    assert side.last.published[0]["body"]["event"]["contentType"] == "hosted/file"


async def test_what_is_no_picture_goes_as_a_link_with_the_text(stage: Stage, side: LivePersonSide) -> None:
    await talking(stage, side)
    bill = Attachment(url="https://example.com/bill.pdf", name="Bill")
    await stage.say("Here it is", attachments=(bill,))
    await stage.until(lambda: side.texts() == ["Here it is\nBill: https://example.com/bill.pdf"])


# From the agents


async def test_an_agent_joins_hands_over_leaves_and_another_comes(stage: Stage, side: LivePersonSide) -> None:
    chat = await talking(stage, side)
    assert (await stage.handoff()).agent.id == AGENT
    await tell(stage, states(side.state(chat, OTHER_AGENT)))
    assert (await stage.handoff()).agent.id == OTHER_AGENT
    await tell(stage, states(side.state(chat, skillId="77")))
    handoff = await stage.handoff()
    assert (handoff.status, handoff.agent, handoff.group) == (Status.QUEUED, None, "77")
    await tell(stage, states(side.state(chat, AGENT, skillId="77")))
    assert (await stage.handoff()).status is Status.ACTIVE
    said = ["utter_handoff_joined", "utter_handoff_transferred", "utter_handoff_back_in_queue", "utter_handoff_joined"]
    await stage.until(lambda: stage.notices() == said)


async def test_a_change_that_was_overtaken_moves_nobody(stage: Stage, side: LivePersonSide) -> None:
    handoff = await stage.request()
    early = states(side.state(handoff.chat_id or ""))
    await tell(stage, states(side.state(handoff.chat_id or "", AGENT)))
    assert (await tell(stage, early)).status == 200
    assert (await stage.handoff()).status is Status.ACTIVE


async def test_messages_that_come_at_once_in_any_order_reach_the_user_in_theirs(
    stage: Stage, side: LivePersonSide
) -> None:
    stage.backend._order = Order(wait=60.0)  # as if they came within a moment, however long it takes
    chat = await talking(stage, side)
    calls = [messages(side.text(chat, str(number), number)) for number in range(8)]
    answers = await asyncio.gather(*(tell(stage, call) for call in reversed(calls)))
    assert {answer.status for answer in answers} == {200}
    await stage.until(lambda: len(stage.heard()) == 8)
    assert stage.heard() == [str(number) for number in range(8)]


async def test_one_notification_may_have_many_messages(stage: Stage, side: LivePersonSide) -> None:
    chat = await talking(stage, side)
    texts = [side.text(chat, "two", 2), side.text(chat, "mine", 0, role="CONSUMER"), side.text(chat, "one", 1)]
    assert (await tell(stage, messages(*texts))).json == {}
    await stage.until(lambda: stage.heard() == ["one", "two"])


async def test_a_message_without_a_number_reaches_the_user_once(stage: Stage, side: LivePersonSide) -> None:
    chat = await talking(stage, side)
    call = messages(side.message(chat, {"type": "ContentEvent", "message": "Hello"}))
    for _ in range(2):
        assert (await tell(stage, call)).status == 200
    await tell(stage, messages(side.text(chat, "and this", 9)))
    await stage.until(lambda: stage.heard() == ["Hello", "and this"])


async def test_one_message_that_cannot_be_read_does_not_hold_up_the_others(stage: Stage, side: LivePersonSide) -> None:
    chat = await talking(stage, side)
    wrong = side.message(chat, {"type": "RichContentEvent"}, 1)
    answer = await tell(stage, messages(side.text(chat, "one", 0), wrong, side.text(chat, "two", 2)))
    assert (answer.status, answer.json) == (200, {"ignored": {"unreadable": 1}})
    await stage.until(lambda: stage.heard() == ["one", "two"])


async def test_what_the_system_says_reaches_the_user_and_nobody_has_joined(stage: Stage, side: LivePersonSide) -> None:
    handoff = await stage.request()
    told = side.text(handoff.chat_id or "", "You are number 3.", 0, role="CONTROLLER", writer="system")
    await tell(stage, messages(told))
    await stage.until(lambda: stage.heard() == ["You are number 3."])
    assert (await stage.handoff()).status is Status.QUEUED


async def test_typing_reaches_the_user(stage: Stage, side: LivePersonSide) -> None:
    chat = await talking(stage, side)
    shown: list[bool] = []
    stage.runtime.store.subscribe(Typed, lambda typed: shown.append(typed.typing))
    for state in ("COMPOSING", "PAUSE"):
        answer = await tell(stage, messages(side.message(chat, {"type": "ChatStateEvent", "chatState": state})))
        assert (answer.status, answer.json) == (200, {})
    assert shown == [True, False]


async def test_typing_in_a_conversation_of_somebody_else_shows_nowhere(stage: Stage, side: LivePersonSide) -> None:
    event = {"type": "ChatStateEvent", "chatState": "COMPOSING"}
    assert (await tell(stage, messages(side.message("of-another-app", event)))).status == 200


async def test_what_is_told_before_the_answer_to_our_request_is_told_again(
    stage: Stage, wire: Wire, side: LivePersonSide
) -> None:
    with wire.held(f"POST {CONVERSATION}"):
        opening = asyncio.create_task(stage.request())
        await stage.until(lambda: side.conversations)
        joined = states(side.state(side.last.id, AGENT))
        assert (await tell(stage, joined)).status == 404
    await opening
    assert (await tell(stage, joined)).status == 200
    assert (await stage.handoff()).status is Status.ACTIVE


async def test_a_conversation_of_somebody_else_in_the_account_is_left_alone(stage: Stage, side: LivePersonSide) -> None:
    answer = await tell(stage, messages(side.text("of-another-app", "Hello", 1)))
    assert (answer.status, answer.json) == (200, {"ignored": {"unknown": 1}})


async def test_the_answer_does_not_wait_for_anybody(stage: Stage, wire: Wire, side: LivePersonSide) -> None:
    chat = await talking(stage, side)
    wire.stall(60.0, times=20)
    for number in range(5):
        await stage.say(f"line {number}")
    for number in range(5):
        for call in (messages(side.text(chat, f"answer {number}", number)), states(side.state(chat, AGENT))):
            began = time.monotonic()
            assert (await tell(stage, call)).status == 200
            assert time.monotonic() - began < TIMEOUT / 2  # nobody waited for them: that ends with the time-out
    assert (await stage.handoff()).status is Status.ACTIVE
    wire.calm()


async def test_the_answer_does_not_wait_for_a_database_that_hangs(
    stage: Stage, side: LivePersonSide, answers_within: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answers_within < AT_MOST
    chat = await talking(stage, side)
    hanging = threading.Event()
    stage.runtime.store._writer.apart(lambda connection: hanging.wait(60.0))
    call = messages(side.text(chat, "hello", 0))
    with monkeypatch.context() as shorter:
        shorter.setattr(liveperson, "_ANSWER_WITHIN", 0.1)
        assert (await tell(stage, call)).status == 503
    hanging.set()
    assert (await tell(stage, call)).status == 200
    await stage.until(lambda: stage.heard() == ["hello"])


@pytest.mark.parametrize("scheme", ["sha1", "sha256"])
@pytest.mark.parametrize("secret", [CLIENT_SECRET, FORMER_SECRET])
async def test_both_hashes_and_the_former_secret_are_taken(
    stage: Stage, side: LivePersonSide, scheme: str, secret: str
) -> None:
    chat = await talking(stage, side)
    assert (await stage.ask(signed(messages(side.text(chat, "Hi", 1)), secret, scheme))).status == 200


# Agents' files


async def linked(stage: Stage, side: LivePersonSide, path: str) -> str:
    """The link that the user gets to a file of an agent's; below the backend's webhooks."""
    chat = await talking(stage, side)
    side.files[path] = PNG
    event = {"type": "ContentEvent", "contentType": "hosted/file"}
    file = {"relativePath": path, "fileType": "PNG", "caption": "The part"}
    await tell(stage, messages(side.message(chat, {**event, "message": file}, 1)))
    await stage.until(lambda: stage.heard() == ["The part"])
    message = next(delivery.message for _, delivery in stage.to_user if delivery.kind == "message")
    assert message is not None
    (attachment,) = message.attachments
    assert attachment.kind == "image"
    return attachment.url


async def test_an_agent_s_file_opens_through_a_link_of_ours_as_often_as_wanted(
    stage: Stage, side: LivePersonSide
) -> None:
    path = f"/v1/AUTH_async-images/{ACCOUNT}/part.png"
    link = await linked(stage, side, path)
    assert link.startswith(f"{PUBLIC_URL}/webhooks/handoff/liveperson/files/")
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            url = link.replace(f"{PUBLIC_URL}/webhooks/handoff/liveperson", stage.url)
            async with session.get(url, allow_redirects=False) as reply:
                assert (reply.status, reply.headers["Cache-Control"]) == (302, "no-store")
            async with session.get(url) as reply:
                assert await reply.read() == PNG


async def test_a_link_to_a_file_ends_and_cannot_be_made_up(stage: Stage, wire: Wire, side: LivePersonSide) -> None:
    link = await linked(stage, side, f"/v1/AUTH_async-images/{ACCOUNT}/part.png")
    token = link.rpartition("/")[2]
    for wrong in (token[:-1] + ("0" if token[-1] != "0" else "1"), "x", token.replace(".", "")):
        assert (await stage.ask(Call(method="GET", path=f"files/{wrong}"))).status == 401
    stage.pass_time(7 * 86_400.0 + 1)
    assert (await stage.ask(Call(method="GET", path=f"files/{token}"))).status == 401
    assert [body for body in side.sent() if body["type"] == "ms.GenerateURLForDownloadFile"] == []


@pytest.mark.parametrize(("theirs", "ours"), [(503, 503), (400, 404)])
async def test_a_file_they_do_not_give(stage: Stage, wire: Wire, side: LivePersonSide, theirs: int, ours: int) -> None:
    link = await linked(stage, side, f"/v1/AUTH_async-images/{ACCOUNT}/part.png")
    await stage.until(lambda: side.said("AcceptStatusEvent"))
    await stage.until(stage.all_sent)
    wire.fail(theirs, path=f"POST {SEND}")
    assert (await stage.ask(Call(method="GET", path=f"files/{link.rpartition('/')[2]}"))).status == ours


# Surveys


async def test_a_survey_that_is_wanted_is_answered_in_its_own_dialog(
    tmp_path: Path, wire: Wire, side: LivePersonSide
) -> None:
    async with staged(tmp_path, wire, survey=True) as stage:
        chat = await talking(stage, side)
        properties = json.loads(wire.taken("POST", CONVERSATION)[0].headers["client-properties"])
        assert "MULTI_DIALOG" in properties["features"]
        await stage.say("thank you")
        await stage.until(stage.all_sent)
        over = {"dialogId": chat, "dialogType": "MAIN", "state": "CLOSE", "closedBy": "AGENT", "creationTs": 1}
        survey = {"dialogId": f"{chat}-survey", "dialogType": "POST_SURVEY", "state": "OPEN", "creationTs": 2}
        await tell(stage, states(side.state(chat, AGENT, state="CLOSE", stage="OPEN", dialogs=[over, survey])))
        question = side.text(chat, "How was it?", 0, dialogId=f"{chat}-survey", role="AGENT", writer="survey-bot")
        await tell(stage, messages(question))
        await stage.until(lambda: stage.heard() == ["How was it?"])
        await stage.say("5")
        await stage.until(stage.all_sent)
        told = [(body["body"]["dialogId"], body["body"]["event"].get("message")) for body in side.last.published]
        assert [each for each in told if each[1]] == [(chat, "thank you"), (f"{chat}-survey", "5")]
        await tell(stage, states(side.state(chat, state="CLOSE", stage="CLOSE", closeReason="AGENT")))
        assert (await stage.handoff()).end_reason is EndReason.AGENT_CLOSED


async def test_without_surveys_the_bot_is_back_when_the_agent_has_closed(stage: Stage, side: LivePersonSide) -> None:
    chat = await talking(stage, side)
    over = {"dialogId": chat, "dialogType": "MAIN", "state": "CLOSE", "closedBy": "AGENT", "creationTs": 1}
    survey = {"dialogId": "s-1", "dialogType": "POST_SURVEY", "state": "OPEN", "creationTs": 2}
    await tell(stage, states(side.state(chat, AGENT, state="CLOSE", stage="OPEN", dialogs=[over, survey])))
    assert (await stage.handoff()).end_reason is EndReason.AGENT_CLOSED
    answer = await tell(stage, messages(side.text(chat, "How was it?", 0, dialogId="s-1", role="AGENT")))
    assert answer.status == 200
    await stage.until(stage.all_sent)
    assert stage.heard() == []


# Settings


def faults(**more: Any) -> list[str]:
    everything = {"public_url": PUBLIC_URL, "backends": {"liveperson": {**section("https://api.example.com"), **more}}}
    with pytest.raises(ConfigError) as found:
        read_section(everything, settings_models())
    return found.value.faults


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"account": "my account"}, "account: must be the account's number"),
        ({"client_id": ""}, "client_id: is empty"),
        ({"client_secret": "short"}, "client_secret: is shorter"),
        ({"skill": "Sales"}, "skill: must be a skill's number"),
        ({"urgency": "HIGH"}, "urgency: must be one of NORMAL"),
        ({"features": ["MULTI_DIALOG"]}, "features: must not have MULTI_DIALOG"),
        ({"features": ["rich"]}, "features: must be their names"),
        ({"customer_info": {"ctype": "tier"}}, "customer_info.ctype: does not say where the value is"),
        ({"personal_info": {"first name": "slot:name"}}, "personal_info.first name: must be a name of theirs"),
        ({"personal_info": {"a": "slot:a", "a.b": "slot:b"}}, "personal_info.a: has others inside it"),
        ({"file_hosts": ["files.internal"]}, "file_hosts: must be hosts with their ports"),
        ({"file_links": "long"}, "file_links: is not a duration"),
        ({"domain_api": "http://api.example.com"}, "domain_api: must be an https:// address"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(more: Json, fault: str) -> None:
    assert any(f"backends.liveperson.{fault}" in each for each in faults(**more))


def test_without_a_public_url_no_server_starts() -> None:
    with pytest.raises(ConfigError, match="public_url"):
        read_section({"backends": {"liveperson": section("https://api.example.com")}}, settings_models())
