"""Who may sign in at the desk: what its settings must be like."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from rasa_handoff.desk.settings import DeskSettings
from rasa_handoff.errors import ConfigError
from rasa_handoff.settings import read_section

MODELS: dict[str, type[BaseModel]] = {"desk": DeskSettings}
ADAS, BOS = "adas-token-" * 3, "bos-token-" * 4


def read(*agents: dict[str, Any]) -> DeskSettings:
    found = read_section({"backends": {"desk": {"agents": list(agents)}}}, MODELS).backends["desk"]
    assert isinstance(found, DeskSettings)
    return found


def faults(*agents: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(*agents)
    return [fault.removeprefix("backends.desk.").partition(";")[0] for fault in caught.value.faults]


@pytest.mark.parametrize("token", ["", "1", "t" * 31])
def test_a_token_that_could_be_guessed_is_refused_as_the_servers_own_is(token: str) -> None:
    assert faults({"name": "Ada", "token": ADAS}, {"name": "Bo", "token": token}) == [
        "agents[1].token: is shorter than 32 characters and could be guessed"
    ]


def test_so_is_one_that_no_header_can_carry() -> None:
    assert faults({"name": "Bo", "token": "a token " * 5}) == [
        "agents[0].token: has characters that a header cannot carry"
    ]


def test_two_agents_do_not_share_a_token_for_nobody_could_tell_who_signs_in() -> None:
    assert faults({"name": "Ada", "token": ADAS}, {"name": "Bo", "token": BOS}, {"name": "Cy", "token": ADAS}) == [
        "agents[2].token: is that of agents[0], too"
    ]


def test_a_group_may_be_a_number() -> None:
    desk = read({"name": "Ada", "token": ADAS, "groups": [14343]}, {"name": "Bo", "token": BOS})
    assert [agent.groups for agent in desk.agents] == [["14343"], []]


def test_no_token_is_in_a_fault_or_a_repr() -> None:
    told = faults({"name": "Ada", "token": "s3cret"}, {"name": "Bo", "token": "s3cret"})
    kept = read({"name": "Ada", "token": "s3cret" + ADAS})
    assert "s3cret" not in str(told) + repr(kept)
