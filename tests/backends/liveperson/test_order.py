"""Messages that come at the same moment pass in their order; nobody waits long for one that does not come."""

from __future__ import annotations

import asyncio
import random
import time

from rasa_handoff.backends.liveperson.order import Order


async def _pass(order: Order, number: int, passed: list[int]) -> None:
    await order.turn("d", number)
    passed.append(number)
    order.passed("d", number)


async def test_what_comes_in_any_order_passes_in_its_own() -> None:
    order, passed = Order(wait=5.0), []
    order.begin("d")
    numbers = list(range(20))
    random.Random(7).shuffle(numbers)
    await asyncio.gather(*(_pass(order, number, passed) for number in numbers))
    assert passed == list(range(20))


async def test_a_number_that_does_not_come_is_waited_for_once_and_not_long() -> None:
    order, passed = Order(wait=0.1), []
    order.begin("d")
    began = time.monotonic()
    await _pass(order, 5, passed)
    assert time.monotonic() - began >= 0.09
    for number in (6, 7, 8):
        await _pass(order, number, passed)
    assert time.monotonic() - began < 0.2
    assert passed == [5, 6, 7, 8]


async def test_what_is_late_or_comes_again_does_not_wait() -> None:
    order, passed = Order(wait=5.0), []
    order.begin("d")
    for number in (0, 1, 0, 1, 2):
        await asyncio.wait_for(_pass(order, number, passed), 1.0)
    assert passed == [0, 1, 0, 1, 2]


async def test_a_dialog_that_nobody_saw_begin_is_taken_as_it_comes() -> None:
    order, passed = Order(wait=5.0), []
    await asyncio.wait_for(_pass(order, 41, passed), 1.0)
    await asyncio.wait_for(_pass(order, 42, passed), 1.0)
    assert passed == [41, 42]


async def test_dialogs_do_not_wait_for_each_other() -> None:
    order = Order(wait=5.0)
    order.begin("d")
    order.begin("e")
    waiting = asyncio.create_task(order.turn("d", 3))
    await asyncio.wait_for(order.turn("e", 0), 1.0)
    waiting.cancel()
