"""What agents and their console ask of the desk, over HTTP."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse, redirect

from rasa_handoff import figures
from rasa_handoff import strict_json as read
from rasa_handoff.attachments import MOST
from rasa_handoff.desk import live, openapi, records
from rasa_handoff.desk.backend import Desk
from rasa_handoff.desk.patience import Patience
from rasa_handoff.desk.records import Agent
from rasa_handoff.desk.sessions import Sessions
from rasa_handoff.desk.settings import LONGEST_TEXT
from rasa_handoff.desk.shapes import of_agent, of_chat, of_saved_reply
from rasa_handoff.errors import Malformed, NotAuthentic, UnknownChat
from rasa_handoff.figures import Question
from rasa_handoff.model import Json
from rasa_handoff.runtime import Runtime
from rasa_handoff.store import Tx, handoffs
from rasa_handoff.store.files import KeptFile
from rasa_handoff.web.answers import Handler, add_route, as_json, nothing, payload_of
from rasa_handoff.web.figures import of_figures
from rasa_handoff.web.files import answered, taken
from rasa_handoff.web.pages import Pages

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
        self._sessions = Sessions(running, lambda: self._desk)

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
            ("GET", "/saved-replies", self.saved_replies),
            ("GET", "/chats", self.chats),
            ("GET", "/chats/<chat_id:str>", self.chat),
            ("POST", "/chats/<chat_id:str>/accept", self.accept),
            ("POST", "/chats/<chat_id:str>/messages", self.reply),
            ("DELETE", "/chats/<chat_id:str>/messages/<message_id:uuid>", self.take_back),
            ("POST", "/chats/<chat_id:str>/files", self.give_file),
            ("DELETE", "/chats/<chat_id:str>/files/<file_id:uuid>", self.take_file_back),
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
        agent_id = self._desk.staff.with_token(token)
        if agent_id is None:
            self._patience.lose(address)
            raise NotAuthentic("no agent has this token")
        agent = await self._sessions.named(agent_id)
        return as_json(self._of_session(agent), headers=self._sessions.begun(request, agent_id))

    async def sign_out(self, request: Request) -> HTTPResponse:
        agent = await self._sessions.agent(request)
        await payload_of(request)
        await self._desk.work.set_presence(agent, "away")
        answer = nothing()
        answer.headers.update(self._sessions.ended())
        return answer

    def _of_session(self, agent: Agent) -> Json:
        kept = self._running().files
        known = {"largest_file": kept.largest, "takes_files": kept.are_taken_from("agent")}
        return {"agent": of_agent(self._desk, agent), **known}

    # -- agents -------------------------------------------------------------------------------

    async def me(self, request: Request) -> HTTPResponse:
        return as_json(self._of_session(await self._sessions.agent(request)))

    async def set_presence(self, request: Request) -> HTTPResponse:
        agent = await self._sessions.agent(request)
        presence = read.text(await payload_of(request), "presence", max_length=10)
        if presence not in ("online", "away"):
            raise Malformed("presence must be online or away")
        changed = await self._desk.work.set_presence(agent, "online" if presence == "online" else "away")
        return as_json({"agent": of_agent(self._desk, changed)})

    async def agents(self, request: Request) -> HTTPResponse:
        await self._sessions.agent(request)
        found = await self._running().store.read(records.agents)
        known = [of_agent(self._desk, agent) for agent in found if agent.id in self._desk.staff.members]
        return as_json({"agents": known})

    # -- chats --------------------------------------------------------------------------------

    async def chats(self, request: Request) -> HTTPResponse:
        agent = await self._sessions.agent(request)
        store = self._running().store
        found = {
            "waiting": await self._desk.work.waiting(agent),
            "open": await store.read(records.open_chats),
            "closed": await store.read(records.closed),
        }
        listed = {name: [of_chat(self._desk, chat) for chat in chats] for name, chats in found.items()}
        return as_json({"now": time.time(), **listed})

    async def chat(self, request: Request, chat_id: str) -> HTTPResponse:
        await self._sessions.agent(request)
        store = self._running().store
        chat = await store.read(lambda tx: records.chat(tx, chat_id))
        if chat is None:
            raise UnknownChat("no such chat")
        asked = await store.read(lambda tx: handoffs.request_of(tx, chat_id))
        lines = await store.read(lambda tx: records.messages(tx, chat_id))
        others = await store.read(partial(records.earlier, chat=chat))
        return as_json(
            {
                "chat": of_chat(self._desk, chat),
                "transcript": [asdict(line) for line in asked.transcript] if asked else [],
                "parameters": asked.parameters if asked else {},
                "messages": [asdict(line) for line in lines],
                "earlier": [of_chat(self._desk, each) for each in others],
            }
        )

    async def accept(self, request: Request, chat_id: str) -> HTTPResponse:
        agent = await self._sessions.agent(request)
        await payload_of(request)
        return as_json({"chat": of_chat(self._desk, await self._desk.work.accept(agent, chat_id))})

    async def reply(self, request: Request, chat_id: str) -> HTTPResponse:
        agent = await self._sessions.agent(request)
        payload = await payload_of(request)
        message_id, files = _message_id(payload), _files(payload)
        text = read.text(payload, "text", max_length=LONGEST_TEXT, required=not files) or ""
        line, new = await self._desk.work.reply(agent, chat_id, message_id, text, files)
        return as_json({"message": asdict(line)}, 201 if new else 200)

    async def take_back(self, request: Request, chat_id: str, message_id: uuid.UUID) -> HTTPResponse:
        agent = await self._sessions.agent(request)
        await payload_of(request)
        return as_json({"message": asdict(await self._desk.work.take_back(agent, chat_id, str(message_id)))})

    async def give_file(self, request: Request, chat_id: str) -> HTTPResponse | None:
        agent, runtime = await self._sessions.agent(request), self._running()
        allowed = partial(self._desk.work.require_may_give, agent=agent, chat_id=chat_id)
        return await answered(request, runtime, taken(request, runtime, chat_id, "agent", allowed))

    async def take_file_back(self, request: Request, chat_id: str, file_id: uuid.UUID) -> HTTPResponse:
        await self._sessions.agent(request)
        await payload_of(request)
        # Nobody but the page that gave it has its id, and the chat may be a colleague's by now.
        await self._running().files.take_back(str(file_id), partial(_is_of_agents, chat_id=chat_id))
        return nothing()

    async def typing(self, request: Request, chat_id: str) -> HTTPResponse:
        agent = await self._sessions.agent(request)
        typing = read.boolean(await payload_of(request), "typing")
        await self._desk.work.typing(agent, chat_id, typing)
        return nothing()

    async def transfer(self, request: Request, chat_id: str) -> HTTPResponse:
        agent = await self._sessions.agent(request)
        payload = await payload_of(request)
        if "agent_id" not in payload:
            raise Malformed("agent_id is missing; null gives the chat back to the queue")
        to = read.text(payload, "agent_id", max_length=200, required=False)
        group = read.text(payload, "group", max_length=200, required=False)
        if to is None:
            return as_json({"chat": of_chat(self._desk, await self._desk.work.give_back(agent, chat_id, group))})
        if group is not None:
            raise Malformed("group must be left out where agent_id names an agent")
        return as_json({"chat": of_chat(self._desk, await self._desk.work.transfer(agent, chat_id, to))})

    async def close(self, request: Request, chat_id: str) -> HTTPResponse:
        agent = await self._sessions.agent(request)
        end = _end(await payload_of(request))
        return as_json({"chat": of_chat(self._desk, await self._desk.work.end(agent, chat_id, end))})

    async def saved_replies(self, request: Request) -> HTTPResponse:
        agent = await self._sessions.agent(request)
        person = self._running().settings.agents.of(self._desk.staff.person(agent))
        known = [of_saved_reply(reply, person.name) for reply in self._desk.settings.saved_replies]
        return as_json({"saved_replies": known})

    async def figures(self, request: Request) -> HTTPResponse:
        await self._sessions.agent(request)
        runtime = self._running()
        now = runtime.now()
        question = Question(since=now - _A_DAY, until=now, by="backend")
        report = await figures.report(runtime.store, question)
        at_desk = report.rows.get(self._desk.name) or figures.nothing()
        return as_json({"since": question.since, "until": question.until, "figures": of_figures(at_desk)})

    # -- live, and described ------------------------------------------------------------------

    async def stream(self, request: Request) -> None:
        agent = await self._sessions.agent(request)
        await live.serve(request, self._running(), self._desk, agent)

    async def describe(self, request: Request) -> HTTPResponse:
        return as_json(openapi.DOCUMENT)


def _is_of_agents(tx: Tx, file: KeptFile, chat_id: str) -> bool:
    return (file.who, file.handoff_id) == ("agent", chat_id)


def _message_id(payload: Json) -> str:
    try:
        return str(uuid.UUID(read.text(payload, "id", max_length=36)))
    except ValueError:
        raise Malformed("id must be a UUID of the page's making") from None


def _files(payload: Json) -> list[str]:
    files = read.sequence(payload, "files", max_length=MOST, required=False) or []
    if not all(isinstance(each, str) for each in files):
        raise Malformed("files must be ids of files that were given")
    return files


def _end(payload: Json) -> Json:
    reason = read.text(payload, "reason", max_length=20)
    if reason not in _REASONS:
        raise Malformed(f"reason must be one of {', '.join(_REASONS)}")
    tags = read.sequence(payload, "tags", max_length=20, required=False) or []
    if not all(isinstance(tag, str) and 0 < len(tag) <= 50 for tag in tags):
        raise Malformed("tags must be texts of at most 50 characters")
    note = read.text(payload, "note", max_length=LONGEST_TEXT, required=False)
    return {"reason": reason, "note": note, "tags": tags}
