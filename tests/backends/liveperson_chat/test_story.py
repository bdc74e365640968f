"""The whole way: a real Rasa server, and LivePerson's chat beside it, which has to be asked for everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rasa_handoff.testing import Wire
from tests.backends.liveperson_chat.vendor import ACCOUNT, Vendor, lines_for_agents
from tests.backends.waiting import all_went_out
from tests.servers import Bot, Sink, running, until


@pytest.fixture
def vendor(wire: Wire) -> Vendor:
    """One that drops nobody, however long a server takes to start."""
    return Vendor(wire, clock=lambda: 0.0)


@pytest.fixture
def bot(tmp_path: Path, wire: Wire, vendor: Vendor, sink: Sink) -> Iterator[Bot]:
    chat = {
        "account": ACCOUNT,
        "domain_api": wire.url,
        "skill": "Sales",
        "visitor_name": "slot:callback_name",
        "details": {"Name": "slot:callback_name"},
        "poll_every": "200ms",
        "poll_queue_every": "200ms",
    }
    section = {"backends": {"liveperson_chat": chat}}
    with running(Bot(tmp_path, section=section, callback={"url": sink.url})) as bot:
        yield bot


def test_a_user_talks_to_an_agent_and_comes_back_to_the_bot(bot: Bot, vendor: Vendor, sink: Sink) -> None:
    bot.say("what are your opening hours?", "ann", channel="callback")
    bot.learn("ann", callback_name="Ann")
    bot.say("I want to talk to an agent", "ann", channel="callback")
    until(lambda: vendor.visits, what="the request")
    visit = vendor.only()
    assert visit.request["skill"] == "Sales"
    assert lines_for_agents(visit)[:2] == ["Name: Ann", "Visitor: what are your opening hours?"]
    until(lambda: visit.visitor_name == "Ann", what="the user's name")
    until(lambda: any("getting a person" in text for text in sink.texts("ann")), what="the bot's word")

    bot.say("it is about order 4711", "ann", channel="callback")
    vendor.accept(visit.id)
    until(lambda: [text for _, text in vendor.said()] == ["it is about order 4711"], what="what was said in the queue")
    vendor.write(visit.id, "<p>Hello <b>Ann</b>, I am looking at it.</p>", textType="html")
    until(lambda: "Hello Ann, I am looking at it." in sink.texts("ann"), what="the agent's words")

    # The server dies and comes back, and an agent wrote meanwhile.
    all_went_out(bot)
    bot.rasa.kill()
    vendor.write(visit.id, "It is on its way.")
    bot.rasa.start()
    until(lambda: "It is on its way." in sink.texts("ann"), what="what was written meanwhile")
    bot.say("/restart", "ann", channel="callback")
    bot.say("thank you", "ann", channel="callback")
    until(lambda: [text for _, text in vendor.said()][1:] == ["/restart", "thank you"], what="the user's words")

    vendor.end(visit.id)
    until(lambda: any("This is the bot again" in text for text in sink.texts("ann")), what="the bot")
    bot.say("what are your opening hours?", "ann", channel="callback")
    until(lambda: "9:00" in sink.texts("ann")[-1], what="the bot's answer")
    assert bot.tracker("ann")["slots"]["handoff_end_reason"] == "agent_closed"
    assert sink.texts("ann").count("Hello Ann, I am looking at it.") == 1
    assert sink.texts("ann").count("It is on its way.") == 1
