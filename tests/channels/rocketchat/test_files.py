"""Agents' files in Rocket.Chat: uploaded into the room where the server knows how, and never lost."""

from __future__ import annotations

from email import message_from_bytes
from typing import Any, cast

import pytest

from rasa_handoff.channels.rocketchat import RocketChat
from rasa_handoff.model import Attachment
from rasa_handoff.testing.wire import Asked, Wire
from tests.channels.line import Line
from tests.channels.rocketchat.test_rocketchat import PAYLOADS, ROOM, posts, started
from tests.channels.rocketchat.test_rocketchat import line as line  # the fixtures
from tests.channels.rocketchat.test_rocketchat import wire as wire

MEDIA, CONFIRM = f"/api/v1/rooms.media/{ROOM}", f"/api/v1/rooms.mediaConfirm/{ROOM}/file-1"
BILL = b"%PDF-1.7 a bill"


@pytest.fixture
def bill(line: Line, wire: Wire) -> Attachment:
    """A file of the agent's on a server that the guard lets through, and a server that takes it."""
    wire.respond("GET", "/bill.pdf", lambda asked: (200, BILL, {"Content-Type": "application/pdf"}))
    wire.when("POST", MEDIA, body={"success": True, "file": {"_id": "file-1", "url": "/file-upload/file-1/bill.pdf"}})
    wire.when("POST", CONFIRM, body={"success": True, "message": {"_id": "message-1"}})
    rocket = cast("RocketChat", line.channels.named("rocketchat"))
    rocket.files._porter._fetcher._trusted = frozenset({wire.url.removeprefix("http://")})
    return Attachment(url=f"{wire.url}/bill.pdf", name="bill.pdf")


def as_link(bill: Attachment) -> dict[str, Any]:
    return {"title": bill.name, "title_link": bill.url}


def links(wire: Wire) -> list[dict[str, Any]]:
    return [each["attachments"][0] for each in posts(wire) if each.get("attachments")]


async def test_a_file_is_uploaded_into_the_thread_under_the_agents_name(
    line: Line, wire: Wire, bill: Attachment
) -> None:
    handoff = await started(line, "thread")
    await line.reply(handoff, attachments=(bill,))
    (upload,), (confirmed,) = wire.taken("POST", MEDIA), wire.taken("POST", CONFIRM)
    form = message_from_bytes(f"Content-Type: {upload.headers['content-type']}\r\n\r\n".encode() + upload.body)
    (file,) = cast("list[Any]", form.get_payload())
    assert (file.get_filename(), file.get_content_type()) == ("bill.pdf", "application/pdf")
    assert file.get_payload(decode=True) == BILL
    assert {each.headers["x-auth-token"] for each in (upload, confirmed)} == {"rocket-secret"}
    thread = PAYLOADS["thread"]["tmid"]
    assert confirmed.json == {"tmid": thread, "alias": "Bo", "avatar": "https://desk.test/bo.png"}
    assert links(wire) == []
    assert "x-auth-token" not in wire.taken("GET", "/bill.pdf")[0].headers


async def test_a_server_that_does_not_know_of_uploads_gets_a_link(line: Line, wire: Wire, bill: Attachment) -> None:
    handoff = await started(line)
    wire.when("POST", MEDIA, 404, {"success": False})
    await line.reply(handoff, attachments=(bill,))
    assert links(wire) == [as_link(bill)]
    assert await line.dead() == []


async def test_a_file_that_may_not_be_posted_comes_as_a_link(line: Line, wire: Wire, bill: Attachment) -> None:
    handoff = await started(line)
    wire.when("POST", CONFIRM, 400, {"success": False, "errorType": "error-not-allowed"})
    await line.reply(handoff, attachments=(bill,))
    assert links(wire) == [as_link(bill)]
    assert await line.dead() == []


async def test_a_file_that_comes_under_no_other_name_comes_under_the_bots(
    line: Line, wire: Wire, bill: Attachment
) -> None:
    """Texts keep the agent's."""

    def refuse_names(asked: Asked) -> tuple[int, Any]:
        return (400, {"success": False}) if "alias" in asked.json else (200, {"success": True})

    handoff = await started(line)
    wire.respond("POST", CONFIRM, refuse_names)
    await line.reply(handoff, attachments=(bill,))
    await line.reply(handoff, "Hi")
    assert links(wire) == []
    assert posts(wire)[-1]["alias"] == "Bo"


async def test_a_busy_server_is_asked_again(line: Line, wire: Wire, bill: Attachment) -> None:
    handoff = await started(line)
    wire.fail(429, path=MEDIA)
    await line.reply(handoff, attachments=(bill,))
    assert len(wire.taken("POST", CONFIRM)) == 1
    assert links(wire) == []


@pytest.mark.parametrize("kind", ["image", "audio", "video", "location"])
async def test_what_is_shown_from_where_it_is_is_not_uploaded(line: Line, wire: Wire, kind: Any) -> None:
    handoff = await started(line)
    await line.reply(handoff, attachments=(Attachment(url="https://a.test/x", kind=kind),))
    assert links(wire)[-1]["title_link"] == "https://a.test/x"
    assert wire.taken("POST", MEDIA) == []
