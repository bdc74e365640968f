"""Shows a plan to a person, and carries it out."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from difflib import unified_diff

from rasa_handoff.errors import FilesError
from rasa_handoff.init.plan import Change, Plan
from rasa_handoff.project.places import Places


def diff(plan: Plan, places: Places) -> Iterator[str]:
    """The lines of a patch that does what *plan* does; `patch -p1` takes them."""
    for change in plan.changes:
        name = places.shown(change.path)
        before = "/dev/null" if change.before is None else f"a/{name}"
        lines = unified_diff(_lines(change.before or b""), _lines(change.after), before, f"b/{name}")
        for line in lines:
            if line.endswith("\n"):
                yield line[:-1]
            else:
                yield line
                yield "\\ No newline at end of file"


def write(plan: Plan) -> None:
    """Do what *plan* says, each file in one step.

    Raises:
        FilesError: a file has changed since the plan was made, or cannot be written.
    """
    for change in plan.changes:
        _require_unchanged(change)
    for change in plan.changes:
        try:
            _replace(change)
        except OSError as error:
            raise FilesError([f"{change.path} cannot be written: {error.strerror}; see who owns it"]) from None


def _lines(content: bytes) -> list[str]:
    """Each with its end, so that a diff shows ends that change; a lone CR ends none."""
    return [line.decode("utf-8", "replace") for line in content.splitlines(keepends=True)] if content else []


def _require_unchanged(change: Change) -> None:
    now = change.path.read_bytes() if change.path.exists() else None
    if now != change.before:
        raise FilesError([f"{change.path} was changed meanwhile; nothing is written, run it again"])


def _replace(change: Change) -> None:
    """A reader sees the old file or the new one."""
    path = change.path.resolve()  # where a link leads
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        fresh.write_bytes(change.after)
        if change.before is not None:
            fresh.chmod(path.stat().st_mode & 0o7777)
        os.replace(fresh, path)
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()
