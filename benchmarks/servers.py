"""The measured servers as processes of their own, on one core: Rasa with and without the plugin, and the limit."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.wire import Trouble

ROOT = Path(__file__).resolve().parent.parent
BOT = Path(__file__).resolve().parent / "bot"
MODELS = ROOT / "models"
BACKEND = "benchmark"  #: our agent system's name in the settings
TOKEN = "benchmark-token-that-nobody-else-has"

FIRST_PORT = int(os.environ.get("BENCHMARK_PORT", "27500"))  #: eight ports from here on
SINK, LIMIT, PLUGIN, PLAIN, ACTIONS, EMPTY, FULL, AGAIN = range(FIRST_PORT, FIRST_PORT + 8)
SINK_URL = f"http://127.0.0.1:{SINK}"

_PATIENCE = 120.0  #: seconds that a server may take to start

_PLAIN = "rest:\n"
_WITH_PLUGIN = """\
rest:
callback:
  url: {sink}/user
rasa_handoff.HandoffInput:
  token: {token}
  database: sqlite:///{database}
  backends:
    {backend}: {{url: "{sink}", token: "{token}"}}
"""
_ENDPOINTS = "action_endpoint:\n  url: http://127.0.0.1:{actions}/webhook\n"


@dataclass
class Server:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "handoff.db"

    def cpu_seconds(self) -> float:
        return machine.cpu_seconds(self.process.pid)

    def memory(self) -> int:
        return machine.memory(self.process.pid)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def query(self, sql: str) -> list[Any]:
        """What its database says, beside it."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    async def listens(self) -> None:
        """Wait until its port is open, however busy it is.

        Raises:
            Trouble: it ended, or takes too long.
        """
        until = time.monotonic() + _PATIENCE
        while not _is_open(self.port):
            if self.process.poll() is not None or time.monotonic() > until:
                raise Trouble(f"a server did not start; its last words:\n{self._last_words()}")
            await asyncio.sleep(0.01)

    async def ready(self, path: str = "/") -> None:
        """Wait until it answers.

        Raises:
            Trouble: it does not.
        """
        await self.listens()
        if not await asyncio.to_thread(_answers, f"http://127.0.0.1:{self.port}{path}"):
            raise Trouble(f"a server listens and does not answer; its last words:\n{self._last_words()}")

    def _last_words(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]


def _is_open(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Servers:
    """Starts servers in folders of their own, and stops them all."""

    def __init__(self, folder: Path, core: int) -> None:
        self._folder = folder
        self._core = core
        self._running: list[Server] = []

    def limit(self) -> Server:
        return self._start("limit", LIMIT, ["-m", "benchmarks.limit", str(LIMIT), SINK_URL])

    def actions(self) -> Server:
        return self._start(
            "actions", ACTIONS, ["-m", "rasa_sdk", "--actions", "benchmarks.bot.actions", "--port", str(ACTIONS)]
        )

    def plain(self, model: Path) -> Server:
        """Rasa without the plugin."""
        folder = self.folder("plain")
        (folder / "credentials.yml").write_text(_PLAIN)
        return self._rasa("plain", PLAIN, model)

    def plugin(self, name: str, port: int, model: Path) -> Server:
        """Rasa with the plugin; its database is in the folder of that *name*."""
        folder = self.folder(name)
        text = _WITH_PLUGIN.format(sink=SINK_URL, token=TOKEN, backend=BACKEND, database=folder / "handoff.db")
        (folder / "credentials.yml").write_text(text)
        return self._rasa(name, port, model)

    def bare_route(self, model: Path) -> Server:
        """Rasa with a forwarder that keeps nothing in the place of bot and plugin."""
        (self.folder("bare_route") / "credentials.yml").write_text(_PLAIN)
        return self._rasa("bare_route", PLAIN, model, program="benchmarks.bare_route")

    def folder(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def _rasa(self, name: str, port: int, model: Path, program: str = "benchmarks.rasa_server") -> Server:
        (self.folder(name) / "endpoints.yml").write_text(_ENDPOINTS.format(actions=ACTIONS))
        command = ["-m", program, "run", "-p", str(port), "-m", str(model)]
        return self._start(name, port, [*command, "--credentials", "credentials.yml", "--endpoints", "endpoints.yml"])

    def _start(self, name: str, port: int, command: list[str]) -> Server:
        folder = self.folder(name)
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", *command],
                cwd=folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: machine.pin(self._core),
            )
        server = Server(process, port, folder)
        self._running.append(server)
        return server

    def stop(self) -> None:
        for server in self._running:
            server.stop()
        self._running.clear()


@contextmanager
def running(core: int) -> Iterator[Servers]:
    """Servers that are stopped at the end, whatever it is, and whose folders are gone then."""
    with tempfile.TemporaryDirectory(prefix="rasa-handoff-") as folder:
        servers = Servers(Path(folder), core)
        try:
            yield servers
        finally:
            servers.stop()


def _environment() -> dict[str, str]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "RASA_TELEMETRY_ENABLED": "false",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "BENCHMARK_SINK": SINK_URL,
    }


def trained_model() -> Path:
    """The model of the benchmarks' bot, trained when its files have changed."""
    digest = hashlib.sha256()
    for file in sorted(BOT.rglob("*.yml")):
        digest.update(file.read_bytes())
    model = MODELS / f"benchmarks-{digest.hexdigest()[:16]}.tar.gz"
    if model.is_file():
        return model
    print("training the benchmarks' bot", flush=True)
    MODELS.mkdir(exist_ok=True)
    for old in MODELS.glob("benchmarks-*.tar.gz"):
        old.unlink()
    files = ["--domain", str(BOT / "domain.yml"), "--data", str(BOT / "data"), "--config", str(BOT / "config.yml")]
    out = ["--out", str(MODELS), "--fixed-model-name", model.name]
    made = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "rasa", "train", *files, *out],
        env=_environment(),
        cwd=MODELS,
        capture_output=True,
        text=True,
    )
    if made.returncode or not model.is_file():
        raise Trouble(f"the bot could not be trained:\n{made.stdout[-2000:]}{made.stderr[-2000:]}")
    shutil.rmtree(MODELS / ".rasa", ignore_errors=True)
    return model
