"""JSON as we take it from strangers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Literal, NoReturn, overload

from rasa_handoff.errors import Malformed
from rasa_handoff.model import Json

DEEPEST = 64  #: lists and objects inside each other
LARGEST = 2**63  #: of whole numbers, either way: what a database column holds

# Escapes that may be a NUL or half a surrogate pair; unescaped, the decoders refuse both.
_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_CONTAINERS = (dict, list)


def loads(body: bytes) -> Any:
    """What *body* says.

    Raises:
        Malformed: it is not JSON in UTF-8, or has duplicate keys, numbers without a value or beyond
            64 bits, text that no database can hold, or more than 64 levels.
    """
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        raise Malformed("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise Malformed(_TOO_DEEP) from None
    # Every level has its own bracket, so few brackets are no depth.
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        _require_shallow(value)
    if b"\\u" in body and _SUSPICIOUS.search(body):
        _require_texts(value)
    return value


def loads_object(body: bytes) -> Json:
    """What *body* says, which must be an object."""
    value = loads(body)
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return value


_TOO_DEEP = f"the body has more than {DEEPEST} levels"


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("the body has an object with the same key twice")
    return found


def _whole(digits: str) -> int:
    # The length first: Python takes its time with thousands of digits.
    if len(digits) > _MOST_DIGITS or not -LARGEST <= (value := int(digits)) <= LARGEST:
        raise Malformed("the body has a whole number beyond 64 bits")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Malformed("the body has a number that is too large")
    return value


def _refuse_constant(_name: str) -> NoReturn:
    raise Malformed("the body has a number without a value (NaN or Infinity)")


_MOST_DIGITS = len(str(-LARGEST))
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_int=_whole,
    parse_float=_finite,
    parse_constant=_refuse_constant,
)


def _require_shallow(value: Any) -> None:
    """Require *value* to have few levels; level by level, without recursion."""
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, _CONTAINERS)]
        if not level:
            return
    raise Malformed(_TOO_DEEP)


def _require_texts(value: Any) -> None:
    """Require every text in *value*, keys too, to be one that UTF-8 and a database can hold."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            _require_text(item)
            continue
        rest.extend(_inside(item))
        if isinstance(item, dict):
            rest.extend(item)


def _require_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Malformed("the body has text with half a surrogate pair") from None
    if "\0" in text:
        raise Malformed("the body has text with a NUL")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


# Readers: one field, of the type it must have, or Malformed with the field's name and never its value


@overload
def text(payload: Json, name: str, *, max_length: int, required: Literal[True] = True) -> str: ...
@overload
def text(payload: Json, name: str, *, max_length: int, required: bool) -> str | None: ...
def text(payload: Json, name: str, *, max_length: int, required: bool = True) -> str | None:
    """A text; a required one must not be blank."""
    value = _field(payload, name, required)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Malformed(f"{name} must be text")
    if len(value) > max_length:
        raise Malformed(f"{name} must not be longer than {max_length} characters")
    if required and not value.strip():
        raise Malformed(f"{name} must not be empty")
    return value


@overload
def boolean(payload: Json, name: str, *, required: Literal[True] = True) -> bool: ...
@overload
def boolean(payload: Json, name: str, *, required: bool) -> bool | None: ...
def boolean(payload: Json, name: str, *, required: bool = True) -> bool | None:
    """True or false, and nothing that passes for it."""
    value = _field(payload, name, required)
    if value is None or isinstance(value, bool):
        return value
    raise Malformed(f"{name} must be true or false")


@overload
def number(payload: Json, name: str, *, required: Literal[True] = True) -> float: ...
@overload
def number(payload: Json, name: str, *, required: bool) -> float | None: ...
def number(payload: Json, name: str, *, required: bool = True) -> float | None:
    """A number; true and false are none."""
    value = _field(payload, name, required)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Malformed(f"{name} must be a number")
    return value


@overload
def mapping(payload: Json, name: str, *, required: Literal[True] = True) -> Json: ...
@overload
def mapping(payload: Json, name: str, *, required: bool) -> Json | None: ...
def mapping(payload: Json, name: str, *, required: bool = True) -> Json | None:
    """An object."""
    value = _field(payload, name, required)
    if value is None or isinstance(value, dict):
        return value
    raise Malformed(f"{name} must be an object")


@overload
def sequence(payload: Json, name: str, *, max_length: int, required: Literal[True] = True) -> list[Any]: ...
@overload
def sequence(payload: Json, name: str, *, max_length: int, required: bool) -> list[Any] | None: ...
def sequence(payload: Json, name: str, *, max_length: int, required: bool = True) -> list[Any] | None:
    """A list."""
    value = _field(payload, name, required)
    if value is None:
        return None
    if not isinstance(value, list):
        raise Malformed(f"{name} must be a list")
    if len(value) > max_length:
        raise Malformed(f"{name} must not have more than {max_length} entries")
    return value


def _field(payload: Json, name: str, required: bool) -> Any:
    value = payload.get(name)
    if value is None and required:
        raise Malformed(f"{name} is missing")
    return value
