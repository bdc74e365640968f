"""Processes of the demo: started, listened to, and ended with all that they started."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from rasa_handoff.demo.options import DemoError, Options

LONGEST_STOP = 8.0  #: seconds a server may take to end by itself
LAST_WORDS = 20  #: lines shown of a server that ended

Show = Callable[[str], "str | None"]  # a line of a server's -> what a person sees of it, if anything
_PR_SET_PDEATHSIG = 1  # from linux/prctl.h


@dataclass(slots=True, kw_only=True)
class Server:
    """A process of ours and what it says."""

    name: str
    process: asyncio.subprocess.Process
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_WORDS))
    listener: asyncio.Task[None] | None = None

    async def listen(self, show: Show) -> None:
        """Show those of its lines that matter, and keep the last ones."""
        assert self.process.stdout is not None
        async for line in _lines(self.process.stdout):
            self.lines.append(line)
            if (shown := show(line)) is not None:
                print(f"[{self.name}] {shown}", flush=True)

    async def last_words(self) -> str:
        """What it said last; it has ended."""
        if self.listener is not None:
            await self.listener
        return "\n".join(f"[{self.name}] {line}" for line in self.lines)

    async def stop(self) -> None:
        """End it and all that it started."""
        try:
            self._signal(signal.SIGTERM)
            await asyncio.wait_for(self.process.wait(), LONGEST_STOP)
        except (asyncio.TimeoutError, asyncio.CancelledError):
            pass
        finally:
            self._signal(signal.SIGKILL)
            await self.process.wait()

    def _signal(self, what: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, what)


@contextlib.asynccontextmanager
async def started(name: str, arguments: list[str], options: Options, *, show: Show) -> AsyncIterator[Server]:
    """A process of this Python, and its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=options.folder,
        env=_environment(options),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches us alone, and we end them in order
        preexec_fn=_begin,
    )
    server = Server(name=name, process=process)
    server.listener = asyncio.ensure_future(server.listen(str if options.verbose else show))
    try:
        yield server
    finally:
        await server.stop()
        server.listener.cancel()


def _environment(options: Options) -> dict[str, str]:
    """Ours, with what the servers need to know."""
    return {
        **os.environ,
        "HANDOFF_URL": options.url,
        "PYTHONUNBUFFERED": "1",
        "RASA_TELEMETRY_ENABLED": "false",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def _load_prctl() -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    prctl: Callable[..., int] = ctypes.CDLL(None).prctl
    return prctl


_prctl = _load_prctl()  # before any fork: nothing may be loaded after it


def _begin() -> None:
    """Keep conversations to ourselves; and have Linux kill this process when the demo is killed, an orphan else.

    Sanic misses a SIGTERM that comes in the moment in which it starts.
    """
    os.umask(0o077)  # as `umask=` would, which uvloop's subprocesses do not know
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def first_end(servers: list[Server]) -> None:
    """Wait until a server ends, which it should not.

    Raises:
        DemoError: always; with what that server said last.
    """
    ends = {asyncio.ensure_future(server.process.wait()): server for server in servers}
    try:
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
    ended = ends[done.pop()]
    words = await ended.last_words()
    raise DemoError(f"the {ended.name} server ended (exit code {ended.process.returncode}):\n{words}")


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Its lines as text, however long they are."""
    rest = b""
    while chunk := await stream.read(65_536):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace").rstrip()
    if rest:
        yield rest.decode(errors="replace").rstrip()
