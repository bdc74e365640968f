"""Requests of the bot's actions and of operators: one token opens it all."""

from __future__ import annotations

from collections.abc import Callable

from sanic.request import Request

from rasa_handoff import signing
from rasa_handoff.runtime import Runtime


def require_server_token(request: Request, running: Callable[[], Runtime]) -> Runtime:
    """Require *request* to come with the server's token; what runs.

    Raises:
        NotAuthentic: it does not.
        StoreClosed: the server is starting or stopping.
    """
    runtime = running()
    signing.require_bearer(request.headers.get("authorization"), runtime.access.token)
    return runtime
