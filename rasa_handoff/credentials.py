"""Our section of a credentials.yml, read as Rasa reads it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rasa_handoff.backends import settings_models
from rasa_handoff.errors import ConfigError, FilesError
from rasa_handoff.liveperson_agent import settings as liveperson_agent
from rasa_handoff.project import documents
from rasa_handoff.settings import Settings, read_section

SECTION = "rasa_handoff.HandoffInput"
_NO_CHANNEL = (
    f"{liveperson_agent.CHANNEL}: is missing; the backend liveperson_agent hands over the chats of this channel, "
    "so add it beside the plugin's entry"
)
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def check(path: Path) -> Settings:
    """Read and check our section of the file at *path*.

    Raises:
        ConfigError: with every fault and its remedy.
    """
    sections = _load(path)
    if SECTION not in sections:
        raise ConfigError([f"{path} has no entry for the plugin; add the line `{SECTION}:`"], path.name)
    faults = [*_faults_as_agent(sections), *_unset(sections)]
    try:
        settings = read_section(sections[SECTION], settings_models(), _channels_models(sections[SECTION]))
    except ConfigError as error:
        raise ConfigError([*error.faults, *faults], path.name) from None
    if faults:
        raise ConfigError(faults, path.name)
    return settings


def _faults_as_agent(sections: Mapping[str, Any]) -> list[str]:
    """Of the channel in which the bot is one of LivePerson's agents; its backend is of no use without it."""
    if liveperson_agent.CHANNEL not in sections:
        return [_NO_CHANNEL] if "liveperson_agent" in _backends(sections[SECTION]) else []
    try:
        liveperson_agent.read(sections[liveperson_agent.CHANNEL])
    except ConfigError as error:
        return error.faults
    return []


def _backends(section: Any) -> Any:
    return (section.get("backends") if isinstance(section, dict) else None) or ()


def _channels_models(section: Any) -> Mapping[str, type[BaseModel]]:
    """The models of what is set for channels, where something is; they load Rasa, which takes a second."""
    if not isinstance(section, dict) or not section.get("channels"):
        return {}
    from rasa_handoff import channels

    return channels.settings_models()


def _load(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ConfigError([f"{path} cannot be read: No such file or directory; name it with --credentials"], path.name)
    try:
        content = documents.read(path).content
    except FilesError as error:
        raise ConfigError(error.faults, path.name) from None
    if not isinstance(content, dict):
        raise ConfigError([f"{path} must be a mapping of channels; add the line `{SECTION}:`"], path.name)
    return content


def _unset(sections: dict[str, Any]) -> list[str]:
    """A fault for each variable that is not filled in for another channel."""
    return [
        f"{name}: {_why_unset(variable)}"
        for name, section in sections.items()
        if name not in (SECTION, liveperson_agent.CHANNEL)
        for variable in sorted(set(_VARIABLE.findall(str(section))))
    ]


def _why_unset(variable: str) -> str:
    if variable in os.environ:
        return f"${{{variable}}} is in quotes, where Rasa leaves it as it is; write it without"
    return f"the environment variable {variable} is not set; set it before Rasa starts"
