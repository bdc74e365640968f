"""LivePerson's chat keeps the contract, though it has to be asked for everything."""

from __future__ import annotations

from rasa_handoff.backends.liveperson_chat.backend import LivePersonChat
from rasa_handoff.model import Handoff, Json
from rasa_handoff.store import handoffs
from rasa_handoff.testing import Answered, BackendContract, Call, Stage, Wire
from tests.backends.liveperson_chat.vendor import ACCOUNT, Refusal, Vendor


class Speaks:
    """How LivePerson and its agents speak: what they do is asked for by and by."""

    backend = LivePersonChat
    path = "POST */events"
    early = False
    calls_us = False
    vendor: Vendor

    def section(self, url: str) -> Json:
        return {"account": ACCOUNT, "domain_api": url, "poll_every": "100ms", "poll_queue_every": "100ms"}

    def agree(self, wire: Wire) -> None:
        self.vendor = Vendor(wire)

    def accepting(self, handoff: Handoff) -> Call:
        return Call(method="AGENT", path="accept", body={"chat": handoff.chat_id})

    def writing(self, handoff: Handoff, text: str, number: int) -> Call:
        return Call(method="AGENT", path="write_once", body={"chat": handoff.chat_id, "text": text, "number": number})

    def closing(self, handoff: Handoff) -> Call:
        return Call(method="AGENT", path="end", body={"chat": handoff.chat_id})

    def requests(self, wire: Wire) -> list[str]:
        return list(self.vendor.visits)

    def said(self, wire: Wire) -> list[tuple[str, str]]:
        return self.vendor.said()

    def endings(self, wire: Wire) -> list[str]:
        return self.vendor.ended_by_visitor()

    async def ask(self, stage: Stage, call: Call) -> Answered:
        try:
            number = getattr(self.vendor, call.path)(**call.body)
        except Refusal as refusal:
            return Answered(status=refusal.status, headers={}, body=b"")
        await until_asked_for(stage, call.body["chat"], number)
        return Answered(status=200, headers={}, body=b"")


async def until_asked_for(stage: Stage, chat: str, number: int) -> None:
    """Wait until the plugin has taken this event, or the chat is over."""

    async def is_taken() -> bool:
        handoff = await stage.runtime.store.read(lambda tx: handoffs.by_chat(tx, stage.name, chat))
        assert handoff is not None
        return not handoff.is_open or handoff.notes.get("next", 0) > number

    await stage.until(is_taken)


class TestLivePersonChat(Speaks, BackendContract):
    """With the pauses of a fast test."""
