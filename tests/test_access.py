"""The private file that the servers of one machine share."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rasa_handoff.access import Access, ensure, find
from rasa_handoff.errors import ConfigError

TOKEN = "t" * 40


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HANDOFF_URL", raising=False)
    monkeypatch.delenv("HANDOFF_TOKEN", raising=False)


def first_start(folder: Path) -> Access:
    return ensure(folder, url="http://127.0.0.1:5005", token=None, want_agent=True)


def file_in(folder: Path) -> Path:
    return folder / ".rasa_handoff" / "access.json"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestEnsure:
    def test_the_first_start_makes_what_nobody_configured(self, tmp_path: Path) -> None:
        access = first_start(tmp_path)
        assert access.url == "http://127.0.0.1:5005"
        assert len(access.token) >= 43
        assert len({access.token, access.secret, access.agents[0].token}) == 3
        assert [agent.name for agent in access.agents] == ["Agent 1"]

    def test_only_the_owner_can_read_it_whatever_the_umask(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            first_start(tmp_path)
        finally:
            os.umask(before)
        assert mode(file_in(tmp_path)) == 0o600
        assert mode(file_in(tmp_path).parent) == 0o700
        assert os.listdir(file_in(tmp_path).parent) == ["access.json"]

    def test_the_next_start_finds_the_same(self, tmp_path: Path) -> None:
        assert first_start(tmp_path) == first_start(tmp_path)

    def test_the_next_start_says_where_the_server_is_by_then(self, tmp_path: Path) -> None:
        first = first_start(tmp_path)
        second = ensure(tmp_path, url="http://127.0.0.1:6006/", token=None, want_agent=False)
        assert second.url == "http://127.0.0.1:6006"
        assert (second.token, second.secret, second.agents) == (first.token, first.secret, first.agents)

    def test_a_token_in_the_settings_reaches_the_action_server(self, tmp_path: Path) -> None:
        first_start(tmp_path)
        ensure(tmp_path, url=None, token=TOKEN, want_agent=True)
        found = find(tmp_path)
        assert found is not None
        assert found.token == TOKEN

    def test_an_agent_is_made_only_when_wanted(self, tmp_path: Path) -> None:
        assert ensure(tmp_path, url=None, token=None, want_agent=False).agents == ()
        assert len(ensure(tmp_path, url=None, token=None, want_agent=True).agents) == 1

    def test_two_servers_that_start_at_once_share_one_file(self, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from rasa_handoff.access import ensure\n"
            "sys.stdin.read(1)\n"
            "a = ensure(Path(sys.argv[1]), url=None, token=None, want_agent=True)\n"
            "print(a.token, a.secret, a.agents[0].token)"
        )
        root = str(Path(__file__).parent.parent)
        run = [sys.executable, "-c", code, str(tmp_path)]
        both = [
            subprocess.Popen(run, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
        ]
        for process in both:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        told = {process.communicate(timeout=60)[0] for process in both}
        assert len(told) == 1
        assert told != {""}

    def test_a_killed_start_leaves_no_half_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(ConfigError, match="No space left"):
            first_start(tmp_path)
        assert os.listdir(file_in(tmp_path).parent) == []


class TestRefusals:
    def test_a_file_that_others_can_read_is_refused_with_the_remedy(self, tmp_path: Path) -> None:
        first_start(tmp_path)
        file_in(tmp_path).chmod(0o640)
        for use in (lambda: find(tmp_path), lambda: first_start(tmp_path)):
            with pytest.raises(ConfigError, match=r"chmod 600 .*access\.json"):
                use()

    def test_a_folder_that_others_can_write_to_is_refused(self, tmp_path: Path) -> None:
        first_start(tmp_path)
        file_in(tmp_path).parent.chmod(0o777)
        with pytest.raises(ConfigError, match="chmod 700"):
            first_start(tmp_path)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_a_file_of_somebody_else_is_refused(self, tmp_path: Path) -> None:
        first_start(tmp_path)
        os.chown(file_in(tmp_path), 65534, 65534)
        with pytest.raises(ConfigError, match="belongs to another user"):
            find(tmp_path)

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        first_start(tmp_path)
        file_in(tmp_path).rename(tmp_path / "elsewhere.json")
        file_in(tmp_path).symlink_to(tmp_path / "elsewhere.json")
        with pytest.raises(ConfigError, match="cannot be read"):
            find(tmp_path)

    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"[]", b'{"url": 1}', b"\xff\xfe", b'{"url":"u","token":"","secret":"s","agents":[]}'],
    )
    def test_a_damaged_file_is_refused_without_showing_it(self, tmp_path: Path, content: bytes) -> None:
        first_start(tmp_path)
        file_in(tmp_path).write_bytes(content)
        with pytest.raises(ConfigError, match="delete it, and the next start makes a new one"):
            find(tmp_path)


class TestFind:
    def test_nothing_is_found_where_nothing_is(self, tmp_path: Path) -> None:
        assert find(tmp_path) is None

    def test_the_file_is_found_from_a_folder_below(self, tmp_path: Path) -> None:
        access = first_start(tmp_path)
        below = tmp_path / "actions" / "deep"
        below.mkdir(parents=True)
        assert find(below) == access

    def test_the_working_folder_is_where_the_search_starts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        access = first_start(tmp_path)
        monkeypatch.chdir(tmp_path)
        assert find() == access

    def test_the_environment_comes_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first_start(tmp_path)
        monkeypatch.setenv("HANDOFF_URL", "https://bot.example.com/")
        monkeypatch.setenv("HANDOFF_TOKEN", f"{TOKEN}\n")
        assert find(tmp_path) == Access(url="https://bot.example.com", token=TOKEN)

    def test_half_an_environment_is_completed_by_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        access = first_start(tmp_path)
        monkeypatch.setenv("HANDOFF_URL", "http://rasa:5005")
        found = find(tmp_path)
        assert found is not None
        assert (found.url, found.token) == ("http://rasa:5005", access.token)

    def test_half_an_environment_alone_is_not_enough(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HANDOFF_TOKEN", TOKEN)
        assert find(tmp_path) is None


def test_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    access = first_start(tmp_path)
    kept = json.loads(file_in(tmp_path).read_text())
    for secret in (kept["token"], kept["secret"], kept["agents"][0]["token"]):
        assert secret not in repr(access)
