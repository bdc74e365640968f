"""Our section of credentials.yml: its shape, and what its texts mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from rasa_handoff.faces import Faces
from rasa_handoff.settings.chosen import DeadlineSetting, Redaction, Settings
from rasa_handoff.settings.faults import Faults, Path, unknown
from rasa_handoff.settings.route import read_route
from rasa_handoff.settings.shapes import read_model, shaped
from rasa_handoff.settings.texts import TextOrNumber
from rasa_handoff.settings.values import (
    is_off,
    read_database,
    read_duration,
    read_duration_or_off,
    read_open_timeout,
    read_pattern,
    read_picture,
    read_size,
    read_token,
    read_url,
)

_GIVERS = ["users", "agents"]
_WARN_AT = 0.8  #: of a deadline, unless it says otherwise


class _Deadlines(BaseModel, extra="forbid", frozen=True):
    accept: Any = "5m"
    agent_reply: Any = "25000s"
    user_idle: Any = "30m"


class _Agents(BaseModel, extra="forbid", frozen=True):
    show: str = "own"
    name: str | None = None
    avatar_url: str | None = None


class _Redaction(BaseModel, extra="forbid", frozen=True):
    slots: list[str] = []
    patterns: list[str] = []


class Section(BaseModel, extra="forbid", frozen=True):
    """The section as YAML has it, for pydantic 1.10 and 2: only what both understand alike."""

    public_url: str | None = None
    token: str | None = None
    database: str = "sqlite:///.rasa_handoff/handoff.db"
    backends: dict[str, Any] = {"desk": {}}
    route: list[Any] | None = None
    holidays: list[Any] = []
    deadlines: dict[str, Any] = {}
    open_timeout: Any = "10s"
    delivery_timeout: Any = "30m"
    redact: dict[str, Any] = {}
    transcript: bool = True
    agents: dict[str, Any] = {}
    end_words: list[TextOrNumber] = ["/end"]
    edited_text: str = "✎ {text}"
    deleted_text: str = "🗑 The user has deleted a message."
    chat_page: bool = False
    log_to_tracker: bool = False
    retention: Any = "30d"
    history_links: Any = "7d"
    media_links: Any = "7d"
    largest_file: Any = "25MB"
    all_files: Any = "20GB"
    files_from: list[str] = ["users", "agents"]
    channels: dict[str, Any] = {}
    acknowledge: bool = True


def convert(shape: Section, backends: Mapping[str, Any], faults: Faults) -> Settings:
    """The shape with its texts read: URLs, durations, hours, expressions."""
    read = faults.read
    return Settings(
        public_url=read(("public_url",), read_url, shape.public_url, None),
        token=read(("token",), read_token, shape.token, None),
        database=read(("database",), read_database, shape.database, ""),
        backends=backends,
        route=read_route(shape.route, shape.holidays, shape.transcript, backends, faults),
        deadlines=_read_deadlines(shape.deadlines, faults),
        open_timeout=read(("open_timeout",), read_open_timeout, shape.open_timeout, 0.0),
        delivery_timeout=read(("delivery_timeout",), read_duration, shape.delivery_timeout, 0.0),
        redact=_read_redaction(shape.redact, faults),
        agents=_read_faces(shape.agents, faults),
        end_words=tuple(_read_words(("end_words",), shape.end_words, faults)),
        edited_text=read(("edited_text",), _read_edited_text, shape.edited_text, ""),
        deleted_text=read(("deleted_text",), _read_deleted_text, shape.deleted_text, ""),
        chat_page=shape.chat_page,
        log_to_tracker=shape.log_to_tracker,
        retention=read(("retention",), read_duration_or_off, shape.retention, None),
        history_links=read(("history_links",), read_duration, shape.history_links, 0.0),
        media_links=read(("media_links",), read_duration, shape.media_links, 0.0),
        largest_file=read(("largest_file",), read_size, shape.largest_file, 0),
        all_files=read(("all_files",), read_size, shape.all_files, 0),
        files_from=frozenset(_read_givers(("files_from",), shape.files_from, faults)),
        acknowledge=shape.acknowledge,
    )


def read_backends(
    asked: dict[str, Any], known: Mapping[str, type[BaseModel]], faults: Faults
) -> dict[str, BaseModel | None]:
    """Each backend's section, read by that backend's own model; None for a faulty one."""
    if not asked:
        faults.add(("backends",), "must name at least one backend; write `backends: {desk: {}}`")
    read: dict[str, BaseModel | None] = {}
    for name, section in asked.items():
        path = ("backends", name)
        read[name] = None  # a rule may name it all the same
        if name in known:
            read[name] = read_model(known[name], {} if section is None else section, path, faults)
            faults.explain(path, page_of(name, known[name]))
        else:
            faults.add(path, unknown("there is no such backend", name, list(known)))
    return read


def page_of(name: str, model: type[BaseModel]) -> str | None:
    """The page of the documentation about the backend whose settings are a *model*; None: another package's."""
    is_ours = model.__module__.partition(".")[0] == __name__.partition(".")[0]
    return f"docs/backends/{name}.md" if is_ours else None


def read_channels(asked: dict[str, Any], known: Mapping[str, type[BaseModel]], faults: Faults) -> dict[str, BaseModel]:
    """What is set for channels of Rasa, each read by its own model."""
    read: dict[str, BaseModel] = {}
    for name, section in asked.items():
        path = ("channels", name)
        if name not in known:
            faults.add(path, unknown("there is nothing to set for a channel of this name", name, list(known)))
        elif (shape := read_model(known[name], {} if section is None else section, path, faults)) is not None:
            read[name] = shape
    return read


def require_public_url(shape: Section, known: Mapping[str, type[BaseModel]], faults: Faults) -> None:
    """Require the setting ``public_url`` where a backend cannot do without it."""
    needing = [name for name in shape.backends if getattr(known.get(name), "needs_public_url", False)]
    if needing and shape.public_url is None:
        why = f"{needing[0]} makes links that begin with it"
        faults.add(("public_url",), f"is missing; {why}; write e.g. `public_url: https://bot.example.com`")


def _read_deadlines(asked: dict[str, Any], faults: Faults) -> dict[str, DeadlineSetting]:
    shape = shaped(_Deadlines, asked, ("deadlines",), faults) or _Deadlines()
    return {
        name: _read_deadline(("deadlines", name), getattr(shape, name), faults)
        for name in ("accept", "agent_reply", "user_idle")
    }


def _read_deadline(path: Path, value: Any, faults: Faults) -> DeadlineSetting:
    """One deadline, from a duration or from `{after: 5m, warn: 4m}`."""
    told = value if isinstance(value, dict) else {"after": value}
    for name in told.keys() - {"after", "warn"}:
        faults.add((*path, name), unknown("there is no such setting", name, ["after", "warn"]))
    if "after" not in told:
        faults.add((*path, "after"), "is missing; write e.g. {after: 5m, warn: 4m}")
        return DeadlineSetting(after=0.0, warn=None)
    where = (*path, "after") if isinstance(value, dict) else path
    after = faults.read(where, read_duration, told["after"], 0.0)
    if "warn" not in told:
        return DeadlineSetting(after=after, warn=after * _WARN_AT)
    if is_off(told["warn"]):
        return DeadlineSetting(after=after, warn=None)
    warn = faults.read((*path, "warn"), read_duration, told["warn"], None)
    if warn is not None and after and warn >= after:
        faults.add((*path, "warn"), "must come before `after`; write a shorter one, or warn: off")
    return DeadlineSetting(after=after, warn=warn)


def _read_redaction(asked: dict[str, Any], faults: Faults) -> Redaction:
    shape = shaped(_Redaction, asked, ("redact",), faults) or _Redaction()
    patterns = [
        faults.read(("redact", "patterns", index), read_pattern, text, None)
        for index, text in enumerate(shape.patterns)
    ]
    return Redaction(slots=frozenset(shape.slots), patterns=tuple(filter(None, patterns)))


def _read_faces(asked: dict[str, Any], faults: Faults) -> Faces:
    shape = shaped(_Agents, asked, ("agents",), faults) or _Agents()
    if shape.show not in ("own", "one"):
        faults.add(("agents", "show"), "must be own (each agent's name) or one (the same for all); write `show: own`")
    if shape.show == "one" and not (shape.name or "").strip():
        faults.add(("agents", "name"), "is missing; with `show: one` it is what all are called: `name: Our team`")
    avatar_url = faults.read(("agents", "avatar_url"), read_picture, shape.avatar_url, None)
    return Faces(name=shape.name, avatar_url=avatar_url, same_for_all=shape.show == "one")


def _read_edited_text(text: str) -> str:
    if "{text}" not in text:
        raise ValueError('must have {text} where the message goes; write e.g. "(edited) {text}"')
    return text


def _read_deleted_text(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; write what agents are to read when a user has deleted a message")
    return text


def _read_givers(path: Path, names: list[str], faults: Faults) -> Iterator[str]:
    for index, name in enumerate(names):
        if name in _GIVERS:
            yield name
        else:
            faults.add((*path, index), unknown("nobody of this name gives files", name, _GIVERS))


def _read_words(path: Path, words: list[str], faults: Faults) -> Iterator[str]:
    for index, word in enumerate(words):
        if word.strip():
            yield word.strip()
        else:
            faults.add((*path, index), "is empty; write a word such as /end")
