"""Runs a stand-in of an agent system, and prints what happens in it, or all that goes over the wire.

`python -m rasa_handoff.testing.agent_side <backend>`, or with the example bot: `make demo BACKEND=<backend>`.
"""

from __future__ import annotations

import argparse
import json
import queue
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from rasa_handoff.model import Json
from rasa_handoff.testing import agent_sides
from rasa_handoff.testing.agent_sides import AgentSide, Heard
from rasa_handoff.testing.calls import Call
from rasa_handoff.testing.wire import Asked, Response, Wire

PORT = 5006
GREETING = "Hello, this is the stand-in of an agent. I repeat what you write; write bye, and I end the chat."
_TIMEOUT = 10.0  #: seconds
_TAKEN = range(200, 300)
_INSISTS = 5.0  #: seconds of the agent's side: the bot may not yet know of a chat that was just accepted
_AGAIN = 0.25  #: seconds
_LONGEST = 200  #: characters of a refusal
_SECRET = re.compile("auth|token|key|secret|signature", re.IGNORECASE)  # in names of headers
_DULL = {"host", "accept", "accept-encoding", "user-agent", "content-length", "content-type", "connection"}


class Running:
    """An agent system that answers, with an agent who works by rote.

    Args:
        base_url: where the backend's webhooks are, ``…/webhooks/handoff/<backend>``.
        pause: seconds the agent takes before doing something.
        show: prints some lines.
        wire: show each request and answer as it is, too.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        port: int = 0,
        pause: float = 1.5,
        show: Callable[[str], None] = print,
        wire: bool = False,
    ) -> None:
        self.side: AgentSide = agent_sides.load(name)
        self._name = name
        self.base_url = base_url
        self._pause = pause
        self._show = show
        self._shows_wire = wire
        self._wire = Wire(port)
        self._to_do: queue.Queue[Heard | None] = queue.Queue()
        self._ended: set[str] = set()  #: chats that the agent has ended
        self._agent = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._wire.respond("*", "*", self._respond)
        self._wire.up()
        self._agent.start()

    def stop(self) -> None:
        self._wire.close()
        self._to_do.put(None)

    @property
    def section(self) -> Json:
        """The backend's settings, for the bot; the wire has to be up."""
        return self.side.section(self._wire.url)

    @property
    def channels(self) -> Json:
        """What else credentials.yml needs; the wire has to be up."""
        return self.side.channels(self._wire.url)

    @property
    def page(self) -> str | None:
        """The address at which a person is the user; None: it is one of the bot's own."""
        return f"{self._wire.url}{self.side.page}" if self.side.page else None

    # -- what the bot asks --------------------------------------------------------------------

    def _respond(self, asked: Asked) -> Response:
        answer = self.side.answer(asked)
        status, body, *more = answer
        self._show_exchange(asked, status, body, more[0] if more else {})
        if status < 300 and (heard := self.side.hear(asked)) is not None:
            self._take(heard)
        return answer

    def _take(self, heard: Heard) -> None:
        if heard.what == "ended" and heard.chat in self._ended:  # the bot's side confirms it
            return
        self._tell(_in_words(heard))
        if heard.what in ("opened", "said"):
            self._to_do.put(heard)

    # -- what the agent does ------------------------------------------------------------------

    def _work(self) -> None:
        while (heard := self._to_do.get()) is not None:
            time.sleep(self._pause)
            if heard.what == "opened":
                self._ended.discard(heard.chat)
                self._call("takes the chat", self.side.accepting(heard.chat))
                self._write(heard.chat, GREETING)
            elif heard.text.strip().lower() == "bye":
                self._write(heard.chat, "Goodbye.")
                self._ended.add(heard.chat)
                self._call("ends the chat", self.side.ending(heard.chat))
            else:
                self._write(heard.chat, f"You wrote: {heard.text}")

    def _write(self, chat: str, text: str) -> None:
        self._call(f"writes: {text}", self.side.writing(chat, text))

    def _call(self, doing: str, call: Call | None) -> None:
        """The agent does something, and the bot is told so, unless it asks for that itself."""
        self._tell(f"the agent {doing}")
        if call is None:
            return
        call = self.side.signed(call)
        end = time.monotonic() + _INSISTS
        status, body = self._ask(call)
        while status not in _TAKEN and time.monotonic() < end:
            time.sleep(_AGAIN)
            status, body = self._ask(call)
        if status not in _TAKEN:
            self._tell(f"the bot does not take {call.method} /{call.path}: {status} {_shortened(body)}")

    def _ask(self, call: Call) -> tuple[int | str, bytes]:
        """What the bot answers to *call*."""
        query = f"?{urllib.parse.urlencode(call.query)}" if call.query else ""
        headers = {"Content-Type": "application/json", **call.headers}
        self._show_wire(f"{self._name} asks     {call.method} /{call.path}{query}", headers, call.content)
        status, body = _sent(f"{self.base_url}/{call.path}{query}", call, headers)
        self._show_wire(f"the bot answers {status}", {}, body)
        return status, body

    # -- what is shown ------------------------------------------------------------------------

    def _tell(self, line: str) -> None:
        """Show what matters, in one line; in more where somebody wrote more."""
        printable = "".join(each for each in line if each.isprintable() or each == "\n")
        self._show(self._without_secrets(f"[{self._name}] " + printable.replace("\n", f"\n[{self._name}]   ")))

    def _show_exchange(self, asked: Asked, status: int, body: Any, headers: Mapping[str, str]) -> None:
        """Show what the bot asks, and what it gets."""
        shown = body if isinstance(body, bytes) else json.dumps(body).encode()
        if self._shows_wire and self.side.is_news(asked, body):
            query = f"?{urllib.parse.urlencode(asked.query)}" if asked.query else ""
            self._show_wire(f"the bot asks    {asked.method} {asked.path}{query}", asked.headers, asked.body)
            self._show_wire(f"{self._name} answers  {status}", headers, shown)
        if status >= 400:
            self._tell(f"it says no to {asked.method} {asked.path}: {status} {_shortened(shown)}")

    def _show_wire(self, line: str, headers: Mapping[str, str], body: bytes) -> None:
        if not self._shows_wire:
            return
        telling = [
            f"    {name}: {_hidden(name, value)}" for name, value in headers.items() if name.lower() not in _DULL
        ]
        self._show(self._without_secrets("\n".join(["", line, *telling, *_indented(body)])))

    def _without_secrets(self, text: str) -> str:
        for secret in (self.side.ours, self.side.theirs):
            text = text.replace(secret, "***")
        return text


def _in_words(heard: Heard) -> str:
    if heard.what == "said":
        return f"the user writes: {heard.text}"
    if heard.what == "opened":
        return "a user is handed over" + (f", with this note:\n{heard.text}" if heard.text else "")
    return heard.text if heard.what == "told" else "the user's side ends the chat"


def _hidden(name: str, value: str) -> str:
    """The value of a header, without what opens something."""
    if not _SECRET.search(name):
        return value
    return f"{value.rpartition(' ')[0]} ***".strip()


def _shortened(body: bytes) -> str:
    return " ".join(body.decode(errors="replace").split())[:_LONGEST]


def _indented(body: bytes) -> list[str]:
    if not body:
        return []
    try:
        text = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        text = body.decode(errors="replace")
    return [f"    {line}" for line in text.splitlines()]


def _sent(url: str, call: Call, headers: Mapping[str, str]) -> tuple[int | str, bytes]:
    """The status and the body that came back; a word in place of the status where nothing did."""
    request = urllib.request.Request(url, call.content or None, dict(headers), method=call.method)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        return f"nothing ({type(error).__name__})", b""


def _print(text: str) -> None:
    print(text, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rasa_handoff.testing.agent_side", description=__doc__)
    parser.add_argument("name", choices=agent_sides.names(), help="the agent system")
    parser.add_argument("--port", type=int, default=PORT, help=f"where it listens ({PORT})")
    parser.add_argument("--wire", action="store_true", help="print every request and answer whole")
    parser.add_argument("--rasa", default="http://localhost:5005", help="the Rasa server (http://localhost:5005)")
    asked = parser.parse_args(arguments)
    url = f"{asked.rasa}/webhooks/handoff/{asked.name}"
    running = Running(asked.name, url, port=asked.port, wire=asked.wire, show=_print)
    running.start()
    ours = {"public_url": asked.rasa, "backends": {asked.name: running.section}}
    entries = {"rasa_handoff.HandoffInput": ours, **running.channels}
    lines = "\n".join(f"{name}: {json.dumps(entry)}" for name, entry in entries.items())
    print(f"The bot's credentials.yml, to speak to it:\n\n{lines}\n", flush=True)
    if running.page:
        print(f"The page on which to be the user: {running.page}\n", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        running.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
