"""LiveChat on the wire: its accounts, its Customer Chat API and its webhooks, as strict as their documentation.

What it refuses it refuses as they do: with ``{"error": {"type", "message"}}``, and ``oauth_exception`` at the accounts.
"""

from __future__ import annotations

import base64
import itertools
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qs

from rasa_handoff.model import Json
from rasa_handoff.testing import Asked, Call, Wire

ORGANIZATION = "390e44e6-f1e6-4368-a6dd-14a14508c2e0"
CLIENT = "9cf3bf60d3a44f27b3a2a4ad0a8e94f1"
CLIENT_SECRET = "client-secret-0123456789abcdef"
REFRESH_TOKEN = "dal:refresh-0123456789abcdef"
WEBHOOK_SECRET = "webhook-secret-0123456789abcdef"
FORMER_SECRET = "former-webhook-0123456789abcdef"
ACCOUNT = "b7eff798-f8df-4364-8059-649c35c9ed0c"
PAT = "dal:personal-access-token-0123"
REDIRECT = "https://bot.example.com/livechat"
LICENSE = "1234567"
CDN = "https://cdn.livechat-files.com/api/file/lc/att/8948324"
AGENT = "smith@example.com"
HASHED = {AGENT: "bbb67d600796e9f277e360e842418833", "jones@example.com": "ccc67d600796e9f277e360e842418844"}
NAMES = {AGENT: "Agent Smith", "jones@example.com": "Agent Jones"}
LARGEST_TEXT = 16 * 1024
LARGEST_FILE = 10 * 1024 * 1024

# Each action's fields: those it must have, and those it may have.
_FIELDS: Mapping[str, tuple[set[str], set[str]]] = {
    "list_group_statuses": (set(), {"all", "group_ids"}),
    "update_customer": (set(), {"name", "email", "avatar", "session_fields"}),
    "set_customer_session_fields": ({"session_fields"}, set()),
    "start_chat": (set(), {"chat", "active", "continuous"}),
    "resume_chat": ({"chat"}, {"active", "continuous"}),
    "list_chats": (set(), {"limit", "sort_order", "page_id"}),
    "list_threads": ({"chat_id"}, {"sort_order", "limit", "min_events_count", "page_id"}),
    "get_chat": ({"chat_id"}, {"thread_id"}),
    "send_event": ({"chat_id", "event"}, {"attach_to_last_thread"}),
    "send_sneak_peek": ({"chat_id", "sneak_peek_text"}, set()),
    "deactivate_chat": ({"id"}, set()),
    "send_rich_message_postback": ({"chat_id", "thread_id", "event_id", "postback"}, set()),
    "update_thread_properties": ({"chat_id", "thread_id", "properties"}, set()),
}
_EVENT_FIELDS = {
    "message": ({"type", "text"}, {"custom_id", "properties", "postback", "recipients"}),
    "file": ({"type", "url"}, {"alternative_text", "custom_id", "properties", "recipients"}),
}
_STATUS = {
    "authentication": 401,
    "authorization": 403,
    "too_many_requests": 429,
    "internal": 500,
    "service_unavailable": 503,
    "misdirected_request": 421,
    "entity_too_large": 413,
}


class No(Exception):
    """A refusal of theirs."""

    def __init__(self, kind: str, message: str = "", data: Json | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.body = {"error": {"type": kind, "message": message or kind, **({"data": data} if data else {})}}

    @property
    def status(self) -> int:
        return _STATUS.get(self.kind, 400)


@dataclass
class Thread:
    id: str
    events: list[Json] = field(default_factory=list)
    active: bool = True
    queue: Json | None = None
    properties: Json = field(default_factory=dict)


@dataclass
class Chat:
    id: str
    customer: str
    group: int
    threads: list[Thread] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)  #: who is in it, by e-mail address

    @property
    def thread(self) -> Thread:
        return self.threads[-1]


class Vendor:
    """The whole of it, for one test."""

    def __init__(self) -> None:
        self.customers: dict[str, Json] = {}
        self.tokens: dict[str, str] = {}  #: of customers; whose each is
        self.agent_tokens: set[str] = set()
        self.cookies: dict[str, tuple[str, str]] = {}  #: proof and customer, by id
        self.chats: dict[str, Chat] = {}
        self.groups: dict[str, str] = {"0": "online"}
        self.routes_to: list[str] = []  #: the agents who get a new chat at once
        self.queue: Json | None = {"position": 2, "wait_time": 90, "queued_at": "2026-11-20T07:11:28.288340Z"}
        self.sneak_peeks: list[tuple[str, str]] = []
        self.files: list[Json] = []
        self.webhooks: dict[str, Json] = {}
        self.switched_on = False
        self.not_offered: set[str] = set()  #: webhooks that cannot be registered
        self.region: str | None = None  #: where it is, if not where it is asked first
        self.shows_whispers = False  #: in threads, too
        self.headers: dict[str, str] = {}  #: more, of every answer of the API
        self.lives = 28_800  #: seconds, of a customer's token
        self.refuse: dict[str, list[No]] = {}  #: what the next calls of an action get
        self.opened: list[str] = []  #: threads, in order
        self._numbers = itertools.count(1)

    def on(self, wire: Wire) -> None:
        wire.respond("*", "*", self.respond)

    # -- requests -----------------------------------------------------------------------------

    def respond(self, asked: Asked) -> tuple[int, Any, Mapping[str, str]]:
        if asked.path.startswith("/v2/"):
            return self._account(asked)
        try:
            body = self._api(asked)
        except No as no:
            return no.status, no.body, self.headers
        return 200, b"" if body is None else body, self.headers

    def _account(self, asked: Asked) -> tuple[int, Any, Mapping[str, str]]:
        if asked.path == "/v2/token":
            return self._agents_token(asked)
        if asked.path != "/v2/customer/token" or asked.method != "POST":
            return 404, {}, {}
        if asked.headers.get("content-type") != "application/json":
            return 400, {"oauth_exception": "invalid_request", "exception_description": "no JSON"}, {}
        grant = asked.json.get("grant_type")
        if asked.json.get("client_id") != CLIENT or asked.json.get("response_type") != "token":
            return 401, {"oauth_exception": "invalid_client", "exception_description": "client_id"}, {}
        if grant == "agent_token":
            return self._by_agent(asked)
        if grant == "cookie":
            return self._by_cookies(asked)
        return 400, {"oauth_exception": "unsupported_grant_type", "exception_description": str(grant)}, {}

    def _agents_token(self, asked: Asked) -> tuple[int, Any, Mapping[str, str]]:
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        wanted = {"grant_type": "refresh_token", "client_id": CLIENT, "client_secret": CLIENT_SECRET}
        if form != {**wanted, "refresh_token": REFRESH_TOKEN}:
            return 400, {"oauth_exception": "invalid_grant", "exception_description": "invalid refresh token"}, {}
        token = f"dal:agent-{next(self._numbers)}"
        self.agent_tokens.add(token)
        answer = {"access_token": token, "expires_in": 28_800, "token_type": "Bearer", "refresh_token": REFRESH_TOKEN}
        return 200, {**answer, "scope": "customers:own", "account_id": ACCOUNT}, {}

    def _by_agent(self, asked: Asked) -> tuple[int, Any, Mapping[str, str]]:
        if asked.headers.get("authorization", "").removeprefix("Bearer ") not in self.agent_tokens:
            return 401, {"oauth_exception": "access_denied", "exception_description": "invalid access token"}, {}
        customer = asked.json.get("entity_id") or self._new_customer()
        if customer not in self.customers:
            return 400, {"oauth_exception": "invalid_request", "exception_description": "no such entity"}, {}
        return 200, self._token(customer), {}

    def _by_cookies(self, asked: Asked) -> tuple[int, Any, Mapping[str, str]]:
        if asked.json.get("organization_id") != ORGANIZATION or asked.json.get("redirect_uri") != REDIRECT:
            return 400, {"oauth_exception": "invalid_request", "exception_description": "redirect_uri"}, {}
        given = dict(re.findall(r"(__lc_c\w+)=([^;\s]+)", asked.headers.get("cookie", "")))
        proof, customer = self.cookies.get(given.get("__lc_cid", ""), ("", ""))
        if not proof or proof != given.get("__lc_cst"):
            customer = self._new_customer()
        proof = f"proof{next(self._numbers)}"
        self.cookies[customer] = (proof, customer)
        rest = "Path=/v2/customer; Max-Age=63072000; HttpOnly; Secure; SameSite=None"
        # Two headers of one name, which a mapping can only have in two spellings.
        headers = {"Set-Cookie": f"__lc_cid={customer}; {rest}", "set-cookie": f"__lc_cst={proof}; {rest}"}
        return 200, self._token(customer), headers

    def _new_customer(self) -> str:
        customer = str(uuid.uuid4())
        self.customers[customer] = {"id": customer}
        return customer

    def _token(self, customer: str) -> Json:
        token = f"dal:customer-token-{next(self._numbers)}"
        self.tokens[token] = customer
        return {
            "access_token": token,
            "client_id": CLIENT,
            "entity_id": customer,
            "expires_in": self.lives,
            "token_type": "Bearer",
            "organization_id": ORGANIZATION,
        }

    def _api(self, asked: Asked) -> Any:
        found = re.fullmatch(r"/v(\d\.\d)/(customer|configuration)/action/(\w+)", asked.path)
        if found is None or found[1] not in ("3.5", "3.6"):
            raise No("unsupported_version")
        if self.region and asked.headers.get("x-region") != self.region:
            raise No("misdirected_request", "Wrong region", {"region": self.region})
        if found[3] == "get_dynamic_configuration" and asked.method == "GET":
            if asked.query != {"license_id": LICENSE}:
                raise No("license_not_found")
            return {"organization_id": ORGANIZATION, "livechat_active": True, "livechat": {"group_id": 0}}
        if asked.method != "POST":
            raise No("validation", "wrong method")
        return self._configuration(found[3], asked) if found[2] == "configuration" else self._customer(found[3], asked)

    def _customer(self, action: str, asked: Asked) -> Any:
        if asked.query != {"organization_id": ORGANIZATION}:
            raise No("license_not_found")
        customer = self.tokens.get(asked.headers.get("authorization", "").removeprefix("Bearer "))
        if customer is None:
            raise No("authentication", "Authentication error")
        if self.refuse.get(action):
            raise self.refuse[action].pop(0)
        if action == "upload_file":
            return self._upload(asked)
        if asked.headers.get("content-type") != "application/json" or action not in _FIELDS:
            raise No("validation", "Request malformed")
        _require_fields(asked.json, *_FIELDS[action])
        act: Callable[[str, Json], Any] = getattr(self, f"_{action}")
        return act(customer, asked.json)

    # -- the Customer Chat API ----------------------------------------------------------------

    def _list_group_statuses(self, customer: str, body: Json) -> Json:
        wanted = self.groups if body.get("all") else [str(each) for each in body["group_ids"]]
        return {"groups_status": {each: self.groups[each] for each in wanted if each in self.groups}}

    def _update_customer(self, customer: str, body: Json) -> None:
        if not body:
            raise No("validation", "at least one field")
        if "email" in body and "@" not in body["email"]:
            raise No("validation", f"`email` is wrong: {body['email']}")
        self.customers[customer].update(body)

    def _set_customer_session_fields(self, customer: str, body: Json) -> None:
        fields = body["session_fields"]
        if len(fields) > 100 or any(len(pair) != 1 for pair in fields):
            raise No("validation", "`session_fields`")
        if any(not isinstance(value, str) for pair in fields for value in pair.values()):
            raise No("validation", "`session_fields` must be texts")
        self.customers[customer]["session_fields"] = fields

    def _start_chat(self, customer: str, body: Json) -> Json:
        if any(chat.customer == customer for chat in self.chats.values()):
            raise No("limit_reached", "the limit of chats is 1")
        chat = Chat(id=f"PJ0MRSHT{next(self._numbers)}", customer=customer, group=0)
        thread = self._begin(chat, body.get("chat", {}), body)
        self.chats[chat.id] = chat
        return {"chat_id": chat.id, "thread_id": thread.id, "event_ids": [event["id"] for event in thread.events]}

    def _resume_chat(self, customer: str, body: Json) -> Json:
        chat = self._of(customer, body["chat"].get("id"))
        if chat.threads[-1].active:
            raise No("validation", "the chat is active")
        thread = self._begin(chat, body["chat"], body)
        return {"thread_id": thread.id, "event_ids": [event["id"] for event in thread.events]}

    def _begin(self, chat: Chat, asked: Json, body: Json) -> Thread:
        _require_fields(asked, set(), {"id", "access", "thread", "properties"})
        group = (asked.get("access") or {"group_ids": [0]})["group_ids"][0]
        if not isinstance(group, int) or str(group) not in self.groups:
            raise No("group_not_found")
        if self.groups[str(group)] == "offline" and not body.get("continuous"):
            raise No("groups_offline")
        _require_fields(asked.get("thread", {}), set(), {"events", "properties"})
        thread = Thread(id=f"K600PKZ{next(self._numbers)}", queue=None if self.routes_to else self.queue)
        for event in asked.get("thread", {}).get("events", []):
            self._add(thread, event, chat.customer)
        chat.group, chat.agents = group, list(self.routes_to)
        chat.threads.append(thread)
        self.opened.append(thread.id)
        return thread

    def _list_chats(self, customer: str, body: Json) -> Json:
        if not 1 <= body.get("limit", 10) <= 25:
            raise No("validation", "`limit`")
        found = [self._summary(chat) for chat in self.chats.values() if chat.customer == customer]
        return {"chats_summary": found, "total_chats": len(found)}

    def _summary(self, chat: Chat) -> Json:
        return {
            "id": chat.id,
            "last_thread_id": chat.thread.id,
            "users": self._users(chat, hashed=True),
            "access": {"group_ids": [chat.group]},
            "active": chat.thread.active,
        }

    def _list_threads(self, customer: str, body: Json) -> Json:
        if not 1 <= body.get("limit", 3) <= 100:
            raise No("validation", "`limit`")
        chat = self._of(customer, body["chat_id"])
        newest = [self.shown(chat, thread) for thread in reversed(chat.threads)][: body.get("limit", 3)]
        return {"threads": newest, "found_threads": len(chat.threads)}

    def _get_chat(self, customer: str, body: Json) -> Json:
        return self.shown_chat(self._of(customer, body["chat_id"]))

    def shown_chat(self, chat: Chat) -> Json:
        """A chat with its newest thread, as the customer sees it."""
        thread = self.shown(chat, chat.thread)
        return {"id": chat.id, "users": self._users(chat, hashed=True), "access": thread["access"], "thread": thread}

    def _send_event(self, customer: str, body: Json) -> Json:
        chat = self._of(customer, body["chat_id"])
        if not chat.thread.active and not body.get("attach_to_last_thread"):
            raise No("chat_inactive", "Chat is inactive")
        return {"event_id": self._add(chat.thread, body["event"], customer)["id"]}

    def _send_sneak_peek(self, customer: str, body: Json) -> Json:
        self.sneak_peeks.append((self._of(customer, body["chat_id"]).id, body["sneak_peek_text"]))
        return {}

    def _send_rich_message_postback(self, customer: str, body: Json) -> None:
        chat, postback = self._of(customer, body["chat_id"]), body["postback"]
        _require_fields(postback, {"id", "toggled"}, {"button_type", "button_value", "ecommerce"})
        button = self._button(chat, body["thread_id"], body["event_id"], postback["id"])
        if not chat.thread.active:
            raise No("chat_inactive", "Chat is inactive")
        button["user_ids"] = [customer] if postback["toggled"] else []

    def _button(self, chat: Chat, thread_id: str, event_id: str, postback_id: str) -> Json:
        """A button of a rich message that an agent sent."""
        found = [
            button
            for thread in chat.threads
            for event in thread.events
            if (thread.id, event["id"], event["type"]) == (thread_id, event_id, "rich_message")
            for element in event["elements"]
            for button in element["buttons"]
            if button["postback_id"] == postback_id
        ]
        if not found:
            raise No("validation", "`postback`")
        return found[0]

    def _update_thread_properties(self, customer: str, body: Json) -> None:
        chat = self._of(customer, body["chat_id"])
        thread = next((each for each in chat.threads if each.id == body["thread_id"]), None)
        rating = body["properties"].get("rating")
        # Of the properties that are there by default only these are for customers to write.
        if thread is None or set(body["properties"]) != {"rating"} or set(rating) - {"score", "comment"}:
            raise No("validation", "`properties`")
        if type(rating.get("score", 0)) is not int or rating.get("score", 0) not in (0, 1):
            raise No("validation", "`properties.rating.score`")
        thread.properties.update(body["properties"])

    def _deactivate_chat(self, customer: str, body: Json) -> None:
        chat = self._of(customer, body["id"])
        if not chat.thread.active:
            raise No("chat_inactive", "Chat is inactive")
        self._end(chat, "manual_archived_customer")

    def _upload(self, asked: Asked) -> Json:
        kind = asked.headers.get("content-type", "")
        if not kind.startswith("multipart/form-data"):
            raise No("validation", "no form")
        parts = list(
            BytesParser(policy=HTTP)
            .parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + asked.body)
            .iter_parts()
        )
        if [part.get_param("name", header="content-disposition") for part in parts] != ["file"]:
            raise No("validation", "`file`")
        content = parts[0].get_payload(decode=True)
        if len(content) > LARGEST_FILE:
            raise No("entity_too_large")
        name = parts[0].get_filename()
        if name.endswith(".exe"):
            raise No("validation", "executables are not taken")
        self.files.append({"name": name, "content": content, "content_type": parts[0].get_content_type()})
        return {"url": f"{CDN}/{next(self._numbers)}/{name}"}

    def _of(self, customer: str, chat_id: Any) -> Chat:
        chat = self.chats.get(chat_id)
        if chat is None or chat.customer != customer:
            raise No("authorization", "no access to the chat")
        return chat

    def _add(self, thread: Thread, event: Json, author: str) -> Json:
        kind = event.get("type")
        if kind not in _EVENT_FIELDS:
            raise No("validation", "`event.type`")
        _require_fields(event, *_EVENT_FIELDS[kind])
        if not 0 < len(event.get("text", "x").encode()) <= LARGEST_TEXT:
            raise No("validation", "`event.text`")
        if "postback" in event:
            self._require_postback(event["postback"])
        if kind == "file" and not event["url"].startswith(CDN):
            raise No("validation", "`event.url`")
        return self._write(thread, {**event, "author_id": author})

    def _require_postback(self, postback: Json) -> None:
        _require_fields(postback, {"id", "thread_id", "event_id"}, {"type", "value"})
        if ("type" in postback) != ("value" in postback):
            raise No("validation", "`event.postback`")
        [chat] = [chat for chat in self.chats.values() if postback["thread_id"] in [each.id for each in chat.threads]]
        self._button(chat, postback["thread_id"], postback["event_id"], postback["id"])

    def _write(self, thread: Thread, event: Json) -> Json:
        known = {"id": f"{thread.id}_{len(thread.events) + 1}", "created_at": now()}
        thread.events.append({**known, **event})
        return thread.events[-1]

    # -- what the API shows -------------------------------------------------------------------

    def shown(self, chat: Chat, thread: Thread) -> Json:
        """A thread, as the customer sees it: without whispers, if nothing is wrong, and the agents by their other ids."""
        seen = [each for each in thread.events if self.shows_whispers or each.get("visibility", "all") == "all"]
        return {
            "id": thread.id,
            "created_at": "2026-11-20T07:57:41.512000Z",
            "active": thread.active,
            "user_ids": [chat.customer, *(HASHED[agent] for agent in chat.agents)],
            "events": [
                {**each, "author_id": HASHED.get(each.get("author_id", ""), each.get("author_id"))} for each in seen
            ],
            "properties": thread.properties,
            "access": {"group_ids": [chat.group]},
            **({"queue": thread.queue} if thread.queue and thread.active else {}),
        }

    def _users(self, chat: Chat, *, hashed: bool) -> list[Json]:
        agents = [
            {"id": HASHED[each] if hashed else each, "type": "agent", "name": NAMES[each], "present": True}
            for each in chat.agents
        ]
        return [{"id": chat.customer, "type": "customer", "present": True}, *agents]

    # -- what agents do -----------------------------------------------------------------------

    def take(self, chat_id: str, agent: str = AGENT) -> Call:
        """An agent takes the chat."""
        chat = self.chats.get(chat_id)
        if chat is not None:
            chat.agents, chat.thread.queue = [agent], None
        user = {"id": agent, "type": "agent", "name": NAMES[agent], "present": True}
        about = {**self._about(chat_id), "user": user, "reason": "assigned", "requester_id": agent}
        return self.webhook("user_added_to_chat", {**about, "user_type": "agent"}, chat_id)

    def leave(self, chat_id: str, agent: str = AGENT) -> Call:
        self.chats[chat_id].agents.remove(agent)
        about = {**self._about(chat_id), "user_id": agent, "reason": "manual", "requester_id": agent}
        return self.webhook("user_removed_from_chat", about, chat_id)

    def write(self, chat_id: str, text: str, event_id: str | None = None, agent: str = AGENT, **more: Any) -> Call:
        """An agent writes; the same *event_id* again is a repeat."""
        event = {"type": "message", "text": text, "author_id": agent, "visibility": "all", **more}
        chat = self.chats.get(chat_id)
        if chat is None:
            event = {"id": event_id or "K1_1", "created_at": now(), **event}
        else:
            known = next((each for each in chat.thread.events if each["id"] == event_id), None)
            event = known or self._write(chat.thread, {**event, **({"id": event_id} if event_id else {})})
        return self.webhook("incoming_event", {**self._about(chat_id), "event": event}, chat_id)

    def offer(self, chat_id: str, template_id: str, *buttons: Json) -> Call:
        """An agent, or what speaks for one, sends a rich message."""
        all_of_it = [{"user_ids": [], **button} for button in buttons]
        elements = [{"title": "Which one?", "subtitle": "", "buttons": all_of_it}]
        return self.write(chat_id, "", type="rich_message", template_id=template_id, elements=elements)

    def edit(self, chat_id: str, event_id: str, text: str) -> Call:
        event = next(each for each in self.chats[chat_id].thread.events if each["id"] == event_id)
        event["text"] = text
        return self.webhook("event_updated", {**self._about(chat_id), "event": dict(event)}, chat_id)

    def delete(self, chat_id: str, event_id: str) -> Call:
        """An agent takes back what was written."""
        thread = self.chats[chat_id].thread
        thread.events = [each for each in thread.events if each["id"] != event_id]
        return self.webhook("event_deleted", {**self._about(chat_id), "event_id": event_id}, chat_id)

    def end(self, chat_id: str, agent: str | None = AGENT, kind: str = "manual_archived_agent") -> Call:
        """An agent, or (None) their router, ends the chat."""
        about = self._about(chat_id)
        if chat_id in self.chats:
            self._end(self.chats[chat_id], kind)
        return self.webhook("chat_deactivated", {**about, **({"user_id": agent} if agent else {})}, chat_id)

    def _end(self, chat: Chat, kind: str) -> None:
        if chat.thread.active:
            self._write(chat.thread, {"type": "system_message", "system_message_type": kind, "text": "ended"})
        chat.thread.active, chat.thread.queue = False, None

    def _about(self, chat_id: str) -> Json:
        chat = self.chats.get(chat_id)
        return {"chat_id": chat_id, "thread_id": chat.thread.id if chat else "K1"}

    def webhook(self, action: str, payload: Json, chat_id: str) -> Call:
        """What they call us with, but for the secret."""
        chat = self.chats.get(chat_id)
        present = [chat.customer, *chat.agents] if chat else []
        body = {
            "webhook_id": f"webhook-{action}",
            "action": action,
            "organization_id": ORGANIZATION,
            "payload": payload,
            "additional_data": {"chat_presence_user_ids": present},
        }
        return Call(method="POST", path="webhook", body=body)

    # -- the Configuration API ----------------------------------------------------------------

    def _configuration(self, action: str, asked: Asked) -> Any:
        expected = base64.b64encode(f"{ACCOUNT}:{PAT}".encode()).decode()
        if asked.headers.get("authorization") != f"Basic {expected}":
            raise No("authentication", "Authentication error")
        body = asked.json
        if body.get("owner_client_id") != CLIENT:
            raise No("validation", "`owner_client_id`")
        if action == "register_webhook":
            return self._register(body)
        if action == "list_webhooks":
            return list(self.webhooks.values())
        if action == "unregister_webhook":
            _require_fields(body, {"id", "owner_client_id"}, set())
            if self.webhooks.pop(body["id"], None) is None:
                raise No("validation", "`id`")
            return {}
        if action == "enable_license_webhooks":
            self.switched_on = True
            return None
        raise No("validation", "no such action")

    def _register(self, body: Json) -> Json:
        if body.get("action") in self.not_offered:
            raise No("validation", "`action`")
        wanted = {"url", "description", "action", "secret_key", "owner_client_id", "type"}
        _require_fields(body, wanted, {"filters", "additional_data"})
        _require_fields(
            body.get("filters", {}), set(), {"author_type", "only_my_chats", "source_type", "chat_presence"}
        )
        if "author_type" in body.get("filters", {}) and body["action"] not in ("incoming_event", "event_updated"):
            raise No("validation", "`filters.author_type`")
        if sum(each["action"] == body["action"] for each in self.webhooks.values()) >= 3:
            raise No("limit_reached", "three webhooks for each action")
        webhook_id = f"webhook{next(self._numbers)}"
        self.webhooks[webhook_id] = {"id": webhook_id, **body}
        return {"id": webhook_id}


def _require_fields(body: Any, needed: set[str], allowed: set[str]) -> None:
    if not isinstance(body, dict) or needed - body.keys() or body.keys() - needed - allowed:
        raise No("validation", "Request malformed")


def now(ahead: float = 0.0) -> str:
    """This moment, or one that is so many seconds ahead."""
    return datetime.fromtimestamp(time.time() + ahead, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
