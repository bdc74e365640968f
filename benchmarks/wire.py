"""Load and sink: connections that send prepared requests, and a server that takes everything and counts.

Both speak just as much HTTP as they need, on bare protocols of the event loop, so that together they
cost a fraction of what the measured server does.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

_END_OF_HEAD = b"\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Trouble(Exception):
    """The measured server did not do what it was asked, so there is no number."""


def post(path: str, payload: Any, **headers: str) -> bytes:
    """A whole request."""
    body = json.dumps(payload).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + _END_OF_HEAD + body


def _split(buffer: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Head, body and rest of the first message in *buffer*, once it is all there."""
    head, found, rest = buffer.partition(_END_OF_HEAD)
    if not found:
        return None
    _, named, value = head.lower().partition(b"\r\ncontent-length:")
    length = int(value.partition(b"\r\n")[0]) if named else 0
    if len(rest) < length:
        return None
    return head, rest[:length], rest[length:]


# -- the sink ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that the sink took."""

    at: float  #: of the clock `time.monotonic`
    path: str
    body: bytes


class Sink:
    """Where everything goes: agent systems and users' callbacks. It answers at once, unless told to hold."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.holding = False  #: take requests and do not answer them
        self._more = asyncio.Event()
        self._server: asyncio.AbstractServer

    async def start(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _SinkConnection(self), "127.0.0.1", port)

    def stop(self) -> None:
        self._server.close()

    def clear(self) -> None:
        self.arrivals = []

    def took(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        self._more.set()

    async def wait_for(self, count: int, seconds: float = 60.0) -> None:
        """Wait until *count* requests have arrived since `clear`.

        Raises:
            Trouble: they do not.
        """
        until = time.monotonic() + seconds
        while len(self.arrivals) < count:
            self._more.clear()
            try:
                await asyncio.wait_for(self._more.wait(), max(until - time.monotonic(), 0))
            except asyncio.TimeoutError:
                raise Trouble(f"{count} messages were sent, {len(self.arrivals)} arrived") from None

    def payloads(self, path: str) -> list[Any]:
        return [json.loads(arrival.body) for arrival in self.arrivals if arrival.path == path]


class _SinkConnection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (message := _split(self._buffer)) is not None:
            head, body, self._buffer = message
            self._sink.took(Arrival(time.monotonic(), head.split(b" ", 2)[1].decode(), body))
            if not self._sink.holding:
                self._transport.write(_OK)


# -- the load ---------------------------------------------------------------------------------


@dataclass
class Answers:
    """What came back."""

    statuses: Counter[bytes] = field(default_factory=Counter)
    empty: int = 0  #: with nothing, or an empty list, in the body
    lost: int = 0  #: connections that ended too early

    def require(self, count: int, *, filled: bool = False) -> None:
        """Require *count* answers, all of them 2xx, and if *filled* with something in them."""
        good = sum(number for status, number in self.statuses.items() if status.startswith(b"2"))
        if good != count or self.lost or (filled and self.empty):
            raise Trouble(f"{count} requests: {dict(self.statuses)}, {self.empty} empty, {self.lost} connections lost")


class _LoadConnection(asyncio.Protocol):
    """Sends its requests one after the other, each when the one before was answered."""

    def __init__(self, requests: Iterator[bytes], answers: Answers, over: Callable[[], None]) -> None:
        self._requests = requests
        self._answers = answers
        self._over = over
        self._buffer = b""
        self._transport: asyncio.Transport
        self._done = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is not None:
            self._transport.write(request)
            return
        self._done = True
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if (message := _split(self._buffer)) is not None:
            head, body, self._buffer = message
            self._answers.statuses[head[9:12]] += 1
            self._answers.empty += body in (b"", b"[]")
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._answers.lost += not self._done
        self._over()


async def closed_loop(port: int, lanes: Sequence[Sequence[bytes]]) -> Answers:
    """Send each lane over a connection of its own, the next request when the last was answered."""
    loop = asyncio.get_running_loop()
    answers, over, left = Answers(), asyncio.Event(), len(lanes)

    def one_over() -> None:
        nonlocal left
        left -= 1
        if not left:
            over.set()

    for lane in lanes:
        made = partial(_LoadConnection, iter(lane), answers, one_over)
        await loop.create_connection(made, "127.0.0.1", port)
    await over.wait()
    return answers


class _OpenConnection(asyncio.Protocol):
    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._buffer = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (message := _split(self._buffer)) is not None:
            head, _, self._buffer = message
            self._answers.statuses[head[9:12]] += 1


async def open_loop(
    port: int, requests: Sequence[bytes], gaps: Sequence[float], connections: int
) -> tuple[Answers, list[float]]:
    """Send each request when its time has come, answered or not; when that was, by `time.monotonic`.

    The connections take turns.
    """
    loop = asyncio.get_running_loop()
    answers = Answers()
    open_connections = []
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: _OpenConnection(answers), "127.0.0.1", port)
        open_connections.append(connection)
    due, intended = time.monotonic() + 0.1, []
    for number, (request, gap) in enumerate(zip(requests, gaps, strict=True)):
        due += gap
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        intended.append(due)
        open_connections[number % connections].transport.write(request)
    until = time.monotonic() + 10
    while sum(answers.statuses.values()) < len(requests) and time.monotonic() < until:
        await asyncio.sleep(0.01)
    for connection in open_connections:
        connection.transport.close()
    return answers, intended
