"""The agent systems we speak to, by name; each is loaded when a bot's settings ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points

from pydantic import BaseModel

from rasa_handoff.backends.base import Backend

# name in the settings -> module:class
_BACKENDS: dict[str, str] = {
    "desk": "rasa_handoff.desk.backend:Desk",
    "avaamo": "rasa_handoff.backends.avaamo:Avaamo",
    "liveperson": "rasa_handoff.backends.liveperson.backend:LivePerson",
    "liveperson_chat": "rasa_handoff.backends.liveperson_chat.backend:LivePersonChat",
    "liveperson_agent": "rasa_handoff.liveperson_agent.backend:LivePersonAgent",
    "livechat": "rasa_handoff.backends.livechat.backend:LiveChat",
    "vonage": "rasa_handoff.backends.vonage:Vonage",
    "yellow": "rasa_handoff.backends.yellow:Yellow",
}
GROUP = "rasa_handoff.backends"  #: the entry points of packages that bring backends of their own


def register(name: str, where: str) -> None:
    """Make a backend known that is not one of ours; *where* is ``module:Class``."""
    _BACKENDS[name] = where


def names() -> list[str]:
    return list(_known())


def load(name: str) -> type[Backend]:
    """The class of the backend *name*."""
    module, _, attribute = _known()[name].partition(":")
    found: type[Backend] = getattr(import_module(module), attribute)
    return found


def settings_models() -> Mapping[str, type[BaseModel]]:
    """How each backend's section in the settings has to look."""
    return {name: load(name).settings_model for name in _known()}


def _known() -> dict[str, str]:
    """Ours come last: no other package takes their names."""
    return {**{point.name: point.value for point in entry_points(group=GROUP)}, **_BACKENDS}
