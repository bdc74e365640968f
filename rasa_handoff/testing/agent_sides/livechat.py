"""LiveChat, with its accounts and one agent; a new chat waits in the queue for a moment."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone
from typing import Any

from rasa_handoff.model import Json
from rasa_handoff.testing.agent_sides import AgentSide, Heard
from rasa_handoff.testing.calls import Call
from rasa_handoff.testing.wire import Asked, Response

_ORGANIZATION = "390e44e6-f1e6-4368-a6dd-14a14508c2e0"
_AGENT = {"id": "robin@example.com", "type": "agent", "name": "Robin", "present": True}
_NOT_THERE = {"error": {"type": "authorization", "message": "no such chat"}}


class Side(AgentSide):
    """A customer is their token, and has one chat."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1)
        self._chats: dict[str, Json] = {}

    def section(self, url: str) -> Json:
        return {
            "client_id": "stand-in",
            "organization_id": _ORGANIZATION,
            "agent_token": self.ours,
            "webhook_secret": self.theirs,
            "api_url": url,
            "accounts_url": url,
        }

    # -- what the bot asks --------------------------------------------------------------------

    def answer(self, asked: Asked) -> Response:
        if asked.path == "/v2/customer/token":
            return self._token(asked)
        customer = self._customer(asked)
        if not customer.startswith("customer-") or asked.query.get("organization_id") != _ORGANIZATION:
            return 401, {"error": {"type": "authentication", "message": "Authentication error"}}
        return self._act(asked.path.rpartition("/")[2], asked.json, customer)

    def _token(self, asked: Asked) -> Response:
        if asked.headers.get("authorization") != f"Bearer {self.ours}":
            return 401, {"oauth_exception": "access_denied", "exception_description": "the token is wrong"}
        customer = asked.json.get("entity_id") or f"customer-{next(self._numbers)}"
        known = {"entity_id": customer, "organization_id": _ORGANIZATION, "client_id": asked.json["client_id"]}
        return 200, {"access_token": f"{self.theirs}.{customer}", "expires_in": 28_800, "token_type": "Bearer", **known}

    def _customer(self, asked: Asked) -> str:
        """Whose token it is that came along."""
        return asked.headers.get("authorization", "").removeprefix(f"Bearer {self.theirs}.")

    def _act(self, action: str, body: Json, customer: str) -> Response:
        chat = self._chats.get(customer)
        if action == "list_group_statuses":
            return 200, {"groups_status": {"0": "online"}}
        if action == "start_chat" and chat is not None:
            return 400, {"error": {"type": "limit_reached", "message": "one chat for each customer"}}
        if action == "start_chat":
            chat = self._chats[customer] = {"id": f"CHAT{next(self._numbers)}", "users": [_customer(customer)]}
        if chat is None:
            return (200, {}) if action in ("update_customer", "set_customer_session_fields") else (403, _NOT_THERE)
        if action in ("start_chat", "resume_chat"):
            return 200, self._begun(chat, body.get("chat", {}).get("thread", {}).get("events", []), customer)
        return 200, self._seen(action, chat, body, customer)

    def _begun(self, chat: Json, events: list[Json], customer: str) -> Json:
        thread = f"THREAD{next(self._numbers)}"
        chat["thread"] = {"id": thread, "active": True, "user_ids": [customer], "events": []}
        chat["thread"]["queue"] = {"position": 1, "wait_time": 60, "queued_at": _now()}
        for event in events:
            self._add(chat, event, customer)
        return {"chat_id": chat["id"], "thread_id": thread}

    def _seen(self, action: str, chat: Json, body: Json, customer: str) -> Json:
        if action == "send_event":
            return {"event_id": self._add(chat, body["event"], customer)["id"]}
        if action == "deactivate_chat":
            chat["thread"]["active"] = False
        if action == "list_threads":
            return {"threads": [chat["thread"]], "found_threads": 1}
        if action == "list_chats":
            return {"chats_summary": [{"id": chat["id"], "active": chat["thread"]["active"]}], "total_chats": 1}
        return chat if action == "get_chat" else {}

    def _add(self, chat: Json, event: Json, author: str) -> Json:
        events = chat["thread"]["events"]
        known = {"id": f"{chat['thread']['id']}_{len(events) + 1}", "created_at": _now(), "author_id": author}
        events.append({**event, **known})
        added: Json = events[-1]
        return added

    def is_news(self, asked: Asked, body: Any) -> bool:
        return not asked.path.endswith("/list_threads")

    def hear(self, asked: Asked) -> Heard | None:
        action = asked.path.rpartition("/")[2]
        if action in ("start_chat", "resume_chat"):
            return Heard(what="opened", chat=self._chats[self._customer(asked)]["id"])
        if action == "deactivate_chat":
            return Heard(what="ended", chat=asked.json["id"])
        if action == "send_event":
            return Heard(what="said", chat=asked.json["chat_id"], text=asked.json["event"].get("text", ""))
        return None

    # -- what the agent does ------------------------------------------------------------------

    def signed(self, call: Call) -> Call:
        return Call(method=call.method, path=call.path, body={"secret_key": self.theirs, **call.body})

    def accepting(self, chat: str) -> Call:
        known = self._named(chat)
        known["users"] = [*known["users"][:1], _AGENT]
        known["thread"]["user_ids"] = [user["id"] for user in known["users"]]
        known["thread"].pop("queue", None)
        about = {"user": _AGENT, "reason": "assigned", "requester_id": _AGENT["id"]}
        return self._webhook(chat, "user_added_to_chat", about)

    def writing(self, chat: str, text: str) -> Call:
        said = {"type": "message", "text": text, "visibility": "all"}
        event = self._add(self._named(chat), said, str(_AGENT["id"]))
        return self._webhook(chat, "incoming_event", {"event": event})

    def ending(self, chat: str) -> Call:
        self._named(chat)["thread"]["active"] = False
        return self._webhook(chat, "chat_deactivated", {"user_id": _AGENT["id"]})

    def _webhook(self, chat: str, action: str, more: Json) -> Call:
        payload = {"chat_id": chat, "thread_id": self._named(chat)["thread"]["id"], **more}
        body = {"webhook_id": action, "action": action, "organization_id": _ORGANIZATION, "payload": payload}
        return Call(method="POST", path="webhook", body={**body, "additional_data": {}})

    def _named(self, chat: str) -> Json:
        return next(each for each in self._chats.values() if each["id"] == chat)


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _customer(customer: str) -> Json:
    return {"id": customer, "type": "customer", "present": True}
