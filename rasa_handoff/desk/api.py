"""What agents and their console ask of the desk, over HTTP."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse, redirect

from rasa_handoff import figures, signing
from rasa_handoff import strict_json as read
from rasa_handoff.desk import openapi, records
from rasa_handoff.desk.backend import AgentChanged, AgentThere, ChatChanged, Desk, MessageChanged, UserTyped
from rasa_handoff.desk.patience import Patience
from rasa_handoff.desk.presence import GRACE
from rasa_handoff.desk.records import Agent, Chat
from rasa_handoff.errors import Malformed, NotAuthentic, UnknownChat
from rasa_handoff.figures import Question
from rasa_handoff.model import Json
from rasa_handoff.runtime import Runtime
from rasa_handoff.store import Shared, Tx, handoffs
from rasa_handoff.store.users import Erased
from rasa_handoff.web import sse
from rasa_handoff.web.answers import Handler, add_route, as_json, nothing, payload_of
from rasa_handoff.web.figures import of_figures
from rasa_handoff.web.pages import Pages

COOKIE = "handoff_desk"
_SESSION = 12 * 3600.0  #: seconds
_LONGEST_TEXT = 10_000
_A_DAY = 86_400.0  #: seconds that the figures are of
_REASONS = ("resolved", "unresolved", "spam", "other")


class DeskApi:
    """The routes under ``/desk``.

    Args:
        running: gives the runtime, which is there once the server has started.
    """

    def __init__(self, running: Callable[[], Runtime], now: Callable[[], float] = time.monotonic) -> None:
        self._running = running
        self._pages = Pages("rasa_handoff.desk", "console.html")
        self._patience = Patience(now)

    def add_to(self, blueprint: Blueprint) -> None:
        """Register every route; their table is docs/http.md, their description openapi.json."""
        add_route(blueprint, "GET", "/desk/", self._page, "desk_page", strict_slashes=True)
        add_route(blueprint, "GET", "/desk", self._to_page, "desk_to_page", strict_slashes=True)
        add_route(blueprint, "GET", "/desk/<name:str>", self._file, "desk_file")
        routes: tuple[tuple[str, str, Handler], ...] = (
            ("POST", "/session", self.sign_in),
            ("DELETE", "/session", self.sign_out),
            ("GET", "/me", self.me),
            ("PUT", "/me/presence", self.set_presence),
            ("GET", "/agents", self.agents),
            ("GET", "/figures", self.figures),
            ("GET", "/chats", self.chats),
            ("GET", "/chats/<chat_id:str>", self.chat),
            ("POST", "/chats/<chat_id:str>/accept", self.accept),
            ("POST", "/chats/<chat_id:str>/messages", self.reply),
            ("POST", "/chats/<chat_id:str>/typing", self.typing),
            ("POST", "/chats/<chat_id:str>/transfer", self.transfer),
            ("POST", "/chats/<chat_id:str>/close", self.close),
            ("GET", "/stream", self.stream),
            ("GET", "/openapi.json", self.describe),
        )
        for method, path, handler in routes:
            add_route(blueprint, method, f"/desk/api{path}", handler, f"desk_{handler.__name__}")

    @property
    def _desk(self) -> Desk:
        desk = self._running().backends.get("desk")
        if not isinstance(desk, Desk):
            raise UnknownChat("the desk is not among the backends")
        return desk

    # -- pages --------------------------------------------------------------------------------

    async def _page(self, request: Request) -> HTTPResponse:
        return self._pages.serve(request)

    async def _to_page(self, request: Request) -> HTTPResponse:
        return redirect(f"{request.path}/")

    async def _file(self, request: Request, name: str) -> HTTPResponse:
        return self._pages.serve(request, name)

    # -- sessions -----------------------------------------------------------------------------

    async def sign_in(self, request: Request) -> HTTPResponse:
        payload = await payload_of(request)
        address = request.remote_addr or request.ip
        self._patience.require(address)
        token = read.text(payload, "token", max_length=500)
        agent_id = self._agent_with(token)
        if agent_id is None:
            self._patience.lose(address)
            raise NotAuthentic("no agent has this token")
        agent = await self._agent(agent_id)
        headers = {"Set-Cookie": self._cookie(agent_id, secure=_is_https(request))}
        return as_json({"agent": self._of_agent(agent)}, headers=headers)

    async def sign_out(self, request: Request) -> HTTPResponse:
        agent = await self._signed_in(request)
        await payload_of(request)
        await self._desk.set_presence(agent, "away")
        answer = nothing()
        answer.headers["Set-Cookie"] = f"{COOKIE}=; Max-Age=0; HttpOnly; SameSite=Strict"
        return answer

    def _agent_with(self, token: str) -> str | None:
        """Compares with every agent's token, so that time tells nothing."""
        found = None
        for agent_id, (_, known) in self._desk.agents.items():
            try:
                signing.require_token(token, known)
            except NotAuthentic:
                continue
            found = agent_id
        return found

    def _cookie(self, agent_id: str, *, secure: bool) -> str:
        # The agent's token is part of the purpose: who gets a new one has to sign in anew.
        value = signing.sign(self._secret, self._purpose(agent_id), agent_id, time.time() + _SESSION)
        end = "; Secure" if secure else ""
        return f"{COOKIE}={quote(agent_id)}:{value}; Max-Age={int(_SESSION)}; HttpOnly; SameSite=Strict{end}"

    @property
    def _secret(self) -> str:
        return self._running().access.secret

    def _purpose(self, agent_id: str) -> str:
        _, token = self._desk.agents.get(agent_id, ("", ""))
        return f"desk session {token}"

    async def _signed_in(self, request: Request) -> Agent:
        """The agent who asks, before anything of the body is read.

        Raises:
            NotAuthentic: nobody we know.
        """
        scheme, _, token = (request.headers.get("authorization") or "").partition(" ")
        # Another scheme is a matter between the browser and a proxy in front of us.
        bearer = scheme.lower() == "bearer"
        agent_id = self._agent_with(token.strip()) if bearer else self._in_cookie(request)
        if agent_id is None or agent_id not in self._desk.agents:
            raise NotAuthentic("not signed in")
        return await self._agent(agent_id)

    def _in_cookie(self, request: Request) -> str:
        quoted, _, signed = (request.cookies.get(COOKIE) or "").partition(":")
        agent_id = unquote(quoted)
        if agent_id not in self._desk.agents:
            raise NotAuthentic("not signed in")
        if request.method != "GET":
            self._require_own_origin(request)
        return signing.require_signed(self._secret, self._purpose(agent_id), signed, time.time())

    def _require_own_origin(self, request: Request) -> None:
        origin = request.headers.get("origin")
        if origin is None:
            return
        scheme, _, host = origin.partition("://")
        ours = {request.headers.get("host"), urlsplit(self._running().settings.public_url or "").netloc}
        # No host at all is that of a sandboxed frame, or of a file.
        if scheme not in ("http", "https") or not host or host not in ours:
            raise NotAuthentic("the request comes from another site")

    async def _agent(self, agent_id: str) -> Agent:
        agent = await self._running().store.read(lambda tx: records.agent(tx, agent_id))
        if agent is None:
            raise NotAuthentic("no such agent")
        return agent

    # -- agents -------------------------------------------------------------------------------

    async def me(self, request: Request) -> HTTPResponse:
        return as_json({"agent": self._of_agent(await self._signed_in(request))})

    async def set_presence(self, request: Request) -> HTTPResponse:
        agent = await self._signed_in(request)
        presence = read.text(await payload_of(request), "presence", max_length=10)
        if presence not in ("online", "away"):
            raise Malformed("presence must be online or away")
        changed = await self._desk.set_presence(agent, "online" if presence == "online" else "away")
        return as_json({"agent": self._of_agent(changed)})

    async def agents(self, request: Request) -> HTTPResponse:
        await self._signed_in(request)
        found = await self._running().store.read(records.agents)
        known = [self._of_agent(agent) for agent in found if agent.id in self._desk.agents]
        return as_json({"agents": known})

    # -- chats --------------------------------------------------------------------------------

    async def chats(self, request: Request) -> HTTPResponse:
        await self._signed_in(request)
        lists = {"waiting": records.waiting, "open": records.open_chats, "closed": records.closed}
        store = self._running().store
        found = {name: await store.read(query) for name, query in lists.items()}
        listed = {name: [self._of_chat(chat) for chat in chats] for name, chats in found.items()}
        return as_json({"now": time.time(), **listed})

    async def chat(self, request: Request, chat_id: str) -> HTTPResponse:
        await self._signed_in(request)
        store = self._running().store
        chat = await store.read(lambda tx: records.chat(tx, chat_id))
        if chat is None:
            raise UnknownChat("no such chat")
        asked = await store.read(lambda tx: handoffs.request_of(tx, chat_id))
        lines = await store.read(lambda tx: records.messages(tx, chat_id))
        return as_json(
            {
                "chat": self._of_chat(chat),
                "transcript": [asdict(line) for line in asked.transcript] if asked else [],
                "parameters": asked.parameters if asked else {},
                "messages": [asdict(line) for line in lines],
            }
        )

    async def accept(self, request: Request, chat_id: str) -> HTTPResponse:
        agent = await self._signed_in(request)
        await payload_of(request)
        return as_json({"chat": self._of_chat(await self._desk.accept(agent, chat_id))})

    async def reply(self, request: Request, chat_id: str) -> HTTPResponse:
        agent = await self._signed_in(request)
        payload = await payload_of(request)
        text = read.text(payload, "text", max_length=_LONGEST_TEXT)
        line, new = await self._desk.reply(agent, chat_id, _message_id(payload), text)
        return as_json({"message": asdict(line)}, 201 if new else 200)

    async def typing(self, request: Request, chat_id: str) -> HTTPResponse:
        agent = await self._signed_in(request)
        typing = read.boolean(await payload_of(request), "typing")
        await self._desk.agent_typing(agent, chat_id, typing)
        return nothing()

    async def transfer(self, request: Request, chat_id: str) -> HTTPResponse:
        agent = await self._signed_in(request)
        payload = await payload_of(request)
        if "agent_id" not in payload:
            raise Malformed("agent_id is missing; null gives the chat back to the queue")
        to = read.text(payload, "agent_id", max_length=200, required=False)
        return as_json({"chat": self._of_chat(await self._desk.transfer(agent, chat_id, to))})

    async def close(self, request: Request, chat_id: str) -> HTTPResponse:
        agent = await self._signed_in(request)
        end = _end(await payload_of(request))
        return as_json({"chat": self._of_chat(await self._desk.end(agent, chat_id, end))})

    async def figures(self, request: Request) -> HTTPResponse:
        await self._signed_in(request)
        runtime = self._running()
        now = runtime.now()
        question = Question(since=now - _A_DAY, until=now, by="backend")
        report = await figures.report(runtime.store, question)
        at_desk = report.rows.get(self._desk.name) or figures.nothing()
        return as_json({"since": question.since, "until": question.until, "figures": of_figures(at_desk)})

    # -- live ---------------------------------------------------------------------------------

    async def stream(self, request: Request) -> None:
        agent = await self._signed_in(request)
        desk, runtime = self._desk, self._running()
        listener = runtime.hub.listen("desk")
        desk.attendance.came(agent.id)
        runtime.store.tell([AgentThere(agent_id=agent.id), AgentChanged(agent=agent)])
        try:
            await sse.serve(request, self._events(agent, listener))
        finally:
            runtime.hub.leave("desk", listener)
            desk.attendance.went(agent.id)
            runtime.later(GRACE + 1, self._look_again, agent.id)

    async def _events(self, agent: Agent, listener: Any) -> AsyncIterator[str]:
        yield sse.event("hello", json.dumps({"agent": self._of_agent(agent), "now": time.time()}))
        async for fact in sse.heard(listener):
            yield ": alive\n\n" if fact is None else self._as_event(fact)

    def _as_event(self, fact: Any) -> str:
        name, payload = self._told(fact)
        return sse.event(name, json.dumps(payload, ensure_ascii=False))

    def _told(self, fact: ChatChanged | MessageChanged | AgentChanged | UserTyped) -> tuple[str, Json]:
        if isinstance(fact, ChatChanged):
            return "chat", self._of_chat(fact.chat)
        if isinstance(fact, MessageChanged):
            return "message", asdict(fact.message)
        if isinstance(fact, AgentChanged):
            return "agent", self._of_agent(fact.agent)
        return "typing", {"chat_id": fact.chat_id, "typing": fact.typing}

    async def _look_again(self, agent_id: str) -> None:
        """A page went some time ago: its agent may not be there any more."""
        self._running().store.tell([AgentChanged(agent=await self._agent(agent_id))])

    async def describe(self, request: Request) -> HTTPResponse:
        return as_json(openapi.DOCUMENT)

    # -- in the words of docs/http.md ---------------------------------------------------------

    def _of_agent(self, agent: Agent) -> Json:
        presence = "online" if self._desk.attendance.is_there(agent) else "away"
        return {"id": agent.id, "name": agent.name, "presence": presence, "chats": agent.chats}

    def _of_chat(self, chat: Chat) -> Json:
        known = asdict(chat)
        agent_id, agent_name = known.pop("agent_id"), known.pop("agent_name")
        return {
            **known,
            "agent": {"id": agent_id, "name": agent_name} if agent_id else None,
            "user_connected": self._desk.connected.get(chat.id) if chat.state != "closed" else None,
        }


def listen(runtime: Runtime) -> None:
    """Bring the desk's facts to the open consoles, at whatever process they happen."""
    for kind, (key, find) in _TO_CONSOLES.items():
        shared = Shared(kind=kind, key=key, find=find, wanted=lambda *key: runtime.hub.count("desk") > 0)
        runtime.store.share(shared)
        runtime.store.subscribe(kind, lambda fact: runtime.hub.tell("desk", fact))
    runtime.store.subscribe(Erased, lambda erased: runtime.hub.end("desk"))  # consoles come again without those chats


def _chat(tx: Tx, chat_id: str) -> ChatChanged | None:
    chat = records.chat(tx, chat_id)
    return ChatChanged(chat=chat) if chat else None


def _message(tx: Tx, message_id: str) -> MessageChanged | None:
    message = records.message(tx, message_id)
    return MessageChanged(message=message) if message else None


def _agent(tx: Tx, agent_id: str) -> AgentChanged | None:
    agent = records.agent(tx, agent_id)
    return AgentChanged(agent=agent) if agent else None


def _typed(tx: Tx, chat_id: str, typing: bool) -> UserTyped:
    return UserTyped(chat_id=chat_id, typing=typing)


# By what a fact goes to other processes, and how they find it again.
_TO_CONSOLES: dict[type, tuple[Callable[[Any], tuple[Any, ...]], Callable[..., Any]]] = {
    ChatChanged: (lambda fact: (fact.chat.id,), _chat),
    MessageChanged: (lambda fact: (fact.message.id,), _message),
    AgentChanged: (lambda fact: (fact.agent.id,), _agent),
    UserTyped: (lambda fact: (fact.chat_id, fact.typing), _typed),
}


def _message_id(payload: Json) -> str:
    try:
        return str(uuid.UUID(read.text(payload, "id", max_length=36)))
    except ValueError:
        raise Malformed("id must be a UUID of the page's making") from None


def _end(payload: Json) -> Json:
    reason = read.text(payload, "reason", max_length=20)
    if reason not in _REASONS:
        raise Malformed(f"reason must be one of {', '.join(_REASONS)}")
    tags = read.sequence(payload, "tags", max_length=20, required=False) or []
    if not all(isinstance(tag, str) and 0 < len(tag) <= 50 for tag in tags):
        raise Malformed("tags must be texts of at most 50 characters")
    note = read.text(payload, "note", max_length=_LONGEST_TEXT, required=False)
    return {"reason": reason, "note": note, "tags": tags}


def _is_https(request: Request) -> bool:
    return request.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
