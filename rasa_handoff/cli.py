"""The command line: set a bot up, see what goes on in a running server, and put right what is stuck."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rasa_handoff import access, backends, credentials, demo, doctor, init, project
from rasa_handoff.backends.base import Command
from rasa_handoff.client import Client, ClientError, NotAuthorised, ServerRefused, ServerUnreachable
from rasa_handoff.errors import BackendError, ConfigError, FilesError
from rasa_handoff.model import Json
from rasa_handoff.project import places
from rasa_handoff.settings import Settings
from rasa_handoff.testing import agent_sides

FINE, FAILED, WRONG_USAGE, UNREACHABLE, NOT_AUTHORISED = 0, 1, 2, 3, 4

_DESCRIPTION = """\
Lets a Rasa bot hand conversations over to people: sets a bot up, says what is wrong,
shows what goes on in a running server, and puts right what is stuck.
"""

_EPILOG = """\
rasa-handoff COMMAND --help says more of each.

exit codes:
  0  done
  1  refused or failed; the message says why
  2  wrong usage
  3  the server is not reachable, or none is known
  4  the server does not take the token
"""

_EXIT_CODES: dict[type[Exception], int] = {
    ServerUnreachable: UNREACHABLE,
    NotAuthorised: NOT_AUTHORISED,
    ServerRefused: FAILED,
    ConfigError: FAILED,
    FilesError: FAILED,
    BackendError: FAILED,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    asked = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = asked.run
    try:
        return run(asked)
    except (ClientError, ConfigError, FilesError, BackendError) as error:
        return _failed(asked, error)
    except BrokenPipeError:  # whoever read us has seen enough, as `head` does
        sys.stderr.close()
        return FINE
    except KeyboardInterrupt:
        return 130


def _failed(asked: argparse.Namespace, error: Exception) -> int:
    if asked.json and isinstance(error, (ConfigError, FilesError)):
        _print_json({"faults": error.faults})
    elif asked.json:
        _print_json({"error": str(error)})
    else:
        print(f"rasa-handoff: {error}", file=sys.stderr)
    return next(code for kind, code in _EXIT_CODES.items() if isinstance(error, kind))


# Usage


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rasa-handoff",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rasa-handoff {version('rasa-handoff')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_init(commands)
    _add_doctor(commands)
    _add_handoffs(commands)
    _add_outbox(commands)
    _add_check_settings(commands)
    _add_backends(commands)
    return parser


def _add(commands: Any, name: str, words: str, run: Callable[[argparse.Namespace], int]) -> Any:
    """A command that can answer in JSON."""
    command = commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
    command.add_argument("--json", action="store_true", help="answer in JSON, also when it fails")
    command.set_defaults(run=run)
    return command


def _add_remote(commands: Any, name: str, words: str, run: Callable[[argparse.Namespace], int]) -> Any:
    """A command that asks a running server."""
    command = _add(commands, name, words, run)
    file = f"{access.FOLDER}/{access.FILE}"
    command.add_argument("--url", help=f"of the Rasa server (HANDOFF_URL, else what {file} says)")
    command.add_argument("--token", help=f"of the server (HANDOFF_TOKEN, else what {file} says)")
    return command


def _add_demo(commands: Any) -> None:
    command = _add(commands, "demo", "try it: start the example bot, its actions and the agent desk", _demo)
    command.add_argument(
        "--port", type=_port, default=5005, metavar="NUMBER", help="of the Rasa server (default: 5005)"
    )
    command.add_argument(
        "--actions-port", type=_port, default=5055, metavar="NUMBER", help="of the action server (default: 5055)"
    )
    command.add_argument("--verbose", action="store_true", help="show all that the servers log")
    names = agent_sides.names()
    command.add_argument(
        "--backend",
        choices=names,
        metavar="NAME",
        help=f"a stand-in of this agent system in the place of the desk: {', '.join(names)}",
    )


def _add_init(commands: Any) -> None:
    command = _add(commands, "init", "write into a bot's files what a handoff needs", _init)
    command.add_argument("--intent", help="the bot's own for: I want a person (default: handoff_request)")
    command.add_argument("--dry-run", action="store_true", help="only show what would be written")
    command.add_argument("--yes", action="store_true", help="write without asking")
    _add_places(command)


def _add_doctor(commands: Any) -> None:
    command = _add(commands, "doctor", "say what keeps a handoff from working, and what to do about it", _doctor)
    command.add_argument("--connect", action="store_true", help="also ask servers, databases and agent systems")
    command.add_argument(
        "--workers", type=_number, metavar="N", help="Rasa processes on one database (default: SANIC_WORKERS, else 1)"
    )
    command.add_argument("--strict", action="store_true", help="fail on warnings, too")
    _add_places(command)


def _add_places(command: Any) -> None:
    """Where the bot's files are, named as `rasa train` and `rasa run` name them."""
    command.add_argument("folder", nargs="?", type=Path, default=Path(), help="of the bot (default: this one)")
    for name, words in (
        ("credentials", "default: credentials.yml"),
        ("endpoints", "default: endpoints.yml"),
        ("config", "default: config.yml"),
        ("domain", "a file or a folder (default: domain.yml, else domain)"),
        ("actions", "a file or a folder (default: actions, else actions.py)"),
    ):
        command.add_argument(f"--{name}", type=Path, metavar="PATH", help=words)
    command.add_argument(
        "--data", type=Path, nargs="+", default=[], metavar="PATH", help="files or folders (default: data)"
    )


def _add_handoffs(commands: Any) -> None:
    _add_remote(commands, "handoffs", "list the open handoffs, oldest first", _handoffs)


def _add_outbox(commands: Any) -> None:
    words = "see what could not be delivered, and send it again"
    outbox = commands.add_parser("outbox", help=words, description=f"{words[0].upper()}{words[1:]}.")
    inner = outbox.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_remote(inner, "list", "list what waits to be delivered, and what was put aside (dead)", _outbox_list)
    retry = _add_remote(inner, "retry", "send again what was put aside", _outbox_retry)
    which = retry.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="*", default=[], metavar="ID", help="of a dead delivery, as `outbox list` shows it")
    which.add_argument("--all", action="store_true", help="all of them")


def _add_check_settings(commands: Any) -> None:
    command = _add(
        commands, "check-settings", "name every fault in the plugin's entry of credentials.yml", _check_settings
    )
    _add_credentials(command)


def _add_credentials(command: Any) -> None:
    command.add_argument(
        "--credentials", type=Path, default=Path("credentials.yml"), metavar="FILE", help="default: credentials.yml"
    )


def _add_backends(commands: Any) -> None:
    """What the agent systems bring of their own."""
    for name in backends.names():
        brought = backends.load(name).commands()
        if not brought:
            continue
        words = f"at the agent system {name}: {', '.join(each.name for each in brought)}"
        system = commands.add_parser(name, help=words, description=f"What there is to do at the agent system {name}.")
        inner = system.add_subparsers(title="commands", metavar="COMMAND", required=True)
        for each in brought:
            _add_credentials(_add(inner, each.name, each.words, partial(_at_backend, name, each)))


def _port(text: str) -> int:
    if text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 1 to 65535")


def _number(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")


# Commands


def _demo(asked: argparse.Namespace) -> int:
    options = demo.Options(
        folder=demo.folder(),
        port=asked.port,
        actions_port=asked.actions_port,
        verbose=asked.verbose,
        backend=asked.backend,
        json=asked.json,
    )
    return demo.run(options)


def _init(asked: argparse.Namespace) -> int:
    bot = _project(asked)
    plan = init.make(bot, asked.intent)
    patch = list(init.diff(plan, bot.places))
    if not asked.json:
        _print_plan(plan, patch)
    written = _is_wanted(asked, plan)
    if written:
        init.write(plan)
    if asked.json:
        files = [bot.places.shown(change.path) for change in plan.changes]
        said = {"files": files, "diff": patch, "by_hand": list(plan.by_hand), "notes": list(plan.notes)}
        _print_json({**said, "written": written})
    elif written:
        _print(_NEXT)
    done = written or asked.dry_run or not plan.changes
    return FINE if done and not plan.by_hand else FAILED


def _is_wanted(asked: argparse.Namespace, plan: init.Plan) -> bool:
    """Whether the plan is to be carried out; a program is not asked."""
    if asked.dry_run or not plan.changes:
        return False
    return asked.yes or (not asked.json and _agrees(f"Write {_count(len(plan.changes), 'file', 'files')}?"))


_NEXT = """
Written. Next:
  rasa train
  rasa run actions     in one terminal, and in another:
  rasa run             then the chat page is at   http://localhost:5005/webhooks/handoff/chat/
                       and the agents' console at http://localhost:5005/webhooks/handoff/desk/
                       (sign in with the agent's token in .rasa_handoff/access.json)
`rasa-handoff doctor` says what else there is to know."""


def _print_plan(plan: init.Plan, patch: list[str]) -> None:
    for line in patch:
        _print(_painted(line) if sys.stdout.isatty() else line)
    if not plan.changes:
        _print("Nothing to write: all that a handoff needs is there." if not plan.by_hand else "Nothing to write.")
    for words in plan.notes:
        _print(f"\nNote: {words}")
    for words in plan.by_hand:
        print(f"\nrasa-handoff: {words}", file=sys.stderr)


def _painted(line: str) -> str:
    """A line of a patch in the colours that everybody knows."""
    colour = {"+": "32", "-": "31", "@": "36"}.get(line[:1])
    return f"\033[{colour}m{line}\033[0m" if colour else line


def _agrees(question: str) -> bool:
    """Whether the person at the terminal says yes; nobody there has not."""
    try:
        return input(f"\n{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print("\nrasa-handoff: nobody is there to say yes; give --yes", file=sys.stderr)
        return False


def _doctor(asked: argparse.Namespace) -> int:
    report = doctor.examine(doctor.take(_project(asked), asked.workers), connect=asked.connect)
    if asked.json:
        _print_json(doctor.as_json(report))
    else:
        _print(doctor.as_text(report, colour=sys.stdout.isatty()))
    bad = report.count(doctor.Level.PROBLEM) + (report.count(doctor.Level.WARNING) if asked.strict else 0)
    return FAILED if bad else FINE


def _project(asked: argparse.Namespace) -> project.Project:
    """The bot whose files the arguments name."""
    named = {name: getattr(asked, name) for name in ("credentials", "endpoints", "config", "domain", "data", "actions")}
    return project.read(places.find(asked.folder, **named))


def _handoffs(asked: argparse.Namespace) -> int:
    found = _client(asked).handoffs()
    if asked.json:
        return _print_json({"handoffs": found})
    if not found:
        return _print("No conversation is with an agent, and none waits for one.")
    now = time.time()
    rows = [_handoff_row(one, now) for one in found]
    return _print_table(["AGE", "STATUS", "USER", "CHANNEL", "BACKEND", "AGENT", "ID"], rows)


def _handoff_row(handoff: Json, now: float) -> list[str]:
    agent = (handoff.get("agent") or {}).get("name")
    words = [handoff["status"], handoff["sender_id"], handoff["channel"], handoff["backend"], agent]
    return [_span(now - handoff["opened_at"]), *(_text(word) for word in words), _text(handoff["id"])]


def _outbox_list(asked: argparse.Namespace) -> int:
    found = _client(asked).deliveries()
    if asked.json:
        return _print_json({"deliveries": found})
    if not found:
        return _print("Nothing waits, nothing is dead: all is delivered.")
    now = time.time()
    rows = [_delivery_row(one, now) for one in found]
    return _print_table(["AGE", "STATE", "TO", "KIND", "TRIES", "NEXT", "ID", "ERROR"], rows)


def _delivery_row(delivery: Json, now: float) -> list[str]:
    dead = delivery["state"] == "dead"
    return [
        _span(now - delivery["created_at"]),
        _text(delivery["state"]),
        _text(delivery["target"]),
        _text(delivery["kind"]),
        _text(delivery["attempts"]),
        "-" if dead else f"in {_span(delivery['next_at'] - now)}",
        _text(delivery["id"]),
        _text(delivery["error"]),
    ]


def _outbox_retry(asked: argparse.Namespace) -> int:
    client = _client(asked)
    ids = _dead(client) if asked.all else asked.id
    retried: list[Json] = []
    refused: dict[str, str] = {}
    for one in ids:
        try:
            retried.append(client.retry(one))
        except ServerRefused as error:
            refused[one] = str(error)
    if asked.json:
        _print_json({"retried": retried, "refused": refused})
    else:
        _print(f"{_count(len(retried), 'delivery', 'deliveries')} on the way again.")
        for message in refused.values():
            print(f"rasa-handoff: {message}", file=sys.stderr)
    return FAILED if refused else FINE


def _dead(client: Client) -> list[str]:
    return [str(one["id"]) for one in client.deliveries() if one["state"] == "dead"]


def _check_settings(asked: argparse.Namespace) -> int:
    settings = credentials.check(asked.credentials)
    if asked.json:
        return _print_json({"faults": [], "settings": _summary(settings)})
    _print(f"{asked.credentials} is fine.")
    for name, value in _summary(settings).items():
        _print(f"  {name}: {', '.join(value) if isinstance(value, list) else value}")
    return FINE


def _at_backend(name: str, command: Command, asked: argparse.Namespace) -> int:
    settings = credentials.check(asked.credentials)
    if name not in settings.backends:
        faults = [f"backends.{name}: is missing; add its settings"]
        raise ConfigError(faults, asked.credentials.name, cannot="this cannot be done")
    rows = asyncio.run(command.run(settings.backends[name], settings))
    if asked.json:
        return _print_json({"rows": rows})
    if not rows:
        return _print("There is nothing.")
    return _print_table([head.upper() for head in rows[0]], [[_text(each) for each in row.values()] for row in rows])


def _summary(settings: Settings) -> Json:
    """What the settings come to; no secret is in it."""
    return {
        "backends": list(settings.backends),
        "route": [rule.to for rule in settings.route],
        "database": settings.database.partition(":")[0],
        "deadlines": [f"{name} {_duration(each.after)}" for name, each in settings.deadlines.items()],
        "public_url": settings.public_url or "not set",
        "chat_page": "on" if settings.chat_page else "off",
    }


# The server


def _client(asked: argparse.Namespace) -> Client:
    """The server that the arguments, the environment or the private file name."""
    found = access.find() if not (asked.url and asked.token) else None
    url = asked.url or (found.url if found else access.DEFAULT_URL)
    token = asked.token or (found.token if found else "")
    if not token:
        raise ServerUnreachable(
            f"no Rasa server with the plugin was started in {Path.cwd()} or above it (there is no "
            f"{access.FOLDER}/{access.FILE}). Run this where the server runs, or give --url and --token, "
            "or set HANDOFF_URL and HANDOFF_TOKEN."
        )
    if not url.startswith(("http://", "https://")):
        raise ServerUnreachable(f"{url} is not an address; give e.g. --url http://localhost:5005")
    return Client(url=url.rstrip("/"), token=token)


# Output


def _print(words: str) -> int:
    print(words)
    return FINE


def _print_json(content: Json) -> int:
    return _print(json.dumps(content, indent=2, ensure_ascii=False))


def _print_table(heads: list[str], rows: list[list[str]]) -> int:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in [heads, *rows]:
        _print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())
    return FINE


def _text(value: Any) -> str:
    """*value* for a terminal: what users and agents named themselves must not steer it."""
    text = "-" if value is None else str(value)
    return "".join(character if character.isprintable() else "?" for character in text) or "-"


def _span(seconds: float) -> str:
    """A time span in one glance: 42s, 7m, 3h, 2d."""
    seconds = max(0, int(seconds))
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _duration(seconds: float) -> str:
    """A time span to the second: 5m, 6h 56m 40s."""
    rest, words = round(seconds), []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        number, rest = divmod(rest, size)
        words += [f"{number}{unit}"] if number else []
    return " ".join(words) or "0s"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


if __name__ == "__main__":
    sys.exit(main())
