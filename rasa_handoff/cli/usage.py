"""The arguments that several commands have, and what they stand for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rasa_handoff import access, project
from rasa_handoff.client import Client, ServerUnreachable
from rasa_handoff.project import places


def add_command(commands: Any, name: str, words: str, run: Callable[[argparse.Namespace], int]) -> Any:
    """A command that can answer in JSON."""
    command = commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
    command.add_argument("--json", action="store_true", help="answer in JSON, also when it fails")
    command.set_defaults(run=run)
    return command


def add_remote(commands: Any, name: str, words: str, run: Callable[[argparse.Namespace], int]) -> Any:
    """A command that asks a running server."""
    command = add_command(commands, name, words, run)
    file = f"{access.FOLDER}/{access.FILE}"
    command.add_argument("--url", help=f"of the Rasa server (HANDOFF_URL, else what {file} says)")
    command.add_argument("--token", help=f"of the server (HANDOFF_TOKEN, else what {file} says)")
    return command


def client_of(asked: argparse.Namespace) -> Client:
    """The server that the arguments, the environment or the private file name.

    Raises:
        ServerUnreachable: none of them does.
    """
    found = access.find() if not (asked.url and asked.token) else None
    url = asked.url or (found.url if found else access.DEFAULT_URL)
    token = asked.token or (found.token if found else "")
    if not token:
        raise ServerUnreachable(
            f"no Rasa server with the plugin was started in {Path.cwd()} or above it (there is no "
            f"{access.FOLDER}/{access.FILE}). Run this where the server runs, or give --url and --token, "
            "or set HANDOFF_URL and HANDOFF_TOKEN."
        )
    if not url.startswith(("http://", "https://")):
        raise ServerUnreachable(f"{url} is not an address; give e.g. --url http://localhost:5005")
    return Client(url=url.rstrip("/"), token=token)


def add_places(command: Any) -> None:
    """Where the bot's files are, named as `rasa train` and `rasa run` name them."""
    command.add_argument("folder", nargs="?", type=Path, default=Path(), help="of the bot (default: this one)")
    for name, words in (
        ("credentials", "default: credentials.yml"),
        ("endpoints", "default: endpoints.yml"),
        ("config", "default: config.yml"),
        ("domain", "a file or a folder (default: domain.yml, else domain)"),
        ("actions", "a file or a folder (default: actions, else actions.py)"),
    ):
        command.add_argument(f"--{name}", type=Path, metavar="PATH", help=words)
    command.add_argument(
        "--data", type=Path, nargs="+", default=[], metavar="PATH", help="files or folders (default: data)"
    )


def project_of(asked: argparse.Namespace) -> project.Project:
    """The bot whose files the arguments name."""
    named = {name: getattr(asked, name) for name in ("credentials", "endpoints", "config", "domain", "data", "actions")}
    return project.read(places.find(asked.folder, **named))


def add_credentials(command: Any) -> None:
    """Where the settings are."""
    command.add_argument(
        "--credentials", type=Path, default=Path("credentials.yml"), metavar="FILE", help="default: credentials.yml"
    )


def port(text: str) -> int:
    """An argument that is a port."""
    if text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 1 to 65535")


def number(text: str) -> int:
    """An argument that is a whole number from 1."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
