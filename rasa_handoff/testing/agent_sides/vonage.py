"""An integration behind the endpoints of a Live Agent Routing node of Vonage AI Studio."""

from __future__ import annotations

from rasa_handoff.model import Json
from rasa_handoff.testing.agent_sides import AgentSide, Heard
from rasa_handoff.testing.calls import Call
from rasa_handoff.testing.wire import Asked


class Side(AgentSide):
    """Three endpoints, and a key for both directions."""

    def section(self, url: str) -> Json:
        endpoints = {"start_connection": "start", "inbound_transfer": "inbound", "status_delivery": "status"}
        headers = {"Authorization": f"Bearer {self.ours}"}
        known = {name: {"url": f"{url}/{path}", "headers": headers} for name, path in endpoints.items()}
        return {"vgai_key": self.theirs, **known}

    def answer(self, asked: Asked) -> tuple[int, Json]:
        return (200 if asked.headers.get("authorization") == f"Bearer {self.ours}" else 401), {}

    def hear(self, asked: Asked) -> Heard | None:
        if asked.path == "/start":
            return Heard(what="opened", chat=asked.json["sessionId"])
        if asked.path == "/inbound":
            return Heard(what="said", chat=asked.json["sessionId"], text=asked.json.get("text", ""))
        return None

    def signed(self, call: Call) -> Call:
        return call.having(headers={"X-Vgai-Key": self.theirs})

    def writing(self, chat: str, text: str) -> Call:
        return Call(method="POST", path=f"live-agent/outbound/{chat}", body={"text": text})

    def ending(self, chat: str) -> Call:
        return Call(method="POST", path=f"live-agent/disconnect/{chat}", body={})
