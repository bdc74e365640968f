"""What the bot asks as an agent: Domain API, Login Service, Chat Agent API."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from rasa_handoff.backends.markup import text_of
from rasa_handoff.liveperson_agent.settings import CHANNEL
from rasa_handoff.model import Json
from rasa_handoff.testing.agent_sides import AgentSide, Heard
from rasa_handoff.testing.agent_sides.liveperson_agent import visitors
from rasa_handoff.testing.agent_sides.liveperson_agent.chats import BOT, PERSON, Chat
from rasa_handoff.testing.calls import Call
from rasa_handoff.testing.wire import Asked, Response

_ACCOUNT = "12345678"
_SKILL = {"id": "2", "name": "Support", "onlineAgents": "1"}
_USER, _SESSION = "bot", "1"
_ROOT = f"/api/account/{_ACCOUNT}"
_BASE = f"{_ROOT}/agentSession/{_SESSION}"
_NO_CHAT: Response = (404, {"error": {"message": "no such chat", "internalCode": 12}})


class Side(AgentSide):
    """Every chat goes to the bot first, and with a transfer to a person."""

    page = visitors.PAGE

    def __init__(self) -> None:
        super().__init__()
        self._chats: dict[str, Chat] = {}
        self._availability = "Offline"
        self._url = ""
        self._visitors = visitors.Visitors(self._chats)
        self._lock = threading.RLock()  #: the person works in another thread than the server

    def section(self, url: str) -> Json:
        return {"skill": _SKILL["name"]}

    def channels(self, url: str) -> Json:
        self._url = url
        login = {"account": _ACCOUNT, "username": _USER, "app_key": "stand-in", "secret": self.ours}
        return {CHANNEL: {**login, "domain_api": url, "poll": "1s", "greeting": "/greet"}}

    # -- what is asked ------------------------------------------------------------------------

    def answer(self, asked: Asked) -> Response:
        with self._lock:
            if asked.path.startswith(visitors.ROOT):
                return self._visitors.answer(asked)
            if asked.path.endswith("/baseURI.json"):
                return self._domain(asked)
            if asked.path == f"{_ROOT}/login":
                return self._login(asked)
            if asked.path not in (f"{_ROOT}/refresh", f"{_ROOT}/logout") and not self._is_signed_in(asked):
                return 401, {"error": {"message": "Unauthorized", "internalCode": 10}}
            return self._answer_agent(asked)

    def _domain(self, asked: Asked) -> Response:
        service = asked.path.split("/")[-2]
        return 200, {"service": service, "account": _ACCOUNT, "baseURI": self._url.partition("://")[2]}

    def _login(self, asked: Asked) -> Response:
        if (asked.json.get("username"), asked.json.get("secret")) != (_USER, self.ours):
            return 401, {"error": {"message": "Bad Authentication", "internalCode": 10}}
        cookie = {"Set-Cookie": "Session_id=1; Path=/; HttpOnly"}
        return 200, {"bearer": self.theirs, "csrf": self.theirs, "config": {"loginName": _USER}}, cookie

    def _is_signed_in(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == f"Bearer {self.theirs}"

    def _answer_agent(self, asked: Asked) -> Response:
        if asked.path == f"{_ROOT}/agentSession":
            return 201, {"agentSessionLocation": self._link("")}
        found = re.fullmatch(rf"{_BASE}/chat/([^/]+)(/.*)?", asked.path)
        if found is None:
            known = self._AROUND.get((_method(asked), asked.path.removeprefix(_BASE)))
            return known(self, asked) if known else (200, {})
        chat = self._chats.get(found[1])
        if chat is None or chat.holder != "bot":
            return _NO_CHAT
        in_chat = self._IN_CHAT.get((_method(asked), found[2] or ""))
        return in_chat(self, chat, asked) if in_chat else (200, {})

    def _link(self, path: str, rel: str = "location") -> Json:
        return {"link": {"@href": f"{self._url}{_BASE}{path}", "@rel": rel}}

    # -- around the chats ---------------------------------------------------------------------

    def _be(self, asked: Asked) -> Response:
        self._availability = asked.json["availability"]["chat"]
        return 200, {}

    def _tell_availability(self, asked: Asked) -> Response:
        return 200, {"availability": {"chat": self._availability}}

    def _ringing(self) -> list[Chat]:
        waits = [chat for chat in self._chats.values() if chat.state == "waiting"]
        return waits if self._availability == "Online" else []

    def _tell_ringing(self, asked: Asked) -> Response:
        ringing = self._ringing()
        link = self._link("/incomingRequests", "next") if ringing else {}
        return 200, {"incomingRequests": {"ringingCount": str(len(ringing)), **link}}

    def _take(self, asked: Asked) -> Response:
        for chat in self._ringing():
            chat.goes_to("bot", f"You are now chatting with {BOT}.")
            return 201, {"chatLocation": self._link(f"/chat/{chat.id}")}
        return _NO_CHAT

    def _tell_held(self, asked: Asked) -> Response:
        held = [chat.id for chat in self._chats.values() if chat.holder == "bot" and not chat.is_over]
        entries = [{"chatSessionKey": id, "link": self._link(f"/chat/{id}")["link"]} for id in held]
        return 200, {"chatSessions": {"chatSession": entries} if entries else {}}

    def _tell_agents(self, asked: Asked) -> Response:
        agent = {"@id": "6", "@chatState": "2", "nickname": PERSON, "userName": "robin", "skills": {"skill": "2"}}
        return 200, {"availableAgents": {"agents": {"agent": agent}}}

    _AROUND: ClassVar[dict[tuple[str, str], Callable[[Side, Asked], Response]]] = {
        ("PUT", "/availability"): _be,
        ("GET", "/availability"): _tell_availability,
        ("GET", "/incomingRequests"): _tell_ringing,
        ("POST", "/incomingRequests"): _take,
        ("GET", "/chatSessions"): _tell_held,
        ("GET", "/availableAgents"): _tell_agents,
    }

    # -- in a chat ----------------------------------------------------------------------------

    def _tell_chat(self, chat: Chat, asked: Asked) -> Response:
        info = {"state": chat.state, "chatSessionKey": chat.id, "chatTimeout": 40, "visitorName": "visitor"}
        return 200, {"chat": {"events": self._events(chat, asked), "info": info}}

    def _tell_events(self, chat: Chat, asked: Asked) -> Response:
        return 200, {"events": self._events(chat, asked)}

    def _events(self, chat: Chat, asked: Asked) -> Json:
        found = chat.events[int(asked.query.get("from", "0")) :]
        events = {"event": found} if found else {}
        return {**self._link(f"/chat/{chat.id}/events?from={len(chat.events)}", "next"), **events}

    def _write(self, chat: Chat, asked: Asked) -> Response:
        event = asked.json["event"]
        if event["@type"] == "state":
            chat.ends()
            return 201, {}
        number = chat.line("agent", BOT, event["text"], textType=event["textType"])
        return 201, {"chatEventLocation": self._link(f"/chat/{chat.id}/events/{number}")}

    def _type(self, chat: Chat, asked: Asked) -> Response:
        chat.bot_types = asked.json["agentTyping"] == "typing"
        return 200, {}

    def _tell_skills(self, chat: Chat, asked: Asked) -> Response:
        return 200, {"transfer": {"skill": _SKILL}}

    def _transfer(self, chat: Chat, asked: Asked) -> Response:
        chat.goes_to("person", "You are being transferred.")
        return 200, {}

    _IN_CHAT: ClassVar[dict[tuple[str, str], Callable[[Side, Chat, Asked], Response]]] = {
        ("GET", ""): _tell_chat,
        ("GET", "/events"): _tell_events,
        ("POST", "/events"): _write,
        ("PUT", "/info/agentTyping"): _type,
        ("GET", "/transfer"): _tell_skills,
        ("POST", "/transfer"): _transfer,
    }

    # -- what it means ------------------------------------------------------------------------

    def hear(self, asked: Asked) -> Heard | None:
        if asked.path.startswith(visitors.ROOT):
            return self._visitors.hear(asked)
        what = _method(asked), asked.path.removeprefix(_BASE).rpartition("/")[2]
        if what == ("POST", "login"):
            return _told("the bot signs in as an agent")
        if what == ("PUT", "availability"):
            return _told(f"the bot is {self._availability}")
        if what == ("POST", "incomingRequests"):
            return _told("the bot takes a chat from the queue")
        if what == ("POST", "events"):
            return _told(_words(asked.json["event"]))
        if what == ("POST", "transfer"):
            chat = asked.path.split("/")[-2]
            return Heard(what="opened", chat=chat, text=asked.json["transfer"].get("text", ""))
        return None

    def is_news(self, asked: Asked, body: Any) -> bool:
        if asked.method != "GET":
            return True
        if asked.path.startswith(visitors.ROOT) or asked.path.endswith("/availability"):
            return False
        if asked.path.endswith("/incomingRequests"):
            return bool(self._ringing())
        return not asked.path.endswith("/events") or "event" in body.get("events", {})

    # -- what the person does -----------------------------------------------------------------

    def signed(self, call: Call) -> Call:
        return call

    def accepting(self, chat: str) -> None:
        with self._lock:
            self._chats[chat].line("system", "info", f"You are now chatting with {PERSON}.")

    def writing(self, chat: str, text: str) -> None:
        with self._lock:
            self._chats[chat].line("agent", PERSON, text)

    def ending(self, chat: str) -> None:
        with self._lock:
            self._chats[chat].ends()


def _method(asked: Asked) -> str:
    """What is meant: a PUT goes as a POST."""
    return asked.headers.get("x-http-method-override", asked.method)


def _told(text: str) -> Heard:
    return Heard(what="told", chat="", text=text)


def _words(event: Json) -> str:
    if event["@type"] != "line":
        return "the bot ends the chat"
    return f"the bot: {text_of(event['text']) if event['textType'] == 'html' else event['text']}"
