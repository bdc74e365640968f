"""The channels of this server by name, each with what we know of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

from pydantic import BaseModel
from rasa.core.channels import BUILTIN_CHANNELS
from rasa.core.channels.channel import InputChannel

from rasa_handoff.channels.base import Around, Channel, Traits
from rasa_handoff.channels.own import Own
from rasa_handoff.channels.rest import Mailbox
from rasa_handoff.channels.stream import Stream
from rasa_handoff.media import OURS

# Rasa's class -> ours. A module is loaded when its channel is there: some need libraries that others do not have.
_OURS = {
    "rasa.core.channels.botframework.BotFrameworkInput": "botframework:BotFramework",
    "rasa.core.channels.callback.CallbackInput": "callback:Callback",
    "rasa.core.channels.facebook.FacebookInput": "facebook:Facebook",
    "rasa.core.channels.hangouts.HangoutsInput": "hangouts:Hangouts",
    "rasa.core.channels.mattermost.MattermostInput": "mattermost:Mattermost",
    "rasa.core.channels.rasa_chat.RasaChatInput": "rasa_chat:RasaChat",
    "rasa.core.channels.rest.RestInput": "rest:Rest",
    "rasa.core.channels.rocketchat.RocketChatInput": "rocketchat:RocketChat",
    "rasa.core.channels.slack.SlackInput": "slack.channel:Slack",
    "rasa.core.channels.socketio.SocketIOInput": "socketio:SocketIO",
    "rasa.core.channels.telegram.TelegramInput": "telegram:Telegram",
    "rasa.core.channels.twilio_voice.TwilioVoiceInput": "twilio_voice:TwilioVoice",
    "rasa.core.channels.twilio.TwilioInput": "twilio:Twilio",
    "rasa.core.channels.webexteams.WebexTeamsInput": "webexteams:WebexTeams",
    "rasa_handoff.channel.HandoffInput": "stream:Stream",
}
_ROUTE = "/webhooks/"  #: where `rasa run` puts its channels


def known() -> Iterator[tuple[str, type[Channel]]]:
    """Each class of Rasa's that we know and whose libraries are here, by its full name, with ours."""
    for theirs in _OURS:
        with suppress(ImportError):
            yield theirs, _load(theirs)


def settings_models() -> dict[str, type[BaseModel]]:
    """The model of each channel's own settings, by name, for those channels that have some."""
    return {kind.traits.name: kind.settings_model for _, kind in known() if kind.settings_model is not None}


def kind_of(rasa_class: type[InputChannel]) -> type[Channel]:
    """What we know of the users of a channel of this class, which may be a bot's own or one made from Rasa's."""
    known = next((_load(name) for name in map(_name, rasa_class.__mro__) if name in _OURS), None)
    can_be_called = rasa_class.get_output_channel is not InputChannel.get_output_channel
    if known is None or (issubclass(known, Mailbox) and can_be_called):
        return Own if can_be_called else Mailbox
    return known


def class_named(name: str) -> type[InputChannel]:
    """Rasa's class of the channel *name* in credentials.yml, which may be the path of a bot's own.

    Raises:
        Exception: what its module raises.
    """
    if name in BUILTIN_CHANNELS:
        known: type[InputChannel] = BUILTIN_CHANNELS[name]
        return known
    module, _, attribute = name.rpartition(".")
    found: type[InputChannel] = getattr(import_module(module), attribute)
    return found


def traits_of(rasa_class: type[InputChannel]) -> Traits:
    """What people want to know of a channel of this class; a bot's own has its own name in it."""
    kind = kind_of(rasa_class)
    return kind.traits if _name(rasa_class) in _OURS else replace(kind.traits, name=rasa_class.name())


class Channels:
    """The channels of this server.

    Args:
        rasa: gives Rasa's input channels.
        around: what a channel finds around it.
        settings: what our section says about channels, by name, read.
    """

    def __init__(
        self, rasa: Callable[[], Iterable[Any]], around: Around, settings: Mapping[str, Any] | None = None
    ) -> None:
        self._rasa = rasa
        self._around = around
        self._settings = settings or {}
        ours = Stream(None, around)
        ours.name = OURS  # as Rasa calls it, while its class is what credentials.yml has
        self._made: dict[str, Channel] = {OURS: ours}
        self._unknown = Mailbox(None, around)
        self._under: dict[str, Channel] | None = None

    def named(self, name: str) -> Channel:
        """The way to the users of the channel *name*; where the server has none of it, they have to come."""
        made = self._made.get(name)
        if made is None:
            rasa = next((each for each in self._inputs() if each.name() == name), None)
            if rasa is None:  # users can make names up: none of them is worth remembering
                return self._unknown
            made = self._made[name] = self._make(rasa)
        return made

    def has(self, name: str) -> bool:
        """Whether *name* is one of this server's channels, and not a word of a user's making."""
        return self.named(name) is not self._unknown

    def under(self, path: str) -> Channel | None:
        """The channel whose webhooks come to *path*."""
        if self._under is None:
            self._under = {f"{_ROUTE}{each.url_prefix()}/": self.named(each.name()) for each in self._inputs()}
        return next((channel for prefix, channel in self._under.items() if path.startswith(prefix)), None)

    def spoken(self) -> frozenset[str]:
        """The names of those whose users hear and cannot read."""
        return frozenset(each.name() for each in self._inputs() if self.named(each.name()).traits.spoken)

    def watch(self, came: Callable[[str], Awaitable[None]]) -> None:
        """Call *came* with a ``sender_id`` when that user is there again, where their channel knows."""
        for each in self._inputs():
            self.named(each.name()).watch(came)

    async def close(self) -> None:
        """The server stops."""
        for channel in self._made.values():
            await channel.close()

    def _inputs(self) -> Iterator[InputChannel]:
        for each in self._rasa():
            yield getattr(each, "underlying", each)  # `rasa inspect` wraps channels

    def _make(self, rasa: InputChannel) -> Channel:
        settings = self._settings.get(rasa.name())
        return kind_of(type(rasa))(rasa, replace(self._around, settings=settings))


def _load(theirs: str) -> type[Channel]:
    module, _, name = _OURS[theirs].partition(":")
    found: type[Channel] = getattr(import_module(f"{__name__}.{module}"), name)
    return found


def _name(some_class: type) -> str:
    return f"{some_class.__module__}.{some_class.__qualname__}"
