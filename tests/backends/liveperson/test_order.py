"""Messages that come at the same moment pass in their order; nobody waits long for one that does not come."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from rasa_handoff.backends.liveperson.order import Order


async def _pass(order: Order, number: int, passed: list[int]) -> None:
    await order.turn("d", number)
    passed.append(number)
    order.passed("d", number)


def is_done_at_once(work: Coroutine[Any, Any, None]) -> bool:
    """Take *work* as far as it goes without waiting for anything."""
    try:
        work.send(None)
    except StopIteration:
        return True
    work.close()
    return False


async def test_what_comes_in_any_order_passes_in_its_own() -> None:
    order, passed = Order(wait=60.0), []
    order.begin("d")
    numbers = list(range(20))
    random.Random(7).shuffle(numbers)
    await asyncio.gather(*(_pass(order, number, passed) for number in numbers))
    assert passed == list(range(20))


async def test_a_number_that_does_not_come_is_waited_for_once_and_not_long() -> None:
    order, passed = Order(wait=0.1), []
    order.begin("d")
    loop = asyncio.get_running_loop()
    began = loop.time()
    await _pass(order, 5, passed)
    assert loop.time() - began >= 0.09  # with what a clock leaves out
    assert all(is_done_at_once(_pass(order, number, passed)) for number in (6, 7, 8))
    assert passed == [5, 6, 7, 8]


async def test_what_is_late_or_comes_again_does_not_wait() -> None:
    order, passed = Order(wait=5.0), []
    order.begin("d")
    for number in (0, 1, 0, 1, 2):
        assert is_done_at_once(_pass(order, number, passed))
    assert passed == [0, 1, 0, 1, 2]


async def test_a_dialog_that_nobody_saw_begin_is_taken_as_it_comes() -> None:
    order, passed = Order(wait=5.0), []
    assert is_done_at_once(_pass(order, 41, passed))
    assert is_done_at_once(_pass(order, 42, passed))
    assert passed == [41, 42]


async def test_dialogs_do_not_wait_for_each_other() -> None:
    order = Order(wait=5.0)
    order.begin("d")
    order.begin("e")
    waiting = asyncio.create_task(order.turn("d", 3))
    await asyncio.sleep(0)
    assert is_done_at_once(order.turn("e", 0))
    waiting.cancel()
