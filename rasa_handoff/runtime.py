"""Everything that runs, wired together once, at server start."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rasa_handoff import access, backends, signing
from rasa_handoff.access import Access
from rasa_handoff.backends.base import Backend, Surroundings
from rasa_handoff.callbacks import Callbacks
from rasa_handoff.changes import Changes
from rasa_handoff.clock import Clock
from rasa_handoff.elsewhere import Elsewhere
from rasa_handoff.erasure import Eraser
from rasa_handoff.errors import BackendError, ChatGone, FetchError, UserAway
from rasa_handoff.events import MessageStatus
from rasa_handoff.fetch import AnyFile
from rasa_handoff.files import Files
from rasa_handoff.health import Health
from rasa_handoff.inbox import Inbox, Typed
from rasa_handoff.live import Hub
from rasa_handoff.media import OURS, Media, MediaFile
from rasa_handoff.metrics import Metrics
from rasa_handoff.model import Delivery, EndReason, Handoff, Rating
from rasa_handoff.opening import Opening
from rasa_handoff.outbox import Outbox, Outcome, Send
from rasa_handoff.requests import Requests
from rasa_handoff.settings import Settings
from rasa_handoff.signals import Signals
from rasa_handoff.store import Missed, Shared, Store, Tx, deliveries, handoffs, opens, stream
from rasa_handoff.store.stream import Entry
from rasa_handoff.store.users import Erased
from rasa_handoff.succession import Succession
from rasa_handoff.switchboard import Switchboard
from rasa_handoff.tasks import Tasks

log = logging.getLogger(__name__)

_ASK_FOR = 5.0  #: seconds; who is silent for longer may be taken for dead
_BRING_FOR = 60.0  #: seconds; longer than Rasa's channels, and the bot, may take
OpenFile = Callable[[MediaFile], AbstractAsyncContextManager[AnyFile]]  #: it raises `FetchError`, at once or later
HISTORY = "history"  #: what a signature on a link to it is for


class Runtime:
    """The parts, started and stopped in order.

    Args:
        folder: where a relative database path begins.
    """

    def __init__(self, settings: Settings, access: Access, folder: Path, now: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.access = access
        self.hub = Hub()
        self._folder = folder
        self.store = Store(_absolute(settings.database, folder))
        self.backends: Mapping[str, Backend] = {
            name: backends.load(name)(section) for name, section in settings.backends.items()
        }
        self._changes = Changes(self.backends, settings, now)
        self.requests = Requests(self.store, self._changes)
        self.switchboard = Switchboard(self.store, self._changes, self.requests)
        self.inbox = Inbox(self.store, self._changes, self.switchboard)
        self.opening = Opening(self.store, self.requests, self.backends, settings, now)
        self.callbacks = Callbacks(self.store, self._changes, self.backends, settings)
        self.signals = Signals(self.switchboard, self.backends)
        self.elsewhere = Elsewhere(self.store)
        self.succession = Succession(self.store, self.switchboard)
        self.clock = Clock(self.store, self.switchboard, self.inbox, self.backends, now, settings.retention)
        self.eraser = Eraser(self.store, self.switchboard)
        self.media = Media(lambda: self.access.secret, settings.public_url, settings.media_links, now)
        limits = settings.largest_file, settings.all_files
        self.files = Files(self.store, self.media, *limits, now, givers=settings.files_from)
        self.metrics = Metrics(self.backends, [rule.group for rule in settings.route if rule.group])
        self.health = Health(self.store)
        self.outbox: Outbox
        self._open_file: OpenFile
        self._now = now
        self._tasks = Tasks()

    async def open(self, to_user: Send, open_file: OpenFile | None = None) -> None:
        """Open the database and start the backends: from here on handoffs can be asked for.

        Args:
            to_user: brings a delivery to the user's side.
            open_file: opens files that channels keep; None: there are only those that we keep ourselves.

        Raises:
            StoreError: the database cannot be opened, or is a file that another process has.
        """
        self._open_file = open_file or self._open_kept
        await self.store.open()
        self.metrics.listen(self.store)
        if self.store.is_shared:
            await self._agree_on_access()
        else:
            await self.switchboard.recover()  # before anybody can ask for an agent
        self.outbox = Outbox(
            self.store,
            self.switchboard,
            self._changes,
            {"agent": self._to_agent, "user": partial(self._to_user, to_user)},
            self._now,
            self.settings.delivery_timeout,
        )
        self._tell_pages()
        self.elsewhere.listen()
        self.elsewhere.answer("page", self._is_page_here)
        self.elsewhere.answer("bring", partial(self._bring, to_user))
        self.store.subscribe(Outcome, self._report)
        around = Surroundings(
            store=self.store,
            apply=self.inbox.apply,
            applied=self.inbox.applied,
            access=self.access,
            files=self.files,
            behind=self.behind,
            hooks_url=self._hooks_url(),
            history_url=self.history_url,
            now=self._now,
            end_late=self.requests.close_late,
            mine=self.store.owns,
        )
        for backend in self.backends.values():
            await backend.start(around)

    async def start(self) -> None:
        """Take up what was left from before, and begin to deliver."""
        await self.outbox.start()
        await self.succession.start()
        self.clock.start()
        self.health.running = True
        log.info("handoff.ready database=%s backends=%s", self.store.database, ",".join(self.backends))

    async def stop(self) -> None:
        """End what runs; what is not delivered waits on disk."""
        self.health.running = False
        self.hub.end_all()
        await self.clock.stop()
        await self.succession.stop()
        await self.outbox.stop()
        await self.opening.stop()
        await self.elsewhere.stop()
        await self._tasks.stop()
        await self.files.stop()
        for backend in self.backends.values():
            await backend.stop()
        await self.succession.leave()
        await self.store.close()

    def behind(self, url: str) -> AbstractAsyncContextManager[AnyFile] | None:
        """The file that *url* opens, without the way over the network; None where it is no link of ours."""
        found = self.media.behind(url)
        return self._opened(found) if found is not None else None

    @asynccontextmanager
    async def _opened(self, file: MediaFile) -> AsyncIterator[AnyFile]:
        if await self.store.read(lambda tx: handoffs.get(tx, file.handoff_id)) is None:
            raise FetchError("its conversation has been deleted")
        async with self._open_file(file) as opened:
            yield opened

    def _open_kept(self, file: MediaFile) -> AbstractAsyncContextManager[AnyFile]:
        if file.channel != OURS:
            raise FetchError("its channel is not here")
        return self.files.open(file.reference["file"])

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now()

    async def _agree_on_access(self) -> None:
        """Have one secret, one token and the same agents as the other servers."""
        ours, token = self.access, self.settings.token
        self.access = await self.store.write(lambda tx: opens.agree(tx, ours, token))
        access.keep(self._folder, self.access)

    def _tell_pages(self) -> None:
        """Bring to users' pages what is theirs, whichever process it happens in."""
        entry = Shared(kind=Entry, key=lambda each: (each.sender_id, each.id), find=stream.at, wanted=self._has_page)
        self.store.share(entry)
        self.store.share(Shared(kind=Typed, key=_typed_key, find=_typed, wanted=self._has_page))
        self.store.subscribe(Entry, lambda entry: self.hub.tell(f"user:{entry.sender_id}", entry))
        self.store.subscribe(Typed, lambda typed: self.hub.tell(f"user:{typed.handoff.sender_id}", typed))
        self.store.share(Shared(kind=Erased, key=lambda each: (each.sender_id,), find=_erased))
        self.store.subscribe(Erased, lambda erased: self.hub.end(f"user:{erased.sender_id}"))
        # Their pages come again, and catch up.
        self.store.subscribe(Missed, lambda missed: self.hub.end_all())

    async def user_has_page(self, sender_id: str) -> bool:
        """Whether the user has a page open, at any process."""
        return self._has_page(sender_id) or await self.elsewhere.ask("page", sender_id, _ASK_FOR)

    async def _is_page_here(self, sender_id: str) -> bool:
        return self._has_page(sender_id)

    def _has_page(self, sender_id: str, *more: object) -> bool:
        return self.hub.count(f"user:{sender_id}") > 0

    def history_url(self, handoff: Handoff) -> str:
        """A link to what was said before *handoff*; whoever has it can read that until it expires."""
        token = signing.sign(self.access.secret, HISTORY, handoff.id, self._now() + self.settings.history_links)
        return f"{self._hooks_url()}/history/{token}"

    def _hooks_url(self) -> str:
        return f"{self.settings.public_url or self.access.url}/webhooks/handoff"

    def later(self, seconds: float, work: Callable[..., Coroutine[Any, Any, Any]], *values: Any) -> None:
        """Run *work* in a while, unless the server stops before."""
        asyncio.get_running_loop().call_later(seconds, lambda: self._tasks.start(work(*values)))

    async def _to_user(self, to_user: Send, handoff: Handoff, delivery: Delivery) -> None:
        """Bring a delivery to the user's side; from another process, where only that can."""
        try:
            await to_user(handoff, delivery)
        except UserAway as away:
            if away.everywhere or not await self.elsewhere.ask("bring", delivery.id, _BRING_FOR):
                raise

    async def _bring(self, to_user: Send, delivery_id: str) -> bool:
        """Bring a delivery of another process's, if its user is here."""
        delivery = await self.store.read(lambda tx: deliveries.get(tx, delivery_id))
        if delivery is None or delivery.state != "pending":
            return False
        handoff_id = delivery.handoff_id
        handoff = await self.store.read(lambda tx: handoffs.get(tx, handoff_id))
        if handoff is None:
            return False
        await to_user(handoff, delivery)
        return True

    async def _to_agent(self, handoff: Handoff, delivery: Delivery) -> None:
        there = delivery.body.get("there")
        if there:  # a chat that was opened too late, perhaps not at the backend that has the handoff
            handoff = replace(handoff, **there)
        backend = self.backends.get(handoff.backend)
        if backend is None:
            raise BackendError(handoff.backend, f"deliver a {delivery.kind}", detail="it is not in the settings")
        if delivery.kind == "close":
            await _close(backend, handoff, EndReason(delivery.body["reason"]))
        elif delivery.kind == "accepted":
            await backend.accepted(handoff)
        elif delivery.kind == "status":
            await backend.report(handoff, MessageStatus(chat_id=handoff.chat_id or "", **delivery.body))
        elif delivery.kind == "rating":
            await backend.rate(handoff, Rating(**delivery.body))
        elif delivery.kind == "callback":
            await self._leave(backend, handoff)
        elif delivery.message is not None:
            parts = self._changes.parts(backend, delivery.message)
            await backend.send(handoff, parts[delivery.body.get("part", 0)])

    async def _leave(self, backend: Backend, handoff: Handoff) -> None:
        request = await self.store.read(lambda tx: handoffs.request_of(tx, handoff.id))
        if request is None:
            raise BackendError(handoff.backend, "leave a request", detail="it was deleted meanwhile")
        chat_id = await backend.leave(handoff, request)
        if chat_id is not None:
            await self.callbacks.left(handoff, chat_id)

    async def _report_to_backend(self, outcome: Outcome) -> None:
        theirs = outcome.delivery.body.get("theirs")
        if theirs:
            status = MessageStatus(
                chat_id=outcome.handoff.chat_id or "",
                message_id=theirs,
                state="delivered" if outcome.delivery.state == "done" else "rejected",
                cause=outcome.delivery.error,
            )
            await self.signals.report(outcome.handoff, status)

    def _report(self, outcome: Outcome) -> None:
        backend = self.backends.get(outcome.handoff.backend)
        kept = backend is not None and "status" in backend.hears  # then it goes through the outbox
        if outcome.delivery.target == "user" and outcome.delivery.kind == "message" and not kept:
            self._tasks.start(self._report_to_backend(outcome))


async def _close(backend: Backend, handoff: Handoff, reason: EndReason) -> None:
    try:
        await backend.close(handoff, reason)
    except ChatGone:
        log.debug("handoff.closed_there_already id=%s", handoff.id)


def _typed_key(typed: Typed) -> tuple[str, str, bool, str | None]:
    return typed.handoff.sender_id, typed.handoff.id, typed.typing, typed.name


def _typed(tx: Tx, sender_id: str, handoff_id: str, typing: bool, name: str | None) -> Typed | None:
    handoff = handoffs.get(tx, handoff_id)
    return Typed(handoff=handoff, typing=typing, name=name) if handoff else None


def _erased(tx: Tx, sender_id: str) -> Erased:
    return Erased(sender_id=sender_id)


def _absolute(database: str, folder: Path) -> str:
    """A relative path of an SQLite file, from *folder* on."""
    _, separator, path = database.partition("sqlite:///")
    if not separator or path.startswith("/"):
        return database
    return f"sqlite:///{folder / path}"
