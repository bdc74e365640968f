"""What is kept of a user: all of it can be had, and none of it stays where it is erased."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from rasa.core.channels.channel import UserMessage
from rasa.core.channels.mattermost import MattermostBot, MattermostInput

from rasa_handoff.backends.base import Opened
from rasa_handoff.channels.addresses import Addresses
from rasa_handoff.channels.base import Around
from rasa_handoff.channels.mattermost import Mattermost
from rasa_handoff.errors import Conflict, TemporaryError
from rasa_handoff.events import AgentJoined, AgentMessage, Closed
from rasa_handoff.model import Attachment, EndReason, Handoff, Line, Person, Status, new_id
from rasa_handoff.store import Store, Tx, files, handoffs, kept, retention, schema, stream, users
from rasa_handoff.store.files import KeptFile
from tests.stage import Stage, Time

BO = Person(name="Bo", id="bo")
SECRET = "the user's own words"  #: or an agent's about them
OTHERS = "what somebody else said"


def tables() -> dict[str, set[str]]:
    """The columns of each table, as the schema makes them."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE handoff_schema (version INTEGER NOT NULL)")
        schema.upgrade(lambda sql, values=None: database.execute(sql, values or {}), 0)
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: {row[1] for row in database.execute(f"PRAGMA table_info({name})")} for name in names}


def test_every_table_is_of_a_user_or_of_nobody() -> None:
    assert {place.table for place in users.PLACES.values()} | users.OF_NOBODY == set(tables())


@pytest.mark.parametrize("name", users.PLACES)
def test_an_export_has_every_column(name: str) -> None:
    place = users.PLACES[name]
    assert set(place.columns.split(", ")) == tables()[place.table]


async def talk(stage: Stage, sender_id: str, words: str) -> Handoff:
    """A whole conversation with an agent, with everything that can be in one."""
    handoff = await stage.request(
        sender_id,
        transcript=(Line(who="user", text=f"{words} before"),),
        parameters={"name": f"{words} in a slot"},
        last_message=f"{words} at last",
        metadata={"from": f"{words} in metadata"},
    )
    await stage.happen(AgentJoined(chat_id=handoff.id, event_id=f"{sender_id} joined", agent=BO))
    await stage.say(f"{words} to an agent", sender_id, external_id=f"{words} as an id")
    file = Attachment(url=f"https://files.test/{words}", name=words)
    await stage.happen(
        AgentMessage(chat_id=handoff.id, event_id=f"{sender_id} said", text=f"{words} of an agent", attachments=(file,))
    )
    await stage.runtime.store.write(partial(keep, handoff=handoff, words=words, now=stage.now()))
    return handoff


def keep(tx: Tx, handoff: Handoff, words: str, now: float) -> None:
    """What the desk, a user's page, a channel and an agent system write beside the switchboard."""
    sender_id = handoff.sender_id
    tx.run(
        "INSERT INTO handoff_desk_chats (id, number, sender_id, channel, state, opened_at, last_text, last_at, "
        "unanswered, end_of_chat, callback) VALUES (:id, 1, :sender_id, 'handoff', 'closed', :at, :text, :at, 0, "
        ":note, :callback)",
        {
            **{"id": handoff.id, "sender_id": sender_id, "at": now, "text": f"{words} in short"},
            **{"note": json.dumps({"note": f"{words} in a note"}), "callback": json.dumps({"phone": f"{words} 0800"})},
        },
    )
    tx.run(
        "INSERT INTO handoff_desk_messages (id, chat_id, at, who, state, body) "
        "VALUES (:id, :chat_id, :at, 'user', 'sent', :body)",
        {"id": new_id(), "chat_id": handoff.id, "at": now, "body": json.dumps({"text": f"{words} at the desk"})},
    )
    stream.append(tx, sender_id, "message", {"text": f"{words} on a page"}, now, new_id(), mailbox="rest")
    file = KeptFile(
        id=new_id(), handoff_id=handoff.id, who="user", kind="file", name=f"{words} as a name", mime="text/plain"
    )
    files.begin(tx, file, now)
    files.add(tx, file.id, 0, f"{words} in a file".encode(), now)
    files.finish(tx, file.id, now)
    kept.put(tx, "channel:slack", sender_id, {"room": f"{words} as an address"}, now, sender_id)
    kept.put(tx, "acme user", f"{words} as an alias", {"sender_id": sender_id}, now, sender_id)


async def ended(stage: Stage, sender_id: str, words: str) -> Handoff:
    handoff = await talk(stage, sender_id, words)
    await stage.happen(Closed(chat_id=handoff.id))
    await stage.runtime.switchboard.settled(handoff)
    return handoff


async def rows(store: Store, sender_id: str) -> dict[str, int]:
    """How many rows there are of a user, by an export's names."""

    def count(tx: Tx) -> dict[str, int]:
        found = {}
        for name, place in users.PLACES.items():
            row = tx.one(f"SELECT count(*) FROM {place.table} WHERE {place.where}", {"sender_id": sender_id})
            found[name] = row[0] if row else 0
        return found

    return await store.read(count)


async def everything(store: Store) -> str:
    """All that is in any table, as text."""

    def dump(tx: Tx) -> str:
        rows = [row for name in sorted(tables()) for row in tx.all(f"SELECT * FROM {name}", {})]
        return "\n".join(str([bytes(each) if isinstance(each, memoryview) else each for each in row]) for row in rows)

    return await store.read(dump)


class TestExport:
    async def test_has_all_that_was_said_and_is_known(self, stage: Stage) -> None:
        handoff = await ended(stage, "ann", SECRET)
        await ended(stage, "bob", OTHERS)
        found = await stage.runtime.store.read(lambda tx: users.export(tx, "ann"))
        told = json.dumps(found)
        for place in (
            *("before", "in a slot", "at last", "in metadata", "to an agent", "as an id", "of an agent", "in short"),
            *("in a note", "0800", "at the desk", "on a page", "as an address", "as an alias", "as a name"),
        ):
            assert f"{SECRET} {place}" in told
        assert f"https://files.test/{SECRET}" in told
        assert OTHERS not in told
        assert [each["id"] for each in found["handoffs"]] == [handoff.id]
        (file,) = found["handoffs"][0]["files"]
        assert (file["who"], file["mime"], file["size"]) == ("user", "text/plain", len(f"{SECRET} in a file"))

    async def test_is_of_names_and_values_and_not_of_texts_in_texts(self, stage: Stage) -> None:
        await ended(stage, "ann", SECRET)
        found = await stage.runtime.store.read(lambda tx: users.export(tx, "ann"))
        (handoff,) = found["handoffs"]
        assert handoff["agent"]["name"] == "Bo"
        assert handoff["request"]["parameters"] == {"name": f"{SECRET} in a slot"}
        assert [(each["who"], each["text"]) for each in handoff["messages"]] == [
            ("user", f"{SECRET} to an agent"),
            ("agent", f"{SECRET} of an agent"),
        ]
        assert handoff["messages"][1]["attachments"][0]["name"] == SECRET
        assert found["desk_chats"][0]["messages"][0]["body"] == {"text": f"{SECRET} at the desk"}
        assert found["stream"][0]["data"]["text"] == f"{SECRET} on a page"

    async def test_of_somebody_unknown_is_empty(self, store: Store) -> None:
        found = await store.read(lambda tx: users.export(tx, "nobody"))
        assert found.pop("sender_id") == "nobody"
        assert set(map(len, found.values())) == {0}


class TestErasing:
    async def test_deletes_all_of_the_user_and_nothing_of_others(self, stage: Stage) -> None:
        """Their words are nowhere, in whatever table or column."""
        await ended(stage, "ann", SECRET)
        await ended(stage, "ann", SECRET + " again")
        await ended(stage, "bob", OTHERS)
        before = await rows(stage.runtime.store, "bob")
        assert all(before.values()), "each kind of thing is tried"
        erasure = await stage.runtime.eraser.erase("ann")
        assert all(erasure.rows.values())
        assert erasure.rows["handoffs"] == 2
        left = await everything(stage.runtime.store)
        assert SECRET not in left
        assert "ann" not in re.findall(r"\w+", left)
        assert await rows(stage.runtime.store, "bob") == before

    async def test_says_which_chats_others_have(self, stage: Stage) -> None:
        """Not those of the desk, which are erased."""
        await ended(stage, "ann", SECRET)
        stage.agents.answer = lambda handoff: Opened(chat_id="17")
        handoff = await stage.request("ann")
        await stage.runtime.switchboard.close(EndReason.BOT_RESUMED, handoff_id=handoff.id)
        await stage.runtime.switchboard.settled(handoff)
        erasure = await stage.runtime.eraser.erase("ann")
        assert [(chat.backend, chat.chat_id) for chat in erasure.elsewhere] == [("desk", "17")]

    async def test_a_second_time_does_no_harm(self, stage: Stage) -> None:
        await ended(stage, "ann", SECRET)
        await stage.runtime.eraser.erase("ann")
        assert not any((await stage.runtime.eraser.erase("ann")).rows.values())

    async def test_the_log_does_not_say_who_it_was(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        await ended(stage, "ann-0800", SECRET)
        caplog.clear()
        caplog.set_level("DEBUG")
        await stage.runtime.eraser.erase("ann-0800")
        assert "users.erased" in caplog.text
        assert "ann-0800" not in caplog.text


async def tell_the_bot(stage: Stage, handoff: Handoff) -> None:
    """What Rasa's side does when a handoff is over."""
    await stage.until(lambda: "settle" in stage.kinds_to_user())
    await stage.runtime.switchboard.settled(handoff)


class TestErasingWhileSomethingIsOpen:
    async def test_is_refused_while_the_user_is_with_an_agent(self, stage: Stage) -> None:
        await talk(stage, "ann", SECRET)
        before = await rows(stage.runtime.store, "ann")
        with pytest.raises(Conflict) as refused:
            await stage.runtime.eraser.erase("ann")
        assert refused.value.code == "open"
        assert await rows(stage.runtime.store, "ann") == before

    async def test_can_end_the_handoff_first(self, stage: Stage) -> None:
        """The agent system and the bot hear of the end before all is forgotten."""
        handoff = await talk(stage, "ann", SECRET)
        told = asyncio.create_task(tell_the_bot(stage, handoff))
        erasure = await stage.runtime.eraser.erase("ann", close=True)
        await told
        assert stage.agents.closed == [EndReason.BOT_RESUMED]
        assert (erasure.rows["handoffs"], erasure.undelivered) == (1, 0)
        assert SECRET not in await everything(stage.runtime.store)

    async def test_waits_for_the_answer_of_an_agent_system_that_is_being_asked(self, stage: Stage) -> None:
        """Else it would open a chat with somebody of whom nobody knows any more."""
        asked, answers = asyncio.Event(), asyncio.Event()

        async def slowly(handoff: Handoff) -> Opened:
            asked.set()
            await answers.wait()
            return Opened(chat_id=handoff.id)

        stage.agents.answer = slowly
        opening = asyncio.create_task(stage.request("ann"))
        await asked.wait()
        erasing = asyncio.create_task(stage.runtime.eraser.erase("ann", close=True))
        await asyncio.sleep(0.2)
        assert (await rows(stage.runtime.store, "ann"))["handoffs"] == 1
        answers.set()
        await tell_the_bot(stage, await opening)
        await erasing
        assert stage.agents.closed == [EndReason.BOT_RESUMED]
        assert not any((await rows(stage.runtime.store, "ann")).values())

    async def test_an_answer_that_comes_after_all_opens_nothing(self, stage: Stage) -> None:
        """The chat is ended there again, and the user is in none."""
        asked, answers = asyncio.Event(), asyncio.Event()

        async def slowly(handoff: Handoff) -> Opened:
            asked.set()
            await answers.wait()
            return Opened(chat_id=handoff.id)

        stage.agents.answer = slowly
        opening = asyncio.create_task(stage.request("ann"))
        await asked.wait()
        await stage.runtime.switchboard.close(EndReason.BOT_RESUMED, sender_id="ann")
        await stage.runtime.eraser.erase("ann")
        answers.set()
        assert (await opening).status is Status.CLOSED
        await stage.until(lambda: stage.agents.closed)
        assert await stage.handoff("ann") is None
        assert "state" not in stage.kinds_to_user()

        async def nothing_is_left() -> bool:
            return not await stage.runtime.store.read(lambda tx: tx.all("SELECT id FROM handoff_deliveries", {}))

        await stage.until(nothing_is_left)

    async def test_is_refused_until_the_bot_knows_of_the_end(self, stage: Stage) -> None:
        """Else it would stay silent for ever."""
        stage.runtime.eraser._waits = 0.0
        handoff = await talk(stage, "ann", SECRET)
        await stage.happen(Closed(chat_id=handoff.id))
        with pytest.raises(Conflict) as refused:
            await stage.runtime.eraser.erase("ann")
        assert refused.value.code == "settling"
        await stage.runtime.switchboard.settled(handoff)
        assert (await stage.runtime.eraser.erase("ann")).rows["handoffs"] == 1

    async def test_what_cannot_be_delivered_is_not_waited_for(self, stage: Stage) -> None:
        """It is deleted, and never sent."""
        stage.runtime.eraser._waits = 0.0
        handoff = await stage.request("ann")
        await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))
        stage.agents.trouble = [TemporaryError("desk", "bring a message")] * 100
        await stage.say(SECRET)
        await stage.until(lambda: len(stage.agents.trouble) < 100)
        await stage.happen(Closed(chat_id=handoff.id))
        await stage.runtime.switchboard.settled(handoff)
        erasure = await stage.runtime.eraser.erase("ann")
        assert erasure.undelivered >= 1
        stage.agents.trouble = []
        assert stage.runtime.outbox._lanes == {}
        await stage.request("bob")
        await stage.say(OTHERS, "bob")
        await stage.until(lambda: stage.agents.got)
        assert [message.text for message in stage.agents.got] == [OTHERS]


class TestWhatIsInMemory:
    async def test_a_page_is_told_to_look_again(self, stage: Stage) -> None:
        page = stage.runtime.hub.listen("user:ann")
        other = stage.runtime.hub.listen("user:bob")
        await stage.runtime.eraser.erase("ann")
        assert (page.ended, other.ended) == (True, False)

    async def test_how_to_reach_a_user_is_kept_anew_when_they_write_again(self, stage: Stage) -> None:
        around = Around(store=stage.runtime.store, now=stage.now)
        channel = Mattermost(MattermostInput("https://chat.test", "token", "hook"), around)
        addresses = Addresses(stage.runtime.store, stage.now)
        message = UserMessage("hi", MattermostBot("https://chat.test", "token", "room", "hook"), "ann")

        async def write() -> None:
            keeping = addresses.keep(channel, message)
            if keeping is not None:
                await keeping

        await write()
        await stage.runtime.eraser.erase("ann")
        assert await addresses.find(channel, "ann") is None
        await write()
        assert await addresses.find(channel, "ann") == {"channel": "room"}


def bytes_of(folder: Path) -> bytes:
    """All that is in the database's files, its log too."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("handoff.db*")))


class TestOnTheDisk:
    """SQLite's file, looked at as bytes."""

    @pytest_asyncio.fixture
    async def stage(self, tmp_path: Path, time: Time) -> AsyncIterator[Stage]:
        stage = Stage(f"sqlite:///{tmp_path}/handoff.db", tmp_path, time)
        await stage.up()
        yield stage
        await stage.down()

    async def test_nothing_is_left_in_the_file_or_its_log(self, stage: Stage, tmp_path: Path) -> None:
        for number in range(60):  # many pages, which are split and joined, and long texts that need several
            long = f"{SECRET} {number} " * (200 if number % 10 == 0 else 1)
            await ended(stage, "ann", long)
            await ended(stage, f"bob-{number % 7}", f"{OTHERS} {number}")
        assert SECRET.encode() in bytes_of(tmp_path)
        erasure = await stage.runtime.eraser.erase("ann")
        assert erasure.overwritten
        left = bytes_of(tmp_path)
        assert SECRET.encode() not in left
        assert b"ann" not in re.findall(rb"\w+", left)
        assert OTHERS.encode() in left

    async def test_what_was_deleted_without_being_overwritten_goes_too(self, stage: Stage, tmp_path: Path) -> None:
        """By another program, say; or one of the copies that SQLite leaves behind where it splits a page."""
        with closing(sqlite3.connect(tmp_path / "handoff.db")) as shell:
            shell.execute("PRAGMA secure_delete = OFF")
            shell.execute("CREATE TABLE notes (text TEXT)")
            shell.executemany("INSERT INTO notes VALUES (?)", [(SECRET * 100,)] * 100)
            shell.commit()
            shell.execute("DROP TABLE notes")
            shell.commit()
        assert SECRET.encode() in bytes_of(tmp_path)
        assert await stage.runtime.store.scrub()
        assert SECRET.encode() not in bytes_of(tmp_path)

    async def test_what_is_written_meanwhile_waits_and_stays(self, stage: Stage) -> None:
        await ended(stage, "ann", SECRET)
        writing = [stage.request(f"carl-{number}") for number in range(20)]
        _, *opened = await asyncio.gather(stage.runtime.eraser.erase("ann"), *writing)
        assert {handoff.status for handoff in opened} == {Status.QUEUED}
        assert len(await stage.runtime.store.read(handoffs.all_open)) == 20

    async def test_many_at_once_do_not_each_have_the_file_written_anew(self, stage: Stage, tmp_path: Path) -> None:
        names = [f"ann-{number}" for number in range(8)]
        for name in names:
            await ended(stage, name, SECRET)
        await stage.notices()  # nothing is on its way that one of them would be waited for

        async def times() -> int:
            """How often it was, and some: SQLite counts that with the changes of its tables."""
            row = await stage.runtime.store.read(lambda tx: tx.one("PRAGMA schema_version", {}))
            assert row is not None
            return int(row[0])

        before = await times()
        erasures = await asyncio.gather(*(stage.runtime.eraser.erase(name) for name in names))
        assert all(erasure.overwritten for erasure in erasures)
        assert SECRET.encode() not in bytes_of(tmp_path)
        assert 0 < await times() - before < len(names)

    async def test_another_program_that_reads_keeps_the_log(
        self, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Then it says so, and the next time does the rest."""
        monkeypatch.setattr("rasa_handoff.store.database._WAIT_FOR_FILE", 50)
        await ended(stage, "ann", SECRET)
        with closing(sqlite3.connect(tmp_path / "handoff.db", isolation_level=None)) as backup:
            backup.execute("BEGIN")
            backup.execute("SELECT count(*) FROM handoff_handoffs").fetchone()
            assert not (await stage.runtime.eraser.erase("ann")).overwritten
        assert (await stage.runtime.eraser.erase("ann")).overwritten
        assert SECRET.encode() not in bytes_of(tmp_path)

    async def test_a_file_that_cannot_be_written_anew_is_no_reason_not_to_delete(
        self, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rasa_handoff.store.database._WAIT_FOR_FILE", 50)
        await ended(stage, "ann", SECRET)
        with closing(sqlite3.connect(tmp_path / "handoff.db", isolation_level=None)) as shell:
            stage.runtime.store.subscribe(users.Erased, lambda erased: shell.execute("BEGIN IMMEDIATE"))
            erasure = await stage.runtime.eraser.erase("ann")
        assert (erasure.rows["handoffs"], erasure.overwritten) == (1, False)
        assert not any((await rows(stage.runtime.store, "ann")).values())
        assert (await stage.request("bob")).status is Status.QUEUED


async def test_retention_deletes_the_chat_of_a_desk_that_answered_too_late(stage: Stage) -> None:
    """Another agent system took the conversation, which has another name there."""
    await ended(stage, "ann", SECRET)
    store, now = stage.runtime.store, stage.now()
    await store.write(lambda tx: tx.run("UPDATE handoff_handoffs SET backend = 'acme', chat_id = '17'", {}))
    await store.write(lambda tx: retention.delete_old(tx, now + 1))
    left = await rows(store, "ann")
    assert (left["handoffs"], left["desk_chats"], left["desk_messages"]) == (0, 0, 0)
    assert f"{SECRET} at the desk" not in await everything(store)


class TestSeveralProcesses:
    """On one PostgreSQL database: any of them erases, and all forget."""

    @pytest_asyncio.fixture
    async def two(self, new_database: str, tmp_path: Path) -> AsyncIterator[tuple[Stage, Stage]]:
        stages = []
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            stages.append(Stage(new_database, tmp_path / name, Time()))
            await stages[-1].up()
        yield stages[0], stages[1]
        for stage in stages:
            await stage.down()

    async def test_one_erases_what_another_is_about_to_send(self, two: tuple[Stage, Stage]) -> None:
        one, other = two
        other.runtime.eraser._waits = 0.0
        handoff = await one.request("ann")
        await one.happen(AgentJoined(chat_id=handoff.id, agent=BO))
        one.agents.trouble = [TemporaryError("desk", "bring a message")] * 100
        await other.say(SECRET)
        await one.until(lambda: len(one.agents.trouble) < 100)
        await one.happen(Closed(chat_id=handoff.id))
        await one.runtime.switchboard.settled(handoff)
        page = one.runtime.hub.listen("user:ann")
        erasure = await other.runtime.eraser.erase("ann")
        assert erasure.undelivered >= 1
        await one.until(lambda: page.ended)
        assert one.runtime.outbox._lanes == {}
        assert SECRET not in await everything(one.runtime.store)

    async def test_one_ends_the_handoff_of_another(self, two: tuple[Stage, Stage]) -> None:
        """Whose process it is, its agent system hears of the end."""
        one, other = two
        handoff = await talk(one, "ann", SECRET)
        told = asyncio.create_task(tell_the_bot(one, handoff))
        erasure = await other.runtime.eraser.erase("ann", close=True)
        await told
        assert (erasure.rows["handoffs"], erasure.undelivered) == (1, 0)
        assert (one.agents.closed, other.agents.closed) == ([EndReason.BOT_RESUMED], [])
        assert SECRET not in await everything(one.runtime.store)
