"""What the demo was asked for, and what it says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rasa_handoff.errors import HandoffError

BOT = "example_bot"
ENDPOINTS = "endpoints.yml"


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

    @property
    def url(self) -> str:
        """Where the Rasa server is."""
        return f"http://127.0.0.1:{self.port}"


def folder() -> Path:
    """Where the demo is: here, or in the checkout this package runs from."""
    here, checkout = Path.cwd(), Path(__file__).resolve().parents[2]
    return here if (here / BOT).is_dir() else checkout


def say(options: Options, words: str) -> None:
    """Tell what is being done."""
    if not options.json:
        print(f"==> {words}", flush=True)


def show_stand_in(options: Options) -> Callable[[str], None]:
    """Prints what the stand-in tells, as text that no program has to read."""
    stream = sys.stderr if options.json else sys.stdout
    return lambda text: print(text, file=stream, flush=True)
