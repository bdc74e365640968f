"""Agents' files on Telegram: by their address where it takes that, else uploaded, and never lost."""

from __future__ import annotations

import json
import warnings
from email import message_from_bytes
from typing import Any, cast

from rasa_handoff.channels import telegram
from rasa_handoff.model import Attachment, Button, Card
from rasa_handoff.testing.wire import Asked, Wire
from tests.channels.line import Line
from tests.channels.telegram.test_telegram import USER, sent
from tests.channels.telegram.test_telegram import line as line  # the fixtures
from tests.channels.telegram.test_telegram import wire as wire

REFUSAL = {"ok": False, "error_code": 400, "description": "Bad Request: failed to get HTTP URL content"}


def only_uploads(asked: Asked) -> tuple[int, Any]:
    """Telegram, which does not take an address."""
    taken = {"ok": True, "result": {"message_id": 1}}
    return (200, taken) if asked.headers["content-type"].startswith("multipart/") else (400, REFUSAL)


def may_be_had(line: Line, wire: Wire) -> None:
    wire.respond("GET", "/d.docx", lambda asked: (200, b"PK docx", {"Content-Type": "application/zip"}))
    telegrams = cast("telegram.Telegram", line.channels.named("telegram"))
    telegrams.files._porter._fetcher._trusted = frozenset({wire.url.removeprefix("http://")})


def fields(asked: Asked) -> dict[str, tuple[str | None, bytes]]:
    """A form's: the name of a file, and what is in it."""
    head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
    form = message_from_bytes(head + asked.body)
    return {
        str(part.get_param("name", header="content-disposition")): (
            part.get_filename(),
            cast("bytes", part.get_payload(decode=True)),
        )
        for part in cast("list[Any]", form.get_payload())
    }


async def test_a_file_whose_address_telegram_does_not_take_is_uploaded(line: Line, wire: Wire) -> None:
    """It takes documents by their address where they are PDF, ZIP or GIF."""
    handoff = await line.hand_over(USER)
    may_be_had(line, wire)
    wire.respond("POST", "/bot*/sendDocument", only_uploads)
    await line.reply(handoff, attachments=(Attachment(url=f"{wire.url}/d.docx", name="d.docx"),))
    refused, uploaded = [each for each in wire.asked if each.path.endswith("/sendDocument")]
    assert refused.json["document"] == f"{wire.url}/d.docx"
    assert fields(uploaded) == {
        "chat_id": (None, USER.encode()),
        "caption": (None, b"d.docx"),
        "document": ("d.docx", b"PK docx"),
    }


async def test_a_file_that_telegram_is_long_in_getting_comes_once(hurried: None, line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    await line.gone(handoff)
    wire.stall(1.5, path="POST /bot*/sendVideo")
    await line.reply(handoff, attachments=(Attachment(url="https://a.test/film.mp4", kind="video"),))
    assert len(wire.taken("POST", "/bot*/sendVideo")) == 1


async def test_a_large_file_holds_nobody_up(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    may_be_had(line, wire)
    large = b"x" * 2_000_000
    wire.respond("GET", "/d.docx", lambda asked: (200, large, {"Content-Type": "application/zip"}))
    wire.respond("POST", "/bot*/sendDocument", only_uploads)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)  # aiohttp's, of a body that is not sent in parts
        await line.reply(handoff, attachments=(Attachment(url=f"{wire.url}/d.docx", name="d.docx"),))
    _, uploaded = [each for each in wire.asked if each.path.endswith("/sendDocument")]
    assert fields(uploaded)["document"] == ("d.docx", large)


async def test_a_card_whose_picture_is_uploaded_keeps_its_buttons(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    may_be_had(line, wire)
    wire.respond("POST", "/bot*/sendPhoto", only_uploads)
    yes = Button(title="Yes", payload="/yes")
    await line.reply(handoff, cards=(Card(title="Blue", image_url=f"{wire.url}/d.docx", buttons=(yes,)),))
    form = fields(wire.asked[-1])
    assert form["photo"][1] == b"PK docx"
    assert json.loads(form["reply_markup"][1]) == {"inline_keyboard": [[{"text": "Yes", "callback_data": "/yes"}]]}


async def test_a_file_that_telegram_takes_in_no_way_comes_as_a_link(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    may_be_had(line, wire)
    wire.when("POST", "/bot*/sendDocument", 400, REFUSAL)
    await line.reply(handoff, attachments=(Attachment(url=f"{wire.url}/d.docx", name="d.docx"),))
    assert wire.asked[-1].json["text"] == f"d.docx: {wire.url}/d.docx"
    assert len([each for each in wire.asked if each.path.endswith("/sendDocument")]) == 2


async def test_telegram_too_busy_for_an_upload_is_asked_again(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    may_be_had(line, wire)
    busy = [(429, {"ok": False, "parameters": {"retry_after": 0}})]

    def respond(asked: Asked) -> tuple[int, Any]:
        status, answer = only_uploads(asked)
        return busy.pop() if status == 200 and busy else (status, answer)

    wire.respond("POST", "/bot*/sendDocument", respond)
    await line.reply(handoff, attachments=(Attachment(url=f"{wire.url}/d.docx", name="d.docx"),))
    assert busy == []
    assert fields(wire.asked[-1])["document"] == ("d.docx", b"PK docx")


async def test_a_voice_message_is_one(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    await line.reply(handoff, attachments=(Attachment(url="https://f.test/v", kind="audio", mime="audio/ogg"),))
    assert sent(wire)[-1] == ("sendVoice", {"voice": "https://f.test/v"})


async def test_buttons_that_telegram_does_not_take_can_be_read(line: Line, wire: Wire) -> None:
    """Such as one that leads to a telephone number."""
    handoff = await line.hand_over(USER)
    refusal = {"ok": False, "error_code": 400, "description": "Bad Request: BUTTON_URL_INVALID"}
    taken = {"ok": True, "result": {"message_id": 1}}
    wire.respond("POST", "/bot*", lambda asked: (400, refusal) if b"reply_markup" in asked.body else (200, taken))
    await line.reply(handoff, "Sure?", buttons=(Button(title="Call", payload="", url="tel:1"),))
    assert wire.taken("POST", "/bot*/sendMessage")[-1].json["text"] == "Sure?\n- Call: tel:1"
    assert await line.dead() == []
