"""What an agent system can tell us. Facts, in our words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union

from rasa_handoff.model import Attachment, Button, Card, EndReason, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened at the agent system."""

    chat_id: str
    event_id: str | None = None  #: theirs; a repeat of it has no second effect
    sender_id: str | None = None  #: the conversation, where it names that too: finds a chat still being opened
    at: float | None = None  #: theirs, seconds since the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentJoined(Event):
    """An agent took the chat."""

    agent: Person


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMessage(Event):
    """An agent wrote to the user."""

    agent: Person | None = None  #: who wrote; None: whoever joined last
    text: str = ""
    attachments: tuple[Attachment, ...] = ()
    buttons: tuple[Button, ...] = ()
    cards: tuple[Card, ...] = ()
    automatic: bool = False  #: the agent system said it by itself: nobody has joined, and nobody waits for an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTakenBack(Event):
    """An agent takes back what they wrote: if it has not gone out to the user, it never does."""

    message_id: str  #: the ``event_id`` that the message had
    #: What a user reads who may have got it; empty: nothing. None: then it stays, and to tell us is a `Conflict`.
    instead: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTyping(Event):
    """An agent began or stopped typing. Not kept."""

    typing: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMoved(Event):
    """The user's place in the queue changed."""

    position: int | None = None  #: 1 is next
    wait: float | None = None  #: estimated, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred(Event):
    """The chat went to another agent or group, or (neither named) back to the queue."""

    agent: Person | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageStatus(Event):
    """What became of a message: one of the user's, when the agent system tells us; of an agent's, when we tell it."""

    message_id: str  #: of the user's: ``Message.id``, as `Backend.send` got it; of an agent's: the event's ``event_id``
    state: Literal["submitted", "delivered", "read", "rejected"]
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAway(Event):
    """The agent logged out or stopped reacting; the chat is nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentIdle(Event):
    """The agent has the chat, but does not react; or does again."""

    idle: bool = True
    seconds: float | None = None  #: for how long
    cause: str | None = None  #: in the agent system's words


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Event):
    """The chat ended at the agent system."""

    reason: EndReason = EndReason.AGENT_CLOSED


AnyEvent = Union[
    AgentJoined,
    AgentMessage,
    AgentTyping,
    QueueMoved,
    Transferred,
    MessageStatus,
    MessageTakenBack,
    AgentAway,
    AgentIdle,
    Closed,
]
