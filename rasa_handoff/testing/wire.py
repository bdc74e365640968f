"""An agent system on the wire: a real HTTP server that writes down what it is asked, and has troubles on demand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Union
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  #: names in lower case
    body: bytes
    taken: bool = True  #: acted upon, whether or not its answer arrives; False where the server said no
    at: float = field(default_factory=time.monotonic)  #: seconds, by a clock that never goes back

    @property
    def json(self) -> Any:
        return json.loads(self.body)


#: Status, body and perhaps headers of an answer; the body is sent as JSON, bytes as they are.
Response = Union[tuple[int, Any], tuple[int, Any, Mapping[str, str]]]
Respond = Callable[[Asked], Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    """What happens to one of the next requests instead of an answer, or before it."""

    path: str
    status: int | None = None  #: refuse with it
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0  #: take it, and answer so much later
    hang_up: bool = False  #: take it, and close the connection without an answer

    def is_for(self, asked: Asked) -> bool:
        return _fits(asked, self.path)


_NONE = _Trouble(path="")


class _Hold:
    """The first request to *path* after which *when* is true waits for its answer until this is over."""

    def __init__(self, path: str, when: Callable[[], Any]) -> None:
        self.over = threading.Event()
        self._path = path
        self._when = when
        self._has_caught = False

    def catches(self, asked: Asked) -> bool:
        if not self._has_caught and _fits(asked, self._path) and self._when():
            self._has_caught = True
            return True
        return False


def _fits(asked: Asked, pattern: str) -> bool:
    method, _, path = pattern.rpartition(" ")
    return method in ("", asked.method) and fnmatchcase(asked.path, path)


class Wire:
    """The server. It takes everything with ``200 {}`` until told otherwise.

    It runs in threads of its own, so that tests with and without asyncio can use it.
    Paths are patterns: ``*`` stands for anything. Those of troubles may have a method in front: ``POST */events``.

    Args:
        port: 0 is any that is free.
    """

    def __init__(self, port: int = 0) -> None:
        self.asked: list[Asked] = []
        self._responds: list[tuple[str, str, Respond]] = []
        self._troubles: list[_Trouble] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._holds: list[_Hold] = []
        self._server: ThreadingHTTPServer | None = None
        self._port = port
        self._keeper: socket.socket | None = None  #: has the port while nobody listens there

    # -- up and down --------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Its address; no slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    def up(self) -> None:
        """Answer; after `down`, on the same port."""
        self._over.clear()
        self._let_go()
        self._server = self._listening()
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def down(self) -> None:
        """Be unreachable: connections are refused, and open ones cut."""
        if self._server is not None:
            self._over.set()
            for hold in self._holds:
                hold.over.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            self._keep()

    def close(self) -> None:
        """Be gone for good: the port is anybody's."""
        self.down()
        self._let_go()

    def _listening(self) -> _Server:
        """The server; it takes connections, and nobody answers them yet."""
        return _Server(("127.0.0.1", self._port), _handler(self))

    def _keep(self) -> None:
        """Have the port without listening there: another program that was given it would answer in our place."""
        self._keeper = socket.socket()
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._keeper.bind(("127.0.0.1", self._port))

    def _let_go(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def __enter__(self) -> Wire:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what it answers ----------------------------------------------------------------------

    def when(self, method: str, path: str, status: int = 200, body: Any = None) -> None:
        """Answer requests to *path* with this; the rule that came last counts."""
        self.respond(method, path, lambda asked: (status, {} if body is None else body))

    def respond(self, method: str, path: str, respond: Respond) -> None:
        """Have *respond* make the answers to requests to *path*."""
        self._responds.insert(0, (method, path, respond))

    # -- troubles -----------------------------------------------------------------------------

    def fail(self, status: int = 503, times: int = 1, path: str = "*", **headers: str) -> None:
        """Refuse the next requests to *path*; what they say is not taken. ``Retry_After="2"`` sends that header."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self._plan(times, _Trouble(path=path, status=status, headers=sent))

    def stall(self, seconds: float, times: int = 1, path: str = "*") -> None:
        """Take the next requests to *path*, and answer late."""
        self._plan(times, _Trouble(path=path, seconds=seconds))

    @contextmanager
    def held(self, path: str = "*", when: Callable[[], Any] = lambda: True) -> Iterator[None]:
        """Take the next request to *path* after which *when* is true, and answer it at the end of the block."""
        hold = _Hold(path, when)
        self._holds.append(hold)
        try:
            yield
        finally:
            self._holds.remove(hold)
            hold.over.set()

    def hang_up(self, times: int = 1, path: str = "*") -> None:
        """Take the next requests to *path*, and close the connection without an answer."""
        self._plan(times, _Trouble(path=path, hang_up=True))

    def calm(self) -> None:
        """No more troubles."""
        with self._lock:
            self._troubles.clear()

    def _plan(self, times: int, trouble: _Trouble) -> None:
        with self._lock:
            self._troubles += [trouble] * times

    # -- what a test looks at -----------------------------------------------------------------

    def taken(self, method: str = "*", path: str = "*") -> list[Asked]:
        """The requests it acted upon, in order."""
        return [a for a in self.asked if a.taken and fnmatchcase(a.method, method) and fnmatchcase(a.path, path)]

    # -- the server's threads -----------------------------------------------------------------

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        asked = _read(handler)
        with self._lock:
            trouble = next((each for each in self._troubles if each.is_for(asked)), _NONE)
            if trouble is not _NONE:
                self._troubles.remove(trouble)
            headers = trouble.headers
            if trouble.status is None:
                status, body, *more = self._answer(asked)
                headers = more[0] if more else headers
            else:
                status, body = trouble.status, {}
                asked = replace(asked, taken=False)
            self.asked.append(asked)
            hold = next((each for each in self._holds if each.catches(asked)), None)
        if hold is not None:
            hold.over.wait()
        self._over.wait(trouble.seconds)
        if trouble.hang_up:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            _reply(handler, status, body, headers)

    def _answer(self, asked: Asked) -> Response:
        for method, path, respond in self._responds:
            if fnmatchcase(asked.method, method) and fnmatchcase(asked.path, path):
                return respond(asked)
        return 200, {}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, *values: Any) -> None:
        super().__init__(*values)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it is closed

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked may be gone by the time of the answer; that is part of the game."""


def _handler(wire: Wire) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def _take(self) -> None:
            wire._take(self)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _take

        def log_message(self, format: str, *values: Any) -> None:
            return

    return Handler


def _read(handler: BaseHTTPRequestHandler) -> Asked:
    url, length = urlsplit(handler.path), int(handler.headers.get("content-length", 0))
    body = handler.rfile.read(length)
    if len(body) < length:
        raise ConnectionError("the request broke off")
    return Asked(
        method=handler.command,
        path=url.path,
        query=dict(parse_qsl(url.query, keep_blank_values=True)),
        headers={name.lower(): value for name, value in handler.headers.items()},
        body=body,
    )


def _reply(handler: BaseHTTPRequestHandler, status: int, body: Any, headers: Mapping[str, str]) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(content)
