"""What all channels have in common: notices as messages, messages as responses, presses as words."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Any

import pytest

from rasa_handoff.channels import Channels, known
from rasa_handoff.channels.base import (
    Around,
    Channel,
    Notice,
    To,
    Traits,
    as_message,
    as_responses,
    place,
    pressed,
)
from rasa_handoff.errors import TemporaryError
from rasa_handoff.fetch import host_of
from rasa_handoff.model import Attachment, Button, Card, Json, Message
from rasa_handoff.store import Store
from tests.stage import Time


@pytest.mark.parametrize(
    ("title", "payload", "words"),
    [
        ("Large", '/inform{"size":"L"}', 'Large (/inform{"size":"L"})'),
        ("Yes", "/yes", "Yes"),  # which says nothing more
        ("Yes", "yes", "Yes"),
        ("", "/greet", "/greet"),
        ("Yes", "", "Yes"),
    ],
)
def test_a_pressed_button_is_what_was_on_it_and_what_it_means(title: str, payload: str, words: str) -> None:
    assert pressed(Button(title=title, payload=payload)) == words


class Slow(Channel):
    """A channel that takes so many seconds of *time* for each part of a message."""

    traits = Traits(name="slow", push="yes")

    def __init__(self, time: Time, seconds: float) -> None:
        super().__init__(None, Around(store=Store("sqlite:///nowhere.db"), now=time))
        self.there: list[Json] = []
        self._time = time
        self._seconds = seconds

    async def put(self, to: To, part: Json) -> None:
        self._time.advance(self._seconds)
        for _ in range(10):  # whoever waits for that time finds out
            await asyncio.sleep(0)
        self.there.append(part)


def run(work: Coroutine[Any, Any, None], time: Time) -> None:
    """Run *work* in an event loop whose clock *time* is."""
    loop: Any = asyncio.SelectorEventLoop()
    loop.time = time
    loop.run_until_complete(work)
    loop.close()


@pytest.mark.parametrize(("seconds", "parts"), [(20.0, 3), (31.0, 0)])
def test_the_time_is_one_parts(seconds: float, parts: int) -> None:
    """Who writes much, or sends many files, does not have it cut off in the middle."""
    channel = Slow(time := Time(), seconds)
    files = tuple(Attachment(url=f"https://f.test/{number}.png", kind="image") for number in range(3))
    message = Message(id="m1", who="agent", attachments=files, at=1.0)
    with nullcontext() if parts else pytest.raises(TemporaryError, match="not taken in time"):
        run(channel.say(To(sender_id="ann", channel="slow"), message), time)
    assert channel.there == [{"image": each.url} for each in files[:parts]]


def notice(**words: Any) -> Message | None:
    return as_message(Notice(name="utter_handoff_joined", words=words, at=1.0), "id")


def test_a_notice_is_a_message_where_a_message_can_say_it() -> None:
    found = notice(
        text="hi",
        image="https://f.test/a.png",
        attachment="https://f.test/b.pdf",
        quick_replies=[{"title": "Yes", "payload": "/yes"}],
        elements=[
            {
                "title": "Bike",
                "subtitle": "7 gears",
                "image_url": "https://f.test/c.png",
                "default_action": {"type": "web_url", "url": "https://x.test"},
                "buttons": [{"type": "web_url", "title": "Site", "url": "https://x.test"}],
            }
        ],
        metadata={"any": "thing"},
        custom={},
    )
    site = Button(title="Site", payload="", url="https://x.test")
    assert found == Message(
        id="id",
        who="system",
        text="hi",
        attachments=(Attachment(url="https://f.test/a.png", kind="image"), Attachment(url="https://f.test/b.pdf")),
        buttons=(Button(title="Yes", payload="/yes"),),
        cards=(
            Card(title="Bike", text="7 gears", image_url="https://f.test/c.png", url="https://x.test", buttons=(site,)),
        ),
        at=1.0,
    )


@pytest.mark.parametrize(
    "words",
    [
        {"custom": {"blocks": []}},
        {"text": "hi", "button_type": "vertical"},
        {"attachment": {"type": "template"}},
        {"text": "hi", "buttons": ["no button"]},
    ],
)
def test_what_only_the_channels_own_output_understands_stays_a_response(words: Json) -> None:
    assert notice(**words) is None


def test_buttons_without_a_text_have_something_to_stand_below() -> None:
    (found,) = as_responses(Message(id="m", who="agent", buttons=(Button(title="Yes", payload="/yes"),)))
    assert found == {"text": "…", "buttons": [{"title": "Yes", "payload": "/yes"}]}


def test_a_place_can_be_opened_on_a_map() -> None:
    found = place(52.5, -13.25)
    assert (found.kind, found.name) == ("location", "52.500000, -13.250000")
    assert found.url == "https://www.openstreetmap.org/?mlat=52.500000&mlon=-13.250000#map=17/52.500000/-13.250000"


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://a.test/b", "a.test:443"), ("http://a.test", "a.test:80"), ("http://a.test:8065/api", "a.test:8065")],
)
def test_a_trusted_host_has_its_port(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(("theirs", "ours"), known())
def test_every_channel_says_what_people_want_to_know(theirs: str, ours: Any) -> None:
    traits = ours.traits
    assert traits.push.partition(":")[0] in ("yes", "no")
    assert traits.pushes or ": " in traits.push, "a no says what happens instead"
    assert all(each.endswith(".") for each in (*traits.needs, *traits.limits)), theirs
    assert all(each.startswith("https://") for each in traits.sources)


def test_names_that_users_make_up_fill_no_memory() -> None:
    """Rasa's rest channel takes any word as the name of the channel that a message came by."""
    channels = Channels(lambda: [], Around(store=Any, now=lambda: 0.0))  # type: ignore[arg-type]
    assert channels.named("a") is channels.named("b")
    assert "a" not in channels._made
