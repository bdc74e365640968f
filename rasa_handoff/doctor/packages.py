"""What is installed beside the plugin."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from rasa_handoff.doctor.case import Case
from rasa_handoff.doctor.findings import Finding, fine, note, problem, warning

TESTED = "3.6.21"


def look(case: Case) -> Iterator[Finding]:
    yield _rasa(case)
    yield fine("python", f"Python {platform.python_version()}")


def _rasa(case: Case) -> Finding:
    # Both own the package `rasa`; where Rasa Pro is, it is the one that runs.
    pro, rasa = case.version_of("rasa-pro"), case.version_of("rasa")
    if pro is not None:
        return warning(
            "rasa", f"Rasa Pro {pro}: the plugin is tested with Rasa {TESTED}.", "Try it before you rely on it."
        )
    if rasa is None:
        return note(
            "rasa", "Rasa is not installed here, so its channels are not looked at.", "Run this where Rasa runs."
        )
    if rasa == TESTED:
        return fine("rasa", f"Rasa {rasa}")
    if rasa.startswith("3.6."):
        return warning(
            "rasa", f"Rasa {rasa}: the plugin is tested with {TESTED}.", "Run:", [f"pip install rasa=={TESTED}"]
        )
    return problem("rasa", f"Rasa {rasa}: the plugin is made for Rasa 3.6.", "Run:", [f"pip install rasa=={TESTED}"])
