"""What the doctor looks at: a bot's files, and where it is to run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

from rasa_handoff import credentials
from rasa_handoff.errors import ConfigError
from rasa_handoff.init import missing
from rasa_handoff.init.missing import Missing
from rasa_handoff.project import Project
from rasa_handoff.settings import Settings

_LOCAL = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A bot, and where it is to run."""

    project: Project
    missing: Missing
    settings: Settings | None  #: None: there are none, or none that can be used
    faults: tuple[str, ...] = ()  #: of the settings
    workers: int = 1  #: Rasa processes on one database, on this machine or on several
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    version_of: Callable[[str], str | None]  #: of an installed package; None: it is not installed

    @property
    def channels(self) -> Mapping[str, Any]:
        """Each channel in credentials.yml, with its settings."""
        return self.project.credentials.mapping if self.project.credentials else {}

    @property
    def endpoints(self) -> Mapping[str, Any]:
        return self.project.endpoints.mapping if self.project.endpoints else {}

    def endpoint(self, name: str) -> Mapping[str, Any]:
        """A section of endpoints.yml; empty where there is none."""
        found = self.endpoints.get(name)
        return found if isinstance(found, dict) else {}


def take(project: Project, workers: int | None = None) -> Case:
    """The case of *project*, in this environment."""
    settings, faults = _settings(project)
    return Case(
        project=project,
        missing=missing.look(project),
        settings=settings,
        faults=faults,
        workers=workers or _workers(os.environ.get("SANIC_WORKERS", "")),
        environment=os.environ,
        version_of=installed,
    )


def installed(package: str) -> str | None:
    """The version of *package* here."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def is_local(url: str) -> bool:
    """Whether *url* leads to the machine that asks for it."""
    return urlsplit(url).hostname in _LOCAL


def _settings(project: Project) -> tuple[Settings | None, tuple[str, ...]]:
    document = project.credentials
    if document is None or credentials.SECTION not in document.mapping:
        return None, ()
    try:
        return credentials.check(document.path), ()
    except ConfigError as error:
        return None, tuple(error.faults)


def _workers(text: str) -> int:
    return int(text) if text.isdecimal() and int(text) > 0 else 1
