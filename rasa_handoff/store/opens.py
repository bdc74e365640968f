"""What opens the servers that share a database: what one of them signs, the others know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rasa_handoff.access import Access, AgentAccess
from rasa_handoff.store.writer import Tx

_GET = "SELECT body FROM handoff_access WHERE name = 'access'"
_PUT = "INSERT INTO handoff_access (name, body) VALUES ('access', :body) ON CONFLICT (name) DO UPDATE SET body = :body"


def agree(tx: Tx, ours: Access, token: str | None) -> Access:
    """What is in force for all of them: what the first one had; *ours* goes for what is not there yet.

    Args:
        token: from the settings, which come first.
    """
    row = tx.one(_GET, {})
    agreed = _agreed(ours, json.loads(row[0]) if row else {}, token)
    body = json.dumps({"secret": agreed.secret, "token": agreed.token, "agents": _written(agreed.agents)})
    if row is None or row[0] != body:
        tx.run(_PUT, {"body": body})
    return agreed


def _agreed(ours: Access, theirs: Mapping[str, Any], token: str | None) -> Access:
    agents = tuple(AgentAccess(**each) for each in theirs.get("agents", ()))
    return Access(
        url=ours.url,
        secret=theirs.get("secret") or ours.secret,
        token=token or theirs.get("token") or ours.token,
        agents=agents or ours.agents,
    )


def _written(agents: tuple[AgentAccess, ...]) -> list[dict[str, str]]:
    return [{"name": agent.name, "token": agent.token} for agent in agents]
