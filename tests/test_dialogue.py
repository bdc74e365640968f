"""What the bot is told, and how users are reached: a real Rasa agent in this process, real HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from rasa.core.agent import Agent
from rasa.core.channels.callback import CallbackInput
from rasa.core.channels.channel import CollectingOutputChannel, UserMessage
from rasa.core.channels.rest import RestInput
from rasa.shared.core.events import ActionExecuted, BotUttered, ConversationPaused, SlotSet, UserUttered
from rasa.utils.endpoints import EndpointConfig

from rasa_handoff.backends.base import Opened
from rasa_handoff.channels import Channels
from rasa_handoff.channels.base import Around
from rasa_handoff.channels.intake import Intake
from rasa_handoff.dialogue import Dialogue
from rasa_handoff.errors import TemporaryError, UserUnreachable
from rasa_handoff.events import AgentJoined, AgentMessage, Closed
from rasa_handoff.gate import LONGEST_TEXT, Gate
from rasa_handoff.media import Media
from rasa_handoff.model import Attachment, Delivery, Handoff, Message, Person, Status, new_id
from rasa_handoff.reach import Reach
from rasa_handoff.store import stream
from tests.servers import trained
from tests.stage import Stage, Time

BO = Person(name="Bo", id="bo")


@pytest.fixture(scope="module")
def rasa_agent() -> Agent:
    return Agent.load(trained())


class Talk:
    """One user, the bot, and everything of ours but the server."""

    def __init__(self, agent: Agent, stage: Stage, log_to_tracker: bool = False) -> None:
        self.agent = agent
        self.stage = stage
        runtime = stage.runtime
        self.dialogue = Dialogue(lambda: agent, runtime.store, runtime.switchboard, log_to_tracker)
        self.channels: list[Any] = [RestInput()]
        known = Channels(lambda: self.channels, Around(store=runtime.store, now=time.time))
        intake = Intake(runtime.store, known)
        media = Media(lambda: "secret", None, 60.0, time.time)
        self.reach = Reach(self.dialogue, intake)
        self.gate = Gate(runtime.switchboard, self.dialogue, intake, media, stage.settings, runtime.outbox.nudge)
        self.user = f"user-{new_id()}"

    async def say(self, text: str, **values: Any) -> list[dict[str, Any]]:
        message = UserMessage(text, CollectingOutputChannel(), self.user, input_channel="rest", **values)
        await self.agent.handle_message(message)
        answers: list[dict[str, Any]] = message.output_channel.messages
        return answers

    async def hand_over(self) -> Handoff:
        """Open a handoff and leave the tracker as action_handoff leaves it."""
        await self.say("hello")
        handoff = await self.stage.request(self.user)
        tracker = await self.tracker()
        tracker.update_with_events(
            [
                UserUttered(text="agent please", intent={"name": "handoff_request", "confidence": 1.0}),
                ActionExecuted(action_name="action_handoff"),
                SlotSet(key="handoff_status", value="queued"),
                SlotSet(key="handoff_id", value=handoff.id),
                ConversationPaused(),
            ],
            self.agent.domain,
        )
        await self.agent.tracker_store.save(tracker)
        return handoff

    async def tracker(self) -> Any:
        return await self.agent.processor.get_tracker(self.user)

    async def said_by_bot(self) -> list[str]:
        return [event.text for event in (await self.tracker()).events if isinstance(event, BotUttered)]


@pytest_asyncio.fixture
async def talk(rasa_agent: Agent, tmp_path: Path) -> AsyncIterator[Talk]:
    stage = Stage(f"sqlite:///{tmp_path}/handoff.db", tmp_path, Time())
    await stage.up()
    talk = Talk(rasa_agent, stage)
    with talk.gate.installed():
        yield talk
    await stage.down()


async def test_the_end_resumes_the_bot_and_lets_a_rule_speak(talk: Talk) -> None:
    handoff = await talk.hand_over()
    await talk.stage.happen(Closed(chat_id=handoff.id))
    output = CollectingOutputChannel()
    await talk.dialogue.settle(handoff.id, output)
    assert ["This is the bot again" in said["text"] for said in output.messages] == [True, False]
    assert "How happy were you" in output.messages[1]["text"]
    tracker = await talk.tracker()
    assert not tracker.is_paused()
    assert tracker.get_slot("handoff_status") == "closed"
    assert tracker.get_slot("handoff_end_reason") == "agent_closed"
    assert await talk.stage.handoff(talk.user) is None


async def test_a_bot_whose_user_was_handed_over_for_good_knows_and_says_nothing(talk: Talk) -> None:
    talk.stage.agents.answer = lambda handoff: Opened(chat_id="c1", status=Status.CLOSED)
    handoff = await talk.hand_over()
    output = CollectingOutputChannel()
    await talk.dialogue.settle(handoff.id, output)
    assert output.messages == []
    tracker = await talk.tracker()
    assert not tracker.is_paused()
    assert (tracker.get_slot("handoff_status"), tracker.get_slot("handoff_end_reason")) == ("closed", "handed_over")
    assert await talk.stage.handoff(talk.user) is None
    assert "9:00" in (await talk.say("what are your opening hours?"))[0]["text"]


async def test_the_bot_is_told_once_however_often_it_is_tried(talk: Talk) -> None:
    handoff = await talk.hand_over()
    await talk.stage.happen(Closed(chat_id=handoff.id))
    outputs = [CollectingOutputChannel() for _ in range(3)]
    await asyncio.gather(*(talk.dialogue.settle(handoff.id, output) for output in outputs))
    said = [message["text"] for output in outputs for message in output.messages]
    assert len(said) == len(set(said)) == 2


async def test_a_crash_between_the_tracker_and_our_note_does_not_tell_it_twice(talk: Talk) -> None:
    handoff = await talk.hand_over()
    closed = await talk.stage.happen(Closed(chat_id=handoff.id))
    await talk.dialogue.settle(handoff.id, CollectingOutputChannel())
    await talk.stage.runtime.store.write(
        lambda tx: tx.run("UPDATE handoff_handoffs SET settled = 0 WHERE id = :id", {"id": closed.id})
    )
    output = CollectingOutputChannel()
    await talk.dialogue.settle(handoff.id, output)
    assert output.messages == []
    assert await talk.stage.handoff(talk.user) is None


async def test_a_user_who_writes_right_after_the_end_is_answered_by_the_bot(talk: Talk) -> None:
    """The close is on disk, the bot has not been told yet, and the user's message comes first."""
    handoff = await talk.hand_over()
    await talk.stage.happen(Closed(chat_id=handoff.id))
    answers = [answer["text"] for answer in await talk.say("what are your opening hours?")]
    assert "This is the bot again" in answers[0]
    assert "9:00" in answers[-1]


async def test_slots_of_a_handoff_that_has_ended_meanwhile_are_left_alone(talk: Talk) -> None:
    handoff = await talk.hand_over()
    await talk.stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
    await talk.stage.happen(Closed(chat_id=handoff.id))
    await talk.dialogue.settle(handoff.id, CollectingOutputChannel())
    await talk.dialogue.set_slots(handoff.id)  # a late delivery of the joining
    tracker = await talk.tracker()
    assert not tracker.is_paused()
    assert tracker.get_slot("handoff_status") == "closed"


async def test_joining_sets_the_slots_and_pauses_a_bot_that_was_not(talk: Talk) -> None:
    await talk.say("hello")
    handoff = await talk.stage.request(talk.user)
    await talk.stage.happen(AgentJoined(chat_id=handoff.id, agent=replace(BO, department="Repairs")))
    await talk.dialogue.set_slots(handoff.id)
    tracker = await talk.tracker()
    assert tracker.is_paused()
    assert (tracker.get_slot("handoff_status"), tracker.get_slot("handoff_agent")) == ("active", "Bo")
    assert (tracker.get_slot("handoff_ticket"), tracker.get_slot("handoff_department")) == (handoff.id, "Repairs")


@pytest.mark.parametrize("log_to_tracker", [False, True])
async def test_what_people_said_is_in_the_tracker_only_when_asked_for(talk: Talk, log_to_tracker: bool) -> None:
    talk.dialogue._log_to_tracker = log_to_tracker
    handoff = await talk.hand_over()
    await talk.say("my bike is broken")
    await talk.stage.happen(AgentMessage(chat_id=handoff.id, agent=BO, text="bring it in"))
    await talk.stage.happen(Closed(chat_id=handoff.id))
    output = CollectingOutputChannel()
    await talk.dialogue.settle(handoff.id, output)
    texts = [getattr(event, "text", None) for event in (await talk.tracker()).events]
    assert [text for text in texts if text in ("my bike is broken", "bring it in")] == (
        ["my bike is broken", "bring it in"] if log_to_tracker else []
    )
    assert "This is the bot again" in output.messages[0]["text"]


async def test_a_message_that_was_meant_for_the_bot_after_all_is_answered_by_it(talk: Talk) -> None:
    handoff = Handoff(id="h", sender_id=talk.user, channel="rest", backend="desk", status=Status.CLOSED, opened_at=0.0)
    output = CollectingOutputChannel()
    await talk.dialogue.say_again(handoff, Message(id="m", who="user", text="what are your opening hours?"), output)
    assert "9:00" in output.messages[0]["text"]


async def test_a_text_too_long_for_anybody_is_refused_and_said_so(talk: Talk) -> None:
    await talk.hand_over()
    answers = await talk.say("x" * (LONGEST_TEXT + 1))
    assert "could not be delivered" in answers[0]["text"]
    assert talk.stage.agents.got == []


@pytest.mark.parametrize("text", ["\ud800 half", "nul \x00 here", "مرحبا", "👩‍👩‍👧‍👦", "x" * 10_000])
async def test_odd_texts_arrive_whole_or_mended(talk: Talk, text: str) -> None:
    await talk.hand_over()
    await talk.say(text)
    await talk.stage.until(lambda: talk.stage.agents.got)
    got = talk.stage.agents.got[0].text
    if "\ud800" in text or "\x00" in text:
        assert got.encode().decode() == got
        assert "half" in got or "here" in got
    else:
        assert got == text


async def test_patterns_are_redacted_from_what_the_user_says_to_the_agent(rasa_agent: Agent, tmp_path: Path) -> None:
    redact = {"patterns": [r"\d{4} \d{4} \d{4} \d{4}"]}
    stage = Stage(f"sqlite:///{tmp_path}/handoff.db", tmp_path, Time(), redact=redact)
    await stage.up()
    talk = Talk(rasa_agent, stage)
    with talk.gate.installed():
        await talk.hand_over()
        await talk.say("my card is 4111 1111 1111 1111")
        await stage.until(lambda: stage.agents.got)
    assert stage.agents.got[0].text == "my card is [redacted]"
    await stage.down()


async def test_a_call_from_outside_does_not_make_the_bot_speak(talk: Talk) -> None:
    await talk.hand_over()
    before = await talk.said_by_bot()
    tracker = await talk.tracker()
    await talk.agent.trigger_intent("ask_hours", [], CollectingOutputChannel(), tracker)
    assert await talk.said_by_bot() == before


# -- reaching users -------------------------------------------------------------------------------


def delivery(message: Message) -> Delivery:
    return Delivery(id=new_id(), handoff_id="h", target="user", seq=1, kind="message", message=message)


def of(channel: str) -> Handoff:
    return Handoff(id="h", sender_id="una", channel=channel, backend="desk", status=Status.ACTIVE, opened_at=0.0)


async def test_what_waits_for_a_rest_user_comes_once_with_their_next_answer(talk: Talk) -> None:
    message = Message(
        id="m", who="agent", text="come by", attachments=(Attachment(url="https://x/y.png", kind="image"),)
    )
    handoff = SimpleNamespace(**{name: getattr(of("rest"), name) for name in ("channel", "id")}, sender_id=talk.user)
    await talk.reach(handoff, delivery(message))  # type: ignore[arg-type]
    answers = await talk.say("hello")
    assert answers[0]["text"] == "come by"
    assert answers[1]["image"] == "https://x/y.png"
    assert "come by" not in [answer.get("text") for answer in await talk.say("hello")]


async def test_a_delivery_tried_twice_is_once_in_the_stream(talk: Talk) -> None:
    sent = delivery(Message(id="m", who="agent", text="hi"))
    await talk.reach(of("handoff"), sent)
    await talk.reach(of("handoff"), sent)
    entries = await talk.stage.runtime.store.read(lambda tx: stream.after(tx, "una", 0))
    assert [entry.event for entry in entries] == ["message"]


@pytest.mark.parametrize(
    ("status", "error"),
    [(200, None), (500, TemporaryError), (503, TemporaryError), (429, TemporaryError), (404, UserUnreachable)],
)
async def test_a_callback_that_fails_is_noticed(talk: Talk, status: int, error: type[Exception] | None) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    talk.channels.append(CallbackInput(EndpointConfig(f"http://127.0.0.1:{port}/")))
    sending = talk.reach(of("callback"), delivery(Message(id="m", who="agent", text="hi")))
    if error is None:
        await sending
    else:
        with pytest.raises(error):
            await sending
    server.close()


async def test_a_callback_nobody_answers_is_tried_again(talk: Talk) -> None:
    talk.channels.append(CallbackInput(EndpointConfig("http://127.0.0.1:9/")))
    with pytest.raises(TemporaryError):
        await talk.reach(of("callback"), delivery(Message(id="m", who="agent", text="hi")))


async def test_a_callback_that_never_answers_is_given_up_and_tried_again(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rasa_handoff.channels.callback.ANSWER_TIMEOUT", 0.2)
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda reader, writer: held.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    talk.channels.append(CallbackInput(EndpointConfig(f"http://127.0.0.1:{port}/")))
    sending = talk.reach(of("callback"), delivery(Message(id="m", who="agent", text="hi")))
    with pytest.raises(TemporaryError):
        await asyncio.wait_for(sending, 20)
    for writer in held:
        writer.close()
    server.close()


async def test_a_channel_that_hangs_is_given_up_and_tried_again(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a hundred of its messages would stop the deliveries of all others."""
    monkeypatch.setattr("rasa_handoff.channels.base.TIMEOUT", 0.2)

    class Hanging(CollectingOutputChannel):
        async def send_text_message(self, recipient_id: str, text: str, **kwargs: Any) -> None:
            await asyncio.sleep(30)

    class HangingInput(RestInput):
        @classmethod
        def name(cls) -> str:
            return "hanging"

        def get_output_channel(self) -> CollectingOutputChannel:
            return Hanging()

    talk.channels.append(HangingInput())
    with pytest.raises(TemporaryError):
        await asyncio.wait_for(talk.reach(of("hanging"), delivery(Message(id="m", who="agent", text="hi"))), 20)


async def test_a_bot_that_hangs_when_it_is_told_does_not_keep_the_conversation_locked(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    handoff = await talk.hand_over()
    await talk.stage.happen(Closed(chat_id=handoff.id))
    with monkeypatch.context() as hanging:
        hanging.setattr("rasa_handoff.reach.BOT_TIMEOUT", 0.2)
        hanging.setattr(talk.agent, "trigger_intent", lambda *args: asyncio.sleep(30))
        end = Delivery(id=new_id(), handoff_id=handoff.id, target="user", seq=9, kind="settle")
        with pytest.raises(TemporaryError):
            await asyncio.wait_for(talk.reach(handoff, end), 20)
    answers = [answer["text"] for answer in await talk.say("what are your opening hours?")]
    assert "This is the bot again" in answers[0]
