"""Where a field of an agent system gets its value from, as a bot owner writes it: ``slot:email``, ``text:VIP``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rasa_handoff.model import Request

# What stands behind `request:`.
_OF_REQUEST: Mapping[str, Callable[[Request], Any]] = {
    "sender": lambda request: request.sender_id,
    "channel": lambda request: request.channel,
    "last_message": lambda request: request.last_message,
    "transcript": lambda request: "\n".join(f"{line.who}: {line.text}" for line in request.transcript) or None,
    "group": lambda request: request.group,
    "priority": lambda request: request.priority,
}


def value(source: str | None, request: Request) -> Any:
    """What *source* says of *request*; None where it is unknown."""
    kind, _, name = (source or "").partition(":")
    if kind == "slot":
        return request.parameters.get(name)
    if kind == "metadata":
        return _inside(request.metadata, name)
    if kind == "request":
        return _OF_REQUEST[name](request)
    return name or None


def text(source: str | None, request: Request) -> str | None:
    """`value`, for a field that takes nothing but text."""
    found = value(source, request)
    return None if found is None else as_text(found)


def as_text(value: Any) -> str:
    """A slot's value as a person reads it: text, and JSON for what is more than one value."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def require_source(source: str) -> None:
    """Require *source* to be one that `value` understands."""
    kind, _, name = source.partition(":")
    if kind not in ("slot", "metadata", "request", "text") or not name:
        raise ValueError("does not say where the value is; write slot:<name>, metadata:<key>, request:<what> or text:…")
    if kind == "request" and name not in _OF_REQUEST:
        raise ValueError(f"there is no such thing in a request; write request: and one of {', '.join(_OF_REQUEST)}")


def faults_in_sources(wanted: Mapping[str, str | None], under: str) -> Iterator[tuple[str, str]]:
    """What is wrong with sources in the setting *under*, each by its full name."""
    for name, source in wanted.items():
        try:
            if source is not None:
                require_source(source)
        except ValueError as error:
            yield f"{under}.{name}", str(error)


def _inside(metadata: Any, path: str) -> Any:
    """The value at *path*, dots leading inwards; a key that has a dot itself comes first."""
    if not isinstance(metadata, Mapping):
        return None
    if path in metadata:
        return metadata[path]
    first, dot, rest = path.partition(".")
    return _inside(metadata.get(first), rest) if dot else None
