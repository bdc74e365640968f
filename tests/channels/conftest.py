"""What the channels' tests stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rasa.core.agent import Agent

from rasa_handoff.channels import agent_files, base, service, socketio
from rasa_handoff.channels.slack import uploads
from tests.internet import Internet
from tests.servers import trained


@pytest.fixture(scope="session")
def loaded() -> Agent:
    return Agent.load(trained())


@pytest.fixture
def rasa_agent(loaded: Agent) -> Agent:
    """The example bot, in this process, which has met nobody yet."""
    loaded.tracker_store._tracker_store.store.clear()
    loaded.lock_store.conversation_locks.clear()
    return loaded


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given up because this machine stood still; what is about giving up says for how long it waits."""
    monkeypatch.setattr(agent_files, "LONGEST", 60.0)
    monkeypatch.setattr(service, "DESCRIBING", 60.0)
    monkeypatch.setattr(socketio, "_ANSWERS_WITHIN", 60.0)
    monkeypatch.setattr(uploads, "SHOWN_IN", 60.0)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels that wait for a second only; to be asked for before the channel."""
    monkeypatch.setattr(base, "TIMEOUT", 2.0)


@pytest.fixture
def internet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    """In the place of every service on the internet, under its own name."""
    with Internet(tmp_path) as internet:
        internet.take_over(monkeypatch)
        yield internet
        internet.forget()
