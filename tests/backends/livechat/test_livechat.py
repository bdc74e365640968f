"""LiveChat keeps the contract, with webhooks and without."""

from __future__ import annotations

from typing import Any

import pytest

from rasa_handoff.backends.livechat import following
from rasa_handoff.backends.livechat.backend import LiveChat
from rasa_handoff.model import Handoff, Json
from rasa_handoff.store import handoffs
from rasa_handoff.testing import Answered, BackendContract, Call, Stage, Wire
from tests.backends.livechat.vendor import (
    ACCOUNT,
    CLIENT,
    CLIENT_SECRET,
    FORMER_SECRET,
    ORGANIZATION,
    PAT,
    REFRESH_TOKEN,
    WEBHOOK_SECRET,
    Vendor,
)

SECRETS = (CLIENT_SECRET, REFRESH_TOKEN, WEBHOOK_SECRET, FORMER_SECRET, PAT, "dal:customer-token", "dal:agent-")


def section(url: str, **more: Any) -> Json:
    return {
        "organization_id": ORGANIZATION,
        "client_id": CLIENT,
        "client_secret": CLIENT_SECRET,
        "refresh_token": REFRESH_TOKEN,
        "webhook_secret": WEBHOOK_SECRET,
        "former_webhook_secret": FORMER_SECRET,
        "account_id": ACCOUNT,
        "personal_access_token": PAT,
        "api_url": url,
        "accounts_url": url,
        **more,
    }


def signed(call: Call, secret: str = WEBHOOK_SECRET) -> Call:
    """*call* with the secret in its body, where LiveChat has it."""
    if not isinstance(call.body, dict):
        return call
    return Call(method=call.method, path=call.path, body={"secret_key": secret, **call.body})


class OfLiveChat(BackendContract):
    """How LiveChat speaks."""

    backend = LiveChat
    secrets = SECRETS
    path = "*/send_event"

    def agree(self, wire: Wire) -> None:
        self.vendor = Vendor()
        self.vendor.on(wire)

    def signed(self, call: Call) -> Call:
        return signed(call)

    def accepting(self, handoff: Handoff) -> Call:
        return self.vendor.take(self.chat(handoff))

    def writing(self, handoff: Handoff, text: str, number: int) -> Call:
        return self.vendor.write(self.chat(handoff), text, f"E{number}")

    def closing(self, handoff: Handoff) -> Call:
        return self.vendor.end(self.chat(handoff))

    def requests(self, wire: Wire) -> list[str]:
        return self.vendor.opened

    def said(self, wire: Wire) -> list[tuple[str, str]]:
        bodies = [asked.json["event"] for asked in wire.taken("POST", self.path)]
        return [(event["custom_id"], event["text"]) for event in bodies]

    def endings(self, wire: Wire) -> list[Any]:
        return wire.taken("POST", "*/deactivate_chat")

    def chat(self, handoff: Handoff) -> str:
        return handoff.chat_id or list(self.vendor.chats)[-1]


class TestLiveChat(OfLiveChat):
    """With webhooks, and nothing else: a look would see what a test has prepared and not told."""

    @pytest.fixture(autouse=True)
    def no_looks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(following, "_OPENING", 3600.0)

    def section(self, url: str) -> Json:
        return section(url, poll_every="1h", repair_every="1h")


class TestLiveChatWithoutWebhooks(OfLiveChat):
    calls_us = False
    early = False

    def section(self, url: str) -> Json:
        without = section(url, poll_every="30ms")
        return {name: value for name, value in without.items() if "webhook" not in name}

    def agree(self, wire: Wire) -> None:
        super().agree(wire)
        self.wire = wire

    async def ask(self, stage: Stage, call: Call) -> Answered:
        """What agents did is in the thread, and is there to be seen at the next look."""
        chat_id = call.body["payload"]["chat_id"]
        if not await _is_open(stage, chat_id):
            return Answered(status=409, headers={}, body=b"")
        before = self.looks(chat_id)
        # The look that is under way may have come too early; the one behind it has seen it, when a third begins.
        await stage.until(lambda: self.looked(stage, chat_id, before + 2))
        return Answered(status=200, headers={}, body=b"")

    async def looked(self, stage: Stage, chat_id: str, times: int) -> bool:
        return self.looks(chat_id) > times or not await _is_open(stage, chat_id)

    def looks(self, chat_id: str) -> int:
        return sum(asked.json["chat_id"] == chat_id for asked in self.wire.taken("POST", "*/list_threads"))


async def _is_open(stage: Stage, chat_id: str) -> bool:
    found = await stage.runtime.store.read(lambda tx: handoffs.by_chat(tx, "livechat", chat_id))
    return found is not None and found.is_open
