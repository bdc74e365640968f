"""What a bot owner has chosen, frozen, as the rest of the package sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pydantic import BaseModel

from rasa_handoff.faces import Faces
from rasa_handoff.hours import Hours


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
    edited_text: str = "✎ {text}"  #: what agents read when a user has changed a message
    deleted_text: str = "🗑 The user has deleted a message."  #: … when they have deleted it
    chat_page: bool = False
    log_to_tracker: bool = False
    retention: float | None = 2_592_000.0  #: seconds a closed handoff is kept; None: for ever
    history_links: float = 604_800.0  #: seconds for which a link to a conversation's history opens it
    media_links: float = 604_800.0  #: seconds for which a link to a file of a user's opens it
    largest_file: int = 26_214_400  #: bytes of a file: a user's that an agent can open, or an agent's that is uploaded
    all_files: int = 21_474_836_480  #: bytes of all files that are kept in the database
    files_from: frozenset[str] = frozenset({"users", "agents"})  #: who may give some that are kept there
    channels: Mapping[str, BaseModel] = field(default_factory=dict)  #: what is set for Rasa's channels, by name
    acknowledge: bool = True  #: answer clients that wait for one with a receipt
