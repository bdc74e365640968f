"""Webex: Rasa's own channel, a server in Webex's place, and what arrives at both ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from rasa.core.agent import Agent
from rasa.core.channels.webexteams import WebexTeamsInput

from rasa_handoff.model import Attachment, Button, Card
from rasa_handoff.testing.payloads import Payloads
from rasa_handoff.testing.wire import Asked
from tests.channels.line import Line
from tests.internet import Internet

PAYLOADS = Payloads(__file__)
TOKEN, ROOM = "webex-secret", "room-1"
FILES = PAYLOADS["file"]["data"]["files"]


def message(asked: Asked) -> tuple[int, Any]:
    """What Rasa's channel asks for when a webhook names a message."""
    name = asked.path.rpartition("/")[2]
    said = {"files": FILES} if name == "message-3" else {"text": f"the text of {name}"}
    return 200, {"id": name, "roomId": ROOM, "personId": "person-1", **said}


@pytest_asyncio.fixture
async def line(tmp_path: Path, internet: Internet, rasa_agent: Agent) -> AsyncIterator[Line]:
    internet.when("GET", "/v1/people/me", body={"id": "bot"})
    internet.respond("GET", "/v1/messages/*", message)
    line = Line(tmp_path, WebexTeamsInput(TOKEN), rasa_agent)
    await line.up()
    yield line
    await line.down()


async def started(line: Line, name: str = "message") -> Any:
    """A handoff whose user has written."""
    return await line.begin(ROOM, line.hook(PAYLOADS[name]))


def posts(internet: Internet) -> list[dict[str, Any]]:
    asked = internet.taken("POST", "/v1/messages")
    assert {each.headers["authorization"] for each in asked} <= {f"Bearer {TOKEN}"}
    return [each.json for each in asked]


async def test_a_text_reaches_the_agent_and_not_the_bot(line: Line) -> None:
    await started(line)
    assert [each.text for each in line.agents.got] == ["matt@example.com: the text of message-1"]
    assert await line.bot_heard(ROOM) == []


async def test_an_edited_message_is_marked_and_comes_once(line: Line, internet: Internet) -> None:
    await started(line)
    now_says = {"id": "message-1", "roomId": ROOM, "personId": "person-1", "text": "something else"}
    internet.when("GET", "/v1/messages/message-1", body=now_says)
    for _ in range(2):
        assert (await line.hook(PAYLOADS["edited"]))[0] == 200
    await line.hook(PAYLOADS["reply"])
    await line.heard(3)
    first, edited, _ = (each.text for each in line.agents.got)
    assert (first, edited) == ("matt@example.com: the text of message-1", "✎ matt@example.com: something else")


async def test_what_a_user_has_deleted_agents_read_of_once(line: Line, internet: Internet) -> None:
    await started(line)
    assert (await line.hook(PAYLOADS["deleted"]))[0] == 200  # it is a lie: the message is there
    internet.when("GET", "/v1/messages/message-1", 404, {"message": "Unable to get message."})
    for _ in range(2):
        assert (await line.hook(PAYLOADS["deleted"]))[0] == 200
    await line.hook(PAYLOADS["reply"])
    await line.heard(3)
    assert [each.text for each in line.agents.got][1:] == [
        "matt@example.com: 🗑 The user has deleted a message.",
        "matt@example.com: the text of message-2",
    ]


async def test_a_deletion_without_a_handoff_is_nothing_to_the_bot(line: Line, internet: Internet) -> None:
    """Rasa's channel by itself asks for what is gone, and fails."""
    internet.when("GET", "/v1/messages/message-1", 404, {"message": "Unable to get message."})
    assert (await line.hook(PAYLOADS["deleted"]))[0] == 200
    assert await line.bot_heard(ROOM) == []


@pytest.mark.parametrize("in_webhook", [True, False])
async def test_a_file_is_had_with_the_bots_token(line: Line, internet: Internet, in_webhook: bool) -> None:
    """Whether the webhook names it, or only the message that Rasa's channel asks for."""
    internet.when("GET", "/v1/contents/*", body=b"PNG")
    data = {**PAYLOADS["file"]["data"], **({} if in_webhook else {"files": None})}
    await line.hand_over(ROOM)
    await line.hook({**PAYLOADS["file"], "data": data})
    await line.heard()
    (said,) = line.agents.got
    (attachment,) = said.attachments
    assert (await line.download(attachment.url))[:2] == (200, b"PNG")
    (asked,) = internet.taken("GET", "/v1/contents/*")
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in attachment.url


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="at&t park.jpg"', "at&t park.jpg"),
        ("attachment; filename*=UTF-8''R%C3%A4der.jpg", "Räder.jpg"),
        ("", None),
    ],
)
async def test_a_file_has_the_name_and_the_kind_that_webex_knows(
    line: Line, internet: Internet, disposition: str, name: str | None
) -> None:
    """Without being fetched: https://developer.webex.com/docs/api/guides/message-attachments."""
    told = {"Content-Type": "image/jpeg", **({"Content-Disposition": disposition} if disposition else {})}
    internet.respond("HEAD", "/v1/contents/*", lambda asked: (200, b"", told))
    await line.hand_over(ROOM)
    await line.hook(PAYLOADS["file"])
    (message,) = await line.heard()
    (attachment,) = message.attachments
    assert (attachment.kind, attachment.name, attachment.mime) == ("image", name, "image/jpeg")
    (asked,) = internet.taken("HEAD")
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert internet.taken("GET", "/v1/contents/*") == []


async def test_a_file_that_webex_looks_through_for_viruses_is_a_file_all_the_same(
    line: Line, internet: Internet
) -> None:
    internet.when("HEAD", "/v1/contents/*", 423)
    await line.hand_over(ROOM)
    await line.hook(PAYLOADS["file"])
    (message,) = await line.heard()
    assert [(each.kind, each.name) for each in message.attachments] == [("file", None)]


@pytest.mark.parametrize("url", ["https://evil.example/v1/contents/1", "https://webexapis.com/v1/people"])
async def test_the_token_gets_files_of_webexs_and_nothing_else(line: Line, internet: Internet, url: str) -> None:
    forged = {**PAYLOADS["file"], "data": {**PAYLOADS["file"]["data"], "files": [url]}}
    await line.hand_over(ROOM)
    await line.hook(forged)
    (said,) = await line.heard()
    status, body, _ = await line.download(said.attachments[0].url)
    assert status == 502
    assert b"the channel's" in body
    assert internet.asked_of("evil.example") == []
    assert internet.taken("GET", "/v1/people") == []


async def test_a_webhook_that_comes_again_has_no_second_effect(line: Line) -> None:
    await started(line)
    await line.hook(PAYLOADS["message"])
    await line.hook(PAYLOADS["reply"])
    texts = [each.text for each in await line.heard(2)]
    assert texts == ["matt@example.com: the text of message-1", "matt@example.com: the text of message-2"]


async def test_an_agent_writes_into_the_room_and_the_thread_also_after_a_restart(
    line: Line, internet: Internet
) -> None:
    handoff = await started(line, "reply")
    line.channels._made.clear()
    await line.reply(handoff, "Hi")
    assert posts(internet)[-1] == {"roomId": ROOM, "parentId": "message-0", "text": "Bo: Hi"}


BUTTONS = (Button(title="Yes", payload="/affirm"), Button(title="Read", payload="", url="https://a.test"))
BLUE = Card(title="Blue", text="A bike", image_url="https://a.test/b.png", url="https://a.test/b", buttons=BUTTONS[:1])
SUBMIT = {"type": "Action.Submit", "title": "Yes", "data": {"title": "Yes", "payload": "/affirm"}}
READ = {"type": "Action.OpenUrl", "title": "Read", "url": "https://a.test"}
LEAD = {"type": "Action.OpenUrl", "title": "Blue", "url": "https://a.test/b"}


def content(post: dict[str, Any]) -> tuple[list[str], list[Any]]:
    """What is to be read on a card, and its buttons."""
    (card,) = post["attachments"]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    return [each.get("text", each["type"]) for each in card["content"]["body"]], card["content"]["actions"]


async def test_buttons_and_cards_can_be_pressed_where_webex_tells_of_it(line: Line, internet: Internet) -> None:
    internet.when("GET", "/v1/webhooks", body=PAYLOADS["webhooks"])
    handoff = await started(line)
    await line.reply(
        handoff, "Sure?", buttons=BUTTONS, attachments=(Attachment(url="https://a.test/bill.pdf"),), cards=(BLUE,)
    )
    await line.reply(handoff, "Sure again?", buttons=BUTTONS)
    question, file, card, again = posts(internet)[-4:]
    assert question["text"] == "Bo: Sure?\n- Yes\n- Read: https://a.test"
    assert content(question) == (["Bo: Sure?"], [SUBMIT, READ])
    assert file["files"] == ["https://a.test/bill.pdf"]
    assert card["text"] == "Blue\nA bike\nhttps://a.test/b\n- Yes"
    assert content(card) == (["Blue", "Image", "A bike"], [LEAD, SUBMIT])
    assert content(again)[1] == [SUBMIT, READ]
    assert len(internet.taken("GET", "/v1/webhooks")) == 1


def webhooks_with(**values: str) -> Any:
    """The two webhooks, that of presses with these values."""
    first, second = PAYLOADS["webhooks"]["items"]
    return {"items": [first, {**second, **values}]}


@pytest.mark.parametrize(
    "webhooks",
    [
        {"items": PAYLOADS["webhooks"]["items"][:1]},
        webhooks_with(status="inactive"),
        webhooks_with(event="deleted"),
        webhooks_with(targetUrl="https://elsewhere.example/presses"),
        None,
    ],
    ids=["none", "inactive", "another event", "another address", "not told"],
)
async def test_they_are_lists_where_webex_does_not(line: Line, internet: Internet, webhooks: Any) -> None:
    internet.when("GET", "/v1/webhooks", 200 if webhooks else 403, webhooks)
    handoff = await started(line)
    await line.reply(handoff, "Sure?", buttons=BUTTONS[:1])
    await line.reply(handoff, "Or?", buttons=BUTTONS, cards=(BLUE,))
    await line.reply(handoff, "There:", buttons=BUTTONS[1:])
    question, mixed, card, link = posts(internet)[-4:]
    assert (question["text"], "attachments" in question) == ("Bo: Sure?\n- Yes", False)
    assert content(mixed) == (["Bo: Or?\n- Yes"], [READ])
    assert content(card) == (["Blue", "Image", "A bike\n- Yes"], [LEAD])
    assert content(link) == (["Bo: There:"], [READ])


async def test_what_an_agent_typed_is_read_as_it_is(line: Line, internet: Internet) -> None:
    """On a card it would be Markdown; and nobody could follow a link in it."""
    internet.when("GET", "/v1/webhooks", body=PAYLOADS["webhooks"])
    handoff = await started(line)
    typed = "1. *Not* bold, see https://a.test/_x_"
    await line.reply(handoff, typed, buttons=BUTTONS, cards=(Card(title="*Blue*", text=typed),))
    question, card = posts(internet)[-2:]
    shown = r"\*Not\* bold, see [https://a.test/_x_](https://a.test/_x_)"
    assert question["text"] == f"Bo: {typed}\n- Yes\n- Read: https://a.test"
    assert content(question)[0] == [f"Bo: 1. {shown}"]
    assert content(card)[0] == [r"\*Blue\*", rf"1\. {shown}"]


async def test_what_is_no_card_is_no_markdown(line: Line, internet: Internet) -> None:
    internet.when("GET", "/v1/webhooks", body={"items": []})
    handoff = await started(line)
    await line.reply(handoff, "*Sure*?", buttons=BUTTONS[:1])
    assert posts(internet)[-1]["text"] == "Bo: *Sure*?\n- Yes"


async def test_more_buttons_than_fit_on_a_card_are_on_the_next(line: Line, internet: Internet) -> None:
    internet.when("GET", "/v1/webhooks", body=PAYLOADS["webhooks"])
    handoff = await started(line)
    many = tuple(Button(title=str(number), payload=f"/{number}") for number in range(7))
    await line.reply(handoff, "Which?", buttons=many, cards=(Card(title="Blue", buttons=many),))
    found = [[each["title"] for each in content(post)[1]] for post in posts(internet)[-4:]]
    assert found == [["0", "1", "2", "3", "4"], ["5", "6"]] * 2


@pytest.mark.parametrize(("room", "shown"), [("direct", ""), ("group", "matt@example.com: ")])
async def test_what_is_pressed_has_its_title_and_its_payload(
    line: Line, internet: Internet, room: str, shown: str
) -> None:
    webex_knows_what_was_pressed(internet, room)
    await line.hand_over(ROOM)
    assert (await line.hook(PAYLOADS["pressed"]))[0] == 200
    assert (await line.hook(PAYLOADS["pressed"]))[0] == 200  # as a repeat
    await line.hook(PAYLOADS["message"])
    pressed, _ = await line.heard(2)
    assert pressed.text == f"{shown}Yes, please (/affirm)"
    asked = internet.taken("GET", "/v1/attachment/actions/*")
    assert {each.headers["authorization"] for each in asked} == {f"Bearer {TOKEN}"}
    assert await line.bot_heard(ROOM) == []


def webex_knows_what_was_pressed(internet: Internet, room: str = "direct") -> None:
    internet.when("GET", "/v1/messages/action-1", 404, {"message": "Unable to get message."})
    internet.when("GET", "/v1/attachment/actions/action-1", body=PAYLOADS["action"])
    internet.when("GET", f"/v1/rooms/{ROOM}", body={"id": ROOM, "type": room})
    internet.when("GET", "/v1/people/person-1", body={"id": "person-1", "emails": ["matt@example.com"]})


async def test_what_webex_does_not_know_was_never_pressed(line: Line, internet: Internet) -> None:
    internet.when("GET", "/v1/messages/action-1", 404, {"message": "Unable to get message."})
    internet.when("GET", "/v1/attachment/actions/*", 404, {"message": "Unable to get attachment action."})
    await line.hand_over(ROOM)
    assert (await line.hook(PAYLOADS["pressed"]))[0] == 500
    await line.hook(PAYLOADS["message"])
    assert [each.text for each in await line.heard()] == ["matt@example.com: the text of message-1"]


async def test_without_a_handoff_what_is_pressed_is_the_bots(line: Line, internet: Internet) -> None:
    """Rasa's channel by itself takes the press for a message, which Webex does not know."""
    webex_knows_what_was_pressed(internet)
    assert (await line.hook(PAYLOADS["pressed"]))[0] == 200
    assert await line.bot_heard(ROOM) == ["/affirm"]
    await line.hand_over(ROOM)
    await line.hook(PAYLOADS["message"])
    assert len(await line.heard()) == 1


async def test_what_somebody_elses_card_says_is_nobodys(line: Line, internet: Internet) -> None:
    webex_knows_what_was_pressed(internet)
    internet.when("GET", "/v1/attachment/actions/action-1", body={**PAYLOADS["action"], "inputs": {"Name": "Ann"}})
    assert (await line.hook(PAYLOADS["pressed"]))[0] == 500  # as without us
    assert await line.bot_heard(ROOM) == []


async def test_a_press_leaves_the_thread_that_was_written_in(line: Line, internet: Internet) -> None:
    webex_knows_what_was_pressed(internet)
    handoff = await started(line, "reply")
    await line.hook(PAYLOADS["pressed"])
    await line.heard(2)
    await line.reply(handoff, "Hi")
    assert posts(internet)[-1]["parentId"] == "message-0"


async def test_a_file_that_webex_cannot_get_comes_as_a_link(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    refuse = {"message": "File not retrievable"}
    internet.respond("POST", "/v1/messages", lambda asked: (400, refuse) if "files" in asked.json else (200, {}))
    await line.reply(handoff, attachments=(Attachment(url="https://a.test/bill.pdf"),))
    assert posts(internet)[-1] == {"roomId": ROOM, "text": "https://a.test/bill.pdf"}
    assert await line.dead() == []


async def test_what_webex_does_not_show_can_be_read(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    refuse = {"message": "Unable to retrieve content"}
    internet.respond("POST", "/v1/messages", lambda asked: (400, refuse) if "attachments" in asked.json else (200, {}))
    site = Button(title="Site", payload="", url="tel:1")
    await line.reply(handoff, "Sure?", buttons=(site,), cards=(Card(title="Blue", text="A bike", buttons=(site,)),))
    texts = [each["text"] for each in posts(internet) if "attachments" not in each]
    assert texts[-2:] == ["Bo: Sure?\n- Site: tel:1", "Blue\nA bike\n- Site: tel:1"]
    assert await line.dead() == []


async def test_a_file_that_webex_is_long_in_getting_comes_once(hurried: None, line: Line, internet: Internet) -> None:
    handoff = await started(line)
    internet.stall(1.5, path="POST /v1/messages")
    await line.reply(handoff, attachments=(Attachment(url="https://a.test/film.mp4", kind="video"),))
    assert [each["files"] for each in posts(internet) if "files" in each] == [["https://a.test/film.mp4"]]


async def test_webex_says_how_long_to_wait(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    internet.fail(429, path="/v1/messages", Retry_After="60")
    assert await line.put_off(handoff, "patience") > 59
    await line.try_again(handoff)
    assert posts(internet)[-1]["text"] == "Bo: patience"


async def test_what_will_never_work_is_put_aside_with_its_reason(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    internet.when("POST", "/v1/messages", 404, {"message": "Could not find a room with provided ID."})
    await line.reply(handoff, "secret words")
    (dead,) = await line.dead()
    assert dead == "webexteams: could not send a message: HTTP 404"


async def test_the_bot_speaks_again_in_the_same_room(line: Line, internet: Internet) -> None:
    handoff = await started(line)
    await line.close(handoff)
    said = await line.bot_said(ROOM)
    assert said
    assert set(said) <= {each.get("text") for each in posts(internet)}
