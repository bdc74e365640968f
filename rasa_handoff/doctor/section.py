"""The plugin's own section of credentials.yml."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from rasa_handoff import access
from rasa_handoff.credentials import SECTION
from rasa_handoff.doctor.case import Case, is_local
from rasa_handoff.doctor.findings import Finding, fine, note, problem, warning
from rasa_handoff.errors import ConfigError
from rasa_handoff.settings import Settings

_PUBLIC = ("public_url: https://bot.example.com",)


def look(case: Case) -> Iterator[Finding]:
    if case.missing.credentials:
        lines = [line for piece in case.missing.credentials for line in piece.lines]
        yield problem("section", "The plugin is not switched on.", "Add to credentials.yml:", lines)
    for each in case.faults:
        yield problem("settings", each, f"Mend it in credentials.yml, under {_section_of(case, each)}.")
    if case.settings is not None:
        yield fine("section", f"Switched on, with {', '.join(case.settings.backends)}")
        yield _token(case.settings)
        yield from _public_url(case.settings)
        yield from _private_file(case)


def _section_of(case: Case, fault: str) -> str:
    """The entry that *fault* is about: another channel's is named in front of it."""
    return next((name for name in case.channels if fault.startswith(f"{name}: ")), SECTION)


def _token(settings: Settings) -> Finding:
    if settings.token is None:
        return fine("token", f"The token of actions and operators is made on the first start ({_file()})")
    return fine("token", f"The token of actions and operators has {len(settings.token)} characters")


def _public_url(settings: Settings) -> Iterator[Finding]:
    url = settings.public_url
    if url is None:
        yield note(
            "public_url",
            "No public_url: agent systems elsewhere cannot call back, nor open files that users send.",
            f"If you have any, add below {SECTION}:",
            _PUBLIC,
        )
    elif is_local(url):
        yield warning(
            "public_url",
            f"public_url is {url}, which leads others to themselves.",
            "Write the address they use:",
            _PUBLIC,
        )
    elif urlsplit(url).scheme != "https":
        yield warning(
            "public_url",
            "public_url is http: what people write and the tokens can be read on the way.",
            "Put TLS in front of Rasa, and write:",
            (f"public_url: https://{urlsplit(url).netloc}{urlsplit(url).path}",),
        )
    else:
        yield fine("public_url", f"Others reach it at {url}")


def _private_file(case: Case) -> Iterator[Finding]:
    try:
        access.find(case.project.places.folder)
    except ConfigError as error:
        for each in error.faults:
            yield problem("access", each, "The server does not start until then.")


def _file() -> str:
    return f"{access.FOLDER}/{access.FILE}"
