"""The section as Rasa read it: as ours to change, with what is not filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rasa_handoff.settings.faults import Faults, Path


def filled_in(section: Mapping[str, Any] | None, faults: Faults) -> dict[str, Any]:
    """The section as ours to change, with a fault for each variable that Rasa could not fill in."""
    data = _without_blanks(_plain(section or {}), faults)
    for path, name in _unexpanded(data):
        remedy = f"set the environment variable {name} before Rasa starts, and write ${{{name}}} without quotes"
        faults.add(path, f"${{{name}}} was not filled in; {remedy}")
    return data


def _plain(value: Any) -> Any:
    """YAML's own kinds of mapping and list as ours; also the copy that is ours to change."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _without_blanks(data: Any, faults: Faults) -> dict[str, Any]:
    """The section without the keys that have nothing behind them: they mean the default."""
    if not isinstance(data, dict):
        faults.add((), "the section must be settings, one per line: `name: value`")
        return {}
    return {key: value for key, value in data.items() if value is not None}


def _unexpanded(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The values that still name an environment variable, because it is not set."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _unexpanded(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unexpanded(item, (*path, index))
    elif isinstance(value, str) and (found := re.search(r"\$\{([A-Za-z_]\w*)\}", value)):
        yield path, found[1]
