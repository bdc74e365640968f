"""What a user's page asks for besides saying something: a name, the stream, typing, reading, leaving."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse, redirect

from rasa_handoff import signing
from rasa_handoff import strict_json as read
from rasa_handoff.changes import Changed, state_of
from rasa_handoff.errors import Malformed, NotAuthentic, UnknownChat
from rasa_handoff.inbox import Typed
from rasa_handoff.live import Listener
from rasa_handoff.model import EndReason, Handoff, Json, Person, Status
from rasa_handoff.runtime import Runtime
from rasa_handoff.store import stream
from rasa_handoff.store.stream import Entry
from rasa_handoff.web import sse
from rasa_handoff.web.answers import Handler, add_route, as_json, nothing, payload_of
from rasa_handoff.web.pages import Pages

OURS = "web-"  #: how the names we give begin; they open only with their token
LONGEST_NAME = 255
_CHANNEL = "handoff"


class UserApi:
    """The routes for a user's page.

    Args:
        running: gives the runtime, which is there once the server has started.
        chat_page: whether to serve the chat page, too.
    """

    def __init__(self, running: Callable[[], Runtime], *, chat_page: bool) -> None:
        self._running = running
        self._pages = Pages("rasa_handoff.web", "chat.html") if chat_page else None

    def add_to(self, blueprint: Blueprint) -> None:
        routes: tuple[tuple[str, str, Handler], ...] = (
            ("POST", "/conversations", self.begin),
            ("GET", "/stream", self.stream),
            ("POST", "/typing", self.typing),
            ("POST", "/read", self.read),
            ("POST", "/leave", self.leave),
        )
        for method, path, handler in routes:
            add_route(blueprint, method, path, handler, f"user_{handler.__name__}")
        if self._pages is not None:
            add_route(blueprint, "GET", "/chat/", self._page, "chat_page", strict_slashes=True)
            add_route(blueprint, "GET", "/chat", self._to_page, "chat_to_page", strict_slashes=True)
            add_route(blueprint, "GET", "/chat/<name:str>", self._file, "chat_file")

    async def _page(self, request: Request) -> HTTPResponse:
        return self._pages.serve(request)  # type: ignore[union-attr]

    async def _to_page(self, request: Request) -> HTTPResponse:
        return redirect(f"{request.path}/")

    async def _file(self, request: Request, name: str) -> HTTPResponse:
        return self._pages.serve(request, name)  # type: ignore[union-attr]

    # -- who asks -----------------------------------------------------------------------------

    async def begin(self, request: Request) -> HTTPResponse:
        access = self._running().access
        header = request.headers.get("authorization")
        if header is not None:
            signing.require_bearer(header, access.token)
        sender = read.text(await payload_of(request), "sender", max_length=LONGEST_NAME, required=False)
        if sender is not None and header is None:
            raise NotAuthentic("only the server's token gives a name of your choice")
        sender = sender or OURS + secrets.token_urlsafe(16)
        return as_json({"sender": sender, "token": signing.conversation_token(access.secret, sender)}, 201)

    def require_token(self, sender: str, token: str | None) -> None:
        """Require *token* to open the conversation *sender*."""
        signing.require_conversation_token(self._running().access.secret, sender, token)

    async def _named(self, request: Request) -> tuple[str, Json]:
        payload = await payload_of(request)
        sender = read.text(payload, "sender", max_length=LONGEST_NAME)
        self.require_token(sender, read.text(payload, "token", max_length=200, required=False))
        return sender, payload

    # -- what they do -------------------------------------------------------------------------

    async def typing(self, request: Request) -> HTTPResponse:
        sender, payload = await self._named(request)
        await self._running().signals.user_typing(sender, read.boolean(payload, "typing"))
        return nothing()

    async def read(self, request: Request) -> HTTPResponse:
        sender, payload = await self._named(request)
        await self._running().switchboard.read(sender, read.text(payload, "message_id", max_length=100))
        return nothing()

    async def leave(self, request: Request) -> HTTPResponse:
        sender, _ = await self._named(request)
        with suppress(UnknownChat):  # it is over, which is what they want
            await self._running().switchboard.close(EndReason.USER_LEFT, sender_id=sender)
        return nothing()

    async def stream(self, request: Request) -> None:
        sender = request.args.get("sender") or ""
        self.require_token(sender, request.args.get("token"))
        after = _number(request.headers.get("last-event-id") or request.args.get("after") or "0")
        runtime = self._running()
        topic = f"user:{sender}"
        listener = runtime.hub.listen(topic)
        try:
            if runtime.hub.count(topic) == 1:
                await runtime.signals.user_presence(sender, True)
            await sse.serve(request, self._events(runtime, sender, after, listener))
        finally:
            runtime.hub.leave(topic, listener)
            if runtime.hub.count(topic) == 0:
                runtime.later(0, _tell_presence, runtime, sender)

    async def _events(self, runtime: Runtime, sender: str, after: int, listener: Listener) -> AsyncIterator[str]:
        handoff = await runtime.switchboard.holder(sender)
        faces = runtime.settings.agents
        state = state_of(faces.in_handoff(handoff), handoff.opened_at) if handoff else None
        kept = {"largest_file": runtime.files.largest, "takes_files": runtime.files.are_taken_from("user")}
        yield sse.event("hello", json.dumps({"handoff": state, **kept}))
        # The listener hears from now on; what the database has until now comes first.
        while entries := await runtime.store.read(partial(stream.after, sender_id=sender, number=after)):
            for entry in entries:
                yield sse.event(entry.event, entry.data, entry.id)
            after = entries[-1].id
        async for fact in sse.heard(listener):
            if isinstance(fact, Entry):
                if fact.id > after:
                    after = fact.id
                    yield sse.event(fact.event, fact.data, fact.id)
            elif isinstance(fact, Typed):
                name = faces.of(Person(name=fact.name or "")).name or None
                yield sse.event("typing", json.dumps({"typing": fact.typing, "name": name}))
            else:
                yield ": alive\n\n"


def watch(runtime: Runtime) -> None:
    """Tell the agents' side, when a handoff is opened, whether the user's page is there."""

    def opened(changed: Changed) -> None:
        handoff: Handoff = changed.handoff
        if handoff.channel == _CHANNEL and handoff.status in (Status.QUEUED, Status.ACTIVE):
            runtime.later(0, _tell_presence, runtime, handoff.sender_id)

    runtime.store.subscribe(Changed, opened)


async def _tell_presence(runtime: Runtime, sender: str) -> None:
    await runtime.signals.user_presence(sender, await runtime.user_has_page(sender))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise Malformed("after must be the id of an event")
    return int(text)
