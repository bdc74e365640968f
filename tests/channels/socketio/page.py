"""A chat widget in somebody's browser, with a socket to one of Rasa's servers."""

from __future__ import annotations

from typing import Any

from socketio import AsyncClient

from rasa_handoff.model import Handoff
from rasa_handoff.testing.payloads import Payloads
from rasa_handoff.testing.waiting import until
from tests.channels.line import Line

PAYLOADS = Payloads(__file__)


class Page:
    """A chat widget in somebody's browser."""

    def __init__(self, url: str) -> None:
        self.heard: list[tuple[str, Any]] = []
        self._url = url
        self._client = AsyncClient()
        self._client.on("*", lambda event, data: self.heard.append((event, data)))

    async def come(self, session: str = "ann") -> None:
        """Connect, and ask for the session."""
        self._session = session
        await self._client.connect(self._url, transports=["polling"])
        await self.caught_up()

    async def caught_up(self) -> None:
        """Wait until the page has heard all that its server has told it by now: events come in their order."""
        confirmed = len(self.said("session_confirm"))
        await self._client.emit("session_request", {**PAYLOADS["session_request"], "session_id": self._session})
        await until(lambda: len(self.said("session_confirm")) > confirmed, 60.0)

    @property
    def connection(self) -> str:
        """What Rasa's channel calls a conversation that is not to outlive its connection."""
        return str(self._client.get_sid())

    async def say(self, payload: str) -> None:
        await self._client.emit("user_uttered", PAYLOADS[payload])

    async def type(self, text: str) -> None:
        await self._client.emit("user_uttered", {"session_id": self._session, "message": text})

    async def go(self) -> None:
        await self._client.disconnect()

    def said(self, event: str = "bot_uttered") -> list[Any]:
        return [data for name, data in self.heard if name == event]

    def texts(self) -> list[str]:
        return [each.get("text", "") for each in self.said()]


async def begin(line: Line, *pages: Page) -> Handoff:
    """An agent takes the conversation, and every page has heard of it: what comes from here on is news."""
    handoff = await line.hand_over("ann")
    await line.gone(handoff)
    await line.until(lambda: all("Bo is here now." in page.texts() for page in pages))
    for page in pages:
        page.heard.clear()
    return handoff
