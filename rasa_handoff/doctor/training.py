"""The way to a person and back: rules, stories, examples, forms, policies."""

from __future__ import annotations

from collections.abc import Iterator

from rasa_handoff.doctor.case import Case
from rasa_handoff.doctor.findings import Finding, fine, problem, section, warning
from rasa_handoff.init import missing
from rasa_handoff.init.pieces import pieces, template
from rasa_handoff.model import EndReason
from rasa_handoff.project.actions import HANDOFF
from rasa_handoff.project.shapes import items, mapping, mappings
from rasa_handoff.project.training import Course

_INIT = "rasa-handoff init writes it, or add to the training data:"
_FEW = 5  #: examples, from which an intent is hard to learn


def look(case: Case) -> Iterator[Finding]:
    yield from _way_there(case)
    yield from _examples(case)
    yield from _way_back(case)
    yield from _policies(case)
    yield from _forms(case)


def _way_there(case: Case) -> Iterator[Finding]:
    courses = [each for each in case.project.training.courses if HANDOFF in each.actions()]
    if courses:
        yield fine("asked", f"{_list(case, courses)} lead{'' if len(courses) > 1 else 's'} to {HANDOFF}")
        return
    if case.project.actions.leads_to_people:
        yield fine("asked", f"An action of the bot's own leads to {HANDOFF}")
        return
    asked = pieces(template("training.yml"), "rules")[:1]
    yield problem("asked", f"No rule or story leads to {HANDOFF}.", _INIT, section("rules", asked))


def _examples(case: Case) -> Iterator[Finding]:
    if not case.project.training.answers_to(missing.ASKED):
        return
    count = case.project.training.examples.get(missing.ASKED, 0)
    lines = section("nlu", pieces(template("training.yml"), "nlu")[:1])
    if not count:
        yield problem(
            missing.ASKED, f"The intent {missing.ASKED} has no examples: nobody's words lead there.", _INIT, lines
        )
    elif count < _FEW:
        yield warning(
            missing.ASKED, f"The intent {missing.ASKED} has {count} examples only.", "Add some, such as:", lines
        )
    else:
        yield fine(missing.ASKED, f"{count} examples of how users ask for a person")


def _way_back(case: Case) -> Iterator[Finding]:
    courses = case.project.training.answers_to(missing.CLOSED)
    if not courses:
        rule = pieces(template("training.yml"), "rules")[1:]
        yield problem("ended", "No rule says what the bot does when a handoff is over.", _INIT, section("rules", rule))
        return
    told = {reason for course in courses for reason in _reasons(course)}
    # Whoever was handed over for good is not told by the bot.
    untold = [each.value for each in EndReason if each.value not in told and each is not EndReason.HANDED_OVER]
    if untold:
        yield warning(
            "ended",
            f"No rule says what the bot does when a handoff ended with: {', '.join(untold)}.",
            "Add a rule for each, or one without a condition, such as:",
            section("rules", pieces(template("training.yml"), "rules")[1:]),
        )
    else:
        yield fine("ended", f"What the bot does when a handoff is over: {_list(case, courses)}")


def _reasons(course: Course) -> set[str]:
    """The reasons for which *course* runs."""
    named: set[str] = set()
    for condition in course.conditions:
        for slot, value in _slot_values(condition):
            if slot == "handoff_status" and value != "closed":
                return set()
            if slot == "handoff_end_reason":
                named.add(str(value))
    return named or {each.value for each in EndReason}


def _slot_values(condition: object) -> Iterator[tuple[str, object]]:
    for item in mappings(mapping(condition).get("slot_was_set")):
        yield from item.items()


def _policies(case: Case) -> Iterator[Finding]:
    if case.missing.policies:
        lines = section("policies", case.missing.policies)
        yield problem("policies", "config.yml has no RulePolicy, so no rule runs.", "Add to config.yml:", lines)


def _forms(case: Case) -> Iterator[Finding]:
    """A form that takes whatever is said for an answer also takes "I want a person"."""
    asked = {missing.ASKED} if missing.ASKED in case.project.domain.intents else set()
    needed = sorted(asked | {missing.CLOSED})
    for name, form in case.project.domain.forms.items():
        ignored = mapping(form).get("ignored_intents")
        listed = [ignored] if isinstance(ignored, str) else items(ignored)
        lacking = [intent for intent in needed if intent not in listed]
        if lacking:
            yield warning(
                "forms",
                f"The form {name} may take {' and '.join(lacking)} for an answer.",
                "Let it look away, and go on afterwards:",
                ("forms:", f"  {name}:", f"    ignored_intents: [{', '.join(map(str, [*listed, *lacking]))}]"),
            )


def _list(case: Case, courses: list[Course]) -> str:
    """The first of them, and how many there are."""
    first = f"“{courses[0].name}” ({case.project.places.shown(courses[0].file)})"
    return first if len(courses) == 1 else f"{first} and {len(courses) - 1} more"
