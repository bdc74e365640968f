"""The desk as a backend: what the switchboard asks of it, and what its agents do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from pydantic import BaseModel

from rasa_handoff.access import AgentAccess
from rasa_handoff.backends.base import Backend, Opened, Surroundings
from rasa_handoff.desk import records
from rasa_handoff.desk.presence import SAY_EVERY, Attendance
from rasa_handoff.desk.records import Agent, Chat, DeskMessage, Presence
from rasa_handoff.errors import ChatGone, Conflict, Unavailable, UnknownChat
from rasa_handoff.events import (
    AgentJoined,
    AgentMessage,
    AgentTyping,
    AnyEvent,
    Closed,
    MessageStatus,
    QueueMoved,
    Transferred,
)
from rasa_handoff.model import EndReason, Handoff, Json, Message, Person, Request
from rasa_handoff.settings import read_picture
from rasa_handoff.store import Shared, Tx

_MOVES_TOLD = 50  #: how far back in the queue a user hears of each step
_STATES = {"submitted": "sent", "delivered": "delivered", "read": "delivered", "rejected": "failed"}
_BY_USER = {EndReason.USER_LEFT, EndReason.USER_IDLE}


class DeskAgent(BaseModel, extra="forbid", frozen=True):
    """An agent who may sign in."""

    name: str
    token: str
    avatar_url: str | None = None


class DeskSettings(BaseModel, extra="forbid", frozen=True):
    """The desk's section in the settings."""

    agents: list[DeskAgent] = []

    def faults(self) -> Iterator[tuple[str, str]]:
        """What a type cannot say."""
        for number, agent in enumerate(self.agents):
            try:
                read_picture(agent.avatar_url)
            except ValueError as error:
                yield f"agents[{number}].avatar_url", str(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatChanged:
    chat: Chat


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageChanged:
    message: DeskMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChanged:
    agent: Agent


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTyped:
    chat_id: str
    typing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentThere:
    """An agent has a page open at the process that says so."""

    agent_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserThere:
    """Whether the user of a chat has a page open; None: it is nobody's business any more."""

    chat_id: str
    connected: bool | None


class Desk(Backend):
    """Chats in our own database, agents at our own console."""

    name = "desk"
    settings_model: ClassVar[type[BaseModel]] = DeskSettings
    shows_edits = True

    def __init__(self, settings: DeskSettings) -> None:
        super().__init__(settings)
        self.attendance = Attendance()
        self.agents: dict[str, tuple[str, str]] = {}  #: id -> name and token
        self._pictures: dict[str, str | None] = {}
        self.connected: dict[str, bool] = {}  #: chat id -> the user's page is open
        self._saying: asyncio.Task[None] | None = None

    async def start(self, around: Surroundings) -> None:
        await super().start(around)
        self.agents = _by_id(self.settings.agents or around.access.agents)
        pictures = (agent.avatar_url for agent in self.settings.agents)
        self._pictures = dict(zip(self.agents, pictures, strict=False))
        names = {key: name for key, (name, _) in self.agents.items()}
        await around.store.write(lambda tx: records.put_agents(tx, names))
        for shared in _TO_EVERY_DESK:
            around.store.share(shared)
        around.store.subscribe(AgentThere, lambda fact: self.attendance.elsewhere(fact.agent_id))
        around.store.subscribe(UserThere, self._user_there)
        if around.store.is_shared:
            self._saying = asyncio.create_task(self._say_who_is_here())

    async def stop(self) -> None:
        if self._saying is not None:
            self._saying.cancel()
            await asyncio.gather(self._saying, return_exceptions=True)

    async def agents_online(self) -> int:
        return sum(map(self._is_there, await self.around.store.read(records.agents)))

    async def probe(self) -> str | None:
        return "runs in the Rasa server itself"

    async def _say_who_is_here(self) -> None:
        while True:
            self.around.store.tell([AgentThere(agent_id=each) for each in self.attendance.here()])
            await asyncio.sleep(SAY_EVERY)

    def _user_there(self, fact: UserThere) -> None:
        if fact.connected is None:
            self.connected.pop(fact.chat_id, None)
        else:
            self.connected[fact.chat_id] = fact.connected

    # -- asked by the switchboard -------------------------------------------------------------

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        return await self.around.store.write(partial(self._open, handoff=handoff, request=request))

    def _open(self, tx: Tx, handoff: Handoff, request: Request) -> Opened:
        if not any(map(self._is_there, records.agents(tx))):
            raise Unavailable("desk", "open a chat", detail="no agent is online")
        self._add(tx, handoff, request)
        return Opened(chat_id=handoff.id, queue_position=records.count_waiting(tx))

    async def leave(self, handoff: Handoff, request: Request) -> str:
        await self.around.store.write(partial(self._add, handoff=handoff, request=request))
        return handoff.id

    def _add(self, tx: Tx, handoff: Handoff, request: Request) -> None:
        values = {
            "id": handoff.id,
            "sender_id": handoff.sender_id,
            "channel": handoff.channel,
            "agent_group": request.group,
            "priority": request.priority,
            "at": time.time(),
            "last_text": (request.last_message or "")[:200] or None,
            "callback": json.dumps(request.callback, ensure_ascii=False) if request.callback else None,
        }
        if records.add_chat(tx, values):
            self._changed(tx, handoff.id)

    async def send(self, handoff: Handoff, message: Message) -> None:
        await self.around.store.write(partial(self._send, chat_id=_chat_id(handoff), message=message))

    def _send(self, tx: Tx, chat_id: str, message: Message) -> None:
        chat = records.chat(tx, chat_id)
        if chat is None or chat.state == "closed":
            raise ChatGone("desk", "bring a message", detail="the chat is closed")
        line = DeskMessage(
            id=message.id,
            chat_id=chat_id,
            who="user",
            name=None,
            text=message.text,
            attachments=[{"url": a.url, "kind": a.kind, "name": a.name} for a in message.attachments],
            at=message.at,
            state="delivered",
            edited=message.edits is not None,
        )
        if records.add_message(tx, line):
            tx.announce(MessageChanged(message=line))
            self._changed(tx, chat_id)

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        by = "user" if reason in _BY_USER else "system"
        end: Json = {"reason": reason.value, "by": by, "note": None, "tags": []}
        await self.around.store.write(partial(self._close, chat_id=_chat_id(handoff), end=end))
        self._over(_chat_id(handoff))

    def _close(self, tx: Tx, chat_id: str, end: Json) -> None:
        chat = records.chat(tx, chat_id)
        if chat is None or chat.state == "closed":
            return
        records.close(tx, chat_id, end, time.time())
        self._changed(tx, chat_id)
        self._agent_changed(tx, chat.agent_id)
        if chat.state == "waiting":
            self._queue_moved(tx)

    async def report(self, handoff: Handoff, status: MessageStatus) -> None:
        await self.around.store.write(partial(self._report, chat_id=_chat_id(handoff), status=status))

    def _report(self, tx: Tx, chat_id: str, status: MessageStatus) -> None:
        if records.set_state(tx, chat_id, status.message_id, _STATES[status.state]):
            line = records.message(tx, status.message_id)
            if line is not None:
                tx.announce(MessageChanged(message=line))

    async def typing(self, handoff: Handoff, typing: bool) -> None:
        self.around.store.tell([UserTyped(chat_id=_chat_id(handoff), typing=typing)])

    async def presence(self, handoff: Handoff, connected: bool) -> None:
        chat_id = _chat_id(handoff)
        chat = await self.around.store.read(lambda tx: records.chat(tx, chat_id))
        if chat is not None:
            self.around.store.tell([UserThere(chat_id=chat_id, connected=connected), ChatChanged(chat=chat)])

    async def look(self, handoff: Handoff) -> list[AnyEvent]:
        chat_id = _chat_id(handoff)
        chat = await self.around.store.read(lambda tx: records.chat(tx, chat_id))
        return [Closed(chat_id=chat_id)] if chat is None or chat.state == "closed" else []

    # -- done by agents -----------------------------------------------------------------------

    async def set_presence(self, agent: Agent, presence: Presence) -> Agent:
        return await self.around.store.write(partial(self._set_presence, agent_id=agent.id, presence=presence))

    def _set_presence(self, tx: Tx, agent_id: str, presence: Presence) -> Agent:
        records.set_presence(tx, agent_id, presence, time.time())
        return self._agent_changed(tx, agent_id) or _nobody()

    async def accept(self, agent: Agent, chat_id: str) -> Chat:
        """Take a waiting chat, or one whose agent is gone.

        Raises:
            UnknownChat, Conflict: ``closed``, or ``taken`` by an agent who is there.
        """
        return await self.around.store.write(partial(self._accept, agent=agent, chat_id=chat_id))

    def _accept(self, tx: Tx, agent: Agent, chat_id: str) -> Chat:
        chat = self._not_closed(tx, chat_id)
        if chat.agent_id == agent.id:
            return chat
        before = records.agent(tx, chat.agent_id) if chat.agent_id else None
        if before is not None and self._is_there(before):
            raise Conflict("taken", f"{before.name} has taken this chat")
        records.assign(tx, chat_id, agent.id, time.time())
        person = self._person(agent)
        joined = Transferred(chat_id=chat_id, agent=person) if before else AgentJoined(chat_id=chat_id, agent=person)
        self._tell(tx, chat, joined)
        self._agent_changed(tx, agent.id)
        self._agent_changed(tx, chat.agent_id)
        self._queue_moved(tx)
        return self._changed(tx, chat_id)

    async def reply(self, agent: Agent, chat_id: str, message_id: str, text: str) -> tuple[DeskMessage, bool]:
        """Write to the user; the line, and whether it is new (a repeat has no second effect).

        Raises:
            UnknownChat, Conflict: ``closed``, ``not_yours``, or ``callback``.
        """
        line = DeskMessage(
            id=message_id,
            chat_id=chat_id,
            who="agent",
            name=agent.name,
            text=text,
            attachments=[],
            at=time.time(),
            state="sent",
        )
        return await self.around.store.write(partial(self._reply, agent=agent, line=line))

    def _reply(self, tx: Tx, agent: Agent, line: DeskMessage) -> tuple[DeskMessage, bool]:
        known = records.message(tx, line.id)
        if known is not None and known.chat_id == line.chat_id and known.who == "agent":
            return known, False
        if known is not None:
            raise Conflict("id_taken", "another message has this id; make a new one")
        chat = self._attended(tx, agent, line.chat_id)
        records.add_message(tx, line)
        said = AgentMessage(chat_id=line.chat_id, event_id=line.id, agent=self._person(agent), text=line.text)
        self._tell(tx, chat, said)
        tx.announce(MessageChanged(message=line))
        self._changed(tx, line.chat_id)
        return line, True

    async def agent_typing(self, agent: Agent, chat_id: str, typing: bool) -> None:
        await self.around.store.read(lambda tx: self._attended(tx, agent, chat_id))
        await self.around.apply(self.name, AgentTyping(chat_id=chat_id, typing=typing))

    async def transfer(self, agent: Agent, chat_id: str, to: str | None) -> Chat:
        """Give an own chat to another agent, or back to the queue.

        Raises:
            UnknownChat, Conflict: ``closed``, ``not_yours``, or ``away``.
        """
        return await self.around.store.write(partial(self._transfer, agent=agent, chat_id=chat_id, to=to))

    def _transfer(self, tx: Tx, agent: Agent, chat_id: str, to: str | None) -> Chat:
        chat = self._own(tx, agent, chat_id)
        if to is None:
            records.unassign(tx, chat_id)
            self._tell(tx, chat, Transferred(chat_id=chat_id))
            self._queue_moved(tx)
        else:
            other = records.agent(tx, to)
            if other is None or not self._is_there(other):
                raise Conflict("away", f"{other.name if other else 'That agent'} is not online")
            records.assign(tx, chat_id, other.id, time.time())
            self._tell(tx, chat, Transferred(chat_id=chat_id, agent=self._person(other)))
            self._agent_changed(tx, other.id)
        self._agent_changed(tx, agent.id)
        return self._changed(tx, chat_id)

    async def end(self, agent: Agent, chat_id: str, end: Json) -> Chat:
        """Close an own chat; *end* has the agent's reason, note and tags.

        Raises:
            UnknownChat, Conflict: ``closed`` or ``not_yours``.
        """
        chat = await self.around.store.write(partial(self._end, agent=agent, chat_id=chat_id, end=end))
        self._over(chat_id)
        return chat

    def _over(self, chat_id: str) -> None:
        self.around.store.tell([UserThere(chat_id=chat_id, connected=None)])

    def _end(self, tx: Tx, agent: Agent, chat_id: str, end: Json) -> Chat:
        chat = self._own(tx, agent, chat_id)
        records.close(tx, chat_id, {**end, "by": "agent"}, time.time())
        self._tell(tx, chat, Closed(chat_id=chat_id))
        self._agent_changed(tx, agent.id)
        return self._changed(tx, chat_id)

    # -- what every change does ---------------------------------------------------------------

    def _not_closed(self, tx: Tx, chat_id: str) -> Chat:
        chat = records.chat(tx, chat_id)
        if chat is None:
            raise UnknownChat("no such chat")
        if chat.state == "closed":
            reason = (chat.end or {}).get("reason", "closed")
            raise Conflict("closed", f"this chat has ended: {reason}")
        return chat

    def _own(self, tx: Tx, agent: Agent, chat_id: str) -> Chat:
        chat = self._not_closed(tx, chat_id)
        if chat.agent_id != agent.id:
            who = f"{chat.agent_name} has this chat" if chat.agent_name else "nobody has accepted this chat yet"
            raise Conflict("not_yours", who)
        return chat

    def _attended(self, tx: Tx, agent: Agent, chat_id: str) -> Chat:
        """An own chat with a user in it."""
        chat = self._own(tx, agent, chat_id)
        if chat.callback is not None:
            raise Conflict("callback", "nobody would read it: the user wants to be called back")
        return chat

    def _changed(self, tx: Tx, chat_id: str) -> Chat:
        chat = records.chat(tx, chat_id)
        if chat is None:
            raise UnknownChat("no such chat")
        tx.announce(ChatChanged(chat=chat))
        return chat

    def _agent_changed(self, tx: Tx, agent_id: str | None) -> Agent | None:
        agent = records.agent(tx, agent_id) if agent_id else None
        if agent is not None:
            tx.announce(AgentChanged(agent=agent))
        return agent

    def _queue_moved(self, tx: Tx) -> None:
        for position, chat in enumerate(records.queue(tx, _MOVES_TOLD), start=1):
            with suppress(Conflict, UnknownChat):  # it ended, and the desk is about to hear of it
                self._tell(tx, chat, QueueMoved(chat_id=chat.id, position=position))

    def _tell(self, tx: Tx, chat: Chat, event: AnyEvent) -> None:
        """Tell the switchboard, in the same transaction, unless no user is in the chat.

        Raises:
            Conflict: ``closed``; the conversation ended, and the desk is about to hear of it.
        """
        if chat.callback is not None:
            return
        try:
            self.around.applied(tx, self.name, event)
        except Conflict as error:
            raise Conflict("closed", str(error)) from error

    def _person(self, agent: Agent) -> Person:
        return Person(id=agent.id, name=agent.name, avatar_url=self._pictures.get(agent.id))

    def _is_there(self, agent: Agent) -> bool:
        """Online, and still in the settings."""
        return agent.id in self.agents and self.attendance.is_there(agent)


_TO_EVERY_DESK = (
    Shared(kind=AgentThere, key=lambda fact: (fact.agent_id,), find=lambda tx, key: AgentThere(agent_id=key)),
    Shared(
        kind=UserThere,
        key=lambda fact: (fact.chat_id, fact.connected),
        find=lambda tx, chat_id, connected: UserThere(chat_id=chat_id, connected=connected),
    ),
)


def _by_id(agents: Iterable[DeskAgent | AgentAccess]) -> dict[str, tuple[str, str]]:
    """Name and token of each agent; whose name makes an id that is taken gets a number behind it."""
    found: dict[str, tuple[str, str]] = {}
    for agent in agents:
        key = first = agent_id(agent.name)
        number = 1
        while key in found:
            number += 1
            key = f"{first}-{number}"
        found[key] = (agent.name, agent.token)
    return found


def agent_id(name: str) -> str:
    """An agent's id: the name, made fit for a URL."""
    return "-".join("".join(c.lower() if c.isalnum() else " " for c in name).split()) or "agent"


def _chat_id(handoff: Handoff) -> str:
    return handoff.chat_id or handoff.id


def _nobody() -> Any:
    raise UnknownChat("no such agent")
