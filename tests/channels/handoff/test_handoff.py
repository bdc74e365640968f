"""Our own channel, switched on as in credentials.yml: what its users post reaches the agents."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from rasa.core.agent import Agent
from rasa.core.channels.channel import register
from rasa.shared.core.events import UserUttered
from sanic import Sanic

from rasa_handoff import HandoffInput
from rasa_handoff.model import Attachment, Json
from rasa_handoff.testing.payloads import Payloads
from rasa_handoff.testing.waiting import until
from tests.stage import Recorder

PAYLOADS = Payloads(__file__)
TOKEN = "the-server's-own-token-of-some-length"
PICTURE = Attachment(url="https://files.example.com/bike.jpg", kind="image", name="bike.jpg", mime="image/jpeg")
_NUMBERS = itertools.count(1)


class Server:
    """A Rasa server with nothing but our channel; the agents write down what they get."""

    def __init__(self, folder: Path, agent: Agent) -> None:
        section = {"database": f"sqlite:///{folder}/handoff.db", "token": TOKEN}
        self.channel = HandoffInput(HandoffInput.from_credentials(section).settings, folder)
        self.agent = agent
        self.agents = Recorder()

    async def up(self) -> None:
        app = Sanic(f"own-{next(_NUMBERS)}", configure_logging=False)
        app.ctx.agent, app.ctx.input_channels = self.agent, [self.channel]
        register(app.ctx.input_channels, app, "/webhooks/")
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/webhooks/handoff"
        server = await app.create_server(sock=listening, return_asyncio_server=True, access_log=False)
        assert server is not None
        Sanic.test_mode = True  # see tests/web_stage.py
        await server.startup()
        await server.before_start()
        await server.after_start()
        Sanic.test_mode = False
        self._server = server
        self._session = aiohttp.ClientSession()
        self.channel.running().backends["desk"] = self.agents  # type: ignore[index]

    async def down(self) -> None:
        await self._session.close()
        await self._server.before_stop()
        await self._server.close()
        for connection in list(self._server.connections):
            connection.abort()
        await self._server.after_stop()

    async def post(self, path: str, body: Json | None = None, token: str = "") -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._session.post(f"{self.url}{path}", json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return json.loads(await answer.read())

    async def conversation(self, named: Json | None = None) -> Json:
        """A new conversation; with the server's token one of the site's naming."""
        found: Json = await self.post("/conversations", named, TOKEN if named else "")
        return found

    async def hand_over(self, user: Json) -> None:
        """The bot's action asks for an agent."""
        await self.post("/handoffs", {"sender_id": user["sender"], "channel": "handoff"}, TOKEN)

    async def say(self, user: Json, payload: str) -> Any:
        return await self.post("/webhook", {"sender": user["sender"], **PAYLOADS[payload]}, user["token"])

    async def heard(self, count: int) -> list[tuple[str, tuple[Attachment, ...]]]:
        await until(lambda: len(self.agents.got) >= count)
        return [(each.text, each.attachments) for each in self.agents.got]


@pytest_asyncio.fixture
async def server(tmp_path: Path, rasa_agent: Agent) -> AsyncIterator[Server]:
    server = Server(tmp_path, rasa_agent)
    await server.up()
    yield server
    await server.down()


async def test_what_users_post_reaches_the_agent_and_is_answered_with_a_receipt(server: Server) -> None:
    user = await server.conversation()
    await server.hand_over(user)
    for name in ("message", "attachments", "attachments"):
        (answer,) = await server.say(user, name)
        assert answer["custom"]["handoff"]["status"] == "queued"
    assert await server.heard(2) == [("Hi there!", ()), ("Look", (PICTURE,))]


async def test_an_edited_message_is_marked(server: Server) -> None:
    user = await server.conversation()
    await server.hand_over(user)
    for name in ("typo", "edited", "edited", "message"):
        await server.say(user, name)
    assert [text for text, _ in await server.heard(3)] == ["At nin", "✎ At nine", "Hi there!"]


async def test_a_site_names_its_users_itself(server: Server) -> None:
    user = await server.conversation(PAYLOADS["named"])
    assert user["sender"] == "user-42"
    await server.hand_over(user)
    await server.say(user, "message")
    assert await server.heard(1) == [("Hi there!", ())]


async def test_without_a_handoff_the_bot_is_told(server: Server) -> None:
    user = await server.conversation()
    for name in ("message", "edited"):
        await server.say(user, name)
    tracker = await server.agent.tracker_store.retrieve(user["sender"])
    assert tracker is not None
    assert [each.text for each in tracker.events if isinstance(each, UserUttered)] == ["Hi there!", "At nine"]
    assert server.agents.got == []
