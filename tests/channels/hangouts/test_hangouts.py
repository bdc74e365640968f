"""Google Chat: Rasa's own channel, a server in Google's place, and what arrives at both ends."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from rasa.core.agent import Agent
from rasa.core.channels.hangouts import HangoutsInput

from rasa_handoff.channels import settings_models
from rasa_handoff.channels.verbatim import JOINER
from rasa_handoff.errors import ConfigError
from rasa_handoff.model import Attachment, AttachmentKind, Button, Card
from rasa_handoff.settings import read_section
from rasa_handoff.testing.payloads import Payloads
from tests.channels.line import Line
from tests.internet import Internet

PAYLOADS = Payloads(__file__)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
USER, SPACE = "Izumi", "spaces/AAAAAAAAAAA"
THREAD = f"{SPACE}/threads/BBBBBBBBBBB"
POSTED = f"/v1/{SPACE}/messages"


def certificate() -> str:
    """Of `KEY`, as Google gives its keys."""
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chat")]), datetime.now(timezone.utc)
    draft = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    draft = draft.serial_number(1).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    return draft.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def key_file(folder: Path) -> Path:
    """A service account's, as the console gives it."""
    private = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    content = {
        "type": "service_account",
        "project_id": "spoke",
        "private_key_id": "1",
        "private_key": private.decode(),
        "client_email": "chat@spoke.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    path = folder / "key.json"
    path.write_text(json.dumps(content))
    return path


@pytest_asyncio.fixture
async def line(
    tmp_path: Path, internet: Internet, rasa_agent: Agent, request: pytest.FixtureRequest
) -> AsyncIterator[Line]:
    """With a service account, unless a test wants none."""
    internet.when("GET", "/service_accounts/v1/metadata/x509/*", body={"key-1": certificate()})
    internet.when("POST", "/token", body={"access_token": "google-secret", "expires_in": 3600})
    settings = {"hangouts": {"service_account": str(key_file(tmp_path))}} if getattr(request, "param", True) else {}
    line = Line(tmp_path, HangoutsInput("1234"), rasa_agent, channels=settings)
    await line.up()
    yield line
    await line.down()


without_account = pytest.mark.parametrize("line", [False], indirect=True)


async def hook(line: Line, payload: Any, audience: str = "1234") -> tuple[int, Any]:
    now = int(time.time())
    claims = {"iss": "chat@system.gserviceaccount.com", "aud": audience, "iat": now - 5, "exp": now + 600}
    token = jwt.encode(claims, KEY, "RS256", headers={"kid": "key-1"})
    status, body = await line.hook(payload, headers={"Authorization": f"Bearer {token}"})
    return status, json.loads(body) if status == 200 and body else body


async def started(line: Line, name: str = "message") -> Any:
    """A handoff whose user has written."""
    return await line.begin(USER, hook(line, PAYLOADS[name]))


def posts(internet: Internet) -> list[dict[str, Any]]:
    asked = internet.taken("POST", POSTED)
    assert {each.headers["authorization"] for each in asked} <= {"Bearer google-secret"}
    return [each.json for each in asked]


# -- from the user --------------------------------------------------------------------------------


async def test_a_text_reaches_the_agent_without_the_mention(line: Line) -> None:
    await started(line)
    assert [each.text for each in line.agents.got] == ["Violent streams"]
    assert await line.bot_heard(USER) == []


async def test_a_file_without_a_text_reaches_the_agent(line: Line, internet: Internet) -> None:
    """Rasa's channel fails with it, after it has checked Google's token."""
    internet.when("GET", "/v1/media/*", body=b"%PDF")
    await started(line)
    assert (await hook(line, PAYLOADS["file"]))[0] == 200
    (attachment,) = (await line.heard(2))[1].attachments
    assert (attachment.name, attachment.mime) == ("my_test_file.pdf", "application/pdf")
    assert (await line.download(attachment.url))[:2] == (200, b"%PDF")
    (asked,) = internet.taken("GET", "/v1/media/*")
    assert asked.headers["authorization"] == "Bearer google-secret"


async def test_an_unsigned_webhook_has_no_effect(line: Line) -> None:
    await line.hand_over(USER)
    for name in ("file", "message"):
        assert (await line.hook(PAYLOADS[name]))[0] == 401
        assert (await hook(line, PAYLOADS[name], audience="another's"))[0] == 401
    assert (await hook(line, PAYLOADS["message"]))[0] == 200
    assert [each.text for each in await line.heard()] == ["Violent streams"]


async def test_a_failed_check_is_no_success(line: Line, internet: Internet) -> None:
    """Where Google's keys cannot be had, Rasa's channel fails as it does with a file: that lets nobody in."""
    internet.when("GET", "/service_accounts/v1/metadata/x509/*", 503)
    await line.hand_over(USER)
    assert (await line.hook(PAYLOADS["file"], headers={"Authorization": "Bearer forged"}))[0] in (401, 500)
    assert line.agents.got == []


async def test_a_pressed_button_has_its_title_and_its_payload(line: Line) -> None:
    await started(line, "clicked")
    assert line.agents.got[0].text == "Yes, please (/affirm)"


async def test_a_click_that_comes_again_has_no_second_effect(line: Line) -> None:
    await line.hand_over(USER)
    for _ in range(2):
        await hook(line, PAYLOADS["clicked"])
    await hook(line, {**PAYLOADS["clicked"], "eventTime": "2017-03-02T19:03:10Z"})
    await hook(line, PAYLOADS["message"])
    pressed = "Yes, please (/affirm)"
    assert [each.text for each in await line.heard(3)] == [pressed, pressed, "Violent streams"]


async def test_a_webhook_that_comes_again_has_no_second_effect(line: Line) -> None:
    await started(line)
    for name in ("file", "file", "added", "message", "clicked"):
        assert (await hook(line, PAYLOADS[name]))[0] == 200
    assert [each.text for each in await line.heard(3)] == ["Violent streams", "", "Yes, please (/affirm)"]


# -- to the user ----------------------------------------------------------------------------------


async def test_an_agent_writes_into_the_thread_also_after_a_restart(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    line.channels._made.clear()
    await line.reply(handoff, "Hi")
    said = {"text": "**Bo**: Hi", "markupSyntax": "MARKUP_SYNTAX_MARKDOWN"}
    assert posts(internet)[-1] == {**said, "thread": {"name": THREAD}}
    query = internet.taken("POST", POSTED)[-1].query
    assert query["messageReplyOption"] == "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"


async def test_a_message_that_is_tried_again_has_the_same_name(line: Line, internet: Internet) -> None:
    """So that Google posts it once."""
    handoff = await started(line)
    internet.hang_up(path=POSTED)
    await line.reply(handoff, "once")
    said = [each.query["requestId"] for each in internet.taken("POST", POSTED) if "once" in each.json["text"]]
    assert len(said) == 2
    assert len(set(said)) == 1


async def test_pictures_buttons_and_cards_have_googles_own_form(line: Line, internet: Internet) -> None:
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
    question, image, file, card = posts(internet)[-4:]
    assert question["text"] == "**Bo**: Sure?"
    yes, read = widgets(question)[0]["buttonList"]["buttons"]
    assert yes["onClick"]["action"] == {"function": "/affirm", "parameters": [{"key": "title", "value": "Yes"}]}
    assert read["onClick"] == {"openLink": {"url": "https://a.test"}}
    assert widgets(image)[0]["image"]["imageUrl"] == "https://a.test/cat.png"
    assert widgets(file)[0]["decoratedText"]["text"] == "bill.pdf"
    assert widgets(file)[0]["decoratedText"]["onClick"] == {"openLink": {"url": "https://a.test/bill.pdf"}}
    assert [list(each) for each in widgets(card)] == [["image"], ["textParagraph"], ["buttonList"]]


async def test_what_an_agent_typed_is_read_as_it_is_and_calls_nobody(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    typed = "1. *Not* bold\n# <users/all> see https://a.test/_x_ &lt;"
    await line.reply(handoff, typed, cards=(Card(title="Blue", text="<b>A</b> bike"),))
    text, card = posts(internet)[-2:]
    assert text["text"] == (f"**Bo**: 1\\. \\*Not\\* bold  \n\\# \\<{JOINER}users/all> see <https://a.test/_x_> \\&lt;")
    assert widgets(card)[0]["textParagraph"]["text"] == "&lt;b&gt;A&lt;/b&gt; bike"


async def test_the_owners_own_words_may_have_markup(line: Line, internet: Internet) -> None:
    """In the syntax that the app is set to, as all that the bot says."""
    await started(line)
    assert posts(internet)
    assert not any("markupSyntax" in each for each in posts(internet))


async def test_a_notification_says_what_is_on_a_card(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    kinds: list[AttachmentKind] = ["image", "audio", "video", "file", "location"]
    attachments = tuple(Attachment(url=f"https://a.test/{kind}", kind=kind) for kind in kinds)
    await line.reply(
        handoff,
        buttons=(Button(title="Yes", payload="/affirm"), Button(title="No", payload="/deny")),
        attachments=attachments,
        cards=(Card(title="Blue", text="A bike"),),
    )
    said = [each["fallbackText"] for each in posts(internet)[-7:]]
    assert said == ["- Yes\n- No", *(each.url for each in attachments), "Blue\nA bike"]


async def test_what_google_chat_does_not_show_can_be_read(line: Line, internet: Internet) -> None:
    """Such as a picture that is not behind https."""
    handoff = await started(line)
    refuse = (400, {"error": {"status": "INVALID_ARGUMENT"}})
    internet.respond("POST", "/v1/spaces/*", lambda asked: refuse if "cardsV2" in asked.json else (200, {}))
    site = Button(title="Site", payload="", url="http://a.test")
    picture = Attachment(url="http://a.test/cat.png", kind="image", name="cat.png")
    await line.reply(handoff, "Sure?", buttons=(site,), attachments=(picture,), cards=(Card(title="Blue"),))
    texts = [each["text"] for each in posts(internet) if "cardsV2" not in each]
    assert texts[-4:] == ["**Bo**: Sure?", "\\- Site: <http://a.test>", "cat.png: <http://a.test/cat.png>", "Blue"]
    assert await line.dead() == []


def widgets(post: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = post["cardsV2"][0]["card"]["sections"][0]["widgets"]
    return found


async def test_what_will_never_work_is_put_aside_with_its_reason(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    gone = {"error": {"code": 404, "message": "secret words", "status": "NOT_FOUND"}}
    internet.when("POST", POSTED, 404, gone)
    await line.reply(handoff, "secret words")
    assert await line.dead() == ["hangouts: could not send a message: HTTP 404 NOT_FOUND"]


async def test_the_bot_speaks_again_by_the_chat_api(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    await line.close(handoff)
    said = [each for each in await line.bot_said(USER) if each]
    assert said
    arrived = json.dumps(posts(internet), ensure_ascii=False)  # texts with buttons are on cards
    assert [each for each in said if each not in arrived] == []


# -- without a service account --------------------------------------------------------------------


@without_account
async def test_without_a_service_account_what_waits_comes_with_the_next_message(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    await line.reply(handoff, "Hi Izumi <users/all>")
    assert internet.asked_of("chat.googleapis.com") == []
    status, answer = await hook(
        line, {**PAYLOADS["message"], "message": {**PAYLOADS["message"]["message"], "name": "m2"}}
    )
    assert status == 200
    assert f"Hi Izumi <{JOINER}users/all>" in answer["text"]
    assert len(await line.heard(2)) == 2


@without_account
async def test_without_a_service_account_a_file_says_what_is_missing(line: Line) -> None:
    await started(line, "file")
    status, body, _ = await line.download(line.agents.got[0].attachments[0].url)
    assert status == 502
    assert b"service_account" in body


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), ("{}", "no service account's key")])
def test_a_wrong_key_file_stops_the_server_at_the_start(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=words):
        read_section({"channels": {"hangouts": {"service_account": str(path)}}}, {}, settings_models())
