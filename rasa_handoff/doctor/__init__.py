"""`rasa-handoff doctor`: what keeps a handoff from working in a bot, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rasa_handoff.doctor import actions, channels, connections, domain, files, packages, processes, section, training
from rasa_handoff.doctor.case import Case, take
from rasa_handoff.doctor.findings import Finding, Group, Level, Report
from rasa_handoff.doctor.output import as_json, as_text

__all__ = ["Case", "Finding", "Group", "Level", "Report", "as_json", "as_text", "examine", "take"]

_SUBJECTS: dict[str, Callable[[Case], Iterable[Finding]]] = {
    "Files": files.look,
    "Plugin": section.look,
    "Channels": channels.look,
    "Domain": domain.look,
    "Rules and examples": training.look,
    "Actions": actions.look,
    "Database and processes": processes.look,
    "Packages": packages.look,
}


def examine(case: Case, *, connect: bool = False) -> Report:
    """Look at everything.

    Args:
        connect: also ask what the bot needs whether it answers; that changes nothing anywhere.
    """
    groups = [Group(title=title, findings=list(look(case))) for title, look in _SUBJECTS.items()]
    if connect:
        groups.append(Group(title="Connections", findings=connections.look(case)))
    return Report(groups=[group for group in groups if group.findings])
