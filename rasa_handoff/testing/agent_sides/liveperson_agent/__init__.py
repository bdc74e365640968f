"""LivePerson as its agents' programs see it: a queue, a person, and a page on which to be the visitor."""

from __future__ import annotations

from rasa_handoff.testing.agent_sides.liveperson_agent.account import Side

__all__ = ["Side"]
