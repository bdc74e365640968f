"""An agent system over HTTP, as small as one can be: what a backend for a real one does with each message."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel

from benchmarks.servers import BACKEND
from rasa_handoff import signing
from rasa_handoff import strict_json as read
from rasa_handoff.backends.base import Answer, Backend, Opened, Surroundings, Webhook, hook
from rasa_handoff.backends.http import Http
from rasa_handoff.events import AgentMessage
from rasa_handoff.model import EndReason, Handoff, Json, Message, Person, Request, Status

_AGENT = Person(id="bo", name="Bo")


class AgentSystemSettings(BaseModel, extra="forbid", frozen=True):
    """Where it is, and what opens it; we present the token to it, and it to us."""

    url: str
    token: str


class AgentSystem(Backend):
    """Posts each message, and takes an agent's words by webhook."""

    name: ClassVar[str] = BACKEND
    settings_model: ClassVar[type[BaseModel]] = AgentSystemSettings

    async def start(self, around: Surroundings) -> None:
        await super().start(around)
        self._http = Http(self.name)
        self._headers = {"Authorization": f"Bearer {self.settings.token}"}

    async def stop(self) -> None:
        await self._http.close()

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        transcript = [{"who": line.who, "text": line.text} for line in request.transcript]
        await self._post("open a chat", "/chats", {"chat_id": handoff.id, "transcript": transcript})
        return Opened(chat_id=handoff.id, status=Status.ACTIVE, agent=_AGENT)

    async def send(self, handoff: Handoff, message: Message) -> None:
        body = {"id": message.id, "chat_id": handoff.chat_id, "text": message.text}
        await self._post("send a message", "/messages", body)

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        await self._post("close a chat", "/closed", {"chat_id": handoff.chat_id, "reason": reason.value})

    async def _post(self, doing: str, path: str, body: Json) -> None:
        await self._http.ask(doing, "POST", self.settings.url + path, body=body, headers=self._headers, heed=False)

    def verify(self, webhook: Webhook) -> None:
        signing.require_bearer(webhook.headers.get("authorization"), self.settings.token)

    @hook("POST", "messages")
    async def said(self, webhook: Webhook) -> Answer:
        """An agent wrote."""
        body = webhook.json()
        event = AgentMessage(
            chat_id=read.text(body, "chat_id", max_length=100),
            event_id=read.text(body, "id", max_length=100),
            text=read.text(body, "text", max_length=10_000),
            agent=_AGENT,
        )
        await self.happened(event)
        return Answer(status=204)
