"""What the doctor says about a bot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from rasa_handoff.init.pieces import Piece


class Level(str, Enum):
    """How much a finding matters."""

    FINE = "fine"
    NOTE = "note"  #: good to know
    WARNING = "warning"  #: a handoff works, with less than it could
    PROBLEM = "problem"  #: a handoff does not work


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fact about the bot."""

    level: Level
    about: str  #: a stable word for programs, as in "lock_store" or "telegram"
    text: str  #: a sentence
    details: tuple[str, ...] = ()  #: more of them
    remedy: str | None = None  #: what to do, a sentence
    lines: tuple[str, ...] = ()  #: what to paste, and where if that is not said in the remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All about one subject."""

    title: str
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that was found."""

    groups: Sequence[Group]

    def count(self, level: Level) -> int:
        return sum(1 for each in self.findings() if each.level is level)

    def findings(self) -> Iterator[Finding]:
        for group in self.groups:
            yield from group.findings


def fine(about: str, text: str, details: Iterable[str] = ()) -> Finding:
    return Finding(level=Level.FINE, about=about, text=text, details=tuple(details))


def note(about: str, text: str, remedy: str | None = None, lines: Iterable[str] = ()) -> Finding:
    return Finding(level=Level.NOTE, about=about, text=text, remedy=remedy, lines=tuple(lines))


def warning(about: str, text: str, remedy: str, lines: Iterable[str] = (), *, details: Iterable[str] = ()) -> Finding:
    return Finding(
        level=Level.WARNING, about=about, text=text, details=tuple(details), remedy=remedy, lines=tuple(lines)
    )


def problem(about: str, text: str, remedy: str, lines: Iterable[str] = ()) -> Finding:
    return Finding(level=Level.PROBLEM, about=about, text=text, remedy=remedy, lines=tuple(lines))


def section(name: str, pieces: Sequence[Piece]) -> list[str]:
    """*pieces* as lines to paste, below the key of their section."""
    return [f"{name}:", *(f"  {line}" for piece in pieces for line in piece.lines)]
