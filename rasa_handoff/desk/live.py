"""What happens at the desk, as a stream for each open console."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from sanic.request import Request

from rasa_handoff.desk import records
from rasa_handoff.desk.backend import Desk
from rasa_handoff.desk.facts import AgentChanged, AgentThere, ChatChanged, MessageChanged, UserTyped, to_consoles
from rasa_handoff.desk.presence import GRACE
from rasa_handoff.desk.records import Agent
from rasa_handoff.desk.shapes import of_agent, of_chat
from rasa_handoff.live import Listener
from rasa_handoff.model import Json
from rasa_handoff.runtime import Runtime
from rasa_handoff.store.users import Erased
from rasa_handoff.web import sse

_TOPIC = "desk"


def listen(runtime: Runtime) -> None:
    """Bring the desk's facts to the open consoles, at whatever process they happen."""
    for shared in to_consoles(lambda: runtime.hub.count(_TOPIC) > 0):
        runtime.store.share(shared)
        runtime.store.subscribe(shared.kind, lambda fact: runtime.hub.tell(_TOPIC, fact))
    runtime.store.subscribe(Erased, lambda erased: runtime.hub.end(_TOPIC))  # consoles come again without those chats


async def serve(request: Request, runtime: Runtime, desk: Desk, agent: Agent) -> None:
    """Answer *request* with what happens from here on, for as long as *agent* has the console open."""
    listener = runtime.hub.listen(_TOPIC)
    desk.staff.attendance.came(agent.id)
    runtime.store.tell([AgentThere(agent_id=agent.id), AgentChanged(agent=agent)])
    try:
        await sse.serve(request, _events(desk, agent, listener))
    finally:
        runtime.hub.leave(_TOPIC, listener)
        desk.staff.attendance.went(agent.id)
        runtime.later(GRACE + 1, _look_again, runtime, agent.id)


async def _events(desk: Desk, agent: Agent, listener: Listener) -> AsyncIterator[str]:
    yield sse.event("hello", json.dumps({"agent": of_agent(desk, agent), "now": time.time()}))
    async for fact in sse.heard(listener):
        yield ": alive\n\n" if fact is None else _as_event(desk, agent, fact)


def _as_event(desk: Desk, agent: Agent, fact: Any) -> str:
    name, payload = _told(desk, agent, fact)
    return sse.event(name, json.dumps(payload, ensure_ascii=False))


def _told(desk: Desk, agent: Agent, fact: ChatChanged | MessageChanged | AgentChanged | UserTyped) -> tuple[str, Json]:
    if isinstance(fact, ChatChanged):
        # Perhaps the page had it, when it was open.
        hidden = fact.chat.state == "waiting" and not desk.staff.groups.may_accept(agent.id, fact.chat.group)
        return ("gone", {"chat_id": fact.chat.id}) if hidden else ("chat", of_chat(desk, fact.chat))
    if isinstance(fact, MessageChanged):
        return "message", asdict(fact.message)
    if isinstance(fact, AgentChanged):
        return "agent", of_agent(desk, fact.agent)
    return "typing", {"chat_id": fact.chat_id, "typing": fact.typing}


async def _look_again(runtime: Runtime, agent_id: str) -> None:
    """A page went some time ago: its agent may not be there any more."""
    agent = await runtime.store.read(lambda tx: records.agent(tx, agent_id))
    if agent is not None:
        runtime.store.tell([AgentChanged(agent=agent)])
