"""Rocket.Chat: Rasa's own channel, a server in Rocket.Chat's place, and what arrives at both ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from rasa.core.agent import Agent
from rasa.core.channels.rocketchat import RocketChatInput

from rasa_handoff.channels.notes import ANEW
from rasa_handoff.channels.verbatim import JOINER
from rasa_handoff.model import Attachment, Button, Card
from rasa_handoff.testing.payloads import Payloads
from rasa_handoff.testing.wire import Asked, Wire
from tests.channels.line import Line

PAYLOADS = Payloads(__file__)
ROOM, LIVE = "ZpMw6XxSuZdpupcDa", "Tc5SyBZHovD4k8BXv"
POSTED = "/api/v1/chat.postMessage"


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        user = {"userId": "bot-id", "authToken": "rocket-secret"}
        wire.when("POST", "/api/v1/login", body={"status": "success", "data": user})
        wire.when("POST", POSTED, body={"success": True})
        yield wire


@pytest_asyncio.fixture
async def line(tmp_path: Path, wire: Wire, rasa_agent: Agent) -> AsyncIterator[Line]:
    line = Line(tmp_path, RocketChatInput("bot", "rocket-password", wire.url), rasa_agent)
    await line.up()
    wire.asked.clear()
    yield line
    await line.down()


async def started(line: Line, name: str = "message", room: str = ROOM) -> Any:
    """A handoff whose user has written."""
    return await line.begin(room, line.hook(PAYLOADS[name]))


def posts(wire: Wire) -> list[dict[str, Any]]:
    asked = wire.taken("POST", POSTED)
    assert {each.headers["x-auth-token"] for each in asked} <= {"rocket-secret"}
    assert {each.headers["x-user-id"] for each in asked} <= {"bot-id"}
    return [each.json for each in asked]


async def test_a_text_reaches_the_agent_and_not_the_bot(line: Line) -> None:
    await started(line)
    assert [each.text for each in line.agents.got] == ["ann: hi"]
    assert await line.bot_heard(ROOM) == []


async def test_an_edited_message_is_marked_and_comes_once_for_each_change(line: Line) -> None:
    """Edits have the id of what was edited, and none of their own."""
    first, edited = PAYLOADS["message"], PAYLOADS["edited"]
    await line.hand_over(ROOM)
    for payload in (first, edited, edited, {**edited, "text": "hi"}, edited):
        assert (await line.hook(payload))[0] == 200
    await line.hook({**first, "message_id": "another", "text": "the last"})
    await line.heard(5)
    assert [each.text for each in line.agents.got] == [
        "ann: hi",
        "✎ ann: hi there",
        "✎ ann: hi",
        "✎ ann: hi there",
        "ann: the last",
    ]


async def test_an_edit_without_a_handoff_is_a_message_to_the_bot(line: Line) -> None:
    """As it is without the plugin."""
    await line.hook(PAYLOADS["edited"])
    assert await line.bot_heard(ROOM) == ["hi there"]
    assert line.agents.got == []


async def test_who_is_alone_with_the_bot_needs_no_name(line: Line) -> None:
    await line.hand_over(ROOM)
    await line.hook({**PAYLOADS["message"], "channel_name": None})
    assert [each.text for each in await line.heard()] == ["hi"]


async def test_a_file_is_had_with_the_bots_login(line: Line, wire: Wire) -> None:
    wire.when("GET", "/file-upload/*", body=b"PNG")
    await started(line, "file")
    (attachment,) = line.agents.got[0].attachments
    assert (attachment.kind, attachment.name) == ("image", "my cat.png")
    assert (await line.download(attachment.url))[:2] == (200, b"PNG")
    (asked,) = wire.taken("GET")
    assert asked.path == "/file-upload/b7pGEMxzhdMmXmSXa/my%20cat.png"
    assert asked.headers["x-auth-token"] == "rocket-secret"


@pytest.mark.parametrize("path", ["/api/v1/users.list", "/file-upload/../api/v1/me", "/file-upload/%2e%2e/api/v1/me"])
async def test_a_forged_webhook_does_not_choose_what_the_server_is_asked_for(line: Line, wire: Wire, path: str) -> None:
    """Rasa's channel takes webhooks from anybody."""
    forged = {"fileUpload": {"publicFilePath": f"https://chat.example{path}", "type": "image/png"}}
    await line.hand_over(ROOM)
    await line.hook({**PAYLOADS["message"], "message": forged})
    (message,) = await line.heard()
    status, body, _ = await line.download(message.attachments[0].url)
    assert status == 502
    assert b"no file of the channel's" in body
    assert wire.taken("GET") == []


async def test_a_live_chat_loses_none_of_its_messages(line: Line) -> None:
    """Rasa's channel reads the first one only. The visitor's token stays in Rocket.Chat."""
    await started(line, "livechat", LIVE)
    first, second = sorted(await line.heard(2), key=lambda each: len(each.attachments))
    assert (first.text, second.text) == ("Hello", "")
    assert second.attachments[0].name == "bill.pdf"
    assert "secret" not in second.attachments[0].url


async def test_a_live_chat_that_ends_does_not_say_all_again(line: Line) -> None:
    await started(line, "livechat", LIVE)
    await line.heard(2)
    await line.hook(PAYLOADS["livechat_closed"])
    await line.hook(PAYLOADS["livechat"])
    await line.hook({**PAYLOADS["livechat"], "messages": [{"_id": "m9", "username": "guest-3", "msg": "Bye"}]})
    assert [each.text for each in await line.heard(3)][-1] == "Bye"


async def test_what_the_bot_says_itself_is_not_heard(line: Line) -> None:
    await started(line)
    await line.hook({**PAYLOADS["message"], "message_id": "m2", "user_name": "bot", "text": "echo"})
    await line.hook({**PAYLOADS["message"], "message_id": "m3", "text": "more"})
    assert [each.text for each in await line.heard(2)] == ["ann: hi", "ann: more"]


async def test_an_agent_writes_under_their_own_name_with_one_login(line: Line, wire: Wire) -> None:
    handoff = await started(line)
    for text in ("one", "two"):
        await line.reply(handoff, text)
    assert posts(wire)[-1] == {"roomId": ROOM, "text": "two", "alias": "Bo", "avatar": "https://desk.test/bo.png"}
    logins = wire.taken("POST", "/api/v1/login")  # Rasa's channel logs in for each message, with a form
    (login,) = [each for each in logins if each.headers["content-type"] == "application/json"]
    assert login.json == {"user": "bot", "password": "rocket-password"}


async def test_a_login_that_has_ended_is_made_again(line: Line, wire: Wire) -> None:
    handoff = await started(line)
    wire.fail(401, path=POSTED)
    await line.reply(handoff, "hello")
    assert posts(wire)[-1]["text"] == "hello"
    assert await line.dead() == []


async def test_the_answer_goes_into_the_thread_that_was_written_in(line: Line, wire: Wire) -> None:
    handoff = await started(line, "thread")
    line.channels._made.clear()
    await line.reply(handoff, "here")
    assert posts(wire)[-1]["tmid"] == "QSGJ9YqFkXuinmHAt"
    await line.hook(PAYLOADS["message"])
    await line.heard(2)
    await line.reply(handoff, "there")
    assert "tmid" not in posts(wire)[-1]


async def test_without_the_permission_for_names_the_message_comes_all_the_same(line: Line, wire: Wire) -> None:
    def refuse_names(asked: Asked) -> tuple[int, Any]:
        refused = {"success": False, "error": "Not enough permission", "errorType": "error-not-allowed"}
        return (400, refused) if "alias" in asked.json else (200, {"success": True})

    handoff = await started(line)
    wire.respond("POST", POSTED, refuse_names)
    for text in ("one", "two"):
        await line.reply(handoff, text)
    said = [(each["text"], "alias" in each) for each in posts(wire) if each["text"] in ("one", "two")]
    assert said == [("one", True), ("one", False), ("two", False)]
    assert await line.dead() == []
    rocket = line.channels.named("rocketchat")
    rocket.around = replace(rocket.around, now=lambda: time.time() + 2 * ANEW)
    wire.when("POST", POSTED, body={"success": True})  # the permission is there
    await line.reply(handoff, "three")
    assert posts(wire)[-1]["alias"] == "Bo"


async def test_files_buttons_and_cards_have_rocket_chats_own_form(line: Line, wire: Wire) -> None:
    handoff = await started(line)
    await line.reply(
        handoff,
        "Sure?",
        buttons=(Button(title="Yes", payload="/affirm"), Button(title="Read", payload="", url="https://a.test")),
        attachments=(
            Attachment(url="https://a.test/cat.png", kind="image", name="cat.png"),
            Attachment(url="https://a.test/bill.pdf", name="bill.pdf"),
        ),
        cards=(Card(title="Blue", text="A bike", image_url="https://a.test/b.png", url="https://a.test/b"),),
    )
    question, image, file, card = [each["attachments"][0] for each in posts(wire)[-4:]]
    assert question["actions"] == [
        {"type": "button", "text": "Yes", "msg": "/affirm", "msg_in_chat_window": True},
        {"type": "button", "text": "Read", "url": "https://a.test"},
    ]
    assert image["image_url"] == "https://a.test/cat.png"
    assert file == {"title": "bill.pdf", "title_link": "https://a.test/bill.pdf"}
    assert card == {
        "title": "Blue",
        "title_link": "https://a.test/b",
        "text": "A bike",
        "image_url": "https://a.test/b.png",
    }


async def test_what_an_agent_typed_is_read_as_it_is_and_calls_nobody(line: Line, wire: Wire) -> None:
    """As Rocket.Chat's own parser reads it, see SOURCE.md."""
    handoff = await started(line)
    await line.reply(
        handoff,
        "1. *Not* bold, snake_case, _x_ @all\n# no heading\n- no list\n> no quote ||s|| [a](b) https://a.test/_x_*y*",
        cards=(Card(title="Blue", text="*A* bike for @here"),),
    )
    text, card = posts(wire)[-2:]
    assert text["text"] == (
        f"1\\. \\*Not\\* bold, snake_case, \\_x\\_ @{JOINER}all\n\\# no heading\n{JOINER}- no list\n{JOINER}> no quote "
        f"|{JOINER}|s|{JOINER}| [a]{JOINER}(b) https://a.test/_x_*y \\*"
    )
    assert card["attachments"][0]["text"] == f"\\*A\\* bike for @{JOINER}here"


async def test_the_rate_limiter_says_until_when_to_wait(line: Line, wire: Wire) -> None:
    handoff = await started(line)
    wire.fail(429, path=POSTED, X_RateLimit_Reset=str(int((time.time() + 60) * 1000)))
    assert await line.put_off(handoff, "patience") > 59
    await line.try_again(handoff)
    refused, taken = [each for each in wire.asked if each.path == POSTED][-2:]
    assert (refused.taken, taken.json["text"]) == (False, "patience")


async def test_what_will_never_work_is_put_aside_with_its_reason(line: Line, wire: Wire) -> None:
    handoff = await started(line)
    wire.when("POST", POSTED, 400, {"success": False, "error": "secret words", "errorType": "error-room-archived"})
    await line.reply(handoff, "secret words")
    assert await line.dead() == ["rocketchat: could not send a message: HTTP 400 error-room-archived"]


async def test_the_bot_speaks_again_in_the_same_room(line: Line, wire: Wire) -> None:
    handoff = await started(line)
    await line.close(handoff)
    said = await line.bot_said(ROOM)
    assert said
    assert set(said) <= {each.get("text") for each in posts(wire)}
