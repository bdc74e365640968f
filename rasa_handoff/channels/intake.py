"""What users send that Rasa's channels leave out: seen in their webhooks, without getting before their checks.

A request to a channel's webhook is remembered in a context variable, which every task that the channel starts
for it inherits. The gate asks for what belongs to the message it has in hand; what the channel will not tell
the bot of is taken in when the channel has answered, and so has found the request authentic, and before its
answer goes out. Only the service itself is asked sooner, for what its webhook leaves out (`Channel.look_up`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from inspect import isawaitable
from typing import Any

from rasa.core.channels.channel import UserMessage
from sanic import Sanic
from sanic.request import Request
from sanic.response import BaseHTTPResponse, HTTPResponse, text

from rasa_handoff.channels import Channels
from rasa_handoff.channels.addresses import Addresses
from rasa_handoff.channels.base import Channel, Heard, To
from rasa_handoff.channels.rest import Mailbox, hand_over
from rasa_handoff.errors import StoreError
from rasa_handoff.model import NO_CHANNEL, Handoff
from rasa_handoff.store import Store

log = logging.getLogger(__name__)

#: Takes in what a channel dropped; False where the bot has the conversation, and nobody wants it.
TakeIn = Callable[[Channel, Heard], Awaitable[bool]]


class _Webhook:
    """One request of a channel's, and which of what it says the gate has met."""

    __slots__ = ("_heard", "_met", "channel", "request")

    def __init__(self, channel: Channel, request: Request) -> None:
        self.channel = channel
        self.request = request
        self._heard: tuple[Heard, ...] | None = None
        self._met: set[int] = set()

    @property
    def heard(self) -> tuple[Heard, ...]:
        if self._heard is None:
            self._heard = _read(self.channel, self.request)
        return self._heard

    def meet(self, sender_id: str) -> Heard | None:
        """The next of what this user did that the bot is told of."""
        for number, each in enumerate(self.heard):
            if number not in self._met and not each.dropped and each.sender_id == sender_id:
                self._met.add(number)
                return each
        return None


_CURRENT: ContextVar[_Webhook | None] = ContextVar("handoff_webhook", default=None)


class Intake:
    """Between Rasa's channels and the gate."""

    def __init__(self, store: Store, channels: Channels, now: Callable[[], float] = time.time) -> None:
        self.channels = channels
        self._store = store
        self._addresses = Addresses(store, now)
        self._take_in: TakeIn | None = None

    def install(self, app: Sanic, take_in: TakeIn) -> None:
        """See every request of *app* to a channel of Rasa's; call it before the server takes the first one.

        It stands around the routes' handlers: with a middleware every request to the server would pay for four of
        Sanic's signals.
        """
        self._take_in = take_in
        for route in app.router.routes:
            channel = self.channels.under(f"/{route.path}") if "POST" in route.methods else None
            if channel is not None:
                route.handler = self.around(channel, route.handler)

    def around(self, channel: Channel, handler: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """*handler* of one of *channel*'s routes, with us before and behind it."""

        @wraps(handler)
        async def handle(request: Request, **named: Any) -> Any:
            if request.method != "POST":
                return await _called(handler, request, named)
            await _look_up(channel, request)
            webhook = _Webhook(channel, request)
            before = _CURRENT.set(webhook)  # the requests of one connection share a context
            try:
                response = await _called(handler, request, named)
            except Exception as error:
                failed = HTTPResponse(status=getattr(error, "status_code", 500))
                instead = await self._finish(webhook, failed)
                if instead is None:
                    raise
                return instead
            finally:
                _CURRENT.reset(before)
            return response if response is None else await self._finish(webhook, response) or response

        return handle

    async def _finish(self, webhook: _Webhook, response: BaseHTTPResponse) -> HTTPResponse | None:
        """Its answer is about to go out; gives another one where that would be wrong."""
        if not webhook.channel.took(webhook.request, response):
            return None
        dropped = [each for each in webhook.heard if each.dropped]
        if not dropped:
            return None
        try:
            taken = [await self._taken(webhook.channel, each) for each in dropped]
        except Exception as error:
            log.error("intake.not_taken channel=%s error=%s", webhook.channel.name, type(error).__name__)
            return text("", 503)  # whoever sends webhooks sends this one again
        failed = not 200 <= response.status < 300
        return text("", 200) if failed and all(taken) else None

    async def _taken(self, channel: Channel, heard: Heard) -> bool:
        return self._take_in is not None and await self._take_in(channel, heard)

    # -- for the gate -------------------------------------------------------------------------

    def heard(self, message: UserMessage) -> Heard | None:
        """What the webhook that brought *message* says of it, where it came by one that we know."""
        webhook = _CURRENT.get()
        return webhook.meet(message.sender_id) if webhook else None

    def channel(self, message: UserMessage) -> Channel:
        """The channel that *message* came by."""
        webhook = _CURRENT.get()
        return webhook.channel if webhook else self.channels.named(message.input_channel or "")

    def mailbox(self, message: UserMessage) -> str | None:
        """The channel on which things wait for who wrote *message*; None where all comes by itself.

        Who writes to Rasa's rest channel can take any name, and that of a user of another channel, too. So it is
        the channel that the message came by, whichever it claims; unless that is a name which clients made up.
        """
        claimed = message.input_channel or NO_CHANNEL
        if not self.channels.has(claimed):
            return claimed
        here = self.channel(message)
        return here.name if isinstance(here, Mailbox) else None

    async def hand_over(self, message: UserMessage) -> None:
        """Give the user what waits for them, where it could not come by itself."""
        mailbox = self.mailbox(message)
        if mailbox is not None and message.output_channel is not None:
            await hand_over(self._store, message.sender_id, mailbox, message.output_channel)

    def keep_address(self, message: UserMessage) -> Awaitable[object] | None:
        """Begin to keep how the user is reached; what it gives is for `kept`."""
        webhook = _CURRENT.get()
        try:
            return self._addresses.keep(self.channel(message), message, webhook.request if webhook else None)
        except Exception:  # the bot's turn must not end with it
            log.exception("intake.no_address channel=%s", message.input_channel)
            return None

    async def kept(self, keeping: Awaitable[object]) -> None:
        """Wait for what `keep_address` began."""
        try:
            await keeping
        except StoreError as error:  # the user's next message tries again
            log.error("intake.address_not_kept %s", error)

    # -- for reach ----------------------------------------------------------------------------

    @staticmethod
    def apart() -> None:
        """What this task does from here on is not what a webhook asked for, though one may have started it."""
        _CURRENT.set(None)

    async def to(self, handoff: Handoff, delivery_id: str = "") -> To:
        """The user of *handoff*, with their address."""
        channel = self.channels.named(handoff.channel)
        address = await self._addresses.find(channel, handoff.sender_id)
        return To(sender_id=handoff.sender_id, channel=handoff.channel, address=address, delivery_id=delivery_id)


async def _called(handler: Callable[..., Any], request: Request, named: dict[str, Any]) -> Any:
    answer = handler(request, **named)
    return await answer if isawaitable(answer) else answer


async def _look_up(channel: Channel, request: Request) -> None:
    try:
        await channel.look_up(request)
    except Exception as error:  # of a stranger's making, perhaps; the channel will say so
        log.warning("intake.not_looked_up channel=%s error=%s", channel.name, type(error).__name__)


def _read(channel: Channel, request: Request) -> tuple[Heard, ...]:
    try:
        return tuple(channel.heard(request))
    except Exception as error:  # of a stranger's making, perhaps; the channel will say so
        log.warning("intake.unreadable channel=%s error=%s", channel.name, type(error).__name__)
        return ()
