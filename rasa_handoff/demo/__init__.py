"""The example bot, its action server and the agent desk, started and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

from rasa_handoff import access
from rasa_handoff.demo.options import BOT, ENDPOINTS, DemoError, Options, folder
from rasa_handoff.demo.processes import first_end
from rasa_handoff.demo.servers import credentials, endpoints, ready, servers, stand_in
from rasa_handoff.demo.training import trained
from rasa_handoff.demo.where import say_where

__all__ = ["DemoError", "Options", "folder", "run"]


def run(options: Options) -> int:
    """Run the demo until it is stopped; returns the exit code."""
    try:
        asyncio.run(_until_stopped(options))
    except DemoError as error:
        print(f"rasa-handoff demo: {error}", file=sys.stderr)
        return 1
    return 0


async def _until_stopped(options: Options) -> None:
    """Ctrl-C and SIGTERM end the demo in an orderly way; a second one ends it at once."""
    task = asyncio.ensure_future(_demo(options))
    for stop in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(stop, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _demo(options: Options) -> None:
    _require_bot(options.folder)
    _require_free(options.port, "--port")
    _require_free(options.actions_port, "--actions-port")
    for name in ("HANDOFF_URL", "HANDOFF_TOKEN"):
        os.environ.pop(name, None)  # they name another server than the demo's own
    model = await trained(options)
    with (
        stand_in(options) as agents,
        credentials(options, agents) as channels,
        endpoints(options) as ends,
    ):
        async with servers(options, model, channels, ends) as running:
            await ready(options, running)
            say_where(options, access.find(options.folder), agents)
            await first_end(running)


def _require_bot(folder: Path) -> None:
    if not (folder / BOT).is_dir() or not (folder / ENDPOINTS).is_file():
        raise DemoError(
            f"there is no {BOT}/ in {folder}. The example bot comes with the project's source, not with "
            "the package: clone the project and run `make demo` there."
        )
    if find_spec("rasa") is None:
        raise DemoError("Rasa is not installed here; run: pip install 'rasa-handoff[demo]'")


def _require_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise DemoError(
                f"port {port} cannot be used ({error.strerror}). Another demo, or another Rasa? Stop it, "
                f"or take another port: make demo ARGS='{option} {port + 1}'"
            ) from None
