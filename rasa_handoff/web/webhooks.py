"""The agent systems' requests to us, under the paths their vendors gave them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse, raw

from rasa_handoff import backends
from rasa_handoff.backends.base import Answer, Hook, Webhook
from rasa_handoff.errors import NotAuthentic, StoreError, UnknownChat, WebhookError
from rasa_handoff.runtime import Runtime
from rasa_handoff.web.answers import Handler, add_route, as_json, body_of

log = logging.getLogger(__name__)


class WebhooksApi:
    """The routes of the backends in the settings.

    Args:
        running: gives the runtime, which is there once the server has started.
        names: the backends.
    """

    def __init__(self, running: Callable[[], Runtime], names: Iterable[str]) -> None:
        self._running = running
        self._names = list(names)

    def add_to(self, blueprint: Blueprint) -> None:
        for name in self._names:
            for number, hook in enumerate(backends.load(name).hooks()):
                taking = self._taking(name, hook)
                add_route(blueprint, hook.method, f"/{name}/{hook.path}", taking, f"hook_{name}_{number}")

    def _taking(self, name: str, hook: Hook) -> Handler:
        async def take(request: Request, **path: str) -> HTTPResponse:
            metrics = self._running().metrics
            try:
                answer = await self._take(name, hook, request, path)
            except WebhookError as error:
                metrics.answered(name, error.status)
                raise
            except StoreError:
                metrics.answered(name, 503)
                raise
            metrics.answered(name, answer.status)
            return answer

        return take

    async def _take(self, name: str, hook: Hook, request: Request, path: dict[str, str]) -> HTTPResponse:
        backend = self._running().backends.get(name)
        if backend is None:
            raise UnknownChat("no such backend")
        webhook = Webhook(
            method=hook.method,
            path=path,
            query={key: values[0] for key, values in request.args.items()},
            headers={key.lower(): value for key, value in request.headers.items()},
            body=await body_of(request) if _has_body(hook) else b"",
        )
        try:
            backend.verify(webhook)
            answer = await getattr(backend, hook.taker)(webhook)
        except WebhookError as error:
            log.log(_level(error), "webhook.refused backend=%s status=%s %s", name, error.status, error)
            refusal = backend.refuse(webhook, error)
            if refusal is None:
                raise
            return _as_response(refusal)
        return _as_response(answer)


def _has_body(hook: Hook) -> bool:
    return hook.method not in ("GET", "DELETE")


def _level(error: WebhookError) -> int:
    """Strangers and late events are everyday; what is theirs and cannot be read is trouble."""
    return logging.INFO if isinstance(error, NotAuthentic) or error.status in (404, 409) else logging.ERROR


def _as_response(answer: Answer) -> HTTPResponse:
    if answer.body is None:
        return raw(b"", status=answer.status, headers=dict(answer.headers))
    return as_json(answer.body, answer.status, dict(answer.headers))
