"""The contract between this package and an agent system.

A backend is a class with the words of one agent system: what it is told (`open`, `send`, `close`, …), and
what it tells us, either through webhooks (methods marked with `hook`) or by calling `happened` itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel

from rasa_handoff import strict_json
from rasa_handoff.access import Access
from rasa_handoff.errors import BackendError, NotAuthentic, WebhookError
from rasa_handoff.events import AnyEvent, MessageStatus
from rasa_handoff.files import Files
from rasa_handoff.model import EndReason, Handoff, Json, Message, Person, Rating, Request, Status
from rasa_handoff.porter import Behind
from rasa_handoff.settings import DeadlineSetting, Settings
from rasa_handoff.store import Store, Tx, messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The agent system accepted the request."""

    chat_id: str
    #: QUEUED, or ACTIVE if an agent is there at once; CLOSED if the user is with the agents already, where they
    #: are, and nothing of it will pass us: the handoff ends as ``handed_over``, and the bot says nothing more.
    status: Status = Status.QUEUED
    queue_position: int | None = None  #: 1 is next
    queue_wait: float | None = None  #: estimated, seconds
    agent: Person | None = None
    notes: Json = field(default_factory=dict)  #: what the backend wants to find in ``handoff.notes``


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a backend finds around it."""

    store: Store
    apply: Callable[[str, AnyEvent], Awaitable[Handoff]]  #: tell what happened at the agent system
    applied: Callable[[Tx, str, AnyEvent], Handoff]  #: the same, inside a transaction
    access: Access  #: the private file's content
    files: Files  #: those that we keep ourselves
    behind: Behind  #: opens what a link of ours to a file stands for: one that we keep, or that the user's channel does
    now: Callable[[], float]  #: seconds since the epoch
    end_late: Callable[[Tx, Handoff, Opened], None]
    #: Inside a transaction, end a chat that was opened for a handoff which had ended, or gone elsewhere, by then.
    mine: Callable[[Handoff], bool]
    #: Whether this process, and no other, looks after a handoff at this moment. A backend that asks its agent
    #: system by itself what happened asks only for those; others may become ours when a process is gone.
    hooks_url: str
    #: Where the webhooks of all backends are, as others reach them: ``https://…/webhooks/handoff``.
    #: A backend that gives it to others needs a ``public_url``, too.
    history_url: Callable[[Handoff], str]
    #: A link to a page with what was said before the handoff. A backend that uses it has settings with
    #: ``needs_public_url: ClassVar[bool] = True``, so that no server starts without one.


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A request of the agent system to us, not trusted and not parsed."""

    method: str
    path: Mapping[str, str]  #: the named parts of the hook's path
    query: Mapping[str, str]
    headers: Mapping[str, str]  #: names in lower case
    body: bytes

    def json(self) -> Json:
        """The body as an object.

        Raises:
            Malformed: it is none.
        """
        return strict_json.loads_object(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the agent system gets back."""

    status: int = 200
    body: Json | None = None  #: None: empty
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A webhook of a backend: where it is, and the name of the method that takes it."""

    method: str
    path: str  #: below ``/webhooks/handoff/<backend>/``; ``<name:str>`` is a named part
    taker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something that the command line can do for an agent system: ``rasa-handoff <backend> <name>``."""

    name: str
    words: str  #: what it does, for its help
    #: Does it with the backend's settings and the plugin's; gives rows of a table, alike in their columns.
    run: Callable[[Any, Settings], Coroutine[Any, Any, list[dict[str, str]]]]


Taker = TypeVar("Taker", bound=Callable[..., Awaitable[Answer]])


def hook(method: str, path: str) -> Callable[[Taker], Taker]:
    """Mark a backend's method as the one that takes this webhook: ``async def take(self, webhook) -> Answer``.

    It is called when `Backend.verify` has let the request through. It raises `Malformed` for what
    cannot be read; what `Backend.happened` raises goes through it to the agent system.
    """

    def mark(taker: Taker) -> Taker:
        taker.hooks = [*getattr(taker, "hooks", ()), (method, path)]  # type: ignore[attr-defined]
        return taker

    return mark


class Backend:
    """One agent system.

    Every method that calls out raises `TemporaryError` when it is worth another try, `ChatGone` when
    the chat is over there, and `BackendError` when trying again would not help; the outbox does
    the rest. `open` may also raise `Unavailable` or `Refused`.
    """

    name: ClassVar[str]
    settings_model: ClassVar[type[BaseModel]]

    #: Which of its own doings it wants to be told back: "accepted" (an agent joined), "ended" (an agent
    #: closed), "status" (of each message of an agent; kept and tried again like a message).
    hears: frozenset[str] = frozenset()

    #: Whether the user's messages wait until an agent has the chat, because nobody there would read them before.
    waits_for_agent: ClassVar[bool] = False

    #: Whether its agents see by ``message.edits`` that a user has changed a message; else the text says it.
    shows_edits: ClassVar[bool] = False

    #: Whether it brings users' files to its agents itself (`Surroundings.behind`). Else they get links, and where there
    #: is no ``public_url`` to make them with, a line in the place of each file.
    takes_files: bool = False

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @property
    def deadlines(self) -> Mapping[str, DeadlineSetting]:
        """How long somebody may wait, by name as in the settings, where the agent system has rules of its own."""
        return {}

    def parts(self, message: Message) -> Sequence[Message]:
        """What goes out for *message* of the user: more than one where the agent system takes only small ones.

        Each part is a delivery of its own, tried again on its own. The same message gives the same parts.
        """
        return (message,)

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

    async def leave(self, handoff: Handoff, request: Request) -> str | None:
        """Leave a request to call the user back, at any hour; the ticket's id there, if it has one.

        ``request.callback`` says how to reach the user. Nobody is in the chat: what agents write in it goes
        nowhere. Called again for the same ``handoff.id`` it must not leave a second one.
        """
        raise BackendError(self.name, "leave a request", detail="it does not take callbacks")

    @classmethod
    def takes_callbacks(cls) -> bool:
        """Whether requests to call back can be left there."""
        return cls.leave is not Backend.leave

    async def rate(self, handoff: Handoff, rating: Rating) -> None:
        """Say how content the user was; the handoff may be over. A second time takes the place of the first."""
        raise BackendError(self.name, "rate a chat", detail="it does not take ratings")

    @classmethod
    def takes_ratings(cls) -> bool:
        """Whether it wants to know how content users were."""
        return cls.rate is not Backend.rate

    async def send(self, handoff: Handoff, message: Message) -> None:
        """Bring a message of the user. ``message.id`` stays the same when it is tried again."""
        raise NotImplementedError

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        """End the chat there; it ended here with *reason*. Ending it twice does no harm."""
        raise NotImplementedError

    async def accepted(self, handoff: Handoff) -> None:
        """Confirm that an agent has the chat, ``handoff.agent``; for backends that hear "accepted"."""

    async def report(self, handoff: Handoff, status: MessageStatus) -> None:
        """Say what became of an agent's message. Best effort, unless it hears "status"; by default nothing."""

    async def typing(self, handoff: Handoff, typing: bool) -> None:
        """The user began or stopped typing. Best effort; by default nothing."""

    async def presence(self, handoff: Handoff, connected: bool) -> None:
        """The user's page connected or went away. Best effort; by default nothing."""

    async def happened(self, event: AnyEvent) -> Handoff:
        """Tell the switchboard what happened at the agent system; a repeat has no second effect.

        Raises:
            UnknownChat: there is no such chat.
            Conflict: its handoff has ended; ``code`` is the end reason.
        """
        return await self.around.apply(self.name, event)

    async def happened_unnamed(self, event: AnyEvent, said: bytes, within: float) -> str:
        """`happened`, for an event without an id: *said* again within so many seconds is a repeat of it.

        Returns:
            the id it has from here on; a repeat gets that of the first.
        """
        return await self.around.store.write(partial(self.applied_unnamed, event=event, said=said, within=within))

    def applied_unnamed(self, tx: Tx, event: AnyEvent, said: bytes, within: float) -> str:
        """`happened_unnamed`, inside a transaction of the backend's."""
        event_id = messages.id_of_unnamed(tx, f"{self.name}:{event.chat_id}", said, self.around.now(), within)
        self.around.applied(tx, self.name, replace(event, event_id=event_id))
        return event_id

    async def agents_online(self) -> int | None:
        """How many agents are there, where that is known without asking the agent system; by default it is not."""
        return None

    async def probe(self) -> str | None:
        """Ask the agent system something that has no effect there, for ``rasa-handoff doctor --connect``.

        It is called on a backend that was not started, and ends by itself.

        Returns:
            what its answer means, as in "takes the token"; None where nothing can be asked without an effect.

        Raises:
            BackendError: it does not answer, or says no.
        """
        return None

    @classmethod
    def commands(cls) -> Sequence[Command]:
        """What the command line can do for the agent system; by default nothing."""
        return ()

    @classmethod
    def hooks(cls) -> list[Hook]:
        """The webhooks of this backend."""
        takers = {name: getattr(getattr(cls, name), "hooks", ()) for name in dir(cls)}
        return [Hook(method=m, path=p, taker=name) for name, marks in takers.items() for m, p in marks]

    def verify(self, webhook: Webhook) -> None:
        """Require *webhook* to come from the agent system; on the raw bytes, before anything is parsed.

        Raises:
            NotAuthentic: it does not, or nothing proves it.
        """
        raise NotAuthentic(f"{self.name}: nothing proves where the request comes from")

    def refuse(self, webhook: Webhook, error: WebhookError) -> Answer | None:
        """A refusal in the agent system's own form; None for ours (docs/http.md)."""
        return None

    async def look(self, handoff: Handoff) -> list[AnyEvent]:
        """What happened to the chat that we may not have heard of, e.g. `Closed`. By default nothing."""
        return []
