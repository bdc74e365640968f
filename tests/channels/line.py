"""One of Rasa's channels on a real server, between its service, which is a server of the test's, and the agents."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
from collections.abc import Awaitable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
from rasa.core.agent import Agent
from rasa.core.channels.channel import InputChannel, register
from rasa.shared.core.events import BotUttered, UserUttered
from sanic import Blueprint, Sanic

from rasa_handoff import access
from rasa_handoff.channels import Channels, settings_models
from rasa_handoff.channels.base import Around
from rasa_handoff.channels.intake import Intake
from rasa_handoff.dialogue import Dialogue
from rasa_handoff.events import AgentJoined, AgentMessage, AgentTyping, Closed
from rasa_handoff.gate import Gate
from rasa_handoff.inbox import Typed
from rasa_handoff.model import Delivery, Handoff, Message, Person, Request, Status
from rasa_handoff.reach import Reach
from rasa_handoff.runtime import Runtime
from rasa_handoff.settings import read_section
from rasa_handoff.store import deliveries, handoffs
from rasa_handoff.web.media import MediaApi
from tests.stage import Stage

PUBLIC = "https://bot.test"
BO = Person(name="Bo", id="bo", avatar_url="https://desk.test/bo.png")
_NUMBERS = itertools.count(1)


class Line(Stage):
    """The whole plugin behind a channel, but for the pages; the agents write down what they get.

    Args:
        channel: Rasa's.
        agent: Rasa's, with a bot loaded.
        beside: other channels on the same server.
        section: our settings.
    """

    def __init__(
        self, folder: Path, channel: InputChannel, agent: Agent, beside: Sequence[InputChannel] = (), **section: Any
    ) -> None:
        super().__init__(f"sqlite:///{folder}/handoff.db", folder, time.time)
        own = section.pop("channels", {})
        self.settings = read_section(
            {"database": f"sqlite:///{folder}/handoff.db", "public_url": PUBLIC, "channels": own, **section},
            {"desk": type(self.agents).settings_model},
            settings_models(),
        )
        self.channel = channel
        self.inputs = [channel, *beside]
        self.agent = agent
        self._typing_shown = 0  #: times that it has been, or could not be
        self._stack = ExitStack()
        self.url: str

    async def up(self) -> None:
        known = access.ensure(self.folder, url=None, token=None, want_agent=True)
        self.runtime = Runtime(self.settings, known, self.folder)
        self.runtime.backends["desk"] = self.agents  # type: ignore[index]
        runtime, settings = self.runtime, self.settings
        around = Around(
            store=runtime.store,
            now=time.time,
            public_url=settings.public_url,
            largest_file=settings.largest_file,
            elsewhere=runtime.elsewhere,
            files=runtime.files,
        )
        self.channels = Channels(lambda: self.inputs, around, settings.channels)
        runtime.opening.spoken = self.channels.spoken()
        self.intake = Intake(runtime.store, self.channels)
        dialogue = Dialogue(lambda: self.agent, runtime.store, runtime.switchboard, False)
        reach = Reach(dialogue, self.intake)
        self.gate = Gate(
            runtime.switchboard,
            dialogue,
            self.intake,
            runtime.media,
            settings,
            lambda handoff: runtime.outbox.nudge(handoff),
        )
        self._stand_before_the_bot()
        self._reach = reach
        runtime.store.subscribe(Typed, lambda typed: runtime.later(0, self._show_typing, typed))
        await runtime.open(reach)
        await self._serve()
        self.channels.watch(self.gate.came)
        await runtime.start()
        self._session = aiohttp.ClientSession()

    def _stand_before_the_bot(self) -> None:
        self._stack.enter_context(self.gate.installed())

    async def _serve(self) -> None:
        app = Sanic(f"line-{next(_NUMBERS)}", configure_logging=False)
        app.ctx.agent = self.agent
        # As Rasa does, before a loop runs: a channel may run one of its own meanwhile.
        await asyncio.to_thread(register, self.inputs, app, "/webhooks/")
        blueprint = Blueprint("handoff_webhook", url_prefix="/webhooks/handoff")
        MediaApi(lambda: self.runtime, lambda file: self.channels.named(file.channel).open(file.reference)).add_to(
            blueprint
        )
        app.blueprint(blueprint)
        self.intake.install(app, self.gate.take_in)
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = await app.create_server(sock=listening, return_asyncio_server=True, access_log=False)
        assert server is not None
        Sanic.test_mode = True  # see tests/web_stage.py
        await server.startup()
        await server.before_start()
        Sanic.test_mode = False
        self._server = server

    async def down(self) -> None:
        await self._session.close()
        await self.runtime.stop()
        await self.channels.close()
        await self._server.close()
        for connection in list(self._server.connections):
            connection.abort()
        self._stack.close()

    # -- what happens -------------------------------------------------------------------------

    async def hook(
        self, body: Any = None, path: str = "webhook", to: InputChannel | None = None, **more: Any
    ) -> tuple[int, str]:
        """A webhook of the service's: JSON, or ``data=`` for a form; its answer's status and body."""
        url = f"{self.url}/webhooks/{(to or self.channel).url_prefix()}/{path}"
        more = more if body is None else {"data": json.dumps(body), **more}
        headers = {"Content-Type": "application/json", **more.pop("headers", {})} if body is not None else None
        headers = headers or more.pop("headers", None)
        async with self._session.post(url, headers=headers, **more) as answer:
            return answer.status, await answer.text()

    async def ask_for_an_agent(self, sender_id: str) -> Handoff:
        return await self.runtime.opening.request(Request(sender_id=sender_id, channel=self.channel.name()))

    async def hand_over(self, sender_id: str) -> Handoff:
        """An agent takes the conversation."""
        handoff = await self.ask_for_an_agent(sender_id)
        return await self.happen(AgentJoined(chat_id=handoff.id, agent=BO))

    async def begin(self, sender_id: str, writing: Awaitable[tuple[int, Any]]) -> Handoff:
        """An agent takes the conversation, its user writes (with `hook`), and both ends have heard of it."""
        handoff = await self.hand_over(sender_id)
        status, answer = await writing
        assert status == 200, answer
        await self.heard()
        await self.gone(handoff)
        return handoff

    async def reply(self, handoff: Handoff, text: str = "", **values: Any) -> None:
        """The agent writes, and what they wrote has gone out, or has not."""
        await self.happen(AgentMessage(chat_id=handoff.id, agent=BO, text=text, **values))
        await self.gone(handoff)

    async def try_reply(self, handoff: Handoff, text: str) -> None:
        """The agent writes, and it has been tried to bring it to the user."""
        await self.happen(AgentMessage(chat_id=handoff.id, agent=BO, text=text))
        await self._tried()

    async def try_to_close(self, handoff: Handoff) -> None:
        """The agent closes, and it has been tried to give the user back to the bot."""
        await self.happen(Closed(chat_id=handoff.id))
        await self._tried()

    async def _tried(self) -> None:
        async def tried() -> bool:
            pending = await self.runtime.store.read(lambda tx: deliveries.pending(tx))
            return not any(each.target == "user" and not each.attempts for each in pending[:1])

        await self.until(tried)

    async def put_off(self, handoff: Handoff, text: str) -> float:
        """The agent writes, and it cannot be brought to the user now: in how many seconds it is tried again."""
        before = time.time()
        await self.try_reply(handoff, text)
        (waiting,) = await self.waiting(handoff)
        return waiting.next_at - before

    async def try_again(self, handoff: Handoff) -> None:
        """Try at once what waits for the user, and let it arrive."""
        self.runtime.outbox.nudge(handoff)
        await self.gone(handoff)

    async def try_in_vain(self, handoff: Handoff) -> None:
        """Try once more what waits for the user, who cannot be reached."""
        before = await self.tries(handoff)

        async def tried() -> bool:
            return await self.tries(handoff) > before

        self.runtime.outbox.nudge(handoff)
        await self.until(tried)

    async def waiting(self, handoff: Handoff) -> list[Delivery]:
        """What is on its way to the user, in order."""
        pending = await self.runtime.store.read(lambda tx: deliveries.pending_of(tx, handoff.id))
        return [each for each in pending if each.target == "user"]

    async def tries(self, handoff: Handoff) -> int:
        """How often it has been tried in vain to bring what waits for the user."""
        return sum(each.attempts for each in await self.waiting(handoff))

    async def type(self, handoff: Handoff) -> None:
        """The agent types, and the user has been shown it, where they can be."""
        shown = self._typing_shown
        await self.happen(AgentTyping(chat_id=handoff.id))
        await self.until(lambda: self._typing_shown > shown)

    async def _show_typing(self, typed: Typed) -> None:
        try:
            await self._reach.typing(typed)
        finally:
            self._typing_shown += 1

    async def close(self, handoff: Handoff) -> None:
        await self.happen(Closed(chat_id=handoff.id))
        await self.gone(handoff)

    async def gone(self, handoff: Handoff) -> None:
        """Wait until nothing of *handoff* is on its way to the user."""

        async def none_left() -> bool:
            return not await self.waiting(handoff)

        await self.until(none_left)

    async def dead(self) -> list[str]:
        """Why what will never arrive does not, one line each."""
        found = await self.runtime.store.read(
            lambda tx: tx.all("SELECT error FROM handoff_deliveries WHERE state = 'dead'", {})
        )
        return [str(row[0]) for row in found]

    # -- what is there then -------------------------------------------------------------------

    async def heard(self, count: int = 1) -> list[Message]:
        """What the agents got, once it is so many."""
        await self.until(lambda: len(self.agents.got) >= count)
        return self.agents.got

    def is_awaited(self, sender_id: str) -> bool:
        """Whether somebody waits for Rasa's lock on this conversation, which another one has."""
        lock = self.agent.lock_store.get_lock(sender_id)
        return lock is not None and len(lock.tickets) > 1

    async def all_sent(self) -> None:
        """Wait until nothing is on its way to anybody: a start after this one finds nothing to do."""

        async def none_left() -> bool:
            return not await self.runtime.store.read(lambda tx: deliveries.pending(tx))

        await self.until(none_left)

    async def bot_heard(self, sender_id: str) -> list[str | None]:
        """What the bot was told."""
        tracker = await self.agent.tracker_store.retrieve(sender_id)
        return [event.text for event in tracker.events if isinstance(event, UserUttered)] if tracker else []

    async def bot_said(self, sender_id: str) -> list[str | None]:
        tracker = await self.agent.tracker_store.retrieve(sender_id)
        return [event.text for event in tracker.events if isinstance(event, BotUttered)] if tracker else []

    async def download(self, url: str, **headers: str) -> tuple[int, bytes, Any]:
        """What a link of ours opens: status, body and headers."""
        assert url.startswith(PUBLIC), url
        async with self._session.get(url.replace(PUBLIC, self.url, 1), headers=headers) as answer:
            return answer.status, await answer.read(), answer.headers

    async def open_of(self, sender_id: str) -> Handoff | None:
        handoff = await self.runtime.store.read(lambda tx: handoffs.unsettled(tx, sender_id))
        return handoff if handoff and handoff.status is not Status.CLOSED else None
