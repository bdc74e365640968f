"""The stand-ins of agent systems speak to the plugin as the real ones do, and print no secrets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rasa_handoff import backends
from rasa_handoff.model import EndReason, Line, Status
from rasa_handoff.testing import agent_sides, on_stage
from rasa_handoff.testing.agent_side import GREETING, Running


def test_there_is_one_for_each_agent_system() -> None:
    # The desk is there itself, and an agent of LivePerson's needs LivePerson around it.
    assert set(agent_sides.names()) == set(backends.names()) - {"desk", "liveperson_agent"}


@pytest.mark.parametrize("name", agent_sides.names())
async def test_a_user_talks_to_the_stand_in(name: str, tmp_path: Path) -> None:
    said: list[str] = []
    running = Running(name, "not known yet", pause=0.05, show=said.append)
    running.start()
    secrets = (running.side.ours, running.side.theirs)
    section = running.section
    async with on_stage(
        tmp_path, backends.load(name), section, secrets=secrets, public_url="https://bot.example.com"
    ) as stage:
        running.base_url = stage.url
        await stage.request(transcript=(Line(who="user", text="I want to talk to a person", at=1.0),))
        await stage.until(lambda: stage.heard() == [GREETING])
        assert (await stage.handoff()).status is Status.ACTIVE
        await stage.say("My bike is broken")
        await stage.until(lambda: stage.heard()[-1] == "You wrote: My bike is broken")
        await stage.say("bye")
        await stage.until(lambda: stage.heard()[-1] == "Goodbye.")
        await stage.until(lambda: "settle" in [delivery.kind for _, delivery in stage.to_user])
        assert (await stage.handoff()).end_reason is EndReason.AGENT_CLOSED
    running.stop()
    printed = "\n".join(said)
    assert "My bike is broken" in printed
    assert not any(secret in printed for secret in secrets)
    assert not re.search(r'"(access_)?token": "(?!\*\*\*)', printed)
