"""The whole way: a real Rasa server, and LivePerson as the documentation describes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from rasa_handoff.model import Json
from rasa_handoff.testing import Call, Wire
from tests.backends.liveperson.vendor import (
    ACCOUNT,
    AGENT,
    CLIENT_ID,
    CLIENT_SECRET,
    CONVERSATION,
    SEND,
    LivePersonSide,
    messages,
    signed,
    states,
)
from tests.backends.waiting import all_went_out
from tests.servers import Bot, Sink, running, until

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture
def bot(tmp_path: Path, wire: Wire, sink: Sink) -> Iterator[Bot]:
    liveperson = {
        "account": ACCOUNT,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "personal_info": {"firstname": "slot:callback_name"},
        "agent_names": {AGENT: "Ines"},
        "domain_api": wire.url,
    }
    section = {"public_url": "https://bot.example.com", "backends": {"liveperson": liveperson}}
    with running(Bot(tmp_path, section=section, callback={"url": sink.url})) as bot:
        yield bot


def tell(bot: Bot, call: Call) -> Json:
    """LivePerson calls, and again where the answer took too long, as it does; what it gets."""
    call = signed(call)
    url = f"{bot.url}/webhooks/handoff/liveperson/{call.path}"
    headers = {"Content-Type": "application/json", **call.headers}

    def answers() -> list[Json]:
        answer = requests.post(url, data=call.content, headers=headers, timeout=30)
        assert answer.status_code in (200, 503), answer.text
        return [answer.json()] if answer.status_code == 200 else []

    found: Json = until(answers, what="an answer in time")[0]
    return found


def test_a_user_talks_to_an_agent_and_comes_back_to_the_bot(bot: Bot, wire: Wire, sink: Sink) -> None:
    side = LivePersonSide(wire)
    bot.say("what are your opening hours?", "ann", channel="callback")
    bot.learn("ann", callback_name="Ann")
    bot.say("I want to talk to an agent", "ann", channel="callback")
    until(lambda: side.conversations, what="the conversation")
    chat = side.last.id
    profile, _ = side.last.wanted
    assert profile["body"]["authenticatedData"]["lp_sdes"] == [{"type": "personal", "personal": {"firstname": "Ann"}}]
    until(lambda: any("getting a person" in text for text in sink.texts("ann")), what="the bot's word")
    (transcript,) = side.texts()
    assert "User: what are your opening hours?" in transcript

    bot.say("it is about order 4711", "ann", channel="callback")
    until(lambda: side.texts()[-1] == "it is about order 4711", what="what was said in the queue")
    assert tell(bot, states(side.state(chat, AGENT))) == {}
    until(lambda: "Ines is here now." in sink.texts("ann"), what="who it is")
    assert tell(bot, messages(side.text(chat, "Hello, I am looking at it.", 5))) == {}
    until(lambda: "Hello, I am looking at it." in sink.texts("ann"), what="the agent's words")

    # LivePerson is down, and comes back with other tokens.
    all_went_out(bot)
    wire.down()
    bot.say("/restart", "ann", channel="callback")
    bot.say("are you there?", "ann", channel="callback")
    side.revoke_app_tokens()
    wire.fail(503, path=f"POST {SEND}")
    wire.up()
    until(lambda: side.texts()[-1] == "are you there?", what="what was said meanwhile")
    assert side.texts()[1:] == ["it is about order 4711", "/restart", "are you there?"]

    assert tell(bot, states(side.closed(chat))) == {}
    until(lambda: any("This is the bot again" in text for text in sink.texts("ann")), what="the bot")
    assert tell(bot, messages(side.text(chat, "One more thing", 9))) == {"ignored": {"late": 1}}
    bot.say("what are your opening hours?", "ann", channel="callback")
    until(lambda: "9:00" in sink.texts("ann")[-1], what="the bot's answer")
    slots: Json = bot.tracker("ann")["slots"]
    assert slots["handoff_end_reason"] == "agent_closed"
    log = bot.rasa.said()
    for secret in (CLIENT_SECRET, "order 4711", "looking at it"):
        assert secret not in log


def test_what_was_being_opened_when_the_server_died_keeps_no_agent_waiting(bot: Bot, wire: Wire) -> None:
    side = LivePersonSide(wire)

    def ask() -> None:
        with suppress(requests.ConnectionError):  # it dies
            bot.ask("POST", "/handoffs", {"sender_id": "ann", "channel": "rest"}, bot.access["token"])

    with wire.held(f"POST {CONVERSATION}"):
        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: side.conversations, what="the conversation")
        bot.rasa.kill()
        asking.join()
    bot.rasa.start()
    ended = bot.handoff("ann")
    assert ended is not None
    assert (ended["status"], ended["end_reason"]) == ("closed", "failed")
    assert side.last.open
    tell(bot, states(side.state(side.last.id)))
    until(lambda: not side.last.open, what="the end of it")
