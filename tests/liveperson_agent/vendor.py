"""LivePerson as an agent's program sees it: Domain API, Login Service, Chat Agent API and Visit Information API.

A real HTTP server, written from their pages (SOURCE.md), strict about what they are strict about, and with
troubles on command. A test plays the visitors and the other agents.
"""

from __future__ import annotations

import itertools
import json
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from rasa_handoff.model import Json
from rasa_handoff.testing.wire import Asked, Wire

ACCOUNT = "12345678"
USER, PASSWORD = "robot", "a-password-nobody-else-has"
CLIENT, SECRET = "0a1b2c3d", "an-oauth2-secret-nobody-else-has"
RINGS_FOR = 20.0  #: seconds; then whom it rings at is Away
VERSIONED = {"v": "1", "NC": "true"}


class Refusal(Exception):
    """An answer of theirs that is no success."""

    def __init__(self, status: int, message: str, code: int) -> None:
        super().__init__(message)
        error = {"time": "2026-11-20T09:00:00.000+00:00", "message": message, "internalCode": code}
        self.status = status
        self.body = {"error": error}


@dataclass
class Chat:
    """One visitor's chat."""

    id: str
    skill: str
    name: str = "visitor"
    info: Json = field(default_factory=dict)
    state: str = "waiting"
    events: list[Json] = field(default_factory=list)
    holder: str | None = None  #: an agent's id
    rings_at: str | None = None
    rings_since: float = 0.0
    note: str | None = None
    transferred_to: Json | None = None
    agent_typing: list[str] = field(default_factory=list)
    _adding: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **event: Any) -> int:
        with self._adding:  # the visitor writes in one thread, the agents in others
            number = len(self.events)
            self.events.append({"@id": str(number), "time": "2026-11-20T09:00:00.000-05:00", **event})
        return number

    def says(self, text: str, **more: Any) -> None:
        self.add(**{"@type": "line", "textType": "plain", "text": text, "by": self.name, "source": "visitor", **more})

    def lines(self, source: str) -> list[str]:
        return [event["text"] for event in self.events if event.get("source") == source]


@dataclass
class Agent:
    """Another agent of the account, or ours."""

    id: str
    login: str
    nickname: str
    state: int = 1
    skills: tuple[str, ...] = ()


@dataclass
class AgentSession:
    id: str
    bearer: str
    cookie: str
    agent: Agent


class LivePerson:
    """The account, and the server in front of it."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.wire.respond("*", "*", self._respond)
        self.chats: dict[str, Chat] = {}
        self.ours = Agent(id="311098910", login=USER, nickname="Barber", skills=("1",))
        self.agents = [
            self.ours,
            Agent(id="6", login="natalie@example.com", nickname="Natalie", state=2, skills=("2",)),
            Agent(id="7", login="omar@example.com", nickname="Omar", state=1, skills=("3",)),
        ]
        self.skills = {"1": "Bots", "2": "Billing", "3": "Sales"}
        self.visits: dict[str, Json] = {}  #: what the Visit Information API knows, by visitor
        self.visit_documents: dict[str, Json] = {}  #: behind a chat's visit-id, by chat
        self.participants: dict[str, Json] = {}
        self.logins: dict[str, tuple[str, str]] = {}  #: bearer -> csrf, Session_id
        self.sessions: dict[str, AgentSession] = {}
        self.single_as_object = True
        self.held_are_kept = True  #: by an agent who signs in again while the former session lives
        self._garbled: list[tuple[str, bytes]] = []
        self._host: str | None = None
        self._lock = threading.RLock()
        self._numbers = itertools.count(1027882276)

    @property
    def url(self) -> str:
        return self.wire.url

    @property
    def host(self) -> str:
        """Where the Domain API says the services are."""
        return self._host or self.wire.url.removeprefix("http://")

    def __enter__(self) -> LivePerson:
        self.wire.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.close()

    # -- what a test does ---------------------------------------------------------------------

    def visitor(
        self, *texts: str, skill: str = "1", name: str = "visitor", document: Json | None = None, **info: Any
    ) -> Chat:
        """A visitor asks for a chat, and it rings at an agent of the skill who is Online.

        Args:
            document: what is behind the chat's visit-id.
        """
        with self._lock:
            number = next(self._numbers)
            chat = Chat(id=f"H{number}-b7d761017809489ea1a257461eb373eeK8457415", skill=skill, name=name, info=info)
            chat.add(**{"@type": "state", "state": "waiting"})
            chat.add(**_system("Thank you for choosing to chat with us.", 4))
            for text in texts:
                chat.says(text)
            if document is not None:
                self.visit_documents[chat.id] = document
            self.chats[chat.id] = chat
            self._route(chat)
            return chat

    def leaves(self, chat: Chat) -> None:
        """The visitor closes the window."""
        with self._lock:
            chat.state, chat.rings_at = "ended", None
            chat.add(**{"@type": "state", "state": "ended"})

    def forgets(self, chat: Chat) -> None:
        """The chat is gone."""
        with self._lock:
            del self.chats[chat.id]

    def transfers_back(self, chat: Chat) -> None:
        """A person gives the chat to the bot's skill."""
        with self._lock:
            chat.says("How can I help?", source="agent", by="Natalie")
            chat.add(**_system("transferred", 15))
            chat.holder, chat.state, chat.skill = None, "waiting", "1"
            self._route(chat)

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """The agents' service is at another host, and nobody answers at the former one."""
        with Wire() as other:
            other.respond("*", "*", self._respond)
            self._host = other.url.removeprefix("http://")
            for path in ("*/agentSession*", "*/login", "*/refresh"):
                self.wire.hang_up(times=1_000, path=path)
            yield
            self.wire.calm()
        self._host = None

    def expire(self) -> None:
        """Every bearer ends early."""
        with self._lock:
            self.logins.clear()

    def end_sessions(self) -> None:
        """Every agent session ends, though the logins hold."""
        with self._lock:
            self.sessions.clear()

    def garble(self, path: str, body: bytes, times: int = 1) -> None:
        """Answer the next requests to *path* with a success that has this body."""
        with self._lock:
            self._garbled += [(path, body)] * times

    def took(self, method: str, path: str) -> list[Asked]:
        """The requests with this method, whatever they went as, in order."""
        return [
            each for each in self.wire.asked if each.taken and _method(each) == method and fnmatchcase(each.path, path)
        ]

    # -- the account --------------------------------------------------------------------------

    def _route(self, chat: Chat) -> None:
        free = [agent for agent in self.agents if chat.skill in agent.skills and agent.state == 2]
        chat.rings_at = free[0].id if free else None
        chat.rings_since = time.monotonic()

    def _look_at_the_clock(self) -> None:
        """Whoever lets it ring for too long is Away, and it rings elsewhere."""
        for chat in self.chats.values():
            if chat.rings_at and time.monotonic() - chat.rings_since > RINGS_FOR:
                next(agent for agent in self.agents if agent.id == chat.rings_at).state = 4
                self._route(chat)

    def _ringing(self, agent: Agent) -> list[Chat]:
        self._look_at_the_clock()
        for chat in self.chats.values():
            if chat.rings_at is None and chat.holder is None and chat.state == "waiting":
                self._route(chat)
        return [chat for chat in self.chats.values() if chat.rings_at == agent.id]

    def _online(self, skill: str) -> int:
        return sum(1 for agent in self.agents if skill in agent.skills and agent.state == 2 and agent is not self.ours)

    # -- requests -----------------------------------------------------------------------------

    def _respond(self, asked: Asked) -> tuple[int, Any, Mapping[str, str]]:
        request = Request(asked)
        try:
            with self._lock:
                status, body = self._answer(request)
        except Refusal as refusal:
            status, body = refusal.status, refusal.body
        headers = {"Set-Cookie": request.sets_cookie} if request.sets_cookie else {}
        # In ASCII, so that any text can be in it.
        return status, body if isinstance(body, bytes) else json.dumps(body).encode(), headers

    def _answer(self, request: Request) -> tuple[int, Any]:
        for garbled in self._garbled:
            if fnmatchcase(request.path, garbled[0]):
                self._garbled.remove(garbled)
                return 200, garbled[1]
        for pattern, method, name in _ROUTES:
            found = re.fullmatch(pattern, request.path)
            if found and request.method == method:
                answer: tuple[int, Any] = getattr(self, name)(request, *found.groups())
                return answer
        raise Refusal(404, "Resource not found", 12)

    # -- domains, login -----------------------------------------------------------------------

    def _domain(self, request: Request, account: str, service: str) -> tuple[int, Any]:
        if account != ACCOUNT or request.query.get("version") != "1.0":
            raise Refusal(400, "Bad account", 1)
        if service not in ("agentVep", "smt"):
            raise Refusal(404, "no such service", 1)
        return 200, {"service": service, "account": account, "baseURI": self.host}

    def _login(self, request: Request, account: str) -> tuple[int, Any]:
        request.require_json()
        if request.query != {"v": "1.3"} or "cookie" in request.headers:
            raise Refusal(400, "Bad query", 1)
        user = {"username": USER, "password": PASSWORD}
        application = {
            "username": USER,
            "appKey": CLIENT,
            "secret": SECRET,
            "accessToken": "dummy",
            "accessTokenSecret": "dummy",
        }
        if request.json not in (user, application):
            raise Refusal(401, "Bad Authentication", 10)
        bearer, csrf, session = secrets.token_hex(32), secrets.token_hex(32), secrets.token_hex(8)
        self.logins[bearer] = (csrf, session)
        request.sets_cookie = f"Session_id={session}; Path=/; Secure; HttpOnly"
        config = {"loginName": USER, "userId": self.ours.id, "isLPA": False, "isAdmin": False}
        collection = {"baseURIs": [{"service": "agentVep", "account": account, "baseURI": self.host}]}
        known = {"csrf": csrf, "wsuk": "x", "config": config, "csdsCollectionResponse": collection}
        return 200, {**known, "accountData": {}, "sessionTTl": "28800000", "bearer": bearer}

    def _with_csrf(self, request: Request) -> str:
        """The bearer whose csrf and cookie these are."""
        request.require_json()
        for bearer, (csrf, session) in self.logins.items():
            if request.json == {"csrf": csrf} and request.cookie("Session_id") == session:
                return bearer
        raise Refusal(401, "CSRF token invalid!", 10)

    def _refresh(self, request: Request, account: str) -> tuple[int, Any]:
        self._with_csrf(request)
        return 200, {}

    def _logout(self, request: Request, account: str) -> tuple[int, Any]:
        bearer = self._with_csrf(request)
        del self.logins[bearer]
        for session in [each for each in self.sessions.values() if each.bearer == bearer]:
            del self.sessions[session.id]
            self._give_back(session.agent)
        return 200, {}

    def _give_back(self, agent: Agent) -> None:
        """Whoever signs out has no chats any more."""
        agent.state = 1
        for chat in self.chats.values():
            if chat.holder == agent.id and chat.state != "ended":
                chat.holder, chat.state = None, "waiting"
                chat.add(**_system("requeued", 23))
                self._route(chat)

    # -- the agent session --------------------------------------------------------------------

    def _start(self, request: Request, account: str) -> tuple[int, Any]:
        bearer = self._bearer(request)
        request.require_json()
        if request.json != {"loginData": ""}:
            raise Refusal(400, "Bad request", 33)
        if not self.held_are_kept:
            self._give_back(self.ours)
        id = str(next(self._numbers))
        session = AgentSession(id=id, bearer=bearer, cookie=secrets.token_hex(4), agent=self.ours)
        self.sessions[id] = session
        request.sets_cookie = f"AgentSession={session.cookie}; Path=/api/account/{account}; HttpOnly"
        href = f"http://{self.host}/api/account/{account}/agentSession/{id}"
        return 201, {"agentSessionLocation": {"link": {"@href": href, "@rel": "location"}}}

    def _bearer(self, request: Request) -> str:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if bearer not in self.logins:
            raise Refusal(401, "Unauthorized", 10)
        if {name: request.query.get(name) for name in VERSIONED} != VERSIONED:
            raise Refusal(400, "version is missing", 33)
        return bearer

    def _session(self, request: Request, id: str) -> AgentSession:
        """The agent session, if bearer and cookies are its own."""
        bearer = self._bearer(request)
        if request.headers.get("accept") != "application/json" or not request.is_json:
            raise Refusal(406, "Not acceptable", 2)
        session = self.sessions.get(id)
        if session is None:
            raise Refusal(404, "no such agent session", 12)
        if session.bearer != bearer or request.cookie("AgentSession") != session.cookie:
            raise Refusal(401, "not this session's cookie", 10)
        return session

    def _base(self, session: AgentSession) -> str:
        return f"http://{self.host}/api/account/{ACCOUNT}/agentSession/{session.id}"

    def _get_availability(self, request: Request, id: str) -> tuple[int, Any]:
        session = self._session(request, id)
        names = {1: "Offline", 2: "Online", 3: "Occupied", 4: "Away"}
        return 200, {"availability": {"chat": names[session.agent.state], "voice": "Offline"}}

    def _put_availability(self, request: Request, id: str) -> tuple[int, Any]:
        session = self._session(request, id)
        states = {"Online": 2, "Occupied": 3, "Away": 4}
        if request.command != "POST" or set(request.json) != {"availability"}:
            raise Refusal(405, "a PUT goes as a POST", 2)
        session.agent.state = states[request.json["availability"]["chat"]]
        for chat in self.chats.values():
            if chat.rings_at is None and chat.holder is None and chat.state == "waiting":
                self._route(chat)
        return 200, {}

    def _incoming(self, request: Request, id: str) -> tuple[int, Any]:
        session = self._session(request, id)
        ringing = self._ringing(session.agent)
        node: Json = {"ringingCount": str(len(ringing))}
        if ringing:
            node["link"] = {"@href": f"{self._base(session)}/incomingRequests", "@rel": "next"}
        return 200, {"incomingRequests": node}

    def _accept(self, request: Request, id: str) -> tuple[int, Any]:
        session = self._session(request, id)
        if request.json != {}:
            raise Refusal(400, "Bad request", 33)
        ringing = self._ringing(session.agent)
        if not ringing:
            raise Refusal(400, "no chat rings", 5)
        chat = ringing[0]
        chat.rings_at, chat.holder, chat.state = None, session.agent.id, "chatting"
        chat.add(**{"@type": "state", "state": "chatting"})
        chat.add(**_system(f"You are now chatting with {session.agent.nickname}.", 3))
        href = f"{self._base(session)}/chat/{chat.id}"
        return 201, {"chatLocation": {"link": {"@href": href, "@rel": "location"}}}

    def _chat_sessions(self, request: Request, id: str) -> tuple[int, Any]:
        session = self._session(request, id)
        held = [
            {
                "link": {"href": f"{self._base(session)}/chat/{chat.id}", "rel": "chat-session"},
                "chatSessionKey": chat.id,
                "startTime": 1440934609097,
            }
            for chat in self.chats.values()
            if chat.holder == session.agent.id and chat.state == "chatting"
        ]
        return 200, {"chatSessions": {"chatSession": self._bare(held)} if held else {}}

    def _bare(self, items: list[Any]) -> Any:
        return items[0] if len(items) == 1 and self.single_as_object else items

    # -- a chat -------------------------------------------------------------------------------

    def _held(self, request: Request, id: str, chat_id: str) -> tuple[AgentSession, Chat]:
        session = self._session(request, id)
        chat = self.chats.get(chat_id)
        if chat is None or chat.holder != session.agent.id:
            raise Refusal(404, "no such chat", 12)
        return session, chat

    def _events_node(self, session: AgentSession, chat: Chat, request: Request) -> Json:
        first = int(request.query.get("from", "0"))
        base = f"{self._base(session)}/chat/{chat.id}/events"
        links = [{"@href": base, "@rel": "self"}, {"@href": f"{base}?from={len(chat.events)}", "@rel": "next"}]
        events = chat.events[first:]
        return {"link": links, **({"event": self._bare(events)} if events else {})}

    def _chat(self, request: Request, id: str, chat_id: str) -> tuple[int, Any]:
        session, chat = self._held(request, id, chat_id)
        base = f"{self._base(session)}/chat/{chat.id}"
        visit = f"{self._base(session)}/visits/visit/{chat.id}"
        rels = {"self": base, "events": f"{base}/events", "info": f"{base}/info", "visit-id": visit}
        rels = {**rels, "transfer": f"{base}/transfer", "agent-survey": f"{base}/survey"}
        links = [{"@href": href, "@rel": rel} for rel, href in rels.items()]
        info = {
            "state": chat.state,
            "chatSessionKey": chat.id,
            "agentName": session.agent.nickname,
            "agentId": int(session.agent.id),
            "startTime": "2026-11-20T08:19:43.976-05:00",
            "chatTimeout": 40,
            "visitorId": 1215602164887992,
            "visitorName": chat.name,
            "rtSessionId": 4295036103,
            "language": "en-US",
            **chat.info,
        }
        return 200, {"chat": {"link": links, "events": self._events_node(session, chat, request), "info": info}}

    def _events(self, request: Request, id: str, chat_id: str) -> tuple[int, Any]:
        session, chat = self._held(request, id, chat_id)
        return 200, {"events": self._events_node(session, chat, request)}

    def _add_event(self, request: Request, id: str, chat_id: str) -> tuple[int, Any]:
        session, chat = self._held(request, id, chat_id)
        body = request.json
        if set(body) != {"event"} or not isinstance(body["event"], dict):
            raise Refusal(400, "only one event", 33)
        if chat.state != "chatting":
            raise Refusal(400, "Cannot add line while not in chat", 5)
        event = body["event"]
        if event.get("@type") == "state" and event == {"@type": "state", "state": "ended"}:
            chat.state = "ended"
            number = chat.add(**event)
        elif event.get("@type") == "line" and set(event) <= {"@type", "text", "textType", "subType", "json"}:
            if not isinstance(event.get("text"), str) or event.get("textType") not in ("plain", "html", "rich-content"):
                raise Refusal(400, "text is required", 33)
            number = chat.add(**event, by=session.agent.nickname, source="agent")
        else:
            raise Refusal(400, "unknown event", 33)
        href = f"{self._base(session)}/chat/{chat.id}/events/{number}"
        return 201, {"chatEventLocation": {"link": {"@href": href, "@rel": "location"}}}

    def _typing(self, request: Request, id: str, chat_id: str) -> tuple[int, Any]:
        _, chat = self._held(request, id, chat_id)
        if request.command != "POST" or request.json.get("agentTyping") not in ("typing", "not-typing"):
            raise Refusal(400, "Bad request", 33)
        chat.agent_typing.append(request.json["agentTyping"])
        return 200, {}

    # -- others -------------------------------------------------------------------------------

    def _skills(self, request: Request, id: str, chat_id: str) -> tuple[int, Any]:
        self._held(request, id, chat_id)
        skills = [
            {"id": skill, "name": name, "onlineAgents": str(self._online(skill))}
            for skill, name in self.skills.items()
            if self._online(skill)
        ]
        return 200, {"transfer": {"skill": self._bare(skills)} if skills else {}}

    def _transfer(self, request: Request, id: str, chat_id: str) -> tuple[int, Any]:
        _, chat = self._held(request, id, chat_id)
        body = request.json
        transfer = body.get("transfer")
        if set(body) != {"transfer"} or not isinstance(transfer, dict) or not {"skill", "agent"} & set(transfer):
            raise Refusal(400, "skill or agent is required", 33)
        target = transfer.get("agent") or transfer["skill"]
        if set(transfer) - {"skill", "agent", "text"} or not isinstance(target.get("id"), int):
            raise Refusal(400, "Bad request", 33)
        if "agent" in transfer:
            found = [agent for agent in self.agents if agent.id == str(target["id"]) and agent.state in (2, 3)]
            if not found:
                raise Refusal(400, "agent is not available", 34)
            chat.holder = found[0].id
            chat.add(**_system("Chat is transferred to an operator.", 13))
        else:
            if not self._online(str(target["id"])):
                raise Refusal(400, "skill is not available", 34)
            chat.holder, chat.state, chat.skill = None, "waiting", str(target["id"])
            chat.add(**_system("Chat is transferred to another skill group.", 15))
            self._route(chat)
        chat.note, chat.transferred_to = transfer.get("text"), {k: v for k, v in transfer.items() if k != "text"}
        return 200, b""

    def _available_agents(self, request: Request, id: str) -> tuple[int, Any]:
        self._session(request, id)
        wanted = {"Offline": 1, "Online": 2, "Occupied": 3, "Away": 4}.get(request.query.get("chatState", ""))
        agents = [
            {
                "@chatState": str(agent.state),
                "@id": agent.id,
                "@maxChats": "-1",
                "@voiceState": "1",
                "nickname": agent.nickname,
                "skills": {"skill": self._bare(list(agent.skills))},
                "userName": agent.login,
            }
            for agent in self.agents
            if wanted in (None, agent.state)
        ]
        return 200, {"availableAgents": {"agents": {"agent": self._bare(agents)} if agents else {}}}

    def _participant(self, request: Request, id: str, participant: str) -> tuple[int, Any]:
        self._session(request, id)
        if participant not in self.participants:
            raise Refusal(404, "no such participant", 12)
        return 200, self.participants[participant]

    def _visit_document(self, request: Request, id: str, chat_id: str) -> tuple[int, Any]:
        self._session(request, id)
        if chat_id not in self.visit_documents:
            raise Refusal(404, "Not Found", 12)
        return 200, self.visit_documents[chat_id]

    def _visit(self, request: Request, account: str, visitor: str) -> tuple[int, Any]:
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.logins:
            raise Refusal(401, "Unauthorized", 10)
        if "cookie" in request.headers:
            raise Refusal(400, "a cookie of an agent session", 33)
        if request.query.get("v") != "1" or not request.query.get("sid"):
            raise Refusal(400, "Problem with query parameters", 33)
        if visitor not in self.visits:
            raise Refusal(404, "Invalid Visitor ID", 37)
        return 200, self.visits[visitor]


_ACCOUNT = rf"/api/account/({ACCOUNT})"
_SESSION = rf"/api/account/{ACCOUNT}/agentSession/(\d+)"
_CHAT = rf"{_SESSION}/chat/([^/]+)"
_ROUTES = [
    (r"/api/account/([^/]+)/service/([^/]+)/baseURI\.json", "GET", "_domain"),
    (rf"{_ACCOUNT}/login", "POST", "_login"),
    (rf"{_ACCOUNT}/refresh", "POST", "_refresh"),
    (rf"{_ACCOUNT}/logout", "POST", "_logout"),
    (rf"{_ACCOUNT}/agentSession", "POST", "_start"),
    (rf"{_SESSION}/availability", "GET", "_get_availability"),
    (rf"{_SESSION}/availability", "PUT", "_put_availability"),
    (rf"{_SESSION}/incomingRequests", "GET", "_incoming"),
    (rf"{_SESSION}/incomingRequests", "POST", "_accept"),
    (rf"{_SESSION}/chatSessions", "GET", "_chat_sessions"),
    (rf"{_SESSION}/availableAgents", "GET", "_available_agents"),
    (rf"{_SESSION}/participantExtendedInfo/([^/]+)", "GET", "_participant"),
    (rf"{_SESSION}/visits/visit/([^/]+)", "GET", "_visit_document"),
    (_CHAT, "GET", "_chat"),
    (rf"{_CHAT}/events", "GET", "_events"),
    (rf"{_CHAT}/events", "POST", "_add_event"),
    (rf"{_CHAT}/info/agentTyping", "PUT", "_typing"),
    (rf"{_CHAT}/transfer", "GET", "_skills"),
    (rf"{_CHAT}/transfer", "POST", "_transfer"),
    (rf"{_ACCOUNT}/monitoring/visitors/([^/]+)/visits/current/state", "GET", "_visit"),
]


class Request:
    """A request as it is being answered."""

    def __init__(self, asked: Asked) -> None:
        self.method = _method(asked)
        self.command = asked.method
        self.path, self.query, self.headers = asked.path, asked.query, asked.headers
        self._asked = asked
        self.sets_cookie: str | None = None

    @property
    def is_json(self) -> bool:
        return self.headers.get("content-type", "").startswith("application/json")

    @property
    def json(self) -> Any:
        return self._asked.json

    def require_json(self) -> None:
        if not self.is_json or self.headers.get("accept") != "application/json":
            raise Refusal(415, "JSON, please", 2)

    def cookie(self, name: str) -> str | None:
        pairs = [each.partition("=") for each in self.headers.get("cookie", "").split("; ")]
        return next((value for key, _, value in pairs if key == name), None)


def _method(asked: Asked) -> str:
    """What is meant: PUT goes as POST."""
    return asked.headers.get("x-http-method-override", asked.method)


def _system(text: str, number: int) -> Json:
    known = {"@type": "line", "textType": "plain", "text": text, "by": "info", "source": "system"}
    return {**known, "systemMessageId": number, "subType": "REGULAR"}
