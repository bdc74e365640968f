"""An agent system over HTTP, as small as one can be: what an adapter to a real one does for each message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any, Callable, ClassVar

import aiohttp
from pydantic import BaseModel
from rasa.core.channels.channel import InputChannel, UserMessage
from sanic import Blueprint
from sanic.request import Request as HTTPRequest
from sanic.response import HTTPResponse

from rasa_handoff import signing
from rasa_handoff import strict_json as read
from rasa_handoff.backends.base import Backend, Opened, Surroundings
from rasa_handoff.errors import BackendError, ChatGone, TemporaryError
from rasa_handoff.events import AgentMessage
from rasa_handoff.model import EndReason, Handoff, Json, Message, Person, Request, Status
from rasa_handoff.runtime import Runtime
from rasa_handoff.web.answers import answering, nothing, payload_of

NAME = "benchmark"
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_AGENT = Person(id="bo", name="Bo")


class AgentSystemSettings(BaseModel, extra="forbid", frozen=True):
    """Where it is, and what opens it."""

    url: str
    token: str


class AgentSystem(Backend):
    """Posts each message, and takes an agent's words by webhook (`AgentSystemInput`)."""

    name: ClassVar[str] = NAME
    settings_model: ClassVar[type[BaseModel]] = AgentSystemSettings

    async def start(self, around: Surroundings) -> None:
        await super().start(around)
        headers = {"Authorization": f"Bearer {self.settings.token}", "Content-Type": "application/json"}
        self._session = aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT)

    async def stop(self) -> None:
        await self._session.close()

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        transcript = [{"who": line.who, "text": line.text} for line in request.transcript]
        await self._post("open a chat", "/chats", {"chat_id": handoff.id, "transcript": transcript})
        return Opened(chat_id=handoff.id, status=Status.ACTIVE, agent=_AGENT)

    async def send(self, handoff: Handoff, message: Message) -> None:
        await self._post(
            "send a message", "/messages", {"id": message.id, "chat_id": handoff.chat_id, "text": message.text}
        )

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        await self._post("close a chat", "/closed", {"chat_id": handoff.chat_id, "reason": reason.value})

    async def _post(self, doing: str, path: str, payload: Json) -> None:
        body = json.dumps(payload, ensure_ascii=False).encode()
        try:
            async with self._session.post(self.settings.url + path, data=body) as answer:
                status, detail = answer.status, await answer.text()
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise TemporaryError(NAME, doing, detail=type(error).__name__) from error
        if status in (404, 410):
            raise ChatGone(NAME, doing, status)
        if status == 429 or status >= 500:
            raise TemporaryError(NAME, doing, status, detail)
        if status >= 400:
            raise BackendError(NAME, doing, status, detail)


class AgentSystemInput(InputChannel):
    """Its webhook, as a channel so that credentials.yml can switch it on."""

    @classmethod
    def name(cls) -> str:
        return "agent_system"

    def blueprint(self, on_new_message: Callable[[UserMessage], Awaitable[Any]]) -> Blueprint:
        blueprint = Blueprint("agent_system_webhook", __name__)
        blueprint.add_route(answering(_receive), "/", ["POST"], name="receive", stream=True)
        return blueprint


async def _receive(request: HTTPRequest) -> HTTPResponse:
    runtime = _runtime_of(request)
    signing.require_bearer(request.headers.get("authorization"), runtime.settings.backends[NAME].token)
    payload = await payload_of(request)
    said = AgentMessage(
        chat_id=read.text(payload, "chat_id", max_length=100),
        event_id=read.text(payload, "id", max_length=100),
        text=read.text(payload, "text", max_length=10_000),
        agent=_AGENT,
    )
    await runtime.switchboard.apply(NAME, said)
    return nothing()


def _runtime_of(request: HTTPRequest) -> Runtime:
    handoff = next(each for each in request.app.ctx.input_channels if each.name() == "handoff")
    running: Runtime = handoff.running()
    return running
