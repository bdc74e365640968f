"""What a user's page asks for, over HTTP: a name, the stream, typing, leaving."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from urllib.parse import quote

import pytest

from rasa_handoff import store
from rasa_handoff.events import MessageStatus
from rasa_handoff.store import retention, stream
from tests.web_stage import SERVER_TOKEN, Stream, User, Web

WRONG = "0" * 64


async def append(web: Web, sender: str, *texts: str, ago: float = 0.0) -> None:
    """Put messages into a user's stream, as bringing them to the user does, or did so many seconds *ago*."""
    for text in texts:
        row = {"event": "message", "data": {"who": "bot", "text": text}, "now": time.time() - ago}
        await web.runtime.store.write(partial(stream.append, sender_id=sender, source=text, **row))


async def texts_of(stream: Stream, last: str) -> list[str]:
    """What came, up to the message *last*."""
    await stream.until(lambda event: event.data.get("text") == last)
    return [event.data["text"] for event in stream.seen if event.name == "message"]


class TestNames:
    async def test_anybody_gets_a_name_that_cannot_be_guessed(self, web: Web) -> None:
        stranger = await web.stranger()
        answers = [await stranger.post("/conversations", body) for body in (None, {}, {"sender": None})]
        assert [answer.status for answer in answers] == [201] * 3
        names = [answer.json["sender"] for answer in answers]
        assert all(name.startswith("web-") and len(name) >= 24 for name in names)
        assert len(set(names)) == 3

    @pytest.mark.parametrize("name", ["user-42", "web-chosen", "Jörg \U0001f4ac", "\u05d0\u05d1", "x" * 255])
    async def test_with_the_servers_token_a_site_names_its_users(self, web: Web, name: str) -> None:
        site = await web.operator()
        first = await site.post("/conversations", {"sender": name})
        again = await site.post("/conversations", {"sender": name})
        assert (first.status, first.json["sender"]) == (201, name)
        assert again.json == first.json
        page = await site.listen(f"/stream?sender={quote(name)}&token={first.json['token']}")
        assert (await page.next()).name == "hello"

    @pytest.mark.parametrize(
        "authorization", [None, "Bearer " + WRONG, "Bearer", f"Basic {SERVER_TOKEN}", SERVER_TOKEN, "Bearer ü"]
    )
    async def test_nobody_else_chooses_one(self, web: Web, authorization: str | None) -> None:
        stranger = await web.stranger(**({"Authorization": authorization} if authorization else {}))
        answer = await stranger.post("/conversations", {"sender": "user-42"})
        assert (answer.status, answer.body) == (401, b"")

    @pytest.mark.parametrize("name", [5, [], {}, "x" * 256, True])
    async def test_a_name_is_a_short_text(self, web: Web, name: object) -> None:
        answer = await (await web.operator()).post("/conversations", {"sender": name})
        assert (answer.status, answer.code) == (400, "malformed")
        assert answer.message.startswith("sender ")


class TestTokens:
    async def test_a_wrong_one_opens_nothing(self, web: Web) -> None:
        await web.agent_online()
        ann, _ = await web.waiting_user()
        bob = await web.user()
        for token in (
            None,
            "",
            WRONG,
            bob.token,
            ann.token[:-1],
            ann.token + "0",
            ann.token.upper(),
            "ü",
            SERVER_TOKEN,
        ):
            body = {"sender": ann.sender, "token": token}
            query = f"sender={ann.sender}" + (f"&token={quote(token)}" if token is not None else "")
            answers = [
                await bob.get(f"/stream?{query}"),
                await bob.post("/typing", {**body, "typing": True}),
                await bob.post("/leave", body),
            ]
            assert [(answer.status, answer.body) for answer in answers] == [(401, b"")] * 3, token
        assert await web.runtime.switchboard.holder(ann.sender) is not None

    async def test_an_unknown_conversation_looks_like_a_wrong_token(self, web: Web) -> None:
        """Nobody learns which conversations there are."""
        ann = await web.user()
        unknown = await ann.get(f"/stream?sender=web-nobody&token={WRONG}")
        wrong = await ann.get(f"/stream?sender={ann.sender}&token={WRONG}")
        assert (unknown.status, unknown.body) == (wrong.status, wrong.body) == (401, b"")

    async def test_the_stream_has_only_ones_own_conversation(self, web: Web) -> None:
        ann, bob = await web.user(), await web.user()
        page = await bob.comes()
        await append(web, ann.sender, "for Ann")
        await append(web, bob.sender, "for Bob")
        assert await texts_of(page, "for Bob") == ["for Bob"]


class TestStream:
    async def test_greets_with_where_the_handoff_stands(self, web: Web) -> None:
        bo = await web.agent_online()
        ann = await web.user()
        assert (await (await ann.comes()).next()).data == {
            "handoff": None,
            "largest_file": 25 << 20,
            "takes_files": True,
        }
        handoff = await ann.asks_for_an_agent()
        await bo.accept(handoff["id"])
        hello = await (await ann.comes()).next()
        assert (hello.name, hello.id) == ("hello", None)
        state = hello.data["handoff"]
        assert state.pop("at") > 0
        assert state == {
            "handoff_id": handoff["id"],
            "status": "active",
            "agent": {"name": "Bo", "avatar_url": None},
            "queue_position": None,
            "queue_minutes": None,
            "end_reason": None,
        }

    async def test_tells_the_whole_way(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        ann = await web.user()
        page = await ann.comes()
        chat = (await ann.asks_for_an_agent())["id"]
        await bo.accept(chat)
        await bo.reply(chat, "Hello Ann")
        await bo.close(chat)
        await page.until(lambda event: event.name == "handoff" and event.data["status"] == "closed")
        told = [(event.name, event.data.get("status") or event.data.get("text")) for event in page.seen[1:]]
        assert told == [
            ("handoff", "queued"),
            ("handoff", "active"),
            ("message", "utter_handoff_joined"),
            ("message", "Hello Ann"),
            ("handoff", "closed"),
        ]
        numbers = [int(event.id or 0) for event in page.seen[1:]]
        assert numbers == sorted(set(numbers))

    async def test_without_a_number_it_begins_at_the_beginning(self, web: Web) -> None:
        ann = await web.user()
        await append(web, ann.sender, "one", "two")
        assert await texts_of(await ann.comes(), "two") == ["one", "two"]

    async def test_resumes_behind_the_last_event(self, web_on_each: Web) -> None:
        web = web_on_each
        ann = await web.user()
        await append(web, ann.sender, "one", "two", "three")
        first = await ann.comes()
        await texts_of(first, "three")
        ids = [event.id or "" for event in first.seen[1:]]
        by_parameter = await ann.comes(after=ids[0])
        by_header = await ann.comes(**{"Last-Event-ID": ids[1]})
        by_both = await ann.comes(after=ids[0], **{"Last-Event-ID": ids[1]})
        assert await texts_of(by_parameter, "three") == ["two", "three"]
        assert await texts_of(by_header, "three") == ["three"]
        assert await texts_of(by_both, "three") == ["three"]

    @pytest.mark.parametrize("after", ["x", "-1", "1.5", "%C2%B2", "%D9%A3", "1e3", "9" * 19, "0x1", "%00", "1 "])
    async def test_a_number_is_a_number(self, web: Web, after: str) -> None:
        ann = await web.user()
        answer = await ann.get(f"/stream?sender={ann.sender}&token={ann.token}&after={after}")
        assert (answer.status, answer.code) == (400, "malformed")

    async def test_has_no_gap_and_no_repeat_when_events_arrive_during_the_replay(self, web_on_each: Web) -> None:
        web, most = web_on_each, 1300
        ann = await web.user()
        texts = [f"line {number:04}" for number in range(most)]
        await asyncio.gather(*(append(web, ann.sender, text) for text in texts[:600]))

        async def go_on_writing() -> None:
            for start in range(600, most, 20):
                await append(web, ann.sender, *texts[start : start + 20])

        writing = asyncio.create_task(go_on_writing())
        pages = [await ann.comes() for _ in range(6)]
        await writing
        for page in pages:
            assert await texts_of(page, texts[-1]) == texts
            await page.close()

    async def test_a_page_that_does_not_read_is_let_go_and_catches_up(self, web: Web) -> None:
        ann = await web.user()
        response = await ann.session.get(f"{web.url}/stream?sender={ann.sender}&token={ann.token}")
        texts = [f"{number:04}" + "x" * 16_000 for number in range(1500)]
        await asyncio.gather(*(append(web, ann.sender, text) for text in texts))
        slow = Stream(response)
        assert await slow.is_over(20)
        seen = [event for event in slow.seen if event.name == "message"]
        assert len(seen) < 1500
        rest = await ann.comes(after=seen[-1].id if seen else "0")
        await texts_of(rest, texts[-1])
        assert [event.data["text"] for event in (*seen, *rest.seen[1:])] == texts

    async def test_what_comes_after_a_forgotten_past_is_heard(self, web: Web) -> None:
        """A page that remembers a number from before the retention ended must not wait for that number."""
        ann = await web.user()
        await append(web, ann.sender, "long ago", "and more", ago=3600)
        page = await ann.comes()
        await texts_of(page, "and more")
        await web.runtime.store.write(partial(retention.delete_old, before=time.time() - 60))
        await append(web, ann.sender, "today")
        await page.until(lambda event: event.data.get("text") == "today")
        again = await ann.comes(after=page.seen[2].id)
        assert await texts_of(again, "today") == ["today"]

    async def test_stays_alive_when_nothing_happens(self, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rasa_handoff.web.sse.KEEP_ALIVE", 0.02)
        page = await (await web.user()).comes()
        await web.until(lambda: page.comments >= 3)

    async def test_is_not_kept_by_anybody_on_the_way(self, web: Web) -> None:
        ann = await web.user()
        response = await ann.session.get(f"{web.url}/stream?sender={ann.sender}&token={ann.token}")
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
        response.close()

    async def test_a_page_that_is_gone_is_not_listened_for(self, web: Web) -> None:
        ann = await web.user()
        page = await ann.comes()
        await page.next("hello")
        topic = f"user:{ann.sender}"
        assert web.runtime.hub.count(topic) == 1
        await page.close()
        await web.until(lambda: web.runtime.hub.count(topic) == 0)

    async def test_survives_a_restart_of_the_server(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        await bo.reply(chat, "before")
        page = await ann.comes()
        last = await page.until(lambda event: event.data.get("text") == "before")
        await web.restart()
        await bo.come()
        await bo.reply(chat, "after")
        again = await ann.comes(**{"Last-Event-ID": last.id or ""})
        assert await texts_of(again, "after") == ["after"]
        assert again.seen[0].data["handoff"]["handoff_id"] == chat


class TestTyping:
    async def test_is_not_passed_on_while_nobody_is_there(self, web: Web) -> None:
        bo = await web.agent()
        console = await bo.come()
        ann, _ = await web.waiting_user()
        bob = await web.user()
        for user in (ann, bob):
            assert (await user.types()).status == 204
        await ann.leaves()
        await console.until(lambda event: event.name == "chat" and event.data["state"] == "closed")
        assert [event for event in console.seen if event.name == "typing"] == []

    @pytest.mark.parametrize("typing", ["yes", 0, None])
    async def test_is_true_or_false(self, web: Web, typing: object) -> None:
        ann = await web.user()
        answer = await ann.post("/typing", {"sender": ann.sender, "token": ann.token, "typing": typing})
        assert (answer.status, answer.code) == (400, "malformed")
        assert answer.message.startswith("typing ")


class TestReading:
    async def test_is_told_of_ones_own_messages_only(self, web: Web) -> None:
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        await bo.reply(chat, "Hello Ann")
        page = await ann.comes()
        message = (await page.until(lambda event: event.data.get("text") == "Hello Ann")).data["message_id"]
        bob = await web.user()

        async def reads(user: User, message_id: object) -> int:
            body = {"sender": user.sender, "token": user.token, "message_id": message_id}
            return (await user.post("/read", body)).status

        assert [await reads(ann, message), await reads(ann, message)] == [204, 204]
        assert [await reads(bob, message), await reads(ann, "no such"), await reads(ann, None)] == [404, 404, 400]
        wrong = await bob.post("/read", {"sender": ann.sender, "token": bob.token, "message_id": message})
        assert wrong.status == 401

    async def test_what_agents_have_read_is_in_the_stream_under_the_pages_own_names(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        page = await ann.comes()
        for text, name in (("one", "page-1"), ("two", "page-2")):
            await ann.says(text, name)
        messages = await web.runtime.store.read(lambda tx: store.messages.of(tx, chat))
        read = MessageStatus(chat_id=chat, message_id=messages[-1].id, state="read")
        await web.runtime.inbox.apply("desk", read)
        shown = await page.next("read")
        assert shown.data == {"id": shown.id, "message_id": "page-2", "at": shown.data["at"]}
        again = await ann.comes(after=str(int(shown.id or 0) - 1))
        assert (await again.next("read")).data == shown.data


class TestLeaving:
    async def test_ends_the_handoff_and_the_agents_hear_it(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent()
        console = await bo.come()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        page = await ann.comes()
        answer = await ann.leaves()
        assert (answer.status, answer.body) == (204, b"")
        over = await page.until(lambda event: event.name == "handoff" and event.data["status"] == "closed")
        assert over.data["end_reason"] == "user_left"
        closed = await console.until(lambda event: event.name == "chat" and event.data["state"] == "closed")
        assert (closed.data["end"]["reason"], closed.data["end"]["by"]) == ("user_left", "user")

    async def test_twice_or_without_a_handoff_is_what_they_want_too(self, web: Web) -> None:
        await web.agent_online()
        ann, _ = await web.waiting_user()
        assert [(await ann.leaves()).status for _ in range(2)] == [204, 204]
        assert (await (await web.user()).leaves()).status == 204

    async def test_afterwards_another_agent_can_be_asked_for(self, web: Web) -> None:
        await web.agent_online()
        ann, first = await web.waiting_user()
        await ann.leaves()
        second = await ann.asks_for_an_agent()
        assert (second["status"], second["id"] != first) == ("queued", True)
