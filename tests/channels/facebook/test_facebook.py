"""Messenger: Rasa's own channel, a server in Meta's place, and what arrives at both ends."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import requests
from fbmessenger import MessengerClient
from rasa.core.agent import Agent
from rasa.core.channels.facebook import FacebookInput

from rasa_handoff.channels import facebook
from rasa_handoff.channels.base import To
from rasa_handoff.model import Attachment, Button, Card, Json
from rasa_handoff.store import messages
from rasa_handoff.testing.payloads import Payloads
from rasa_handoff.testing.wire import Wire
from tests.channels.line import Line

PAYLOADS = Payloads(__file__)
USER, SECRET, TOKEN = "1254459154682919", "app-secret", "page-token"


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """In the place of graph.facebook.com."""
    with Wire() as wire:
        monkeypatch.setattr(facebook, "API", wire.url)
        internet = property(lambda _: wire.url, lambda _, url: None)
        monkeypatch.setattr(MessengerClient, "graph_url", internet, raising=False)
        yield wire


@pytest_asyncio.fixture
async def line(tmp_path: Path, wire: Wire, rasa_agent: Agent) -> AsyncIterator[Line]:
    line = Line(tmp_path, FacebookInput("verify", SECRET, TOKEN), rasa_agent)
    await line.up()
    yield line
    await line.down()


async def hook(line: Line, name: str | Json, secret: str = SECRET) -> tuple[int, str]:
    payload = PAYLOADS[name] if isinstance(name, str) else name
    mac = hmac.new(secret.encode(), json.dumps(payload).encode(), hashlib.sha1).hexdigest()
    return await line.hook(payload, headers={"X-Hub-Signature": f"sha1={mac}"})


def sent(wire: Wire) -> list[Any]:
    """What the user was sent by us."""
    ours = [each for each in wire.asked if each.headers.get("authorization") == f"Bearer {TOKEN}"]
    ours = [each for each in ours if each.path == "/me/messages"]
    assert all(each.json["recipient"] == {"id": USER} for each in ours)
    return [each.json.get("message") for each in ours]


# -- from the user --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "text", "files"),
    [
        ("text", "hello, world!", []),
        ("image", "", [("image", "bike.jpg?oh=1")]),
        (
            "files",
            "",
            [("image", "a.jpg"), ("image", "b.jpg"), ("video", "c.mp4"), ("audio", "d.mp4"), ("file", "e.pdf")],
        ),
        ("sticker", "", [("image", "s.png")]),
        ("fallback", "see https://bikes.example/city", [("file", "city")]),
        ("product", "City bike - $400", []),
    ],
)
async def test_what_users_send_reaches_the_agent(line: Line, payload: str, text: str, files: list[Any]) -> None:
    await line.hand_over(USER)
    assert await hook(line, payload) == (200, "success")
    (message,) = await line.heard()
    assert message.text == text
    assert [(each.kind, each.url.rpartition("/")[2]) for each in message.attachments] == files


async def test_an_edited_message_is_marked_and_comes_once_for_each_change(line: Line) -> None:
    await line.hand_over(USER)
    again = PAYLOADS["edited"]
    again["entry"][0]["messaging"][0]["message_edit"].update(text="hello, world!", num_edit=2)
    for payload in ("text", "edited", "edited", again):
        assert await hook(line, payload) == (200, "success")
    await hook(line, "image")
    await line.heard(4)
    texts = [each.text for each in line.agents.got]
    assert texts == ["hello, world!", "✎ hello, everybody!", "✎ hello, world!", ""]
    assert await line.bot_heard(USER) == []


async def test_an_edit_without_a_handoff_is_nothing_to_the_bot(line: Line) -> None:
    """As it is without the plugin."""
    assert await hook(line, "edited") == (200, "success")
    assert await line.bot_heard(USER) == []


async def test_a_place_can_be_seen_on_a_map(line: Line) -> None:
    await line.hand_over(USER)
    await hook(line, "location")
    (message,) = await line.heard()
    assert (message.attachments[0].kind, message.attachments[0].name) == ("location", "Ann's location")


@pytest.mark.parametrize(
    ("payload", "text"), [("quick_reply", 'Large (/inform{"size": "L"})'), ("postback", "Get started (/greet)")]
)
async def test_a_pressed_button_has_its_title_and_its_payload(line: Line, payload: str, text: str) -> None:
    await line.hand_over(USER)
    await hook(line, payload)
    (message,) = await line.heard()
    assert message.text == text


async def test_all_messages_of_one_request_arrive_once_and_in_order(line: Line) -> None:
    await line.hand_over(USER)
    for name in ("several", "several", "text"):
        await hook(line, name)
    found = [(each.text, len(each.attachments)) for each in await line.heard(4)]
    assert found == [("first", 0), ("second", 0), ("", 1), ("hello, world!", 0)]


async def test_two_users_in_one_request_are_not_mixed_up(line: Line) -> None:
    payload = deepcopy(PAYLOADS["text"])
    second = deepcopy(payload["entry"][0])
    second["messaging"][0]["sender"]["id"] = "4711"
    second["messaging"][0]["message"].update(mid="m.other", text="from the other")
    payload["entry"].append(second)
    both = [await line.hand_over(user) for user in (USER, "4711")]
    await hook(line, payload)
    await line.heard(2)
    said = [await line.runtime.store.read(partial(messages.of, handoff_id=each.id)) for each in both]
    texts = [[each.text for each in one if each.who == "user"] for one in said]
    assert texts == [["hello, world!"], ["from the other"]]


async def test_the_pages_own_words_are_none_of_the_user(line: Line) -> None:
    await line.hand_over(USER)
    await hook(line, "echo")
    await hook(line, "text")
    assert [each.text for each in await line.heard()] == ["hello, world!"]


async def test_without_a_handoff_rasa_does_what_it_does(line: Line) -> None:
    await hook(line, "several")
    assert line.agents.got == []
    assert await line.bot_heard(USER) == ["first"]


async def test_a_wrong_signature_brings_nothing(line: Line) -> None:
    await line.hand_over(USER)
    assert await hook(line, "several", secret="stolen") == (200, "not validated")
    await hook(line, "text")
    assert [each.text for each in await line.heard()] == ["hello, world!"]


# -- to the user ----------------------------------------------------------------------------------


async def test_choices_are_quick_replies_below_the_last_piece_of_a_text(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    text = "word " * 450
    await line.reply(handoff, text, buttons=(Button(title="A title longer than twenty", payload="yes"),))
    first, last = sent(wire)[-2:]
    assert f"{first['text']} {last['text']}" == text.strip()
    assert len(first["text"]) <= facebook.LONGEST_TEXT
    replies = [{"content_type": "text", "title": "A title longer than…", "payload": "yes"}]
    assert last["quick_replies"] == replies


async def test_buttons_that_lead_elsewhere_come_by_threes(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    buttons = [Button(title=f"Site {n}", payload="", url=f"https://x.test/{n}") for n in range(4)]
    await line.reply(handoff, "Look:", buttons=tuple(buttons))
    first, second = (each["attachment"]["payload"] for each in sent(wire)[-2:])
    assert (first["template_type"], first["text"], len(first["buttons"])) == ("button", "Look:", 3)
    assert second["buttons"] == [{"type": "web_url", "title": "Site 3", "url": "https://x.test/3"}]


async def test_files_go_by_their_address(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    kinds = ("image", "audio", "video", "file")
    await line.reply(handoff, attachments=tuple(Attachment(url=f"https://f.test/{kind}", kind=kind) for kind in kinds))  # type: ignore[arg-type]
    found = [(each["attachment"]["type"], each["attachment"]["payload"]["url"]) for each in sent(wire)[-4:]]
    assert found == [(kind, f"https://f.test/{kind}") for kind in kinds]


async def test_a_video_that_meta_is_long_in_getting_comes_once(hurried: None, line: Line, wire: Wire) -> None:
    """What is given up while Meta still gets it from its address, and tried again, comes as often as it is tried."""
    handoff = await line.hand_over(USER)
    film = Attachment(url="https://f.test/long.mp4", kind="video")
    await line.gone(handoff)
    wire.stall(1.5, path="/me/messages")
    await line.reply(handoff, attachments=(film,))
    assert [each["attachment"]["payload"]["url"] for each in sent(wire) if "attachment" in each] == [film.url]


async def test_cards_come_side_by_side(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    take = Button(title="Take it", payload="take")
    card = Card(
        title="City bike", text="7 gears", image_url="https://f.test/e.png", url="https://x.test", buttons=(take,)
    )
    await line.reply(handoff, cards=(card, Card(title="Race bike", text="24 gears")))
    payload = sent(wire)[-1]["attachment"]["payload"]
    assert payload["template_type"] == "generic"
    assert payload["elements"] == [
        {
            "title": "City bike",
            "subtitle": "7 gears",
            "image_url": "https://f.test/e.png",
            "default_action": {"type": "web_url", "url": "https://x.test"},
            "buttons": [{"type": "postback", "title": "Take it", "payload": "take"}],
        },
        {"title": "Race bike", "subtitle": "24 gears"},
    ]


async def test_a_card_with_more_to_read_than_fits_comes_as_text(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    await line.reply(handoff, cards=(Card(title="City bike", text="gear " * 30, image_url="https://f.test/e.png"),))
    picture, text = sent(wire)[-2:]
    assert picture["attachment"]["type"] == "image"
    assert text["text"].startswith("City bike\ngear")


async def test_a_file_that_is_not_taken_comes_as_a_link(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    refused = {"error": {"message": "…", "type": "OAuthException", "code": 100, "error_subcode": 2018047}}

    def respond(asked: Any) -> tuple[int, Any]:
        return (400, refused) if "attachment" in asked.json.get("message", {}) else (200, {})

    wire.respond("POST", "/me/messages", respond)
    await line.reply(handoff, attachments=(Attachment(url="https://f.test/a.exe", name="a.exe"),))
    assert sent(wire)[-1] == {"text": "a.exe: https://f.test/a.exe"}


SHOP = Button(title="Shop", payload="", url="tel:1")


@pytest.mark.parametrize("buttons", [(Button(title="Yes", payload="/yes" * 500),), (SHOP,)])
async def test_choices_that_are_not_taken_can_be_read(line: Line, wire: Wire, buttons: tuple[Button, ...]) -> None:
    """Meta has its own idea of payloads and addresses; what stands above them must not be lost with them."""
    handoff = await line.hand_over(USER)

    def respond(asked: Any) -> tuple[int, Any]:
        refused = {"attachment", "quick_replies"} & set(asked.json.get("message", {}))
        return (400, {"error": {"code": 100}}) if refused else (200, {})

    wire.respond("POST", "/me/messages", respond)
    await line.reply(handoff, "Sure?", buttons=buttons)
    assert sent(wire)[-1] == {"text": "Sure?\n- Yes" if SHOP not in buttons else "Sure?\n- Shop: tel:1"}
    assert await line.dead() == []


@pytest.mark.parametrize(
    ("code", "subcode", "words"),
    [
        (10, 2018278, "so long after the user last wrote"),
        (551, 1545041, "cannot be reached"),
        (100, 2018001, "no such user"),
    ],
)
async def test_a_user_who_cannot_be_reached_is_told_of_at_once(
    line: Line, wire: Wire, code: int, subcode: int, words: str
) -> None:
    handoff = await line.hand_over(USER)
    wire.when("POST", "/me/messages", 400, {"error": {"message": "…", "code": code, "error_subcode": subcode}})
    await line.reply(handoff, "hi")
    assert any(words in each for each in await line.dead())


async def test_an_owner_with_human_agent_reaches_users_for_seven_days(
    tmp_path: Path, wire: Wire, rasa_agent: Agent
) -> None:
    own = {"facebook": {"human_agent": True}}
    line = Line(tmp_path, FacebookInput("verify", SECRET, TOKEN), rasa_agent, channels=own)
    await line.up()
    handoff = await line.hand_over(USER)
    closed = {"error": {"message": "…", "code": 10, "error_subcode": 2018278}}
    wire.respond("POST", "/me/messages", lambda asked: (200, {}) if "tag" in asked.json else (400, closed))
    await line.reply(handoff, "hi")
    last = wire.asked[-1].json
    assert (last["messaging_type"], last["tag"], last["message"]) == ("MESSAGE_TAG", "HUMAN_AGENT", {"text": "hi"})
    assert await line.dead() == []
    await line.down()


async def test_what_meta_cannot_take_now_is_tried_again(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    wire.fail(500, path="/me/messages")
    await line.reply(handoff, "hi")
    assert [each.json.get("message") for each in wire.asked if each.taken].count({"text": "hi"}) == 1


async def test_the_user_sees_that_the_agent_types(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    await line.type(handoff)
    await line.until(lambda: any(each.json.get("sender_action") == "typing_on" for each in wire.asked))


async def test_the_bot_speaks_again_after_the_agent(line: Line, wire: Wire) -> None:
    handoff = await line.hand_over(USER)
    before = len(wire.asked)
    await line.close(handoff)
    assert [each for each in wire.asked[before:] if "authorization" not in each.headers]  # by Rasa's own client


async def test_meta_that_never_answers_the_bot_keeps_no_thread(
    line: Line, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rasa's client waits for ever."""
    monkeypatch.setattr(facebook, "BLOCKED", 0.5)
    output = line.channels.named("facebook").output(To(sender_id=USER, channel="facebook"))
    wire.stall(60.0)
    with pytest.raises(requests.Timeout):
        await asyncio.wait_for(output.send_response(USER, {"text": "hi"}), 50.0)
