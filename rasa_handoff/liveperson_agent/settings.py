"""What a bot's owner says of the agent that the bot is, and of where it transfers chats to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, Field

from rasa_handoff.backends.liveperson.domains import BASE, require_base
from rasa_handoff.errors import ConfigError
from rasa_handoff.settings import TextOrNumber, faults_in, read_channel, read_duration

CHANNEL = "rasa_handoff.LivePersonAgentInput"  #: its entry in credentials.yml
PAGE = "docs/backends/liveperson_agent.md"  #: says where to find what it needs
STATES = ("Online", "Occupied")  #: Occupied: only chats that others transfer to it
LONGEST_POLL = 10.0  #: seconds; a ringing chat has to be taken within 20
_DUMMY = "dummy"  # what the Login Service wants where an OAuth 2 client has no such thing
_SOURCE = re.compile(r"[A-Za-z_]\w*(\.[^.]+)+")
_ROOTS = ("visitor", "survey", "authenticated", "chat", "agents")


class ChannelSettings(BaseModel, extra="forbid", frozen=True):
    """The section ``rasa_handoff.LivePersonAgentInput``."""

    account: TextOrNumber
    username: TextOrNumber
    password: str | None = Field(default=None, repr=False)
    app_key: str | None = None
    secret: str | None = Field(default=None, repr=False)
    access_token: str | None = Field(default=None, repr=False)
    access_token_secret: str | None = Field(default=None, repr=False)
    domain_api: str = BASE
    availability: str = "Online"
    poll: Any = "2s"
    conversation: str = "chat"
    greeting: str | None = None
    typing: bool = True
    visit_information: bool = True
    slots: dict[str, str] = {}
    positions: str = ".rasa_handoff/liveperson_agent.db"

    @property
    def credentials(self) -> dict[str, str]:
        """The body of a login, as a user or as an application (bot).

        https://developers.liveperson.com/login-service-api-methods-application-login.html (read 2026-11)
        """
        if self.password is not None:
            return {"username": self.username, "password": self.password}
        return {
            "username": self.username,
            "appKey": self.app_key or "",
            "secret": self.secret or "",
            "accessToken": self.access_token or _DUMMY,
            "accessTokenSecret": self.access_token_secret or _DUMMY,
        }

    @property
    def pause(self) -> float:
        """Seconds between two polls."""
        return read_duration(self.poll)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from faults_in(self, _CHECKS)
        yield from self._faults_of_the_login()
        for slot, source in self.slots.items():
            if not _SOURCE.fullmatch(source) or source.partition(".")[0] not in _ROOTS:
                what = f"must name a place in the metadata; write e.g. visitor.ip (one of {', '.join(_ROOTS)})"
                yield f"slots.{slot}", what

    def _faults_of_the_login(self) -> Iterator[tuple[str, str]]:
        application = self.app_key is not None or self.secret is not None
        if self.password is not None and application:
            yield "password", "is there beside app_key; keep one of the two ways to sign in"
        if self.password is None and not application:
            yield "app_key", "is missing; write app_key and secret of an OAuth 2 client (or the user's password)"
        if application and (not self.app_key or not self.secret):
            missing = "secret" if self.app_key else "app_key"
            yield missing, f"is missing; write `{missing}: ${{LIVEPERSON_{missing.upper()}}}`"
        if (self.access_token is None) != (self.access_token_secret is None):
            yield "access_token", "needs access_token_secret beside it, and the other way round; OAuth 2 needs neither"


class BackendSettings(BaseModel, extra="forbid", frozen=True):
    """The section ``backends.liveperson_agent`` of ``rasa_handoff.HandoffInput``."""

    skill: TextOrNumber | None = None
    agent: TextOrNumber | None = None
    note: str = "The visitor asked the bot for a person."
    transcript_lines: int = 40

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from faults_in(self, {"agent": _require_number, "transcript_lines": _require_lines})
        if self.skill is not None and self.agent is not None:
            yield "skill", "is there beside agent, which would win; keep one of them"


def read(section: Mapping[str, Any] | None) -> ChannelSettings:
    """Read the channel's section of credentials.yml.

    Raises:
        ConfigError: with every fault and its remedy.
    """
    try:
        return read_channel(section, ChannelSettings)
    except ConfigError as error:
        raise ConfigError([f"{CHANNEL}: {fault} (see {PAGE})" for fault in error.faults]) from None


def _require(text: str) -> None:
    if not text.strip():
        raise ValueError("is empty")


def _require_account(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9]+", text):
        raise ValueError("must be the number of the account; write e.g. account: 12345678")


def _require_number(text: str) -> None:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError("must be the agent's numeric id; write e.g. agent: 311098910")


def _require_lines(lines: int) -> None:
    if not 0 <= lines <= 200:
        raise ValueError("must be 0 to 200")


def _one_of(*words: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")

    return check


def _require_pause(value: Any) -> None:
    if read_duration(value) > LONGEST_POLL:
        raise ValueError(f"must be at most {LONGEST_POLL:g}s: a ringing chat is given up after 20s; write e.g. 2s")


_CHECKS: dict[str, Callable[[Any], object]] = {
    "account": _require_account,
    "username": _require,
    "domain_api": require_base,
    "availability": _one_of(*STATES),
    "poll": _require_pause,
    "conversation": _one_of("chat", "visitor"),
    "greeting": _require,
    "positions": _require,
}
