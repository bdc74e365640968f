"""`rasa-handoff users`, against a small server standing on the wire."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rasa.core.tracker_store import SQLTrackerStore
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import UserUttered
from rasa.shared.core.trackers import DialogueStateTracker
from wire import Server, running

from rasa_handoff import cli

TOKEN = "t" * 40
NAME = "whatsapp:+49 170\x1b[31m"  #: names are not ours to trust
EXPORT = {
    "sender_id": NAME,
    "exported_at": 1.0,
    "handoffs": [
        {
            "id": "h1",
            "request": {"transcript": []},
            "messages": [{"text": "hi"}, {"text": "höre"}],
            "deliveries": [{}],
            "files": [],
        }
    ],
    "desk_chats": [],
    "stream": [],
    "kept": [{}],
    "seen": [],
}
ROWS = {
    **{"handoffs": 1, "requests": 1, "messages": 2, "deliveries": 1, "files": 0, "desk_chats": 0, "desk_messages": 0},
    **{"stream": 0, "kept": 1, "seen": 0},
}
IN_WORDS = "1 handoff, 1 request with its transcript, 2 messages, 1 delivery, 1 address or name elsewhere"
ERASED = {
    "rows": ROWS,
    "undelivered": 0,
    "elsewhere": [{"backend": "livechat", "chat_id": "PR0"}],
    "overwritten": True,
    "database": "sqlite",
}
OPEN = {"error": {"code": "open", "message": "the user is with an agent, or waits for one; end that first"}}


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, named by the environment."""
    monkeypatch.chdir(tmp_path)
    with running(Server(TOKEN)) as server:
        monkeypatch.setenv("HANDOFF_URL", server.url)
        monkeypatch.setenv("HANDOFF_TOKEN", TOKEN)
        server.answers["POST /users/export"] = 200, {"user": EXPORT}
        server.answers["POST /users/erase"] = 200, ERASED
        yield server


def answer(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setattr("builtins.input", lambda question: words)


class TestExport:
    def test_prints_what_the_server_has(self, server: Server, capsys: Any) -> None:
        assert cli.main(["users", "export", NAME]) == cli.FINE
        assert json.loads(capsys.readouterr().out) == EXPORT
        assert server.asked == ["POST /webhooks/handoff/users/export"]
        assert json.loads(server.bodies[0]) == {"sender_id": NAME}

    def test_goes_into_a_file_that_nobody_else_can_read(self, tmp_path: Path, capsys: Any) -> None:
        assert cli.main(["users", "export", NAME, "--out", "ann.json"]) == cli.FINE
        file = tmp_path / "ann.json"
        assert json.loads(file.read_text("utf-8")) == EXPORT
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert capsys.readouterr().out == f"ann.json has what is kept of whatsapp:+49 170?[31m: {IN_WORDS}.\n"

    def test_does_not_replace_a_file(self, tmp_path: Path, capsys: Any) -> None:
        (tmp_path / "ann.json").write_text("mine")
        assert cli.main(["users", "export", NAME, "--out", "ann.json"]) == cli.FAILED
        assert "ann.json: is there already" in capsys.readouterr().err
        assert (tmp_path / "ann.json").read_text() == "mine"

    def test_says_where_it_cannot_write(self, capsys: Any) -> None:
        assert cli.main(["users", "export", NAME, "--out", "no/where.json", "--json"]) == cli.FAILED
        assert "no/where.json: cannot be written" in capsys.readouterr().out


class TestFiles:
    """What the server calls its files leads nowhere but into the folder."""

    def files(self, server: Server, *ids: Any, name: str = "a.pdf") -> None:
        """The files that the server says it has, each with its number as its content."""
        links = {f"/link/{number}": str(number).encode() for number in range(len(ids))}
        told = [{"id": id_, "name": name, "url": url} for id_, url in zip(ids, links, strict=True)]
        handoff = {**EXPORT["handoffs"][0], "files": told}
        server.answers["POST /users/export"] = 200, {"user": {**EXPORT, "handoffs": [handoff]}}
        server.links = links

    def everything(self, folder: Path) -> dict[str, str]:
        return {each.relative_to(folder).as_posix(): each.read_text() for each in folder.rglob("*") if each.is_file()}

    def test_are_saved_by_id_and_name(self, server: Server, tmp_path: Path) -> None:
        self.files(server, "f1", "f2")
        assert cli.main(["users", "export", NAME, "--files", "a/files"]) == cli.FAILED, "it has no folder to be in"
        assert cli.main(["users", "export", NAME, "--files", "files"]) == cli.FINE
        assert self.everything(tmp_path) == {"files/f1 a.pdf": "0", "files/f2 a.pdf": "1"}
        assert stat.S_IMODE((tmp_path / "files").stat().st_mode) == 0o700

    @pytest.mark.parametrize("name", ["a.pdf", "../a.pdf", "/tmp/a.pdf", "..", ""])
    @pytest.mark.parametrize("id_", ["../x", "..", "{}/x", "a/b", "..\\x", "a\0b", "", ".", 7])
    def test_stay_in_the_folder_whatever_they_are_called(
        self, server: Server, tmp_path: Path, id_: Any, name: str
    ) -> None:
        outside = str(tmp_path / "outside")
        self.files(server, id_.format(outside) if isinstance(id_, str) else id_, name=name)
        assert cli.main(["users", "export", NAME, "--files", "files"]) == cli.FINE
        ((path, content),) = self.everything(tmp_path).items()
        assert path.startswith("files/")
        assert path.count("/") == 1
        assert content == "0"

    def test_of_one_name_are_not_written_over_each_other(self, server: Server, tmp_path: Path, capsys: Any) -> None:
        self.files(server, "../x", "x")
        assert cli.main(["users", "export", NAME, "--files", "files"]) == cli.FINE
        assert sorted(self.everything(tmp_path).values()) == ["0", "1"]


class TestErase:
    def test_asks_first_and_says_what_there_is(
        self, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: Any
    ) -> None:
        answer(monkeypatch, "n")
        assert cli.main(["users", "erase", NAME]) == cli.FAILED
        assert capsys.readouterr().out == f"Kept of whatsapp:+49 170?[31m: {IN_WORDS}.\n"
        assert server.asked == ["POST /webhooks/handoff/users/export"]

    def test_erases_when_told_to(self, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        answer(monkeypatch, "y")
        assert cli.main(["users", "erase", NAME]) == cli.FINE
        assert server.asked[-1] == "POST /webhooks/handoff/users/erase"
        assert json.loads(server.bodies[-1]) == {"sender_id": NAME, "close": False}
        said = capsys.readouterr().out
        assert f"Erased of whatsapp:+49 170?[31m: {IN_WORDS}." in said
        assert "Rasa's tracker store" in said
        assert "at livechat: chat PR0" in said

    def test_nobody_there_is_no_yes(self, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        def nobody(question: str) -> str:
            raise EOFError

        monkeypatch.setattr("builtins.input", nobody)
        assert cli.main(["users", "erase", NAME]) == cli.FAILED
        assert "give --yes" in capsys.readouterr().err
        assert "POST /webhooks/handoff/users/erase" not in server.asked

    def test_a_program_has_to_say_yes_beforehand(self, server: Server, capsys: Any) -> None:
        assert cli.main(["users", "erase", NAME, "--json"]) == cli.FAILED
        assert "--yes" in json.loads(capsys.readouterr().out)["error"]
        assert server.asked == []
        assert cli.main(["users", "erase", NAME, "--json", "--yes"]) == cli.FINE
        assert json.loads(capsys.readouterr().out) == ERASED

    def test_an_open_handoff_has_to_be_ended(self, server: Server, capsys: Any) -> None:
        server.answers["POST /users/erase"] = 409, OPEN
        assert cli.main(["users", "erase", NAME, "--yes"]) == cli.FAILED
        assert "waits for one; end that first; --close does that" in capsys.readouterr().err
        server.answers["POST /users/erase"] = 200, ERASED
        assert cli.main(["users", "erase", NAME, "--yes", "--close"]) == cli.FINE
        assert json.loads(server.bodies[-1]) == {"sender_id": NAME, "close": True}

    def test_a_file_with_traces_is_a_failure(self, server: Server, capsys: Any) -> None:
        server.answers["POST /users/erase"] = 200, {**ERASED, "overwritten": False, "undelivered": 2}
        assert cli.main(["users", "erase", NAME, "--yes"]) == cli.FAILED
        said = capsys.readouterr().out
        assert "traces may be left in it. Run this again" in said
        assert "2 deliveries had not gone out, and never will." in said

    def test_what_postgresql_does_later_is_said(self, server: Server, capsys: Any) -> None:
        server.answers["POST /users/erase"] = 200, {**ERASED, "overwritten": False, "database": "postgresql"}
        assert cli.main(["users", "erase", NAME, "--yes"]) == cli.FINE
        assert "until they are vacuumed" in capsys.readouterr().out

    def test_of_nobody_there_is_nothing(self, server: Server, capsys: Any) -> None:
        server.answers["POST /users/erase"] = 200, {**ERASED, "rows": dict.fromkeys(ROWS, 0), "elsewhere": []}
        assert cli.main(["users", "erase", "nobody", "--yes"]) == cli.FINE
        assert "Erased of nobody: nothing." in capsys.readouterr().out


def in_the_docs(begin: str) -> list[str]:
    """What docs/operations.md tells people to type, of one kind."""
    page = (Path(cli.__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    return re.findall(rf"^(?:\| .*`)?({begin}[^`\n]*)", page, re.MULTILINE)


def test_the_commands_of_the_docs_are_commands(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer(monkeypatch, "y")
    commands = in_the_docs("rasa-handoff users ")
    assert [cli.main(shlex.split(command)[1:]) for command in commands] == [cli.FINE, cli.FINE]
    assert (tmp_path / "web-1f3a.json").exists()


async def test_the_statement_of_the_docs_erases_a_user_from_rasas_tracker_store(tmp_path: Path) -> None:
    """From its table for SQL, and nobody else."""
    (statement,) = in_the_docs("DELETE FROM ")
    store = SQLTrackerStore(Domain.empty(), dialect="sqlite", db=str(tmp_path / "tracker.db"))
    for name in ("web-1f3a", "web-2"):
        tracker = DialogueStateTracker.from_events(name, [UserUttered(f"the words of {name}")])
        await store.save(tracker)
    with closing(sqlite3.connect(tmp_path / "tracker.db")) as database, database:
        database.execute(statement)
    assert await store.retrieve("web-1f3a") is None
    left = await store.retrieve("web-2")
    assert left is not None
    assert left.latest_message.text == "the words of web-2"


@pytest.mark.parametrize("wrong", [["users"], ["users", "erase"], ["users", "export"], ["users", "erase", "a", "b"]])
def test_wrong_usage_ends_with_two(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(wrong)
    assert end.value.code == cli.WRONG_USAGE


@pytest.mark.parametrize("command", ["export", "erase"])
def test_without_a_server_it_ends_with_three(command: str, capsys: Any) -> None:
    nobody = ["--url", "http://127.0.0.1:9", "--yes"] if command == "erase" else ["--url", "http://127.0.0.1:9"]
    assert cli.main(["users", command, NAME, *nobody]) == cli.UNREACHABLE
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["export", "erase"])
def test_with_a_wrong_token_it_ends_with_four(command: str) -> None:
    assert cli.main(["users", command, NAME, "--token", "w" * 40]) == cli.NOT_AUTHORISED
