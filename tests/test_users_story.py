"""A user is erased from a running server by the command line, in front of an agent's eyes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import pages
from tests.servers import Bot, running, until
from tests.test_story import browser  # noqa: F401 (a fixture)

WORDS = "my number is 0151 2345678"
LONGEST_RUN = 120.0  #: seconds that a command has, on a machine that is busy with others


@pytest.fixture
def bot(tmp_path: Path) -> Iterator[Bot]:
    with running(Bot(tmp_path)) as bot:
        yield bot


@pytest.fixture
def agent(bot: Bot, browser: Browser) -> Iterator[Page]:  # noqa: F811
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.goto(f"{bot.url}/webhooks/handoff/desk/")
        pages.sign_in(page, bot.access["agents"][0]["token"])
        pages.be(page, "online")
        yield page


def users(bot: Bot, *words: str) -> subprocess.CompletedProcess[str]:
    """`rasa-handoff users`, typed where the server runs."""
    command = [sys.executable, "-m", "rasa_handoff", "users", *words]
    return subprocess.run(command, cwd=bot.folder, capture_output=True, text=True, timeout=LONGEST_RUN, check=False)


def erased(bot: Bot, name: str) -> str:
    """What is said of a user who is erased; nothing while the bot, which may be busy, is still to hear of the end."""
    done = users(bot, "erase", name, "--yes", "--close")
    assert done.returncode == 0 or "try again in a moment" in done.stderr, done.stderr
    return done.stdout


def bytes_of(bot: Bot) -> bytes:
    """All that is in the plugin's database, its log too."""
    return b"".join(path.read_bytes() for path in (bot.folder / ".rasa_handoff").glob("handoff.db*"))


@pytest.mark.browser
@pytest.mark.processes
def test_a_user_is_erased_while_an_agent_talks_with_them(bot: Bot, agent: Page) -> None:
    bot.say("I want to talk to an agent", "ann")
    pages.accept_first(agent)
    bot.say(WORDS, "ann")
    pages.expect_line(agent, WORDS)
    pages.reply(agent, "We call you, Ann")
    until(lambda: "We call you, Ann" in str(bot.say("yes", "ann")))

    exported = users(bot, "export", "ann")
    assert exported.returncode == 0, exported.stderr
    assert WORDS in [each["text"] for each in json.loads(exported.stdout)["handoffs"][0]["messages"]]

    refused = users(bot, "erase", "ann", "--yes")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "--close does that" in refused.stderr
    assert WORDS.encode() in bytes_of(bot)

    said = until(lambda: erased(bot, "ann"), LONGEST_RUN, "erasing")
    assert "Erased of ann: 1 handoff" in said
    assert WORDS.encode() not in bytes_of(bot)
    assert json.loads(users(bot, "export", "ann").stdout)["handoffs"] == []
    expect(agent.get_by_text(WORDS)).to_have_count(0)

    # The bot is back, and an agent can be had again.
    assert "9:00" in str(bot.say("what are your opening hours?", "ann"))
    bot.say("I want to talk to an agent", "ann")
    pages.accept_first(agent)
    bot.say("it is me again", "ann")
    pages.expect_line(agent, "it is me again")
