"""Microsoft's Bot Framework: Rasa's own channel, a server in Microsoft's place, and what arrives at both ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from rasa.core.agent import Agent
from rasa.core.channels.botframework import BotFrameworkInput

from rasa_handoff.model import Attachment, Button, Card
from rasa_handoff.testing.payloads import Payloads
from rasa_handoff.testing.wire import Asked, Wire
from tests.channels.line import Line
from tests.internet import Internet

PAYLOADS = Payloads(__file__)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
USER, TEAMS = "1234abcd", "smba.trafficmanager.net"
POSTED = "/teams/v3/conversations/abcd1234/activities"


def sign_in(tokens: list[str]) -> Any:
    """Gives a new token each time, as Microsoft does."""

    def answer(asked: Asked) -> tuple[int, Any]:
        tokens.append(f"microsoft-{len(tokens) + 1}")
        return 200, {"token_type": "Bearer", "expires_in": 3600, "access_token": tokens[-1]}

    return answer


@pytest.fixture
def tokens() -> list[str]:
    return []


@pytest_asyncio.fixture
async def line(tmp_path: Path, internet: Internet, rasa_agent: Agent, tokens: list[str]) -> AsyncIterator[Line]:
    key = {**json.loads(RSAAlgorithm.to_jwk(KEY.public_key())), "kid": "key-1"}
    keys = "https://login.botframework.com/v1/keys"
    internet.when("GET", "/v1/.well-known/openidconfiguration", body={"jwks_uri": keys})
    internet.when("GET", "/v1/keys", body={"keys": [key]})
    internet.respond("POST", "/botframework.com/oauth2/v2.0/token", sign_in(tokens))
    line = Line(tmp_path, BotFrameworkInput("bot-app", "bot-secret"), rasa_agent)
    await line.up()
    yield line
    await line.down()


async def hook(line: Line, payload: Any, **claims: str) -> tuple[int, str]:
    token = jwt.encode({"aud": "bot-app", **claims}, KEY, "RS256", headers={"kid": "key-1"})
    return await line.hook(payload, headers={"Authorization": f"Bearer {token}"})


async def started(line: Line, name: str = "message") -> Any:
    """A handoff whose user has written."""
    return await line.begin(USER, hook(line, PAYLOADS[name]))


def activities(internet: Internet) -> list[dict[str, Any]]:
    return [each.json for each in internet.taken("POST", POSTED)]


# -- from the user --------------------------------------------------------------------------------


async def test_a_text_reaches_the_agent_and_not_the_bot(line: Line) -> None:
    await started(line)
    assert [each.text for each in line.agents.got] == ["Haircut on Saturday"]
    assert await line.bot_heard(USER) == []


async def test_an_edited_message_is_marked_and_comes_once_for_each_change(line: Line) -> None:
    """Also when it is put back after it was deleted: it says what it said."""
    edited = PAYLOADS["edited"]
    await started(line)
    for payload in (edited, edited, {**edited, "timestamp": "2016-10-19T20:19:00Z"}):
        assert (await hook(line, payload))[0] == 200
    await hook(line, {**PAYLOADS["message"], "id": "another", "text": "the last"})
    await line.heard(3)
    assert [each.text for each in line.agents.got] == ["Haircut on Saturday", "✎ Haircut on Sunday", "the last"]
    assert await line.bot_heard(USER) == []


async def test_what_a_user_has_deleted_agents_read_of_as_often_as_they_do_it(line: Line) -> None:
    deleted = PAYLOADS["deleted"]
    back = {**PAYLOADS["edited"], "timestamp": "2016-10-19T20:19:00Z", "text": "Haircut on Saturday"}
    await started(line)
    for payload in (deleted, deleted, back, {**deleted, "timestamp": "2016-10-19T20:20:00Z"}):
        assert (await hook(line, payload))[0] == 200
    await hook(line, {**deleted, "id": "what the bot was told"})
    await hook(line, {**PAYLOADS["message"], "id": "another", "text": "the last"})
    gone = "🗑 The user has deleted a message."
    await line.heard(5)
    said = [each.text for each in line.agents.got]
    assert said == ["Haircut on Saturday", gone, "✎ Haircut on Saturday", gone, "the last"]


async def test_an_edit_without_a_handoff_is_nothing_to_the_bot(line: Line) -> None:
    """As it is without the plugin."""
    assert (await hook(line, PAYLOADS["edited"]))[0] == 200
    assert await line.bot_heard(USER) == []


async def test_a_file_in_teams_is_a_link_that_needs_no_token(line: Line) -> None:
    await started(line, "teams_file")
    (message,) = line.agents.got
    (attachment,) = message.attachments
    assert (attachment.url, attachment.name) == ("https://download.link", "file_example.txt")


async def test_a_picture_in_teams_is_had_with_the_bots_token(line: Line, internet: Internet) -> None:
    internet.when("GET", "/amer/v3/attachments/*", body=b"PNG")
    await started(line, "teams_image")
    (message,) = line.agents.got
    (attachment,) = message.attachments  # the other one is the text again, as HTML
    assert (message.text, attachment.kind) == ("look", "image")
    assert (await line.download(attachment.url))[:2] == (200, b"PNG")
    (asked,) = internet.taken("GET", "/amer/*")
    assert asked.headers["authorization"] == "Bearer microsoft-1"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,<script>", "file:///etc/passwd", "//x"])
async def test_an_address_that_is_none_is_not_given_to_the_agent(line: Line, url: str) -> None:
    """Microsoft's signature is not about the body: what a user's program says there is a stranger's word."""
    payload = PAYLOADS["message"]
    payload["attachments"] = [{"contentType": "image/png", "contentUrl": url, "name": "a.png"}]
    await line.hand_over(USER)
    await hook(line, payload)
    (message,) = await line.heard()
    assert message.attachments == ()
    assert message.text.endswith("[image: the user sent it, but its address cannot be opened]")


async def test_a_place_is_a_place(line: Line) -> None:
    await started(line, "place")
    (attachment,) = line.agents.got[0].attachments
    assert attachment.kind == "location"
    assert "47.64" in attachment.url


async def test_a_pressed_button_has_its_title_and_its_payload(line: Line) -> None:
    await started(line, "pressed")
    assert line.agents.got[0].text == "Yes, please (/affirm)"


async def test_a_webhook_that_comes_again_has_no_second_effect(line: Line) -> None:
    await started(line, "teams_file")
    await hook(line, PAYLOADS["teams_file"])
    await hook(line, PAYLOADS["joined"])
    await hook(line, PAYLOADS["message"])
    assert [len(each.attachments) for each in await line.heard(2)] == [1, 0]


async def test_an_unsigned_webhook_has_no_effect(line: Line, internet: Internet) -> None:
    handoff = await line.hand_over(USER)
    assert (await line.hook(PAYLOADS["message"]))[0] == 401
    await line.try_reply(handoff, "Hello?")
    await line.try_in_vain(handoff)
    assert line.agents.got == []
    assert activities(internet) == []


# -- to the user ----------------------------------------------------------------------------------


async def test_an_agent_writes_into_the_conversation_also_after_a_restart(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    line.channels._made.clear()
    await line.reply(handoff, "Hi Ann")
    said = activities(internet)[-1]
    assert (said["type"], said["text"]) == ("message", "Hi Ann")
    assert said["from"] == {"id": "12345678", "name": "bot's name"}
    assert said["recipient"] == {"id": USER}
    assert said["conversation"]["tenantId"] == "72f988bf-86f1-41af-91ab-2d7cd011db47"


async def test_what_was_said_before_the_user_wrote_waits_for_them(line: Line, internet: Internet) -> None:
    handoff = await line.hand_over(USER)
    await line.try_reply(handoff, "I am early")
    assert activities(internet) == []
    await hook(line, PAYLOADS["message"])
    await line.gone(handoff)
    assert "I am early" in [each["text"] for each in activities(internet)]


async def test_one_token_is_fetched_and_kept_and_replaced_when_it_is_refused(
    line: Line, internet: Internet, tokens: list[str]
) -> None:
    handoff = await started(line)
    for text in ("one", "two"):
        await line.reply(handoff, text)
    assert tokens == ["microsoft-1"]
    internet.fail(401, path=POSTED)
    await line.reply(handoff, "three")
    assert tokens == ["microsoft-1", "microsoft-2"]
    assert [each["text"] for each in activities(internet)][-3:] == ["one", "two", "three"]
    assert await line.dead() == []


@pytest.mark.parametrize(("claims", "is_told"), [({}, False), ({"serviceurl": "…"}, True)])
async def test_the_token_goes_where_microsofts_signature_says(
    line: Line, internet: Internet, claims: dict[str, str], is_told: bool
) -> None:
    """The service's address is in the body, which nobody has signed."""
    with Wire() as other:
        payload = deepcopy(PAYLOADS["message"])
        payload["serviceUrl"] = other.url
        handoff = await line.hand_over(USER)
        await hook(line, payload, **({"serviceurl": other.url} if claims else {}))
        await line.heard()
        await line.try_reply(handoff, "Hi Ann")
        await (line.gone(handoff) if is_told else line.try_in_vain(handoff))
        assert bool(other.asked) is is_told


async def test_typing_pictures_buttons_and_cards_have_the_frameworks_own_form(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    await line.type(handoff)
    await line.until(lambda: any(each["type"] == "typing" for each in activities(internet)))
    await line.reply(
        handoff,
        "Sure?",
        buttons=(
            Button(title="Yes", payload="/affirm"),
            Button(title="No", payload="No"),
            Button(title="Read", payload="", url="https://a.test"),
        ),
        attachments=(
            Attachment(url="https://a.test/cat.png", kind="image"),
            Attachment(url="https://a.test/bill.pdf", name="bill.pdf"),
        ),
        cards=(Card(title="Blue", text="A bike", image_url="https://a.test/b.png", url="https://a.test/b"),),
    )
    question, image, file, card = activities(internet)[-4:]
    (hero,) = question["attachments"]
    assert hero["contentType"] == "application/vnd.microsoft.card.hero"
    assert (question["text"], "text" in hero["content"]) == ("Sure?", False)
    assert [each["type"] for each in hero["content"]["buttons"]] == ["messageBack", "imBack", "openUrl"]
    assert hero["content"]["buttons"][0]["value"] == {"title": "Yes", "payload": "/affirm"}
    assert image["attachments"][0]["contentType"] == "image/png"
    (link,) = file["attachments"]
    assert link["content"]["buttons"] == [
        {"type": "openUrl", "title": "bill.pdf", "value": "https://a.test/bill.pdf"},
    ]
    assert card["attachments"][0]["content"] == {
        "title": "Blue",
        "text": "A bike",
        "images": [{"url": "https://a.test/b.png"}],
        "tap": {"type": "openUrl", "value": "https://a.test/b"},
    }


TYPED = "1. *Not* <b>bold</b>\n# see https://a.test/_x_"


async def test_what_an_agent_typed_is_read_as_it_is(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    await line.reply(handoff, TYPED, cards=(Card(title="Blue", text=TYPED),))
    text, card = activities(internet)[-2:]
    assert (text["text"], text["textFormat"]) == (TYPED, "plain")
    shown = card["attachments"][0]["content"]["text"]
    assert shown == "1. *Not* &lt;b&gt;bold&lt;/b&gt;\n# see https://a.test/_x_"


async def test_web_chat_reads_markdown_in_a_card(line: Line, internet: Internet) -> None:
    handoff = await in_web_chat(line)
    await line.reply(handoff, cards=(Card(title="Blue", text=TYPED),))
    shown = activities(internet)[-1]["attachments"][0]["content"]["text"]
    assert shown == "1\\. \\*Not\\* <b>bold</b>\n\\# see https://a.test/_x_"


async def test_the_owners_own_words_may_have_markup(line: Line, internet: Internet) -> None:
    """As they have it in all that the bot says."""
    await started(line)
    (notice,) = [each for each in activities(internet) if "text" in each]
    assert "textFormat" not in notice


FILES = (
    Attachment(url="https://a.test/bill.pdf?key=1", name="bill.pdf"),
    Attachment(url="https://a.test/song", kind="audio", mime="audio/ogg"),
    Attachment(url="https://a.test/song", kind="audio"),
    Attachment(url="https://a.test/film.webm", kind="video"),
    Attachment(url="https://a.test/notes"),
)


async def in_web_chat(line: Line) -> Any:
    payload = {**PAYLOADS["message"], "channelId": "webchat"}
    handoff = await line.hand_over(USER)
    await hook(line, payload)
    await line.heard()
    await line.gone(handoff)
    return handoff


async def test_files_sounds_and_videos_are_shown_elsewhere_than_in_teams(line: Line, internet: Internet) -> None:
    handoff = await in_web_chat(line)
    line.channels._made.clear()  # as after a restart: what is known of the user is on disk
    await line.reply(handoff, attachments=FILES)
    shown = [each["attachments"][0] for each in activities(internet)[-5:]]
    assert [(each["contentType"], each["contentUrl"], each["name"]) for each in shown] == [
        ("application/pdf", "https://a.test/bill.pdf?key=1", "bill.pdf"),
        ("audio/ogg", "https://a.test/song", "audio"),
        ("audio/mpeg", "https://a.test/song", "audio"),
        ("video/webm", "https://a.test/film.webm", "video"),
        ("application/octet-stream", "https://a.test/notes", "file"),
    ]


async def test_in_teams_they_are_links(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    await line.reply(handoff, attachments=FILES)
    named, *others = activities(internet)[-5:]
    assert named["attachments"][0]["content"]["buttons"][0]["value"] == FILES[0].url
    assert [each["text"] for each in others] == [each.url for each in FILES[1:]]


async def test_a_file_that_the_service_does_not_take_comes_as_a_link(line: Line, internet: Internet) -> None:
    def refuse_files(asked: Asked) -> tuple[int, Any]:
        return (400, {"error": {"code": "BadArgument"}}) if b"contentUrl" in asked.body else (200, {"id": "1"})

    handoff = await in_web_chat(line)
    internet.respond("POST", POSTED, refuse_files)
    await line.reply(handoff, attachments=(Attachment(url="https://a.test/cat.png", kind="image"), FILES[3]))
    said = [each.get("text") for each in activities(internet)]
    assert [each for each in said if each and "a.test" in each] == ["https://a.test/cat.png", FILES[3].url]
    assert await line.dead() == []


async def test_a_card_that_the_service_does_not_take_can_be_read(line: Line, internet: Internet) -> None:
    def refuse_cards(asked: Asked) -> tuple[int, Any]:
        return (400, {"error": {"code": "BadSyntax"}}) if b"card.hero" in asked.body else (200, {"id": "1"})

    handoff = await in_web_chat(line)
    internet.respond("POST", POSTED, refuse_cards)
    site = Button(title="Site", payload="", url="tel:1")
    await line.reply(handoff, "Sure?", buttons=(site,), cards=(Card(title="Blue", text="A bike", buttons=(site,)),))
    texts = [each["text"] for each in activities(internet) if "text" in each]
    assert texts[-2:] == ["Sure?\n- Site: tel:1", "Blue\nA bike\n- Site: tel:1"]
    assert await line.dead() == []


async def test_a_place_on_the_map_is_a_link(line: Line, internet: Internet) -> None:
    handoff = await in_web_chat(line)
    await line.reply(handoff, attachments=(Attachment(url="https://a.test/map", kind="location"),))
    assert activities(internet)[-1]["text"] == "https://a.test/map"


async def test_the_service_says_how_long_to_wait(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    internet.fail(429, path=POSTED, Retry_After="60")
    assert await line.put_off(handoff, "patience") > 59
    await line.try_again(handoff)
    assert activities(internet)[-1]["text"] == "patience"


async def test_what_will_never_work_is_put_aside_with_its_reason(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    blocked = {"error": {"code": "MessageWritesBlocked", "message": "Thread is blocked from message writes"}}
    internet.when("POST", POSTED, 403, blocked)
    await line.reply(handoff, "secret words")
    dead = await line.dead()
    assert any("HTTP 403 MessageWritesBlocked" in each for each in dead)
    assert not any("secret words" in each or "microsoft-1" in each for each in dead)


async def test_the_bot_speaks_again_in_the_same_conversation(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    await line.close(handoff)
    said = [each for each in await line.bot_said(USER) if each]
    assert said
    arrived = json.dumps(activities(internet), ensure_ascii=False)  # texts with buttons are on cards
    assert [each for each in said if each not in arrived] == []
