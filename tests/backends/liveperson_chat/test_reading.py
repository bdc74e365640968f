"""What LivePerson says about a chat becomes our events; what it says in odd forms, too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from rasa_handoff.backends.liveperson_chat.reading import (
    About,
    Info,
    link,
    name_in,
    number_in,
    read_code,
    read_events,
    read_info,
    read_page,
    said_by_user,
    wants_agent,
)
from rasa_handoff.errors import Malformed
from rasa_handoff.events import AgentJoined, AgentMessage, AnyEvent, Closed, Transferred
from rasa_handoff.model import Attachment, Button, EndReason, Json, Person
from rasa_handoff.testing import Payloads

payloads = Payloads(__file__)

NATALIE = Person(name="Natalie", id="25025413", department="Sales")
WAITING = About(chat_id="c1", agent=NATALIE)
CHATTING = replace(WAITING, chatting=True)
AT = 1488194655.424  # 2017-02-27T06:24:15.424-05:00


def read(payload: Json, start: int = 0, about: About = WAITING) -> list[AnyEvent]:
    return read_events(read_page(payload, start), about)


def events(*items: Json) -> Json:
    return {"events": {"link": [], "event": list(items)}}


def line(id: Any = "1", **more: Any) -> Json:
    return {"@id": id, "@type": "line", "source": "agent", "text": "Hello", "textType": "plain", **more}


def test_the_first_document_says_who_has_the_chat_and_how_long_they_wait() -> None:
    page = read_page(payloads["first_read"], 0)
    assert page.info == Info(state="chatting", agent=NATALIE, typing=False, timeout=40)
    assert page.next == 4
    assert wants_agent(page)


def test_an_agent_who_takes_the_chat_has_joined_and_the_systems_lines_are_nothing() -> None:
    assert read(payloads["first_read"]) == [
        AgentJoined(chat_id="c1", event_id="2", at=pytest.approx(AT + 2.731), agent=NATALIE)
    ]


def test_a_lone_event_is_an_object_and_html_becomes_text() -> None:
    (event,) = read(payloads["events_one"], 4, CHATTING)
    assert event == AgentMessage(
        chat_id="c1",
        event_id="4",
        at=pytest.approx(AT + 14.577),
        agent=Person(name="Natalie", id="25025413"),
        text="Hi Ann,\nsee our bikes (https://example.com/bikes?a=1&b=2) & more",
    )
    assert read_page(payloads["events_one"], 4).next == 5


def test_no_events_are_no_field_at_all() -> None:
    page = read_page(payloads["events_none"], 5)
    assert (page.items, page.next, page.info) == ((), 5, None)


def test_several_events_are_a_list() -> None:
    """Lines of the user, for colleagues, of unknown types and behind the end are left out."""
    natalie = Person(name="Natalie")
    times = [event.at for event in read(payloads["events_several"], 5, CHATTING)]
    assert read(payloads["events_several"], 5, CHATTING) == [
        AgentMessage(chat_id="c1", event_id="7", at=times[0], agent=natalie, text="1 < 2 & <b>so on</b>"),
        AgentMessage(chat_id="c1", event_id="9", at=times[1], agent=natalie, text="https://example.com/offer"),
        AgentJoined(chat_id="c1", event_id="10", at=times[2], agent=NATALIE),
        Transferred(chat_id="c1", event_id="11", at=times[3]),
        Closed(chat_id="c1", event_id="12", at=times[4], reason=EndReason.NOT_ACCEPTED),
    ]


def test_the_first_waiting_is_no_news_and_a_later_one_is() -> None:
    waiting = {"@id": "0", "@type": "state", "state": "waiting"}
    assert read(events(waiting)) == []
    assert read(events(waiting), 0, CHATTING) == [Transferred(chat_id="c1", event_id="0")]


@pytest.mark.parametrize(("about", "reason"), [(WAITING, EndReason.NOT_ACCEPTED), (CHATTING, EndReason.AGENT_CLOSED)])
def test_an_end_before_anybody_came_is_another(about: About, reason: EndReason) -> None:
    ended = {"@id": "3", "@type": "state", "state": "ended"}
    assert read(events(ended), 0, about) == [Closed(chat_id="c1", event_id="3", reason=reason)]


def test_an_end_in_the_same_answer_as_the_agents_coming_is_the_agents() -> None:
    states = [{"@id": str(n), "@type": "state", "state": each} for n, each in enumerate(("chatting", "ended"))]
    assert read(events(*states))[1] == Closed(chat_id="c1", event_id="1", reason=EndReason.AGENT_CLOSED)


def test_where_to_go_on_is_behind_the_highest_number_or_where_the_link_says() -> None:
    shuffled = events(line("11"), line("9"), line("10"))
    assert read_page(shuffled, 9).next == 12
    assert [event.event_id for event in read(shuffled, 9)] == ["9", "10", "11"]
    ahead = {"events": {"link": {"@href": "https://x.example/events?v=1&from=15", "@rel": "next"}, "event": line("9")}}
    assert read_page(ahead, 9).next == 15


def test_events_that_were_not_asked_for_are_left_out() -> None:
    assert [event.event_id for event in read(events(line("1"), line("2"), line("3")), 3)] == ["3"]


@pytest.mark.parametrize(
    "href", [None, "", "https://x.example/events", "https://x.example/events?from=x", "?from=" + "9" * 30]
)
def test_a_link_that_leads_nowhere_does_no_harm(href: str | None) -> None:
    payload = {"events": {"link": [{"@href": href, "@rel": "next"}], "event": line("4")}}
    assert read_page(payload, 4).next == 5


def test_links_stand_in_any_order() -> None:
    chat = payloads["first_read"]["chat"]
    assert link(chat, "next") == link({"link": chat["link"][::-1]}, "next") == chat["link"][3]["@href"]
    assert link({"link": chat["link"][0]}, "self") == chat["link"][0]["@href"]
    assert link({}, "next") is None


@pytest.mark.parametrize("id", [None, "", "x", "-1", "²", 1.5, True, "9" * 30])
def test_an_event_without_a_number_is_left_out_and_the_others_are_not(id: Any) -> None:
    assert [event.event_id for event in read(events(line(id), line(7)))] == ["7"]


@pytest.mark.parametrize(
    "broken",
    [
        line(text=7),
        line(text=None),
        line(text=" \n"),
        line(textType="html", text="<br/><style>p {}</style>"),
        line(textType="rich-content", text="{"),
        line(by=7),
        {"@id": "1", "@type": "state"},
        {"@id": "1", "@type": "state", "state": ["chatting"]},
        {"@id": "1", "@type": "url"},
        {"@id": "1", "@type": "url", "url": "javascript:alert(1)"},
        {"@id": "1", "@type": ["line"]},
        {"@id": "1"},
    ],
)
def test_what_cannot_be_read_is_left_out_and_does_not_stop_the_rest(
    broken: Json, caplog: pytest.LogCaptureFixture
) -> None:
    assert [event.event_id for event in read(events(broken, line("2")))] == ["2"]
    assert "alert" not in caplog.text


@pytest.mark.parametrize("payload", [{}, {"events": None}, {"events": []}, {"chat": {}}, {"chat": 1}])
def test_an_answer_without_events_cannot_be_read(payload: Json) -> None:
    with pytest.raises(Malformed):
        read_page(payload, 0)


def test_rich_content_becomes_what_a_channel_can_show() -> None:
    content = """{"type": "vertical", "elements": [{"type": "text", "text": "Which one?"},
      {"type": "image", "url": "https://example.com/bike.jpg"},
      {"type": "button", "title": "The red one", "click": {"actions": [{"type": "publishText", "text": "red"}]}}]}"""
    (event,) = read(events(line(textType="rich-content", text=content)))
    assert isinstance(event, AgentMessage)
    assert event.text == "Which one?"
    assert event.attachments == (Attachment(url="https://example.com/bike.jpg", kind="image"),)
    assert event.buttons == (Button(title="The red one", payload="red"),)


def test_a_time_that_is_none_is_no_reason_to_lose_a_line() -> None:
    assert read(events(line(time="yesterday"), line("2", time=7)))[0].at is None


def test_what_the_user_said_is_found_among_the_events() -> None:
    page = read_page(payloads["events_several"], 5)
    assert said_by_user(page, "hi")
    assert not said_by_user(page, "1 < 2 & <b>so on</b>")


def test_how_a_chat_stands_is_read() -> None:
    robin = Person(name="Robin", id="7", department="Sales")
    assert read_info(payloads["info"]) == Info(state="chatting", agent=robin, typing=True, timeout=40)
    assert read_info({"info": {"agentName": "", "chatTimeout": 0}}) == Info()
    with pytest.raises(Malformed, match="agentName"):
        read_info({"info": {"agentName": 7}})


def test_what_cannot_be_read_of_how_a_chat_stands_keeps_no_event_back() -> None:
    document = payloads["first_read"]
    document["chat"]["info"]["agentName"] = 7
    page = read_page(document, 0)
    assert (len(page.items), page.info) == (4, None)


def test_a_refusal_has_a_code() -> None:
    assert read_code(payloads.raw("not_in_chat")) == 5
    assert [
        read_code(body) for body in (b"", b"<html>", b"[]", b'{"error": 7}', b'{"error": {"internalCode": "5"}}')
    ] == [None] * 5


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("https://x.example/api/account/1/chat/H30-a", "H30-a"),
        ("https://x.example/api/account/1/chat/H30-a.json?v=1", "H30-a"),
        ("/api/account/1/chat/H30-a/", "H30-a"),
        ("", None),
        (None, None),
    ],
)
def test_a_chat_is_called_what_stands_at_the_end_of_its_place(location: str | None, name: str | None) -> None:
    assert name_in(location) == name


@pytest.mark.parametrize(
    ("location", "number"),
    [("https://x.example/chat/H30-a/events/17", 17), ("https://x.example/chat/H30-a/events", None), (None, None)],
)
def test_an_event_says_its_number_at_the_end_of_its_place(location: str | None, number: int | None) -> None:
    assert number_in(location) == number


_NAMES = ("chat", "events", "event", "link", "info", "@id", "@type", "@rel", "@href", "state", "source", "text", "by")
_WORDS = (
    "0",
    "7",
    "line",
    "state",
    "url",
    "a2a-transfer",
    "chatting",
    "ended",
    "agent",
    "html",
    "rich-content",
    "{",
    "<",
)
_anything = some.recursive(
    some.none() | some.booleans() | some.integers(-3, 20) | some.floats(allow_nan=False) | some.sampled_from(_WORDS),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from(_NAMES), inner, max_size=6),
    max_leaves=25,
)


_events = some.fixed_dictionaries({"event": some.lists(_anything, max_size=4) | _anything, "link": _anything})
_answers = some.fixed_dictionaries({"events": _events}, optional={"info": _anything}) | _anything


@given(_answers, _answers, some.booleans(), some.booleans())
def test_whatever_they_answer_is_read_or_refused(answer: Any, inner: Any, nested: bool, chatting: bool) -> None:
    try:
        page = read_page({"chat": inner} if nested or not isinstance(answer, dict) else answer, 0)
    except Malformed:
        return
    wants_agent(page)
    said_by_user(page, "hi")
    assert len(read_events(page, replace(WAITING, chatting=chatting))) <= len(page.items)
    assert all(int(item["@id"]) < page.next for item in page.items)
