"""The page on which a person is the visitor, and what it asks."""

from __future__ import annotations

from importlib import resources
from typing import Any

from rasa_handoff.backends.markup import text_of
from rasa_handoff.model import Json
from rasa_handoff.testing.agent_sides import Heard
from rasa_handoff.testing.agent_sides.liveperson_agent.chats import Chat
from rasa_handoff.testing.wire import Asked, Response

ROOT = "/visitor/"
PAGE = ROOT  #: where a browser goes
_CHATS = f"{ROOT}chats"
_INDEX = "visitor.html"
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
# Its own files, and the looks of the pages that come with the plugin.
_FOLDERS = (
    resources.files("rasa_handoff.testing.agent_sides.liveperson_agent") / "pages",
    resources.files("rasa_handoff.web") / "shared",
    resources.files("rasa_handoff.web") / "pages",
)


class Visitors:
    """Opens chats and writes in them, as a browser asks for it.

    Args:
        chats: the account's, by id.
    """

    def __init__(self, chats: dict[str, Chat]) -> None:
        self._chats = chats

    def answer(self, asked: Asked) -> Response:
        if not asked.path.startswith(_CHATS):
            return _file(asked.path.removeprefix(ROOT) or _INDEX)
        if asked.path == _CHATS and asked.method == "POST":
            return self._begin()
        chat = self._chats.get(_chat_in(asked))
        if chat is None:
            return 404, {}
        if asked.method == "GET":
            return 200, _shown(chat, int(asked.query.get("from", "0")))
        if chat.is_over:
            return 409, {}
        if asked.method == "DELETE":
            chat.ends()
        else:
            chat.line("visitor", "visitor", str(asked.json["text"]))
        return 200, {}

    def _begin(self) -> Response:
        chat = Chat()
        chat.add("state", state="waiting")
        self._chats[chat.id] = chat
        return 201, {"id": chat.id}

    def hear(self, asked: Asked) -> Heard | None:
        """What a visitor did: for the person who has the chat, or only to be read."""
        if asked.method == "GET":
            return None
        if asked.path == _CHATS:
            return Heard(what="told", chat="", text="a user waits in the queue")
        chat = self._chats[_chat_in(asked)]
        if asked.method == "DELETE":
            return Heard(what="ended", chat=chat.id)
        text = str(asked.json["text"])
        if chat.holder == "person":
            return Heard(what="said", chat=chat.id, text=text)
        return Heard(what="told", chat=chat.id, text=f"the user: {text}")


def _chat_in(asked: Asked) -> str:
    return asked.path.removeprefix(_CHATS).strip("/")


def _shown(chat: Chat, first: int) -> Json:
    """What the page shows of a chat: where it stands, and its lines from event number *first* on."""
    lines = [_line(event) for event in chat.events[first:] if event["@type"] == "line"]
    known = {"state": chat.state, "with": chat.holder, "typing": chat.bot_types}
    return {**known, "lines": lines, "next": len(chat.events)}


def _line(event: Json) -> Json:
    text: Any = event["text"]
    is_html = event.get("textType") == "html"
    return {"who": event["source"], "name": event["by"], "text": text_of(text) if is_html else text}


def _file(name: str) -> Response:
    """A file of the page."""
    kind = _TYPES.get(name.rpartition(".")[2])
    for folder in _FOLDERS:
        file = folder / name
        if kind and "/" not in name and file.is_file():
            return 200, file.read_bytes(), {"Content-Type": f"{kind}; charset=utf-8"}
    return 404, {}
