"""The values of settings: each reader says what to write instead, in a ValueError."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, overload
from urllib.parse import urlsplit

from pydantic import BaseModel

SHORTEST_TOKEN = 32
SHORTEST_SECRET = 16  #: of what an agent system chose
LONGEST_OPEN_TIMEOUT = 50.0  #: seconds; Rasa's lock on the conversation lives 60 s
_YEAR = 366 * 86_400.0
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIZES = {"kB": 1024, "MB": 1024**2, "GB": 1024**3}
_OF_THE_BODY = {"content-type", "content-length", "transfer-encoding"}
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def faults_in(section: BaseModel, checks: Mapping[str, Callable[[Any], object]]) -> Iterator[tuple[str, str]]:
    """What *checks* have to say about a backend's settings, each a setting and what is wrong with it.

    A check raises ValueError with the remedy. What is not set is not checked.
    """
    for name, check in checks.items():
        value = getattr(section, name)
        try:
            if value is not None:
                check(value)
        except ValueError as error:
            yield name, str(error)


def matching(pattern: str, remedy: str) -> Callable[[str], None]:
    """A check that requires a whole text to match *pattern*, in ASCII; for `faults_in`."""

    def check(text: str) -> None:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(remedy)

    return check


@overload
def read_url(text: str) -> str: ...
@overload
def read_url(text: None) -> None: ...
def read_url(text: str | None) -> str | None:
    """An address of the web, without a slash at its end."""
    if text is None:
        return None
    remedy = "write e.g. https://bot.example.com"
    if "?" in require_address(text, remedy):
        raise ValueError(f"must be a bare address, with no query in it; {remedy}")
    return text.rstrip("/")


def require_address(text: str, remedy: str = "write e.g. https://agents.example.com/start") -> str:
    """Require *text* to be an address of the web; it may have a query."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"is not a URL; {remedy}") from None
    if parts.scheme not in ("http", "https") or not host or re.search(r"\s", text):
        raise ValueError(f"must be an http:// or https:// address; {remedy}")
    if parts.fragment or parts.username is not None:
        raise ValueError(f"must be a bare address, with no name or fragment in it; {remedy}")
    return text


def read_picture(text: str | None) -> str | None:
    """The address of a picture that users' pages may load."""
    if text is None or re.fullmatch(r"https://[^\s/?#]+\S*", text):
        return text
    raise ValueError("must be an https:// address; write e.g. https://www.example.com/team.png")


def require_headers(headers: Mapping[str, str]) -> None:
    """Require *headers* to be ones that a request can carry."""
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or not re.fullmatch(r"[\t -~]*", value):
            raise ValueError(f"cannot be sent: {name!r} or its value has a character that a header must not have")
        if name.lower() in _OF_THE_BODY:
            raise ValueError(f"must not have {name}, which says what the body is; leave it out")


def require_secret(text: str, shortest: int = SHORTEST_SECRET) -> None:
    """Require what an agent system and we show each other to be hard to guess and fit for a header.

    Args:
        shortest: how many characters it must have.
    """
    remedy = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'
    if len(text) < shortest:
        raise ValueError(f"is shorter than {shortest} characters and could be guessed; {remedy}")
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError(f"has characters that a header cannot carry; {remedy}")


def read_token(text: str | None) -> str | None:
    """What opens the server to the actions, or the desk to an agent."""
    if text is not None:
        require_secret(text, SHORTEST_TOKEN)
    return text


def read_database(text: str) -> str:
    """The address of a database that we can use."""
    remedy = "write sqlite:///.rasa_handoff/handoff.db, or postgresql://user:password@host/name for one on a server"
    if re.match(r"sqlite:///[^:?]", text) or re.match(r"postgresql(\+psycopg2)?://.", text):
        return text
    if text.startswith("postgres://"):
        raise ValueError("begins with postgres://; write postgresql:// instead")
    raise ValueError(f"must be a file of SQLite or a database of PostgreSQL; {remedy}")


def read_duration(value: Any) -> float:
    """Seconds, from "5m", "90s", "2h", "1d" or a number of seconds."""
    remedy = "write e.g. 90s, 5m, 2h, 1d or a number of seconds"
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", str(value).strip(), re.ASCII)
    if isinstance(value, bool) or found is None:
        raise ValueError(f"is not a duration; {remedy}")
    seconds = float(found[1]) * _UNITS[found[2] or "s"]
    if not math.isfinite(seconds) or not 0 < seconds <= 10 * _YEAR:
        raise ValueError(f"must be longer than nothing and shorter than ten years; {remedy}")
    return seconds


def read_duration_or_off(value: Any) -> float | None:
    """Seconds; None for ``off``."""
    return None if is_off(value) else read_duration(value)


def is_off(value: Any) -> bool:
    """Whether it is ``off``, which YAML may have read as false."""
    return value is False or (isinstance(value, str) and value.strip().lower() == "off")


def read_open_timeout(value: Any) -> float:
    """Seconds, fewer than Rasa waits."""
    seconds = read_duration(value)
    if seconds > LONGEST_OPEN_TIMEOUT:
        raise ValueError(
            f"must be at most {LONGEST_OPEN_TIMEOUT:.0f}s: "
            "Rasa gives up its lock on the conversation after 60s; write e.g. 10s"
        )
    return seconds


def read_size(value: Any) -> int:
    """Bytes, from "25MB" or a number of bytes."""
    found = re.fullmatch(r"(\d{1,12})\s*(kB|MB|GB)?", str(value).strip(), re.ASCII)
    if isinstance(value, bool) or found is None or not int(found[1]):
        raise ValueError("is not a size; write e.g. 500kB, 25MB or a number of bytes")
    return int(found[1]) * _SIZES.get(found[2], 1)


def read_pattern(text: str) -> re.Pattern[str]:
    """A regular expression that finds something, and not everywhere."""
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is not a regular expression ({error}); write e.g. '\\b\\d{{16}}\\b'") from None
    if pattern.search(""):
        raise ValueError("matches the empty text, so it would match everywhere; write + instead of *")
    return pattern


def read_date(value: Any) -> date:
    """A day, from YAML's own kind of it or as text."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("is not a date; write e.g. 2026-12-25") from None
