"""Waiting until something holds, however slow the machine is."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 20.0  #: seconds; far more than anything takes, for a machine that stands still now and then


async def until(true: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until something holds (or an awaited something), and give it; fail loudly when it does not."""
    end = time.monotonic() + seconds
    while True:
        found = true()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, f"it did not happen within {seconds:g} s"
        await asyncio.sleep(0.005)
