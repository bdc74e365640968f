"""The requests of LivePerson's Server Chat API, each with what all of them have to have.

https://developers.liveperson.com/server-chat-api-overview.html (read 2026-11)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from rasa_handoff import strict_json
from rasa_handoff.backends.http import OPEN_TIMEOUT, Http, Reply
from rasa_handoff.backends.liveperson.domains import Domains
from rasa_handoff.backends.liveperson_chat.reading import (
    NOT_ALLOWED,
    NOT_IN_CHAT,
    Info,
    Page,
    name_in,
    number_in,
    read_code,
    read_info,
    read_page,
)
from rasa_handoff.errors import BackendError, ChatGone, Malformed, TemporaryError
from rasa_handoff.model import Json

_WHO = "liveperson_chat"
_SERVICE = "conversationVep"
_SAY_WHY = range(400, 500)  #: statuses whose bodies have a code
_LARGEST = 1024 * 1024  #: bytes of an answer; the first has all that happened to a chat
_PUT = {"X-HTTP-Method-Override": "PUT"}  # they take no PUT itself
_LEAST_AFTER_429 = 1.0  #: seconds (https://developers.liveperson.com/retry-policy-recommendations.html, read 2026-11)
_ASK_AGAIN = 1.0  #: seconds until a line that nobody could read is tried again

T = TypeVar("T")


class NotInChat(TemporaryError):
    """Nobody has the chat who could read the line."""


class ChatApi:
    """The API of one account.

    What is about a chat raises `ChatGone` when there is no such chat (any more); everything raises
    `TemporaryError` and `BackendError`.

    Args:
        account: their number of it.
        app_key: printed in their documentation; no secret.
    """

    def __init__(self, http: Http, domains: Domains, account: str, app_key: str) -> None:
        self._http = http
        self._domains = domains
        self._root = f"/api/account/{account}/chat"
        json = "application/json"
        self._headers = {"Authorization": f"LivePerson appKey={app_key}", "Accept": json, "Content-Type": json}

    async def close(self) -> None:
        await self._http.close()

    # -- before a chat ------------------------------------------------------------------------

    async def is_available(self, routing: Mapping[str, Any]) -> bool:
        """Whether somebody would take a chat: with this ``skill``, within ``maxWaitTime`` seconds."""
        doing = "ask for availability"
        answer = (await self._ask(doing, "GET", "availability", routing)).json(_WHO, doing)
        return str(answer.get("availability")).lower() != "false"

    async def waiting_time(self, skill: Mapping[str, Any]) -> float | None:
        """Seconds until an agent is there; None where it is at once, or they do not know (0, -1, -2)."""
        doing = "ask for the waiting time"
        reply = await self._ask(doing, "GET", "estimatedWaitTime", skill)
        wait = _read(doing, reply, lambda found: strict_json.number(found, "estimatedWaitTime", required=False))
        return wait if wait and wait > 0 else None

    async def survey(self, skill: Mapping[str, Any]) -> Json:
        """The pre-chat survey, with its ``id`` and ``questions``."""
        doing = "get the pre-chat survey"
        reply = await self._ask(doing, "GET", "preSurvey", skill)
        return _read(doing, reply, lambda found: strict_json.mapping(found, "survey"))

    async def start(self, body: Json) -> str:
        """Ask for a chat; its name."""
        doing = "open a chat"
        # 201 with an empty body by their text, 200 by their table of codes.
        reply = await self._ask(doing, "POST", "request", body=body, timeout=OPEN_TIMEOUT)
        chat_id = name_in(reply.headers.get("Location"))
        if chat_id is None:
            raise BackendError(_WHO, doing, reply.status, "an answer that does not say where the chat is")
        return chat_id

    # -- about a chat -------------------------------------------------------------------------

    async def page(self, chat_id: str, start: int) -> Page:
        """What happened from event *start* on; from 0 on also who has the chat, and how long they wait for us."""
        doing = "ask for news"
        what, query = ("events", {"from": start}) if start else ("", None)
        reply = await self._ask_about(doing, "GET", chat_id, what, query)
        return _read(doing, reply, lambda found: read_page(found, start))

    async def info(self, chat_id: str) -> Info:
        """How the chat stands."""
        doing = "ask how a chat stands"
        return _read(doing, await self._ask_about(doing, "GET", chat_id, "info"), read_info)

    async def say(self, doing: str, chat_id: str, event: Json) -> int | None:
        """Add one event; its number, where they say it.

        Raises:
            NotInChat: no agent has the chat.
        """
        reply = await self._ask_about(doing, "POST", chat_id, "events", body={"event": event})
        return number_in(reply.headers.get("Location"))

    async def put(self, doing: str, chat_id: str, name: str, value: str) -> None:
        """Set one of the things that a user says of themselves."""
        await self._ask_about(doing, "POST", chat_id, f"info/{name}", body={name: value}, headers=_PUT)

    # -- every request ------------------------------------------------------------------------

    async def _ask_about(
        self, doing: str, method: str, chat_id: str, what: str, query: Mapping[str, Any] | None = None, **how: Any
    ) -> Reply:
        path = quote(chat_id, safe="") + (f"/{what}" if what else "")
        try:
            return await self._ask(doing, method, path, query, **how)
        except BackendError as error:
            if error.status == 404:
                raise ChatGone(_WHO, doing, error.status) from None
            raise

    async def _ask(
        self,
        doing: str,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **how: Any,
    ) -> Reply:
        asked = f"&{urlencode(query)}" if query else ""
        where = f"{self._root}/{path}?v=1&NC=true{asked}"
        sent = {**self._headers, **headers} if headers else self._headers
        try:
            reply = await self._domains.ask(
                _SERVICE, doing, method, where, headers=sent, also=_SAY_WHY, largest=_LARGEST, **how
            )
        except TemporaryError as error:
            if error.status == 429:
                error.retry_after = max(error.retry_after or 0.0, _LEAST_AFTER_429)
            raise
        _require_success(doing, reply)
        return reply


def _require_success(doing: str, reply: Reply) -> None:
    if reply.status < 400:
        return
    code = read_code(reply.body)
    if code == NOT_IN_CHAT:
        raise NotInChat(_WHO, doing, reply.status, "no agent has the chat", retry_after=_ASK_AGAIN)
    # Their message is left out: it may repeat what was sent.
    detail = "" if code is None else f"internalCode {code}"
    if code == NOT_ALLOWED:
        detail += ": see the account, and that Common.Unified_window_captcha is off for it"
    raise BackendError(_WHO, doing, reply.status, detail)


def _read(doing: str, reply: Reply, read: Callable[[Json], T]) -> T:
    try:
        return read(reply.json(_WHO, doing))
    except Malformed as error:
        raise BackendError(_WHO, doing, reply.status, str(error)) from None
