"""Everything but Rasa, with ends that write down what arrives there."""

from __future__ import annotations

import asyncio
import time as real_time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from rasa_handoff import access
from rasa_handoff.backends import settings_models
from rasa_handoff.backends.base import Backend, Opened
from rasa_handoff.events import AnyEvent, MessageStatus
from rasa_handoff.model import Delivery, EndReason, Handoff, Message, Rating, Request, new_id
from rasa_handoff.runtime import Runtime
from rasa_handoff.settings import Settings, read_section
from rasa_handoff.testing.waiting import until


def hardly_ever() -> str:
    """Opening hours outside of which it is for days: one minute, three days from now."""
    then = datetime.now(ZoneInfo("Europe/Berlin")) + timedelta(days=3)
    return f"{then:%a} 03:00-03:01 Europe/Berlin"


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self._now = real_time.time()

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


class Recorder(Backend):
    """An agent system on the other end of the wire: takes what comes, fails when told to."""

    name = "desk"  # under the one name that settings know without an account
    takes_files = True

    class settings_model(BaseModel):
        agents: list[Any] = []

    def __init__(self) -> None:
        super().__init__(None)
        self.opened: list[tuple[Handoff, Request]] = []
        self.got: list[Message] = []
        self.closed: list[EndReason] = []
        self.reports: list[MessageStatus] = []
        self.rated: list[Rating] = []
        self.typed: list[bool] = []
        self.known: list[AnyEvent] = []  #: what `look` finds
        self.answer: Callable[[Handoff], Any] = lambda handoff: Opened(chat_id=handoff.id, queue_position=1)
        self.trouble: list[Exception] = []  #: raised one by one by the next sends

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        self.opened.append((handoff, request))
        answer = self.answer(handoff)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        opened: Opened = answer
        return opened

    async def send(self, handoff: Handoff, message: Message) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        self.got.append(message)

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        self.closed.append(reason)

    async def report(self, handoff: Handoff, status: MessageStatus) -> None:
        self.reports.append(status)

    async def rate(self, handoff: Handoff, rating: Rating) -> None:
        self.rated.append(rating)

    async def typing(self, handoff: Handoff, typing: bool) -> None:
        self.typed.append(typing)

    async def look(self, handoff: Handoff) -> list[AnyEvent]:
        return self.known


class Stage:
    """The parts that run, a recording agent system, and a recording user's side."""

    def __init__(self, database: str, folder: Path, now: Callable[[], float], **section: Any) -> None:
        self.settings: Settings = read_section({"database": database, **section}, settings_models())
        self.folder = folder
        self.now = now
        self.agents = Recorder()
        self.to_user: list[tuple[Handoff, Delivery]] = []
        self.user_trouble: list[Exception] = []
        self.slots_set = 0  #: times that the bot's slots were
        self.runtime: Runtime

    async def up(self) -> None:
        known = access.ensure(self.folder, url=None, token=None, want_agent=True)
        self.runtime = Runtime(self.settings, known, self.folder, self.now)
        self.runtime.backends["desk"] = self.agents  # type: ignore[index]
        await self.runtime.open(self._to_user)
        await self.runtime.start()

    async def down(self) -> None:
        await self.runtime.stop()

    async def _to_user(self, handoff: Handoff, delivery: Delivery) -> None:
        if delivery.kind == "slots":
            self.slots_set += 1
            return
        if self.user_trouble:
            raise self.user_trouble.pop(0)
        self.to_user.append((handoff, delivery))

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and wake what was waiting for that."""
        self.now.advance(seconds)  # type: ignore[attr-defined]
        for lane in self.runtime.outbox._lanes.values():
            if lane.nudged is not None and lane.queue[0].delivery.next_at <= self.now():
                lane.nudged.set()

    # -- shorthands that read as sentences ----------------------------------------------------

    async def request(self, sender_id: str = "ann", **values: Any) -> Handoff:
        return await self.runtime.opening.request(Request(sender_id=sender_id, channel="handoff", **values))

    async def say(self, text: str, sender_id: str = "ann", external_id: str | None = None) -> Any:
        message = Message(id=new_id(), who="user", text=text, at=self.now())
        return await self.runtime.switchboard.said(sender_id, message, external_id or new_id())

    async def happen(self, event: AnyEvent) -> Handoff:
        return await self.runtime.inbox.apply("desk", event)

    async def handoff(self, sender_id: str = "ann") -> Handoff | None:
        return await self.runtime.switchboard.holder(sender_id)

    def kinds_to_user(self) -> list[str]:
        return [delivery.kind for _, delivery in self.to_user]

    def states(self) -> list[tuple[str, int | None]]:
        """What the user's page was told: where the handoff stands, and how many minutes it will take."""
        bodies = [delivery.body for _, delivery in self.to_user if delivery.kind == "state"]
        return [(body["status"], body["queue_minutes"]) for body in bodies]

    async def all_gone(self) -> None:
        """Wait until everything that could go out has gone."""
        await self.runtime.store.told()
        await self.until(lambda: not self.runtime.outbox._lanes)

    async def notices(self) -> list[str]:
        """The responses the bot was asked to say, once everything that could go out has gone."""
        await self.all_gone()
        return [delivery.body["response"] for _, delivery in self.to_user if delivery.kind == "notice"]

    until = staticmethod(until)
