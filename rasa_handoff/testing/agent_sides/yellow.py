"""A custom live agent of Yellow.ai, with a queue in front of it."""

from __future__ import annotations

import itertools
from typing import Any

from rasa_handoff.model import Json
from rasa_handoff.testing.agent_sides import AgentSide, Heard
from rasa_handoff.testing.calls import Call
from rasa_handoff.testing.wire import Asked

_WEBHOOK = "integrations/genericIntegration/custom-live-agent"
_FIRST_TICKET = 25633


class Side(AgentSide):
    """Tickets with numbers; whoever asks twice for one gets the same."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(_FIRST_TICKET)
        self._tickets: dict[str, int] = {}  #: by the id of the message that asked for one
        self._senders: dict[str, str] = {}  #: by ticket

    def section(self, url: str) -> Json:
        return {"url": url, "company": "stand-in", "token": self.ours, "webhook_token": self.theirs}

    def answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.headers.get("authorization") != f"Bearer {self.ours}":
            return 401, {"status": "failure", "data": {}, "message": "the token is wrong"}
        data: Json = {}
        if asked.path.startswith("/createTicket/"):
            data = {"ticketId": self._ticket(asked), "isAgentAvailable": False, "isQueued": True}
        return 200, {"status": "success", "data": data, "message": "Success"}

    def _ticket(self, asked: Asked) -> int:
        key = asked.json["body"]["ticket"]["messageId"]
        if key not in self._tickets:
            self._tickets[key] = next(self._numbers)
            self._senders[str(self._tickets[key])] = asked.json["body"]["user"]["senderId"]
        return self._tickets[key]

    def hear(self, asked: Asked) -> Heard | None:
        ticket = asked.json["body"]["ticket"]
        if asked.path.startswith("/createTicket/"):
            return Heard(what="opened", chat=str(self._tickets[ticket["messageId"]]))
        if asked.path.startswith("/sendMessage/"):
            return Heard(what="said", chat=str(ticket["ticketId"]), text=ticket["message"])
        return None

    def signed(self, call: Call) -> Call:
        return call.having(headers={"x-auth-token": self.theirs})

    def accepting(self, chat: str) -> Call:
        return self._event(chat, "ticket-assigned")

    def writing(self, chat: str, text: str) -> Call:
        message = {"type": "text", "payLoad": {"content": text}}
        return self._event(chat, "payload-received-from-agent", message=message)

    def ending(self, chat: str) -> Call:
        return self._event(chat, "ticket-closed", ticketResolvedTime=4545454)

    def _event(self, chat: str, name: str, **more: Any) -> Call:
        about = {"ticketId": int(chat), "senderId": self._senders[chat], "source": "stand-in", "event": name}
        agent = {"agentName": "Robin", "agentId": "robin", "ticketAssignedTime": 3545454}
        return Call(method="POST", path=_WEBHOOK, body={**about, **agent, **more})
