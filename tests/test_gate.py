"""One voice at a time, on every channel, on a real Rasa server with the example bot."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import socketio

from rasa_handoff.testing import Asked, Wire
from tests.servers import LONGEST_START, PATIENCE, Agent, Bot, Sink, running, trained, until

ASK = "I want to talk to an agent"


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.stop()


class Actions:
    """The way from Rasa to the bot's action server, which can be closed for a while."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.wire.respond("POST", "*", self._pass_on)
        self.url = ""  #: of the action server
        self._open = threading.Event()
        self._open.set()
        self._waits = threading.Event()

    def _pass_on(self, asked: Asked) -> tuple[int, bytes]:
        self._waits.set()
        self._open.wait(PATIENCE)
        answer = requests.post(self.url, asked.body, headers={"Content-Type": "application/json"}, timeout=PATIENCE)
        return answer.status_code, answer.content

    @contextmanager
    def closed(self) -> Iterator[Callable[[], bool]]:
        """Let nothing through until the end of the block; it gets whether something waits."""
        self._waits.clear()
        self._open.clear()
        try:
            yield self._waits.is_set
        finally:
            self._open.set()


@pytest.fixture(scope="module")
def actions() -> Iterator[Actions]:
    actions = Actions()
    with actions.wire:
        yield actions


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory, sink: Sink, actions: Actions) -> Iterator[Bot]:
    folder = tmp_path_factory.mktemp("bot")
    channels = {
        "callback": {"url": sink.url},
        "socketio": {"session_persistence": True},
        "tests.own_channel.OwnInput": {"path": str(folder / "own.txt")},
    }
    endpoints = {"action_endpoint": {"url": f"{actions.wire.url}/webhook"}}
    bot = Bot(folder, endpoints=endpoints, **channels)
    actions.url = f"http://127.0.0.1:{bot.actions_port}/webhook"
    with running(bot) as bot:
        yield bot


@pytest.fixture
def agent(bot: Bot) -> Iterator[Agent]:
    agent = Agent(bot)
    agent.come()
    yield agent
    agent.go()


def texts(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["text"] for answer in answers if "text" in answer]


def receipts(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["custom"]["handoff"]["status"] for answer in answers if "custom" in answer]


def test_nobody_online_leaves_the_bot_in_charge(bot: Bot) -> None:
    answers = texts(bot.say(ASK, "nina"))
    assert "nobody is at the desk" in answers[0]
    assert bot.handoff("nina")["end_reason"] == "unavailable"  # type: ignore[index]
    assert "9:00" in texts(bot.say("what are your opening hours?", "nina"))[0]


def test_a_rest_user_talks_to_an_agent_and_the_bot_comes_back(bot: Bot, agent: Agent) -> None:
    bot.say("hello", "rita")
    assert "getting a person" in texts(bot.say(ASK, "rita"))[0]
    assert bot.tracker("rita")["paused"] is True
    assert bot.tracker("rita")["slots"]["handoff_status"] == "queued"
    chat = agent.accept("rita")
    until(lambda: bot.tracker("rita")["slots"]["handoff_status"] == "active", what="the slot")
    assert receipts(bot.say("what are your opening hours?", "rita")) == ["active"]
    agent.reply(chat, "We close at six.")
    until(lambda: agent.heard(chat) == ["what are your opening hours?"])
    # A rest client cannot be called: what the agent wrote comes with the next answer.
    until(lambda: "We close at six." in texts(bot.say("thanks", "rita")), what="the waiting reply")
    agent.close(chat)
    until(lambda: bot.tracker("rita")["slots"]["handoff_status"] == "closed", what="the end")
    last = texts(bot.say("what are your opening hours?", "rita"))
    assert "This is the bot again" in last[0]
    assert "9:00" in last[-1]
    assert bot.tracker("rita")["paused"] is False
    assert bot.tracker("rita")["slots"]["handoff_end_reason"] == "agent_closed"


def test_an_agents_last_words_come_before_the_bot_however_soon_the_user_writes(bot: Bot, agent: Agent) -> None:
    for number in range(20):
        user = f"soon{number}"
        bot.say(ASK, user)
        chat = agent.accept(user)
        agent.reply(chat, "Here you are.")
        agent.close(chat)
        heard: list[str] = []
        until(lambda: heard.extend(texts(bot.say("hello", user))) or "This is the bot again" in " ".join(heard))  # noqa: B023
        assert next(line for line in heard if line == "Here you are." or "bot again" in line) == "Here you are."


@pytest.mark.parametrize("text", ["/restart", "/greet", "/session_start", "/handoff_closed", '/inform{"a":1}', "/"])
def test_commands_and_payloads_go_to_the_agent_as_they_are(bot: Bot, agent: Agent, text: str) -> None:
    user = f"slash{abs(hash(text))}"
    bot.say(ASK, user)
    assert receipts(bot.say(text, user)) == ["queued"]
    assert bot.tracker(user)["paused"] is True
    chat = agent.accept(user)
    until(lambda: agent.heard(chat) == [text])
    agent.close(chat)


def test_what_is_typed_while_the_handoff_is_being_opened_goes_to_the_agent(
    bot: Bot, agent: Agent, actions: Actions
) -> None:
    bot.say("hello", "hasty")
    typed = ["my bike is broken", "hello??"]
    posts = [threading.Thread(target=bot.say, args=(text, "hasty")) for text in (ASK, *typed)]
    with actions.closed() as is_asked_for:
        posts[0].start()
        until(is_asked_for, what="the request for an agent")
        for post in posts[1:]:
            post.start()
        time.sleep(0.3)  # enough for both to be there; what takes longer comes right behind
    for post in posts:
        post.join()
    chat = agent.accept("hasty")
    # In which order the server gets what is posted at almost the same moment is the network's choice.
    until(lambda: sorted(agent.heard(chat)) == sorted(typed))
    agent.close(chat)


def test_a_repeated_id_reaches_the_agent_once_and_the_same_words_twice(bot: Bot, agent: Agent) -> None:
    bot.say(ASK, "rhea")
    for _ in range(3):
        assert receipts(bot.say("yes", "rhea", metadata={"message_id": "m-1"})) == ["queued"]
    bot.say("yes", "rhea", metadata={"message_id": "m-2"})
    chat = agent.accept("rhea")
    until(lambda: agent.heard(chat) == ["yes", "yes"])
    agent.close(chat)


def test_a_client_that_posts_again_until_it_gets_an_answer_posts_once(bot: Bot, agent: Agent) -> None:
    """As a bridge does that takes an empty list for a lost message: three tries in seven seconds."""
    bot.say(ASK, "bridge")
    for text in ("one", "two"):
        for _ in range(3):
            if bot.say(text, "bridge"):
                break
    chat = agent.accept("bridge")
    until(lambda: agent.heard(chat) == ["one", "two"])
    agent.close(chat)


def test_a_new_model_and_an_expired_session_change_nothing(bot: Bot, agent: Agent) -> None:
    bot.say(ASK, "mona")
    chat = agent.accept("mona")
    short = trained(session_minutes=0.01)
    answer = requests.put(f"{bot.url}/model", json={"model_file": str(short)}, timeout=LONGEST_START)
    assert answer.status_code == 204, answer.text
    time.sleep(1.0)
    assert receipts(bot.say("what are your opening hours?", "mona")) == ["active"]
    until(lambda: agent.heard(chat) == ["what are your opening hours?"])
    # A reminder or a call from outside would start a new session here, and the bot would speak.
    triggered = requests.post(
        f"{bot.url}/conversations/mona/trigger_intent?output_channel=latest",
        json={"name": "ask_hours"},
        timeout=PATIENCE,
    )
    assert [m for m in triggered.json()["messages"] if "text" in m] == []
    assert receipts(bot.say("still there?", "mona")) == ["active"]
    agent.close(chat)
    until(lambda: bot.tracker("mona")["slots"]["handoff_status"] == "closed", what="the end")
    assert "9:00" in texts(bot.say("what are your opening hours?", "mona"))[-1]
    requests.put(f"{bot.url}/model", json={"model_file": str(trained())}, timeout=LONGEST_START)


def test_an_interrupted_form_asks_its_question_again(bot: Bot, agent: Agent) -> None:
    bot.say("please call me back", "fred")
    question = texts(bot.say("Fred", "fred"))[-1]
    bot.say(ASK, "fred")
    chat = agent.accept("fred")
    bot.say("0151 2345678", "fred")
    agent.close(chat)
    until(lambda: bot.tracker("fred")["slots"]["handoff_status"] == "closed", what="the end")
    tracker = bot.tracker("fred")
    assert tracker["active_loop"]["name"] == "callback_form"
    assert tracker["slots"]["callback_phone"] is None
    bot_said = [event["text"] for event in tracker["events"] if event["event"] == "bot"]
    assert bot_said[-1] == question


def test_the_user_leaves_with_the_end_word(bot: Bot, agent: Agent) -> None:
    bot.say(ASK, "lea")
    chat = agent.accept("lea")
    bot.say("/end", "lea")
    until(lambda: agent.ask("GET", f"/chats/{chat}")["chat"]["state"] == "closed", what="the end at the desk")
    assert bot.handoff("lea")["end_reason"] == "user_left"  # type: ignore[index]
    assert "9:00" in texts(bot.say("what are your opening hours?", "lea"))[-1]


def test_a_callback_user_gets_everything_even_when_the_callback_fails_at_first(
    bot: Bot, agent: Agent, sink: Sink
) -> None:
    bot.say(ASK, "carl", channel="callback")
    chat = agent.accept("carl")
    sink.fail = 2
    agent.reply(chat, "one")
    agent.reply(chat, "two")
    bot.say("hello agent", "carl", channel="callback")
    until(lambda: "two" in sink.texts("carl"), what="the replies")
    assert [text for text in sink.texts("carl") if text in ("one", "two")] == ["one", "two"]
    until(lambda: agent.heard(chat) == ["hello agent"])
    agent.close(chat)
    until(lambda: any("This is the bot again" in text for text in sink.texts("carl")), what="the bot's return")


def test_a_channel_of_the_bots_own_needs_no_change(bot: Bot, agent: Agent) -> None:
    def say(text: str) -> None:
        requests.post(f"{bot.url}/webhooks/own/say", json={"user": "olga", "text": text}, timeout=PATIENCE)

    file = bot.folder / "own.txt"
    say(ASK)
    chat = agent.accept("olga")
    say("hi agent")
    agent.reply(chat, "hi Olga")
    until(lambda: "olga: hi Olga" in file.read_text(), what="the reply")
    until(lambda: agent.heard(chat) == ["hi agent"])
    agent.close(chat)
    until(lambda: "This is the bot again" in file.read_text(), what="the bot's return")


async def test_a_socketio_user_gets_what_was_said_while_away(bot: Bot, agent: Agent) -> None:
    got: list[str] = []

    async def connect() -> socketio.AsyncClient:
        client, confirmed = socketio.AsyncClient(), asyncio.Event()
        client.on("session_confirm", lambda session: confirmed.set())
        client.on("bot_uttered", lambda message: got.append(message.get("text", "")))
        await client.connect(bot.url, transports=["polling"])
        await client.emit("session_request", {"session_id": "sue"})
        await asyncio.wait_for(confirmed.wait(), PATIENCE)
        return client

    async def wait(text: str) -> None:
        await asyncio.to_thread(until, lambda: text in " ".join(got), what=repr(text))

    client = await connect()
    await client.emit("user_uttered", {"message": ASK, "session_id": "sue"})
    await wait("getting a person")
    chat = await asyncio.to_thread(agent.accept, "sue")
    await wait("is here now")
    await client.emit("user_uttered", {"message": "hi", "session_id": "sue"})
    await asyncio.to_thread(until, lambda: agent.heard(chat) == ["hi"])
    await client.disconnect()
    await asyncio.sleep(0.5)
    await asyncio.to_thread(agent.reply, chat, "are you still there?")
    await asyncio.sleep(0.3)
    client = await connect()
    await client.emit("user_uttered", {"message": "back again", "session_id": "sue"})
    await wait("are you still there?")
    await asyncio.to_thread(agent.close, chat)
    await wait("This is the bot again")
    await client.disconnect()


def test_no_text_and_no_token_is_in_the_servers_log(bot: Bot, agent: Agent) -> None:
    said = bot.rasa.said()
    assert agent.token not in said
    assert bot.access["token"] not in said
    for text in ("We close at six.", "my bike is broken", "hi Olga"):
        assert text not in said


def test_wrong_settings_stop_the_server_with_every_fault(tmp_path: Path) -> None:
    bot = Bot(tmp_path, section={"tokn": "x", "database": "mysql://nope", "deadlines": {"accept": "soon"}})
    bot.rasa.start(wait=False)
    assert bot.rasa.process is not None
    assert bot.rasa.process.wait(LONGEST_START) == 1
    said = bot.rasa.said()
    assert "Traceback" not in said
    for part in ("tokn", "token", "database", "deadlines.accept"):
        assert part in said


def test_a_second_server_on_the_same_file_refuses_and_names_postgresql(bot: Bot, tmp_path: Path) -> None:
    second = Bot(tmp_path, section={"database": f"sqlite:///{bot.folder}/.rasa_handoff/handoff.db"})
    second.rasa.start(wait=False)
    assert second.rasa.process is not None
    assert second.rasa.process.wait(LONGEST_START) != 0
    said = second.rasa.said()
    assert "PostgreSQL" in said
    assert "another process" in said
