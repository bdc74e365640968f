"""The agent systems we speak to, by name; each is loaded when a bot's settings ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from pydantic import BaseModel

from rasa_handoff.backends.base import Backend

# name in the settings -> module:class
_BACKENDS: dict[str, str] = {
    "desk": "rasa_handoff.desk.backend:Desk",
}


def names() -> list[str]:
    return list(_BACKENDS)


def load(name: str) -> type[Backend]:
    """The class of the backend *name*."""
    module, _, attribute = _BACKENDS[name].partition(":")
    found: type[Backend] = getattr(import_module(module), attribute)
    return found


def settings_models() -> Mapping[str, type[BaseModel]]:
    """How each backend's section in the settings has to look."""
    return {name: load(name).settings_model for name in _BACKENDS}
