"""Parts of files."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rasa_handoff.web.ranges import NoSuchPart, at_most, wanted


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("bytes=0-1", range(2)),
        ("bytes=0-", range(10)),
        ("Bytes= 4-7 ", range(4, 8)),
        ("bytes=9-100", range(9, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-30", range(10)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("", None),
    ],
)
def test_what_is_asked_for(header: str, found: range | None) -> None:
    assert wanted({"range": header}, 10) == found


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-0", 0), ("bytes=-5", 0)])
def test_what_the_file_does_not_have(header: str, size: int) -> None:
    with pytest.raises(NoSuchPart):
        wanted({"range": header}, size)


def test_a_part_of_an_earlier_state_is_no_part() -> None:
    assert wanted({"range": "bytes=0-1", "if-range": '"x"'}, 10) is None


def test_of_a_file_of_unknown_size_there_is_all_or_nothing() -> None:
    assert wanted({"range": "bytes=0-1"}, None) is None


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 9, 10])
async def test_no_more_bytes_come_than_are_wanted(most: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"012", b"3", b"456", b"789"):
            yield piece

    assert b"".join([piece async for piece in at_most(pieces(), most)]) == b"0123456789"[:most]
