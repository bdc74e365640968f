"""The contract between this package and an agent system."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel

from rasa_handoff.access import Access
from rasa_handoff.events import AnyEvent, MessageStatus
from rasa_handoff.model import EndReason, Handoff, Json, Message, Person, Request, Status
from rasa_handoff.store import Store, Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The agent system accepted the request."""

    chat_id: str
    status: Status = Status.QUEUED  #: QUEUED, or ACTIVE if an agent is there at once
    queue_position: int | None = None  #: 1 is next
    agent: Person | None = None
    notes: Json = field(default_factory=dict)  #: what the backend wants to find in ``handoff.notes``


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a backend finds around it."""

    store: Store
    apply: Callable[[str, AnyEvent], Awaitable[Handoff]]  #: tell what happened at the agent system
    applied: Callable[[Tx, str, AnyEvent], Handoff]  #: the same, inside a transaction
    access: Access  #: the private file's content


class Backend:
    """One agent system.

    Every method that calls out raises `TemporaryError` when it is worth another try, `ChatGone` when
    the chat is over there, and `BackendError` when trying again would not help; the outbox does
    the rest. `open` may also raise `Unavailable` or `Refused`.
    """

    name: ClassVar[str]
    settings_model: ClassVar[type[BaseModel]]

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def chat_id_of(self, handoff: Handoff) -> str | None:
        """The chat's id there, where it is known before `open` answers."""
        return None

    async def start(self, around: Surroundings) -> None:
        """Make ready; called in the server's event loop."""
        self.around = around

    async def stop(self) -> None:
        """Let go of what `start` took."""

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        """Ask for an agent. Called again for the same ``handoff.id`` it must not open a second chat."""
        raise NotImplementedError

    async def send(self, handoff: Handoff, message: Message) -> None:
        """Bring a message of the user. ``message.id`` stays the same when it is tried again."""
        raise NotImplementedError

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        """End the chat there; it ended here with *reason*. Ending it twice does no harm."""
        raise NotImplementedError

    async def report(self, handoff: Handoff, status: MessageStatus) -> None:
        """Say what became of an agent's message. Best effort; by default nothing."""

    async def typing(self, handoff: Handoff, typing: bool) -> None:
        """The user began or stopped typing. Best effort; by default nothing."""

    async def presence(self, handoff: Handoff, connected: bool) -> None:
        """The user's page connected or went away. Best effort; by default nothing."""

    async def look(self, handoff: Handoff) -> list[AnyEvent]:
        """What happened to the chat that we may not have heard of, e.g. `Closed`. By default nothing."""
        return []
