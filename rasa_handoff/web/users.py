"""What is kept of a user, given out or deleted for whoever has the server's token."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse

from rasa_handoff import strict_json as read
from rasa_handoff.model import Json
from rasa_handoff.runtime import Runtime
from rasa_handoff.store import users
from rasa_handoff.store.files import KeptFile
from rasa_handoff.web.answers import add_route, as_json, payload_of
from rasa_handoff.web.server_token import require_server_token

_NAME = 255  #: characters


class UsersApi:
    """Two routes. A user is named in the body, where no log of addresses remembers them.

    Args:
        running: gives the runtime, which is there once the server has started.
    """

    def __init__(self, running: Callable[[], Runtime]) -> None:
        self._running = running

    def add_to(self, blueprint: Blueprint) -> None:
        add_route(blueprint, "POST", "/users/export", self.export, "users_export")
        add_route(blueprint, "POST", "/users/erase", self.erase, "users_erase")

    async def export(self, request: Request) -> HTTPResponse:
        runtime = require_server_token(request, self._running)
        sender_id = _sender_id(await payload_of(request))
        found = await runtime.store.read(partial(users.export, sender_id=sender_id))
        for handoff in found["handoffs"]:
            handoff["files"] = [_with_link(runtime, each) for each in handoff["files"]]
        return as_json({"user": {"exported_at": time.time(), **found}})

    async def erase(self, request: Request) -> HTTPResponse:
        runtime = require_server_token(request, self._running)
        payload = await payload_of(request)
        close = read.boolean(payload, "close", required=False) or False
        erasure = await runtime.eraser.erase(_sender_id(payload), close=close)
        return as_json({**asdict(erasure), "database": runtime.store.database})


def _with_link(runtime: Runtime, file: Json) -> Json:
    """A file of an export, which says what it is, with a link to what is in it."""
    known = KeptFile(**{name: file[name] for name in KeptFile.__dataclass_fields__})
    return {**file, "url": runtime.files.url(known, ours=True) if file["state"] != "coming" else None}


def _sender_id(payload: Json) -> str:
    return read.text(payload, "sender_id", max_length=_NAME)
