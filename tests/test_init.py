"""`rasa-handoff init`: what is missing is added, all else stays as it is, and the second time nothing happens."""

from __future__ import annotations

import io
import json
import shutil
import stat
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rasa.cli
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some
from rasa.shared.core.domain import Domain
from rasa.shared.utils.io import read_yaml

from rasa_handoff import cli, init, project
from rasa_handoff.errors import FilesError
from rasa_handoff.init.insertion import insert
from rasa_handoff.init.pieces import pieces, template
from rasa_handoff.model import EndReason, Status
from rasa_handoff.project import documents, places

ROOT = Path(__file__).resolve().parent.parent
FRESH = Path(rasa.cli.__file__).parent / "initial_project"
DOMAIN = template("domain.yml")
SECTIONS = ("intents", "slots", "actions", "responses")


@pytest.fixture
def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bot of `rasa init`; we stand in its folder."""
    folder = tmp_path / "bot"
    shutil.copytree(FRESH, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(textwrap.dedent(text).encode())
    return path


def plan_of(folder: Path, **named: Any) -> init.Plan:
    return init.make(project.read(places.find(folder, **named)))


def applied(folder: Path, **named: Any) -> init.Plan:
    """The bot after `init`, which has nothing to do a second time."""
    plan = plan_of(folder, **named)
    init.write(plan)
    assert plan_of(folder, **named).changes == ()
    return plan


def changed(plan: init.Plan, folder: Path) -> set[str]:
    return {change.path.relative_to(folder).as_posix() for change in plan.changes}


def only_added(before: bytes, after: bytes) -> bool:
    """Whether every line of *before* is still there, in its order, to the byte."""
    left = iter(after.splitlines(keepends=True))
    lines = before.splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        return after.startswith(before) or only_added(b"".join(lines[:-1]), after)
    return all(line in left for line in lines)


# A fresh bot


def test_a_fresh_bot_gets_all_it_needs(bot: Path) -> None:
    before = files(bot)
    plan = applied(bot)
    assert changed(plan, bot) == {
        "credentials.yml",
        "endpoints.yml",
        "domain.yml",
        "data/handoff.yml",
        "actions/handoff.py",
    }
    after = files(bot)
    assert all(only_added(content, after[name]) for name, content in before.items())
    domain = Domain.from_path(str(bot / "domain.yml"))
    assert {"handoff_request", "handoff_closed", "greet"} <= set(domain.intents)
    assert "action_handoff" in domain.user_actions
    assert {slot.name for slot in domain.slots if slot.name.startswith("handoff_")} == set(DOMAIN.content["slots"])


def test_the_command_shows_the_change_first_and_asks(bot: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    before = files(bot)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert cli.main(["init"]) == cli.FAILED
    said = capsys.readouterr().out
    assert "+rasa_handoff.HandoffInput:" in said
    assert "Write 5 files? [y/N]" in said
    assert files(bot) == before
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert cli.main(["init"]) == cli.FINE
    assert "rasa train" in capsys.readouterr().out
    assert cli.main(["init"]) == cli.FINE
    assert "Nothing to write" in capsys.readouterr().out


def test_nobody_there_is_no(bot: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    before = files(bot)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert cli.main(["init"]) == cli.FAILED
    assert "give --yes" in capsys.readouterr().err
    assert files(bot) == before


def test_a_dry_run_writes_nothing_and_its_patch_does_the_same(bot: Path, tmp_path: Path, capsys: Any) -> None:
    before = files(bot)
    assert cli.main(["init", "--dry-run"]) == cli.FINE
    patch = capsys.readouterr().out
    assert files(bot) == before
    other = tmp_path / "other"
    shutil.copytree(bot, other)
    subprocess.run(["patch", "-p1", "--quiet"], cwd=other, input=patch, text=True, check=True)
    applied(bot)
    assert files(other) == files(bot)


def test_programs_get_json_and_say_yes_themselves(bot: Path, capsys: Any) -> None:
    assert cli.main(["init", "--json"]) == cli.FAILED
    said = json.loads(capsys.readouterr().out)
    assert said["written"] is False
    assert "domain.yml" in said["files"]
    assert cli.main(["init", "--json", "--yes"]) == cli.FINE
    assert json.loads(capsys.readouterr().out)["written"] is True
    assert cli.main(["init", "--json"]) == cli.FINE
    assert json.loads(capsys.readouterr().out)["files"] == []


def test_a_file_that_changes_while_we_ask_is_left_alone(bot: Path) -> None:
    plan = plan_of(bot)
    (bot / "domain.yml").write_text("intents: [mine]\n")
    before = files(bot)
    with pytest.raises(FilesError, match="changed meanwhile"):
        init.write(plan)
    assert files(bot) == before


def test_links_lead_on_and_permissions_stay(bot: Path) -> None:
    shared = bot / "shared.yml"
    (bot / "credentials.yml").rename(shared)
    shared.chmod(0o600)
    (bot / "credentials.yml").symlink_to("shared.yml")
    applied(bot)
    assert (bot / "credentials.yml").is_symlink()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o600
    assert "rasa_handoff.HandoffInput" in shared.read_text()


# How domains are written

WAYS = {
    "two spaces": "intents:\n  - greet\n\nresponses:\n  utter_greet:\n    - text: Hi\n",
    "no spaces": "intents:\n- greet\n- bye: {use_entities: []}\nresponses:\n  utter_greet:\n  - text: Hi\n",
    "four spaces": "intents:\n    - greet\nresponses:\n    utter_greet:\n        - text: Hi\n",
    "both": "intents:\n- greet\nactions:\n    - action_a\nresponses:\n   utter_greet:\n   -  text: Hi\n",
    "on one line": "intents: [greet, bye]\nactions: []\nslots: {}\nresponses: {utter_greet: [{text: Hi}]}\n",
    "brackets over lines": "intents: [\n  greet,\n  bye,  # a comma and words\n]\nactions: [\n  action_a\n  ]\n",
    "braces over lines": "responses: {\n  utter_greet: [{text: Hi}],\n  # words\n}\n",
    "nothing below": "intents:  # none yet\nactions:\nresponses: null\nslots: ~  # none\n",
    "crlf": "version: '3.1'\r\nintents:\r\n  - greet\r\n\r\nactions:\r\n  - action_a\r\n",
    "no end of line": "intents:\n  - greet\nactions:\n  - action_a",
    "no end of line, crlf": "intents:\r\n  - greet",
    "byte-order mark": "\ufeffintents:\n  - greet\n",
    "marked as a document": "%YAML 1.2\n---\nintents:\n  - greet\n...\n",
    "words at the end": "intents:\n  - greet\n  # - later\n\n# the end\n# really\n",
    "words everywhere": "# top\nintents:  # here\n  # before\n  - greet  # after\n  # below\nactions:\n  - action_a\n",
    "quoted": "\"intents\":\n  - 'greet'\n  - \"bye\"\n'actions': ['action_a']\n",
    "blocks of text": "responses:\n  utter_a:\n    - text: |\n        one\n\n        two\n\n\nintents:\n  - greet\n",
    "folded text at the end": "responses:\n  utter_a:\n    - text: >-\n        one\n        two",
    "anchors": "responses:\n  utter_a: &a\n    - text: Hi\n  utter_b: *a\nintents: &i\n  - greet\n",
    "tabs behind values": "intents:\t# words\n  - greet\t# words\nactions:\n  - action_a\t\n",
    "other letters": 'responses:\n  utter_a:\n    - text: "Grüß Gott 👋 – ça va?"\nintents:\n  - größe\n',
    "long lines": f"responses:\n  utter_a:\n    - text: {'word ' * 80}end\n",
    "only words": "# a domain, one day\n",
    "empty": "",
    "spaces only": "\n\n",
    "a document with nothing in it": "---\n",
    "a document with nothing but words": "---\n# a domain, one day\n...\n",
    "words behind the document's end": "intents:\n  - greet\n... # the end\n",
    "one mapping": "{intents: [greet], version: '3.1'}\n",
    "items apart": "responses:\n  utter_a:\n    - text: a\n\n  utter_b:\n    - text: b\nintents:\n  - a\n\n  - b\n",
}
IN_BRACKETS = {"on one line", "brackets over lines", "braces over lines", "one mapping", "quoted"}


@pytest.mark.parametrize("text", WAYS.values(), ids=WAYS.keys())
def test_every_way_to_write_a_domain_is_added_to(bot: Path, text: str) -> None:
    path = bot / "domain.yml"
    path.write_bytes(text.encode())
    applied(bot)
    after = path.read_bytes().decode()
    old, new = read_yaml(text.removeprefix("\ufeff")), read_yaml(after.removeprefix("\ufeff"))
    for section in SECTIONS:
        had, ours = old.get(section), DOMAIN.content[section]
        expected = {**(had or {}), **ours} if isinstance(ours, dict) else [*(had or []), *ours]
        assert new.pop(section) == expected
    assert new == {key: value for key, value in old.items() if key not in SECTIONS}


@pytest.mark.parametrize("name", sorted(WAYS.keys() - IN_BRACKETS - {"nothing below"}))
def test_what_the_owner_wrote_stays_to_the_byte(bot: Path, name: str) -> None:
    before = WAYS[name].encode()
    (bot / "domain.yml").write_bytes(before)
    applied(bot)
    after = (bot / "domain.yml").read_bytes()
    assert only_added(before, after)
    if b"\r\n" in before:
        assert after.count(b"\n") == after.count(b"\r\n")


@pytest.mark.parametrize("name", sorted(IN_BRACKETS))
def test_brackets_of_the_owners_are_only_added_to(bot: Path, name: str) -> None:
    (bot / "domain.yml").write_bytes(WAYS[name].encode())
    applied(bot)
    left = iter((bot / "domain.yml").read_text())
    assert all(character in left for character in WAYS[name])


def test_items_that_their_owner_keeps_apart_stay_apart(bot: Path) -> None:
    (bot / "domain.yml").write_text(WAYS["items apart"])
    applied(bot)
    lines = (bot / "domain.yml").read_text().splitlines()
    assert lines[lines.index("  - handoff_request: {use_entities: []}") - 1] == ""
    assert lines[lines.index("  utter_handoff_active:") - 1] == ""
    (bot / "domain.yml").write_text(WAYS["two spaces"])
    applied(bot)
    assert "\n\n  utter_handoff_active:" not in (bot / "domain.yml").read_text()


def test_what_only_a_person_can_add_is_said_with_the_lines(bot: Path, capsys: Any) -> None:
    write(bot / "domain.yml", "names: &names\n  - greet\nintents: *names\n")
    assert cli.main(["init", "--yes"]) == cli.FAILED
    said = capsys.readouterr().err
    assert "only a person can add to; please add:\nintents:\n  - handoff_request" in said
    assert yaml.safe_load((bot / "domain.yml").read_text())["intents"] == ["greet"]


@pytest.mark.parametrize("text", ["intents: &i\n", "intents: &i ~\nold: []\n", "intents: !!null\n"])
def test_a_name_of_the_owners_for_nothing_stays(bot: Path, text: str) -> None:
    write(bot / "domain.yml", text)
    plan = plan_of(bot)
    init.write(plan)
    assert (bot / "domain.yml").read_text().startswith(text)
    assert ["intents:" in each for each in plan.by_hand] == [True]


def test_a_text_without_an_end_of_line_cannot_be_added_to_and_it_is_said_why(bot: Path) -> None:
    """One more line break would be the bot's to say."""
    text = "responses:\n  utter_a:\n  - text: |\n      a"
    write(bot / "domain.yml", text)
    assert all("end its last line, and run this again; or please add:" in each for each in plan_of(bot).by_hand)
    write(bot / "domain.yml", f"{text}\n")
    assert not applied(bot).by_hand


@pytest.mark.parametrize("text", ["intents: greet\n", "- greet\n", "just words\n"])
def test_a_domain_that_is_none_is_left_alone(bot: Path, text: str) -> None:
    write(bot / "domain.yml", text)
    plan = plan_of(bot)
    assert plan.by_hand
    assert all(change.path.name != "domain.yml" or only_added(text.encode(), change.after) for change in plan.changes)


_name = some.text("abcdefgh_", min_size=1, max_size=6).map(lambda word: f"x{word}")
_words = some.sampled_from(["", "  # words", " # - not an item", "\t# tab"])


@some.composite
def _list_lines(draw: Any) -> list[str]:
    indent = " " * draw(some.integers(0, 5))
    items = draw(some.lists(_name, min_size=1, max_size=4, unique=True))
    lines = []
    for item in items:
        lines.append(f"{indent}-{' ' * draw(some.integers(1, 3))}{item}{draw(_words)}")
        lines += draw(some.sampled_from([[], [""], [f"{indent}# words"], ["# words at the start"], ["", "  ", ""]]))
    return lines


@some.composite
def _file(draw: Any) -> str:
    lines: list[str] = draw(some.sampled_from([[], ["# words"], ["---"], ["version: '3.1'", ""]]))[:]
    for section in draw(some.permutations(["intents", "actions", "others"])):
        lines.append(f"{section}:{draw(_words)}")
        lines += draw(_list_lines())
    newline = draw(some.sampled_from(["\n", "\r\n"]))
    return newline.join(lines) + draw(some.sampled_from(["", newline, newline * 3]))


@settings(max_examples=300, deadline=None)
@given(_file())
def test_lists_of_any_shape_grow_at_their_end(text: str) -> None:
    document = documents.parse(Path("domain.yml"), text)
    for section in ("intents", "actions"):
        grown = insert(document, section, pieces(DOMAIN, section))
        assert grown.content == {**document.content, section: document.content[section] + DOMAIN.content[section]}
        assert only_added(text.encode(), grown.text.encode())


# Where things are


def test_a_folder_of_domains_gets_a_file_of_its_own(bot: Path) -> None:
    (bot / "domain").mkdir()
    (bot / "domain.yml").rename(bot / "domain" / "main.yml")
    write(bot / "domain" / "more" / "slots.yaml", "slots:\n  mine: {type: text, mappings: []}\n")
    write(bot / "domain" / "notes.yml", "notes: [not, a, domain]\n")
    before = files(bot / "domain")
    applied(bot)
    after = files(bot / "domain")
    assert after.keys() - before.keys() == {"handoff.yml"}
    assert all(after[name] == content for name, content in before.items())
    domain = Domain.from_path(str(bot / "domain"))
    assert {"greet", "handoff_closed"} <= set(domain.intents)


def test_words_in_any_file_of_the_domain_count(bot: Path) -> None:
    (bot / "domain").mkdir()
    (bot / "domain.yml").rename(bot / "domain" / "main.yml")
    parts = {section: {section: DOMAIN.content[section]} for section in SECTIONS}
    for section, content in parts.items():
        write(bot / "domain" / "deep" / f"{section}.yml", yaml.safe_dump(content))
    plan = applied(bot)
    assert not any(name.startswith("domain") for name in changed(plan, bot))


def test_a_file_of_ours_that_lacks_something_is_added_to(bot: Path) -> None:
    applied(bot)
    data = bot / "data" / "handoff.yml"
    data.write_text(data.read_text().replace("      - action: utter_handoff_rejected\n", ""))
    domain = bot / "domain.yml"
    domain.write_text(domain.read_text().replace("  handoff_agent: ", "  renamed: "))
    before = data.read_bytes()
    plan = applied(bot)
    assert changed(plan, bot) == {"data/handoff.yml", "domain.yml"}
    assert only_added(before, data.read_bytes())
    names = [rule["rule"] for rule in yaml.safe_load(data.read_text())["rules"]]
    assert names == ["Asked for a person", "The handoff is over", "Said by the plugin", "Said by the plugin 2"]


def test_one_file_of_training_data_is_added_to(bot: Path) -> None:
    for each in (bot / "data").iterdir():
        each.unlink()
    path = write(bot / "all.yml", "nlu:\n- intent: greet\n  examples: |\n    - hi\n    - hello\n")
    applied(bot, data=[Path("all.yml")])
    found = yaml.safe_load(path.read_text())
    assert [each["intent"] for each in found["nlu"]] == ["greet", "handoff_request", "handoff_closed"]
    assert len(found["rules"]) == 3
    assert not (bot / "data" / "handoff.yml").exists()


def test_a_bot_with_hardly_any_file_gets_them(tmp_path: Path) -> None:
    write(tmp_path / "config.yml", "recipe: default.v1\n")
    plan = applied(tmp_path)
    assert changed(plan, tmp_path) == {
        "credentials.yml",
        "endpoints.yml",
        "domain.yml",
        "data/handoff.yml",
        "actions.py",
    }
    assert set(Domain.from_path(str(tmp_path / "domain.yml")).intents) >= {"handoff_request", "handoff_closed"}


def test_a_folder_without_a_bot_is_left_alone(tmp_path: Path, capsys: Any) -> None:
    assert cli.main(["init", str(tmp_path), "--yes"]) == cli.FAILED
    assert "there is no bot in" in capsys.readouterr().err
    assert files(tmp_path) == {}


def test_a_name_that_is_not_there_makes_no_new_folder(bot: Path, capsys: Any) -> None:
    before = files(bot)
    assert cli.main(["init", "--yes", "--domain", "domian"]) == cli.FAILED
    assert "domian is not there; see how it is spelt" in capsys.readouterr().err
    assert files(bot) == before


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("domain.yml", "intents:\n  - a\n b: [\n", "domain.yml:3: is not YAML"),
        (
            "credentials.yml",
            "rest:\n\ttab: secret\n",
            "credentials.yml:2: is not YAML: there is a tab, and only spaces indent",
        ),
        (
            "credentials.yml",
            "rest:\n \t# words\n",
            "credentials.yml:2: is not YAML: there is a tab, and only spaces indent",
        ),
        (
            "data/nlu.yml",
            "nlu:\n- intent: a\n\t# words\n",
            "data/nlu.yml:3: is not YAML: there is a tab, and only spaces indent",
        ),
        (
            "config.yml",
            "a: secret\n\nb: \x0c\n",
            "config.yml:3: is not YAML: there is a character that it does not know (U+000C)",
        ),
        (
            "domain.yml",
            "intents:\n- a\n---\nactions: []\n",
            "domain.yml:3: is not YAML: a second document begins, and Rasa",
        ),
        ("domain.yml", "intents: @secret\n", "domain.yml:1: is not YAML: found character"),
        ("data/nlu.yml", "nlu:\n- intent: a\n examples\n", "data/nlu.yml:3: is not YAML"),
        ("endpoints.yml", "a: 1\na: secret\n", "endpoints.yml:2: is not YAML: found duplicate key"),
        ("actions/actions.py", "def broken(:\n", "actions/actions.py:1: is not Python"),
    ],
)
def test_a_broken_file_is_named_with_its_line(bot: Path, capsys: Any, name: str, text: str, words: str) -> None:
    write(bot / name, text)
    before = files(bot)
    assert cli.main(["init", "--yes"]) == cli.FAILED
    said = capsys.readouterr().err
    assert words in said
    assert "secret" not in said
    assert files(bot) == before
    assert cli.main(["init", "--yes", "--json"]) == cli.FAILED
    assert words in json.loads(capsys.readouterr().out)["faults"][0]


def test_a_file_that_is_not_text_is_named(bot: Path, capsys: Any) -> None:
    (bot / "domain.yml").write_bytes("intents: [größe]".encode("latin-1"))
    assert cli.main(["init", "--yes"]) == cli.FAILED
    assert "domain.yml is not UTF-8 text" in capsys.readouterr().err


# What is the owner's


def test_words_of_the_owners_are_kept(bot: Path) -> None:
    path = write(
        bot / "domain.yml",
        """\
        intents: [handoff_closed]
        slots:
          handoff_status: {type: text, mappings: []}
        responses:
          utter_handoff_queued: [{text: Einen Moment bitte.}]
        """,
    )
    applied(bot)
    found = yaml.safe_load(path.read_text())
    assert found["responses"]["utter_handoff_queued"] == [{"text": "Einen Moment bitte."}]
    assert found["slots"]["handoff_status"] == {"type": "text", "mappings": []}
    assert found["intents"] == ["handoff_closed", {"handoff_request": {"use_entities": []}}]


def test_a_bot_that_leads_to_a_person_in_its_own_way_gets_no_other_way(bot: Path) -> None:
    write(
        bot / "data" / "mine.yml",
        """\
        rules:
          - rule: Mine
            steps:
              - intent: mood_unhappy
              - action: action_handoff
        stories:
          - story: Back
            steps:
              - or:
                  - intent: handoff_closed
                  - intent: greet
              - action: utter_greet
        """,
    )
    applied(bot)
    domain = yaml.safe_load((bot / "domain.yml").read_text())
    assert "handoff_request" not in str(domain["intents"])
    assert "utter_handoff_closed" not in domain["responses"]
    rules = yaml.safe_load((bot / "data" / "handoff.yml").read_text())["rules"]
    assert [rule["rule"] for rule in rules] == ["Said by the plugin"]


def test_an_action_of_the_owners_that_is_followed_by_ours_is_a_way(bot: Path) -> None:
    write(
        bot / "actions" / "mine.py",
        'from rasa_sdk.events import FollowupAction\nnext_one = FollowupAction("action_handoff")\n',
    )
    applied(bot)
    rules = yaml.safe_load((bot / "data" / "handoff.yml").read_text())["rules"]
    assert [rule["rule"] for rule in rules] == ["The handoff is over", "Said by the plugin"]


def test_examples_in_json_count(bot: Path) -> None:
    examples = [{"intent": "handoff_request", "text": text} for text in ("human", "agent")]
    write(bot / "data" / "nlu.json", json.dumps({"rasa_nlu_data": {"common_examples": examples}}))
    applied(bot)
    data = yaml.safe_load((bot / "data" / "handoff.yml").read_text())
    assert [each["intent"] for each in data["nlu"]] == ["handoff_closed"]


def test_an_intent_of_the_owners_can_ask_for_a_person(bot: Path, capsys: Any) -> None:
    assert cli.main(["init", "--yes", "--intent", "mood_unhappy"]) == cli.FINE
    data = yaml.safe_load((bot / "data" / "handoff.yml").read_text())
    assert data["rules"][0]["steps"] == [{"intent": "mood_unhappy"}, {"action": "action_handoff"}]
    assert [each["intent"] for each in data["nlu"]] == ["handoff_closed"]
    assert "handoff_request" not in (bot / "domain.yml").read_text()
    assert cli.main(["init", "--intent", "nonsense"]) == cli.FAILED
    assert "the domain has no intent nonsense" in capsys.readouterr().err


def test_an_intent_that_sounds_like_it_is_pointed_out(bot: Path, capsys: Any) -> None:
    text = (bot / "domain.yml").read_text()
    (bot / "domain.yml").write_text(text.replace("  - goodbye\n", "  - talk_to_human\n"))
    assert cli.main(["init", "--dry-run"]) == cli.FINE
    assert "rasa-handoff init --intent talk_to_human" in capsys.readouterr().out


def test_a_bot_of_another_language_is_told_to_translate(bot: Path) -> None:
    write(bot / "config.yml", "language: de\n")
    assert any("The bot speaks de" in note for note in plan_of(bot).notes)


def test_what_the_readme_says_to_paste_is_taken(tmp_path: Path) -> None:
    """The blocks of "Add it to your bot", each in the file that it names."""
    text = (ROOT / "README.md").read_text("utf-8")
    for block in text.split("```yaml\n# ")[1:]:
        name, _, content = block.partition("\n")
        write(tmp_path / name, content.partition("```")[0])
    write(tmp_path / "actions.py", "from rasa_handoff.actions import *\n")
    plan = applied(tmp_path)
    assert changed(plan, tmp_path) == {"domain/handoff.yml", "data/handoff.yml"}
    rules = yaml.safe_load((tmp_path / "data" / "handoff.yml").read_text())["rules"]
    assert [rule["rule"] for rule in rules] == ["Asked for a person", "The handoff is over", "Said by the plugin"]


def test_a_bot_without_the_policy_of_rules_gets_it(bot: Path) -> None:
    config = write(bot / "config.yml", "policies:\n- name: MemoizationPolicy  # mine\n")
    applied(bot)
    assert config.read_text() == "policies:\n- name: MemoizationPolicy  # mine\n- name: RulePolicy\n"


@pytest.mark.parametrize("name", ["RulePolicy", "rasa.core.policies.rule_policy.RulePolicy"])
def test_a_bot_with_the_policy_of_rules_keeps_its_config(bot: Path, name: str) -> None:
    write(bot / "config.yml", f"policies:\n- name: {name}\n")
    assert "config.yml" not in changed(plan_of(bot), bot)


def test_an_action_endpoint_with_nothing_behind_it_is_filled(bot: Path) -> None:
    path = write(bot / "endpoints.yml", "action_endpoint:  # soon\n\nlock_store:\n  type: redis\n")
    applied(bot)
    assert path.read_text() == (
        "action_endpoint:  # soon\n  url: http://localhost:5055/webhook\n\nlock_store:\n  type: redis\n"
    )


def test_credentials_and_endpoints_in_braces_are_added_to(bot: Path) -> None:
    write(bot / "credentials.yml", "{rest: }\n")
    write(bot / "endpoints.yml", "action_endpoint: {}\n")
    applied(bot)
    assert (bot / "credentials.yml").read_text() == "{rest: , rasa_handoff.HandoffInput: {chat_page: true}}\n"
    assert (bot / "endpoints.yml").read_text() == 'action_endpoint: {url: "http://localhost:5055/webhook"}\n'


def test_an_action_endpoint_of_the_owners_stays(bot: Path) -> None:
    path = write(bot / "endpoints.yml", "action_endpoint:\n  url: https://actions.example.com/webhook\n")
    before = path.read_bytes()
    applied(bot)
    assert path.read_bytes() == before


# The actions

LINE = "from rasa_handoff.actions import *  # noqa: F403 (the action server finds actions by their class)\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", LINE),
        ("# a licence\n# of two lines\n\nx = 1\n", f"# a licence\n# of two lines\n{LINE}\nx = 1\n"),
        ('"""Words."""\nimport os\n\nx = os\n', f'"""Words."""\nimport os\n{LINE}\nx = os\n'),
        ("from __future__ import annotations\nfrom a import (\n    b,\n)\nc = b", None),
        ("import os", f"import os\n{LINE}"),
        ("class A:\n\tx = 1\n", f"{LINE}class A:\n\tx = 1\n"),
        ("import os\r\n\r\nx = 1\r\n", "import os\r\n" + LINE.replace("\n", "\r\n") + "\r\nx = 1\r\n"),
    ],
)
def test_a_module_of_actions_gets_the_import(bot: Path, before: str, after: str | None) -> None:
    shutil.rmtree(bot / "actions")
    path = bot / "actions.py"
    path.write_bytes(before.encode())
    applied(bot)
    found = path.read_bytes().decode()
    compile(found, "actions.py", "exec")
    if after is None:
        after = before.replace(")\nc", f")\n{LINE}c")
    assert found == after


@pytest.mark.parametrize(
    "line",
    [
        "from rasa_handoff.actions import *",
        "import rasa_handoff.actions",
        "from rasa_handoff import actions as handoff",
        "from rasa_handoff.actions import ActionHandoff",
    ],
)
def test_actions_that_serve_ours_are_left_alone(bot: Path, line: str) -> None:
    write(bot / "actions" / "deep" / "mine.py", line)
    before = files(bot / "actions")
    applied(bot)
    assert files(bot / "actions") == before


# The templates are in step with the rest


def test_the_slots_take_all_that_the_plugin_puts_there() -> None:
    slots = DOMAIN.content["slots"]
    assert slots["handoff_end_reason"]["values"] == [each.value for each in EndReason]
    put = {each.value for each in Status} - {"requested"}  # the bot is not told before an agent system accepts
    assert set(slots["handoff_status"]["values"]) == {"none", *put}


def test_the_texts_are_those_of_the_example_bot() -> None:
    example = yaml.safe_load((ROOT / "example_bot" / "domain" / "handoff.yml").read_text("utf-8"))["responses"]
    assert {name: example[name] for name in DOMAIN.content["responses"]} == DOMAIN.content["responses"]


def test_every_response_that_the_plugin_says_by_itself_is_there() -> None:
    modules = [ROOT / "rasa_handoff" / name for name in ("switchboard.py", "inbox.py", "requests.py")]
    said = {name for module in modules for name in _responses_in(module.read_text("utf-8"))}
    assert {"utter_handoff_still_waiting", "utter_handoff_joined"} <= said
    assert said <= set(DOMAIN.content["responses"])


def _responses_in(code: str) -> Iterator[str]:
    for part in code.split('"utter_handoff_')[1:]:
        yield "utter_handoff_" + part.partition('"')[0]
