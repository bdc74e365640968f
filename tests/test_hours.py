"""Opening hours as people write them."""

from __future__ import annotations

from datetime import date, datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from rasa_handoff.hours import read_hours

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    """A moment in Berlin; 2026-11-16 is a Monday."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        (
            "Mon-Fri 09:00-17:00 Europe/Berlin",
            ["2026-11-16 09:00", "2026-11-20 16:59"],
            ["2026-11-16 08:59", "2026-11-16 17:00", "2026-11-21 12:00"],
        ),
        ("Mon,Wed 9:00-12:00 Europe/Berlin", ["2026-11-16 10:00", "2026-11-18 10:00"], ["2026-11-17 10:00"]),
        (
            "Mon 9:00-12:00, 13:00-17:00; Sat 10:00-11:00 Europe/Berlin",
            ["2026-11-16 11:59", "2026-11-16 13:00", "2026-11-21 10:30"],
            ["2026-11-16 12:30", "2026-11-21 13:30"],
        ),
        (
            "Fri 22:00-06:00 Europe/Berlin",
            ["2026-11-20 22:00", "2026-11-21 05:59"],
            ["2026-11-20 05:00", "2026-11-21 06:00", "2026-11-21 22:00"],
        ),
        (
            "sat - monday 00:00 - 24:00 Europe/Berlin",
            ["2026-11-21 00:00", "2026-11-22 23:59", "2026-11-16 12:00"],
            ["2026-11-17 00:00", "2026-11-20 23:59"],
        ),
        ("22:00-06:00 Europe/Berlin", ["2026-11-18 23:00", "2026-11-19 03:00"], ["2026-11-18 12:00"]),
    ],
)
def test_hours_cover_what_they_say(hours: str, inside: list[str], outside: list[str]) -> None:
    read = read_hours(hours)
    assert [moment for moment in inside if not read.cover(at(moment))] == []
    assert [moment for moment in outside if read.cover(at(moment))] == []


def test_hours_are_those_of_their_zone_in_summer_and_winter() -> None:
    hours = read_hours("Mon-Sun 09:00-17:00 Europe/Berlin")
    assert hours.cover(datetime(2026, 7, 1, 7, 30, tzinfo=timezone.utc))
    assert not hours.cover(datetime(2026, 12, 1, 7, 30, tzinfo=timezone.utc))


def test_a_holiday_closes_the_windows_that_begin_on_it() -> None:
    hours = read_hours("Mon-Sun 22:00-06:00 Europe/Berlin")
    christmas = frozenset({date(2026, 12, 25)})
    assert hours.cover(at("2026-12-25 03:00"), christmas)
    assert not hours.cover(at("2026-12-25 23:00"), christmas)
    assert not hours.cover(at("2026-12-26 03:00"), christmas)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        (" ; ", "is empty"),
        ("Mon-Fri 09:00-17:00", "does not say in which time zone"),
        ("Mon 9-5 Europe/Berlin", "has times that cannot be read"),
        ("Mon 25:00-26:00 Europe/Berlin", "has a time that no clock shows"),
        ("Mon 09:60-10:00 Europe/Berlin", "has a time that no clock shows"),
        ("Mon 09:00-09:00 Europe/Berlin", "opens and closes at the same time"),
        ("Mun 09:00-17:00 Europe/Berlin", "has a day that cannot be read"),
        ("Mon- 09:00-17:00 Europe/Berlin", "cannot be read"),
        ("Mon to Fri 09:00-17:00 Europe/Berlin", "cannot be read"),
        ("Mon 09:00-17:00 Europe/Atlantis", "names the time zone 'Europe/Atlantis'"),
        ("Mon 09:00-17:00 ../../etc/passwd", "which this machine does not know"),
        ("Mon 09:00-10:00 Europe/Berlin; Tue 09:00-10:00 Europe/Paris", "names several time zones"),
        ("Europe/Berlin", "cannot be read"),
        ("\u0661\u0660:00-11:00 Europe/Berlin", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_remedy(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match="write") as caught:
        read_hours(text)
    assert fault in str(caught.value)
