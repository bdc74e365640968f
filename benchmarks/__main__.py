"""``python -m benchmarks``: measures, prints one table, and writes benchmarks/results.json."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import machine, many_open, recovery, servers
from benchmarks.latency import PER_S, latencies, percentile
from benchmarks.many_open import ManyOpen, bytes_per_open_handoff
from benchmarks.servers import Servers
from benchmarks.throughput import Throughput
from benchmarks.turns import ActionRelay, GateOverhead
from benchmarks.wire import Sink, Trouble

_QUIET = 0.85  #: of the core, for the forwarder, which waits for nothing
RESULTS = Path(__file__).resolve().parent / "results.json"

# key -> what it is, and what is aimed at
TABLE: dict[str, tuple[str, str]] = {
    "forward_per_s": ("messages/s: a bare Sanic handler forwards and keeps nothing", "the limit"),
    "relay_per_s": ("messages/s: user to agent, through Rasa's rest channel, stored", ""),
    "relay_ratio": ("relay_per_s / forward_per_s", "≥ 0.6"),
    "reply_ratio": ("agent to user, through Rasa's callback channel, stored / forward_per_s", "≥ 0.6"),
    "gate_overhead": ("a turn of the bot with the plugin / without", "≤ 1.03"),
    "action_relay_ratio": ("user to agent, messages/s / the same through NLU, a policy and a custom action", "≥ 20"),
    "p99_ms_at_500": ("ms: user to agent at 500 messages/s over 500 conversations", ""),
    "recover_s_10k": ("s: after a restart, from the server up to the last of 10,000 that waited", "≤ 10"),
    "open_100k_ratio": ("cost of a message with 100,000 open handoffs / with 10", "≤ 1.3"),
    "bytes_per_open_handoff": ("bytes of database and of memory for each", ""),
}

Figures = dict[str, Any]


async def messages(started: Servers, sink: Sink, model: Path) -> tuple[Figures, Figures]:
    """Both ways at full speed, then the user's way at 500 a second, then what an open handoff weighs."""
    limit, plugin = started.limit(), started.plugin("plugin", servers.PLUGIN, model)
    bare_route = started.bare_route(model)
    await limit.ready()
    await plugin.ready("/webhooks/handoff/")
    await bare_route.ready("/webhooks/rest/")
    speed = Throughput(limit, plugin, bare_route, sink)
    await speed.prepare(conversations=256)
    await speed.round(2000, counts=False)
    for _ in range(9):
        await speed.round(4000)
    late = await latencies(plugin, sink, seconds=12)
    disk, memory = await bytes_per_open_handoff(plugin, 4000)
    figures = {
        "forward_per_s": round(speed.forward.per_s),
        "relay_per_s": round(speed.relay.per_s),
        "relay_ratio": round(speed.relay.ratio_to(speed.forward), 2),
        "reply_ratio": round(speed.reply.ratio_to(speed.forward), 2),
        "p99_ms_at_500": round(percentile(late, 0.99), 1),
        "bytes_per_open_handoff": round(disk + memory),
    }
    details = {
        "reply_per_s": round(speed.reply.per_s),
        "bare_route_ratio": round(speed.bare.ratio_to(speed.forward), 2),
        "core_us_per_message": {
            "forward": round(speed.forward.cpu_us),
            "relay": round(speed.relay.cpu_us),
            "reply": round(speed.reply.cpu_us),
            "bare_route": round(speed.bare.cpu_us),
        },
        "share_of_the_core": round(speed.forward.share, 2),
        f"ms_at_{PER_S}": {f"p{share * 100:g}": round(percentile(late, share), 1) for share in (0.5, 0.9, 0.99, 0.999)},
        "bytes_per_open_handoff": {"database": round(disk), "memory": round(memory)},
    }
    return figures, details


async def turns(started: Servers, sink: Sink, model: Path) -> tuple[Figures, Figures]:
    """The bot's own turns, and its own way of forwarding."""
    started.actions()
    plain, plugin = started.plain(model), started.plugin("turns", servers.PLUGIN, model)
    await plain.ready()
    await plugin.ready("/webhooks/handoff/")
    overhead = GateOverhead(plain, plugin)
    await overhead.round(200, counts=False)
    for _ in range(60):
        await overhead.round(100)
    forwarding = ActionRelay(plain, plugin, sink)
    await forwarding.prepare()
    await forwarding.round(40, counts=False)
    for _ in range(5):
        await forwarding.round(200)
    figures = {"gate_overhead": round(overhead.ratio, 3), "action_relay_ratio": round(forwarding.ratio)}
    details = {"turn_us": round(overhead.turn_us), "action_relay_per_s": round(forwarding.by_action.per_s, 1)}
    return figures, details


async def recovered(started: Servers, sink: Sink, model: Path) -> tuple[Figures, Figures]:
    """A restart with 10,000 undelivered."""
    done = await recovery.recover(lambda: started.plugin("recovery", servers.AGAIN, model), sink)
    details = {"recover_10k": {"s_until_the_server_listens": round(done.start, 1)}}
    return {"recover_s_10k": round(done.delivery, 1)}, details


async def open_handoffs(started: Servers, sink: Sink, model: Path) -> tuple[Figures, Figures]:
    """100,000 open handoffs beside 10."""
    await many_open.fill(started.folder("many") / "handoff.db")
    few, many = started.plugin("few", servers.EMPTY, model), started.plugin("many", servers.FULL, model)
    await few.ready("/webhooks/handoff/")
    await many.ready("/webhooks/handoff/")
    both = ManyOpen(few, many, sink)
    await both.prepare()
    await both.round(1000, counts=False)
    for _ in range(9):
        await both.round(2000)
    details = {"open_100k": {"core_us_with_10": round(both.few.cpu_us), "core_us_with_100k": round(both.many.cpu_us)}}
    return {"open_100k_ratio": round(both.ratio, 2)}, details


MEASURES = {"messages": messages, "turns": turns, "recovery": recovered, "open": open_handoffs}


async def measure(parts: list[str]) -> tuple[Figures, Figures]:
    """Every part with servers of its own, one after the other."""
    details: Figures = {"machine": machine.describe()}
    measured, ours = machine.cores()
    model = servers.trained_model()
    machine.pin(ours)
    gc.disable()  # a pause of ours would be taken for one of theirs
    sink = Sink()
    await sink.start(servers.SINK)
    figures: Figures = {}
    for part in parts:
        print(f"measuring: {part}", flush=True)
        with servers.running(measured) as started:
            found, more = await MEASURES[part](started, sink, model)
        figures.update(found)
        details.update(more)
        sink.clear()
        gc.collect()
    sink.stop()
    return figures, details


def table(figures: Figures) -> str:
    rows = [(key, f"{figures[key]:,}", aim, what) for key, (what, aim) in TABLE.items() if key in figures]
    lines = [f"{key:<24}{value:>10}   {aim:<10} {what}" for key, value, aim, what in rows]
    return "\n".join([f"{'':<24}{'measured':>10}   {'aim':<10}", *lines])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    only = f"only these: {', '.join(MEASURES)}; nothing is written then"
    parser.add_argument("parts", nargs="*", metavar="part", help=only)
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(MEASURES):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    began = time.monotonic()
    uvloop.install()
    try:
        figures, details = asyncio.run(measure(asked.parts or list(MEASURES)))
    except Trouble as trouble:
        print(f"no numbers: {trouble}", file=sys.stderr)
        return 1
    if details.get("share_of_the_core", 1.0) < _QUIET:
        print("\nThis machine was busy with other things: the core was shared, and the ratios say little.")
    print(f"\n{table(figures)}\n\n{json.dumps(details, indent=2)}\n\n{time.monotonic() - began:.0f} s")
    if not asked.parts:
        ordered = {key: figures[key] for key in TABLE}
        RESULTS.write_text(json.dumps({**ordered, "details": details}, indent=2, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
