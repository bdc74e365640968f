"""Requests for a chat whose answer never came: whose chat it is that there is news of."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from rasa_handoff.backends.unanswered import Unanswered
from rasa_handoff.errors import BackendError, Refused, TemporaryError, Unavailable
from rasa_handoff.model import EndReason, Handoff, Request, Status
from rasa_handoff.store import Store, handoffs

ANN = "ann at acme"


@pytest.fixture
def unanswered(store: Store) -> Unanswered:
    return Unanswered("acme", store, lambda: 1.0)


async def begun(store: Store, name: str = "h1") -> Handoff:
    handoff = Handoff(
        id=name, sender_id="ann", channel="rest", backend="acme", status=Status.REQUESTED, opened_at=1.0, settled=True
    )
    await store.write(lambda tx: handoffs.insert(tx, handoff, Request(sender_id="ann", channel="rest")))
    return handoff


async def ended(store: Store, handoff: Handoff) -> None:
    over = replace(handoff, status=Status.CLOSED, end_reason=EndReason.FAILED)
    await store.write(lambda tx: handoffs.update(tx, over))


async def asked(unanswered: Unanswered, handoff: Handoff, outcome: BaseException | None = None) -> None:
    with suppress(BackendError, KeyboardInterrupt):
        async with unanswered.asking(ANN, handoff):
            if outcome is not None:
                raise outcome


async def left(store: Store, unanswered: Unanswered, who: str = ANN) -> str | None:
    found = await store.read(lambda tx: unanswered.left(tx, who))
    return found.id if found else None


@pytest.mark.parametrize(
    "outcome",
    [
        TemporaryError("acme", "open a chat", 503),
        TemporaryError("acme", "open a chat", 429),
        BackendError("acme", "open a chat", 200, "an answer that cannot be read"),
        BackendError("acme", "open a chat"),
        KeyboardInterrupt(),
    ],
)
async def test_without_an_answer_there_may_be_a_chat(
    store: Store, unanswered: Unanswered, outcome: BaseException
) -> None:
    handoff = await begun(store)
    await asked(unanswered, handoff, outcome)
    await ended(store, handoff)
    assert await left(store, unanswered) == "h1"
    assert await left(store, unanswered, "bob at acme") is None
    assert await left(store, Unanswered("other", store, lambda: 1.0)) is None


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        BackendError("acme", "open a chat", 400),
        Refused("acme", "open a chat", 200),
        Unavailable("acme", "open a chat"),
    ],
)
async def test_with_an_answer_there_is_nothing_left(
    store: Store, unanswered: Unanswered, outcome: BaseException | None
) -> None:
    handoff = await begun(store)
    await asked(unanswered, handoff, outcome)
    await ended(store, handoff)
    assert await left(store, unanswered) is None


async def test_while_somebody_waits_for_it_nothing_is_left(store: Store, unanswered: Unanswered) -> None:
    handoff = await begun(store)
    async with unanswered.asking(ANN, handoff):
        assert await left(store, unanswered) is None


async def test_a_handoff_that_went_elsewhere_waits_for_it_no_more(store: Store, unanswered: Unanswered) -> None:
    handoff = await begun(store)
    await asked(unanswered, handoff, TemporaryError("acme", "open a chat"))
    elsewhere = replace(handoff, backend="desk", chat_id="d1", status=Status.ACTIVE)
    await store.write(lambda tx: handoffs.update(tx, elsewhere))
    assert await left(store, unanswered) == "h1"


async def test_each_request_is_left_once(store: Store, unanswered: Unanswered) -> None:
    for name in ("h1", "h2"):
        handoff = await begun(store, name)
        await asked(unanswered, handoff, TemporaryError("acme", "open a chat"))
        await ended(store, handoff)
    await asked(unanswered, await begun(store, "h3"))
    for name in ("h1", "h2"):
        assert await left(store, unanswered) == name
        known = await store.read(lambda tx, name=name: handoffs.get(tx, name))  # type: ignore[misc]
        await store.write(lambda tx, known=known: unanswered.settle(tx, ANN, known))  # type: ignore[misc]
    assert await left(store, unanswered) is None
    assert await store.read(lambda tx: tx.all("SELECT name FROM handoff_kept", {})) == []
