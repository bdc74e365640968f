"""What the actions ask for and what operators look at, over HTTP: one token opens it all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.web_stage import SERVER_TOKEN, Client, Web, token_of

ROUTES = [
    ("POST", "/handoffs"),
    ("GET", "/handoffs"),
    ("GET", "/handoffs?sender_id=ann"),
    ("POST", "/handoffs/close"),
    ("POST", "/handoffs/rating"),
    ("GET", "/outbox"),
    ("POST", "/outbox/17/retry"),
    ("GET", "/status"),
    ("GET", "/stats"),
    ("GET", "/metrics"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_without_the_token_there_is_an_empty_401(web: Web, method: str, path: str) -> None:
    """The same without a token, with a wrong one and with an agent's; and the body is not even read."""
    wrong = [
        None,
        "Bearer",
        "Bearer wrong",
        f"Bearer {token_of('Bo')}",
        f"Bearer {SERVER_TOKEN}x",
        SERVER_TOKEN,
        "Bearer ü",
    ]
    shapes = set()
    for authorization in wrong:
        stranger = await web.stranger(**({"Authorization": authorization} if authorization else {}))
        answer = await stranger.ask(method, path, raw=b"{" if method == "POST" else None)
        assert (answer.status, answer.body) == (401, b"")
        shapes.add(tuple(sorted(answer.headers)))
    assert len(shapes) == 1


class TestOpening:
    async def test_gives_the_handoff(self, web_on_each: Web) -> None:
        web = web_on_each
        await web.agent_online()
        handoff = await web.open("ann", group="billing")
        assert handoff.pop("opened_at") > 0
        assert len(handoff["id"]) == 36
        expected = {
            "sender_id": "ann",
            "channel": "handoff",
            "backend": "desk",
            "status": "queued",
            "end_reason": None,
            "agent": None,
            "group": "billing",
            "queue_position": 1,
            "accepted_at": None,
            "closed_at": None,
        }
        assert {name: handoff[name] for name in expected} == expected

    async def test_again_finds_the_same_one(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        handoffs = await asyncio.gather(*(web.open("ann") for _ in range(5)), web.open("bob"))
        assert len({each["id"] for each in handoffs[:5]}) == 1
        assert handoffs[5]["id"] != handoffs[0]["id"]
        assert len((await bo.chats())["waiting"]) == 2

    async def test_refused_is_an_answer_too(self, web: Web) -> None:
        handoff = await web.open("ann")
        assert (handoff["status"], handoff["end_reason"]) == ("closed", "unavailable")
        assert handoff["closed_at"] is not None

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"channel": "handoff"}, "sender_id"),
            ({"sender_id": "ann"}, "channel"),
            ({"sender_id": "", "channel": "handoff"}, "sender_id"),
            ({"sender_id": "x" * 256, "channel": "handoff"}, "sender_id"),
            ({"sender_id": 5, "channel": "handoff"}, "sender_id"),
            ({"sender_id": "ann", "channel": ["handoff"]}, "channel"),
            ({"sender_id": "ann", "channel": "handoff", "transcript": {}}, "transcript"),
            ({"sender_id": "ann", "channel": "handoff", "transcript": ["Hi"]}, "transcript"),
            ({"sender_id": "ann", "channel": "handoff", "transcript": [{"who": "cat", "text": "Hi"}]}, "transcript"),
            ({"sender_id": "ann", "channel": "handoff", "transcript": [{"who": [], "text": "Hi"}]}, "transcript"),
            ({"sender_id": "ann", "channel": "handoff", "transcript": [{"who": "user", "text": 5}]}, "text"),
            ({"sender_id": "ann", "channel": "handoff", "transcript": [{"who": "user", "at": "noon"}]}, "at"),
            ({"sender_id": "ann", "channel": "handoff", "transcript": [{"who": "user"}] * 1001}, "transcript"),
            ({"sender_id": "ann", "channel": "handoff", "parameters": []}, "parameters"),
            ({"sender_id": "ann", "channel": "handoff", "metadata": "x"}, "metadata"),
            ({"sender_id": "ann", "channel": "handoff", "last_message": 5}, "last_message"),
            ({"sender_id": "ann", "channel": "handoff", "backend": "nobody's"}, "backend"),
            ({"sender_id": "ann", "channel": "handoff", "group": 5}, "group"),
            ({"sender_id": "ann", "channel": "handoff", "priority": {}}, "priority"),
        ],
    )
    async def test_what_is_no_request_names_the_field(self, web: Web, body: Any, field: str) -> None:
        bo = await web.agent_online()
        answer = await (await web.operator()).post("/handoffs", body)
        assert (answer.status, answer.code) == (400, "malformed")
        assert answer.message.startswith(f"{field} ")
        assert (await bo.chats())["waiting"] == []


class TestLooking:
    async def test_at_the_open_ones_oldest_first(self, web_on_each: Web) -> None:
        web = web_on_each
        await web.agent_online()
        for name in ("ann", "bob", "una"):
            await web.open(name)
        operator = await web.operator()
        await operator.post("/handoffs/close", {"sender_id": "bob"})
        found = (await operator.get("/handoffs")).json["handoffs"]
        assert sorted(each["sender_id"] for each in found) == ["ann", "una"]
        # By the server's clock, which may have been set back between the two.
        assert found == sorted(found, key=lambda each: each["opened_at"])

    async def test_at_one_conversation_the_open_one_else_the_last(self, web: Web) -> None:
        await web.agent_online()
        operator = await web.operator()
        assert (await operator.get("/handoffs?sender_id=ann")).json == {"handoff": None}
        first = await web.open("ann")
        await operator.post("/handoffs/close", {"sender_id": "ann"})
        closed = (await operator.get("/handoffs?sender_id=ann")).json["handoff"]
        assert (closed["id"], closed["end_reason"]) == (first["id"], "bot_resumed")
        second = await web.open("ann")
        assert (await operator.get("/handoffs?sender_id=ann")).json["handoff"]["id"] == second["id"]

    @pytest.mark.parametrize("name", ["%00", "%ED%A0%80", "%FF", "%E2%80%AE", "a" * 5000, "%27%3B--"])
    async def test_at_a_conversation_that_cannot_be(self, web_on_each: Web, name: str) -> None:
        answer = await (await web_on_each.operator()).get(f"/handoffs?sender_id={name}")
        assert (answer.status, answer.json) == (200, {"handoff": None})

    async def test_a_blank_name_is_not_everybody(self, web: Web) -> None:
        await web.agent_online()
        await web.open("ann")
        assert (await (await web.operator()).get("/handoffs?sender_id=")).json == {"handoff": None}


class TestClosing:
    async def test_by_conversation_or_by_id(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        operator = await web.operator()
        ann, bob = await web.open("ann"), await web.open("bob")
        for body, handoff in (({"sender_id": "ann"}, ann), ({"id": bob["id"]}, bob)):
            closed = (await operator.post("/handoffs/close", body)).json["handoff"]
            assert (closed["id"], closed["status"], closed["end_reason"]) == (handoff["id"], "closed", "bot_resumed")

        async def both_are_closed() -> bool:
            chats = (await bo.chats())["closed"]
            return [chat["end"]["reason"] for chat in chats] == ["bot_resumed"] * 2

        await web.until(both_are_closed)

    @pytest.mark.parametrize("body", [{"sender_id": "nobody"}, {"id": "17"}])
    async def test_where_none_is_open_is_404(self, web: Web, body: Any) -> None:
        answer = await (await web.operator()).post("/handoffs/close", body)
        assert (answer.status, answer.code) == (404, "unknown")

    @pytest.mark.parametrize("body", [{}, {"id": ""}, {"id": 5}, {"sender_id": None}, {"sender_id": []}])
    async def test_needs_to_know_which(self, web: Web, body: Any) -> None:
        answer = await (await web.operator()).post("/handoffs/close", body)
        assert (answer.status, answer.code) == (400, "malformed")


class TestRating:
    async def test_a_handoff_that_no_agent_system_took_has_none(self, web: Web) -> None:
        await web.open("ann")
        answer = await (await web.operator()).post("/handoffs/rating", {"sender_id": "ann", "stars": 4})
        assert (answer.status, answer.code) == (409, "no_ratings")

    async def test_without_a_handoff_there_is_nothing_to_rate(self, web: Web) -> None:
        answer = await (await web.operator()).post("/handoffs/rating", {"sender_id": "nobody", "stars": 4})
        assert (answer.status, answer.code) == (404, "unknown")

    @pytest.mark.parametrize(
        "body",
        [
            {"stars": 4},
            {"sender_id": "ann"},
            {"sender_id": "ann", "stars": 0},
            {"sender_id": "ann", "stars": 6},
            {"sender_id": "ann", "stars": 4.5},
            {"sender_id": "ann", "stars": "4"},
            {"sender_id": "ann", "stars": True},
            {"sender_id": "ann", "stars": 4, "resolved": "yes"},
        ],
    )
    async def test_what_is_no_rating_is_refused(self, web: Web, body: Any) -> None:
        answer = await (await web.operator()).post("/handoffs/rating", body)
        assert (answer.status, answer.code) == (400, "malformed")


class TestOutbox:
    async def dead_letter(self, web: Web) -> tuple[Client, Any]:
        """A message of an agent that cannot reach its user."""
        bo = await web.agent_online()
        handoff = await web.open("ann", channel="callback")
        await bo.accept(handoff["id"])
        await bo.reply(handoff["id"], "a secret between us")
        operator = await web.operator()
        found: list[Any] = []

        async def is_dead() -> bool:
            found[:] = (await operator.get("/outbox")).json["deliveries"]
            return any(each["kind"] == "message" and each["state"] == "dead" for each in found)

        await web.until(is_dead)
        return operator, next(each for each in found if each["kind"] == "message")

    async def test_shows_what_is_dead_but_never_what_it_says(self, web_on_each: Web) -> None:
        operator, dead = await self.dead_letter(web_on_each)
        assert "a secret between us" not in str((await operator.get("/outbox")).json)
        assert set(dead) == {
            "id", "handoff_id", "target", "kind", "state", "attempts", "next_at", "error", "created_at",
        }  # fmt: skip
        assert (dead["target"], dead["attempts"]) == ("user", 1)
        assert "404" in dead["error"]

    async def test_a_dead_one_can_be_sent_again(self, web_on_each: Web) -> None:
        operator, dead = await self.dead_letter(web_on_each)
        answer = await operator.post(f"/outbox/{dead['id']}/retry")
        assert (answer.status, answer.json["delivery"]["id"]) == (200, dead["id"])
        assert (answer.json["delivery"]["state"], answer.json["delivery"]["attempts"]) == ("pending", 0)

    async def test_one_that_is_not_dead_cannot(self, web: Web) -> None:
        operator, dead = await self.dead_letter(web)
        await web.runtime.outbox.stop()  # else it may have died again before the second asks
        answers = await asyncio.gather(*(operator.post(f"/outbox/{dead['id']}/retry") for _ in range(2)))
        assert sorted(answer.status for answer in answers) == [200, 409]
        assert next(answer for answer in answers if answer.status == 409).code == "not_dead"

    @pytest.mark.parametrize("name", ["17", "%00", "%ED%A0%80", "x" * 5000])
    async def test_an_unknown_one_is_404(self, web_on_each: Web, name: str) -> None:
        answer = await (await web_on_each.operator()).post(f"/outbox/{name}/retry")
        assert (answer.status, answer.code) == (404, "unknown")


async def test_status_counts(web_on_each: Web) -> None:
    web = web_on_each
    operator = await web.operator()

    async def ready() -> Any:
        status = (await operator.get("/status")).json
        return status if status.pop("health")["ready"] else None

    before = await web.until(ready)
    assert before.pop("version")
    assert before.pop("database") in ("sqlite", "postgresql")
    assert before == {"open": 0, "waiting": 0, "dead": 0, "backends": ["desk"]}
    await web.agent_online()
    await web.open("ann")
    assert (await operator.get("/status")).json["open"] == 1
