"""The command line: set a bot up, see what goes on in a running server, and put right what is stuck."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from rasa_handoff.cli import server, settings, setup, stats, users
from rasa_handoff.cli.output import FAILED, FINE, NOT_AUTHORISED, UNREACHABLE, WRONG_USAGE, say_json
from rasa_handoff.client import ClientError, NotAuthorised, ServerRefused, ServerUnreachable
from rasa_handoff.errors import BackendError, ConfigError, FilesError

__all__ = ["FAILED", "FINE", "NOT_AUTHORISED", "UNREACHABLE", "WRONG_USAGE", "main"]

_DESCRIPTION = """\
Lets a Rasa bot hand conversations over to people: sets a bot up, says what is wrong,
shows what goes on in a running server, puts right what is stuck, and erases users.
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
        say_json({"faults": error.faults})
    elif asked.json:
        say_json({"error": str(error)})
    else:
        print(f"rasa-handoff: {error}", file=sys.stderr)
    return next(code for kind, code in _EXIT_CODES.items() if isinstance(error, kind))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rasa-handoff",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rasa-handoff {version('rasa-handoff')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for part in (setup, server, stats, users, settings):
        part.add(commands)
    return parser
