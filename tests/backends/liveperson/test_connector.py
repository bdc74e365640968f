"""Small readings of the connector: how long a token is good, which conversation was opened, what an error says."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest

from rasa_handoff.backends.http import Reply
from rasa_handoff.backends.liveperson.connector import error_code, life_of, lp_consumer_id, read_conversation
from rasa_handoff.backends.liveperson.files import kind_of, may_be_taken, parts_of
from rasa_handoff.errors import Malformed
from rasa_handoff.model import Attachment, Json, Message

NOON = 1_764_244_800.0


def token(**claims: Any) -> str:
    return jwt.encode(claims, "their key, which has to be a long one")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (token(exp=NOON + 3600, iat=NOON), 3600.0),
        (token(exp=NOON - 100 + 3600, iat=NOON - 100), 3600.0),  # our clock is ahead of theirs
        (token(exp=NOON + 1800), 1800.0),
        (token(), 3600.0),
        (token(exp="soon"), 3600.0),
        ("not a JWT", 3600.0),
        ("a.b.c", 3600.0),
    ],
)
def test_how_long_a_token_is_good(given: str, seconds: float) -> None:
    assert life_of(given, NOON) == seconds


def answer(name: str | None, **body: Any) -> dict[str, Any]:
    known = {"code": "OK", "body": body, "reqId": name}
    return {key: value for key, value in known.items() if value is not None}


@pytest.mark.parametrize(
    "answers",
    [
        [answer("1,", msg="OK User Profile set successfully"), answer("2,", conversationId="c-1")],
        [answer("2,", conversationId="c-1"), answer("1,", msg="OK")],
        [answer(None, conversationId="c-1")],
    ],
)
def test_the_conversation_is_in_the_answer_to_its_request(answers: Any) -> None:
    assert read_conversation(answers) == "c-1"


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({}, "no list"),
        ([], "empty"),
        ([answer("1,", msg="x"), {"code": "BAD", "reqId": "2,"}], "code OK, BAD"),
        ([answer("2,", conversationId=7)], "conversationId must be text"),
    ],
)
def test_an_answer_without_one_says_what_it_has(answers: Any, told: str) -> None:
    with pytest.raises(Malformed, match=told):
        read_conversation(answers)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "resp", "code": 401, "body": {"title": "AppJWT is missing", "errorCode": 40104}}, 40104),
        ({"code": 401}, 0),
        ({"body": "x"}, 0),
        ({"body": {"errorCode": "40104"}}, 0),
        ([], 0),
    ],
)
def test_their_error_code(body: Any, code: int) -> None:
    assert error_code(Reply(status=401, headers={}, body=json.dumps(body).encode())) == code


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"account_id": "le31457780", "ext_consumer_id": "random_id", "lp_consumer_id": "29caf0c1"}, "29caf0c1"),
        ({"account_id": "le31457780"}, None),
        ({"lp_consumer_id": 7}, None),
        ({"lp_consumer_id": ""}, None),
        ({"lp_consumer_id": "x" * 201}, None),
    ],
)
def test_what_they_call_a_consumer_is_in_the_token(claims: Json, name: str | None) -> None:
    assert lp_consumer_id(token(**claims)) == name


@pytest.mark.parametrize("given", ["", "opaque", "a.b.c"])
def test_a_token_of_another_kind_has_no_name(given: str) -> None:
    assert lp_consumer_id(given) is None


# Files


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"\xff\xd8\xff\xe0", "JPG"), (b"\x89PNG\r\n\x1a\n.", "PNG"), (b"GIF89a", "GIF"), (b"<svg>", None), (b"", None)],
)
def test_a_file_is_what_it_begins_with(body: bytes, kind: str | None) -> None:
    assert kind_of(body) == kind


@pytest.mark.parametrize(
    ("attachment", "taken"),
    [
        (Attachment(url="https://a.b/c", kind="image"), True),
        (Attachment(url="https://a.b/c.webp", kind="image"), False),
        (Attachment(url="https://a.b/c.JPG"), True),
        (Attachment(url="https://a.b/c", mime="image/png"), True),
        (Attachment(url="https://a.b/c.png", mime="image/svg+xml"), False),
        (Attachment(url="https://a.b/c", name="bill.pdf", kind="image"), False),
        (Attachment(url="https://a.b/c", kind="video"), False),
    ],
)
def test_what_is_worth_fetching(attachment: Attachment, taken: bool) -> None:
    assert may_be_taken(attachment) is taken


def test_a_message_is_taken_apart_into_text_with_links_and_pictures() -> None:
    picture, bill = Attachment(url="https://a.b/c.png"), Attachment(url="https://a.b/d.pdf", name="Bill")
    message = Message(id="m", who="user", text="Look", attachments=(picture, bill))
    parts = parts_of(message, upload=True)
    assert [(part.id, part.text, part.attachments) for part in parts] == [
        ("m", "Look\nBill: https://a.b/d.pdf", ()),
        ("m.2", "", (picture,)),
    ]
    (only,) = parts_of(message, upload=False)
    assert (only.text, only.attachments) == ("Look\nhttps://a.b/c.png\nBill: https://a.b/d.pdf", ())
