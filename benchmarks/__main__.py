"""Measures everything and prints one table."""
from __future__ import annotations
import asyncio, tempfile, gc, os
from pathlib import Path
import uvloop
from benchmarks import machine, servers
from benchmarks.wire import Sink
from benchmarks.throughput import Throughput

async def main():
    measured, ours = machine.cores()
    model = servers.trained_model()
    machine.pin(ours)
    gc.disable()
    sink = Sink()
    await sink.start(servers.SINK)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    with servers.running(folder, measured) as s:
        limit = s.limit()
        plugin = s.plugin("plugin", servers.PLUGIN, model)
        await limit.ready(); await plugin.ready()
        await plugin.ready("/webhooks/handoff/")
        t = Throughput(limit, plugin, sink)
        await t.prepare(256)
        await t.round(1000, counts=False)
        for _ in range(int(os.environ.get("ROUNDS", "5"))):
            await t.round(int(os.environ.get("COUNT","3000")))
            for n in ("forward", "relay", "reply"):
                r = getattr(t, n).runs[-1]
                print(f"{n} {r.per_s:.0f}/s cpu {r.cpu_us:.0f}us  ", end="")
            print(flush=True)
        print("relay_ratio", t.relay.ratio_to(t.forward), "reply", t.reply.ratio_to(t.forward))
uvloop.install()
asyncio.run(main())
