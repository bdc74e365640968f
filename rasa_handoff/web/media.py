"""Files behind links that expire: streamed from where their channel keeps them, with its credentials."""

from __future__ import annotations

import logging
import mimetypes
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse

from rasa_handoff.errors import FetchError, NotAuthentic, UnknownChat
from rasa_handoff.fetch import AnyFile
from rasa_handoff.media import SHOWN, MediaFile, harmless
from rasa_handoff.runtime import Runtime
from rasa_handoff.store import handoffs
from rasa_handoff.web.answers import add_route, as_json
from rasa_handoff.web.ranges import NoSuchPart, at_most, wanted

log = logging.getLogger(__name__)

Open = Callable[[MediaFile], AbstractAsyncContextManager[AnyFile]]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "private, max-age=3600",
}


class MediaApi:
    """The route that `Media.url` leads to.

    Args:
        running: gives the runtime, which is there once the server has started.
        open_file: asks the file's channel for it.
    """

    def __init__(self, running: Callable[[], Runtime], open_file: Open) -> None:
        self._running = running
        self._open = open_file

    def add_to(self, blueprint: Blueprint) -> None:
        add_route(blueprint, "GET", "/media/<token:str>/<name:str>", self.show, "media")

    async def show(self, request: Request, token: str, name: str) -> HTTPResponse | None:
        found = await self._find(token)
        try:
            async with self._open(found) as file:
                return await _stream(request, found, file)
        except FetchError as error:
            log.warning("media.not_had channel=%s handoff=%s %s", found.channel, found.handoff_id, error)
            if request.responded:  # with half of it: the reader must not take that for the whole
                transport: Any = request.transport
                transport.close()
                return None
            return as_json({"error": {"code": "not_had", "message": f"the file cannot be had: {error}"}}, 502)

    async def _find(self, token: str) -> MediaFile:
        """The file that *token* opens.

        Raises:
            UnknownChat: none; the link is wrong or has expired, or its handoff was deleted.
        """
        runtime = self._running()
        try:
            found = runtime.media.file(token)
        except NotAuthentic as error:
            raise UnknownChat("the link is wrong, or has expired") from error
        if await runtime.store.read(lambda tx: handoffs.get(tx, found.handoff_id)) is None:
            raise UnknownChat("the conversation has been deleted")
        return found


async def _stream(request: Request, found: MediaFile, file: AnyFile) -> HTTPResponse | None:
    """Answer with *file*, part by part, or with what is asked for of it."""
    try:
        some = wanted(request.headers, file.size)
    except NoSuchPart:
        return HTTPResponse(status=416, headers={**_HEADERS, "Content-Range": f"bytes */{file.size}"})
    mime, extent = _type(found, file), _extent(file.size, some)
    headers = {**_HEADERS, **extent, "Content-Disposition": _disposition(found, file, mime)}
    status, parts = (200, file.parts()) if some is None else (206, at_most(file.parts(some.start), len(some)))
    first = await anext(parts, b"")  # before anything is promised
    response = await request.respond(status=status, content_type=mime, headers=headers)
    await response.send(first)
    async for part in parts:
        await response.send(part)
    await response.eof()
    return None


def _extent(size: int | None, some: range | None) -> dict[str, str]:
    """The headers that say how much it is; none where its server does not say."""
    if size is None:
        return {}
    known = {"Accept-Ranges": "bytes", "Content-Length": str(size if some is None else len(some))}
    return known if some is None else {**known, "Content-Range": f"bytes {some.start}-{some.stop - 1}/{size}"}


def _type(found: MediaFile, file: AnyFile) -> str:
    """What it is: as its server says, or the channel, or its name; if that is something harmless."""
    return harmless(file.mime, found.mime, mimetypes.guess_type(found.name or "")[0])


def _disposition(found: MediaFile, file: AnyFile, mime: str) -> str:
    """Whether it is shown or saved, and its name (RFC 6266, with RFC 8187 for other letters than English ones)."""
    name = quote(found.name or file.name or found.kind, safe="", errors="replace")
    return f"{'inline' if mime in SHOWN else 'attachment'}; filename*=UTF-8''{name}"
