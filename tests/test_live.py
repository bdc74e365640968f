"""Who is listening right now: streams, slow ones, and the end of the server."""

from __future__ import annotations

import asyncio

import pytest

from rasa_handoff.live import Hub, Listener

SOON = 0.05


@pytest.fixture
def hub() -> Hub:
    return Hub()


async def all_of(listener: Listener) -> list[object]:
    """What *listener* gets until it is ended."""
    got = []
    while (item := await listener.get(SOON)) is not None:
        got.append(item)
    return got


async def test_everybody_who_listens_hears_it_in_order(hub: Hub) -> None:
    one, two = hub.listen("user:ann"), hub.listen("user:ann")
    for number in range(1, 4):
        hub.tell("user:ann", number)
    hub.end_all()
    assert await all_of(one) == await all_of(two) == [1, 2, 3]


async def test_nobody_hears_what_is_told_to_others(hub: Hub) -> None:
    ann = hub.listen("user:ann")
    hub.tell("user:bea", "for Bea")
    with pytest.raises(asyncio.TimeoutError):
        await ann.get(SOON)


async def test_who_left_hears_nothing_and_leaves_nothing_behind(hub: Hub) -> None:
    one, two = hub.listen("user:ann"), hub.listen("user:ann")
    assert hub.count("user:ann") == 2
    hub.leave("user:ann", one)
    hub.tell("user:ann", "hello")
    assert await two.get(SOON) == "hello"
    hub.leave("user:ann", two)
    hub.leave("user:ann", two)
    assert hub.count("user:ann") == 0
    assert not hub._listeners
    with pytest.raises(asyncio.TimeoutError):
        await one.get(SOON)


async def test_a_listener_that_lags_too_far_behind_is_ended_and_the_others_go_on(hub: Hub) -> None:
    slow, quick = hub.listen("user:ann"), hub.listen("user:ann")
    for number in range(1, 1502):
        hub.tell("user:ann", number)
        assert await quick.get(SOON) == number
    assert slow.ended
    assert await all_of(slow) == list(range(1, 1001))  # in order, and then the end: it catches up from the store
    assert not quick.ended


async def test_the_end_is_the_end_however_often_one_asks() -> None:
    listener = Listener()
    listener.put("before")
    listener.end()
    listener.end()
    listener.put("after")
    assert await listener.get(SOON) == "before"
    assert await listener.get(SOON) is None
    assert await listener.get(SOON) is None


async def test_one_who_waits_is_woken_by_the_end(hub: Hub) -> None:
    waiting = asyncio.create_task(hub.listen("user:ann").get(10))
    await asyncio.sleep(0)
    hub.end_all()
    assert await asyncio.wait_for(waiting, 20) is None
