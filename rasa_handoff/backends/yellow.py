"""Yellow.ai: plays the Yellow platform towards a custom live agent."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import BaseModel, Field

from rasa_handoff import signing, strict_json
from rasa_handoff.backends import sources
from rasa_handoff.backends.base import Answer, Backend, Opened, Surroundings, Webhook, hook
from rasa_handoff.backends.http import OPEN_TIMEOUT, TIMEOUT, Http, Reply, answers
from rasa_handoff.backends.unanswered import Unanswered
from rasa_handoff.errors import BackendError, Malformed, NotAuthentic, Refused, Unavailable, UnknownChat, WebhookError
from rasa_handoff.events import (
    AgentAway,
    AgentIdle,
    AgentJoined,
    AgentMessage,
    AgentTyping,
    AnyEvent,
    Closed,
    QueueMoved,
    Transferred,
)
from rasa_handoff.model import Attachment, AttachmentKind, EndReason, Handoff, Json, Message, Person, Request, Status
from rasa_handoff.settings import TextOrNumber, faults_in, matching, read_duration_or_off, read_url, require_secret
from rasa_handoff.store import Tx, handoffs

log = logging.getLogger(__name__)

# https://docs.yellow.ai/docs/platform_concepts/appConfiguration/customliveagent (read 2026-11)
_WEBHOOK = "integrations/genericIntegration/custom-live-agent"
_PRIORITIES = ("low", "medium", "high")
_LONGEST_TEXT = 64_000
_LONGEST_NAME = 200
_LONGEST_URL = 2048
_SAY_WHY = range(400, 500)  #: statuses whose bodies may have a message

# What a Rasa channel is as a `source`; others go by their own name.
_SOURCES = dict.fromkeys(("handoff", "rest", "callback", "socketio", "rasa"), "web")


class YellowUser(BaseModel, extra="forbid", frozen=True):
    """Where each field of the user comes from (`rasa_handoff.backends.sources`)."""

    name: str | None = None  #: by default the conversation's name
    mobile: str | None = None
    email: str | None = None


class YellowSettings(BaseModel, extra="forbid", frozen=True):
    """Yellow's section in the settings."""

    needs_public_url: ClassVar[bool] = True

    url: str  #: their {{domainName}}
    company: TextOrNumber  #: their {{companyName}}
    token: str = Field(repr=False)  #: we present it to the agents' side
    webhook_token: str = Field(repr=False)  #: the agents' side presents it to us
    former_webhook_token: str | None = Field(None, repr=False)  #: taken as well, while theirs is being changed
    bearer: bool = True  #: whether `Authorization` has "Bearer " before the token
    user: YellowUser = YellowUser()
    country_code: TextOrNumber | None = None  #: taken off a mobile number, so that ten digits remain
    channels: dict[str, str] = {}  #: Rasa channel -> `source`
    priority: str = "medium"
    category: str | None = None
    custom_fields: dict[str, str] | None = None  #: None: every slot that is set
    history_json: bool = True
    agent_name: str = "An agent"  #: where they do not say who it is
    agent_logout: str = "wait"  #: wait for another agent, or end
    end_text: str = "[The conversation has ended: {reason}.]"
    repeats_within: Any = "10s"
    typing_path: str | None = None
    user_active_path: str | None = None

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from faults_in(self, _CHECKS)
        yield from sources.faults_in_sources(dict(self.user), "user")
        yield from sources.faults_in_sources(self.custom_fields or {}, "custom_fields")


_PATH = r"[\w.~-]+(/[\w.~-]+)*"
_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "url": read_url,
    "company": matching(r"(?s).*\S.*", "is empty; write the name that their addresses end with"),
    "token": require_secret,
    "webhook_token": require_secret,
    "former_webhook_token": require_secret,
    "country_code": matching(r"\d{1,3}", 'must be its digits; write e.g. "91"'),
    "priority": matching("|".join(_PRIORITIES), "must be low, medium or high"),
    "category": sources.require_source,
    "agent_logout": matching("wait|end", "must be wait or end"),
    "repeats_within": read_duration_or_off,
    "typing_path": matching(_PATH, "must be the path in front of the company's name; write e.g. sendTyping"),
    "user_active_path": matching(_PATH, "must be the path in front of the company's name; write e.g. isUserActive"),
}


# What we say: `body.user` and `body.ticket`, nested as their samples have it


def user_of(settings: YellowSettings, request: Request) -> Json:
    """The user; what is mandatory and unknown is an empty text."""
    contact = request.callback or {}
    where = settings.user
    mobile = contact.get("phone") or sources.text(where.mobile, request) or ""
    return {
        "senderId": request.sender_id,
        "userName": contact.get("name") or sources.text(where.name, request) or request.sender_id,
        "userMobile": ten_digits(mobile, settings.country_code),
        "userEmail": contact.get("email") or sources.text(where.email, request) or "",
    }


def ten_digits(number: str, country_code: str | None) -> str:
    """A mobile number as its digits, without the country's where they are ahead of ten others."""
    digits = re.sub(r"\D", "", number, flags=re.ASCII)
    prefix = re.match(rf"0*(?:{country_code})?0*(?=\d{{10}}$)", digits) if country_code else None
    return digits[prefix.end() :] if prefix else digits


def ticket_of(settings: YellowSettings, handoff: Handoff, request: Request, history_url: str) -> Json:
    """A ticket to be created; sent again, for the same group, it has the same messageId."""
    wanted = (request.priority or "").lower()
    history = [{"who": line.who, "text": line.text, "at": line.at} for line in request.transcript]
    known = {
        "messageId": _id_of(handoff.id, f"createTicket {request.group}"),
        **_place(settings, handoff),
        "conversationHistory": history_url,
        "ticketPriority": wanted if wanted in _PRIORITIES else settings.priority,
        "ticketCategory": sources.text(settings.category, request),
        "ticketGroupId": request.group,
        "customFields": custom_fields(settings, request),
        "conversationHistoryJSON": history if settings.history_json else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def custom_fields(settings: YellowSettings, request: Request) -> Json:
    """What the bot's owner chose, else every slot; each value with the type it has."""
    if settings.custom_fields is None:
        found = dict(request.parameters)
    else:
        found = {name: sources.value(source, request) for name, source in settings.custom_fields.items()}
    known = {name: value for name, value in found.items() if value is not None}
    return {**known, "callback": request.callback} if request.callback else known


def _place(settings: YellowSettings, handoff: Handoff) -> Json:
    channel = handoff.channel
    source = settings.channels.get(channel) or _SOURCES.get(channel, channel)
    return {"source": source, "conversationId": handoff.id}


def _id_of(name: str, what: str) -> str:
    """An id for *what* of the thing *name*: the same each time it is sent."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {what}"))


def parts_of(message: Message) -> list[Message]:
    """A user's message as they take it: first the text, then each medium by itself."""
    places = [each.url for each in message.attachments if each.kind == "location"]
    text = "\n".join(filter(None, [message.text, *places]))
    parts = [replace(message, text=text, attachments=())] if text else []
    media = (each for each in message.attachments if each.kind != "location")
    parts += [replace(message, text="", attachments=(each,)) for each in media]
    return [replace(part, id=_id_of(message.id, str(n)) if n else message.id) for n, part in enumerate(parts)]


def said_of(message: Message) -> Json:
    """What a ticket has of one of these parts."""
    if message.attachments:
        return {"messageId": message.id, "messageType": "media", "mediaJson": _media_json(message.attachments[0])}
    return {"messageId": message.id, "messageType": "text", "message": message.text}


def _media_json(medium: Attachment) -> Json:
    return {"type": medium.kind if medium.kind in ("image", "video") else "file", "url": medium.url}


# Why a conversation ended, in words for agents; what they ended themselves they know.
_ENDS = {
    EndReason.USER_LEFT: "the user has left",
    EndReason.USER_IDLE: "the user did not answer any more",
    EndReason.NOT_ACCEPTED: "nobody took it in time",
    EndReason.AGENT_SILENT: "no agent answered in time",
    EndReason.AGENT_LEFT: "the agent logged out",
    EndReason.BOT_RESUMED: "the bot has taken over",
    EndReason.FAILED: "the connection broke off",
}


# What they answer


def read_opened(answer: Json) -> Opened:
    """What became of a request for a ticket.

    Raises:
        Unavailable: nobody is there, and there is no queue.
        Malformed: it names no ticket.
    """
    data = strict_json.mapping(answer, "data")
    queued, available = _flag(data, "isQueued"), _flag(data, "isAgentAvailable")
    if queued is False and available is False:
        raise Unavailable("yellow", "open a chat", detail="no agent is available, and there is no queue")
    return Opened(
        chat_id=_id(data, "ticketId"),
        # Without either flag there is a ticket that somebody has yet to take.
        status=Status.ACTIVE if available and not queued else Status.QUEUED,
        queue_position=_position(data),
        agent=_agent(data),
        notes={"ticketId": data["ticketId"]},  # their number stays a number when it goes back
    )


def _flag(data: Json, name: str) -> bool | None:
    value = data.get(name)
    return {"true": True, "false": False}.get(str(value).lower())


# What they tell us: their event -> ours; any other of theirs is no business of ours


def read_message(payload: Json, settings: YellowSettings) -> AgentMessage:
    message = strict_json.mapping(payload, "message")
    kind = strict_json.text(message, "type", max_length=_LONGEST_NAME)
    content = strict_json.mapping(message, "payLoad")
    said = AgentMessage(**_about(payload), agent=_agent(payload))
    if kind == "text":
        return replace(said, text=strict_json.text(content, "content", max_length=_LONGEST_TEXT))
    if kind == "media":
        return replace(said, attachments=(_medium(strict_json.mapping(content, "content")),))
    raise Malformed("message.type must be text or media")


_KINDS: Mapping[str, AttachmentKind] = {"image": "image", "video": "video", "audio": "audio", "file": "file"}


def _medium(content: Json) -> Attachment:
    kind = strict_json.text(content, "type", max_length=_LONGEST_NAME)
    url = strict_json.text(content, "mediaUrl", max_length=_LONGEST_URL)
    if not re.fullmatch(r"https?://[^\s/?#]+\S*", url, re.IGNORECASE):
        raise Malformed("mediaUrl must be an http:// or https:// address")
    return Attachment(url=url, kind=_KINDS.get(kind.lower(), "file"))


def read_assigned(payload: Json, settings: YellowSettings) -> AgentJoined:
    return AgentJoined(**_about(payload), agent=_agent(payload) or Person(name=settings.agent_name))


def read_closed(payload: Json, settings: YellowSettings) -> Closed:
    return Closed(**_about(payload))


def read_logout(payload: Json, settings: YellowSettings) -> AgentAway | Closed:
    if settings.agent_logout == "end":
        return Closed(**_about(payload), reason=EndReason.AGENT_LEFT)
    return AgentAway(**_about(payload))


def read_inactivity(payload: Json, settings: YellowSettings) -> AgentIdle:
    seconds = strict_json.number(payload, "inactivityDuration", required=False)
    cause = strict_json.text(payload, "inactivityReason", max_length=_LONGEST_NAME, required=False)
    return AgentIdle(**_about(payload), seconds=seconds, cause=cause or None)


# Their document names the next five without a form: it is ours.


def read_queue_position(payload: Json, settings: YellowSettings) -> QueueMoved:
    return QueueMoved(**_about(payload), position=_position(payload))


def read_update(payload: Json, settings: YellowSettings) -> AgentJoined | QueueMoved | None:
    """Of a ticket's details the agent and the place in the queue concern the user."""
    if agent := _agent(payload):
        return AgentJoined(**_about(payload), agent=agent)
    return read_queue_position(payload, settings) if _position(payload) else None


def read_transfer(payload: Json, settings: YellowSettings) -> Transferred:
    return Transferred(**_about(payload), agent=_agent(payload), group=_id(payload, "ticketGroupId", required=False))


def read_agent_active(payload: Json, settings: YellowSettings) -> AgentIdle:
    return AgentIdle(**_about(payload), idle=not strict_json.boolean(payload, "isAgentActive"))


def read_typing(payload: Json, settings: YellowSettings) -> AgentTyping:
    return AgentTyping(**_about(payload), typing=strict_json.boolean(payload, "typing", required=False) is not False)


_READERS: Mapping[str, Callable[[Json, YellowSettings], AnyEvent | None]] = {
    "payload-received-from-agent": read_message,
    "ticket-assigned": read_assigned,
    "ticket-closed": read_closed,
    "agent-logout": read_logout,
    "agent-inactivity": read_inactivity,
    "queue-position": read_queue_position,
    "ticket-updated": read_update,
    "ticket-transferred": read_transfer,
    "agent-active": read_agent_active,
    "agent-typing": read_typing,
}


def _about(payload: Json) -> dict[str, Any]:
    return {"chat_id": _id(payload, "ticketId"), "sender_id": _id(payload, "senderId", required=False)}


def _agent(payload: Json) -> Person | None:
    name = strict_json.text(payload, "agentName", max_length=_LONGEST_NAME, required=False)
    department = strict_json.text(payload, "department", max_length=_LONGEST_NAME, required=False)
    if not name:
        return None
    return Person(name=name, id=_id(payload, "agentId", required=False), department=department or None)


def _position(payload: Json) -> int | None:
    found = strict_json.number(payload, "queuePosition", required=False)
    return int(found) if found is not None and found >= 1 else None


def _id(payload: Json, name: str, *, required: bool = True) -> Any:
    """Theirs, which may be a number or a text, as text."""
    value = payload.get(name)
    if value is None and not required:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return strict_json.text(payload, name, max_length=_LONGEST_NAME)


class Yellow(Backend):
    """A custom live agent, as the Yellow platform talks to it."""

    name = "yellow"
    settings_model: ClassVar[type[BaseModel]] = YellowSettings
    hears = frozenset({"ended"})  # a logout that ends the conversation leaves their ticket open
    settings: YellowSettings

    async def start(self, around: Surroundings) -> None:
        await super().start(around)
        self._http = Http(self.name)
        self._memory = read_duration_or_off(self.settings.repeats_within) or 0.0
        self._unanswered = Unanswered(self.name, around.store, around.now)

    async def stop(self) -> None:
        await self._http.close()

    async def probe(self) -> str | None:
        return await answers(self.name, self.settings.url)

    # -- to the live agent --------------------------------------------------------------------

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        async with self._unanswered.asking(handoff.sender_id, handoff):
            answer = await self._create("open a chat", handoff, request)
            try:
                return read_opened(answer)
            except Malformed as error:
                raise BackendError(self.name, "open a chat", detail=f"an answer that cannot be read: {error}") from None

    async def leave(self, handoff: Handoff, request: Request) -> str | None:
        answer = await self._create("leave a request", handoff, request)
        data = answer.get("data")
        return str(data["ticketId"]) if isinstance(data, dict) and "ticketId" in data else None

    async def _create(self, doing: str, handoff: Handoff, request: Request) -> Json:
        ticket = ticket_of(self.settings, handoff, request, self.around.history_url(handoff))
        return await self._call(doing, "createTicket", user_of(self.settings, request), ticket, OPEN_TIMEOUT)

    def parts(self, message: Message) -> Sequence[Message]:
        return parts_of(message)

    async def send(self, handoff: Handoff, message: Message) -> None:
        action = "sendMedia" if message.attachments else "sendMessage"
        await self._say("bring a message", action, handoff, said_of(message))

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        if reason not in _ENDS or not self.settings.end_text:
            return
        note = self.settings.end_text.replace("{reason}", _ENDS[reason])
        ticket = {"messageType": "text", "message": note, "messageId": _id_of(handoff.id, "end")}
        await self._say("say that a chat is over", "sendMessage", handoff, ticket)

    async def typing(self, handoff: Handoff, typing: bool) -> None:
        if self.settings.typing_path:
            ticket = {"messageId": str(uuid.uuid4()), "typing": typing}
            await self._say("say that the user types", self.settings.typing_path, handoff, ticket)

    async def presence(self, handoff: Handoff, connected: bool) -> None:
        if self.settings.user_active_path:
            ticket = {"messageId": str(uuid.uuid4()), "isUserActive": connected}
            await self._say("say whether the user is there", self.settings.user_active_path, handoff, ticket)

    async def _say(self, doing: str, action: str, handoff: Handoff, ticket: Json) -> None:
        request = await self.around.store.read(lambda tx: handoffs.request_of(tx, handoff.id))
        if request is None:
            raise BackendError(self.name, doing, detail="the request was deleted meanwhile")
        known = user_of(self.settings, request)
        user = {name: known[name] for name in ("senderId", "userName", "userEmail") if known[name]}
        ticket = {**ticket, "ticketId": handoff.notes.get("ticketId", handoff.chat_id)}
        await self._call(doing, action, user, {**ticket, **_place(self.settings, handoff)})

    async def _call(self, doing: str, action: str, user: Json, ticket: Json, timeout: float = TIMEOUT) -> Json:
        settings = self.settings
        url = f"{read_url(settings.url)}/{action}/{quote(settings.company, safe='')}"
        headers = {"Authorization": f"Bearer {settings.token}" if settings.bearer else settings.token}
        body = {"body": {"user": user, "ticket": ticket}}
        reply = await self._http.ask(doing, "POST", url, body=body, headers=headers, also=_SAY_WHY, timeout=timeout)
        return self._taken(doing, reply, [settings.token, *user.values(), ticket.get("message")])

    def _taken(self, doing: str, reply: Reply, private: list[Any]) -> Json:
        """The answer of a call that had an effect; *private* is what no error may repeat."""
        try:
            answer = strict_json.loads_object(reply.body)
        except Malformed:
            answer = {}
        if str(answer.get("status")).lower() == "failure":
            raise Refused(self.name, doing, reply.status, _without(str(answer.get("message", "")), private))
        if reply.status in _SAY_WHY:
            raise BackendError(self.name, doing, reply.status, _REMEDIES.get(reply.status, ""))
        return answer

    # -- from the live agent ------------------------------------------------------------------

    def verify(self, webhook: Webhook) -> None:
        tokens = (self.settings.webhook_token, self.settings.former_webhook_token or "")
        signing.require_token(webhook.headers.get("x-auth-token"), *tokens)

    @hook("POST", _WEBHOOK)
    async def take(self, webhook: Webhook) -> Answer:
        payload = webhook.json()
        name = strict_json.text(payload, "event", max_length=_LONGEST_NAME)
        read = _READERS.get(name)
        event = read(payload, self.settings) if read else None
        if isinstance(event, AgentTyping):
            await self.happened(event)
        elif event is not None:
            await self._tell(event, webhook.body, payload)
        else:
            log.debug("yellow.ignored event=%r", name)
        return Answer(body={"status": "success", "data": payload, "message": "received"})

    async def _tell(self, event: AnyEvent, said: bytes, payload: Json) -> None:
        try:
            await self.happened_unnamed(event, said, self._memory)
        except UnknownChat:
            if not isinstance(event, Closed):
                ticket = Opened(chat_id=event.chat_id, notes={"ticketId": payload["ticketId"]})
                await self.around.store.write(partial(self._end_left, sender_id=event.sender_id or "", ticket=ticket))
            raise

    def _end_left(self, tx: Tx, sender_id: str, ticket: Opened) -> None:
        """Say that nobody waits for a ticket, if it was made by a request of ours whose answer never came."""
        handoff = self._unanswered.left(tx, sender_id)
        if handoff is not None:
            log.info("yellow.opened_late id=%s", handoff.id)
            self._unanswered.settle(tx, sender_id, handoff)
            self.around.end_late(tx, replace(handoff, backend=self.name), ticket)

    def refuse(self, webhook: Webhook, error: WebhookError) -> Answer | None:
        if isinstance(error, NotAuthentic):
            return None
        try:
            payload = webhook.json()
        except Malformed:
            payload = {}
        return Answer(status=error.status, body={"status": "failure", "data": payload, "message": str(error)})


_REMEDIES = {
    401: "they do not take the token; see backends.yellow.token",
    403: "they do not take the token; see backends.yellow.token",
    404: "there is no such address; see backends.yellow.url and company",
}


def _without(message: str, private: list[Any]) -> str:
    """What they say is wrong, on one line, without a secret or what the user said."""
    for each in private:
        if isinstance(each, str) and len(each) > 3:
            message = message.replace(each, "…")
    return " ".join(message.split())
