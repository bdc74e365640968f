"""Runs a stand-in of an agent system, and prints what goes over the wire.

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

from rasa_handoff.model import Json
from rasa_handoff.testing import agent_sides
from rasa_handoff.testing.agent_sides import AgentSide, Heard
from rasa_handoff.testing.calls import Call
from rasa_handoff.testing.wire import Asked, Response, Wire

PORT = 5006
GREETING = "Hello, this is the stand-in of an agent. I repeat what you write; write bye, and I end the chat."
_TIMEOUT = 10.0  #: seconds
_SECRET = re.compile("auth|token|key|secret|signature", re.IGNORECASE)  # in names of headers
_DULL = {"host", "accept", "accept-encoding", "user-agent", "content-length", "content-type", "connection"}


class Running:
    """An agent system that answers, with an agent who works by rote.

    Args:
        base_url: where the backend's webhooks are, ``…/webhooks/handoff/<backend>``.
        pause: seconds the agent takes before doing something.
        show: prints a line.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        port: int = 0,
        pause: float = 1.5,
        show: Callable[[str], None] = print,
    ) -> None:
        self.side: AgentSide = agent_sides.load(name)
        self._name = name
        self.base_url = base_url
        self._pause = pause
        self._show = show
        self._wire = Wire(port)
        self._to_do: queue.Queue[Heard | None] = queue.Queue()
        self._agent = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._wire.respond("*", "*", self._respond)
        self._wire.up()
        self._agent.start()

    def stop(self) -> None:
        self._wire.down()
        self._to_do.put(None)

    @property
    def section(self) -> Json:
        """The backend's settings, for the bot; the wire has to be up."""
        return self.side.section(self._wire.url)

    # -- what the bot asks --------------------------------------------------------------------

    def _respond(self, asked: Asked) -> Response:
        answer = self.side.answer(asked)
        status, body, *more = answer
        heard = self.side.hear(asked)
        if self.side.is_news(asked, body):
            query = f"?{urllib.parse.urlencode(asked.query)}" if asked.query else ""
            self._say(f"the bot asks    {asked.method} {asked.path}{query}", asked.headers, asked.body)
            shown = body if isinstance(body, bytes) else json.dumps(body).encode()
            self._say(f"{self._name} answers  {status}", more[0] if more else {}, shown)
        if heard is not None and status < 300:
            self._to_do.put(heard)
        return answer

    # -- what the agent does ------------------------------------------------------------------

    def _work(self) -> None:
        while (heard := self._to_do.get()) is not None:
            time.sleep(self._pause)
            if heard.what == "opened":
                self._call(self.side.accepting(heard.chat))
                self._call(self.side.writing(heard.chat, GREETING))
            elif heard.what == "said" and heard.text.strip().lower() == "bye":
                self._call(self.side.writing(heard.chat, "Goodbye."))
                self._call(self.side.ending(heard.chat))
            elif heard.what == "said":
                self._call(self.side.writing(heard.chat, f"You wrote: {heard.text}"))

    def _call(self, call: Call | None) -> None:
        if call is None:
            return
        call = self.side.signed(call)
        query = f"?{urllib.parse.urlencode(call.query)}" if call.query else ""
        headers = {"Content-Type": "application/json", **call.headers}
        self._say(f"{self._name} asks     {call.method} /{call.path}{query}", headers, call.content)
        status, body = _sent(f"{self.base_url}/{call.path}{query}", call, headers)
        self._say(f"the bot answers {status}", {}, body)

    # -- what is shown ------------------------------------------------------------------------

    def _say(self, line: str, headers: Mapping[str, str], body: bytes) -> None:
        telling = [
            f"    {name}: {_hidden(name, value)}" for name, value in headers.items() if name.lower() not in _DULL
        ]
        text = "\n".join([line, *telling, *_indented(body)])
        for secret in (self.side.ours, self.side.theirs):
            text = text.replace(secret, "***")
        self._show(text)


def _hidden(name: str, value: str) -> str:
    """The value of a header, without what opens something."""
    if not _SECRET.search(name):
        return value
    return f"{value.rpartition(' ')[0]} ***".strip()


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


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rasa_handoff.testing.agent_side", description=__doc__)
    parser.add_argument("name", choices=agent_sides.names(), help="the agent system")
    parser.add_argument("--port", type=int, default=PORT, help=f"where it listens ({PORT})")
    parser.add_argument("--rasa", default="http://localhost:5005", help="the Rasa server (http://localhost:5005)")
    asked = parser.parse_args(arguments)
    running = Running(asked.name, f"{asked.rasa}/webhooks/handoff/{asked.name}", port=asked.port)
    running.start()
    settings = json.dumps({"public_url": asked.rasa, "backends": {asked.name: running.section}})
    print(f"The bot's credentials.yml, to speak to it:\n\nrasa_handoff.HandoffInput: {settings}\n", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        running.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
