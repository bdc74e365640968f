"""What agents send, as Slack's messages: texts, and Block Kit's blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from rasa_handoff.channels.service import texts
from rasa_handoff.channels.verbatim import is_typed, runs
from rasa_handoff.model import Attachment, Button, Card, Json, Message

LONGEST_TEXT = 3000  #: characters of a section, https://docs.slack.dev/reference/block-kit/blocks/section-block
SPEAKER = ("username", "icon_url")
ESCAPED = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))
_LONGEST_TITLE = 75  #: of a button, https://docs.slack.dev/reference/block-kit/block-elements/button-element
_BUTTONS = 25  #: https://docs.slack.dev/reference/block-kit/blocks/actions-block


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One message, but for whom it is to reach."""

    body: Json  #: as ``chat.postMessage`` takes it
    number: int = 0  #: among those of what the agent sent
    file: Attachment | None = None  #: what it shows or leads to, and can be uploaded instead

    @property
    def speaker(self) -> Json:
        return {name: self.body[name] for name in SPEAKER if name in self.body}

    def without(self, *names: str) -> Post:
        """The same without some of its body."""
        return replace(self, body={name: value for name, value in self.body.items() if name not in names})


def posts(message: Message) -> list[Post]:
    """*message*, one after the other."""
    named = {"username": message.name, "icon_url": message.avatar_url} if message.who == "agent" else {}
    speaker = {name: value for name, value in named.items() if value}
    show = _verbatim if is_typed(message) else _with_markup
    cards = [_card(each, show) for each in message.cards]
    found = [*_said(message, show), *map(_attachment, message.attachments), *cards]
    return [replace(each, number=number, body={**each.body, **speaker}) for number, each in enumerate(found)]


def _said(message: Message, show: Callable[[str], list[Json]]) -> Iterator[Post]:
    """Beside its blocks a post has a text, with markup in it: for those who are only notified of it."""
    said = _texts(message.text)
    for text in said[:-1] if message.buttons else said:
        yield Post(body={"text": _escaped(text), **({"blocks": show(text)} if show is _verbatim else {})})
    if message.buttons:
        text = said[-1] if said else ""
        blocks = [*show(text), *_actions(message.buttons)]
        yield Post(body={"text": _escaped(text) or _titles(message.buttons), "blocks": blocks})


def _attachment(attachment: Attachment) -> Post:
    """A picture is shown from where it is; whatever else is a file is better uploaded than linked."""
    link = f"<{_escaped(attachment.url)}|{_escaped(attachment.name)}>" if attachment.name else attachment.url
    if attachment.kind == "location":
        return Post(body={"text": link})
    shown = {"blocks": [_image(attachment.url, attachment.name)]} if attachment.kind == "image" else {}
    return Post(body={"text": link, **shown}, file=attachment)


def _card(card: Card, show: Callable[[str], list[Json]]) -> Post:
    """Its text in as many blocks as it takes: a message has room for 50."""
    said = _texts(card.text)
    shown = [*_section(_headline(card)), *(block for text in said for block in show(text))]
    images = [_image(card.image_url, card.title)] if card.image_url else []
    text = "\n".join(filter(None, (_headline(card), *map(_escaped, said))))
    return Post(body={"text": text, "blocks": [*shown, *images, *_actions(card.buttons)]})


def _headline(card: Card) -> str:
    title = f"*{_escaped(card.title)}*" if card.title else ""
    return f"<{card.url}|{title or card.url}>" if card.url else title


def _image(url: str, name: str | None) -> Json:
    return {"type": "image", "image_url": url, "alt_text": name or "image"}


def _verbatim(text: str) -> list[Json]:
    """*text* in the one block that has links and no markup.

    https://docs.slack.dev/reference/block-kit/blocks/rich-text-block
    """
    elements = [{"type": "link", "url": each} if is_address else _plain(each) for is_address, each in runs(text)]
    section = {"type": "rich_text_section", "elements": elements}
    return [{"type": "rich_text", "elements": [section]}] if text else []


def _with_markup(text: str) -> list[Json]:
    return _section(_escaped(text))


def _plain(text: str) -> Json:
    return {"type": "text", "text": text}


def _section(text: str) -> list[Json]:
    return [{"type": "section", "text": {"type": "mrkdwn", "text": text}}] if text else []


def _actions(buttons: Sequence[Button]) -> list[Json]:
    rows = [buttons[start : start + _BUTTONS] for start in range(0, len(buttons), _BUTTONS)]
    return [{"type": "actions", "elements": [_button(each) for each in row]} for row in rows]


def _button(button: Button) -> Json:
    title = {"type": "plain_text", "text": button.title[:_LONGEST_TITLE]}
    target = {"url": button.url} if button.url else {"value": button.payload}
    return {"type": "button", "text": title, **target}


def _titles(buttons: Sequence[Button]) -> str:
    return " / ".join(_escaped(each.title) for each in buttons)


def _texts(text: str) -> list[str]:
    return texts(text, LONGEST_TEXT, lambda character: len(_escaped(character)))


def _escaped(text: str) -> str:
    for character, escaped in ESCAPED:
        text = text.replace(character, escaped)
    return text
