"""Which agents take the chats of which groups; capitals do not matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Groups:
    """The groups of the desk's agents, by the names that the settings give them.

    Args:
        of: the groups of each agent, by the agent's id; an agent without any takes everything.
    """

    def __init__(self, of: Mapping[str, Sequence[str]]) -> None:
        # Several spellings of a group are one, by that which comes first.
        self._names: dict[str, str] = {}
        for name in (each for groups in of.values() for each in groups):
            self._names.setdefault(_key(name), name.strip())
        self._of = {agent_id: tuple(dict.fromkeys(map(_key, groups))) for agent_id, groups in of.items()}

    def of(self, agent_id: str) -> list[str]:
        """An agent's groups; none: the agent takes everything."""
        return [self._names[key] for key in self._of.get(agent_id, ())]

    def name(self, group: str | None) -> str | None:
        """What the settings call *group*; as it is, where they do not have it."""
        return self._names.get(_key(group), group) if group else None

    def takes(self, agent_id: str, group: str | None) -> bool:
        """Whether an agent is there for chats of *group*."""
        groups = self._of.get(agent_id)
        return groups is not None and (not groups or _key(group) in ("", *groups))

    def has(self, group: str | None) -> bool:
        """Whether *group* is somebody's."""
        return any(self.takes(agent_id, group) for agent_id in self._of)

    def may_accept(self, agent_id: str, group: str | None) -> bool:
        """Whether an agent may accept a chat that waits for *group*.

        One that is nobody's (there was somebody when it came) would wait for ever: it is everybody's.
        """
        return self.takes(agent_id, group) or not self.has(group)


def is_same_group(one: str | None, other: str | None) -> bool:
    """Whether both are the same group, or both none."""
    return _key(one) == _key(other)


def _key(group: str | None) -> str:
    return (group or "").strip().casefold()
