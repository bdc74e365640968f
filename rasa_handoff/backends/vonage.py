"""Live-agent routing of Vonage AI Studio: here is the studio, and the agents are where its requests go.

https://studio.docs.ai.vonage.com/http/nodes/action/live-agent-routing (read 2026-11)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from rasa_handoff import signing, strict_json
from rasa_handoff.attachments import as_line, ending_of
from rasa_handoff.backends import sources
from rasa_handoff.backends.base import Answer, Backend, Opened, Webhook, hook
from rasa_handoff.backends.http import OPEN_TIMEOUT, TIMEOUT, Http, answers
from rasa_handoff.errors import Conflict, Malformed, NotAuthentic, WebhookError
from rasa_handoff.events import AgentMessage, Closed, MessageStatus
from rasa_handoff.model import (
    Attachment,
    AttachmentKind,
    EndReason,
    Handoff,
    Json,
    Line,
    Message,
    Request,
)
from rasa_handoff.pieces import pieces
from rasa_handoff.settings import (
    DeadlineSetting,
    TextOrNumber,
    faults_in,
    read_duration,
    read_duration_or_off,
    require_address,
    require_headers,
    require_secret,
)

LONGEST_TEXT = 4096  #: characters, to the agents
_LONGEST_FROM_AGENT = 64_000  #: characters; more is refused
_SHORTEST_WAIT, _LONGEST_WAIT = 3600.0, 20 * 3600.0
_WARN_AT = 0.8  #: of the waiting time
_LONGEST_MEMORY = 600.0  #: seconds in which a repeat can be told

# Media that the agents' side takes (the list at the end of the page); anything else goes as a link.
_MEDIA: dict[AttachmentKind, frozenset[str]] = {
    "image": frozenset(("jpg", "jpeg", "png")),
    "audio": frozenset(("aac", "m4a", "amr", "mp3", "opus")),
    "video": frozenset(("mp4", "3gpp", "3gp")),
    "file": frozenset(("zip", "csv", "pdf")),
}
_BY_ENDING: dict[str, AttachmentKind] = {ending: kind for kind, endings in _MEDIA.items() for ending in endings}
_ENDINGS = {  # of media types that are not named like their files
    "image/jpeg": "jpg",
    "audio/mp4": "m4a",
    "audio/x-m4a": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "opus",
}


# Settings, under the names that the fields of the node have


class Endpoint(BaseModel, extra="forbid", frozen=True):
    """Where requests of one kind go."""

    url: str = Field(..., repr=False)  #: it may have a key in its query
    headers: dict[str, TextOrNumber] = Field({}, repr=False)


class Speakers(BaseModel, extra="forbid", frozen=True):
    """What the two sides are called in the transcription."""

    user: str = "user"
    agent: str = "agent"


class VonageSettings(BaseModel, extra="forbid", frozen=True):
    """The section in the settings."""

    vgai_key: str = Field(..., repr=False)
    former_vgai_key: str | None = Field(None, repr=False)
    start_connection: Endpoint
    inbound_transfer: Endpoint
    status_delivery: Endpoint | None = None
    agent_response_waiting_time: Any = "25000s"
    system_parameters: dict[str, str] = {}  #: where each comes from (`rasa_handoff.backends.sources`)
    user_parameters: list[str] = []
    speakers: Speakers = Speakers()
    repeats_within: Any = "10s"
    end_text: str | None = None

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the types cannot say."""
        checks: dict[str, Callable[[Any], object]] = {
            "vgai_key": require_secret,
            "former_vgai_key": require_secret,
            "start_connection": _require_endpoint,
            "inbound_transfer": _require_endpoint,
            "status_delivery": _require_endpoint,
            "agent_response_waiting_time": _read_waiting_time,
            "repeats_within": _read_memory,
        }
        yield from faults_in(self, checks)
        for name, source in self.system_parameters.items():
            try:
                sources.require_source(source)
            except ValueError as error:
                yield f"system_parameters.{name}", str(error)


def _require_endpoint(endpoint: Endpoint) -> None:
    for name, what in faults_in(endpoint, {"url": require_address, "headers": require_headers}):
        raise ValueError(f"`{name}` {what}")


def _read_waiting_time(value: Any) -> float:
    seconds = read_duration(value)
    if not _SHORTEST_WAIT <= seconds <= _LONGEST_WAIT:
        raise ValueError("must be 1 to 20 hours; write e.g. 7h")
    return seconds


def _read_memory(value: Any) -> float:
    seconds = read_duration_or_off(value) or 0.0
    if seconds > _LONGEST_MEMORY:
        raise ValueError("must be at most 10m: what an agent writes again after that is meant; write e.g. 10s, or off")
    return seconds


class Vonage(Backend):
    """Agents behind the endpoints of a Live Agent Routing node."""

    name = "vonage"
    settings_model: ClassVar[type[BaseModel]] = VonageSettings

    def __init__(self, settings: VonageSettings) -> None:
        super().__init__(settings)
        self.settings: VonageSettings = settings
        self._http = Http(self.name)
        self._wait = _read_waiting_time(settings.agent_response_waiting_time)
        self._memory = _read_memory(settings.repeats_within)
        if settings.status_delivery is not None:
            self.hears = frozenset(("status",))

    async def stop(self) -> None:
        await self._http.close()

    async def probe(self) -> str | None:
        return await answers(self.name, self.settings.start_connection.url)

    @property
    def deadlines(self) -> Mapping[str, DeadlineSetting]:
        """One waiting time for every answer of the agents, from start to finish."""
        waiting = DeadlineSetting(after=self._wait, warn=self._wait * _WARN_AT)
        return {"accept": waiting, "agent_reply": waiting, "user_idle": waiting}

    # -- to the agents ------------------------------------------------------------------------

    def chat_id_of(self, handoff: Handoff) -> str:
        return handoff.id

    async def open(self, handoff: Handoff, request: Request) -> Opened:
        values = await self._start_connection("open a chat", handoff, request)
        numbers = {"to": values["SENDER_PHONE_NUMBER"], "from": values["AGENT_PHONE_NUMBER"]}
        return Opened(chat_id=handoff.id, notes={"numbers": numbers})

    async def leave(self, handoff: Handoff, request: Request) -> str:
        await self._start_connection("leave a request", handoff, request)
        return handoff.id

    async def _start_connection(self, doing: str, handoff: Handoff, request: Request) -> dict[str, str]:
        values = parameters(handoff, request, self.settings)
        body = {
            "sessionId": handoff.id,
            "history": {
                "transcription": transcription(request.transcript, self.settings.speakers),
                "parameters": [{"name": name, "value": value} for name, value in values.items()],
            },
        }
        await self._post(doing, self.settings.start_connection, body, handoff.id, OPEN_TIMEOUT)
        return values

    def parts(self, message: Message) -> Sequence[Message]:
        media = [each for each in message.attachments if media_kind(each)]
        links = [as_line(each) for each in message.attachments if not media_kind(each)]
        texts = [piece for text in (message.text, *links) if text for piece in pieces(text, LONGEST_TEXT)]
        parts = [replace(message, text=text, attachments=()) for text in texts]
        parts += [replace(message, text="", attachments=(each,)) for each in media]
        return [replace(part, id=_part_id(message, number)) for number, part in enumerate(parts or [message])]

    async def send(self, handoff: Handoff, message: Message) -> None:
        body = inbound_transfer(handoff.id, message)
        await self._post("send a message", self.settings.inbound_transfer, body, message.id)

    async def close(self, handoff: Handoff, reason: EndReason) -> None:
        """Nothing in the protocol says that the user's side ended a chat; a text can."""
        if self.settings.end_text:
            text = self.settings.end_text.replace("{reason}", reason.value)
            body = {"sessionId": handoff.chat_id, "text": text, "type": "text"}
            await self._post("end a chat", self.settings.inbound_transfer, body, f"{handoff.chat_id}.end")

    async def report(self, handoff: Handoff, status: MessageStatus) -> None:
        if self.settings.status_delivery is not None:
            body = status_delivery(handoff, status, self.around.now())
            key = f"{status.message_id}.{status.state}"
            await self._post("report a status", self.settings.status_delivery, body, key)

    async def _post(self, doing: str, endpoint: Endpoint, body: Json, key: str, timeout: float = TIMEOUT) -> None:
        # The bodies have no ids; who wants to recognise what was sent again finds one in this header.
        headers = {"Idempotency-Key": key, **endpoint.headers}
        await self._http.ask(doing, "POST", endpoint.url, body=body, headers=headers, heed=False, timeout=timeout)

    # -- from the agents ----------------------------------------------------------------------

    def verify(self, webhook: Webhook) -> None:
        keys = (self.settings.vgai_key, self.settings.former_vgai_key or "")
        signing.require_token(webhook.headers.get("x-vgai-key"), *keys)

    @hook("POST", "live-agent/outbound/<session_id:str>")
    async def outbound(self, webhook: Webhook) -> Answer:
        """An agent writes. What is answered tells which of the statuses will be about it."""
        event = read_outbound(webhook.path["session_id"], webhook.json())
        message_id = await self.happened_unnamed(event, webhook.body, self._memory)
        return Answer(body={"message_uuid": message_id})

    @hook("POST", "live-agent/disconnect/<session_id:str>")
    async def disconnect(self, webhook: Webhook) -> Answer:
        """An agent ends the chat; nothing in the body matters."""
        await self.happened(Closed(chat_id=webhook.path["session_id"]))
        return Answer(body={})

    def refuse(self, webhook: Webhook, error: WebhookError) -> Answer | None:
        """The studio's form of an error, in which a session that is over is not found."""
        if isinstance(error, NotAuthentic):
            return None
        status = 404 if isinstance(error, Conflict) else error.status
        title = "Not Found" if status == 404 else "Bad Request"
        return Answer(status=status, body={"statusCode": status, "error": title, "message": str(error)})


# What agents send


def read_outbound(session_id: str, payload: Json) -> AgentMessage:
    """An agent's message: ``{"text"}``, or a message of the Messages API."""
    kind = strict_json.text(payload, "message_type", max_length=100, required=False) or "text"
    read = _READERS.get(kind)
    if read is None:
        raise Malformed(f"message_type must be one of: {', '.join(_READERS)}")
    return read(session_id, payload)


def _read_text(session_id: str, payload: Json) -> AgentMessage:
    return AgentMessage(chat_id=session_id, text=strict_json.text(payload, "text", max_length=_LONGEST_FROM_AGENT))


def _media_reader(kind: AttachmentKind) -> Callable[[str, Json], AgentMessage]:
    def read(session_id: str, payload: Json) -> AgentMessage:
        media = strict_json.mapping(payload, kind)
        try:
            return _read_media(session_id, kind, media)
        except Malformed as error:
            raise Malformed(f"{kind}.{error}") from None

    return read


def _read_media(session_id: str, kind: AttachmentKind, media: Json) -> AgentMessage:
    url = strict_json.text(media, "url", max_length=2048)
    if not re.match(r"https?://[^\s/?#]", url) or re.search(r"\s", url):
        raise Malformed("url must be an http:// or https:// address")
    name = strict_json.text(media, "name", max_length=300, required=False)
    caption = strict_json.text(media, "caption", max_length=_LONGEST_FROM_AGENT, required=False)
    return AgentMessage(
        chat_id=session_id, text=caption or "", attachments=(Attachment(url=url, kind=kind, name=name or None),)
    )


# https://developer.vonage.com/en/api/messages (read 2026-11): message_type -> reader
_READERS: dict[str, Callable[[str, Json], AgentMessage]] = {
    "text": _read_text,
    "image": _media_reader("image"),
    "audio": _media_reader("audio"),
    "video": _media_reader("video"),
    "file": _media_reader("file"),
}


# What agents get


def transcription(lines: Sequence[Line], speakers: Speakers) -> list[dict[str, str]]:
    """Who said what, one key each; the bot is the agent of the studio."""
    return [{speakers.user if line.who == "user" else speakers.agent: line.text} for line in lines]


def parameters(handoff: Handoff, request: Request, settings: VonageSettings) -> dict[str, str]:
    """The system parameters, present also where they are empty, then the slots; a slot of that name comes first."""
    said = [line.text for line in request.transcript if line.who == "user"]
    started = _moment(next((line.at for line in request.transcript if line.at), handoff.opened_at))
    initial = said[0] if said else ""
    contact = request.callback or {}
    system = {
        "SENDER_PHONE_NUMBER": _phone_number(request.sender_id) or re.sub(r"\D", "", contact.get("phone", "")),
        "PROFILE_NAME": contact.get("name", ""),
        "AGENT_PHONE_NUMBER": "",
        "CONVERSATION_START_DATE": f"{started:%Y-%m-%d}",
        "CONVERSATION_START_TIME": f"{started:%H:%M:%S}",
        "INITIAL_MESSAGE": initial,
        "INITIAL_MESSAGE_PAYLOAD": json.dumps({"text": initial, "type": "text"}, ensure_ascii=False),
        "SESSION_ID": handoff.id,
        "AGENT_ID": "",
    }
    chosen = {name: sources.text(source, request) or "" for name, source in settings.system_parameters.items()}
    slots = {
        f"USER.{name}" if name in settings.user_parameters else name: as_text(value)
        for name, value in request.parameters.items()
    }
    details = {f"callback_{name}": value for name, value in contact.items()}
    return {**system, **slots, **chosen, **details}


def _phone_number(sender_id: str) -> str:
    """The user's number, where the channel calls its users by it, as Twilio does; without a plus, as in the studio."""
    found = re.fullmatch(r"(?:\w+:)?\+?(\d{7,15})", sender_id, re.ASCII)
    return found[1] if found else ""


def as_text(value: Any) -> str:
    """A slot's value as a parameter has it: text, and JSON for what is more than one value."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def inbound_transfer(session_id: str, message: Message) -> Json:
    """One part of what a user said."""
    for each in message.attachments:
        kind = media_kind(each)
        if kind:
            media = {"url": each.url, "name": each.name}
            return {"sessionId": session_id, "type": kind, kind: {k: v for k, v in media.items() if v}}
    return {"sessionId": session_id, "text": message.text, "type": "text"}


def media_kind(attachment: Attachment) -> AttachmentKind | None:
    """As what the agents' side takes *attachment*; None: as a link."""
    ending = _ending(attachment)
    if ending is not None:
        return _BY_ENDING.get(ending)
    return attachment.kind if attachment.kind in _MEDIA else None


def _ending(attachment: Attachment) -> str | None:
    """What the file's name ends in, or would; None where nothing tells."""
    if attachment.mime:
        mime = attachment.mime.partition(";")[0].strip().lower()
        return _ENDINGS.get(mime, mime.partition("/")[2])
    return ending_of(attachment)


def _part_id(message: Message, number: int) -> str:
    return f"{message.id}.{number + 1}" if number else message.id


def status_delivery(handoff: Handoff, status: MessageStatus, now: float) -> Json:
    """What became of an agent's message, as the Messages API tells it, with the session.

    https://developer.vonage.com/en/messages/concepts/messages-status-callbacks (read 2026-11)
    """
    at = _moment(status.at or now).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    numbers = handoff.notes.get("numbers", {"to": "", "from": ""})
    body: Json = {
        "sessionId": handoff.chat_id,
        "message_uuid": status.message_id,
        **numbers,
        "timestamp": at,
        "status": status.state,
        "channel": handoff.channel,
    }
    if status.state == "rejected":
        detail = status.cause or "the message could not be brought to the user"
        body["error"] = {"type": "about:blank", "title": "Rejected", "detail": detail, "instance": status.message_id}
    return body


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, timezone.utc)
