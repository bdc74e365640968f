"""The commands that stand on the settings alone: check-settings, and those that agent systems bring."""

from __future__ import annotations

import argparse
import asyncio
from functools import partial
from typing import Any

from rasa_handoff import backends, credentials
from rasa_handoff.backends.base import Command
from rasa_handoff.cli.output import FINE, duration, say, say_json, say_table, text_of
from rasa_handoff.cli.usage import add_command, add_credentials
from rasa_handoff.errors import ConfigError
from rasa_handoff.model import Json
from rasa_handoff.settings import Settings


def add(commands: Any) -> None:
    """Add these commands to those of the program."""
    _add_check_settings(commands)
    _add_backends(commands)


def _add_check_settings(commands: Any) -> None:
    command = add_command(
        commands, "check-settings", "name every fault in the plugin's entry of credentials.yml", _check_settings
    )
    add_credentials(command)


def _check_settings(asked: argparse.Namespace) -> int:
    settings = credentials.check(asked.credentials)
    if asked.json:
        return say_json({"faults": [], "settings": _summary(settings)})
    say(f"{asked.credentials} is fine.")
    for name, value in _summary(settings).items():
        say(f"  {name}: {', '.join(value) if isinstance(value, list) else value}")
    return FINE


def _summary(settings: Settings) -> Json:
    """What the settings come to; no secret is in it."""
    return {
        "backends": list(settings.backends),
        "route": [rule.to for rule in settings.route],
        "database": settings.database.partition(":")[0],
        "deadlines": [f"{name} {duration(each.after)}" for name, each in settings.deadlines.items()],
        "public_url": settings.public_url or "not set",
        "chat_page": "on" if settings.chat_page else "off",
    }


def _add_backends(commands: Any) -> None:
    """What the agent systems bring of their own."""
    for name in backends.names():
        brought = backends.load(name).commands()
        if not brought:
            continue
        words = f"at the agent system {name}: {', '.join(each.name for each in brought)}"
        system = commands.add_parser(name, help=words, description=f"What there is to do at the agent system {name}.")
        inner = system.add_subparsers(title="commands", metavar="COMMAND", required=True)
        for each in brought:
            add_credentials(add_command(inner, each.name, each.words, partial(_at_backend, name, each)))


def _at_backend(name: str, command: Command, asked: argparse.Namespace) -> int:
    settings = credentials.check(asked.credentials)
    if name not in settings.backends:
        faults = [f"backends.{name}: is missing; add its settings"]
        raise ConfigError(faults, asked.credentials.name, cannot="this cannot be done")
    rows = asyncio.run(command.run(settings.backends[name], settings))
    if asked.json:
        return say_json({"rows": rows})
    if not rows:
        return say("There is nothing.")
    return say_table([head.upper() for head in rows[0]], [[text_of(each) for each in row.values()] for row in rows])
