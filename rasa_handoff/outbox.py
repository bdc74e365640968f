"""Deliveries out: in order within a handoff and target, many at once, tried until done or dead."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from rasa_handoff.changes import Changes, Posted
from rasa_handoff.errors import (
    BackendError,
    ChatGone,
    Conflict,
    StoreError,
    TemporaryError,
    UnknownChat,
    UserAway,
    UserUnreachable,
)
from rasa_handoff.model import Delivery, Handoff, Target
from rasa_handoff.store import Lost, Missed, Shared, Store, Tx, deliveries, handoffs
from rasa_handoff.store.users import Erased
from rasa_handoff.switchboard import Switchboard

log = logging.getLogger(__name__)

Send = Callable[[Handoff, Delivery], Awaitable[None]]
Written = TypeVar("Written")

# Seconds before the next try. A person is waiting: the long schedules of webhook senders are wrong here.
_SCHEDULE = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
_THEN_EVERY = 60.0
_JITTER = 0.2
_LONGEST_RETRY_AFTER = 600.0
_APART = {"status", "slots"}  #: kinds with a lane of their own
_AT_ONCE = 100  #: as many connections as an aiohttp session opens
_LOOK_AT_LEASE = 0.1  #: seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A delivery is done or dead."""

    handoff: Handoff
    delivery: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """A delivery failed for now, and is tried again."""

    handoff: Handoff
    delivery: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Nudged:
    """The user of a handoff is there: what waits for them can be tried."""

    handoff_id: str


class _Lane:
    """The deliveries of one handoff to one target; the first has to go before the next.

    What became of agents' messages has a lane of its own: it is worth less than what the user says, and
    often goes to another address, which must not hold that up. So have the bot's slots: they wait for
    their turn with the conversation, which what the user is to read does not.
    """

    __slots__ = ("again", "came", "ids", "key", "nudged", "queue", "task")

    def __init__(self, key: tuple[str, str]) -> None:
        self.key = key
        self.queue: deque[Posted] = deque()
        self.ids: set[str] = set()  #: of what is in the queue
        self.again: set[str] = set()  #: of those which were posted again meanwhile
        self.nudged: asyncio.Event | None = None  #: there while it waits for the next try
        self.came = False  #: the user has come since the last try began
        self.task: asyncio.Task[None] | None = None


class Outbox:
    """Sends what the switchboard posts.

    Args:
        targets: for each target, what brings a delivery there; it raises as the contract of
            `rasa_handoff.backends.base.Backend` says, or `UserAway` and `UserUnreachable`.
    """

    def __init__(
        self,
        store: Store,
        switchboard: Switchboard,
        changes: Changes,
        targets: Mapping[Target, Send],
        now: Callable[[], float] = time.time,
        retry_for: float = 1800.0,
    ) -> None:
        self._store = store
        self._switchboard = switchboard
        self._changes = changes
        self._targets = targets
        self._now = now
        self._retry_for = retry_for
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._stopping = False
        self._held: list[Posted] | None = []  #: committed while we look for what waits
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what is waiting from before, then whatever is committed."""
        posted = Shared(kind=Posted, key=_key, find=_posted, wanted=lambda *key: key[2] == self._store.worker)
        self._store.share(posted)
        self._store.share(Shared(kind=Nudged, key=lambda fact: (fact.handoff_id,), find=_nudged))
        self._store.subscribe(Posted, self._hear)
        self._store.subscribe(Nudged, lambda fact: self._try_now(fact.handoff_id))
        self._store.subscribe(Missed, self._missed)
        self._store.subscribe(Lost, self._lost)
        self._store.subscribe(Erased, self._erased)
        looking = self._look_again()
        while self._held is not None:  # a look may be broken off for another one
            await asyncio.wait({looking})
            if not looking.cancelled():
                looking.result()
            looking = self._looking or looking

    async def _take_up(self) -> None:
        """Take up what waits on disk and is in no lane. What is committed meanwhile is held, and comes behind."""
        known = {delivery_id for lane in self._lanes.values() for delivery_id in lane.ids}
        waiting = [each for each in await self._store.read(self._waiting) if each.delivery.id not in known]
        await self._store.told()  # all that was read, and it is held
        held, self._held = self._held or [], None
        found = {posted.delivery.id for posted in waiting}
        for posted in (*waiting, *(each for each in held if each.delivery.id not in found)):
            self._add(posted)

    def _waiting(self, tx: Tx) -> list[Posted]:
        """What can go out; the switchboard posts the rest when its time has come."""
        known: dict[str, Handoff | None] = {}
        found: list[Posted] = []
        for delivery in deliveries.pending(tx, self._store.worker):
            if delivery.handoff_id not in known:
                known[delivery.handoff_id] = handoffs.get(tx, delivery.handoff_id)
            handoff = known[delivery.handoff_id]
            if handoff is not None and not self._changes.waits(handoff, delivery):
                found.append(Posted(handoff=handoff, delivery=delivery))
        return found

    def _missed(self, missed: Missed) -> None:
        self._look_again()

    def _look_again(self) -> asyncio.Task[None]:
        """Look for what waits; something may have been posted that we were not told of."""
        self._held = self._held or []
        if self._looking is not None:
            self._looking.cancel()
        self._looking = asyncio.create_task(self._look())
        return self._looking

    async def _look(self) -> None:
        while not self._stopping:
            try:
                await self._take_up()
                return
            except StoreError as error:
                log.warning("outbox.cannot_look %s", error)
                await asyncio.sleep(1.0)

    def _lost(self, lost: Lost) -> None:
        """Other processes send from here on what was ours."""
        for lane in self._lanes.values():
            if lane.task is not None:
                lane.task.cancel()
        self._lanes = {}

    def _erased(self, erased: Erased) -> None:
        """Nothing goes out any more that was waiting for this user, or from them."""
        for key, lane in tuple(self._lanes.items()):
            if lane.queue and lane.queue[0].handoff.sender_id == erased.sender_id:
                if lane.task is not None:
                    lane.task.cancel()
                del self._lanes[key]
        if self._held is not None:  # a look that began before may have found it
            self._held = [each for each in self._held if each.handoff.sender_id != erased.sender_id]
            self._look_again()

    async def stop(self, seconds: float = 5.0) -> None:
        """Let what is being sent finish; the rest waits on disk."""
        self._stopping = True
        if self._looking is not None:
            self._looking.cancel()
        tasks = [lane.task for lane in self._lanes.values() if lane.task]
        for lane in self._lanes.values():
            if lane.nudged:
                lane.nudged.set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()

    def nudge(self, handoff: Handoff) -> None:
        """The user is there: try what waits for them without delay, in whatever process it waits."""
        if handoff.owner == self._store.worker:
            self._try_now(handoff.id)
        else:
            self._store.tell([Nudged(handoff_id=handoff.id)])

    def _try_now(self, handoff_id: str) -> None:
        lane = self._lanes.get((handoff_id, "user"))
        if lane is None:
            return
        lane.came = True  # the try that is under way may have found nobody
        if lane.nudged is not None:
            lane.nudged.set()

    async def retry(self, delivery_id: str) -> Delivery:
        """Send a dead delivery again.

        Raises:
            UnknownChat: there is no such delivery.
            Conflict: it is not dead.
        """
        return await self._store.write(partial(self._revive, delivery_id=delivery_id))

    def _revive(self, tx: Tx, delivery_id: str) -> Delivery:
        now = self._now()
        if not deliveries.revive(tx, delivery_id, now, now + self._retry_for):
            if deliveries.get(tx, delivery_id) is None:
                raise UnknownChat("no such delivery")
            raise Conflict("not_dead", "only a dead delivery can be sent again")
        delivery = deliveries.get(tx, delivery_id)
        handoff = handoffs.get(tx, delivery.handoff_id) if delivery else None
        if delivery is None or handoff is None:
            raise UnknownChat("no such delivery")
        tx.announce(Posted(handoff=handoff, delivery=delivery))
        return delivery

    def _hear(self, posted: Posted) -> None:
        """A delivery was committed."""
        if self._held is not None:
            self._held.append(posted)
        else:
            self._add(posted)

    def _add(self, posted: Posted) -> None:
        delivery = posted.delivery
        if posted.handoff.owner != self._store.worker:  # another process sends it
            return
        key = (delivery.handoff_id, delivery.kind if delivery.kind in _APART else delivery.target)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(key)
        if delivery.id in lane.ids:  # an agent came back while it waited, or it is sent again as soon as it is dead
            lane.again.add(delivery.id)
            return
        lane.queue.append(posted)
        lane.ids.add(delivery.id)
        if lane.task is None and not self._stopping:
            lane.task = asyncio.create_task(self._drain(lane))

    async def _drain(self, lane: _Lane) -> None:
        # Behind the first that waited, others did; and what servers tell each other may be old when it comes.
        waited = self._store.is_shared
        while lane.queue and not self._stopping:
            posted = lane.queue[0]
            if posted.delivery.attempts:  # else at once: who posted it may have another idea of the time
                waited = True
                await self._wait(lane, posted.delivery.next_at - self._now())
            async with self._places:
                wanted = not waited or await self._is_still_wanted(posted)
                if not await self._may_send(posted.handoff):
                    return
                lane.came = False
                later = await self._try(posted) if wanted else None
            if later is None:
                lane.queue.popleft()
                await self._leave(lane, posted)
            else:
                lane.queue[0] = later
        if not lane.queue:
            del self._lanes[lane.key]

    async def _leave(self, lane: _Lane, posted: Posted) -> None:
        """It is done, dead or nobody's any more, unless somebody wanted it sent again meanwhile."""
        delivery = posted.delivery
        lane.ids.discard(delivery.id)
        if delivery.id in lane.again:
            lane.again.discard(delivery.id)
            await self._write(lambda tx: _post_again(tx, *_key(posted)))

    async def _is_still_wanted(self, posted: Posted) -> bool:
        """Whether what waited may go; from here on its agent cannot take it back any more."""
        delivery, owner = posted.delivery, posted.handoff.owner
        if not delivery.body.get("theirs"):
            return True
        return bool(await self._write(partial(deliveries.claim, delivery=delivery, owner=owner)))

    async def _wait(self, lane: _Lane, seconds: float) -> None:
        if seconds <= 0 or lane.came:
            return
        lane.nudged = asyncio.Event()
        try:
            await asyncio.wait_for(lane.nudged.wait(), seconds)
        except asyncio.TimeoutError:
            pass
        finally:
            lane.nudged = None

    async def _may_send(self, handoff: Handoff) -> bool:
        """Wait until nobody else can have taken *handoff* over; False when somebody has, or the server stops."""
        while not self._store.owns(handoff):
            if self._stopping or handoff.owner != self._store.worker:
                return False
            await asyncio.sleep(_LOOK_AT_LEASE)
        return not self._stopping

    async def _try(self, posted: Posted) -> Posted | None:
        """Send once; what is left to do later, if anything."""
        handoff, delivery = posted.handoff, posted.delivery
        try:
            await self._targets[delivery.target](handoff, delivery)
        except (TemporaryError, UserAway) as error:
            return await self._later(posted, error)
        except (BackendError, UserUnreachable) as error:
            await self._bury(posted, error, exhausted=False)
        except Exception as error:  # ours to mend, but the message must not be lost with it
            log.exception("outbox.error id=%s handoff=%s kind=%s", delivery.id, handoff.id, delivery.kind)
            return await self._later(posted, error)
        else:
            await self._write(partial(self._done, posted=posted))
        return None

    def _done(self, tx: Tx, posted: Posted) -> None:
        if deliveries.done_by(tx, posted.delivery, posted.handoff.owner):
            self._settle(tx, Outcome(handoff=posted.handoff, delivery=replace(posted.delivery, state="done")))
        _forget(tx, posted.delivery)

    def _settle(self, tx: Tx, outcome: Outcome) -> None:
        self._switchboard.reported(tx, outcome.handoff, outcome.delivery)
        tx.announce(outcome)

    async def _later(self, posted: Posted, error: Exception) -> Posted | None:
        delivery, now = posted.delivery, self._now()
        if now >= delivery.give_up_at:
            await self._bury(posted, error, exhausted=True)
            return None
        pause = pause_after(delivery.attempts, getattr(error, "retry_after", None))
        delivery = replace(
            delivery,
            attempts=delivery.attempts + 1,
            next_at=min(now + pause, delivery.give_up_at),
            error=_what(error),
        )
        log.info(
            "outbox.retry id=%s handoff=%s attempt=%s %s", delivery.id, posted.handoff.id, delivery.attempts, error
        )
        later = replace(posted, delivery=delivery)
        await self._write(partial(self._postpone, posted=later))
        return later

    def _postpone(self, tx: Tx, posted: Posted) -> None:
        if deliveries.failed(tx, posted.delivery, posted.handoff.owner):
            tx.announce(Postponed(handoff=posted.handoff, delivery=posted.delivery))

    async def _bury(self, posted: Posted, error: Exception, *, exhausted: bool) -> None:
        attempts = posted.delivery.attempts + 1
        dead = replace(posted.delivery, state="dead", attempts=attempts, error=_what(error))
        log.error("outbox.dead id=%s handoff=%s kind=%s %s", dead.id, posted.handoff.id, dead.kind, error)
        gone = isinstance(error, ChatGone)
        await self._write(partial(self._dead, handoff=posted.handoff, dead=dead, gone=gone, exhausted=exhausted))

    def _dead(self, tx: Tx, handoff: Handoff, dead: Delivery, gone: bool, exhausted: bool) -> None:
        if deliveries.failed(tx, dead, handoff.owner):
            self._switchboard.gave_up(tx, handoff, dead, gone=gone, exhausted=exhausted)
            self._settle(tx, Outcome(handoff=handoff, delivery=dead))
        _forget(tx, dead)

    async def _write(self, change: Callable[[Tx], Written]) -> Written | None:
        """Write what becomes of a delivery: until that is on disk nothing else of its lane goes.

        Returns:
            what *change* does; None: the server stops, and it is not written.
        """
        while True:
            try:
                return await self._store.write(change)
            except StoreError as error:
                if self._stopping:
                    return None
                log.error("outbox.not_written %s", error)
                await asyncio.sleep(1.0)


def _forget(tx: Tx, delivery: Delivery) -> None:
    """Keep nothing of a chat that was opened too late, after its user had been erased."""
    if "there" in delivery.body:
        deliveries.forget(tx, delivery.id)


def _key(posted: Posted) -> tuple[str, str, str]:
    return posted.delivery.id, posted.handoff.id, posted.handoff.owner


def _posted(tx: Tx, delivery_id: str, handoff_id: str, owner: str) -> Posted | None:
    delivery, handoff = deliveries.get(tx, delivery_id), handoffs.get(tx, handoff_id)
    if delivery is None or delivery.state != "pending" or handoff is None:
        return None
    return Posted(handoff=handoff, delivery=delivery)


def _post_again(tx: Tx, delivery_id: str, handoff_id: str, owner: str) -> None:
    posted = _posted(tx, delivery_id, handoff_id, owner)
    if posted is not None:
        tx.announce(posted)


def _nudged(tx: Tx, handoff_id: str) -> Nudged:
    return Nudged(handoff_id=handoff_id)


def pause_after(attempts: int, retry_after: float | None = None) -> float:
    """Seconds until the next try, after so many failed ones before this."""
    base = _SCHEDULE[attempts] if attempts < len(_SCHEDULE) else _THEN_EVERY
    pause = base * random.uniform(1 - _JITTER, 1 + _JITTER)
    if retry_after is not None:
        return min(max(pause, retry_after), _LONGEST_RETRY_AFTER)
    return pause


def _what(error: Exception) -> str:
    """What came back, for people: our own errors say it, of others only the kind is safe to keep."""
    return str(error) if isinstance(error, (BackendError, UserUnreachable)) else type(error).__name__
