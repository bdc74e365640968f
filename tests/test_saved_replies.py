"""Texts that agents have at hand: in the settings, and as each agent gets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rasa_handoff.backends import settings_models
from rasa_handoff.errors import ConfigError
from rasa_handoff.settings import read_section
from tests.web_stage import open_web, token_of

HOURS = {"name": "hours", "text": "We are open."}


def faults(*saved: Any) -> list[str]:
    """What is said of a desk with these saved replies."""
    with pytest.raises(ConfigError) as caught:
        read_section({"backends": {"desk": {"saved_replies": list(saved)}}}, settings_models())
    return caught.value.faults


def replies_of(desk: dict[str, Any], folder: Path, **section: Any) -> Any:
    """A server whose desk has Bo, and these settings."""
    agents = [{"name": "Bo", "token": token_of("Bo")}]
    return open_web(f"sqlite:///{folder}/handoff.db", folder, backends={"desk": {"agents": agents, **desk}}, **section)


@pytest.mark.parametrize(
    ("saved", "fault"),
    [
        ({"name": " ", "text": "x"}, "[0].name: must have 1 to 50 characters"),
        ({"name": "n" * 51, "text": "x"}, "[0].name: must have 1 to 50 characters"),
        ({"name": "n", "text": " \n"}, "[0].text: must have 1 to 10000 characters"),
        ({"name": "n", "text": "x" * 10_001}, "[0].text: must have 1 to 10000 characters"),
        ({"name": "n"}, "[0].text: is missing"),
        ({"name": "n", "text": "x", "txt": "y"}, "[0].txt: there is no such setting; did you mean `text`?"),
    ],
)
def test_a_faulty_one_is_named(saved: dict[str, str], fault: str) -> None:
    (said,) = faults(saved)
    assert said.startswith(f"backends.desk.saved_replies{fault}"), said


def test_two_whose_names_differ_by_capitals_alone_are_a_fault() -> None:
    (said,) = faults(HOURS, {"name": "prices", "text": "Ask us."}, {"name": " Hours", "text": "We are closed."})
    assert said.startswith("backends.desk.saved_replies[2].name: is that of saved_replies[0], too")


async def test_agents_get_them_in_the_order_of_the_settings(tmp_path: Path) -> None:
    longest = {"name": "Ö" * 50, "text": "x" * 10_000}
    async with replies_of({"saved_replies": [longest, HOURS]}, tmp_path) as web:
        bo = await web.agent("Bo")
        answer = await bo.get("/desk/api/saved-replies")
        assert (answer.status, answer.json) == (200, {"saved_replies": [longest, HOURS]})


async def test_without_any_the_list_is_empty(tmp_path: Path) -> None:
    async with replies_of({}, tmp_path) as web:
        bo = await web.agent("Bo")
        assert (await bo.get("/desk/api/saved-replies")).json == {"saved_replies": []}


async def test_nobody_else_gets_them(tmp_path: Path) -> None:
    async with replies_of({"saved_replies": [HOURS]}, tmp_path) as web:
        answer = await (await web.stranger()).get("/desk/api/saved-replies")
        assert (answer.status, answer.body) == (401, b"")


@pytest.mark.parametrize(("agents", "name"), [({}, "Bo"), ({"show": "one", "name": "The workshop"}, "The workshop")])
async def test_the_agents_name_is_the_one_that_users_read(tmp_path: Path, agents: dict[str, str], name: str) -> None:
    """Other braces are the text's own."""
    hello = {"name": "hello", "text": "I am {agent_name}. {agent_name}? {agent} {} {{agent_name}}"}
    async with replies_of({"saved_replies": [hello]}, tmp_path, agents=agents) as web:
        bo = await web.agent("Bo")
        (reply,) = (await bo.get("/desk/api/saved-replies")).json["saved_replies"]
        assert reply["text"] == f"I am {name}. {name}? {{agent}} {{}} {{{name}}}"
