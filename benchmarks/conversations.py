"""Conversations that an agent has: opened as a bot's action opens them, and what is said in them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

from benchmarks.servers import BACKEND, TOKEN, Server
from benchmarks.wire import Sink, Trouble, closed_loop, post

CONNECTIONS = 64
TEXT = "my parcel has not arrived yet, can you look where it is?"
_BEARER = {"Authorization": f"Bearer {TOKEN}"}
_TRANSCRIPT = [
    {"who": "user" if number % 2 else "bot", "text": f"{TEXT} ({number})", "at": 1_700_000_000.0 + number}
    for number in range(10)
]
_PARAMETERS = {"order": "4711", "topic": "delivery", "language": "en"}


def dealt(requests: Sequence[bytes], lanes: int = CONNECTIONS) -> list[Sequence[bytes]]:
    """The requests over so many connections; every *lanes*-th to the same one."""
    return [requests[lane::lanes] for lane in range(lanes)]


async def open_handoffs(server: Server, senders: Sequence[str], channel: str) -> dict[str, str]:
    """Open one handoff a sender over the actions' interface; the agent system's id of each chat."""
    requests = [
        post(
            "/webhooks/handoff/handoffs",
            {"sender_id": sender, "channel": channel, "transcript": _TRANSCRIPT, "parameters": _PARAMETERS},
            **_BEARER,
        )
        for sender in senders
    ]
    (await closed_loop(server.port, dealt(requests))).require(len(senders))
    chats = dict(server.query("SELECT sender_id, chat_id FROM handoff_handoffs WHERE status = 'active'"))
    if missing := [sender for sender in senders if sender not in chats]:
        raise Trouble(f"{len(missing)} handoffs did not open")
    return chats


def user_says(senders: Sequence[str], count: int, text: str = TEXT) -> list[bytes]:
    """Posts to Rasa's rest channel; the senders take turns."""
    return [
        post("/webhooks/rest/webhook", {"sender": senders[number % len(senders)], "message": f"{text} {number}"})
        for number in range(count)
    ]


def agent_says(chats: Sequence[str], count: int, first: int = 0) -> list[bytes]:
    """Webhook calls of the agent system; the chats take turns."""
    return [
        post(
            f"/webhooks/handoff/{BACKEND}/messages",
            {"chat_id": chats[number % len(chats)], "id": f"e{first + number}", "text": f"{TEXT} {number}"},
            **_BEARER,
        )
        for number in range(count)
    ]


async def require_all_kept(server: Server, sink: Sink, path: str, count: int) -> None:
    """Require that *count* messages are at the sink once each, and in the store, with nothing that waits or is dead."""
    arrived = [arrival.body for arrival in sink.arrivals if arrival.path == path]
    if len(arrived) != count or len(set(arrived)) != count:
        raise Trouble(f"{count} messages went out, {len(arrived)} arrived, {len(set(arrived))} different ones")
    until = time.monotonic() + 5.0
    while left := server.query("SELECT state, count(*) FROM handoff_deliveries WHERE state <> 'done' GROUP BY state"):
        if time.monotonic() > until:
            raise Trouble(f"deliveries are left: {json.dumps(left)}")
        await asyncio.sleep(0.02)


def messages_kept(server: Server) -> int:
    """How many messages its store has."""
    return int(server.query("SELECT count(*) FROM handoff_messages")[0][0])
