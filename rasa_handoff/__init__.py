"""A way out to people for Rasa bots."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rasa_handoff.channel import HandoffInput

# name -> module; loaded when asked for, since the action server has no Rasa and the server no SDK
_WHERE = {
    "HandoffInput": "rasa_handoff.channel",
    "Backend": "rasa_handoff.backends.base",
    "Opened": "rasa_handoff.backends.base",
}

__all__ = ["Backend", "HandoffInput", "Opened"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'rasa_handoff' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
