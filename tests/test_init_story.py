"""A bot as `rasa init` makes it, `rasa-handoff init`, and nothing else: a person takes over, and the bot is back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import rasa.cli

from tests.servers import _ENVIRONMENT, ROOT, Agent, Bot, Process, free_port, until

pytestmark = pytest.mark.processes

# What `rasa init --no-prompt` copies.
FRESH = Path(rasa.cli.__file__).parent / "initial_project"


class FreshBot(Bot):
    """The bot of `rasa init`, whose owner ran `rasa-handoff init`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.actions_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        shutil.copytree(FRESH, folder, ignore=shutil.ignore_patterns("__pycache__"))
        # Rasa's own pipeline takes a minute to train, this one some seconds.
        shutil.copy(ROOT / "example_bot" / "config.yml", folder)
        assert self.command("init", "--yes").startswith("--- ")
        endpoints = folder / "endpoints.yml"
        endpoints.write_text(endpoints.read_text().replace("localhost:5055", f"127.0.0.1:{self.actions_port}"))

    def command(self, *arguments: str) -> str:
        """What `rasa-handoff` says in the bot's folder."""
        return self._run("-m", "rasa_handoff", *arguments)

    def validate(self) -> str:
        return self._run("-m", "rasa", "data", "validate")

    def train(self) -> None:
        self._run("-m", "rasa", "train", "--fixed-model-name", "bot")
        rasa = ["-m", "rasa", "run", "--enable-api", "--port", str(self.port)]
        actions = ["-m", "rasa", "run", "actions", "--port", str(self.actions_port)]
        self.rasa = Process("rasa", rasa, self.folder, f"{self.url}/webhooks/handoff/")
        self.actions = Process("actions", actions, self.folder, f"http://127.0.0.1:{self.actions_port}/health")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=_ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshBot]:
    bot = FreshBot(tmp_path_factory.mktemp("fresh") / "bot")
    bot.train()
    try:
        bot.start()
        yield bot
    finally:
        bot.stop()


def test_rasa_finds_nothing_wrong_with_the_data(bot: FreshBot) -> None:
    said = bot.validate()
    assert "No story structure conflicts found" in said
    for fault in ("handoff", "UserWarning", "is not used", "not listed"):
        assert fault not in said


def test_the_doctor_has_no_problem_with_the_bot_that_runs(bot: FreshBot) -> None:
    found = json.loads(bot.command("doctor", "--connect", "--json"))
    assert found["counts"]["problem"] == 0
    asked = {each["about"]: each["level"] for each in found["findings"] if each["group"] == "Connections"}
    assert asked == {"server": "fine", "action_endpoint": "fine", "database": "fine", "desk": "fine"}


def test_a_second_init_has_nothing_to_do(bot: FreshBot) -> None:
    assert bot.command("init", "--yes").startswith("Nothing to write")


def test_a_person_takes_over_and_the_bot_is_back(bot: FreshBot) -> None:
    agent = Agent(bot)
    agent.come()
    assert bot.say("are you a bot?", "ann")[0]["text"] == "I am a bot, powered by Rasa."
    assert "getting a person" in bot.say("I want to talk to an agent", "ann")[0]["text"]
    chat = agent.accept("ann")
    bot.say("my order is lost", "ann")
    until(lambda: "my order is lost" in agent.heard(chat), what="the message at the desk")
    agent.reply(chat, "I found it")
    heard: list[str] = []

    def hears(words: str) -> bool:
        """What the bot or the agent says comes with the answers of Rasa's rest channel."""
        heard.extend(each.get("text", "") for each in bot.say("goodbye", "ann"))
        return any(words in each for each in heard)

    until(lambda: hears("I found it"), what="the agent's answer")
    agent.close(chat)
    until(lambda: hears("Bye"), what="the bot's answer")
    assert any("Our colleague has closed the chat" in each for each in heard)
    agent.go()


def test_nobody_is_there_and_the_bot_stays(bot: FreshBot) -> None:
    said = bot.say("can I speak to a person", "bob")
    assert [each["text"] for each in said] == ["I am sorry, nobody is at the desk right now."]
    assert bot.say("goodbye", "bob")[0]["text"] == "Bye"
