"""What a user sees of the agents: each one's own name and picture, or the same for all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rasa_handoff.model import Delivery, Handoff, Json, Message, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """How agents look to users. The store, the agents' side and operators know who it really was."""

    name: str | None = None  #: of all, or of those who have none
    avatar_url: str | None = None  #: likewise
    same_for_all: bool = False

    def of(self, agent: Person) -> Person:
        """*agent* as a user may see them."""
        if self.same_for_all:
            return Person(name=self.name or "", avatar_url=self.avatar_url)
        return replace(agent, name=agent.name or self.name or "", avatar_url=agent.avatar_url or self.avatar_url)

    def in_handoff(self, handoff: Handoff) -> Handoff:
        """*handoff* with its agent as the user may see them."""
        return replace(handoff, agent=self.of(handoff.agent)) if handoff.agent else handoff

    def in_delivery(self, delivery: Delivery) -> Delivery:
        """What goes to a user, with the agent in it as they may see them."""
        if delivery.kind == "message" and delivery.message is not None:
            return replace(delivery, message=self._in_message(delivery.message))
        if delivery.kind == "state" and delivery.body["agent"]:
            return replace(delivery, body={**delivery.body, "agent": self._in_state(delivery.body["agent"])})
        if delivery.kind == "notice" and delivery.body["values"].get("agent_name"):
            return replace(delivery, body={**delivery.body, "values": self._in_values(delivery.body["values"])})
        return delivery

    def _in_message(self, message: Message) -> Message:
        shown = self.of(Person(name=message.name or "", avatar_url=message.avatar_url))
        return replace(message, name=shown.name or None, avatar_url=shown.avatar_url)

    def _in_state(self, agent: Json) -> Json:
        shown = self.of(Person(**agent))
        return {"name": shown.name, "avatar_url": shown.avatar_url}

    def _in_values(self, values: Json) -> Json:
        shown = self.of(Person(name=values["agent_name"], department=values.get("department")))
        return {**values, "agent_name": shown.name, "department": shown.department}
