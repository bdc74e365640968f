"""What the channels' tests stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rasa.core.agent import Agent

from rasa_handoff.channels import base
from tests.internet import Internet
from tests.servers import trained


@pytest.fixture(scope="session")
def loaded() -> Agent:
    return Agent.load(trained())


@pytest.fixture
def rasa_agent(loaded: Agent) -> Agent:
    """The example bot, in this process, which has met nobody yet."""
    loaded.tracker_store._tracker_store.store.clear()
    return loaded


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
