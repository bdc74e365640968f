"""A conversation goes to the agents though its user did not ask, on a real Rasa server with the example bot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers import Agent, Bot, running, until


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    with running(Bot(tmp_path_factory.mktemp("bot"))) as bot:
        yield bot


@pytest.fixture
def agent(bot: Bot) -> Iterator[Agent]:
    agent = Agent(bot)
    agent.come()
    yield agent
    agent.go()


def take(bot: Bot, user: str, **wishes: str) -> dict[str, Any]:
    """Take a conversation over; the handoff."""
    handoff: dict[str, Any] = bot.operator("POST", "/handoffs/take", {"sender_id": user, **wishes})["handoff"]
    return handoff


def slot(bot: Bot, user: str) -> Any:
    return bot.tracker(user)["slots"]["handoff_status"]


def texts(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["text"] for answer in answers if "text" in answer]


def test_from_the_next_message_on_an_agent_has_the_user(bot: Bot, agent: Agent) -> None:
    bot.say("hello", "tina")
    handoff = take(bot, "tina", group="billing")
    assert (handoff["status"], handoff["channel"], handoff["group"]) == ("queued", "rest", "billing")
    until(lambda: bot.tracker("tina")["paused"] and slot(bot, "tina") == "queued", what="the bot to be quiet")
    assert "9:00" not in str(bot.say("what are your opening hours?", "tina"))
    chat = agent.accept("tina")
    until(lambda: agent.heard(chat) == ["what are your opening hours?"])
    said = agent.ask("GET", f"/chats/{chat}")["transcript"]
    assert [line["text"] for line in said if line["who"] == "user"] == ["hello"]
    agent.close(chat)
    until(lambda: slot(bot, "tina") == "closed", what="the end")
    assert "9:00" in texts(bot.say("what are your opening hours?", "tina"))[-1]


def test_the_user_hears_that_a_person_has_them(bot: Bot, agent: Agent) -> None:
    bot.say("hello", "theo")
    chat_id = take(bot, "theo")["chat_id"]
    until(lambda: any("person" in text for text in texts(bot.say("what?", "theo"))), what="the notice")
    agent.accept("theo")
    agent.close(chat_id)


def test_a_form_that_is_cut_off_asks_its_question_again(bot: Bot, agent: Agent) -> None:
    bot.say("please call me back", "fia")
    question = texts(bot.say("Fia", "fia"))[-1]
    take(bot, "fia")
    chat = agent.accept("fia")
    bot.say("0151 2345678", "fia")
    until(lambda: agent.heard(chat) == ["0151 2345678"])
    agent.close(chat)
    until(lambda: slot(bot, "fia") == "closed", what="the end")
    tracker = bot.tracker("fia")
    assert tracker["slots"]["callback_phone"] is None
    assert [event["text"] for event in tracker["events"] if event["event"] == "bot"][-1] == question


def test_who_has_an_agent_keeps_that_one(bot: Bot, agent: Agent) -> None:
    bot.say("hello", "kim")
    first, second = take(bot, "kim"), take(bot, "kim")
    assert second["id"] == first["id"]
    agent.close(agent.accept("kim"))


def test_when_nobody_is_there_the_bot_goes_on_as_if_nothing_had_been(bot: Bot) -> None:
    bot.say("hello", "una")
    assert take(bot, "una")["end_reason"] == "unavailable"
    assert ["9:00" in text for text in texts(bot.say("what are your opening hours?", "una"))] == [True]
    assert slot(bot, "una") in (None, "none")


def test_whom_the_bot_does_not_know_nobody_takes(bot: Bot) -> None:
    token = bot.access["token"]
    answer = bot.ask("POST", "/handoffs/take", {"sender_id": "nobody"}, token)
    assert answer.status_code == 404
    assert bot.ask("GET", "/handoffs?sender_id=nobody", None, token).json() == {"handoff": None}


def test_only_the_servers_token_and_known_agent_systems_count(bot: Bot) -> None:
    assert bot.ask("POST", "/handoffs/take", {"sender_id": "tina"}, "wrong").status_code == 401
    answer = bot.ask("POST", "/handoffs/take", {"sender_id": "tina", "backend": "zendesk"}, bot.access["token"])
    assert answer.status_code == 400
    assert "desk" in answer.text


def test_from_the_command_line_and_back_again(bot: Bot, agent: Agent) -> None:
    bot.say("hello", "carl")
    done = command(bot, "take", "carl", "--to", "desk")
    assert (done.returncode, done.stdout) == (0, "The bot is quiet; the conversation is queued at desk.\n")
    until(lambda: slot(bot, "carl") == "queued", what="the bot to be quiet")
    done = command(bot, "give-back", "carl")
    assert (done.returncode, done.stdout) == (0, "The bot has the conversation again.\n")
    until(lambda: slot(bot, "carl") == "closed", what="the end")
    assert command(bot, "give-back", "carl").returncode == 1


def test_the_command_says_that_nobody_takes_it(bot: Bot) -> None:
    bot.say("hello", "cleo")
    done = command(bot, "take", "cleo")
    assert done.returncode == 1
    assert done.stderr == "rasa-handoff: no agent takes it (unavailable); the bot goes on\n"


def command(bot: Bot, *words: str) -> subprocess.CompletedProcess[str]:
    """Run rasa-handoff in the bot's folder."""
    line = [sys.executable, "-m", "rasa_handoff", *words]
    return subprocess.run(line, cwd=bot.folder, capture_output=True, text=True, timeout=120)
