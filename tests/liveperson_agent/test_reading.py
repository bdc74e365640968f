"""Their payloads, as their pages print them, become plain facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rasa_handoff.errors import Malformed
from rasa_handoff.liveperson_agent import profiles, reading
from rasa_handoff.liveperson_agent.reading import ChatEvent, Colleague, Events, Login, Ringing, Skill

CHAT = "H2170755172687460894-b7d761017809489ea1a257461eb373eeK8457415"


def payload(name: str) -> Any:
    return json.loads((Path(__file__).parent / "payloads" / f"{name}.json").read_text("utf-8"))


def test_a_login_has_a_bearer_and_a_csrf_and_shows_neither() -> None:
    login = reading.read_login(payload("login_ours"))
    assert login == Login(bearer="c7b1", csrf="d5d07326")
    assert "c7b1" not in repr(login)
    assert "d5d07326" not in repr(login)


def test_the_address_of_an_agent_session() -> None:
    found = reading.read_location(payload("agent_session"), "agentSessionLocation")
    assert found == "https://va.agentvep.liveperson.net/api/account/1/agentSession/2"


def test_nobody_rings() -> None:
    assert reading.read_ringing(payload("ringing_none")) == Ringing(count=0, link=None)


def test_one_rings_and_says_where_it_is_taken() -> None:
    link = "https://va.agentvep.liveperson.net/api/account/1/agentSession/2/incomingRequests"
    assert reading.read_ringing(payload("ringing_one_ours")) == Ringing(count=1, link=link)


def test_the_chat_that_was_taken_and_the_ones_that_are_held() -> None:
    id = "H31879676690579736-632532233958645150K8414055"
    assert reading.read_taken(payload("taken")) == id
    assert reading.read_held(payload("chat_sessions")) == [id]
    assert reading.read_held({"chatSessions": ""}) == []


def test_a_chat_has_events_info_and_links() -> None:
    chat = reading.read_chat(payload("chat"))
    assert [(event.id, event.kind, event.state, event.source) for event in chat.events.events] == [
        (0, "state", "waiting", ""),
        (1, "line", "", "system"),
        (2, "state", "chatting", ""),
        (3, "line", "", "system"),
    ]
    assert chat.events.next is not None
    assert chat.events.next.endswith(f"/chat/{CHAT}/events?from=4")
    assert set(chat.links) == {"self", "events", "visit-id", "transfer"}
    assert chat.events.events[0].at == 1517231983.963


def test_a_chat_whose_attributes_have_no_at_reads_the_same_and_in_order() -> None:
    chat = reading.read_chat(payload("chat_without_at"))
    assert [(event.id, event.kind) for event in chat.events.events] == [(2, "state"), (3, "line")]
    assert chat.events.next is not None
    assert chat.events.next.endswith("from=214")
    assert profiles.read_visitor(chat.info) == {"name": "Ann", "id": "1222309710121", "session": "4294992744"}


def test_a_lone_event_is_an_object_and_html_is_read_as_a_person_reads_it() -> None:
    found = reading.read_events(payload("events_one_ours"))
    (event,) = found.events
    assert (event.id, event.source, event.text) == (4, "visitor", "Is 3 < 4?\nThanks & bye")


def test_no_event_is_none_at_all() -> None:
    found = reading.read_events(payload("events_none_ours"))
    assert found == Events(
        events=(), next="https://va.agentvep.liveperson.net/api/account/1/agentSession/2/chat/H1/events?from=5"
    )


def test_a_poll_may_be_answered_with_the_whole_chat() -> None:
    assert reading.read_events(payload("chat")) == reading.read_chat(payload("chat")).events


def test_a_new_holder_hears_what_came_behind_the_last_agents_line() -> None:
    line = ChatEvent(id=4, kind="line", source="agent")
    later = ChatEvent(id=6, kind="line", source="visitor")
    assert reading.answered_up_to((ChatEvent(id=3, kind="line", source="visitor"), line, later)) == 4
    assert reading.answered_up_to(()) == -1


def test_the_skills_that_have_somebody() -> None:
    skills = reading.read_skills(payload("skills_corrected"))
    assert skills[0] == Skill(id="25975313", name="Sales", agents=1)
    assert [skill.id for skill in skills if skill.is_called("billing ")] == ["26060413"]
    assert reading.read_skills({"transfer": {}}) == []


def test_the_agents_of_the_account() -> None:
    (agent,) = reading.read_agents(payload("available_agents"))
    assert agent == Colleague(id="2", name="Agent1-Nickname", login="Agent1", state="Away", skills=("2", "4"))
    assert not agent.takes_transfers


def test_our_availability() -> None:
    assert reading.read_availability(payload("availability")) == "Online"


def test_a_visitor_without_a_name_is_called_visitor_and_has_none() -> None:
    found = profiles.read_visitor(reading.read_chat(payload("chat")).info)
    assert found == {"id": "QzZDNhYTViMjA1OTJjN2Y5", "session": "ttJpjOmRQ0adbOusBi5UlA", "language": "en-US"}


def test_a_visit_has_address_system_device_and_place() -> None:
    assert profiles.read_visit(payload("visit")) == {
        "ip": "195.62.30.20",
        "os": "MAC_OSX",
        "device": "DESKTOP",
        "browser": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_5)",
        "country": "Israel",
        "state": "Tel Aviv",
        "city": "Tel Aviv",
    }


def test_a_participant_is_flat() -> None:
    found = profiles.read_participant(payload("participant"))
    assert found["customerType"] == "vip"
    assert (found["surname"], found["email"]) == ("User", "testuser@liveperson.com")
    assert "registrationDate" not in found


def test_the_pre_chat_survey_is_found_in_a_visit_and_other_surveys_are_not() -> None:
    visit = payload("visit_of_chat_ours")
    assert profiles.surveys_in(visit) == {"What is it about": "Billing, Refund"}
    (link,) = profiles.survey_links(visit)
    assert link.endswith("/surveys/preChat")
    assert profiles.read_survey(payload("survey_ours")) == {"Your name": "Ann"}
    assert profiles.read_visit(visit) == {"ip": "192.0.2.7", "os": "Windows"}


@pytest.mark.parametrize(
    ("read", "wrong", "names"),
    [
        (reading.read_login, {"bearer": "b"}, "csrf"),
        (reading.read_ringing, {"incomingRequests": {"ringingCount": "many"}}, "ringingCount"),
        (reading.read_taken, {"chatLocation": {}}, "chatLocation"),
        (reading.read_taken, {"chatLocation": {"link": {"@href": "/elsewhere", "@rel": "location"}}}, "/chat/"),
        (reading.read_events, {"events": {"event": [{"@type": "line"}]}}, "id"),
        (reading.read_events, {}, "events"),
        (reading.read_availability, {"availability": {}}, "chat"),
    ],
)
def test_what_cannot_be_read_names_the_field(read: Any, wrong: Any, names: str) -> None:
    with pytest.raises(Malformed, match=names):
        read(wrong)


@pytest.mark.parametrize("odd", [None, 7, "x", [], [None], {"link": [None, 1]}, {"event": [[]]}])
def test_links_of_odd_shapes_are_none(odd: Any) -> None:
    assert reading.links(odd) == {}
