"""The desk as a backend: what the switchboard asks of it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from functools import partial
from typing import ClassVar

from pydantic import BaseModel

from rasa_handoff.backends.base import Backend, Opened, Surroundings
from rasa_handoff.desk import records
from rasa_handoff.desk.chats import Chats
from rasa_handoff.desk.facts import TO_DESKS, AgentThere, ChatChanged, MessageChanged, UserThere, UserTyped
from rasa_handoff.desk.presence import SAY_EVERY
from rasa_handoff.desk.records import Chat, DeskMessage
from rasa_handoff.desk.settings import DeskSettings
from rasa_handoff.desk.staff import Staff
from rasa_handoff.desk.work import Work
from rasa_handoff.errors import ChatGone, Unavailable
from rasa_handoff.events import AnyEvent, Closed, MessageStatus
from rasa_handoff.model import EndReason, Handoff, Json, Message, Rating, Request
from rasa_handoff.store import Tx

_STATES = {"submitted": "sent", "delivered": "delivered", "read": "delivered", "rejected": "failed"}
_BY_USER = {EndReason.USER_LEFT, EndReason.USER_IDLE}


class Desk(Backend):
    """Chats in our own database, agents at our own console."""

    name = "desk"
    settings_model: ClassVar[type[BaseModel]] = DeskSettings
    shows_edits = True
    takes_files = True  # its page opens links of ours, wherever it is
    work: Work  #: what its agents do

    def __init__(self, settings: DeskSettings) -> None:
        super().__init__(settings)
        self.staff = Staff()
        self.connected: dict[str, bool] = {}  #: chat id -> the user's page is open
        self._saying: asyncio.Task[None] | None = None

    async def start(self, around: Surroundings) -> None:
        await super().start(around)
        self._chats = Chats(around, self.name)
        self.work = Work(around, self.name, self.staff, self._chats)
        self.staff.hire(self.settings.agents or around.access.agents)
        names = {key: member.name for key, member in self.staff.members.items()}
        await around.store.write(lambda tx: records.put_agents(tx, names))
        for shared in TO_DESKS:
            around.store.share(shared)
        around.store.subscribe(AgentThere, lambda fact: self.staff.attendance.elsewhere(fact.agent_id))
        around.store.subscribe(UserThere, self._user_there)
        if around.store.is_shared:
            self._saying = asyncio.create_task(self._say_who_is_here())

    async def stop(self) -> None:
        if self._saying is not None:
            self._saying.cancel()
            await asyncio.gather(self._saying, return_exceptions=True)

    async def agents_online(self) -> int:
        return sum(map(self.staff.is_there, await self.around.store.read(records.agents)))

    async def probe(self) -> str | None:
        return "runs in the Rasa server itself"

    async def _say_who_is_here(self) -> None:
        while True:
            self.around.store.tell([AgentThere(agent_id=each) for each in self.staff.attendance.here()])
            await asyncio.sleep(SAY_EVERY)

    def _user_there(self, fact: UserThere) -> None:
        if fact.connected is None:
            self.connected.pop(fact.chat_id, None)
        else:
            self.connected[fact.chat_id] = fact.connected

    # -- asked by the switchboard -------------------------------------------------------------

    def chat_id_of(self, handoff: Handoff) -> str:
        return handoff.id

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        return await self.around.store.write(partial(self._open, handoff=handoff, request=request))

    def _open(self, tx: Tx, handoff: Handoff, request: Request) -> Opened:
        if not any(self.staff.is_there_for(agent, request.group) for agent in records.agents(tx)):
            detail = "no agent who takes this group is online" if request.group else "no agent is online"
            raise Unavailable("desk", "open a chat", detail=detail)
        chat = self._add(tx, handoff, request)
        return Opened(chat_id=chat.id, queue_position=self._chats.came(tx, chat))

    async def leave(self, handoff: Handoff, request: Request) -> str:
        await self.around.store.write(partial(self._add, handoff=handoff, request=request))
        return handoff.id

    def _add(self, tx: Tx, handoff: Handoff, request: Request) -> Chat:
        values = {
            "id": handoff.id,
            "sender_id": handoff.sender_id,
            "channel": handoff.channel,
            "agent_group": self.staff.groups.name(request.group),
            "priority": request.priority,
            "at": time.time(),
            "last_text": (request.last_message or "")[:200] or None,
            "callback": json.dumps(request.callback, ensure_ascii=False) if request.callback else None,
        }
        if not records.add_chat(tx, values):
            return self._chats.known(tx, handoff.id)
        return self._chats.changed(tx, handoff.id)

    async def send(self, handoff: Handoff, message: Message) -> None:
        await self.around.store.write(partial(self._send, chat_id=_chat_id(handoff), message=message))

    def _send(self, tx: Tx, chat_id: str, message: Message) -> None:
        chat = records.chat(tx, chat_id)
        if chat is None or chat.state == "closed":
            raise ChatGone("desk", "bring a message", detail="the chat is closed")
        new = DeskMessage(
            id=message.id,
            chat_id=chat_id,
            who="user",
            name=None,
            text=message.text,
            attachments=[asdict(each) for each in message.attachments],
            at=message.at,
            state="delivered",
            edited=message.edits is not None,
        )
        line = records.add_message(tx, new)
        if line is not None:
            tx.announce(MessageChanged(message=line))
            self._chats.changed(tx, chat_id)

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        by = "user" if reason in _BY_USER else "system"
        end: Json = {"reason": reason.value, "by": by, "note": None, "tags": []}
        await self.around.store.write(partial(self._close, chat_id=_chat_id(handoff), end=end))
        self.around.store.tell([UserThere(chat_id=_chat_id(handoff), connected=None)])

    def _close(self, tx: Tx, chat_id: str, end: Json) -> None:
        chat = records.chat(tx, chat_id)
        if chat is None or chat.state == "closed":
            return
        records.close(tx, chat_id, end, time.time())
        self._chats.changed(tx, chat_id)
        self._chats.agent_changed(tx, chat.agent_id)
        if chat.state == "waiting":
            self._chats.queue_moved(tx, chat.group)

    async def rate(self, handoff: Handoff, rating: Rating) -> None:
        # It is kept with the handoff, where the chat shows it from.
        chat = await self.around.store.read(lambda tx: records.chat(tx, _chat_id(handoff)))
        if chat is not None:
            self.around.store.tell([ChatChanged(chat=chat)])

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


def _chat_id(handoff: Handoff) -> str:
    return handoff.chat_id or handoff.id
