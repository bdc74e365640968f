"""A custom live agent of the Avaamo platform, behind an OAuth2 provider."""

from __future__ import annotations

from typing import Any

from rasa_handoff.model import Json
from rasa_handoff.testing.agent_sides import AgentSide, Heard
from rasa_handoff.testing.calls import Call
from rasa_handoff.testing.wire import Asked

_ROOT = "live_agent/custom"
_MEANING = {"new_chat_request": "opened", "user_message": "said", "chat_terminated": "ended"}


class Side(AgentSide):
    """A webhook for the events, a token for those who know the client secret."""

    def section(self, url: str) -> Json:
        oauth2 = {"client_id": "bot", "client_secret": self.ours, "authorization_url": f"{url}/token"}
        user = {"custom_properties": {"conversation": "request:transcript"}}
        return {"webhook_url": f"{url}/webhook", "access_token": self.theirs, "oauth2": oauth2, "user": user}

    def answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.path == "/token":
            return 200, {"access_token": self.ours, "token_type": "bearer", "expires_in": 60}
        return (200 if asked.headers.get("authorization") == f"Bearer {self.ours}" else 401), {}

    def hear(self, asked: Asked) -> Heard | None:
        if asked.path != "/webhook":
            return None
        event = asked.json["event"]
        meaning: Any = _MEANING.get(event["event_type"])
        text = event["message"]["content"] if meaning == "said" else ""
        return Heard(what=meaning, chat=event["conversation"]["uuid"], text=text) if meaning else None

    def signed(self, call: Call) -> Call:
        return call.having(query={"access_token": self.theirs})

    def accepting(self, chat: str) -> Call:
        return Call(method="PUT", path=f"{_ROOT}/conversations/{chat}/accept_chat.json")

    def writing(self, chat: str, text: str) -> Call:
        message = {"conversation": {"uuid": chat}, "content": text, "content_type": "text"}
        return Call(method="POST", path=f"{_ROOT}/messages.json", body={"message": message})

    def ending(self, chat: str) -> Call:
        return Call(method="DELETE", path=f"{_ROOT}/conversations/{chat}/end_chat.json")
