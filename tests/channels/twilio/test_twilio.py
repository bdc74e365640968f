"""Twilio: Rasa's own channel, a server in Twilio's place, and what arrives at both ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import requests
from rasa.core.agent import Agent
from rasa.core.channels.twilio import TwilioInput

from rasa_handoff.channels import twilio
from rasa_handoff.channels.base import To
from rasa_handoff.model import Attachment, Button, Card
from rasa_handoff.testing.wire import Asked, Wire
from tests.channels.line import Line
from tests.channels.twilio.words import (
    ACCOUNT,
    BASIC,
    MESSAGES,
    NUMBER,
    PAYLOADS,
    TOKEN,
    USER,
    WHATSAPP_NUMBER,
    WHATSAPP_USER,
    fields,
    form,
    sent,
)

# -- from the user --------------------------------------------------------------------------------


async def test_files_come_with_the_text(line: Line, wire: Wire) -> None:
    await line.hand_over(USER)
    assert await form(line, wire, "mms") == 204
    (message,) = await line.heard()
    assert message.text == "look at this"
    found = [(each.kind, each.name, each.mime) for each in message.attachments]
    assert found == [("image", "image.jpg", "image/jpeg"), ("file", "file.pdf", "application/pdf")]


@pytest.mark.parametrize(
    ("payload", "user", "kind"), [("mms_alone", USER, "image"), ("whatsapp_voice", WHATSAPP_USER, "audio")]
)
async def test_a_file_without_a_text_comes_too(line: Line, wire: Wire, payload: str, user: str, kind: str) -> None:
    await line.hand_over(user)
    assert await form(line, wire, payload) == 200
    assert await form(line, wire, payload) == 200  # again, which has no second effect
    (message,) = await line.heard()
    assert (message.text, [each.kind for each in message.attachments]) == ("", [kind])


async def test_a_link_stays_whole_or_the_agent_is_told(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    wire.respond("POST", f"{MESSAGES}.json", refuse_files)
    long, longer = (f"https://a.test/{'x' * length}" for length in (1580, 1600))
    bill = Attachment(url=long, name="the bill of last month.pdf")
    await line.reply(handoff, attachments=(bill,))
    assert [each["Body"] for each in sent(wire)[-2:]] == ["the bill of last month.pdf:", long]
    assert await line.dead() == []
    await line.reply(handoff, attachments=(Attachment(url=longer),))
    (dead,) = await line.dead()
    assert dead == "twilio: the link to the file is too long for a message (1,615 characters; 1,600 are the most)"


def refuse_files(asked: Asked) -> tuple[int, Any]:
    if "MediaUrl" in fields(asked):
        return 400, {"code": 21620, "message": "Invalid media URL(s)"}
    return (201, {"sid": "SM1"}) if len(fields(asked)["Body"]) <= 1600 else (400, {"code": 21617})


async def test_without_a_handoff_rasa_does_what_it_does(line: Line, wire: Wire) -> None:
    assert await form(line, wire, "mms_alone") == 500
    assert await form(line, wire, "sms") == 204
    assert line.agents.got == []
    assert await line.bot_heard(USER) == [PAYLOADS["sms"]["Body"]]


async def test_a_link_streams_the_file_with_the_accounts_credentials(line: Line, wire: Wire) -> None:
    await line.gone(await line.hand_over(USER))
    await form(line, wire, "mms_alone")
    (message,) = await line.heard()
    wire.respond(
        "GET", f"{MESSAGES}/MM0/Media/ME0", lambda asked: (307, {}, {"Location": f"{wire.url}/internet/a.jpg"})
    )
    wire.when("GET", "/internet/*", 200, b"JPEG")
    status, body, headers = await line.download(message.attachments[0].url)
    assert (status, body, headers["Content-Type"]) == (200, b"JPEG", "image/jpeg")
    assert wire.asked[-2].headers["authorization"] == BASIC


async def test_credentials_go_nowhere_but_to_twilio(line: Line, wire: Wire) -> None:
    """Rasa's channel takes a webhook from anybody."""
    await line.hand_over(USER)
    with Wire() as stranger:
        await line.hook(data={**PAYLOADS["mms_alone"], "MediaUrl0": f"{stranger.url}/a.jpg"})
        (message,) = await line.heard()
        status, body, _ = await line.download(message.attachments[0].url)
        assert status == 502
        assert b"none of Twilio's" in body
        assert stranger.asked == []


async def test_a_forged_webhook_does_not_choose_what_the_account_is_asked_for(line: Line, wire: Wire) -> None:
    """Else whoever knows the webhook's address could have an agent open what other users wrote."""
    wire.when("GET", "*", 200, b"[]")
    await line.hand_over(USER)
    for number, path in enumerate(
        (f"{MESSAGES}.json", f"{MESSAGES}/MM0/Media/../../SM1.json", f"{MESSAGES}/MM0/Media/")
    ):
        data = {**PAYLOADS["mms_alone"], "MediaUrl0": f"{wire.url}{path}", "MessageSid": f"MM{number}"}
        await line.hook(data=data)
        message = (await line.heard(number + 1))[-1]
        assert (await line.download(message.attachments[0].url))[0] == 502
    assert [each.path for each in wire.asked if each.method == "GET"] == []


async def test_a_redirect_into_the_owners_network_is_not_followed(line: Line, wire: Wire) -> None:
    await line.hand_over(USER)
    await form(line, wire, "mms_alone")
    (message,) = await line.heard()
    with Wire() as inside:
        wire.respond("GET", "*/Media/*", lambda asked: (307, {}, {"Location": f"{inside.url}/a.jpg"}))
        assert (await line.download(message.attachments[0].url))[0] == 502
        assert inside.asked == []


async def test_a_place_and_a_pressed_button_can_be_read(line: Line, wire: Wire) -> None:
    await line.hand_over(WHATSAPP_USER)
    await form(line, wire, "whatsapp_location")
    await form(line, wire, "whatsapp_pressed")
    location, pressed = await line.heard(2)
    assert location.text == ""
    assert location.attachments[0].name == "Twilio HQ, 375 Beale St, San Francisco, CA 94105"
    assert pressed.text == "Large (size-l)"


# -- to the user ----------------------------------------------------------------------------------


async def test_a_long_text_comes_in_pieces_and_files_by_themselves(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    text = "word " * 400
    picture = Attachment(url="https://f.test/a.png", kind="image")
    await line.reply(handoff, text, attachments=(picture,))
    first, second, file = sent(wire)[-3:]
    assert f"{first['Body']} {second['Body']}" == text.strip()
    assert len(first["Body"]) <= twilio.LONGEST_TEXT
    assert file == {"To": USER, "From": NUMBER, "MediaUrl": "https://f.test/a.png"}


async def test_buttons_and_cards_come_as_text(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    yes, site = Button(title="Yes", payload="yes"), Button(title="Site", payload="", url="https://x.test")
    card = Card(title="City bike", text="7 gears", buttons=(yes,))
    await line.reply(handoff, "Shall we?", buttons=(yes, site), cards=(card,))
    assert [each["Body"] for each in sent(wire)[-2:]] == [
        "Shall we?\n\n- Yes\nSite: https://x.test",
        "City bike\n7 gears\n\n- Yes",
    ]


async def test_a_file_that_is_not_taken_comes_as_a_link(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)

    def respond(asked: Asked) -> tuple[int, Any]:
        refused = "MediaUrl" in fields(asked)
        return (400, {"code": 21623, "status": 400}) if refused else (201, {"sid": "SM1", "status": "queued"})

    wire.respond("POST", f"{MESSAGES}.json", respond)
    await line.reply(handoff, attachments=(Attachment(url="https://f.test/a.pdf", name="a.pdf"),))
    assert sent(wire)[-1]["Body"] == "a.pdf: https://f.test/a.pdf"


async def test_the_answer_comes_from_the_number_that_the_user_wrote_to(line: Line, wire: Wire) -> None:
    await form(line, wire, "whatsapp_text")
    handoff = await line.hand_over(WHATSAPP_USER)
    await line.reply(handoff, "hi")
    assert sent(wire)[-1] == {"To": WHATSAPP_USER, "From": WHATSAPP_NUMBER, "Body": "hi"}
    assert not [each for each in wire.asked if each.method == "GET"]  # they wrote just now: the window is open


async def test_a_closed_window_is_said_when_whatsapp_says_so_later(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(WHATSAPP_USER)
    failed = {"sid": "SM1", "status": "failed", "error_code": 63016}
    wire.when("GET", f"{MESSAGES}/SM1.json", 200, failed)
    await line.reply(handoff, "hi")
    assert any("24 hours after the user last wrote" in each for each in await line.dead())


@pytest.mark.parametrize(("code", "words"), [(21610, "unsubscribed (STOP)"), (63016, "24 hours"), (30006, "landline")])
async def test_a_user_who_cannot_be_reached_is_told_of_at_once(line: Line, wire: Wire, code: int, words: str) -> None:
    handoff = await line.hand_over(USER)
    wire.when("POST", f"{MESSAGES}.json", 400, {"code": code, "message": "…", "status": 400})
    await line.reply(handoff, "hi")
    assert any(words in each for each in await line.dead())


@pytest.mark.parametrize(("wanted", "user"), [(True, WHATSAPP_USER), (False, WHATSAPP_USER), (True, USER)])
async def test_a_whatsapp_user_sees_that_the_agent_types_where_the_owner_wants_it(
    tmp_path: Path, wire: Wire, rasa_agent: Agent, monkeypatch: pytest.MonkeyPatch, wanted: bool, user: str
) -> None:
    monkeypatch.setattr(twilio, "MESSAGING", wire.url)
    wire.when("POST", "/v2/Indicators/Typing.json", body={"success": True})
    line = Line(
        tmp_path, TwilioInput(ACCOUNT, TOKEN, NUMBER), rasa_agent, channels={"twilio": {"whatsapp_typing": wanted}}
    )
    await line.up()
    handoff = await line.hand_over(user)
    await line.hook(data={**PAYLOADS["whatsapp_text"], "From": user, "MessageSid": "SM7"})
    await line.type(handoff)
    await line.down()
    shown = [fields(each) for each in wire.asked if each.path == "/v2/Indicators/Typing.json"]
    assert shown == ([{"messageId": "SM7", "channel": "whatsapp"}] if wanted and user == WHATSAPP_USER else [])


async def test_what_twilio_cannot_take_now_is_tried_again(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    wire.fail(429, times=2, path=f"{MESSAGES}.json")
    await line.reply(handoff, "hi")
    taken = [fields(each)["Body"] for each in wire.asked if each.taken and each.method == "POST"]
    assert taken.count("hi") == 1


async def test_the_bot_speaks_again_after_the_agent(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    await line.gone(handoff)
    before = len(sent(wire))
    await line.close(handoff)
    assert sent(wire)[before:]
    assert all(each["From"] == NUMBER for each in sent(wire)[before:])


async def test_twilio_that_never_answers_the_bot_keeps_no_thread(
    line: Line, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its library waits for ever."""
    monkeypatch.setattr(twilio, "BLOCKED", 0.5)
    output = line.channels.named("twilio").output(To(sender_id=USER, channel="twilio"))
    wire.stall(60.0)
    with pytest.raises(requests.Timeout):
        await asyncio.wait_for(output.send_response(USER, {"text": "hi"}), 50.0)
