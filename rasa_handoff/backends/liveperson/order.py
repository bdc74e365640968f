"""Lets what came at the same moment through in the order in which it was written."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

WAIT = 0.3  #: seconds; they want an answer in 2.5, on average
_MOST = 10_000  #: dialogs that are remembered


@dataclass(slots=True)
class _Dialog:
    last: int | None = None  #: the number of the newest message that has passed
    waiting: list[asyncio.Event] = field(default_factory=list)


class Order:
    """Of the messages of each dialog, which are numbered from 0.

    Where a number is missing it may be on its way, in another request: what comes after it waits a moment,
    and then goes. What is late goes at once. Nothing is kept here but the numbers.

    Args:
        wait: seconds.
    """

    def __init__(self, wait: float = WAIT) -> None:
        self._wait = wait
        self._dialogs: OrderedDict[str, _Dialog] = OrderedDict()

    def begin(self, dialog: str) -> None:
        """A dialog begins, so that also its first message can be waited for."""
        self._of(dialog).last = -1

    async def turn(self, dialog: str, number: int) -> None:
        """Wait until the messages before *number* have passed; not for long."""
        known = self._of(dialog)
        if known.last is None or number <= known.last + 1:
            return
        moved = asyncio.Event()
        known.waiting.append(moved)
        try:
            await asyncio.wait_for(self._until(known, number, moved), self._wait)
        except asyncio.TimeoutError:
            return
        finally:
            known.waiting.remove(moved)

    async def _until(self, known: _Dialog, number: int, moved: asyncio.Event) -> None:
        while known.last is not None and number > known.last + 1:
            moved.clear()
            await moved.wait()

    def passed(self, dialog: str, number: int) -> None:
        """The message *number* has passed."""
        known = self._of(dialog)
        known.last = number if known.last is None else max(known.last, number)
        for moved in known.waiting:
            moved.set()

    def _of(self, dialog: str) -> _Dialog:
        known = self._dialogs.pop(dialog, None) or _Dialog()
        self._dialogs[dialog] = known
        if len(self._dialogs) > _MOST:
            self._dialogs.popitem(last=False)
        return known
