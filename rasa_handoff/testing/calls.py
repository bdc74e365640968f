"""Requests of an agent system to us, and our answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request of the agent system to us."""

    method: str
    path: str  #: below ``/webhooks/handoff/<backend>/``
    body: Any = None  #: sent as JSON; bytes as they are
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The body as it goes over the wire; what a signature signs."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body, ensure_ascii=False).encode()

    def having(self, *, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> Call:
        """The same with more in the query and the headers."""
        return replace(self, query={**self.query, **(query or {})}, headers={**self.headers, **(headers or {})})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the agent system got back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)
