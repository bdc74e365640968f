"""The demo with its real servers: it starts, says where everything is, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from rasa_handoff.testing import agent_sides
from rasa_handoff.testing.agent_side import GREETING
from tests.servers import PATIENCE, free_port, trained_by_demo, until

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.processes, pytest.mark.slow]


class Demo:
    """`rasa-handoff demo` in a folder and on ports of its own."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.port, self.actions_port = free_port(), free_port()
        command = [sys.executable, "-m", "rasa_handoff", "demo", "--json"]
        ports = ["--port", str(self.port), "--actions-port", str(self.actions_port)]
        self.process = subprocess.Popen(
            [*command, *ports, *more],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.where: dict[str, Any] = json.loads(self.process.stdout.readline())

    def answers(self) -> list[int]:
        """Those of its ports that somebody listens on."""
        return [port for port in (self.port, self.actions_port) if _listens(port)]

    def say(self, text: str) -> Any:
        """What a user gets for saying *text*."""
        body = json.dumps({"sender": "ann", "message": text}).encode()
        url = f"http://127.0.0.1:{self.port}/webhooks/handoff/webhook"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def servers(self) -> list[int]:
        """The processes that the demo started."""
        listed = subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], text=True)
        return [int(pid) for pid in listed.split()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what the demo runs."""
    shutil.copytree(ROOT / "example_bot", tmp_path / "example_bot", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    (tmp_path / "models").mkdir()
    shutil.copy(trained_by_demo(), tmp_path / "models")
    shutil.copy(ROOT / "endpoints.yml", tmp_path)
    return tmp_path


@contextmanager
def started(demo: Demo) -> Iterator[Demo]:
    try:
        yield demo
    finally:
        demo.process.terminate()
        demo.process.communicate(timeout=PATIENCE)


@pytest.fixture
def running(folder: Path) -> Iterator[Demo]:
    with started(Demo(folder)) as running:
        yield running


def test_it_says_where_everything_is_and_ctrl_c_ends_it_all(running: Demo) -> None:
    for page in (running.where["chat"], running.where["console"]):
        with urllib.request.urlopen(page, timeout=PATIENCE) as answer:
            assert answer.headers.get_content_type() == "text/html"
    (agent,) = running.where["agents"]
    assert agent["name"]
    assert len(agent["token"]) >= 32
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(PATIENCE) == 0
    assert running.answers() == []


def test_the_stand_in_of_an_agent_system_takes_a_chat(folder: Path) -> None:
    with started(Demo(folder, "--backend", agent_sides.names()[0])) as running:
        assert running.where == {"chat": f"http://localhost:{running.port}/webhooks/handoff/chat/"}
        said = running.say("I want to talk to an agent")[0]["text"]
        # By the time of the answer the agent, who takes a second and a half, may be there on a slow machine.
        assert any(words in said for words in ("getting a person", "You are connected"))
        until(lambda: running.say("hello?")[0]["custom"]["handoff"]["status"] == "active")


def test_the_stand_in_of_an_account_gives_its_chats_to_the_bot_and_gets_them_back(folder: Path) -> None:
    with started(Demo(folder, "--backend", "liveperson_agent")) as running:
        page = running.where["chat"]
        with urllib.request.urlopen(page, timeout=PATIENCE) as answer:
            assert answer.headers.get_content_type() == "text/html"
        chat = f"{page}chats/{asked(f'{page}chats', {})['id']}"
        until(lambda: asked(chat)["with"] == "bot")
        asked(chat, {"text": "what are your opening hours?"})
        until(lambda: any("9:00" in line["text"] for line in asked(chat)["lines"]))
        asked(chat, {"text": "I want to talk to an agent"})
        until(lambda: any(line["text"] == GREETING for line in asked(chat)["lines"]))
        assert asked(chat)["with"] == "person"


def test_when_a_server_ends_the_demo_says_so_and_ends_the_other(running: Demo) -> None:
    os.kill(running.servers()[0], signal.SIGKILL)
    assert running.process.wait(PATIENCE) == 1
    assert "server ended (exit code -9)" in running.process.communicate()[1]
    assert running.answers() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_a_killed_demo_leaves_no_orphans(running: Demo) -> None:
    running.process.kill()
    until(lambda: running.answers() == [])


def asked(url: str, body: Any = None) -> Any:
    """What comes back as JSON; with a *body*, to a POST."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=PATIENCE) as answer:
        return json.load(answer)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10):
        return True
    return False
