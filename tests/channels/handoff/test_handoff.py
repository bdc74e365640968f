"""Our own channel, switched on as in credentials.yml: what its users post reaches the agents."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from rasa.core.agent import Agent
from rasa.core.channels.channel import register
from rasa.shared.core.events import UserUttered
from sanic import Sanic

from rasa_handoff import HandoffInput
from rasa_handoff.model import Attachment, Json
from rasa_handoff.store import stream
from rasa_handoff.testing.payloads import Payloads
from rasa_handoff.testing.waiting import until
from tests.stage import Recorder

PAYLOADS = Payloads(__file__)
TOKEN = "the-server's-own-token-of-some-length"
PICTURE = Attachment(url="https://files.example.com/bike.jpg", kind="image", name="bike.jpg", mime="image/jpeg")
CONTENT = b"JPEG" * 100_000
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

    async def try_post(self, path: str, body: Json, token: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.post(f"{self.url}{path}", json=body, headers=headers) as answer:
            return answer.status, json.loads(await answer.read())

    async def give(self, user: Json, body: bytes = CONTENT, name: str = "bike.jpg") -> Json:
        """The user gives a file, to be sent with a message."""
        headers = {"Authorization": f"Bearer {user['token']}", "Content-Type": "image/jpeg"}
        url = f"{self.url}/files?sender={user['sender']}&name={name}"
        async with self._session.post(url, data=body, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            found: Json = (await answer.json())["file"]
        return found

    async def send(self, user: Json, files: list[Any], **more: Any) -> tuple[int, Any]:
        """The user sends a message with these files, by their ids."""
        metadata = {"attachments": [{"file": each} for each in files], **more.pop("metadata", {})}
        body = {"sender": user["sender"], "message": "", "metadata": metadata, **more}
        return await self.try_post("/webhook", body, user["token"])

    async def opened(self, url: str) -> bytes:
        async with self._session.get(self.url.removesuffix("/webhooks/handoff") + url) as answer:
            assert answer.status == 200
            return await answer.read()

    async def conversation(self, named: Json | None = None) -> Json:
        """A new conversation; with the server's token one of the site's naming."""
        found: Json = await self.post("/conversations", named, TOKEN if named else "")
        return found

    async def hand_over(self, user: Json) -> None:
        """The bot's action asks for an agent."""
        await self.post("/handoffs", {"sender_id": user["sender"], "channel": "handoff"}, TOKEN)

    async def say(self, user: Json, payload: str) -> Any:
        return await self.post("/webhook", {"sender": user["sender"], **PAYLOADS[payload]}, user["token"])

    async def settled(self, user: Json) -> bool:
        """The bot has this user again."""
        return await self.channel.running().switchboard.holder(user["sender"]) is None

    async def streamed(self, user: Json) -> list[str]:
        """What the user's page has been told, in words."""
        store = self.channel.running().store
        entries = await store.read(lambda tx: stream.after(tx, user["sender"], 0))
        return [json.loads(each.data).get("text", "") for each in entries]

    def is_awaited(self, user: Json) -> bool:
        """Whether somebody waits for Rasa's lock on this conversation, which another one has."""
        lock = self.agent.lock_store.get_lock(user["sender"])
        return lock is not None and len(lock.tickets) > 1

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


async def test_a_users_own_file_goes_along_with_a_message(server: Server) -> None:
    user = await server.conversation()
    await server.hand_over(user)
    file = await server.give(user)
    status, answer = await server.send(user, [file["id"]], metadata={"message_id": "m1"})
    assert (status, answer[0]["custom"]["handoff"]["received"]) == (200, "m1")
    ((text, (attachment,)),) = await server.heard(1)
    assert (text, attachment.kind, attachment.name, attachment.mime) == ("", "image", "bike.jpg", "image/jpeg")
    assert await server.opened(attachment.url) == CONTENT


async def test_the_same_message_again_is_heard_once_and_the_same_file_in_another_one_twice(server: Server) -> None:
    user = await server.conversation()
    await server.hand_over(user)
    file = await server.give(user)
    for name in ("m1", "m1", "m2"):
        assert (await server.send(user, [file["id"]], metadata={"message_id": name}))[0] == 200
    await server.say(user, "message")
    assert [len(attachments) for _, attachments in await server.heard(3)] == [1, 1, 0]


async def test_files_and_addresses_keep_their_order(server: Server) -> None:
    user = await server.conversation()
    await server.hand_over(user)
    first, last = await server.give(user, name="1.jpg"), await server.give(user, name="3.jpg")
    told = [{"file": first["id"]}, {"url": "https://files.test/2.jpg", "name": "2.jpg"}, {"file": last["id"]}]
    body = {"sender": user["sender"], "message": "Look", "metadata": {"attachments": told}}
    assert (await server.try_post("/webhook", body, user["token"]))[0] == 200
    ((text, attachments),) = await server.heard(1)
    assert (text, [each.name for each in attachments]) == ("Look", ["1.jpg", "2.jpg", "3.jpg"])


@pytest.mark.parametrize("streamed", ["", "?stream=true"])
async def test_a_file_that_is_not_the_users_own_is_refused_with_its_message(server: Server, streamed: str) -> None:
    """And so is one of an earlier conversation, and what is none at all."""
    ann, bob = await server.conversation(), await server.conversation()
    for user in (ann, bob):
        await server.hand_over(user)
    theirs, earlier = (await server.give(bob))["id"], (await server.give(ann))["id"]
    await server.post("/handoffs/close", {"sender_id": ann["sender"]}, TOKEN)
    await until(lambda: server.settled(ann))
    await server.hand_over(ann)
    mine = (await server.give(ann))["id"]
    for file in (theirs, earlier, "no-id", 7, None, {}, ""):
        metadata = {"attachments": [{"file": mine}, {"file": file}]}
        body = {"sender": ann["sender"], "message": "Look", "metadata": metadata}
        status, answer = await server.try_post(f"/webhook{streamed}", body, ann["token"])
        assert (status, answer["error"]["code"]) == (400, "malformed"), file
        assert answer["error"]["message"].startswith("attachments")
    assert (await server.send(ann, [mine] * 11))[0] == 400
    await server.say(ann, "message")
    assert await server.heard(1) == [("Hi there!", ())]


async def test_the_bot_is_given_no_files(server: Server) -> None:
    """A message with one is refused: it would be lost on the bot."""
    user = await server.conversation()
    await server.hand_over(user)
    file = await server.give(user)
    await server.post("/handoffs/close", {"sender_id": user["sender"]}, TOKEN)
    status, answer = await server.send(user, [file["id"]], message="Look")
    assert (status, answer["error"]["code"]) == (409, "not_open")


@pytest.mark.parametrize("streamed", ["", "?stream=true"])
async def test_a_conversation_that_ends_while_the_message_waits_takes_no_file_either(
    server: Server, streamed: str
) -> None:
    user = await server.conversation()
    await server.hand_over(user)
    file = await server.give(user)
    async with server.agent.lock_store.lock(user["sender"]):  # the bot is busy with this user
        body = {"sender": user["sender"], "message": "Look", "metadata": {"attachments": [{"file": file["id"]}]}}
        sending = asyncio.create_task(server.try_post(f"/webhook{streamed}", body, user["token"]))
        await until(lambda: server.is_awaited(user))
        await server.post("/handoffs/close", {"sender_id": user["sender"]}, TOKEN)
    status, answer = await sending
    assert (status, answer["error"]["code"]) == (409, "not_open")
    assert server.agents.got == []
    # What the bot says at the end has not gone down with the message.
    await until(lambda: server.settled(user))
    assert "This is the bot again." in await server.streamed(user)
