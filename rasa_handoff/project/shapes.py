"""Values of files that may hold anything, as the shape that is looked for in them."""

from __future__ import annotations

from typing import Any


def mapping(value: Any) -> dict[str, Any]:
    """*value*, where it is a mapping; else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """*value*, where it is a list; else an empty one."""
    return value if isinstance(value, list) else []


def mappings(value: Any) -> list[dict[str, Any]]:
    """The mappings in *value*, where it is a list."""
    return [item for item in items(value) if isinstance(item, dict)]
