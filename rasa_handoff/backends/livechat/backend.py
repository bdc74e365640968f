"""LiveChat as an agent system: the user is a customer who chats."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from pydantic import BaseModel

from rasa_handoff import signing
from rasa_handoff import strict_json as read
from rasa_handoff.backends.base import Answer, Backend, Command, Opened, Surroundings, Webhook, hook
from rasa_handoff.backends.http import Http
from rasa_handoff.backends.livechat import asked_for, reading, saying, webhooks
from rasa_handoff.backends.livechat.accounts import Accounts
from rasa_handoff.backends.livechat.api import LARGEST_FILE, CustomerApi
from rasa_handoff.backends.livechat.customers import Customers, customer_of
from rasa_handoff.backends.livechat.following import Following
from rasa_handoff.backends.livechat.hearing import Hearing
from rasa_handoff.backends.livechat.opening import Opening
from rasa_handoff.backends.livechat.people import People
from rasa_handoff.backends.livechat.pressing import Press, may_press, press_in
from rasa_handoff.backends.livechat.settings import NAME, LiveChatSettings
from rasa_handoff.backends.user_files import UserFiles
from rasa_handoff.errors import BackendError, ChatGone, FetchError, Malformed, NotAuthentic, TemporaryError
from rasa_handoff.model import Attachment, EndReason, Handoff, Json, Message, Rating, Request
from rasa_handoff.store import messages

log = logging.getLogger(__name__)

_TYPING = "…"
_MOST_CERTAIN = 50_000
# What says less than we want to know, who is still there; and when all webhooks of one doing have come, in seconds.
_LOOK_AFTER = {"user_removed_from_chat": 2.0, "chat_transferred": 2.0}


class LiveChat(Backend):
    """Chats at LiveChat, as the customer that the user is there."""

    name = NAME
    settings_model: ClassVar[type[BaseModel]] = LiveChatSettings
    settings: LiveChatSettings

    def __init__(self, settings: LiveChatSettings) -> None:
        super().__init__(settings)
        self.takes_files = settings.upload

    @classmethod
    def commands(cls) -> Sequence[Command]:
        return webhooks.COMMANDS

    async def start(self, around: Surroundings) -> None:
        await super().start(around)
        settings, people = self.settings, People(self.settings.agent_name)
        # The outbox knows when to try again; thousands who look by themselves, or want a token, have to be careful.
        self._http, self._careful = Http(self.name), Http(self.name, breaker=True)
        self._files = UserFiles(self.name, around.behind)
        accounts = Accounts(settings, self._careful, around.now)
        customers = Customers(settings, accounts, around.store, around.now)
        self._api = CustomerApi(settings, self._http, customers, around.now)
        self._opening = Opening(settings, self._api, people)
        self._hearing = Hearing(self, settings, people)
        self._following = Following(self, settings, self._api.over(self._careful), self._hearing, people)
        self._certain: set[tuple[str, str]] = set()  #: handoffs, and whose they are, with nothing on the way
        await self._following.start()

    async def stop(self) -> None:
        await self._following.stop()
        await self._files.close()
        await self._http.close()
        await self._careful.close()

    async def probe(self) -> str | None:
        http = Http(self.name)
        accounts = Accounts(self.settings, http, time.time)
        try:
            if self.settings.refresh_token:
                await accounts.agent.get()
                return "takes client_id, client_secret and refresh_token"
            if self.settings.license_id:
                await accounts.organization_of_license()
                return "knows the license"
            return None
        finally:
            await http.close()

    # -- to the agents ------------------------------------------------------------------------

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        await self.around.store.write(partial(asked_for.note, handoff=handoff, now=self.around.now()))
        try:
            opened = await self._opening.open(handoff, request)
        except BackendError as error:
            if not isinstance(error, TemporaryError):  # they said no: there is no chat
                await self.around.store.write(partial(asked_for.forget, handoff_id=handoff.id))
            raise
        finally:
            self._following.opened(handoff)
        self._is_certain(handoff)
        return opened

    def parts(self, message: Message) -> Sequence[Message]:
        return saying.parts_of(message)

    async def send(self, handoff: Handoff, message: Message) -> None:
        if _key(handoff) not in self._certain and await self._has_arrived(handoff, message):
            self._is_certain(handoff)
            return
        event = await self._event_of(handoff, message)
        body = {"chat_id": handoff.chat_id, "event": event}
        self._certain.discard(_key(handoff))  # without an answer it may have arrived all the same
        await self._api.call("bring a message", handoff.sender_id, "send_event", body)
        self._is_certain(handoff)
        self._following.moves(handoff)

    async def _has_arrived(self, handoff: Handoff, message: Message) -> bool:
        """Whether an earlier try succeeded, though we did not hear of it: they take the same `custom_id` twice."""
        thread = await self._api.thread(handoff.sender_id, handoff.chat_id or "")
        return thread is not None and reading.has_custom_id(thread, message.id)

    def _is_certain(self, handoff: Handoff) -> None:
        if len(self._certain) >= _MOST_CERTAIN:  # whose chats are long over, mostly; for the others we look
            self._certain.clear()
        self._certain.add(_key(handoff))

    async def _event_of(self, handoff: Handoff, part: Message) -> Json:
        if not part.attachments:
            press = await self._press(handoff, part)
            return saying.answer_event(press, part.id) if press else saying.message_event(part.text, part.id)
        medium = part.attachments[0]
        if not self.settings.upload:
            return saying.message_event(saying.link_of(medium), part.id)
        try:
            url = await self._uploaded(handoff, medium)
        except TemporaryError:
            raise
        except (FetchError, BackendError) as error:
            log.info("livechat.not_uploaded id=%s %s", handoff.id, error)
            why = str(error) if isinstance(error, FetchError) else "it is not taken"
            return saying.message_event(saying.link_of(medium, why), part.id)
        return saying.file_event(url, part.id)

    async def _uploaded(self, handoff: Handoff, medium: Attachment) -> str:
        """The medium's address at LiveChat.

        Raises:
            FetchError: it cannot be had.
            TemporaryError, BackendError: as `CustomerApi.upload`.
        """
        opened = partial(self._files.open, medium.url, LARGEST_FILE)
        return await self._api.upload(handoff.sender_id, opened, name=medium.name, mime=medium.mime)

    async def _press(self, handoff: Handoff, part: Message) -> Press | None:
        """The button of a rich message that the user has pressed, told to LiveChat; None: they wrote something."""
        said = await self.around.store.read(lambda tx: messages.of(tx, handoff.id))
        if not may_press(said, part.text):
            return None
        chat_id, sender_id = handoff.chat_id or "", handoff.sender_id
        thread = await self._api.thread(sender_id, chat_id, handoff.notes.get("thread_id"))
        customer = await self.around.store.read(lambda tx: customer_of(tx, sender_id))
        press = press_in(thread or {}, customer.id if customer else None, part.text)
        if press is not None:
            await self._tell_press(handoff, press)
        return press

    async def _tell_press(self, handoff: Handoff, press: Press) -> None:
        """Mark the button; without it the answer says by itself which one was pressed."""
        body = press.as_postback(handoff.chat_id or "")
        try:
            await self._api.call("press a button", handoff.sender_id, "send_rich_message_postback", body)
        except (TemporaryError, ChatGone):
            raise
        except BackendError as error:
            log.info("livechat.not_marked id=%s %s", handoff.id, error)

    async def rate(self, handoff: Handoff, rating: Rating) -> None:
        thread_id = handoff.notes.get("thread_id") or await self._newest_thread(handoff)
        where = {"chat_id": handoff.chat_id, "thread_id": thread_id}
        body = {**where, "properties": saying.rating_of(rating)}
        await self._api.call("rate a chat", handoff.sender_id, "update_thread_properties", body)

    async def _newest_thread(self, handoff: Handoff) -> str:
        thread = await self._api.thread(handoff.sender_id, handoff.chat_id or "")
        if thread is None:
            raise BackendError(self.name, "rate a chat", detail="there is no thread to rate")
        return read.text(thread, "id", max_length=reading.LONGEST_ID)

    async def typing(self, handoff: Handoff, typing: bool) -> None:
        if typing:
            body = {"chat_id": handoff.chat_id, "sneak_peek_text": _TYPING}
            await self._api.call("say that the user types", handoff.sender_id, "send_sneak_peek", body)

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        self._certain.discard(_key(handoff))
        if not await self.around.store.read(partial(asked_for.asked_again, handoff=handoff)):
            await self._api.call("end a chat", handoff.sender_id, "deactivate_chat", {"id": handoff.chat_id})

    # -- from the agents ----------------------------------------------------------------------

    def verify(self, webhook: Webhook) -> None:
        try:
            given = webhook.json().get("secret_key")  # they sign nothing: the secret is in the body
        except Malformed:
            raise NotAuthentic("the body that has the secret cannot be read") from None
        secrets = (self.settings.webhook_secret or "", self.settings.former_webhook_secret or "")
        signing.require_token(given if isinstance(given, str) else None, *secrets)

    @hook("POST", webhooks.PATH)
    async def take(self, webhook: Webhook) -> Answer:
        envelope = webhook.json()
        action = read.text(envelope, "action", max_length=reading.LONGEST_ID)
        if action not in reading.READERS:
            log.debug("livechat.ignored action=%r", action)
            return Answer()
        payload = read.mapping(envelope, "payload")
        additional = read.mapping(envelope, "additional_data", required=False) or {}
        handoff = await self._hearing.take(action, payload, additional)
        if handoff is not None and action in _LOOK_AFTER:
            self._following.look_soon(handoff, _LOOK_AFTER[action])
        return Answer()


def _key(handoff: Handoff) -> tuple[str, str]:
    """A handoff, as long as it stays with one process: who gets it back does not know what the others sent."""
    return handoff.id, handoff.owner
