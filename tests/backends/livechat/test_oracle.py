"""LiveChat's own SDK for Python as the measure: it sends what we send, and reads what we read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from livechat.configuration.base import ConfigurationApi
from livechat.customer.web.base import CustomerWeb
from livechat.webhooks.parser import parse_webhook
from loguru import logger

from rasa_handoff.backends.livechat import reading
from rasa_handoff.backends.livechat.settings import LiveChatSettings
from rasa_handoff.backends.livechat.webhooks import ACTIONS, registration
from rasa_handoff.model import EndReason, Json, Line, Rating, Status
from rasa_handoff.testing import Asked, Payloads, Stage, Wire
from tests.backends.livechat.test_chats import staged
from tests.backends.livechat.test_livechat import signed
from tests.backends.livechat.vendor import ORGANIZATION, Vendor

payloads = Payloads(__file__)
# Documented, and not in their parser.
UNKNOWN_TO_THEM = {"event_deleted"}
HOOKS = sorted(
    path.stem
    for path in payloads.folder.glob("*.json")
    if "webhook_id" in payloads[path.stem] and path.stem not in UNKNOWN_TO_THEM
)

logger.disable("livechat")


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def wire(vendor: Vendor) -> Iterator[Wire]:
    with Wire() as wire:
        vendor.on(wire)
        yield wire


@pytest_asyncio.fixture
async def stage(tmp_path: Path, wire: Wire) -> AsyncIterator[Stage]:
    async with staged(tmp_path, wire, group="0") as stage:
        yield stage


def theirs(client: Any, ask: Callable[[Any], Any]) -> httpx.Request:
    """The request that their SDK makes."""
    caught: list[httpx.Request] = []

    def catch(request: httpx.Request) -> httpx.Response:
        caught.append(request)
        return httpx.Response(200, json={})

    client.session = httpx.Client(transport=httpx.MockTransport(catch), headers=client.session.headers)
    ask(client)
    return caught[0]


def customer(token: str, ask: Callable[[Any], Any]) -> httpx.Request:
    client = CustomerWeb.get_client(access_token=token, organization_id=ORGANIZATION, version="3.6")
    return theirs(client, ask)


def as_sent(request: httpx.Request) -> tuple[str, str, dict[str, str], str, str, Json]:
    url = request.url
    headers = request.headers["authorization"], request.headers["content-type"]
    return request.method, url.path, dict(url.params), *headers, json.loads(request.content)


def as_asked(asked: Asked) -> tuple[str, str, dict[str, str], str, str, Json]:
    headers = asked.headers["authorization"], asked.headers["content-type"]
    return asked.method, asked.path, dict(asked.query), *headers, asked.json


async def test_our_requests_are_theirs(stage: Stage, vendor: Vendor, wire: Wire) -> None:
    lines = (Line(who="user", text="a person", at=1.0),)
    handoff = await stage.request(transcript=lines, parameters={"topic": "billing"})
    await stage.ask(signed(vendor.take(handoff.chat_id or "")))
    await stage.until(lambda: wire.taken("POST", "*/list_threads"))
    await stage.runtime.signals.user_typing("ann", True)
    receipt = await stage.say("My bike is broken")
    await stage.until(stage.all_sent)
    await stage.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=handoff.id)
    await stage.until(lambda: wire.taken("POST", "*/deactivate_chat"))
    await stage.until(lambda: "settle" in [each.kind for _, each in stage.to_user])
    assert (await stage.request()).status is Status.QUEUED

    assert receipt is not None
    chat = handoff.chat_id
    transcript = {"type": "message", "text": "User: a person", "recipients": "all", "custom_id": handoff.id}
    said = {"type": "message", "text": "My bike is broken", "recipients": "all", "custom_id": receipt.message_id}
    new: Json = {"access": {"group_ids": [0]}, "thread": {"events": [transcript]}}
    resumed: Json = {"id": chat, "access": {"group_ids": [0]}}
    expected: dict[str, Callable[[Any], Any]] = {
        "list_group_statuses": lambda api: api.list_group_statuses(group_ids=[0]),
        "set_customer_session_fields": lambda api: api.set_customer_session_fields(
            session_fields=[{"topic": "billing"}]
        ),
        "start_chat": lambda api: api.start_chat(chat=new, active=True, continuous=False),
        "get_chat": lambda api: api.get_chat(chat_id=chat),
        "list_threads": lambda api: api.list_threads(chat_id=chat, sort_order="desc", limit=1),
        "send_sneak_peek": lambda api: api.send_sneak_peek(chat_id=chat, sneak_peek_text="…"),
        "send_event": lambda api: api.send_event(chat_id=chat, event=said),
        "deactivate_chat": lambda api: api.deactivate_chat(id=chat),
        "list_chats": lambda api: api.list_chats(limit=10, sort_order="desc"),
        "resume_chat": lambda api: api.resume_chat(chat=resumed, active=True, continuous=False),
    }
    for action, ask in expected.items():
        ours = wire.taken("POST", f"*/customer/action/{action}")[0]
        assert as_asked(ours) == as_sent(customer(ours.headers["authorization"], ask)), action


async def test_our_press_and_our_rating_are_theirs(stage: Stage, vendor: Vendor, wire: Wire) -> None:
    chat = (await stage.request()).chat_id or ""
    await stage.ask(signed(vendor.take(chat)))
    await stage.ask(signed(vendor.offer(chat, "quick_replies", {"text": "Yes", "postback_id": "action_yes"})))
    await stage.until(lambda: any(each.message for _, each in stage.to_user))
    receipt = await stage.say("Yes")
    await stage.until(stage.all_sent)
    await stage.ask(signed(vendor.end(chat)))
    await stage.until(lambda: "settle" in [each.kind for _, each in stage.to_user])
    await stage.runtime.switchboard.rate(Rating(stars=5), sender_id="ann")
    await stage.until(lambda: wire.taken("POST", "*/update_thread_properties"))

    assert receipt is not None
    thread = vendor.chats[chat].thread
    rich = next(each for each in thread.events if each["type"] == "rich_message")
    postback = {"id": "action_yes", "thread_id": thread.id, "event_id": rich["id"]}
    said: Json = {"type": "message", "text": "Yes", "recipients": "all", "custom_id": receipt.message_id}
    rating = {"rating": {"score": 1, "comment": "5 of 5"}}
    expected: dict[str, Callable[[Any], Any]] = {
        "send_rich_message_postback": lambda api: api.send_rich_message_postback(
            chat_id=chat, thread_id=thread.id, event_id=rich["id"], postback={"id": "action_yes", "toggled": True}
        ),
        "send_event": lambda api: api.send_event(chat_id=chat, event={**said, "postback": postback}),
        "update_thread_properties": lambda api: api.update_thread_properties(
            chat_id=chat, thread_id=thread.id, properties=rating
        ),
    }
    for action, ask in expected.items():
        ours = wire.taken("POST", f"*/customer/action/{action}")[0]
        assert as_asked(ours) == as_sent(customer(ours.headers["authorization"], ask)), action


async def test_our_upload_is_theirs(vendor: Vendor, wire: Wire) -> None:
    """The same form: one field, with the file's name and type."""
    request = customer("Bearer t", lambda api: api.upload_file(file={"file": ("a.png", b"\x89PNG", "image/png")}))
    with pytest.raises(Exception, match="authentication"):
        vendor._customer("upload_file", _as_wire(request))
    vendor.tokens["t"] = vendor._new_customer()
    url = vendor._customer("upload_file", _as_wire(request))["url"]
    assert url.endswith("/a.png")
    assert vendor.files == [{"name": "a.png", "content": b"\x89PNG", "content_type": "image/png"}]


def _as_wire(request: httpx.Request) -> Asked:
    return Asked(
        method=request.method,
        path=request.url.path,
        query=dict(request.url.params),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.read(),
    )


def test_our_registrations_are_theirs() -> None:
    settings = LiveChatSettings(client_id="c1", webhook_secret="s" * 20)
    client = ConfigurationApi.get_client(token="Basic xyz", version="3.6")
    for action in ACTIONS:
        body = registration(settings, "https://bot.example.com/webhooks/handoff/livechat/webhook", action)
        request = theirs(client, lambda api, body=body: api.register_webhook(**body))
        assert json.loads(request.content) == body
        assert request.url.path == "/v3.6/configuration/action/register_webhook"


@pytest.mark.parametrize("name", HOOKS)
def test_their_parser_reads_our_payload_files(name: str) -> None:
    read = parse_webhook(payloads[name])
    assert read.action == payloads[name]["action"]


@pytest.mark.parametrize("name", HOOKS)
def test_their_parser_and_our_readers_name_the_same_chat(name: str) -> None:
    parsed, payload = parse_webhook(payloads[name]).payload, payloads[name]["payload"]
    chat = getattr(parsed, "chat", None)
    assert reading.chat_of(payload)[0] == (chat["id"] if chat else parsed.chat_id)


async def test_the_stand_in_calls_us_as_their_parser_expects(stage: Stage, vendor: Vendor) -> None:
    chat_id = (await stage.request()).chat_id or ""
    calls = [vendor.take(chat_id), vendor.write(chat_id, "hello", "E1"), vendor.edit(chat_id, "E1", "hello!")]
    calls += [vendor.leave(chat_id), vendor.end(chat_id)]
    for call in calls:
        parse_webhook(signed(call).body)
