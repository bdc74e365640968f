"""How bots forward to a person without the plugin: each message through a custom action."""

from __future__ import annotations

import os
from typing import Any

import aiohttp
from rasa_sdk import Action, Tracker
from rasa_sdk.executor import CollectingDispatcher


class Forward(Action):
    """Posts the user's message to the agent system."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def name(self) -> str:
        return "action_forward"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Any) -> list[Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        body = {"chat_id": tracker.sender_id, "text": tracker.latest_message["text"]}
        async with self._session.post(os.environ["BENCHMARK_SINK"] + "/messages", json=body) as answer:
            answer.raise_for_status()
            await answer.read()
        return []
