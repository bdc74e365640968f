"""Asks agent systems to take a chat, one after the other, while the bot's action waits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timezone
from functools import partial

from rasa_handoff import routing, transcript
from rasa_handoff.backends.base import Backend, Opened
from rasa_handoff.errors import BackendError, Refused, StoreError, TemporaryError, Unavailable
from rasa_handoff.model import EndReason, Handoff, Request, Status
from rasa_handoff.requests import Requests
from rasa_handoff.settings import Rule, Settings
from rasa_handoff.store import Change, Store, handoffs
from rasa_handoff.tasks import Tasks

log = logging.getLogger(__name__)

_LOOK_AGAIN = 0.1  #: seconds
_INSIST_EVERY = 1.0  #: seconds
_REFUSALS = (  # the first that happened says why nobody took the chat
    (Unavailable, EndReason.UNAVAILABLE),
    (Refused, EndReason.REJECTED),
)


class Opening:
    """Finds somebody to take a conversation."""

    def __init__(
        self,
        store: Store,
        requests: Requests,
        backends: Mapping[str, Backend],
        settings: Settings,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._requests = requests
        self._backends = backends
        self._settings = settings
        self._now = now
        self._tasks = Tasks()
        self._asking: dict[str, asyncio.Task[Handoff]] = {}  #: by the handoff's id
        self.spoken: Collection[str] = ()  #: channels whose users hear and cannot read: no agent writes to them

    async def request(self, request: Request) -> Handoff:
        """Open a handoff and wait for the agent system's answer, at most ``open_timeout`` seconds.

        A conversation has one open handoff: a second request gets the first. A refusal is an
        answer too: a handoff that is closed, with its reason.
        """
        return await self.answer_to(await self.begin(request))

    async def begin(self, request: Request, *, unasked: bool = False) -> Handoff:
        """Write down that an agent is asked for, and begin to ask; `answer_to` gives what comes of it.

        From here on the user's messages are the agents', unless nobody can be asked: then the handoff is closed.

        Args:
            unasked: it is not the user who asks: they and the bot are told once an agent system has accepted.
        """
        # The client may hang up; who is written down must be asked for all the same.
        return await asyncio.shield(asyncio.ensure_future(self._begin(request, unasked)))

    async def answer_to(self, handoff: Handoff) -> Handoff:
        """What became of a request that is written down, perhaps by another process at this moment.

        Raises:
            StoreError: that could not be written down.
        """
        asking = self._asking.get(handoff.id)
        if asking is not None:
            return await asyncio.shield(asking)
        if handoff.status is Status.REQUESTED:
            handoff = await self._answered_elsewhere(handoff)
        if handoff.status is Status.REQUESTED and handoff.owner == self._store.worker:
            raise StoreError("what became of the request is not written down yet")
        return handoff

    async def _begin(self, request: Request, unasked: bool) -> Handoff:
        rules = self._rules_for(request)
        request = transcript.redact(request, self._settings.redact)
        opens = None if rules else self._next_opening(request)
        begin = partial(
            self._requests.begin,
            request=routing.told(request, rules[0]) if rules else request,
            rules=rules,
            next_opening=opens.isoformat(timespec="minutes") if opens else None,
            unasked=unasked,
        )
        handoff, found = await self._store.write(begin)
        if handoff.is_open and not found:
            self._asking[handoff.id] = asking = asyncio.create_task(self._ask_each(handoff, rules, request))
            asking.add_done_callback(partial(self._answered, handoff.id))
        return handoff

    def _answered(self, handoff_id: str, asking: asyncio.Task[Handoff]) -> None:
        del self._asking[handoff_id]
        error = None if asking.cancelled() else asking.exception()
        if error is not None:  # whoever waits for the answer gets it, but they may have hung up
            log.error("handoff.not_answered id=%s error=%s", handoff_id, type(error).__name__)

    async def _ask_each(self, handoff: Handoff, rules: list[Rule], request: Request) -> Handoff:
        try:
            return await self._try_each(handoff, rules, request)
        except StoreError:  # nobody waits for it any more
            self._insist(partial(self._requests.refused, handoff=handoff, reason=EndReason.FAILED))
            raise

    async def _try_each(self, handoff: Handoff, rules: list[Rule], request: Request) -> Handoff:
        until = time.monotonic() + self._settings.open_timeout
        errors: list[BackendError] = []
        for rule in rules:
            asked = routing.told(request, rule)
            try_at = partial(self._requests.try_at, handoff=handoff, rule=rule, request=asked)
            handoff = await self._store.write(try_at)
            if handoff.status is not Status.REQUESTED:
                return handoff
            try:
                opened = await self._ask(handoff, asked, until - time.monotonic())
            except BackendError as error:
                log.warning("handoff.refused id=%s %s", handoff.id, error)
                errors.append(error)
            else:
                return await self._take(handoff, opened)
        return await self._store.write(partial(self._requests.refused, handoff=handoff, reason=_reason_of(errors)))

    async def _take(self, handoff: Handoff, opened: Opened) -> Handoff:
        try:
            return await self._store.write(partial(self._requests.opened, handoff=handoff, opened=opened))
        except StoreError:
            self._insist(partial(self._requests.close_late, handoff=handoff, opened=opened))
            raise

    def _insist(self, change: Change[object]) -> None:
        """Make *change* as soon as the database can take it."""
        self._tasks.start(self._write(change))

    async def _write(self, change: Change[object]) -> None:
        while True:
            try:
                await self._store.write(change)
                return
            except StoreError as error:
                log.error("handoff.not_written %s", error)
                await asyncio.sleep(_INSIST_EVERY)

    async def stop(self) -> None:
        """The server stops."""
        await self._tasks.stop()

    async def _answered_elsewhere(self, handoff: Handoff) -> Handoff:
        """*handoff* as it is on disk; where another process asks, once it has the answer."""
        until = time.monotonic() + self._settings.open_timeout
        while True:
            handoff = await self._store.read(partial(handoffs.fresh, handoff=handoff))
            elsewhere = handoff.status is Status.REQUESTED and handoff.owner != self._store.worker
            if not elsewhere or time.monotonic() >= until:
                return handoff
            await asyncio.sleep(_LOOK_AGAIN)

    def _rules_for(self, request: Request) -> list[Rule]:
        if request.channel in self.spoken:
            return []
        found = routing.choose(self._settings.route, request, self._today())
        return [rule for rule in found if rule.to in self._backends]

    def _next_opening(self, request: Request) -> datetime | None:
        if request.channel in self.spoken:
            return None
        return routing.next_opening(self._settings.route, request, self._today())

    def _today(self) -> datetime:
        return datetime.fromtimestamp(self._now(), timezone.utc)

    async def _ask(self, handoff: Handoff, request: Request, seconds: float) -> Opened:
        """Open at one backend. What answers too late is closed again there."""
        asking = asyncio.create_task(self._backends[handoff.backend].open(handoff, request))
        done, _ = await asyncio.wait({asking}, timeout=max(seconds, 0))
        if not done:
            asking.add_done_callback(partial(self._answered_late, handoff))
            raise TemporaryError(handoff.backend, "open a chat", detail="no answer in time")
        try:
            return asking.result()
        except BackendError:
            raise
        except Exception as error:
            log.exception("handoff.open_failed id=%s backend=%s", handoff.id, handoff.backend)
            raise BackendError(handoff.backend, "open a chat", detail=type(error).__name__) from error

    def _answered_late(self, handoff: Handoff, asking: asyncio.Task[Opened]) -> None:
        if asking.cancelled() or asking.exception() is not None:
            return
        log.warning("handoff.opened_late id=%s backend=%s", handoff.id, handoff.backend)
        self._insist(partial(self._requests.close_late, handoff=handoff, opened=asking.result()))


def _reason_of(errors: list[BackendError]) -> EndReason:
    for kind, reason in _REFUSALS:
        if any(isinstance(error, kind) for error in errors):
            return reason
    return EndReason.FAILED
