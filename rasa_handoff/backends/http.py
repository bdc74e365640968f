"""HTTP to an agent system: bounded, and every way it can fail sorted into "again" and "never"."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Container, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from io import BytesIO
from time import time
from typing import Any

import aiohttp
from yarl import URL

from rasa_handoff import strict_json
from rasa_handoff.backends.breaker import Breaker
from rasa_handoff.errors import BackendError, ChatGone, Malformed, TemporaryError
from rasa_handoff.model import Json

TIMEOUT = 10.0  #: seconds for a whole request
OPEN_TIMEOUT = 60.0  #: … that opens a chat: longer than anybody waits for it, so that a late one can be closed again
LARGEST_ANSWER = 64 * 1024  #: bytes
_AGAIN = {408, 425, 429}  #: and everything from 500 on
_GONE = 410
_NOBODY_BEHIND = {502, 503, 504}  #: what a proxy says


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back, with a status of success or another that was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self, who: str, doing: str) -> Json:
        """The body as an object.

        Raises:
            BackendError: it is none.
        """
        try:
            return strict_json.loads_object(self.body)
        except Malformed as error:
            raise BackendError(who, doing, self.status, f"an answer that cannot be read: {error}") from None


class Http:
    """One agent system's HTTP session.

    Args:
        who: the backend's name, for errors.
        breaker: whether a host that does not answer is left alone for a while (`Breaker`): for backends that
            ask often by themselves.
    """

    def __init__(self, who: str, timeout: float = TIMEOUT, *, breaker: bool = False) -> None:
        self._who = who
        self._breakers: dict[str, Breaker] | None = {} if breaker else None
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(
        self,
        doing: str,
        method: str,
        url: str,
        *,
        body: Json | list[Json] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | aiohttp.FormData | None = None,
        heed: bool = True,
        also: Container[int] = (),
        judge: Callable[[Reply], None] | None = None,
        largest: int = LARGEST_ANSWER,
        timeout: float | None = None,
    ) -> Reply:
        """Ask once; never follows a redirect.

        Args:
            doing: for errors, as in "open a chat".
            body: sent as JSON; bytes as they are, with the Content-Type of *headers*.
            form: sent as a form, when there is no *body*.
            also: of the other statuses those whose bodies say what is wrong: their replies are given, too.
            judge: raises what a reply means, in the place of the rules below, where its body says more than its status.
            largest: bytes that an answer may have.
            timeout: seconds for this request, if they are others.
            heed: whether the body of a success matters; if not, it may be anything, and is not given.

        Raises:
            TemporaryError: no connection, no answer in time, 408, 425, 429 or 5xx; or not asked, see *breaker*.
            ChatGone: 410.
            BackendError: any other status that is no success, or an answer too large.
        """
        where = _parsed(url)
        with self._guarding(where, doing):
            answer = await self._exchange(
                doing,
                largest if heed else None,
                method,
                where,
                data=_sent_as(body, form),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout) if timeout else self._timeout,
            )
            if judge is not None:
                judge(answer)
            else:
                require_success(self._who, doing, answer, also)
        return answer

    async def _exchange(self, doing: str, largest: int | None, method: str, where: URL, **sent: Any) -> Reply:
        """One request and its reply, whatever it says; without *largest*, the body of a success is let go."""
        try:
            async with self._opened().request(method, where, allow_redirects=False, **sent) as reply:
                if largest is None and reply.ok:
                    content = await _skip(reply)
                else:
                    content = await self._read(reply, doing, largest or LARGEST_ANSWER)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            what = "no answer in time" if isinstance(error, asyncio.TimeoutError) else type(error).__name__
            raise TemporaryError(self._who, doing, detail=what) from None
        return Reply(status=reply.status, headers=reply.headers, body=content)

    def _guarding(self, where: URL, doing: str) -> AbstractContextManager[None]:
        if self._breakers is None:
            return nullcontext()
        host = where.authority
        if host not in self._breakers:
            self._breakers[host] = Breaker(self._who)
        return self._breakers[host].guarding(doing)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def _read(self, reply: aiohttp.ClientResponse, doing: str, largest: int) -> bytes:
        content = bytearray()
        async for part in reply.content.iter_any():
            content += part
            if len(content) > largest:
                reply.close()
                raise BackendError(self._who, doing, reply.status, f"an answer larger than {largest // 1024} kB")
        return bytes(content)


async def answers(who: str, url: str) -> str:
    """What is to be said of the host of *url* when it speaks HTTP, whatever it says; for `Backend.probe`.

    Only the root of the host is asked for: nothing there counts as a chat, and no key in *url* goes along.

    Raises:
        BackendError: it does not.
    """
    doing = "reach the host"
    root = _parsed(url).origin()

    def require_alive(reply: Reply) -> None:
        if reply.status in _NOBODY_BEHIND:
            raise TemporaryError(who, doing, reply.status)

    http = Http(who)
    try:
        await http.ask(doing, "GET", f"{root}/", heed=False, judge=require_alive)
    finally:
        await http.close()
    return f"{root.host} answers"


def require_success(who: str, doing: str, reply: Reply, also: Container[int] = ()) -> None:
    """Require *reply* to have a status of success, or one of *also*; sorts the others as `Http.ask` says."""
    status = reply.status
    if 200 <= status < 300:
        return
    if status in _AGAIN or status >= 500:
        raise TemporaryError(who, doing, status, retry_after=retry_after(reply.headers))
    if status == _GONE:
        raise ChatGone(who, doing, status)
    if status in also:
        return
    detail = "a redirect, which is not followed; set the address it leads to" if status < 400 else ""
    raise BackendError(who, doing, status, detail)


def _sent_as(body: Json | list[Json] | bytes | None, form: Any) -> Any:
    """What goes over the wire; JSON says so itself, unless the headers of a request say something else."""
    if body is None:
        return form
    if isinstance(body, bytes):
        return BytesIO(body)  # in parts: bytes would go out in one go, and a large file would hold up the loop
    return aiohttp.BytesPayload(json.dumps(body, ensure_ascii=False).encode(), content_type="application/json")


@lru_cache(4096)
def _parsed(url: str) -> URL:
    """Taking a URL apart costs as much as sending a small message."""
    return URL(url)


async def _skip(reply: aiohttp.ClientResponse) -> bytes:
    """Let the body of a success go; the connection can be used again when it was a small one."""
    with suppress(aiohttp.ClientError, asyncio.TimeoutError, OSError):
        await reply.content.read(LARGEST_ANSWER)
    return b""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks to wait (RFC 9110, 10.2.3: a number, or a date)."""
    given = headers.get("Retry-After", "")
    if given.isdigit():
        return float(given[:9])
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - time())
    except (TypeError, ValueError, OverflowError):
        return None
