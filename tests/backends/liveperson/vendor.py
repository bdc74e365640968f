"""LivePerson as a real HTTP server: strict where the documentation is, and with its own bodies for errors."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt

from rasa_handoff.model import Json
from rasa_handoff.testing import Asked, Call, Wire

ACCOUNT = "42257269"
CLIENT_ID = "81fad476-88af-4d08-bc0e-20bc69439ed4"
CLIENT_SECRET = "client-secret-of-the-app-installation"
FORMER_SECRET = "client-secret-of-the-app-before-this"
ROOT = f"/api/account/{ACCOUNT}"
CONVERSATION = f"{ROOT}/messaging/consumer/conversation"
SEND = f"{CONVERSATION}/send"
TOKEN = f"/sentinel{ROOT}/app/token"
CONSUMER = f"{ROOT}/consumer"
SERVICES = ("sentinel", "idp", "asyncMessagingEnt", "swift")
AGENT, OTHER_AGENT, BOT = "29c3019d-fe0b-5200-afe8-737abfeae4b4", "4d1c33a5-0000-4000-8000-000000000002", "52e05c00"

Answer = tuple[int, Any]


class Wrong(Exception):
    """A request that LivePerson does not take."""

    def __init__(self, status: int, title: str, code: int | None = None) -> None:
        body: Json = {"title": title, "details": title}
        if code is not None:
            body["errorCode"] = code
        self.answer = status, {"kind": "resp", "code": status, "body": body, "type": ".ReqBody$ErrorResp"}
        super().__init__(title)


@dataclass
class Conversation:
    """One of a consumer."""

    id: str
    consumer: str
    wanted: list[Json]
    open: bool = True
    published: list[Json] = field(default_factory=list)  #: the requests, in the order of their sequence
    rating: Json | None = None


class LivePersonSide:
    """The platform.

    Args:
        now: seconds since the epoch; tokens end by it.
    """

    def __init__(self, wire: Wire, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.conversations: dict[str, Conversation] = {}
        self.files: dict[str, bytes] = {}
        self.app_life = 3600.0  #: seconds
        self._wire = wire
        self._key = uuid.uuid4().hex
        self._revoked: set[str] = set()
        self._consumers: dict[str, str] = {}  #: by their JWS
        self._numbers = itertools.count(1)
        self._uploads: dict[str, str] = {}  #: path -> signature
        self._timestamps = itertools.count(1_545_398_580_042)
        self._answers: dict[str, Callable[[Asked], Answer]] = {
            TOKEN: self._app_token,
            CONSUMER: self._consumer_token,
            CONVERSATION: self._converse,
            SEND: self._send,
        }
        wire.respond("*", "*", self._respond)

    # -- what a test looks at -----------------------------------------------------------------

    @property
    def last(self) -> Conversation:
        return list(self.conversations.values())[-1]

    def sent(self, path: str = SEND) -> list[Json]:
        """The bodies that arrived at *path*."""
        return [asked.json for asked in self._wire.taken("POST", path)]

    def said(self, kind: str = "ContentEvent") -> list[tuple[str, Json]]:
        """What was published, as id and event."""
        published = [body for each in list(self.conversations.values()) for body in each.published]
        return [(each["id"], each["body"]["event"]) for each in published if each["body"]["event"]["type"] == kind]

    def texts(self) -> list[str]:
        return [event["message"] for _, event in self.said() if isinstance(event["message"], str)]

    def revoke_app_tokens(self) -> None:
        self._key = uuid.uuid4().hex

    def revoke_consumers(self) -> None:
        self._consumers.clear()

    # -- HTTP ---------------------------------------------------------------------------------

    def _respond(self, asked: Asked) -> Answer:
        try:
            if asked.path.endswith("/baseURI.json"):
                return self._domain(asked)
            if asked.path.startswith("/v1/AUTH_async-images/"):
                return self._storage(asked)
            return self._answers[asked.path](asked)
        except Wrong as wrong:
            return wrong.answer
        except KeyError:
            return 404, {"kind": "resp", "code": 404}

    def _domain(self, asked: Asked) -> Answer:
        service = asked.path.split("/")[-2]
        if asked.query != {"version": "1.0"} or f"/account/{ACCOUNT}/" not in asked.path or service not in SERVICES:
            return 400, {}
        host = self._wire.url.removeprefix("http://")
        return 200, {"service": service, "account": ACCOUNT, "baseURI": host}

    # -- tokens -------------------------------------------------------------------------------

    def _app_token(self, asked: Asked) -> Answer:
        _require(asked.query == {"v": "1.0", "grant_type": "client_credentials"}, 400, "bad query")
        _require(asked.headers["content-type"] == "application/x-www-form-urlencoded", 415, "not a form")
        form = dict(each.split("=", 1) for each in asked.body.decode().split("&"))
        _require(form.keys() == {"client_id", "client_secret"}, 400, "invalid_request")
        _require(form == {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}, 401, "invalid_client")
        now = int(self.now())
        claims = {"aud": f"acc:{ACCOUNT}", "azp": CLIENT_ID, "scope": "msg.consumer", "iss": "Sentinel"}
        claims |= {"iat": now, "exp": now + self.app_life, "jti": str(next(self._numbers))}
        return 200, {"access_token": jwt.encode(claims, self._key), "token_type": "Bearer"}

    def _require_app(self, asked: Asked) -> None:
        token = asked.headers.get("authorization")
        _require(token is not None, 401, "AppJWT is missing", 40105)
        try:
            options = {"verify_aud": False, "verify_exp": False, "verify_iat": False}
            claims = jwt.decode(token or "", self._key, ["HS256"], options=options)
        except jwt.InvalidTokenError:
            raise Wrong(401, "Invalid AppJWT", 40102) from None
        _require(claims["exp"] > self.now(), 401, "Invalid AppJWT", 40102)

    def _consumer_token(self, asked: Asked) -> Answer:
        _require(asked.query == {"v": "1.0"}, 400, "bad query")
        self._require_app(asked)
        _require(asked.json.keys() == {"ext_consumer_id"} and asked.json["ext_consumer_id"], 400, "bad body")
        consumer = asked.json["ext_consumer_id"]
        claims = {"account_id": ACCOUNT, "ext_consumer_id": consumer, "lp_consumer_id": lp_consumer_id(consumer)}
        token = jwt.encode({**claims, "jti": str(next(self._numbers))}, uuid.uuid4().hex)
        self._consumers[token] = consumer
        return 201, {"token": token}

    def _require_consumer(self, asked: Asked) -> str:
        _require(asked.query == {"v": "3"}, 400, "bad query")
        _require(asked.headers.get("content-type") == "application/json", 415, "not JSON")
        self._require_app(asked)
        token = asked.headers.get("x-lp-on-behalf")
        _require(token is not None, 401, "ConsumerJWS is missing", 40104)
        _require(token in self._consumers, 401, "Invalid ConsumerJWS", 40103)
        return self._consumers[token or ""]

    # -- conversations ------------------------------------------------------------------------

    def _converse(self, asked: Asked) -> Answer:
        consumer, wanted = self._require_consumer(asked), asked.json
        _require(isinstance(wanted, list) and len(wanted) == 2, 400, "two requests are needed")
        profile, request = wanted
        for each, kind in ((profile, "userprofile.SetUserProfile"), (request, "cm.ConsumerRequestConversation")):
            _require(each.keys() == {"kind", "id", "type", "body"}, 400, "bad request")
            _require((each["kind"], each["type"]) == ("req", kind), 400, "wrong order")
        _require_profile(profile["body"])
        _require_wanted(request["body"])
        if any(each.open for each in self.conversations.values() if each.consumer == consumer):
            raise Wrong(400, "the consumer has an open conversation")
        opened = Conversation(id=str(uuid.uuid4()), consumer=consumer, wanted=wanted)
        self.conversations[opened.id] = opened
        return 200, [
            {"code": "OK", "body": {"msg": "OK User Profile set successfully"}, "reqId": profile["id"]},
            {"code": "OK", "body": {"conversationId": opened.id}, "reqId": request["id"]},
        ]

    def _send(self, asked: Asked) -> Answer:
        consumer, said = self._require_consumer(asked), asked.json
        _require(isinstance(said, dict), 400, "one request a call")
        _require(said.keys() == {"kind", "id", "type", "body"} and said["kind"] == "req", 400, "bad request")
        take = {
            "ms.PublishEvent": self._publish,
            "cm.UpdateConversationField": self._update,
            "ms.GenerateURLForUploadFile": self._upload_url,
            "ms.GenerateURLForDownloadFile": self._download_url,
        }.get(said["type"])
        if take is None:
            raise Wrong(400, "unknown type")
        return 200, {"reqId": said["id"], "code": "OK", "body": take(consumer, said)}

    def _own(self, consumer: str, conversation_id: str) -> Conversation:
        found = self.conversations.get(conversation_id.removesuffix("-survey"))
        if found is None or found.consumer != consumer:
            raise Wrong(400, "no such conversation of this consumer")
        return found

    def _publish(self, consumer: str, said: Json) -> Json:
        body = said["body"]
        _require(body.keys() == {"dialogId", "event"}, 400, "bad body")
        conversation = self._own(consumer, body["dialogId"])
        _require(conversation.open, 400, "the dialog is closed")
        _require_event(body["event"], self.files)
        conversation.published.append(said)
        return {"sequence": len(conversation.published) - 1}

    def _update(self, consumer: str, said: Json) -> Json:
        body = said["body"]
        _require(body.keys() == {"conversationId", "conversationField"}, 400, "bad body")
        conversation, change = self._own(consumer, body["conversationId"]), body["conversationField"]
        if change == {"field": "ConversationStateField", "conversationState": "CLOSE"}:
            _require(conversation.open, 400, "the conversation is closed")
            conversation.open = False
            return {"msg": "OK Conversation resolved successfully"}
        _require(change.get("field") == "CSATRate" and change.get("csatRate") in range(1, 6), 400, "bad field")
        _require(change.keys() <= {"field", "csatRate", "csatResolutionConfirmation", "status"}, 400, "bad field")
        _require(change["status"] in ("FILLED", "PARTIALLY_FILLED", "SKIPPED"), 400, "bad status")
        conversation.rating = change
        return {"msg": "OK"}

    # -- files --------------------------------------------------------------------------------

    def _upload_url(self, consumer: str, said: Json) -> Json:
        body = said["body"]
        _require(body.keys() == {"fileSize", "fileType"}, 400, "bad body")
        _require(body["fileType"] in ("JPG", "JPEG", "PNG", "GIF"), 400, "unsupported file type")
        _require(0 < int(body["fileSize"]) <= 3 * 1024 * 1024, 400, "too large")
        return self._place(f"/v1/AUTH_async-images/{ACCOUNT}/{uuid.uuid4()}.{body['fileType']}")

    def _download_url(self, consumer: str, said: Json) -> Json:
        _require(said["body"].keys() == {"relativePath"}, 400, "bad body")
        _require(said["body"]["relativePath"] in self.files, 400, "no such file")
        return self._place(said["body"]["relativePath"])

    def _place(self, path: str) -> Json:
        self._uploads[path] = uuid.uuid4().hex
        return {
            "relativePath": path,
            "queryParams": {"temp_url_sig": self._uploads[path], "temp_url_expires": str(int(self.now()) + 60)},
        }

    def _storage(self, asked: Asked) -> Answer:
        if asked.query.get("temp_url_sig") != self._uploads.get(asked.path):
            return 401, b"401 Unauthorized: Temp URL invalid"
        if asked.method == "PUT":
            self.files[asked.path] = asked.body
            return 201, b""
        return 200, self.files[asked.path]

    def open(self, name: str, consumer: str) -> None:
        """A conversation that somebody else has opened."""
        self.conversations[name] = Conversation(id=name, consumer=consumer, wanted=[])

    # -- webhooks -----------------------------------------------------------------------------

    def message(self, conversation: str, event: Json, sequence: int | None = None, **more: Any) -> Json:
        """A change of a ``ms.MessagingEventNotification``; by default the assigned agent's."""
        role, writer = more.pop("role", "ASSIGNED_AGENT"), more.pop("writer", AGENT)
        change = {
            "originatorId": writer,
            "originatorMetadata": {"id": writer, "role": role},
            "serverTimestamp": next(self._timestamps),
            "event": event,
            "conversationId": conversation,
            "dialogId": conversation,
            "messageAudience": "ALL",
            **({} if sequence is None else {"sequence": sequence}),
            **more,
        }
        return {name: value for name, value in change.items() if value is not None}

    def text(self, conversation: str, text: str, sequence: int, **more: Any) -> Json:
        event = {"type": "ContentEvent", "message": text, "contentType": "text/plain"}
        return self.message(conversation, event, sequence, **more)

    def state(self, conversation: str, agent: str | None = None, **more: Any) -> Json:
        """A change of a ``cqm.ExConversationChangeNotification``."""
        known = self.conversations.get(conversation)
        consumer = lp_consumer_id(known.consumer if known else "of another app")
        people = [{"id": consumer, "role": "CONSUMER"}, {"id": BOT, "role": "CONTROLLER"}]
        people += [{"id": agent, "role": "ASSIGNED_AGENT"}] if agent else []
        at = next(self._timestamps)
        main = {"dialogId": conversation, "dialogType": "MAIN", "channelType": "MESSAGING", "state": "OPEN"}
        details = {
            "skillId": "-1",
            "participants": people,
            "dialogs": [{**main, "creationTs": at, "metaDataLastUpdateTs": at, **more.pop("main", {})}],
            "brandId": ACCOUNT,
            "state": "OPEN",
            "stage": "OPEN",
            "startTs": at,
            "metaDataLastUpdateTs": at,
            "ttr": {"ttrType": "PRIORITIZED", "value": 600},
            **more,
        }
        return {
            "type": "UPSERT",
            "result": {"convId": conversation, "effectiveTTR": -1, "conversationDetails": details},
        }

    def closed(self, conversation: str, reason: str = "AGENT", agent: str | None = AGENT) -> Json:
        """The same, of a conversation that ends with it."""
        if conversation in self.conversations:
            self.conversations[conversation].open = False
        over = {"state": "CLOSE", "closedBy": reason}
        return self.state(conversation, agent, main=over, state="CLOSE", stage="CLOSE", closeReason=reason)


def lp_consumer_id(consumer: str) -> str:
    """What LivePerson calls a consumer: as long as in its samples, and telling nothing of our name."""
    return hashlib.sha256(f"{ACCOUNT} {consumer}".encode()).hexdigest()


def messages(*changes: Json) -> Call:
    """A notification with these messages."""
    return _notification("ms.MessagingEventNotification", changes)


def states(*changes: Json) -> Call:
    """A notification with these changes of conversations."""
    return _notification("cqm.ExConversationChangeNotification", changes)


def _notification(kind: str, changes: tuple[Json, ...]) -> Call:
    return Call(
        method="POST", path="events", body={"kind": "notification", "body": {"changes": list(changes)}, "type": kind}
    )


def signed(call: Call, secret: str = CLIENT_SECRET, scheme: str = "sha1") -> Call:
    """*call* with the signature that LivePerson gives it."""
    digest = hmac.new(secret.encode(), call.content, getattr(hashlib, scheme)).digest()
    return call.having(headers={"x-liveperson-signature": f"{scheme}={base64.b64encode(digest).decode()}"})


# What is strict


def _require(true: bool, status: int, title: str, code: int | None = None) -> None:
    if not true:
        raise Wrong(status, title, code)


def _require_profile(body: Json) -> None:
    if not body:
        return
    _require(body.keys() == {"authenticatedData"} and body["authenticatedData"].keys() == {"lp_sdes"}, 400, "profile")
    for attribute in body["authenticatedData"]["lp_sdes"]:
        inside = {"ctmrinfo": "info", "personal": "personal"}.get(attribute.get("type"))
        _require(inside is not None and attribute.keys() == {"type", inside}, 400, "unsupported attribute")


def _require_wanted(body: Json) -> None:
    known = {"ttrDefName", "campaignInfo", "conversationContext", "channelType", "brandId", "skillId"}
    _require(body.keys() <= known, 400, "unknown field")
    _require(body.get("brandId") == ACCOUNT, 400, "Brand Id is missing", 40001)
    _require(body.get("channelType") == "MESSAGING", 400, "channelType")
    _require(body.get("ttrDefName") in (None, "NORMAL", "URGENT", "PRIORITIZED"), 400, "ttrDefName")
    context = body.get("conversationContext")
    _require(context is None or context.get("type") == "SharkContext", 400, "conversationContext")


def _require_event(event: Json, files: dict[str, bytes]) -> None:
    kind = event.get("type")
    if kind == "ChatStateEvent":
        states = ("ACTIVE", "INACTIVE", "GONE", "COMPOSING", "PAUSE")
        _require(event.keys() == {"type", "chatState"} and event["chatState"] in states, 400, "chatState")
    elif kind == "AcceptStatusEvent":
        _require(event.keys() == {"type", "status", "sequenceList"}, 400, "bad event")
        _require(event["status"] in ("ACCEPT", "READ", "NACK"), 400, "status")
        _require(all(isinstance(each, int) for each in event["sequenceList"]), 400, "sequenceList")
    else:
        _require(kind == "ContentEvent" and event.keys() == {"type", "contentType", "message"}, 400, "bad event")
        _require_content(event, files)


def _require_content(event: Json, files: dict[str, bytes]) -> None:
    if event["contentType"] == "text/plain":
        _require(isinstance(event["message"], str) and event["message"] != "", 400, "message")
        return
    message = event["message"]
    _require(event["contentType"] == "hosted/file", 400, "contentType")
    _require(message.keys() <= {"caption", "relativePath", "fileType", "preview"}, 400, "bad file")
    _require(message["relativePath"] in files, 400, "the file has not been uploaded")
    _require(len(json.dumps(message.get("preview", ""))) < 30 * 1024, 400, "the preview is too large")
