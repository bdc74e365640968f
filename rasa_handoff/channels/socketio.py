"""Rasa's Socket.IO channel: an event to a room that nobody is in is lost without an error, so look first.

With ``session_persistence`` a conversation is a room that a user's page enters when it has connected; without, it is
the connection, and ends with it. Nothing is dropped: an event carries what it carries, attachments in its metadata.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from copy import copy
from typing import Any

from rasa.core.channels.channel import OutputChannel
from socketio import AsyncServer

from rasa_handoff.channels.base import Channel, To, Traits, as_button, card_text, link
from rasa_handoff.errors import StoreError, UserAway
from rasa_handoff.model import Attachment, Button, Card, Json, Message

log = logging.getLogger(__name__)

TYPING = "handoff_typing"  #: our event, for pages that want to know; the others pay no heed to it
_ANSWERS_WITHIN = 2.0  #: seconds
_ROOMS = "/"  #: the only namespace that Rasa's channel sends to, whatever its setting says
_SRC = {"image", "video"}  #: what the web chats for Rasa show by themselves


class SocketIO(Channel):
    """Users with a page that is connected; the others' messages wait until they are back."""

    traits = Traits(
        name="socketio",
        push="yes: while a page of the user's is connected, to whichever server, and at once when one is again",
        hears=("image", "file", "audio", "video", "location"),
        shows=("image", "video", "links to files", "buttons", "cards"),
        typing=True,
        speaker="in `metadata.handoff` of each event, for a page that shows it; and in a notice",
        needs=(
            "`session_persistence: true`, for users to be found who have reconnected.",
            "python-socketio older than 5.10, because Rasa 3.6 loses everything with newer ones then.",
            "Attachments of users in the event's `metadata.attachments`, see docs/http.md.",
        ),
        limits=(
            f"Rasa's events know no typing: pages that show it listen to `{TYPING}` (`" + '{"typing": true}`).',
            "A `namespace` in credentials.yml does not work: Rasa's channel sends to the default one all the same.",
        ),
        sources=("https://rasa.com/docs/rasa/connectors/your-own-website#websocket-channel",),
    )

    def troubles(self) -> Sequence[str]:
        return tuple(_troubles(self.rasa))

    def watch(self, came: Callable[[str], Awaitable[None]]) -> None:
        sio = self.rasa.sio
        if sio is None:
            return
        _listen(sio, self.rasa.namespace or _ROOMS, came)
        if self.around.elsewhere is not None:
            self.around.elsewhere.answer(self._pages, self._has_page)
            self.around.elsewhere.take(self._pages, self._take)

    @property
    def _pages(self) -> str:
        """What servers that share a database ask each other for, and give each other something for."""
        return f"pages of {self.name}"

    async def _has_page(self, sender_id: str) -> bool:
        return is_here(self.rasa.sio, sender_id)

    async def _take(self, sender_id: str, given: Json) -> bool:
        return await self._emit_here(sender_id, given["event"], given["data"])

    async def output_there(self, to: To) -> OutputChannel:
        if not await self._is_anywhere(to.sender_id):
            raise _away()
        return self.output(to)

    async def _is_anywhere(self, sender_id: str) -> bool:
        if is_here(self.rasa.sio, sender_id):
            return True
        others = self.around.elsewhere
        return others is not None and await others.ask(self._pages, sender_id, _ANSWERS_WITHIN)

    def output(self, to: To) -> OutputChannel:
        """Rasa's own, for all pages of the user, at whichever server they are."""
        output = copy(super().output(to))
        output.sio = _EveryServer(self, output.sio)
        return output

    def parts(self, message: Message) -> Sequence[Json]:
        metadata = {"metadata": {"handoff": _who(message)}}
        return [{**each, **metadata} for each in _events(message)]

    async def put(self, to: To, part: Json) -> None:
        await self._emit(to, self.rasa.bot_message_evt, part)

    async def typing(self, to: To, typing: bool) -> None:
        await self._emit(to, TYPING, {"typing": typing})

    async def _emit(self, to: To, event: str, data: Json) -> None:
        if not await self.emit(to.sender_id, event, data):
            raise _away()

    async def emit(self, sender_id: str, event: str, data: Any) -> bool:
        """Send an event to all pages of the user, at whichever server they are; False where there is none."""
        others = self.around.elsewhere
        is_one_connection = is_here(self.rasa.sio, sender_id) and not self.rasa.session_persistence
        if others is None or is_one_connection:
            return await self._emit_here(sender_id, event, data)
        # To the others first: where the database cannot take it, no page has it yet when it is tried again.
        given, has_page = {"event": event, "data": data}, is_here(self.rasa.sio, sender_id)
        there = await others.give(self._pages, sender_id, given, _ANSWERS_WITHIN, lasting=has_page)
        here = await self._emit_here(sender_id, event, data)
        return here or await there

    async def _emit_here(self, sender_id: str, event: str, data: Any) -> bool:
        if not is_here(self.rasa.sio, sender_id):
            return False
        await self.rasa.sio.emit(event, data, room=sender_id)
        return True


class _EveryServer:
    """What Rasa's output channel takes for its Socket.IO server: emits to a user's pages at the other servers, too."""

    def __init__(self, channel: SocketIO, sio: AsyncServer) -> None:
        self._channel = channel
        self._sio = sio

    async def emit(self, event: str, data: Any = None, room: str | None = None, **more: Any) -> None:
        if room is None or more:  # the bot's own JSON may ask for what only one server can do
            await self._sio.emit(event, data, room=room, **more)
        else:
            await self._channel.emit(room, event, data)


def _away() -> UserAway:
    return UserAway("socketio: the user is not connected", everywhere=True)


def is_here(sio: AsyncServer, sender_id: str) -> bool:
    """Whether a page of this user is connected to this process."""
    return bool(getattr(sio.manager, "rooms", {}).get(_ROOMS, {}).get(sender_id))


def _listen(sio: AsyncServer, namespace: str, came: Callable[[str], Awaitable[None]]) -> None:
    """Hear of it when Rasa's channel has put a page into its room."""
    handlers = sio.handlers[namespace]
    enter = handlers["session_request"]

    async def session_request(sid: str, data: Json | None) -> None:
        await enter(sid, data)
        sender_id = (data or {}).get("session_id")
        if sender_id and is_here(sio, sender_id):
            try:
                await came(sender_id)
            except StoreError as error:  # what waits comes a little later by itself
                log.warning("socketio.not_nudged %s", error)

    handlers["session_request"] = session_request


def _troubles(rasa: Any) -> Iterator[str]:
    if not rasa.session_persistence:
        yield "set session_persistence: true, or an agent's message to a user who reconnects is lost"
    elif _does_not_wait(rasa):
        yield "install python-socketio<5.10: with this version and session_persistence, users hear nothing"
    if rasa.namespace not in (None, _ROOMS):
        yield f"take namespace: {rasa.namespace} away: Rasa's channel answers in the default one, where nobody is"


def _does_not_wait(rasa: Any) -> bool:
    """Whether nobody enters a room, because it takes waiting for since python-socketio 5.10 and Rasa 3.6 does not.

    https://github.com/RasaHQ/rasa/issues/13027
    """
    takes_waiting = inspect.iscoroutinefunction(AsyncServer.enter_room)
    return takes_waiting and "await sio.enter_room" not in inspect.getsource(type(rasa).blueprint)


# What agents send, as Rasa's channel sends what the bot says


def _who(message: Message) -> Json:
    who = {"who": message.who, "message_id": message.id, "name": message.name, "avatar_url": message.avatar_url}
    return {name: value for name, value in who.items() if value}


def _events(message: Message) -> Iterator[Json]:
    if message.text or message.buttons:
        replies = {"quick_replies": [_reply(each) for each in message.buttons]} if message.buttons else {}
        yield {"text": message.text or "…", **replies}
    for attachment in message.attachments:
        yield _attachment(attachment)
    if message.cards:
        elements = [_element(each) for each in message.cards]
        yield {"attachment": {"type": "template", "payload": {"template_type": "generic", "elements": elements}}}


def _reply(button: Button) -> Json:
    return {"content_type": "text", **as_button(button)}


def _attachment(attachment: Attachment) -> Json:
    if attachment.kind not in _SRC:
        return {"text": link(attachment)}
    payload = {"src": attachment.url, "title": attachment.name or ""}
    return {"attachment": {"type": attachment.kind, "payload": payload}}


def _element(card: Card) -> Json:
    element: Json = {"title": card.title or card_text(card), "buttons": [as_button(each) for each in card.buttons]}
    more = {"subtitle": card.text, "image_url": card.image_url}
    element.update({name: value for name, value in more.items() if value})
    if card.url:
        element["default_action"] = {"type": "web_url", "url": card.url}
    return element
