"""The command that says what handoffs came to: stats."""

from __future__ import annotations

import argparse
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from rasa_handoff.cli.output import count, duration, say, say_json, say_table, text_of
from rasa_handoff.cli.usage import add_remote, client_of
from rasa_handoff.figures import BY
from rasa_handoff.model import Json

_HEADS = ["HANDOFFS", "TAKEN", "ABANDONED", "REFUSED", "WAIT", "P90", "REPLY", "P90", "DURATION", "RATING"]
_NAMELESS = "-"  #: the row of what has no group, or has not ended


def add(commands: Any) -> None:
    """Add this command to those of the program."""
    command = add_remote(commands, "stats", "say how many handoffs there were, and how long people waited", _stats)
    command.add_argument("--since", default="7d", metavar="TIME", help="ago, e.g. 12h or 30d (default: 7d)")
    command.add_argument("--by", choices=BY, help="a row for each: backend, group, day or reason of the end")
    command.add_argument(
        "--zone",
        default=None,
        metavar="NAME",
        help="where a day begins, e.g. Europe/Berlin (default: as here, else UTC)",
    )


def _stats(asked: argparse.Namespace) -> int:
    found = client_of(asked).stats(asked.since, asked.by, asked.zone or _zone_here())
    if asked.json:
        return say_json(found)
    _say_when(found)
    if not found["total"]["handoffs"]:
        return say("Nobody asked for an agent.")
    return _say_rows(found) if asked.by else _say_total(found["total"])


def _zone_here() -> str:
    """The name of this machine's time zone, where it has one."""
    named = os.environ.get("TZ", "").lstrip(":")
    linked = str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")[2]
    return named or linked or "UTC"


def _say_when(found: Json) -> None:
    since = datetime.fromtimestamp(found["since"]).strftime("%Y-%m-%d %H:%M")
    say(f"Since {since}:")
    kept_for = found["kept_for"]
    if kept_for is not None and found["until"] - found["since"] > kept_for:
        say(f"(what ended more than {duration(kept_for)} ago is deleted: `retention`)")
    say("")


def _say_total(one: Json) -> int:
    """All of it, a line for each."""
    lines = [
        ["handoffs", str(one["handoffs"])],
        *([name, _part(one, name)] for name in ("taken", "abandoned", "refused")),
        *(
            [words, str(one[name])]
            for name, words in (("handed_over", "handed over"), ("waiting", "waiting"))
            if one[name]
        ),
        ["came again", f"{_part(one, 'again')}  (in less than a day)"],
        ["wait", _both(one["wait"])],
        ["first reply", _both(one["first_reply"])],
        ["duration", _both(one["duration"])],
        ["ratings", _ratings(one["ratings"])],
        ["ended", ", ".join(f"{text_of(reason)} {number}" for reason, number in one["reasons"].items()) or "-"],
    ]
    for name, words in lines:
        say(f"{name:<12}  {words}")
    return 0


def _say_rows(found: Json) -> int:
    rows = [[text_of(row["name"] or _NAMELESS), *_cells(row)] for row in found["rows"]]
    return say_table([found["by"].upper(), *_HEADS], [*rows, ["all", *_cells(found["total"])]])


def _cells(one: Json) -> list[str]:
    wait, reply, length = one["wait"] or {}, one["first_reply"] or {}, one["duration"] or {}
    average = one["ratings"]["average"]
    return [
        str(one["handoffs"]),
        *(_part(one, name) for name in ("taken", "abandoned", "refused")),
        *(_time(each) for each in (wait.get("median"), wait.get("p90"), reply.get("median"), reply.get("p90"))),
        _time(length.get("median")),
        "-" if average is None else f"{average:.1f}",
    ]


def _part(one: Json, name: str) -> str:
    """How many, and of how many in a hundred."""
    share = f" {one[name] / one['handoffs']:.0%}" if one["handoffs"] else ""
    return f"{one[name]}{share}"


def _both(spread: Json | None) -> str:
    if spread is None:
        return "-"
    return f"{_time(spread['median'])} in the middle, {_time(spread['p90'])} or less for nine in ten"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def _ratings(ratings: Json) -> str:
    if not ratings["count"]:
        return "-"
    words = f"{ratings['average']:.1f} of 5 from {count(ratings['count'], 'user', 'users')}"
    return words if ratings["resolved"] is None else f"{words}, {ratings['resolved']:.0%} resolved"
