"""Channels that cannot be called: what waits for a user comes with their next request."""

from __future__ import annotations

import json

from rasa.core.channels.channel import OutputChannel

from rasa_handoff.channels.base import Traits, as_responses
from rasa_handoff.channels.stream import Stream
from rasa_handoff.model import Attachment, Button, Card, Json, Message
from rasa_handoff.store import Store, stream

_RESPONSE = ("text", "buttons", "quick_replies", "custom", "image", "attachment", "elements")


class Mailbox(Stream):
    """A channel that nothing is known of, and that has no way to its users."""

    traits = Traits(
        name="(a channel of your own without get_output_channel)",
        push="no: what waits comes with the user's next message, or over our stream",
        hears=("image", "file", "audio", "video", "location"),
        shows=("image", "file", "buttons", "cards"),
        needs=("`get_output_channel()` in its class, for users to be reached who did not just write.",),
    )
    waits = True


class Rest(Mailbox):
    """Rasa's ``rest`` channel."""

    traits = Traits(
        name="rest",
        push="no: what waits comes with the user's next request; a page can listen to our stream meanwhile",
        hears=("image", "file", "audio", "video", "location"),
        shows=("image", "file", "buttons", "cards"),
        needs=(
            "Attachments of users in `metadata.attachments`, see docs/http.md.",
            "A client that asks again, or our stream with the server's token, to see at once what an agent writes.",
        ),
    )


async def hand_over(store: Store, sender_id: str, mailbox: str, output: OutputChannel) -> None:
    """Give the user what waits on the channel *mailbox*, through the answer to the request they just made."""
    entries = await store.read(lambda tx: stream.waiting(tx, sender_id, mailbox))
    if not entries:
        return
    for entry in entries:
        for part in _as_responses(json.loads(entry.data)):
            await output.send_response(sender_id, part)
    await store.write(lambda tx: stream.taken(tx, sender_id, mailbox, entries[-1].id))


def _as_responses(data: Json) -> list[Json]:
    """What a user's stream carries, for a channel of Rasa's: one response after the other."""
    if "message_id" in data:
        return as_responses(_as_message(data))
    return [{name: data[name] for name in _RESPONSE if data.get(name)}]


def _as_message(data: Json) -> Message:
    return Message(
        id=data["message_id"],
        who=data["who"],
        text=data.get("text", ""),
        attachments=tuple(Attachment(**each) for each in data.get("attachments", ())),
        buttons=tuple(Button(**each) for each in data.get("buttons", ())),
        cards=tuple(_as_card(each) for each in data.get("cards", ())),
    )


def _as_card(data: Json) -> Card:
    return Card(
        title=data.get("title", ""),
        text=data.get("text", ""),
        image_url=data.get("image"),
        url=data.get("url"),
        buttons=tuple(Button(**each) for each in data.get("buttons", ())),
    )
