"""LivePersonAgentInput, the channel in which Rasa takes chats from LivePerson's queue as an agent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from rasa.core.channels.channel import InputChannel, OutputChannel, UserMessage
from rasa.shared.core.events import SlotSet, UserUttered
from sanic import Blueprint, Sanic
from sanic.request import Request
from sanic.response import HTTPResponse

from rasa_handoff.backends.http import Http
from rasa_handoff.backends.liveperson.domains import Domains
from rasa_handoff.channel import CannotStart, HandoffInput
from rasa_handoff.errors import ConfigError, StoreError, UnknownChat, UserUnreachable
from rasa_handoff.liveperson_agent import lines, settings
from rasa_handoff.liveperson_agent.book import Book
from rasa_handoff.liveperson_agent.chat import Chat, Heard
from rasa_handoff.liveperson_agent.chats import Chats, chat_of, left_chat
from rasa_handoff.liveperson_agent.session import WHO, Session
from rasa_handoff.liveperson_agent.settings import ChannelSettings
from rasa_handoff.liveperson_agent.visitors import value_at
from rasa_handoff.model import EndReason, Json
from rasa_handoff.web import logs
from rasa_handoff.web.answers import answering, as_json

log = logging.getLogger(__name__)

Take = Callable[[UserMessage], Awaitable[Any]]


class LivePersonAgentInput(InputChannel):
    """The entry ``rasa_handoff.LivePersonAgentInput`` in credentials.yml.

    Args:
        settings: what the entry says.
        folder: where a relative path of the positions begins; the working folder by default.
    """

    def __init__(self, settings: ChannelSettings, folder: Path | None = None) -> None:
        self.settings = settings
        self._folder = folder or Path.cwd()
        self.choices = Choices()
        self._chats: Chats | None = None
        self._http: Http

    @classmethod
    def name(cls) -> str:
        return WHO

    @classmethod
    def from_credentials(cls, credentials: dict[str, Any] | None) -> LivePersonAgentInput:
        try:
            return cls(settings.read(credentials))
        except ConfigError as error:
            raise CannotStart(str(error)) from error

    def get_output_channel(self) -> OutputChannel:
        return ChatOutput(self.choices)

    def blueprint(self, on_new_message: Take) -> Blueprint:
        blueprint = Blueprint(f"{WHO}_webhook", __name__)
        blueprint.add_route(answering(self._alive), "/", ["GET"], name="alive")

        async def open_book(app: Sanic, loop: Any = None) -> None:
            self._open(RasaBot(app, self, on_new_message))

        blueprint.listener("before_server_start")(open_book)
        blueprint.listener("after_server_start")(self._start)
        blueprint.listener("before_server_stop")(self._stop)
        return blueprint

    async def _alive(self, request: Request) -> HTTPResponse:
        signed_in = self._chats is not None and self._chats.session.is_signed_in
        return as_json({"status": "ok", "signed_in": signed_in})

    def _open(self, bot: RasaBot) -> None:
        logs.install()
        book = Book(self._folder / self.settings.positions)
        try:
            book.open()
        except StoreError as error:
            raise CannotStart(str(error)) from error
        self._http = Http(WHO, breaker=True)
        domains = Domains(self._http, self.settings.account, self.settings.domain_api)
        session = Session(self._http, domains, self.settings)
        self._chats = Chats(session, book, self.settings, bot, asyncio.sleep)

    async def _start(self, app: Sanic, loop: Any = None) -> None:
        if self._chats is not None:
            self._chats.start()

    async def _stop(self, app: Sanic, loop: Any = None) -> None:
        if self._chats is not None:
            chats, self._chats = self._chats, None
            await chats.stop()
            await chats.book.close()
            await self._http.close()


class Choices:
    """The buttons that each visitor was shown last, to know what their answer presses."""

    def __init__(self) -> None:
        self._shown: dict[str, dict[str, str]] = {}

    def show(self, sender_id: str, buttons: list[Json]) -> list[str]:
        """Remember *buttons*; their titles, in order."""
        titles = [str(button.get("title") or "") for button in buttons]
        shown: dict[str, str] = {}
        for number, (title, button) in enumerate(zip(titles, buttons, strict=True), 1):
            payload = str(button.get("payload") or title)
            shown.setdefault(str(number), payload)
            shown[title.strip().casefold()] = payload
        self._shown[sender_id] = shown
        return titles

    def taken(self, sender_id: str, text: str) -> str:
        """What *text*, the next line of the visitor, means: a button's payload, or itself."""
        return self._shown.pop(sender_id, {}).get(text.strip().rstrip(".").casefold(), text)

    def forget(self, sender_id: str) -> None:
        """The chat is over."""
        self._shown.pop(sender_id, None)


class ChatOutput(OutputChannel):
    """What the bot says becomes lines of the chat that the conversation is."""

    def __init__(self, choices: Choices) -> None:
        super().__init__()
        self._choices = choices

    @classmethod
    def name(cls) -> str:
        return WHO

    async def send_text_message(self, recipient_id: str, text: str, **kwargs: Any) -> None:
        await self._say(recipient_id, lines.line(text))

    async def send_image_url(self, recipient_id: str, image: str, **kwargs: Any) -> None:
        await self._say(recipient_id, lines.line(image))

    async def send_attachment(self, recipient_id: str, attachment: Any, **kwargs: Any) -> None:
        payload = attachment.get("payload") if isinstance(attachment, dict) else None
        inner = payload if isinstance(payload, dict) else attachment
        address = inner.get("src") or inner.get("url") if isinstance(inner, dict) else inner
        await self._say(recipient_id, lines.line(str(address)))

    async def send_text_with_buttons(
        self, recipient_id: str, text: str, buttons: list[dict[str, Any]], **kwargs: Any
    ) -> None:
        titles = self._choices.show(recipient_id, buttons)
        await self._say(recipient_id, lines.line(lines.with_choices(text, titles)))

    async def send_custom_json(self, recipient_id: str, json_message: dict[str, Any], **kwargs: Any) -> None:
        event = lines.custom(json_message)
        if event is None:
            log.debug("liveperson_agent.custom_left_out sender_id=%r", recipient_id)
        else:
            await self._say(recipient_id, event)

    async def _say(self, recipient_id: str, event: Json) -> None:
        chat = chat_of(recipient_id)
        if chat is not None:
            await chat.say(event)
        elif left_chat(recipient_id) is None:
            raise UserUnreachable(f"{WHO}: the visitor's chat is over")


class RasaBot:
    """What the chats need of Rasa."""

    def __init__(self, app: Sanic, channel: LivePersonAgentInput, take: Take) -> None:
        self._app = app
        self._channel = channel
        self._take = take

    async def is_ready(self) -> bool:
        agent = getattr(self._app.ctx, "agent", None)
        return agent is not None and agent.is_ready()

    async def meet(self, chat: Chat) -> None:
        """Set the slots that the settings name, before anything is said."""
        wanted, known = self._channel.settings.slots, chat.visitor.as_json()
        values = {slot: value_at(known, path) for slot, path in wanted.items()}
        if not any(value is not None for value in values.values()):
            return
        agent = self._app.ctx.agent
        output = self._channel.get_output_channel()
        async with agent.lock_store.lock(chat.sender_id):
            tracker = await agent.processor.fetch_tracker_and_update_session(chat.sender_id, output)
            events = [
                SlotSet(key=slot, value=value)
                for slot, value in values.items()
                if value is not None and slot in tracker.slots
            ]
            tracker.update_with_events(events, agent.domain)
            await agent.tracker_store.save(tracker)

    async def hear(self, chat: Chat, line: Heard) -> None:
        message = UserMessage(
            self._channel.choices.taken(chat.sender_id, line.text),
            self._channel.get_output_channel(),
            chat.sender_id,
            input_channel=self._channel.name(),
            message_id=line.id,
            metadata=line.metadata,
        )
        await self._take(message)

    async def has_heard(self, chat: Chat, line: Heard) -> bool:
        tracker = await self._app.ctx.agent.processor.get_tracker(chat.sender_id)
        return any(isinstance(event, UserUttered) and event.message_id == line.id for event in tracker.events)

    async def over(self, sender_id: str, *, gone: bool) -> None:
        """End the handoff in which a visitor was who has gone."""
        self._channel.choices.forget(sender_id)
        for plugin in self._plugins() if gone else ():
            try:
                await plugin.running().switchboard.close(EndReason.USER_LEFT, sender_id=sender_id)
            except UnknownChat:
                continue  # it was the bot's
            except StoreError as error:
                log.warning("liveperson_agent.handoff_goes_on sender_id=%r %s", sender_id, error)

    def _plugins(self) -> Iterator[HandoffInput]:
        """The plugin's own channel, where it is switched on."""
        for channel in self._app.ctx.input_channels:
            channel = getattr(channel, "underlying", channel)  # `rasa inspect` wraps channels
            if isinstance(channel, HandoffInput):
                yield channel
