"""The desk's section in the settings."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from rasa_handoff.settings import read_picture


class DeskAgent(BaseModel, extra="forbid", frozen=True):
    """An agent who may sign in."""

    name: str
    token: str
    avatar_url: str | None = None


class DeskSettings(BaseModel, extra="forbid", frozen=True):
    """The desk's section in the settings."""

    agents: list[DeskAgent] = []

    def faults(self) -> Iterator[tuple[str, str]]:
        """What a type cannot say."""
        for number, agent in enumerate(self.agents):
            try:
                read_picture(agent.avatar_url)
            except ValueError as error:
                yield f"agents[{number}].avatar_url", str(error)
