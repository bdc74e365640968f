"""Channels whose service gets requests of ours, because Rasa's own would block, or only log a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, cast
from urllib.parse import unquote, urlsplit

from aiohttp import FormData

from rasa_handoff import strict_json
from rasa_handoff.backends.http import Reply, retry_after
from rasa_handoff.backends.tokens import Token
from rasa_handoff.channels.base import Channel, ChannelFile, Heard
from rasa_handoff.errors import BackendError, FetchError, Malformed, TemporaryError, UserUnreachable
from rasa_handoff.fetch import File
from rasa_handoff.model import Attachment, AttachmentKind, Json
from rasa_handoff.pieces import in_utf16, pieces

log = logging.getLogger(__name__)

LARGEST_ANSWER = 1024 * 1024  #: bytes; some repeat the whole message
DESCRIBING = 2.0  #: seconds for the service to say what files are, while a message that has them waits
_MOST_DESCRIBED = 10  #: files of a message
_SHOWN = {"image", "audio", "video"}


class TokenRefused(UserUnreachable):
    """The service does not take our token, or not any more."""


class NotThere(UserUnreachable):
    """The service has no such thing, or not any more."""


_REFUSALS = {401: TokenRefused, 404: NotThere}


class Service(Channel):
    """A channel that speaks JSON with its service."""

    again: ClassVar[frozenset[int]] = frozenset({408, 425, 429})  #: statuses of trouble that passes, beside 500 and on

    async def post(
        self,
        url: str,
        body: Json | bytes | None,
        headers: Mapping[str, str],
        *,
        form: Mapping[str, str] | FormData | None = None,
        doing: str = "send a message",
        timeout: float | None = None,
    ) -> Json:
        """Ask the service, and give its answer; an empty one where it is no object.

        Args:
            body: sent as JSON; bytes as they are, with the Content-Type of *headers*.
            form: sent as a form, when there is no *body*.
            timeout: seconds for this request, if they are others.

        Raises:
            TemporaryError: it could not answer now.
            TokenRefused: 401.
            NotThere: 404.
            UserUnreachable: it said no for good.
        """
        return await self._ask(doing, "POST", url, body=body, form=form, headers=headers, timeout=timeout)

    async def get(self, url: str, headers: Mapping[str, str], *, doing: str) -> Json:
        """The same for what is only read."""
        return await self._ask(doing, "GET", url, headers=headers)

    async def head(self, url: str, headers: Mapping[str, str], *, doing: str) -> Mapping[str, str]:
        """The same for what the headers of an answer tell."""
        return (await self._reply(doing, "HEAD", url, headers=headers)).headers

    async def _ask(self, doing: str, method: str, url: str, **sent: Any) -> Json:
        return read(await self._reply(doing, method, url, **sent))

    async def _reply(self, doing: str, method: str, url: str, **sent: Any) -> Reply:
        judge = partial(self._judge, doing)
        try:
            return await self.http.ask(doing, method, url, judge=judge, largest=LARGEST_ANSWER, **sent)
        except TemporaryError:
            raise
        except BackendError as error:
            raise UserUnreachable(str(error)) from error

    async def post_with(
        self, token: Token, as_headers: Callable[[str], Mapping[str, str]], url: str, body: Json
    ) -> Json:
        """The same with a token; with a new one when it is refused, once."""
        known = await token.get()
        try:
            return await self.post(url, body, as_headers(known))
        except TokenRefused:
            return await self.post(url, body, as_headers(await token.get(instead_of=known)))

    def _judge(self, doing: str, reply: Reply) -> None:
        if 200 <= reply.status < 300:
            return
        if reply.status in self.again or reply.status >= 500:
            raise TemporaryError(self.name, doing, reply.status, retry_after=self.retry_after(reply.headers))
        error = _REFUSALS.get(reply.status, UserUnreachable)
        words = " ".join(filter(None, [f"HTTP {reply.status}", self.why(read(reply))[:200]]))
        raise error(f"{self.name}: could not {doing}: {words}")

    def retry_after(self, headers: Mapping[str, str]) -> float | None:
        """Seconds that the service asks to wait."""
        return retry_after(headers)

    def why(self, answer: Json) -> str:
        """The service's own word for why it said no; no user's text."""
        return ""

    async def learned(self, heard: Heard) -> Heard:
        files = heard.attachments[:_MOST_DESCRIBED]
        described = await asyncio.gather(*map(self._described_in_time, files))
        return replace(heard, attachments=(*described, *heard.attachments[_MOST_DESCRIBED:])) if files else heard

    async def _described_in_time(self, file: Attachment | ChannelFile) -> Attachment | ChannelFile:
        if not isinstance(file, ChannelFile):
            return file
        try:
            return await asyncio.wait_for(self.described(file), DESCRIBING)
        except Exception as error:  # what a user sent is worth more than how it is called
            log.info("channel.file_undescribed channel=%s error=%s", self.name, type(error).__name__)
            return file

    async def described(self, file: ChannelFile) -> ChannelFile:
        """*file*, a user's, with the name and the kind that the service knows of it, where its webhooks say none.

        What it raises means that the service does not say.
        """
        return file

    def fetched(self, url: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[File]:
        """A file of the service's; see `Channel.open`."""
        return self.fetcher.open(url, self.around.largest_file, headers)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def read(reply: Reply) -> Json:
    """The body as an object; an empty one where it is none."""
    try:
        return strict_json.loads_object(reply.body)
    except Malformed:
        return {}


def texts(text: str, longest: int, size: Callable[[str], int] = in_utf16) -> list[str]:
    """*text* in pieces that the channel takes; none where it says nothing."""
    return [each for piece in pieces(text, longest, size) if (each := piece.strip())]


def kind_of(mime: str | None) -> AttachmentKind:
    """What a file with this MIME type is for those who look at it."""
    kind = (mime or "").partition("/")[0]
    return cast("AttachmentKind", kind) if kind in _SHOWN else "file"


def require_path(path: str, beginning: str) -> None:
    """Require *path* to be below *beginning*: a stranger's webhook must not choose what a service is asked for.

    Raises:
        FetchError: it is not.
    """
    plain = unquote(path)
    if not plain.startswith(beginning) or ".." in plain.split("/"):
        raise FetchError("it is no file of the channel's")


def require_host(url: str, *hosts: str) -> None:
    """Require *url* to be a service's own, before credentials go there.

    Args:
        hosts: the names; one that begins with a dot stands for all below it.

    Raises:
        FetchError: it is not.
    """
    where = urlsplit(url)
    host = (where.hostname or "").lower()
    known = any(host == each or (each.startswith(".") and host.endswith(each)) for each in hosts)
    if where.scheme != "https" or not known or where.port not in (None, 443):
        raise FetchError("its address is not one of the channel's own")
