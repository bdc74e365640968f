"""Which button of an agent's rich message a user has pressed, and how LiveChat is told.

https://platform.text.com/docs/extending-chat-widget/rich-messages (read 2026-11)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rasa_handoff.backends.livechat.content import SHOWN, objects
from rasa_handoff.model import Button, Json, Message

_MOST_EVENTS = 100_000
_MOST_ELEMENTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A button of a rich message, pressed."""

    thread_id: str
    event_id: str  #: of the rich message
    postback_id: str
    text: str  #: what the button says, and so the user
    kind: str | None = None
    value: str | None = None

    def as_postback(self, chat_id: str) -> Json:
        """The body of `send_rich_message_postback`."""
        where = {"chat_id": chat_id, "thread_id": self.thread_id, "event_id": self.event_id}
        return {**where, "postback": {"id": self.postback_id, "toggled": True}}

    def in_message(self) -> Json:
        """What the message that a press is carries, to say whose answer it is."""
        known = {"id": self.postback_id, "thread_id": self.thread_id, "event_id": self.event_id}
        # Each needs the other.
        return {**known, "type": self.kind, "value": self.value} if self.kind and self.value else known


def may_press(said: Sequence[Message], text: str) -> bool:
    """Whether *text* is what a button stands for, of what was *said* in a handoff: who knows more costs a request."""
    newest_first = [message for message in reversed(said) if message.who == "agent"]
    return any(
        _presses(text, button.title, button.payload, is_newest=number == 0)
        for number, message in enumerate(newest_first)
        for button in _buttons_of(message)
        if button.url is None
    )


def press_in(thread: Json, customer: str | None, text: str) -> Press | None:
    """The button in a thread, as `list_threads` gives it, that *text* presses; None: it is plain text."""
    events = objects(thread, "events", _MOST_EVENTS)
    theirs = [each for each in events if each.get("type") in SHOWN and each.get("author_id") != customer]
    for number, event in enumerate(reversed(theirs)):
        for button in _presses_in(event):
            if _presses(text, button["text"], button.get("value") or button["text"], is_newest=number == 0):
                return _press(thread, event, button)
    return None


def _buttons_of(message: Message) -> Iterator[Button]:
    yield from message.buttons
    for card in message.cards:
        yield from card.buttons


def _presses_in(event: Json) -> Iterator[Json]:
    """The buttons of a rich message that say something: others open a page or call a number."""
    if event.get("type") != "rich_message":
        return
    for element in objects(event, "elements", _MOST_ELEMENTS):
        for each in objects(element, "buttons", _MOST_ELEMENTS):
            named = _is_text(each.get("text")) and _is_text(each.get("postback_id"))
            if named and each.get("type", "message") == "message":
                yield each


def _presses(text: str, title: str, payload: str, *, is_newest: bool) -> bool:
    """Whether *text* presses a button; a title alone may have been typed, so it counts for the newest message only."""
    title, payload = title.strip(), payload.strip()
    if payload != title and text in (payload, f"{title} ({payload})"):
        return True
    return is_newest and text.casefold() == title.casefold()


def _press(thread: Json, event: Json, button: Json) -> Press | None:
    where = thread.get("id"), event.get("id")
    if not all(map(_is_text, where)):
        return None
    kind, value = button.get("type"), button.get("value")
    return Press(
        thread_id=str(where[0]),
        event_id=str(where[1]),
        postback_id=button["postback_id"],
        text=button["text"].strip(),
        kind=kind if _is_text(kind) else None,
        value=value if _is_text(value) else None,
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
