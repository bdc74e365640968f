"""What LivePerson tells us: each change of a notification becomes our events.

https://developers.liveperson.com/connector-api-webhooks-overview.html (read 2026-11)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rasa_handoff import strict_json as read
from rasa_handoff.backends.liveperson.content import Content, FileUrl, read_content, read_rich_content
from rasa_handoff.backends.liveperson.settings import LivePersonSettings
from rasa_handoff.errors import Malformed
from rasa_handoff.events import AgentJoined, AgentMessage, AgentTyping, AnyEvent, Closed, MessageStatus, Transferred
from rasa_handoff.model import EndReason, Handoff, Json, Person

MESSAGES = "ms.MessagingEventNotification"
CHANGES = "cqm.ExConversationChangeNotification"
_NOTE = "liveperson"  #: where `Known` is in ``handoff.notes``
_LONGEST_ID = 200
_MOST = 1000

# Who may write in a conversation: the user, the system, and people (or bots of theirs) under several names.
_USER, _SYSTEM, _AGENT = "CONSUMER", "CONTROLLER", "ASSIGNED_AGENT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One of the things that a notification tells."""

    conversation: str
    told: Json
    dialog: str = ""  #: of a message
    sequence: int | None = None  #: of a message, within its dialog; typing has none

    @property
    def is_typing(self) -> bool:
        return bool(self.dialog) and _event(self.told).get("type") == "ChatStateEvent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was last told of a conversation; kept with the handoff."""

    main: str  #: the dialog of user and agent; by default the conversation's own id
    dialog: str  #: the one that the user's messages go to
    agent: str | None = None  #: the id of who is assigned
    skill: str | None = None
    updated: float = 0.0  #: when it was true there; their clock, in milliseconds

    @classmethod
    def of(cls, handoff: Handoff) -> Known:
        conversation = handoff.chat_id or ""
        return cls(**{"main": conversation, "dialog": conversation, **handoff.notes.get(_NOTE, {})})

    def note(self) -> Json:
        """As it is kept in ``handoff.notes``."""
        return {_NOTE: asdict(self)}


# Notifications


def read_changes(payload: Json) -> list[Change]:
    """What a notification tells, messages in the order in which they were written; nothing of other kinds.

    Raises:
        Malformed: a field is missing or wrong.
    """
    read_change = {MESSAGES: _message_change, CHANGES: _state_change}.get(read.text(payload, "type", max_length=200))
    if read_change is None:
        return []
    told = read.sequence(read.mapping(payload, "body"), "changes", max_length=_MOST)
    changes = [read_change(each) for each in told if isinstance(each, dict)]
    if len(changes) != len(told):
        raise Malformed("changes must be a list of objects")
    return sorted(changes, key=lambda change: -1 if change.sequence is None else change.sequence)


def _message_change(told: Json) -> Change:
    dialog = read.text(told, "dialogId", max_length=_LONGEST_ID, required=False)
    # Older ones name no conversation; its main dialog has the same id.
    conversation = read.text(told, "conversationId", max_length=_LONGEST_ID, required=False) or dialog
    if not conversation:
        raise Malformed("dialogId is missing")
    sequence = read.number(told, "sequence", required=False)
    return Change(
        conversation=conversation,
        dialog=dialog or conversation,
        sequence=None if sequence is None else int(sequence),
        told=told,
    )


def _state_change(told: Json) -> Change:
    result = read.mapping(told, "result")
    return Change(conversation=read.text(result, "convId", max_length=_LONGEST_ID), told=result)


def read_change(
    change: Change, known: Known, settings: LivePersonSettings, file_url: FileUrl
) -> tuple[Known, list[AnyEvent]]:
    """What a change means: what is known from here on, and what happened.

    Raises:
        Malformed: a field is missing or wrong.
    """
    if change.dialog:
        return known, read_message(change, known, settings, file_url)
    return read_state(change, known, settings)


# Messages


def read_message(change: Change, known: Known, settings: LivePersonSettings, file_url: FileUrl) -> list[AnyEvent]:
    """Something that was written, or is being written; nothing for what is not the user's business."""
    told = change.told
    writer = read.mapping(told, "originatorMetadata")
    role = read.text(writer, "role", max_length=_LONGEST_ID)
    if role == _USER or told.get("messageAudience") == "AGENTS_AND_MANAGERS":
        return []
    if change.dialog not in (known.main, known.dialog) and not settings.survey:
        return []  # a survey, or another dialog that is not ours to show
    reader = _READERS.get(str(_event(told).get("type")))
    return reader(_Said(change=change, role=role, settings=settings, file_url=file_url)) if reader else []


def _event(told: Json) -> Json:
    return read.mapping(told, "event")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """A message, and what it takes to read it."""

    change: Change
    role: str
    settings: LivePersonSettings
    file_url: FileUrl

    @property
    def event(self) -> Json:
        return _event(self.change.told)


def _read_content(said: _Said) -> list[AnyEvent]:
    return _written(said, read_content(said.event, said.file_url))


def _read_rich_content(said: _Said) -> list[AnyEvent]:
    return _written(said, read_rich_content(said.event))


def _written(said: _Said, content: Content) -> list[AnyEvent]:
    automatic = said.role == _SYSTEM
    if not content or (automatic and not said.settings.automatic_messages):
        return []
    change = said.change
    writer = read.text(change.told, "originatorId", max_length=_LONGEST_ID, required=False)
    return [
        AgentMessage(
            chat_id=change.conversation,
            event_id=None if change.sequence is None else f"{change.dialog}:{change.sequence}",
            agent=None if automatic or not writer else person(writer, said.settings),
            text=content.text,
            attachments=tuple(content.attachments),
            buttons=tuple(content.buttons),
            automatic=automatic,
        )
    ]


def _read_chat_state(said: _Said) -> list[AnyEvent]:
    if said.role == _SYSTEM:
        return []
    state = read.text(said.event, "chatState", max_length=_LONGEST_ID)
    return [AgentTyping(chat_id=said.change.conversation, typing=state == "COMPOSING")]


def _read_accept_status(said: _Said) -> list[AnyEvent]:
    status = read.text(said.event, "status", max_length=_LONGEST_ID)
    state = _STATES.get(status)
    if state is None:
        return []
    numbers = read.sequence(said.event, "sequenceList", max_length=_MOST)
    change = said.change
    return [
        MessageStatus(chat_id=change.conversation, message_id=f"{change.dialog}:{number}", state=state)
        for number in numbers
    ]


_STATES: Mapping[str, Any] = {"ACCEPT": "delivered", "READ": "read", "NACK": "rejected"}

# https://developers.liveperson.com/connector-api-webhooks-events.html (read 2026-11): type of event -> reader
_READERS: Mapping[str, Callable[[_Said], list[AnyEvent]]] = {
    "ContentEvent": _read_content,
    "RichContentEvent": _read_rich_content,
    "ChatStateEvent": _read_chat_state,
    "AcceptStatusEvent": _read_accept_status,
}


def person(agent_id: str, settings: LivePersonSettings) -> Person:
    """An agent, of whom they tell us nothing but the id."""
    return Person(name=settings.agent_names.get(agent_id, settings.agent_name), id=agent_id)


# The state of a conversation


def read_state(change: Change, known: Known, settings: LivePersonSettings) -> tuple[Known, list[AnyEvent]]:
    """Who has the conversation, or that it is over, by comparing with what was *known*."""
    details = read.mapping(change.told, "conversationDetails")
    updated = read.number(details, "metaDataLastUpdateTs", required=False) or known.updated
    if updated < known.updated:
        return known, []  # it was overtaken
    fresh = _known_from(details, replace(known, updated=updated), settings)
    if _is_over(details, settings):
        return fresh, [Closed(chat_id=change.conversation, reason=_end_reason(details, fresh))]
    return fresh, _moves(change.conversation, known, fresh, settings)


def consumer_of(change: Change) -> str | None:
    """Whose conversation it is, by their name for the user; None where it is over, or the change does not say."""
    details = change.told.get("conversationDetails")
    if not isinstance(details, dict) or _is_closed(details):
        return None
    participants = details.get("participants")
    people = [each for each in participants if isinstance(each, dict)] if isinstance(participants, list) else []
    found = next((each.get("id") for each in people if each.get("role") == _USER), None)
    return found if isinstance(found, str) else None


def _known_from(details: Json, known: Known, settings: LivePersonSettings) -> Known:
    skill = read.text(details, "skillId", max_length=_LONGEST_ID, required=False) or known.skill
    participants = read.sequence(details, "participants", max_length=_MOST, required=False)
    agent = known.agent if participants is None else _assigned(participants)
    main = _dialog(details, "MAIN")
    main_id = _dialog_id(main) or known.main
    survey = _dialog(details, "POST_SURVEY") if settings.survey else None
    dialog = _dialog_id(survey) if survey and not _is_closed(survey) else None
    return replace(known, main=main_id, dialog=dialog or main_id, agent=agent, skill=skill)


def _assigned(participants: list[Any]) -> str | None:
    for each in participants:
        if isinstance(each, dict) and each.get("role") == _AGENT:
            return read.text(each, "id", max_length=_LONGEST_ID)
    return None


def _dialog(details: Json, kind: str) -> Json | None:
    """The newest dialog of this kind."""
    dialogs = read.sequence(details, "dialogs", max_length=_MOST, required=False) or []
    found = [each for each in dialogs if isinstance(each, dict) and each.get("dialogType") == kind]
    return max(found, key=lambda each: read.number(each, "creationTs", required=False) or 0.0, default=None)


def _dialog_id(dialog: Json | None) -> str | None:
    return read.text(dialog, "dialogId", max_length=_LONGEST_ID) if dialog else None


def _is_closed(details: Json) -> bool:
    return details.get("state") == "CLOSE"


def _is_over(details: Json, settings: LivePersonSettings) -> bool:
    """Whether it is over for the user: with the agent, or also with the survey that may follow.

    ``state`` is that of the main dialog, ``stage`` that of everything; older ones have no stage
    (https://developers.liveperson.com/messaging-window-api-tutorials-post-conversation-survey-pcs.html).
    """
    if settings.survey and "stage" in details:
        return bool(details["stage"] == "CLOSE")
    main = _dialog(details, "MAIN")
    return _is_closed(details) or (main is not None and _is_closed(main))


def _end_reason(details: Json, known: Known) -> EndReason:
    main = _dialog(details, "MAIN") or {}
    who = details.get("closeReason") or main.get("closedBy")
    if who == "CONSUMER":
        return EndReason.USER_LEFT
    if who == "SYSTEM" and known.agent is None:
        return EndReason.NOT_ACCEPTED
    return EndReason.AGENT_CLOSED


def _moves(conversation: str, before: Known, fresh: Known, settings: LivePersonSettings) -> list[AnyEvent]:
    """Who joined, took over or left."""
    if fresh.agent == before.agent:
        return []
    group = fresh.skill if fresh.skill != before.skill else None
    if fresh.agent is None:
        return [Transferred(chat_id=conversation, group=group)]
    agent = person(fresh.agent, settings)
    if before.agent is None:
        return [AgentJoined(chat_id=conversation, agent=agent)]
    return [Transferred(chat_id=conversation, agent=agent, group=group)]
