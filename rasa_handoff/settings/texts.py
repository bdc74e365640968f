"""What is text in the settings, and where a number will do: `group: 14343` is meant, `deleted_text: 5` is a slip."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from rasa_handoff.settings.hints import is_model

_NUMBER_WILL_DO = "a whole number will do"
#: A text that people rightly write without quotes though it is a number: an id, an account, a group.
TextOrNumber = Annotated[str, _NUMBER_WILL_DO]


class _NoText:
    """In the place of what is no text: of numbers pydantic 1 would make one by itself, and pydantic 2 would not."""


def with_texts(model: type[BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    """*data* for a *model*: whole numbers as text where they will do; what else should be text is nothing it takes."""
    hints = get_type_hints(model, include_extras=True)
    return {name: _with_texts(hints.get(name, Any), value) for name, value in data.items()}


def not_text(value: Any) -> str | None:
    """What YAML reads where it needs quotes to be text; None where quotes would not help."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return "a date" if isinstance(value, date) else None


def _with_texts(hint: Any, value: Any) -> Any:
    hint = _of_optional(hint)
    if hint is str or (get_args(hint)[:1] == (str,) and get_origin(hint) is Annotated):
        return _text(value, number_will_do=_NUMBER_WILL_DO in get_args(hint))
    if isinstance(value, dict):
        return _mapping(hint, value)
    if isinstance(value, list) and get_origin(hint) is list:
        return [_with_texts(get_args(hint)[0], item) for item in value]
    return value


def _of_optional(hint: Any) -> Any:
    """The `X` of `X | None`."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    options = [option for option in get_args(hint) if option is not type(None)]
    return options[0] if len(options) == 1 else hint


def _text(value: Any, *, number_will_do: bool) -> Any:
    if value is None or isinstance(value, str):
        return value
    # A fraction has lost what was written: 3.10 is 3.1.
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_whole and number_will_do else _NoText()


def _mapping(hint: Any, value: dict[str, Any]) -> Any:
    if is_model(hint):
        return with_texts(hint, value)
    if get_origin(hint) is dict:
        return {key: _with_texts(get_args(hint)[1], item) for key, item in value.items()}
    return value
