"""What the bot says, as the events of a chat."""

from __future__ import annotations

import html
import re
from typing import Any

from rasa_handoff.model import Json

_LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")


def line(text: str) -> Json:
    """A line as their own windows show it best: HTML in a ``div``, with links that can be pressed.

    https://developers.liveperson.com/chat-agent-api-methods-send-lines-and-structured-content.html (read 2026-11)
    """
    return {"@type": "line", "text": f"<div dir='auto'>{_as_html(text)}</div>", "textType": "html"}


def with_choices(text: str, titles: list[str]) -> str:
    """A text with its buttons below it, numbered: a chat has none to press."""
    return "\n".join([*([text] if text else []), *(f"{number}. {title}" for number, title in enumerate(titles, 1))])


def custom(body: Any) -> Json | None:
    """The event in a custom response of the bot's: ``{"liveperson": …}``; None: it is for another channel.

    ``end_chat: true`` ends the chat; ``rich_content: {…}`` is structured content, as LivePerson has it, and
    ``text`` what is shown where it cannot be.
    """
    ours = body.get("liveperson") if isinstance(body, dict) else None
    if not isinstance(ours, dict):
        return None
    if ours.get("end_chat") is True:
        return {"@type": "state", "state": "ended"}
    if isinstance(ours.get("rich_content"), dict):
        text = str(ours.get("text") or "")
        return {"@type": "line", "text": text, "textType": "rich-content", "json": ours["rich_content"]}
    return None


def _as_html(text: str) -> str:
    parts: list[str] = []
    end = 0
    for link in _LINK.finditer(text):
        parts += [html.escape(text[end : link.start()]), _anchor(link[0])]
        end = link.end()
    return "".join([*parts, html.escape(text[end:])]).replace("\r\n", "\n").replace("\n", "<br>")


def _anchor(url: str) -> str:
    address = html.escape(url)
    return f'<a href="{address}" target="_blank">{address}</a>'
