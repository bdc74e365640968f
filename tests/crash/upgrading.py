"""A program that upgrades a database and dies on the way.

python -m tests.crash.upgrading <url> <the next version, SQL> <statements it lives to run>
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from rasa_handoff.store import Store, schema

_upgrade = schema.upgrade


def dying(run: Callable[..., Any], lives: int) -> Callable[..., Any]:
    """*run*, which kills this process when it has run so many statements."""
    left = iter(range(lives))

    def run_and_die(sql: str, values: dict[str, Any] | None = None) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        run(sql, values)

    return run_and_die


if __name__ == "__main__":
    url, version, lives = sys.argv[1], sys.argv[2], int(sys.argv[3])
    schema.VERSIONS = (*schema.VERSIONS, version)
    schema.upgrade = lambda run, have: _upgrade(dying(run, lives), have)
    asyncio.run(Store(url).open())
    os.kill(os.getpid(), signal.SIGKILL)
