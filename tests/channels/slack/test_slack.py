"""Slack: Rasa's own channel, a server in the place of slack.com, and what arrives at both ends."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
import pytest_asyncio
from rasa.core.agent import Agent
from rasa.core.channels.slack import SlackInput

from rasa_handoff.channels.base import Notice, To
from rasa_handoff.channels.notes import ANEW
from rasa_handoff.channels.slack import messages
from rasa_handoff.model import Attachment, Button, Card
from rasa_handoff.testing.payloads import Payloads
from rasa_handoff.testing.wire import Asked
from tests.channels.line import Line
from tests.internet import Internet

PAYLOADS = Payloads(__file__)
TOKEN, SECRET = "xoxb-slack-secret", "signing-secret"
USER, DM, CHANNEL, THREAD = "U2147483697", "D024BE91L", "C123ABC456", "1515449522.000016"


def answer(asked: Asked) -> tuple[int, Any]:
    return 200, {"ok": True, "channel": DM, "ts": "2.1"}


@pytest_asyncio.fixture
async def line(
    tmp_path: Path, internet: Internet, rasa_agent: Agent, request: pytest.FixtureRequest
) -> AsyncIterator[Line]:
    credentials = {"slack_token": TOKEN, "slack_signing_secret": SECRET, **getattr(request, "param", {})}
    internet.respond("POST", "/api/chat.postMessage", answer)
    line = Line(tmp_path, SlackInput.from_credentials(credentials), rasa_agent)
    await line.up()
    yield line
    await line.down()


threaded = pytest.mark.parametrize("line", [{"use_threads": True, "conversation_granularity": "thread"}], indirect=True)


async def hook(line: Line, payload: Any, secret: str = SECRET, **headers: str) -> tuple[int, str]:
    """A webhook as Slack signs it: an event, or a form where something was pressed."""
    is_event = "event" in payload
    body = (json.dumps(payload) if is_event else urlencode({"payload": json.dumps(payload)})).encode()
    kind = "application/json" if is_event else "application/x-www-form-urlencoded"
    now = str(int(time.time()))
    digest = hmac.new(secret.encode(), b"v0:" + now.encode() + b":" + body, hashlib.sha256).hexdigest()
    signed = {"X-Slack-Request-Timestamp": now, "X-Slack-Signature": f"v0={digest}"}
    return await line.hook(data=body, headers={"Content-Type": kind, **signed, **headers})


def event(name: str, **values: Any) -> Any:
    payload = deepcopy(PAYLOADS[name])
    payload["event"].update(values)
    return payload


def posted(internet: Internet) -> list[dict[str, Any]]:
    """What was posted, as Slack reads it."""
    asked = [each for each in internet.asked_of("slack.com") if each.path == "/api/chat.postMessage"]
    assert all(each.headers["authorization"] == f"Bearer {TOKEN}" for each in asked)
    return [_said(each) for each in asked]


def _said(asked: Asked) -> dict[str, Any]:
    if asked.headers["content-type"].startswith("application/json"):
        return dict(asked.json)
    return dict(parse_qsl(asked.body.decode()))


# -- from the user --------------------------------------------------------------------------------


async def test_a_text_reaches_the_agent_and_not_the_bot(line: Line) -> None:
    await line.hand_over(USER)
    assert (await hook(line, PAYLOADS["message_im"]))[0] == 200
    (message,) = await line.heard()
    assert message.text == "Hello hello can you hear me?"
    assert await line.bot_heard(USER) == []


async def test_what_slack_escapes_can_be_read(line: Line) -> None:
    await line.hand_over(USER)
    await hook(
        line, event("message_im", text="1 &lt; 2 &amp;amp; <https://a.test/?b=1&amp;c=2|a.test> <https://b.test>")
    )
    (message,) = await line.heard()
    assert message.text == "1 < 2 &amp; a.test https://b.test"


@pytest.mark.parametrize("text", ["", "My bill"])
async def test_a_file_reaches_the_agent_with_and_without_a_text(line: Line, internet: Internet, text: str) -> None:
    internet.when("GET", "/files-pri/*", body=b"GIF89a")
    await line.hand_over(USER)
    await hook(line, event("file_share", text=text))
    (message,) = await line.heard()
    (attachment,) = message.attachments
    assert (message.text, attachment.kind, attachment.name) == (text, "image", "tedair.gif")
    status, body, _ = await line.download(attachment.url)
    assert (status, body) == (200, b"GIF89a")
    (asked,) = internet.asked_of("files.slack.com")
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in attachment.url


async def test_a_file_of_another_organisation_is_looked_up_when_it_is_opened(line: Line, internet: Internet) -> None:
    found = PAYLOADS["file_share"]["event"]["files"][0]
    internet.when("POST", "/api/files.info", body={"ok": True, "file": found})
    internet.when("GET", "/api/files.info", body={"ok": True, "file": found})
    internet.when("GET", "/files-pri/*", body=b"GIF89a")
    await line.hand_over(USER)
    await hook(line, PAYLOADS["file_connect"])
    (message,) = await line.heard()
    assert message.text == "message message message"
    assert (await line.download(message.attachments[0].url))[:2] == (200, b"GIF89a")


async def test_the_token_goes_to_slack_and_nowhere_else(line: Line, internet: Internet) -> None:
    """A file that another service keeps is a link; one that only says it is Slack's is not had."""
    external = {"is_external": True, "url_private": "https://drive.example/doc", "name": "doc"}
    elsewhere_file = {"is_external": False, "url_private": "https://evil.example/x.gif", "name": "x.gif"}
    await line.hand_over(USER)
    await hook(line, event("file_share", files=[external, elsewhere_file]))
    (message,) = await line.heard()
    assert message.attachments[0].url == "https://drive.example/doc"
    status, body, _ = await line.download(message.attachments[1].url)
    assert status == 502
    assert b"not one of the channel's own" in body
    assert {each.headers["host"] for each in internet.asked} <= {"slack.com"}


async def test_a_file_is_had_through_the_proxy_of_the_credentials(
    tmp_path: Path, internet: Internet, rasa_agent: Agent
) -> None:
    internet.when("GET", "/files-pri/*", body=b"GIF89a")
    async with tunnel(internet) as (proxy, asked):
        credentials = {"slack_token": TOKEN, "slack_signing_secret": SECRET, "proxy": proxy}
        line = Line(tmp_path, SlackInput.from_credentials(credentials), rasa_agent)
        await line.up()
        await line.hand_over(USER)
        await hook(line, PAYLOADS["file_share"])
        (message,) = await line.heard()
        assert (await line.download(message.attachments[0].url))[:2] == (200, b"GIF89a")
        await line.down()
    assert "files.slack.com:443" in asked


@asynccontextmanager
async def tunnel(internet: Internet) -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy, and whom it was asked to connect to."""
    asked: list[str] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65536):
            writer.write(part)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split()[1].decode())
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", internet._port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with suppress(ConnectionError):
            await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    server.close()


async def test_a_missing_scope_for_files_is_named(line: Line, internet: Internet) -> None:
    """Slack gives its sign-in page then, as a success."""
    await line.hand_over(USER)
    await hook(line, PAYLOADS["file_share"])
    (message,) = await line.heard()
    internet.fail(200, path="/files-pri/*", Content_Type="text/html; charset=utf-8")
    status, body, _ = await line.download(message.attachments[0].url)
    assert status == 502
    assert b"files:read" in body


async def test_a_pressed_button_has_its_title_and_its_value(line: Line) -> None:
    await line.hand_over(USER)
    assert (await hook(line, PAYLOADS["block_actions"]))[0] == 200
    (message,) = await line.heard()
    assert message.text == "View (click_me_123)"


async def test_a_webhook_that_comes_again_has_no_second_effect(line: Line) -> None:
    await line.hand_over(USER)
    for name in ("file_share", "message_im"):
        for headers in ({}, {"x-slack-retry-num": "1", "x-slack-retry-reason": "http_timeout"}):
            assert (await hook(line, PAYLOADS[name], **headers))[0] < 300
    await line.heard(2)
    await hook(line, event("message_im", text="the last", ts="9.9"))
    await line.heard(3)
    assert sorted(each.text for each in line.agents.got) == ["", "Hello hello can you hear me?", "the last"]


async def test_an_unsigned_webhook_has_no_effect(line: Line) -> None:
    await line.hand_over(USER)
    assert (await hook(line, PAYLOADS["file_share"], secret="wrong"))[0] == 400
    await hook(line, PAYLOADS["message_im"])
    assert [each.text for each in await line.heard()] == ["Hello hello can you hear me?"]


async def test_what_was_not_said_to_the_bot_is_none_of_the_agents_business(line: Line) -> None:
    await line.hand_over(USER)
    for payload in (
        PAYLOADS["message_channels"],
        event("message_im", bot_id="B1"),
        event("message_channels", subtype="channel_join", thread_ts=None),
    ):
        await hook(line, payload)
    await hook(line, event("message_im", text="to the agent"))
    assert [each.text for each in await line.heard()] == ["to the agent"]


def changed(text: str, at: str = "1358878755.000001", **values: Any) -> Any:
    payload = PAYLOADS["message_changed"]
    message = payload["event"]["message"]
    message.update({"text": text, "edited": {"user": USER, "ts": at}, **values})
    return payload


async def test_an_edited_message_is_marked_and_comes_once_for_each_change(line: Line) -> None:
    await line.hand_over(USER)
    first = event("message_im", text="Hello", ts="1355517523.000005")
    for payload in (first, changed("Hello!"), changed("Hello!"), changed("Hello", at="1358878799.000001")):
        assert (await hook(line, payload))[0] < 300
    await line.heard(3)
    await hook(line, event("message_im", text="the last", ts="9.9"))
    await line.heard(4)
    assert [each.text for each in line.agents.got] == ["Hello", "✎ Hello!", "✎ Hello", "the last"]
    assert await line.bot_heard(USER) == []


async def test_what_slack_itself_or_another_adds_to_a_message_is_no_edit(line: Line) -> None:
    """It shows what a link leads to, and finds out a text's language."""
    await line.hand_over(USER)
    await hook(line, changed("look: <https://a.test>", edited=None))
    await hook(line, changed("Hello", bot_id="B1"))
    await hook(line, changed("Hello", edited={"user": "U-another", "ts": "1358878755.000001"}))
    in_a_channel = changed("Hello, all")
    in_a_channel["event"].update(channel=CHANNEL, channel_type="channel")
    await hook(line, in_a_channel)
    await hook(line, event("message_im", text="to the agent"))
    assert [each.text for each in await line.heard()] == ["to the agent"]


async def test_an_edit_without_a_handoff_is_nothing_to_the_bot(line: Line) -> None:
    """As it is without the plugin."""
    await hook(line, PAYLOADS["message_changed"])
    assert await line.bot_heard(USER) == []


async def test_what_a_user_has_deleted_agents_read_of_once(line: Line) -> None:
    """Of what they have read, and of no more: what the bot was told, or another wrote, is not theirs."""
    await line.hand_over(USER)
    first, deleted = event("message_im", text="Hello", ts="1355517523.000005"), PAYLOADS["message_deleted"]
    another = event("message_deleted", deleted_ts="1.1", ts="1.2")
    by_the_bot = event("message_deleted", previous_message={"user": "U0", "bot_id": "B1", "ts": "1355517523.000005"})
    for payload in (another, first, by_the_bot, deleted, deleted):
        assert (await hook(line, payload))[0] < 300
    await hook(line, event("message_im", text="the last", ts="9.9"))
    await line.heard(3)
    assert [each.text for each in line.agents.got] == ["Hello", "🗑 The user has deleted a message.", "the last"]
    assert await line.bot_heard(USER) == []


@threaded
async def test_an_edit_in_a_thread_that_is_a_conversation_is_part_of_it(line: Line) -> None:
    await line.hand_over(f"{USER}_{CHANNEL}_{THREAD}")
    payload = changed("Hello!", thread_ts=THREAD)
    payload["event"].update(channel=CHANNEL, channel_type="channel")
    await hook(line, payload)
    assert [each.text for each in await line.heard()] == ["✎ Hello!"]


@threaded
async def test_in_a_thread_that_is_a_conversation_no_mention_is_needed(line: Line) -> None:
    sender = f"{USER}_{CHANNEL}_{THREAD}"
    await line.hand_over(sender)
    await hook(line, PAYLOADS["app_mention"])
    await hook(line, event("message_channels", text="<@U0LAN0Z89> a mention comes twice"))
    await hook(line, PAYLOADS["message_channels"])
    messages = await line.heard(2)
    assert [each.text for each in messages] == ["is it everything a river should be?", "Live long and prospect."]


async def test_without_a_handoff_files_are_nobodys(line: Line) -> None:
    await hook(line, PAYLOADS["file_share"])
    await line.hand_over(USER)
    await hook(line, PAYLOADS["message_im"])
    assert [each.attachments for each in await line.heard()] == [()]


# -- to the user ----------------------------------------------------------------------------------


async def test_an_agent_writes_under_their_own_name(line: Line, internet: Internet) -> None:
    handoff = await line.hand_over(USER)
    await hook(line, PAYLOADS["message_im"])
    await line.heard()
    await line.reply(handoff, "Hi <Ann> & Bob")
    said = posted(internet)[-1]
    assert said["text"] == "Hi &lt;Ann&gt; &amp; Bob"
    assert (said["channel"], said["username"], said["icon_url"]) == (DM, "Bo", "https://desk.test/bo.png")
    assert "thread_ts" not in said


@threaded
async def test_the_answer_goes_into_the_users_thread_also_after_a_restart(line: Line, internet: Internet) -> None:
    sender = f"{USER}_{CHANNEL}_{THREAD}"
    handoff = await line.hand_over(sender)
    await hook(line, event("app_mention", thread_ts=THREAD))
    await line.heard()
    line.channels._made.clear()  # as after a restart: what is known of the user is on disk
    await line.reply(handoff, "Here I am")
    said = posted(internet)[-1]
    assert (said["text"], said["channel"], said["thread_ts"]) == ("Here I am", CHANNEL, THREAD)


async def test_without_the_scope_for_names_the_message_comes_all_the_same(line: Line, internet: Internet) -> None:
    def refuse_names(asked: Asked) -> tuple[int, Any]:
        missing = {"ok": False, "error": "missing_scope", "needed": "chat:write.customize", "provided": "chat:write"}
        return (200, missing) if "username" in _said(asked) else answer(asked)

    internet.respond("POST", "/api/chat.postMessage", refuse_names)
    handoff = await line.hand_over(USER)
    await line.reply(handoff, "one")
    await line.reply(handoff, "two")
    texts = [(each["text"], "username" in each) for each in posted(internet) if each["text"] in ("one", "two")]
    assert texts == [("one", True), ("one", False), ("two", False)]
    assert await line.dead() == []
    slack = line.channels.named("slack")
    slack.around = replace(slack.around, now=lambda: time.time() + 2 * ANEW)
    internet.respond("POST", "/api/chat.postMessage", answer)  # the scope is there
    await line.reply(handoff, "three")
    assert "username" in posted(internet)[-1]


async def test_buttons_cards_and_files_have_slacks_own_form(line: Line, internet: Internet) -> None:
    handoff = await line.hand_over(USER)
    buttons = (Button(title="Yes", payload="/affirm"), Button(title="Read", payload="", url="https://a.test"))
    await line.reply(
        handoff,
        "Sure?",
        buttons=buttons,
        attachments=(
            Attachment(url="https://a.test/cat.png", kind="image", name="cat.png"),
            Attachment(url="https://a.test/bill.pdf", name="bill.pdf"),
        ),
        cards=(Card(title="Blue", text="A bike", image_url="https://a.test/b.png", url="https://a.test/b"),),
    )
    question, image, file, card = [each for each in posted(internet) if each.get("username") == "Bo"]
    text, actions = blocks(question)
    assert elements(text) == [{"type": "text", "text": "Sure?"}]
    assert [(each["text"]["text"], each.get("value"), each.get("url")) for each in actions["elements"]] == [
        ("Yes", "/affirm", None),
        ("Read", None, "https://a.test"),
    ]
    assert blocks(image)[0]["image_url"] == "https://a.test/cat.png"
    assert file["text"] == "<https://a.test/bill.pdf|bill.pdf>"
    headline, text, picture = blocks(card)
    assert headline["text"]["text"] == "<https://a.test/b|*Blue*>"
    assert elements(text) == [{"type": "text", "text": "A bike"}]
    assert picture["type"] == "image"


async def test_what_an_agent_typed_is_read_as_it_is_and_calls_nobody(line: Line, internet: Internet) -> None:
    handoff = await line.hand_over(USER)
    typed = "*Not* bold & <!channel>: see https://a.test/_x_?b=1&c=2."
    await line.reply(handoff, typed, cards=(Card(title="", text=typed),))
    for said in posted(internet)[-2:]:
        (block,) = blocks(said)
        assert elements(block) == [
            {"type": "text", "text": "*Not* bold & <!channel>: see "},
            {"type": "link", "url": "https://a.test/_x_?b=1&c=2"},
            {"type": "text", "text": "."},
        ]
        assert "&lt;!channel&gt;" in said["text"]  # where blocks are not shown


async def test_the_owners_own_words_may_have_markup(line: Line, internet: Internet) -> None:
    """As they have it in all that the bot says."""
    await line.gone(await line.hand_over(USER))
    assert posted(internet)
    assert not any("blocks" in each for each in posted(internet))
    offer = Notice(
        name="utter_offer", words={"elements": [{"title": "Blue", "subtitle": "*A* bike"}], "text": "*Look*"}, at=1.0
    )
    slack = line.channels.named("slack")
    await slack.notify(To(sender_id=USER, channel="slack", delivery_id="d1"), offer)
    text, card = posted(internet)[-2:]
    assert (text["text"], blocks(card)[-1]["text"]["text"]) == ("*Look*", "*A* bike")


async def test_all_of_a_card_can_be_read(line: Line, internet: Internet) -> None:
    handoff = await line.hand_over(USER)
    lines = [f"gear {number}" for number in range(1, 1001)]
    await line.reply(handoff, cards=(Card(title="Blue", text="\n".join(lines)), Card(title="", text="No title")))
    long, untitled = [each for each in posted(internet) if each.get("username") == "Bo"]
    headline, *texts = blocks(long)
    shown = [headline["text"]["text"], *(elements(each)[0]["text"] for each in texts)]
    assert max(map(len, shown)) <= messages.LONGEST_TEXT
    assert "\n".join(shown).splitlines() == long["text"].splitlines() == ["*Blue*", *lines]
    (text,) = blocks(untitled)
    assert elements(text) == [{"type": "text", "text": untitled["text"]}] == [{"type": "text", "text": "No title"}]


def elements(block: dict[str, Any]) -> list[dict[str, Any]]:
    """What a text that has no markup is made of."""
    (section,) = block["elements"]
    assert (block["type"], section["type"]) == ("rich_text", "rich_text_section")
    return list(section["elements"])


def blocks(said: dict[str, Any]) -> list[dict[str, Any]]:
    found = said["blocks"]
    return list(json.loads(found) if isinstance(found, str) else found)


async def test_a_picture_that_slack_cannot_load_comes_as_a_link(line: Line, internet: Internet) -> None:
    def refuse_blocks(asked: Asked) -> tuple[int, Any]:
        return (200, {"ok": False, "error": "invalid_blocks"}) if "blocks" in _said(asked) else answer(asked)

    internet.respond("POST", "/api/chat.postMessage", refuse_blocks)
    handoff = await line.hand_over(USER)
    await line.reply(handoff, attachments=(Attachment(url="https://a.test/cat.png", kind="image"),))
    assert posted(internet)[-1]["text"] == "https://a.test/cat.png"
    assert await line.dead() == []


async def test_a_long_text_comes_in_pieces_that_fit(line: Line, internet: Internet) -> None:
    handoff = await line.hand_over(USER)
    await line.reply(handoff, "word & " * 1500)
    said = [each["text"] for each in posted(internet) if "word" in each["text"]]
    assert all(len(each) <= 3000 for each in said)
    assert " ".join(said).split() == ("word &amp; " * 1500).split()


async def test_slack_says_how_long_to_wait(line: Line, internet: Internet) -> None:
    handoff = await line.hand_over(USER)
    await line.gone(handoff)
    internet.fail(429, path="/api/chat.postMessage", Retry_After="60")
    assert await line.put_off(handoff, "patience") > 59
    await line.try_again(handoff)
    assert posted(internet)[-1]["text"] == "patience"


@pytest.mark.parametrize("code", ["channel_not_found", "account_inactive", "is_archived"])
async def test_what_will_never_work_is_put_aside_with_its_reason(line: Line, internet: Internet, code: str) -> None:
    internet.when("POST", "/api/chat.postMessage", body={"ok": False, "error": code})
    handoff = await line.hand_over(USER)
    await line.reply(handoff, "secret words")
    dead = await line.dead()
    assert any(code in each for each in dead)
    assert not any("secret words" in each or TOKEN in each for each in dead)


async def test_slack_out_of_order_is_tried_again(line: Line, internet: Internet) -> None:
    internet.fail(503, path="/api/chat.postMessage")
    handoff = await line.hand_over(USER)
    await line.reply(handoff, "again")
    assert posted(internet)[-1]["text"] == "again"
    assert await line.dead() == []


async def test_the_bot_speaks_again_where_the_user_is(line: Line, internet: Internet) -> None:
    handoff = await line.begin(USER, hook(line, PAYLOADS["message_im"]))
    before = len(posted(internet))
    await line.close(handoff)
    said = posted(internet)[before:]
    assert {each["channel"] for each in said} == {DM}
    assert await line.bot_said(USER) != []
