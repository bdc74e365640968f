"""``rasa``, with the benchmarks' agent system among the backends."""

from __future__ import annotations

from rasa.__main__ import main

from benchmarks.agent_system import NAME
from rasa_handoff import backends

if __name__ == "__main__":
    backends._BACKENDS[NAME] = "benchmarks.agent_system:AgentSystem"
    main()
