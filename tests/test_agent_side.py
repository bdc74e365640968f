"""The stand-ins of agent systems speak to the plugin as the real ones do, and print no secrets."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from rasa_handoff import backends
from rasa_handoff.model import EndReason, Line, Status
from rasa_handoff.testing import agent_sides, on_stage
from rasa_handoff.testing.agent_side import GREETING, Running

#: Those whose users come from the bot's own channels.
AGENTS_ALONE = [name for name in agent_sides.names() if agent_sides.load(name).page is None]


def test_there_is_one_for_each_agent_system() -> None:
    assert set(agent_sides.names()) == set(backends.names()) - {"desk"}  # which is there itself


@pytest.mark.parametrize("wire", [False, True])
@pytest.mark.parametrize("name", AGENTS_ALONE)
async def test_a_user_talks_to_the_stand_in(name: str, wire: bool, tmp_path: Path) -> None:
    said: list[str] = []
    running = Running(name, "not known yet", pause=0.05, show=said.append, wire=wire)
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
    told = [line.removeprefix(f"[{name}] ") for line in said if line.startswith(f"[{name}] ")]
    assert told == [
        "a user is handed over",
        "the agent takes the chat",
        f"the agent writes: {GREETING}",
        "the user writes: My bike is broken",
        "the agent writes: You wrote: My bike is broken",
        "the user writes: bye",
        "the agent writes: Goodbye.",
        "the agent ends the chat",
    ]
    printed = "\n".join(said)
    assert ("the bot asks" in printed) is wire
    assert not any(secret in printed for secret in secrets)
    assert not re.search(r'"(access_)?token": "(?!\*\*\*)', printed)


def test_what_is_refused_is_told_in_a_line_without_its_secret() -> None:
    said: list[str] = []
    running = Running("vonage", "http://127.0.0.1:9", show=said.append)
    running.start()
    start = running.section["start_connection"]["url"]
    body = json.dumps({"key": running.side.theirs}).encode()
    refused = urllib.request.Request(start, body, {"Authorization": f"Bearer {running.side.theirs}"})
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(refused, timeout=60)
    running.stop()
    assert said == ["[vonage] it says no to POST /start: 401 {}"]
