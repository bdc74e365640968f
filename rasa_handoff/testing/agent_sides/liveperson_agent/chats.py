"""The chats of the account: who has each of them, and what was said in it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

from rasa_handoff.model import Json

BOT, PERSON = "Bot", "Robin"  #: what visitors see of the two agents
Holder = Literal["queue", "bot", "person"]


@dataclass(slots=True, kw_only=True)
class Chat:
    """One visitor's chat."""

    id: str = field(default_factory=lambda: f"H{secrets.token_hex(8)}")  # another one after each start
    holder: Holder = "queue"
    is_over: bool = False
    bot_types: bool = False
    events: list[Json] = field(default_factory=list)

    @property
    def state(self) -> str:
        if self.is_over:
            return "ended"
        return "waiting" if self.holder == "queue" else "chatting"

    def add(self, kind: str, **more: Any) -> int:
        """Something happened; its number."""
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        self.events.append({"@id": str(len(self.events)), "@type": kind, "time": at, **more})
        return len(self.events) - 1

    def line(self, source: str, by: str, text: str, **more: Any) -> int:
        """Somebody wrote: the source is ``visitor``, ``agent`` or ``system``."""
        return self.add("line", **{"textType": "plain", **more}, source=source, by=by, text=text)

    def goes_to(self, holder: Holder, text: str) -> None:
        """The chat changes hands, and the visitor reads so."""
        self.holder, self.bot_types = holder, False
        self.add("state", state=self.state)
        self.line("system", "info", text)

    def ends(self) -> None:
        self.is_over = True
        self.add("state", state="ended")
