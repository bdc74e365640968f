"""What the doctor found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from rasa_handoff.doctor.findings import Finding, Group, Level, Report
from rasa_handoff.model import Json

_MARKS = {Level.FINE: "✓", Level.NOTE: "·", Level.WARNING: "!", Level.PROBLEM: "✗"}
_COLOURS = {Level.FINE: "32", Level.NOTE: "2", Level.WARNING: "33", Level.PROBLEM: "31"}
_WIDTH = 110
_MOST_LINES = 16  #: to paste; more are what `init` is for


def as_text(report: Report, *, colour: bool = False) -> str:
    """The report as a person reads it: by subject, each finding with its remedy."""
    lines = [line for group in report.groups for line in (*_group(group, colour), "")]
    return "\n".join([*lines, _sum(report)])


def as_json(report: Report) -> Json:
    """The report as a program reads it, with all lines to paste."""
    counts = {level.value: report.count(level) for level in Level}
    findings = [{"group": group.title, **_as_json(each)} for group in report.groups for each in group.findings]
    return {"counts": counts, "findings": findings}


def _as_json(finding: Finding) -> Json:
    return {
        "level": finding.level.value,
        "about": finding.about,
        "text": finding.text,
        "details": list(finding.details),
        "remedy": finding.remedy,
        "lines": list(finding.lines),
    }


def _group(group: Group, colour: bool) -> Iterator[str]:
    yield _painted(group.title, "1", colour)
    for finding in group.findings:
        mark = _painted(_MARKS[finding.level], _COLOURS[finding.level], colour)
        yield from _wrapped(f"  {mark} ", finding.text, 4)
        for each in finding.details:
            yield from _wrapped("      ", each, 8)
        if finding.remedy:
            yield from _wrapped("    → ", finding.remedy, 6)
        yield from (f"        {_plain(line)}" for line in _short(finding.lines))


def _wrapped(begin: str, text: str, indent: int) -> Iterator[str]:
    first, *rest = wrap(_plain(text), _WIDTH - indent, break_long_words=False, break_on_hyphens=False) or [""]
    yield begin + first
    yield from (" " * indent + line for line in rest)


def _painted(text: str, how: str, colour: bool) -> str:
    return f"\033[{how}m{text}\033[0m" if colour else text


def _short(lines: tuple[str, ...]) -> Iterator[str]:
    yield from lines[:_MOST_LINES]
    if len(lines) > _MOST_LINES:
        yield f"… and {len(lines) - _MOST_LINES} lines more; `rasa-handoff init --dry-run` shows them all"


def _sum(report: Report) -> str:
    problems, warnings = report.count(Level.PROBLEM), report.count(Level.WARNING)
    if problems:
        return f"{_count(problems, 'problem')} and {_count(warnings, 'warning')}: a handoff does not work yet."
    if warnings:
        return f"No problems, {_count(warnings, 'warning')}: a handoff works."
    return "All is well: a handoff works."


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _plain(text: str) -> str:
    """*text* for a terminal: what stands in somebody's file must not steer it."""
    return "".join(character if character.isprintable() else "?" for character in text)
