"""LivePerson's chat, which tells nothing by itself: the bot's side asks what its agents did."""

from __future__ import annotations

import itertools
import threading
from typing import Any

from rasa_handoff.model import Json
from rasa_handoff.testing.agent_sides import AgentSide, Heard
from rasa_handoff.testing.calls import Call
from rasa_handoff.testing.wire import Asked, Response

_ACCOUNT = "42257269"
_ROOT = f"/api/account/{_ACCOUNT}"
_AGENT = {"agentName": "Robin", "agentId": 7}


class Side(AgentSide):
    """Chats as lists of events."""

    def __init__(self) -> None:
        super().__init__()
        self._url = ""
        self._events: dict[str, list[Json]] = {}  #: by chat
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  #: the agent works in another thread than the server

    def section(self, url: str) -> Json:
        self._url = url
        return {"account": _ACCOUNT, "domain_api": url, "poll_every": "1s", "poll_queue_every": "1s"}

    # -- what the bot asks --------------------------------------------------------------------

    def answer(self, asked: Asked) -> Response:
        if "/service/" in asked.path:
            return 200, {"service": "conversationVep", "baseURI": self._url.partition("//")[2]}
        what = asked.path.removeprefix(f"{_ROOT}/chat/")
        if what == "availability":
            return 200, {"availability": True}
        if what == "estimatedWaitTime":
            return 200, {"estimatedWaitTime": 60}
        if what == "request":
            return self._begin()
        chat, _, what = what.partition("/")
        if chat not in self._events:
            return 404, {"error": {"message": "Chat not found"}}
        return self._take(chat, asked) if asked.method == "POST" else self._tell(chat, what, asked)

    def _begin(self) -> Response:
        chat = f"H{next(self._numbers):019d}"
        self._events[chat] = []
        self._add(chat, "state", state="waiting")
        return 201, b"", {"Location": f"{self._url}{_ROOT}/chat/{chat}"}

    def _take(self, chat: str, asked: Asked) -> Response:
        event = asked.json.get("event")
        if event is None:  # a name, or that the user types
            return 200, {}
        said = {name: value for name, value in event.items() if name != "@type"}
        number = self._add(chat, event["@type"], source="visitor", **said)
        return 201, b"", {"Location": f"{self._url}{asked.path}/{number}"}

    def _tell(self, chat: str, what: str, asked: Asked) -> Response:
        info = {"state": self._state(chat), "chatTimeout": 40, "agentTyping": "not-typing", **_AGENT}
        if what == "info":
            return 200, {"info": info}
        found = self._events[chat][int(asked.query.get("from", "0")) :]
        next_link = f"{self._url}{_ROOT}/chat/{chat}/events?from={len(self._events[chat])}"
        events: Json = {"link": [{"@href": next_link, "@rel": "next"}]}
        if found:
            events["event"] = found if len(found) > 1 else found[0]
        return 200, {"events": events} if what else {"chat": {"events": events, "info": info}}

    def _state(self, chat: str) -> str:
        states: list[str] = [event["state"] for event in self._events[chat] if event["@type"] == "state"]
        return states[-1]

    def hear(self, asked: Asked) -> Heard | None:
        if asked.path == f"{_ROOT}/chat/request":
            return Heard(what="opened", chat=next(reversed(self._events)))
        event = asked.json.get("event") if asked.method == "POST" else None
        if event is None:
            return None
        chat = asked.path.split("/")[-2]
        is_line = event["@type"] == "line"
        return Heard(what="said" if is_line else "ended", chat=chat, text=event.get("text", ""))

    def is_news(self, asked: Asked, body: Any) -> bool:
        looks = asked.method == "GET" and f"{_ROOT}/chat/H" in asked.path
        return not looks or "event" in body.get("chat", body).get("events", {})

    # -- what the agent does ------------------------------------------------------------------

    def signed(self, call: Call) -> Call:
        return call

    def accepting(self, chat: str) -> None:
        self._add(chat, "state", state="chatting")

    def writing(self, chat: str, text: str) -> None:
        self._add(chat, "line", text=text, textType="plain", source="agent", by=_AGENT["agentName"])

    def ending(self, chat: str) -> None:
        self._add(chat, "state", state="ended")

    def _add(self, chat: str, kind: str, **more: Any) -> int:
        with self._lock:
            events = self._events[chat]
            events.append({"@id": str(len(events)), "@type": kind, **more})
            return len(events) - 1
