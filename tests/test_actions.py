"""The bot's actions, run by rasa_sdk as a Rasa server asks for them, against a server on the wire."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone, tzinfo
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from rasa_sdk.executor import ActionExecutor

from rasa_handoff import access
from rasa_handoff.actions import (
    ActionHandoff,
    ActionHandoffCallback,
    ActionHandoffCancel,
    ActionHandoffRating,
    ActionHandoffStatus,
    turn,
)
from tests.servers import LONGEST_START, PATIENCE, free_port

ROOT = Path(__file__).parent.parent
TOKEN = "t" * 40
SLOTS = (
    "handoff_status",
    "handoff_id",
    "handoff_backend",
    "handoff_queue_position",
    "handoff_queue_minutes",
    "handoff_ticket",
    "handoff_agent",
    "handoff_department",
    "handoff_end_reason",
    "handoff_next_opening",
)
RESPONSES = (
    "utter_handoff_queued",
    "utter_handoff_active",
    "utter_handoff_unavailable",
    "utter_handoff_outside_hours",
    "utter_handoff_rejected",
    "utter_handoff_failed",
    "utter_handoff_callback_left",
    "utter_handoff_callback_failed",
    "utter_handoff_rated",
    "utter_handoff_rating_failed",
    "utter_handoff_cancelled",
    "utter_handoff_none",
    "utter_handoff_status",
)
OTHER_SLOTS = ("handoff_callback", "handoff_rating", "handoff_resolved")
DOMAIN = {"slots": {name: {} for name in (*SLOTS, *OTHER_SLOTS)}, "responses": {name: [] for name in RESPONSES}}

Answer = tuple[int, bytes]
PAUSE = {"event": "pause", "timestamp": None}
RESUME = {"event": "resume", "timestamp": None}


def handoff(status: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": "h1",
        "sender_id": "u1",
        "channel": "rest",
        "backend": "desk",
        "chat_id": None,
        "status": status,
        "end_reason": None,
        "agent": None,
        "group": None,
        "queue_position": None,
        "queue_minutes": None,
        "opened_at": 1.0,
        "accepted_at": None,
        "closed_at": None,
        "next_opening": None,
        **fields,
    }


def found(status: str, **fields: Any) -> Answer:
    return 200, json.dumps({"handoff": handoff(status, **fields)}).encode()


NOTHING: Answer = 200, b'{"handoff": null}'
NOT_OPEN: Answer = 404, b'{"error": {"code": "unknown_chat", "message": "none is open"}}'


class Plugin:
    """The plugin's side of the wire: answers as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, Answer | Callable[[], Answer]] = {}
        plugin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(parse_qs(urlsplit(self.path).query))

            def do_POST(self) -> None:
                self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def answer(self, said: Any) -> None:
                route = f"{self.command} {urlsplit(self.path).path}"
                plugin.asked.append((route, said))
                reply = plugin.answers.get(route, (404, b"<h1>Not found</h1>"))
                if self.headers["Authorization"] != f"Bearer {TOKEN}":
                    reply = (401, b"")
                status, body = reply() if callable(reply) else reply
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A client that did not wait is part of the tests."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def opens(self, answer: Answer | Callable[[], Answer]) -> None:
        self.answers["POST /webhooks/handoff/handoffs"] = answer

    def closes(self, answer: Answer | Callable[[], Answer]) -> None:
        self.answers["POST /webhooks/handoff/handoffs/close"] = answer

    def says(self, answer: Answer | Callable[[], Answer]) -> None:
        self.answers["GET /webhooks/handoff/handoffs"] = answer

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    running = Plugin()
    monkeypatch.setenv("HANDOFF_URL", running.url)
    monkeypatch.setenv("HANDOFF_TOKEN", TOKEN)
    yield running
    running.stop()


def call(action: str, domain: Any = DOMAIN, **tracker: Any) -> dict[str, Any]:
    """What a Rasa server posts to the action server."""
    events = [
        {"event": "user", "text": "hi", "timestamp": 1.0, "input_channel": "rest"},
        {"event": "bot", "text": "Hello", "timestamp": 2.0, "data": {}},
        {"event": "user", "text": "a person please", "timestamp": 3.0, "input_channel": "slack"},
    ]
    latest = {"text": "a person please", "intent": {"name": "handoff"}, "metadata": {"thread": "7"}}
    state = {"sender_id": "u1", "slots": {}, "latest_message": latest, "events": events, **tracker}
    return {"next_action": action, "sender_id": "u1", "tracker": state, "domain": domain}


def run(action: str, domain: Any = DOMAIN, timeout: float = 20.0, **tracker: Any) -> tuple[list[str], list[Any]]:
    """What was said (the response, or the text) and the events."""
    messages, events = utter(action, domain, timeout, **tracker)
    return [message["response"] or message["text"] for message in messages], events


def utter(action: str, domain: Any = DOMAIN, timeout: float = 20.0, **tracker: Any) -> tuple[list[Any], list[Any]]:
    """What was said, with its variables, and the events."""
    executor = ActionExecutor()
    for kind in (ActionHandoff, ActionHandoffCallback, ActionHandoffCancel, ActionHandoffRating, ActionHandoffStatus):
        executor.register_action(kind(timeout=timeout))
    result = asyncio.run(executor.run(call(action, domain, **tracker)))
    assert result is not None
    return result["responses"], result["events"]


def slots(events: list[Any]) -> dict[str, Any]:
    return {event["name"]: event["value"] for event in events if event["event"] == "slot"}


class Noon(datetime):
    """The time, of a clock that stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Noon:
        return cls(2031, 3, 3, 12, tzinfo=tz)


FAILED = {**dict.fromkeys(SLOTS), "handoff_status": "closed", "handoff_end_reason": "failed"}


class TestHandoff:
    def test_a_queued_user_is_told_and_the_bot_is_quiet(self, plugin: Plugin) -> None:
        plugin.opens(found("queued", queue_position=2, queue_minutes=5))
        said, events = run("action_handoff")
        assert said == ["utter_handoff_queued"]
        assert slots(events) == {
            "handoff_status": "queued",
            "handoff_id": "h1",
            "handoff_backend": "desk",
            "handoff_queue_position": 2,
            "handoff_queue_minutes": 5,
            "handoff_ticket": None,
            "handoff_agent": None,
            "handoff_department": None,
            "handoff_end_reason": None,
            "handoff_next_opening": None,
        }
        assert events[-1] == PAUSE

    def test_an_agent_who_is_there_at_once_is_named(self, plugin: Plugin) -> None:
        plugin.opens(found("active", agent={"name": "Bo", "shown_as": "Bo"}))
        executor = ActionExecutor()
        executor.register_action(ActionHandoff())
        result = asyncio.run(executor.run(call("action_handoff")))
        assert result is not None
        (message,) = result["responses"]
        assert (message["response"], message["agent_name"]) == ("utter_handoff_active", "Bo")
        assert slots(result["events"])["handoff_agent"] == "Bo"
        assert result["events"][-1] == PAUSE

    def test_the_agent_gets_the_whole_story(self, plugin: Plugin) -> None:
        plugin.opens(found("queued"))
        run("action_handoff", slots={"topic": "x", "handoff_status": "closed", "unset": None})
        assert plugin.asked == [
            (
                "POST /webhooks/handoff/handoffs",
                {
                    "sender_id": "u1",
                    "channel": "slack",
                    "transcript": [
                        {"who": "user", "text": "hi", "at": 1.0},
                        {"who": "bot", "text": "Hello", "at": 2.0},
                        {"who": "user", "text": "a person please", "at": 3.0},
                    ],
                    "parameters": {"topic": "x"},
                    "last_message": "a person please",
                    "metadata": {"thread": "7"},
                },
            )
        ]

    def test_the_bot_can_say_where_it_goes(self, plugin: Plugin) -> None:
        plugin.opens(found("queued"))
        run(
            "action_handoff",
            slots={"handoff_to": "yellow", "handoff_group": 14343, "handoff_priority": "high"},
        )
        ((_, request),) = plugin.asked
        assert (request["backend"], request["group"], request["priority"]) == ("yellow", "14343", "high")

    def test_the_largest_conversation_fits_into_a_request(self, plugin: Plugin) -> None:
        plugin.opens(found("queued"))
        events = [{"event": "user", "text": "\x01" * 9_999, "timestamp": 1.0} for _ in range(300)]
        latest = {"metadata": {"x": "y" * 90_000}}
        said, _ = run("action_handoff", events=events, slots={"s": "z" * 63_000}, latest_message=latest)
        ((_, request),) = plugin.asked
        assert said == ["utter_handoff_queued"]
        assert len(json.dumps(request, ensure_ascii=False).encode()) < 256_000

    @pytest.mark.parametrize(
        ("reason", "response"),
        [
            ("unavailable", "utter_handoff_unavailable"),
            ("rejected", "utter_handoff_rejected"),
            ("failed", "utter_handoff_failed"),
            ("bot_resumed", "utter_handoff_failed"),
        ],
    )
    def test_a_refusal_leaves_the_bot_in_charge(self, plugin: Plugin, reason: str, response: str) -> None:
        plugin.opens(found("closed", end_reason=reason))
        said, events = run("action_handoff")
        assert said == [response]
        assert slots(events)["handoff_status"] == "closed"
        assert slots(events)["handoff_end_reason"] == reason
        assert PAUSE not in events

    def test_a_user_who_was_handed_over_for_good_hears_nothing_more(self, plugin: Plugin) -> None:
        plugin.opens(found("closed", end_reason="handed_over"))
        said, events = run("action_handoff")
        assert said == []
        assert slots(events)["handoff_end_reason"] == "handed_over"
        assert events[-1] == PAUSE

    def test_outside_hours_the_user_hears_when_somebody_is_there_again(self, plugin: Plugin) -> None:
        opens = "2031-03-03T09:00+01:00"
        plugin.opens(found("closed", end_reason="unavailable", next_opening=opens))
        (message,), events = utter("action_handoff")
        assert message["response"] == "utter_handoff_outside_hours"
        assert message["next_opening"] == "on 2031-03-03 at 09:00"
        assert (message["next_opening_date"], message["next_opening_time"]) == ("2031-03-03", "09:00")
        assert slots(events)["handoff_next_opening"] == opens

    @pytest.mark.parametrize(
        ("responses", "said"),
        [
            (["utter_handoff_unavailable"], "utter_handoff_unavailable"),
            ([], "Nobody is here now, but again on 2031-03-03 at 09:00. I am still here to help."),
        ],
    )
    def test_a_bot_without_words_for_that_has_others(self, plugin: Plugin, responses: list[str], said: str) -> None:
        plugin.opens(found("closed", end_reason="unavailable", next_opening="2031-03-03T09:00+01:00"))
        domain = {"slots": {}, "responses": {name: [] for name in responses}}
        assert run("action_handoff", domain=domain)[0] == [said]

    @pytest.mark.parametrize(("days", "words"), [(0, "today"), (1, "tomorrow"), (3, "on {weekday}")])
    def test_a_near_opening_is_told_as_people_say_it(
        self, plugin: Plugin, days: int, words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(turn, "datetime", Noon)
        opening = (Noon.now(timezone(timedelta(hours=9))) + timedelta(days=days)).replace(hour=23, minute=59)
        plugin.opens(found("closed", end_reason="unavailable", next_opening=opening.isoformat(timespec="minutes")))
        (message,), _ = utter("action_handoff")
        weekday = ["Mon", "Tues", "Wednes", "Thurs", "Fri", "Satur", "Sun"][opening.weekday()] + "day"
        assert message["next_opening"] == f"{words.format(weekday=weekday)} at 23:59"

    def test_an_opening_that_is_no_time_is_not_the_plugins_answer(self, plugin: Plugin) -> None:
        plugin.opens(found("closed", end_reason="unavailable", next_opening="soon"))
        said, events = run("action_handoff")
        assert (said, slots(events)) == (["utter_handoff_failed"], FAILED)

    def test_an_agent_is_called_what_users_may_see(self, plugin: Plugin) -> None:
        plugin.opens(found("active", agent={"name": "Bo Real", "shown_as": "Our team"}))
        (message,), events = utter("action_handoff")
        assert message["agent_name"] == slots(events)["handoff_agent"] == "Our team"


RATING = "POST /webhooks/handoff/handoffs/rating"


class TestRating:
    @pytest.mark.parametrize(
        ("answers", "sent"),
        [
            ({"handoff_rating": 4, "handoff_resolved": True}, {"stars": 4, "resolved": True}),
            ({"handoff_rating": " 5 "}, {"stars": 5}),
            ({"handoff_rating": 3.0, "handoff_resolved": "yes"}, {"stars": 3.0}),
        ],
    )
    def test_what_the_user_answered_is_passed_on_and_forgotten(
        self, plugin: Plugin, answers: dict[str, Any], sent: dict[str, Any]
    ) -> None:
        plugin.answers[RATING] = found("closed", end_reason="agent_closed")
        said, events = run("action_handoff_rating", slots=answers)
        assert plugin.asked == [(RATING, {"sender_id": "u1", **sent})]
        assert said == ["utter_handoff_rated"]
        assert slots(events) == {"handoff_rating": None, "handoff_resolved": None}

    @pytest.mark.parametrize("code", ["no_ratings", "malformed"])
    def test_what_nobody_takes_is_said(self, plugin: Plugin, code: str) -> None:
        body = {"error": {"code": code, "message": "not so"}}
        plugin.answers[RATING] = (409, json.dumps(body).encode())
        assert run("action_handoff_rating", slots={"handoff_rating": "good"})[0] == ["utter_handoff_rating_failed"]


FORM = {"callback_name": "Ann", "callback_phone": "0151 2345678", "handoff_callback_time": " at ten ", "topic": "x"}


class TestCallback:
    """What a form has asked for is left with the server, and the bot goes on."""

    @pytest.fixture
    def left(self, plugin: Plugin) -> Plugin:
        plugin.answers["POST /webhooks/handoff/callbacks"] = found("closed", end_reason="unavailable")
        return plugin

    def test_the_contact_details_go_along_with_the_whole_story(self, left: Plugin) -> None:
        said, events = run("action_handoff_callback", slots={**FORM, "callback_email": None})
        ((route, request),) = left.asked
        assert route == "POST /webhooks/handoff/callbacks"
        assert request["callback"] == {"name": "Ann", "phone": "0151 2345678", "time": "at ten"}
        assert request["parameters"] == {"topic": "x"}
        assert (request["sender_id"], request["channel"], len(request["transcript"])) == ("u1", "slack", 3)
        assert uuid.UUID(request["id"]).version == 4
        assert said == ["utter_handoff_callback_left"]
        assert events == [{"event": "slot", "timestamp": None, "name": "handoff_callback", "value": "left"}]

    def test_the_bot_can_say_who_calls(self, left: Plugin) -> None:
        run("action_handoff_callback", slots={**FORM, "handoff_to": "desk", "handoff_group": "sales"})
        assert (left.asked[0][1]["backend"], left.asked[0][1]["group"]) == ("desk", "sales")

    def test_what_got_no_answer_is_sent_again_as_the_same_request(self, left: Plugin) -> None:
        answers = [(503, b""), found("closed", end_reason="unavailable")]
        left.answers["POST /webhooks/handoff/callbacks"] = lambda: answers.pop(0)
        assert run("action_handoff_callback", slots=FORM)[0] == ["utter_handoff_callback_left"]
        first, second = (request for _, request in left.asked)
        assert first == second

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            ((503, b""), "HTTP 503"),
            ((400, b'{"error": {"code": "malformed", "message": "callback must have 1 to 20"}}'), "callback must have"),
            ((409, b'{"error": {"code": "no_callbacks", "message": "none takes callbacks"}}'), "none takes callbacks"),
        ],
    )
    def test_what_is_not_taken_is_no_promise(
        self, left: Plugin, answer: Answer, told: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        left.answers["POST /webhooks/handoff/callbacks"] = answer
        said, events = run("action_handoff_callback", slots=FORM)
        assert said == ["utter_handoff_callback_failed"]
        assert slots(events) == {"handoff_callback": "failed"}
        (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
        assert line.startswith("handoff.action_failed action=action_handoff_callback sender_id='u1': ")
        assert told in line
        assert "0151" not in line

    def test_more_details_than_the_server_takes_are_left_out(self, left: Plugin) -> None:
        slots = {f"callback_{number}": "x" * 2_000 for number in range(30)}
        run("action_handoff_callback", slots=slots)
        details = left.asked[0][1]["callback"]
        assert (len(details), {len(text) for text in details.values()}) == (20, {1_000})


class TestTrouble:
    """Whatever happens to the server, the bot says so and stays."""

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            ((500, b"Traceback"), "HTTP 500 see the server's log"),
            ((503, b""), "HTTP 503"),
            ((404, b"<h1>Not found</h1>"), "the plugin is not there"),
            (
                (400, b'{"error": {"code": "malformed", "message": "channel is missing"}}'),
                "channel is missing",
            ),
            ((302, b""), "an answer that is not the plugin's"),
            ((200, b"<html>"), "an answer that is not the plugin's"),
            ((200, b"[]"), "an answer that is not the plugin's"),
            ((200, b'{"handoff": {"status": "well"}}'), "an answer that is not the plugin's"),
            ((200, b'{"handoff": {"id": 1, "backend": "b", "status": "queued"}}'), "not the plugin's"),
            ((200, b'{"handoff": null}'), "an answer without a handoff"),
            ((200, b" " * 100_000), "too large"),
        ],
    )
    def test_an_answer_that_is_none(
        self, plugin: Plugin, answer: Answer, told: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        plugin.opens(answer)
        plugin.says(NOTHING)
        said, events = run("action_handoff")
        assert said == ["utter_handoff_failed"]
        assert slots(events) == FAILED
        assert PAUSE not in events
        self.require_one_clear_line(caplog, "could not open a handoff" if "large" not in told else "")

    def test_a_wrong_token(
        self, plugin: Plugin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("HANDOFF_TOKEN", "s3cret" * 8)
        said, events = run("action_handoff")
        assert (said, slots(events)) == (["utter_handoff_failed"], FAILED)
        self.require_one_clear_line(caplog, "give both the same HANDOFF_TOKEN")

    def test_a_server_that_is_down(
        self, plugin: Plugin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        port = free_port()
        monkeypatch.setenv("HANDOFF_URL", f"http://name:s3cret@127.0.0.1:{port}")
        said, events = run("action_handoff")
        assert (said, slots(events)) == (["utter_handoff_failed"], FAILED)
        self.require_one_clear_line(caplog, f"see that it runs at http://127.0.0.1:{port}")

    @pytest.mark.parametrize("url", ["localhost:5005", "http://", "http://[x", "\u2028"])
    def test_an_address_that_is_none(self, plugin: Plugin, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        monkeypatch.setenv("HANDOFF_URL", url)
        said, events = run("action_handoff")
        assert (said, slots(events)) == (["utter_handoff_failed"], FAILED)

    def test_no_address_at_all(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.delenv("HANDOFF_URL", raising=False)
        monkeypatch.delenv("HANDOFF_TOKEN", raising=False)
        monkeypatch.chdir(tmp_path)
        said, events = run("action_handoff")
        assert (said, slots(events)) == (["utter_handoff_failed"], FAILED)
        self.require_one_clear_line(caplog, "or set HANDOFF_URL and HANDOFF_TOKEN")

    @staticmethod
    def require_one_clear_line(caplog: pytest.LogCaptureFixture, told: str) -> None:
        (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
        assert line.startswith("handoff.action_failed action=action_handoff sender_id='u1': ")
        assert told in line
        for secret in ("s3cret", TOKEN, "a person please"):
            assert secret not in line


class TestAnAnswerThatDoesNotCome:
    """A request without an answer may have been granted: the server's word counts."""

    @staticmethod
    def lost() -> Answer:
        raise ConnectionAbortedError

    def test_what_was_accepted_is_a_handoff(self, plugin: Plugin) -> None:
        plugin.opens(self.lost)
        plugin.says(found("queued"))
        said, events = run("action_handoff")
        assert said == ["utter_handoff_queued"]
        assert events[-1] == PAUSE

    def test_what_is_undecided_is_taken_back(self, plugin: Plugin) -> None:
        plugin.opens(self.lost)
        plugin.says(found("requested"))
        plugin.closes(found("closed", end_reason="bot_resumed"))
        said, events = run("action_handoff")
        assert (said, slots(events)) == (["utter_handoff_failed"], FAILED)
        assert plugin.asked[-1] == ("POST /webhooks/handoff/handoffs/close", {"sender_id": "u1"})

    def test_what_never_came_about_is_a_failure(self, plugin: Plugin) -> None:
        plugin.opens(self.lost)
        plugin.says(found("closed", end_reason="agent_closed"))
        said, events = run("action_handoff")
        assert (said, slots(events)) == (["utter_handoff_failed"], FAILED)

    def test_a_server_that_says_nothing_at_all_is_waited_for_once_and_then_for_a_third(
        self, plugin: Plugin, caplog: pytest.LogCaptureFixture
    ) -> None:
        over = threading.Event()

        def silent() -> Answer:
            over.wait(60)
            return NOTHING

        plugin.opens(silent)
        plugin.says(silent)
        said, _ = run("action_handoff", timeout=6.0)  # a machine that stands still takes no third of it
        over.set()
        assert said == ["utter_handoff_failed"]
        assert [route for route, _ in plugin.asked] == [
            "POST /webhooks/handoff/handoffs",
            "GET /webhooks/handoff/handoffs",
        ]
        assert "no answer within 2s" in caplog.text


class TestCancel:
    def test_it_ends_the_handoff_and_the_bot_is_back(self, plugin: Plugin) -> None:
        plugin.closes(found("closed", end_reason="bot_resumed"))
        said, events = run("action_handoff_cancel")
        assert said == ["utter_handoff_cancelled"]
        assert slots(events)["handoff_end_reason"] == "bot_resumed"
        assert events[-1] == RESUME

    def test_without_a_handoff_it_says_so(self, plugin: Plugin) -> None:
        plugin.closes(NOT_OPEN)
        said, events = run("action_handoff_cancel")
        assert said == ["utter_handoff_none"]
        assert slots(events) == dict.fromkeys(SLOTS)

    def test_when_it_fails_the_slots_stay_as_they_are(self, plugin: Plugin) -> None:
        said, events = run("action_handoff_cancel")
        assert said == ["utter_handoff_failed"]
        assert events == []


class TestStatus:
    def test_it_says_how_an_open_handoff_stands(self, plugin: Plugin) -> None:
        plugin.says(found("active", agent={"name": "Bo", "shown_as": "Bo"}))
        said, events = run("action_handoff_status")
        assert said == ["utter_handoff_status"]
        assert slots(events)["handoff_agent"] == "Bo"
        assert plugin.asked == [("GET /webhooks/handoff/handoffs", {"sender_id": ["u1"]})]

    @pytest.mark.parametrize(
        ("answer", "status"), [(NOTHING, None), (found("closed", end_reason="agent_closed"), "closed")]
    )
    def test_it_says_when_there_is_none(self, plugin: Plugin, answer: Answer, status: str | None) -> None:
        plugin.says(answer)
        said, events = run("action_handoff_status")
        assert said == ["utter_handoff_none"]
        assert slots(events)["handoff_status"] == status

    def test_when_it_fails_the_slots_stay_as_they_are(self, plugin: Plugin) -> None:
        plugin.says((500, b""))
        assert run("action_handoff_status") == (["utter_handoff_failed"], [])

    def test_a_name_is_quoted_on_its_way(self, plugin: Plugin) -> None:
        plugin.says(NOTHING)
        run("action_handoff_status", sender_id="a&b=c/d é")
        assert plugin.asked == [("GET /webhooks/handoff/handoffs", {"sender_id": ["a&b=c/d é"]})]


class TestDomain:
    def test_only_slots_of_the_domain_are_set(self, plugin: Plugin) -> None:
        plugin.opens(found("queued"))
        _, events = run("action_handoff", domain={**DOMAIN, "slots": {"handoff_status": {}}})
        assert slots(events) == {"handoff_status": "queued"}

    @pytest.mark.parametrize("domain", [None, {}])
    def test_a_domain_that_is_not_known_holds_nothing_back(self, plugin: Plugin, domain: Any) -> None:
        plugin.opens(found("queued"))
        said, events = run("action_handoff", domain=domain)
        assert said == ["utter_handoff_queued"]
        assert set(slots(events)) == set(SLOTS)

    def test_a_response_the_bot_does_not_have_is_said_in_plain_words(self, plugin: Plugin) -> None:
        plugin.opens(found("queued"))
        said, events = run("action_handoff", domain={"slots": {}, "responses": {}})
        assert said == ["I am connecting you with a person. Please stay here."]
        assert events == [PAUSE]

    def test_there_are_words_for_every_response(self, plugin: Plugin) -> None:
        assert set(turn._WORDS) == set(RESPONSES)


@pytest.mark.processes
def test_rasas_own_action_server_finds_the_plugin_through_the_private_file(plugin: Plugin, tmp_path: Path) -> None:
    """The whole way of one action: a real action server, started in the folder of the Rasa server."""
    plugin.opens(found("queued"))
    access.ensure(tmp_path, url=plugin.url, token=TOKEN, want_agent=False)
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HANDOFF_")}
    run = [sys.executable, "-m", "rasa_sdk", "--actions", "rasa_handoff.actions", "--port", str(port)]
    with (tmp_path / "log").open("w+") as log:
        server = subprocess.Popen(
            run, cwd=tmp_path, env={**environment, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log
        )
        try:
            result = post(f"http://127.0.0.1:{port}/webhook", call("action_handoff"))
        finally:
            server.kill()
            server.wait(timeout=60)
    assert [message["response"] for message in result["responses"]] == ["utter_handoff_queued"]
    assert result["events"][-1] == PAUSE


def post(url: str, body: Any) -> Any:
    """Post *body* as soon as the server is up."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    end = time.monotonic() + LONGEST_START
    while True:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
                return json.loads(reply.read())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
