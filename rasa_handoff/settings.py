"""The section in credentials.yml as one frozen Settings, checked whole at start."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any, ClassVar, TypeVar, cast, get_args, get_origin, get_type_hints, overload
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from rasa_handoff.errors import ConfigError
from rasa_handoff.faces import Faces
from rasa_handoff.hours import Hours, read_hours

SHORTEST_TOKEN = 32
SHORTEST_SECRET = 16  #: of what an agent system chose
LONGEST_OPEN_TIMEOUT = 50.0  #: seconds; Rasa's lock on the conversation lives 60 s
_YEAR = 366 * 86_400.0
_WARN_AT = 0.8  #: of a deadline, unless it says otherwise

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Path = tuple[Any, ...]  #: keys and list indexes, from the section down


# What the rest of the package sees


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """What a request must look like for a rule to fit."""

    slots: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  #: any of these values
    channels: tuple[str, ...] = ()  #: any of these; empty: every one


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Where a handoff goes, and when."""

    to: str  #: a configured backend
    group: str | None = None
    priority: str | None = None
    when: When = field(default_factory=When)
    hours: Hours | None = None  #: None: always
    holidays: frozenset[date] = frozenset()  #: closed all day, where there are hours
    transcript: bool = True  #: whether the agents see what user and bot said


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineSetting:
    """How long somebody may wait, in seconds."""

    after: float
    warn: float | None  #: when to say so first; None: not at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What never leaves the bot."""

    slots: frozenset[str] = frozenset()
    patterns: tuple[re.Pattern[str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a bot owner can choose."""

    public_url: str | None = None  #: what agent systems and users can reach; no slash at the end
    token: str | None = field(default=None, repr=False)  #: None: from the private file
    database: str = field(default="sqlite:///.rasa_handoff/handoff.db", repr=False)
    backends: Mapping[str, Any] = field(default_factory=dict, repr=False)  #: each one's own settings, by name
    route: tuple[Rule, ...] = ()  #: the first that fits; the next ones are for fail-over
    deadlines: Mapping[str, DeadlineSetting] = field(default_factory=dict)  #: accept, agent_reply, user_idle
    open_timeout: float = 10.0  #: seconds an agent system may take to accept a chat
    delivery_timeout: float = 1800.0  #: seconds a delivery is tried again
    redact: Redaction = field(default_factory=Redaction)
    agents: Faces = field(default_factory=Faces)  #: what a user sees of them
    end_words: tuple[str, ...] = ("/end",)  #: what a user types to leave the agent
    chat_page: bool = False
    log_to_tracker: bool = False
    retention: float | None = 2_592_000.0  #: seconds a closed handoff is kept; None: for ever
    history_links: float = 604_800.0  #: seconds for which a link to a conversation's history opens it
    media_links: float = 604_800.0  #: seconds for which a link to a file of a user's opens it
    largest_file: int = 26_214_400  #: bytes of a user's file that an agent can open
    channels: Mapping[str, BaseModel] = field(default_factory=dict)  #: what is set for Rasa's channels, by name
    acknowledge: bool = True  #: answer clients that wait for one with a receipt


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
    faults = _Faults()
    shape = _shaped(_Section, _filled_in(section, faults), (), faults) or _Section()
    _require_public_url(shape, backends, faults)
    settings = _convert(shape, _read_backends(shape.backends, backends, faults), faults)
    settings = replace(settings, channels=_read_channels(shape.channels, channels or {}, faults))
    faults.raise_if_any()
    return settings


def read_channel(section: Mapping[str, Any] | None, model: type[M]) -> M:
    """Read the section of another channel of ours.

    Args:
        model: as a backend's: it may have a method ``faults`` that finds what a type cannot say.

    Raises:
        ConfigError: with every fault and its remedy.
    """
    faults = _Faults()
    shape = _read_model(model, _filled_in(section, faults), (), faults)
    faults.raise_if_any()
    return cast("M", shape)


# The shape, for pydantic 1.10 and 2: only what both understand alike


class _Deadlines(BaseModel, extra="forbid", frozen=True):
    accept: Any = "5m"
    agent_reply: Any = "25000s"
    user_idle: Any = "30m"


class _When(BaseModel, extra="forbid", frozen=True):
    slots: dict[str, Any] = {}
    channels: list[str] = []


class _Rule(BaseModel, extra="forbid", frozen=True):
    to: str = ""
    group: str | None = None
    priority: str | None = None
    when: _When = _When()
    hours: str | None = None
    transcript: bool | None = None


class _Agents(BaseModel, extra="forbid", frozen=True):
    show: str = "own"
    name: str | None = None
    avatar_url: str | None = None


class _Redaction(BaseModel, extra="forbid", frozen=True):
    slots: list[str] = []
    patterns: list[str] = []


class _Section(BaseModel, extra="forbid", frozen=True):
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
    end_words: list[str] = ["/end"]
    chat_page: bool = False
    log_to_tracker: bool = False
    retention: Any = "30d"
    history_links: Any = "7d"
    media_links: Any = "7d"
    largest_file: Any = "25MB"
    channels: dict[str, Any] = {}
    acknowledge: bool = True


# Faults


class _Faults:
    """What is wrong so far: the first fault of each setting."""

    def __init__(self) -> None:
        self._sentences: dict[Path, str] = {}

    def add(self, path: Path, what: str) -> None:
        self._sentences.setdefault(path, f"{_spell(path)}: {what}" if path else what)

    def read(self, path: Path, reader: Callable[[Any], T], value: Any, instead: T) -> T:
        """What *reader* makes of *value*; a ValueError of its becomes a fault."""
        try:
            return reader(value)
        except ValueError as error:
            self.add(path, str(error))
            return instead

    def raise_if_any(self) -> None:
        if self._sentences:
            raise ConfigError(list(self._sentences.values()))


def _spell(path: Path) -> str:
    """As in `backends.desk.agents[1].token`."""
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return words.removeprefix(".")


# The raw section


def _filled_in(section: Mapping[str, Any] | None, faults: _Faults) -> dict[str, Any]:
    """The section as ours to change, with a fault for each variable that Rasa could not fill in."""
    data = _without_blanks(_plain(section or {}), faults)
    for path, name in _unexpanded(data):
        remedy = f"set the environment variable {name} before Rasa starts, and write ${{{name}}} without quotes"
        faults.add(path, f"${{{name}}} was not filled in; {remedy}")
    return data


def _plain(value: Any) -> Any:
    """YAML's own kinds of mapping and list as ours; also the copy that is ours to change."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _without_blanks(data: Any, faults: _Faults) -> dict[str, Any]:
    """The section without the keys that have nothing behind them: they mean the default."""
    if not isinstance(data, dict):
        faults.add((), "the section must be settings, one per line: `name: value`")
        return {}
    return {key: value for key, value in data.items() if value is not None}


def _unexpanded(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The values that still name an environment variable, because it is not set."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _unexpanded(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unexpanded(item, (*path, index))
    elif isinstance(value, str) and (found := re.search(r"\$\{([A-Za-z_]\w*)\}", value)):
        yield path, found[1]


# Shape: pydantic's findings in words that say what to write


def _shaped(model: type[M], data: Any, path: Path, faults: _Faults) -> M | None:
    """*data* as a *model*, without what is faulty in it; None when nothing is left to read."""
    if not isinstance(data, dict):
        faults.add(path, "must be a mapping: `name: value` lines, indented below it")
        return None
    try:
        return _validated(model, data)
    except ValidationError as error:
        found = error.errors()
    for one in found:
        where = _location(data, one["loc"])
        faults.add((*path, *where), _in_words(model, where, one))
    faulty = {one["loc"][0] for one in found}
    # The rest is read all the same, so that one message has every fault.
    with suppress(ValidationError):
        return _validated(model, {key: value for key, value in data.items() if key not in faulty})
    return None


def _validated(model: type[M], data: dict[str, Any]) -> M:
    """*data* as a *model*, with numbers taken for text where text is meant.

    YAML reads `group: 14343` as a number. Pydantic 1 takes it for text, pydantic 2 does not.
    """
    try:
        return model(**data)
    except ValidationError as error:
        numbers = [found["loc"] for found in error.errors() if found["type"] == "string_type"]
        if not numbers:
            raise
        data = deepcopy(data)
        for loc in numbers:
            _number_to_text(data, loc)
        return model(**data)


def _number_to_text(data: Any, loc: tuple[int | str, ...]) -> None:
    *parents, last = _location(data, loc)
    for part in parents:
        data = data[part]
    value = data[last]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        data[last] = str(value)


def _location(data: Any, loc: tuple[int | str, ...]) -> Path:
    """*loc* as far as it leads through *data*; pydantic 2 appends names of types to it."""
    path: list[Any] = []
    for part in loc:
        if not isinstance(data, (dict, list)):
            break
        path.append(part)
        try:
            data = data[part]  # type: ignore[index]  # an index for a list, a key for a dict
        except (KeyError, IndexError, TypeError):
            break
    return tuple(path)


def _in_words(model: type[BaseModel], path: Path, found: Mapping[str, Any]) -> str:
    kind = found["type"]
    if kind in ("value_error.missing", "missing"):
        return f"is missing; {_remedy(_hint(model, path), path)}"
    if kind in ("value_error.extra", "extra_forbidden"):
        return _unknown("there is no such setting", path[-1], _fields(_model_in(_hint(model, path[:-1]))))
    wanted = _wanted(_hint(model, path))
    if wanted:
        return f"must be {wanted}; {_remedy(_hint(model, path), path)}"
    return str(found["msg"]).removeprefix("Value error, ")


def _unknown(what: str, name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"{what}; did you mean `{close[0]}`?"
    return f"{what}; known: {', '.join(sorted(known)) or 'none'}"


_WORDS: dict[Any, tuple[str, str]] = {
    str: ("text", "..."),
    bool: ("true or false", "true"),
    int: ("a whole number", "1"),
    float: ("a number", "1"),
    list: ("a list", "[...]"),
    dict: ("a mapping", "{...}"),
}


def _wanted(hint: Any) -> str | None:
    return _WORDS[_kind(hint)][0] if _kind(hint) in _WORDS else None


def _remedy(hint: Any, path: Path) -> str:
    """The line to write, as far as the name and the type tell."""
    name = next((part for part in reversed(path) if isinstance(part, str)), "value")
    example = _WORDS.get(_kind(hint), ("", "..."))[1]
    if any(word in name for word in ("token", "secret", "password", "key")):
        example = f"${{{name.upper()}}}"
    return f"write `{name}: {example}`"


def _kind(hint: Any) -> Any:
    """The bare type behind a hint: `list[str] | None` is a list, a model is a mapping."""
    options = [option for option in get_args(hint) if option is not type(None)]
    if get_origin(hint) not in (list, dict) and len(options) == 1:
        return _kind(options[0])
    return dict if _is_model(hint) else get_origin(hint) or hint


def _hint(model: type[BaseModel], path: Path) -> Any:
    """The type hint of the setting at *path*; None where there is none."""
    hint: Any = model
    for part in path:
        if isinstance(part, int):
            hint = next(iter(get_args(_listed(hint))), None)
            continue
        inner = _model_in(hint)
        hint = get_type_hints(inner).get(part) if inner else None
    return hint


def _listed(hint: Any) -> Any:
    """The list in `list[X] | None`."""
    if get_origin(hint) is list:
        return hint
    return next((option for option in get_args(hint) if get_origin(option) is list), None)


def _model_in(hint: Any) -> type[BaseModel] | None:
    if _is_model(hint):
        return cast("type[BaseModel]", hint)
    return next(filter(None, map(_model_in, get_args(hint))), None)


def _is_model(hint: Any) -> bool:
    # `list[str]` passes for a type in Python 3.10, though it has no subclasses
    return get_origin(hint) is None and isinstance(hint, type) and issubclass(hint, BaseModel)


def _fields(model: type[BaseModel] | None) -> list[str]:
    hints = get_type_hints(model) if model else {}
    return [
        name
        for name, hint in hints.items()
        if get_origin(hint) is not ClassVar and not name.startswith(("_", "model_"))
    ]


# Values


def _read_backends(
    asked: dict[str, Any], known: Mapping[str, type[BaseModel]], faults: _Faults
) -> dict[str, BaseModel | None]:
    """Each backend's section, read by that backend's own model; None for a faulty one."""
    if not asked:
        faults.add(("backends",), "must name at least one backend; write `backends: {desk: {}}`")
    read: dict[str, BaseModel | None] = {}
    for name, section in asked.items():
        path = ("backends", name)
        read[name] = None  # a rule may name it all the same
        if name in known:
            read[name] = _read_model(known[name], {} if section is None else section, path, faults)
        else:
            faults.add(path, _unknown("there is no such backend", name, list(known)))
    return read


def _read_channels(
    asked: dict[str, Any], known: Mapping[str, type[BaseModel]], faults: _Faults
) -> dict[str, BaseModel]:
    read: dict[str, BaseModel] = {}
    for name, section in asked.items():
        path = ("channels", name)
        if name not in known:
            faults.add(path, _unknown("there is nothing to set for a channel of this name", name, list(known)))
        elif (shape := _read_model(known[name], {} if section is None else section, path, faults)) is not None:
            read[name] = shape
    return read


def _read_model(model: type[M], section: Any, path: Path, faults: _Faults) -> M | None:
    """A section with a model of its own, which may have a method ``faults`` that finds what a type cannot say."""
    shape = _shaped(model, section, path, faults)
    absent, checked = (set[str](), shape) if shape is not None else _completed(model, section)
    for name, what in getattr(checked, "faults", tuple)():
        if name.partition(".")[0] not in absent:
            faults.add((*path, name), what)
    return shape


def _completed(model: type[M], section: Any) -> tuple[set[str], M | None]:
    """A faulty section with something else in the place of its faults, to check the rest by; and where they are."""
    if not isinstance(section, dict):
        return set(), None
    hints = get_type_hints(model)
    known = {name: value for name, value in section.items() if name in hints}
    absent: set[str] = set()
    for _ in range(3):  # what is faulty is left out first, and is perhaps missing then
        try:
            return absent, _validated(model, known)
        except ValidationError as error:
            faulty = {str(one["loc"][0]) for one in error.errors()}
        missing = {name: _instead(hints[name]) for name in (faulty - known.keys()) & hints.keys()}
        known = {**{name: value for name, value in known.items() if name not in faulty}, **missing}
        absent |= faulty
    return absent, None


def _instead(hint: Any) -> Any:
    """A value of the type *hint*, whatever it says."""
    if _is_model(hint):
        return {name: _instead(inner) for name, inner in get_type_hints(hint).items() if name in _fields(hint)}
    return {str: "", bool: False, int: 0, float: 0.0, list: [], dict: {}}.get(_kind(hint), "")


def _require_public_url(shape: _Section, known: Mapping[str, type[BaseModel]], faults: _Faults) -> None:
    needing = [name for name in shape.backends if getattr(known.get(name), "needs_public_url", False)]
    if needing and shape.public_url is None:
        why = f"{needing[0]} makes links that begin with it"
        faults.add(("public_url",), f"is missing; {why}; write e.g. `public_url: https://bot.example.com`")


def _convert(shape: _Section, backends: Mapping[str, Any], faults: _Faults) -> Settings:
    """The shape with its texts read: URLs, durations, hours, expressions."""
    read = faults.read
    return Settings(
        public_url=read(("public_url",), read_url, shape.public_url, None),
        token=read(("token",), _read_token, shape.token, None),
        database=read(("database",), _read_database, shape.database, ""),
        backends=backends,
        route=_read_route(shape, backends, faults),
        deadlines=_read_deadlines(shape.deadlines, faults),
        open_timeout=read(("open_timeout",), _read_open_timeout, shape.open_timeout, 0.0),
        delivery_timeout=read(("delivery_timeout",), read_duration, shape.delivery_timeout, 0.0),
        redact=_read_redaction(shape.redact, faults),
        agents=_read_faces(shape.agents, faults),
        end_words=tuple(_read_words(("end_words",), shape.end_words, faults)),
        chat_page=shape.chat_page,
        log_to_tracker=shape.log_to_tracker,
        retention=read(("retention",), read_duration_or_off, shape.retention, None),
        history_links=read(("history_links",), read_duration, shape.history_links, 0.0),
        media_links=read(("media_links",), read_duration, shape.media_links, 0.0),
        largest_file=read(("largest_file",), _read_size, shape.largest_file, 0),
        acknowledge=shape.acknowledge,
    )


@overload
def read_url(text: str) -> str: ...
@overload
def read_url(text: None) -> None: ...
def read_url(text: str | None) -> str | None:
    """An address of the web, without a slash at its end."""
    if text is None:
        return None
    remedy = "write e.g. https://bot.example.com"
    if "?" in require_address(text, remedy):
        raise ValueError(f"must be a bare address, with no query in it; {remedy}")
    return text.rstrip("/")


def require_address(text: str, remedy: str = "write e.g. https://agents.example.com/start") -> str:
    """Require *text* to be an address of the web; it may have a query."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"is not a URL; {remedy}") from None
    if parts.scheme not in ("http", "https") or not host or re.search(r"\s", text):
        raise ValueError(f"must be an http:// or https:// address; {remedy}")
    if parts.fragment or parts.username is not None:
        raise ValueError(f"must be a bare address, with no name or fragment in it; {remedy}")
    return text


_OF_THE_BODY = {"content-type", "content-length", "transfer-encoding"}
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def require_headers(headers: Mapping[str, str]) -> None:
    """Require *headers* to be ones that a request can carry."""
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or not re.fullmatch(r"[\t -~]*", value):
            raise ValueError(f"cannot be sent: {name!r} or its value has a character that a header must not have")
        if name.lower() in _OF_THE_BODY:
            raise ValueError(f"must not have {name}, which says what the body is; leave it out")


def _read_token(text: str | None) -> str | None:
    if text is None:
        return None
    remedy = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'
    if len(text) < SHORTEST_TOKEN:
        raise ValueError(f"is shorter than {SHORTEST_TOKEN} characters and could be guessed; {remedy}")
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError(f"has characters that a header cannot carry; {remedy}")
    return text


def matching(pattern: str, remedy: str) -> Callable[[str], None]:
    """A check that requires a whole text to match *pattern*, in ASCII; for `faults_in`."""

    def check(text: str) -> None:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(remedy)

    return check


def require_secret(text: str) -> None:
    """Require what an agent system and we show each other to be hard to guess and fit for a header."""
    remedy = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'
    if len(text) < SHORTEST_SECRET:
        raise ValueError(f"is shorter than {SHORTEST_SECRET} characters and could be guessed; {remedy}")
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError(f"has characters that a header cannot carry; {remedy}")


def faults_in(section: BaseModel, checks: Mapping[str, Callable[[Any], object]]) -> Iterator[tuple[str, str]]:
    """What *checks* have to say about a backend's settings, each a setting and what is wrong with it.

    A check raises ValueError with the remedy. What is not set is not checked.
    """
    for name, check in checks.items():
        value = getattr(section, name)
        try:
            if value is not None:
                check(value)
        except ValueError as error:
            yield name, str(error)


def _read_database(text: str) -> str:
    remedy = "write sqlite:///.rasa_handoff/handoff.db, or postgresql://user:password@host/name for one on a server"
    if re.match(r"sqlite:///[^:?]", text) or re.match(r"postgresql(\+psycopg2)?://.", text):
        return text
    if text.startswith("postgres://"):
        raise ValueError("begins with postgres://; write postgresql:// instead")
    raise ValueError(f"must be a file of SQLite or a database of PostgreSQL; {remedy}")


_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def read_duration(value: Any) -> float:
    """Seconds, from "5m", "90s", "2h", "1d" or a number of seconds."""
    remedy = "write e.g. 90s, 5m, 2h, 1d or a number of seconds"
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", str(value).strip(), re.ASCII)
    if isinstance(value, bool) or found is None:
        raise ValueError(f"is not a duration; {remedy}")
    seconds = float(found[1]) * _UNITS[found[2] or "s"]
    if not math.isfinite(seconds) or not 0 < seconds <= 10 * _YEAR:
        raise ValueError(f"must be longer than nothing and shorter than ten years; {remedy}")
    return seconds


_SIZES = {"kB": 1024, "MB": 1024**2, "GB": 1024**3}


def _read_size(value: Any) -> int:
    """Bytes, from "25MB" or a number of bytes."""
    found = re.fullmatch(r"(\d{1,12})\s*(kB|MB|GB)?", str(value).strip(), re.ASCII)
    if isinstance(value, bool) or found is None or not int(found[1]):
        raise ValueError("is not a size; write e.g. 500kB, 25MB or a number of bytes")
    return int(found[1]) * _SIZES.get(found[2], 1)


def _read_open_timeout(value: Any) -> float:
    seconds = read_duration(value)
    if seconds > LONGEST_OPEN_TIMEOUT:
        raise ValueError(
            f"must be at most {LONGEST_OPEN_TIMEOUT:.0f}s: "
            "Rasa gives up its lock on the conversation after 60s; write e.g. 10s"
        )
    return seconds


def _is_off(value: Any) -> bool:
    return value is False or (isinstance(value, str) and value.strip().lower() == "off")


def read_duration_or_off(value: Any) -> float | None:
    """Seconds; None for ``off``."""
    return None if _is_off(value) else read_duration(value)


def _read_deadlines(asked: dict[str, Any], faults: _Faults) -> dict[str, DeadlineSetting]:
    shape = _shaped(_Deadlines, asked, ("deadlines",), faults) or _Deadlines()
    return {
        name: _read_deadline(("deadlines", name), getattr(shape, name), faults)
        for name in ("accept", "agent_reply", "user_idle")
    }


def _read_deadline(path: Path, value: Any, faults: _Faults) -> DeadlineSetting:
    """One deadline, from a duration or from `{after: 5m, warn: 4m}`."""
    told = value if isinstance(value, dict) else {"after": value}
    for name in told.keys() - {"after", "warn"}:
        faults.add((*path, name), _unknown("there is no such setting", name, ["after", "warn"]))
    if "after" not in told:
        faults.add((*path, "after"), "is missing; write e.g. {after: 5m, warn: 4m}")
        return DeadlineSetting(after=0.0, warn=None)
    where = (*path, "after") if isinstance(value, dict) else path
    after = faults.read(where, read_duration, told["after"], 0.0)
    if "warn" not in told:
        return DeadlineSetting(after=after, warn=after * _WARN_AT)
    if _is_off(told["warn"]):
        return DeadlineSetting(after=after, warn=None)
    warn = faults.read((*path, "warn"), read_duration, told["warn"], None)
    if warn is not None and after and warn >= after:
        faults.add((*path, "warn"), "must come before `after`; write a shorter one, or warn: off")
    return DeadlineSetting(after=after, warn=warn)


def _read_redaction(asked: dict[str, Any], faults: _Faults) -> Redaction:
    shape = _shaped(_Redaction, asked, ("redact",), faults) or _Redaction()
    patterns = [
        faults.read(("redact", "patterns", index), _read_pattern, text, None)
        for index, text in enumerate(shape.patterns)
    ]
    return Redaction(slots=frozenset(shape.slots), patterns=tuple(filter(None, patterns)))


def _read_pattern(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is not a regular expression ({error}); write e.g. '\\b\\d{{16}}\\b'") from None
    if pattern.search(""):
        raise ValueError("matches the empty text, so it would match everywhere; write + instead of *")
    return pattern


def _read_faces(asked: dict[str, Any], faults: _Faults) -> Faces:
    shape = _shaped(_Agents, asked, ("agents",), faults) or _Agents()
    if shape.show not in ("own", "one"):
        faults.add(("agents", "show"), "must be own (each agent's name) or one (the same for all); write `show: own`")
    if shape.show == "one" and not (shape.name or "").strip():
        faults.add(("agents", "name"), "is missing; with `show: one` it is what all are called: `name: Our team`")
    avatar_url = faults.read(("agents", "avatar_url"), read_picture, shape.avatar_url, None)
    return Faces(name=shape.name, avatar_url=avatar_url, same_for_all=shape.show == "one")


def read_picture(text: str | None) -> str | None:
    """The address of a picture that users' pages may load."""
    if text is None or re.fullmatch(r"https://[^\s/?#]+\S*", text):
        return text
    raise ValueError("must be an https:// address; write e.g. https://www.example.com/team.png")


def _read_words(path: Path, words: list[str], faults: _Faults) -> Iterator[str]:
    for index, word in enumerate(words):
        if word.strip():
            yield word.strip()
        else:
            faults.add((*path, index), "is empty; write a word such as /end")


def _read_route(shape: _Section, backends: Mapping[str, Any], faults: _Faults) -> tuple[Rule, ...]:
    """The rules in their order; one for each backend when there are none."""
    if shape.route is None:
        return tuple(Rule(to=name, transcript=shape.transcript) for name in backends)
    if not shape.route:
        faults.add(("route",), "is empty; write at least `- {to: desk}`, or leave the setting out")
    dates = [faults.read(("holidays", index), _read_date, value, None) for index, value in enumerate(shape.holidays)]
    holidays = frozenset(day for day in dates if day is not None)
    return tuple(
        _read_rule(("route", index), rule, backends, holidays, faults, shape.transcript)
        for index, rule in enumerate(shape.route)
    )


def _read_rule(
    path: Path,
    asked: Any,
    backends: Mapping[str, Any],
    holidays: frozenset[date],
    faults: _Faults,
    transcript: bool,
) -> Rule:
    shape = _shaped(_Rule, asked, path, faults)
    if shape is None:
        return Rule(to="")
    if not shape.to:
        faults.add((*path, "to"), f"is missing; write one of: {', '.join(backends)}")
    elif shape.to not in backends:
        faults.add((*path, "to"), _unknown("names no backend of yours", shape.to, list(backends)))
    hours = None
    if shape.hours is not None:
        hours = faults.read((*path, "hours"), read_hours, shape.hours, None)
    return Rule(
        to=shape.to,
        group=shape.group,
        priority=shape.priority,
        when=_read_when(shape.when),
        hours=hours,
        holidays=holidays,
        transcript=transcript if shape.transcript is None else shape.transcript,
    )


def _read_when(shape: _When) -> When:
    slots = {name: tuple(value) if isinstance(value, list) else (value,) for name, value in shape.slots.items()}
    return When(slots=slots, channels=tuple(shape.channels))


def _read_date(value: Any) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("is not a date; write e.g. 2026-12-25") from None
