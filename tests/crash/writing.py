"""A program that is in a transaction nearly all the time, until it is killed: python -m tests.crash.writing <url>."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from functools import partial

from rasa_handoff.errors import StoreError
from rasa_handoff.store import Store, Tx, messages


async def write(url: str) -> None:
    store = Store(url)
    await store.open()
    print("writing", flush=True)
    number = 0
    while True:
        number += 1
        with suppress(StoreError):
            await store.write(partial(slowly, event_id=str(number)))


def slowly(tx: Tx, event_id: str) -> None:
    messages.first_sight(tx, "writing", event_id, 0.0)
    time.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1]))
