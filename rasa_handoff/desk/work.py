"""What the desk's agents do: each is one transaction with what it changes in the handoff."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

from rasa_handoff.backends.base import Surroundings
from rasa_handoff.desk import records
from rasa_handoff.desk.chats import Chats
from rasa_handoff.desk.facts import MessageChanged, UserThere
from rasa_handoff.desk.records import Agent, Chat, DeskMessage, Presence
from rasa_handoff.desk.staff import Staff
from rasa_handoff.errors import Conflict, UnknownChat
from rasa_handoff.events import AgentJoined, AgentMessage, AgentTyping, Closed, MessageTakenBack, Transferred
from rasa_handoff.files import no_public_url
from rasa_handoff.model import Json
from rasa_handoff.store import Tx


class Work:
    """The agents' side of the desk.

    Args:
        backend: the desk's name among the backends.
    """

    def __init__(self, around: Surroundings, backend: str, staff: Staff, chats: Chats) -> None:
        self._around = around
        self._backend = backend
        self._staff = staff
        self._chats = chats

    async def set_presence(self, agent: Agent, presence: Presence) -> Agent:
        """Say whether *agent* takes chats.

        Raises:
            UnknownChat: the agent is none any more.
        """
        return await self._around.store.write(partial(self._set_presence, agent_id=agent.id, presence=presence))

    def _set_presence(self, tx: Tx, agent_id: str, presence: Presence) -> Agent:
        records.set_presence(tx, agent_id, presence, time.time())
        agent = self._chats.agent_changed(tx, agent_id)
        if agent is None:
            raise UnknownChat("no such agent")
        return agent

    async def waiting(self, agent: Agent) -> list[Chat]:
        """The chats that wait and that *agent* may accept, next first; requests to call back behind the others."""
        return await self._around.store.read(partial(self._waiting, agent=agent))

    def _waiting(self, tx: Tx, agent: Agent) -> list[Chat]:
        groups = self._staff.groups
        return records.waiting(tx, [each for each in records.groups_waiting(tx) if groups.may_accept(agent.id, each)])

    async def accept(self, agent: Agent, chat_id: str) -> Chat:
        """Take a waiting chat, or one whose agent is gone.

        Raises:
            UnknownChat, Conflict: ``closed``, ``taken`` by an agent who is there, or ``not_your_group``.
        """
        return await self._around.store.write(partial(self._accept, agent=agent, chat_id=chat_id))

    def _accept(self, tx: Tx, agent: Agent, chat_id: str) -> Chat:
        chat = self._chats.not_closed(tx, chat_id)
        if chat.agent_id == agent.id:
            return chat
        before = records.agent(tx, chat.agent_id) if chat.agent_id else None
        if before is not None and self._staff.is_there(before):
            raise Conflict("taken", f"{before.name} has taken this chat")
        if not self._staff.groups.may_accept(agent.id, chat.group):
            raise Conflict("not_your_group", "this chat is for agents of another group")
        records.assign(tx, chat_id, agent.id, time.time())
        person = self._staff.person(agent)
        joined = Transferred(chat_id=chat_id, agent=person) if before else AgentJoined(chat_id=chat_id, agent=person)
        self._chats.tell(tx, chat, joined)
        self._chats.agent_changed(tx, agent.id)
        self._chats.agent_changed(tx, chat.agent_id)
        self._chats.queue_moved(tx, chat.group)
        return self._chats.changed(tx, chat_id)

    def require_may_give(self, tx: Tx, agent: Agent, chat_id: str) -> None:
        """Require that *agent* may give a file to the user of this chat, who can open it.

        Raises:
            UnknownChat, Conflict: ``files_off``, ``closed``, ``not_yours``, ``callback`` or ``no_public_url``.
        """
        self._around.files.require_taken_from("agent")
        chat = self._chats.attended(tx, agent, chat_id)
        if not self._around.files.opens_on(chat.channel):
            raise no_public_url()

    async def reply(
        self, agent: Agent, chat_id: str, message_id: str, text: str, files: Sequence[str] = ()
    ) -> tuple[DeskMessage, bool]:
        """Write to the user; the line, and whether it is new (a repeat has no second effect).

        Args:
            files: the ids of what agents have given in this chat.

        Raises:
            Malformed: one of *files* is none of them.
            UnknownChat, Conflict: ``closed``, ``not_yours``, ``callback``, or ``no_public_url``.
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
        return await self._around.store.write(partial(self._reply, agent=agent, line=line, files=files))

    def _reply(self, tx: Tx, agent: Agent, line: DeskMessage, files: Sequence[str]) -> tuple[DeskMessage, bool]:
        known = records.message(tx, line.id)
        if known is not None and known.chat_id == line.chat_id and known.who == "agent":
            return known, False
        if known is not None:
            raise Conflict("id_taken", "another message has this id; make a new one")
        chat = self._chats.attended(tx, agent, line.chat_id)
        attached = self._around.files.attachments(tx, files, chat.id, chat.channel)
        line = replace(line, attachments=[asdict(each) for each in attached])
        written = records.add_message(tx, line)
        assert written is not None  # nobody has its id
        said = AgentMessage(
            chat_id=line.chat_id,
            event_id=line.id,
            agent=self._staff.person(agent),
            text=line.text,
            attachments=tuple(attached),
        )
        self._chats.tell(tx, chat, said)
        tx.announce(MessageChanged(message=written))
        self._chats.changed(tx, line.chat_id)
        return written, True

    async def take_back(self, agent: Agent, chat_id: str, message_id: str) -> DeskMessage:
        """Take back what was written in an own chat and the user has not got; a repeat has no second effect.

        Raises:
            UnknownChat: there is no such message of an agent's.
            Conflict: ``closed``, ``not_yours``, ``callback``; or ``delivered``, the user has it or is about to.
        """
        change = partial(self._take_back, agent=agent, chat_id=chat_id, message_id=message_id)
        return await self._around.store.write(change)

    def _take_back(self, tx: Tx, agent: Agent, chat_id: str, message_id: str) -> DeskMessage:
        chat = self._chats.attended(tx, agent, chat_id)
        line = records.message(tx, message_id)
        if line is None or (line.chat_id, line.who) != (chat_id, "agent"):
            raise UnknownChat("no such message of an agent's")
        if line.state == "taken_back":
            return line
        self._chats.tell(tx, chat, MessageTakenBack(chat_id=chat_id, message_id=message_id))
        line = records.take_back(tx, line)
        tx.announce(MessageChanged(message=line))
        self._chats.changed(tx, chat_id)
        return line

    async def typing(self, agent: Agent, chat_id: str, typing: bool) -> None:
        """Let the user see that *agent* writes.

        Raises:
            UnknownChat, Conflict: ``closed``, ``not_yours``, or ``callback``.
        """
        await self._around.store.read(lambda tx: self._chats.attended(tx, agent, chat_id))
        await self._around.apply(self._backend, AgentTyping(chat_id=chat_id, typing=typing))

    async def transfer(self, agent: Agent, chat_id: str, to: str) -> Chat:
        """Give an own chat to another agent, of whatever group.

        Raises:
            UnknownChat, Conflict: ``closed``, ``not_yours``, or ``away``.
        """
        return await self._around.store.write(partial(self._transfer, agent=agent, chat_id=chat_id, to=to))

    def _transfer(self, tx: Tx, agent: Agent, chat_id: str, to: str) -> Chat:
        chat = self._chats.own(tx, agent, chat_id)
        other = records.agent(tx, to)
        if other is None or not self._staff.is_there(other):
            raise Conflict("away", f"{other.name if other else 'That agent'} is not online")
        records.assign(tx, chat_id, other.id, time.time())
        self._chats.tell(tx, chat, Transferred(chat_id=chat_id, agent=self._staff.person(other)))
        self._chats.agent_changed(tx, other.id)
        self._chats.agent_changed(tx, agent.id)
        return self._chats.changed(tx, chat_id)

    async def give_back(self, agent: Agent, chat_id: str, group: str | None = None) -> Chat:
        """Give an own chat back to the queue: of *group*, or the one it came from.

        Raises:
            UnknownChat, Conflict: ``closed``, ``not_yours``, or ``no_such_group``.
        """
        return await self._around.store.write(partial(self._give_back, agent=agent, chat_id=chat_id, group=group))

    def _give_back(self, tx: Tx, agent: Agent, chat_id: str, group: str | None) -> Chat:
        chat = self._chats.own(tx, agent, chat_id)
        if not self._staff.groups.has(group):
            raise Conflict("no_such_group", "no agent takes chats of this group")
        waits_for = self._staff.groups.name(group) or chat.group
        records.unassign(tx, chat_id, waits_for)
        self._chats.tell(tx, chat, Transferred(chat_id=chat_id, group=waits_for))
        self._chats.queue_moved(tx, waits_for)
        self._chats.agent_changed(tx, agent.id)
        return self._chats.changed(tx, chat_id)

    async def end(self, agent: Agent, chat_id: str, end: Json) -> Chat:
        """Close an own chat; *end* has the agent's reason, note and tags.

        Raises:
            UnknownChat, Conflict: ``closed`` or ``not_yours``.
        """
        chat = await self._around.store.write(partial(self._end, agent=agent, chat_id=chat_id, end=end))
        self._around.store.tell([UserThere(chat_id=chat_id, connected=None)])
        return chat

    def _end(self, tx: Tx, agent: Agent, chat_id: str, end: Json) -> Chat:
        chat = self._chats.own(tx, agent, chat_id)
        records.close(tx, chat_id, {**end, "by": "agent"}, time.time())
        self._chats.tell(tx, chat, Closed(chat_id=chat_id))
        self._chats.agent_changed(tx, agent.id)
        return self._chats.changed(tx, chat_id)
