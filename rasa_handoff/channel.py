"""HandoffInput, the channel that switches the plugin on: wires everything together at server start."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import Any

from rasa.core.channels.channel import CollectingOutputChannel, InputChannel, OutputChannel, UserMessage
from rasa.core.channels.rest import QueueOutputChannel
from rasa.shared.exceptions import RasaException
from sanic import Blueprint, Sanic
from sanic.request import Request
from sanic.response import HTTPResponse

from rasa_handoff import access, channels, heap
from rasa_handoff import strict_json as read
from rasa_handoff.backends import settings_models
from rasa_handoff.channels.base import Around
from rasa_handoff.channels.intake import Intake
from rasa_handoff.channels.stream import StreamOutput, find_files
from rasa_handoff.desk import live
from rasa_handoff.desk.api import DeskApi
from rasa_handoff.dialogue import Dialogue
from rasa_handoff.errors import ConfigError, HandoffError, StoreClosed
from rasa_handoff.fetch import AnyFile
from rasa_handoff.gate import Gate
from rasa_handoff.inbox import Typed
from rasa_handoff.media import MediaFile
from rasa_handoff.model import Handoff, Json
from rasa_handoff.reach import Reach
from rasa_handoff.runtime import Runtime
from rasa_handoff.settings import Settings, read_section
from rasa_handoff.takeover import Takeover
from rasa_handoff.web import framing, logs, user
from rasa_handoff.web.answers import answering, as_json, payload_of
from rasa_handoff.web.figures import FiguresApi
from rasa_handoff.web.files import FilesApi
from rasa_handoff.web.health import HealthApi
from rasa_handoff.web.history import HistoryApi
from rasa_handoff.web.media import MediaApi
from rasa_handoff.web.metrics import MetricsApi
from rasa_handoff.web.operators import OperatorsApi
from rasa_handoff.web.takeover import TakeoverApi
from rasa_handoff.web.users import UsersApi
from rasa_handoff.web.webhooks import WebhooksApi

log = logging.getLogger(__name__)

_LONGEST_MESSAGE = 100_000  #: characters; the body's limit comes first for most texts


class CannotStart(RasaException):
    """The server cannot start; Rasa prints the message and ends."""


class HandoffInput(InputChannel):
    """The entry ``rasa_handoff.HandoffInput`` in credentials.yml.

    Args:
        settings: what the entry says.
        folder: where the private file and a relative database are; the working folder by default.
    """

    def __init__(self, settings: Settings, folder: Path | None = None) -> None:
        self.settings = settings
        self._folder = folder or Path.cwd()
        self._runtime: Runtime | None = None
        self._stack = ExitStack()
        self._users = user.UserApi(self.running, chat_page=settings.chat_page)

    @classmethod
    def name(cls) -> str:
        return "handoff"

    @classmethod
    def from_credentials(cls, credentials: dict[str, Any] | None) -> HandoffInput:
        try:
            return cls(read_section(credentials, settings_models(), channels.settings_models()))
        except ConfigError as error:
            raise CannotStart(str(error)) from error

    def get_output_channel(self) -> OutputChannel:
        return StreamOutput(self.running().store)

    def running(self) -> Runtime:
        """The parts that run.

        Raises:
            StoreClosed: the server has not started yet, or is stopping.
        """
        if self._runtime is None:
            raise StoreClosed("the server is starting or stopping")
        return self._runtime

    def blueprint(self, on_new_message: Callable[[UserMessage], Awaitable[Any]]) -> Blueprint:
        blueprint = Blueprint("handoff_webhook", __name__)
        blueprint.add_route(answering(self._alive), "/", ["GET"], name="alive")

        @answering
        async def receive(request: Request) -> HTTPResponse | None:
            return await self._receive(request, on_new_message)

        blueprint.add_route(receive, "/webhook", ["POST"], name="receive", stream=True)
        self._users.add_to(blueprint)
        OperatorsApi(self.running).add_to(blueprint)
        UsersApi(self.running).add_to(blueprint)
        TakeoverApi(self.running, self._take).add_to(blueprint)
        WebhooksApi(self.running, self.settings.backends).add_to(blueprint)
        HealthApi(self.running).add_to(blueprint)
        MetricsApi(self.running).add_to(blueprint)
        FiguresApi(self.running).add_to(blueprint)
        HistoryApi(self.running).add_to(blueprint)
        MediaApi(self.running, self._open_file).add_to(blueprint)
        FilesApi(self.running).add_to(blueprint)
        DeskApi(self.running).add_to(blueprint)
        blueprint.listener("before_server_start")(self._start)
        blueprint.listener("after_server_start")(self._guard)
        blueprint.listener("before_server_stop")(self._stop)
        blueprint.listener("after_server_stop")(self._leave)
        return blueprint

    async def _alive(self, request: Request) -> HTTPResponse:
        return as_json({"status": "ok"})

    # -- start and stop -----------------------------------------------------------------------

    async def _start(self, app: Sanic, loop: Any = None) -> None:
        try:
            await self._start_parts(app)
        except HandoffError as error:
            raise CannotStart(str(error)) from error

    async def _start_parts(self, app: Sanic) -> None:
        settings = self.settings
        known = access.ensure(
            self._folder,
            url=_url(app),
            token=settings.token,
            want_agent="desk" in settings.backends and not settings.backends["desk"].agents,
        )
        framing.install(app)
        logs.install()
        runtime = Runtime(settings, known, self._folder)
        dialogue = Dialogue(
            lambda: app.ctx.agent, runtime.store, runtime.switchboard, settings.log_to_tracker, settings.agents
        )
        around = Around(
            store=runtime.store,
            now=time.time,
            public_url=settings.public_url,
            largest_file=settings.largest_file,
            elsewhere=runtime.elsewhere,
            files=runtime.files,
        )
        self._channels = channels.Channels(lambda: app.ctx.input_channels, around, settings.channels)
        runtime.opening.spoken = self._channels.spoken()
        intake = Intake(runtime.store, self._channels)
        reach = Reach(dialogue, intake, settings.agents)
        gate = Gate(
            runtime.switchboard,
            dialogue,
            intake,
            runtime.media,
            settings,
            lambda handoff: runtime.outbox.nudge(handoff),
            heap.settle,
        )
        self._stack.enter_context(gate.installed())
        user.watch(runtime)
        live.listen(runtime)
        runtime.store.subscribe(Typed, lambda typed: runtime.later(0, reach.typing, typed))
        intake.install(app, gate.take_in)
        self._runtime, self._gate = runtime, gate
        self._takeover = Takeover(runtime, dialogue)
        await runtime.open(reach, self._open_file)

    async def _guard(self, app: Sanic, loop: Any = None) -> None:
        """The bot is loaded: take up what was left, and stand before it."""
        self._gate.guard(app.ctx.agent.processor)
        self._channels.watch(self._gate.came)
        await self.running().start()

    async def _stop(self, app: Sanic, loop: Any = None) -> None:
        if self._runtime is not None:
            runtime, self._runtime = self._runtime, None
            await runtime.stop()
            await self._channels.close()

    async def _leave(self, app: Sanic, loop: Any = None) -> None:
        # Only now: until the last request is answered, no message may slip past the gate.
        self._stack.close()

    async def _take(self, sender_id: str, **wishes: str | None) -> Handoff:
        return await self._takeover.take(sender_id, **wishes)

    def _open_file(self, file: MediaFile) -> AbstractAsyncContextManager[AnyFile]:
        return self._channels.named(file.channel).open(file.reference)

    # -- what users say -----------------------------------------------------------------------

    async def _receive(
        self, request: Request, on_new_message: Callable[[UserMessage], Awaitable[Any]]
    ) -> HTTPResponse | None:
        payload = await payload_of(request)
        message = self._message(request, payload)
        await find_files(self.running().store, request, message)
        if request.args.get("stream", "").lower() == "true":
            await _answer_in_parts(request, message, on_new_message)
            return None
        await on_new_message(message)
        return as_json(message.output_channel.messages)

    def _message(self, request: Request, payload: Json) -> UserMessage:
        sender = read.text(payload, "sender", max_length=user.LONGEST_NAME, required=False)
        if sender is not None and sender.startswith(user.OURS):
            header = request.headers.get("authorization") or ""
            self._users.require_token(sender, header.removeprefix("Bearer ").strip())
        return UserMessage(
            read.text(payload, "message", max_length=_LONGEST_MESSAGE, required=False),
            Answers(),
            sender,
            input_channel=read.text(payload, "input_channel", max_length=100, required=False) or self.name(),
            metadata=read.mapping(payload, "metadata", required=False),
        )


class Answers(CollectingOutputChannel):
    """What the bot says in answer to a request."""

    @classmethod
    def name(cls) -> str:
        return "handoff"


async def _answer_in_parts(
    request: Request, message: UserMessage, on_new_message: Callable[[UserMessage], Awaitable[Any]]
) -> None:
    """Answer as Rasa's rest channel does with ``?stream=true``: a line of JSON for each thing said.

    Raises:
        Conflict: the message was refused; nothing has been answered yet.
    """
    said: asyncio.Queue[Any] = asyncio.Queue()
    message.output_channel = QueueOutputChannel(said)

    async def listen() -> None:
        try:
            await on_new_message(message)
        finally:
            said.put_nowait(None)

    task = asyncio.create_task(listen())
    part = await said.get()
    if part is None:
        await task  # a status can still say that the message was refused
    response = await request.respond(content_type="text/event-stream")
    while part is not None:
        await response.send(json.dumps(part) + "\n")
        part = await said.get()
    await task
    await response.eof()


def _url(app: Sanic) -> str | None:
    """Where this server can be reached on its own machine; None where Sanic does not tell."""
    state = getattr(app, "state", None)
    port = getattr(state, "port", None)
    if not port:
        return None
    scheme = "https" if getattr(state, "ssl", None) else "http"
    return f"{scheme}://127.0.0.1:{port}"
