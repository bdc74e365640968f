"""Which agents are there: online by their own word, with a page that is open."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from rasa_handoff.desk.records import Agent

GRACE = 30.0  #: seconds a page may be gone, as when it is loaded again


class Attendance:
    """Counts the open pages of each agent."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._started = now()
        self._pages: Counter[str] = Counter()
        self._left: dict[str, float] = {}

    def came(self, agent_id: str) -> None:
        self._pages[agent_id] += 1

    def went(self, agent_id: str) -> None:
        self._pages[agent_id] -= 1
        self._left[agent_id] = self._now()

    def is_there(self, agent: Agent) -> bool:
        """Online, and a page open now or a moment ago (or there was no time yet to connect again)."""
        if agent.presence != "online":
            return False
        since = self._now() - self._left.get(agent.id, self._started)
        return self._pages[agent.id] > 0 or since < GRACE
