"""What outlives a handoff, and for how long."""

from __future__ import annotations

from rasa_handoff.store import Tx, kept, retention
from tests.stage import Stage


async def test_how_a_user_is_reached_is_kept_at_least_while_their_handoff_is_open(stage: Stage) -> None:
    await stage.request("ann")
    now = stage.now()

    def keep(tx: Tx) -> None:
        for name in ("ann", "bob"):
            kept.put(tx, "channel:slack", name, {"room": name}, now, name)

    await stage.runtime.store.write(keep)
    await stage.runtime.store.write(lambda tx: retention.delete_old(tx, now + 1))
    found = await stage.runtime.store.read(lambda tx: [kept.get(tx, "channel:slack", name) for name in ("ann", "bob")])
    assert found == [{"room": "ann"}, None]
