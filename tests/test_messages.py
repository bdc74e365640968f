"""What is stored of a message is what was said."""

from __future__ import annotations

import pytest

from rasa_handoff.model import Attachment, Button, Card, Message
from rasa_handoff.store import messages

YES, SITE = Button(title="Yes", payload="/yes"), Button(title="Site", payload="", url="https://x.test")


@pytest.mark.parametrize(
    "message",
    [
        Message(id="m", who="user", text="hi", at=1.5),
        Message(id="m", who="user", text="Large (/l)", to_bot="/l"),
        Message(id="m", who="user", to_bot="", attachments=(Attachment(url="https://f.test/a", kind="audio"),)),
        Message(id="m", who="user", attachments=(Attachment(url="https://f.test/a", name="bill.pdf", size=240_000),)),
        Message(id="m", who="agent", name="Bo", avatar_url="https://x.test/bo.png", buttons=(YES, SITE)),
        Message(id="m", who="agent", cards=(Card(title="Bike"), Card(title="", text="7", url="u", buttons=(SITE,)))),
    ],
)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    assert messages.loads("m", messages.dumps(message)) == message


def test_a_button_stored_without_an_address_is_still_read() -> None:
    body = '{"who": "agent", "text": "", "at": 0.0, "buttons": [["Yes", "/yes"]]}'
    assert messages.loads("m", body).buttons == (YES,)
