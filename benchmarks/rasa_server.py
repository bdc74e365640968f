"""``rasa``, with the benchmarks' agent system among the backends."""

from __future__ import annotations

from rasa.__main__ import main

from benchmarks.servers import BACKEND
from rasa_handoff import backends

if __name__ == "__main__":
    backends.register(BACKEND, "benchmarks.agent_system:AgentSystem")
    main()
