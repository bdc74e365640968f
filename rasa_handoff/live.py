"""Who is listening right now: pages with an open stream in this process."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

_MOST = 1000  #: events a slow listener may lag behind


class Listener:
    """One open stream. When it lags too far behind it is ended; its page connects again and catches up."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue(_MOST + 1)
        self.ended = False

    def put(self, item: Any) -> None:
        if self.ended:
            return
        if self._queue.qsize() >= _MOST:
            self.end()
        else:
            self._queue.put_nowait(item)

    def end(self) -> None:
        """Have `get` give None, now and for ever."""
        if not self.ended:
            self.ended = True
            self._queue.put_nowait(None)

    async def get(self, seconds: float) -> Any:
        """The next item; None when it was ended.

        Raises:
            asyncio.TimeoutError: nothing came in so many seconds.
        """
        if self.ended and self._queue.empty():
            return None
        return await asyncio.wait_for(self._queue.get(), seconds)


class Hub:
    """Listeners by topic."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[Listener]] = defaultdict(set)

    def listen(self, topic: str) -> Listener:
        listener = Listener()
        self._listeners[topic].add(listener)
        return listener

    def leave(self, topic: str, listener: Listener) -> None:
        self._listeners[topic].discard(listener)
        if not self._listeners[topic]:
            del self._listeners[topic]

    def count(self, topic: str) -> int:
        return len(self._listeners[topic]) if topic in self._listeners else 0

    def tell(self, topic: str, item: Any) -> None:
        """Give *item* to everybody who listens; nobody is fine."""
        for listener in tuple(self._listeners.get(topic, ())):
            listener.put(item)

    def end(self, topic: str) -> None:
        """End the streams of everybody who listens; their pages come again, and ask for what there is."""
        for listener in tuple(self._listeners.get(topic, ())):
            listener.end()

    def end_all(self) -> None:
        """The server stops."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.end()
