"""What waits for a user: on one channel, until they write there."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import Any

import pytest

from rasa_handoff.model import Handoff, Request, Status
from rasa_handoff.store import Store, Tx, handoffs, schema, stream
from rasa_handoff.store.database import at, prepare


async def put(store: Store, text: str, mailbox: str | None, now: float = 1.0) -> None:
    values: dict[str, Any] = {"event": "message", "data": {"text": text}, "now": now, "source": text}
    await store.write(partial(stream.append, sender_id="ann", mailbox=mailbox, **values))


async def waiting(store: Store, mailbox: str) -> list[int]:
    """The numbers of what waits for Ann there."""
    return [each.id for each in await store.read(lambda tx: stream.waiting(tx, "ann", mailbox))]


def insert(tx: Tx, name: str, status: Status = Status.CLOSED, *, settled: bool = True, opened_at: float = 1.0) -> None:
    handoff = Handoff(
        id=name,
        sender_id="ann",
        channel="rest",
        backend="desk",
        status=status,
        opened_at=opened_at,
        settled=settled,
    )
    handoffs.insert(tx, handoff, Request(sender_id="ann", channel="rest"))


async def test_what_waits_on_one_channel_does_not_on_another(store: Store) -> None:
    await put(store, "one", "rest")
    await put(store, "two", "signed_in")
    await put(store, "three", None)
    assert [len(await waiting(store, mailbox)) for mailbox in ("rest", "signed_in", "unknown", "")] == [1, 1, 0, 0]


async def test_what_was_taken_on_one_channel_still_waits_on_another(store: Store) -> None:
    await put(store, "one", "signed_in")
    await put(store, "two", "rest")
    (last,) = await waiting(store, "rest")
    await store.write(lambda tx: stream.taken(tx, "ann", "rest", last))
    assert await waiting(store, "rest") == []
    assert len(await waiting(store, "signed_in")) == 1


async def test_all_of_it_is_in_the_users_stream(store: Store) -> None:
    for number, mailbox in enumerate(("rest", "signed_in", None)):
        await put(store, str(number), mailbox)
    assert len(await store.read(lambda tx: stream.after(tx, "ann", 0))) == 3


@pytest.mark.parametrize("mail", [0, 1, 2])
@pytest.mark.parametrize(
    ("held", "by"),
    [
        ({}, None),
        ({"old": (Status.CLOSED, True)}, None),
        ({"over": (Status.CLOSED, False)}, "over"),
        ({"old": (Status.CLOSED, True), "over": (Status.CLOSED, False), "open": (Status.ACTIVE, False)}, "open"),
    ],
)
async def test_one_look_tells_who_holds_the_conversation_and_whether_something_waits(
    store: Store, held: dict[str, tuple[Status, bool]], by: str | None, mail: int
) -> None:
    for name, (status, settled) in held.items():
        await store.write(partial(insert, name=name, status=status, settled=settled))
    for number in range(mail):
        await put(store, str(number), "rest")
    handoff, waits = await store.read(lambda tx: handoffs.unsettled_and_mail(tx, "ann", "rest"))
    assert (handoff.id if handoff else None, waits) == (by, mail > 0)
    assert await store.read(lambda tx: handoffs.unsettled_and_mail(tx, "ann", "signed_in")) == (handoff, False)
    assert await store.read(lambda tx: handoffs.unsettled_and_mail(tx, "bob", "rest")) == (None, False)


async def test_a_look_costs_the_same_however_many_handoffs_a_user_has_had(tmp_path: Any) -> None:
    store = Store(f"sqlite:///{tmp_path}/handoff.db")
    await store.open()
    for sql in (handoffs._UNSETTLED, handoffs._UNSETTLED_AND_MAIL):
        values = {"sender_id": "ann", "mailbox": "rest"}
        plan = await store.read(lambda tx, sql=sql, values=values: tx.all(f"EXPLAIN QUERY PLAN {sql}", values))
        steps = [row[3] for row in plan if "USING" in row[3]]
        assert {step.split(" INDEX ")[1].split(" ")[0] for step in steps} <= {
            "handoff_unsettled",
            "handoff_stream_waiting",
        }
        assert "handoff_unsettled" in steps[0]
    await store.close()


async def test_what_waited_before_an_upgrade_waits_on_the_channel_of_its_handoff(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = schema.VERSIONS
    monkeypatch.setattr(schema, "VERSIONS", versions[:1])
    with closing(at(database).connect()) as connection:
        prepare(connection)
        connection.begin()
        for name, channel, opened_at in (("one", "signed_in", 1.0), ("two", "rest", 3.0)):
            connection.run(_HANDOFF, {"id": name, "channel": channel, "opened_at": opened_at})
        for number, waits in ((2, 1), (4, 1), (5, 0)):
            connection.run(_ENTRY, {"id": number, "at": float(number), "waits": waits})
        connection.commit()
    monkeypatch.setattr(schema, "VERSIONS", versions)
    store = Store(database)
    await store.open()
    assert (await waiting(store, "signed_in"), await waiting(store, "rest")) == ([2], [4])
    await store.close()


_HANDOFF = (
    "INSERT INTO handoff_handoffs (id, sender_id, channel, backend, status, opened_at, settled, last_seq, "
    "deadlines, notes) VALUES (:id, 'ann', :channel, 'desk', 'closed', :opened_at, 1, 0, '{}', '{}')"
)
_ENTRY = (
    "INSERT INTO handoff_stream (sender_id, id, event, data, at, waiting) "
    "VALUES ('ann', :id, 'message', '{}', :at, :waits)"
)
