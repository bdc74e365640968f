"""Yellow.ai: the platform's half of its custom live-agent interface."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rasa_handoff.backends import settings_models
from rasa_handoff.backends.yellow import (
    Yellow,
    YellowSettings,
    custom_fields,
    parts_of,
    read_agent_active,
    read_assigned,
    read_closed,
    read_inactivity,
    read_logout,
    read_message,
    read_opened,
    read_queue_position,
    read_transfer,
    read_typing,
    read_update,
    said_of,
    ten_digits,
    ticket_of,
    user_of,
)
from rasa_handoff.errors import ConfigError, Malformed, Unavailable
from rasa_handoff.events import (
    AgentAway,
    AgentIdle,
    AgentJoined,
    AgentMessage,
    AgentTyping,
    Closed,
    QueueMoved,
    Transferred,
)
from rasa_handoff.model import Attachment, EndReason, Handoff, Json, Line, Message, Person, Request, Status
from rasa_handoff.settings import read_section
from rasa_handoff.testing import Answered, Asked, BackendContract, Call, Payloads, Stage, Wire, on_stage

TOKEN = "token-that-we-present"
WEBHOOK_TOKEN = "token-that-they-present"
FORMER_TOKEN = "token-that-they-presented-before"
PATH = "integrations/genericIntegration/custom-live-agent"
PUBLIC_URL = "https://bot.example.com"
AGENT = Person(name="gefgeuf", id="locobuzzagentId")
INES = Person(name="Ines", id="17", department="Billing")
TICKET: Any = {"chat_id": "354545", "sender_id": "efrf"}

payloads = Payloads(__file__)


def section(url: str, **more: Any) -> Json:
    return {"url": url, "company": "acme", "token": TOKEN, "webhook_token": WEBHOOK_TOKEN, **more}


def read(**more: Any) -> YellowSettings:
    everything = {"public_url": PUBLIC_URL, "backends": {"yellow": {**section("https://desk.example.com"), **more}}}
    found: YellowSettings = read_section(everything, settings_models()).backends["yellow"]
    return found


def faults(**more: Any) -> list[str]:
    with pytest.raises(ConfigError) as found:
        read(**more)
    return found.value.faults


SETTINGS = read()
HANDOFF = Handoff(
    id="6a2d01cc-126d-4f00-bbcf-4c281bff4374",
    sender_id="11111111211111",
    channel="handoff",
    backend="yellow",
    status=Status.REQUESTED,
    opened_at=1700000000.0,
)
REQUEST = Request(sender_id="11111111211111", channel="handoff")


def ticket_id(handoff_id: str) -> int:
    """What our agent system calls the ticket of this handoff."""
    return int(handoff_id[:8], 16)


def creates(asked: Asked) -> tuple[int, Json]:
    """An agent system with a queue takes the request."""
    ticket = ticket_id(asked.json["body"]["ticket"]["conversationId"])
    data = {"ticketId": ticket, "isAgentAvailable": False, "isQueued": True}
    return 200, {"status": "success", "data": data, "message": "created"}


def event(handoff: Handoff, name: str, **more: Any) -> Call:
    body = {"ticketId": ticket_id(handoff.id), "senderId": handoff.sender_id, "source": "web", "event": name}
    agent = {"agentName": "Bo", "agentId": "b1", "ticketAssignedTime": 3545454}
    return Call(method="POST", path=PATH, body={**body, **agent, **more}, headers={"x-auth-token": WEBHOOK_TOKEN})


def text_of(text: str) -> Json:
    return {"message": {"type": "text", "payLoad": {"content": text}}}


def asked_for(wire: Wire, action: str) -> list[Json]:
    """The bodies that arrived at one of their addresses."""
    return [asked.json["body"] for asked in wire.taken("POST", f"/{action}/acme")]


class TestYellow(BackendContract):
    """The contract of all backends."""

    backend = Yellow
    secrets = (TOKEN, WEBHOOK_TOKEN)
    settings: ClassVar[Json] = {"public_url": PUBLIC_URL}
    numbered = False

    def section(self, url: str) -> Json:
        return section(url)

    def agree(self, wire: Wire) -> None:
        wire.when("POST", "/*", body={"status": "success", "data": {"ticketId": 1}, "message": "ok"})
        wire.respond("POST", "/createTicket/acme", creates)

    def signed(self, call: Call) -> Call:
        return call.having(headers={"x-auth-token": WEBHOOK_TOKEN})

    def accepting(self, handoff: Handoff) -> Call:
        return replace(event(handoff, "ticket-assigned"), headers={})

    def writing(self, handoff: Handoff, text: str, number: int) -> Call:
        return replace(event(handoff, "payload-received-from-agent", **text_of(text)), headers={})

    def closing(self, handoff: Handoff) -> Call:
        return replace(event(handoff, "ticket-closed", ticketResolvedTime=4545454), headers={})

    def requests(self, wire: Wire) -> list[str]:
        return [body["ticket"]["messageId"] for body in asked_for(wire, "createTicket")]

    def said(self, wire: Wire) -> list[tuple[str, str]]:
        tickets = [body["ticket"] for body in asked_for(wire, "sendMessage")]
        return [(each["messageId"], each["message"]) for each in tickets if not each["message"].startswith("[The conv")]

    def endings(self, wire: Wire) -> list[str]:
        tickets = [body["ticket"] for body in asked_for(wire, "sendMessage")]
        return [each["message"] for each in tickets if each["message"].startswith("[The conv")]

    async def test_each_call_has_the_bearer_token_and_says_that_it_is_json(self, stage: Stage, wire: Wire) -> None:
        await self.talking(stage)
        await stage.say("hello")
        await stage.until(lambda: len(wire.taken()) == 2)
        assert [asked.path for asked in wire.taken()] == ["/createTicket/acme", "/sendMessage/acme"]
        for asked in wire.taken():
            assert asked.method == "POST"
            assert asked.headers["authorization"] == f"Bearer {TOKEN}"
            assert asked.headers["content-type"] == "application/json"

    async def test_the_ticket_s_number_goes_back_as_a_number_and_is_compared_as_text(
        self, stage: Stage, wire: Wire
    ) -> None:
        handoff = await self.talking(stage)
        assert handoff.chat_id == str(ticket_id(handoff.id))
        await stage.say("hello")
        await stage.until(lambda: asked_for(wire, "sendMessage"))
        assert asked_for(wire, "sendMessage")[0]["ticket"]["ticketId"] == ticket_id(handoff.id)
        as_text = event(handoff, "payload-received-from-agent", **text_of("found"), ticketId=handoff.chat_id)
        assert (await stage.ask(as_text)).status == 200
        await stage.until(lambda: stage.heard() == ["found"])

    @pytest.mark.parametrize("theirs", ["T-25633", 25633, "0025633"])
    async def test_a_ticket_s_id_keeps_its_type(self, stage: Stage, wire: Wire, theirs: Any) -> None:
        data = {"ticketId": theirs, "isAgentAvailable": True, "isQueued": False}
        wire.when("POST", "/createTicket/acme", body={"status": "success", "data": data})
        assert (await stage.request()).chat_id == str(theirs)
        await stage.say("hello")
        await stage.until(lambda: asked_for(wire, "sendMessage"))
        assert asked_for(wire, "sendMessage")[0]["ticket"]["ticketId"] == theirs

    @pytest.mark.parametrize(
        ("answer", "status", "reason"),
        [
            ("create_ticket_queued_corrected", Status.QUEUED, None),
            ("create_ticket_assigned_corrected", Status.ACTIVE, None),
            ("create_ticket_nobody_corrected", Status.CLOSED, EndReason.UNAVAILABLE),
            ("create_ticket_failure_corrected", Status.CLOSED, EndReason.REJECTED),
        ],
    )
    async def test_their_flags_decide_how_the_handoff_begins(
        self, stage: Stage, wire: Wire, answer: str, status: Status, reason: EndReason | None
    ) -> None:
        wire.when("POST", "/createTicket/acme", body=payloads[answer])
        handoff = await stage.request()
        assert (handoff.status, handoff.end_reason) == (status, reason)

    @pytest.mark.parametrize("status", [200, 400, 422])
    async def test_a_failure_is_a_refusal_with_its_message_whatever_the_http_status(
        self, stage: Stage, wire: Wire, status: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        said = {"status": "failure", "message": f"group 7 is closed, says {TOKEN}"}
        wire.when("POST", "/createTicket/acme", status, said)
        handoff = await stage.request(group="7")
        assert handoff.end_reason is EndReason.REJECTED
        assert "group 7 is closed, says …" in caplog.text

    async def test_a_success_without_a_ticket_is_none(self, stage: Stage, wire: Wire) -> None:
        for body in ({}, {"status": "success"}, {"data": {"isQueued": True}}, {"data": {"ticketId": True}}, b"created"):
            wire.when("POST", "/createTicket/acme", body=body)
            assert (await stage.request()).end_reason is EndReason.FAILED

    async def test_a_message_they_call_a_failure_is_put_aside_and_the_user_is_told(
        self, stage: Stage, wire: Wire
    ) -> None:
        await self.talking(stage)
        wire.when("POST", "/sendMessage/acme", body={"status": "failure", "message": "no: my card is 4711"})
        await stage.say("my card is 4711")
        await stage.until(lambda: "utter_handoff_undelivered" in stage.notices())
        assert (await stage.handoff()).is_open
        dead = await stage.runtime.store.read(_unfinished)
        assert [each.error for each in dead if each.state == "dead"] == [
            "yellow: could not bring a message: HTTP 200 no: …"
        ]

    async def test_a_lost_answer_is_asked_again_with_the_same_message_id(self, stage: Stage, wire: Wire) -> None:
        await self.talking(stage)
        wire.hang_up(times=1, path="/sendMessage/*")
        await stage.say("hello")
        await stage.until(lambda: len(asked_for(wire, "sendMessage")) == 2)
        first, again = asked_for(wire, "sendMessage")
        assert first == again

    async def test_text_and_media_go_out_one_by_one_and_in_order(self, stage: Stage, wire: Wire) -> None:
        await self.talking(stage)
        picture = Attachment(url="https://cdn.example.com/a.png", kind="image")
        sound = Attachment(url="https://cdn.example.com/a.mp3", kind="audio")
        await stage.say("look", attachments=(picture, sound))
        await stage.until(lambda: len(wire.taken()) == 4)
        assert [asked.path for asked in wire.taken()][1:] == ["/sendMessage/acme", "/sendMedia/acme", "/sendMedia/acme"]
        assert [body["ticket"]["mediaJson"] for body in asked_for(wire, "sendMedia")] == [
            {"type": "image", "url": picture.url},
            {"type": "file", "url": sound.url},
        ]
        ids = [asked.json["body"]["ticket"]["messageId"] for asked in wire.taken()]
        assert len(set(ids)) == 4

    async def test_an_agent_is_assigned_writes_and_hands_over(self, stage: Stage) -> None:
        handoff = await stage.request()
        assert (await stage.ask(event(handoff, "ticket-assigned"))).status == 200
        assert (await stage.ask(event(handoff, "ticket-assigned"))).status == 200
        assert (await stage.ask(event(handoff, "payload-received-from-agent", **text_of("Hi")))).status == 200
        ines = {"agentName": "Ines", "agentId": 17, "department": "Billing"}
        assert (await stage.ask(event(handoff, "ticket-assigned", **ines))).status == 200
        assert (await stage.handoff()).agent == INES
        await stage.until(lambda: stage.notices() == ["utter_handoff_joined", "utter_handoff_transferred"])
        assert [values_of(stage, n)["department"] for n in (0, 1)] == [None, "Billing"]
        assert values_of(stage, 1)["ticket"] == handoff.chat_id

    async def test_a_message_before_the_assignment_brings_the_agent_too(self, stage: Stage) -> None:
        handoff = await stage.request()
        assert (await stage.ask(event(handoff, "payload-received-from-agent", **text_of("Hi")))).status == 200
        assert (await stage.handoff()).status is Status.ACTIVE
        assert (await stage.ask(event(handoff, "ticket-assigned", department="Sales"))).status == 200
        assert (await stage.handoff()).agent == Person(name="Bo", id="b1", department="Sales")
        await self._write(stage, handoff, "How can I help?")
        assert stage.notices() == []

    async def test_a_place_in_the_queue_is_told(self, stage: Stage) -> None:
        handoff = await stage.request()
        assert (await stage.ask(event(handoff, "queue-position", queuePosition=3))).status == 200
        await stage.until(lambda: stage.notices() == ["utter_handoff_queue_moved"])
        assert values_of(stage, 0)["queue_position"] == 3

    async def test_a_logout_waits_for_another_agent_and_not_for_ever(self, stage: Stage) -> None:
        handoff = await self.talking(stage)
        assert (await stage.ask(event(handoff, "agent-logout"))).status == 200
        now = await stage.handoff()
        assert (now.status, now.agent) == (Status.QUEUED, None)
        await stage.until(lambda: stage.notices()[-1:] == ["utter_handoff_back_in_queue"])
        stage.pass_time(301)
        await stage.runtime.clock.tick()
        assert (await stage.handoff()).end_reason is EndReason.AGENT_LEFT

    async def test_a_logout_can_end_the_conversation_and_the_agents_side_is_told(
        self, tmp_path: Path, wire: Wire
    ) -> None:
        async with on_stage(tmp_path, Yellow, section(wire.url, agent_logout="end"), public_url=PUBLIC_URL) as stage:
            handoff = await self.talking(stage)
            assert (await stage.ask(event(handoff, "agent-logout"))).status == 200
            assert (await stage.handoff()).end_reason is EndReason.AGENT_LEFT
            await stage.until(lambda: self.endings(wire))
            assert self.endings(wire) == ["[The conversation has ended: the agent logged out.]"]

    async def test_an_inactive_agent_is_told_of_once_and_ends_nothing(self, stage: Stage) -> None:
        handoff = await self.talking(stage)
        for seconds in (120, 240):
            more = {"inactivityDuration": seconds, "inactivityReason": "Network issue"}
            assert (await stage.ask(event(handoff, "agent-inactivity", **more))).status == 200
        await self._write(stage, handoff, "back again")
        assert stage.notices() == ["utter_handoff_joined", "utter_handoff_agent_slow"]
        assert values_of(stage, 1)["idle_seconds"] == 120
        assert values_of(stage, 1)["idle_cause"] == "Network issue"
        assert (await stage.handoff()).status is Status.ACTIVE
        assert (await stage.ask(event(handoff, "agent-inactivity"))).status == 200
        await stage.until(lambda: len(stage.notices()) == 3)

    async def test_an_agent_who_is_active_again_can_be_missed_again(self, stage: Stage) -> None:
        handoff = await self.talking(stage)
        for active in (False, True, False):
            assert (await stage.ask(event(handoff, "agent-active", isAgentActive=active))).status == 200
            stage.pass_time(11)
        await stage.until(lambda: stage.notices()[1:] == ["utter_handoff_agent_slow"] * 2)

    async def _write(self, stage: Stage, handoff: Handoff, text: str) -> Answered:
        answer = await self.ask(stage, self.writing(handoff, text, 0))
        await stage.until(lambda: text in stage.heard())
        return answer

    # -- repeats ------------------------------------------------------------------------------

    async def test_the_same_bytes_within_ten_seconds_are_a_repeat_and_later_a_second_message(
        self, stage: Stage
    ) -> None:
        handoff = await self.talking(stage)
        for seconds in (0, 9, 9):
            stage.pass_time(seconds)
            assert (await self._write(stage, handoff, "yes")).status == 200
        await stage.until(lambda: len(stage.heard()) == 2)
        await self._write(stage, handoff, "the end")
        assert stage.heard() == ["yes", "yes", "the end"]

    async def test_repeats_can_be_let_through(self, tmp_path: Path, wire: Wire) -> None:
        async with on_stage(tmp_path, Yellow, section(wire.url, repeats_within="off"), public_url=PUBLIC_URL) as stage:
            handoff = await self.talking(stage)
            for _ in range(2):
                assert (await self.ask(stage, self.writing(handoff, "yes", 0))).status == 200
                stage.pass_time(0.001)
            await stage.until(lambda: stage.heard() == ["yes", "yes"])

    # -- answers ------------------------------------------------------------------------------

    async def test_what_is_taken_is_echoed(self, stage: Stage) -> None:
        handoff = await self.talking(stage)
        call = event(handoff, "payload-received-from-agent", **text_of("Zwölf 🚲"))
        answer = await stage.ask(call)
        assert answer.status == 200
        assert answer.json == {"status": "success", "data": call.body, "message": "received"}

    async def test_an_event_that_is_no_business_of_ours_is_taken_and_has_no_effect(self, stage: Stage) -> None:
        handoff = await self.talking(stage)
        answer = await stage.ask(event(handoff, "ticket-rated", stars=5))
        assert (answer.status, answer.json["status"]) == (200, "success")
        answer = await stage.ask(event(handoff, "ticket-updated", agentName=None, ticketPriority="high"))
        assert answer.status == 200
        assert await stage.handoff() == handoff

    async def test_what_is_refused_is_a_failure_with_the_reason_and_the_echo(self, stage: Stage) -> None:
        handoff = await self.talking(stage)
        for call, status, why in (
            (event(handoff, "payload-received-from-agent", message={"type": "card"}), 400, "payLoad is missing"),
            (event(handoff, "ticket-closed", ticketId=None), 400, "ticketId is missing"),
            (event(handoff, "ticket-closed", ticketId=1), 404, "yellow: no such chat"),
            (
                event(handoff, "payload-received-from-agent", **text_of("for whom?"), senderId="bob"),
                404,
                "yellow: no such chat",
            ),
        ):
            answer = await stage.ask(call)
            assert answer.status == status
            assert answer.json == {"status": "failure", "data": call.body, "message": why}
        assert (await stage.handoff()).is_open
        assert stage.heard() == []

    async def test_a_message_after_the_end_says_why_it_is_not_taken(self, stage: Stage) -> None:
        handoff = await self.talking(stage)
        await stage.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=handoff.id)
        answer = await stage.ask(event(handoff, "payload-received-from-agent", **text_of("too late")))
        assert (answer.status, answer.json["status"]) == (409, "failure")
        assert answer.json["message"] == "the conversation has ended: user_left"

    async def test_a_ticket_whose_answer_got_lost_is_told_that_nobody_waits(self, stage: Stage, wire: Wire) -> None:
        wire.hang_up(path="/createTicket/acme")
        handoff = await stage.request()
        assert handoff.end_reason is EndReason.FAILED
        for _ in range(2):
            assert (await stage.ask(event(handoff, "ticket-assigned"))).status == 404
        await stage.until(lambda: asked_for(wire, "sendMessage"))
        await stage.until(stage.all_sent)
        [said] = asked_for(wire, "sendMessage")
        assert said["ticket"]["ticketId"] == ticket_id(handoff.id)
        assert said["ticket"]["message"] == "[The conversation has ended: the connection broke off.]"
        assert said["user"]["senderId"] == "ann"
        assert stage.to_user == []

    async def test_news_that_it_is_over_needs_no_answer(self, stage: Stage, wire: Wire) -> None:
        wire.hang_up(path="/createTicket/acme")
        handoff = await stage.request()
        assert (await stage.ask(event(handoff, "ticket-closed"))).status == 404
        await stage.until(stage.all_sent)
        assert asked_for(wire, "sendMessage") == []

    async def test_a_ticket_that_was_never_made_is_not_ours(self, stage: Stage, wire: Wire) -> None:
        wire.fail(400, path="/createTicket/acme")
        handoff = await stage.request()
        assert (await stage.ask(event(handoff, "ticket-assigned"))).status == 404
        await stage.until(stage.all_sent)
        assert asked_for(wire, "sendMessage") == []

    async def test_the_former_token_is_taken_as_long_as_it_is_in_the_settings(self, tmp_path: Path, wire: Wire) -> None:
        for former, status in ((FORMER_TOKEN, 404), (None, 401)):
            more = section(wire.url, **({"former_webhook_token": former} if former else {}))
            async with on_stage(tmp_path, Yellow, more, secrets=(FORMER_TOKEN,), public_url=PUBLIC_URL) as stage:
                call = event(HANDOFF, "ticket-closed").having(headers={"x-auth-token": FORMER_TOKEN})
                assert (await stage.ask(call)).status == status

    async def test_the_sample_as_it_is_printed_is_no_json_and_is_refused(self, stage: Stage) -> None:
        printed = (payloads.folder / "ticket_assigned_as_printed.txt").read_bytes()
        answer = await stage.ask(Call(method="POST", path=PATH, body=printed, headers={"x-auth-token": WEBHOOK_TOKEN}))
        assert answer.status == 400
        assert answer.json["status"] == "failure"
        assert "not JSON" in answer.json["message"]

    # -- the end ------------------------------------------------------------------------------

    async def test_the_agents_hear_why_it_is_over_once_and_only_what_they_do_not_know(
        self, stage: Stage, wire: Wire
    ) -> None:
        left = await self.talking(stage)
        await stage.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=left.id)
        await stage.until(lambda: self.endings(wire))
        closed = await self.talking(stage, "bob")
        assert (await stage.ask(event(closed, "ticket-closed"))).status == 200
        await stage.until(stage.all_sent)
        assert self.endings(wire) == ["[The conversation has ended: the user has left.]"]

    # -- what is optional ---------------------------------------------------------------------

    async def test_typing_and_presence_are_told_where_there_is_an_address_for_them(
        self, tmp_path: Path, wire: Wire
    ) -> None:
        paths = {"typing_path": "sendTyping", "user_active_path": "v2/isUserActive"}
        async with on_stage(tmp_path, Yellow, section(wire.url, **paths), public_url=PUBLIC_URL) as stage:
            handoff = await self.talking(stage)
            await stage.runtime.signals.user_typing("ann", True)
            await stage.runtime.signals.user_presence("ann", False)
            typing, active = asked_for(wire, "sendTyping")[0], asked_for(wire, "v2/isUserActive")[0]
            assert typing["ticket"]["typing"] is True
            assert active["ticket"]["isUserActive"] is False
            assert typing["ticket"]["ticketId"] == active["ticket"]["ticketId"] == ticket_id(handoff.id)

    async def test_they_are_told_of_neither_without(self, stage: Stage, wire: Wire) -> None:
        await self.talking(stage)
        await stage.runtime.signals.user_typing("ann", True)
        await stage.runtime.signals.user_presence("ann", True)
        assert len(wire.taken()) == 1

    async def test_a_request_to_call_back_is_a_ticket_with_how_to_reach_the_user(
        self, stage: Stage, wire: Wire
    ) -> None:
        contact = {"name": "Ann Lee", "phone": "98765 43210", "email": "ann@example.com", "time": "after six"}
        request = Request(sender_id="ann", channel="handoff", callback=contact)
        await stage.runtime.callbacks.leave("6a2d01cc-126d-4f00-bbcf-4c281bff4374", request)
        await stage.until(lambda: asked_for(wire, "createTicket"))
        body = asked_for(wire, "createTicket")[0]
        assert body["user"] == {
            "senderId": "ann",
            "userName": "Ann Lee",
            "userMobile": "9876543210",
            "userEmail": "ann@example.com",
        }
        assert body["ticket"]["customFields"] == {"callback": contact}

        async def left() -> bool:
            return (await stage.handoff()).chat_id == str(int("6a2d01cc", 16))

        await stage.until(left)


def values_of(stage: Stage, number: int) -> Json:
    """What a response that was said can speak of."""
    values: Json = [delivery.body for _, delivery in stage.to_user if delivery.kind == "notice"][number]["values"]
    return values


def _unfinished(tx: Any) -> Any:
    from rasa_handoff.store import deliveries

    return deliveries.unfinished(tx)


# -- what we say ------------------------------------------------------------------------------


def test_a_ticket_has_the_fields_of_the_sample_and_those_that_only_their_table_names() -> None:
    sample = payloads["create_ticket"]["body"]
    known = {"name": "Shubh", "phone": "99999999", "mail": sample["user"]["userEmail"], "topic": "sales"}
    request = replace(REQUEST, parameters=known, group="14343", transcript=(Line(who="user", text="Hi", at=5.0),))
    user = {"name": "slot:name", "mobile": "slot:phone", "email": "slot:mail"}
    settings = read(user=user, category="slot:topic", custom_fields={})
    assert user_of(settings, request) == sample["user"]
    ticket = ticket_of(settings, HANDOFF, request, "https://google.com")
    assert ticket.pop("conversationHistoryJSON") == [{"who": "user", "text": "Hi", "at": 5.0}]
    assert ticket.pop("messageId") == ticket_of(settings, HANDOFF, request, "another")["messageId"]
    assert ticket == {**sample["ticket"], "conversationId": HANDOFF.id}


def test_what_is_mandatory_is_there_and_what_is_optional_and_unknown_is_not() -> None:
    assert user_of(SETTINGS, REQUEST) == {
        "senderId": "11111111211111",
        "userName": "11111111211111",
        "userMobile": "",
        "userEmail": "",
    }
    settings = read(history_json=False)
    assert set(ticket_of(settings, HANDOFF, REQUEST, "https://x")) == {
        "messageId",
        "source",
        "conversationId",
        "conversationHistory",
        "ticketPriority",
        "customFields",
    }


def test_another_group_is_another_message() -> None:
    first, second = (ticket_of(SETTINGS, HANDOFF, replace(REQUEST, group=group), "") for group in ("a", "b"))
    assert first["messageId"] != second["messageId"]


@pytest.mark.parametrize(("wanted", "sent"), [("HIGH", "high"), ("low", "low"), ("urgent", "medium"), (None, "medium")])
def test_a_priority_is_one_of_theirs(wanted: str | None, sent: str) -> None:
    assert ticket_of(SETTINGS, HANDOFF, replace(REQUEST, priority=wanted), "")["ticketPriority"] == sent


def test_custom_fields_have_any_type_of_json() -> None:
    known = {"plan": "gold", "age": 7, "vip": True, "bike": {"gears": [1, 2]}, "rate": 0.5}
    request = replace(REQUEST, parameters=known)
    assert custom_fields(SETTINGS, request) == known
    chosen = read(custom_fields={"tier": "slot:plan", "cart": "slot:bike", "from": "text:rasa", "none": "slot:none"})
    assert custom_fields(chosen, request) == {"tier": "gold", "cart": known["bike"], "from": "rasa"}


@pytest.mark.parametrize(
    ("number", "sent"),
    [
        ("98765 43210", "9876543210"),
        ("+91 98765-43210", "9876543210"),
        ("0091 9876543210", "9876543210"),
        ("09876543210", "9876543210"),
        ("99999999", "99999999"),
        ("+49 151 23456789", "4915123456789"),
        ("", ""),
    ],
)
def test_a_mobile_number_has_ten_digits_where_it_can(number: str, sent: str) -> None:
    assert ten_digits(number, "91") == sent


def test_a_number_is_only_its_digits_where_no_country_is_named() -> None:
    assert ten_digits("+91 98765 43210", None) == "919876543210"


@pytest.mark.parametrize(
    ("channel", "source"), [("handoff", "web"), ("rest", "web"), ("telegram", "telegram"), ("twilio", "whatsapp")]
)
def test_a_rasa_channel_is_a_source(channel: str, source: str) -> None:
    settings = read(channels={"twilio": "whatsapp"})
    assert ticket_of(settings, replace(HANDOFF, channel=channel), REQUEST, "")["source"] == source


def test_messages_have_the_fields_of_the_samples() -> None:
    text = Message(id="efefe-eefe-fefef-feefefe", who="user", text="hello")
    media = replace(text, text="", attachments=(Attachment(url="https://image.com", kind="image"),))
    for message, name in ((text, "send_message_corrected"), (media, "send_media_corrected")):
        ours = {**said_of(message), "ticketId": "275333", "source": "web", "conversationId": "yguyegdee"}
        assert ours == payloads[name]["body"]["ticket"]


def test_a_message_is_taken_apart_into_what_they_take() -> None:
    place = Attachment(url="https://maps.example.com/1", kind="location")
    picture, film = (Attachment(url=f"https://x.example.com/{kind}", kind=kind) for kind in ("image", "video"))  # type: ignore[arg-type]
    message = Message(id="m1", who="user", text="here", attachments=(picture, place, film))
    text, first, second = parts_of(message)
    assert (text.id, text.text, text.attachments) == ("m1", "here\nhttps://maps.example.com/1", ())
    assert [first.attachments, second.attachments] == [(picture,), (film,)]
    assert len({text.id, first.id, second.id}) == 3
    assert parts_of(message) == [text, first, second]
    assert [part.id for part in parts_of(replace(message, text="", attachments=(picture,)))] == ["m1"]


# -- what they answer -------------------------------------------------------------------------


def test_a_ticket_in_the_queue() -> None:
    opened = read_opened(payloads["create_ticket_queued_corrected"])
    assert (opened.chat_id, opened.status, opened.notes) == ("25633", Status.QUEUED, {"ticketId": 25633})


def test_a_ticket_with_an_agent() -> None:
    assert read_opened(payloads["create_ticket_assigned_corrected"]).status is Status.ACTIVE


def test_nobody_and_no_queue_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        read_opened(payloads["create_ticket_nobody_corrected"])


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ({"isAgentAvailable": True, "isQueued": True}, Status.QUEUED),
        ({"isAgentAvailable": "true", "isQueued": "false"}, Status.ACTIVE),
        ({"isAgentAvailable": True}, Status.ACTIVE),
        ({"isQueued": False}, Status.QUEUED),
        ({}, Status.QUEUED),
    ],
)
def test_flags_that_contradict_each_other_or_are_missing(data: Json, status: Status) -> None:
    assert read_opened({"data": {"ticketId": 1, **data}}).status is status


def test_an_answer_may_have_the_place_in_the_queue_and_the_agent() -> None:
    data = {
        "ticketId": 1,
        "isQueued": True,
        "queuePosition": 4,
        "agentName": "Ines",
        "agentId": 17,
        "department": "Billing",
    }
    opened = read_opened({"data": data})
    assert (opened.queue_position, opened.agent) == (4, INES)


# -- what they tell us ------------------------------------------------------------------------


def test_text_of_an_agent() -> None:
    assert read_message(payloads["agent_text_corrected"], SETTINGS) == AgentMessage(**TICKET, agent=AGENT, text="Hello")


def test_a_medium_of_an_agent() -> None:
    picture = Attachment(url="https://www.google.com", kind="image")
    expected = AgentMessage(**TICKET, agent=AGENT, attachments=(picture,))
    assert read_message(payloads["agent_media_corrected"], SETTINGS) == expected


@pytest.mark.parametrize(
    ("theirs", "ours"), [("video", "video"), ("file", "file"), ("Audio", "audio"), ("pdf", "file")]
)
def test_kinds_of_media(theirs: str, ours: str) -> None:
    payload = payloads["agent_media_corrected"]
    payload["message"]["payLoad"]["content"]["type"] = theirs
    assert read_message(payload, SETTINGS).attachments[0].kind == ours


def test_an_agent_is_assigned() -> None:
    assert read_assigned(payloads["ticket_assigned_corrected"], SETTINGS) == AgentJoined(**TICKET, agent=AGENT)


def test_an_agent_s_department_is_read_and_a_name_that_is_missing_is_replaced() -> None:
    payload = {**payloads["ticket_assigned_corrected"], "department": "Sales"}
    assert read_assigned(payload, SETTINGS).agent == replace(AGENT, department="Sales")
    assert read_assigned({**payload, "agentName": ""}, SETTINGS).agent == Person(name="An agent")


def test_a_ticket_is_closed() -> None:
    assert read_closed(payloads["ticket_closed_corrected"], SETTINGS) == Closed(**TICKET)


def test_an_agent_logs_out() -> None:
    payload = payloads["agent_logout_corrected"]
    assert read_logout(payload, SETTINGS) == AgentAway(**TICKET)
    assert read_logout(payload, read(agent_logout="end")) == Closed(**TICKET, reason=EndReason.AGENT_LEFT)


def test_an_agent_is_inactive() -> None:
    expected = AgentIdle(**TICKET, seconds=120, cause="Network issue")
    assert read_inactivity(payloads["agent_inactivity_corrected"], SETTINGS) == expected


def test_what_the_document_only_names() -> None:
    assert read_queue_position(payloads["queue_position_ours"], SETTINGS) == QueueMoved(**TICKET, position=2)
    assert read_update(payloads["ticket_updated_ours"], SETTINGS) == AgentJoined(**TICKET, agent=INES)
    moved = Transferred(**TICKET, agent=INES, group="14343")
    assert read_transfer(payloads["ticket_transferred_ours"], SETTINGS) == moved
    assert read_agent_active(payloads["agent_active_ours"], SETTINGS) == AgentIdle(**TICKET, idle=False)
    assert read_typing(payloads["agent_typing_ours"], SETTINGS) == AgentTyping(**TICKET, typing=True)


def test_an_update_may_be_of_the_place_in_the_queue_or_of_nothing_that_concerns_the_user() -> None:
    payload = payloads["queue_position_ours"]
    assert read_update(payload, SETTINGS) == QueueMoved(**TICKET, position=2)
    assert read_update({"ticketId": 1, "ticketPriority": "low"}, SETTINGS) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ticketId": None}, "ticketId"),
        ({"ticketId": True}, "ticketId"),
        ({"ticketId": {}}, "ticketId"),
        ({"ticketId": "x" * 300}, "ticketId"),
        ({"senderId": []}, "senderId"),
        ({"message": "Hello"}, "message"),
        ({"message": {"type": "card", "payLoad": {}}}, "type"),
        ({"message": {"type": "text", "payLoad": {"content": {}}}}, "content"),
        ({"message": {"type": "text", "payLoad": {"content": " "}}}, "content"),
        ({"message": {"type": "text", "payLoad": {"content": "x" * 64_001}}}, "content"),
        ({"message": {"type": "media", "payLoad": {"content": "https://x"}}}, "content"),
        ({"message": {"type": "media", "payLoad": {"content": {"type": "image"}}}}, "mediaUrl"),
        (
            {"message": {"type": "media", "payLoad": {"content": {"type": "image", "mediaUrl": "javascript:1"}}}},
            "mediaUrl",
        ),
        ({"agentName": 5}, "agentName"),
    ],
)
def test_what_cannot_be_read_is_refused_by_the_name_of_its_field(change: Json, named: str) -> None:
    with pytest.raises(Malformed, match=named) as refused:
        read_message({**payloads["agent_text_corrected"], **change}, SETTINGS)
    assert "xxx" not in str(refused.value)


# -- settings ---------------------------------------------------------------------------------


def test_the_example_is_all_that_it_needs() -> None:
    assert (SETTINGS.url, SETTINGS.company, SETTINGS.priority) == ("https://desk.example.com", "acme", "medium")


def test_every_fault_is_named_at_once_with_its_remedy() -> None:
    found = "\n".join(
        faults(
            url="desk.example.com",
            company=" ",
            token="short",
            webhook_token="",
            former_webhook_token="short, too",
            user={"name": "name", "email": "slot:"},
            custom_fields={"tier": "request:nothing"},
            country_code="+91",
            priority="urgent",
            category="sales",
            agent_logout="stay",
            repeats_within="soon",
            typing_path="/typing?",
        )
    )
    names = "url company token webhook_token former_webhook_token user.name user.email custom_fields.tier country_code priority category"
    for name in [*names.split(), "agent_logout", "repeats_within", "typing_path"]:
        assert f"backends.yellow.{name}: " in found, name
    assert "token_urlsafe" in found


def test_without_a_public_address_there_is_no_start_because_no_link_would_lead_anywhere() -> None:
    with pytest.raises(ConfigError, match="public_url: is missing; yellow makes links"):
        read_section({"backends": {"yellow": section("https://desk.example.com")}}, settings_models())


async def test_the_bare_token_and_a_company_with_odd_characters(tmp_path: Path) -> None:
    with Wire() as wire:
        wire.when("POST", "/*", body=payloads["create_ticket_queued_corrected"])
        more = section(f"{wire.url}/api/", bearer=False, company="Ä/1")
        async with on_stage(tmp_path, Yellow, more, public_url=PUBLIC_URL) as stage:
            assert (await stage.request()).status is Status.QUEUED
        asked = wire.taken()[0]
        assert asked.path == "/api/createTicket/%C3%84%2F1"
        assert asked.headers["authorization"] == TOKEN
