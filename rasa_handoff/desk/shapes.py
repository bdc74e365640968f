"""The desk's things in the words of its HTTP interface; see docs/http.md."""

from __future__ import annotations

from dataclasses import asdict

from rasa_handoff.desk.backend import Desk
from rasa_handoff.desk.records import Agent, Chat
from rasa_handoff.desk.settings import SavedReply
from rasa_handoff.model import Json


def of_agent(desk: Desk, agent: Agent) -> Json:
    presence = "online" if desk.staff.attendance.is_there(agent) else "away"
    known = {"id": agent.id, "name": agent.name, "presence": presence, "chats": agent.chats}
    return {**known, "groups": desk.staff.groups.of(agent.id)}


def of_chat(desk: Desk, chat: Chat) -> Json:
    known = asdict(chat)
    agent_id, agent_name = known.pop("agent_id"), known.pop("agent_name")
    return {
        **known,
        "group": desk.staff.groups.name(chat.group),
        "agent": {"id": agent_id, "name": agent_name} if agent_id else None,
        "takes_files": desk.around.files.opens_on(chat.channel),
        "user_connected": desk.connected.get(chat.id) if chat.state != "closed" else None,
    }


def of_saved_reply(reply: SavedReply, agent_name: str) -> Json:
    """*agent_name* is what users call the agent who asks."""
    return {"name": reply.name.strip(), "text": reply.text.replace("{agent_name}", agent_name)}
