"""What a change of one of the desk's chats needs, and what it brings about."""

from __future__ import annotations

from contextlib import suppress

from rasa_handoff.backends.base import Surroundings
from rasa_handoff.desk import records
from rasa_handoff.desk.facts import AgentChanged, ChatChanged
from rasa_handoff.desk.groups import is_same_group
from rasa_handoff.desk.records import Agent, Chat
from rasa_handoff.errors import Conflict, UnknownChat
from rasa_handoff.events import AnyEvent, QueueMoved
from rasa_handoff.store import Tx

_MOVES_TOLD = 50  #: how far back in the queue a user hears of each step


class Chats:
    """The desk's chats, inside a transaction.

    Args:
        around: whom to tell what happens to a user's conversation.
        backend: the desk's name there.
    """

    def __init__(self, around: Surroundings, backend: str) -> None:
        self._around = around
        self._backend = backend

    # -- required before ----------------------------------------------------------------------

    def known(self, tx: Tx, chat_id: str) -> Chat:
        """A chat of the desk.

        Raises:
            UnknownChat: there is none of this id.
        """
        chat = records.chat(tx, chat_id)
        if chat is None:
            raise UnknownChat("no such chat")
        return chat

    def not_closed(self, tx: Tx, chat_id: str) -> Chat:
        """A chat that goes on.

        Raises:
            UnknownChat, Conflict: ``closed``.
        """
        chat = self.known(tx, chat_id)
        if chat.state == "closed":
            reason = (chat.end or {}).get("reason", "closed")
            raise Conflict("closed", f"this chat has ended: {reason}")
        return chat

    def own(self, tx: Tx, agent: Agent, chat_id: str) -> Chat:
        """A chat that *agent* has.

        Raises:
            UnknownChat, Conflict: ``closed`` or ``not_yours``.
        """
        chat = self.not_closed(tx, chat_id)
        if chat.agent_id != agent.id:
            who = f"{chat.agent_name} has this chat" if chat.agent_name else "nobody has accepted this chat yet"
            raise Conflict("not_yours", who)
        return chat

    def attended(self, tx: Tx, agent: Agent, chat_id: str) -> Chat:
        """A chat that *agent* has, with a user in it.

        Raises:
            UnknownChat, Conflict: ``closed``, ``not_yours`` or ``callback``.
        """
        chat = self.own(tx, agent, chat_id)
        if chat.callback is not None:
            raise Conflict("callback", "nobody would read it: the user wants to be called back")
        return chat

    # -- told behind --------------------------------------------------------------------------

    def changed(self, tx: Tx, chat_id: str) -> Chat:
        """The chat as it is by this change, told to the consoles.

        Raises:
            UnknownChat: there is none.
        """
        chat = self.known(tx, chat_id)
        tx.announce(ChatChanged(chat=chat))
        return chat

    def agent_changed(self, tx: Tx, agent_id: str | None) -> Agent | None:
        """The agent as they are by this change, told to the consoles; None where there is none."""
        agent = records.agent(tx, agent_id) if agent_id else None
        if agent is not None:
            tx.announce(AgentChanged(agent=agent))
        return agent

    def came(self, tx: Tx, chat: Chat) -> int:
        """Where in the queue of its group a chat that came stands, 1 is next; those behind it are told."""
        place, length = records.place(tx, chat.id, _spellings(tx, chat.group))
        if place < length:
            self.queue_moved(tx, chat.group)
        return place

    def queue_moved(self, tx: Tx, group: str | None) -> None:
        """Let those who wait for *group* hear their places."""
        queue = records.queue(tx, _spellings(tx, group), _MOVES_TOLD)
        for position, chat in enumerate(queue, start=1):
            with suppress(Conflict, UnknownChat):  # it ended, and the desk is about to hear of it
                self.tell(tx, chat, QueueMoved(chat_id=chat.id, position=position))

    def tell(self, tx: Tx, chat: Chat, event: AnyEvent) -> None:
        """Tell the switchboard, in the same transaction, unless no user is in the chat.

        Raises:
            Conflict: ``closed``; the conversation ended, and the desk is about to hear of it. Or ``delivered``; it is
                too late to take a message back.
        """
        if chat.callback is not None:
            return
        try:
            self._around.applied(tx, self._backend, event)
        except Conflict as error:
            raise error if error.code == "delivered" else Conflict("closed", str(error)) from error


def _spellings(tx: Tx, group: str | None) -> list[str | None]:
    """*group*, in each spelling in which somebody waits for it."""
    return [each for each in records.groups_waiting(tx) if is_same_group(each, group)]
