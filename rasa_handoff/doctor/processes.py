"""The database, and how many Rasa processes may share it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rasa_handoff.doctor.case import Case
from rasa_handoff.doctor.findings import Finding, fine, note, problem, warning

_REDIS = ("lock_store:", "  type: redis", "  url: localhost", "  port: 6379", "  db: 1")
_TRACKERS = ("tracker_store:", "  type: SQL", "  dialect: sqlite", "  db: tracker.db")
_TRACKERS_OF_MANY = (
    "tracker_store:",
    "  type: SQL",
    "  dialect: postgresql",
    "  url: <host>",
    "  db: <name>",
    "  username: <user>",
    "  password: ${TRACKER_PASSWORD}",
)
_POSTGRESQL = ("database: postgresql://<user>:${HANDOFF_DATABASE_PASSWORD}@<host>/<name>",)


def look(case: Case) -> Iterator[Finding]:
    yield from _workers(case)
    yield from _database(case)
    yield from _lock_store(case)
    yield from _tracker_store(case)


def _workers(case: Case) -> Iterator[Finding]:
    asked = case.environment.get("SANIC_WORKERS")
    if asked and not (asked.isdecimal() and int(asked) > 0):
        yield warning(
            "workers", f"SANIC_WORKERS is {asked!r}, and Rasa starts one worker.", "Write a whole number from 1."
        )
    elif asked and int(asked) > 1 and _is_in_memory(case, "lock_store"):
        yield warning(
            "workers",
            f"SANIC_WORKERS is {asked}, but without a shared lock store Rasa starts one worker.",
            "Add to endpoints.yml, or leave SANIC_WORKERS out:",
            _REDIS,
        )
    else:
        yield fine("workers", f"{case.workers} Rasa process{'' if case.workers == 1 else 'es'} on the database")


def _database(case: Case) -> Iterator[Finding]:
    if case.settings is None:
        return
    if not case.settings.database.startswith("sqlite:"):
        if case.version_of("psycopg2") is None and case.version_of("psycopg2-binary") is None:
            yield problem(
                "database", "The driver of PostgreSQL is not installed.", "Run:", ["pip install psycopg2-binary"]
            )
        else:
            yield fine("database", "PostgreSQL, which any number of Rasa processes can share")
    elif case.workers > 1:
        yield problem(
            "database",
            f"SQLite is for one Rasa process, and there are to be {case.workers}.",
            "Take PostgreSQL; write in credentials.yml, in the plugin's section:",
            _POSTGRESQL,
        )
    else:
        yield _sqlite(case, case.settings.database.partition("sqlite:///")[2])


def _sqlite(case: Case, file: str) -> Finding:
    path = case.project.places.folder / file
    there = next(each for each in (path, *path.parents) if each.exists())
    shown = case.project.places.shown(path)
    if not os.access(there, os.W_OK) or (there.is_dir() and there == path):
        return problem("database", f"SQLite cannot write {shown}.", f"Give the user who runs Rasa {_of(there)}.")
    return fine("database", f"SQLite in {shown}, for one Rasa process")


def _of(path: Path) -> str:
    return f"the folder {path}" if path.is_dir() else f"the file {path}"


def _lock_store(case: Case) -> Iterator[Finding]:
    if not _is_in_memory(case, "lock_store"):
        yield fine("lock_store", f"The lock store is shared ({case.endpoint('lock_store').get('type')})")
    elif case.workers > 1:
        yield problem(
            "lock_store",
            f"{case.workers} Rasa processes, each with its own lock store, take one user's messages at the same time.",
            "Add to endpoints.yml:",
            _REDIS,
        )
    elif case.settings and case.settings.database.startswith("postgres"):
        yield note(
            "lock_store",
            "Before a second Rasa process starts, they need a lock store that they share.",
            "In endpoints.yml:",
            _REDIS,
        )


def _tracker_store(case: Case) -> Iterator[Finding]:
    if not _is_in_memory(case, "tracker_store"):
        store = case.endpoint("tracker_store")
        kind = str(store.get("dialect") or store.get("type"))
        if case.workers > 1 and kind == "sqlite":
            yield warning(
                "tracker_store",
                "The tracker store is an SQLite file, which Rasa processes on other machines do not see.",
                "Write in endpoints.yml:",
                _TRACKERS_OF_MANY,
            )
        else:
            yield fine("tracker_store", f"The bot's conversations are kept ({kind})")
    elif case.workers > 1:
        yield problem(
            "tracker_store",
            f"{case.workers} Rasa processes, each with conversations of its own in memory, do not know each other's.",
            "Add to endpoints.yml:",
            _TRACKERS_OF_MANY,
        )
    else:
        yield warning(
            "tracker_store",
            "The bot's conversations are in memory only: it forgets them at a restart, and handoffs outlive it.",
            "Add to endpoints.yml:",
            _TRACKERS,
        )


def _is_in_memory(case: Case, name: str) -> bool:
    kind = case.endpoint(name).get("type")
    return kind is None or str(kind).lower() in ("in_memory", "inmemory")
