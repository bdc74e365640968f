"""``rasa`` with a bare forwarder where the bot and the plugin would be: what Rasa's own route leaves for them.

A message goes through the ``rest`` channel and the conversation's lock, is forwarded with aiohttp, and
is stored nowhere.
"""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from rasa.__main__ import main
from rasa.core.agent import Agent
from rasa.core.channels.channel import UserMessage

from benchmarks.servers import SINK_URL
from rasa_handoff import heap

_RECEIPT = {"handoff": {"received": "nothing is kept", "status": "active"}}


class Forwarder:
    """Takes every message of every agent."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def forward(self, message: UserMessage) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers={"Content-Type": "application/json"})
            heap.settle()  # as the plugin does
        data = json.dumps({"text": message.text}).encode()
        async with self._session.post(f"{SINK_URL}/messages", data=data) as answer:
            answer.raise_for_status()
            await answer.read()
        await message.output_channel.send_custom_json(message.sender_id, _RECEIPT)


_forwarder = Forwarder()


async def _handle_message(agent: Agent, message: UserMessage) -> Any:
    async with agent.lock_store.lock(message.sender_id):
        await _forwarder.forward(message)


if __name__ == "__main__":
    Agent.handle_message = _handle_message
    main()
