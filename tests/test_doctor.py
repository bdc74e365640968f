"""`rasa-handoff doctor`: every fault is found, each with its remedy, and a bot without one has none."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import rasa.cli
import socketio
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as some
from rasa.core.channels import BUILTIN_CHANNELS

from rasa_handoff import cli, doctor, init, project
from rasa_handoff.doctor import Finding, Level
from rasa_handoff.doctor.case import Case, installed
from rasa_handoff.init import missing
from rasa_handoff.liveperson_agent.settings import CHANNEL
from rasa_handoff.project import places
from tests.liveperson_agent.vendor import ACCOUNT, PASSWORD, USER, LivePerson
from tests.servers import free_port, until
from tests.test_two_servers import redis_program

FRESH = Path(rasa.cli.__file__).parent / "initial_project"
SECTION = "rasa_handoff.HandoffInput"
TOKEN = "t" * 40


@pytest.fixture(autouse=True)
def _nothing_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SANIC_WORKERS", "HANDOFF_URL", "HANDOFF_TOKEN", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bot of `rasa init` and `rasa-handoff init`, with its conversations on disk."""
    folder = tmp_path_factory.mktemp("ready") / "bot"
    shutil.copytree(FRESH, folder, ignore=shutil.ignore_patterns("__pycache__"))
    init.write(init.make(project.read(places.find(folder))))
    with (folder / "endpoints.yml").open("a") as file:
        file.write("tracker_store: {type: SQL, dialect: sqlite, db: tracker.db}\n")
    return folder


@pytest.fixture
def bot(ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it; we stand in its folder."""
    shutil.copytree(ready, tmp_path / "bot")
    monkeypatch.chdir(tmp_path / "bot")
    return tmp_path / "bot"


def change(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)


def credentials(bot: Path, section: dict[str, Any] | None = None, **channels: Any) -> None:
    (bot / "credentials.yml").write_text(yaml.safe_dump({SECTION: section, **channels}))


def endpoints(bot: Path, **sections: Any) -> None:
    (bot / "endpoints.yml").write_text(yaml.safe_dump(sections))


def examined(bot: Path, workers: int | None = None, *, connect: bool = False, **versions: str | None) -> list[Finding]:
    """What the doctor finds; *versions* stand in the place of what is installed."""
    case = doctor.take(project.read(places.find(bot)), workers)
    if versions:
        told = {name.replace("_", "-"): version for name, version in versions.items()}
        case = Case(
            project=case.project,
            missing=case.missing,
            settings=case.settings,
            faults=case.faults,
            workers=case.workers,
            environment=case.environment,
            version_of=lambda package: told[package] if package in told else installed(package),
        )
    return list(doctor.examine(case, connect=connect).findings())


def of(found: list[Finding], about: str, level: Level | None = None) -> list[Finding]:
    return [each for each in found if each.about == about and level in (None, each.level)]


def only(found: list[Finding], about: str, level: Level) -> Finding:
    (one,) = of(found, about, level)
    if level in (Level.WARNING, Level.PROBLEM):
        assert one.remedy, one
    return one


def bad(found: list[Finding]) -> list[str]:
    return [each.about for each in found if each.level in (Level.WARNING, Level.PROBLEM)]


# A bot that is well, and one that is not


def test_after_init_no_problem_is_left(bot: Path, capsys: Any) -> None:
    assert bad(examined(bot)) == ["rest", "rasa"]  # channels that only answer
    assert cli.main(["doctor"]) == cli.FINE
    said = capsys.readouterr().out
    assert "✗" not in said
    assert "No problems, 2 warnings: a handoff works." in said


def test_warnings_fail_where_that_is_asked_for(bot: Path) -> None:
    assert cli.main(["doctor", "--strict"]) == cli.FAILED
    credentials(bot)
    assert cli.main(["doctor", "--strict"]) == cli.FINE


def test_a_fresh_bot_lacks_everything_and_is_told_what_to_write(tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(FRESH, tmp_path / "bot")
    assert cli.main(["doctor", str(tmp_path / "bot")]) == cli.FAILED
    said = capsys.readouterr().out
    for line in (
        "  ✗ The plugin is not switched on.",
        "        rasa_handoff.HandoffInput:",
        "  ✗ The intent handoff_closed is missing.",
        "          - handoff_closed: {use_entities: []}",
        "  ✗ The action action_handoff is missing.",
        "  ✗ No rule or story leads to action_handoff.",
        "  ✗ No rule says what the bot does when a handoff is over.",
        "  ✗ actions does not serve the plugin's actions.",
        "        from rasa_handoff.actions import *",
        "  ✗ Rasa knows no action server.",
        "          url: http://localhost:5055/webhook",
        "8 problems and 5 warnings: a handoff does not work yet.",
    ):
        assert line in said.splitlines(), line


def test_pasting_the_lines_is_as_good_as_init(tmp_path: Path) -> None:
    """What the doctor gives to paste, pasted, leaves the doctor without a problem."""
    bot = tmp_path / "bot"
    shutil.copytree(FRESH, bot)
    lines = {each.about: list(each.lines) for each in examined(bot) if each.lines}
    paste(bot / "credentials.yml", lines["section"])
    paste(bot / "endpoints.yml", lines["action_endpoint"], lines["tracker_store"])
    pasted = ("handoff_request", "handoff_closed", "action_handoff", "slots", "responses")
    (bot / "domain").mkdir()
    (bot / "domain.yml").rename(bot / "domain" / "main.yml")
    for name in pasted:
        paste(bot / "domain" / f"{name}.yml", lines[name])
    for name in ("asked", "ended"):
        paste(bot / "data" / f"{name}.yml", lines[name])
    paste(bot / "actions" / "handoff.py", lines["actions_module"])
    (problem,) = [each for each in examined(bot) if each.level is Level.PROBLEM]
    assert problem.about == "handoff_request"  # only when the intent is there, its examples are missed
    paste(bot / "data" / "nlu_more.yml", list(problem.lines))
    assert bad(examined(bot)) == ["rest", "rasa"]


def paste(path: Path, *blocks: list[str]) -> None:
    before = path.read_text() if path.exists() else ""
    path.write_text(before + "".join("\n".join(block) + "\n" for block in blocks))


def test_programs_get_json(bot: Path, capsys: Any) -> None:
    assert cli.main(["doctor", "--json"]) == cli.FINE
    said = json.loads(capsys.readouterr().out)
    assert said["counts"]["problem"] == 0
    assert {"group", "level", "about", "text", "details", "remedy", "lines"} == set(said["findings"][0])


def test_it_starts_without_loading_all_of_rasa(bot: Path) -> None:
    """Rasa's server and TensorFlow take many seconds to load."""
    code = "import sys; from rasa_handoff import cli; cli.main(['doctor']); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=bot, check=False)
    assert done.stdout.rstrip().endswith("False"), done.stderr


def test_a_terminal_is_not_steered_by_what_stands_in_files(bot: Path, capsys: Any) -> None:
    change(bot / "data" / "handoff.yml", ("Asked for a person", '"\\e[31mred"'))
    assert cli.main(["doctor"]) == cli.FINE
    assert "\033" not in capsys.readouterr().out


# Files


@pytest.mark.parametrize("name", ["domain.yml", "credentials.yml", "endpoints.yml", "config.yml", "data/rules.yml"])
def test_a_broken_file_is_named_and_the_rest_is_looked_at(bot: Path, name: str) -> None:
    (bot / name).write_text("a: 1\nb: [secret\n")
    found = examined(bot)
    assert only(found, "files", Level.PROBLEM).text.startswith(f"{name}:")
    assert "secret" not in str(found)
    assert of(found, "actions_module", Level.FINE)


@pytest.mark.parametrize(
    "name", ["domain.yml", "credentials.yml", "endpoints.yml", "data/rules.yml", "actions/handoff.py"]
)
def test_what_a_broken_file_is_for_is_no_problem_of_its_own(bot: Path, name: str) -> None:
    (bot / name).write_text("a: [secret\n")
    problems = [each.text for each in examined(bot) if each.level is Level.PROBLEM]
    assert len(problems) == 1, problems


def test_a_bot_without_a_domain_is_told_so(bot: Path) -> None:
    (bot / "domain.yml").unlink()
    assert only(examined(bot), "files", Level.PROBLEM).text == f"There is no domain in {bot}."


def test_a_variable_that_rasa_will_not_fill_in_is_named(bot: Path) -> None:
    (bot / "endpoints.yml").write_text("lock_store:\n  type: redis\n  password: '${REDIS_PASSWORD}'\n")
    found = only(examined(bot), "variables", Level.PROBLEM)
    assert found.text == "endpoints.yml:3: ${REDIS_PASSWORD} is in quotes, where Rasa leaves it as it is."


def test_broken_actions_are_named(bot: Path) -> None:
    (bot / "actions" / "mine.py").write_text("x = 1\ndef (\n")
    assert only(examined(bot), "files", Level.PROBLEM).text.startswith("actions/mine.py:2: is not Python")


def test_importers_are_pointed_out(bot: Path) -> None:
    (bot / "config.yml").write_text("importers:\n- name: MultiProjectImporter\n")
    assert only(examined(bot), "importers", Level.NOTE)


# Files may hold anything, and neither the doctor nor init stumbles over it.
ANYTHING: list[Any] = [
    *(None, 1, True, "x", "", [], {}, [1], ["a"], [{"a": 1}], {"a": None}, {"a": [1]}, [None], [["a"]], {1: 2}),
    *(
        "action_handoff",
        {"type": "redis"},
        {"url": 5},
        {"f": {"ignored_intents": 3}},
        [{"rule": None, "steps": [None]}],
    ),
    [
        {
            "rule": 1,
            "steps": [{"or": [1]}, {"intent": None}],
            "condition": [1, {"slot_was_set": [1, {"handoff_status": 1}]}],
        }
    ],
    {"handoff_status": {"type": "categorical", "values": None, "mappings": 3}},
    {"handoff_status": {"type": None, "mappings": [1, {"type": ["x"]}]}},
]
KEYS = {
    "credentials.yml": [SECTION, "rest", "socketio", "telegram", "slack"],
    "endpoints.yml": ["action_endpoint", "tracker_store", "lock_store"],
    "config.yml": ["policies", "language", "importers"],
    "domain.yml": ["intents", "slots", "actions", "responses", "forms"],
    "data/any.yml": ["nlu", "rules", "stories", "rasa_nlu_data"],
}
_any_file = {
    name: some.one_of(
        some.sampled_from(ANYTHING), some.dictionaries(some.sampled_from(keys), some.sampled_from(ANYTHING))
    )
    for name, keys in KEYS.items()
}


@settings(max_examples=60, deadline=None)
@given(some.fixed_dictionaries(_any_file))
def test_files_may_hold_anything(contents: dict[str, Any]) -> None:
    with TemporaryDirectory() as name:
        bot = Path(name)
        (bot / "data").mkdir()
        for file, content in contents.items():
            (bot / file).write_text(yaml.safe_dump(content))
        found = examined(bot)
        assert all(each.remedy for each in found if each.level in (Level.WARNING, Level.PROBLEM))
        init.write(init.make(project.read(places.find(bot))))
        assert init.make(project.read(places.find(bot))).changes == ()


# The plugin's section


def test_every_fault_of_the_settings_is_told(bot: Path) -> None:
    credentials(bot, {"token": "short", "colour": "red", "backends": {"desk": {}, "nobody": {}}})
    texts = [each.text for each in of(examined(bot), "settings", Level.PROBLEM)]
    assert len(texts) == 3
    assert any("token: is shorter than 32 characters" in text for text in texts)


def test_a_token_of_the_owners_is_measured_and_not_shown(bot: Path) -> None:
    credentials(bot, {"token": TOKEN})
    found = examined(bot)
    assert "has 40 characters" in only(found, "token", Level.FINE).text
    assert TOKEN not in str(found)


@pytest.mark.parametrize(
    ("url", "level", "line"),
    [
        (None, Level.NOTE, "public_url: https://bot.example.com"),
        ("http://localhost:5005", Level.WARNING, "public_url: https://bot.example.com"),
        ("http://bot.example.com/rasa", Level.WARNING, "public_url: https://bot.example.com/rasa"),
        ("https://bot.example.com", Level.FINE, None),
    ],
)
def test_the_public_url_is_judged(bot: Path, url: str | None, level: Level, line: str | None) -> None:
    credentials(bot, {"public_url": url})
    assert only(examined(bot), "public_url", level).lines == ((line,) if line else ())


def test_a_fault_is_to_be_mended_where_it_is(bot: Path) -> None:
    credentials(bot, {"public_url": "nowhere"}, **{CHANNEL: {"account": "12345678", "password": "p"}})
    found = of(examined(bot), "settings", Level.PROBLEM)
    where = [(each.text.partition(":")[0], (each.remedy or "").rpartition(" ")[2]) for each in found]
    assert where == [("public_url", f"{SECTION}."), (CHANNEL, f"{CHANNEL}.")]


def test_a_private_file_that_others_can_read_is_a_problem(bot: Path) -> None:
    (bot / ".rasa_handoff").mkdir(mode=0o700)
    (bot / ".rasa_handoff" / "access.json").write_text("{}")
    (bot / ".rasa_handoff" / "access.json").chmod(0o644)
    assert "chmod 600" in only(examined(bot), "access", Level.PROBLEM).text


def test_a_variable_that_is_not_set_is_a_problem(bot: Path) -> None:
    (bot / "credentials.yml").write_text(f"{SECTION}:\nslack:\n  slack_token: ${{NO_SUCH_TOKEN}}\n")
    assert "NO_SUCH_TOKEN is not set" in only(examined(bot), "settings", Level.PROBLEM).text


# Channels


def service_account(folder: Path) -> str:
    """The path of a key file as Google makes them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    known = {"client_email": "bot@example.iam", "token_uri": "https://oauth2.example/token", "private_key": pem}
    path = folder / "service-account.json"
    path.write_text(json.dumps({"type": "service_account", **known}))
    return str(path)


def test_each_channel_says_how_users_are_reached(bot: Path) -> None:
    credentials(bot, rest=None, callback={"url": "http://127.0.0.1/"})
    found = examined(bot)
    assert "agents do not reach users who do not write" in only(found, "rest", Level.WARNING).text
    assert only(found, "callback", Level.FINE).text.startswith("callback: agents reach users who do not write")
    assert any(each.startswith("from users: text") for each in only(found, SECTION, Level.FINE).details)


STOCK = sorted(BUILTIN_CHANNELS.keys() - {"cmdline", "telegram", "socketio"})

OWN = """\
from rasa.core.channels.channel import InputChannel
from rasa.core.channels.rest import RestInput


class Called(InputChannel):
    @classmethod
    def name(cls):
        return "called"

    def get_output_channel(self):
        return None


class Asked(RestInput):
    @classmethod
    def name(cls):
        return "asked"
"""


def test_a_channel_of_the_bots_own_is_judged_by_its_class(bot: Path) -> None:
    (bot / "my_channels_of_doctor.py").write_text(OWN)
    names = ["my_channels_of_doctor.Called", "my_channels_of_doctor.Asked"]
    credentials(bot, **dict.fromkeys(names))
    found = examined(bot)
    assert "get_output_channel()" in only(found, names[0], Level.FINE).text
    assert only(found, names[1], Level.WARNING)


@pytest.mark.parametrize("name", ["telegarm", "nowhere.Channel", "json.Channel"])
def test_a_channel_that_is_not_there_is_a_problem(bot: Path, name: str) -> None:
    credentials(bot, **{name: None})
    assert "cannot be loaded" in only(examined(bot), name, Level.PROBLEM).text


def test_socketio_that_loses_messages_is_a_problem(bot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials(bot, socketio={"session_persistence": True})
    assert not of(examined(bot), "socketio", Level.PROBLEM)

    async def enter_room(*_: Any, **__: Any) -> None:
        """As python-socketio 5.10 and later have it."""

    monkeypatch.setattr(socketio.AsyncServer, "enter_room", enter_room)
    assert "python-socketio<5.10" in str(only(examined(bot), "socketio", Level.PROBLEM).remedy)


def test_rasas_own_telegram_channel_is_a_problem_and_ours_is_not(bot: Path) -> None:
    told = {"access_token": "1:a", "verify": "bot", "webhook_url": "https://bot.example.com/webhooks/telegram/webhook"}
    credentials(bot, {"public_url": PUBLIC}, telegram=told)
    (said,) = of(examined(bot), "telegram")
    assert said.level is Level.PROBLEM, "that agents reach users there is not true"
    assert "rasa_handoff.channels.telegram.TelegramInput" in str(said.remedy)
    name = "rasa_handoff.channels.telegram.TelegramInput"
    credentials(bot, {"public_url": PUBLIC}, **{name: told})
    (said,) = of(examined(bot), name)
    assert said.level is Level.FINE
    assert not [each for each in said.details if "in the place of" in each], "it stands there already"


def test_nothing_is_asked_without_connect(bot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rasa's own Bot Framework channel asks Microsoft for its keys when it is made."""

    def connect(*_: Any) -> None:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    credentials(bot, {"public_url": PUBLIC}, **{name: {"app_id": "a"} for name in STOCK})
    found = examined(bot)
    assert [each.text for each in of(found, "botframework") if each.level is Level.FINE]
    assert "somebody was asked" not in str(found)


def test_settings_that_a_channel_lacks_are_a_problem(bot: Path) -> None:
    """It is what Rasa itself says when it starts."""
    credentials(bot, slack=None)
    assert "cannot be loaded" in only(examined(bot), "slack", Level.PROBLEM).text


def test_what_is_set_for_a_channel_is_checked(bot: Path) -> None:
    credentials(bot, {"channels": {"facebook": {"human_agent": True}}}, rest=None)
    assert not of(examined(bot), "settings")
    credentials(bot, {"channels": {"facebook": {"humans": True}}}, rest=None)
    assert "channels.facebook.humans" in only(examined(bot), "settings", Level.PROBLEM).text


def test_google_chat_reaches_nobody_unasked_without_a_service_account(bot: Path) -> None:
    chat, ours = {"project_id": "1234567890"}, {"public_url": PUBLIC}
    credentials(bot, ours, hangouts=chat)
    told = only(examined(bot), "hangouts", Level.WARNING)
    assert told.text.startswith("hangouts: agents do not reach users who do not write")
    assert "service_account" in str(told.remedy)
    credentials(bot, {**ours, "channels": {"hangouts": {"service_account": service_account(bot)}}}, hangouts=chat)
    assert only(examined(bot), "hangouts", Level.FINE).text.startswith("hangouts: agents reach users")


def test_files_that_need_the_channels_credentials_need_a_public_url(bot: Path) -> None:
    slack = {"slack_token": "xoxb", "slack_signing_secret": "s"}
    credentials(bot, slack=slack)
    assert "there is no public_url" in only(examined(bot), "slack", Level.WARNING).text
    credentials(bot, {"public_url": "https://bot.example.com"}, slack=slack)
    assert not of(examined(bot), "slack", Level.WARNING)


# The domain


def test_a_slot_that_users_fill_is_a_problem(bot: Path) -> None:
    change(
        bot / "domain.yml",
        (
            "  handoff_agent: {type: text, influence_conversation: false, mappings: []}",
            "  handoff_agent: {type: text, mappings: [{type: from_text}]}",
        ),
    )
    found = only(examined(bot), "handoff_agent", Level.PROBLEM)
    assert re.match(r"domain\.yml:\d+: the slot handoff_agent is also filled by from_text", found.text)
    line = int(found.text.split(":")[1])
    assert "handoff_agent" in (bot / "domain.yml").read_text().splitlines()[line - 1]


def test_a_slot_of_a_type_that_holds_no_word_is_a_problem(bot: Path) -> None:
    change(bot / "domain.yml", ("handoff_backend: {type: text", "handoff_backend: {type: bool"))
    assert "of type bool" in only(examined(bot), "handoff_backend", Level.PROBLEM).text


def test_a_slot_that_rules_read_has_to_influence_them(bot: Path) -> None:
    text = (bot / "domain.yml").read_text()
    before, _, after = text.partition("influence_conversation: true")
    (bot / "domain.yml").write_text(f"{before}influence_conversation: false{after}")
    assert "they never run" in only(examined(bot), "handoff_status", Level.PROBLEM).text


def test_values_that_a_slot_does_not_know_are_named(bot: Path) -> None:
    change(bot / "domain.yml", ("      - agent_left\n", ""))
    assert "takes agent_left for `__other__`" in only(examined(bot), "handoff_end_reason", Level.WARNING).text


def test_slots_and_responses_may_be_left_out(bot: Path) -> None:
    change(bot / "domain.yml", ("  handoff_id: ", "  other_id: "), ("utter_handoff_joined:", "utter_joined:"))
    found = examined(bot)
    assert "handoff_id" in only(found, "slots", Level.WARNING).text
    # The rule that names it for `rasa data validate` still does.
    assert only(found, "utter_handoff_joined", Level.PROBLEM)
    change(bot / "data" / "handoff.yml", ("      - action: utter_handoff_joined\n", ""))
    assert "utter_handoff_joined" in only(examined(bot), "responses", Level.WARNING).text


# Rules and examples


def test_an_intent_without_examples_is_a_problem_and_with_few_a_warning(bot: Path) -> None:
    change(
        bot / "data" / "handoff.yml",
        ("- intent: handoff_request\n    examples: |\n", "- intent: another\n    examples: |\n"),
    )
    assert "nobody's words lead there" in only(examined(bot), missing.ASKED, Level.PROBLEM).text
    (bot / "data" / "few.yml").write_text("nlu:\n- intent: handoff_request\n  examples: |\n    - human\n    - person\n")
    assert "2 examples only" in only(examined(bot), missing.ASKED, Level.WARNING).text


def test_reasons_that_no_rule_is_for_are_named(bot: Path) -> None:
    rule = "  - rule: The handoff is over\n"
    condition = "    condition:\n      - slot_was_set:\n          - handoff_end_reason: agent_closed\n"
    change(bot / "data" / "handoff.yml", (rule, rule + condition))
    text = only(examined(bot), "ended", Level.WARNING).text
    assert "user_left" in text
    assert "agent_closed" not in text


def test_a_rule_that_never_runs_is_for_no_reason(bot: Path) -> None:
    rule = "  - rule: The handoff is over\n"
    condition = "    condition:\n      - slot_was_set:\n          - handoff_status: queued\n"
    change(bot / "data" / "handoff.yml", (rule, rule + condition))
    assert "agent_closed" in only(examined(bot), "ended", Level.WARNING).text


def test_the_example_bot_has_a_rule_for_each_reason() -> None:
    root = Path(__file__).resolve().parent.parent
    case = doctor.take(project.read(places.find(root / "example_bot", actions=root / "example_bot" / "actions")))
    found = list(doctor.examine(case).findings())
    assert only(found, "ended", Level.FINE)
    assert not of(found, "forms")
    assert [each.text for each in found if each.level is Level.PROBLEM] == [
        "Rasa knows no action server."
    ]  # it is in /


def test_rules_without_their_policy_are_a_problem(bot: Path) -> None:
    (bot / "config.yml").write_text("policies:\n- name: TEDPolicy\n")
    assert only(examined(bot), "policies", Level.PROBLEM).lines == ("policies:", "  - name: RulePolicy")


def test_a_form_that_takes_everything_is_a_warning(bot: Path) -> None:
    (bot / "domain.yml").write_text(
        (bot / "domain.yml").read_text() + "forms:\n  order: {required_slots: [x], ignored_intents: greet}\n"
    )
    found = only(examined(bot), "forms", Level.WARNING)
    assert found.lines[-1] == "    ignored_intents: [greet, handoff_closed, handoff_request]"


# The actions


def test_an_action_server_elsewhere_has_to_find_its_way_back(bot: Path) -> None:
    endpoints(bot, action_endpoint={"url": "http://actions:5055/webhook"})
    assert "HANDOFF_TOKEN=<add one to credentials.yml>" in only(examined(bot), "action_endpoint", Level.WARNING).lines
    credentials(bot, {"token": TOKEN, "public_url": "https://bot.example.com"})
    lines = only(examined(bot), "action_endpoint", Level.WARNING).lines
    assert lines == ("HANDOFF_URL=https://bot.example.com", "HANDOFF_TOKEN=<the one in credentials.yml>")


def test_an_action_endpoint_that_is_no_address_is_a_problem(bot: Path) -> None:
    endpoints(bot, action_endpoint={"url": "localhost:5055/webhook"})
    assert only(examined(bot), "action_endpoint", Level.PROBLEM)


def test_actions_that_are_not_here_are_a_warning(bot: Path) -> None:
    shutil.rmtree(bot / "actions")
    assert only(examined(bot), "actions_module", Level.WARNING).lines == ("from rasa_handoff.actions import *",)


# Processes

POSTGRESQL = {"database": "postgresql://user:secret@127.0.0.1:1/handoff"}
REDIS = {"type": "redis", "url": "127.0.0.1", "port": 1}


def test_several_processes_need_what_they_can_share(bot: Path) -> None:
    endpoints(bot, action_endpoint={"url": "http://localhost:5055/webhook"})
    found = examined(bot, 3)
    for about in ("database", "lock_store", "tracker_store"):
        assert only(found, about, Level.PROBLEM).lines, about
    assert not [each for each in examined(bot, 1) if each.level is Level.PROBLEM]


def test_several_processes_with_all_of_it_are_fine(bot: Path) -> None:
    trackers = {"type": "SQL", "dialect": "postgresql", "url": "db"}
    endpoints(bot, action_endpoint={"url": "http://localhost:5055/webhook"}, lock_store=REDIS, tracker_store=trackers)
    credentials(bot, POSTGRESQL)
    found = examined(bot, 3)
    assert bad(found) == []
    assert "secret" not in str(found)


def test_one_process_on_postgresql_is_told_of_the_second(bot: Path) -> None:
    credentials(bot, POSTGRESQL)
    assert only(examined(bot), "lock_store", Level.NOTE)


def test_the_workers_that_rasa_starts_are_asked_for_in_the_environment(
    bot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANIC_WORKERS", "2")
    found = examined(bot)
    assert "Rasa starts one worker" in only(found, "workers", Level.WARNING).text
    assert only(found, "database", Level.PROBLEM)
    monkeypatch.setenv("SANIC_WORKERS", "many")
    assert "'many'" in only(examined(bot), "workers", Level.WARNING).text


def test_postgresql_without_its_driver_is_a_problem(bot: Path) -> None:
    credentials(bot, POSTGRESQL)
    assert only(examined(bot, psycopg2=None, psycopg2_binary=None), "database", Level.PROBLEM)


def test_a_tracker_store_in_memory_is_a_warning(bot: Path) -> None:
    endpoints(bot, action_endpoint={"url": "http://localhost:5055/webhook"})
    assert only(examined(bot), "tracker_store", Level.WARNING).lines[0] == "tracker_store:"


# Packages


@pytest.mark.parametrize(
    ("versions", "level"),
    [
        ({"rasa": "3.6.21", "rasa_pro": None}, Level.FINE),
        ({"rasa": "3.6.4", "rasa_pro": None}, Level.WARNING),
        ({"rasa": "2.8.34", "rasa_pro": None}, Level.PROBLEM),
        ({"rasa": None, "rasa_pro": None}, Level.NOTE),
        ({"rasa": None, "rasa_pro": "3.21.0"}, Level.WARNING),
    ],
)
def test_rasas_version_is_judged(bot: Path, versions: dict[str, str | None], level: Level) -> None:
    assert [
        each.level for each in of(examined(bot, **versions), "rasa") if "tested" in each.text or "Rasa" in each.text
    ][-1] is level


# Connections


class Answering(ThreadingHTTPServer):
    """A server that gives what its test says, and writes down what it was asked."""

    def __init__(self, answers: dict[str, tuple[int, Any]], waits_for: threading.Event | None) -> None:
        asked = self.asked = []  # type: list[str]

        class Take(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(f"GET {self.path}")
                if waits_for is not None:
                    waits_for.wait(60)
                status, content = answers.get(self.path, (404, {}))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, format: str, *args: Any) -> None:
                return

        super().__init__(("127.0.0.1", 0), Take)
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Callable[..., Answering]]:
    running: list[Answering] = []

    def start(answers: dict[str, tuple[int, Any]], waits_for: threading.Event | None = None) -> Answering:
        running.append(Answering(answers, waits_for))
        threading.Thread(target=running[-1].serve_forever, daemon=True).start()
        return running[-1]

    yield start
    for each in running:
        each.shutdown()
        each.server_close()


def connected(bot: Path) -> list[Finding]:
    case = doctor.take(project.read(places.find(bot)))
    (group,) = [each for each in doctor.examine(case, connect=True).groups if each.title == "Connections"]
    return list(group.findings)


def test_an_action_server_says_whether_it_serves_ours(bot: Path, server: Any) -> None:
    theirs = server({"/actions": (200, [{"name": "action_hello"}])})
    endpoints(bot, action_endpoint={"url": f"{theirs.url}/webhook"})
    assert "does not serve action_handoff" in only(connected(bot), "action_endpoint", Level.PROBLEM).text
    ours = server({"/actions": (200, [{"name": "action_hello"}, {"name": "action_handoff"}])})
    endpoints(bot, action_endpoint={"url": f"{ours.url}/webhook"})
    assert only(connected(bot), "action_endpoint", Level.FINE)
    assert ours.asked == ["GET /actions"]


def test_what_does_not_answer_is_a_problem(bot: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        endpoints(bot, action_endpoint={"url": f"{url}/webhook"}, lock_store={**REDIS, "port": nobody.getsockname()[1]})
        credentials(bot, {**POSTGRESQL, "public_url": url})
        found = connected(bot)
    for about in ("action_endpoint", "lock_store", "database", "public_url"):
        assert only(found, about, Level.PROBLEM)
    assert "secret" not in str(found)


def test_what_hangs_is_given_up(bot: Path, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.connections, "TIMEOUT", 0.3)
    over = threading.Event()
    silent = server({"/actions": (200, [{"name": "action_handoff"}])}, waits_for=over)
    endpoints(bot, action_endpoint={"url": f"{silent.url}/webhook"})
    assert only(connected(bot), "action_endpoint", Level.PROBLEM)  # and not FINE, as when the answer is waited for
    over.set()


def test_the_public_url_has_to_lead_to_the_plugin(bot: Path, server: Any) -> None:
    ours = server({"/webhooks/handoff/": (200, {"status": "ok"})})
    credentials(bot, {"public_url": ours.url})
    assert only(connected(bot), "public_url", Level.FINE)
    other = server({"/webhooks/handoff/": (200, {"hello": "there"})})
    credentials(bot, {"public_url": other.url})
    assert only(connected(bot), "public_url", Level.PROBLEM)


def test_a_server_that_runs_is_found(bot: Path, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = server({"/webhooks/handoff/": (200, {"status": "ok"})})
    monkeypatch.setenv("HANDOFF_URL", ours.url)
    monkeypatch.setenv("HANDOFF_TOKEN", TOKEN)
    assert only(connected(bot), "server", Level.FINE)


def test_the_databases_answer(bot: Path, new_database: str) -> None:
    credentials(bot, {"database": new_database})
    assert only(connected(bot), "database", Level.FINE).text.startswith("PostgreSQL ")


def test_the_lock_store_answers(bot: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [redis_program(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    endpoints(bot, action_endpoint={"url": "http://127.0.0.1:1/webhook"}, lock_store={**REDIS, "port": port})
    try:
        until(lambda: of(connected(bot), "lock_store", Level.FINE), what="an answer of Redis")
    finally:
        process.terminate()
        process.wait(60)


def test_an_sqlite_file_is_looked_into_and_not_made(bot: Path) -> None:
    path = bot / ".rasa_handoff" / "handoff.db"
    assert only(connected(bot), "database", Level.FINE)
    assert not path.parent.exists()
    path.parent.mkdir(mode=0o700)
    sqlite3.connect(path).execute("CREATE TABLE x (y)").connection.close()
    assert "is sound" in only(connected(bot), "database", Level.FINE).text
    path.write_bytes(b"no database" * 1000)
    assert only(connected(bot), "database", Level.PROBLEM)


PUBLIC = "https://bot.example.com"
KEY = "k" * 40


def of_their_domains(service: str) -> tuple[str, tuple[int, Any]]:
    path = f"/api/account/1234/service/{service}/baseURI.json?version=1.0"
    return path, (200, {"service": service, "baseURI": "host.example.com"})


LIVEPERSON = dict(map(of_their_domains, ("asyncMessagingEnt", "conversationVep")))

# Of each agent system: its settings, given where it is, and what alone it may be asked.
SYSTEMS: dict[str, tuple[Callable[[str], dict[str, Any]], str]] = {
    "yellow": (lambda url: {"url": url, "company": "acme", "token": KEY, "webhook_token": KEY}, "/"),
    "avaamo": (lambda url: {"webhook_url": f"{url}/start?key={KEY}", "access_token": KEY}, "/"),
    "vonage": (
        lambda url: {
            "vgai_key": KEY,
            "start_connection": {"url": f"{url}/start?key={KEY}"},
            "inbound_transfer": {"url": f"{url}/transfer"},
        },
        "/",
    ),
    "liveperson": (
        lambda url: {"account": "1234", "client_id": "app", "client_secret": KEY, "domain_api": url},
        "/api/account/1234/service/asyncMessagingEnt/baseURI.json?version=1.0",
    ),
    "liveperson_chat": (
        lambda url: {"account": "1234", "domain_api": url},
        "/api/account/1234/service/conversationVep/baseURI.json?version=1.0",
    ),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_agent_system_is_asked_for_nothing_that_has_an_effect(bot: Path, server: Any, name: str) -> None:
    section, path = SYSTEMS[name]
    theirs = server(LIVEPERSON)
    credentials(bot, {"public_url": PUBLIC, "backends": {name: section(theirs.url)}})
    assert only(connected(bot), name, Level.FINE)
    assert theirs.asked == [f"GET {path}"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_agent_system_that_is_gone_is_a_problem(bot: Path, server: Any, name: str) -> None:
    section, path = SYSTEMS[name]
    theirs = server({path: (503, {})})
    credentials(bot, {"public_url": PUBLIC, "backends": {name: section(theirs.url)}})
    found = only(connected(bot), name, Level.PROBLEM)
    assert found.text.startswith(f"{name}: could not ")
    assert "HTTP 503" in found.text
    assert KEY not in str(found)


def test_an_account_that_nobody_knows_is_a_problem(bot: Path, server: Any) -> None:
    credentials(bot, {"backends": {"liveperson_chat": {"account": "999", "domain_api": server(LIVEPERSON).url}}})
    assert "HTTP 404" in only(connected(bot), "liveperson_chat", Level.PROBLEM).text


def an_agent_at(vendor: LivePerson, **more: Any) -> dict[str, Any]:
    return {"account": ACCOUNT, "username": USER, "password": PASSWORD, "domain_api": vendor.url, **more}


def test_a_bot_that_is_to_be_an_agent_signs_in_and_leaves_everything_else_alone(bot: Path) -> None:
    with LivePerson() as vendor:
        credentials(bot, {"backends": {"liveperson_agent": {"skill": "Billing"}}}, **{CHANNEL: an_agent_at(vendor)})
        found = only(connected(bot), "liveperson_agent", Level.FINE)
    assert found.text == "liveperson_agent: knows the account, and lets robot in"
    asked = [(each.method, each.path.rpartition("/")[2]) for each in vendor.wire.asked]
    # Signing out would send the chats that this agent holds elsewhere back to the queue.
    assert asked == [("GET", "baseURI.json"), ("POST", "login")]


@pytest.mark.parametrize(
    ("wrong", "says", "remedy"),
    [
        ({"password": "another"}, "could not sign in: HTTP 401", "See username and password"),
        ({"account": "999"}, "could not look up its domains: HTTP 400", "See account"),
    ],
)
def test_an_agent_that_is_not_let_in_is_told_what_to_look_at(
    bot: Path, wrong: dict[str, str], says: str, remedy: str
) -> None:
    with LivePerson() as vendor:
        credentials(bot, {}, **{CHANNEL: an_agent_at(vendor, **wrong)})
        found = only(connected(bot), "liveperson_agent", Level.PROBLEM)
    assert found.text.startswith(f"liveperson_agent: {says}")
    assert (found.remedy or "").startswith(remedy)
    assert PASSWORD not in str(found)


def test_an_agent_whose_vendor_is_down_is_to_be_tried_again(bot: Path) -> None:
    with LivePerson() as vendor:
        vendor.wire.fail(503, path="*/login")
        credentials(bot, {}, **{CHANNEL: an_agent_at(vendor)})
        found = only(connected(bot), "liveperson_agent", Level.PROBLEM)
    assert "HTTP 503" in found.text
    assert (found.remedy or "").startswith("Try again")


def test_an_agent_who_is_signed_in_is_not_signed_in_again(
    bot: Path, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = server({"/webhooks/liveperson_agent/": (200, {"status": "ok", "signed_in": True})})
    monkeypatch.setenv("HANDOFF_URL", ours.url)
    monkeypatch.setenv("HANDOFF_TOKEN", TOKEN)
    with LivePerson() as vendor:
        credentials(bot, {}, **{CHANNEL: an_agent_at(vendor)})
        assert "is signed in" in only(connected(bot), "liveperson_agent", Level.FINE).text
    assert vendor.wire.asked == []
