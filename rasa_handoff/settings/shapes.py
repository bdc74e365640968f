"""A section of YAML as a pydantic model, with pydantic's findings in words that say what to write."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ValidationError

from rasa_handoff.settings.faults import Faults, Path, unknown
from rasa_handoff.settings.hints import fields_of, hint_at, instead_of, kind, model_in
from rasa_handoff.settings.texts import not_text, with_texts

M = TypeVar("M", bound=BaseModel)
_WORDS: dict[Any, tuple[str, str]] = {
    str: ("text", "..."),
    bool: ("true or false", "true"),
    int: ("a whole number", "1"),
    float: ("a number", "1"),
    list: ("a list", "[...]"),
    dict: ("a mapping", "{...}"),
}


def read_model(model: type[M], section: Any, path: Path, faults: Faults) -> M | None:
    """A section with a model of its own, which may have a method ``faults`` that finds what a type cannot say."""
    shape = shaped(model, section, path, faults)
    absent, checked = (set[str](), shape) if shape is not None else _completed(model, section)
    for name, what in getattr(checked, "faults", tuple)():
        if name.partition(".")[0] not in absent:
            faults.add((*path, name), what)
    return shape


def shaped(model: type[M], data: Any, path: Path, faults: Faults) -> M | None:
    """*data* as a *model*, without what is faulty in it; None when nothing is left to read."""
    if not isinstance(data, dict):
        faults.add(path, "must be a mapping: `name: value` lines, indented below it")
        return None
    try:
        return _validated(model, data)
    except ValidationError as error:
        found = error.errors()
    for one in found:
        where = _location(data, one["loc"])
        faults.add((*path, *where), _in_words(model, data, where, one))
    faulty = {one["loc"][0] for one in found}
    # The rest is read all the same, so that one message has every fault.
    with suppress(ValidationError):
        return _validated(model, {key: value for key, value in data.items() if key not in faulty})
    return None


def _completed(model: type[M], section: Any) -> tuple[set[str], M | None]:
    """A faulty section with something else in the place of its faults, to check the rest by; and where they are."""
    if not isinstance(section, dict):
        return set(), None
    hints = get_type_hints(model)
    known = {name: value for name, value in section.items() if name in hints}
    absent: set[str] = set()
    for _ in range(3):  # what is faulty is left out first, and is perhaps missing then
        try:
            return absent, _validated(model, known)
        except ValidationError as error:
            faulty = {str(one["loc"][0]) for one in error.errors()}
        missing = {name: instead_of(hints[name]) for name in (faulty - known.keys()) & hints.keys()}
        known = {**{name: value for name, value in known.items() if name not in faulty}, **missing}
        absent |= faulty
    return absent, None


def _validated(model: type[M], data: dict[str, Any]) -> M:
    return model(**with_texts(model, data))


def _location(data: Any, loc: tuple[int | str, ...]) -> Path:
    """*loc* as far as it leads through *data*; pydantic 2 appends names of types to it."""
    path: list[Any] = []
    for part in loc:
        if not isinstance(data, (dict, list)):
            break
        path.append(part)
        try:
            data = data[part]  # type: ignore[index]  # an index for a list, a key for a dict
        except (KeyError, IndexError, TypeError):
            break
    return tuple(path)


def _in_words(model: type[BaseModel], data: Any, path: Path, found: Mapping[str, Any]) -> str:
    problem = found["type"]
    if problem in ("value_error.missing", "missing"):
        return f"is missing; {_remedy(hint_at(model, path), path)}"
    if problem in ("value_error.extra", "extra_forbidden"):
        return unknown("there is no such setting", path[-1], fields_of(model_in(hint_at(model, path[:-1]))))
    wanted = _wanted(hint_at(model, path))
    if wanted == _WORDS[str][0] and (read := not_text(_at(data, path))):
        return f"must be {wanted}, and without quotes this is {read}; put it in quotes"
    if wanted:
        return f"must be {wanted}; {_remedy(hint_at(model, path), path)}"
    return str(found["msg"]).removeprefix("Value error, ")


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _wanted(hint: Any) -> str | None:
    return _WORDS[kind(hint)][0] if kind(hint) in _WORDS else None


def _remedy(hint: Any, path: Path) -> str:
    """The line to write, as far as the name and the type tell."""
    name = next((part for part in reversed(path) if isinstance(part, str)), "value")
    example = _WORDS.get(kind(hint), ("", "..."))[1]
    if any(word in name for word in ("token", "secret", "password", "key")):
        example = f"${{{name.upper()}}}"
    return f"write `{name}: {example}`"
