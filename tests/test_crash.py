"""Nothing is lost, nothing comes twice, nothing overtakes: a server killed at work, and one that forgets."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.book import Book, Entry, Lane, judge
from tests.crash.outside import Outside

SEED = 20_261_120
pytestmark = [pytest.mark.processes, pytest.mark.slow]


async def test_what_was_acknowledged_arrives_in_order_through_twelve_kills(tmp_path: Path) -> None:
    outside = Outside("tests.crash.server", tmp_path, conversations=50, messages=60, kills=12, seed=SEED)
    book = await outside.run(seconds=500)
    assert (len(book.acks), book.kills) == (6000, 12)
    assert book.mistaken > 100
    verdict = judge(book)
    assert (verdict.lost, verdict.unexpected, verdict.overtaken, verdict.renamed) == ([], [], [], [])
    assert verdict.duplicates <= verdict.bound
    require_once_in_store(tmp_path / "handoff.db", book.acks)


def require_once_in_store(path: Path, acks: Iterable[Entry]) -> None:
    """Each message is in the database once, and was delivered once by its account."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        texts = [json.loads(row[0])["text"] for row in connection.execute("SELECT body FROM handoff_messages")]
        rows = connection.execute("SELECT message_id, state FROM handoff_deliveries WHERE kind = 'message'").fetchall()
        open_ = connection.execute("SELECT count(*) FROM handoff_handoffs WHERE status <> 'closed'").fetchone()
    assert Counter(texts) == Counter(entry.id for entry in acks)
    assert len({message_id for message_id, _ in rows}) == len(rows) == len(texts)
    assert {state for _, state in rows} == {"done"}
    assert open_ == (50,)


async def test_a_server_that_acknowledges_first_and_sends_later_is_caught(tmp_path: Path) -> None:
    """The same test with a server that must fail it: a judge that never finds anything proves nothing."""
    outside = Outside("tests.crash.forgetful", tmp_path, conversations=50, messages=20, kills=4, seed=SEED)
    book = await outside.run(seconds=500)
    assert len(book.acks) == 2000
    assert judge(book).lost


class TestJudge:
    """The judge alone, on books that are written by hand."""

    lane = Lane("agent", "ann")
    good = Book(
        attempts=[Entry(lane, "1"), Entry(lane, "2"), Entry(lane, "3")],
        acks=[Entry(lane, "1"), Entry(lane, "2")],
        deliveries=[Entry(lane, "1", "a"), Entry(lane, "2", "b"), Entry(lane, "2", "b"), Entry(lane, "3", "c")],
    )

    def test_it_finds_nothing_where_there_is_nothing(self) -> None:
        verdict = judge(self.good)
        assert (verdict.lost, verdict.unexpected, verdict.overtaken, verdict.renamed) == ([], [], [], [])
        assert (verdict.duplicates, verdict.bound) == (1, 0)

    def test_it_finds_what_is_lost(self) -> None:
        verdict = judge(replace(self.good, deliveries=self.good.deliveries[1:]))
        assert verdict.lost == [Entry(self.lane, "1")]

    def test_it_finds_what_nobody_sent(self) -> None:
        verdict = judge(replace(self.good, deliveries=[*self.good.deliveries, Entry(self.lane, "4", "d")]))
        assert verdict.unexpected == [Entry(self.lane, "4", "d")]

    def test_it_finds_what_overtook(self) -> None:
        verdict = judge(replace(self.good, deliveries=self.good.deliveries[1:2] + self.good.deliveries))
        assert verdict.overtaken == [self.lane]

    def test_it_finds_a_repeat_that_nobody_can_know(self) -> None:
        verdict = judge(replace(self.good, deliveries=[*self.good.deliveries, Entry(self.lane, "1", "z")]))
        assert verdict.renamed == [Entry(self.lane, "1", "z")]
