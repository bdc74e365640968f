"""A way out to people for Rasa bots."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rasa_handoff.backends.base import Backend, Opened
    from rasa_handoff.channel import HandoffInput
    from rasa_handoff.errors import BackendError, ChatGone, Refused, TemporaryError, Unavailable
    from rasa_handoff.events import (
        AgentAway,
        AgentIdle,
        AgentJoined,
        AgentMessage,
        AgentTyping,
        Closed,
        MessageStatus,
        MessageTakenBack,
        QueueMoved,
        Transferred,
    )
    from rasa_handoff.liveperson_agent.channel import LivePersonAgentInput

__all__ = [
    "AgentAway",
    "AgentIdle",
    "AgentJoined",
    "AgentMessage",
    "AgentTyping",
    "Backend",
    "BackendError",
    "ChatGone",
    "Closed",
    "HandoffInput",
    "LivePersonAgentInput",
    "MessageStatus",
    "MessageTakenBack",
    "Opened",
    "QueueMoved",
    "Refused",
    "TemporaryError",
    "Transferred",
    "Unavailable",
]

# Looked for when asked for: the action server has no Rasa, and a backend's author needs no channel.
_CHANNELS = {
    "HandoffInput": "rasa_handoff.channel",
    "LivePersonAgentInput": "rasa_handoff.liveperson_agent.channel",
}
_WHERE = ("rasa_handoff.backends.base", "rasa_handoff.errors", "rasa_handoff.events")


def __getattr__(name: str) -> Any:
    if name in _CHANNELS:
        return getattr(import_module(_CHANNELS[name]), name)
    if name in __all__:
        for module in map(import_module, _WHERE):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module 'rasa_handoff' has no attribute {name!r}")
