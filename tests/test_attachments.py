"""What a channel says that a message carries."""

from __future__ import annotations

from typing import Any

import pytest

from rasa_handoff.attachments import in_metadata
from rasa_handoff.model import Attachment

URL = "https://media.example.com/42"


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ({"url": URL}, Attachment(url=URL, kind="file")),
        ({"url": URL, "kind": "image", "name": "bike.jpg"}, Attachment(url=URL, kind="image", name="bike.jpg")),
        ({"url": URL, "mime": "audio/ogg"}, Attachment(url=URL, kind="audio", mime="audio/ogg")),
        ({"url": URL, "kind": "hologram", "mime": "x/y"}, Attachment(url=URL, kind="file", mime="x/y")),
        ({"url": URL, "name": "", "kind": 1}, Attachment(url=URL, kind="file")),
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
