"""Vonage AI Studio: the studio's half of its live-agent routing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rasa_handoff.backends import settings_models
from rasa_handoff.backends.vonage import (
    Vonage,
    VonageSettings,
    as_text,
    inbound_transfer,
    media_kind,
    parameters,
    read_outbound,
    status_delivery,
    transcription,
)
from rasa_handoff.errors import ConfigError, Malformed, UserUnreachable
from rasa_handoff.events import AgentMessage, MessageStatus
from rasa_handoff.model import Attachment, EndReason, Handoff, Json, Line, Message, Request, Status
from rasa_handoff.settings import read_section
from rasa_handoff.store import deliveries
from rasa_handoff.testing import BackendContract, Call, Payloads, Stage, Wire, on_stage

KEY = "vgai-0123456789abcdef"
FORMER = "vgai-fedcba9876543210"
START_TOKEN = "start-0123456789abcdef"
SESSION = "c972bcf7-4dfe-4572-964c-f90693e90adb"
MESSAGE = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"
STARTED = 1667920428.0  #: 2022-11-08 15:13:48

payloads = Payloads(__file__)


def section(url: str, **more: Any) -> Json:
    return {
        "vgai_key": KEY,
        "start_connection": {"url": f"{url}/start?region=eu", "headers": {"X-Start": START_TOKEN}},
        "inbound_transfer": {"url": f"{url}/inbound", "headers": {"X-Inbound": "two"}},
        "status_delivery": {"url": f"{url}/status", "headers": {"X-Status": "three"}},
        **more,
    }


def settings(**more: Any) -> VonageSettings:
    read = read_section({"backends": {"vonage": section("http://agents.test", **more)}}, settings_models())
    found: VonageSettings = read.backends["vonage"]
    return found


def faults(**more: Any) -> list[str]:
    with pytest.raises(ConfigError) as found:
        settings(**more)
    return found.value.faults


def handoff(**more: Any) -> Handoff:
    values = {"status": Status.ACTIVE, "opened_at": STARTED, "chat_id": SESSION, **more}
    return Handoff(id=SESSION, sender_id="ann", channel="whatsapp", backend="vonage", **values)


def said(text: str = "", *attachments: Attachment) -> Message:
    return Message(id="m1", who="user", text=text, attachments=attachments)


def outbound(chat_id: str | None, body: Any) -> Call:
    return Call(method="POST", path=f"live-agent/outbound/{chat_id}", body=body, headers={"X-Vgai-Key": KEY})


def disconnect(chat_id: str | None, body: Any = None) -> Call:
    body = {} if body is None else body
    return Call(method="POST", path=f"live-agent/disconnect/{chat_id}", body=body, headers={"X-Vgai-Key": KEY})


# What goes to the agents, and what comes from them, file by file


class TestStartConnection:
    REQUEST = Request(
        sender_id="whatsapp:+447700900000",
        channel="whatsapp",
        transcript=(
            Line(who="bot", text="Hi! How can I help?", at=STARTED),
            Line(who="user", text="I want to talk to a person", at=STARTED + 1),
        ),
        parameters={"order_no": 4711, "language": "en", "toppings": ["olives", "Käse"], "urgent": True},
        metadata={"profile": {"name": "Ann"}},
    )
    CHOSEN = {  # noqa: RUF012
        "system_parameters": {"PROFILE_NAME": "metadata:profile.name", "AGENT_ID": "text:64f1c0ffee"},
        "user_parameters": ["language"],
    }

    def parameters(self, **request: Any) -> dict[str, str]:
        return parameters(handoff(), replace(self.REQUEST, **request), settings())

    async def test_it_is_the_documented_request(self) -> None:
        with Wire() as wire:
            backend = Vonage(VonageSettings(**section(wire.url, **self.CHOSEN)))
            opened = await backend.open(handoff(), self.REQUEST)
            await backend.stop()
        asked = wire.taken()[0]
        assert (asked.method, asked.path, dict(asked.query)) == ("POST", "/start", {"region": "eu"})
        assert asked.headers["content-type"] == "application/json"
        assert asked.headers["x-start"] == START_TOKEN
        assert asked.json == payloads["start_connection_corrected"]
        assert (opened.chat_id, opened.status) == (SESSION, Status.QUEUED)

    async def test_a_request_to_call_back_has_how_to_reach_the_user(self, tmp_path: Path) -> None:
        contact = {"name": "Ann Lee", "phone": "+44 7700 900000", "time": "after six"}
        request = Request(sender_id="ann", channel="handoff", callback=contact, parameters={"order_no": 4711})
        with Wire() as wire:
            async with on_stage(tmp_path, Vonage, section(wire.url), secrets=(KEY, START_TOKEN)) as stage:
                await stage.runtime.callbacks.leave(SESSION, request)
                await stage.until(lambda: wire.taken("POST", "/start"))
                answer = await stage.ask(outbound(SESSION, {"text": "Hello?"}))
                assert (answer.status, stage.to_user) == (404, [])
        body = wire.taken("POST", "/start")[0].json
        values = {each["name"]: each["value"] for each in body["history"]["parameters"]}
        assert body["sessionId"] == SESSION
        assert (values["PROFILE_NAME"], values["SENDER_PHONE_NUMBER"]) == ("Ann Lee", "447700900000")
        assert {f"callback_{name}": text for name, text in contact.items()}.items() <= values.items()
        assert values["order_no"] == "4711"

    def test_the_transcription_has_one_key_each_in_order(self) -> None:
        lines = [Line(who="user", text="a"), Line(who="bot", text="b"), Line(who="bot", text="c")]
        assert transcription(lines, settings().speakers) == [{"user": "a"}, {"agent": "b"}, {"agent": "c"}]
        speakers = settings(speakers={"user": "User", "agent": "Agent"}).speakers
        assert transcription(lines, speakers) == [{"User": "a"}, {"Agent": "b"}, {"Agent": "c"}]

    def test_system_parameters_are_there_though_they_are_empty(self) -> None:
        assert self.parameters(sender_id="web-1f3a", transcript=(), parameters={}, metadata={}) == {
            "SENDER_PHONE_NUMBER": "",
            "PROFILE_NAME": "",
            "AGENT_PHONE_NUMBER": "",
            "CONVERSATION_START_DATE": "2022-11-08",
            "CONVERSATION_START_TIME": "15:13:48",
            "INITIAL_MESSAGE": "",
            "INITIAL_MESSAGE_PAYLOAD": '{"text": "", "type": "text"}',
            "SESSION_ID": SESSION,
            "AGENT_ID": "",
        }

    @pytest.mark.parametrize(
        ("sender", "number"),
        [
            ("whatsapp:+447700900000", "447700900000"),
            ("+15550100123", "15550100123"),
            ("web-12345678", ""),
            ("ann", ""),
        ],
    )
    def test_a_phone_number_is_taken_from_channels_that_have_one(self, sender: str, number: str) -> None:
        assert self.parameters(sender_id=sender)["SENDER_PHONE_NUMBER"] == number

    def test_the_conversation_began_with_its_first_line(self) -> None:
        found = parameters(handoff(opened_at=STARTED + 86_400.0), self.REQUEST, settings())
        began = found["CONVERSATION_START_DATE"], found["CONVERSATION_START_TIME"]
        assert began == ("2022-11-08", "15:13:48")

    def test_a_slot_of_a_system_parameters_name_is_its_value(self) -> None:
        assert self.parameters(parameters={"PROFILE_NAME": "Ann Example"})["PROFILE_NAME"] == "Ann Example"

    @pytest.mark.parametrize(
        ("value", "text"),
        [(None, ""), ("Zwölf", "Zwölf"), (4711, "4711"), (1.5, "1.5"), (False, "false"), ([1, "b"], '[1, "b"]')],
    )
    def test_a_parameters_value_is_a_text(self, value: Any, text: str) -> None:
        assert as_text(value) == text


class TestInboundTransfer:
    def test_a_text_is_the_documented_request(self) -> None:
        body = inbound_transfer(SESSION, said("My bike is broken"))
        assert body == payloads["inbound_transfer_corrected"]
        assert list(body) == ["sessionId", "text", "type"]

    @pytest.mark.parametrize("kind", ["image", "audio", "video", "file"])
    def test_media_are_named_by_their_type(self, kind: str) -> None:
        expected = payloads[f"inbound_{kind}"]
        media = expected[kind]
        assert (
            inbound_transfer(SESSION, said("", Attachment(url=media["url"], kind=kind, name=media["name"]))) == expected
        )

    @pytest.mark.parametrize(
        ("kind", "endings"),
        [
            ("image", "jpg jpeg png"),
            ("audio", "aac m4a amr mp3 opus"),
            ("video", "mp4 3gpp"),
            ("file", "zip csv pdf"),
        ],
    )
    def test_the_documented_types_are_taken(self, kind: str, endings: str) -> None:
        for ending in endings.split():
            assert media_kind(Attachment(url=f"https://example.com/a.{ending}?b=c", kind="file")) == kind
            assert media_kind(Attachment(url=f"https://example.com/A.{ending.upper()}", kind="file")) == kind

    @pytest.mark.parametrize(
        ("mime", "kind"),
        [
            ("image/jpeg", "image"),
            ("audio/ogg; codecs=opus", "audio"),
            ("audio/mpeg", "audio"),
            ("video/3gpp", "video"),
            ("application/pdf", "file"),
            ("text/csv", "file"),
            ("image/webp", None),
            ("text/html", None),
        ],
    )
    def test_what_the_channel_says_of_the_type_counts(self, mime: str, kind: str | None) -> None:
        assert media_kind(Attachment(url="https://example.com/a.zip", kind="image", mime=mime)) == kind

    def test_where_nothing_tells_the_type_the_channels_kind_counts(self) -> None:
        assert media_kind(Attachment(url="https://example.com/media/42", kind="audio")) == "audio"
        assert media_kind(Attachment(url="https://example.com/map", kind="location")) is None

    def test_other_media_go_as_links(self) -> None:
        picture = Attachment(url="https://example.com/a.webp", kind="image", name="bike")
        parts = Vonage(settings()).parts(
            said("look", picture, Attachment(url="https://example.com/a.png", kind="image"))
        )
        assert [inbound_transfer(SESSION, part) for part in parts] == [
            {"sessionId": SESSION, "text": "look", "type": "text"},
            {"sessionId": SESSION, "text": "bike: https://example.com/a.webp", "type": "text"},
            {"sessionId": SESSION, "type": "image", "image": {"url": "https://example.com/a.png"}},
        ]
        assert [part.id for part in parts] == ["m1", "m1.2", "m1.3"]

    @pytest.mark.parametrize(("length", "parts"), [(1, 1), (4096, 1), (4097, 2), (10_000, 3)])
    def test_texts_have_4096_characters_at_most(self, length: int, parts: int) -> None:
        found = Vonage(settings()).parts(said("x" * length))
        assert [len(part.text) for part in found] == [*[4096] * (parts - 1), length - 4096 * (parts - 1)]


class TestOutboundTransfer:
    @pytest.mark.parametrize("name", ["outbound_transfer_corrected", "outbound_text"])
    def test_both_forms_of_a_text(self, name: str) -> None:
        assert read_outbound(SESSION, payloads[name]) == AgentMessage(chat_id=SESSION, text="How can I help?")

    @pytest.mark.parametrize(
        ("name", "caption", "attachment"),
        [
            ("image", "This one?", Attachment(url="https://example.com/bike.jpg", kind="image")),
            ("audio", "", Attachment(url="https://example.com/bell.mp3", kind="audio")),
            ("video", "How to mend it", Attachment(url="https://example.com/repair.mp4", kind="video")),
            (
                "file",
                "Your invoice",
                Attachment(url="https://example.com/invoice.pdf", kind="file", name="invoice.pdf"),
            ),
        ],
    )
    def test_media(self, name: str, caption: str, attachment: Attachment) -> None:
        read = read_outbound(SESSION, payloads[f"outbound_{name}"])
        assert read == AgentMessage(chat_id=SESSION, text=caption, attachments=(attachment,))

    @pytest.mark.parametrize(
        ("body", "complaint"),
        [
            ({}, "text is missing"),
            ({"text": ""}, "text must not be empty"),
            ({"text": 1}, "text must be text"),
            ({"text": "x" * 64_001}, "text must not be longer than 64000 characters"),
            ({"message_type": "template", "text": "a"}, "message_type must be one of: text, image, audio, video, file"),
            ({"message_type": 1}, "message_type must be text"),
            ({"message_type": "image"}, "image is missing"),
            ({"message_type": "image", "image": {}}, "image.url is missing"),
            ({"message_type": "file", "file": {"url": "javascript:alert(1)"}}, "file.url must be an http"),
            (
                {"message_type": "video", "video": {"url": "https://a.test/b", "caption": 1}},
                "video.caption must be text",
            ),
        ],
    )
    def test_what_cannot_be_read_is_named_by_its_field(self, body: Json, complaint: str) -> None:
        with pytest.raises(Malformed) as found:
            read_outbound(SESSION, body)
        assert str(found.value).startswith(complaint)

    def test_a_template_is_refused_for_what_it_is(self) -> None:
        with pytest.raises(Malformed, match="message_type"):
            read_outbound(SESSION, payloads["outbound_template"])


class TestStatusDelivery:
    NUMBERS = {"to": "447700900000", "from": "447700900001"}  # noqa: RUF012

    @pytest.mark.parametrize("state", ["submitted", "delivered", "read", "rejected"])
    def test_it_is_a_status_of_the_messages_api_with_the_session(self, state: Any) -> None:
        cause = "whatsapp: could not send: HTTP 400" if state == "rejected" else None
        status = MessageStatus(chat_id=SESSION, message_id=MESSAGE, state=state, cause=cause, at=STARTED + 14.5)
        found = status_delivery(handoff(notes={"numbers": self.NUMBERS}), status, now=0.0)
        assert found == payloads[f"status_{state}"]

    def test_without_numbers_they_are_empty(self) -> None:
        status = MessageStatus(chat_id=SESSION, message_id=MESSAGE, state="delivered")
        found = status_delivery(handoff(), status, now=STARTED)
        assert (found["to"], found["from"], found["timestamp"]) == ("", "", "2022-11-08T15:13:48.000Z")


class TestSettings:
    def test_the_waiting_time_is_25000_seconds_for_every_answer(self) -> None:
        deadlines = Vonage(settings()).deadlines
        assert {name: deadline.after for name, deadline in deadlines.items()} == {
            "accept": 25_000.0,
            "agent_reply": 25_000.0,
            "user_idle": 25_000.0,
        }

    @pytest.mark.parametrize("hours", [1, 20])
    def test_the_waiting_time_is_one_to_twenty_hours(self, hours: int) -> None:
        chosen = settings(agent_response_waiting_time=f"{hours}h")
        assert Vonage(chosen).deadlines["agent_reply"].after == hours * 3600

    @pytest.mark.parametrize("time", ["59m", "20.1h", "off", "soon"])
    def test_another_waiting_time_is_refused(self, time: str) -> None:
        assert "backends.vonage.agent_response_waiting_time" in faults(agent_response_waiting_time=time)[0]

    @pytest.mark.parametrize(
        ("wrong", "fault"),
        [
            ({"vgai_key": "short"}, "backends.vonage.vgai_key: is shorter than 16 characters"),
            ({"vgai_key": ""}, "backends.vonage.vgai_key: is shorter than 16 characters"),
            ({"former_vgai_key": "short"}, "backends.vonage.former_vgai_key: is shorter"),
            ({"start_connection": {"url": "agents.test"}}, "backends.vonage.start_connection: `url` must be an http"),
            ({"start_connection": {}}, "backends.vonage.start_connection.url: is missing"),
            (
                {"inbound_transfer": {"url": "https://a.test", "headers": {"X-A": "a\nb"}}},
                "backends.vonage.inbound_transfer: `headers` cannot be sent: 'X-A'",
            ),
            ({"repeats_within": "1h"}, "backends.vonage.repeats_within: must be at most 10m"),
            ({"system_parameters": {"PROFILE_NAME": "name"}}, "backends.vonage.system_parameters.PROFILE_NAME: "),
            ({"no_such": 1}, "backends.vonage.no_such: there is no such setting"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_remedy(self, wrong: Json, fault: str) -> None:
        assert faults(**wrong)[0].startswith(fault)

    def test_what_must_be_there(self) -> None:
        with pytest.raises(ConfigError) as found:
            read_section({"backends": {"vonage": {}}}, settings_models())
        missing = {fault.split(":")[0] for fault in found.value.faults}
        assert missing == {f"backends.vonage.{name}" for name in ("vgai_key", "start_connection", "inbound_transfer")}

    def test_no_secret_is_in_a_fault(self) -> None:
        assert KEY not in str(faults(no_such=1))


# The contract, and what it does not ask of every backend, with the real plugin and a real server at the other end


class TestVonage(BackendContract):
    """How the agents' side of the studio speaks."""

    backend = Vonage
    secrets = (KEY, START_TOKEN)

    def section(self, url: str) -> Json:
        return section(url)

    def agree(self, wire: Wire) -> None:
        wire.when("POST", "/start", 200, b"Start endpoint reached")
        wire.when("POST", "/inbound", 200, b"Inbound endpoint reached")

    def signed(self, call: Call) -> Call:
        return call.having(headers={"X-Vgai-Key": KEY})

    def writing(self, handoff: Handoff, text: str, number: int) -> Call:
        body = {"message_type": "text", "text": text}
        return Call(method="POST", path=f"live-agent/outbound/{handoff.chat_id}", body=body)

    def closing(self, handoff: Handoff) -> Call:
        return Call(method="POST", path=f"live-agent/disconnect/{handoff.chat_id}", body={})

    def requests(self, wire: Wire) -> list[str]:
        return [asked.json["sessionId"] for asked in wire.taken("POST", "/start")]

    def said(self, wire: Wire) -> list[tuple[str, str]]:
        # The body has no id; what is sent again can be told by the header that we add.
        return [(asked.headers["idempotency-key"], asked.json["text"]) for asked in wire.taken("POST", "/inbound")]

    # -- opening ------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("status", "body"), [(201, b"made"), (204, b""), (200, b"\xff\x00"), (200, b"x" * 200_000)], ids=str
    )
    async def test_any_success_with_any_body_is_success(
        self, stage: Stage, wire: Wire, status: int, body: bytes
    ) -> None:
        for path in ("/start", "/inbound", "/status"):
            wire.when("POST", path, status, body)
        found = await self.talking(stage)
        await stage.say("one")
        await stage.say("two")
        await stage.until(lambda: self.texts(wire) == ["one", "two"])
        await stage.until(lambda: _states(wire) == ["submitted", "delivered"])
        assert (await stage.handoff()).status is found.status
        assert "utter_handoff_undelivered" not in stage.notices()

    async def test_each_endpoint_gets_its_own_headers(self, stage: Stage, wire: Wire) -> None:
        await self.talking(stage)
        await stage.say("hello")
        await stage.until(lambda: self.texts(wire) and _states(wire) == ["submitted", "delivered"])
        own = {"/start": "x-start", "/inbound": "x-inbound", "/status": "x-status"}
        for asked in wire.asked:
            assert {name for name in own.values() if name in asked.headers} == {own[asked.path]}

    async def test_the_session_is_the_handoff(self, stage: Stage, wire: Wire) -> None:
        opened = await stage.request(parameters={"topic": "bikes"})
        body = wire.taken("POST", "/start")[0].json
        assert body["sessionId"] == opened.id == opened.chat_id
        assert {"name": "topic", "value": "bikes"} in body["history"]["parameters"]
        assert {"name": "SESSION_ID", "value": opened.id} in body["history"]["parameters"]

    async def test_an_agent_who_wrote_before_the_start_failed_has_the_chat(self, stage: Stage, wire: Wire) -> None:
        wire.fail(500, path="/start")
        with wire.held("/start"):
            opening = asyncio.create_task(stage.request())
            await stage.until(lambda: wire.asked)
            assert await stage.say("typed while it was being opened") is not None
            found = await stage.handoff()
            assert self.took(await self.ask(stage, self.writing(found, "I am here", 1)))
        opened = await opening
        assert (opened.status, opened.end_reason) == (Status.ACTIVE, None)
        await stage.until(lambda: self.texts(wire) == ["typed while it was being opened"])
        await stage.until(lambda: stage.heard() == ["I am here"])

    async def test_typed_while_it_opened_and_after_an_agent_came_is_said_once_and_in_order(
        self, stage: Stage, wire: Wire
    ) -> None:
        with wire.held("/start"):
            opening = asyncio.create_task(stage.request())
            await stage.until(lambda: self.requests(wire))
            await stage.say("one")
            await self.accept(stage, await stage.handoff())
            await stage.say("two")
        await opening
        await stage.say("three")
        await stage.until(stage.all_sent)
        assert [text for _, text in self.said(wire)] == ["one", "two", "three"]

    # -- from the agent -----------------------------------------------------------------------

    async def test_the_answer_names_the_message_that_the_statuses_are_about(self, stage: Stage, wire: Wire) -> None:
        opened = await stage.request()
        answer = await self.ask(stage, outbound(opened.id, payloads.raw("outbound_text")))
        assert answer.status == 200
        await stage.until(lambda: _states(wire) == ["submitted", "delivered"])
        for asked in wire.taken("POST", "/status"):
            assert asked.json["message_uuid"] == answer.json["message_uuid"]
            assert asked.json["sessionId"] == opened.id

    async def test_a_status_has_the_numbers_of_both_sides(self, tmp_path: Path, wire: Wire) -> None:
        chosen = {"AGENT_PHONE_NUMBER": "text:447700900001"}
        async with _on_stage(tmp_path, {**self.section(wire.url), "system_parameters": chosen}) as stage:
            opened = await stage.request("whatsapp:+447700900000")
            assert self.took(await self.ask(stage, self.writing(opened, "Hi", 1)))
            await stage.until(lambda: len(_states(wire)) == 2)
        for asked in wire.taken("POST", "/status"):
            assert (asked.json["to"], asked.json["from"]) == ("447700900000", "447700900001")

    async def test_media_reach_the_user(self, stage: Stage) -> None:
        opened = await stage.request()
        assert self.took(await self.ask(stage, outbound(opened.id, payloads.raw("outbound_file"))))
        await stage.until(lambda: stage.heard() == ["Your invoice"])
        message = next(delivery.message for _, delivery in stage.to_user if delivery.message)
        assert [each.url for each in message.attachments] == ["https://example.com/invoice.pdf"]

    async def test_a_long_text_of_an_agent_is_taken_whole(self, stage: Stage) -> None:
        opened = await stage.request()
        assert self.took(await self.ask(stage, self.writing(opened, "ä" * 10_000, 1)))
        await stage.until(lambda: stage.heard() == ["ä" * 10_000])

    async def test_a_longer_one_is_refused_and_says_why(self, stage: Stage) -> None:
        opened = await stage.request()
        answer = await self.ask(stage, self.writing(opened, "ä" * 64_001, 1))
        assert answer.status == 400
        assert answer.json == {
            "statusCode": 400,
            "error": "Bad Request",
            "message": "text must not be longer than 64000 characters",
        }

    @pytest.mark.parametrize("body", [b"", b"{}", b"not json", payloads.raw("disconnect")])
    async def test_a_disconnect_needs_no_body(self, stage: Stage, body: bytes) -> None:
        opened = await stage.request()
        assert (await self.ask(stage, disconnect(opened.id, body))).status == 200
        assert (await stage.handoff()).end_reason is EndReason.AGENT_CLOSED

    async def test_disconnecting_twice_does_no_harm(self, stage: Stage) -> None:
        opened = await self.talking(stage)
        assert [(await self.ask(stage, disconnect(opened.id))).status for _ in range(2)] == [200, 200]

    async def test_an_unknown_session_and_one_that_is_over_are_not_found(self, stage: Stage) -> None:
        unknown = await self.ask(stage, disconnect(SESSION))
        assert (unknown.status, unknown.json) == (404, payloads["refusal"])
        opened = await self.talking(stage)
        await self.ask(stage, disconnect(opened.id))
        over = await self.ask(stage, self.writing(opened, "one more thing", 2))
        assert (over.status, over.json["statusCode"]) == (404, 404)
        assert over.json["message"] == "the conversation has ended: agent_closed"

    async def test_while_the_key_is_changed_both_open(self, tmp_path: Path, wire: Wire) -> None:
        for former, status in ((FORMER, 200), (None, 401)):
            (tmp_path / str(status)).mkdir()
            given = {**self.section(wire.url), **({"former_vgai_key": former} if former else {})}
            async with _on_stage(tmp_path / str(status), given) as stage:
                opened = await stage.request()
                call = outbound(opened.id, {"text": "Hi"})
                assert (await stage.ask(call.having(headers={"X-Vgai-Key": FORMER}))).status == status
                assert (await stage.ask(call.having(headers={"X-Vgai-Key": KEY}))).status == 200

    # -- repeats: the protocol has no ids -----------------------------------------------------

    async def test_the_same_bytes_within_ten_seconds_are_one_message(self, stage: Stage) -> None:
        opened = await stage.request()
        call = self.writing(opened, "ok", 1)
        first, second = [await self.ask(stage, call) for _ in range(2)]
        stage.pass_time(9.9)
        third = await self.ask(stage, call)
        assert first.json == second.json == third.json
        await stage.until(lambda: stage.heard() == ["ok"])

    async def test_the_same_bytes_later_are_another_message(self, stage: Stage) -> None:
        opened = await stage.request()
        answers = []
        for _ in range(3):
            answers.append(await self.ask(stage, self.writing(opened, "ok", 1)))
            stage.pass_time(10.0)
        assert len({answer.json["message_uuid"] for answer in answers}) == 3
        await stage.until(lambda: stage.heard() == ["ok", "ok", "ok"])

    async def test_copies_at_the_same_moment_are_one_message(self, stage: Stage) -> None:
        opened = await stage.request()
        answers = await asyncio.gather(*(self.ask(stage, self.writing(opened, "ok", 1)) for _ in range(8)))
        assert len({answer.body for answer in answers}) == 1
        await stage.until(lambda: stage.heard() == ["ok"])

    async def test_a_repeat_is_known_after_a_restart(self, stage: Stage) -> None:
        opened = await stage.request()
        first = await self.ask(stage, self.writing(opened, "ok", 1))
        await stage.restart()
        again = await self.ask(stage, self.writing(opened, "ok", 1))
        assert again.json == first.json
        await stage.until(lambda: stage.heard() == ["ok"])

    async def test_two_sessions_can_get_the_same_words(self, stage: Stage) -> None:
        for sender in ("ann", "bob"):
            opened = await stage.request(sender)
            assert self.took(await self.ask(stage, self.writing(opened, "Good morning", 1)))
        await stage.until(lambda: stage.heard("ann") == stage.heard("bob") == ["Good morning"])

    async def test_it_can_be_switched_off(self, tmp_path: Path, wire: Wire) -> None:
        async with _on_stage(tmp_path, {**self.section(wire.url), "repeats_within": "off"}) as stage:
            opened = await stage.request()
            for _ in range(2):
                assert self.took(await self.ask(stage, self.writing(opened, "ok", 1)))
            await stage.until(lambda: stage.heard() == ["ok", "ok"])

    # -- statuses -----------------------------------------------------------------------------

    async def test_a_message_that_cannot_reach_the_user_is_rejected_with_the_cause(
        self, stage: Stage, wire: Wire
    ) -> None:
        opened = await stage.request()
        stage.user_trouble = [UserUnreachable("whatsapp: the number does not exist")]
        await self.ask(stage, self.writing(opened, "Hi", 1))
        await stage.until(lambda: _states(wire) == ["submitted", "rejected"])
        error = wire.taken("POST", "/status")[-1].json["error"]
        assert error["detail"] == "whatsapp: the number does not exist"

    async def test_statuses_are_kept_until_they_are_taken(self, stage: Stage, wire: Wire) -> None:
        opened = await stage.request()
        wire.fail(503, times=2, path="/status")
        await self.ask(stage, self.writing(opened, "Hi", 1))
        await stage.until(lambda: stage.heard() == ["Hi"])
        await stage.until(lambda: _states(wire) == ["submitted", "delivered"])

    async def test_statuses_that_nobody_takes_hold_up_no_message(self, stage: Stage, wire: Wire) -> None:
        opened = await stage.request()
        wire.fail(503, times=100, path="/status")
        await self.ask(stage, self.writing(opened, "Hi", 1))
        await stage.say("hello")
        await stage.until(lambda: self.texts(wire) == ["hello"])

        async def both_wait() -> bool:
            waiting = await stage.runtime.store.read(deliveries.pending)
            return [each.kind for each in waiting] == ["status", "status"]

        await stage.until(both_wait)
        stage.pass_time(1800.0)  # their time is up
        await stage.until(stage.all_sent)
        assert _states(wire) == []
        assert (await stage.handoff()).is_open

    async def test_without_an_endpoint_for_them_there_are_none(self, tmp_path: Path, wire: Wire) -> None:
        given = {name: value for name, value in self.section(wire.url).items() if name != "status_delivery"}
        async with _on_stage(tmp_path, given) as stage:
            await self.talking(stage)
            await stage.say("hello")
            await stage.until(lambda: self.texts(wire) == ["hello"])
        assert wire.taken("POST", "/status") == []

    # -- long texts and media of the user -----------------------------------------------------

    async def test_a_long_text_arrives_in_order_and_whole(self, stage: Stage, wire: Wire) -> None:
        await self.talking(stage)
        text = "".join(f"This is sentence {number} of a long story. " for number in range(400))
        await stage.say("before")
        await stage.say(text)
        await stage.say("after")
        await stage.until(lambda: self.texts(wire)[-1:] == ["after"])
        first, *parts, last = [text for _, text in self.said(wire)]
        assert (first, "".join(parts), last) == ("before", text, "after")
        assert len(parts) == 4
        assert all(len(part) <= 4096 and part.endswith(". ") for part in parts)

    async def test_when_a_part_fails_only_that_part_is_sent_again(self, stage: Stage, wire: Wire) -> None:
        await self.talking(stage)
        failed: list[str] = []

        def fail_the_second(asked: Any) -> tuple[int, Any]:
            if asked.json["text"].startswith("b") and len(failed) < 2:
                failed.append(asked.json["text"])
                return 503, {}
            return 200, {}

        wire.respond("POST", "/inbound", fail_the_second)
        await stage.say("a" * 4096 + "b" * 4096 + "c")
        await stage.until(lambda: len(self.said(wire)) == 5)
        assert [text[0] for _, text in self.said(wire)] == ["a", "b", "b", "b", "c"]
        ids = [key for key, _ in self.said(wire)]
        assert ids[1] == ids[2] == ids[3]
        assert len(set(ids)) == 3

    async def test_a_part_that_waits_is_sent_after_a_restart_and_the_others_are_not(
        self, stage: Stage, wire: Wire
    ) -> None:
        await self.talking(stage)
        wire.respond("POST", "/inbound", lambda asked: (503 if asked.json["text"].startswith("b") else 200, {}))
        await stage.say("a" * 4096 + "b")
        await stage.until(lambda: len(self.said(wire)) == 2)
        await stage.restart()
        wire.when("POST", "/inbound")
        stage.pass_time(60.0)
        await stage.until(stage.all_sent)
        first, *others = [text[0] for _, text in self.said(wire)]
        assert first == "a"
        assert len(others) >= 2  # by how many tries before it was stopped
        assert set(others) == {"b"}

    async def test_a_long_text_typed_while_it_opens_keeps_its_place(self, stage: Stage, wire: Wire) -> None:
        with wire.held("/start"):
            opening = asyncio.create_task(stage.request())
            await stage.until(lambda: self.requests(wire))
            for text in ("one", "x" * 5000, "three"):
                await stage.say(text)
        await opening
        await stage.until(lambda: len(self.said(wire)) == 4)
        assert [text[:3] for _, text in self.said(wire)] == ["one", "xxx", "xxx", "thr"]

    async def test_media_arrive_each_in_a_request_of_its_own(self, stage: Stage, wire: Wire) -> None:
        opened = await self.talking(stage)
        picture = Attachment(url="https://media.example.com/42.jpg", kind="image", name="42.jpg")
        await stage.say("look at this", attachments=(picture,))
        await stage.until(lambda: len(wire.taken("POST", "/inbound")) == 2)
        text, media = [asked.json for asked in wire.taken("POST", "/inbound")]
        assert text == {"sessionId": opened.id, "text": "look at this", "type": "text"}
        assert media == {**payloads["inbound_image"], "sessionId": opened.id}

    # -- the three outputs, and ends that are ours --------------------------------------------

    async def test_nobody_answers_from_the_start(self, stage: Stage) -> None:
        await stage.request()
        stage.pass_time(24_999.0)
        await stage.runtime.clock.tick()
        assert (await stage.handoff()).is_open
        stage.pass_time(1.0)
        await stage.runtime.clock.tick()
        assert (await stage.handoff()).end_reason is EndReason.NOT_ACCEPTED

    async def test_nobody_answers_to_the_finish(self, stage: Stage) -> None:
        await self.talking(stage)
        await stage.say("are you there?")
        stage.pass_time(24_999.0)
        await stage.runtime.clock.tick()
        assert (await stage.handoff()).is_open
        stage.pass_time(1.0)
        await stage.runtime.clock.tick()
        assert (await stage.handoff()).end_reason is EndReason.AGENT_SILENT

    async def test_the_end_can_be_said_as_a_text(self, tmp_path: Path, wire: Wire) -> None:
        async with _on_stage(tmp_path, {**self.section(wire.url), "end_text": "[over: {reason}]"}) as stage:
            opened = await self.talking(stage)
            await stage.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=opened.id)
            await stage.until(lambda: self.texts(wire) == ["[over: user_left]"])

    async def test_without_it_nothing_is_said(self, stage: Stage, wire: Wire) -> None:
        opened = await self.talking(stage)
        asked = len(wire.taken("POST", "/inbound"))
        await stage.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=opened.id)
        await stage.until(stage.all_sent)
        assert len(wire.taken("POST", "/inbound")) == asked


def _states(wire: Wire) -> list[str]:
    return [asked.json["status"] for asked in wire.taken("POST", "/status")]


def _on_stage(folder: Path, given: Json) -> Any:
    return on_stage(folder, Vonage, given, secrets=(KEY, START_TOKEN))
