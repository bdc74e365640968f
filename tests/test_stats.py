"""`rasa-handoff stats` against a small server standing on the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wire import Server, running

from rasa_handoff import cli

TOKEN = "t" * 40
NOTHING = {
    "handoffs": 0,
    "waiting": 0,
    "taken": 0,
    "abandoned": 0,
    "refused": 0,
    "handed_over": 0,
    "again": 0,
    "wait": None,
    "first_reply": None,
    "duration": None,
    "reasons": {},
    "ratings": {"count": 0, "average": None, "resolved": None},
    "taken_share": None,
    "abandoned_share": None,
}
SOME = {
    **NOTHING,
    "handoffs": 40,
    "taken": 30,
    "abandoned": 6,
    "refused": 4,
    "again": 3,
    "wait": {"median": 38.4, "p90": 250.0},
    "first_reply": {"median": 62.0, "p90": 300.0},
    "duration": {"median": 390.0, "p90": 1200.0},
    "reasons": {"agent_closed": 28, "user_left": 8, "unavailable": 4},
    "ratings": {"count": 12, "average": 4.25, "resolved": 0.75},
}
WEEK = 7 * 86_400.0


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, named by the environment."""
    monkeypatch.chdir(tmp_path)
    with running(Server(TOKEN)) as server:
        monkeypatch.setenv("HANDOFF_URL", server.url)
        monkeypatch.setenv("HANDOFF_TOKEN", TOKEN)
        monkeypatch.setenv("TZ", "Europe/Berlin")
        yield server


def answers(server: Server, query: str, total: Any, rows: Any = (), **more: Any) -> None:
    """Lay down what the server says to this query."""
    found = {"since": 0.0, "until": WEEK, "by": None, "kept_for": 30 * 86_400.0, "total": total, "rows": list(rows)}
    server.answers[f"GET /stats?{query}"] = 200, {**found, **more}


def said(capsys: Any) -> list[str]:
    """The lines of the output, each word of them one space from the next."""
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_it_asks_for_the_last_week_in_the_time_zone_of_here(server: Server, capsys: Any) -> None:
    answers(server, "since=7d&by=&zone=Europe%2FBerlin", SOME)
    assert cli.main(["stats"]) == cli.FINE
    assert said(capsys)[2:] == [
        "handoffs 40",
        "taken 30 75%",
        "abandoned 6 15%",
        "refused 4 10%",
        "came again 3 8% (in less than a day)",
        "wait 38s in the middle, 4m 10s or less for nine in ten",
        "first reply 1m 2s in the middle, 5m or less for nine in ten",
        "duration 6m 30s in the middle, 20m or less for nine in ten",
        "ratings 4.2 of 5 from 12 users, 75% resolved",
        "ended agent_closed 28, user_left 8, unavailable 4",
    ]


def test_rows_have_a_total_below_them(server: Server, capsys: Any) -> None:
    rows = [{"name": "desk", **SOME}, {"name": "", **NOTHING}]
    answers(server, "since=30d&by=group&zone=UTC", SOME, rows, by="group")
    assert cli.main(["stats", "--since", "30d", "--by", "group", "--zone", "UTC"]) == cli.FINE
    head, desk, nameless, total = said(capsys)[2:]
    assert head == "GROUP HANDOFFS TAKEN ABANDONED REFUSED WAIT P90 REPLY P90 DURATION RATING"
    assert desk == "desk 40 30 75% 6 15% 4 10% 38s 4m 10s 1m 2s 5m 6m 30s 4.2"
    assert nameless == "- 0 0 0 0 - - - - - -"
    assert total == desk.replace("desk", "all")


def test_where_nobody_asked_it_says_so(server: Server, capsys: Any) -> None:
    answers(server, "since=7d&by=&zone=Europe%2FBerlin", NOTHING)
    assert cli.main(["stats"]) == cli.FINE
    assert said(capsys)[-1] == "Nobody asked for an agent."


def test_it_says_what_cannot_be_counted_any_more(server: Server, capsys: Any) -> None:
    answers(server, "since=90d&by=&zone=Europe%2FBerlin", SOME, until=90 * 86_400.0)
    assert cli.main(["stats", "--since", "90d"]) == cli.FINE
    assert said(capsys)[1] == "(what ended more than 30d ago is deleted: `retention`)"


def test_a_name_cannot_steer_the_terminal(server: Server, capsys: Any) -> None:
    answers(server, "since=7d&by=group&zone=UTC", SOME, [{"name": "a\x1b[31m", **SOME}], by="group")
    assert cli.main(["stats", "--by", "group", "--zone", "UTC"]) == cli.FINE
    assert "\x1b" not in capsys.readouterr().out


def test_json_is_what_the_server_said(server: Server, capsys: Any) -> None:
    answers(server, "since=7d&by=&zone=Europe%2FBerlin", SOME)
    assert cli.main(["stats", "--json"]) == cli.FINE
    assert json.loads(capsys.readouterr().out)["total"] == SOME


def test_what_the_server_does_not_understand_is_said(server: Server, capsys: Any) -> None:
    refusal = {"error": {"code": "malformed", "message": "since is not a duration; write e.g. 90s, 5m, 2h, 1d"}}
    server.answers["GET /stats?since=monday&by=&zone=Europe%2FBerlin"] = 400, refusal
    assert cli.main(["stats", "--since", "monday"]) == cli.FAILED
    assert "since is not a duration" in capsys.readouterr().err
