"""What the services behind Rasa's channels post, how they sign it, and what they answer."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import jwt
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from rasa_handoff.testing.wire import Asked
from tests.internet import Internet

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SLACK_SECRET, FACEBOOK_SECRET = "slack-signing", "facebook-app"
CREDENTIALS: dict[str, Any] = {
    "botframework": {"app_id": "bot-app", "app_password": "bot-password"},
    "callback": {"url": "https://callback.example/bot"},
    "facebook": {"verify": "verify", "secret": FACEBOOK_SECRET, "page-access-token": "page"},
    "hangouts": {"project_id": "1234"},
    "mattermost": {
        "url": "https://mattermost.example/api/v4",
        "token": "mattermost-token",
        "webhook_url": "https://bot.example/webhooks/mattermost/webhook",
    },
    "rasa": {"url": "https://enterprise.example/api"},
    "rocketchat": {"user": "bot", "password": "rocket", "server_url": "https://chat.example"},
    "slack": {"slack_token": "xoxb-1", "slack_signing_secret": SLACK_SECRET, "use_threads": True},
    "socketio": {"session_persistence": True},
    "telegram": {
        "access_token": "12345:telegram",
        "verify": "spoke_bot",
        "webhook_url": "https://bot.example/webhooks/telegram/webhook",
    },
    "twilio": {"account_sid": "AC1", "auth_token": "twilio", "twilio_number": "+15550001"},
    "twilio_voice": {"initial_prompt": "/greet", "assistant_voice": "woman"},
    "webexteams": {"access_token": "webex"},
}


# -- what is posted ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Post:
    """A request to a channel's webhook."""

    why: str
    body: Any  #: sent as JSON; a string goes as it is, with the Content-Type of the headers
    headers: Mapping[str, str] = field(default_factory=dict)
    sign: Callable[[bytes], Mapping[str, str]] = lambda body: {}
    path: str = "webhook"

    @property
    def content(self) -> bytes:
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()

    def to(self, url: str, channel: str) -> requests.Response:
        sent = {"Content-Type": "application/json", **self.headers, **self.sign(self.content)}
        return requests.post(f"{url}/webhooks/{channel}/{self.path}", self.content, headers=sent, timeout=60)


def form(why: str, **values: str) -> Post:
    return Post(why=why, body=urlencode(values), headers={"Content-Type": "application/x-www-form-urlencoded"})


def from_slack(body: bytes) -> Mapping[str, str]:
    now = str(int(time.time()))
    digest = hmac.new(SLACK_SECRET.encode(), b"v0:" + now.encode() + b":" + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": now, "X-Slack-Signature": f"v0={digest}"}


def from_facebook(body: bytes) -> Mapping[str, str]:
    return {"X-Hub-Signature": "sha1=" + hmac.new(FACEBOOK_SECRET.encode(), body, hashlib.sha1).hexdigest()}


def from_microsoft(body: bytes) -> Mapping[str, str]:
    token = jwt.encode({"aud": "bot-app"}, KEY, "RS256", headers={"kid": "key-1"})
    return {"Authorization": f"Bearer {token}"}


def from_google(body: bytes) -> Mapping[str, str]:
    now = int(time.time())
    claims = {"iss": "chat@system.gserviceaccount.com", "aud": "1234", "iat": now - 5, "exp": now + 600}
    return {"Authorization": "Bearer " + jwt.encode(claims, KEY, "RS256", headers={"kid": "key-1"})}


def from_enterprise(body: bytes) -> Mapping[str, str]:
    return {"Authorization": "Bearer " + jwt.encode({"username": "ann", "scopes": []}, KEY, "RS256")}


def slack_event(why: str, **event: Any) -> Post:
    event = {"type": "message", "user": "U1", "channel": "D1", "channel_type": "im", "ts": "1.1", **event}
    body = {"type": "event_callback", "event": event, "authorizations": [{"user_id": "U0"}], "event_id": why}
    return Post(why=why, body=body, sign=from_slack)


def slack_action(why: str, **action: Any) -> Post:
    payload = {
        "type": "block_actions",
        "user": {"id": "U1"},
        "channel": {"id": "D1"},
        "message": {"ts": "1.2"},
        "actions": [{"type": "button", **action}],
    }
    body = urlencode({"payload": json.dumps(payload)})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Post(why=why, body=body, headers=headers, sign=from_slack)


def facebook(why: str, **event: Any) -> Post:
    messaging = {"sender": {"id": "77"}, "recipient": {"id": "1"}, "timestamp": 1, **event}
    body = {"object": "page", "entry": [{"id": "1", "time": 1, "messaging": [messaging]}]}
    return Post(why=why, body=body, sign=from_facebook)


def activity(why: str, **values: Any) -> Post:
    body = {
        "type": "message",
        "id": "a1",
        "serviceUrl": "https://smba.trafficmanager.net/emea/",
        "channelId": "msteams",
        "from": {"id": "29:ann"},
        "recipient": {"id": "28:bot"},
        "conversation": {"id": "conversation-1"},
        **values,
    }
    return Post(why=why, body=body, sign=from_microsoft)


def google(why: str, **values: Any) -> Post:
    space = {"name": "spaces/S1", "type": "DM"}
    user = {"displayName": "Ann", "name": "users/1"}
    return Post(why=why, body={"space": space, "user": user, **values}, sign=from_google)


def telegram(why: str, **message: Any) -> Post:
    chat = {"id": 55, "type": "private", "first_name": "Ann"}
    body = {"update_id": 1, "message": {"message_id": 9, "date": 1700000000, "chat": chat, **message}}
    return Post(why=why, body=body)


def mattermost(why: str, **values: Any) -> Post:
    return Post(why=why, body={"user_id": "u1", "channel_id": "c1", "post_id": "p1", **values})


def rocket(why: str, **values: Any) -> Post:
    return Post(why=why, body={"channel_id": "r1", "user_name": "ann", "message_id": "m1", **values})


def webex(why: str, message: str) -> Post:
    return Post(why=why, body={"id": "w1", "resource": "messages", "event": "created", "data": {"id": message}})


# -- the services -----------------------------------------------------------------------------


def certificate() -> str:
    """A certificate of `KEY`, as Google gives its keys."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chat")])
    now = datetime.now(timezone.utc)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(KEY, hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def services(internet: Internet) -> None:
    """Answer as the services do."""
    public = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    key = {**json.loads(RSAAlgorithm.to_jwk(KEY.public_key())), "kid": "key-1"}
    when = internet.when
    when("GET", "/v1/.well-known/openidconfiguration", body={"jwks_uri": "https://login.botframework.com/v1/keys"})
    when("GET", "/v1/keys", body={"keys": [key]})
    when("POST", "/botframework.com/oauth2/v2.0/token", body={"access_token": "bf", "expires_in": 3600})
    when("GET", "/service_accounts/v1/metadata/x509/*", body={"key-1": certificate()})
    when("GET", "/api/version", body={"keys": [{"key": public.decode(), "alg": "RS256"}]})
    when("POST", "/api/v1/login", body={"status": "success", "data": {"authToken": "rocket", "userId": "b"}})
    when("POST", "/api/chat.postMessage", body={"ok": True, "ts": "2.1"})
    when("POST", "/api/v4/posts", 201)
    when("POST", "/2010-04-01/*", 201, {"sid": "SM2", "status": "queued"})
    when("GET", "/v1/people/me", body={"id": "bot"})
    when("GET", "/v1/messages/greeting", body={"id": "greeting", "roomId": "r1", "personId": "ann", "text": "/greet"})
    when("GET", "/v1/messages/file", body={"id": "file", "roomId": "r1", "personId": "ann", "files": ["https://x"]})
    when("GET", "/v1/messages/own", body={"id": "own", "roomId": "r1", "personId": "bot", "text": "/greet"})
    when("GET", "/v1/messages/gone", 404, {"message": "gone"})
    internet.respond("POST", "/bot12345:telegram/*", as_telegram)


def as_telegram(asked: Asked) -> tuple[int, Any]:
    sent = {"message_id": 10, "date": 1700000000, "chat": {"id": 55, "type": "private"}}
    me = {"id": 1, "is_bot": True, "first_name": "Spoke", "username": "spoke_bot"}
    results = {"getme": me, "setwebhook": True}
    return 200, {"ok": True, "result": results.get(asked.path.rpartition("/")[2].lower(), sent)}
