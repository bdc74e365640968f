"""Messenger's personas: agents under their own names and pictures, where Meta lets the page have some."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from rasa_handoff.channels import facebook_personas
from rasa_handoff.channels.facebook import Facebook
from rasa_handoff.channels.notes import ANEW
from rasa_handoff.events import AgentMessage
from rasa_handoff.model import Attachment, Person
from rasa_handoff.testing.wire import Asked, Wire
from tests.channels.facebook.test_facebook import TOKEN, USER
from tests.channels.facebook.test_facebook import line as line  # the fixtures
from tests.channels.facebook.test_facebook import wire as wire
from tests.channels.line import Line

MADE, SENT = "/me/personas", "/me/messages"
BO = {"name": "Bo", "profile_picture_url": "https://desk.test/bo.png"}


def personas(wire: Wire) -> list[Any]:
    asked = [each for each in wire.asked if each.path == MADE]
    assert {each.headers["authorization"] for each in asked} <= {f"Bearer {TOKEN}"}
    return [each.json for each in asked]


def said(wire: Wire) -> list[tuple[str | None, str | None]]:
    """The texts that were sent, with their personas."""
    asked = [each.json for each in wire.asked if each.path == SENT and "message" in each.json]
    return [(each["message"].get("text"), each.get("persona_id")) for each in asked]


def channel(line: Line) -> Facebook:
    return cast("Facebook", line.channels.named("facebook"))


async def test_an_agent_has_one_persona_also_after_a_restart(line: Line, wire: Wire) -> None:
    wire.when("POST", MADE, body={"id": "persona-1"})
    handoff = await line.hand_over(USER)
    await line.reply(handoff, "Hi")
    await line.reply(handoff, "Ann")
    line.channels._made.clear()
    await line.reply(handoff, "again", attachments=(Attachment(url="https://a.test/a.png", kind="image"),))
    assert personas(wire) == [BO]
    assert said(wire)[-4:] == [(text, "persona-1") for text in ("Hi", "Ann", "again", None)]


async def test_another_agent_has_another(line: Line, wire: Wire) -> None:
    wire.respond("POST", MADE, lambda asked: (200, {"id": f"persona-{asked.json['name']}"}))
    handoff = await line.hand_over(USER)
    await line.reply(handoff, "Hi")
    cy = Person(name="Cy" * 30, id="cy", avatar_url="https://desk.test/cy.png")
    await line.happen(AgentMessage(chat_id=handoff.id, agent=cy, text="I am Cy"))
    await line.gone(handoff)
    assert ("I am Cy", f"persona-{'Cy' * 25}") in said(wire)  # Meta takes names of 50 characters


async def test_not_all_are_in_mind_and_none_is_made_twice(
    line: Line, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facebook_personas, "REMEMBERED", 2)
    wire.respond("POST", MADE, lambda asked: (200, {"id": f"persona-{asked.json['name']}"}))
    handoff = await line.hand_over(USER)
    for name in ("Ed", "Flo", "Gus", "Ed", "Flo"):
        agent = Person(name=name, avatar_url=f"https://desk.test/{name}.png")
        await line.happen(AgentMessage(chat_id=handoff.id, agent=agent, text=f"I am {name}"))
    await line.gone(handoff)
    assert [each["name"] for each in personas(wire)] == ["Ed", "Flo", "Gus"]
    assert said(wire)[-1] == ("I am Flo", "persona-Flo")
    assert len(channel(line).personas._known) == 2


async def test_not_all_that_were_refused_are_in_mind(line: Line, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facebook_personas, "REMEMBERED", 2)
    wire.when("POST", MADE, 400, {"error": {"code": 100}})
    handoff = await line.hand_over(USER)
    for number in range(3):
        agent = Person(name="Bo", avatar_url=f"https://desk.test/bo.png?signed={number}")
        await line.happen(AgentMessage(chat_id=handoff.id, agent=agent, text="Hi"))
    await line.gone(handoff)
    assert len(channel(line).personas._not_before) == 2


@pytest.mark.parametrize("agent", [Person(name="Di", id="di"), None])
async def test_who_has_no_picture_has_none(line: Line, wire: Wire, agent: Person | None) -> None:
    handoff = await line.ask_for_an_agent(USER)
    await line.happen(AgentMessage(chat_id=handoff.id, agent=agent, text="Hi"))
    await line.gone(handoff)
    assert personas(wire) == []
    assert ("Hi", None) in said(wire)


@pytest.mark.parametrize(("status", "answer"), [(400, {"error": {"code": 100}}), (503, {}), (200, {})])
async def test_where_meta_makes_none_the_page_speaks_and_does_not_ask_each_time(
    line: Line, wire: Wire, status: int, answer: dict[str, Any]
) -> None:
    wire.when("POST", MADE, status, answer)
    handoff = await line.hand_over(USER)
    await line.reply(handoff, "one")
    await line.reply(handoff, "two")
    assert said(wire)[-2:] == [("one", None), ("two", None)]
    assert len(personas(wire)) == 1
    wire.when("POST", MADE, body={"id": "persona-1"})
    channel(line).personas._now = lambda: time.time() + 2 * ANEW
    await line.reply(handoff, "three")
    assert said(wire)[-1] == ("three", "persona-1")


async def test_a_persona_that_somebody_has_deleted_holds_nothing_up(line: Line, wire: Wire) -> None:
    def refuse_personas(asked: Asked) -> tuple[int, Any]:
        return (400, {"error": {"code": 100}}) if "persona_id" in asked.json else (200, {"message_id": "m"})

    wire.when("POST", MADE, body={"id": "persona-1"})
    wire.respond("POST", SENT, refuse_personas)
    handoff = await line.hand_over(USER)
    await line.reply(handoff, "one")
    await line.reply(handoff, "two")
    assert said(wire)[-3:] == [("one", "persona-1"), ("one", None), ("two", None)]
    assert await line.dead() == []


async def test_a_message_does_not_come_twice_because_a_persona_cannot_be_forgotten(line: Line, wire: Wire) -> None:
    wire.when("POST", MADE, body={"id": "persona-1"})
    handoff = await line.hand_over(USER)
    await line.reply(handoff, "one")
    refused = (400, {"error": {"code": 100}})
    wire.respond("POST", SENT, lambda asked: refused if "persona_id" in asked.json else (200, {}))
    await line.runtime.store.write(lambda tx: tx.run("ALTER TABLE handoff_kept RENAME TO elsewhere", {}))
    await line.reply(handoff, "two")
    assert [persona for text, persona in said(wire) if text == "two"] == ["persona-1", None]


async def test_a_file_that_is_not_taken_is_not_blamed_on_the_persona(line: Line, wire: Wire) -> None:
    def refuse_files(asked: Asked) -> tuple[int, Any]:
        refused = "attachment" in asked.json.get("message", {})
        return (400, {"error": {"code": 100}}) if refused else (200, {"message_id": "m"})

    wire.when("POST", MADE, body={"id": "persona-1"})
    wire.respond("POST", SENT, refuse_files)
    handoff = await line.hand_over(USER)
    await line.reply(handoff, attachments=(Attachment(url="https://a.test/a.pdf"),))
    assert said(wire)[-1] == ("https://a.test/a.pdf", "persona-1")
