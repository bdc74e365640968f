"""Real processes: a Rasa server with the plugin, an action server, and the people at both ends."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests
import yaml

from rasa_handoff import demo
from rasa_handoff.demo import training

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "models"
_ENVIRONMENT = {
    **os.environ,
    "RASA_TELEMETRY_ENABLED": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONPATH": str(ROOT),
    "PYTHONWARNINGS": "ignore",
    "SQLALCHEMY_SILENCE_UBER_WARNING": "1",
}
LONGEST_START = 300.0  #: seconds, on a machine that is busy with others
PATIENCE = 60.0  #: seconds; far more than anything takes, for a machine that stands still now and then
_KEPT: list[socket.socket] = []  #: the ports that are ours until this process ends


def free_port() -> int:
    """A port of this machine for a server; nobody else is given it, not even while that server is away.

    Linux lets a server listen where another socket is bound and does not listen, if both of them allow that; to
    who asks for any port, and to who connects, it gives others. Elsewhere the port is free, and no more.
    """
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    port: int = keeper.getsockname()[1]
    if sys.platform == "linux":
        _KEPT.append(keeper)
    else:
        keeper.close()
    return port


def until(true: Callable[[], Any], seconds: float = PATIENCE, what: str = "it") -> Any:
    """Wait until something holds, and give it; fail loudly when it does not."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.02)
    return found


def trained(session_minutes: float | None = None) -> Path:
    """The example bot's model, trained unless it is there; or one whose sessions end after so many minutes."""
    bot = ROOT / "example_bot"
    files = [bot / "config.yml", *sorted((bot / "domain").rglob("*.yml")), *sorted((bot / "data").rglob("*.yml"))]
    digest = hashlib.sha256(repr(session_minutes).encode())
    for file in files:
        digest.update(file.read_bytes())
    model = CACHE / f"{digest.hexdigest()[:16]}.tar.gz"
    with _training():
        if not model.exists():
            _train(model, bot, session_minutes)
    return model


def trained_by_demo() -> Path:
    """The example bot's model in ``models/``, where `make demo` puts it and looks for it."""
    with _training():
        return asyncio.run(training.trained(demo.Options(folder=ROOT)))


@contextmanager
def _training() -> Iterator[None]:
    """One test process at a time: several may want the same model."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "training").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _train(model: Path, bot: Path, session_minutes: float | None) -> None:
    domain = bot / "domain"
    if session_minutes is not None:
        domain = _with_sessions_of(session_minutes, CACHE / f"domain-{model.name}")
    command = ["-m", "rasa", "train", "--config", bot / "config.yml", "--domain", domain, "--data", bot / "data"]
    command += ["--out", CACHE, "--fixed-model-name", model.name.removesuffix(".tar.gz")]
    subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, env=_ENVIRONMENT, check=True, capture_output=True)


def _with_sessions_of(minutes: float, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in (ROOT / "example_bot" / "domain").glob("*.yml"):
        content = yaml.safe_load(file.read_text())
        content.pop("session_config", None)
        (folder / file.name).write_text(yaml.safe_dump(content))
    session = {"session_expiration_time": minutes, "carry_over_slots_to_new_session": True}
    (folder / "session.yml").write_text(yaml.safe_dump({"version": "3.1", "session_config": session}))
    return folder


class Process:
    """A process of ours; what it says goes into a file that a failing test shows."""

    def __init__(self, name: str, command: list[str], folder: Path, alive: str, **env: str) -> None:
        self.name = name
        self.command = command
        self.folder = folder
        self.alive = alive
        self.env = env
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.command],
                cwd=self.folder,
                env={**_ENVIRONMENT, **self.env},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        if wait:
            self.wait()

    def wait(self) -> None:
        until(self.answers, LONGEST_START, f"{self.name}'s start (see {self.log})")

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended:\n{self.said()[-4000:]}"
        try:
            return requests.get(self.alive, timeout=10).status_code == 200
        except requests.RequestException:
            return False

    def kill(self) -> None:
        """kill -9: no farewell."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()

    def said(self) -> str:
        return self.log.read_text(errors="replace")


class Bot:
    """The example bot as a Rasa server with the plugin and an action server, in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        section: dict[str, Any] | None = None,
        endpoints: dict[str, Any] | None = None,
        **channels: Any,
    ) -> None:
        self.folder = folder
        self.port, self.actions_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        section = {"chat_page": True, **(section or {})}
        credentials = {"rasa_handoff.HandoffInput": section, "rest": None, **channels}
        endpoints = {
            "action_endpoint": {"url": f"http://127.0.0.1:{self.actions_port}/webhook"},
            "tracker_store": {"type": "SQL", "dialect": "sqlite", "db": str(folder / "tracker.db")},
            **(endpoints or {}),
        }
        (folder / "credentials.yml").write_text(yaml.safe_dump(credentials))
        (folder / "endpoints.yml").write_text(yaml.safe_dump(endpoints))
        rasa = ["-m", "rasa", "run", "--enable-api", "--model", str(trained()), "--port", str(self.port)]
        rasa += ["--credentials", "credentials.yml", "--endpoints", "endpoints.yml"]
        self.rasa = Process("rasa", rasa, folder, f"{self.url}/webhooks/handoff/")
        actions = ["-m", "rasa_sdk", "--actions", "example_bot.actions", "--port", str(self.actions_port)]
        self.actions = Process("actions", actions, folder, f"http://127.0.0.1:{self.actions_port}/health")

    def start(self) -> None:
        self.actions.start(wait=False)
        self.rasa.start(wait=False)
        self.actions.wait()
        self.rasa.wait()

    def stop(self) -> None:
        self.rasa.stop()
        self.actions.stop()

    @property
    def access(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / ".rasa_handoff" / "access.json").read_text())
        return found

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> requests.Response:
        """A request to the plugin."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.url}/webhooks/handoff{path}"
        return requests.request(method, url, json=body, headers=headers, timeout=PATIENCE)

    def operator(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.ask(method, path, body, self.access["token"])
        assert answer.status_code == 200, answer.text
        return answer.json()

    def handoff(self, sender: str) -> dict[str, Any] | None:
        """The open handoff of this conversation, else its last."""
        found: dict[str, Any] | None = self.operator("GET", f"/handoffs?sender_id={sender}")["handoff"]
        return found

    def say(self, text: str, sender: str, channel: str = "rest", **more: Any) -> list[dict[str, Any]]:
        """A user's message through a rest-like channel, and the answers."""
        body = {"sender": sender, "message": text, **more}
        answer = requests.post(f"{self.url}/webhooks/{channel}/webhook", json=body, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json() if answer.text.startswith("[") else []
        return found

    def learn(self, sender: str, **slots: str) -> None:
        """Fill the bot's slots, as its actions would."""
        url = f"{self.url}/conversations/{sender}/tracker/events"
        events = [{"event": "slot", "name": name, "value": value} for name, value in slots.items()]
        requests.post(url, json=events, timeout=PATIENCE).raise_for_status()

    def tracker(self, sender: str) -> dict[str, Any]:
        url = f"{self.url}/conversations/{sender}/tracker"
        found: dict[str, Any] = requests.get(url, timeout=PATIENCE).json()
        return found


class Agent:
    """Somebody at the desk, with the console's stream open."""

    def __init__(self, bot: Bot, number: int = 0) -> None:
        self.bot = bot
        self.token: str = bot.access["agents"][number]["token"]
        self.events: list[tuple[str, Any]] = []
        self._stream: requests.Response | None = None

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.bot.ask(method, f"/desk/api{path}", body, self.token)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def come(self) -> None:
        """Open the stream, and be online."""
        url = f"{self.bot.url}/webhooks/handoff/desk/api/stream"
        known = len(self.events)
        self._stream = requests.get(url, headers={"Authorization": f"Bearer {self.token}"}, stream=True, timeout=300)
        threading.Thread(target=self._listen, daemon=True).start()
        until(lambda: len(self.events) > known, what="the stream's hello")
        self.ask("PUT", "/me/presence", {"presence": "online"})

    def go(self) -> None:
        self.ask("PUT", "/me/presence", {"presence": "away"})
        if self._stream is not None:  # closing it would wait for the stream's next sign of life
            self._stream.raw._connection.sock.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        name = ""
        try:
            for line in self._stream.iter_lines(chunk_size=1, decode_unicode=True):  # type: ignore[union-attr]
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    self.events.append((name, json.loads(line[6:])))
        except Exception:
            return  # the server was killed, or we went

    def waiting(self, user: str) -> dict[str, Any]:
        """The chat of *user* that waits."""

        def look() -> Any:
            chats = self.ask("GET", "/chats")["waiting"]
            return next((chat for chat in chats if chat["user"] == user), None)

        found: dict[str, Any] = until(look, what=f"a chat of {user}")
        return found

    def accept(self, user: str) -> str:
        chat: str = self.waiting(user)["id"]
        self.ask("POST", f"/chats/{chat}/accept")
        return chat

    def reply(self, chat: str, text: str) -> None:
        self.ask("POST", f"/chats/{chat}/messages", {"id": str(uuid.uuid4()), "text": text})

    def close(self, chat: str) -> None:
        self.ask("POST", f"/chats/{chat}/close", {"reason": "resolved"})

    def heard(self, chat: str) -> list[str]:
        """What the user of *chat* said to the agents, in order."""
        messages = self.ask("GET", f"/chats/{chat}")["messages"]
        return [message["text"] for message in messages if message["who"] == "user"]


class Sink:
    """An HTTP server that takes what is posted to it, as a callback channel's owner runs one."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.fail = 0  #: how many of the next requests get a 503
        sink = self

        class Take(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                failing, sink.fail = sink.fail > 0, max(sink.fail - 1, 0)
                if not failing:
                    sink.got.append(json.loads(body))
                self.send_response(503 if failing else 200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def texts(self, recipient: str) -> list[str]:
        return [each.get("text", "") for each in self.got if each["recipient_id"] == recipient]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_together(*bots: Bot) -> Iterator[tuple[Bot, ...]]:
    """Several at once: each takes its time to start and to stop."""
    with ThreadPoolExecutor() as pool:
        try:
            list(pool.map(Bot.start, bots))
            yield bots
        finally:
            list(pool.map(Bot.stop, bots))


@contextmanager
def running(bot: Bot) -> Iterator[Bot]:
    try:
        bot.start()
        yield bot
    finally:
        bot.stop()
