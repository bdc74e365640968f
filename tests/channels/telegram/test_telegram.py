"""Telegram: Rasa's own channel, a server in the Bot API's place, and what arrives at both ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from aiogram.bot.api import TelegramAPIServer
from rasa.core.agent import Agent
from rasa.core.channels.channel import UserMessage
from sanic import response
from sanic.response import HTTPResponse

from rasa_handoff.channels import telegram
from rasa_handoff.channels.telegram import TelegramInput
from rasa_handoff.model import Attachment, Button, Card
from rasa_handoff.testing.payloads import Payloads
from rasa_handoff.testing.wire import Asked, Wire
from tests.channels.line import Line

PAYLOADS = Payloads(__file__)
TOKEN = "12345:telegram-secret"
USER, FILE = "1111111", "AwADBAADbXXXXXXXXXXXGBdhD2l6_XX"


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """In the place of api.telegram.org."""
    with Wire() as wire:
        monkeypatch.setattr(telegram, "API", wire.url)
        monkeypatch.setattr(TelegramAPIServer, "api_url", lambda _, token, method: f"{wire.url}/bot{token}/{method}")
        wire.when("POST", "/bot*", body={"ok": True, "result": {"message_id": 1, "date": 0, "chat": {"id": 1}}})
        wire.when("POST", "/bot*/setWebhook", body={"ok": True, "result": True})
        wire.when(
            "POST", "/bot*/getMe", body={"ok": True, "result": {"id": 42, "is_bot": True, "username": "spoke_bot"}}
        )
        wire.when(
            "POST", "/bot*/getFile", body={"ok": True, "result": {"file_id": FILE, "file_path": "photos/file_0.jpg"}}
        )
        wire.when("GET", "/file/bot*", body=b"JPEG")
        yield wire


@pytest_asyncio.fixture
async def line(tmp_path: Path, wire: Wire, rasa_agent: Agent) -> AsyncIterator[Line]:
    line = Line(tmp_path, TelegramInput(TOKEN, "spoke_bot", "https://bot.test/webhooks/telegram/webhook"), rasa_agent)
    await line.up()
    yield line
    await line.down()


def sent(wire: Wire) -> list[tuple[str, Any]]:
    """What the user was sent: the method, and what it says."""
    calls = [(each.path.rpartition("/")[2], each) for each in wire.asked if "/bot" in each.path]
    return [(name, said(each)) for name, each in calls if name.startswith("send")]


def said(asked: Asked) -> Any:
    found = asked.json
    assert found.pop("chat_id") == USER
    return found


# -- from the user --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "text", "kind", "name", "mime"),
    [
        ("photo", "My broken bike", "image", "photo.jpg", "image/jpeg"),
        ("document", "", "file", "Testfile.pdf", "application/pdf"),
        ("voice", "", "audio", "voice message.ogg", "audio/ogg"),
        ("audio", "", "audio", "Test music file", "audio/mpeg"),
        ("video", "", "video", "video.mp4", "video/mp4"),
        ("video_note", "", "video", "video message.mp4", "video/mp4"),
        ("animation", "", "video", "giphy.mp4", "video/mp4"),
        ("sticker", "👍", "image", "sticker.webp", "image/webp"),
        ("sticker_animated", "🎉", "image", "sticker.webp", None),
    ],
)
async def test_what_rasa_drops_reaches_the_agent(
    line: Line, payload: str, text: str, kind: str, name: str, mime: str | None
) -> None:
    await line.hand_over(USER)
    assert await line.hook(PAYLOADS[payload]) == (200, "success")
    (message,) = line.agents.got or await line.heard()
    (attachment,) = message.attachments
    assert (message.text, attachment.kind, attachment.name, attachment.mime) == (text, kind, name, mime)
    assert TOKEN not in attachment.url
    assert await line.bot_heard(USER) == []


async def test_an_update_without_a_message_is_nothing_to_the_agent(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    await line.hand_over(USER)
    await line.hook(PAYLOADS["joined"])
    await line.hook(PAYLOADS["photo"])
    assert [len(each.attachments) for each in await line.heard()] == [1]
    assert [
        each for each in caplog.records if each.name.startswith("rasa_handoff")
    ] == []  # Rasa's channel fails with it


async def test_a_link_streams_the_file_and_shows_no_token(line: Line, wire: Wire) -> None:
    await line.gone(await line.hand_over(USER))
    await line.hook(PAYLOADS["photo"])
    (message,) = await line.heard()
    status, body, headers = await line.download(message.attachments[0].url)
    assert (status, body, headers["Content-Type"]) == (200, b"JPEG", "image/jpeg")
    asked = next(each for each in wire.asked if each.path.endswith("/getFile"))
    assert asked.json == {"file_id": FILE}
    assert wire.asked[-1].path == f"/file/bot{TOKEN}/photos/file_0.jpg"


async def test_a_file_that_telegram_does_not_give_says_why(line: Line, wire: Wire) -> None:
    await line.hand_over(USER)
    await line.hook(PAYLOADS["document"])
    (message,) = await line.heard()
    too_big = {"ok": False, "error_code": 400, "description": "Bad Request: file is too big"}
    wire.when("POST", "/bot*/getFile", 400, too_big)
    status, body, _ = await line.download(message.attachments[0].url)
    assert status == 502
    assert b"file is too big" in body
    assert TOKEN.encode() not in body


async def test_a_file_without_a_path_says_so(line: Line, wire: Wire) -> None:
    """https://core.telegram.org/bots/api#file: file_path is optional."""
    await line.hand_over(USER)
    await line.hook(PAYLOADS["document"])
    (message,) = await line.heard()
    wire.when("POST", "/bot*/getFile", body={"ok": True, "result": {"file_id": FILE}})
    assert (await line.download(message.attachments[0].url))[0] == 502


async def test_places_and_contacts_can_be_read(line: Line) -> None:
    await line.hand_over(USER)
    for number, name in enumerate(("location", "venue", "contact"), 1):
        await line.hook(PAYLOADS[name])
        await line.heard(number)
    location, venue, contact = line.agents.got
    assert (location.text, location.attachments[0].name) == ("", "52.520008, 13.404954")
    assert "mlat=52.520008&mlon=13.404954" in location.attachments[0].url
    assert (venue.text, venue.attachments[0].name) == ("", "Spoke Bikes, Alexanderplatz 1, Berlin")
    assert contact.text == "Contact: Ann Lee, +4930123456"


async def test_a_pressed_button_has_its_title_and_its_payload(line: Line) -> None:
    await line.hand_over(USER)
    await line.hook(PAYLOADS["pressed"])
    (message,) = await line.heard()
    assert message.text == 'Large (/inform{"size": "L"})'


async def test_a_button_that_an_agent_hears_of_stops_spinning(line: Line, wire: Wire) -> None:
    await line.hook(PAYLOADS["pressed"])  # for the bot: Rasa does not answer it, and neither do we
    await line.hand_over(USER)
    await line.hook(PAYLOADS["pressed"])
    await line.until(lambda: answered(wire))
    await line.hook(PAYLOADS["text"])
    await line.heard(2)
    assert answered(wire) == [{"callback_query_id": "4382bfdwdsb323b2d9"}]


async def test_a_button_that_cannot_be_answered_is_heard_all_the_same(line: Line, wire: Wire) -> None:
    await line.hand_over(USER)
    wire.fail(400, path="/bot*/answerCallbackQuery")
    assert await line.hook(PAYLOADS["pressed"]) == (200, "success")
    await line.heard()


def answered(wire: Wire) -> list[Any]:
    return [each.json for each in wire.asked if each.path.endswith("/answerCallbackQuery")]


async def test_in_a_group_the_agent_reads_who_writes(line: Line) -> None:
    await line.hand_over("-100")
    for number, name in enumerate(("text", "photo", "pressed"), 1):
        payload = PAYLOADS[name]
        said = payload.get("message") or payload["callback_query"]["message"]
        said["chat"] = {"id": -100, "type": "group", "title": "Bikes"}
        (payload.get("callback_query") or said)["from"] = {"id": number, "first_name": f"Ann {number}"}
        await line.hook(payload)
    texts = [each.text for each in await line.heard(3)]
    assert texts[0].startswith("Ann 1: ")
    assert texts[1:] == ["Ann 2: My broken bike", 'Ann 3: Large (/inform{"size": "L"})']


async def test_a_webhook_that_comes_again_after_a_restart_has_no_second_effect(
    tmp_path: Path, wire: Wire, rasa_agent: Agent
) -> None:
    texts = []
    for again in (False, True):
        line = Line(tmp_path, TelegramInput(TOKEN, "spoke_bot", "https://bot.test/hook"), rasa_agent)
        await line.up()
        if not again:
            await line.hand_over(USER)
        for name in ("photo", "text", *(("edited",) if again else ())):
            assert await line.hook(PAYLOADS[name]) == (200, "success")
        await line.all_sent()
        texts.append([each.text for each in line.agents.got])
        await line.down()
    assert len(texts[0]) == 2
    assert texts[1] == ["✎ Edited text"]


async def test_a_webhook_that_comes_again_has_no_second_effect(line: Line) -> None:
    await line.hand_over(USER)
    for name in ("photo", "photo", "edited", "edited", "contact"):
        await line.hook(PAYLOADS[name])
    texts = [each.text for each in await line.heard(3)]
    assert texts == ["My broken bike", "✎ Edited text", "Contact: Ann Lee, +4930123456"]


async def test_an_edited_message_is_marked_unless_it_says_what_it_said(line: Line) -> None:
    """Telegram tells of edits that change nothing a bot can see, too."""
    first, edited = PAYLOADS["text"], PAYLOADS["edited"]
    await line.hand_over(USER)
    same = PAYLOADS["edited"]
    same["update_id"], same["edited_message"]["text"] = 1, first["message"]["text"]
    for payload in (first, same, edited, {**edited, "update_id": 2}):
        await line.hook(payload)
    await line.hook(PAYLOADS["location"])
    await line.heard(3)
    assert [each.text for each in line.agents.got[:2]] == [first["message"]["text"], "✎ Edited text"]
    assert line.agents.got[2].attachments


async def test_an_edited_caption_comes_with_its_picture(line: Line) -> None:
    payload = PAYLOADS["photo"]
    payload["edited_message"] = {**payload.pop("message"), "caption": "My other bike"}
    await line.hand_over(USER)
    await line.hook(payload)
    (message,) = await line.heard()
    assert message.text == "✎ My other bike"
    assert [each.kind for each in message.attachments] == ["image"]


async def test_what_the_channel_makes_up_is_no_word_of_the_user(line: Line) -> None:
    await line.hand_over(USER)
    payload = PAYLOADS["text"]
    payload["message"]["text"] = "/restart"  # after which the channel tells the bot of /start
    await line.hook(payload)
    await line.hook(PAYLOADS["edited"])
    assert [each.text for each in await line.heard(2)] == ["/restart", "✎ Edited text"]


async def test_a_handoff_that_begins_between_two_messages_of_one_update_mixes_nothing_up(line: Line) -> None:
    payload = PAYLOADS["text"]
    payload["message"]["text"] = "/restart"

    async def bot(message: UserMessage) -> None:
        await line.hand_over(USER)

    async def webhook(request: Any) -> HTTPResponse:
        for text in ("/restart", "/start"):
            await line.gate.handle(UserMessage(text, None, USER, input_channel="telegram"), bot)
        return response.text("success")

    around = line.intake.around(line.channels.named("telegram"), webhook)
    await around(SimpleNamespace(method="POST", json=payload))
    await line.hook(PAYLOADS["edited"])
    assert [each.text for each in await line.heard()] == ["✎ Edited text"]


async def test_without_a_handoff_rasa_does_what_it_does(line: Line) -> None:
    assert await line.hook(PAYLOADS["photo"]) == (200, "success")
    assert await line.hook(PAYLOADS["pressed"]) == (200, "success")
    assert line.agents.got == []
    assert await line.bot_heard(USER) == ['/inform{"size": "L"}']


async def test_a_webhook_for_another_bot_brings_nothing(line: Line, wire: Wire) -> None:
    wire.when("POST", "/bot*/getMe", body={"ok": True, "result": {"id": 43, "is_bot": True, "username": "other_bot"}})
    await line.hand_over(USER)
    assert await line.hook(PAYLOADS["photo"]) == (200, "failed")
    await line.all_sent()
    assert line.agents.got == []


async def test_a_photo_that_cannot_be_stored_is_asked_for_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    await line.hand_over(USER)
    with monkeypatch.context() as broken:
        broken.setattr(line.runtime.switchboard, "said", failing)
        assert (await line.hook(PAYLOADS["photo"]))[0] == 503
    assert (await line.hook(PAYLOADS["photo"]))[0] == 200
    assert len(await line.heard()) == 1


async def failing(*_: Any) -> None:
    raise OSError("the disk is full")


async def test_without_a_public_address_the_desk_finds_the_file_on_its_own_server(
    tmp_path: Path, wire: Wire, rasa_agent: Agent
) -> None:
    line = Line(tmp_path, TelegramInput(TOKEN, "spoke_bot", None), rasa_agent, public_url=None)
    await line.up()
    await line.hand_over(USER)
    await line.hook(PAYLOADS["photo"])
    (message,) = await line.heard()
    assert message.attachments[0].url.startswith("/webhooks/handoff/media/")  # the desk's page is ours
    await line.down()


# -- to the user ----------------------------------------------------------------------------------


async def test_a_long_text_comes_in_pieces_and_its_buttons_below_the_last(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    text = "word " * 1000
    await line.reply(
        handoff,
        text,
        buttons=(Button(title="Yes", payload="yes"), Button(title="Site", payload="", url="https://x.test")),
    )
    first, last = sent(wire)[-2:]
    assert f"{first[1]['text']} {last[1]['text']}" == text.strip()
    assert len(first[1]["text"]) <= telegram.LONGEST_TEXT
    keyboard = [[{"text": "Yes", "callback_data": "yes"}], [{"text": "Site", "url": "https://x.test"}]]
    assert (first[1].get("reply_markup"), last[1]["reply_markup"]) == (None, {"inline_keyboard": keyboard})


async def test_a_payload_too_long_for_a_button_becomes_a_choice_of_the_keyboard(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    await line.reply(handoff, "Which?", buttons=(Button(title="This one", payload="x" * 65),))
    assert sent(wire)[-1][1]["reply_markup"]["keyboard"] == [[{"text": "This one"}]]


async def test_files_and_cards_come_in_their_own_form(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    files = [("image", "a.png"), ("audio", "b.mp3"), ("video", "c.mp4"), ("file", "d.pdf")]
    attachments = tuple(Attachment(url=f"https://f.test/{name}", kind=kind, name=name) for kind, name in files)  # type: ignore[arg-type]
    card = Card(
        title="City bike",
        text="7 gears",
        image_url="https://f.test/e.png",
        buttons=(Button(title="Take it", payload="take"),),
    )
    await line.reply(handoff, attachments=attachments, cards=(card,))
    assert sent(wire)[-5:] == [
        ("sendPhoto", {"photo": "https://f.test/a.png"}),
        ("sendAudio", {"audio": "https://f.test/b.mp3", "caption": "b.mp3"}),
        ("sendVideo", {"video": "https://f.test/c.mp4", "caption": "c.mp4"}),
        ("sendDocument", {"document": "https://f.test/d.pdf", "caption": "d.pdf"}),
        (
            "sendPhoto",
            {
                "photo": "https://f.test/e.png",
                "caption": "City bike\n7 gears",
                "reply_markup": {"inline_keyboard": [[{"text": "Take it", "callback_data": "take"}]]},
            },
        ),
    ]


async def test_no_word_of_a_long_card_is_lost_however_its_letters_are_counted(line: Line, wire: Wire) -> None:
    """Telegram counts an emoji twice."""
    handoff = await line.hand_over(USER)
    await line.gone(handoff)
    before = len(sent(wire))
    words = "🚲" * 2100
    shop = Button(title="Yes", payload="/yes")
    await line.reply(
        handoff, cards=(Card(title="Bikes", text=words, image_url="https://f.test/b.jpg", buttons=(shop,)),)
    )
    calls = sent(wire)[before:]
    assert [method for method, _ in calls] == ["sendPhoto", *["sendMessage"] * 3]
    assert "caption" not in calls[0][1]
    told = [params["text"] for _, params in calls[1:]]
    assert "".join(told).replace("Bikes", "") == words
    assert all(len(each.encode("utf-16-le")) // 2 <= telegram.LONGEST_TEXT for each in told)
    assert ["reply_markup" in params for _, params in calls] == [False, False, False, True]


async def test_a_piece_that_shows_nothing_is_not_sent(line: Line, wire: Wire) -> None:
    """Telegram refuses a message of white space, and what came after it would be lost with it."""
    handoff = await line.hand_over(USER)
    await line.gone(handoff)
    before = len(sent(wire))
    await line.reply(handoff, "first" + "\n" * 9000 + "last")
    assert [params["text"] for _, params in sent(wire)[before:]] == ["first", "last"]


async def test_a_file_that_telegram_does_not_take_comes_as_a_link(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    refusal = {"ok": False, "error_code": 400, "description": "Bad Request: failed to get HTTP URL content"}
    wire.when("POST", "/bot*/sendDocument", 400, refusal)
    await line.reply(handoff, attachments=(Attachment(url="https://f.test/d.docx", name="d.docx"),))
    assert sent(wire)[-1] == ("sendMessage", {"text": "d.docx: https://f.test/d.docx"})


async def test_what_is_there_does_not_come_again_when_the_rest_is_tried_again(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    wire.fail(429, path="POST */sendPhoto", Retry_After="0")
    await line.reply(handoff, "look", attachments=(Attachment(url="https://f.test/a.png", kind="image"),))
    taken = [each for each in wire.asked if each.taken and each.path.rpartition("/")[2].startswith("send")]
    assert [each.path.rpartition("/")[2] for each in taken][-2:] == ["sendMessage", "sendPhoto"]
    assert [each.json.get("text") for each in taken].count("look") == 1


@pytest.mark.parametrize(
    ("status", "description", "words"),
    [
        (403, "Forbidden: bot was blocked by the user", "the user has blocked the bot"),
        (403, "Forbidden: user is deactivated", "the user's account is gone"),
        (400, "Bad Request: chat not found", "there is no such chat"),
    ],
)
async def test_a_user_who_cannot_be_reached_is_told_of_at_once(
    line: Line, wire: Wire, status: int, description: str, words: str
) -> None:
    handoff = await line.hand_over(USER)
    wire.when("POST", "/bot*/sendMessage", status, {"ok": False, "error_code": status, "description": description})
    await line.reply(handoff, "hi")
    assert f"telegram: {words}" in await line.dead()


async def test_the_user_sees_that_the_agent_types(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    await line.type(handoff)
    await line.until(lambda: ("sendChatAction", {"action": "typing"}) in sent(wire))


async def test_the_bot_speaks_again_after_the_agent_and_no_webhook_is_set_for_it(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    before = len([each for each in wire.asked if each.path.endswith("/setWebhook")])
    await line.close(handoff)
    texts = [each.body for each in wire.asked if each.path.lower().endswith("/sendmessage")]
    assert any(b"bot" in text for text in texts)
    assert len([each for each in wire.asked if each.path.endswith("/setWebhook")]) == before


async def test_in_a_group_with_topics_the_agent_answers_in_the_users_topic(line: Line, wire: Wire) -> None:
    await line.hook(PAYLOADS["topic"])
    handoff = await line.hand_over("-1001234567890")
    await line.reply(handoff, "hi")
    last = wire.asked[-1].json
    assert (last["chat_id"], last["message_thread_id"], last["text"]) == ("-1001234567890", 12, "hi")
