"""The words that the bot needs: intents, slots, responses, actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rasa_handoff.doctor.case import Case
from rasa_handoff.doctor.findings import Finding, fine, problem, section, warning
from rasa_handoff.init.pieces import Piece, pieces, template
from rasa_handoff.project.actions import HANDOFF
from rasa_handoff.project.shapes import items, mappings

_INIT = "rasa-handoff init writes it, or add to the domain:"
#: Slots with a closed list of values, that rules read.
_LISTED = ("handoff_status", "handoff_end_reason")
_TAKES_NO_WORD = ("bool", "float", "list")


def look(case: Case) -> Iterator[Finding]:
    yield from _intents(case)
    yield from _actions(case)
    yield from _slots(case)
    yield from _responses(case)


def _intents(case: Case) -> Iterator[Finding]:
    for piece in case.missing.intents:
        yield problem(piece.name, f"The intent {piece.name} is missing.", _INIT, section("intents", [piece]))
    if not case.missing.intents:
        yield fine("intents", "The intents are there")


def _actions(case: Case) -> Iterator[Finding]:
    for piece in case.missing.actions:
        yield problem(piece.name, f"The action {piece.name} is missing.", _INIT, section("actions", [piece]))
    if not case.missing.actions:
        yield fine("actions", f"{HANDOFF} is among the actions")


def _slots(case: Case) -> Iterator[Finding]:
    found = [*_absent_slots(case), *_wrong_slots(case)]
    yield from found
    if not found:
        yield fine("slots", "The slots are there, and nothing but the plugin fills them")


def _absent_slots(case: Case) -> Iterator[Finding]:
    if case.missing.slots:
        names = ", ".join(piece.name for piece in case.missing.slots)
        yield warning(
            "slots",
            f"Without these slots the bot knows less of a handoff: {names}.",
            _INIT,
            section("slots", case.missing.slots),
        )


def _wrong_slots(case: Case) -> Iterator[Finding]:
    for piece in pieces(template("domain.yml"), "slots"):
        there = case.project.domain.slots.get(piece.name)
        if isinstance(there, dict):
            for text in _faults_in(case, piece, there):
                yield problem(
                    piece.name, f"{_place(case, piece.name)}: {text}", "Write it as the plugin needs it:", piece.lines
                )
            yield from _unknown_values(case, piece, there)


def _faults_in(case: Case, piece: Piece, there: Mapping[str, Any]) -> Iterator[str]:
    name = piece.name
    kinds = [each.get("type") for each in mappings(there.get("mappings"))]
    filled = sorted({str(kind) for kind in kinds} - {"custom", "controlled"})
    if filled:
        yield f"the slot {name} is also filled by {', '.join(filled)}, so what a user says overwrites it."
    if there.get("type") in _TAKES_NO_WORD:
        yield f"the slot {name} is of type {there['type']}, which cannot hold what the plugin puts there."
    elif _is_read(case, name) and (there.get("influence_conversation") is False or there.get("type") == "any"):
        yield f"rules read the slot {name}, which does not influence the conversation, so they never run."


def _unknown_values(case: Case, piece: Piece, there: Mapping[str, Any]) -> Iterator[Finding]:
    if piece.name not in _LISTED or there.get("type") != "categorical":
        return
    known = {str(value).lower() for value in items(there.get("values"))}
    needed = [value for value in piece.value[piece.name]["values"] if value not in known]
    if needed:
        yield warning(
            piece.name,
            f"{_place(case, piece.name)}: the slot {piece.name} takes {', '.join(needed)} for `__other__`.",
            "Give it all values:",
            piece.lines,
        )


def _is_read(case: Case, slot: str) -> bool:
    return any(
        slot in _slots_in(step)
        for course in case.project.training.courses
        for step in (*course.steps, *course.conditions)
    )


def _slots_in(step: Any) -> set[str]:
    """The slots that a step or a condition names: `slot_was_set: [{name: value}, name]`."""
    listed = step.get("slot_was_set") if isinstance(step, dict) else None
    items = listed if isinstance(listed, list) else [listed]
    return {str(name) for item in items for name in (item if isinstance(item, dict) else [item])}


def _responses(case: Case) -> Iterator[Finding]:
    spoken = case.missing.responses
    needed = {piece.name for piece in spoken} & case.project.training.actions
    for piece in spoken:
        if piece.name in needed:
            yield problem(
                piece.name, f"A rule says {piece.name}, which is missing.", _INIT, section("responses", [piece])
            )
    left = [piece for piece in spoken if piece.name not in needed]
    if left:
        names = ", ".join(piece.name for piece in left)
        yield warning(
            "responses",
            f"Said in plain English, or not at all, for nobody wrote them: {names}.",
            _INIT,
            section("responses", left),
        )
    if not spoken:
        yield fine("responses", "The responses are there")


def _place(case: Case, slot: str) -> str:
    path, line = case.project.domain.place_of("slots", slot)
    return f"{case.project.places.shown(path)}:{line}"
