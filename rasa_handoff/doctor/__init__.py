"""`rasa-handoff doctor`: what keeps a handoff from working in a bot, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rasa_handoff.doctor import actions, channels, connections, domain, files, packages, processes, section, training
from rasa_handoff.doctor.case import Case, take
from rasa_handoff.doctor.findings import Finding, Group, Level, Report
from rasa_handoff.doctor.output import as_json, as_text
from rasa_handoff.project.places import Places

__all__ = ["Case", "Finding", "Group", "Level", "Report", "as_json", "as_text", "examine", "take"]

#: Each subject, how it is looked at, and the files without which nothing can be said about it.
_SUBJECTS: dict[str, tuple[Callable[[Case], Iterable[Finding]], Callable[[Places], Sequence[Path]]]] = {
    "Files": (files.look, lambda places: ()),
    "Plugin": (section.look, lambda places: (places.credentials,)),
    "Channels": (channels.look, lambda places: (places.credentials,)),
    "Domain": (domain.look, lambda places: (places.domain,)),
    "Rules and examples": (training.look, lambda places: places.data),
    "Actions": (actions.look, lambda places: ()),
    "Database and processes": (processes.look, lambda places: (places.endpoints,)),
    "Packages": (packages.look, lambda places: ()),
}


def examine(case: Case, *, connect: bool = False) -> Report:
    """Look at everything.

    Args:
        connect: also ask what the bot needs whether it answers; that changes nothing anywhere.
    """
    groups = [
        Group(title=title, findings=list(look(case)))
        for title, (look, needed) in _SUBJECTS.items()
        if case.project.can_read(*needed(case.project.places))
    ]
    if connect:
        groups.append(Group(title="Connections", findings=connections.look(case)))
    return Report(groups=[group for group in groups if group.findings])
