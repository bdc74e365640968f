"""Agents' texts for services that look for markup in every text: they are read as they were written.

A bot's owner writes for the channel, and may mean the markup in their own words; a person who types an answer does
not. Web addresses stay as they are, so that they can be followed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from rasa_handoff.model import Message

JOINER = "\N{WORD JOINER}"  #: takes no room, breaks no line, and parts what a service would take for markup
_ESCAPE_AND_MORE = 6  #: of room, at most, before and behind a character that is no letter

# Up to what ends a sentence or stands around the address; parentheses are part of it in pairs.
ADDRESS = re.compile(
    r"https?://(?:[^\s<>()]|\([^\s<>()]*\))*(?:[^\s<>()*~`.,;:!?'\"\]]|\([^\s<>()]*\))",
    re.IGNORECASE,
)
_BROADCAST = re.compile(r"@(?=(?:all|channel|here)(?![a-z0-9]))", re.IGNORECASE)

# https://spec.commonmark.org/0.31.2/#backslash-escapes, as far as Mattermost's own reader knows them, too. An
# underscore between letters and a backslash before one mean nothing.
_INLINE = r"\\(?!\w)|[`*~|\[]|(?<![^\W_])_|_(?![^\W_])"
_BLOCK = re.compile(r"^([ \t]*(?:\d{1,9}(?=[.)]))?)([#>+.)-])", re.MULTILINE)  # headings, quotes, lists, lines
_UNESCAPABLE = re.compile(r"^(?= {4}| {0,3}[\t=])", re.MULTILINE)  # code, and what makes a heading of the line before


def is_typed(message: Message) -> bool:
    """Whether a person typed *message*, who does not know what its text comes by."""
    return message.who == "agent"


def runs(text: str) -> Iterator[tuple[bool, str]]:
    """*text* in runs, each with whether it is a web address."""
    end = 0
    for found in ADDRESS.finditer(text):
        if found.start() > end:
            yield False, text[end : found.start()]
        yield True, found[0]
        end = found.end()
    if end < len(text):
        yield False, text[end:]


def in_markdown(text: str, *, also: str = "", address: Callable[[str], str] = str) -> str:
    """*text* as Markdown that shows it.

    Args:
        also: characters that a reader takes for markup where others do not.
        address: writes a web address as the reader makes a link of it; where it does so with any, as they are.
    """
    inline = re.compile(f"{_INLINE}|[{re.escape(also)}]" if also else _INLINE)
    said = ""
    for is_address, each in reversed(list(runs(text))):
        if not is_address:
            said = inline.sub(r"\\\g<0>", each) + said
        elif address is str and said.startswith("\\"):  # which a reader would take for a part of the address
            said = f"<{each}>{said}"
        else:
            said = address(each) + said
    return _UNESCAPABLE.sub(JOINER, _BLOCK.sub(r"\g<1>\\\g<2>", said))


def quiet(text: str) -> str:
    """*text* without a word that calls everybody in a channel (``@all``, ``@channel``, ``@here``)."""
    return _BROADCAST.sub(f"@{JOINER}", text)


def with_room(size: Callable[[str], int]) -> Callable[[str], int]:
    """What a character counts, by *size*, at most when its text has become markup."""
    return lambda each: size(each) + (0 if each.isalnum() or each == " " else _ESCAPE_AND_MORE)
