"""A token: kept, replaced in time, fetched once however many wait."""

from __future__ import annotations

import asyncio

import pytest

from rasa_handoff.backends.tokens import Token
from rasa_handoff.errors import TemporaryError


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class Provider:
    """Gives token-1, token-2, … each good for *seconds*."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.given = 0
        self.error: Exception | None = None

    async def __call__(self) -> tuple[str, float]:
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        self.given += 1
        return f"token-{self.given}", self.seconds


@pytest.mark.parametrize(("seconds", "good_for"), [(3600.0, 3570.0), (100.0, 90.0)])
async def test_it_is_kept_until_shortly_before_its_end(seconds: float, good_for: float) -> None:
    clock, provider = Clock(), Provider(seconds)
    token = Token(provider, clock, spread=0.0)
    assert await token.get() == "token-1"
    clock.time += good_for - 1
    assert await token.get() == "token-1"
    clock.time += 2
    assert await token.get() == "token-2"


async def test_one_without_an_end_is_kept() -> None:
    clock, provider = Clock(), Provider(float("inf"))
    token = Token(provider, clock)
    await token.get()
    clock.time += 1e9
    assert await token.get() == "token-1"


async def test_it_is_fetched_once_however_many_wait() -> None:
    token = Token(provider := Provider(3600.0))
    assert set(await asyncio.gather(*(token.get() for _ in range(50)))) == {"token-1"}
    refused = await asyncio.gather(*(token.get(instead_of="token-1") for _ in range(50)))
    assert (set(refused), provider.given) == ({"token-2"}, 2)


async def test_a_refused_one_that_was_replaced_since_is_not_fetched_again() -> None:
    token = Token(provider := Provider(3600.0))
    await token.get()
    await token.get(instead_of="token-1")
    assert await token.get(instead_of="token-1") == "token-2"
    assert provider.given == 2


async def test_who_waits_may_leave_and_the_others_get_it() -> None:
    token = Token(Provider(3600.0))
    first, second = asyncio.create_task(token.get()), asyncio.create_task(token.get())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "token-1"


async def test_a_failure_goes_to_all_who_wait_and_the_next_tries_again() -> None:
    token = Token(provider := Provider(3600.0))
    provider.error = TemporaryError("acme", "get a token", 503)
    found = await asyncio.gather(*(token.get() for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [TemporaryError] * 3
    provider.error = None
    assert await token.get() == "token-1"


async def test_tokens_fetched_together_are_not_replaced_together() -> None:
    clock = Clock()
    providers = [Provider(1000.0) for _ in range(200)]
    tokens = [Token(provider, clock) for provider in providers]
    await asyncio.gather(*(token.get() for token in tokens))
    clock.time += 920.0  # of 970, some were replaced by up to a tenth earlier
    await asyncio.gather(*(token.get() for token in tokens))
    replaced = sum(provider.given == 2 for provider in providers)
    assert 0 < replaced < 200
