"""Opening hours, as people write them: "Mon-Fri 09:00-17:00 Europe/Berlin"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = 24 * 60
_A_YEAR = 366  #: days
_TIMES = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})", re.ASCII)
_REMEDY = 'write e.g. "Mon-Fri 09:00-17:00 Europe/Berlin"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of the day on some days of the week; it belongs to the day it begins on."""

    days: frozenset[int]  #: 0 is Monday
    start: int  #: minutes after midnight
    end: int  #: minutes after the midnight before *start*; beyond 24 hours: the next morning


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """When somebody is there."""

    windows: tuple[Window, ...]
    zone: ZoneInfo

    def cover(self, now: datetime, holidays: frozenset[date] = frozenset()) -> bool:
        """Whether *now* (aware) lies in a window that did not begin on a holiday."""
        local = now.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        today = local.date()
        return self._begun_on(today, minute, holidays) or self._begun_on(
            today - timedelta(days=1), minute + _DAY, holidays
        )

    def next_opening(self, now: datetime, holidays: frozenset[date] = frozenset()) -> datetime | None:
        """When the next window begins, as the clocks there show it; None if none does within a year."""
        today = now.astimezone(self.zone).date()
        days = (today + timedelta(days=number) for number in range(_A_YEAR))
        return next((start for day in days for start in self._starts_on(day, holidays) if start > now), None)

    def _starts_on(self, day: date, holidays: frozenset[date]) -> list[datetime]:
        if day in holidays:
            return []
        starts = sorted(window.start for window in self.windows if day.weekday() in window.days)
        return [datetime(day.year, day.month, day.day, *divmod(start, 60), tzinfo=self.zone) for start in starts]

    def _begun_on(self, day: date, minute: int, holidays: frozenset[date]) -> bool:
        if day in holidays:
            return False
        return any(day.weekday() in w.days and w.start <= minute < w.end for w in self.windows)


def read_hours(text: str) -> Hours:
    """Read opening hours; ValueError says what is wrong and what to write."""
    windows: list[Window] = []
    zones: set[str] = set()
    for part in filter(None, (part.strip() for part in text.split(";"))):
        words = re.sub(r"\s*([,-])\s*", r"\1", part).split()
        if not _is_times(words[-1]) and len(words) > 1:
            zones.add(words.pop())
        windows.extend(_read_windows(words))
    if not windows:
        raise ValueError(f"is empty; {_REMEDY}")
    return Hours(windows=tuple(windows), zone=_read_zone(zones))


def _read_windows(words: list[str]) -> Iterator[Window]:
    days = frozenset(range(7))
    if len(words) == 2:
        days = _read_days(words.pop(0))
    if len(words) != 1:
        raise ValueError(f"cannot be read; {_REMEDY}")
    for times in words[0].split(","):
        start, end = _read_times(times)
        yield Window(days=days, start=start, end=end)


def _is_times(word: str) -> bool:
    return word[:1].isdigit()


def _read_times(text: str) -> tuple[int, int]:
    found = _TIMES.fullmatch(text)
    if found is None:
        raise ValueError(f"has times that cannot be read; {_REMEDY}")
    hour, minute, end_hour, end_minute = map(int, found.groups())
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if minute > 59 or end_minute > 59 or start >= _DAY or end > _DAY:
        raise ValueError("has a time that no clock shows; write times from 00:00 to 24:00")
    if start == end:
        raise ValueError("opens and closes at the same time; write 00:00-24:00 for the whole day")
    return start, end if end > start else end + _DAY


def _read_days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin = _read_day(first)
        length = (_read_day(last) - begin) % 7 if last else 0
        days.update((begin + step) % 7 for step in range(length + 1))
    return frozenset(days)


def _read_day(text: str) -> int:
    word = text.lower()
    for number, name in enumerate(_DAYS):
        if word in (name, name[:3]):
            return number
    raise ValueError(f"has a day that cannot be read; write Mon, Tue, Wed, Thu, Fri, Sat or Sun; {_REMEDY}")


def _read_zone(names: set[str]) -> ZoneInfo:
    if not names:
        raise ValueError(f"does not say in which time zone; {_REMEDY}")
    if len(names) > 1:
        raise ValueError("names several time zones; write one rule for each")
    name = names.pop()
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise ValueError(
            f"names the time zone {name!r}, which this machine does not know; "
            "write one of the tz database, e.g. Europe/Berlin (pip install tzdata where it is missing)"
        ) from None
