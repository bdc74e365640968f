"""What LiveChat says, file by file, and the events that it becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rasa_handoff.backends.livechat import reading
from rasa_handoff.backends.livechat.reading import READERS, About
from rasa_handoff.errors import Malformed
from rasa_handoff.events import AgentJoined, AgentMessage, AnyEvent, Closed, QueueMoved, Transferred
from rasa_handoff.model import Attachment, Button, Card, EndReason, Json, Person
from rasa_handoff.testing import Payloads

payloads = Payloads(__file__)

CUSTOMER = "b7eff798-f8df-4364-8059-649c35c9ed0c"
SMITH = Person(name="Agent Smith", avatar_url="https://cdn.livechat-files.com/api/file/lc/img/default/5.png")
JONES = Person(name="Agent Jones")
ABOUT = About(chat_id="PJ0MRSHTDG", customer=CUSTOMER, people={"smith@example.com": SMITH})
AT = 1507821561.0102


def read(name: str, about: About = ABOUT) -> list[AnyEvent]:
    webhook = payloads[name]
    return READERS[webhook["action"]](webhook["payload"], about)


def said(event_id: str, text: str = "", **more: Any) -> AgentMessage:
    return AgentMessage(chat_id="PJ0MRSHTDG", event_id=event_id, at=AT, agent=SMITH, text=text, **more)


class TestMessages:
    def test_what_an_agent_writes(self) -> None:
        assert read("incoming_event") == [said("K600PKZON8_5", "hello there")]

    def test_of_an_agent_whom_we_have_not_met(self) -> None:
        nobody = replace(ABOUT, people={})
        assert read("incoming_event", nobody) == [replace(said("K600PKZON8_5", "hello there"), agent=None)]

    @pytest.mark.parametrize("name", ["whisper", "customer", "system", "custom", "new_system"])
    def test_what_is_not_for_the_user(self, name: str) -> None:
        assert read(f"incoming_event_{name}") == []

    @pytest.mark.parametrize("name", ["visibility", "recipients"])
    def test_a_whisper_under_either_name(self, name: str) -> None:
        payload = payloads["incoming_event"]["payload"]
        payload["event"][name] = "agents"
        assert READERS["incoming_event"](payload, ABOUT) == []

    def test_a_file(self) -> None:
        [event] = read("incoming_event_file")
        url = "https://cdn.livechat-files.com/api/file/lc/att/8948324/45a3581b59a7295145c3825c86ec7ab3/image25.png"
        file = Attachment(url=url, kind="image", name="image25.png", mime="image/png", size=123456)
        assert event == said("K600PKZON8_9", attachments=(file,))

    def test_cards(self) -> None:
        [event] = read("incoming_event_cards")
        card = Card(
            title="City bike",
            text="In stock in Berlin\nCall us: +4930123456",
            image_url="https://cdn.livechat-files.com/api/file/lc/att/8948324/bike.png",
            buttons=(
                Button(title="Reserve", payload="reserve city bike"),
                Button(title="See it", payload="https://shop.example.com/city", url="https://shop.example.com/city"),
            ),
        )
        assert event == said("K600PKZON8_10", cards=(card,))

    def test_what_of_a_card_cannot_be_shown_is_left_out(self) -> None:
        payload = payloads["incoming_event_cards"]["payload"]
        button = {"text": "Go", "type": "url", "value": "javascript:alert(1)"}
        payload["event"]["elements"] = [{}, {"subtitle": "only this", "image": {"url": "x"}, "buttons": [button, {}]}]
        [event] = READERS["incoming_event"](payload, ABOUT)
        card = Card(title="only this", buttons=(Button(title="Go", payload="javascript:alert(1)"),))
        assert event == said("K600PKZON8_10", cards=(card,))

    def test_a_sticker_is_a_picture(self) -> None:
        payload = payloads["incoming_event_cards"]["payload"]
        image = {"url": "https://cdn.livechat-files.com/sticker.png"}
        payload["event"].update(template_id="sticker", elements=[{"image": image}])
        [event] = READERS["incoming_event"](payload, ABOUT)
        assert event == said("K600PKZON8_10", attachments=(Attachment(url=image["url"], kind="image"),))

    def test_quick_replies_become_buttons(self) -> None:
        [event] = read("incoming_event_quick_replies")
        buttons = (Button(title="Yes", payload="Yes"), Button(title="No", payload="No"))
        assert event == said("K600PKZON8_11", "Does that help?", buttons=buttons)

    def test_a_form_becomes_lines(self) -> None:
        assert read("incoming_event_form") == [said("K600PKZON8_12", "Name: Ann\nWanted: A call, A mail\nWhen?")]

    def test_an_edited_message_is_read_like_a_new_one(self) -> None:
        assert read("event_updated") == [said("K600PKZON8_5", "hello there, Ann")]

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            ({"id": None}, "id is missing"),
            ({"text": 7}, "text must be text"),
            ({"type": None}, "type is missing"),
            ({"author_id": {}}, "author_id must be text"),
            ({"type": "file"}, "url is missing"),
            ({"type": "file", "url": "javascript:alert(1)"}, "url must be an http"),
            ({"type": "rich_message", "elements": "none"}, "elements must be a list"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, change: Json, what: str) -> None:
        payload = payloads["incoming_event"]["payload"]
        payload["event"].update(change)
        with pytest.raises(Malformed, match=what):
            READERS["incoming_event"](payload, ABOUT)


class TestWhoIsThere:
    def test_who_is_routed_at_once_is_in_the_chat_that_comes_in(self) -> None:
        assert read("incoming_chat") == [AgentJoined(chat_id="PJ0MRSHTDG", agent=SMITH)]

    def test_a_chat_that_comes_in_may_wait(self) -> None:
        assert read("incoming_chat_queued") == [QueueMoved(chat_id="PJ0MRSHTDG", position=42, wait=1337)]

    def test_an_agent_joins(self) -> None:
        assert read("user_added_to_chat") == [AgentJoined(chat_id="PJ0MRSHTDG", agent=SMITH)]

    def test_an_agent_without_a_name(self) -> None:
        assert read("user_added_older") == [AgentJoined(chat_id="PJ0MRSHTDG", agent=Person(name="An agent"))]

    def test_the_user_is_no_agent(self) -> None:
        assert read("user_added_customer") == []

    def test_an_agent_who_is_added_and_not_there(self) -> None:
        payload = payloads["user_added_to_chat"]["payload"]
        payload["user"]["present"] = False
        assert READERS["user_added_to_chat"](payload, ABOUT) == []

    def test_a_picture_that_pages_could_not_load_is_left_out(self) -> None:
        payload = payloads["user_added_to_chat"]["payload"]
        payload["user"]["avatar"] = "//cdn.livechatinc.com/5.png"
        [joined] = READERS["user_added_to_chat"](payload, ABOUT)
        assert joined == AgentJoined(chat_id="PJ0MRSHTDG", agent=Person(name="Agent Smith"))

    def test_to_an_agent_whom_we_know(self) -> None:
        taken = replace(ABOUT, taken=True, people={"jones@example.com": JONES})
        assert read("chat_transferred_agent", taken) == [
            Transferred(chat_id="PJ0MRSHTDG", agent=JONES, group="19"),
        ]
        assert read("chat_transferred_agent", replace(taken, taken=False)) == [
            AgentJoined(chat_id="PJ0MRSHTDG", agent=JONES),
        ]

    def test_who_it_went_to_is_not_guessed(self) -> None:
        assert read("chat_transferred_agent", replace(ABOUT, taken=True)) == []

    def test_to_a_group_is_back_in_its_queue(self) -> None:
        moved = QueueMoved(chat_id="PJ0MRSHTDG", position=42, wait=1337)
        back = Transferred(chat_id="PJ0MRSHTDG", group="19")
        assert read("chat_transferred_group", replace(ABOUT, taken=True)) == [back, moved]
        assert read("chat_transferred_group", ABOUT) == [moved]

    def test_assigned(self) -> None:
        assert read("chat_transferred_assigned") == [AgentJoined(chat_id="PJ0MRSHTDG", agent=SMITH)]

    def test_who_left_says_nothing_about_who_stays(self) -> None:
        assert read("user_removed_from_chat") == []


class TestTheEnd:
    @pytest.mark.parametrize(
        ("name", "taken", "reason"),
        [
            ("chat_deactivated", True, EndReason.AGENT_CLOSED),
            ("chat_deactivated", False, EndReason.AGENT_CLOSED),
            ("chat_deactivated_customer", True, EndReason.USER_LEFT),
            ("chat_deactivated_router", True, EndReason.AGENT_CLOSED),
            ("chat_deactivated_router", False, EndReason.NOT_ACCEPTED),
        ],
    )
    def test_who_ended_it(self, name: str, taken: bool, reason: EndReason) -> None:
        assert read(name, replace(ABOUT, taken=taken)) == [Closed(chat_id="PJ0MRSHTDG", reason=reason)]

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("manual_archived_agent", EndReason.AGENT_CLOSED),
            ("manual_archived_customer", EndReason.USER_LEFT),
            ("archived_customer_disconnected", EndReason.USER_LEFT),
            ("routing.archived_inactive", EndReason.USER_IDLE),
            ("routing.archived_offline", EndReason.AGENT_LEFT),
            ("routing.archived_signed_out", EndReason.AGENT_LEFT),
            ("system_archived", EndReason.AGENT_CLOSED),
            ("something_new", EndReason.AGENT_CLOSED),
        ],
    )
    def test_why_a_thread_is_over(self, kind: str, reason: EndReason) -> None:
        thread = {"active": False, "events": [{"type": "system_message", "system_message_type": kind}]}
        about = replace(ABOUT, taken=True)
        assert reading.read_end(thread, about) == [Closed(chat_id="PJ0MRSHTDG", reason=reason)]

    def test_a_thread_that_goes_on(self) -> None:
        assert reading.read_end({"active": True, "events": []}, ABOUT) == []
        assert reading.read_end({"events": []}, ABOUT) == []


class TestThreads:
    def thread(self) -> Json:
        found = reading.thread_in(payloads["list_threads"], "K600PKZON8")
        assert found is not None
        return found

    def texts(self, after: str | None = None) -> list[str]:
        return [event.text for event in reading.messages_in(self.thread(), ABOUT, after)]

    def test_what_agents_wrote_and_not_what_we_did(self) -> None:
        assert self.texts() == ["Hello", "Are you there?"]

    def test_what_is_behind_an_event(self) -> None:
        assert self.texts("K600PKZON8_2") == ["Are you there?"]
        assert self.texts("K600PKZON8_9") == ["Hello", "Are you there?"]

    def test_the_queue(self) -> None:
        assert reading.read_queue(self.thread(), ABOUT) == [QueueMoved(chat_id="PJ0MRSHTDG", position=42, wait=1337)]

    def test_the_newest_or_the_one_that_is_asked_for(self) -> None:
        assert reading.thread_in(payloads["list_threads"], None) == self.thread()
        assert reading.thread_in(payloads["list_threads"], "another") is None
        assert reading.thread_in({"threads": []}, None) is None
        with pytest.raises(Malformed, match="threads is missing"):
            reading.thread_in({}, None)

    def test_something_of_ours_is_found_by_its_id(self) -> None:
        assert reading.has_custom_id(self.thread(), "c1")
        assert not reading.has_custom_id(self.thread(), "c2")


class TestWhichChat:
    def test_of_every_webhook(self) -> None:
        for path in payloads.folder.glob("*.json"):
            webhook = payloads[path.stem]
            if webhook.get("action") in READERS:
                chat_id, thread_id = reading.chat_of(webhook["payload"])
                assert (chat_id, thread_id) in [("PJ0MRSHTDG", "K600PKZON8"), ("PJ0MRSHTDG", None)], path.stem

    def test_who_is_in_it(self) -> None:
        webhook = payloads["incoming_event"]
        assert reading.people_at(webhook["payload"], webhook["additional_data"]) == [CUSTOMER, "smith@example.com"]
        assert CUSTOMER in reading.people_at(payloads["incoming_chat"]["payload"], {})

    @pytest.mark.parametrize(
        ("moment", "seconds"),
        [
            ("2017-10-12T15:19:21.010200Z", AT),
            ("2017-10-12T15:19:21Z", 1507821561.0),
            ("2017-10-12T15:19:21.5Z", 1507821561.5),
            ("2017-10-12T17:19:21+02:00", 1507821561.0),
            ("2017-10-12", None),
            ("2017-99-12T15:19:21Z", None),
            (1507821561, None),
            (None, None),
        ],
    )
    def test_times(self, moment: Any, seconds: float | None) -> None:
        assert reading.seconds_of(moment) == (pytest.approx(seconds) if seconds is not None else None)
