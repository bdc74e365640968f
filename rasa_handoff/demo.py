"""The example bot, its action server and the agent desk, started and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import aiohttp
from ruamel.yaml import YAML

from rasa_handoff import access
from rasa_handoff.access import Access
from rasa_handoff.credentials import SECTION
from rasa_handoff.errors import HandoffError
from rasa_handoff.testing.agent_side import Running

BOT = "example_bot"
ENDPOINTS = "endpoints.yml"
LONGEST_START = 180.0  #: seconds until both servers must answer
LONGEST_STOP = 8.0  #: seconds a server may take to end by itself
LAST_WORDS = 20  #: lines shown of a server that ended

_Show = Callable[[str], "str | None"]  # a line of a server's -> what a person sees of it, if anything
_ACTIONS_PORT = ":5055/"  # as endpoints.yml has it
_PR_SET_PDEATHSIG = 1  # from linux/prctl.h


class DemoError(HandoffError):
    """The demo cannot start or go on; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for on the command line."""

    folder: Path  #: has example_bot/ and endpoints.yml; the servers run there
    port: int = 5005  #: of the Rasa server
    actions_port: int = 5055  #: of the action server
    backend: str | None = None  #: an agent system whose stand-in takes the place of the desk
    wire: bool = False  #: show every request between the bot and that stand-in
    verbose: bool = False  #: show all that the servers log
    json: bool = False  #: say where everything is in one line of JSON


def folder() -> Path:
    """Where the demo is: here, or in the checkout this package runs from."""
    here, checkout = Path.cwd(), Path(__file__).resolve().parent.parent
    return here if (here / BOT).is_dir() else checkout


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
    model = await _trained(options)
    with (
        _stand_in(options) as agents,
        _credentials(options, agents) as credentials,
        _endpoints(options) as endpoints,
    ):
        async with _servers(options, model, credentials, endpoints) as servers:
            await _ready(options, servers)
            _say_where(options, access.find(options.folder), agents)
            await _first_end(servers)


# What must be so


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


# The model


async def _trained(options: Options) -> Path:
    """The model of the example bot as its files are; trained unless it is there already."""
    models = options.folder / "models"
    model = models / f"{BOT}-{_fingerprint(options.folder / BOT)}.tar.gz"
    if model.is_file():
        return model
    _say(options, "Training the example bot, because it is new or its files changed (half a minute)")
    models.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models) as fresh:
        await _train(options, Path(fresh))
        for old in models.glob(f"{BOT}-*.tar.gz"):
            old.unlink()
        # A model that is there is whole.
        os.replace(Path(fresh) / f"{BOT}.tar.gz", model)
    return model


def _fingerprint(bot: Path) -> str:
    """What a model is made from, in one word."""
    digest = hashlib.sha256()
    for file in sorted([bot / "config.yml", *(bot / "domain").rglob("*.yml"), *(bot / "data").rglob("*.yml")]):
        digest.update(file.relative_to(bot).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


async def _train(options: Options, out: Path) -> None:
    bot = options.folder / BOT
    # fmt: off
    command = [
        "-m", "rasa", "train", "--config", str(bot / "config.yml"), "--domain", str(bot / "domain"),
        "--data", str(bot / "data"), "--out", str(out), "--fixed-model-name", BOT,
    ]
    # fmt: on
    async with _started("training", command, options, show=_progress()) as training:
        if await training.process.wait() != 0:
            raise DemoError(f"training failed:\n{await training.last_words()}")


def _progress() -> _Show:
    """Show each step of a training, and what went wrong."""
    loud = _Filter()

    def show(line: str) -> str | None:
        step = re.search(r"Starting to train component '(\w+)'", line)
        return step[1] if step else loud.show(line)

    return show


# The servers


@dataclass(slots=True, kw_only=True)
class _Server:
    """A process of ours and what it says."""

    name: str
    process: asyncio.subprocess.Process
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_WORDS))
    listener: asyncio.Task[None] | None = None

    async def listen(self, show: _Show) -> None:
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
async def _servers(options: Options, model: Path, credentials: Path, endpoints: Path) -> AsyncIterator[list[_Server]]:
    """Both servers; they are ended on the way out, whatever happened."""
    # fmt: off
    actions = ["-m", "rasa_sdk", "--actions", f"{BOT}.actions", "--port", str(options.actions_port)]
    rasa = [
        "-m", "rasa", "run", "--model", str(model), "--port", str(options.port),
        "--credentials", str(credentials), "--endpoints", str(endpoints),
    ]
    # fmt: on
    _say(options, "Starting the Rasa server and the action server (a quarter of a minute)")
    async with (
        _started("actions", actions, options, show=_Filter().show) as action_server,
        _started("rasa", rasa, options, show=_Filter().show) as rasa_server,
    ):
        try:
            yield [rasa_server, action_server]
        finally:
            _say(options, "Stopping")


@contextlib.asynccontextmanager
async def _started(name: str, arguments: list[str], options: Options, *, show: _Show) -> AsyncIterator[_Server]:
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
    server = _Server(name=name, process=process)
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
        "HANDOFF_URL": _url(options),
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
    """Keep conversations to ourselves; and have Linux end this process when the demo is killed, an orphan else."""
    os.umask(0o077)  # as `umask=` would, which uvloop's subprocesses do not know
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def _stand_in(options: Options) -> Iterator[Running | None]:
    """The stand-in of the agent system that is asked for, while it runs here."""
    if options.backend is None:
        yield None
        return
    webhooks = f"{_url(options)}/webhooks/handoff/{options.backend}"
    agents = Running(options.backend, webhooks, show=_show(options), wire=options.wire)
    agents.start()
    try:
        yield agents
    finally:
        agents.stop()


@contextlib.contextmanager
def _credentials(options: Options, agents: Running | None) -> Iterator[Path]:
    """The bot's credentials.yml; where there is a stand-in, one that leads to it."""
    path = options.folder / BOT / "credentials.yml"
    if agents is None:
        yield path
        return
    channels = YAML(typ="safe").load(path)
    ours = {"public_url": _url(options), "backends": {options.backend: agents.section}}
    channels = {**channels, SECTION: {**(channels[SECTION] or {}), **ours}, **agents.channels}
    with tempfile.TemporaryDirectory(prefix="rasa-handoff-demo-") as temporary:
        changed = Path(temporary) / path.name
        changed.write_text(json.dumps(channels), encoding="utf-8")
        yield changed


def _url(options: Options) -> str:
    return f"http://127.0.0.1:{options.port}"


def _show(options: Options) -> Callable[[str], None]:
    """Prints what the stand-in tells, as text that no program has to read."""
    stream = sys.stderr if options.json else sys.stdout
    return lambda text: print(text, file=stream, flush=True)


@contextlib.contextmanager
def _endpoints(options: Options) -> Iterator[Path]:
    """endpoints.yml with the action server's port in it."""
    text = (options.folder / ENDPOINTS).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="rasa-handoff-demo-") as temporary:
        path = Path(temporary) / ENDPOINTS
        path.write_text(text.replace(_ACTIONS_PORT, f":{options.actions_port}/"), encoding="utf-8")
        yield path


# Waiting


async def _ready(options: Options, servers: list[_Server]) -> None:
    """Return when both servers answer."""
    answers = asyncio.ensure_future(_both_answer(options))
    ends = asyncio.ensure_future(_first_end(servers))
    try:
        await asyncio.wait([answers, ends], return_when=asyncio.FIRST_COMPLETED)
        if ends.done():
            ends.result()
        await answers
    finally:
        answers.cancel()
        ends.cancel()


async def _both_answer(options: Options) -> None:
    deadline = time.monotonic() + LONGEST_START
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        for url in (
            f"http://127.0.0.1:{options.actions_port}/health",
            f"http://127.0.0.1:{options.port}/webhooks/handoff/chat/",
        ):
            while not await _answers(session, url):
                if time.monotonic() > deadline:
                    raise DemoError(f"{url} does not answer; `--verbose` shows what the servers say")
                await asyncio.sleep(0.2)


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, asyncio.TimeoutError):
        return False


async def _first_end(servers: list[_Server]) -> None:
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


# What is shown


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Its lines as text, however long they are."""
    rest = b""
    while chunk := await stream.read(65_536):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace").rstrip()
    if rest:
        yield rest.decode(errors="replace").rstrip()


class _Filter:
    """Lets warnings and errors through, with the lines that belong to them."""

    _COLOUR = re.compile(r"\x1b\[[0-9;]*m")
    _LOGGED = re.compile(r"\[?\d{4}-\d\d-\d\d[ T]\S+ .*?\b(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL|[a-z]+)\b")
    _LOUD = ("WARNING", "ERROR", "CRITICAL", "warning", "error", "critical")
    _USUAL = "Skipping validation for "  # of the action server, at each answer to a form without checks of its own

    def __init__(self) -> None:
        self._shown = False  #: whether the line before was

    def show(self, line: str) -> str | None:
        """*line*, if a person should see it."""
        plain = self._COLOUR.sub("", line)
        logged = self._LOGGED.match(plain)
        if logged:
            self._shown = logged["level"] in self._LOUD and self._USUAL not in plain
        elif plain.startswith(("Traceback ", "rasa_handoff cannot start")):
            self._shown = True
        return line if self._shown else None


def _say_where(options: Options, found: Access | None, agents: Running | None) -> None:
    """Tell where everything is and what to do first."""
    base = f"http://localhost:{options.port}/webhooks/handoff"
    if agents is not None:
        _say_where_without_desk(options, f"{base}/chat/", agents.page)
        return
    desk = found.agents if found else ()
    if options.json:
        named = [{"name": agent.name, "token": agent.token} for agent in desk]
        print(json.dumps({"chat": f"{base}/chat/", "console": f"{base}/desk/", "agents": named}), flush=True)
        return
    sign_ins = "\n".join(f"  Sign in there as     {one.name}, with the token {one.token}" for one in desk)
    print(
        f"""
  The user's page      {base}/chat/
  The agents' console  {base}/desk/
{sign_ins}

  1. Open both pages side by side, and sign in at the console.
  2. On the user's page, write: I want to talk to an agent
  3. At the console, accept the chat, answer, and close it. The bot carries on.

  Ctrl-C stops everything.
""",
        flush=True,
    )


_STEPS = """\
  1. On the user's page, write: I want to talk to an agent
  2. The stand-in accepts, and repeats what you write. Write bye, and it ends the chat; the bot carries on."""
_STEPS_THERE = """\
  1. On the user's page, start a chat. The bot, an agent there, takes it from the queue and answers.
  2. Write: I want to talk to an agent. The bot transfers the chat to a person, with a note, and has left it.
  3. The person repeats what you write. Write bye, and they end the chat."""


def _say_where_without_desk(options: Options, chat: str, page: str | None) -> None:
    """Tell where to be the user: on our own chat page, or on a *page* of the stand-in's."""
    if options.json:
        print(json.dumps({"chat": page or chat}), flush=True)
        return
    print(
        f"""
  The user's page      {page or chat}
  The agents           a stand-in of {options.backend}; what happens there is told here

{_STEPS_THERE if page else _STEPS}

  make demo BACKEND={options.backend} ARGS=--wire shows every request and answer, too. Ctrl-C stops everything.
""",
        flush=True,
    )


def _say(options: Options, words: str) -> None:
    if not options.json:
        print(f"==> {words}", flush=True)
