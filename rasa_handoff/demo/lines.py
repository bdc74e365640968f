"""Which of a server's lines a person should see."""

from __future__ import annotations

import re


class Filter:
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
