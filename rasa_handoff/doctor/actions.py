"""The action server: what it serves, and how it and the plugin find each other."""

from __future__ import annotations

from collections.abc import Iterator

from rasa_handoff import access
from rasa_handoff.doctor.case import Case, is_local
from rasa_handoff.doctor.findings import Finding, fine, problem, warning
from rasa_handoff.project.actions import OURS
from rasa_handoff.settings import require_address

_LINE = f"from {OURS} import *"


def look(case: Case) -> Iterator[Finding]:
    yield from _code(case)
    if case.project.can_read(case.project.places.endpoints):
        yield from _endpoint(case)


def _code(case: Case) -> Iterator[Finding]:
    actions = case.project.actions
    where = case.project.places.shown(actions.path)
    if actions.serves_ours:
        yield fine("actions_module", f"{where} serves the plugin's actions")
    elif not actions.files:
        yield warning(
            "actions_module",
            f"The action server's code is not here ({where}).",
            "See that it has this line, or name it with --actions:",
            [_LINE],
        )
    elif not actions.faults:  # else it may well serve them
        yield problem(
            "actions_module",
            f"{where} does not serve the plugin's actions.",
            "rasa-handoff init does it, or add to a file of it:",
            [_LINE],
        )


def _endpoint(case: Case) -> Iterator[Finding]:
    endpoint = case.endpoint("action_endpoint")
    if endpoint.get("actions_module"):
        yield fine("action_endpoint", "The actions run inside the Rasa server")
        return
    if case.missing.endpoints:
        lines = [line for piece in case.missing.endpoints for line in piece.lines if not line.startswith("#")]
        yield problem("action_endpoint", "Rasa knows no action server.", "Add to endpoints.yml:", lines)
        return
    url = str(endpoint.get("url", case.endpoints.get("action_endpoint")))
    try:
        require_address(url, "write e.g. http://localhost:5055/webhook")
    except ValueError as error:
        yield problem("action_endpoint", f"endpoints.yml, action_endpoint: url: {error}", "Mend it.")
        return
    yield _way_back(case, url)


def _way_back(case: Case, url: str) -> Finding:
    """How the actions find the plugin: next to Rasa by the private file, elsewhere by two variables."""
    if is_local(url):
        return fine("action_endpoint", f"The actions at {url} find the plugin by {access.FOLDER}/{access.FILE}")
    server = case.settings.public_url if case.settings else None
    token = "the one in credentials.yml" if case.settings and case.settings.token else "add one to credentials.yml"
    return warning(
        "action_endpoint",
        f"The action server is at {url}: where it has no {access.FOLDER}/{access.FILE}, it does not find the plugin.",
        "Set these for the action server:",
        [f"HANDOFF_URL={server or 'http://<the Rasa server>:5005'}", f"HANDOFF_TOKEN=<{token}>"],
    )
