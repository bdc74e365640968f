"""Calls of the Customer Chat Web API, and what its errors mean."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from copy import copy
from functools import partial
from typing import Any
from urllib.parse import urlencode

import aiohttp

from rasa_handoff import strict_json as read
from rasa_handoff.backends.http import Http, Reply, require_success, retry_after
from rasa_handoff.backends.livechat import reading
from rasa_handoff.backends.livechat.accounts import unreadable
from rasa_handoff.backends.livechat.customers import Customers
from rasa_handoff.backends.livechat.regions import Region, require_here
from rasa_handoff.backends.livechat.settings import NAME, LiveChatSettings
from rasa_handoff.backends.user_files import as_body
from rasa_handoff.errors import BackendError, ChatGone, Malformed, TemporaryError, Unavailable
from rasa_handoff.fetch import AnyFile
from rasa_handoff.model import Json
from rasa_handoff.settings import read_url

log = logging.getLogger(__name__)

LARGEST_FILE = 10 * 1024 * 1024  #: bytes that `upload_file` takes
_LARGEST_ANSWER = 16 * 1024 * 1024  #: bytes; a thread comes with all that was said in it
_UPLOAD_TIMEOUT = 60.0
_A_DAY = 86_400.0
_WORD = re.compile(r"[^\W_]+")


class ChatLimitReached(BackendError):
    """The customer has a chat, and there is one for each."""


class NotAuthenticated(BackendError):
    """The customer's token has ended."""


class FileTooLarge(BackendError):
    """The file is larger than they take."""


# Their `error.type` -> what it means here; any other goes by its status.
# https://platform.text.com/docs/messaging/customer-chat-api#possible-errors (read 2026-11)
_ERRORS: Mapping[str, type[BackendError]] = {
    "authentication": NotAuthenticated,
    "authorization": BackendError,
    "validation": BackendError,
    "chat_inactive": ChatGone,
    "chat_anonymized": ChatGone,
    "customer_banned": ChatGone,
    "groups_offline": Unavailable,
    "group_offline": Unavailable,
    "group_unavailable": Unavailable,
    "group_not_found": Unavailable,
    "limit_reached": ChatLimitReached,
    "entity_too_large": FileTooLarge,
    "too_many_requests": TemporaryError,
    "request_timeout": TemporaryError,
    "service_unavailable": TemporaryError,
    "internal": TemporaryError,
    "license_expired": BackendError,
    "license_not_found": BackendError,
    "unsupported_version": BackendError,
    "wrong_product_version": BackendError,
}
_REMEDIES = {
    "authentication": "see client_id and the credentials beside it",
    "license_expired": "the LiveChat license has ended",
    "license_not_found": "see organization_id",
    "unsupported_version": "see backends.livechat.version",
    "wrong_product_version": "see backends.livechat.version",
}


_Sent = Callable[[], AbstractAsyncContextManager[Json]]  #: gives what goes along with a request, anew for each try


class _Server:
    """What has been learned of the API's side."""

    def __init__(self) -> None:
        self.region = Region()
        self.warned_at = float("-inf")  #: when it was last said that this version has an end


class CustomerApi:
    """The API, as the customer that a user is.

    https://platform.text.com/docs/messaging/customer-chat-api (read 2026-11)
    """

    def __init__(self, settings: LiveChatSettings, http: Http, customers: Customers, now: Callable[[], float]) -> None:
        self._root = f"{read_url(settings.api_url)}/v{settings.version}/customer/action"
        self._version = settings.version
        self._http = http
        self._customers = customers
        self._now = now
        self._server = _Server()

    def over(self, http: Http) -> CustomerApi:
        """The same API with another *http*: one that leaves it alone while it does not answer."""
        other = copy(self)
        other._http = http
        return other

    async def call(self, doing: str, sender_id: str, action: str, body: Json, *, timeout: float | None = None) -> Json:
        """One action; its answer, empty where it has none.

        Raises:
            ChatGone, Unavailable, ChatLimitReached, TemporaryError, BackendError.
        """
        reply = await self._ask(
            doing, sender_id, action, list(_texts(body)), lambda: nullcontext({"body": body}), timeout
        )
        return reply.json(NAME, doing) if reply.body.strip() else {}

    async def thread(self, sender_id: str, chat_id: str, thread_id: str | None = None) -> Json | None:
        """The newest thread of a chat, or the one with this id, which is seldom another; None where there is none."""
        doing = "see the chat"
        for limit in (1,) if thread_id is None else (1, 3):
            body = {"chat_id": chat_id, "sort_order": "desc", "limit": limit}
            answer = await self.call(doing, sender_id, "list_threads", body)
            try:
                found = reading.thread_in(answer, thread_id)
            except Malformed as error:
                raise unreadable(doing, error) from None
            if found is not None:
                return found
        return None

    async def chats(self, sender_id: str, *, timeout: float | None = None) -> list[Json]:
        """The customer's chats, newest first; there is at most one, as long as they hold to that."""
        doing = "find the customer's chat"
        body = {"limit": 10, "sort_order": "desc"}
        answer = await self.call(doing, sender_id, "list_chats", body, timeout=timeout)
        try:
            return reading.chats_in(answer)
        except Malformed as error:
            raise unreadable(doing, error) from None

    async def upload(
        self,
        sender_id: str,
        opened: Callable[[], AbstractAsyncContextManager[AnyFile]],
        *,
        name: str | None = None,
        mime: str | None = None,
    ) -> str:
        """Lay down a file; its address there, which is good for a day, or for ever once a message has it.

        Args:
            opened: opens it, anew for each try.
            name, mime: what it is, where that is known better than whoever has it says.

        Raises:
            FetchError: it cannot be had.
            FileTooLarge, TemporaryError, BackendError.
        """
        doing, private = "upload a file", [name or ""]

        @asynccontextmanager
        async def form() -> AsyncIterator[Json]:
            async with opened() as file, as_body(file, mime or file.mime, LARGEST_FILE) as body:
                called = name or file.name or "file"
                private.append(called)
                data = aiohttp.FormData()
                data.add_field("file", body, filename=called)
                yield {"form": data}

        reply = await self._ask(doing, sender_id, "upload_file", private, form, _UPLOAD_TIMEOUT)
        try:
            return read.text(reply.json(NAME, doing), "url", max_length=2048)
        except Malformed as error:
            raise unreadable(doing, error) from None

    async def _ask(
        self,
        doing: str,
        sender_id: str,
        action: str,
        private: list[str],
        sent: _Sent,
        timeout: float | None,
    ) -> Reply:
        """Ask; once more with a new token, and once more in the right region."""
        ask = partial(self._in_region, doing, action, sent, timeout, judge=partial(_judge, doing, private))
        token = await self._customers.token(sender_id)
        try:
            return await ask(token)
        except NotAuthenticated:
            token = await self._customers.token(sender_id, instead_of=token)
        try:
            return await ask(token)
        except NotAuthenticated as error:  # something is wrong with all of them, and a message is not lost for it
            raise TemporaryError(NAME, doing, error.status, error.detail) from None

    async def _in_region(
        self,
        doing: str,
        action: str,
        sent: _Sent,
        timeout: float | None,
        token: str,
        *,
        judge: Callable[[Reply], None],
    ) -> Reply:
        organization = await self._customers.organization()
        if organization is None:
            raise BackendError(NAME, doing, detail="no organization is known; see backends.livechat.organization_id")
        url = f"{self._root}/{action}?{urlencode({'organization_id': organization})}"
        ask = partial(self._http.ask, doing, "POST", url, judge=judge, largest=_LARGEST_ANSWER, timeout=timeout)
        known = {"Authorization": f"Bearer {token}"}

        async def ask_with(headers: Mapping[str, str]) -> Reply:
            async with sent() as what:
                return await ask(headers={**known, **headers}, **what)

        reply = await self._server.region.ask(ask_with)
        self._heed_the_end(reply.headers)
        return reply

    def _heed_the_end(self, headers: Mapping[str, str]) -> None:
        """Say once a day that this version of the API has an end."""
        for name in ("Deprecation", "Legacy"):
            date = headers.get(name)
            if date and self._now() - self._server.warned_at >= _A_DAY:
                self._server.warned_at = self._now()
                shown = date if re.fullmatch(r"[\w :,+-]{1,40}", date) else "?"
                log.warning("livechat.version_ends version=%s header=%s until=%s", self._version, name, shown)


def _judge(doing: str, private: list[str], reply: Reply) -> None:
    """Raise what a refusal means; *private* is what no error may repeat."""
    if 200 <= reply.status < 300:
        return
    require_here(doing, reply)
    error = _error_in(reply)
    kind = str(error.get("type", "authentication" if reply.status == 401 else ""))
    if kind not in _ERRORS:
        require_success(NAME, doing, reply)
        return
    detail = "; ".join(filter(None, [kind, _without(str(error.get("message", "")), private), _REMEDIES.get(kind)]))
    if _ERRORS[kind] is TemporaryError:
        raise TemporaryError(NAME, doing, reply.status, detail, retry_after(reply.headers))
    raise _ERRORS[kind](NAME, doing, reply.status, detail)


def _error_in(reply: Reply) -> Json:
    try:
        found = reply.json(NAME, "read an error").get("error")
    except BackendError:
        return {}
    return found if isinstance(found, dict) else {}


def _texts(value: Any) -> Iterator[str]:
    """Every text in what is sent."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _without(message: str, private: list[str]) -> str:
    """What they say is wrong, on one line, without any word that was sent: they may cut it short."""
    sent = {word for each in private for word in _WORD.findall(each.casefold())}
    told = _WORD.sub(lambda word: "…" if word[0].casefold() in sent else word[0], message)
    return " ".join(told.split())
