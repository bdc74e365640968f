"""The section in credentials.yml as one frozen Settings, checked whole at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from rasa_handoff.settings.chosen import DeadlineSetting, Redaction, Rule, Settings, When
from rasa_handoff.settings.faults import Faults, unknown
from rasa_handoff.settings.raw import filled_in
from rasa_handoff.settings.section import (
    Section,
    convert,
    page_of,
    read_backends,
    read_channels,
    require_public_url,
)
from rasa_handoff.settings.shapes import read_model, shaped
from rasa_handoff.settings.texts import TextOrNumber
from rasa_handoff.settings.values import (
    faults_in,
    matching,
    read_duration,
    read_duration_or_off,
    read_picture,
    read_token,
    read_url,
    require_address,
    require_headers,
    require_secret,
)

__all__ = [
    "DeadlineSetting",
    "Redaction",
    "Rule",
    "Settings",
    "TextOrNumber",
    "When",
    "faults_in",
    "matching",
    "page_of",
    "read_channel",
    "read_duration",
    "read_duration_or_off",
    "read_picture",
    "read_section",
    "read_token",
    "read_url",
    "require_address",
    "require_headers",
    "require_secret",
    "unknown",
]
M = TypeVar("M", bound=BaseModel)


def read_section(
    section: Mapping[str, Any] | None,
    backends: Mapping[str, type[BaseModel]],
    channels: Mapping[str, type[BaseModel]] | None = None,
) -> Settings:
    """Read the section of credentials.yml.

    Args:
        section: as Rasa read it; None and an empty one stand for the defaults.
        backends: the model of each backend's own settings, by name (`rasa_handoff.backends.settings_models`).
        channels: likewise for Rasa's channels that have some (`rasa_handoff.channels.settings_models`).

    Raises:
        ConfigError: with every fault and its remedy.
    """
    faults = Faults()
    shape = shaped(Section, filled_in(section, faults), (), faults) or Section()
    require_public_url(shape, backends, faults)
    settings = convert(shape, read_backends(shape.backends, backends, faults), faults)
    settings = replace(settings, channels=read_channels(shape.channels, channels or {}, faults))
    faults.raise_if_any()
    return settings


def read_channel(section: Mapping[str, Any] | None, model: type[M]) -> M:
    """Read the section of another channel of ours.

    Args:
        model: as a backend's: it may have a method ``faults`` that finds what a type cannot say.

    Raises:
        ConfigError: with every fault and its remedy.
    """
    faults = Faults()
    shape = read_model(model, filled_in(section, faults), (), faults)
    faults.raise_if_any()
    return cast("M", shape)
