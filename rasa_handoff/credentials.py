"""Our section of a credentials.yml, read as Rasa reads it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode

from rasa_handoff.backends import settings_models
from rasa_handoff.errors import ConfigError
from rasa_handoff.settings import Settings, read_section

SECTION = "rasa_handoff.HandoffInput"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class _Constructor(SafeConstructor):
    """Fills in ${VARIABLES}, and only where they stand without quotes, as Rasa does."""

    def construct_yaml_str(self, node: ScalarNode) -> str:
        text = str(super().construct_yaml_str(node))
        return os.path.expandvars(text) if node.style is None and _VARIABLE.search(text) else text


_Constructor.add_constructor("tag:yaml.org,2002:str", _Constructor.construct_yaml_str)
_Constructor.add_constructor("!env_var", _Constructor.construct_yaml_str)  # Rasa's tag, once it is imported


def check(path: Path) -> Settings:
    """Read and check our section of the file at *path*.

    Raises:
        ConfigError: with every fault and its remedy.
    """
    sections = _load(path)
    if SECTION not in sections:
        raise ConfigError([f"{path} has no entry for the plugin; add the line `{SECTION}:`"])
    faults = _unset(sections)
    try:
        settings = read_section(sections[SECTION], settings_models())
    except ConfigError as error:
        raise ConfigError([*error.faults, *faults]) from None
    if faults:
        raise ConfigError(faults)
    return settings


def _load(path: Path) -> dict[str, Any]:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)  # type: ignore[assignment]  # Rasa's, in which `yes` is a word
    yaml.Constructor = _Constructor
    try:
        content = yaml.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror}; name it with --credentials"]) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path} is not YAML{_where(error)}"]) from None
    if not isinstance(content, dict):
        raise ConfigError([f"{path} must be a mapping of channels; add the line `{SECTION}:`"])
    return content


def _where(error: Exception) -> str:
    """The place and the fault, without the lines around it: they may hold a secret."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return ""
    problem = str(error.problem).partition(" with value")[0]
    return f" (line {error.problem_mark.line + 1}): {problem}"


def _unset(sections: dict[str, Any]) -> list[str]:
    """A fault for each variable that other channels lack; Rasa does not start without them."""
    return [
        f"{name}: the environment variable {variable} is not set; set it before Rasa starts"
        for name, section in sections.items()
        if name != SECTION
        for variable in sorted(set(_VARIABLE.findall(str(section))) - os.environ.keys())
    ]
