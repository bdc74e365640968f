"""What happens at the desk, as told to its consoles and to the desks of other processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rasa_handoff.desk import records
from rasa_handoff.desk.records import Agent, Chat, DeskMessage
from rasa_handoff.store import Shared, Tx


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


#: What every desk hears, and how it goes there.
TO_DESKS = (
    Shared(kind=AgentThere, key=lambda fact: (fact.agent_id,), find=lambda tx, key: AgentThere(agent_id=key)),
    Shared(
        kind=UserThere,
        key=lambda fact: (fact.chat_id, fact.connected),
        find=lambda tx, chat_id, connected: UserThere(chat_id=chat_id, connected=connected),
    ),
)


def to_consoles(wanted: Callable[[], bool]) -> tuple[Shared, ...]:
    """What open consoles hear, and how it goes there; *wanted* says whether one is open here."""

    def here(*key: object) -> bool:
        return wanted()

    return (
        Shared(kind=ChatChanged, key=lambda fact: (fact.chat.id,), find=_chat, wanted=here),
        Shared(kind=MessageChanged, key=lambda fact: (fact.message.id,), find=_message, wanted=here),
        Shared(kind=AgentChanged, key=lambda fact: (fact.agent.id,), find=_agent, wanted=here),
        Shared(kind=UserTyped, key=lambda fact: (fact.chat_id, fact.typing), find=_typed, wanted=here),
    )


def _chat(tx: Tx, chat_id: str) -> ChatChanged | None:
    chat = records.chat(tx, chat_id)
    return ChatChanged(chat=chat) if chat else None


def _message(tx: Tx, message_id: str) -> MessageChanged | None:
    message = records.message(tx, message_id)
    return MessageChanged(message=message) if message else None


def _agent(tx: Tx, agent_id: str) -> AgentChanged | None:
    agent = records.agent(tx, agent_id)
    return AgentChanged(agent=agent) if agent else None


def _typed(tx: Tx, chat_id: str, typing: bool) -> UserTyped:
    return UserTyped(chat_id=chat_id, typing=typing)
