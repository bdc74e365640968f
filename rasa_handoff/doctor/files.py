"""Whether the bot's files are there and can be read."""

from __future__ import annotations

from collections.abc import Iterator

from rasa_handoff.doctor.case import Case
from rasa_handoff.doctor.findings import Finding, fine, note, problem


def look(case: Case) -> Iterator[Finding]:
    project, places = case.project, case.project.places
    for each in (*project.faults, *project.actions.faults):
        text = each.replace(f"{places.folder}/", "")
        yield problem("files", text, "Mend it first; what is in it is missing below.")
    if not project.faults:
        names = [places.shown(each.path) for each in project.domain.documents]
        yield fine("files", f"{len(names) or 'No'} domain file{'' if len(names) == 1 else 's'} in {places.folder}")
    if not places.credentials.exists():
        yield problem("credentials", f"{places.shown(places.credentials)} is not there.", "rasa-handoff init makes it.")
    if project.config is not None and project.config.mapping.get("importers"):
        yield note(
            "importers",
            "config.yml has importers: what they bring, such as other projects' domains, is not looked at.",
        )
