"""A connection to SQLite or PostgreSQL that runs the same statements on both."""

from __future__ import annotations

import os
import re
import select
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from rasa_handoff.errors import StoreError, StoreInUse
from rasa_handoff.store import schema

Row = tuple[Any, ...]
_NAMED = re.compile(r"(?<!:):([a-z_][a-z_0-9]*)")
_WRITING = 7_361_035  #: the advisory lock of the process that writes
_WAIT_FOR_FILE = 5000  #: milliseconds
_FATE_KNOWN_WITHIN = 5.0  #: seconds
# A process whose machine is gone is noticed within half a minute.
_CONNECTING = {
    "application_name": "rasa_handoff",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
# A process that stops in the middle of a transaction keeps the others from writing until the server ends it.
_WRITER = "SET idle_in_transaction_session_timeout = '5s'; SET lock_timeout = '15s'"
# What renews a lease need not outlive a crash of the database server, and must not wait for a replica's disk.
_LISTENER = "SET synchronous_commit = off; SET lock_timeout = '10s'"
# Several bots may share a database, each in a schema of its own.
_SCHEMA = "hashtext(current_schema())"
_BEGIN = (
    # At a stricter level a transaction would not see what was committed while it waited for the lock.
    f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({_WRITING}, {_SCHEMA}), txid_current()"
)
_CHANNEL = f"'rasa_handoff_' || {_SCHEMA}"


class Connection(Protocol):
    """What the writer and the readers need of a database driver."""

    def begin(self) -> int | None: ...  #: the transaction's number, where `was_committed` can tell of it
    def begin_waiting(self) -> int | None: ...  #: the same, where somebody else may have the database for a while
    def was_committed(self, transaction: int) -> bool: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def run(self, sql: str, values: dict[str, Any]) -> int: ...
    def all(self, sql: str, values: dict[str, Any]) -> list[Row]: ...
    def one(self, sql: str, values: dict[str, Any]) -> Row | None: ...
    def scrub(self) -> bool: ...  #: leave nothing of what was deleted on the disk; False where it cannot
    def close(self) -> None: ...


class Database(Protocol):
    """Where the data is."""

    name: str
    waits: bool  #: its statements wait for a network, so they belong in a thread
    shared: bool  #: several processes may use it at once
    lost: tuple[type[Exception], ...]  #: errors after which the connection is of no more use

    def hold(self) -> None: ...
    def let_go(self) -> None: ...
    def connect(self) -> Connection: ...
    def connect_reader(self) -> Connection: ...


def at(url: str) -> Database:
    """The database that *url* names (``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``postgresql://…``)."""
    if url.startswith("sqlite:///"):
        return SQLite(Path(url[len("sqlite:///") :]))
    return PostgreSQL(url)


def prepare(connection: Connection) -> None:
    """Create the tables, or upgrade them, in one transaction.

    Raises:
        StoreError: it failed, and the database is as it was.
    """
    try:
        connection.begin_waiting()
        connection.run("CREATE TABLE IF NOT EXISTS handoff_schema (version INTEGER NOT NULL)", {})
        row = connection.one("SELECT version FROM handoff_schema", {})
        if row is None:
            connection.run("INSERT INTO handoff_schema (version) VALUES (0)", {})
        schema.upgrade(lambda sql, values=None: connection.run(sql, values or {}), row[0] if row else 0)
        connection.commit()
    except StoreError:
        connection.close()
        raise
    except Exception as error:
        connection.close()
        raise StoreError(
            f"cannot create or upgrade the tables of the database, which stays as it is: {error}"
        ) from error


class SQLite:
    """One file, one process that writes it."""

    name = "sqlite"
    waits = False
    shared = False
    lost: tuple[type[Exception], ...] = (sqlite3.OperationalError,)

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def hold(self) -> None:
        """Make this process the file's only writer, until `let_go` or its end.

        Two writing processes would be slower than one, and run into SQLite's WAL-reset corruption
        bug (3.7.0 to 3.51.2, https://sqlite.org/wal.html#walreset).

        Raises:
            StoreInUse: another process is.
            StoreError: the file cannot be made or opened.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            # SQLite gives its -wal and -shm files the permissions of the file itself.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(f"cannot open the database {self.path}: {error.strerror}") from error
        if not _locked(lock):
            os.close(lock)
            raise StoreInUse(
                f"another process writes the database {self.path}, and SQLite serves one Rasa process. "
                "Stop the other one, or run with one Sanic worker. Several servers or workers share a "
                "PostgreSQL database: `database: postgresql://…` under rasa_handoff.HandoffInput in "
                "credentials.yml, the same for all of them"
            )
        self._lock = lock

    def let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def connect(self) -> SQLiteConnection:
        connection = SQLiteConnection(sqlite3.connect(self.path, isolation_level=None, check_same_thread=False))
        try:
            connection.pragma("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000", "cache_size=-16000")
            connection.pragma("busy_timeout=0")  # the event loop must not wait; see `begin_waiting`
            connection.pragma("secure_delete=ON")  # what is deleted is overwritten, but for a few copies; see `scrub`
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(f"cannot open the database {self.path}: {error}") from error
        return connection

    def connect_reader(self) -> SQLiteConnection:
        """A connection that can neither write nor checkpoint."""
        raw = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        return SQLiteConnection(raw)


def _locked(lock: int) -> bool:
    """Lock the file for this process, without waiting; False if another has it."""
    try:
        if os.name == "nt":  # pragma: no cover
            import msvcrt

            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class SQLiteConnection:
    """SQLite speaks our statements as they are written."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._execute = raw.execute
        self.close = raw.close

    def pragma(self, *settings: str) -> None:
        for setting in settings:
            self._execute(f"PRAGMA {setting}")

    def begin(self) -> None:
        self._execute("BEGIN IMMEDIATE")

    def begin_waiting(self) -> None:
        """`begin`, while a backup or a shell may hold the file."""
        self.pragma(f"busy_timeout={_WAIT_FOR_FILE}")
        try:
            self.begin()
        finally:
            self.pragma("busy_timeout=0")

    def was_committed(self, transaction: int) -> bool:
        """A commit that failed here has not been made."""
        return False

    def commit(self) -> None:
        self._execute("COMMIT")

    def rollback(self) -> None:
        if self._raw.in_transaction:
            self._execute("ROLLBACK")

    def run(self, sql: str, values: dict[str, Any]) -> int:
        return self._execute(sql, values).rowcount

    def all(self, sql: str, values: dict[str, Any]) -> list[Row]:
        return self._execute(sql, values).fetchall()

    def one(self, sql: str, values: dict[str, Any]) -> Row | None:
        row: Row | None = self._execute(sql, values).fetchone()
        return row

    def scrub(self) -> bool:
        """Write the file anew and empty its log; False while another program reads what was there before.

        Overwriting what is deleted is not enough: SQLite leaves copies behind where it moves rows from one
        page to another (https://sqlite.org/pragma.html#pragma_secure_delete, https://sqlite.org/lang_vacuum.html).
        """
        self.pragma(f"busy_timeout={_WAIT_FOR_FILE}")
        try:
            self._execute("VACUUM")
            return self.empty_log()
        finally:
            self.pragma("busy_timeout=0")

    def empty_log(self) -> bool:
        """Bring all into the file and leave nothing in its log; False while another program reads from there."""
        row = self.one("PRAGMA wal_checkpoint(TRUNCATE)", {})
        return row is not None and row[0] == 0


class PostgreSQL:
    """A database on a server, which outlives the machine that Rasa runs on, and serves any number of processes."""

    name = "postgresql"
    waits = True
    shared = True

    def __init__(self, url: str) -> None:
        try:
            import psycopg2
        except ImportError as error:
            raise StoreError("a PostgreSQL database needs psycopg2: pip install 'rasa_handoff[postgres]'") from error
        self._url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
        self._driver = psycopg2
        # A dropped connection may come as any of them, a plain DatabaseError included.
        self.lost: tuple[type[Exception], ...] = (psycopg2.Error,)

    def hold(self) -> None:
        """Nothing to hold: who writes is decided transaction by transaction."""

    def let_go(self) -> None:
        """Nothing was held."""

    def connect(self) -> PostgreSQLConnection:
        """A connection that writes, one transaction at a time among all processes."""
        return self._connected(_WRITER)

    def connect_reader(self) -> PostgreSQLConnection:
        """A connection that cannot write."""
        return self._connected("SET default_transaction_read_only = on")

    def connect_listener(self) -> PostgreSQLConnection:
        """A connection that hears what the processes tell each other."""
        connection = self._connected(_LISTENER)
        connection.listen()
        return connection

    def _connected(self, settings: str) -> PostgreSQLConnection:
        try:
            raw = self._driver.connect(self._url, **_CONNECTING)
        except self._driver.OperationalError as error:
            # The driver's message can repeat the connection string, password included.
            raise StoreError(
                "cannot connect to the PostgreSQL database; is it running, and is the URL right?"
            ) from error
        connection = PostgreSQLConnection(raw)
        connection.run(settings, {})
        return connection


class PostgreSQLConnection:
    """psycopg2 wants ``%(name)s`` where we write ``:name``."""

    def __init__(self, raw: Any) -> None:
        raw.autocommit = True
        self._raw = raw
        self._cursor = raw.cursor()
        self._known: dict[str, str] = {}
        self.close: Callable[[], None] = raw.close

    def _theirs(self, sql: str) -> str:
        known = self._known.get(sql)
        if known is None:
            known = self._known[sql] = _NAMED.sub(r"%(\1)s", sql.replace("%", "%%"))
        return known

    def begin(self) -> int:
        """Begin when no other process is in a transaction that writes."""
        self._cursor.execute(_BEGIN)
        return int(self._cursor.fetchone()[1])

    begin_waiting = begin

    def was_committed(self, transaction: int) -> bool:
        """Whether a commit was made whose answer was lost with its connection.

        Raises:
            StoreError: the server does not know yet.
        """
        end = time.monotonic() + _FATE_KNOWN_WITHIN
        while time.monotonic() < end:
            row = self.one("SELECT txid_status(:transaction)", {"transaction": transaction})
            if row is None or row[0] != "in progress":
                return row is not None and row[0] == "committed"
            time.sleep(0.05)
        raise StoreError("the PostgreSQL database does not say what became of a commit")

    def commit(self) -> None:
        self._cursor.execute("COMMIT")

    def rollback(self) -> None:
        self._cursor.execute("ROLLBACK")

    def run(self, sql: str, values: dict[str, Any]) -> int:
        self._cursor.execute(self._theirs(sql), values)
        return int(self._cursor.rowcount)

    def all(self, sql: str, values: dict[str, Any]) -> list[Row]:
        self._cursor.execute(self._theirs(sql), values)
        rows: list[Row] = self._cursor.fetchall()
        return rows

    def one(self, sql: str, values: dict[str, Any]) -> Row | None:
        self._cursor.execute(self._theirs(sql), values)
        row: Row | None = self._cursor.fetchone()
        return row

    def scrub(self) -> bool:
        """False: deleted rows stay in the server's files until its vacuum, and in its log and backups."""
        return False

    # -- between processes --------------------------------------------------------------------

    def notify(self, note: str) -> None:
        """Have every process hear *note*, this one too, when this transaction is committed.

        They hear notes in the order of the commits; of less than 8000 bytes
        (https://www.postgresql.org/docs/current/sql-notify.html).
        """
        self.run(f"SELECT pg_notify({_CHANNEL}, :note)", {"note": note})

    def listen(self) -> None:
        row = self.one(f"SELECT {_CHANNEL}", {})
        self.run(f'LISTEN "{row[0] if row else ""}"', {})

    def heard(self, waker: int, seconds: float) -> list[str]:
        """The notes that came; waits for one at most so long, and not when *waker* can be read."""
        self._raw.poll()
        if not self._raw.notifies:
            waiting = select.poll()
            for handle in (self._raw.fileno(), waker):
                waiting.register(handle, select.POLLIN)
            waiting.poll(max(seconds, 0) * 1000)
            self._raw.poll()
        notes = [note.payload for note in self._raw.notifies]
        del self._raw.notifies[:]
        return notes
