"""How requests are read and answered: bounded, strict, and the same everywhere."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any, cast

from sanic import Blueprint
from sanic.exceptions import PayloadTooLarge
from sanic.request import Request
from sanic.response import HTTPResponse, raw

from rasa_handoff import strict_json
from rasa_handoff.errors import Conflict, NotAuthentic, StoreClosed, StoreError, WebhookError

log = logging.getLogger(__name__)

LARGEST_BODY = 256 * 1024  #: bytes

Handler = Callable[..., Coroutine[Any, Any, HTTPResponse | None]]  #: None: it has answered by itself


class TooLarge(WebhookError):
    """The body is larger than we take."""

    status = 413


class TooSlow(WebhookError):
    """The body does not come."""

    status = 408


class TooMany(WebhookError):
    """Too many tries; come back later."""

    status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(message)


# Conflict carries its own code.
_CODES = {400: "malformed", 404: "unknown", 408: "too_slow", 413: "too_large", 429: "too_many"}


def add_route(
    blueprint: Blueprint, method: str, path: str, handler: Handler, name: str, *, strict_slashes: bool = False
) -> None:
    """Have *handler* answer; of a body no more is gathered than it reads, with any method."""
    blueprint.add_route(answering(handler), path, [method], name=name, strict_slashes=strict_slashes, stream=True)


def answering(handler: Handler) -> Handler:
    """Turn what a handler raises into the answer that docs/http.md promises."""

    @functools.wraps(handler)
    async def answer(request: Request, **values: Any) -> HTTPResponse | None:
        # What is not read by the handler, Sanic reads and throws away: no more of it than this.
        stream: Any = request.stream
        stream.request_max_size = LARGEST_BODY
        try:
            return await handler(request, **values)
        except WebhookError as error:
            return refusal(error)
        except StoreError as error:
            return not_stored(error)

    return answer


def refusal(error: WebhookError) -> HTTPResponse:
    """The answer to a request that has no effect."""
    if isinstance(error, NotAuthentic):
        return raw(b"", status=401, headers={"WWW-Authenticate": "Bearer"})
    code = error.code if isinstance(error, Conflict) else _CODES.get(error.status, "refused")
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, TooMany) else None
    return as_json({"error": {"code": code, "message": str(error)}}, error.status, headers)


def not_stored(error: StoreError) -> HTTPResponse:
    """The answer to a request that is to be sent again."""
    log.log(logging.INFO if isinstance(error, StoreClosed) else logging.ERROR, "web.not_stored %s", error)
    text = "the database cannot take this now; try again"
    return as_json({"error": {"code": "unavailable", "message": text}}, 503, {"Retry-After": "1"})


def as_json(payload: Any, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    return raw(body, status, {"Cache-Control": "no-store", **(headers or {})}, content_type="application/json")


def nothing() -> HTTPResponse:
    return raw(b"", status=204)


async def body_of(request: Request) -> bytes:
    """The raw body, read only as far as we take it. The route is one with ``stream=True``.

    Raises:
        TooLarge: it is larger than `LARGEST_BODY`.
    """
    body, stream = b"", cast("Any", request.stream)
    try:
        while chunk := await stream.read():
            body += chunk
    except PayloadTooLarge as error:
        raise TooLarge("the body is larger than 256 kB") from error
    return body


async def payload_of(request: Request) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        TooLarge, Malformed.
    """
    body = await body_of(request)
    return strict_json.loads_object(body) if body else {}
