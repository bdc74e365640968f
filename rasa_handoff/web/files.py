"""Files on their way in: no faster than they are kept, and not a byte more than is taken."""

from __future__ import annotations

import asyncio
import mimetypes
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, cast
from uuid import UUID

from sanic import Blueprint
from sanic.exceptions import PayloadTooLarge, SanicException
from sanic.request import Request
from sanic.response import HTTPResponse

from rasa_handoff import signing
from rasa_handoff.errors import Malformed, StoreError, WebhookError
from rasa_handoff.files import Allowed, in_words, no_public_url, not_open
from rasa_handoff.media import file_name, harmless, kind_of
from rasa_handoff.model import Json
from rasa_handoff.runtime import Runtime
from rasa_handoff.store import Tx, handoffs
from rasa_handoff.store.files import Giver, KeptFile
from rasa_handoff.web.answers import TooLarge, TooSlow, add_route, as_json, body_of, not_stored, nothing, refusal

_SILENCE = 30.0  #: seconds in which some more of a file has to come
_LONGEST = 1800.0  #: seconds for all of it
_LINGERS = 10.0  #: seconds for which what is refused is still read, so that its sender gets to the answer


class FilesApi:
    """The routes for users' files.

    Args:
        running: gives the runtime, which is there once the server has started.
    """

    def __init__(self, running: Callable[[], Runtime]) -> None:
        self._running = running

    def add_to(self, blueprint: Blueprint) -> None:
        add_route(blueprint, "POST", "/files", self.give, "user_files")
        add_route(blueprint, "DELETE", "/files/<file_id:uuid>", self.take_back, "user_file")

    async def give(self, request: Request) -> HTTPResponse | None:
        runtime, sender = self._running(), self._sender(request)
        return await answered(request, runtime, self._taken(request, runtime, sender))

    async def take_back(self, request: Request, file_id: UUID) -> HTTPResponse:
        sender = self._sender(request)
        await body_of(request)
        await self._running().files.take_back(str(file_id), partial(_is_of_user, sender_id=sender))
        return nothing()

    def _sender(self, request: Request) -> str:
        """Whose conversation it is.

        Raises:
            NotAuthentic: the token is not that of the conversation.
        """
        sender = request.args.get("sender") or ""
        token = (request.headers.get("authorization") or "").removeprefix("Bearer ").strip()
        signing.require_conversation_token(self._running().access.secret, sender, token)
        return sender

    async def _taken(self, request: Request, runtime: Runtime, sender: str) -> KeptFile:
        runtime.files.require_taken_from("user")
        handoff = await runtime.switchboard.holder(sender)
        if handoff is None or not handoff.is_open:
            raise not_open()
        backend = runtime.backends.get(handoff.backend)
        if runtime.settings.public_url is None and not (backend and backend.takes_files):
            raise no_public_url()
        return await taken(request, runtime, handoff.id, "user", partial(_require_open, handoff_id=handoff.id))


async def answered(request: Request, runtime: Runtime, taking: Coroutine[Any, Any, KeptFile]) -> HTTPResponse | None:
    """The answer to whoever sent a file, and may still be sending it."""
    try:
        kept = await taking
    except TooSlow:
        raise
    except WebhookError as error:
        return await _refused(request, refusal(error))
    except StoreError as error:
        return await _refused(request, not_stored(error))
    return as_json({"file": _of_file(kept, runtime.files.url(kept, ours=True))}, 201)


async def taken(request: Request, runtime: Runtime, handoff_id: str, who: Giver, allowed: Allowed) -> KeptFile:
    """The body of *request* as a file, kept.

    Args:
        who: gives it; nothing of the body has been read before this is known.
        allowed: raises what keeps them from giving it, whenever it is asked.

    Raises:
        Malformed: it has no name, or is empty.
        TooLarge: it is larger than ``largest_file``.
        TooSlow: it does not come.
        Conflict: ``full``, or what *allowed* raises.
    """
    file, size, largest = _announced(request, handoff_id, who), _length(request), runtime.files.largest
    if size > largest:
        raise _too_large(largest)
    await runtime.files.require_room(file, size, allowed)
    return await runtime.files.receive(file, _body(request, largest), allowed)


def _announced(request: Request, handoff_id: str, who: Giver) -> KeptFile:
    name = file_name(request.args.get("name") or "")
    if not name:
        raise Malformed("name is missing: it is the file's, e.g. ?name=bill.pdf")
    mime = harmless(request.headers.get("content-type"), mimetypes.guess_type(name)[0])
    return KeptFile(id=str(uuid.uuid4()), handoff_id=handoff_id, who=who, kind=kind_of(mime), name=name, mime=mime)


def _length(request: Request) -> int:
    """How many bytes the body has, as far as its sender says so: see `rasa_handoff.web.framing`."""
    return int(request.headers.get("content-length") or 0)


async def _body(request: Request, largest: int) -> AsyncIterator[bytes]:
    stream, end = cast("Any", request.stream), time.monotonic() + _LONGEST
    stream.request_max_size = largest
    try:
        while piece := await asyncio.wait_for(stream.read(), min(_SILENCE, end - time.monotonic())):
            yield piece
    except PayloadTooLarge as error:  # its sender has not said so before
        raise _too_large(largest) from error
    except asyncio.TimeoutError as error:
        raise TooSlow("the file did not come in time") from error


async def _refused(request: Request, answer: HTTPResponse) -> HTTPResponse | None:
    """Answer, and let the sender come to the point of reading it; a connection that is cut would tell them nothing."""
    stream = cast("Any", request.stream)
    stream.keep_alive = False
    response = await request.respond(answer)
    await response.send(end_stream=True)
    stream.request_max_size = sys.maxsize
    with suppress(asyncio.TimeoutError, SanicException):
        await asyncio.wait_for(_thrown_away(stream), _LINGERS)
    stream.request_max_size = 0  # Sanic reads no more of it
    return None


async def _thrown_away(stream: Any) -> None:
    while await stream.read():
        pass


def _require_open(tx: Tx, handoff_id: str) -> None:
    handoff = handoffs.get(tx, handoff_id)
    if handoff is None or not handoff.is_open:
        raise not_open()


def _is_of_user(tx: Tx, file: KeptFile, sender_id: str) -> bool:
    handoff = handoffs.get(tx, file.handoff_id)
    return file.who == "user" and handoff is not None and handoff.sender_id == sender_id


def _too_large(largest: int) -> TooLarge:
    return TooLarge(f"the file is larger than {in_words(largest)}")


def _of_file(file: KeptFile, url: str | None) -> Json:
    known = {name: getattr(file, name) for name in ("id", "kind", "name", "mime", "size")}
    return {**known, "url": url}
