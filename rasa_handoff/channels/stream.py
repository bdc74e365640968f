"""Our own channel's users: what they get is in their stream, and waits there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from functools import partial
from typing import Any

from rasa.core.channels.channel import CollectingOutputChannel, OutputChannel, UserMessage
from sanic.request import Request

from rasa_handoff import attachments
from rasa_handoff.channels.base import Channel, ChannelFile, Heard, Notice, To, Traits
from rasa_handoff.errors import FetchError, Malformed
from rasa_handoff.fetch import AnyFile
from rasa_handoff.files import not_open
from rasa_handoff.model import Attachment, Button, Card, Json, Message, new_id
from rasa_handoff.store import Store, Tx, files, handoffs, stream

_FOUND = "handoff_heard"  #: in a request's context


class Stream(Channel):
    """Whoever uses our HTTP interface or our chat page."""

    traits = Traits(
        name="rasa_handoff.HandoffInput",
        push="yes: over a stream of events that resumes where it was cut off",
        hears=("image", "file", "audio", "video", "location", "typing", "read receipt"),
        shows=("image", "file", "audio", "video", "location", "buttons", "cards", "custom"),
        typing=True,
        speaker="name and picture",
    )
    waits = False  #: whether it comes with the user's next request, too

    def heard(self, request: Request) -> Sequence[Heard]:
        """What `find_files` found: of all that comes here nothing else is left out of Rasa's message."""
        found = getattr(request.ctx, _FOUND, None)
        return (found,) if found is not None else ()

    def open(self, reference: Json) -> AbstractAsyncContextManager[AnyFile]:
        file_id, kept = reference.get("file"), self.around.files
        if kept is None or not isinstance(file_id, str):
            raise FetchError("it is not one of ours")
        return kept.open(file_id)

    def output(self, to: To) -> OutputChannel:
        return StreamOutput(self.around.store, self._mailbox(to))

    async def say(self, to: To, message: Message) -> None:
        await self._append(to, "message", as_data(message))

    async def notify(self, to: To, notice: Notice) -> None:
        words = {name: value for name, value in notice.words.items() if name != "metadata" and value}
        await self._append(to, "message", {"who": "system", "at": notice.at, "notice": notice.name, **words})

    async def show(self, to: To, state: Json) -> None:
        await self._append(to, "handoff", state)

    async def mark_read(self, to: To, read: Json) -> None:
        await self._append(to, "read", read)

    async def _append(self, to: To, event: str, data: Json) -> None:
        now, mailbox = self.around.now(), self._mailbox(to) if event == "message" else None
        await self.around.store.write(
            lambda tx: stream.append(tx, to.sender_id, event, data, now, to.delivery_id, mailbox)
        )

    def _mailbox(self, to: To) -> str | None:
        return to.channel if self.waits else None


class StreamOutput(CollectingOutputChannel):
    """What the bot says outside an answer goes into the user's stream.

    Args:
        mailbox: the channel with whose next request the user gets it, too.
    """

    def __init__(self, store: Store, mailbox: str | None = None) -> None:
        super().__init__()
        self._store = store
        self._mailbox = mailbox

    @classmethod
    def name(cls) -> str:
        return "handoff"

    async def _persist_message(self, message: Json) -> None:
        await super()._persist_message(message)
        now, sender_id = time.time(), message["recipient_id"]
        data = {"who": "bot", "at": now, **message}
        del data["recipient_id"]
        await self._store.write(lambda tx: stream.append(tx, sender_id, "message", data, now, new_id(), self._mailbox))


async def find_files(store: Store, request: Request, message: UserMessage) -> None:
    """Let `Stream.heard` know which files of ours go along with *message*: ``attachments: [{"file": id}]``.

    Raises:
        Malformed: one is none that this user has given to the agents who have the conversation.
        Conflict: ``not_open``; the bot has it.
    """
    told = (message.metadata or {}).get("attachments")
    if not isinstance(told, list) or not any(map(_is_ours, told)):
        return
    if len(told) > attachments.MOST:
        raise Malformed(f"attachments must be at most {attachments.MOST}")
    found = await store.write(partial(_found, sender_id=message.sender_id, told=told))
    heard = Heard(sender_id=message.sender_id, attachments=found, for_agents=True)
    setattr(request.ctx, _FOUND, heard)


def _is_ours(told: Any) -> bool:
    return isinstance(told, Mapping) and "file" in told


def _found(tx: Tx, sender_id: str, told: Sequence[Any]) -> tuple[Attachment | ChannelFile, ...]:
    handoff = handoffs.unsettled(tx, sender_id)
    if handoff is None or not handoff.is_open:
        raise not_open()
    read = (_file(tx, handoff.id, each["file"]) if _is_ours(each) else attachments.read(each) for each in told)
    return tuple(filter(None, read))


def _file(tx: Tx, handoff_id: str, file_id: Any) -> ChannelFile:
    kept = files.get(tx, file_id) if isinstance(file_id, str) else None
    if kept is None or (kept.handoff_id, kept.who) != (handoff_id, "user"):
        raise Malformed("attachments: there is no such file of this user's in this conversation; give it first")
    files.sent(tx, kept.id)
    return ChannelFile(reference={"file": kept.id}, kind=kept.kind, name=kept.name, mime=kept.mime, size=kept.size)


def as_data(message: Message) -> Json:
    """An agent's message, as a user's stream carries it; see docs/http.md."""
    images = [each.url for each in message.attachments if each.kind == "image"]
    return _filled(
        {
            "who": message.who,
            "message_id": message.id,
            "name": message.name,
            "avatar_url": message.avatar_url,
            "text": message.text,
            "image": images[0] if len(message.attachments) == 1 and images else None,
            "buttons": _buttons(message.buttons),
            "cards": [_card(each) for each in message.cards],
            "attachments": [_filled(asdict(each)) for each in message.attachments],
            "at": message.at,
        }
    )


def _card(card: Card) -> Json:
    return _filled(
        {
            "title": card.title,
            "text": card.text,
            "image": card.image_url,
            "url": card.url,
            "buttons": _buttons(card.buttons),
        }
    )


def _buttons(buttons: Sequence[Button]) -> list[Json]:
    return [
        {"title": each.title, "payload": each.payload, **({"url": each.url} if each.url else {})} for each in buttons
    ]


def _filled(data: dict[str, Any]) -> Json:
    return {name: value for name, value in data.items() if value}
