"""A host that does not answer is left alone, and asked by one request at a time until it does."""

from __future__ import annotations

import asyncio

import pytest

from rasa_handoff.backends.breaker import Breaker, jittered
from rasa_handoff.backends.http import Http
from rasa_handoff.errors import BackendError, ChatGone, TemporaryError
from rasa_handoff.testing import Wire


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("acme", clock)


def end_with(breaker: Breaker, error: BaseException | None) -> bool:
    """Ask, have it end so; whether the host was asked at all."""
    asked = False
    try:
        with breaker.guarding("ask"):
            asked = True
            if error is not None:
                raise error
    except (BackendError, asyncio.CancelledError):
        pass
    return asked


DOWN = TemporaryError("acme", "ask", detail="ClientConnectorError")


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        assert end_with(breaker, DOWN)


def test_five_failures_in_a_row_close_it(breaker: Breaker) -> None:
    fail(breaker, 5)
    with pytest.raises(TemporaryError, match="not been answering") as refused, breaker.guarding("ask"):
        pass
    assert refused.value.retry_after is not None
    assert refused.value.retry_after > 0


@pytest.mark.parametrize(
    "answer",
    [
        None,
        BackendError("acme", "ask", 400),
        ChatGone("acme", "ask", 410),
        TemporaryError("acme", "ask", 429, retry_after=5.0),
    ],
)
def test_any_answer_of_a_host_that_works_counts_from_the_start(breaker: Breaker, answer: Exception | None) -> None:
    fail(breaker, 4)
    end_with(breaker, answer)
    fail(breaker, 4)
    assert end_with(breaker, None)


def test_one_probe_goes_through_at_a_time(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.time += 2.0
    with breaker.guarding("ask"):
        assert not end_with(breaker, None)
    assert end_with(breaker, None)


def test_a_probe_that_fails_makes_the_pause_longer(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.time += 2.0
    fail(breaker, 1)
    clock.time += 1.5
    assert not end_with(breaker, None)
    clock.time += 1.0
    assert end_with(breaker, None)


def test_many_that_fail_at_the_same_moment_are_one_hiccup(breaker: Breaker, clock: Clock) -> None:
    """Of a hiccup everybody who waits hears at once; a minute without news would lose their users."""
    under_way = [breaker.guarding("ask") for _ in range(64)]
    for each in under_way:
        each.__enter__()
    for each in under_way:
        each.__exit__(TemporaryError, DOWN, None)
    assert not end_with(breaker, None)
    clock.time += 1.3
    assert end_with(breaker, None)


def test_what_was_under_way_before_lets_no_second_probe_through(breaker: Breaker, clock: Clock) -> None:
    late = breaker.guarding("ask")
    late.__enter__()
    fail(breaker, 5)
    clock.time += 2.0
    with breaker.guarding("probe"):
        late.__exit__(TemporaryError, DOWN, None)
        clock.time += 73.0
        assert not end_with(breaker, None)
    assert end_with(breaker, None)


def test_it_is_asked_again_after_about_a_minute_however_long_it_was_down(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    for _ in range(30):
        clock.time += 73.0
        fail(breaker, 1)


def test_a_probe_that_is_cancelled_lets_the_next_one_through(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.time += 2.0
    assert end_with(breaker, asyncio.CancelledError())
    assert end_with(breaker, None)


def test_pauses_are_spread() -> None:
    found = {jittered(10.0) for _ in range(100)}
    assert len(found) > 50
    assert 8.0 <= min(found) <= max(found) <= 12.0


async def test_a_session_leaves_only_the_host_alone_that_fails(
    wire: Wire, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rasa_handoff.backends.http.Breaker", lambda who: Breaker(who, clock))
    http = Http("acme", timeout=20.0, breaker=True)
    with Wire() as other:
        for _ in range(5):
            wire.fail(503)
            with pytest.raises(TemporaryError):
                await http.ask("ask", "GET", wire.url)
        asked = len(wire.asked)
        with pytest.raises(TemporaryError, match="not asked"):
            await http.ask("ask", "GET", wire.url)
        assert len(wire.asked) == asked
        await http.ask("ask", "GET", other.url)
    await http.close()
