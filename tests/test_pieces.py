"""Long texts in pieces."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from rasa_handoff.pieces import in_utf8, pieces

CHARACTERS = [
    "a",
    "é",
    "e\u0301",
    "🚲",
    "👍🏽",
    "👩‍👩‍👧",
    "🇩🇪",
    "각",
    "\r\n",
    " ",
    ". ",
    "\n\n",
    "中",
    "❤️",
    "\U0001f3f4\U000e0067\U000e007f",
]


def units(text: str) -> int:
    """The length as JavaScript has it."""
    return len(text.encode("utf-16-le")) // 2


def test_a_text_that_fits_stays_whole() -> None:
    assert pieces("", 10) == [""]
    assert pieces("x" * 10, 10) == ["x" * 10]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One two. Three\n\nfour five six seven", ["One two. Three\n\n", "four five six ", "seven"]),
        ("One two three\nfour five six seven", ["One two three\n", "four five six ", "seven"]),
        ("One two three. Four five six seven", ["One two three. ", "Four five six ", "seven"]),
        ("これは長い文です。それから短い文です。", ["これは長い文です。", "それから短い文です。"]),
        ("One two three four five six seven", ["One two three ", "four five six ", "seven"]),
        ("See https://example.com/a/long/way", ["See ", "https://example.", "com/a/long/way"]),
        ("OnewordthatislongerthanAll", ["Onewordthatislon", "gerthanAll"]),
    ],
)
def test_it_is_cut_where_a_reader_would_pause(text: str, parts: list[str]) -> None:
    assert pieces(text, 16) == parts


def test_a_pause_at_the_very_beginning_makes_no_tiny_piece() -> None:
    assert pieces("A\n\nbcd efg hij klm nop", 16) == ["A\n\nbcd efg hij ", "klm nop"]


def test_what_has_no_word_before_a_space_is_no_piece() -> None:
    assert pieces("  " + "x" * 20, 16) == ["  " + "x" * 14, "x" * 6]


def test_characters_count_as_javascript_counts_them() -> None:
    assert pieces("🚲" * 10, 8) == ["🚲🚲🚲🚲", "🚲🚲🚲🚲", "🚲🚲"]


def test_characters_may_count_as_they_have_bytes() -> None:
    assert pieces("ab é 🚲 中", 6, in_utf8) == ["ab é ", "🚲 ", "中"]
    assert pieces("x" * 8, 8, in_utf8) == ["x" * 8]


@given(st.text(), st.integers(min_value=4, max_value=30))
def test_pieces_fit_by_their_bytes(text: str, longest: int) -> None:
    found = pieces(text, longest, in_utf8)
    assert "".join(found) == text
    assert all(len(piece.encode()) <= longest for piece in found)


@pytest.mark.parametrize(
    "character", [each for each in CHARACTERS if len(each) > 1 and " " not in each and "\n" not in each]
)
@pytest.mark.parametrize("before", range(12))
def test_no_character_is_torn_apart(character: str, before: int) -> None:
    found = pieces("x" * before + character * 20, 24)
    assert [piece.lstrip("x") for piece in found] == [character * piece.count(character) for piece in found]


def test_the_two_halves_of_a_line_end_stay_together() -> None:
    assert pieces("One two three fo\r\nfive", 17) == ["One two three ", "fo\r\nfive"]


@given(st.lists(st.sampled_from(CHARACTERS)).map("".join), st.integers(min_value=20, max_value=50))
def test_pieces_fit_and_tear_no_character_apart(text: str, longest: int) -> None:
    found = pieces(text, longest)
    assert "".join(found) == text
    assert all(units(piece) <= longest for piece in found)
    assert all(found) or found == [""]
    starts = {match.start() for match in regex.finditer(r"\X", text)}
    cuts = {sum(map(len, found[:number])) for number in range(1, len(found))}
    # Where one character alone is longer than a piece may be, it has to be cut.
    long = {
        cut for cut in cuts if any(m.start() < cut < m.end() and units(m[0]) > 10 for m in regex.finditer(r"\X", text))
    }
    assert cuts - long <= starts


@given(st.text(), st.integers(min_value=2, max_value=30))
def test_nothing_is_lost_of_any_text(text: str, longest: int) -> None:
    found = pieces(text, longest)
    assert "".join(found) == text
    assert all(units(piece) <= longest for piece in found)
