"""Which backends a request goes to, in order; pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from rasa_handoff.model import Request
from rasa_handoff.settings import Rule


def choose(rules: Sequence[Rule], request: Request, now: datetime) -> list[Rule]:
    """The rules that fit *request* at *now* (aware), first choice first; none when all are closed."""
    return [rule for rule in fitting(rules, request) if _is_open(rule, now)]


def fitting(rules: Sequence[Rule], request: Request) -> list[Rule]:
    """The rules that fit *request* at any hour, first choice first.

    What the request names itself (backend, group, priority) comes before what the rules say.
    """
    return [
        replace(rule, group=request.group or rule.group, priority=request.priority or rule.priority)
        for rule in _candidates(rules, request)
        if _fits(rule, request)
    ]


def next_opening(rules: Sequence[Rule], request: Request, now: datetime) -> datetime | None:
    """When the first of the closed rules that fit *request* opens; None if there is none that ever does."""
    closed = [rule for rule in fitting(rules, request) if not _is_open(rule, now)]
    openings = (rule.hours.next_opening(now, rule.holidays) for rule in closed if rule.hours)
    return min(filter(None, openings), default=None)


def told(request: Request, rule: Rule) -> Request:
    """*request* as the agents of *rule* get it."""
    request = replace(request, group=rule.group, priority=rule.priority)
    return request if rule.transcript else replace(request, transcript=(), last_message=None)


def _candidates(rules: Sequence[Rule], request: Request) -> Sequence[Rule]:
    if request.backend is None:
        return rules
    return [rule for rule in rules if rule.to == request.backend] or [Rule(to=request.backend)]


def _fits(rule: Rule, request: Request) -> bool:
    if rule.when.channels and request.channel not in rule.when.channels:
        return False
    return all(_is_one_of(request.parameters.get(name), wanted) for name, wanted in rule.when.slots.items())


def _is_one_of(value: Any, wanted: Sequence[Any]) -> bool:
    """Whether a slot has one of the *wanted* values; a slot that is a list, whether it contains one."""
    values = value if isinstance(value, list) else [value]
    return any(_same(one, other) for one in values for other in wanted)


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    # YAML and extractors disagree about what is a number, and people about capitals.
    return bool(one == other) or str(one).casefold() == str(other).casefold()


def _is_open(rule: Rule, now: datetime) -> bool:
    return rule.hours is None or rule.hours.cover(now, rule.holidays)
