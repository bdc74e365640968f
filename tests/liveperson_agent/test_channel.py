"""The channel in Rasa: its settings, what its answers look like, and what a line means to the bot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import rasa_handoff
from rasa_handoff import credentials
from rasa_handoff.errors import ConfigError, UserUnreachable
from rasa_handoff.liveperson_agent import lines
from rasa_handoff.liveperson_agent.settings import CHANNEL
from tests.liveperson_agent.stage import Stage, section
from tests.liveperson_agent.test_chats import answers
from tests.liveperson_agent.vendor import PASSWORD, LivePerson

pytestmark = pytest.mark.filterwarnings("ignore")


def test_it_is_a_public_name() -> None:
    assert rasa_handoff.LivePersonAgentInput.name() == "liveperson_agent"


def test_a_wrong_setting_stops_rasa_with_its_name_and_remedy(vendor: LivePerson) -> None:
    from rasa.shared.exceptions import RasaException

    with pytest.raises(RasaException, match="rasa_handoff.LivePersonAgentInput: account") as found:
        rasa_handoff.LivePersonAgentInput.from_credentials(section(vendor, account="le/1", availability="here"))
    assert "availability" in str(found.value)
    assert PASSWORD not in str(found.value)


def test_check_settings_reads_this_entry_too(vendor: LivePerson, tmp_path: Path) -> None:
    path = tmp_path / "credentials.yml"
    path.write_text(json.dumps({"rasa_handoff.HandoffInput": {}, CHANNEL: section(vendor, poll="1h")}))
    with pytest.raises(ConfigError, match="rasa_handoff.LivePersonAgentInput: poll: must be at most 10s"):
        credentials.check(path)


def test_an_empty_entry_names_what_is_missing() -> None:
    from rasa.shared.exceptions import RasaException

    with pytest.raises(RasaException, match="username"):
        rasa_handoff.LivePersonAgentInput.from_credentials(None)


async def say(agent: Stage, vendor: LivePerson, response: dict[str, Any]) -> tuple[Any, Any]:
    """Have Rasa's output channel bring *response* to a visitor; the chat, and the channel."""
    channel = rasa_handoff.LivePersonAgentInput(agent.settings)
    chat = vendor.visitor()
    await agent.until(lambda: agent.chats.of(f"liveperson-{chat.id}"))
    await channel.get_output_channel().send_response(f"liveperson-{chat.id}", response)
    await agent.until(lambda: chat.state == "ended" or answers(chat) or "custom" in response)
    return chat, channel


@pytest.mark.parametrize(
    ("response", "line"),
    [
        ({"text": "Is 3 < 4?\nYes & no"}, "Is 3 &lt; 4?<br>Yes &amp; no"),
        (
            {"text": "See https://example.com/a?b=1&c=2."},
            'See <a href="https://example.com/a?b=1&amp;c=2" target="_blank">https://example.com/a?b=1&amp;c=2</a>.',
        ),
        (
            {"image": "https://example.com/bike.png"},
            '<a href="https://example.com/bike.png" target="_blank">https://example.com/bike.png</a>',
        ),
        (
            {"attachment": {"type": "video", "payload": {"src": "https://example.com/v.mp4"}}},
            '<a href="https://example.com/v.mp4" target="_blank">https://example.com/v.mp4</a>',
        ),
        (
            {
                "text": "Which one?",
                "buttons": [{"title": "A bill", "payload": "/bill"}, {"title": "A bike", "payload": "/bike"}],
            },
            "Which one?<br>1. A bill<br>2. A bike",
        ),
    ],
)
async def test_each_answer_is_a_line(agent: Stage, vendor: LivePerson, response: dict[str, Any], line: str) -> None:
    chat, _ = await say(agent, vendor, response)
    assert answers(chat) == [line]


@pytest.mark.parametrize(
    ("typed", "means"),
    [("A bike", "/bike"), (" a BIKE ", "/bike"), ("2", "/bike"), ("2.", "/bike"), ("neither", "neither")],
)
async def test_who_types_a_buttons_title_or_number_has_pressed_it_once(
    agent: Stage, vendor: LivePerson, typed: str, means: str
) -> None:
    buttons = [{"title": "A bill", "payload": "/bill"}, {"title": "A bike", "payload": "/bike"}]
    chat, channel = await say(agent, vendor, {"text": "Which one?", "buttons": buttons})
    assert channel.choices.taken(f"liveperson-{chat.id}", typed) == means
    assert channel.choices.taken(f"liveperson-{chat.id}", "A bike") == "A bike"


async def test_a_custom_response_can_end_the_chat(agent: Stage, vendor: LivePerson) -> None:
    chat, _ = await say(agent, vendor, {"custom": {"liveperson": {"end_chat": True}}})
    await agent.until(lambda: chat.state == "ended")


async def test_a_custom_response_can_be_structured_content(agent: Stage, vendor: LivePerson) -> None:
    content = {"type": "vertical", "elements": [{"type": "text", "text": "Bikes"}]}
    chat, _ = await say(agent, vendor, {"custom": {"liveperson": {"rich_content": content, "text": "Bikes"}}})
    await agent.until(lambda: answers(chat))
    event = next(event for event in chat.events if event.get("source") == "agent")
    assert (event["textType"], event["json"], event["text"]) == ("rich-content", content, "Bikes")


@pytest.mark.parametrize("body", [{"slack": {}}, {"liveperson": "x"}, {"liveperson": {}}, "text"])
def test_a_custom_response_for_others_is_left_out(body: Any) -> None:
    assert lines.custom(body) is None


async def test_who_is_not_there_cannot_be_reached(agent: Stage) -> None:
    output = rasa_handoff.LivePersonAgentInput(agent.settings).get_output_channel()
    with pytest.raises(UserUnreachable):
        await output.send_text_message("liveperson-nobody", "hello")


async def test_in_a_chat_that_was_left_the_bot_is_quiet(agent: Stage, vendor: LivePerson) -> None:
    output = rasa_handoff.LivePersonAgentInput(agent.settings).get_output_channel()
    chat = vendor.visitor()
    sender_id = f"liveperson-{chat.id}"
    ours = await agent.until(lambda: agent.chats.of(sender_id))
    await ours.transfer({"skill": {"id": 2}}, "")
    await output.send_text_message(sender_id, "hello")
    await agent.until(lambda: agent.chats.of(sender_id) is None)
    await output.send_text_message(sender_id, "hello")
    assert answers(chat) == []
