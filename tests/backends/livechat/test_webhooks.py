"""The command line registers LiveChat's webhooks, once, and takes them back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rasa_handoff import cli
from rasa_handoff.backends.livechat.webhooks import ACTIONS
from rasa_handoff.model import Json
from rasa_handoff.testing import Wire
from tests.backends.livechat.test_livechat import SECRETS, section
from tests.backends.livechat.vendor import CLIENT, PAT, WEBHOOK_SECRET, No, Vendor

ROOT = Path(__file__).parents[3]
URL = "https://bot.example.com/webhooks/handoff/livechat/webhook"


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def wire(vendor: Vendor) -> Iterator[Wire]:
    with Wire() as wire:
        vendor.on(wire)
        yield wire


class Run:
    """The command in a folder with a credentials.yml."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], settings: Json) -> None:
        self._file = folder / "credentials.yml"
        self._file.write_text(yaml.safe_dump({"rasa_handoff.HandoffInput": settings}))
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str]:
        """The exit code, and all that was printed."""
        code = cli.main(["livechat", *words, "--credentials", str(self._file)])
        printed = self._capsys.readouterr()
        said = printed.out + printed.err
        assert not any(secret in said for secret in SECRETS)
        return code, said

    def rows(self, *words: str) -> list[Json]:
        code, said = self(*words, "--json")
        assert code == cli.FINE, said
        rows: list[Json] = json.loads(said)["rows"]
        return rows


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], wire: Wire) -> Run:
    return Run(tmp_path, capsys, whole(wire))


def whole(wire: Wire, **more: Any) -> Json:
    backend = {name: value for name, value in section(wire.url, **more).items() if value is not None}
    return {"public_url": "https://bot.example.com", "backends": {"livechat": backend}}


def test_all_are_registered(run: Run, vendor: Vendor) -> None:
    rows = run.rows("register")
    assert [(row["action"], row["state"]) for row in rows] == [(action, "registered") for action in ACTIONS]
    assert vendor.switched_on
    registered = {each["action"]: each for each in vendor.webhooks.values()}
    assert registered.keys() == ACTIONS.keys()
    assert registered["incoming_event"]["filters"] == {"author_type": "agent", "only_my_chats": True}
    for each in registered.values():
        assert (each["url"], each["secret_key"], each["type"]) == (URL, WEBHOOK_SECRET, "license")
        assert each["owner_client_id"] == CLIENT


def test_as_people_run_it(tmp_path: Path, vendor: Vendor, wire: Wire) -> None:
    """In the bot's folder, with the secrets in the environment; nothing is printed but what was done."""
    secret = "${LIVECHAT_PAT}"
    settings = {"rasa_handoff.HandoffInput": whole(wire, personal_access_token=secret), "rest": None}
    (tmp_path / "credentials.yml").write_text(yaml.safe_dump(settings))

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rasa_handoff", "livechat", *words]
        known = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        return subprocess.run(command, cwd=tmp_path, env=known, capture_output=True, text=True, timeout=60, check=False)

    for word, count in (("register", 9), ("list", 9), ("unregister", 0), ("list", 0)):
        ended = run(word, LIVECHAT_PAT=PAT)
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
        assert len(vendor.webhooks) == count
        assert all(action in ended.stdout for action in ACTIONS) or word == "list"
        assert not any(secret in ended.stdout for secret in SECRETS)
    wrong = run("register", LIVECHAT_PAT="dal:of-somebody-else")
    assert wrong.returncode == 1
    assert "see account_id and personal_access_token" in wrong.stderr


def test_what_is_registered_stays(run: Run, vendor: Vendor) -> None:
    first = run.rows("register")
    again = run.rows("register")
    assert [row["id"] for row in again] == [row["id"] for row in first]
    assert {row["state"] for row in again} == {"was there"}
    assert len(vendor.webhooks) == len(ACTIONS)


def test_another_secret_is_registered_anew(run: Run, vendor: Vendor) -> None:
    run.rows("register")
    for each in vendor.webhooks.values():
        each["secret_key"] = "the-one-before-0123456789"
    assert {row["state"] for row in run.rows("register")} == {"registered again"}
    assert len(vendor.webhooks) == len(ACTIONS)
    assert {each["secret_key"] for each in vendor.webhooks.values()} == {WEBHOOK_SECRET}


def test_a_secret_that_they_do_not_show_is_taken_for_the_right_one(run: Run, vendor: Vendor) -> None:
    run.rows("register")
    for each in vendor.webhooks.values():
        del each["secret_key"]
    assert {row["state"] for row in run.rows("register")} == {"was there"}


def test_another_region_is_asked(run: Run, vendor: Vendor) -> None:
    vendor.region = "fra"
    run.rows("register")
    assert len(vendor.webhooks) == len(ACTIONS)
    assert {row["state"] for row in run.rows("unregister")} == {"taken back"}


def test_those_of_others_are_left_alone(run: Run, vendor: Vendor) -> None:
    vendor.webhooks["other"] = {"id": "other", "url": "https://else.example.com", "action": "incoming_event"}
    run.rows("register")
    assert len(run.rows("list")) == len(ACTIONS)
    assert {row["state"] for row in run.rows("unregister")} == {"taken back"}
    assert list(vendor.webhooks) == ["other"]
    assert run.rows("list") == []


def test_for_people(run: Run) -> None:
    assert run("list") == (cli.FINE, "There is nothing.\n")
    code, said = run("register")
    assert code == cli.FINE
    assert said.splitlines()[0].split() == ["ACTION", "ID", "STATE"]
    assert len(said.splitlines()) == len(ACTIONS) + 1


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], wire: Wire) -> None:
    without = whole(wire, account_id=None, personal_access_token=None, webhook_secret=None)
    del without["public_url"]
    code, said = Run(tmp_path, capsys, without)("register")
    assert code == cli.FAILED
    for name in ("public_url", "backends.livechat.account_id", "backends.livechat.webhook_secret"):
        assert f"{name}: is missing" in said


def test_a_bot_without_livechat(tmp_path: Path, capsys: pytest.CaptureFixture[str], wire: Wire) -> None:
    code, said = Run(tmp_path, capsys, {})("list")
    assert (code, "backends.livechat: is missing" in said) == (cli.FAILED, True)


def test_a_token_that_they_do_not_take(tmp_path: Path, capsys: pytest.CaptureFixture[str], wire: Wire) -> None:
    code, said = Run(tmp_path, capsys, whole(wire, personal_access_token="dal:of-somebody-else"))("list", "--json")
    assert code == cli.FAILED
    error = json.loads(said)["error"]
    assert "could not list the webhooks: HTTP 401 authentication; see account_id and personal_access_token" in error


def test_their_trouble_is_told(run: Run, wire: Wire) -> None:
    wire.fail(503, path="*/list_webhooks")
    code, said = run("list")
    assert (code, "HTTP 503" in said) == (cli.FAILED, True)


def test_what_they_do_not_offer_is_no_reason_to_stop(run: Run, vendor: Vendor) -> None:
    vendor.not_offered = {"event_deleted"}
    states = {row["action"]: row["state"] for row in run.rows("register")}
    assert states.pop("event_deleted") == "not offered"
    assert set(states.values()) == {"registered"}
    assert vendor.switched_on


def test_without_agents_messages_there_is_no_use_in_the_rest(run: Run, vendor: Vendor) -> None:
    vendor.not_offered = {"incoming_event"}
    code, said = run("register")
    assert (code, "could not register a webhook: HTTP 400 validation" in said) == (cli.FAILED, True)


def test_their_limit_is_told(run: Run, vendor: Vendor) -> None:
    for number in range(3):
        vendor.webhooks[f"other{number}"] = {"id": "x", "url": "https://x.test", "action": "incoming_chat"}
    code, said = run("register")
    assert (code, "limit_reached" in said) == (cli.FAILED, True)
    assert No("limit_reached").status == 400
