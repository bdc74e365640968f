"""What a message costs when very many handoffs are open, and what each of them costs."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.conversations import open_handoffs, require_all_kept, user_says
from benchmarks.servers import BACKEND, Server
from benchmarks.throughput import Runs, run
from benchmarks.wire import Sink
from rasa_handoff.model import Deadline, Handoff, Line, Person, Request, Status, new_handoff_id
from rasa_handoff.store import Store, Tx, handoffs

MANY, FEW = 100_000, 10
_AT_ONCE = 1000


async def fill(database: Path) -> None:
    """Write `MANY` open handoffs, as the switchboard writes them."""
    store = Store(f"sqlite:///{database}")
    await store.open()
    try:
        for first in range(0, MANY, _AT_ONCE):
            await store.write(partial(_insert, numbers=range(first, first + _AT_ONCE)))
    finally:
        await store.close()


def _insert(tx: Tx, numbers: Sequence[int]) -> None:
    now = time.time()
    transcript = tuple(Line(who="user", text=f"a line of the conversation before ({n})", at=now) for n in range(10))
    for number in numbers:
        id = new_handoff_id()
        handoff = Handoff(
            id=id,
            sender_id=_user(number),
            channel="rest",
            backend=BACKEND,
            status=Status.ACTIVE,
            opened_at=now,
            chat_id=id,
            agent=Person(id="bo", name="Bo"),
            accepted_at=now,
            deadlines={"agent_reply": Deadline(due=now + 25_000, warn=now + 20_000)},
        )
        handoffs.insert(tx, handoff, Request(sender_id=handoff.sender_id, channel="rest", transcript=transcript))


def _user(number: int) -> str:
    return f"one-of-many-{number}"


class ManyOpen:
    """The same relay on a server with `FEW` and on one with `MANY` open handoffs, by turns."""

    def __init__(self, few: Server, many: Server, sink: Sink) -> None:
        self._few = few
        self._many = many
        self._sink = sink
        self._chance = random.Random(1)
        self.few, self.many = Runs(), Runs()

    async def prepare(self) -> None:
        await open_handoffs(self._few, [_user(number) for number in range(FEW)], "rest")

    async def round(self, count: int, *, counts: bool = True) -> None:
        """Measure each once. Each message is of another user: of the few in turn, of the many by chance."""
        few = [_user(number % FEW) for number in range(count)]
        many = [_user(number) for number in self._chance.sample(range(MANY), count)]
        for server, users, runs in ((self._few, few, self.few), (self._many, many, self.many)):
            # As many connections as the few have conversations: each waits for itself only.
            done = await run(server, self._sink, user_says(users, count), lanes=FEW, filled=True)
            await require_all_kept(server, self._sink, "/messages", count)
            if counts:
                runs.runs.append(done)

    @property
    def ratio(self) -> float:
        return median(few.per_s / many.per_s for few, many in zip(self.few.runs, self.many.runs, strict=True))


async def bytes_per_open_handoff(server: Server, count: int) -> tuple[float, float]:
    """Bytes of database and of the server's memory for each handoff that its users open."""
    database, memory = _database(server), server.memory()
    await open_handoffs(server, [f"weighed-{number}" for number in range(count)], "rest")
    return (_database(server) - database) / count, max(server.memory() - memory, 0) / count


def _database(server: Server) -> int:
    return int(server.query("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")[0][0])
