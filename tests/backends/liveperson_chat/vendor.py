"""A stand-in of LivePerson's chat: strict where LivePerson is, and with agents who do what a test says."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rasa_handoff.model import Json
from rasa_handoff.testing import Asked, Wire
from rasa_handoff.testing.wire import Response

ACCOUNT = "42257269"
APP_KEY = "721c180b09eb463d9f3191c41762bb68"
_TIME = "2017-02-27T06:24:15.424-05:00"
_JSON = "application/json"
_SILENCE = 40.0  #: seconds after which a visitor is dropped

# The start-chat page's fields of a request, and of which type each is.
_REQUEST: dict[str, type] = {
    "skill": str,
    "maxWaitTime": int,
    "chatReferrer": str,
    "userAgent": str,
    "visitorId": int,
    "preChatLines": dict,
    "survey": dict,
    "interactionTimeout": int,
    "language": str,
    "engagementId": int,
    "campaignId": int,
    "LETagVisitorId": str,
    "LETagSessionId": str,
    "LETagContextId": str,
    "participantId": str,
    "conversationId": str,
}


class Refusal(Exception):
    """What they say no with."""

    def __init__(self, status: int, message: str, code: int | None = None) -> None:
        self.status = status
        error = {"time": _TIME, "message": message, "internalCode": code}
        self.body = {"error": {name: value for name, value in error.items() if value is not None}}
        super().__init__(message)


@dataclass
class Visit:
    """A chat as they have it."""

    id: str
    request: Json
    events: list[Json] = field(default_factory=list)
    state: str = "waiting"
    agent: Json = field(default_factory=dict)  #: agentName, agentId, skillName
    agent_typing: str = "not-typing"
    visitor_typing: str = "not-typing"
    visitor_name: str = "You"
    heard_at: float = 0.0
    ended_by: str | None = None
    gone: bool = False  #: they do not know it any more

    def add(self, kind: str, **more: Any) -> int:
        """Let something happen; its number."""
        self.events.append({"@id": str(len(self.events)), "@type": kind, "time": _TIME, **more})
        return len(self.events) - 1


class Vendor:
    """The server's side, on a wire.

    Args:
        clock: tells the seconds; after 40 of silence a visitor is dropped.
    """

    def __init__(self, wire: Wire, clock: Callable[[], float] = time.monotonic) -> None:
        self.visits: dict[str, Visit] = {}
        self.available: Any = True
        self.wait: Any = 0
        self.survey: Json | None = None
        self.chat_timeout = 40  #: as they say
        self.status_of_start = 201
        self.repeats = False  #: answers have also the events that were not asked for
        self.names_events = True  #: whether the answer to a line says where it is
        self._written: dict[str, dict[int, int]] = {}
        self._clock = clock
        self._wire = wire
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._chance = random.Random(1)
        wire.respond("GET", f"/api/account/{ACCOUNT}/service/*/baseURI.json", self._domain)
        wire.respond("*", f"/api/account/{ACCOUNT}/chat/*", self._answer)

    # -- what a test looks at -----------------------------------------------------------------

    def only(self) -> Visit:
        (visit,) = self._all()
        return visit

    def said(self) -> list[tuple[str, str]]:
        """The visitors' lines, each with a name of its own; a repeat is another line."""
        lines = [(v.id, e) for v in self._all() for e in v.events if e.get("source") == "visitor"]
        return [(f"{visit}/{event['@id']}", event["text"]) for visit, event in lines]

    def ended_by_visitor(self) -> list[str]:
        return [visit.id for visit in self._all() if visit.ended_by == "visitor"]

    def _all(self) -> list[Visit]:
        with self._lock:
            return list(self.visits.values())

    # -- what agents do -----------------------------------------------------------------------

    def accept(self, chat: str, name: str = "Natalie", number: int = 25025413) -> int:
        with self._lock:
            visit = self._open(chat)
            visit.state = "chatting"
            visit.agent = {"agentName": name, "agentId": number, "skillName": visit.request.get("skill", "Sales")}
            number = visit.add("state", state="chatting")
            self._system(visit, f"You are now chatting with {name}.", 3)
            return number

    def write(self, chat: str, text: str, **more: Any) -> int:
        with self._lock:
            visit = self._open(chat)
            if visit.state != "chatting":
                raise Refusal(400, "Cannot add line while not in chat", 5)
            said = {"textType": "plain", "text": text, "by": visit.agent["agentName"], "source": "agent", **more}
            return visit.add("line", **said)

    def write_once(self, chat: str, text: str, number: int) -> int:
        """Write it; the second time, show all events again, whatever is asked for."""
        with self._lock:
            known = self._written.setdefault(chat, {})
            if number in known:
                self._open(chat)
                self.repeats = True
            else:
                known[number] = self.write(chat, text)
            return known[number]

    def end(self, chat: str) -> int:
        with self._lock:
            visit = self._open(chat)
            visit.state, visit.ended_by = "ended", "agent"
            return visit.add("state", state="ended")

    def back_in_queue(self, chat: str) -> int:
        with self._lock:
            visit = self._open(chat)
            visit.state, visit.agent = "waiting", {}
            self._system(visit, "Please wait while I connect you.", 23)
            return visit.add("state", state="waiting")

    def transfer(self, chat: str, name: str) -> int:
        with self._lock:
            visit = self._open(chat)
            visit.agent = {**visit.agent, "agentName": name, "agentId": 7}
            return visit.add("a2a-transfer", agentName=name)

    def happen(self, chat: str, kind: str, **more: Any) -> int:
        """Any event that is not like the others."""
        with self._lock:
            return self._open(chat).add(kind, **more)

    def _open(self, chat: str) -> Visit:
        visit = self.visits.get(chat)
        if visit is None or visit.gone:
            raise Refusal(404, "Chat not found")
        if visit.state == "ended":
            raise Refusal(400, "The chat has ended", 6)
        return visit

    def _system(self, visit: Visit, text: str, number: int) -> None:
        visit.add("line", textType="plain", text=text, by="info", source="system", systemMessageId=number)

    # -- what is answered ---------------------------------------------------------------------

    def _domain(self, asked: Asked) -> tuple[int, Json]:
        service = asked.path.split("/")[-2]
        assert service == "conversationVep", service
        assert asked.query == {"version": "1.0"}
        host = self._wire.url.partition("//")[2]
        return 200, {"service": service, "account": ACCOUNT, "baseURI": host}

    def _answer(self, asked: Asked) -> Response:
        with self._lock:
            try:
                self._require_manners(asked)
                return self._route(asked)
            except Refusal as refusal:
                return refusal.status, refusal.body

    def _require_manners(self, asked: Asked) -> None:
        if asked.headers.get("authorization") != f"LivePerson appKey={APP_KEY}":
            raise Refusal(401, "Invalid User", 10)
        if asked.headers.get("accept") != _JSON or asked.headers.get("content-type") != _JSON:
            raise Refusal(415, "Unsupported Media Type")
        if (asked.query.get("v"), asked.query.get("NC")) != ("1", "true"):
            raise Refusal(400, "API version is missing")
        if asked.method not in ("GET", "POST"):
            raise Refusal(405, "Method Not Allowed")

    def _route(self, asked: Asked) -> Any:
        path = asked.path.removeprefix(f"/api/account/{ACCOUNT}/chat/")
        known = set(asked.query) - {"v", "NC"}
        if asked.method == "GET" and path in ("availability", "estimatedWaitTime", "preSurvey"):
            if not known <= {"skill", "maxWaitTime"}:
                raise Refusal(400, "Unknown query parameter")
            return self._look_up(path)
        if asked.method == "POST" and path == "request":
            return self._start(asked.json)
        chat, _, what = path.partition("/")
        visit = self._visit(chat)
        visit.heard_at = self._clock()
        return self._about(visit, what, asked)

    def _visit(self, chat: str) -> Visit:
        visit = self.visits.get(chat)
        if visit is None or visit.gone:
            raise Refusal(404, "Chat not found")
        if visit.state != "ended" and self._clock() - visit.heard_at > _SILENCE:
            visit.gone = True
            raise Refusal(404, "Chat not found")
        return visit

    def _look_up(self, path: str) -> tuple[int, Json]:
        if path == "availability":
            return 200, {"availability": self.available}
        if path == "estimatedWaitTime":
            return 200, {"estimatedWaitTime": self.wait}
        if self.survey is None:
            raise Refusal(404, "Survey not found")
        return 200, {"survey": self.survey}

    def _start(self, body: Json) -> Any:
        if set(body) != {"request"}:
            raise Refusal(400, "request is missing")
        request = body["request"]
        for name, value in request.items():
            if name not in _REQUEST or type(value) is not _REQUEST[name]:
                raise Refusal(400, f"Unrecognized field or type: {name}")
        if not 0 <= request.get("maxWaitTime", 0) <= 86400:
            raise Refusal(400, "maxWaitTime is out of range")
        self._require_lines(request.get("preChatLines"))
        self._require_survey(request.get("survey"))
        visit = Visit(id=f"H{next(self._numbers):019d}-x0a7de5c", request=request, heard_at=self._clock())
        visit.add("state", state="waiting")
        self._system(visit, "Thank you for choosing to chat with us. An agent will be with you shortly.", 4)
        self.visits[visit.id] = visit
        return self.status_of_start, b"", {"Location": self._url(visit)}

    def _require_lines(self, lines: Any) -> None:
        if lines is None:
            return
        if set(lines) != {"line"} or not lines["line"] or not all(isinstance(each, str) for each in lines["line"]):
            raise Refusal(400, "preChatLines must have line, a list of texts")

    def _require_survey(self, survey: Any) -> None:
        if survey is None:
            return
        if self.survey is None or set(survey) != {"id", "question"} or survey["id"] != str(self.survey["id"]):
            raise Refusal(400, "survey must have id and question")
        if not all(set(each) == {"id", "answer"} for each in survey["question"]):
            raise Refusal(400, "a question must have id and answer")

    def _about(self, visit: Visit, what: str, asked: Asked) -> Any:
        if what.startswith("info/") and asked.method == "POST":
            return self._put(visit, what.removeprefix("info/"), asked)
        if what == "events" and asked.method == "POST":
            return self._take(visit, asked.json)
        if asked.method == "GET" and what in ("", "events"):
            start = int(asked.query.get("from", "0"))
            events = self._events(visit, start)
            return 200, {"events": events} if what else {"chat": self._document(visit, events)}
        if asked.method == "GET" and what == "info":
            return 200, {"info": self._info(visit)}
        raise Refusal(404, "Not Found")

    def _put(self, visit: Visit, name: str, asked: Asked) -> tuple[int, Json]:
        if asked.headers.get("x-http-method-override") != "PUT":
            raise Refusal(405, "Method Not Allowed")
        value = asked.json.get(name)
        if set(asked.json) != {name} or not isinstance(value, str):
            raise Refusal(400, f"{name} is missing")
        if name == "visitorName":
            visit.visitor_name = value
        elif name == "visitorTyping" and value in ("typing", "not-typing"):
            visit.visitor_typing = value
        else:
            raise Refusal(400, f"{name} cannot be set to this")
        return 200, {}

    def _take(self, visit: Visit, body: Json) -> Any:
        event = body.get("event")
        if set(body) != {"event"} or not isinstance(event, dict):
            raise Refusal(400, "event is missing, or there is more than one")
        if event == {"@type": "state", "state": "ended"}:
            if visit.state == "ended":
                raise Refusal(400, "The chat has ended", 6)
            visit.state, visit.ended_by = "ended", "visitor"
            visit.add("state", state="ended")
            return 201, {}
        if set(event) != {"@type", "text"} or event["@type"] != "line" or not event["text"]:
            raise Refusal(400, "event must be a line with a text, or the state ended")
        if visit.state != "chatting":
            raise Refusal(400, "Cannot add line while not in chat", 5)
        number = visit.add("line", text=event["text"], textType="plain", by=visit.visitor_name, source="visitor")
        where = {"Location": f"{self._url(visit)}/events/{number}"} if self.names_events else {}
        return 201, b"", where

    # -- their documents ----------------------------------------------------------------------

    def _events(self, visit: Visit, start: int) -> Json:
        found = visit.events[0 if self.repeats else start :]
        url = f"{self._url(visit)}/events"
        links = [{"@href": url, "@rel": "self"}, {"@href": f"{url}?from={len(visit.events)}", "@rel": "next"}]
        self._chance.shuffle(links)
        if not found:
            return {"link": links}
        return {"link": links, "event": found if len(found) > 1 else found[0]}

    def _document(self, visit: Visit, events: Json) -> Json:
        url = self._url(visit)
        links = [{"@href": url, "@rel": "self"}, {"@href": f"{url}?from={len(visit.events)}", "@rel": "next"}]
        return {"link": links, "events": events, "info": self._info(visit)}

    def _info(self, visit: Visit) -> Json:
        return {
            "link": [{"@href": f"{self._url(visit)}/info", "@rel": "self"}],
            "state": visit.state,
            "chatSessionKey": f"{visit.id}-1",
            "chatTimeout": self.chat_timeout,
            "agentTyping": visit.agent_typing,
            "visitorTyping": visit.visitor_typing,
            "visitorName": visit.visitor_name,
            **visit.agent,
        }

    def _url(self, visit: Visit) -> str:
        return f"{self._wire.url}/api/account/{ACCOUNT}/chat/{visit.id}"


def lines_for_agents(visit: Visit) -> list[str]:
    """What agents read before the chat."""
    found: list[str] = visit.request.get("preChatLines", {}).get("line", [])
    return found
