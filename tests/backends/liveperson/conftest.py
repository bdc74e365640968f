"""What the tests of LivePerson stand on."""

from __future__ import annotations

import pytest

from rasa_handoff.backends.liveperson import backend


@pytest.fixture(autouse=True)
def answers_within(monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds within which webhooks are answered; here they may take longer, for a machine that stands still."""
    usual = backend._ANSWER_WITHIN
    monkeypatch.setattr(backend, "_ANSWER_WITHIN", 60.0)
    return usual
