"""A server on the wire that stands for the Rasa server with the plugin, as docs/http.md has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Server:
    """Answers what a test lays down, by method and path, and remembers what it was asked."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.answers: dict[str, tuple[int, Any]] = {}
        self.links: dict[str, bytes] = {}  #: what whoever has the address gets, without a token
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(f"{self.command} {self.path}")
                server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                status, body = server.answer(self.command, self.path, self.headers["Authorization"])
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/webhooks/handoff/elsewhere")
                self.end_headers()
                self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, method: str, path: str, authorization: str | None) -> tuple[int, Any]:
        if path in self.links:
            return 200, self.links[path]
        if authorization != f"Bearer {self.token}":
            return 401, b""
        unknown = 404, {"error": {"code": "unknown", "message": "no such delivery"}}
        return self.answers.get(f"{method} {path.removeprefix('/webhooks/handoff')}", unknown)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """*server*, answering until the end of the block."""
    thread = Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()
