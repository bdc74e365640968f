"""Long texts in pieces, cut where a reader would pause."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

# Where to cut, best first: behind a paragraph, a line, a sentence, a word. The last is taken wherever it is;
# the others only where the piece is at least half full.
_PAUSES = (
    re.compile(r"\n[ \t\r]*\n\s*"),
    re.compile(r"\n\s*"),
    re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？]\s*"),
)
_WORD = re.compile(r"\s+")
_LARGEST = 4  #: that a character counts, however it is counted
_JOINER = "\N{ZERO WIDTH JOINER}"


def in_utf16(character: str) -> int:
    """How many characters it is for programs in JavaScript, Java and C#."""
    return 2 if character > "\uffff" else 1


def in_utf8(character: str) -> int:
    """How many bytes it has on the wire."""
    return len(character.encode("utf-8", "surrogatepass"))


def pieces(text: str, longest: int, size: Callable[[str], int] = in_utf16) -> list[str]:
    """*text* as pieces of at most *longest* characters; joined, they are *text* again.

    Args:
        size: what a character counts.
    """
    found: list[str] = []
    while (end := _reach(text, longest, size)) < len(text):
        cut = _cut(text, end)
        found.append(text[:cut])
        text = text[cut:]
    return [*found, text]


def _reach(text: str, longest: int, size: Callable[[str], int]) -> int:
    """How many of the first characters of *text* fit."""
    if _LARGEST * len(text) <= longest:
        return len(text)
    room = longest
    for index, character in enumerate(text):
        room -= size(character)
        if room < 0:
            return max(index, 1)
    return len(text)


def _cut(text: str, end: int) -> int:
    """The best place to cut *text*, at *end* or before."""
    for pause in _PAUSES:
        found = _last(pause, text, end)
        if found > end // 2:
            return found
    word = _last(_WORD, text, end)
    return word if text[:word].strip() else _between_characters(text, end)


def _last(pause: re.Pattern[str], text: str, end: int) -> int:
    """Where the last pause before *end* is over; 0 if there is none."""
    last = 0
    for found in pause.finditer(text, 0, end):
        if not _is_inside(text, found.end()):
            last = found.end()
    return last


def _between_characters(text: str, end: int) -> int:
    """The last place before *end* where a reader sees one character end and another begin."""
    for cut in range(end, 0, -1):
        if not _is_inside(text, cut):
            return cut
    return end


def _is_inside(text: str, cut: int) -> bool:
    """Whether *cut* would tear apart what is read as one character."""
    before, after = text[cut - 1], text[cut]
    if after == _JOINER or before == _JOINER or _extends(after) or (before, after) == ("\r", "\n"):
        return True
    return _is_flag(after) and _flags_before(text, cut) % 2 == 1


def _extends(character: str) -> bool:
    """Whether it changes the character before it: an accent, a skin tone, a variant, the rest of a syllable."""
    return (
        unicodedata.category(character) in ("Mn", "Me", "Mc")
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
        or "\u1160" <= character <= "\u11ff"
    )


def _is_flag(character: str) -> bool:
    """Whether it is half of a flag."""
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flags_before(text: str, cut: int) -> int:
    start = cut
    while start and _is_flag(text[start - 1]):
        start -= 1
    return cut - start
