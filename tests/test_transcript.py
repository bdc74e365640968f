"""What an agent sees of the conversation before."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasa_handoff import strict_json, transcript
from rasa_handoff.model import Line, Request
from rasa_handoff.settings import Redaction

CARD = re.compile(r"\b\d{16}\b")
PIN = "4111111111111111"


def user(text: str | None, at: float = 1.0, **event: Any) -> dict[str, Any]:
    return {"event": "user", "text": text, "timestamp": at, "metadata": {}, **event}


def bot(text: str | None, at: float = 2.0, **data: Any) -> dict[str, Any]:
    return {"event": "bot", "text": text, "timestamp": at, "data": data, "metadata": {}}


def lines(*events: dict[str, Any]) -> list[str]:
    return [f"{line.who}: {line.text}" for line in transcript.from_tracker(events)]


class TestLines:
    def test_user_and_bot_speak_in_their_order(self) -> None:
        events = [
            {"event": "action", "name": "action_listen"},
            user("hi", 1.5),
            bot("Hello!", 2.5),
            {"event": "slot"},
        ]
        assert transcript.from_tracker(events) == (
            Line(who="user", text="hi", at=1.5),
            Line(who="bot", text="Hello!", at=2.5),
        )

    def test_what_was_before_a_restart_is_over(self) -> None:
        assert lines(user("old"), {"event": "restart"}, user("new")) == ["user: new"]

    @pytest.mark.parametrize("text", ["EXTERNAL: handoff_closed", "/session_start", "", "   ", None])
    def test_what_nobody_wrote_is_no_line(self, text: str | None) -> None:
        assert lines(user(text)) == []

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ('/ask_price{"product": "x"}', "ask price"),
            ("/greet", "greet"),
            ("/faq/opening_hours", "faq opening hours"),
            ('/inform@0.9{"a": {"b": 1}}', "inform"),
            ("/ is a slash", "/ is a slash"),
            ("/etc or /usr", "/etc or /usr"),
            ("5/7", "5/7"),
        ],
    )
    def test_a_payload_is_shown_in_words(self, text: str, shown: str) -> None:
        assert lines(user(text)) == [f"user: {shown}"]

    def test_what_a_channel_said_for_the_user_is_no_line(self) -> None:
        greeting = user("/greet", metadata={transcript.UNSAID: True})
        assert lines(greeting, bot("Hello!"), user("hi", metadata={transcript.UNSAID: False})) == [
            "bot: Hello!",
            "user: hi",
        ]

    def test_a_pressed_button_is_shown_as_it_was_labelled(self) -> None:
        choice = bot("Sure?", buttons=[{"title": "Yes, please", "payload": '/affirm{"sure": true}'}])
        assert lines(choice, user('/affirm{"sure": true}')) == [
            "bot: Sure?\n[button: Yes, please]",
            "user: Yes, please",
        ]

    @pytest.mark.parametrize(
        ("data", "shown"),
        [
            ({"image": "https://x/a.png"}, "[image: https://x/a.png]"),
            ({"attachment": "https://x/a.pdf"}, "[attachment: https://x/a.pdf]"),
            (
                {"attachment": {"type": "video", "payload": {"src": "https://x/v"}}},
                "[attachment: https://x/v]",
            ),
            ({"attachment": {"a": 1}}, '[attachment: {"a": 1}]'),
            ({"quick_replies": [{"title": "A", "payload": "/a"}]}, "[button: A]"),
            ({"elements": [{"title": "Card"}]}, "[card: Card]"),
            ({"custom": {"map": [1, 2]}}, '[custom: {"map": [1, 2]}]'),
            ({"buttons": [], "elements": None, "image": None}, None),
        ],
    )
    def test_what_a_bot_shows_is_told_in_text(self, data: dict[str, Any], shown: str | None) -> None:
        assert lines(bot(None, **data)) == ([] if shown is None else [f"bot: {shown}"])

    def test_the_newest_lines_are_kept(self) -> None:
        kept = transcript.from_tracker([user(f"n{number}") for number in range(500)])
        assert [line.text for line in kept] == [f"n{number}" for number in range(300, 500)]

    def test_a_long_line_is_cut(self) -> None:
        (line,) = transcript.from_tracker([user("x" * 20_000)])
        assert len(line.text) == 10_000
        assert line.text.endswith("…")

    def test_a_conversation_never_outgrows_a_request(self) -> None:
        for text in ("\U0001f600" * 9_000, '"' * 9_000, "\x01" * 9_000):
            kept = transcript.from_tracker([user(text, at) for at in range(200)])
            sent = json.dumps([[line.who, line.text, line.at] for line in kept], ensure_ascii=False)
            assert len(sent.encode()) <= transcript.TRANSCRIPT_BYTES
            assert kept[-1].at == 199

    def test_broken_text_is_mended(self) -> None:
        assert lines(user("a\0b\ud800c\ud83d\ude00")) == ["user: a\ufffdb\ufffdc\U0001f600"]

    def test_times_that_are_none_do_no_harm(self) -> None:
        assert transcript.from_tracker([user("a", math.nan), {"event": "user", "text": "b"}])[0].at == 0.0

    def test_the_last_message_is_the_users(self) -> None:
        events = [user("help"), bot("One moment"), user("EXTERNAL: tick")]
        assert transcript.request("ann", "rest", events, {}, None).last_message == "help"
        assert transcript.request("ann", "rest", [], {}, None).last_message is None


class TestParameters:
    def test_they_are_the_slots_that_are_set(self) -> None:
        slots = {"topic": "x", "empty": None, "no": False, "handoff_status": "queued", "requested_slot": "y"}
        assert transcript.parameters({**slots, "session_started_metadata": {}}) == {"topic": "x", "no": False}

    def test_what_a_request_cannot_carry_stays_out(self) -> None:
        kept = transcript.parameters({"small": 1, "big": "x" * 70_000, "other": "y"})
        assert kept == {"small": 1, "other": "y"}

    def test_metadata_that_is_too_large_or_no_mapping_stays_out(self) -> None:
        assert transcript.metadata({"a": [1]}) == {"a": [1]}
        assert transcript.metadata({"a": "x" * 40_000}) == {}
        assert transcript.metadata("x") == {}
        assert transcript.metadata(None) == {}

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()) | st.integers(), inner),
            max_leaves=20,
        )
    )
    def test_what_goes_out_is_what_the_server_takes(self, value: Any) -> None:
        sent = json.dumps({"parameters": {"slot": transcript.json_safe(value)}}, ensure_ascii=False)
        strict_json.loads(sent.encode())

    def test_what_goes_on_for_ever_is_cut(self) -> None:
        endless: list[Any] = []
        endless.append(endless)
        strict_json.loads(json.dumps({"parameters": transcript.json_safe({"a": endless})}).encode())


class TestRedaction:
    REQUEST = Request(
        sender_id="u1",
        channel="rest",
        transcript=(
            Line(who="user", text=f"my card is {PIN}", at=1.0),
            Line(who="bot", text="Thanks", at=2.0),
        ),
        parameters={"iban": "DE12", "note": f"card {PIN}", "deep": {"list": [PIN, int(PIN), 7, True, None]}},
        last_message=f"{PIN}!",
        metadata={"headers": [{"x": PIN}], "n": 1.5},
    )

    def test_slots_are_dropped_and_patterns_replaced_everywhere(self) -> None:
        redacted = transcript.redact(self.REQUEST, Redaction(slots=frozenset({"iban"}), patterns=(CARD,)))
        assert redacted.transcript[0] == Line(who="user", text="my card is [redacted]", at=1.0)
        assert redacted.transcript[1].text == "Thanks"
        assert redacted.parameters == {
            "note": "card [redacted]",
            "deep": {"list": ["[redacted]", "[redacted]", 7, True, None]},
        }
        assert redacted.last_message == "[redacted]!"
        assert redacted.metadata == {"headers": [{"x": "[redacted]"}], "n": 1.5}
        assert PIN not in repr(redacted)

    def test_without_rules_nothing_changes(self) -> None:
        assert transcript.redact(self.REQUEST, Redaction()) == self.REQUEST

    def test_a_text_is_redacted_by_every_pattern(self) -> None:
        mail = re.compile(r"\S+@\S+")
        assert transcript.redact_text(f"{PIN} a@b.c", [CARD, mail]) == "[redacted] [redacted]"
