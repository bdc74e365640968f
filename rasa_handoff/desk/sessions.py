"""Who asks the desk: an agent's cookie or token."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote, unquote, urlsplit

from sanic.request import Request

from rasa_handoff import signing
from rasa_handoff.desk import records
from rasa_handoff.desk.backend import Desk
from rasa_handoff.desk.records import Agent
from rasa_handoff.errors import NotAuthentic
from rasa_handoff.runtime import Runtime

COOKIE = "handoff_desk"
_LASTING = 12 * 3600.0  #: seconds


class Sessions:
    """Knows agents by what their requests bring.

    Args:
        desk: gives the desk, which is there once the server has started.
    """

    def __init__(self, running: Callable[[], Runtime], desk: Callable[[], Desk]) -> None:
        self._running = running
        self._desk = desk

    async def agent(self, request: Request) -> Agent:
        """The agent who asks, before anything of the body is read.

        Raises:
            NotAuthentic: nobody we know.
        """
        scheme, _, token = (request.headers.get("authorization") or "").partition(" ")
        # Another scheme is a matter between the browser and a proxy in front of us.
        bearer = scheme.lower() == "bearer"
        staff = self._desk().staff
        agent_id = staff.with_token(token.strip()) if bearer else self._in_cookie(request)
        if agent_id is None or agent_id not in staff.members:
            raise NotAuthentic("not signed in")
        return await self.named(agent_id)

    async def named(self, agent_id: str) -> Agent:
        """An agent of the desk.

        Raises:
            NotAuthentic: there is none of this id.
        """
        agent = await self._running().store.read(lambda tx: records.agent(tx, agent_id))
        if agent is None:
            raise NotAuthentic("no such agent")
        return agent

    def begun(self, request: Request, agent_id: str) -> dict[str, str]:
        """The header that begins a session."""
        # The agent's token is part of the purpose: who gets a new one has to sign in anew.
        value = signing.sign(self._secret, self._purpose(agent_id), agent_id, time.time() + _LASTING)
        end = "; Secure" if _is_https(request) else ""
        cookie = f"{COOKIE}={quote(agent_id)}:{value}; Max-Age={int(_LASTING)}; HttpOnly; SameSite=Strict{end}"
        return {"Set-Cookie": cookie}

    def ended(self) -> dict[str, str]:
        """The header that ends one."""
        return {"Set-Cookie": f"{COOKIE}=; Max-Age=0; HttpOnly; SameSite=Strict"}

    def _in_cookie(self, request: Request) -> str:
        quoted, _, signed = (request.cookies.get(COOKIE) or "").partition(":")
        agent_id = unquote(quoted)
        if agent_id not in self._desk().staff.members:
            raise NotAuthentic("not signed in")
        if request.method != "GET":
            self._require_own_origin(request)
        return signing.require_signed(self._secret, self._purpose(agent_id), signed, time.time())

    def _require_own_origin(self, request: Request) -> None:
        origin = request.headers.get("origin")
        if origin is None:
            return
        scheme, _, host = origin.partition("://")
        ours = {request.headers.get("host"), urlsplit(self._running().settings.public_url or "").netloc}
        # No host at all is that of a sandboxed frame, or of a file.
        if scheme not in ("http", "https") or not host or host not in ours:
            raise NotAuthentic("the request comes from another site")

    @property
    def _secret(self) -> str:
        return self._running().access.secret

    def _purpose(self, agent_id: str) -> str:
        member = self._desk().staff.members.get(agent_id)
        return f"desk session {member.token if member else ''}"


def _is_https(request: Request) -> bool:
    return request.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
