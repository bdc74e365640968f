"""The command line against a small server standing on the wire."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from wire import Server, running

from rasa_handoff import cli, demo
from rasa_handoff.demo.lines import Filter

TOKEN = "t" * 40
HANDOFF = {
    "id": "0b6d",
    "sender_id": "web-1f3a\x1b[31m",
    "channel": "handoff",
    "backend": "desk",
    "status": "active",
    "agent": {"name": "Bo"},
    "opened_at": time.time() - 700,
}
DEAD = {
    "id": "d1",
    "handoff_id": "0b6d",
    "target": "agent",
    "kind": "message",
    "state": "dead",
    "attempts": 9,
    "next_at": 0,
    "error": "HTTP 403",
    "created_at": time.time() - 90_000 * 2,
}
PENDING = {**DEAD, "id": "p1", "state": "pending", "error": None, "next_at": time.time() + 30}


@pytest.fixture
def server() -> Iterator[Server]:
    with running(Server(TOKEN)) as server:
        yield server


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server's private file is near, and none is in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("HANDOFF_URL", "HANDOFF_TOKEN", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def known(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, named by the environment."""
    monkeypatch.setenv("HANDOFF_URL", server.url)
    monkeypatch.setenv("HANDOFF_TOKEN", TOKEN)
    return server


def test_it_tells_its_version(capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"rasa-handoff {version('rasa-handoff')}\n"


def test_handoffs_shows_who_is_with_whom_and_for_how_long(known: Server, capsys: Any) -> None:
    known.answers["GET /handoffs"] = 200, {"handoffs": [{**HANDOFF, "opened_at": time.time() - 690}]}
    assert cli.main(["handoffs"]) == cli.FINE
    heads, row = capsys.readouterr().out.splitlines()
    assert heads.split() == ["AGE", "STATUS", "USER", "CHANNEL", "BACKEND", "AGENT", "ID"]
    assert row.split() == ["11m", "active", "web-1f3a?[31m", "handoff", "desk", "Bo", "0b6d"]


def test_no_handoffs_is_said_in_words(known: Server, capsys: Any) -> None:
    known.answers["GET /handoffs"] = 200, {"handoffs": []}
    assert cli.main(["handoffs"]) == cli.FINE
    assert "none waits" in capsys.readouterr().out


def test_json_is_what_the_server_said(known: Server, capsys: Any) -> None:
    known.answers["GET /handoffs"] = 200, {"handoffs": [HANDOFF]}
    assert cli.main(["handoffs", "--json"]) == cli.FINE
    assert json.loads(capsys.readouterr().out) == {"handoffs": [HANDOFF]}


def test_who_has_been_handed_over_for_good_is_not_said_to_wait(known: Server, capsys: Any) -> None:
    handoff = {**HANDOFF, "backend": "liveperson_agent", "status": "closed", "end_reason": "handed_over"}
    known.answers["POST /handoffs/take"] = 200, {"handoff": handoff}
    assert cli.main(["take", "lp-1"]) == cli.FINE
    said = "The bot has left; the user is with the agents of liveperson_agent for good.\n"
    assert capsys.readouterr().out == said


def test_outbox_list_shows_dead_and_waiting_ones(known: Server, capsys: Any) -> None:
    known.answers["GET /outbox"] = 200, {"deliveries": [DEAD, PENDING]}
    assert cli.main(["outbox", "list"]) == cli.FINE
    _, dead, waiting = capsys.readouterr().out.splitlines()
    assert dead.split() == ["2d", "dead", "agent", "message", "9", "-", "d1", "HTTP", "403"]
    assert "in " in waiting
    assert waiting.endswith("p1  -")


def test_outbox_retry_sends_the_named_one_again(known: Server, capsys: Any) -> None:
    known.answers["POST /outbox/d1/retry"] = 200, {"delivery": PENDING}
    assert cli.main(["outbox", "retry", "d1"]) == cli.FINE
    assert known.asked == ["POST /webhooks/handoff/outbox/d1/retry"]
    assert capsys.readouterr().out == "1 delivery on the way again.\n"


def test_outbox_retry_all_takes_only_the_dead_ones(known: Server, capsys: Any) -> None:
    known.answers["GET /outbox"] = 200, {"deliveries": [DEAD, PENDING]}
    known.answers["POST /outbox/d1/retry"] = 200, {"delivery": PENDING}
    assert cli.main(["outbox", "retry", "--all", "--json"]) == cli.FINE
    assert json.loads(capsys.readouterr().out) == {"retried": [PENDING], "refused": {}}


def test_one_refused_retry_does_not_stop_the_others(known: Server, capsys: Any) -> None:
    known.answers["POST /outbox/p1/retry"] = 409, {"error": {"code": "pending", "message": "is not dead"}}
    known.answers["POST /outbox/d1/retry"] = 200, {"delivery": PENDING}
    assert cli.main(["outbox", "retry", "p1", "d1"]) == cli.FAILED
    said = capsys.readouterr()
    assert said.out == "1 delivery on the way again.\n"
    assert "could not retry delivery p1: is not dead" in said.err


def test_an_id_cannot_lead_to_another_route(known: Server) -> None:
    assert cli.main(["outbox", "retry", "../handoffs/close?"]) == cli.FAILED
    assert known.asked == ["POST /webhooks/handoff/outbox/..%2Fhandoffs%2Fclose%3F/retry"]


@pytest.mark.parametrize(
    "wrong",
    [[], ["outbox"], ["outbox", "retry"], ["outbox", "retry", "d1", "--all"], ["demo", "--port", "0"], ["x"]],
)
def test_wrong_usage_ends_with_two(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(wrong)
    assert end.value.code == cli.WRONG_USAGE


def test_a_wrong_token_ends_with_four_and_stays_secret(server: Server, capsys: Any) -> None:
    wrong = ["--url", server.url, "--token", "w" * 40]
    assert cli.main(["handoffs", *wrong]) == cli.NOT_AUTHORISED
    said = capsys.readouterr().err
    assert "could not" in said or "did not let us list the handoffs: HTTP 401" in said
    assert "w" * 40 not in said


def test_a_server_that_is_not_there_ends_with_three(capsys: Any) -> None:
    nobody = ["--url", "http://127.0.0.1:9", "--token", TOKEN]
    assert cli.main(["handoffs", *nobody]) == cli.UNREACHABLE
    assert "http://127.0.0.1:9 does not answer" in capsys.readouterr().err


def test_no_known_server_says_where_it_looked(tmp_path: Path, capsys: Any) -> None:
    assert cli.main(["outbox", "list"]) == cli.UNREACHABLE
    assert str(tmp_path) in capsys.readouterr().err


def test_failures_are_json_too(capsys: Any) -> None:
    assert cli.main(["outbox", "list", "--json"]) == cli.UNREACHABLE
    assert "no Rasa server" in json.loads(capsys.readouterr().out)["error"]


def test_another_program_at_the_address_is_recognised(known: Server, capsys: Any) -> None:
    known.answers["GET /handoffs"] = 200, b"<html>Hello</html>"
    assert cli.main(["handoffs"]) == cli.FAILED
    assert "Is this a Rasa server with" in capsys.readouterr().err


def test_a_redirect_does_not_get_the_token(known: Server) -> None:
    known.answers["GET /handoffs"] = 302, {}
    assert cli.main(["handoffs"]) == cli.FAILED
    assert known.asked == ["GET /webhooks/handoff/handoffs"]


# check-settings


def credentials(text: str) -> list[str]:
    Path("credentials.yml").write_text(text)
    return ["check-settings", "--json"]


def test_an_empty_section_is_fine(capsys: Any) -> None:
    assert cli.main(credentials("rest:\nrasa_handoff.HandoffInput:\n")) == cli.FINE
    said = json.loads(capsys.readouterr().out)
    assert said["faults"] == []
    assert said["settings"]["backends"] == ["desk"]


def test_settings_are_summed_up_without_secrets(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("BOT_TOKEN", TOKEN)
    section = "rasa_handoff.HandoffInput:\n  token: ${BOT_TOKEN}\n  chat_page: true\n"
    assert cli.main(credentials(section)[:1]) == cli.FINE
    said = capsys.readouterr().out
    assert "credentials.yml is fine" in said
    assert "chat_page: on" in said
    assert TOKEN not in said


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.delenv("SLACK", raising=False)
    monkeypatch.delenv("BOT_TOKEN", raising=False)
    text = "slack:\n  slack_token: ${SLACK}\nrasa_handoff.HandoffInput:\n  token: ${BOT_TOKEN}\n  colour: red\n"
    assert cli.main(credentials(text)) == cli.FAILED
    faults = "\n".join(json.loads(capsys.readouterr().out)["faults"])
    assert "${BOT_TOKEN} was not filled in" in faults
    assert "environment variable SLACK is not set" in faults
    assert "colour" in faults


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rest:\n", "add the line `rasa_handoff.HandoffInput:`"),
        ("- rest\n", "must be a mapping"),
        ("rest: [secret\n", "credentials.yml:2: is not YAML"),
        ("rest:\nrest: secret\n", "credentials.yml:2: is not YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_explained(text: str, words: str, capsys: Any) -> None:
    assert cli.main(credentials(text)[:1]) == cli.FAILED
    said = capsys.readouterr().err
    assert words in said
    assert "secret" not in said


def test_the_faults_name_the_file_they_are_in(capsys: Any) -> None:
    Path("other.yml").write_text("rasa_handoff.HandoffInput:\n  colour: red\n")
    assert cli.main(["check-settings", "--credentials", "other.yml"]) == cli.FAILED
    assert "(other.yml)" in capsys.readouterr().err


def test_a_variable_in_quotes_is_a_fault_in_every_channel(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("SLACK", "xoxb-1")
    text = 'slack:\n  slack_token: "${SLACK}"\nrasa_handoff.HandoffInput:\n'
    assert cli.main(credentials(text)) == cli.FAILED
    assert json.loads(capsys.readouterr().out)["faults"] == [
        "slack: ${SLACK} is in quotes, where Rasa leaves it as it is; write it without"
    ]


def test_the_bot_as_an_agent_needs_both_of_its_entries(capsys: Any) -> None:
    text = "rasa_handoff.HandoffInput:\n  colour: red\n  backends: {liveperson_agent: {}}\n"
    assert cli.main(credentials(text)) == cli.FAILED
    assert "rasa_handoff.LivePersonAgentInput: is missing" in str(json.loads(capsys.readouterr().out)["faults"])
    assert cli.main(credentials(text + "rasa_handoff.LivePersonAgentInput:\n")) == cli.FAILED
    faults = "\n".join(json.loads(capsys.readouterr().out)["faults"])
    assert "colour" in faults
    assert "rasa_handoff.LivePersonAgentInput: account: is missing" in faults


def test_deadlines_are_summed_up_to_the_second(capsys: Any) -> None:
    section = "rasa_handoff.HandoffInput:\n  deadlines: {accept: 90s, user_idle: 2d}\n"
    assert cli.main(credentials(section)) == cli.FINE
    deadlines = json.loads(capsys.readouterr().out)["settings"]["deadlines"]
    assert deadlines == ["accept 1m 30s", "agent_reply 6h 56m 40s", "user_idle 2d"]


def test_a_missing_file_is_explained(capsys: Any) -> None:
    assert cli.main(["check-settings"]) == cli.FAILED
    assert "No such file or directory; name it with --credentials" in capsys.readouterr().err


def test_variables_are_filled_in_as_rasa_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they stand without quotes, and nowhere else."""
    from rasa.shared.utils.io import read_config_file

    from rasa_handoff.credentials import _load

    monkeypatch.setenv("NAME", "value: with # signs")
    places = "plain: x${NAME}y, quoted: '${NAME}', flow: {x: \"${NAME}\"}, dollar: $NAME, word: yes"
    Path("credentials.yml").write_text("a:\n  " + places.replace(", ", "\n  "))
    assert _load(Path("credentials.yml")) == read_config_file("credentials.yml")


# The demo, as far as it goes without its servers


def test_the_demo_says_when_there_is_no_bot(tmp_path: Path, capsys: Any) -> None:
    assert demo.run(demo.Options(folder=tmp_path)) == cli.FAILED
    assert "clone the project" in capsys.readouterr().err


def test_the_demo_says_when_a_port_is_taken(server: Server, capsys: Any) -> None:
    checkout = Path(demo.__file__).parents[2]
    port = server.http.server_port
    assert demo.run(demo.Options(folder=checkout, port=port)) == cli.FAILED
    assert f"port {port} cannot be used" in capsys.readouterr().err


def test_the_demo_shows_warnings_and_what_belongs_to_them() -> None:
    said = """\
some/library.py:1: DeprecationWarning: old
2026-11-20 06:33:00 INFO     rasa.core  - fine
[2026-11-20 06:33:00 +0000] [123] [INFO] Starting worker [123]
2026-11-20 06:33:01 \x1b[33mWARNING\x1b[0m  rasa.core  - look
  at this
2026-11-20 06:33:02 DEBUG    rasa.core  - nothing
[2026-11-20 06:33:03 +0000] [123] [ERROR] worse
Traceback (most recent call last):
ValueError: it
2026-11-20 06:33:04 INFO     rasa.core  - fine
2026-11-20 06:33:05 WARNING  rasa_sdk.forms  - Skipping validation for `name`: there is no validation method specified.
2026-11-20 06:33:05 [warning  ] structured"""
    filtered = Filter()
    shown = [line.split()[-1] for line in said.splitlines() if filtered.show(line)]
    assert shown == ["look", "this", "worse", "last):", "it", "structured"]
