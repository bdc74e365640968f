"""What the server's logs say: as much as Rasa's, and no tokens or names of files, though Sanic writes whole URLs."""

from __future__ import annotations

import logging
import re
from typing import Any

_BEFORE = ("token=", "/history/", "/media/", "/files/", "/files?")  #: what opens or names something
_SECRET = re.compile(r"((?:access_)?token=|/(?:history|media|handoff/\w+/files)/)[^&?\s\"]+|(/files/?\?)[^\s\"]+")
_LOGGERS = ("sanic.root", "sanic.access", "sanic.error")


class _HideTokens(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if any(each in message for each in _BEFORE):
            record.msg, record.args = _hidden(message), ()
        request: Any = getattr(record, "request", None)  # of the access log
        if isinstance(request, str):
            record.request = _hidden(request)
        return True


def _hidden(text: str) -> str:
    return _SECRET.sub(lambda found: f"{found[1] or found[2]}***", text)


def install() -> None:
    """Log as much as Rasa does, and hide tokens, signed links and names of files in what Sanic logs."""
    ours = logging.getLogger("rasa_handoff")
    if ours.level == logging.NOTSET:
        ours.setLevel(logging.getLogger("rasa").level)
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, _HideTokens) for each in logger.filters):
            logger.addFilter(_HideTokens())
