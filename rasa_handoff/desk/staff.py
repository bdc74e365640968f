"""The desk's agents: who may sign in, and who is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rasa_handoff import signing
from rasa_handoff.access import AgentAccess
from rasa_handoff.desk.groups import Groups
from rasa_handoff.desk.presence import Attendance
from rasa_handoff.desk.records import Agent
from rasa_handoff.desk.settings import DeskAgent
from rasa_handoff.errors import NotAuthentic
from rasa_handoff.model import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An agent of the settings."""

    name: str
    token: str = field(repr=False)
    avatar_url: str | None = None
    groups: tuple[str, ...] = ()  #: whose chats they take; none: everybody's


class Staff:
    """The agents of the settings, by id, and whether they are there."""

    def __init__(self) -> None:
        self.attendance = Attendance()
        self.members: dict[str, Member] = {}
        self.groups = Groups({})

    def hire(self, agents: Iterable[DeskAgent | AgentAccess]) -> None:
        """Let *agents*, and nobody else, sign in."""
        self.members = _by_id(agents)
        self.groups = Groups({agent_id: member.groups for agent_id, member in self.members.items()})

    def with_token(self, token: str) -> str | None:
        """The id of whoever has *token*. It compares with every agent's, so that time tells nothing."""
        found = None
        for key, member in self.members.items():
            try:
                signing.require_token(token, member.token)
            except NotAuthentic:
                continue
            found = key
        return found

    def is_there(self, agent: Agent) -> bool:
        """Online, and still in the settings."""
        return agent.id in self.members and self.attendance.is_there(agent)

    def is_there_for(self, agent: Agent, group: str | None) -> bool:
        """Online, and takes chats of *group*."""
        return self.is_there(agent) and self.groups.takes(agent.id, group)

    def person(self, agent: Agent) -> Person:
        """*agent*, as users see them."""
        member = self.members.get(agent.id)
        return Person(id=agent.id, name=agent.name, avatar_url=member.avatar_url if member else None)


def _by_id(agents: Iterable[DeskAgent | AgentAccess]) -> dict[str, Member]:
    """Whose name makes an id that is taken gets a number behind it."""
    found: dict[str, Member] = {}
    for agent in agents:
        key = first = agent_id(agent.name)
        number = 1
        while key in found:
            number += 1
            key = f"{first}-{number}"
        found[key] = _member(agent)
    return found


def _member(agent: DeskAgent | AgentAccess) -> Member:
    if isinstance(agent, AgentAccess):
        return Member(name=agent.name, token=agent.token)
    return Member(name=agent.name, token=agent.token, avatar_url=agent.avatar_url, groups=tuple(agent.groups))


def agent_id(name: str) -> str:
    """An agent's id: the name, made fit for a URL."""
    return "-".join("".join(c.lower() if c.isalnum() else " " for c in name).split()) or "agent"
