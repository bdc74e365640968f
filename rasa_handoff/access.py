"""Where the server is and what opens it: a private file that the action server finds too."""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rasa_handoff.errors import ConfigError

FOLDER = ".rasa_handoff"
FILE = "access.json"
DEFAULT_URL = "http://127.0.0.1:5005"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAccess:
    """How an agent signs in to the desk."""

    name: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a program needs to speak to the server."""

    url: str  #: of the Rasa server; no slash at the end
    token: str = field(repr=False)  #: of the actions and operators
    secret: str = field(default="", repr=False)  #: signs cookies and users' tokens; the server's own
    agents: tuple[AgentAccess, ...] = ()  #: made for the desk on first start


def ensure(folder: Path, *, url: str | None, token: str | None, want_agent: bool) -> Access:
    """Find or make the private file `.rasa_handoff/access.json`.

    Args:
        folder: the server's working folder.
        url: where the server is; None keeps what the file says.
        token: from the settings; None keeps the file's own, or makes one.
        want_agent: whether the desk needs a sign-in that nobody configured.

    Raises:
        ConfigError: others can read or change the file, or it cannot be written.
    """
    return _change(folder, lambda kept: _complete(kept, url=url, token=token, want_agent=want_agent))


def keep(folder: Path, access: Access) -> None:
    """Write *access* into the private file, where programs beside the server find it.

    Raises:
        ConfigError: others can read or change the file, or it cannot be written.
    """
    _change(folder, lambda kept: access)


def find(start: Path | None = None) -> Access | None:
    """What the environment and the private file say; None when that is not enough.

    HANDOFF_URL and HANDOFF_TOKEN come first; what they leave open comes from the file in *start*
    (the working folder) or the nearest folder above it that has one.
    """
    url, token = os.environ.get("HANDOFF_URL", "").strip(), os.environ.get("HANDOFF_TOKEN", "").strip()
    if url and token:
        return Access(url=url.rstrip("/"), token=token)
    kept = _nearest(start or Path.cwd())
    if kept is None:
        return None
    return replace(kept, url=(url or kept.url).rstrip("/"), token=token or kept.token)


def _nearest(start: Path) -> Access | None:
    start = start.resolve()
    for folder in (start, *start.parents):
        try:
            kept = _read(folder / FOLDER / FILE)
        except OSError as error:
            raise ConfigError([f"{folder / FOLDER / FILE}: cannot be read ({error.strerror})"]) from None
        if kept is not None:
            return kept
    return None


def _complete(kept: Access | None, *, url: str | None, token: str | None, want_agent: bool) -> Access:
    """*kept* with what is asked for, and with what is missing made."""
    kept = kept or Access(url=DEFAULT_URL, token="", secret="")
    agents = kept.agents
    if want_agent and not agents:
        agents = (AgentAccess(name="Agent 1", token=secrets.token_urlsafe(32)),)
    return Access(
        url=(url or kept.url).rstrip("/"),
        token=token or kept.token or secrets.token_urlsafe(32),
        secret=kept.secret or secrets.token_urlsafe(32),
        agents=agents,
    )


# The file


def _change(folder: Path, change: Callable[[Access | None], Access]) -> Access:
    """Write what *change* makes of the file's content, unless it is that already; nobody else writes meanwhile."""
    path = folder / FOLDER / FILE
    try:
        _make_folder(path.parent)
        with _only_one(path.parent):
            kept = _read(path)
            access = change(kept)
            if access != kept:
                _write(path, access)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be written ({error.strerror}); give Rasa's user that folder"]) from None
    return access


def _make_folder(folder: Path) -> None:
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    _require_private(folder, os.stat(folder), also=0o022, remedy=f"chmod 700 {folder}")


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Keep other processes of ours out, where the system can lock a folder."""
    try:
        import fcntl
    except ImportError:  # Windows: the atomic replacement has to do
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(path: Path) -> Access | None:
    """The file's content; None when there is no file."""
    try:
        # A link could lead to a file that somebody else may change.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(handle, "rb") as file:
        _require_private(path, os.fstat(file.fileno()), also=0o077, remedy=f"chmod 600 {path}")
        content = file.read()
    try:
        return _from_json(json.loads(content))
    except (ValueError, KeyError, TypeError):
        raise ConfigError([f"{path}: cannot be read; delete it, and the next start makes a new one"]) from None


def _require_private(path: Path, found: os.stat_result, *, also: int, remedy: str) -> None:
    """Require that *path* is ours and that the permission bits *also* are not set."""
    if os.name != "posix":
        return
    if found.st_uid != os.geteuid():
        raise ConfigError([f"{path}: belongs to another user of this machine; delete it, or start as that user"])
    if stat.S_IMODE(found.st_mode) & also:
        raise ConfigError([f"{path}: other users of this machine can get at it; run: {remedy}"])


def _write(path: Path, access: Access) -> None:
    """Replace the file in one step, so that a reader sees the old one or the new one."""
    fresh = path.with_name(f".{FILE}.{secrets.token_hex(8)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(_to_json(access), file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(fresh)
        raise


def _to_json(access: Access) -> dict[str, Any]:
    agents = [{"name": agent.name, "token": agent.token} for agent in access.agents]
    return {"url": access.url, "token": access.token, "secret": access.secret, "agents": agents}


def _from_json(content: Mapping[str, Any]) -> Access:
    agents = [AgentAccess(name=_text(one, "name"), token=_text(one, "token")) for one in content["agents"]]
    return Access(
        url=_text(content, "url"),
        token=_text(content, "token"),
        secret=_text(content, "secret"),
        agents=tuple(agents),
    )


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content[name]
    if not isinstance(value, str) or not value:
        raise ValueError(name)
    return value
