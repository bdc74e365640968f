"""What LivePerson tells us: a payload file, and the events that it becomes."""

from __future__ import annotations

from typing import Any

import pytest

from rasa_handoff.backends.liveperson.reading import Change, Known, read_change, read_changes
from rasa_handoff.backends.liveperson.settings import LivePersonSettings
from rasa_handoff.errors import Malformed
from rasa_handoff.events import (
    AgentJoined,
    AgentMessage,
    AgentTyping,
    AnyEvent,
    Closed,
    MessageStatus,
    Transferred,
)
from rasa_handoff.model import Attachment, Button, EndReason, Handoff, Json, Person, Status
from rasa_handoff.testing import Payloads

CHAT = "5491244f-e462-4c63-bf4e-faf4b2d3e7b5"
SURVEY = "PwT_YK91Sum3vu5H6T3YnA"
AGENT = "29c3019d-fe0b-5200-afe8-737abfeae4b4"
INES = Person(name="Ines", id=AGENT)
KNOWN = Known(main=CHAT, dialog=CHAT)
WITH_INES = Known(main=CHAT, dialog=CHAT, agent=AGENT)

payloads = Payloads(__file__)


def settings(**more: Any) -> LivePersonSettings:
    known = {"account": "64467156", "client_id": "c", "client_secret": "s", "agent_names": {AGENT: "Ines"}}
    return LivePersonSettings(**{**known, **more})


def read(name: str | Json, known: Known = KNOWN, **more: Any) -> tuple[Known, list[AnyEvent]]:
    """What a whole notification becomes, change by change."""
    payload = payloads[name] if isinstance(name, str) else name
    happened: list[AnyEvent] = []
    for change in read_changes(payload):
        known, events = read_change(change, known, settings(**more), lambda path: f"https://bot.example.com/f{path}")
        happened += events
    return known, happened


def events(name: str | Json, known: Known = KNOWN, **more: Any) -> list[AnyEvent]:
    return read(name, known, **more)[1]


def altered(name: str, **more: Any) -> Json:
    """The payload with other fields in its only change."""
    payload = payloads[name]
    payload["body"]["changes"][0].update(more)
    return payload


def state(**details: Any) -> Json:
    """A change of a conversation."""
    known = {"metaDataLastUpdateTs": 1_000, "state": "OPEN", **details}
    change = {"type": "UPSERT", "result": {"convId": CHAT, "conversationDetails": known}}
    return {"kind": "notification", "type": "cqm.ExConversationChangeNotification", "body": {"changes": [change]}}


def people(*agents: str) -> list[Json]:
    return [{"id": "u", "role": "CONSUMER"}, *({"id": each, "role": "ASSIGNED_AGENT"} for each in agents)]


# Messages


def test_an_agent_s_words_become_a_message_without_the_line_break_of_their_editor() -> None:
    said = AgentMessage(chat_id=CHAT, event_id=f"{CHAT}:2", agent=INES, text="Hello from the Agent")
    assert events("agent_text") == [said]


def test_an_agent_who_has_no_name_in_the_settings_is_an_agent() -> None:
    (said,) = events("agent_text", agent_names={}, agent_name="Somebody")
    assert said.agent == Person(name="Somebody", id=AGENT)


def test_the_echo_of_our_own_words_is_nobody_s_news() -> None:
    assert events("consumer_text") == []
    assert events("consumer_pauses_signed") == []


def test_what_agents_write_to_each_other_is_not_for_the_user() -> None:
    assert events("agents_only_ours") == []


def test_what_the_system_says_by_itself_is_nobody_s() -> None:
    text = "An agent will be with you shortly."
    said = AgentMessage(chat_id=CHAT, event_id=f"{CHAT}:1", text=text, automatic=True)
    assert events("automatic_ours") == [said]
    assert events("automatic_ours", automatic_messages=False) == []


def test_html_becomes_text() -> None:
    (said,) = events("agent_html_ours")
    assert said.text == "Read this (https://example.com/a) & that"


def test_an_agent_s_file_becomes_a_link_of_ours() -> None:
    name = "6be59ddb_04-06-2018_04-10-59-845.PNG"
    url = f"https://bot.example.com/f/v1/AUTH_async-images/64467156/{name}"
    (said,) = events("agent_file_ours")
    assert (said.text, said.attachments) == (
        "The part you need",
        (Attachment(url=url, kind="image", name=name),),
    )


def test_a_file_that_is_no_picture_is_a_file() -> None:
    message = {"relativePath": "/v1/a/bill.pdf", "fileType": "PDF"}
    event = {"type": "ContentEvent", "contentType": "hosted/file", "message": message}
    (said,) = events(altered("agent_text", event=event))
    (attachment,) = said.attachments
    assert (said.text, attachment.kind, attachment.name) == ("", "file", "bill.pdf")


def test_a_card_becomes_text_picture_links_and_buttons() -> None:
    (said,) = events("rich_content_corrected")
    place = "https://www.openstreetmap.org/?mlat=40.7562724&mlon=-73.9985259"
    pictures = "https://www.pinterest.com/lyndawhite/beautiful-flowers/"
    lines = ["Birthday Bouquet", "Wild flowers", f"URL button example: {pictures}", f"Navigate: {place}"]
    assert said.text.split("\n") == lines
    assert said.attachments == (Attachment(url="https://s-media-cache-ak0.pinimg.com/736x/flowers.jpg", kind="image"),)
    assert said.buttons == (Button(title="Publish text example", payload="Published text button tap"),)


def test_a_place_is_a_location() -> None:
    (said,) = events("map_corrected")
    url = "https://www.openstreetmap.org/?mlat=49.82380908513249&mlon=2.021484375"
    assert said.attachments == (Attachment(url=url, kind="location"),)


def test_elements_of_kinds_that_are_not_known_are_what_is_inside_them() -> None:
    inside = {"type": "carousel", "elements": [{"type": "vertical", "elements": [{"type": "text", "text": "deep"}]}]}
    event = {
        "type": "RichContentEvent",
        "content": {"type": "new", "sections": [inside, {"type": "video", "url": "x"}]},
    }
    (said,) = events(altered("agent_text", event=event))
    assert said.text == "deep"


def test_an_address_that_a_user_cannot_open_is_left_out() -> None:
    elements = [{"type": "image", "url": "javascript:alert(1)"}, {"type": "text", "text": "only this"}]
    event = {"type": "RichContentEvent", "content": {"type": "vertical", "elements": elements}}
    (said,) = events(altered("agent_text", event=event))
    assert (said.text, said.attachments) == ("only this", ())


def test_an_agent_begins_and_stops_typing() -> None:
    assert events("agent_typing") == [AgentTyping(chat_id=CHAT, typing=True)]
    assert events("agent_stopped_typing") == [AgentTyping(chat_id=CHAT, typing=False)]


def test_an_agent_has_read_what_the_user_wrote() -> None:
    assert events("agent_read") == [MessageStatus(chat_id=CHAT, message_id=f"{CHAT}:0", state="read")]


@pytest.mark.parametrize(("status", "state"), [("ACCEPT", "delivered"), ("NACK", "rejected")])
def test_the_other_statuses_of_what_the_user_wrote(status: str, state: str) -> None:
    event = {"type": "AcceptStatusEvent", "status": status, "sequenceList": [3, 4]}
    happened = events(altered("agent_read", event=event))
    assert [(each.message_id, each.state) for each in happened] == [(f"{CHAT}:3", state), (f"{CHAT}:4", state)]


@pytest.mark.parametrize("status", ["ACCESS", "ACTION", "SOMETHING_NEW"])
def test_statuses_that_say_nothing_about_a_message_s_way(status: str) -> None:
    event = {"type": "AcceptStatusEvent", "status": status, "sequenceList": [3]}
    assert events(altered("agent_read", event=event)) == []


def test_an_event_of_a_kind_that_is_not_known_is_no_business_of_ours() -> None:
    assert events(altered("agent_text", event={"type": "SomethingNew"})) == []


def test_messages_are_read_in_the_order_in_which_they_were_written() -> None:
    payload = payloads["agent_text"]
    (change,) = payload["body"]["changes"]
    payload["body"]["changes"] = [{**change, "sequence": number} for number in (12, 3, 7)]
    assert [each.sequence for each in read_changes(payload)] == [3, 7, 12]


def test_the_conversation_s_id_comes_first_and_the_dialog_s_where_it_is_missing() -> None:
    assert [each.conversation for each in read_changes(payloads["agent_text"])] == [CHAT]
    named = altered("agent_text", conversationId="c-1")
    assert [(each.conversation, each.dialog) for each in read_changes(named)] == [("c-1", CHAT)]


def test_a_notification_of_another_type_is_no_business_of_ours() -> None:
    assert read_changes({"kind": "notification", "type": "something.new", "body": 1}) == []


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"type": "ms.MessagingEventNotification"},
        {"type": "ms.MessagingEventNotification", "body": {"changes": {}}},
        {"type": "ms.MessagingEventNotification", "body": {"changes": ["x"]}},
        {"type": "ms.MessagingEventNotification", "body": {"changes": [{}]}},
        {"type": "cqm.ExConversationChangeNotification", "body": {"changes": [{"result": {}}]}},
        {"type": "cqm.ExConversationChangeNotification", "body": {"changes": [{"result": {"convId": 7}}]}},
    ],
)
def test_a_notification_that_cannot_be_read_says_so(payload: Json) -> None:
    with pytest.raises(Malformed):
        read_changes(payload)


@pytest.mark.parametrize(
    "change",
    [
        {"event": None},
        {"originatorMetadata": None},
        {"originatorMetadata": {"id": "a"}},
        {"event": {"type": "ContentEvent", "contentType": "hosted/file", "message": {}}},
        {"event": {"type": "RichContentEvent"}},
        {"event": {"type": "RichContentEvent", "content": {"elements": ["x"]}}},
        {"event": {"type": "RichContentEvent", "content": {"elements": [{"type": "map", "la": "x", "lo": 1}]}}},
        {"event": {"type": "AcceptStatusEvent", "status": "READ"}},
        {"event": {"type": "ChatStateEvent"}},
    ],
)
def test_a_message_that_cannot_be_read_says_so(change: Json) -> None:
    with pytest.raises(Malformed):
        events(altered("agent_text", **change))


# Who has the conversation


def test_a_conversation_that_begins_has_nobody_yet() -> None:
    known, happened = read("conversation_created")
    assert (happened, known.agent, known.updated) == ([], None, 1528371161882)


def test_an_agent_is_assigned_once() -> None:
    known, happened = read("agent_assigned")
    assert happened == [AgentJoined(chat_id=CHAT, agent=INES)]
    assert events("agent_assigned", known) == []


def test_another_agent_is_a_transfer() -> None:
    moved = events(state(participants=people("other"), skillId="7"), WITH_INES)
    assert moved == [Transferred(chat_id=CHAT, agent=Person(name="An agent", id="other"), group="7")]


def test_without_an_agent_it_is_back_in_the_queue_until_the_next_one() -> None:
    known, happened = read(state(participants=people(), skillId="7"), WITH_INES)
    assert happened == [Transferred(chat_id=CHAT, group="7")]
    assert events(state(participants=people(AGENT)), known) == [AgentJoined(chat_id=CHAT, agent=INES)]


def test_a_change_that_says_nothing_of_people_moves_nobody() -> None:
    assert events(state(skillId="7"), WITH_INES) == []


def test_a_change_that_was_overtaken_has_no_effect() -> None:
    known, _ = read(state(participants=people(AGENT), metaDataLastUpdateTs=2_000))
    assert read(state(participants=people("other"), metaDataLastUpdateTs=1_999), known) == (known, [])


# The end


def test_the_published_end_of_a_conversation() -> None:
    known = Known(main="b8b83fe9-75f0-46f2-baaa-2930f7192cfb", dialog="b8b83fe9-75f0-46f2-baaa-2930f7192cfb")
    assert events("consumer_closed_signed", known) == [Closed(chat_id=known.main, reason=EndReason.USER_LEFT)]


@pytest.mark.parametrize(
    ("reason", "agents", "end"),
    [
        ("AGENT", [AGENT], EndReason.AGENT_CLOSED),
        ("CONSUMER", [AGENT], EndReason.USER_LEFT),
        ("SYSTEM", [AGENT], EndReason.AGENT_CLOSED),
        ("SYSTEM", [], EndReason.NOT_ACCEPTED),
        (None, [AGENT], EndReason.AGENT_CLOSED),
    ],
)
def test_who_closed_it_is_the_reason(reason: str | None, agents: list[str], end: EndReason) -> None:
    happened = events(state(state="CLOSE", closeReason=reason, participants=people(*agents)))
    assert happened == [Closed(chat_id=CHAT, reason=end)]


def test_an_older_end_without_a_stage_or_dialogs_is_an_end() -> None:
    assert events(state(state="CLOSE", participants=people(AGENT))) == [Closed(chat_id=CHAT)]


def test_a_main_dialog_that_is_closed_is_the_end_whatever_follows() -> None:
    main = {"dialogId": CHAT, "dialogType": "MAIN", "state": "CLOSE", "closedBy": "AGENT", "creationTs": 1}
    assert events(state(dialogs=[main], stage="OPEN")) == [Closed(chat_id=CHAT)]
    _, happened = read("main_closed_survey_open_corrected", WITH_INES)
    assert happened == [Closed(chat_id=CHAT, reason=EndReason.USER_LEFT)]


def test_a_survey_s_questions_are_not_shown_unless_they_are_wanted() -> None:
    assert events("survey_question_corrected", WITH_INES) == []


def test_a_survey_that_is_wanted_goes_on_after_the_agent() -> None:
    known, happened = read("main_closed_survey_open_corrected", WITH_INES, survey=True)
    assert (happened, known.dialog, known.main) == ([], SURVEY, CHAT)
    hello, question = events("survey_question_corrected", known, survey=True)
    assert (hello.chat_id, hello.event_id) == (CHAT, f"{SURVEY}:0")
    assert question.buttons == tuple(Button(title=text, payload=text) for text in ("1", "2", "Skip"))
    over = state(state="CLOSE", stage="CLOSE", closeReason="AGENT", metaDataLastUpdateTs=2e12)
    assert events(over, known, survey=True) == [Closed(chat_id=CHAT)]


def test_a_conversation_whose_main_dialog_has_another_id() -> None:
    main = {"dialogId": "d-1", "dialogType": "MAIN", "state": "OPEN", "creationTs": 2}
    older = {**main, "dialogId": "d-0", "creationTs": 1}
    known, _ = read(state(dialogs=[main, older]))
    assert (known.main, known.dialog) == ("d-1", "d-1")
    assert len(events(altered("agent_text", conversationId=CHAT, dialogId="d-1"), known)) == 1


def test_what_is_known_is_kept_with_the_handoff() -> None:
    handoff = Handoff(
        id="h", sender_id="ann", channel="rest", backend="liveperson", status=Status.ACTIVE, opened_at=0.0, chat_id=CHAT
    )
    assert Known.of(handoff) == KNOWN
    known, _ = read("agent_assigned")
    kept = Handoff(**{**{name: getattr(handoff, name) for name in handoff.__slots__}, "notes": known.note()})
    assert Known.of(kept) == known


def test_typing_has_no_number_and_is_told_apart() -> None:
    (typing,) = read_changes(payloads["agent_typing"])
    (text,) = read_changes(payloads["agent_text"])
    assert (typing.is_typing, typing.sequence, text.is_typing) == (True, None, False)
    assert isinstance(typing, Change)
