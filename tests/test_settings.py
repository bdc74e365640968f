"""The section of credentials.yml, read whole, with every fault named."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from rasa_handoff.backends import settings_models
from rasa_handoff.desk.settings import DeskSettings
from rasa_handoff.errors import ConfigError
from rasa_handoff.settings import (
    DeadlineSetting,
    Settings,
    TextOrNumber,
    faults_in,
    read_duration,
    read_section,
    read_url,
    require_secret,
)

ROOT = Path(__file__).parent.parent
TOKEN = "t0ken-" * 6


class Agent(BaseModel, extra="forbid", frozen=True):
    name: str
    token: str


class Desk(BaseModel, extra="forbid", frozen=True):
    agents: list[Agent] = []


class Yellow(BaseModel, extra="forbid", frozen=True):
    url: str
    limit: int = 3


class Ward(BaseModel, extra="forbid", frozen=True):
    """A backend whose ids are numbers."""

    account: TextOrNumber | None = None
    beds: list[TextOrNumber] = []
    rooms: dict[str, TextOrNumber] = {}
    names: dict[str, str] = {}


MODELS = {"desk": Desk, "yellow": Yellow, "ward": Ward}


def read(**section: Any) -> Settings:
    return read_section(section, MODELS)


def faults(**section: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(**section)
    return caught.value.faults


def yaml(text: str) -> Any:
    """*text* as Rasa reads its credentials: YAML 1.2, in its round-trip form."""
    parser = YAML(typ="rt")
    parser.version = "1.2"
    return parser.load(text)


class Door(BaseModel):
    """What a backend needs, with something that it needs itself."""

    url: str


class House(BaseModel):
    """A backend that needs much."""

    name: str
    door: Door
    window: Door
    token: str
    site: str = "https://x.example"

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from faults_in(self, {"token": require_secret, "site": read_url, "name": read_url})
        yield from faults_in(self, {"door": lambda door: read_url(door.url)})


class TestDefaults:
    @pytest.mark.parametrize("section", [None, {}])
    def test_an_empty_section_is_the_desk_on_sqlite(self, section: dict[str, Any] | None) -> None:
        settings = read_section(section, MODELS)
        assert settings.backends == {"desk": Desk()}
        assert [rule.to for rule in settings.route] == ["desk"]
        assert settings.database == "sqlite:///.rasa_handoff/handoff.db"
        assert settings.token is None
        assert settings.deadlines == {
            "accept": DeadlineSetting(after=300, warn=240),
            "agent_reply": DeadlineSetting(after=25_000, warn=20_000),
            "user_idle": DeadlineSetting(after=1800, warn=1440),
        }
        assert (settings.open_timeout, settings.delivery_timeout) == (10, 1800)
        assert settings.retention == 30 * 86_400
        assert settings.end_words == ("/end",)
        assert settings.acknowledge is True

    def test_the_defaults_in_the_class_are_those_of_an_empty_section(self) -> None:
        empty = read_section(None, MODELS)
        plain = Settings()
        for name in ("database", "open_timeout", "delivery_timeout", "end_words", "retention", "redact"):
            assert getattr(plain, name) == getattr(empty, name)

    def test_a_key_with_nothing_behind_it_means_the_default(self) -> None:
        assert read_section(yaml("backends: {desk: }\ntoken:\ndatabase:\n"), MODELS) == read_section(None, MODELS)

    def test_there_is_one_rule_for_each_backend_in_their_order(self) -> None:
        settings = read(backends={"yellow": {"url": "https://y.example"}, "desk": {}})
        assert [rule.to for rule in settings.route] == ["yellow", "desk"]

    def test_an_agent_system_that_gives_out_links_needs_the_public_address(self) -> None:
        class Linking(BaseModel):
            needs_public_url: ClassVar[bool] = True

        models = {**MODELS, "acme": Linking}
        with pytest.raises(ConfigError, match="public_url: is missing; acme makes links that begin with it"):
            read_section({"backends": {"acme": {}}}, models)
        assert read_section({"public_url": "https://a.example", "backends": {"acme": {}}}, models).backends["acme"]

    def test_the_rest_is_checked_where_something_needed_is_missing(self) -> None:
        section = {"token": "short", "site": "x.example", "door": {}, "window": 3}
        with pytest.raises(ConfigError) as found:
            read_section({"backends": {"acme": section}}, {**MODELS, "acme": House})
        told = sorted(fault.partition(";")[0].removeprefix("backends.acme.") for fault in found.value.faults)
        assert told == [
            "door.url: is missing",
            "name: is missing",
            "site: must be an http:// or https:// address",
            "token: is shorter than 16 characters and could be guessed",
            "window: must be a mapping",
        ]

    def test_a_backend_s_model_can_say_more_than_types(self) -> None:
        class Careful(BaseModel):
            token: str
            site: str = "no address"

            def faults(self) -> Iterator[tuple[str, str]]:
                return faults_in(self, {"token": require_secret, "site": read_url})

        with pytest.raises(ConfigError) as found:
            read_section({"backends": {"acme": {"token": "short"}}}, {**MODELS, "acme": Careful})
        assert [fault.partition(";")[0] for fault in found.value.faults] == [
            "backends.acme.token: is shorter than 16 characters and could be guessed",
            "backends.acme.site: must be an http:// or https:// address",
        ]


class TestValues:
    def test_a_number_is_taken_for_text_where_people_write_numbers(self) -> None:
        routed = "route: [{to: desk, group: 14343, priority: 1}]\nend_words: [0]\n"
        section = yaml(routed + "backends: {desk: , ward: {beds: [7], rooms: {a: 12}}}")
        settings = read_section(section, MODELS)
        assert (settings.route[0].group, settings.route[0].priority) == ("14343", "1")
        assert settings.backends["ward"] == Ward(beds=["7"], rooms={"a": "12"})
        assert settings.end_words == ("0",)

    def test_a_url_loses_the_slash_at_its_end(self) -> None:
        assert read(public_url="https://bot.example.com/a/").public_url == "https://bot.example.com/a"

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("5m", 300), ("90s", 90), ("2h", 7200), ("1d", 86_400), ("1.5h", 5400), ("250ms", 0.25), (45, 45)],
    )
    def test_durations_are_written_as_people_say_them(self, text: Any, seconds: float) -> None:
        assert read_duration(text) == seconds

    def test_a_deadline_warns_at_four_fifths_unless_told_otherwise(self) -> None:
        deadlines = read(
            deadlines={
                "accept": "100s",
                "agent_reply": {"after": "10m", "warn": "1m"},
                "user_idle": {"after": 9, "warn": "off"},
            }
        ).deadlines
        assert deadlines["accept"] == DeadlineSetting(after=100, warn=80)
        assert deadlines["agent_reply"] == DeadlineSetting(after=600, warn=60)
        assert deadlines["user_idle"] == DeadlineSetting(after=9, warn=None)

    @pytest.mark.parametrize("off", ["off", False])
    def test_retention_can_be_off(self, off: Any) -> None:
        assert read(retention=off).retention is None

    def test_a_rule_is_read_whole(self) -> None:
        section = yaml(
            """
            route:
              - to: desk
                group: vip
                priority: high
                when: {slots: {topic: [billing, 7], paid: true}, channels: [slack]}
                hours: "Mon-Fri 09:00-17:00 Europe/Berlin"
            holidays: [2026-12-25, "2027-01-01"]
            """
        )
        (rule,) = read_section(section, MODELS).route
        assert (rule.to, rule.group, rule.priority) == ("desk", "vip", "high")
        assert rule.when.slots == {"topic": ("billing", 7), "paid": (True,)}
        assert rule.when.channels == ("slack",)
        assert rule.holidays == {date(2026, 12, 25), date(2027, 1, 1)}
        assert rule.hours is not None
        assert str(rule.hours.zone) == "Europe/Berlin"

    @pytest.mark.parametrize(
        "url",
        ["sqlite:///a.db", "sqlite:////var/a.db", "postgresql://u:p@h/db", "postgresql+psycopg2://h/db"],
    )
    def test_sqlite_and_postgresql_are_databases(self, url: str) -> None:
        assert read(database=url).database == url

    def test_switches_come_from_the_environment_as_text(self) -> None:
        assert read(chat_page="true").chat_page is True


class TestFaults:
    def test_one_message_names_every_fault_with_its_path(self) -> None:
        found = faults(
            tokn="x",
            token="short",
            public_url="ftp://x",
            database="mysql://x",
            backends={
                "desk": {"agents": [{"name": "A", "token": "t"}, {"nme": "B", "token": "t"}]},
                "dsk": {},
            },
            route=[{"to": "yello", "hours": "Mon-Fri 9-5"}, {"group": "x"}, "desk"],
            holidays=["2026-13-01"],
            deadlines={"accept": {"after": "5m", "warn": "6m"}, "user_idl": 3, "agent_reply": "soon"},
            open_timeout="60s",
            redact={"patterns": ["(", "a*"]},
            end_words=[" "],
            chat_page="perhaps",
        )
        paths = sorted(fault.split(": ")[0] for fault in found)
        assert paths == sorted(
            [
                "tokn",
                "token",
                "public_url",
                "database",
                "backends.desk.agents[1].nme",
                "backends.desk.agents[1].name",
                "backends.dsk",
                "route[0].to",
                "route[0].hours",
                "route[1].to",
                "route[2]",
                "holidays[0]",
                "deadlines.accept.warn",
                "deadlines.user_idl",
                "deadlines.agent_reply",
                "open_timeout",
                "redact.patterns[0]",
                "redact.patterns[1]",
                "end_words[0]",
                "chat_page",
            ]
        )

    @pytest.mark.parametrize(
        ("section", "fault"),
        [
            ({"tokn": "x"}, "tokn: there is no such setting; did you mean `token`?"),
            ({"backends": {"dsk": {}}}, "backends.dsk: there is no such backend; did you mean `desk`?"),
            ({"backends": {"yellow": {}}}, "backends.yellow.url: is missing; write `url: ...`"),
            (
                {"backends": {"desk": []}},
                "backends.desk: must be a mapping: `name: value` lines, indented below it",
            ),
            (
                {"backends": {"desk": {"agents": {}}}},
                "backends.desk.agents: must be a list; write `agents: [...]`",
            ),
            ({"backends": {}}, "backends: must name at least one backend; write `backends: {desk: {}}`"),
            (
                {"backends": {"desk": {"agents": [{"name": "Bo"}]}}},
                "backends.desk.agents[0].token: is missing; write `token: ${TOKEN}`",
            ),
            (
                {"backends": {"yellow": {"url": "u", "limit": "many"}}},
                "backends.yellow.limit: must be a whole number; write `limit: 1`",
            ),
            ({"chat_page": "perhaps"}, "chat_page: must be true or false; write `chat_page: true`"),
            ({"route": [{"to": "yellow"}]}, "route[0].to: names no backend of yours; known: desk"),
            ({"route": []}, "route: is empty; write at least `- {to: desk}`, or leave the setting out"),
            (
                {"deadlines": {"accept": {"warn": 3}}},
                "deadlines.accept.after: is missing; write e.g. {after: 5m, warn: 4m}",
            ),
            (
                {"database": "postgres://h/d"},
                "database: begins with postgres://; write postgresql:// instead",
            ),
            (
                {"token": "${HANDOFF_TOKEN}"},
                "token: ${HANDOFF_TOKEN} was not filled in; set the environment variable HANDOFF_TOKEN "
                "before Rasa starts, and write ${HANDOFF_TOKEN} without quotes",
            ),
        ],
    )
    def test_a_fault_says_what_to_write(self, section: dict[str, Any], fault: str) -> None:
        assert faults(**section) == [fault]

    @pytest.mark.parametrize(
        ("written", "read"),
        [("5", "a number"), ("0.5", "a number"), ("true", "true or false"), ("2026-11-20", "a date")],
    )
    @pytest.mark.parametrize(
        ("line", "path"),
        [
            ("deleted_text: {}", "deleted_text"),
            ("database: {}", "database"),
            ("agents: {{name: {}}}", "agents.name"),
            ("redact: {{slots: [a, {}]}}", "redact.slots[1]"),
            ("route: [{{to: desk, hours: {}}}]", "route[0].hours"),
            ("backends: {{desk: {{agents: [{{name: {}, token: t}}]}}}}", "backends.desk.agents[0].name"),
            ("backends: {{ward: {{names: {{a: {}}}}}}}", "backends.ward.names.a"),
        ],
    )
    def test_what_yaml_takes_for_something_else_than_text_needs_quotes(
        self, line: str, path: str, written: str, read: str
    ) -> None:
        assert faults(**yaml(line.format(written))) == [
            f"{path}: must be text, and without quotes this is {read}; put it in quotes"
        ]

    @pytest.mark.parametrize("written", ["[5]", "{a: 5}"])
    def test_a_list_or_a_mapping_is_no_text(self, written: str) -> None:
        assert faults(**yaml(f"deleted_text: {written}")) == ["deleted_text: must be text; write `deleted_text: ...`"]

    @pytest.mark.parametrize("written", ["1.50", "true", "2026-11-20"])
    def test_where_a_number_is_text_nothing_else_is_that_would_come_out_otherwise(self, written: str) -> None:
        (fault,) = faults(**yaml(f"backends: {{ward: {{account: {written}}}}}"))
        assert fault.startswith("backends.ward.account: must be text, and without quotes this is ")

    def test_what_is_wrong_with_a_text_does_not_hide_the_rest(self) -> None:
        found = faults(**yaml("deleted_text: 5\ntoken: short\nbackends: {yellow: {url: 7, limit: many}}"))
        assert sorted(fault.partition(":")[0] for fault in found) == [
            "backends.yellow.limit",
            "backends.yellow.url",
            "deleted_text",
            "token",
        ]

    def test_a_section_that_is_no_mapping_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="the section must be settings"):
            read_section("desk", MODELS)  # type: ignore[arg-type]

    @pytest.mark.parametrize("text", ["", "soon", "-5m", "0s", "5 weeks", "1e9", "inf", "20000d", True, None, [5]])
    def test_what_is_no_duration_is_refused(self, text: Any) -> None:
        with pytest.raises(ValueError, match=r"write e\.g\. 90s"):
            read_duration(text)

    @pytest.mark.parametrize(
        "url",
        [
            "bot.example.com",
            "https://",
            "https://a b",
            "https://u:p@h",
            "https://h/?a=1",
            "https://h:99999",
            "https://[x",
        ],
    )
    def test_what_is_no_address_is_refused(self, url: str) -> None:
        (fault,) = faults(public_url=url)
        assert fault.startswith("public_url: ")
        assert fault.endswith("write e.g. https://bot.example.com")

    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://h/d", "handoff.db"])
    def test_a_database_that_forgets_is_refused(self, url: str) -> None:
        (fault,) = faults(database=url)
        assert fault.startswith("database: must be a file of SQLite or a database of PostgreSQL")

    def test_no_secret_is_in_a_message_or_a_repr(self) -> None:
        secrets = [
            "s3cret-short",
            "s3cret token with spaces that is long enough",
            "s3cret-agent",
            "s3cret-db",
        ]
        told: list[str] = []
        for token in secrets[:2]:
            told += faults(token=token, database="mysql://u:s3cret-db@h/d", tokn="s3cret-typo")
        told += faults(backends={"desk": {"agents": [{"name": {"s3cret-agent": 1}, "token": ["s3cret-agent"]}]}})
        settings = read(
            token="s3cret" + TOKEN,
            database="postgresql://u:s3cret@h/d",
            backends={"desk": {"agents": [{"name": "A", "token": "s3cret"}]}},
        )
        assert "s3cret" not in "".join(told) + repr(settings)


class TestAgentSystems:
    """What their own settings take for text."""

    def fault(self, setting: str, value: Any) -> str | None:
        """What is wrong with *value* as the only thing that is set."""
        name, _, inner = setting.partition(".")
        with pytest.raises(ConfigError) as caught:
            read_section({"backends": {name: {inner: value}, "nowhere": {}}}, settings_models())
        found = (each.partition(": ") for each in caught.value.faults)
        return next((what for path, _, what in found if path == f"backends.{setting}"), None)

    @pytest.mark.parametrize(
        "setting",
        [
            "livechat.license_id",
            "livechat.group",
            "liveperson.account",
            "liveperson.skill",
            "liveperson_chat.account",
            "liveperson_agent.agent",
            "yellow.company",
            "yellow.country_code",
        ],
    )
    def test_ids_may_be_numbers(self, setting: str) -> None:
        assert self.fault(setting, 123) is None
        assert self.fault(setting, True) is not None

    @pytest.mark.parametrize("setting", ["livechat.client_secret", "liveperson.client_secret", "yellow.token"])
    def test_secrets_may_not_for_yaml_may_have_dropped_a_zero(self, setting: str) -> None:
        told = self.fault(setting, 1234567890123456)
        assert told is not None
        assert told.startswith("must be text, and without quotes this is a number; put it in quotes")


class TestChannels:
    """What is set for Rasa's channels has models of its own, as backends have."""

    class Model(BaseModel, extra="forbid"):
        human_agent: bool = False

    def read(self, **channels: Any) -> Settings:
        return read_section({"channels": channels}, MODELS, {"facebook": self.Model})

    def test_are_read(self) -> None:
        assert self.read(facebook={"human_agent": True}).channels == {"facebook": self.Model(human_agent=True)}
        assert self.read(facebook=None).channels == {"facebook": self.Model()}

    def test_a_channel_with_nothing_to_set_is_a_fault(self) -> None:
        with pytest.raises(ConfigError, match="did you mean `facebook`"):
            self.read(facebok={})

    def test_a_wrong_setting_is_a_fault(self) -> None:
        with pytest.raises(ConfigError, match=r"channels\.facebook\.human_agent"):
            self.read(facebook={"human_agent": "perhaps"})


@pytest.mark.parametrize(("told", "size"), [("25MB", 25 * 1024**2), ("500kB", 500 * 1024), (1000, 1000)])
def test_a_size_has_a_unit_or_is_in_bytes(told: Any, size: int) -> None:
    read = read_section({"largest_file": told, "all_files": told}, MODELS)
    assert (read.largest_file, read.all_files) == (size, size)


@pytest.mark.parametrize("told", ["much", "-1", 0, True, "1TB"])
def test_what_is_no_size_is_a_fault(told: Any) -> None:
    for name in ("largest_file", "all_files"):
        with pytest.raises(ConfigError, match=f"{name}: is not a size"):
            read_section({name: told}, MODELS)


def test_pydantic_2_reads_the_same_way() -> None:
    """The same tests, under the newest pydantic 2, in a process of its own."""
    if os.environ.get("HANDOFF_PYDANTIC_2"):
        pytest.skip("this is that process")
    folder = ROOT / ".cache" / "pydantic2"
    if not (folder / "pydantic").exists():
        install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), "pydantic>=2,<3"]
        done = subprocess.run(install, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip("pydantic 2 cannot be installed: the package registry is not reachable")
    path = os.pathsep.join([str(folder), str(ROOT)])
    version = "import pydantic; print(pydantic.VERSION)"
    environment = {**os.environ, "PYTHONPATH": path, "HANDOFF_PYDANTIC_2": "1"}
    found = subprocess.run(
        [sys.executable, "-c", version],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert re.match(r"2\.", found.stdout)
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", __file__]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4000:]


class TestTheDocs:
    """docs/settings.md shows only what works."""

    PAGE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")

    def test_every_example_is_accepted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HANDOFF_TOKEN", TOKEN)
        examples = re.findall(r"```yaml\n(.*?)```", self.PAGE, re.DOTALL)
        assert len(examples) > 5
        for example in examples:
            filled = re.sub(r"\$\{(\w+)\}", lambda found: found[1] + TOKEN, example)
            section = yaml(filled)["rasa_handoff.HandoffInput"] or {}
            section.pop("channels", None)  # their models need Rasa; tests/test_docs.py reads them
            read_section(section, {**MODELS, "desk": DeskSettings})

    def test_every_setting_has_its_line(self) -> None:
        for name in [*(setting.name for setting in fields(Settings)), "holidays"]:
            assert f"| `{name}` |" in self.PAGE, name
