"""The example bot, trained and with its real action server: what it says when, on the way out and back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from wire import Server, running

from rasa_handoff import credentials
from rasa_handoff.model import EndReason
from tests.servers import LONGEST_START, free_port, trained_by_demo

ROOT = Path(__file__).resolve().parent.parent
BOT = ROOT / "example_bot"
TOKEN = "e" * 40
ANSWER = {
    "id": "0b6d0b5c-8a2e-4c7b-9d0e-000000000001",
    "sender_id": "ann",
    "channel": "rest",
    "backend": "desk",
    "status": "queued",
    "end_reason": None,
    "agent": None,
    "group": None,
    "queue_position": 1,
    "opened_at": 1.0,
    "accepted_at": None,
    "closed_at": None,
    "next_opening": None,
}
# Of the other one the bot is told without a word: the user is not there any more.
SAID = [reason for reason in EndReason if reason is not EndReason.HANDED_OVER]
UNHAPPY = {"unavailable", "rejected", "not_accepted", "agent_silent", "agent_left", "failed"}
GIBBERISH = "zxqj wvkk pfft"

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(Server(TOKEN)) as server:
        yield server


@pytest.fixture(scope="module")
def action_server(server: Server) -> Iterator[str]:
    """The URL of the bot's action server, which talks to *server*."""
    port = free_port()
    command = [sys.executable, "-m", "rasa_sdk", "--actions", "example_bot.actions", "--port", str(port)]
    environment = {**os.environ, "HANDOFF_URL": server.url, "HANDOFF_TOKEN": TOKEN}
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/webhook"
    finally:
        process.terminate()
        process.wait(60)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LONGEST_START
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.1)
    pytest.fail(f"{url} does not answer")


@pytest.fixture(scope="module")
def agent(action_server: str) -> Any:
    from rasa.core.agent import Agent
    from rasa.utils.endpoints import EndpointConfig

    return Agent.load(trained_by_demo(), action_endpoint=EndpointConfig(action_server))


class Chat:
    """One user's conversation with the bot."""

    def __init__(self, agent: Any, server: Server) -> None:
        self.agent = agent
        self.server = server
        self.sender_id = f"user-{uuid4()}"

    def answer(self, **changes: Any) -> None:
        """What the plugin says to the next request for a person."""
        self.server.answers["POST /handoffs"] = 200, {"handoff": {**ANSWER, **changes}}
        self.server.answers["POST /callbacks"] = 200, {"handoff": {**ANSWER, "status": "closed"}}

    async def fill_in(self, *details: str) -> list[str]:
        """The responses to the last of the form's answers."""
        await self.say("please call me back")
        return [await self.say(detail) for detail in details][-1]

    async def say(self, text: str) -> list[str]:
        """The responses that the bot gives to *text*, by name."""
        from rasa.core.channels.channel import CollectingOutputChannel, UserMessage

        before = await self.events()
        await self.agent.handle_message(UserMessage(text, CollectingOutputChannel(), self.sender_id))
        return _responses((await self.events())[len(before) :])

    async def end(self, reason: EndReason) -> list[str]:
        """The responses that the bot gives when it is told, as the plugin tells it, that a handoff has ended."""
        from rasa.core.channels.channel import CollectingOutputChannel
        from rasa.shared.core.events import ActionExecuted, ConversationResumed, SlotSet

        before = await self.events()
        async with self.agent.lock_store.lock(self.sender_id):
            tracker = await self.agent.processor.get_tracker(self.sender_id)
            told = [
                ActionExecuted(action_name="action_listen"),
                ConversationResumed(),
                SlotSet(key="handoff_status", value="closed"),
                SlotSet(key="handoff_end_reason", value=reason.value),
            ]
            tracker.update_with_events(told, self.agent.domain)
            await self.agent.trigger_intent("handoff_closed", [], CollectingOutputChannel(), tracker)
        return _responses((await self.events())[len(before) :])

    async def events(self) -> list[Any]:
        return list((await self.tracker()).events)

    async def tracker(self) -> Any:
        return await self.agent.tracker_store.get_or_create_tracker(self.sender_id)


def _responses(events: list[Any]) -> list[str]:
    return [event.metadata["utter_action"] for event in events if event.type_name == "bot"]


@pytest.fixture
def chat(agent: Any, server: Server) -> Chat:
    chat = Chat(agent, server)
    chat.answer()
    return chat


# Before


@pytest.mark.parametrize(
    ("text", "response"),
    [
        ("hello", "utter_greet"),
        ("what are your opening hours?", "utter_hours"),
        ("where can I find you?", "utter_location"),
        ("how much is a service?", "utter_price"),
        ("how long does a repair take?", "utter_duration"),
        ("thank you", "utter_welcome"),
        ("bye", "utter_goodbye"),
        (GIBBERISH, "utter_rephrase"),
    ],
)
async def test_the_bot_answers(chat: Chat, text: str, response: str) -> None:
    assert await chat.say(text) == [response]


async def test_the_form_asks_and_checks_and_is_empty_again(chat: Chat) -> None:
    assert await chat.say("please call me back") == ["utter_ask_callback_name"]
    assert await chat.say("Ann Miller") == ["utter_ask_callback_phone"]
    assert await chat.say("none") == ["utter_phone_unreadable", "utter_ask_callback_phone"]
    assert await chat.say("0151 2345678") == ["utter_ask_callback_time"]
    assert await chat.say("tomorrow at ten") == ["utter_handoff_callback_left"]
    assert await chat.say("call me back") == ["utter_ask_callback_name"]


async def test_what_the_form_asked_for_is_left_as_a_request_to_call_back(chat: Chat) -> None:
    await chat.fill_in("Ann Miller", "0151 2345678", "tomorrow at ten")
    left = json.loads(chat.server.bodies[-1])
    assert chat.server.asked[-1] == "POST /webhooks/handoff/callbacks"
    assert left["sender_id"] == chat.sender_id
    assert left["callback"] == {"name": "Ann Miller", "phone": "0151 2345678", "time": "tomorrow at ten"}
    assert left["parameters"] == {}
    assert (await chat.tracker()).get_slot("handoff_callback") == "left"


async def test_a_request_that_could_not_be_left_is_no_promise(chat: Chat) -> None:
    refusal = {"error": {"code": "no_callbacks", "message": "nobody takes callbacks"}}
    chat.server.answers["POST /callbacks"] = 409, refusal
    assert await chat.fill_in("Ann Miller", "0151 2345678", "any time") == ["utter_handoff_callback_failed"]
    assert (await chat.tracker()).get_slot("handoff_callback") == "failed"


async def test_outside_hours_the_user_hears_when_somebody_is_there_again(chat: Chat) -> None:
    chat.answer(status="closed", end_reason="unavailable", next_opening="2026-11-23T09:00+01:00")
    said = await chat.say("talk to an agent")
    assert said == ["utter_handoff_outside_hours", "utter_handoff_way_out"]
    assert (await chat.tracker()).get_slot("handoff_next_opening") == "2026-11-23T09:00+01:00"
    words = [event.text for event in await chat.events() if event.type_name == "bot"]
    assert any(re.search(r"here again .* at 09:00\.", text or "") for text in words)


async def test_a_question_inside_the_form_is_answered_and_the_form_goes_on(chat: Chat) -> None:
    await chat.say("please call me back")
    assert await chat.say("what are your opening hours?") == ["utter_hours", "utter_ask_callback_name"]


async def test_the_form_can_be_cancelled(chat: Chat) -> None:
    await chat.say("please call me back")
    assert await chat.say("cancel") == ["utter_callback_cancelled"]
    assert await chat.say("cancel") == ["utter_nothing_to_cancel"]


# On the way out


@pytest.mark.parametrize("text", ["I want to talk to an agent", "can I speak to a human?", "/handoff_request"])
async def test_who_asks_for_a_person_gets_one_and_the_bot_is_quiet(chat: Chat, text: str) -> None:
    assert await chat.say(text) == ["utter_handoff_queued"]
    tracker = await chat.tracker()
    assert tracker.is_paused()
    assert tracker.get_slot("handoff_status") == "queued"
    assert json.loads(chat.server.bodies[-1])["sender_id"] == chat.sender_id


async def test_an_agent_who_is_there_at_once_is_announced(chat: Chat) -> None:
    chat.answer(status="active", agent={"name": "Bo", "shown_as": "Bo"})
    assert await chat.say("talk to an agent") == ["utter_handoff_active"]


@pytest.mark.parametrize("reason", ["unavailable", "rejected", "failed"])
async def test_when_nobody_is_there_the_bot_stays_with_a_way_out(chat: Chat, reason: str) -> None:
    chat.answer(status="closed", end_reason=reason)
    assert await chat.say("talk to an agent") == [f"utter_handoff_{reason}", "utter_handoff_way_out"]
    assert not (await chat.tracker()).is_paused()
    assert await chat.say("/request_callback") == ["utter_ask_callback_name"]


async def test_the_third_misunderstanding_in_a_row_hands_over(chat: Chat) -> None:
    assert await chat.say(GIBBERISH) == ["utter_rephrase"]
    assert await chat.say(GIBBERISH) == ["utter_handoff_offer"]
    assert await chat.say(GIBBERISH) == ["utter_handoff_queued"]


async def test_misunderstandings_count_only_in_a_row(chat: Chat) -> None:
    await chat.say(GIBBERISH)
    await chat.say("hello")
    assert await chat.say(GIBBERISH) == ["utter_rephrase"]


@pytest.mark.parametrize(
    ("text", "response"), [("yes please", "utter_handoff_queued"), ("no thanks", "utter_anything_else")]
)
async def test_the_offer_of_a_person_can_be_taken_or_left(chat: Chat, text: str, response: str) -> None:
    await chat.say(GIBBERISH)
    await chat.say(GIBBERISH)
    assert await chat.say(text) == [response]


async def test_who_asks_inside_the_form_gets_a_person_and_is_not_called_that(chat: Chat) -> None:
    await chat.say("please call me back")
    assert await chat.say("I want to talk to an agent") == ["utter_handoff_queued"]
    tracker = await chat.tracker()
    assert tracker.get_slot("callback_name") is None
    assert tracker.active_loop_name == "callback_form"


async def test_when_nobody_is_there_the_form_asks_again(chat: Chat) -> None:
    chat.answer(status="closed", end_reason="unavailable")
    await chat.say("please call me back")
    asked = await chat.say("I want to talk to an agent")
    assert asked == ["utter_handoff_unavailable", "utter_ask_callback_name"]


# On the way back


@pytest.mark.parametrize("reason", SAID)
async def test_every_end_has_its_words_and_the_bot_goes_on(chat: Chat, reason: EndReason) -> None:
    await chat.say("talk to an agent")
    then = ["utter_handoff_way_out"] if reason.value in UNHAPPY else []
    if reason is EndReason.AGENT_CLOSED:
        then = ["utter_handoff_ask_rating"]
    assert await chat.end(reason) == ["utter_handoff_closed", *then]
    tracker = await chat.tracker()
    assert not tracker.is_paused()
    words = [event.text for event in tracker.events if event.type_name == "bot"]
    assert _words_for(reason) in words
    assert await chat.say("what are your opening hours?") == ["utter_hours"]


def _words_for(reason: EndReason) -> str:
    from rasa.shared.core.domain import Domain

    variations = Domain.load(str(BOT / "domain")).responses["utter_handoff_closed"]
    return next(one["text"] for one in variations if reason.value in json.dumps(one.get("condition", [])))


@pytest.mark.parametrize("reason", SAID)
async def test_an_interrupted_form_asks_its_question_again(chat: Chat, reason: EndReason) -> None:
    await chat.say("please call me back")
    await chat.say("Ann Miller")
    await chat.say("I want to talk to an agent")
    assert await chat.end(reason) == ["utter_handoff_closed", "utter_ask_callback_phone"]
    assert await chat.say("0151 2345678") == ["utter_ask_callback_time"]
    assert (await chat.tracker()).get_slot("callback_name") == "Ann Miller"


async def test_a_button_tells_the_desk_how_content_the_user_was(chat: Chat) -> None:
    chat.server.answers["POST /handoffs/rating"] = 200, {"handoff": {**ANSWER, "status": "closed"}}
    await chat.say("talk to an agent")
    await chat.end(EndReason.AGENT_CLOSED)
    (asked,) = [event.data["buttons"] for event in await chat.events() if event.type_name == "bot"][-1:]
    assert await chat.say(asked[1]["payload"]) == ["utter_handoff_rated"]
    assert chat.server.asked[-1] == "POST /webhooks/handoff/handoffs/rating"
    assert json.loads(chat.server.bodies[-1]) == {"sender_id": chat.sender_id, "stars": 4}
    assert (await chat.tracker()).get_slot("handoff_rating") is None


async def test_an_agent_system_that_takes_no_ratings_is_not_rated(chat: Chat) -> None:
    chat.answer(backend="yellow")
    await chat.say("talk to an agent")
    assert await chat.end(EndReason.AGENT_CLOSED) == ["utter_handoff_closed"]


async def test_a_second_handoff_goes_like_the_first(chat: Chat) -> None:
    await chat.say("talk to an agent")
    await chat.end(EndReason.AGENT_CLOSED)
    assert await chat.say("talk to an agent") == ["utter_handoff_queued"]
    assert await chat.end(EndReason.NOT_ACCEPTED) == ["utter_handoff_closed", "utter_handoff_way_out"]
    assert await chat.say(GIBBERISH) == ["utter_rephrase"]
    assert await chat.say(GIBBERISH) == ["utter_handoff_offer"]


# Its files


def test_the_data_is_valid_and_nothing_is_said_about_it(tmp_path: Path) -> None:
    """`rasa data validate` has no complaint and no warning about the bot's files."""
    said = rasa("data", "validate", "--fail-on-warnings", *files(BOT), cwd=tmp_path)
    assert "UserWarning" not in said
    assert "No story structure conflicts found" in said


def test_the_credentials_are_good() -> None:
    assert credentials.check(BOT / "credentials.yml").chat_page


def test_every_end_reason_has_a_rule_and_a_slot_value() -> None:
    from rasa.shared.core.domain import Domain

    rules = (BOT / "data" / "handoff.yml").read_text()
    slots = {slot.name: slot for slot in Domain.load(str(BOT / "domain")).slots}
    for reason in EndReason:
        assert f"- handoff_end_reason: {reason.value}\n" in rules or reason not in SAID
        assert reason.value in slots["handoff_end_reason"].values


def test_every_response_the_plugin_says_is_in_the_domain() -> None:
    from rasa.shared.core.domain import Domain

    responses = Domain.load(str(BOT / "domain")).responses
    source = "".join(path.read_text() for path in (ROOT / "rasa_handoff").rglob("*.py"))
    assert {name for name in re.findall(r"\butter_handoff_[a-z_]*[a-z]\b", source) if name not in responses} == set()


FORM_BOT = """
version: "3.1"
intents: [greet]
slots:
  name: {type: text, mappings: [{type: from_text, conditions: [{active_loop: name_form, requested_slot: name}]}]}
forms:
  name_form: {required_slots: [name], ignored_intents: [handoff_request, handoff_closed]}
responses:
  utter_ask_name: [{text: "Your name?"}]
"""
FORM_DATA = """
version: "3.1"
nlu: [{intent: greet, examples: "- hi\n- hello\n"}]
rules:
- rule: Greet
  steps: [{intent: greet}, {action: name_form}, {active_loop: name_form}]
"""


async def test_the_lines_of_the_readme_make_a_bot(tmp_path: Path, action_server: str, server: Server) -> None:
    """Pasted into a bot that knows nothing of handoffs, they load, validate, train and work, in a form too."""
    from rasa.core.agent import Agent
    from rasa.utils.endpoints import EndpointConfig

    paste(tmp_path, "domain/handoff.yml", "data/handoff.yml", "credentials.yml")
    write(tmp_path / "config.yml", (BOT / "config.yml").read_text())
    write(tmp_path / "domain" / "bot.yml", FORM_BOT)
    write(tmp_path / "data" / "bot.yml", FORM_DATA)
    assert credentials.check(tmp_path / "credentials.yml").backends
    rasa("data", "validate", "--fail-on-warnings", *files(tmp_path), cwd=tmp_path)
    rasa("train", *files(tmp_path), "--out", "models", cwd=tmp_path)

    chat = Chat(Agent.load(tmp_path / "models", action_endpoint=EndpointConfig(action_server)), server)
    chat.answer()
    assert await chat.say("/greet") == ["utter_ask_name"]
    assert await chat.say("/handoff_request") == ["utter_handoff_queued"]
    assert await chat.end(EndReason.AGENT_CLOSED) == ["utter_handoff_closed", "utter_ask_name"]
    chat.answer(status="closed", end_reason="unavailable")
    assert await chat.say("/handoff_request") == ["utter_handoff_unavailable", "utter_ask_name"]


def paste(folder: Path, *names: str) -> None:
    """Each named block of the README into the file it names."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", readme, re.DOTALL))
    for name in names:
        write(folder / name, blocks[name])


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def files(bot: Path) -> list[str]:
    return ["--config", str(bot / "config.yml"), "--domain", str(bot / "domain"), "--data", str(bot / "data")]


def rasa(*arguments: str, cwd: Path) -> str:
    """What the command says; it must succeed."""
    environment = {**os.environ, "RASA_TELEMETRY_ENABLED": "false"}
    done = subprocess.run(
        [sys.executable, "-m", "rasa", *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
