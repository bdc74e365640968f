"""Avaamo: plays the Avaamo platform towards a custom live agent."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from rasa_handoff import signing, strict_json
from rasa_handoff.backends import sources
from rasa_handoff.backends.base import Answer, Backend, Opened, Surroundings, Webhook, hook
from rasa_handoff.backends.http import OPEN_TIMEOUT, TIMEOUT, Http, Reply, answers
from rasa_handoff.backends.oauth import OAuth2, OAuth2Settings
from rasa_handoff.errors import BackendError, Conflict, Malformed
from rasa_handoff.events import AgentJoined, AgentMessage, Closed
from rasa_handoff.model import EndReason, Handoff, Json, Message, Person, Request, Status
from rasa_handoff.settings import (
    TextOrNumber,
    faults_in,
    read_duration_or_off,
    require_address,
    require_headers,
    require_secret,
)
from rasa_handoff.store import Tx, handoffs

# https://docs.avaamo.com/user-guide/how-to/build-agents/configure-agents/switch-to-live-agent/custom-live-agent
_ROOT = "live_agent/custom"
_LONGEST_TEXT = 100_000


class AvaamoBot(BaseModel, extra="forbid", frozen=True):
    """What agents are told of the bot."""

    name: str = "Bot"
    description: str | None = None
    uuid: str | None = None


class AvaamoUser(BaseModel, extra="forbid", frozen=True):
    """Where each field of the user comes from (`rasa_handoff.backends.sources`)."""

    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    display_name: str | None = None  #: by default first and last name
    layer_id: str | None = "request:sender"
    device_uuid: str | None = None  #: by default one for each user and channel
    channel_name: str | None = "request:channel"
    last_visited_page: str | None = None
    custom_properties: dict[str, str] = {}

    def sources(self) -> dict[str, str | None]:
        return {name: getattr(self, name) for name in _SOURCES}


_SOURCES = (
    "first_name",
    "last_name",
    "email",
    "display_name",
    "layer_id",
    "device_uuid",
    "channel_name",
    "last_visited_page",
)


class AvaamoSettings(BaseModel, extra="forbid", frozen=True):
    """Avaamo's section in the settings."""

    webhook_url: str = Field(repr=False)  #: it may have a key in its query
    access_token: str = Field(repr=False)  #: the live agent presents it to us
    headers: dict[str, TextOrNumber] = Field({}, repr=False)
    oauth2: OAuth2Settings | None = None
    bot: AvaamoBot = AvaamoBot()
    user: AvaamoUser = AvaamoUser()
    agent_name: str = "An agent"  #: for users; the protocol does not say who it is
    repeats_within: Any = "10s"  #: the same words of an agent again are a repeat

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from faults_in(self, _CHECKS)
        yield from sources.faults_in_sources(self.user.sources(), "user")
        yield from sources.faults_in_sources(self.user.custom_properties, "user.custom_properties")
        if self.oauth2 is not None:
            yield from ((f"oauth2.{name}", what) for name, what in self.oauth2.faults())
            if any(name.lower() == "authorization" for name in self.headers):
                yield "headers", "must not have Authorization, which is what oauth2 sends; write one of the two"


_CHECKS: dict[str, Callable[[Any], object]] = {
    "webhook_url": require_address,
    "access_token": require_secret,
    "headers": require_headers,
    "repeats_within": read_duration_or_off,
}


class Names:
    """The ids we give, each always the same for what it names, and telling nothing of it."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def conversation(self, sender_id: str) -> str:
        """32 hexadecimal digits: of a user, over many handoffs."""
        return signing.alias(self._secret, "avaamo conversation", sender_id)[:32]

    def uuid(self, kind: str, name: str) -> str:
        return str(uuid.UUID(signing.alias(self._secret, f"avaamo {kind}", name)[:32], version=4))


# What we say: one function for each object of the documentation


def new_chat_request(settings: AvaamoSettings, names: Names, handoff: Handoff, request: Request) -> Json:
    return _event("new_chat_request", handoff.id, handoff.opened_at) | {
        "chat_request": {"uuid": handoff.id},
        "conversation": _conversation(settings, names, handoff, request),
        "bot": _bot(settings, names),
        "user": _user(settings, names, request),
    }


def chat_request_accepted(settings: AvaamoSettings, names: Names, handoff: Handoff, request: Request) -> Json:
    return _event("chat_request_accepted", handoff.id, handoff.accepted_at or time.time()) | {
        "chat_request": {"uuid": handoff.id},
        "conversation": _conversation(settings, names, handoff, request),
    }


def user_message(settings: AvaamoSettings, names: Names, handoff: Handoff, request: Request, message: Message) -> Json:
    return _event("user_message", message.id, message.at) | {
        "conversation": _conversation(settings, names, handoff, request),
        "message": _message(message.id, _content(message), message.at),
    }


def chat_terminated(settings: AvaamoSettings, names: Names, handoff: Handoff, request: Request) -> Json:
    return _event("chat_terminated", handoff.id, handoff.closed_at or time.time()) | {
        "conversation": _conversation(settings, names, handoff, request),
        "bot": _bot(settings, names),
        "user": _user(settings, names, request),
    }


def waiting_request(settings: AvaamoSettings, names: Names, handoff: Handoff, request: Request) -> Json:
    """One of the requests that can be retrieved."""
    return {
        "uuid": handoff.id,
        "created_at": int(handoff.opened_at),
        "conversation": _conversation(settings, names, handoff, request),
        "user": _user(settings, names, request),
    }


def _event(kind: str, about: str, at: float) -> Json:
    """What each event has; sent again it has the same uuid."""
    return {"uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}:{about}")), "event_type": kind, "created_at": at}


def _conversation(settings: AvaamoSettings, names: Names, handoff: Handoff, request: Request) -> Json:
    # As the samples have it; the table of parameters puts the bot first.
    first_name = sources.text(settings.user.first_name, request)
    display_name = ",".join(filter(None, [first_name, settings.bot.name.strip()]))
    return {"uuid": handoff.chat_id or names.conversation(handoff.sender_id), "display_name": display_name}


def _bot(settings: AvaamoSettings, names: Names) -> Json:
    bot = settings.bot
    return {
        "uuid": bot.uuid or names.uuid("bot", bot.name),
        "display_name": bot.name,
        "description": bot.description,
    }


def _user(settings: AvaamoSettings, names: Names, request: Request) -> Json:
    contact = request.callback or {}
    known = {name: sources.text(source, request) for name, source in settings.user.sources().items()}
    whole_name = " ".join(filter(None, [known["first_name"], known["last_name"]]))
    custom = {name: sources.value(each, request) for name, each in settings.user.custom_properties.items()}
    if contact:
        custom["callback"] = contact
    return {
        "uuid": names.uuid("user", request.sender_id),
        "first_name": known["first_name"],
        "last_name": known["last_name"],
        "email": contact.get("email") or known["email"],
        "custom_properties": custom,
        "display_name": contact.get("name") or known["display_name"] or whole_name or None,
        "layer_id": known["layer_id"],
        "device": {
            "device_uuid": known["device_uuid"] or names.uuid("device", f"{request.channel}:{request.sender_id}"),
            "channel_name": known["channel_name"],
            "last_visited_page": known["last_visited_page"],
        },
    }


def _message(message_id: str, content: str, at: float) -> Json:
    return {"uuid": message_id, "content": content, "content_type": "text", "created_at": at}


def _content(message: Message) -> str:
    """The message as text, which is all that the protocol carries."""
    links = [f"[{attachment.kind}: {attachment.url}]" for attachment in message.attachments]
    return "\n".join(filter(None, [message.text, *links]))


# What they say


def read_message(payload: Json, settings: AvaamoSettings) -> AgentMessage:
    """A message of an agent; it has no id.

    Raises:
        Malformed: a field is missing or wrong, or it is something else than text.
    """
    message = strict_json.mapping(payload, "message")
    conversation = strict_json.mapping(message, "conversation")
    if strict_json.text(message, "content_type", max_length=100, required=False) not in (None, "text"):
        raise Malformed('content_type must be "text"; no other is supported')
    return AgentMessage(
        chat_id=strict_json.text(conversation, "uuid", max_length=200),
        agent=_agent(settings),
        text=strict_json.text(message, "content", max_length=_LONGEST_TEXT),
    )


def _agent(settings: AvaamoSettings) -> Person:
    return Person(name=settings.agent_name)


class Avaamo(Backend):
    """A custom live agent, as the Avaamo platform talks to it."""

    name = "avaamo"
    settings_model: ClassVar[type[BaseModel]] = AvaamoSettings
    hears = frozenset({"accepted", "ended"})
    waits_for_agent = True
    settings: AvaamoSettings

    async def start(self, around: Surroundings) -> None:
        await super().start(around)
        self._names = Names(around.access.secret)
        self._http = Http(self.name)
        oauth2 = self.settings.oauth2
        self._oauth2 = OAuth2(self.name, self._http, oauth2, around.now) if oauth2 else None
        self._memory = read_duration_or_off(self.settings.repeats_within) or 0.0

    async def stop(self) -> None:
        await self._http.close()

    async def probe(self) -> str | None:
        return await answers(self.name, self.settings.webhook_url)

    def chat_id_of(self, handoff: Handoff) -> str:
        return self._names.conversation(handoff.sender_id)

    # -- to the live agent --------------------------------------------------------------------

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        event = new_chat_request(self.settings, self._names, handoff, request)
        await self._tell("request a chat", event, OPEN_TIMEOUT)
        return Opened(chat_id=self.chat_id_of(handoff))

    async def leave(self, handoff: Handoff, request: Request) -> str:
        await self._tell("leave a request", new_chat_request(self.settings, self._names, handoff, request))
        return self.chat_id_of(handoff)

    async def accepted(self, handoff: Handoff) -> None:
        request = await self._request_of(handoff)
        await self._tell("confirm a chat", chat_request_accepted(self.settings, self._names, handoff, request))

    async def send(self, handoff: Handoff, message: Message) -> None:
        request = await self._request_of(handoff)
        await self._tell("bring a message", user_message(self.settings, self._names, handoff, request, message))

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        if await self._goes_on(handoff):
            return
        request = await self._request_of(handoff)
        await self._tell("end a chat", chat_terminated(self.settings, self._names, handoff, request))

    async def _goes_on(self, handoff: Handoff) -> bool:
        """Whether the user has asked again meanwhile: the end, which names no request, would end that."""
        latest = await self.around.store.read(lambda tx: handoffs.by_chat(tx, self.name, handoff.chat_id or ""))
        return latest is not None and latest.is_open and latest.id != handoff.id

    async def _request_of(self, handoff: Handoff) -> Request:
        request = await self.around.store.read(lambda tx: handoffs.request_of(tx, handoff.id))
        if request is None:
            raise BackendError(self.name, "tell of a chat", detail="it was deleted meanwhile")
        return request

    async def _tell(self, doing: str, event: Json, timeout: float = TIMEOUT) -> None:
        async def post(token: str | None = None) -> Reply:
            headers = {**self.settings.headers, **({"Authorization": f"Bearer {token}"} if token else {})}
            url = self.settings.webhook_url
            return await self._http.ask(doing, "POST", url, body={"event": event}, headers=headers, timeout=timeout)

        await (self._oauth2.call(post) if self._oauth2 else post())

    # -- from the live agent ------------------------------------------------------------------

    def verify(self, webhook: Webhook) -> None:
        in_query = webhook.query.get("access_token")
        if in_query is not None:
            signing.require_token(in_query, self.settings.access_token)
        else:
            signing.require_bearer(webhook.headers.get("authorization"), self.settings.access_token)

    @hook("GET", f"{_ROOT}/conversations/requests.json")
    async def list_requests(self, webhook: Webhook) -> Answer:
        return Answer(body={"requests": await self.around.store.read(self._waiting)})

    def _waiting(self, tx: Tx) -> list[Json]:
        waiting = [(handoff, handoffs.request_of(tx, handoff.id)) for handoff in handoffs.waiting_at(tx, self.name)]
        return [waiting_request(self.settings, self._names, handoff, asked) for handoff, asked in waiting if asked]

    @hook("PUT", f"{_ROOT}/conversations/<uuid:str>/accept_chat.json")
    async def accept(self, webhook: Webhook) -> Answer:
        handoff = await self.happened(AgentJoined(chat_id=webhook.path["uuid"], agent=_agent(self.settings)))
        request = await self._request_of(handoff)
        return Answer(body={"conversation": _conversation(self.settings, self._names, handoff, request)})

    @hook("POST", f"{_ROOT}/messages.json")
    async def write(self, webhook: Webhook) -> Answer:
        event = read_message(webhook.json(), self.settings)
        message_id = await self.around.store.write(partial(self._write, event=event, said=webhook.body))
        return Answer(body={"message": _message(message_id, event.text, self.around.now())})

    def _write(self, tx: Tx, event: AgentMessage, said: bytes) -> str:
        handoff = handoffs.by_chat(tx, self.name, event.chat_id)
        if handoff is not None and handoff.is_open and handoff.status is not Status.ACTIVE:
            raise Conflict("not_accepted", "the chat request has not been accepted; accept it before writing")
        return self.applied_unnamed(tx, event, said, self._memory)

    @hook("DELETE", f"{_ROOT}/conversations/<uuid:str>/end_chat.json")
    async def end(self, webhook: Webhook) -> Answer:
        await self.around.store.write(partial(self._end, chat_id=webhook.path["uuid"]))
        return Answer(status=204)

    def _end(self, tx: Tx, chat_id: str) -> None:
        handoff = handoffs.by_chat(tx, self.name, chat_id)
        taken = handoff is not None and handoff.status is Status.ACTIVE
        reason = EndReason.AGENT_CLOSED if taken else EndReason.REJECTED
        self.around.applied(tx, self.name, Closed(chat_id=chat_id, reason=reason))
