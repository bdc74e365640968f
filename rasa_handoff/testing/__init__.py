"""For authors of backends: an agent system on the wire, a stage for the plugin, and the contract as tests.

Nothing here is needed to run a bot. `BackendContract` needs pytest and pytest-asyncio.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rasa_handoff.testing.calls import Answered, Call
    from rasa_handoff.testing.contract import BackendContract
    from rasa_handoff.testing.payloads import Payloads
    from rasa_handoff.testing.stage import Stage, Time, on_stage
    from rasa_handoff.testing.wire import Asked, Wire

__all__ = ["Answered", "Asked", "BackendContract", "Call", "Payloads", "Stage", "Time", "Wire", "on_stage"]

_WHERE = {
    "Answered": "calls",
    "Call": "calls",
    "BackendContract": "contract",
    "Payloads": "payloads",
    "Asked": "wire",
    "Wire": "wire",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'rasa_handoff.testing' has no attribute {name!r}")
    where = f"rasa_handoff.testing.{_WHERE.get(name, 'stage')}"
    if name == "BackendContract":
        # Its assertions are to show their values as those of a test module do.
        import_module("pytest").register_assert_rewrite(where)
    return getattr(import_module(where), name)
