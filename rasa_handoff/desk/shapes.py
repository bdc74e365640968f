"""The desk's things in the words of its HTTP interface; see docs/http.md."""

from __future__ import annotations

from dataclasses import asdict

from rasa_handoff.desk.backend import Desk
from rasa_handoff.desk.records import Agent, Chat
from rasa_handoff.model import Json


def of_agent(desk: Desk, agent: Agent) -> Json:
    presence = "online" if desk.staff.attendance.is_there(agent) else "away"
    return {"id": agent.id, "name": agent.name, "presence": presence, "chats": agent.chats}


def of_chat(desk: Desk, chat: Chat) -> Json:
    known = asdict(chat)
    agent_id, agent_name = known.pop("agent_id"), known.pop("agent_name")
    return {
        **known,
        "agent": {"id": agent_id, "name": agent_name} if agent_id else None,
        "user_connected": desk.connected.get(chat.id) if chat.state != "closed" else None,
    }
