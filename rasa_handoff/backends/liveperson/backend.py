"""LivePerson: conversations of its messaging, opened for the user through the Connector API."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from pydantic import BaseModel

from rasa_handoff import signing
from rasa_handoff.attachments import as_line
from rasa_handoff.backends.base import Answer, Backend, Opened, Surroundings, Webhook, hook
from rasa_handoff.backends.http import OPEN_TIMEOUT, Http
from rasa_handoff.backends.liveperson import files, receipts, requests
from rasa_handoff.backends.liveperson.connector import Connector
from rasa_handoff.backends.liveperson.domains import Domains, knows
from rasa_handoff.backends.liveperson.order import Order
from rasa_handoff.backends.liveperson.reading import Change, Known, consumer_of, read_change, read_changes
from rasa_handoff.backends.liveperson.settings import LivePersonSettings
from rasa_handoff.backends.unanswered import Unanswered
from rasa_handoff.backends.user_files import UserFiles, in_memory
from rasa_handoff.errors import (
    BackendError,
    ChatGone,
    Conflict,
    FetchError,
    Malformed,
    NotAuthentic,
    StoreError,
    TemporaryError,
    UnknownChat,
)
from rasa_handoff.events import AnyEvent, Closed, MessageStatus
from rasa_handoff.model import EndReason, Handoff, Json, Message, Rating, Request, Status
from rasa_handoff.settings import read_duration
from rasa_handoff.store import Tx, handoffs, kept
from rasa_handoff.tasks import safely

log = logging.getLogger(__name__)

_FILE = "liveperson file"  #: what a signature on a link to one is for
_KEPT = "liveperson"  #: whose open conversations are kept: by the user's name there
_ANSWER_WITHIN = 2.0  #: seconds; from 2.5 on, on average, they may switch the app off
_LEFT_AFTER = 15.0  #: seconds from the start until what another server left behind has been taken over
_UNNUMBERED = 600.0  #: seconds in which the same message without a number is a repeat

# What became of an agent's message -> their word
# (https://developers.liveperson.com/connector-api-send-api-send.html, read 2026-11)
_STATUSES = {"delivered": "ACCEPT", "read": "READ", "rejected": "NACK"}


@dataclass(slots=True)
class _Taken:
    """What became of the changes of a notification."""

    unknown: int = 0  #: of conversations that are not ours
    late: int = 0  #: of conversations that are over
    unreadable: int = 0
    too_early: bool = False  #: one that is not ours may become so

    @property
    def ignored(self) -> Json:
        return {name: count for name in ("unknown", "late", "unreadable") if (count := getattr(self, name))}


class LivePerson(Backend):
    """Conversations in which the user is a consumer of the brand."""

    name = "liveperson"
    settings_model: ClassVar[type[BaseModel]] = LivePersonSettings
    settings: LivePersonSettings

    def __init__(self, settings: LivePersonSettings) -> None:
        super().__init__(settings)
        if settings.receipts:
            self.hears = frozenset(("status",))

    async def start(self, around: Surroundings) -> None:
        await super().start(around)
        settings = self.settings
        self._http, self._careful = Http(self.name), Http(self.name, breaker=True)
        self._files = UserFiles(self.name, around.behind, settings.file_hosts)
        domains = Domains(self._careful, settings.account, settings.domain_api, around.now)
        self._connector = Connector(settings, self._http, domains, around.now)
        self._unanswered = Unanswered(self.name, around.store, around.now)
        self._order = Order()
        self._tidying = asyncio.create_task(safely(self._end_what_is_left(), log, "liveperson.not_tidied"))

    async def stop(self) -> None:
        self._tidying.cancel()
        await asyncio.gather(self._tidying, return_exceptions=True)
        for each in (self._http, self._careful, self._files):
            await each.close()

    async def probe(self) -> str | None:
        return await knows(self.settings.account, self.settings.domain_api, "asyncMessagingEnt")

    def consumer(self, sender_id: str) -> str:
        """What a user is called there: always the same, and telling nothing of the name that the bot knows."""
        return signing.alias(self.around.access.secret, "liveperson consumer", sender_id)

    # -- to the agents: opening ---------------------------------------------------------------

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        """Open a conversation and tell in it what was said before; both, or neither."""
        consumer = self.consumer(handoff.sender_id)
        await self._leave_former(consumer)
        wanted = requests.conversation(self.settings, request)
        async with self._unanswered.asking(await self._connector.name_of(consumer), handoff):
            conversation = await self._connector.converse(consumer, wanted, OPEN_TIMEOUT)
            self._order.begin(conversation)
            await self._keep(consumer, conversation, handoff)
        try:
            await self._tell_transcript(consumer, conversation, request)
        except BackendError:
            await self._end("end a conversation that has no transcript", consumer, conversation)
            raise
        return Opened(chat_id=conversation)

    async def _tell_transcript(self, consumer: str, conversation: str, request: Request) -> None:
        for number, text in enumerate(requests.transcript(self.settings.transcript_heading, request.transcript)):
            said = requests.text(conversation, f"transcript {number + 1}", text)
            await self._connector.say("tell what was said before", consumer, said)

    async def _leave_former(self, consumer: str) -> None:
        """A user has one open conversation there: end the one whose end did not arrive yet."""
        former = await self.around.store.read(lambda tx: kept.get(tx, _KEPT, consumer))
        if former is not None:
            await self._end("end the former conversation", consumer, former["conversation"])

    async def _keep(self, consumer: str, conversation: str, handoff: Handoff) -> None:
        body, now = {"conversation": conversation, "handoff": handoff.id}, self.around.now()
        await self.around.store.write(lambda tx: kept.put(tx, _KEPT, consumer, body, now, handoff.sender_id))

    async def _end_what_is_left(self) -> None:
        """End what had been opened when a server stopped, before it was written down whose it is."""
        await asyncio.sleep(_LEFT_AFTER)
        for consumer in await self.around.store.read(lambda tx: kept.names(tx, _KEPT)):
            conversation = await self.around.store.read(partial(self._left, consumer=consumer))
            if conversation is not None:
                log.info("liveperson.left_behind conversation=%s", conversation)
                await self._end("end a conversation that nobody waits for", consumer, conversation)

    def _left(self, tx: Tx, consumer: str) -> str | None:
        """The user's open conversation there, where the handoff that it was opened for ended without it."""
        found = kept.get(tx, _KEPT, consumer) or {}
        handoff = handoffs.get(tx, found.get("handoff", ""))
        if handoff is None or handoff.is_open or handoff.chat_id is not None:
            return None
        return str(found["conversation"])

    async def _end(self, doing: str, consumer: str, conversation: str) -> None:
        """End a conversation, as far as it can be done now."""
        try:
            with suppress(ChatGone):
                await self._close(doing, consumer, conversation)
        except BackendError as error:
            log.warning("liveperson.not_ended %s", error)
        else:
            await self.around.store.write(partial(_forget, consumer=consumer, conversation=conversation))

    # -- to the agents: what the user says and does -------------------------------------------

    def parts(self, message: Message) -> Sequence[Message]:
        return files.parts_of(message, upload=self.settings.upload_files)

    async def send(self, handoff: Handoff, message: Message) -> None:
        consumer, dialog = self.consumer(handoff.sender_id), Known.of(handoff).dialog
        said = await self._picture(consumer, dialog, message) if message.attachments else None
        links = [message.text, *map(as_line, message.attachments)]
        said = said or requests.text(dialog, message.id, "\n".join(filter(None, links)))
        answer = await self._connector.say("bring a message", consumer, said)
        await self._note_number(handoff, dialog, answer.get("sequence"), message)

    async def _note_number(self, handoff: Handoff, dialog: str, sequence: object, message: Message) -> None:
        """Remember what they call a message that they have taken; without it nothing is missing but a mark."""
        number, name = f"{dialog}:{sequence}", files.whole_id(message)
        note = partial(receipts.keep, number=number, message_id=name, sender_id=handoff.sender_id)
        if isinstance(sequence, int):
            with suppress(StoreError):  # it is there, and must not be sent again
                await self.around.store.write(partial(note, conversation=handoff.chat_id or "", now=self.around.now()))

    async def _picture(self, consumer: str, dialog: str, message: Message) -> Json | None:
        """The message with its picture brought to them; None where only a link will do."""
        (attachment,) = message.attachments
        try:
            # Whole, since what is small is its own preview; a few at once, as long as they are open.
            async with self._files.open(attachment.url, files.LARGEST) as file:
                body = (await in_memory(file, files.LARGEST)).body
                kind = files.kind_of(body)
                if kind is None:
                    return None
                path = await self._upload(consumer, body, kind)
                return requests.file(dialog, message.id, path, kind, body, attachment.name or "")
        except (TemporaryError, ChatGone):
            raise
        except (FetchError, BackendError) as error:
            log.info("liveperson.file_as_link %s", error)
            return None

    async def _upload(self, consumer: str, body: bytes, kind: str) -> str:
        wanted = requests.upload_url(len(body), kind)
        path, place = await self._connector.file_place("upload a file", consumer, wanted)
        await self._connector.put_file(place, body)
        return path

    async def typing(self, handoff: Handoff, typing: bool) -> None:
        await self._tell_state(handoff, "COMPOSING" if typing else "PAUSE")

    async def presence(self, handoff: Handoff, connected: bool) -> None:
        await self._tell_state(handoff, "ACTIVE" if connected else "GONE")

    async def _tell_state(self, handoff: Handoff, state: str) -> None:
        said = requests.chat_state(Known.of(handoff).dialog, state)
        await self._connector.say("say what the user does", self.consumer(handoff.sender_id), said)

    async def report(self, handoff: Handoff, status: MessageStatus) -> None:
        dialog, _, sequence = status.message_id.rpartition(":")
        if self.settings.receipts and status.state in _STATUSES and sequence.isdigit():
            said = requests.accept_status(dialog, int(sequence), _STATUSES[status.state])
            await self._connector.say("report a status", self.consumer(handoff.sender_id), said)

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        consumer, conversation = self.consumer(handoff.sender_id), handoff.chat_id or ""
        await self._close("end a conversation", consumer, conversation)
        await self.around.store.write(partial(_forget, consumer=consumer, conversation=conversation))

    async def rate(self, handoff: Handoff, rating: Rating) -> None:
        said = requests.rating(handoff.chat_id or "", rating.stars, rating.resolved)
        await self._connector.say("rate a conversation", self.consumer(handoff.sender_id), said)

    async def _close(self, doing: str, consumer: str, conversation: str) -> None:
        try:
            await self._connector.say(doing, consumer, requests.close(conversation))
        except (TemporaryError, ChatGone):
            raise
        except BackendError as error:
            # What they answer for one that is over is not documented; nothing else can be wrong with it.
            if error.status not in (400, 404, 409):
                raise
            log.info("liveperson.ended_before %s", error)

    # -- from the agents ----------------------------------------------------------------------

    def verify(self, webhook: Webhook) -> None:
        if "token" in webhook.path:
            self._file_named(webhook)
            return
        secrets = (self.settings.client_secret, self.settings.former_client_secret or "")
        signing.require_hmac(webhook.headers.get("x-liveperson-signature"), webhook.body, *secrets)

    @hook("POST", "events")
    async def take(self, webhook: Webhook) -> Answer:
        """A notification of any of their types. Nobody is asked anything: they want an answer at once."""
        changes = read_changes(webhook.json())
        try:
            return await asyncio.wait_for(self._answer(changes), _ANSWER_WITHIN)
        except asyncio.TimeoutError:  # it may be written all the same, and has no second effect when it comes again
            raise StoreError("no answer within the time that they wait") from None

    async def _answer(self, changes: Sequence[Change]) -> Answer:
        numbered = [(each.dialog, each.sequence) for each in changes if each.sequence is not None]
        if numbered:
            await self._order.turn(*numbered[0])
        written = [change for change in changes if not change.is_typing]
        taken = await self.around.store.write(partial(self._take, changes=written)) if written else _Taken()
        for dialog, sequence in numbered:
            self._order.passed(dialog, sequence)
        for change in changes:
            if change.is_typing:
                await self._take_typing(change)
        if taken.too_early:
            raise UnknownChat(f"{self.name}: no such conversation yet")  # they tell it again in a moment
        # Only a success ends their telling of it again; what is over or not ours stays so.
        return Answer(body={"ignored": taken.ignored} if taken.ignored else {})

    def _take(self, tx: Tx, changes: Sequence[Change]) -> _Taken:
        taken = _Taken()
        for change in changes:
            try:
                self._apply(tx, change)
            except UnknownChat:
                taken.unknown += 1
                taken.too_early |= not self._ends_late(tx, change) and self._is_being_opened(tx)
            except Conflict:
                taken.late += 1
            except Malformed as error:
                # Refused, it would come again and again, and hold up what comes after it.
                log.error("liveperson.unreadable %s", error)
                taken.unreadable += 1
        return taken

    def _ends_late(self, tx: Tx, change: Change) -> bool:
        """End a conversation that was opened by a request of ours whose answer never came."""
        consumer = consumer_of(change)
        handoff = self._unanswered.left(tx, consumer) if consumer else None
        if consumer is None or handoff is None:
            return False
        log.info("liveperson.opened_late id=%s conversation=%s", handoff.id, change.conversation)
        self._unanswered.settle(tx, consumer, handoff)
        self.around.end_late(tx, replace(handoff, backend=self.name), Opened(chat_id=change.conversation))
        return True

    def _is_being_opened(self, tx: Tx) -> bool:
        """Whether a conversation may be ours though its id is not written down yet."""
        return any(each.backend == self.name for each in handoffs.unsettled_in(tx, Status.REQUESTED))

    def _apply(self, tx: Tx, change: Change) -> None:
        handoff = handoffs.by_chat(tx, self.name, change.conversation)
        if handoff is None:
            raise UnknownChat(f"{self.name}: no such conversation")
        known = Known.of(handoff)
        fresh, events = read_change(change, known, self.settings, self._file_url(change.conversation))
        for event in receipts.by_our_names(tx, change.conversation, events):
            self._apply_event(tx, change, event)
            if isinstance(event, Closed):
                _forget(tx, self.consumer(handoff.sender_id), change.conversation)
        if fresh != known:
            now = handoffs.get(tx, handoff.id) or handoff
            handoffs.update(tx, replace(now, notes={**now.notes, **fresh.note()}))

    def _apply_event(self, tx: Tx, change: Change, event: AnyEvent) -> None:
        if change.dialog and change.sequence is None:
            self.applied_unnamed(tx, event, json.dumps(change.told, sort_keys=True).encode(), _UNNUMBERED)
        else:
            self.around.applied(tx, self.name, event)

    async def _take_typing(self, change: Change) -> None:
        handoff = await self.around.store.read(lambda tx: handoffs.by_chat(tx, self.name, change.conversation))
        if handoff is None:
            return
        _, events = read_change(change, Known.of(handoff), self.settings, self._file_url(change.conversation))
        for event in events:
            await self.happened(event)

    # -- agents' files ------------------------------------------------------------------------

    def _file_url(self, conversation: str) -> partial[str]:
        return partial(self._link_to_file, conversation)

    def _link_to_file(self, conversation: str, path: str) -> str:
        """A link of ours: theirs is good for a minute, and can only be asked for, not kept."""
        expires = self.around.now() + read_duration(self.settings.file_links)
        token = signing.sign(self.around.access.secret, _FILE, f"{conversation} {path}", expires)
        return f"{self.around.hooks_url}/{self.name}/files/{token}"

    def _file_named(self, webhook: Webhook) -> tuple[str, str]:
        """The conversation and the path of the file that a link of ours is for."""
        secret = self.around.access.secret
        named = signing.require_signed(secret, _FILE, webhook.path["token"], self.around.now())
        conversation, _, path = named.partition(" ")
        return conversation, path

    @hook("GET", "files/<token:str>")
    async def file(self, webhook: Webhook) -> Answer:
        """Lead whoever has a link of ours to an agent's file."""
        conversation, path = self._file_named(webhook)
        handoff = await self.around.store.read(lambda tx: handoffs.by_chat(tx, self.name, conversation))
        if handoff is None:
            raise NotAuthentic("its conversation has been deleted")
        try:
            wanted = requests.download_url(path)
            _, place = await self._connector.file_place("give a file", self.consumer(handoff.sender_id), wanted)
            url = await self._connector.file_url(place)
        except BackendError as error:
            log.warning("liveperson.file_not_given id=%s %s", handoff.id, error)
            status = 503 if isinstance(error, TemporaryError) else 404
            return Answer(status=status, headers={"Retry-After": "5"} if status == 503 else {})
        return Answer(status=302, headers={"Location": url, "Cache-Control": "no-store"})


def _forget(tx: Tx, consumer: str, conversation: str) -> None:
    """The conversation is over: the user has no open one."""
    receipts.forget(tx, conversation)
    former = kept.get(tx, _KEPT, consumer)
    if former is not None and former["conversation"] == conversation:
        kept.forget(tx, _KEPT, consumer)
