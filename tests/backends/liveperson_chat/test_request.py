"""A request for a chat says all that agents should know, in the fields that there are."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from rasa_handoff import backends
from rasa_handoff.backends.liveperson_chat.request import chat_request, survey_answers
from rasa_handoff.backends.liveperson_chat.settings import LivePersonChatSettings
from rasa_handoff.errors import ConfigError
from rasa_handoff.model import Json, Line, Request
from rasa_handoff.settings import read_section
from rasa_handoff.testing import Payloads

payloads = Payloads(__file__)

REQUEST = Request(
    sender_id="ann",
    channel="web",
    parameters={"name": "Ann", "topic": "service", "bikes": ["red", 2], "none": None},
    metadata={"lp": {"visitor": 1214701440733986, "session": "s1"}, "lang": "en-US"},
    transcript=(Line(who="user", text="My bike is broken"), Line(who="bot", text="Oh no")),
)


def settings(**more: Any) -> LivePersonChatSettings:
    return LivePersonChatSettings(account="42257269", **more)


def body(request: Request = REQUEST, survey: Json | None = None, **more: Any) -> Json:
    asked: Json = chat_request(settings(**more), request, survey)["request"]
    return asked


def test_agents_read_the_slots_and_then_what_was_said() -> None:
    assert body() == {
        "preChatLines": {
            "line": [
                "name: Ann",
                "topic: service",
                'bikes: ["red", 2]',
                "Visitor: My bike is broken",
                "Bot: Oh no",
            ]
        }
    }


def test_a_bots_owner_chooses_what_they_read() -> None:
    chosen = {"Order": "slot:topic", "Unknown": "slot:nothing", "Where": "request:channel"}
    lines = body(details=chosen, speakers={"user": "Kunde", "bot": "Rad-Bot"})["preChatLines"]["line"]
    assert lines == ["Order: service", "Where: web", "Kunde: My bike is broken", "Rad-Bot: Oh no"]


def test_nothing_known_is_an_empty_request() -> None:
    assert body(Request(sender_id="ann", channel="web")) == {}


def test_the_group_is_the_skill_and_the_settings_have_another() -> None:
    asked = Request(sender_id="ann", channel="web", group="Billing")
    assert body(asked, skill="Sales", max_wait="2m") == {"skill": "Billing", "maxWaitTime": 120}
    assert body(Request(sender_id="ann", channel="web"), skill="Sales") == {"skill": "Sales"}


def test_fields_of_theirs_have_their_type() -> None:
    fields = {
        "visitorId": "metadata:lp.visitor",
        "LETagSessionId": "metadata:lp.session",
        "LETagContextId": "text:2",
        "language": "metadata:lang",
        "engagementId": "text:27469613",
        "campaignId": "slot:name",  # no number: left out
        "participantId": "slot:nothing",
    }
    asked = chat_request(settings(request=fields), REQUEST, None)["request"]
    known = {name: value for name, value in asked.items() if name != "preChatLines"}
    assert known == {
        "visitorId": 1214701440733986,
        "LETagSessionId": "s1",
        "LETagContextId": "2",
        "language": "en-US",
        "engagementId": 27469613,
    }


# The pre-chat survey


def answers(survey: Json | None = None, **asked: str) -> Json | None:
    known = settings(survey={name.replace("_", " "): source for name, source in asked.items()})
    return survey_answers(known, REQUEST, survey or payloads["survey"]["survey"])


def test_questions_are_found_by_label_or_id_and_answers_are_spelt_as_the_choices_are() -> None:
    known = {"what is your name?": "slot:name", "16314711": "slot:topic"}
    assert survey_answers(settings(survey=known), REQUEST, payloads["survey"]["survey"]) == {
        "id": "40216",
        "question": [{"id": "16314710", "answer": "Ann"}, {"id": "16314711", "answer": "Service"}],
    }


def test_what_is_none_of_the_choices_is_left_out() -> None:
    assert answers(Topic="slot:name") is None


def test_a_lone_question_is_an_object() -> None:
    question = payloads["survey"]["survey"]["questions"]["question"][2]
    survey = {"id": 1, "questions": {"question": question}}
    assert answers(survey, Anything_else="text:no") is None
    assert survey_answers(settings(survey={"Anything else?": "text:no"}), REQUEST, survey) == {
        "id": "1",
        "question": [{"id": "16314712", "answer": "no"}],
    }


@pytest.mark.parametrize(
    "survey", [{"id": 1}, {"id": 1, "questions": None}, {"questions": {"question": {"label": "Topic"}}}]
)
def test_a_survey_without_questions_or_without_an_id_has_no_answers(survey: Json) -> None:
    assert answers(survey, Topic="slot:topic") is None


def test_a_mandatory_question_without_an_answer_is_said_to_the_bots_owner(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert answers(Topic="slot:topic") is not None
    assert "16314710" in caplog.text
    assert "survey" in caplog.text
    assert "Ann" not in caplog.text


# Settings


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"account": None}, "backends.liveperson_chat.account: is missing"),
        ({"account": "le/42"}, "backends.liveperson_chat.account: must be the number of the account"),
        ({"app_key": "a b"}, "backends.liveperson_chat.app_key: must be letters and digits"),
        ({"domain_api": "http://lp.example.com"}, "backends.liveperson_chat.domain_api: must be an https://"),
        ({"max_wait": "2d"}, "backends.liveperson_chat.max_wait: must be at most a day"),
        ({"max_wait": "soon"}, "backends.liveperson_chat.max_wait: is not a duration"),
        ({"poll_every": "10ms"}, "backends.liveperson_chat.poll_every: must be 100ms to 15s"),
        ({"poll_queue_every": "40s"}, "backends.liveperson_chat.poll_queue_every: must be 100ms to 15s"),
        ({"visitor_name": "name"}, "backends.liveperson_chat.visitor_name: does not say where"),
        ({"details": {"a": "b"}}, "backends.liveperson_chat.details.a: does not say where"),
        ({"survey": {"Name": "slot"}}, "backends.liveperson_chat.survey.Name: does not say where"),
        ({"request": {"language": "request:shoe"}}, "backends.liveperson_chat.request.language: there is no such"),
        ({"request": {"shoeSize": "slot:a"}}, "backends.liveperson_chat.request.shoeSize: there is no such field"),
        ({"speakers": {"agent": "x"}}, "backends.liveperson_chat.speakers.agent: there is no such setting"),
    ],
)
def test_wrong_settings_are_named_with_the_remedy(change: Json, fault: str) -> None:
    section = {"account": "42257269", **change}
    section = {name: value for name, value in section.items() if value is not None}
    with pytest.raises(ConfigError, match=fault):
        read_section({"backends": {"liveperson_chat": section}}, backends.settings_models())
