"""A program that opens a store and keeps it until it is killed: python -m tests.crash.holder <url>."""

from __future__ import annotations

import asyncio
import sys

from rasa_handoff.errors import StoreError
from rasa_handoff.store import Store


async def hold(url: str) -> None:
    store = Store(url)
    try:
        await store.open()
    except StoreError as error:
        print(error, flush=True)
        raise SystemExit(1) from None
    print("open", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1]))
