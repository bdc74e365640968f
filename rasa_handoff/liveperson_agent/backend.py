"""The way from the bot to a person in a chat that the bot holds as an agent: a transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel

from rasa_handoff.backends import sources
from rasa_handoff.backends.base import Backend, Opened
from rasa_handoff.errors import BackendError, ChatGone, TemporaryError, Unavailable
from rasa_handoff.liveperson_agent import chats, reading
from rasa_handoff.liveperson_agent.chat import Chat
from rasa_handoff.liveperson_agent.session import WHO
from rasa_handoff.liveperson_agent.settings import CHANNEL, BackendSettings
from rasa_handoff.model import EndReason, Handoff, Json, Message, Person, Request, Status

_DOING = "transfer the chat"
_LONGEST_NOTE = 10_000  #: characters
_AGENT = "agent:"  # in a route's group: not a skill, but this agent
_WHO = {"user": "visitor", "bot": "bot"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Whom a chat goes to."""

    body: Json
    agent: Person | None = None


class LivePersonAgent(Backend):
    """Transfers a chat of ``rasa_handoff.LivePersonAgentInput`` to a skill or an agent; then the bot has left it."""

    name: ClassVar[str] = WHO
    settings_model: ClassVar[type[BaseModel]] = BackendSettings
    settings: BackendSettings

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        left = chats.left_chat(handoff.sender_id)
        if left is not None:  # asked again
            return Opened(chat_id=left, status=Status.CLOSED)
        chat = chats.chat_of(handoff.sender_id)
        if chat is None:
            detail = f"the conversation is no chat that {CHANNEL} holds now"
            raise BackendError(self.name, _DOING, detail=detail)
        chat.show_typing(False)
        await chat.said()
        target = await self._target(chat, handoff.group)
        try:
            await chat.transfer(target.body, note(self.settings, request))
        except TemporaryError:
            raise
        except BackendError as error:
            # There was somebody a moment ago, so they have gone, or do not take it.
            raise Unavailable(self.name, _DOING, error.status, "they do not take it now") from None
        return Opened(chat_id=chat.id, status=Status.CLOSED, agent=target.agent)

    async def send(self, handoff: Handoff, message: Message) -> None:
        raise ChatGone(self.name, "send a message", detail="the bot has left the chat")

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        """The chat is the agent's; there is nothing of ours to end."""

    async def agents_online(self) -> int | None:
        return chats.agents_online()

    async def _target(self, chat: Chat, group: str | None) -> _Target:
        """Whom the chat goes to, if anybody is there.

        Raises:
            Unavailable: nobody is.
        """
        agent = self.settings.agent if group is None else group.partition(_AGENT)[2].strip()
        if agent:
            return await self._agent(chat, agent)
        skill = group or self.settings.skill
        if not skill:
            detail = f"nobody is named; set backends.{self.name}.skill or agent, or a rule's group"
            raise BackendError(self.name, _DOING, detail=detail)
        return await self._skill(chat, skill)

    async def _skill(self, chat: Chat, wanted: str) -> _Target:
        found = await chat.session.ask_for("look for skills", f"{chat.path}/transfer", reading.read_skills)
        skill = next((each for each in found if each.is_called(wanted)), None)
        if skill is None or skill.agents == 0:
            detail = f"nobody is online for the skill {wanted}, or there is no skill of this id or name"
            raise Unavailable(self.name, _DOING, detail=detail)
        return _Target(body={"skill": {"id": _number(skill.id)}})

    async def _agent(self, chat: Chat, wanted: str) -> _Target:
        found = await chat.session.colleagues()
        agent = next((each for each in found if each.id == wanted), None)
        if agent is None or not agent.takes_transfers:
            raise Unavailable(self.name, _DOING, detail=f"the agent {wanted} does not take chats now, or is unknown")
        person = Person(name=agent.name or agent.id, id=agent.id)
        return _Target(body={"agent": {"id": _number(agent.id)}}, agent=person)


def note(settings: BackendSettings, request: Request) -> str:
    """What the agent reads when the chat arrives: why, what the bot knows, and what was said."""
    known = [f"{name}: {sources.as_text(value)}" for name, value in request.parameters.items()]
    lines = request.transcript[-settings.transcript_lines :] if settings.transcript_lines else ()
    said = [f"{_WHO.get(line.who, line.who)}: {line.text}" for line in lines]
    head = "\n".join([settings.note, *(["", "What the bot knows:", *known] if known else [])])[:_LONGEST_NOTE]
    return "\n".join([head, *(["", "What was said:", *_newest(said, _LONGEST_NOTE - len(head))] if said else [])])


def _newest(lines: list[str], room: int) -> list[str]:
    """The last of *lines*, as many as there is room for."""
    kept: list[str] = []
    for line in reversed(lines):
        room -= len(line) + 1
        if room < 0:
            break
        kept.insert(0, line)
    return kept


def _number(id: str) -> int | str:
    """As their examples have it: a number."""
    return int(id) if id.isascii() and id.isdecimal() else id
