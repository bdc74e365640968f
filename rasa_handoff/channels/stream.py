"""Our own channel's users: what they get is in their stream, and waits there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rasa.core.channels.channel import CollectingOutputChannel, OutputChannel

from rasa_handoff.channels.base import Channel, Notice, To, Traits
from rasa_handoff.model import Button, Card, Json, Message, new_id
from rasa_handoff.store import Store, stream


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
            "attachments": [{"url": each.url, "kind": each.kind, "name": each.name} for each in message.attachments],
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
