"""Small stand-ins of agent systems: what each says and is told, without the people."""

from __future__ import annotations

import pkgutil
import secrets
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from rasa_handoff.model import Json
from rasa_handoff.testing.calls import Call
from rasa_handoff.testing.wire import Asked, Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a request of the bot's side means to the agents."""

    what: Literal["opened", "said", "ended", "told"]  #: told: nothing for an agent to do
    chat: str
    text: str = ""  #: what the user wrote, or the note to the agent; told: a line that a person is to read


class AgentSide:
    """One agent system. Each module of this package has one, called ``Side``."""

    page: str | None = (
        None  #: the path, here, of a page on which to be the user; None: users come from the bot's channels
    )

    def __init__(self) -> None:
        self.ours = secrets.token_urlsafe(24)  #: what the bot presents to us
        self.theirs = secrets.token_urlsafe(24)  #: what we present to the bot

    def section(self, url: str) -> Json:
        """The backend's settings, for a bot that is to speak to us at *url*."""
        raise NotImplementedError

    def channels(self, url: str) -> Json:
        """What else the bot's credentials.yml needs, by channel."""
        return {}

    def answer(self, asked: Asked) -> Response:
        """What the bot gets for its request: a status, a body and perhaps headers."""
        return 200, {}

    def hear(self, asked: Asked) -> Heard | None:
        """What a request that was taken means; None: nothing that is worth telling."""
        raise NotImplementedError

    def is_news(self, asked: Asked, body: Any) -> bool:
        """Whether the request, or what it got, is worth showing; not where the bot asks again and again in vain."""
        return True

    def signed(self, call: Call) -> Call:
        """*call* with what proves that it is ours."""
        raise NotImplementedError

    # What an agent does, as a request to the bot; None where the bot asks what happened.

    def accepting(self, chat: str) -> Call | None:
        """An agent takes the chat; None also where they just begin to write."""
        return None

    def writing(self, chat: str, text: str) -> Call | None:
        raise NotImplementedError

    def ending(self, chat: str) -> Call | None:
        raise NotImplementedError


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> AgentSide:
    """The agent system *name*, with tokens of its own."""
    side: AgentSide = import_module(f"{__name__}.{name}").Side()
    return side
