"""Whether the bot's files are there and can be read."""

from __future__ import annotations

from collections.abc import Iterator

from rasa_handoff.doctor.case import Case
from rasa_handoff.doctor.findings import Finding, fine, note, problem


def look(case: Case) -> Iterator[Finding]:
    project, places = case.project, case.project.places
    for each in (*project.faults, *project.actions.faults):
        text = each.replace(f"{places.folder}/", "")
        yield problem("files", text, "Mend it first; what it is for is not looked at until then.")
    yield from _domain(case)
    yield from _variables(case)
    if not places.credentials.exists():
        yield problem("credentials", f"{places.shown(places.credentials)} is not there.", "rasa-handoff init makes it.")
    if project.config is not None and project.config.mapping.get("importers"):
        yield note(
            "importers",
            "config.yml has importers: what they bring, such as other projects' domains, is not looked at.",
        )


def _domain(case: Case) -> Iterator[Finding]:
    places, files = case.project.places, case.project.domain.documents
    if files:
        yield fine("files", f"{len(files)} domain file{'' if len(files) == 1 else 's'} in {places.folder}")
    elif case.project.can_read(places.domain):
        yield problem("files", f"There is no domain in {places.folder}.", "Go to the bot, or name it with --domain.")


def _variables(case: Case) -> Iterator[Finding]:
    """Those of credentials.yml are among the faults of the settings."""
    if case.project.endpoints is None:
        return
    place = case.project.places.shown(case.project.endpoints.path)
    for line, name in case.project.endpoints.quoted_variables():
        text = f"{place}:{line}: ${{{name}}} is in quotes, where Rasa leaves it as it is."
        yield problem("variables", text, "Write it without.")
