"""The commands that set a bot up: demo, init, doctor."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rasa_handoff import demo, doctor, init
from rasa_handoff.cli.output import FAILED, FINE, agrees, count, say, say_json
from rasa_handoff.cli.usage import add_command, add_places, number, port, project_of
from rasa_handoff.testing import agent_sides

_NEXT = """
Written. Next:
  rasa train
  rasa run actions     in one terminal, and in another:
  rasa run             then the chat page is at   http://localhost:5005/webhooks/handoff/chat/
                       and the agents' console at http://localhost:5005/webhooks/handoff/desk/
                       (sign in with the agent's token in .rasa_handoff/access.json)
`rasa-handoff doctor` says what else there is to know."""


def add(commands: Any) -> None:
    """Add these commands to those of the program."""
    _add_demo(commands)
    _add_init(commands)
    _add_doctor(commands)


def _add_demo(commands: Any) -> None:
    command = add_command(commands, "demo", "try it: start the example bot, its actions and the agent desk", _demo)
    command.add_argument("--port", type=port, default=5005, metavar="NUMBER", help="of the Rasa server (default: 5005)")
    command.add_argument(
        "--actions-port", type=port, default=5055, metavar="NUMBER", help="of the action server (default: 5055)"
    )
    command.add_argument("--verbose", action="store_true", help="show all that the servers log")
    names = agent_sides.names()
    command.add_argument(
        "--backend",
        choices=names,
        metavar="NAME",
        help=f"a stand-in of this agent system in the place of the desk: {', '.join(names)}",
    )
    command.add_argument("--wire", action="store_true", help="show every request between the bot and that stand-in")


def _demo(asked: argparse.Namespace) -> int:
    options = demo.Options(
        folder=demo.folder(),
        port=asked.port,
        actions_port=asked.actions_port,
        verbose=asked.verbose,
        backend=asked.backend,
        wire=asked.wire,
        json=asked.json,
    )
    return demo.run(options)


def _add_init(commands: Any) -> None:
    command = add_command(commands, "init", "write into a bot's files what a handoff needs", _init)
    command.add_argument("--intent", help="the bot's own for: I want a person (default: handoff_request)")
    command.add_argument("--dry-run", action="store_true", help="only show what would be written")
    command.add_argument("--yes", action="store_true", help="write without asking")
    add_places(command)


def _init(asked: argparse.Namespace) -> int:
    bot = project_of(asked)
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
        say_json({**said, "written": written})
    elif written:
        say(_NEXT)
    done = written or asked.dry_run or not plan.changes
    return FINE if done and not plan.by_hand else FAILED


def _is_wanted(asked: argparse.Namespace, plan: init.Plan) -> bool:
    """Whether the plan is to be carried out; a program is not asked."""
    if asked.dry_run or not plan.changes:
        return False
    return asked.yes or (not asked.json and agrees(f"Write {count(len(plan.changes), 'file', 'files')}?"))


def _print_plan(plan: init.Plan, patch: list[str]) -> None:
    for line in patch:
        say(_painted(line) if sys.stdout.isatty() else line)
    if not plan.changes:
        say("Nothing to write: all that a handoff needs is there." if not plan.by_hand else "Nothing to write.")
    for words in plan.notes:
        say(f"\nNote: {words}")
    for words in plan.by_hand:
        print(f"\nrasa-handoff: {words}", file=sys.stderr)


def _painted(line: str) -> str:
    """A line of a patch in the colours that everybody knows."""
    colour = {"+": "32", "-": "31", "@": "36"}.get(line[:1])
    return f"\033[{colour}m{line}\033[0m" if colour else line


def _add_doctor(commands: Any) -> None:
    command = add_command(commands, "doctor", "say what keeps a handoff from working, and what to do about it", _doctor)
    command.add_argument("--connect", action="store_true", help="also ask servers, databases and agent systems")
    command.add_argument(
        "--workers", type=number, metavar="N", help="Rasa processes on one database (default: SANIC_WORKERS, else 1)"
    )
    command.add_argument("--strict", action="store_true", help="fail on warnings, too")
    add_places(command)


def _doctor(asked: argparse.Namespace) -> int:
    report = doctor.examine(doctor.take(project_of(asked), asked.workers), connect=asked.connect)
    if asked.json:
        say_json(doctor.as_json(report))
    else:
        say(doctor.as_text(report, colour=sys.stdout.isatty()))
    bad = report.count(doctor.Level.PROBLEM) + (report.count(doctor.Level.WARNING) if asked.strict else 0)
    return FAILED if bad else FINE
