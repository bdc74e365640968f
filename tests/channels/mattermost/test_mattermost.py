"""Mattermost: Rasa's own channel, a server in Mattermost's place, and what arrives at both ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from rasa.core.agent import Agent
from rasa.core.channels.mattermost import MattermostInput

from rasa_handoff.channels import service
from rasa_handoff.channels.mattermost import Mattermost
from rasa_handoff.channels.verbatim import JOINER
from rasa_handoff.model import Attachment, Button, Card
from rasa_handoff.testing.payloads import Payloads
from rasa_handoff.testing.wire import Asked, Wire
from tests.channels.line import Line

PAYLOADS = Payloads(__file__)
TOKEN = "mattermost-secret"
USER, CHANNEL = "a6khpd5m77d3de46xw599mp8by", "yuko5hzu7jdcineenpafttbbzw"
HOOK = "https://bot.test/webhooks/mattermost/webhook"


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        wire.when("POST", "/api/v4/posts", 201, {"id": "post"})
        yield wire


@pytest_asyncio.fixture
async def line(tmp_path: Path, wire: Wire, rasa_agent: Agent) -> AsyncIterator[Line]:
    line = Line(tmp_path, MattermostInput(f"{wire.url}/api/v4", TOKEN, HOOK), rasa_agent)
    await line.up()
    yield line
    await line.down()


async def started(line: Line, name: str = "post") -> Any:
    """A handoff whose user has written."""
    return await line.begin(USER, line.hook(PAYLOADS[name]))


def posts(wire: Wire) -> list[dict[str, Any]]:
    asked = wire.taken("POST", "/api/v4/posts")
    assert all(each.headers["authorization"] == f"Bearer {TOKEN}" for each in asked)
    return [{name: value for name, value in each.json.items() if name != "pending_post_id"} for each in asked]


async def test_a_text_reaches_the_agent_without_the_trigger_word(line: Line) -> None:
    await started(line)
    assert [each.text for each in line.agents.got] == ["subscribe TOPIC"]
    assert await line.bot_heard(USER) == []


async def test_files_reach_the_agent_and_no_word_is_lost(line: Line, wire: Wire) -> None:
    """Rasa's channel would cut the first word off where there is no trigger word."""
    wire.when("GET", "/api/v4/files/*", body=b"%PDF")
    await started(line, "post_with_files")
    (message,) = line.agents.got
    assert message.text == "my receipt"
    first, second = message.attachments
    wire.asked.clear()
    assert (await line.download(first.url))[:2] == (200, b"%PDF")
    (asked,) = wire.taken("GET")
    assert asked.path == "/api/v4/files/znana1194jfkbfowhpcq68ncgo"
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in first.url + second.url


async def test_files_have_the_names_and_kinds_that_mattermost_knows(line: Line, wire: Wire) -> None:
    """Its webhooks say only that there are some; what it does not say of one holds up none."""
    receipt = {"id": "znana1194jfkbfowhpcq68ncgo", "name": "receipt.jpg", "mime_type": "image/jpeg"}
    wire.when("GET", "/api/v4/files/*/info", 404, {"id": "app.file_info.get.app_error"})
    wire.when("GET", f"/api/v4/files/{receipt['id']}/info", body=receipt)
    await started(line, "post_with_files")
    (message,) = line.agents.got
    found = [(each.kind, each.name, each.mime) for each in message.attachments]
    assert found == [("image", "receipt.jpg", "image/jpeg"), ("file", None, None)]
    assert {each.headers["authorization"] for each in wire.taken("GET")} == {f"Bearer {TOKEN}"}


async def test_what_mattermost_is_long_in_saying_does_not_hold_a_message_up(
    line: Line, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "DESCRIBING", 0.2)
    wire.stall(60.0, times=2, path="GET /api/v4/files/*")
    await asyncio.wait_for(started(line, "post_with_files"), 50.0)
    (message,) = line.agents.got
    assert (message.text, len(message.attachments)) == ("my receipt", 2)


async def test_a_forged_webhook_does_not_choose_what_the_server_is_asked_for(line: Line, wire: Wire) -> None:
    """Rasa's channel takes webhooks from anybody."""
    await line.hand_over(USER)
    await line.hook({**PAYLOADS["post_with_files"], "file_ids": "../users/me"})
    (message,) = await line.heard()
    status, body, _ = await line.download(message.attachments[0].url)
    assert status == 502
    assert b"no file of Mattermost's" in body
    assert wire.taken("GET") == []


async def test_a_pressed_button_has_its_title_and_its_payload(line: Line) -> None:
    await started(line, "action")
    assert line.agents.got[0].text == "Yes, please (/affirm)"


async def test_a_webhook_that_comes_again_has_no_second_effect(line: Line) -> None:
    await started(line)
    await line.hook(PAYLOADS["post"])
    await line.hook(PAYLOADS["action"])
    assert [each.text for each in await line.heard(2)] == ["subscribe TOPIC", "Yes, please (/affirm)"]


async def test_an_agent_writes_into_the_channel_also_after_a_restart(line: Line, wire: Wire) -> None:
    handoff = await started(line)
    line.channels._made.clear()
    await line.reply(handoff, "Hi")
    assert posts(wire)[-1] == {"channel_id": CHANNEL, "message": "**Bo**: Hi"}


async def test_pictures_buttons_and_cards_have_mattermosts_own_form(line: Line, wire: Wire) -> None:
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
    question, image, file, card = posts(wire)[-4:]
    assert question["message"] == "**Bo**: Sure?\n[Read](https://a.test)"
    assert question["props"]["attachments"][0]["actions"] == [
        {
            "id": "choice0",
            "type": "button",
            "name": "Yes",
            "integration": {"url": HOOK, "context": {"action": "/affirm", "title": "Yes"}},
        }
    ]
    assert image["props"]["attachments"][0]["image_url"] == "https://a.test/cat.png"
    assert file["message"] == "bill.pdf: https://a.test/bill.pdf"
    assert card["props"]["attachments"][0]["title_link"] == "https://a.test/b"


async def test_what_an_agent_typed_is_read_as_it_is_and_calls_nobody(line: Line, wire: Wire) -> None:
    handoff = await started(line)
    await line.reply(
        handoff,
        "1. *Not* bold_ @all, see https://a.test/_x_\n# no heading",
        cards=(Card(title="Blue", text="*A* bike for @here"),),
    )
    text, card = posts(wire)[-2:]
    assert text["message"] == (f"**Bo**: 1\\. \\*Not\\* bold\\_ @{JOINER}all, see https://a.test/_x_\n\\# no heading")
    assert card["props"]["attachments"][0]["text"] == f"\\*A\\* bike for @{JOINER}here"


async def test_what_is_tried_again_has_the_same_name_and_so_comes_once(line: Line, wire: Wire) -> None:
    """Also a file, which is another one once it is uploaded again; and parts of one message have names of their own."""
    handoff = await started(line)
    file = may_be_had(line, wire)
    wire.hang_up(path="/api/v4/posts")
    await line.reply(handoff, "once")
    wire.hang_up(path="/api/v4/posts")
    await line.reply(handoff, attachments=(file, file))
    texts, first, second = (
        {each.json["pending_post_id"] for each in asked}
        for asked in (posted(wire, "once"), uploads(wire)[:2], uploads(wire)[2:])
    )
    assert (len(posted(wire, "once")), len(uploads(wire))) == (2, 3)
    assert [len(each) for each in (texts, first, second)] == [1, 1, 1]
    assert len(texts | first | second) == 3


def posted(wire: Wire, text: str) -> list[Asked]:
    return [each for each in wire.taken("POST", "/api/v4/posts") if text in each.json["message"]]


def uploads(wire: Wire) -> list[Asked]:
    return [each for each in wire.taken("POST", "/api/v4/posts") if "file_ids" in each.json]


async def test_a_long_text_comes_in_pieces_that_fit(line: Line, wire: Wire) -> None:
    """Also when half of it has to be escaped."""
    handoff = await started(line)
    await line.reply(handoff, "* " * 20_000)
    said = [each["message"].removeprefix("**Bo**: ") for each in posts(wire) if "*" in each["message"]]
    assert max(map(len, said)) <= 16_383 - len("**Bo**: ")
    assert " ".join(said).split() == ["\\*"] * 20_000


BILL = b"%PDF-1.7 a bill"
LINK = "bill & more.pdf: {}/bill.pdf"


def may_be_had(line: Line, wire: Wire) -> Attachment:
    """A file of the agent's on a server that the guard lets through."""
    wire.respond("GET", "/bill.pdf", lambda asked: (200, BILL, {"Content-Type": "application/pdf"}))
    wire.when("POST", "/api/v4/files", 201, {"file_infos": [{"id": "file-1", "name": "bill.pdf"}], "client_ids": []})
    mattermost = cast("Mattermost", line.channels.named("mattermost"))
    mattermost.files._porter._fetcher._trusted = frozenset({wire.url.removeprefix("http://")})
    return Attachment(url=f"{wire.url}/bill.pdf", name="bill & more.pdf")


async def test_a_file_is_uploaded_into_the_channel(line: Line, wire: Wire) -> None:
    handoff = await started(line)
    await line.reply(handoff, attachments=(may_be_had(line, wire),))
    (upload,) = wire.taken("POST", "/api/v4/files")
    assert (upload.body, upload.headers["content-type"]) == (BILL, "application/pdf")
    assert upload.query == {"channel_id": CHANNEL, "filename": "bill & more.pdf"}
    assert upload.headers["authorization"] == f"Bearer {TOKEN}"
    assert posts(wire)[-1] == {"channel_id": CHANNEL, "message": "", "file_ids": ["file-1"]}
    assert "authorization" not in wire.taken("GET", "/bill.pdf")[0].headers


@pytest.mark.parametrize(("status", "answer"), [(403, {"id": "api.context.permissions.app_error"}), (201, {})])
async def test_a_file_that_mattermost_does_not_take_comes_as_a_link(
    line: Line, wire: Wire, status: int, answer: dict[str, str]
) -> None:
    handoff = await started(line)
    file = may_be_had(line, wire)
    wire.when("POST", "/api/v4/files", status, answer)
    await line.reply(handoff, attachments=(file,))
    assert posts(wire)[-1] == {"channel_id": CHANNEL, "message": LINK.format(wire.url)}
    assert await line.dead() == []


async def test_mattermost_too_busy_for_a_file_is_asked_again(line: Line, wire: Wire) -> None:
    handoff = await started(line)
    file = may_be_had(line, wire)
    wire.fail(503, path="/api/v4/files")
    await line.reply(handoff, attachments=(file,))
    assert posts(wire)[-1]["file_ids"] == ["file-1"]


async def test_the_user_sees_that_the_agent_types(line: Line, wire: Wire) -> None:
    handoff = await started(line)
    await line.type(handoff)
    await line.until(lambda: wire.taken("POST", "/api/v4/users/me/typing"))
    assert wire.taken("POST", "/api/v4/users/me/typing")[0].json == {"channel_id": CHANNEL}


async def test_trouble_is_tried_again_and_refusals_are_not(line: Line, wire: Wire) -> None:
    handoff = await started(line)
    wire.fail(503, path="/api/v4/posts")
    await line.reply(handoff, "again")
    assert posts(wire)[-1]["message"] == "**Bo**: again"
    wire.when("POST", "/api/v4/posts", 403, {"id": "api.context.permissions.app_error", "message": "No"})
    await line.reply(handoff, "secret words")
    (dead,) = await line.dead()
    assert dead == "mattermost: could not send a message: HTTP 403 api.context.permissions.app_error"


async def test_the_bot_speaks_again_in_the_same_channel(line: Line, wire: Wire) -> None:
    handoff = await started(line)
    await line.close(handoff)
    said = await line.bot_said(USER)
    assert said
    assert set(said) <= {each["message"] for each in posts(wire)}
    assert {each["channel_id"] for each in posts(wire)} == {CHANNEL}
