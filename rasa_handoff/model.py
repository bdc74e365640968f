"""Our nouns, frozen."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

Json = dict[str, Any]
NO_CHANNEL = "unknown"  #: what the channel of a message is called that does not say by which it came


class Status(str, Enum):
    """Where a handoff stands."""

    REQUESTED = "requested"  #: being opened at the agent system
    QUEUED = "queued"  #: accepted there, waiting for an agent
    ACTIVE = "active"  #: an agent is in the chat
    CLOSED = "closed"  #: over; the bot is back


class EndReason(str, Enum):
    """Why a handoff ended; a closed list that rules can rely on."""

    AGENT_CLOSED = "agent_closed"
    USER_LEFT = "user_left"
    UNAVAILABLE = "unavailable"  #: nobody there, or outside hours
    REJECTED = "rejected"
    NOT_ACCEPTED = "not_accepted"  #: the accept deadline passed in the queue
    AGENT_SILENT = "agent_silent"
    AGENT_LEFT = "agent_left"
    USER_IDLE = "user_idle"
    BOT_RESUMED = "bot_resumed"  #: asked for by a rule or an operator
    FAILED = "failed"  #: the agent system could not be reached, or said no for good
    HANDED_OVER = "handed_over"  #: the user talks with the agents where they are, for good; the bot has left


#: Those of a handoff that no agent system kept, unless an agent had it.
REFUSALS = frozenset({EndReason.UNAVAILABLE, EndReason.REJECTED, EndReason.FAILED})

Who = Literal["user", "agent", "bot", "system"]
AttachmentKind = Literal["image", "audio", "video", "file", "location"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An agent, as a user may see them."""

    name: str  #: never a login
    id: str | None = None  #: the agent system's id
    avatar_url: str | None = None
    department: str | None = None

    def is_same_as(self, other: Person | None) -> bool:
        """Whether both are one agent, however much is known of them."""
        if other is None:
            return False
        return self.id == other.id if self.id and other.id else self.name == other.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """Something that is not text."""

    url: str
    kind: AttachmentKind = "file"
    name: str | None = None
    mime: str | None = None
    size: int | None = None  #: bytes, where whoever keeps it says so


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A choice the user can press."""

    title: str
    payload: str  #: what the bot or the agent system gets when it is pressed
    url: str | None = None  #: where it leads instead


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Something to look at, with choices."""

    title: str
    text: str = ""
    image_url: str | None = None
    url: str | None = None  #: where it leads
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What somebody wrote; its id goes along wherever it goes."""

    id: str
    who: Who
    text: str = ""
    name: str | None = None  #: of an agent
    avatar_url: str | None = None
    attachments: tuple[Attachment, ...] = ()
    buttons: tuple[Button, ...] = ()
    cards: tuple[Card, ...] = ()
    to_bot: str | None = None  #: of a user: what the bot gets, where that is not *text*; empty: nothing
    known_as: str | None = None  #: of a user: what their own side calls it
    edits: str | None = None  #: of a user: what their own side calls the message whose place it takes
    deletes: str | None = None  #: of a user: what their own side calls the message that it says is gone
    at: float = 0.0  #: seconds since the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the conversation before the handoff."""

    who: Who
    text: str
    at: float = 0.0  #: seconds since the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the bot asks for when it hands over; redacted before it is stored."""

    sender_id: str
    channel: str  #: the name of the Rasa input channel
    transcript: tuple[Line, ...] = ()
    parameters: Json = field(default_factory=dict)  #: slots, by name
    last_message: str | None = None  #: the user's, that led to the handoff
    metadata: Json = field(default_factory=dict)  #: of the user's last message, from the channel
    backend: str | None = None  #: asked for by name; else the route decides
    group: str | None = None
    priority: str | None = None
    callback: dict[str, str] | None = None  #: how to reach a user who wants to be called: name, phone, email, time, …


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """How content the user was with the agents."""

    stars: int  #: 1 to 5, which is best
    resolved: bool | None = None  #: whether their question was settled, if they were asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """When somebody has waited long enough."""

    due: float  #: seconds since the epoch
    warn: float | None = None  #: when to say so first; None once said

    @property
    def next(self) -> float:
        """When the clock has to look."""
        return self.due if self.warn is None else min(self.warn, self.due)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """One stretch of a conversation held by the agents' side."""

    id: str
    sender_id: str
    channel: str
    backend: str
    status: Status
    opened_at: float
    chat_id: str | None = None  #: the agent system's name of the chat, once it accepted
    end_reason: EndReason | None = None
    group: str | None = None
    agent: Person | None = None
    queue_position: int | None = None
    accepted_at: float | None = None
    replied_at: float | None = None  #: when an agent first wrote
    closed_at: float | None = None
    rating: Rating | None = None  #: the user's, once they gave one
    settled: bool = False  #: over, and the bot knows
    last_seq: int = 0  #: of messages and deliveries
    deadlines: dict[str, Deadline] = field(default_factory=dict)  #: accept, agent_reply, user_idle
    notes: Json = field(default_factory=dict)  #: what the backend keeps with it
    owner: str = ""  #: the process that looks after it, where there are several

    @property
    def is_open(self) -> bool:
        return self.status is not Status.CLOSED

    @property
    def queue_minutes(self) -> int | None:
        """How long it will take until an agent is there, where the agent system says so."""
        return self.notes.get("queue_minutes") if self.status is Status.QUEUED else None


Target = Literal["agent", "user"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Something that is to go out; one after the other within its handoff and target."""

    id: str
    handoff_id: str
    target: Target
    seq: int
    #: To an agent: message, accepted, status, close, callback, rating;
    #: to a user: message, notice, state, read, slots, settle, replay
    kind: str
    message: Message | None = None
    body: Json = field(default_factory=dict)
    state: Literal["pending", "done", "dead"] = "pending"
    attempts: int = 0
    next_at: float = 0.0  #: seconds since the epoch, as all times
    give_up_at: float = 0.0
    created_at: float = 0.0
    error: str | None = None


def new_handoff_id() -> str:
    """A random UUID (version 4) with hyphens: some agent systems take nothing else."""
    return str(uuid.uuid4())


def new_id() -> str:
    """A UUID that sorts by time (version 7, RFC 9562), so that indexes grow at one end."""
    milliseconds = time.time_ns() // 1_000_000
    tail = int.from_bytes(os.urandom(10), "big")
    bits = (milliseconds << 80) | (0x7 << 76) | ((tail >> 4) & ((1 << 76) - 1))
    bits = (bits & ~(0b11 << 62)) | (0b10 << 62)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
