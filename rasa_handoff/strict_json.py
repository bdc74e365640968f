"""JSON as we take it from strangers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from itertools import chain
from typing import Any, Literal, NoReturn, overload

from rasa_handoff.errors import Malformed
from rasa_handoff.model import Json

DEEPEST = 64  #: lists and objects inside each other
LARGEST = 2**63  #: of whole numbers, either way: what a database column holds

# What makes a body worth a second look: digits or an exponent that may be too large, escapes that may
# be a NUL or half a surrogate pair. Most bodies have none, also when they are full of UUIDs.
_SUSPICIOUS = re.compile(rb"[0-9]{19}|(?:\A|[\s:,\[])-?[0-9.]+[eE]\+?[0-9]{3}|\\u(?:0000|[dD][89a-fA-F])")


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
        raise Malformed(f"the body has more than {DEEPEST} levels") from None
    except ValueError:  # a number with more digits than Python reads
        raise Malformed("the body has a number that is too large") from None
    # Every level has its own bracket, so few brackets are no depth.
    if body.count(b"[") + body.count(b"{") > DEEPEST or _SUSPICIOUS.search(body):
        _require_plain(value)
    return value


def loads_object(body: bytes) -> Json:
    """What *body* says, which must be an object."""
    value = loads(body)
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("the body has an object with the same key twice")
    return found


def _refuse_constant(_name: str) -> NoReturn:
    raise Malformed("the body has a number without a value (NaN or Infinity)")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _require_plain(value: Any) -> None:
    """Require every number, text and level in *value* to be within bounds; without recursion."""
    level = [value]
    depth = 0
    while level:
        containers = [item for item in level if isinstance(item, (dict, list))]
        depth += bool(containers)
        if depth > DEEPEST:
            raise Malformed(f"the body has more than {DEEPEST} levels")
        for item in level:
            _require_plain_scalar(item)
        level = [inner for outer in containers for inner in _inside(outer)]


def _inside(value: Json | list[Any]) -> Iterable[Any]:
    return chain(value, value.values()) if isinstance(value, dict) else value


def _require_plain_scalar(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value or not _has_utf8(value):
            raise Malformed("the body has text with a NUL or half a surrogate pair")
    elif isinstance(value, int):
        if not -LARGEST <= value <= LARGEST:
            raise Malformed("the body has a whole number beyond 64 bits")
    elif isinstance(value, float) and not math.isfinite(value):
        raise Malformed("the body has a number that is too large")


def _has_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
