"""The plugin in the Rasa server, as the actions ask it over HTTP (docs/http.md)."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from rasa_handoff import access, strict_json
from rasa_handoff.errors import BackendError, ConfigError, Malformed, TemporaryError, UnknownChat
from rasa_handoff.model import EndReason, Json, Status

_SERVER = "the Rasa server"
_MOST_BYTES = 65_536  #: of an answer; a real one has some hundred
_FOREIGN = "an answer that is not the plugin's; see that HANDOFF_URL leads to the Rasa server"
_REMEDIES = {
    401: "the token is not the server's; give both the same HANDOFF_TOKEN, or neither",
    404: "the plugin is not there; add rasa_handoff.HandoffInput to the server's credentials.yml",
    413: "the request is too large",
}
_FIELDS = ("id", "backend", "status", "end_reason", "ticket", "agent", "department")
NONE: Json = dict.fromkeys((*_FIELDS, "queue_position", "queue_minutes", "next_opening"))  #: where there is no handoff
FAILED: Json = {**NONE, "status": Status.CLOSED.value, "end_reason": EndReason.FAILED.value}


@dataclass(frozen=True, kw_only=True)
class Server:
    """The plugin's HTTP interface, as the actions use it (docs/http.md)."""

    access: access.Access
    timeout: float  #: seconds for each request

    @classmethod
    def find(cls, timeout: float) -> Server:
        """The server that this folder or the environment knows.

        Raises:
            ConfigError: neither does.
        """
        found = access.find()
        if found is None:
            raise ConfigError(
                [
                    "where the Rasa server is and what opens it is not known here; start the Rasa server "
                    "in this folder first, or set HANDOFF_URL and HANDOFF_TOKEN"
                ]
            )
        return cls(access=found, timeout=timeout)

    async def open(self, request: Json) -> Json:
        """Ask for an agent; the handoff, which may be over already."""
        handoff = await self._ask("open a handoff", "POST", "/handoffs", body=request)
        if handoff is None:
            raise BackendError(_SERVER, "open a handoff", detail="an answer without a handoff")
        return handoff

    async def leave(self, request: Json) -> None:
        """Leave a request to call back; with the same ``id`` a repeat has no second effect."""
        await self._ask("leave a request to call back", "POST", "/callbacks", body=request)

    async def rate(self, rating: Json) -> None:
        """Say how content the user was with their last handoff; a repeat takes the place of the first."""
        await self._ask("rate a handoff", "POST", "/handoffs/rating", body=rating)

    async def close(self, sender_id: str) -> Json | None:
        """The handoff that ended; None when none was open."""
        try:
            return await self._ask("end a handoff", "POST", "/handoffs/close", body={"sender_id": sender_id})
        except UnknownChat:
            return None

    async def current(self, sender_id: str) -> Json | None:
        """The open handoff, else the last one, else None."""
        return await self._ask("ask for a handoff", "GET", "/handoffs", query={"sender_id": sender_id})

    async def _ask(
        self,
        doing: str,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: dict[str, str] | None = None,
    ) -> Json | None:
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = {"Authorization": f"Bearer {self.access.token}", "Content-Type": "application/json"}
        url = f"{self.access.url}/webhooks/handoff{path}"
        timeout = aiohttp.ClientTimeout(total=self.timeout)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
                session.request(method, url, data=data, params=query, allow_redirects=False) as reply,
            ):
                status, content = reply.status, await _read(reply.content)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            raise TemporaryError(_SERVER, doing, detail=self._in_words(error)) from None
        _require_success(doing, status, content)
        return _handoff_in(doing, status, content)

    def _in_words(self, error: Exception) -> str:
        where = self._where()
        if isinstance(error, asyncio.TimeoutError):
            return f"no answer within {self.timeout:g}s from {where}; see whether it is overloaded"
        return f"{type(error).__name__}; see that it runs at {where}, or set HANDOFF_URL"

    def _where(self) -> str:
        """The server's address without a name and password that may be in it."""
        return re.sub(r"//[^/]*@", "//", self.access.url)


async def _read(content: aiohttp.StreamReader) -> bytes:
    """The body of an answer, up to a size no real one has."""
    read = bytearray()
    async for part in content.iter_any():
        read += part
        if len(read) > _MOST_BYTES:
            raise aiohttp.ClientPayloadError("too large")
    return bytes(read)


def _require_success(doing: str, status: int, content: bytes) -> None:
    if status == 200:
        return
    if status >= 500 or status == 429:
        raise TemporaryError(_SERVER, doing, status, "see the server's log")
    complaint = _complaint(content)
    if status == 404 and complaint:
        raise UnknownChat(complaint)
    raise BackendError(_SERVER, doing, status, _REMEDIES.get(status) or complaint or _FOREIGN)


def _complaint(content: bytes) -> str | None:
    """What the plugin says is wrong; None when it is not the plugin that speaks."""
    try:
        error = strict_json.mapping(strict_json.loads_object(content), "error")
        return strict_json.text(error, "message", max_length=200)
    except Malformed:
        return None


def _handoff_in(doing: str, status: int, content: bytes) -> Json | None:
    """The handoff in an answer, with what the bot needs of it."""
    try:
        found = strict_json.mapping(strict_json.loads_object(content), "handoff", required=False)
        return None if found is None else _read_handoff(found)
    except Malformed:
        raise BackendError(_SERVER, doing, status, _FOREIGN) from None


def _read_handoff(found: Json) -> Json:
    agent = strict_json.mapping(found, "agent", required=False)
    status = strict_json.text(found, "status", max_length=20)
    if status not in {known.value for known in Status}:
        raise Malformed("status must be one of ours")
    return {
        "id": strict_json.text(found, "id", max_length=100),
        "backend": strict_json.text(found, "backend", max_length=100),
        "status": status,
        "end_reason": strict_json.text(found, "end_reason", max_length=40, required=False),
        "ticket": strict_json.text(found, "chat_id", max_length=1000, required=False),
        "agent": None if agent is None else strict_json.text(agent, "shown_as", max_length=1000, required=False),
        "department": None if agent is None else strict_json.text(agent, "department", max_length=1000, required=False),
        "queue_position": strict_json.number(found, "queue_position", required=False),
        "queue_minutes": strict_json.number(found, "queue_minutes", required=False),
        "next_opening": _local_time(found),
    }


def _local_time(found: Json) -> str | None:
    """The moment at which the agents are there again, as the clocks show it there."""
    text = strict_json.text(found, "next_opening", max_length=40, required=False)
    if text is None:
        return None
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise Malformed("next_opening must be a time") from None
    return text
