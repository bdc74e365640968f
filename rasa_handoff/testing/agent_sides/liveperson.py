"""A brand's messaging at LivePerson, behind the Connector API, with one agent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import time
import uuid
from typing import Any

from rasa_handoff.model import Json
from rasa_handoff.testing.agent_sides import AgentSide, Heard
from rasa_handoff.testing.calls import Call
from rasa_handoff.testing.wire import Asked

_ACCOUNT = "12345678"
_CONVERSATION = f"/api/account/{_ACCOUNT}/messaging/consumer/conversation"
_AGENT = {"id": "29c3019d-fe0b-5200-afe8-737abfeae4b4", "role": "ASSIGNED_AGENT"}


class Side(AgentSide):
    """Conversations; what is written in one is numbered from 0 on."""

    def __init__(self) -> None:
        super().__init__()
        self._host = ""
        self._opened = ""  #: the last one
        self._numbers: dict[str, itertools.count[int]] = {}  #: by conversation

    def section(self, url: str) -> Json:
        self._host = url.partition("://")[2]
        names = {_AGENT["id"]: "Robin"}
        known = {"account": _ACCOUNT, "client_id": "stand-in", "client_secret": self.ours, "domain_api": url}
        return {**known, "agent_names": names}

    # -- what the bot asks --------------------------------------------------------------------

    def answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.path.endswith("/baseURI.json"):
            service = asked.path.split("/")[-2]
            return 200, {"service": service, "account": _ACCOUNT, "baseURI": self._host}
        if asked.path.endswith("/app/token"):
            fits = f"client_secret={self.ours}".encode() in asked.body
            return (200, {"access_token": self.theirs, "token_type": "Bearer"}) if fits else (401, {})
        if asked.headers.get("authorization") != self.theirs:
            return 401, {"code": 401, "body": {"title": "Invalid AppJWT", "errorCode": 40102}}
        return self._answer_known(asked)

    def _answer_known(self, asked: Asked) -> tuple[int, Any]:
        if asked.path.endswith("/consumer"):
            return 201, {"token": f"{self.theirs}.{asked.json['ext_consumer_id']}"}
        if asked.path == _CONVERSATION:
            return 200, self._open(asked.json)
        if asked.path == f"{_CONVERSATION}/send":
            return 200, {"reqId": asked.json["id"], "code": "OK", "body": self._sequence_of(asked.json["body"])}
        return 404, {}

    def _open(self, wanted: list[Json]) -> list[Json]:
        profile, request = wanted
        self._opened = str(uuid.uuid4())
        self._numbers[self._opened] = itertools.count()
        return [
            {"code": "OK", "body": {"msg": "OK User Profile set successfully"}, "reqId": profile["id"]},
            {"code": "OK", "body": {"conversationId": self._opened}, "reqId": request["id"]},
        ]

    def _sequence_of(self, body: Json) -> Json:
        return {"sequence": next(self._numbers[body["dialogId"]])} if "dialogId" in body else {}

    def hear(self, asked: Asked) -> Heard | None:
        if asked.path == _CONVERSATION:
            return Heard(what="opened", chat=self._opened)
        if asked.path != f"{_CONVERSATION}/send":
            return None
        body = asked.json["body"]
        if body.get("conversationField", {}).get("conversationState") == "CLOSE":
            return Heard(what="ended", chat=body["conversationId"])
        event = body.get("event", {})
        if event.get("contentType") != "text/plain" or asked.json["id"].startswith("transcript"):
            return None
        return Heard(what="said", chat=body["dialogId"], text=event["message"])

    # -- what the agent does ------------------------------------------------------------------

    def signed(self, call: Call) -> Call:
        digest = hmac.new(self.ours.encode(), call.content, hashlib.sha256).digest()
        return call.having(headers={"x-liveperson-signature": f"sha256={base64.b64encode(digest).decode()}"})

    def accepting(self, chat: str) -> Call:
        return self._state(chat, "OPEN", participants=[_AGENT])

    def writing(self, chat: str, text: str) -> Call:
        change = {
            "sequence": next(self._numbers[chat]),
            "originatorId": _AGENT["id"],
            "originatorMetadata": _AGENT,
            "event": {"type": "ContentEvent", "message": text, "contentType": "text/plain"},
            "conversationId": chat,
            "dialogId": chat,
            "messageAudience": "ALL",
        }
        return _notification("ms.MessagingEventNotification", change)

    def ending(self, chat: str) -> Call:
        return self._state(chat, "CLOSE", participants=[_AGENT], closeReason="AGENT")

    def _state(self, chat: str, state: str, **more: Any) -> Call:
        at = int(time.time() * 1000)
        details = {"skillId": "-1", "brandId": _ACCOUNT, "state": state, "stage": state, "metaDataLastUpdateTs": at}
        result = {"convId": chat, "conversationDetails": {**details, **more}}
        return _notification("cqm.ExConversationChangeNotification", {"type": "UPSERT", "result": result})


def _notification(kind: str, change: Json) -> Call:
    body = {"kind": "notification", "type": kind, "body": {"changes": [change]}}
    return Call(method="POST", path="events", body=body)
