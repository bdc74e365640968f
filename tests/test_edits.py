"""A user changes what they have written: agents read the new words as what they are, once for each change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from rasa_handoff.errors import ConfigError
from rasa_handoff.events import AgentJoined, AgentMessage
from rasa_handoff.model import Attachment, Message, Person, new_id
from rasa_handoff.settings import read_section
from tests.stage import Recorder, Stage
from tests.web_stage import Web

CAT = (Attachment(url="https://a.test/cat.png", kind="image"),)


async def say(stage: Stage, text: str, external_id: str, edits: str | None = None, **values: Any) -> Any:
    message = Message(id=new_id(), who="user", text=text, edits=edits, at=stage.now(), **values)
    return await stage.runtime.switchboard.said("ann", message, external_id)


async def texts(stage: Stage, count: int) -> list[str]:
    """What agents read, once it is so many."""
    await stage.until(lambda: len(stage.agents.got) >= count)
    return [each.text for each in stage.agents.got]


async def test_an_edit_is_marked_and_keeps_its_place_behind_what_was_said_meanwhile(stage: Stage) -> None:
    await stage.request()
    await say(stage, "at nin", "m1")
    await say(stage, "hello?", "m2")
    await say(stage, "at nine", "e1", edits="m1")
    assert await texts(stage, 3) == ["at nin", "hello?", "✎ at nine"]


async def test_each_change_comes_once_also_back_to_what_it_was(stage: Stage) -> None:
    await stage.request()
    await say(stage, "one", "m1")
    for number, text in enumerate(["one", "two", "two", "one", "two"]):
        receipt = await say(stage, text, f"e{number}", edits="m1")
        assert receipt.repeat == (number in (0, 2))
    assert await texts(stage, 4) == ["one", "✎ two", "✎ one", "✎ two"]


async def test_a_repeat_of_an_edit_is_known_by_its_id_whatever_came_after_it(stage: Stage) -> None:
    await stage.request()
    await say(stage, "one", "m1")
    for text, external_id in (("two", "e1"), ("three", "e2"), ("two", "e1")):
        await say(stage, text, external_id, edits="m1")
    await say(stage, "the last", "m2")
    assert await texts(stage, 4) == ["one", "✎ two", "✎ three", "the last"]


async def test_what_the_bot_had_been_told_can_be_changed_too(stage: Stage) -> None:
    """The agents have never seen it."""
    await stage.request()
    await say(stage, "at nine", "e1", edits="before")
    assert await texts(stage, 1) == ["✎ at nine"]


async def test_another_file_with_the_same_words_is_a_change(stage: Stage) -> None:
    await stage.request()
    await say(stage, "look", "m1", attachments=CAT)
    await say(stage, "look", "e1", edits="m1", attachments=CAT)
    await say(stage, "look", "e2", edits="m1", attachments=(replace(CAT[0], url="https://a.test/dog.png"),))
    await say(stage, "", "e3", edits="m1", attachments=CAT)
    assert await texts(stage, 3) == ["look", "✎ look", "✎"]


async def test_a_deletion_takes_the_place_of_what_agents_have_read_and_of_nothing_else(stage: Stage) -> None:
    await stage.request()
    await say(stage, "at nine", "m1")
    await say(stage, "(gone)", "d0", deletes="before")
    await say(stage, "(gone)", "d1", deletes="m1")
    await say(stage, "at nine", "e1", edits="m1")  # it is put back
    await say(stage, "the last", "m2")
    assert await texts(stage, 4) == ["at nine", "(gone)", "✎ at nine", "the last"]


async def test_nobody_waits_for_an_answer_to_a_deletion(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=Person(name="Bo")))
    await say(stage, "at nine", "m1")
    await stage.happen(AgentMessage(chat_id=handoff.id, text="Fine"))
    await say(stage, "(gone)", "d1", deletes="m1")
    assert await texts(stage, 2) == ["at nine", "(gone)"]
    now = await stage.handoff()
    assert now is not None
    assert "agent_reply" not in now.deadlines


async def test_an_edit_that_waited_on_disk_is_still_one(stage: Stage) -> None:
    await stage.request()
    stage.agents.trouble = [OSError()] * 100
    await say(stage, "at nine", "e1", edits="m1")
    await stage.until(lambda: len(stage.agents.trouble) < 100)
    await stage.down()
    stage.agents.trouble = []
    await stage.up()
    stage.pass_time(60)
    assert await texts(stage, 1) == ["✎ at nine"]


class Showing(Recorder):
    """An agent system that has a place for it."""

    shows_edits: ClassVar[bool] = True


async def test_an_agent_system_that_shows_edits_gets_the_words_as_they_are(stage: Stage) -> None:
    showing = Showing()
    showing.around = stage.agents.around
    stage.agents = stage.runtime.backends["desk"] = showing  # type: ignore[index]
    await stage.request()
    await say(stage, "at nine", "e1", edits="m1")
    assert await texts(stage, 1) == ["at nine"]
    assert stage.agents.got[0].edits == "m1"


async def test_the_desk_tells_edits_from_other_messages(web_on_each: Web) -> None:
    bo = await web_on_each.agent_online()
    user, chat = await web_on_each.waiting_user()
    for text, edits in (("at nin", None), ("at nine", "m1")):
        message = Message(id=new_id(), who="user", text=text, edits=edits, at=1.0)
        await web_on_each.runtime.switchboard.said(user.sender, message, new_id())

    async def lines() -> list[tuple[str, bool]]:
        return [(each["text"], each["edited"]) for each in (await bo.look_at(chat))["messages"]]

    async def are_there() -> bool:
        return len(await lines()) == 2

    await web_on_each.until(are_there)
    assert await lines() == [("at nin", False), ("at nine", True)]


def test_the_mark_is_the_bot_owners_to_choose() -> None:
    assert read_section({"edited_text": "(edited) {text}"}, {"desk": Recorder.settings_model}).edited_text
    with pytest.raises(ConfigError, match=r"edited_text: must have \{text\}"):
        read_section({"edited_text": "(edited)"}, {"desk": Recorder.settings_model})
    assert read_section({"deleted_text": "(deleted)"}, {"desk": Recorder.settings_model}).deleted_text == "(deleted)"
    with pytest.raises(ConfigError, match=r"deleted_text: is empty"):
        read_section({"deleted_text": " "}, {"desk": Recorder.settings_model})
