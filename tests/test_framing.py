"""The guard in front of every request: a real server, raw bytes, and the server alive after each."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.servers import LONGEST_START, free_port

SERVER = """
import sys
from sanic import Sanic
from sanic.response import text
from rasa_handoff.web import framing

app = Sanic("framing")

@app.post("/echo")
async def echo(request):
    return text(f"{request.method} {len(request.body)}")

@app.get("/")
async def root(request):
    return text("alive")

@app.before_server_start
async def guard(app, loop=None):
    if sys.argv[2] == "guarded":
        framing.install(app)
        framing.install(app)  # twice does no harm

app.run("127.0.0.1", int(sys.argv[1]), access_log=False)
"""
pytestmark = pytest.mark.processes

ROOT = Path(__file__).parent.parent
PATIENCE = 20.0
CLOSE = b"Connection: close"


class Server:
    """A Sanic server of its own process."""

    def __init__(self, guarded: bool, folder: Path) -> None:
        self.port = free_port()
        program = folder / "server.py"
        program.write_text(SERVER)
        mode = "guarded" if guarded else "bare"
        self.log = (folder / f"{mode}.log").open("w+")
        run = [sys.executable, str(program), str(self.port), mode]
        self.process = subprocess.Popen(run, env={"PYTHONPATH": str(ROOT)}, stdout=self.log, stderr=self.log)

    def wait(self) -> None:
        end = time.monotonic() + LONGEST_START
        while time.monotonic() < end:
            if self.is_alive(patience=0.5):
                return
            time.sleep(0.1)
        raise AssertionError("the server does not start")

    def ask(self, raw: bytes, patience: float = PATIENCE) -> bytes:
        """Send *raw* and read until the server closes, or for as long as we have the patience."""
        read = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=patience) as connection:
            connection.sendall(raw)
            with suppress(TimeoutError, ConnectionResetError):
                while part := connection.recv(65_536):
                    read += part
        return read

    def is_alive(self, patience: float = PATIENCE) -> bool:
        try:
            return b"alive" in self.ask(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", patience)
        except OSError:
            return False

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(timeout=60)
        self.log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(guarded=True, folder=tmp_path_factory.mktemp("framing"))
    try:
        running.wait()
        yield running
    finally:
        running.stop()


def post(*headers: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"POST /echo HTTP/" + version, b"Host: x", *headers, b"", body])


HELLO = b"Content-Length: 5"
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (post(HELLO, CLOSE, body=b"hello"), b"POST 5"),
        (post(b"content-length:\t5 ", CLOSE, body=b"hello"), b"POST 5"),
        (post(b"Content-Length: 0", CLOSE), b"POST 0"),
        (post(CLOSE, body=b""), b"POST 0"),
        (post(CHUNKED, CLOSE, body=CHUNKS), b"POST 5"),
        (post(b"transfer-encoding: chunked", CLOSE, body=CHUNKS), b"POST 5"),
        (post(HELLO, "X-Name: J\u00fcrgen: a\tb".encode(), b"X-Empty:", CLOSE, body=b"hello"), b"POST 5"),
        (post(HELLO, CLOSE, body=b"hello", version=b"1.0"), b"POST 5"),
        (post(HELLO, body=b"hello") + post(HELLO, CLOSE, body=b"again"), b"POST 5"),
    ],
)
def test_what_is_clear_is_answered(server: Server, raw: bytes, answer: bytes) -> None:
    read = server.ask(raw)
    assert read.startswith(b"HTTP/1.1 200")
    assert answer in read


@pytest.mark.parametrize(
    "raw",
    [
        post(b"Content-Length: -1", body=b"hello"),
        post(b"Content-Length: -5", body=b"hello"),
        post(b"Content-Length: +5", body=b"hello"),
        post(b"Content-Length: 0_5", body=b"hello"),
        post(b"Content-Length: 0x5", body=b"hello"),
        post(b"Content-Length: 5.0", body=b"hello"),
        post(b"Content-Length: 5, 5", body=b"hello"),
        post(b"Content-Length: 5 5", body=b"hello"),
        post(b"Content-Length:", body=b"hello"),
        post(b"Content-Length: five", body=b"hello"),
        post("Content-Length: \u0665".encode(), body=b"hello"),
        post("Content-Length: \u00a05".encode(), body=b"hello"),
        post(b"Content-Length: \x0b5", body=b"hello"),
        post(b"Content-Length: " + b"9" * 5000, body=b"hello"),
        post(HELLO, HELLO, body=b"hello"),
        post(HELLO, b"content-length: 6", body=b"hello"),
        post(HELLO, CHUNKED, body=CHUNKS),
        post(CHUNKED, HELLO, body=CHUNKS),
        post(CHUNKED, CHUNKED, body=CHUNKS),
        post(b"Transfer-Encoding: Chunked", body=CHUNKS),
        post(b"Transfer-Encoding: gzip, chunked", body=CHUNKS),
        post(b"Transfer-Encoding: identity", body=b"hello"),
        post(b"Transfer-Encoding:", body=CHUNKS),
        post(b"Transfer-Encoding: \x0bchunked", body=CHUNKS),
        post(CHUNKED, body=CHUNKS, version=b"1.0"),
        post(b"Content-Length : 5", body=b"hello"),
        post(b"Transfer-Encoding : chunked", body=CHUNKS),
        post(b" Content-Length: 5", body=b"hello"),
        post(b"X-Folded: a\r\n b", HELLO, body=b"hello"),
        post(b": 5", HELLO, body=b"hello"),
        post(b"X-A: b\nContent-Length: 5", body=b"hello"),
        post(b"X-A: b\rContent-Length: 5", body=b"hello"),
        post(b"X-A: b\0c", HELLO, body=b"hello"),
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_not_clear_is_refused_and_the_server_lives(server: Server, raw: bytes) -> None:
    """One answer, 400, and the connection is closed: nothing behind it is taken for a request."""
    before = time.monotonic()
    smuggled = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    read = server.ask(raw + smuggled)
    assert read.startswith(b"HTTP/1.1 400"), read
    assert b"connection: close" in read.lower()
    assert read.count(b"HTTP/1.1") == 1
    assert server.is_alive()
    assert time.monotonic() - before < PATIENCE


def test_without_the_guard_the_server_stops_answering(tmp_path: Path) -> None:
    """The control: it is the guard that keeps the server alive."""
    bare = Server(guarded=False, folder=tmp_path)
    try:
        bare.wait()
        bare.ask(post(b"Content-Length: -1", body=b"hello"), patience=1.0)
        assert not bare.is_alive(patience=2.0)
    finally:
        bare.stop()


def test_a_request_class_of_the_bots_own_is_kept() -> None:
    from sanic import Sanic
    from sanic.request import Request

    from rasa_handoff.web import framing

    class Own(Request):
        """What a bot's owner made."""

    app = Sanic("own-request-class", request_class=Own)
    framing.install(app)
    guarded = app.request_class
    framing.install(app)
    assert app.request_class is guarded
    assert issubclass(guarded, Own)
    assert issubclass(guarded, framing.Guard)
