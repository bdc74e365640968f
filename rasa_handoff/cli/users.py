"""The commands for data protection: what is kept of a user, given out or erased."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from itertools import count as count_from
from pathlib import Path
from typing import Any, BinaryIO

from rasa_handoff.cli.output import FAILED, FINE, agrees, count, say, say_json, text_of
from rasa_handoff.cli.usage import add_remote, client_of
from rasa_handoff.client import Client, ServerRefused
from rasa_handoff.errors import FilesError
from rasa_handoff.media import file_name
from rasa_handoff.model import Json

# Of each kind of thing that is kept: one of it, and several.
_KINDS = {
    "handoffs": ("handoff", "handoffs"),
    "requests": ("request with its transcript", "requests with their transcripts"),
    "messages": ("message", "messages"),
    "deliveries": ("delivery", "deliveries"),
    "files": ("file", "files"),
    "desk_chats": ("chat at the desk", "chats at the desk"),
    "desk_messages": ("line at the desk", "lines at the desk"),
    "stream": ("event of the user's page", "events of the user's page"),
    "kept": ("address or name elsewhere", "addresses or names elsewhere"),
    "seen": ("id of an event", "ids of events"),
}
_NOT_OVERWRITTEN = {
    "sqlite": (
        "The database's file could not be written anew, so traces may be left in it. Run this again when no other "
        "program has the file open, and there is room for a second one."
    ),
    "postgresql": (
        "PostgreSQL keeps deleted rows in its files until they are vacuumed, and in its log: "
        "see docs/operations.md, Data protection."
    ),
}
_ELSEWHERE = """\
Not deleted, because it is elsewhere (docs/operations.md, Data protection, says how):
  - what the user and the bot said: in Rasa's tracker store
  - backups, and exports of this user"""


def add(commands: Any) -> None:
    """Add these commands to those of the program."""
    words = "see what is kept of a user, and erase it"
    users = commands.add_parser("users", help=words, description=f"{words[0].upper()}{words[1:]}.")
    inner = users.add_subparsers(title="commands", metavar="COMMAND", required=True)
    export = add_remote(inner, "export", "print all that is kept of a user, as JSON", _export)
    export.add_argument("--out", type=Path, metavar="FILE", help="write it into a new file that only you can read")
    export.add_argument("--files", type=Path, metavar="FOLDER", help="save the files into a new folder, too")
    erase = add_remote(inner, "erase", "delete all that is kept of a user", _erase)
    erase.add_argument("--yes", action="store_true", help="erase without asking")
    erase.add_argument("--close", action="store_true", help="first end the handoff that is open")
    for command in (export, erase):
        command.add_argument("sender_id", metavar="SENDER_ID", help="Rasa's name of the conversation")


def _export(asked: argparse.Namespace) -> int:
    client = client_of(asked)
    user = client.export(asked.sender_id)
    if asked.files is not None:
        _save_files(client, user, asked.files)
    if asked.out is None:
        return say_json(user)
    _write(asked.out, user)
    if asked.json:
        return say_json({"file": str(asked.out)})
    return say(f"{asked.out} has what is kept of {text_of(asked.sender_id)}: {_told(_numbers(user))}.")


def _write(path: Path, content: Json) -> None:
    """Make a private file of *content*; one that is there stays as it is.

    Raises:
        FilesError: it cannot be made.
    """
    with _writing(path), _private(path) as file:
        file.write(json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")


def _save_files(client: Client, user: Json, folder: Path) -> None:
    """Make a private folder with the files of an export, each with its id before its name.

    What the server calls them is made safe: nothing is written anywhere else.

    Raises:
        FilesError: it cannot be made.
    """
    with _writing(folder):
        folder.mkdir(mode=0o700)
    files = [each for handoff in user["handoffs"] for each in handoff["files"] if each["url"]]
    for file in files:
        path = _free(folder, f"{file_name(str(file['id']))} {file_name(str(file['name']))}".strip() or "file")
        with _writing(path), _private(path) as saved:
            client.save(file["url"], saved)


def _free(folder: Path, name: str) -> Path:
    """Where a file of this name goes: with a number before it, where another one has the name already."""
    numbered = (folder / f"{number} {name}" for number in count_from(2))
    return next(path for path in chain([folder / name], numbered) if not path.exists())


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What keeps *path* from being written, in words."""
    try:
        yield
    except FileExistsError:
        raise FilesError([f"{path}: is there already; name one that is not"]) from None
    except OSError as error:
        raise FilesError([f"{path}: cannot be written ({error.strerror})"]) from None


def _private(path: Path) -> BinaryIO:
    """A new file that nobody else can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _erase(asked: argparse.Namespace) -> int:
    client = client_of(asked)
    if not asked.yes and not _is_wanted(client, asked):
        return FAILED
    erased = _erased(client, asked)
    if asked.json:
        say_json(erased)
    else:
        say("\n".join(_report(asked.sender_id, erased)))
    return FINE if erased["overwritten"] or erased["database"] != "sqlite" else FAILED


def _is_wanted(client: Client, asked: argparse.Namespace) -> bool:
    """Whether the person at the terminal wants it; a program says so beforehand."""
    if asked.json:
        say_json({"error": "nobody is asked where the answer is JSON; give --yes"})
        return False
    kept = _told(_numbers(client.export(asked.sender_id)))
    say(f"Kept of {text_of(asked.sender_id)}: {kept}.")
    return agrees("Erase all of it? Nobody can bring it back.")


def _erased(client: Client, asked: argparse.Namespace) -> Json:
    try:
        return client.erase(asked.sender_id, close=asked.close)
    except ServerRefused as error:
        remedy = "; --close does that" if error.code == "open" else ""
        raise ServerRefused(f"{error}{remedy}", error.status, error.code) from None


def _report(sender_id: str, erased: Json) -> Iterator[str]:
    yield f"Erased of {text_of(sender_id)}: {_told(erased['rows'])}."
    if erased["undelivered"]:
        yield f"{count(erased['undelivered'], 'delivery', 'deliveries')} had not gone out, and never will."
    if not erased["overwritten"]:
        yield _NOT_OVERWRITTEN[erased["database"]]
    yield f"\n{_ELSEWHERE}"
    for chat in erased["elsewhere"]:
        yield f"  - at {text_of(chat['backend'])}: chat {text_of(chat['chat_id'])}"


def _numbers(user: Json) -> dict[str, int]:
    """How much there is of each kind in an export."""
    inside = {
        "messages": [each["messages"] for each in user["handoffs"]],
        "deliveries": [each["deliveries"] for each in user["handoffs"]],
        "files": [each["files"] for each in user["handoffs"]],
        "requests": [[each["request"]] if each["request"] else [] for each in user["handoffs"]],
        "desk_messages": [each["messages"] for each in user["desk_chats"]],
    }
    return {kind: sum(map(len, inside[kind])) if kind in inside else len(user[kind]) for kind in _KINDS}


def _told(numbers: Json) -> str:
    """*numbers* in words."""
    words = [count(numbers[kind], one, many) for kind, (one, many) in _KINDS.items() if numbers[kind]]
    return ", ".join(words) or "nothing"
