"""What a channel says that a message carries."""

from __future__ import annotations

from typing import Any

import pytest

from rasa_handoff.attachments import as_line, for_others, in_metadata
from rasa_handoff.model import Attachment, Message

URL = "https://media.example.com/42"


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ({"url": URL}, Attachment(url=URL, kind="file")),
        ({"url": URL, "kind": "image", "name": "bike.jpg"}, Attachment(url=URL, kind="image", name="bike.jpg")),
        ({"url": URL, "mime": "audio/ogg"}, Attachment(url=URL, kind="audio", mime="audio/ogg")),
        ({"url": URL, "kind": "hologram", "mime": "x/y"}, Attachment(url=URL, kind="file", mime="x/y")),
        ({"url": URL, "name": "", "kind": 1}, Attachment(url=URL, kind="file")),
        ({"url": URL, "size": 240_000}, Attachment(url=URL, kind="file", size=240_000)),
        *(({"url": URL, "size": size}, Attachment(url=URL)) for size in (0, -1, True, "7", 7.5, 1 << 53, None)),
    ],
)
def test_an_attachment(told: Any, read: Attachment) -> None:
    assert in_metadata({"attachments": [told]}) == (read,)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"attachments": None},
        {"attachments": "https://media.example.com/42"},
        {"attachments": [None, {}, {"url": 1}, {"url": "javascript:alert(1)"}, {"url": "file:///etc/passwd"}]},
        {"attachments": [{"url": "https://a b"}, {"url": "https://"}, {"url": "https://a/" + "x" * 2048}]},
    ],
)
def test_what_is_none_is_left_out(metadata: Any) -> None:
    assert in_metadata(metadata) == ()


def test_ten_are_enough() -> None:
    assert len(in_metadata({"attachments": [{"url": URL}] * 11})) == 10


def test_who_can_open_only_addresses_of_the_web_reads_of_the_rest_that_it_was_sent() -> None:
    open_to_all = Attachment(url=URL, kind="image")
    ours = [
        Attachment(url="/webhooks/handoff/media/x/bill.pdf", name="bill.pdf"),
        Attachment(url="/webhooks/handoff/media/y/image", kind="image"),
    ]
    said = Message(id="m", who="user", text="Look", attachments=(ours[0], open_to_all, ours[1]))
    shown = for_others(said)
    assert shown.attachments == (open_to_all,)
    why = "the user sent it, but it cannot be shown here: the bot's server has no public_url"
    assert shown.text.split("\n") == ["Look", f"[file bill.pdf: {why}]", f"[image: {why}]"]
    assert as_line(ours[1]) == f"[image: {why}]"


def test_what_everybody_can_open_stays_as_it_is() -> None:
    said = Message(id="m", who="user", attachments=(Attachment(url=URL),))
    assert for_others(said) is said
