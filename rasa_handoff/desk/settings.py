"""The desk's section in the settings."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, Field

from rasa_handoff.desk.groups import Groups
from rasa_handoff.settings import TextOrNumber, faults_in, read_picture, read_token, unknown

LONGEST_TEXT = 10_000  #: characters of a message
_LONGEST_NAME = 50  #: characters of a saved reply's


class DeskAgent(BaseModel, extra="forbid", frozen=True):
    """An agent who may sign in."""

    name: str
    token: str = Field(repr=False)
    avatar_url: str | None = None
    groups: list[TextOrNumber] = []  #: whose chats the agent takes; none: everybody's

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from faults_in(self, {"token": read_token, "avatar_url": read_picture})
        for number, group in enumerate(self.groups):
            if not group.strip():
                yield f"groups[{number}]", "is empty; write a name such as billing, or leave `groups` out: all chats"


class SavedReply(BaseModel, extra="forbid", frozen=True):
    """A text that every agent has at hand; `{agent_name}` in it is the name that users read."""

    name: str
    text: str

    def faults(self) -> Iterator[tuple[str, str]]:
        if not 0 < len(self.name.strip()) <= _LONGEST_NAME:
            yield "name", f"must have 1 to {_LONGEST_NAME} characters; write e.g. `name: hours`"
        if not self.text.strip() or len(self.text) > LONGEST_TEXT:
            yield "text", f"must have 1 to {LONGEST_TEXT} characters, as every message"


class DeskSettings(BaseModel, extra="forbid", frozen=True):
    """The desk's section in the settings."""

    agents: list[DeskAgent] = []
    saved_replies: list[SavedReply] = []

    def faults(self) -> Iterator[tuple[str, str]]:
        """What a type cannot say."""
        for number, agent in enumerate(self.agents):
            for field, what in agent.faults():
                yield f"agents[{number}].{field}", what
        yield from self._faults_of_shared_tokens()
        yield from self._faults_of_saved_replies()

    def fault_of_group(self, group: str) -> str | None:
        """Why nobody would take what a rule of the route gives to *group*."""
        groups = Groups({str(number): agent.groups for number, agent in enumerate(self.agents)})
        if not self.agents or groups.has(group):
            return None
        known = sorted({name for agent in self.agents for name in agent.groups})
        return unknown("no agent of the desk is in this group, and none takes everything", group, known)

    def _faults_of_shared_tokens(self) -> Iterator[tuple[str, str]]:
        first: dict[str, int] = {}
        for number, agent in enumerate(self.agents):
            before = first.setdefault(agent.token, number)
            if before != number:
                yield f"agents[{number}].token", f"is that of agents[{before}], too; give each agent one of their own"

    def _faults_of_saved_replies(self) -> Iterator[tuple[str, str]]:
        first: dict[str, int] = {}
        for number, reply in enumerate(self.saved_replies):
            for field, what in reply.faults():
                yield f"saved_replies[{number}].{field}", what
            before = first.setdefault(reply.name.strip().casefold(), number)
            if before != number:
                taken = f"is that of saved_replies[{before}], too; give each a name of its own (capitals do not count)"
                yield f"saved_replies[{number}].name", taken
