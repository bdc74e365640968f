"""Signed in as an agent: two ways to sign in, cookies, keep-alive, and what is done when it is over."""

from __future__ import annotations

import logging
from itertools import islice
from pathlib import Path

import pytest

from rasa_handoff.backends.breaker import NotAsked
from rasa_handoff.backends.http import Http
from rasa_handoff.backends.liveperson.domains import Domains
from rasa_handoff.errors import ConfigError, TemporaryError
from rasa_handoff.liveperson_agent.session import WHO, Session, below_session, pause_after, pauses
from rasa_handoff.liveperson_agent.settings import ChannelSettings
from rasa_handoff.settings import read_channel
from tests.liveperson_agent.stage import APPLICATION, Stage, on_stage, section
from tests.liveperson_agent.vendor import PASSWORD, SECRET, LivePerson
from tests.stage import Time


async def online(stage: Stage) -> None:
    await stage.until(lambda: stage.vendor.ours.state == 2)
    await stage.until(lambda: stage.vendor.took("GET", "*/chatSessions"))


# Signing in


async def test_a_user_signs_in_and_is_online(agent: Stage, vendor: LivePerson) -> None:
    await online(agent)
    (login,) = vendor.took("POST", "*/login")
    assert login.json == {"username": "robot", "password": PASSWORD}
    assert "authorization" not in login.headers


async def test_an_application_signs_in_with_its_oauth_2_client(tmp_path: Path, vendor: LivePerson) -> None:
    async with on_stage(tmp_path, vendor, **APPLICATION) as stage:
        await online(stage)
    (login,) = vendor.took("POST", "*/login")
    assert login.json["secret"] == SECRET
    assert (login.json["accessToken"], login.json["accessTokenSecret"]) == ("dummy", "dummy")


async def test_an_agent_can_be_there_for_transfers_only(tmp_path: Path, vendor: LivePerson) -> None:
    async with on_stage(tmp_path, vendor, availability="Occupied") as stage:
        await stage.until(lambda: vendor.ours.state == 3)


@pytest.mark.parametrize(("setting", "tries"), [("password", 1), ("username", 1), ("account", 0)])
async def test_a_login_that_is_refused_is_not_tried_again(
    tmp_path: Path, vendor: LivePerson, caplog: pytest.LogCaptureFixture, setting: str, tries: int
) -> None:
    caplog.set_level(logging.INFO, "rasa_handoff")
    async with on_stage(tmp_path, vendor, **{setting: "wrong1"}) as stage:
        await stage.until(lambda: len(stage.clock.pauses) > 8)
    assert len([each for each in vendor.wire.asked if each.path.endswith("/login")]) == tries
    assert len([each for each in vendor.wire.asked if each.path.endswith("/baseURI.json")]) == 1
    assert "see account, username and its password or app_key" in caplog.text
    assert PASSWORD not in caplog.text
    if setting == "password":
        assert "wrong1" not in caplog.text


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_login_that_fails_is_tried_again(tmp_path: Path, vendor: LivePerson, status: int) -> None:
    vendor.wire.fail(status, times=2, path="*/login")
    async with on_stage(tmp_path, vendor) as stage:
        await online(stage)
    assert len([each for each in vendor.wire.asked if each.path.endswith("/login")]) == 3


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_between_two_logins_are_five_seconds(vendor: LivePerson, status: int) -> None:
    vendor.wire.fail(status, path="*/login")
    settings, http, time = read_channel(section(vendor), ChannelSettings), Http(WHO), Time()
    session = Session(http, Domains(http, settings.account, settings.domain_api, time), settings, time)
    with pytest.raises(TemporaryError, match=str(status)):
        await session.sign_in(instead_of=0)
    time.advance(4.5)
    with pytest.raises(TemporaryError, match="too soon") as found:
        await session.sign_in(instead_of=0)
    assert found.value.retry_after == pytest.approx(0.5, abs=0.01)
    assert len([each for each in vendor.wire.asked if each.path.endswith("/login")]) == 1
    time.advance(0.6)
    await session.sign_in(instead_of=0)
    assert session.is_signed_in
    await http.close()


async def test_an_agent_session_at_a_strange_host_gets_no_bearer(tmp_path: Path, vendor: LivePerson) -> None:
    strange = {"link": {"@href": "https://agentvep.example.com/api/account/1/agentSession/2", "@rel": "location"}}
    vendor.wire.when("POST", "*/agentSession", 201, {"agentSessionLocation": strange})
    async with on_stage(tmp_path, vendor) as stage:
        await stage.until(lambda: len(stage.clock.pauses) > 3)
        await stage.until(lambda: not stage.chats.session.is_signed_in)  # a login that has just begun ends again
        assert stage.chats.session.number == 0


# Cookies


async def test_cookies_are_those_of_one_agent_session(agent: Stage, vendor: LivePerson) -> None:
    await online(agent)
    first = vendor.took("GET", "*/incomingRequests")[-1].headers["cookie"]
    assert "AgentSession=" in first
    assert "Session_id=" in first
    vendor.expire()
    await agent.until(lambda: len(vendor.took("POST", "*/login")) == 2)
    await agent.until(lambda: vendor.took("GET", "*/incomingRequests")[-1].headers["cookie"] != first)
    assert "cookie" not in vendor.took("POST", "*/login")[-1].headers
    assert "AgentSession" not in vendor.took("POST", "*/agentSession")[-1].headers["cookie"]


async def test_the_domain_api_gets_neither_cookies_nor_the_bearer(agent: Stage, vendor: LivePerson) -> None:
    await online(agent)
    for asked in vendor.took("GET", "*/baseURI.json"):
        assert not {"cookie", "authorization"} & set(asked.headers)


# Staying


async def test_the_session_is_refreshed_every_few_minutes_with_its_csrf(agent: Stage, vendor: LivePerson) -> None:
    await online(agent)
    await agent.until(lambda: len(vendor.took("POST", "*/refresh")) >= 2)
    one, two = (each.at for each in vendor.took("POST", "*/refresh")[:2])
    # Eight looks around, one each 30 seconds, come between.
    assert len([each for each in vendor.took("GET", "*/availability") if one < each.at < two]) == 8
    assert len(vendor.took("POST", "*/login")) == 1


async def test_a_refresh_that_is_refused_signs_in_anew(agent: Stage, vendor: LivePerson) -> None:
    await online(agent)
    vendor.wire.fail(401, path="*/refresh")
    await agent.until(lambda: agent.chats.session.number == 2)


async def test_a_bearer_that_ended_is_replaced_once_however_many_wait(agent: Stage, vendor: LivePerson) -> None:
    await online(agent)
    chats = [vendor.visitor(f"hello {number}") for number in range(5)]
    await agent.until(lambda: len(agent.bot.heard) == 5)
    vendor.expire()
    for chat in chats:
        chat.says("still there?")
    await agent.until(lambda: len(agent.bot.heard) == 10)
    await agent.until(lambda: all(len(chat.lines("agent")) == 2 for chat in chats))
    assert len(vendor.took("POST", "*/login")) == 2


async def test_an_agent_session_that_is_gone_is_begun_anew(agent: Stage, vendor: LivePerson) -> None:
    await online(agent)
    vendor.end_sessions()
    vendor.visitor("hello")
    await agent.until(lambda: agent.bot.texts() == ["hello"])


async def test_whoever_was_set_to_away_comes_back(agent: Stage, vendor: LivePerson) -> None:
    await agent.until(lambda: agent.chats.agents_as_json() == {"online": 1, "availability": "Online"})
    vendor.ours.state = 4
    await agent.until(lambda: vendor.ours.state == 2)
    assert agent.chats.agents_as_json() == {"online": 1, "availability": "Away"}
    await agent.until(lambda: agent.chats.availability == "Online")


async def test_answers_that_cannot_be_read_are_waited_out(agent: Stage, vendor: LivePerson) -> None:
    await online(agent)
    vendor.garble("*/incomingRequests", b"<html>a proxy says hello</html>", times=2)
    vendor.garble("*/incomingRequests", b'{"incomingRequests": {"ringingCount": null}}')
    vendor.visitor("hello")
    await agent.until(lambda: agent.bot.texts() == ["hello"])
    assert len(vendor.took("POST", "*/login")) == 1


async def test_a_host_that_cannot_be_reached_is_waited_out(agent: Stage, vendor: LivePerson) -> None:
    await online(agent)
    vendor.wire.down()
    await agent.until(agent.clock.waited_out)
    vendor.wire.up()
    vendor.visitor("hello")
    await agent.until(lambda: agent.bot.texts() == ["hello"])


async def test_a_service_that_moves_to_another_host_is_found(agent: Stage, vendor: LivePerson) -> None:
    chat = vendor.visitor("hello")
    await agent.until(lambda: len(chat.lines("agent")) == 1)
    with vendor.elsewhere():
        chat.says("still there?")
        await agent.until(lambda: len(chat.lines("agent")) == 2)


# Going


async def test_who_has_no_chats_signs_out(tmp_path: Path, vendor: LivePerson) -> None:
    async with on_stage(tmp_path, vendor) as stage:
        await online(stage)
    assert len(vendor.took("POST", "*/logout")) == 1
    assert vendor.logins == {}


async def test_who_has_chats_is_away_and_keeps_them(tmp_path: Path, vendor: LivePerson) -> None:
    async with on_stage(tmp_path, vendor) as stage:
        chat = vendor.visitor("hello")
        await stage.until(lambda: chat.lines("agent"))
    assert vendor.took("POST", "*/logout") == []
    assert (vendor.ours.state, chat.holder) == (4, vendor.ours.id)


# Pauses and addresses


def test_the_pauses_are_theirs() -> None:
    assert list(islice(pauses(), 8)) == [5.0, 10.0, 15.0, 120.0, 240.0, 480.0, 480.0, 480.0]


def test_too_many_requests_wait_a_second_at_least_and_what_they_ask_for() -> None:
    waits = pauses()
    for _ in range(5):  # however often: the host works, and ends chats that nobody polls
        assert 1.0 <= pause_after(TemporaryError("x", "y", 429), waits) < 2.0
    assert pause_after(TemporaryError("x", "y", 429, retry_after=30.0), waits) >= 30.0
    assert 4.0 <= pause_after(TemporaryError("x", "y", 503), waits) <= 6.0
    assert pause_after(TemporaryError("x", "y", 503, retry_after=30.0), waits) >= 30.0


def test_a_host_that_is_left_alone_has_not_failed_again() -> None:
    waits = pauses()
    assert [pause_after(NotAsked("x", "y", retry_after=2.0), waits) for _ in range(5)] == [2.0] * 5
    assert next(waits) == 5.0


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ("/availability", "/availability?v=1&NC=true"),
        (
            "https://va-a.liveperson.net/api/account/1/agentSession/2/chat/H1/events?from=4",
            "/chat/H1/events?from=4&v=1&NC=true",
        ),
        (
            "https://va.liveperson.net/api/account/1/agentSession/2/incomingRequests?v=1&NC=true",
            "/incomingRequests?v=1&NC=true",
        ),
    ],
)
def test_an_address_of_any_agent_session_is_asked_in_ours(where: str, path: str) -> None:
    assert below_session(where) == path


# Settings


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"account": None}, "account"),
        ({"account": "le/1"}, "number of the account"),
        ({"password": None}, "app_key: is missing"),
        ({"app_key": "0a1b"}, "password: is there beside app_key"),
        ({"password": None, "app_key": "0a1b"}, "secret: is missing"),
        ({"password": None, "secret": "s"}, "app_key: is missing"),
        ({**APPLICATION, "access_token": "t"}, "access_token_secret"),
        ({"availability": "online"}, "must be one of Online, Occupied"),
        ({"poll": "30s"}, "at most 10s"),
        ({"poll": "often"}, "is not a duration"),
        ({"conversation": "user"}, "must be one of chat, visitor"),
        ({"slots": {"name": "somewhere"}}, "slots.name: must name a place"),
        ({"domain_api": "http://api.example.com"}, "must be an https:// address"),
        ({"pol": "2s"}, "did you mean `poll`"),
        ({"password": "${LIVEPERSON_PASSWORD_OF_NOBODY}"}, "LIVEPERSON_PASSWORD_OF_NOBODY"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(vendor: LivePerson, changes: dict[str, object], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault) as found:
        read_channel(section(vendor, **changes), ChannelSettings)
    assert PASSWORD not in str(found.value)


def test_secrets_do_not_show(vendor: LivePerson) -> None:
    user = read_channel(section(vendor), ChannelSettings)
    application = read_channel(section(vendor, **APPLICATION), ChannelSettings)
    assert PASSWORD not in repr(user)
    assert SECRET not in f"{application!r} {application}"
