"""What the server's logs say: ours as much as Rasa's, and no tokens, though Sanic writes whole URLs."""

from __future__ import annotations

import logging
import re
from typing import Any

_BEFORE = ("token=", "/history/", "/media/", "/files/")  #: what opens something; the rest are signed links of ours
_SECRET = re.compile(r"((?:access_)?token=|/(?:history|media|handoff/\w+/files)/)[^&?\s\"]+")
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
    return _SECRET.sub(r"\1***", text)


def install() -> None:
    """Log as much as Rasa does, and hide tokens and signed links in what Sanic logs."""
    ours = logging.getLogger("rasa_handoff")
    if ours.level == logging.NOTSET:
        ours.setLevel(logging.getLogger("rasa").level)
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, _HideTokens) for each in logger.filters):
            logger.addFilter(_HideTokens())
