"""Channels of the bot's owner, and those of Rasa's that have no service behind them: rest and callback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rasa.core.agent import Agent
from rasa.core.channels.callback import CallbackInput
from rasa.core.channels.channel import InputChannel, UserMessage
from rasa.core.channels.rest import RestInput
from rasa.core.channels.telegram import TelegramInput
from rasa.utils.endpoints import EndpointConfig

from rasa_handoff import channels
from rasa_handoff.channels.own import Own
from rasa_handoff.channels.rest import Mailbox, Rest
from rasa_handoff.channels.telegram import Telegram
from rasa_handoff.errors import UserUnreachable
from rasa_handoff.events import AgentJoined
from rasa_handoff.model import NO_CHANNEL, Attachment, Button, Card, Request
from tests.channels.line import BO, Line
from tests.own_channel import FileOutput, OwnInput
from tests.servers import Sink

PICTURE = {"url": "https://f.test/a.png", "mime": "image/png"}
CARD = Card(title="City bike", text="7 gears", image_url="https://f.test/b.png", url="https://x.test")
SITE = Button(title="Site", payload="", url="https://x.test")


@asynccontextmanager
async def line_of(channel: InputChannel, folder: Path, agent: Agent, *beside: InputChannel) -> AsyncIterator[Line]:
    line = Line(folder, channel, agent, beside)
    await line.up()
    try:
        yield line
    finally:
        await line.down()


# -- a channel of one's own -----------------------------------------------------------------------


async def say(line: Line, text: str, **metadata: Any) -> None:
    assert await line.hook({"user": "una", "text": text, "metadata": metadata}, path="say") == (200, "taken")


async def test_what_its_metadata_says_reaches_the_agent_once(tmp_path: Path, rasa_agent: Agent) -> None:
    async with line_of(OwnInput(tmp_path / "got"), tmp_path, rasa_agent) as line:
        await line.hand_over("una")
        for _ in range(2):
            await say(line, "", attachments=[PICTURE], message_id="m-1")
        await say(line, "that is it")
        first, second = await line.heard(2)
        assert first.attachments == (Attachment(url="https://f.test/a.png", kind="image", mime="image/png"),)
        assert second.text == "that is it"


async def test_it_gets_everything_in_a_form_that_it_understands(tmp_path: Path, rasa_agent: Agent) -> None:
    async with line_of(OwnInput(tmp_path / "got"), tmp_path, rasa_agent) as line:
        handoff = await line.hand_over("una")
        files = (
            Attachment(url="https://f.test/a.png", kind="image"),
            Attachment(url="https://f.test/c.pdf", name="c.pdf"),
        )
        await line.reply(handoff, "look", attachments=files, cards=(CARD,))
        got = (tmp_path / "got").read_text().splitlines()
        assert got[-7:] == [
            "una: look",
            "una: Image: https://f.test/a.png",
            "una: c.pdf: https://f.test/c.pdf",
            "una: Image: https://f.test/b.png",
            "una: City bike",
            "7 gears",
            "https://x.test",
        ]


class Gone(FileOutput):
    async def send_text_message(self, recipient_id: str, text: str, **kwargs: Any) -> None:
        raise UserUnreachable("own: the user is gone")


class GoneInput(OwnInput):
    def get_output_channel(self) -> FileOutput:
        return Gone(self.path)


async def test_what_it_raises_decides_what_becomes_of_a_message(tmp_path: Path, rasa_agent: Agent) -> None:
    async with line_of(GoneInput(tmp_path / "got"), tmp_path, rasa_agent) as line:
        handoff = await line.hand_over("una")
        await line.reply(handoff, "hi")
        assert "own: the user is gone" in await line.dead()


class Unreachable(OwnInput):
    """Written by somebody who never needed to call a user."""

    get_output_channel = InputChannel.get_output_channel

    def blueprint(self, on_new_message: Any) -> Any:
        output = FileOutput(self.path)
        self.get_output_channel = lambda: output  # type: ignore[method-assign]  # for the answers to requests alone
        return super().blueprint(on_new_message)


async def test_a_channel_that_cannot_be_called_hands_over_with_the_next_message(
    tmp_path: Path, rasa_agent: Agent
) -> None:
    async with line_of(Unreachable(tmp_path / "got"), tmp_path, rasa_agent) as line:
        handoff = await line.hand_over("una")
        await line.reply(handoff, "come by")
        assert not (tmp_path / "got").exists()
        await say(line, "hello?")
        assert "una: come by" in (tmp_path / "got").read_text().splitlines()


class MadeFromRest(RestInput):
    """As many bots have it."""


class PushingRest(RestInput):
    def get_output_channel(self) -> FileOutput:
        return FileOutput(Path("nowhere"))


class MadeFromTelegram(TelegramInput):
    """With a get_output_channel that mends Rasa's."""

    def get_output_channel(self) -> Any:
        return None


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (MadeFromRest, Rest),
        (PushingRest, Own),
        (MadeFromTelegram, Telegram),
        (OwnInput, Own),
        (Unreachable, Mailbox),
    ],
)
def test_a_class_is_known_by_what_it_is_made_from(theirs: type[InputChannel], ours: type) -> None:
    assert channels.kind_of(theirs) is ours


# -- rest -----------------------------------------------------------------------------------------


async def test_a_rest_user_gets_all_that_waits_with_the_next_answer_and_once(tmp_path: Path, rasa_agent: Agent) -> None:
    async with line_of(RestInput(), tmp_path, rasa_agent) as line:
        handoff = await line.hand_over("una")
        await line.reply(
            handoff, "look", buttons=(SITE,), attachments=(Attachment(url="https://f.test/c.pdf", name="c"),)
        )
        await line.reply(handoff, cards=(CARD,))
        _, first = await line.hook({"sender": "una", "message": "hm", "metadata": {"attachments": [PICTURE]}})
        _, second = await line.hook({"sender": "una", "message": "hm"})
        button = {"title": "Site", "payload": "https://x.test", "type": "web_url", "url": "https://x.test"}
        answers = [
            {**each, "recipient_id": "una"}
            for each in ({"text": "look", "buttons": [button]}, {"text": "c: https://f.test/c.pdf"})
        ]
        for each in (*answers, {"recipient_id": "una", "image": "https://f.test/b.png"}):
            assert each in json.loads(first)
        assert "look" not in second
        assert [len(each.attachments) for each in await line.heard(2)] == [1, 0]


class SignedIn(RestInput):
    """Whose users are who they say they are; those of Rasa's rest channel say what they like."""

    @classmethod
    def name(cls) -> str:
        return "signed_in"


@pytest.mark.parametrize("named", ["rest", "signed_in", "our-app", None])
async def test_what_waits_on_one_channel_is_not_for_who_takes_the_users_name_on_another(
    tmp_path: Path, rasa_agent: Agent, named: str | None
) -> None:
    """Whatever they call the channel that they write on."""
    rest = RestInput()
    async with line_of(SignedIn(), tmp_path, rasa_agent, rest) as line:
        handoff = await line.hand_over("una")
        await line.reply(handoff, "your new password is: bicycle")
        _, body = await line.hook({"sender": "una", "message": "hm", "input_channel": named}, to=rest)
        assert "bicycle" not in body
        _, body = await line.hook({"sender": "una", "message": "hm"})
        assert "bicycle" in body


async def test_what_waits_is_not_for_who_opens_the_next_handoff_under_the_users_name(
    tmp_path: Path, rasa_agent: Agent
) -> None:
    rest = RestInput()
    async with line_of(SignedIn(), tmp_path, rasa_agent, rest) as line:
        handoff = await line.hand_over("una")
        await line.reply(handoff, "your new password is: bicycle")
        await line.close(handoff)
        asked = await line.runtime.opening.request(Request(sender_id="una", channel="rest"))
        await line.happen(AgentJoined(chat_id=asked.id, agent=BO))
        await line.reply(asked, "it is Bo")
        _, body = await line.hook({"sender": "una", "message": "hm"}, to=rest)
        assert "it is Bo" in body
        assert "bicycle" not in body
        _, body = await line.hook({"sender": "una", "message": "hm"})
        assert "bicycle" in body
        assert "it is Bo" not in body


class Nameless(Unreachable):
    """Whose messages do not say by which channel they came, as Rasa does not ask for it."""

    def blueprint(self, on_new_message: Any) -> Any:
        async def take(message: UserMessage) -> None:
            message.input_channel = None
            await on_new_message(message)

        return super().blueprint(take)


async def test_a_channel_that_does_not_name_itself_gets_what_waits(tmp_path: Path, rasa_agent: Agent) -> None:
    async with line_of(Nameless(tmp_path / "got"), tmp_path, rasa_agent) as line:
        asked = await line.runtime.opening.request(Request(sender_id="una", channel=NO_CHANNEL))
        await line.reply(await line.happen(AgentJoined(chat_id=asked.id, agent=BO)), "come by")
        await say(line, "hello?")
        assert "una: come by" in (tmp_path / "got").read_text().splitlines()


async def test_a_client_that_gives_its_channel_a_name_of_its_own_gets_what_waits(
    tmp_path: Path, rasa_agent: Agent
) -> None:
    async with line_of(RestInput(), tmp_path, rasa_agent) as line:
        request = Request(sender_id="una", channel="our-app")
        handoff = await line.happen(AgentJoined(chat_id=(await line.runtime.opening.request(request)).id, agent=BO))
        await line.reply(handoff, "hello")
        _, body = await line.hook({"sender": "una", "message": "hm", "input_channel": "our-app"})
        assert "hello" in body


# -- the bot's own turns --------------------------------------------------------------------------


@pytest.mark.parametrize(("channel", "has_mailbox"), [(RestInput, True), (OwnInput, False)])
async def test_a_turn_of_the_bot_costs_one_look_at_the_disk(
    tmp_path: Path, rasa_agent: Agent, channel: Any, has_mailbox: bool
) -> None:
    made = channel() if has_mailbox else channel(tmp_path / "got")
    async with line_of(made, tmp_path, rasa_agent) as line:
        looked: list[str] = []
        line.runtime.store._reader._raw.set_trace_callback(looked.append)  # type: ignore[attr-defined]
        body = {"sender": "una", "message": "hello"} if has_mailbox else {"user": "una", "text": "hello"}
        assert (await line.hook(body, path="webhook" if has_mailbox else "say"))[0] == 200
        (look,) = [sql for sql in looked if "'una'" in sql]
        assert ("handoff_stream" in look) is has_mailbox
    assert await line.bot_heard("una") == ["hello"]


# -- callback -------------------------------------------------------------------------------------


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.stop()


async def test_a_callback_users_files_arrive_though_rasa_takes_no_metadata(
    tmp_path: Path, rasa_agent: Agent, sink: Sink
) -> None:
    async with line_of(CallbackInput(EndpointConfig(sink.url)), tmp_path, rasa_agent) as line:
        handoff = await line.hand_over("una")
        said = {"sender": "una", "message": "look", "metadata": {"attachments": [PICTURE], "message_id": "m-1"}}
        for _ in range(2):
            assert await line.hook(said) == (200, "success")
        await line.reply(handoff, "nice", cards=(CARD,))
        await line.all_sent()
        assert [len(each.attachments) for each in line.agents.got] == [1]
        assert sink.got[-3:] == [
            {"recipient_id": "una", "text": "nice"},
            {"recipient_id": "una", "image": "https://f.test/b.png"},
            {"recipient_id": "una", "text": "City bike\n7 gears\nhttps://x.test"},
        ]
