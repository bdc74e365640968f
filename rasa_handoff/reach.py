"""How to reach a user on each Rasa channel when the user did not just write."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from rasa.core.channels.callback import CallbackInput
from rasa.core.channels.channel import CollectingOutputChannel, InputChannel, OutputChannel
from rasa.core.channels.socketio import SocketIOInput
from rasa.utils.endpoints import ClientResponseError, EndpointConfig

from rasa_handoff.dialogue import Dialogue
from rasa_handoff.errors import TemporaryError, UserAway, UserUnreachable
from rasa_handoff.faces import Faces
from rasa_handoff.model import Delivery, Handoff, Json, Message, new_id
from rasa_handoff.store import Store, stream

log = logging.getLogger(__name__)

CHANNEL_TIMEOUT = 30.0  #: seconds for a channel of Rasa's to take a message
SETTLE_TIMEOUT = 50.0  #: seconds; Rasa's lock on the conversation lives 60
CALLBACK_TIMEOUT = 10.0  #: seconds; Rasa would wait 300
_AGAIN_LATER = {408, 409, 425, 429}


class Outlet:
    """The way to the users of one channel."""

    def output(self, sender_id: str) -> OutputChannel:
        """Rasa's own way, for what the bot says.

        Raises:
            UserAway: nobody would hear it.
        """
        raise NotImplementedError

    async def send(self, handoff: Handoff, delivery_id: str, message: Json) -> None:
        """Bring a message; *message* is what a user's stream carries, see docs/http.md.

        Raises:
            UserAway, TemporaryError: not now.
            UserUnreachable: never.
        """
        output = self.output(handoff.sender_id)
        for part in _as_responses(message):
            await output.send_response(handoff.sender_id, part)

    async def show(self, handoff: Handoff, delivery_id: str, state: Json) -> None:
        """Show where the handoff stands, where the channel has a place for it."""

    async def close(self) -> None:
        """The server stops."""


class StreamOutlet(Outlet):
    """Our own stream; and the one for channels that cannot be called, which hand over what waits."""

    def __init__(self, store: Store, *, waiting: bool) -> None:
        self._store = store
        self._waiting = waiting

    def output(self, sender_id: str) -> OutputChannel:
        return StreamOutput(self._store, self._waiting)

    async def send(self, handoff: Handoff, delivery_id: str, message: Json) -> None:
        await self._append(handoff.sender_id, "message", message, delivery_id, self._waiting)

    async def show(self, handoff: Handoff, delivery_id: str, state: Json) -> None:
        await self._append(handoff.sender_id, "handoff", state, delivery_id, False)

    async def _append(self, sender_id: str, event: str, data: Json, source: str, waiting: bool) -> None:
        now = time.time()
        await self._store.write(lambda tx: stream.append(tx, sender_id, event, data, now, source, waiting))


class StreamOutput(CollectingOutputChannel):
    """What the bot says outside an answer goes into the user's stream."""

    def __init__(self, store: Store, waiting: bool = False) -> None:
        super().__init__()
        self._store = store
        self._waiting = waiting

    @classmethod
    def name(cls) -> str:
        return "handoff"

    async def _persist_message(self, message: Json) -> None:
        await super()._persist_message(message)
        now, sender_id = time.time(), message["recipient_id"]
        data = {"who": "bot", "at": now, **message}
        del data["recipient_id"]
        await self._store.write(lambda tx: stream.append(tx, sender_id, "message", data, now, new_id(), self._waiting))


class Mailbox:
    """What waits for users of channels that cannot be called: handed over with their next request."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def hand_over(self, sender_id: str, output: OutputChannel) -> None:
        """Give the user what waits, through the answer to the request they just made."""
        entries = await self._store.read(lambda tx: stream.waiting(tx, sender_id))
        if not entries:
            return
        for entry in entries:
            for part in _as_responses(json.loads(entry.data)):
                await output.send_response(sender_id, part)
        await self._store.write(lambda tx: stream.taken(tx, sender_id, entries[-1].id))


class ChannelOutlet(Outlet):
    """A channel that Rasa can call by itself."""

    def __init__(self, channel: InputChannel) -> None:
        self._channel = channel

    def output(self, sender_id: str) -> OutputChannel:
        output = self._channel.get_output_channel()
        if output is None:
            raise UserAway(f"{self._channel.name()}: the channel has no way to the user now")
        return output

    async def send(self, handoff: Handoff, delivery_id: str, message: Json) -> None:
        try:
            await asyncio.wait_for(super().send(handoff, delivery_id, message), CHANNEL_TIMEOUT)
        except asyncio.TimeoutError as error:
            raise TemporaryError(self._channel.name(), "send a message", detail="not taken in time") from error


class SocketOutlet(ChannelOutlet):
    """Socket.IO: an event to a room that nobody is in is lost without an error, so look first."""

    def output(self, sender_id: str) -> OutputChannel:
        output = super().output(sender_id)
        rooms = getattr(output.sio.manager, "rooms", {})
        if not rooms.get("/", {}).get(sender_id):
            raise UserAway("socketio: the user is not connected")
        return output


class CallbackOutlet(Outlet):
    """Rasa's callback channel, which would only log that its callback failed."""

    def __init__(self, endpoint: EndpointConfig) -> None:
        self._endpoint = _KeptEndpoint(endpoint)

    def output(self, sender_id: str) -> OutputChannel:
        return _Callback(self._endpoint)

    async def close(self) -> None:
        await self._endpoint.close()


class _KeptEndpoint(EndpointConfig):
    """An endpoint that keeps its connections, where Rasa's opens one for each request."""

    def __init__(self, endpoint: EndpointConfig) -> None:
        self.__dict__.update(vars(endpoint))
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        if self._session is None:
            self._session = super().session()
        yield self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class _Callback(CollectingOutputChannel):
    def __init__(self, endpoint: EndpointConfig) -> None:
        super().__init__()
        self._endpoint = endpoint

    @classmethod
    def name(cls) -> str:
        return "callback"

    async def _persist_message(self, message: Json) -> None:
        await super()._persist_message(message)
        try:
            timeout = aiohttp.ClientTimeout(total=CALLBACK_TIMEOUT)
            await self._endpoint.request("post", content_type="application/json", json=message, timeout=timeout)
        except ClientResponseError as error:
            if error.status in _AGAIN_LATER or error.status >= 500:
                raise TemporaryError("callback", "call back", error.status) from error
            raise UserUnreachable(f"callback: could not call back: HTTP {error.status}") from error
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise TemporaryError("callback", "call back", detail=type(error).__name__) from error


class Reach:
    """Brings a delivery to the user's side: to the user, or to the bot that takes over again.

    Args:
        channels: gives Rasa's input channels.
        faces: what users see of the agents.
    """

    def __init__(
        self, store: Store, dialogue: Dialogue, channels: Callable[[], Iterable[Any]], faces: Faces | None = None
    ) -> None:
        self._faces = faces or Faces()
        self._dialogue = dialogue
        self._channels = channels
        self._mailbox = StreamOutlet(store, waiting=True)
        self._outlets: dict[str, Outlet] = {"handoff": StreamOutlet(store, waiting=False)}
        self._kinds: dict[str, Callable[[Handoff, Delivery], Awaitable[None]]] = {
            "message": self._message,
            "notice": self._notice,
            "state": self._state,
            "slots": self._slots,
            "settle": self._settle,
            "replay": self._replay,
        }

    async def __call__(self, handoff: Handoff, delivery: Delivery) -> None:
        await self._kinds[delivery.kind](handoff, self._faces.in_delivery(delivery))

    async def close(self) -> None:
        """The server stops."""
        for outlet in self._outlets.values():
            await outlet.close()

    def outlet(self, channel: str) -> Outlet:
        """The way to the users of *channel*."""
        known = self._outlets.get(channel)
        if known is None:
            known = self._outlets[channel] = self._outlet_for(self._named(channel))
        return known

    def _outlet_for(self, found: InputChannel | None) -> Outlet:
        if isinstance(found, CallbackInput):
            return CallbackOutlet(found.callback_endpoint)
        if isinstance(found, SocketIOInput):
            return SocketOutlet(found)
        if found is None or type(found).get_output_channel is InputChannel.get_output_channel:
            return self._mailbox
        return ChannelOutlet(found)

    def _named(self, name: str) -> InputChannel | None:
        for channel in self._channels():
            found: InputChannel = getattr(channel, "underlying", channel)  # `rasa inspect` wraps channels
            if found.name() == name:
                return found
        return None

    async def _message(self, handoff: Handoff, delivery: Delivery) -> None:
        if delivery.message is not None:
            await self.outlet(handoff.channel).send(handoff, delivery.id, _as_data(delivery.message))

    async def _notice(self, handoff: Handoff, delivery: Delivery) -> None:
        body = delivery.body
        words = await self._dialogue.words(handoff, body["response"], body["values"])
        if words:  # a bot owner who wants none of it leaves the response out
            words = {name: value for name, value in words.items() if name != "metadata" and value}
            data = {"who": "system", "at": delivery.created_at, "notice": body["response"], **words}
            await self.outlet(handoff.channel).send(handoff, delivery.id, data)

    async def _state(self, handoff: Handoff, delivery: Delivery) -> None:
        await self.outlet(handoff.channel).show(handoff, delivery.id, delivery.body)

    async def _slots(self, handoff: Handoff, delivery: Delivery) -> None:
        await self._dialogue.set_slots(handoff.id)

    async def _settle(self, handoff: Handoff, delivery: Delivery) -> None:
        output = self.outlet(handoff.channel).output(handoff.sender_id)
        try:
            await asyncio.wait_for(self._dialogue.settle(handoff.id, output), SETTLE_TIMEOUT)
        except asyncio.TimeoutError as error:
            raise TemporaryError("the bot", "take the conversation back", detail="no answer in time") from error

    async def _replay(self, handoff: Handoff, delivery: Delivery) -> None:
        if delivery.message is not None:
            output = self.outlet(handoff.channel).output(handoff.sender_id)
            await self._dialogue.say_again(handoff, delivery.message, output)


def _as_data(message: Message) -> Json:
    """An agent's message, as a user's stream carries it."""
    images = [each.url for each in message.attachments if each.kind == "image"]
    data: Json = {
        "who": message.who,
        "message_id": message.id,
        "name": message.name,
        "avatar_url": message.avatar_url,
        "text": message.text,
        "image": images[0] if len(message.attachments) == 1 and images else None,
        "buttons": [{"title": each.title, "payload": each.payload} for each in message.buttons],
        "attachments": [{"url": each.url, "kind": each.kind, "name": each.name} for each in message.attachments],
        "at": message.at,
    }
    return {name: value for name, value in data.items() if value}


def _as_responses(message: Json) -> list[Json]:
    """The same for a channel of Rasa's: one response after the other."""
    parts: list[Json] = []
    text, buttons = message.get("text"), message.get("buttons")
    if text and buttons:
        parts.append({"text": text, "buttons": buttons})
    elif text:
        parts.append({"text": text})
    for each in message.get("attachments", ()):
        link = f"{each['name']}: {each['url']}" if each.get("name") else each["url"]
        parts.append({"image": each["url"]} if each["kind"] == "image" else {"text": link})
    if message.get("custom"):
        parts.append({"custom": message["custom"]})
    if message.get("image") and not message.get("attachments"):
        parts.append({"image": message["image"]})
    return parts
