"""What the commands say on a terminal or to a program, and the codes they exit with."""

from __future__ import annotations

import json
import sys
from typing import Any

from rasa_handoff.model import Json

FINE, FAILED, WRONG_USAGE, UNREACHABLE, NOT_AUTHORISED = 0, 1, 2, 3, 4


def say(words: str) -> int:
    """Print *words*; all is fine."""
    print(words)
    return FINE


def say_json(content: Json) -> int:
    """Print *content* for a program."""
    return say(json.dumps(content, indent=2, ensure_ascii=False))


def say_table(heads: list[str], rows: list[list[str]]) -> int:
    """Print columns that are as wide as what is in them."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in [heads, *rows]:
        say("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())
    return FINE


def agrees(question: str) -> bool:
    """Whether the person at the terminal says yes; nobody there has not."""
    try:
        return input(f"\n{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print("\nrasa-handoff: nobody is there to say yes; give --yes", file=sys.stderr)
        return False


def text_of(value: Any) -> str:
    """*value* for a terminal: what users and agents named themselves must not steer it."""
    text = "-" if value is None else str(value)
    return "".join(character if character.isprintable() else "?" for character in text) or "-"


def span(seconds: float) -> str:
    """A time span in one glance: 42s, 7m, 3h, 2d."""
    seconds = max(0, int(seconds))
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def duration(seconds: float) -> str:
    """A time span to the second: 5m, 6h 56m 40s."""
    rest, words = round(seconds), []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        number, rest = divmod(rest, size)
        words += [f"{number}{unit}"] if number else []
    return " ".join(words) or "0s"


def count(number: int, one: str, many: str) -> str:
    """How many, as in "1 file" and "2 files"."""
    return f"{number} {one if number == 1 else many}"
