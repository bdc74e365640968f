"""Which agents are there: online by their own word, with a page that is open at any process."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from rasa_handoff.desk.records import Agent

GRACE = 30.0  #: seconds a page may be gone, as when it is loaded again
SAY_EVERY = 10.0  #: seconds; how often one process tells the others which pages are open there


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

    def elsewhere(self, agent_id: str) -> None:
        """Another process says that the agent has a page open there."""
        self._left[agent_id] = self._now()

    def here(self) -> list[str]:
        """Who has a page open at this process."""
        return [agent_id for agent_id, pages in self._pages.items() if pages > 0]

    def is_there(self, agent: Agent) -> bool:
        """Online, and a page open now or a moment ago (or there was no time yet to connect again)."""
        if agent.presence != "online":
            return False
        since = self._now() - self._left.get(agent.id, self._started)
        return self._pages[agent.id] > 0 or since < GRACE
