"""What the type hints of a model say of a setting: its kind, and what is in it."""

from __future__ import annotations

from typing import Any, ClassVar, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from rasa_handoff.settings.faults import Path


def kind(hint: Any) -> Any:
    """The bare type behind a hint: `list[str] | None` is a list, a model is a mapping."""
    options = [option for option in get_args(hint) if option is not type(None)]
    if get_origin(hint) not in (list, dict) and len(options) == 1:
        return kind(options[0])
    return dict if is_model(hint) else get_origin(hint) or hint


def hint_at(model: type[BaseModel], path: Path) -> Any:
    """The type hint of the setting at *path*; None where there is none."""
    hint: Any = model
    for part in path:
        if isinstance(part, int):
            hint = next(iter(get_args(_kept(list, hint))), None)
            continue
        inner = model_in(hint)
        hint = get_type_hints(inner).get(part) if inner else next(iter(get_args(_kept(dict, hint))[1:]), None)
    return hint


def _kept(container: type, hint: Any) -> Any:
    """The `list[X]` in `list[X] | None`, or likewise the dict."""
    if get_origin(hint) is container:
        return hint
    return next((option for option in get_args(hint) if get_origin(option) is container), None)


def model_in(hint: Any) -> type[BaseModel] | None:
    """The model in `Model | None` or `list[Model]`."""
    if is_model(hint):
        return cast("type[BaseModel]", hint)
    return next(filter(None, map(model_in, get_args(hint))), None)


def is_model(hint: Any) -> bool:
    """Whether a setting of this type has settings in it."""
    # `list[str]` passes for a type in Python 3.10, though it has no subclasses
    return get_origin(hint) is None and isinstance(hint, type) and issubclass(hint, BaseModel)


def fields_of(model: type[BaseModel] | None) -> list[str]:
    """The names of the settings in a model."""
    hints = get_type_hints(model) if model else {}
    return [
        name
        for name, hint in hints.items()
        if get_origin(hint) is not ClassVar and not name.startswith(("_", "model_"))
    ]


def instead_of(hint: Any) -> Any:
    """A value of the type *hint*, whatever it says."""
    if is_model(hint):
        return {name: instead_of(inner) for name, inner in get_type_hints(hint).items() if name in fields_of(hint)}
    return {str: "", bool: False, int: 0, float: 0.0, list: [], dict: {}}.get(kind(hint), "")
