"""Where a request goes."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import pytest

from rasa_handoff.hours import read_hours
from rasa_handoff.model import Request
from rasa_handoff.routing import choose
from rasa_handoff.settings import Rule, When

MONDAY_NOON = datetime(2026, 11, 16, 12, 0, tzinfo=timezone.utc)
SUNDAY_NOON = datetime(2026, 11, 15, 12, 0, tzinfo=timezone.utc)
OFFICE = read_hours("Mon-Fri 09:00-17:00 Europe/Berlin")


def asked(**fields: Any) -> Request:
    return Request(**{"sender_id": "u1", "channel": "rest", **fields})


def names(rules: list[Rule]) -> list[str]:
    return [rule.to for rule in rules]


def test_the_rules_that_fit_come_in_their_order() -> None:
    rules = [Rule(to="a"), Rule(to="b", when=When(channels=("slack",))), Rule(to="c")]
    assert names(choose(rules, asked(), MONDAY_NOON)) == ["a", "c"]
    assert names(choose(rules, asked(channel="slack"), MONDAY_NOON)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("wanted", "value", "fits"),
    [
        (("billing",), "billing", True),
        (("billing",), "Billing", True),
        (("billing", "sales"), "sales", True),
        (("billing",), "other", False),
        (("billing",), None, False),
        ((None,), None, True),
        ((7,), "7", True),
        ((True,), True, True),
        ((True,), "true", True),
        ((True,), False, False),
        (("b",), ["a", "b"], True),
        (("c",), ["a", "b"], False),
        (("a",), {"a": 1}, False),
    ],
)
def test_a_slot_must_have_one_of_the_values(wanted: tuple[Any, ...], value: Any, fits: bool) -> None:
    rules = [Rule(to="a", when=When(slots={"topic": wanted}))]
    assert bool(choose(rules, asked(parameters={"topic": value}), MONDAY_NOON)) is fits


def test_a_slot_that_is_not_there_fits_no_value() -> None:
    assert choose([Rule(to="a", when=When(slots={"topic": ("x",)}))], asked(), MONDAY_NOON) == []


def test_every_slot_of_a_rule_must_fit() -> None:
    rules = [Rule(to="a", when=When(slots={"topic": ("x",), "paid": (True,)}))]
    assert choose(rules, asked(parameters={"topic": "x"}), MONDAY_NOON) == []
    assert len(choose(rules, asked(parameters={"topic": "x", "paid": True}), MONDAY_NOON)) == 1


def test_nothing_fits_outside_hours_and_on_holidays() -> None:
    rule = Rule(to="a", hours=OFFICE, holidays=frozenset({date(2026, 11, 16)}))
    assert choose([rule], asked(), MONDAY_NOON) == []
    assert choose([Rule(to="a", hours=OFFICE)], asked(), SUNDAY_NOON) == []
    assert names(choose([Rule(to="a", hours=OFFICE)], asked(), MONDAY_NOON)) == ["a"]


def test_a_holiday_closes_nobody_who_has_no_hours() -> None:
    rule = Rule(to="a", holidays=frozenset({date(2026, 11, 16)}))
    assert names(choose([rule], asked(), MONDAY_NOON)) == ["a"]


class TestAskedForByName:
    def test_only_the_rules_of_that_backend_count(self) -> None:
        rules = [Rule(to="a"), Rule(to="b", group="1"), Rule(to="b", group="2")]
        assert [rule.group for rule in choose(rules, asked(backend="b"), MONDAY_NOON)] == ["1", "2"]

    def test_a_backend_without_a_rule_is_always_open(self) -> None:
        assert choose([Rule(to="a")], asked(backend="b"), MONDAY_NOON) == [Rule(to="b")]

    def test_its_hours_count_all_the_same(self) -> None:
        assert choose([Rule(to="b", hours=OFFICE)], asked(backend="b"), SUNDAY_NOON) == []


def test_what_the_request_names_comes_before_what_the_rule_says() -> None:
    rules = [Rule(to="a", group="rule", priority="low")]
    (plain,) = choose(rules, asked(), MONDAY_NOON)
    (named,) = choose(rules, asked(group="mine", priority="high"), MONDAY_NOON)
    assert (plain.group, plain.priority) == ("rule", "low")
    assert (named.group, named.priority) == ("mine", "high")
