"""The route: which agent system a handoff goes to, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel

from rasa_handoff.hours import read_hours
from rasa_handoff.settings.chosen import Rule, When
from rasa_handoff.settings.faults import Faults, Path, unknown
from rasa_handoff.settings.shapes import shaped
from rasa_handoff.settings.texts import TextOrNumber
from rasa_handoff.settings.values import read_date


class _When(BaseModel, extra="forbid", frozen=True):
    slots: dict[str, Any] = {}
    channels: list[str] = []


class _Rule(BaseModel, extra="forbid", frozen=True):
    to: str = ""
    group: TextOrNumber | None = None
    priority: TextOrNumber | None = None
    when: _When = _When()
    hours: str | None = None
    transcript: bool | None = None


def read_route(
    asked: list[Any] | None, holidays: list[Any], transcript: bool, backends: Mapping[str, Any], faults: Faults
) -> tuple[Rule, ...]:
    """The rules in their order; one for each backend when there are none.

    Args:
        transcript: what holds for a rule that does not say whether the agents see what user and bot said.
    """
    if asked is None:
        return tuple(Rule(to=name, transcript=transcript) for name in backends)
    if not asked:
        faults.add(("route",), "is empty; write at least `- {to: desk}`, or leave the setting out")
    dates = [faults.read(("holidays", index), read_date, value, None) for index, value in enumerate(holidays)]
    closed = frozenset(day for day in dates if day is not None)
    return tuple(
        _read_rule(("route", index), rule, backends, closed, faults, transcript) for index, rule in enumerate(asked)
    )


def _read_rule(
    path: Path,
    asked: Any,
    backends: Mapping[str, Any],
    holidays: frozenset[date],
    faults: Faults,
    transcript: bool,
) -> Rule:
    shape = shaped(_Rule, asked, path, faults)
    if shape is None:
        return Rule(to="")
    if not shape.to:
        faults.add((*path, "to"), f"is missing; write one of: {', '.join(backends)}")
    elif shape.to not in backends:
        faults.add((*path, "to"), unknown("names no backend of yours", shape.to, list(backends)))
    if shape.group is not None and (fault := _fault_of_group(backends.get(shape.to), shape.group)):
        faults.add((*path, "group"), fault)
    hours = None
    if shape.hours is not None:
        hours = faults.read((*path, "hours"), read_hours, shape.hours, None)
    return Rule(
        to=shape.to,
        group=shape.group,
        priority=shape.priority,
        when=_read_when(shape.when),
        hours=hours,
        holidays=holidays,
        transcript=transcript if shape.transcript is None else shape.transcript,
    )


def _fault_of_group(backend: Any, group: str) -> str | None:
    """What an agent system's settings, which may know its groups, have against this one."""
    found: str | None = backend.fault_of_group(group) if hasattr(backend, "fault_of_group") else None
    return found


def _read_when(shape: _When) -> When:
    slots = {name: tuple(value) if isinstance(value, list) else (value,) for name, value in shape.slots.items()}
    return When(slots=slots, channels=tuple(shape.channels))
