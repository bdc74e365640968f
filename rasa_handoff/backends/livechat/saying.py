"""What we tell LiveChat: the bodies of our requests."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from rasa_handoff.attachments import is_web_address, unshown
from rasa_handoff.backends import sources
from rasa_handoff.backends.livechat.pressing import Press
from rasa_handoff.backends.livechat.settings import LiveChatSettings
from rasa_handoff.model import Attachment, Handoff, Json, Message, Rating, Request
from rasa_handoff.pieces import in_utf8, pieces

LONGEST_TEXT = 16_000  #: bytes; they take 16 kB
_MOST_FIELDS = 100
_LONGEST_FIELD = 2000  #: characters


def customer_of(settings: LiveChatSettings, request: Request) -> Json:
    """`update_customer`: who the user is, as far as it is known."""
    known = {name: sources.text(source, request) for name, source in dict(settings.user).items()}
    return {name: value for name, value in known.items() if value}


def session_fields_of(settings: LiveChatSettings, request: Request) -> list[dict[str, str]]:
    """`set_customer_session_fields`: what the bot's owner chose, else every slot; objects of one pair, in order."""
    if settings.session_fields is None:
        found: Json = dict(request.parameters)
    else:
        found = {name: sources.value(source, request) for name, source in settings.session_fields.items()}
    known = [{name: sources.as_text(value)[:_LONGEST_FIELD]} for name, value in found.items() if value is not None]
    return known[:_MOST_FIELDS]


def chat_of(settings: LiveChatSettings, group: str | None, events: Sequence[Json], chat_id: str | None = None) -> Json:
    """`start_chat`; with a *chat_id* `resume_chat`."""
    chat: Json = {"id": chat_id} if chat_id else {}
    if group is not None:
        chat["access"] = {"group_ids": [int(group)]}
    if events:
        chat["thread"] = {"events": list(events)}
    return {"chat": chat, "active": True, "continuous": settings.continuous}


def transcript_of(settings: LiveChatSettings, handoff: Handoff, request: Request) -> list[Json]:
    """The conversation with the bot, as the chat's first messages."""
    names = {"user": settings.speakers.user, "bot": settings.speakers.bot}
    lines = [f"{names.get(line.who, line.who)}: {line.text}" for line in request.transcript]
    text = "\n".join(lines) or (request.last_message or "")
    parts = pieces(text, LONGEST_TEXT, in_utf8) if text.strip() else []
    return [message_event(part, id_of(handoff.id, number)) for number, part in enumerate(parts)]


def message_event(text: str, custom_id: str) -> Json:
    return {"type": "message", "text": text, "recipients": "all", "custom_id": custom_id}


def answer_event(press: Press, custom_id: str) -> Json:
    """What a pressed button says."""
    return {**message_event(press.text, custom_id), "postback": press.in_message()}


def file_event(url: str, custom_id: str) -> Json:
    return {"type": "file", "url": url, "recipients": "all", "custom_id": custom_id}


def parts_of(message: Message) -> list[Message]:
    """A user's message as they take it: texts of 16 kB, then each medium by itself."""
    places = [each.url for each in message.attachments if each.kind == "location"]
    text = "\n".join(filter(None, [message.text, *places]))
    texts = pieces(text, LONGEST_TEXT, in_utf8) if text else []
    parts = [replace(message, text=part, attachments=()) for part in texts]
    media = (each for each in message.attachments if each.kind != "location")
    parts += [replace(message, text="", attachments=(each,)) for each in media]
    return [replace(part, id=id_of(message.id, number)) for number, part in enumerate(parts)] or [message]


def id_of(name: str, number: int) -> str:
    """The id of a part: of the first that of the whole; the same each time it is sent."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {number}")) if number else name


def rating_of(rating: Rating) -> Json:
    """Thumbs up or down, as their chats are rated; the comment has what that leaves out.

    https://platform.text.com/docs/messaging/references/default-properties#rating (read 2026-11)
    """
    good = rating.stars >= 4 or (rating.stars == 3 and rating.resolved is True)
    settled = {True: ", settled", False: ", not settled", None: ""}[rating.resolved]
    return {"rating": {"score": int(good), "comment": f"{rating.stars} of 5{settled}"}}


def link_of(medium: Attachment, *why: str) -> str:
    """A medium that cannot be laid down there, as text: its address, or *why* they see nothing of it."""
    return f"[{medium.kind}: {medium.url}]" if is_web_address(medium.url) else unshown(medium, *why)
