"""What agents and their console ask of the desk, over HTTP: each promise of docs/http.md, on a real server."""

from __future__ import annotations

import asyncio
import uuid
from http.cookies import SimpleCookie

import pytest

from rasa_handoff.desk import live, presence, sessions
from rasa_handoff.desk.backend import Desk
from rasa_handoff.desk.presence import GRACE
from rasa_handoff.desk.staff import Member
from rasa_handoff.model import Attachment, Message, new_id
from tests.web_stage import AGENTS, Agent, Web, token_of

WRONG = "x" * 40


class TestSigningIn:
    async def test_with_the_right_token(self, web: Web) -> None:
        bo = Agent(web, (await web.stranger()).session, {})
        answer = await bo.sign_in("Bo")
        known = {"id": "bo", "name": "Bo", "presence": "away", "chats": 0, "groups": []}
        assert (answer.status, answer.json) == (
            200,
            {"agent": known, "largest_file": 25 << 20, "takes_files": True},
        )
        assert (await bo.get("/desk/api/me")).json == answer.json

    @pytest.mark.parametrize("name", AGENTS)
    async def test_holds_whatever_the_agents_name_is(self, web: Web, name: str) -> None:
        agent = await web.agent(name)
        assert (await agent.get("/desk/api/me")).json["agent"]["name"] == name

    async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(self, web: Web) -> None:
        answer = await (await web.stranger()).post("/desk/api/session", {"token": token_of("Bo")})
        cookie = SimpleCookie(answer.headers["Set-Cookie"])["handoff_desk"]
        assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (True, "Strict", "")
        assert int(cookie["max-age"]) == 12 * 3600
        assert token_of("Bo") not in cookie.value

    async def test_over_https_the_cookie_stays_there(self, web: Web) -> None:
        proxied = await web.stranger(**{"X-Forwarded-Proto": "https"})
        answer = await proxied.post("/desk/api/session", {"token": token_of("Bo")})
        assert SimpleCookie(answer.headers["Set-Cookie"])["handoff_desk"]["secure"]

    @pytest.mark.parametrize("token", [WRONG, token_of("Bo")[:-1], token_of("Bo") + "t", "Bo", "ü" * 40])
    async def test_with_a_wrong_token_gets_an_empty_401(self, web: Web, token: str) -> None:
        answer = await (await web.stranger()).post("/desk/api/session", {"token": token})
        assert (answer.status, answer.body) == (401, b"")
        assert "Set-Cookie" not in answer.headers

    @pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": 5}, {"token": None}, {"token": "x" * 501}])
    async def test_without_a_token_names_the_field(self, web: Web, body: object) -> None:
        answer = await (await web.stranger()).post("/desk/api/session", body)
        assert (answer.status, answer.code) == (400, "malformed")
        assert answer.message.startswith("token ")

    async def test_ten_wrong_tokens_in_a_minute_are_enough(self, web: Web) -> None:
        stranger = await web.stranger()
        for _ in range(10):
            assert (await stranger.post("/desk/api/session", {"token": WRONG})).status == 401
        refused = await stranger.post("/desk/api/session", {"token": token_of("Bo")})
        assert (refused.status, refused.code) == (429, "too_many")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        web.monotonic.advance(int(refused.headers["Retry-After"]))
        assert (await stranger.post("/desk/api/session", {"token": token_of("Bo")})).status == 200

    async def test_a_strangers_tries_lock_no_agent_out(self, web: Web) -> None:
        stranger = await web.stranger(at="127.0.0.2")
        for _ in range(11):
            last = await stranger.post("/desk/api/session", {"token": WRONG})
        assert last.status == 429
        assert (await (await web.stranger()).post("/desk/api/session", {"token": token_of("Bo")})).status == 200

    async def test_right_tokens_do_not_count(self, web: Web) -> None:
        for _ in range(12):
            await web.agent()

    async def test_the_cookie_of_an_agent_whose_token_changed_opens_nothing(self, web: Web) -> None:
        bo = await web.agent()
        web.desk.staff.members["bo"] = Member(name="Bo", token="a-new-token-" + "n" * 32)
        assert (await bo.get("/desk/api/me")).status == 401

    async def test_the_cookie_of_an_agent_who_is_gone_opens_nothing(self, web: Web) -> None:
        bo = await web.agent()
        del web.desk.staff.members["bo"]
        assert (await bo.get("/desk/api/me")).status == 401

    async def test_a_cookie_opens_nothing_for_another_agent(self, web: Web) -> None:
        answer = await (await web.stranger()).post("/desk/api/session", {"token": token_of("Bo")})
        value = SimpleCookie(answer.headers["Set-Cookie"])["handoff_desk"].value
        for forged in (value.replace("bo:", "cleo:", 1), value[:-1], value + "0", "bo:", "bo", ":", ""):
            stranger = await web.stranger(Cookie=f"handoff_desk={forged}")
            assert (await stranger.get("/desk/api/me")).status == 401, forged

    async def test_a_cookie_ends_after_twelve_hours(self, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sessions, "_LASTING", -1.0)  # the machine's clock may be set back a little
        answer = await (await web.stranger()).post("/desk/api/session", {"token": token_of("Bo")})
        stale = await web.stranger(Cookie=answer.headers["Set-Cookie"].partition(";")[0])
        assert (await stale.get("/desk/api/me")).status == 401

    async def test_the_token_itself_is_a_session_for_programs(self, web: Web) -> None:
        for scheme in ("Bearer", "bearer"):
            program = await web.stranger(Authorization=f"{scheme} {token_of('Bo')}")
            assert (await program.get("/desk/api/me")).json["agent"]["name"] == "Bo"
        program = await web.stranger(Authorization=f"Bearer {WRONG}")
        assert (await program.get("/desk/api/me")).status == 401

    async def test_a_proxys_own_sign_in_does_not_shut_the_agents_out(self, web: Web) -> None:
        """Basic authentication in front of the console comes with every request, beside the cookie."""
        bo = await web.agent()
        bo.headers["Authorization"] = "Basic Ym86c2VjcmV0"
        assert (await bo.get("/desk/api/me")).status == 200

    async def test_signing_out_takes_the_cookie_and_the_presence(self, web: Web) -> None:
        bo, cleo = await web.agent_online("Bo"), await web.agent("Cleo")
        answer = await bo.ask("DELETE", "/desk/api/session")
        assert (answer.status, answer.body) == (204, b"")
        assert (await bo.get("/desk/api/me")).status == 401
        agents = (await cleo.get("/desk/api/agents")).json["agents"]
        assert [each["presence"] for each in agents] == ["away"] * 3


class TestOrigin:
    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "http://127.0.0.1", "null", "http://", "file://", "http://[", "", "evil"]
    )
    async def test_a_foreign_one_changes_nothing(self, web: Web, origin: str) -> None:
        bo = await web.agent_online()
        answer = await bo.ask("PUT", "/desk/api/me/presence", {"presence": "away"}, headers={"Origin": origin})
        assert (answer.status, answer.body) == (401, b"")
        assert (await bo.get("/desk/api/me")).json["agent"]["presence"] == "online"

    async def test_the_consoles_own_is_fine(self, web: Web) -> None:
        bo = await web.agent()
        own = {"Origin": f"http://127.0.0.1:{web.port}"}
        assert (await bo.ask("PUT", "/desk/api/me/presence", {"presence": "away"}, headers=own)).status == 200

    async def test_a_program_with_a_token_has_none(self, web: Web) -> None:
        program = await web.stranger(Authorization=f"Bearer {token_of('Bo')}", Origin="https://elsewhere.example")
        assert (await program.ask("PUT", "/desk/api/me/presence", {"presence": "away"})).status == 200


SIGNED_IN_ONLY = [
    ("GET", "/me"),
    ("DELETE", "/session"),
    ("PUT", "/me/presence"),
    ("GET", "/agents"),
    ("GET", "/chats"),
    ("GET", "/chats/17"),
    ("POST", "/chats/17/accept"),
    ("POST", "/chats/17/messages"),
    ("POST", "/chats/17/typing"),
    ("POST", "/chats/17/transfer"),
    ("POST", "/chats/17/close"),
    ("GET", "/stream"),
]


@pytest.mark.parametrize(("method", "path"), SIGNED_IN_ONLY)
async def test_who_is_not_signed_in_learns_nothing(web: Web, method: str, path: str) -> None:
    """Also not whether a body is well formed: it is not read."""
    for headers in (
        {},
        {"Authorization": f"Bearer {WRONG}"},
        {"Authorization": "Bearer"},
        {"Cookie": "handoff_desk=bo"},
    ):
        stranger = await web.stranger(**headers)
        answer = await stranger.ask(method, f"/desk/api{path}", raw=b"{" if method != "GET" else None)
        assert (answer.status, answer.body) == (401, b"")


@pytest.mark.parametrize(("method", "path"), [each for each in SIGNED_IN_ONLY if "17" in each[1]])
async def test_an_unknown_chat_is_404(web: Web, method: str, path: str) -> None:
    bo = await web.agent()
    bodies = {
        "messages": {"id": str(uuid.uuid4()), "text": "Hello"},
        "typing": {"typing": True},
        "transfer": {"agent_id": "cleo"},
        "close": {"reason": "other"},
    }
    answer = await bo.ask(method, f"/desk/api{path}", bodies.get(path.rpartition("/")[2]))
    assert (answer.status, answer.code) == (404, "unknown")


class TestPresence:
    async def test_online_is_who_says_so_and_has_a_page_open(self, web: Web) -> None:
        bo = await web.agent()
        assert (await bo.choose("online")).json["agent"]["presence"] == "away"
        stream = await bo.come()
        assert (await bo.get("/desk/api/me")).json["agent"]["presence"] == "online"
        await stream.close()
        await web.until(lambda: web.desk.staff.attendance._pages["bo"] == 0)
        assert (await bo.get("/desk/api/me")).json["agent"]["presence"] == "online"
        web.monotonic.advance(GRACE + 1)
        assert (await bo.get("/desk/api/me")).json["agent"]["presence"] == "away"

    async def test_a_second_page_keeps_an_agent_online(self, web: Web) -> None:
        bo = await web.agent()
        first, _second = await bo.come(), await bo.come()
        await first.close()
        await web.until(lambda: web.desk.staff.attendance._pages["bo"] == 1)
        web.monotonic.advance(GRACE + 1)
        assert (await bo.get("/desk/api/me")).json["agent"]["presence"] == "online"

    @pytest.mark.parametrize("presence", ["busy", "", None, 1, "ONLINE", ["online"]])
    async def test_anything_else_is_refused(self, web: Web, presence: object) -> None:
        bo = await web.agent()
        answer = await bo.ask("PUT", "/desk/api/me/presence", {"presence": presence})
        assert (answer.status, answer.code) == (400, "malformed")
        assert answer.message.startswith("presence ")

    async def test_nobody_online_means_unavailable(self, web_on_each: Web) -> None:
        web = web_on_each
        await web.agent()
        handoff = await web.open("web-ann")
        assert (handoff["status"], handoff["end_reason"]) == ("closed", "unavailable")
        bo = await web.agent_online()
        assert (await bo.chats())["waiting"] == []

    async def test_an_agent_who_is_away_takes_nothing_new(self, web: Web) -> None:
        bo = await web.agent_online()
        await bo.choose("away")
        assert (await web.open("web-ann"))["end_reason"] == "unavailable"

    async def test_an_agent_who_left_a_moment_ago_counts(self, web: Web) -> None:
        """A page that is loaded again must not send users away."""
        bo = await web.agent()
        await (await bo.come()).close()
        assert (await web.open("web-ann"))["status"] == "queued"

    async def test_everybody_sees_who_is_there(self, web: Web) -> None:
        bo = await web.agent_online("Bo")
        agents = (await bo.get("/desk/api/agents")).json["agents"]
        assert [(each["name"], each["presence"]) for each in agents] == [
            ("Bo", "online"),
            ("Cleo", "away"),
            ("Dörte Müller", "away"),
        ]


class TestQueue:
    async def test_who_waits_longest_is_next(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        handoffs = [await web.open(f"web-{number}") for number in range(3)]
        assert [each["queue_position"] for each in handoffs] == [1, 2, 3]
        waiting = (await bo.chats())["waiting"]
        assert [each["user"] for each in waiting] == ["web-0", "web-1", "web-2"]
        assert [each["number"] for each in waiting] == [1, 2, 3]

    async def test_users_are_told_as_it_moves(self, web: Web) -> None:
        bo = await web.agent_online()
        _, first = await web.waiting_user()
        ann, _ = await web.waiting_user()
        stream = await ann.comes()
        assert (await stream.next("hello")).data["handoff"]["queue_position"] == 2
        await bo.accept(first)
        moved = await stream.until(lambda event: event.name == "handoff" and event.data["queue_position"] == 1)
        assert moved.data["status"] == "queued"

    async def test_a_chat_has_what_the_bot_knows(self, web: Web) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user(
            transcript=[{"who": "user", "text": "Hi", "at": 1.5}, {"who": "bot", "text": "Hello!", "at": 2}],
            parameters={"order": 17, "ways": ["air", None]},
            last_message="a person, please",
            group="billing",
            priority="high",
        )
        found = await bo.look_at(chat)
        assert found["transcript"] == [
            {"who": "user", "text": "Hi", "at": 1.5},
            {"who": "bot", "text": "Hello!", "at": 2},
        ]
        assert found["parameters"] == {"order": 17, "ways": ["air", None]}
        assert found["messages"] == []
        assert found["chat"]["last_message"] == "a person, please"
        assert (found["chat"]["group"], found["chat"]["priority"]) == ("billing", "high")
        assert (found["chat"]["state"], found["chat"]["agent"], found["chat"]["end"]) == ("waiting", None, None)

    async def test_the_last_message_names_files_that_came_without_words(self, web: Web) -> None:
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        photo = Attachment(url="https://x.test/1", kind="image", name="gears.jpg")
        files = (photo, Attachment(url="https://x.test/2", kind="audio"))
        message = Message(id=new_id(), who="user", text="", at=1.5, attachments=files)
        await web.runtime.switchboard.said(ann.sender, message, message.id)
        await web.until(lambda: _last_message(bo, chat, "gears.jpg, audio"))

    async def test_unanswered_counts_since_an_agent_last_wrote(self, web: Web) -> None:
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        for text in ("one", "two", "three"):
            await ann.says(text)
        await web.until(lambda: _unanswered(bo, chat, 3))
        await bo.reply(chat, "four")
        assert await _unanswered(bo, chat, 0)


async def _unanswered(agent: Agent, chat: str, number: int) -> bool:
    return bool((await agent.look_at(chat))["chat"]["unanswered"] == number)


async def _last_message(agent: Agent, chat: str, text: str) -> bool:
    return bool((await agent.look_at(chat))["chat"]["last_message"] == text)


class TestAccepting:
    async def test_makes_it_the_agents_own(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        stream = await ann.comes()
        answer = await bo.accept(chat)
        assert answer.status == 200
        assert (answer.json["chat"]["state"], answer.json["chat"]["agent"]) == ("open", {"id": "bo", "name": "Bo"})
        joined = await stream.until(lambda event: event.name == "handoff" and event.data["status"] == "active")
        assert joined.data["agent"] == {"name": "Bo", "avatar_url": None}
        assert (await bo.get("/desk/api/me")).json["agent"]["chats"] == 1

    async def test_twice_changes_nothing(self, web: Web) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        first, second = await bo.accept(chat), await bo.accept(chat)
        assert (first.status, second.status) == (200, 200)
        assert first.json == second.json

    async def test_a_taken_one_says_by_whom(self, web: Web) -> None:
        bo, cleo = await web.agent_online("Bo"), await web.agent_online("Cleo")
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        refused = await cleo.accept(chat)
        assert (refused.status, refused.code) == (409, "taken")
        assert "Bo" in refused.message

    async def test_at_the_same_moment_one_of_them_gets_it(self, web_on_each: Web) -> None:
        web = web_on_each
        agents = [await web.agent_online(name) for name in AGENTS]
        _, chat = await web.waiting_user()
        answers = await asyncio.gather(*(agent.accept(chat) for agent in agents))
        assert sorted(answer.status for answer in answers) == [200, 409, 409]

    async def test_a_closed_one_says_why(self, web: Web) -> None:
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await ann.leaves()
        await web.until(lambda: _is_closed(bo, chat))
        refused = await bo.accept(chat)
        assert (refused.status, refused.code) == (409, "closed")
        assert "user_left" in refused.message

    async def test_a_chat_whose_agent_is_gone_can_be_taken_over(self, web: Web) -> None:
        bo, cleo = await web.agent("Bo"), await web.agent_online("Cleo")
        page = await bo.come()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        await page.close()
        await web.until(lambda: web.desk.staff.attendance._pages["bo"] == 0)
        assert (await cleo.accept(chat)).code == "taken"
        web.monotonic.advance(GRACE + 1)
        assert (await cleo.accept(chat)).json["chat"]["agent"]["name"] == "Cleo"
        stream = await ann.comes()
        assert (await stream.next("hello")).data["handoff"]["agent"]["name"] == "Cleo"
        assert (await bo.reply(chat, "still me?")).code == "not_yours"


async def _is_closed(agent: Agent, chat: str) -> bool:
    return bool((await agent.look_at(chat))["chat"]["state"] == "closed")


class TestReplying:
    async def test_reaches_the_user(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        stream = await ann.comes()
        await bo.accept(chat)
        answer = await bo.reply(chat, "Good morning!")
        assert answer.status == 201
        line = answer.json["message"]
        assert (line["who"], line["name"], line["text"], line["state"]) == ("agent", "Bo", "Good morning!", "sent")
        heard = await stream.until(lambda event: event.name == "message" and event.data["who"] == "agent")
        assert (heard.data["name"], heard.data["text"]) == ("Bo", "Good morning!")

    async def test_a_repeat_is_kept_once(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        stream = await ann.comes()
        message_id = str(uuid.uuid4())
        first = await bo.reply(chat, "Good morning!", message_id)
        again = await bo.reply(chat, "Good morning!", message_id)
        last = await bo.reply(chat, "How can I help?")
        assert (first.status, again.status, last.status) == (201, 200, 201)
        assert again.json["message"]["id"] == message_id
        await stream.until(lambda event: event.data.get("text") == "How can I help?")
        said = [event.data["text"] for event in stream.seen if event.data.get("who") == "agent"]
        assert said == ["Good morning!", "How can I help?"]
        assert len((await bo.look_at(chat))["messages"]) == 2

    async def test_many_repeats_at_once_are_kept_once(self, web_on_each: Web) -> None:
        bo = await web_on_each.agent_online()
        _, chat = await web_on_each.waiting_user()
        await bo.accept(chat)
        message_id = str(uuid.uuid4())
        answers = await asyncio.gather(*(bo.reply(chat, "Good morning!", message_id) for _ in range(8)))
        assert sorted(answer.status for answer in answers) == [200] * 7 + [201]

    async def test_the_id_of_another_chats_message_is_refused(self, web: Web) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        _, other = await web.waiting_user()
        await bo.accept(chat)
        await bo.accept(other)
        message_id = str(uuid.uuid4())
        await bo.reply(chat, "for the one", message_id)
        refused = await bo.reply(other, "for the other", message_id)
        assert (refused.status, refused.code) == (409, "id_taken")
        assert (await bo.look_at(other))["messages"] == []

    async def test_into_a_chat_that_is_not_ones_own(self, web: Web) -> None:
        bo, cleo = await web.agent_online("Bo"), await web.agent_online("Cleo")
        _, chat = await web.waiting_user()
        early = await bo.reply(chat, "not accepted yet")
        assert (early.status, early.code) == (409, "not_yours")
        assert early.message == "nobody has accepted this chat yet"
        await bo.accept(chat)
        refused = await cleo.reply(chat, "let me")
        assert (refused.status, refused.code, refused.message) == (409, "not_yours", "Bo has this chat")

    async def test_into_a_closed_chat_says_why_it_closed(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        await ann.leaves()
        # At once, and when the desk has heard of it, the answer is the same.
        for _ in range(2):
            refused = await bo.reply(chat, "too late")
            assert (refused.status, refused.code) == (409, "closed")
            assert "user_left" in refused.message
            await web.until(lambda: _is_closed(bo, chat))
        assert (await bo.look_at(chat))["messages"] == []

    async def test_a_repeat_after_the_end_is_still_a_repeat(self, web: Web) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        message_id = str(uuid.uuid4())
        await bo.reply(chat, "Goodbye!", message_id)
        await bo.close(chat)
        assert (await bo.reply(chat, "Goodbye!", message_id)).status == 200

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"text": "no id"}, "id"),
            ({"id": "17", "text": "no uuid"}, "id"),
            ({"id": 17, "text": "no text"}, "id"),
            ({"id": str(uuid.uuid4())}, "text"),
            ({"id": str(uuid.uuid4()), "text": ""}, "text"),
            ({"id": str(uuid.uuid4()), "text": " \n\t\u00a0"}, "text"),
            ({"id": str(uuid.uuid4()), "text": None}, "text"),
            ({"id": str(uuid.uuid4()), "text": ["a"]}, "text"),
            ({"id": str(uuid.uuid4()), "text": "x" * 10_001}, "text"),
        ],
    )
    async def test_what_is_no_message_is_refused(self, web: Web, body: object, field: str) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        answer = await bo.post(f"/desk/api/chats/{chat}/messages", body)
        assert (answer.status, answer.code) == (400, "malformed")
        assert answer.message.startswith(f"{field} ")
        assert (await bo.look_at(chat))["messages"] == []


class TestTyping:
    async def test_of_the_agent_reaches_the_user(self, web: Web) -> None:
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        stream = await ann.comes()
        await stream.next("hello")
        for typing in (True, False):
            assert (await bo.types(chat, typing)).status == 204
            event = await stream.next("typing")
            assert (event.id, event.data) == (None, {"typing": typing, "name": "Bo"})

    async def test_of_the_user_reaches_the_agents(self, web: Web) -> None:
        bo = await web.agent("Bo")
        page = await bo.come()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        for typing in (True, False):
            assert (await ann.types(typing)).status == 204
            assert (await page.next("typing")).data == {"chat_id": chat, "typing": typing}

    async def test_in_anothers_chat_is_refused(self, web: Web) -> None:
        bo, cleo = await web.agent_online("Bo"), await web.agent_online("Cleo")
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        assert (await cleo.types(chat)).code == "not_yours"
        await bo.close(chat)
        assert (await bo.types(chat)).code == "closed"

    @pytest.mark.parametrize("typing", ["true", 1, None, []])
    async def test_is_true_or_false(self, web: Web, typing: object) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        answer = await bo.post(f"/desk/api/chats/{chat}/typing", {"typing": typing})
        assert (answer.status, answer.code) == (400, "malformed")


class TestTransferring:
    async def test_to_an_agent_who_is_online(self, web_on_each: Web) -> None:
        web = web_on_each
        bo, cleo = await web.agent_online("Bo"), await web.agent_online("Cleo")
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        answer = await bo.transfer(chat, "cleo")
        assert (answer.status, answer.json["chat"]["agent"]["name"]) == (200, "Cleo")
        assert (await bo.reply(chat, "one more thing")).code == "not_yours"
        assert (await cleo.reply(chat, "Hello, I am Cleo")).status == 201
        stream = await ann.comes()
        assert (await stream.next("hello")).data["handoff"]["agent"]["name"] == "Cleo"
        chats = {each["id"]: each["chats"] for each in (await bo.get("/desk/api/agents")).json["agents"]}
        assert (chats["bo"], chats["cleo"]) == (0, 1)

    @pytest.mark.parametrize("to", ["cleo", "nobody", "", "\u202e\U0001f600"])
    async def test_to_one_who_is_not_there_is_refused(self, web: Web, to: str) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        refused = await bo.transfer(chat, to)
        assert (refused.status, refused.code) == (409, "away")
        assert (await bo.look_at(chat))["chat"]["agent"]["name"] == "Bo"

    async def test_to_one_who_is_no_agent_any_more_is_refused(self, web: Web) -> None:
        bo, _cleo = await web.agent_online("Bo"), await web.agent_online("Cleo")
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        del web.desk.staff.members["cleo"]
        assert (await bo.transfer(chat, "cleo")).code == "away"

    async def test_back_to_the_queue_keeps_the_users_place(self, web: Web) -> None:
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        _, later = await web.waiting_user()
        stream = await ann.comes()
        answer = await bo.transfer(chat, None)
        assert (answer.json["chat"]["state"], answer.json["chat"]["agent"]) == ("waiting", None)
        assert [each["id"] for each in (await bo.chats())["waiting"]] == [chat, later]
        queued = await stream.until(lambda event: event.name == "handoff" and event.data["queue_position"] == 1)
        assert (queued.data["status"], queued.data["agent"]) == ("queued", None)
        assert (await bo.accept(chat)).status == 200

    async def test_needs_a_word_on_where_to(self, web: Web) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        for body in ({}, {"agent_id": 5}, {"agent_id": "x" * 201}):
            answer = await bo.post(f"/desk/api/chats/{chat}/transfer", body)
            assert (answer.status, answer.code) == (400, "malformed")
        assert (await bo.look_at(chat))["chat"]["agent"]["name"] == "Bo"


class TestClosing:
    async def test_with_reason_note_and_tags(self, web_on_each: Web) -> None:
        web = web_on_each
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await bo.accept(chat)
        answer = await bo.close(chat, "unresolved", note="will call back", tags=["billing", "VIP ★"])
        end = {"reason": "unresolved", "note": "will call back", "tags": ["billing", "VIP ★"], "by": "agent"}
        assert (answer.json["chat"]["state"], answer.json["chat"]["end"]) == ("closed", end)
        assert (await bo.chats())["closed"][0]["end"] == end
        stream = await ann.comes()
        over = await stream.until(lambda event: event.name == "handoff" and event.data["status"] == "closed")
        assert over.data["end_reason"] == "agent_closed"
        await web.until(lambda: _is_the_bots(web, ann.sender))

    async def test_needs_no_more_than_a_reason(self, web: Web) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        answer = await bo.close(chat, note=None, tags=None)
        assert answer.json["chat"]["end"] == {"reason": "resolved", "note": None, "tags": [], "by": "agent"}

    async def test_twice_is_a_conflict(self, web: Web) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        await bo.close(chat, "spam")
        again = await bo.close(chat, "resolved")
        assert (again.status, again.code, again.message) == (409, "closed", "this chat has ended: spam")

    async def test_anothers_chat_is_refused(self, web: Web) -> None:
        bo, cleo = await web.agent_online("Bo"), await web.agent_online("Cleo")
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        assert (await cleo.close(chat)).code == "not_yours"

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"reason": "tired"},
            {"reason": None},
            {"reason": ["spam"]},
            {"reason": "other", "note": 5},
            {"reason": "other", "note": "x" * 10_001},
            {"reason": "other", "tags": "billing"},
            {"reason": "other", "tags": [""]},
            {"reason": "other", "tags": ["x" * 51]},
            {"reason": "other", "tags": [5]},
            {"reason": "other", "tags": [["billing"]]},
            {"reason": "other", "tags": ["x"] * 21},
        ],
    )
    async def test_bad_values_close_nothing(self, web: Web, body: object) -> None:
        bo = await web.agent_online()
        _, chat = await web.waiting_user()
        await bo.accept(chat)
        answer = await bo.post(f"/desk/api/chats/{chat}/close", body)
        assert (answer.status, answer.code) == (400, "malformed")
        assert not await _is_closed(bo, chat)

    async def test_by_the_user_is_told_apart(self, web: Web) -> None:
        bo = await web.agent_online()
        ann, chat = await web.waiting_user()
        await ann.leaves()
        await web.until(lambda: _is_closed(bo, chat))
        end = (await bo.look_at(chat))["chat"]["end"]
        assert end == {"reason": "user_left", "by": "user", "note": None, "tags": []}

    async def test_only_the_last_fifty_are_listed(self, web: Web) -> None:
        bo = await web.agent_online()
        for number in range(52):
            await web.open(f"web-{number}")
        for chat in (await bo.chats())["waiting"]:
            await bo.accept(chat["id"])
            await bo.close(chat["id"])
        closed = (await bo.chats())["closed"]
        times = [each["closed_at"] for each in closed]
        assert (len(closed), times) == (50, sorted(times, reverse=True))


async def _is_the_bots(web: Web, sender: str) -> bool:
    return await web.runtime.switchboard.holder(sender) is None


class TestStream:
    async def test_begins_with_a_greeting(self, web: Web) -> None:
        bo = await web.agent()
        page = await bo.listen("/desk/api/stream")
        hello = await page.next()
        assert (hello.name, hello.id) == ("hello", None)
        assert hello.data["agent"]["name"] == "Bo"

    async def test_shows_a_chat_from_its_beginning_to_its_end(self, web_on_each: Web) -> None:
        web = web_on_each
        bo, cleo = await web.agent_online("Bo"), await web.agent("Cleo")
        page = await cleo.come()
        ann, chat = await web.waiting_user()
        assert (await page.next("chat")).data["state"] == "waiting"
        await bo.accept(chat)
        taken = await page.until(lambda event: event.name == "chat" and event.data["state"] == "open")
        assert taken.data["agent"]["name"] == "Bo"
        await ann.says("My parcel is lost")
        said = await page.next("message")
        assert (said.data["who"], said.data["text"], said.data["state"]) == ("user", "My parcel is lost", "delivered")
        await bo.reply(chat, "I am looking")
        assert (await page.next("message")).data["state"] == "sent"
        assert (await page.next("message")).data["state"] == "delivered"
        await bo.close(chat)
        await page.until(lambda event: event.name == "chat" and event.data["state"] == "closed")

    async def test_says_whether_the_users_page_is_open(self, web: Web) -> None:
        bo = await web.agent("Bo")
        page = await bo.come()
        ann, chat = await web.waiting_user()
        await page.until(lambda event: event.name == "chat" and event.data["user_connected"] is False)
        stream = await ann.comes()
        await page.until(lambda event: event.name == "chat" and event.data["user_connected"] is True)
        await stream.close()
        await page.until(lambda event: event.name == "chat" and event.data["user_connected"] is False)
        assert (await bo.look_at(chat))["chat"]["user_connected"] is False

    async def test_does_not_pretend_to_know_it_of_other_channels(self, web: Web) -> None:
        bo = await web.agent_online()
        handoff = await web.open("+491701234567", channel="whatsapp")
        assert (await bo.look_at(handoff["id"]))["chat"]["user_connected"] is None

    async def test_tells_who_comes_and_goes(self, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(presence, "GRACE", 0.0)
        monkeypatch.setattr(live, "GRACE", -0.9)
        bo, cleo = await web.agent("Bo"), await web.agent("Cleo")
        page = await bo.come()
        others = await cleo.come()
        await page.until(lambda event: event.name == "agent" and event.data["presence"] == "online")
        await others.close()
        gone = await page.until(lambda event: event.name == "agent" and event.data["presence"] == "away")
        assert gone.data["name"] == "Cleo"

    async def test_a_message_that_cannot_reach_the_user_is_marked(self, web: Web) -> None:
        bo = await web.agent("Bo")
        page = await bo.come()
        handoff = await web.open("ann", channel="callback")
        await bo.accept(handoff["id"])
        await bo.reply(handoff["id"], "Are you there?")
        failed = await page.until(lambda event: event.name == "message" and event.data["state"] == "failed")
        assert failed.data["text"] == "Are you there?"

    async def test_stays_alive_when_nothing_happens(self, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rasa_handoff.web.sse.KEEP_ALIVE", 0.02)
        bo = await web.agent()
        page = await bo.come()
        await web.until(lambda: page.comments >= 3)

    async def test_ends_when_the_server_stops(self, web: Web) -> None:
        page = await (await web.agent()).come()
        web.runtime.hub.end_all()
        assert await page.is_over()


class TestManyAtOnce:
    async def test_agents_do_not_step_on_each_other(self, web_on_each: Web) -> None:
        """Three agents, nine users; each message arrives once, in order, from the agent who has the chat."""
        web = web_on_each
        agents = [await web.agent_online(name) for name in AGENTS]
        users = [await web.waiting_user() for _ in range(9)]

        async def work(agent: Agent, chat: str) -> None:
            assert (await agent.accept(chat)).status == 200
            for number in range(5):
                assert (await agent.reply(chat, f"line {number}")).status == 201

        chats = [chat for _, chat in users]
        await asyncio.gather(*(work(agents[at % 3], chat) for at, chat in enumerate(chats)))
        for at, (ann, _) in enumerate(users):
            stream = await ann.comes()
            for number in range(5):
                event = await stream.until(lambda event: event.name == "message" and event.data["who"] == "agent")
                assert (event.data["text"], event.data["name"]) == (f"line {number}", AGENTS[at % 3])
            await stream.close()


async def test_without_a_desk_there_is_nothing_to_find(web: Web) -> None:
    del web.runtime.backends["desk"]  # type: ignore[attr-defined]
    answer = await (await web.stranger()).get("/desk/api/me")
    assert (answer.status, answer.code) == (404, "unknown")


def test_the_desk_is_a_backend_by_that_name() -> None:
    assert Desk.name == "desk"
