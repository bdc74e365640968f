"""What handoffs come to: how many were taken or given up, and how long people waited."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from statistics import median
from typing import Literal
from zoneinfo import ZoneInfo

from rasa_handoff.model import REFUSALS, EndReason
from rasa_handoff.store import Store, figures
from rasa_handoff.store.figures import Course

Fate = Literal["waiting", "taken", "abandoned", "refused", "handed_over"]
By = Literal["backend", "group", "day", "reason"]
BY: tuple[By, ...] = ("backend", "group", "day", "reason")

_UTC = ZoneInfo("UTC")
_AT_ONCE = 200  #: handoffs a query: between two of them the server does what else there is


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which handoffs, and in which rows."""

    since: float  #: seconds since the epoch, as all times
    until: float
    by: By | None = None
    zone: ZoneInfo = _UTC  #: where a day begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Seconds, in the middle and for nine in ten."""

    median: float
    p90: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """What users thought of the agents."""

    count: int
    average: float | None  #: stars, 1 to 5
    resolved: float | None  #: the share of those who were asked whether their question was settled, 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What some handoffs come to. Each is one of waiting, taken, abandoned, refused and handed over."""

    handoffs: int
    waiting: int  #: for an agent, at this moment
    taken: int  #: by an agent
    abandoned: int  #: over before an agent came: the user left, a deadline passed
    refused: int  #: nobody there, declined, or the agent system could not be reached
    handed_over: int  #: for good, where users and agents talk without us
    again: int  #: of users who had been with an agent less than a day before
    wait: Spread | None  #: until an agent took it
    first_reply: Spread | None  #: until an agent wrote
    duration: Spread | None  #: of those that were taken and are over
    reasons: dict[str, int]  #: why they ended
    ratings: Ratings


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The answer to a question."""

    total: Figures
    rows: dict[str, Figures]  #: by name, in order; none when nobody asked for rows


def fate(end_reason: EndReason | None, taken: bool) -> Fate:
    """What became of a handoff that ended so, or (None) is open."""
    if taken:
        return "taken"
    if end_reason is None:
        return "waiting"
    if end_reason is EndReason.HANDED_OVER:
        return "handed_over"
    return "refused" if end_reason in REFUSALS else "abandoned"


def midnight_before(at: float, zone: ZoneInfo) -> float:
    """When the day began that *at* belongs to."""
    return datetime.fromtimestamp(at, zone).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def nothing() -> Figures:
    """What no handoff at all comes to."""
    return _Tally().figures()


async def report(store: Store, question: Question) -> Report:
    """Go through the handoffs, and count.

    Raises:
        StoreError: the database does not answer.
    """
    total = _Tally()
    rows: dict[str, _Tally] = {name: _Tally() for name in _days_of(question)}
    last: Course | None = None
    page = partial(figures.courses, since=question.since, until=question.until, most=_AT_ONCE)
    while found := await store.read(partial(page, after=last)):
        for course in found:
            total.add(course)
            if question.by is not None:
                rows.setdefault(_NAMES[question.by](course, question), _Tally()).add(course)
        last = found[-1]
        await asyncio.sleep(0)
    named = {name: tally.figures() for name, tally in rows.items()}
    return Report(total=total.figures(), rows=_in_order(named, question.by))


def _days_of(question: Question) -> list[str]:
    """Every day of the question, those without a handoff, too."""
    if question.by != "day":
        return []
    first = datetime.fromtimestamp(question.since, question.zone).date()
    last = datetime.fromtimestamp(question.until, question.zone).date()
    return [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]


def _in_order(rows: dict[str, Figures], by: By | None) -> dict[str, Figures]:
    """Days as they came, else what there is most of first."""
    if by == "day":
        return dict(sorted(rows.items()))
    return dict(sorted(rows.items(), key=lambda row: (-row[1].handoffs, row[0])))


_NAMES: dict[By, Callable[[Course, Question], str]] = {
    "backend": lambda course, question: course.backend,
    "group": lambda course, question: course.group or "",
    "day": lambda course, question: datetime.fromtimestamp(course.opened_at, question.zone).date().isoformat(),
    "reason": lambda course, question: course.end_reason.value if course.end_reason else "",
}


class _Tally:
    """What the handoffs come to that were added."""

    def __init__(self) -> None:
        self._fates: Counter[Fate] = Counter()
        self._reasons: Counter[str] = Counter()
        self._again = 0
        self._waits: list[float] = []
        self._replies: list[float] = []
        self._durations: list[float] = []
        self._stars: list[int] = []
        self._resolved: list[bool] = []

    def add(self, course: Course) -> None:
        self._fates[fate(course.end_reason, course.accepted_at is not None)] += 1
        self._again += course.again
        if course.end_reason is not None:
            self._reasons[course.end_reason.value] += 1
        if course.stars is not None:
            self._stars.append(course.stars)
        if course.resolved is not None:
            self._resolved.append(course.resolved)
        self._add_times(course)

    def _add_times(self, course: Course) -> None:
        if course.accepted_at is not None:
            self._waits.append(course.accepted_at - course.opened_at)
        if course.replied_at is not None:
            self._replies.append(course.replied_at - course.opened_at)
        if course.accepted_at is not None and course.closed_at is not None:
            self._durations.append(course.closed_at - course.opened_at)

    def figures(self) -> Figures:
        return Figures(
            handoffs=self._fates.total(),
            waiting=self._fates["waiting"],
            taken=self._fates["taken"],
            abandoned=self._fates["abandoned"],
            refused=self._fates["refused"],
            handed_over=self._fates["handed_over"],
            again=self._again,
            wait=_spread(self._waits),
            first_reply=_spread(self._replies),
            duration=_spread(self._durations),
            reasons=dict(self._reasons.most_common()),
            ratings=Ratings(count=len(self._stars), average=_average(self._stars), resolved=_average(self._resolved)),
        )


def _spread(seconds: list[float]) -> Spread | None:
    """The median, and the smallest that nine in ten do not exceed."""
    if not seconds:
        return None
    in_order = sorted(max(each, 0.0) for each in seconds)  # clocks may have been set between
    return Spread(median=median(in_order), p90=in_order[math.ceil(0.9 * len(in_order)) - 1])


def _average(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
