"""The test kit for authors of backends: its wire has troubles on demand, and its contract finds what is wrong."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from rasa_handoff import testing
from rasa_handoff.testing import Payloads, Wire
from tests.servers import until

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "adding-a-backend.md").read_text("utf-8")
EXAMPLE = dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE, re.DOTALL))


# -- the wire ---------------------------------------------------------------------------------


def test_it_takes_everything_and_writes_it_down(wire: Wire) -> None:
    answer = requests.put(f"{wire.url}/a/b?c=d&e=", json={"f": "ü"}, headers={"X-G": "h"}, timeout=20)
    assert (answer.status_code, answer.json()) == (200, {})
    (asked,) = wire.asked
    assert (asked.method, asked.path, asked.query) == ("PUT", "/a/b", {"c": "d", "e": ""})
    assert (asked.headers["x-g"], asked.json, asked.taken) == ("h", {"f": "ü"}, True)


def test_it_answers_as_told_and_the_last_rule_counts(wire: Wire) -> None:
    wire.when("POST", "/chats/*", 201, {"a": 1})
    wire.respond("POST", "/chats/7", lambda asked: (202, {"said": asked.json}))
    assert requests.post(f"{wire.url}/chats/6", timeout=20).json() == {"a": 1}
    assert requests.post(f"{wire.url}/chats/7", json=5, timeout=20).json() == {"said": 5}
    assert requests.get(f"{wire.url}/chats/7", timeout=20).json() == {}


def test_what_it_refuses_is_not_taken(wire: Wire) -> None:
    wire.fail(503, path="/a", Retry_After="2")
    assert requests.get(f"{wire.url}/b", timeout=20).status_code == 200
    answer = requests.get(f"{wire.url}/a", timeout=20)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert requests.get(f"{wire.url}/a", timeout=20).status_code == 200
    assert [asked.path for asked in wire.asked] == ["/b", "/a", "/a"]
    assert [asked.path for asked in wire.taken()] == ["/b", "/a"]


def test_what_it_answers_late_or_never_is_taken(wire: Wire) -> None:
    wire.stall(0.3)
    begin = time.monotonic()
    assert requests.get(f"{wire.url}/late", timeout=20).status_code == 200
    assert time.monotonic() - begin >= 0.29  # with what a clock leaves out
    wire.hang_up()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{wire.url}/never", timeout=20)
    assert [asked.path for asked in wire.taken()] == ["/late", "/never"]


def test_what_it_holds_is_answered_at_the_end_of_the_block(wire: Wire) -> None:
    with ThreadPoolExecutor() as pool:
        with wire.held("/held"):
            asking = pool.submit(requests.get, f"{wire.url}/held", timeout=20)
            assert requests.get(f"{wire.url}/other", timeout=20).status_code == 200
            until(lambda: len(wire.taken()) == 2)
            assert not asking.done()
        assert asking.result().status_code == 200


def test_it_goes_down_and_comes_up_where_it_was(wire: Wire) -> None:
    url = wire.url
    with requests.Session() as session:  # keeps its connection
        session.get(url, timeout=20)
        wire.down()
        with pytest.raises(requests.ConnectionError):
            session.get(url, timeout=20)
        wire.up()
        assert (wire.url, session.get(url, timeout=20).status_code) == (url, 200)


def test_while_it_is_down_nobody_else_gets_its_place(wire: Wire) -> None:
    where = ("127.0.0.1", int(wire.url.rpartition(":")[2]))
    wire.down()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(where)
    wire.close()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # over what is left of old connections
        other.bind(where)


def test_payloads_are_read_from_beside_the_test(tmp_path: Path) -> None:
    (tmp_path / "payloads").mkdir()
    (tmp_path / "payloads" / "message.json").write_bytes(b'{"a": 1}\n')
    payloads = Payloads(str(tmp_path / "test_it.py"))
    assert (payloads["message"], payloads.raw("message")) == ({"a": 1}, b'{"a": 1}\n')


def test_the_public_names_are_exactly_these() -> None:
    assert sorted(testing.__all__) == testing.__all__
    for name in testing.__all__:
        assert getattr(testing, name) is not None


# -- the contract, with the example of docs/adding-a-backend.md -------------------------------


def run(folder: Path, tests: list[str]) -> str:
    """What pytest says about *tests* in *folder*, run as an author of a backend would."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *tests]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False).stdout


def test_the_example_of_the_page_keeps_the_contract(tmp_path: Path) -> None:
    for name, content in EXAMPLE.items():
        (tmp_path / name).write_text(content, "utf-8")
    said = run(tmp_path, ["test_acme.py"])
    assert "failed" not in said, said[-4000:]
    assert int(re.findall(r"(\d+) passed", said)[0]) >= 40


def test_the_example_is_short() -> None:
    assert sum(len(content.splitlines()) for content in EXAMPLE.values()) < 200


# What an author could get wrong, and the test that says so.
WRONG = [
    ("signing.require_token(", "str(", "test_nothing_unproven_has_an_effect"),
    ('"id": message.id', '"id": __import__("uuid").uuid4().hex', "test_what_is_tried_again_has_the_same_id"),
    ('event_id=read.text(payload, "id", max_length=200),', "", "test_a_repeat_reaches_the_user_once"),
    ('"text": message.text', '"text": message.text.strip()[:100]', "test_what_the_user_says_arrives"),
    ("if reader is not None:", "if not payload:", "test_an_agent_closes_and_the_bot_is_back"),
    ("token: str = Field(repr=False)  #: we", "token: str  #: we", "test_its_secrets_do_not_show"),
    ('await self._post("end a chat"', 'print("end a chat"', "test_the_user_leaves"),
    ("Opened(chat_id=handoff.id)", 'Opened(chat_id="1")', "test_two_users_have_two_chats"),
]


def test_the_contract_finds_what_is_wrong(tmp_path: Path) -> None:
    for number, (was, becomes, _) in enumerate(WRONG):
        assert EXAMPLE["acme.py"].count(was) == 1, was
        (tmp_path / f"acme_{number}.py").write_text(EXAMPLE["acme.py"].replace(was, becomes), "utf-8")
        test = EXAMPLE["test_acme.py"].replace("from acme import", f"from acme_{number} import")
        (tmp_path / f"test_acme_{number}.py").write_text(test, "utf-8")
    said = run(tmp_path, ["-k", " or ".join(f"(test_acme_{n}.py and {test})" for n, (*_, test) in enumerate(WRONG))])
    for number, (*_, test) in enumerate(WRONG):
        assert f"FAILED test_acme_{number}.py::TestAcme::{test}" in said, said[-4000:]
