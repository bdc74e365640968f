"""The running server over HTTP, for programs that operate it.

ClientError
├── ServerUnreachable    nothing answers there
├── NotAuthorised        it does not take the token
└── ServerRefused        it answered, and said no
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, IncompleteRead
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

from rasa_handoff.errors import HandoffError
from rasa_handoff.model import Json

PREFIX = "/webhooks/handoff"
LONGEST_ANSWER = 10.0  #: seconds
LONGEST_OPENING = 120.0  #: seconds; a turn of the bot may end before, and then agent systems are asked
LONGEST_SUM = 60.0  #: seconds; for half a million handoffs
LONGEST_ERASURE = 300.0  #: seconds; a large SQLite file is written anew


class ClientError(HandoffError):
    """The server did not do what was asked."""


class ServerUnreachable(ClientError):
    """Nothing answers at that address."""


class NotAuthorised(ClientError):
    """The server does not take the token."""


class ServerRefused(ClientError):
    """The server answered, and said no.

    Args:
        status: of the answer.
        code: the server's word for why, if it gave one.
    """

    def __init__(self, message: str, status: int, code: str = "") -> None:
        self.status = status
        self.code = code
        super().__init__(message)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to somebody else."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Asks the server at *url* what an operator may ask."""

    url: str
    token: str = field(repr=False)

    def handoffs(self) -> list[Json]:
        """The open ones, oldest first."""
        return list(self._ask("list the handoffs", "GET", "/handoffs")["handoffs"])

    def take(self, sender_id: str, **wishes: str | None) -> Json:
        """Give a conversation to the agents; the handoff, which is closed where nobody takes it.

        Args:
            wishes: ``backend``, ``group`` and ``priority``.
        """
        asked = {name: wish for name, wish in wishes.items() if wish is not None}
        doing = "give the conversation to the agents"
        body = {"sender_id": sender_id, **asked}
        return dict(self._ask(doing, "POST", "/handoffs/take", body, LONGEST_OPENING)["handoff"])

    def give_back(self, sender_id: str) -> Json:
        """End the open handoff of a conversation."""
        doing = "give the conversation back to the bot"
        return dict(self._ask(doing, "POST", "/handoffs/close", {"sender_id": sender_id})["handoff"])

    def deliveries(self) -> list[Json]:
        """The waiting and the dead ones."""
        return list(self._ask("list the outbox", "GET", "/outbox")["deliveries"])

    def retry(self, delivery_id: str) -> Json:
        """Send a dead delivery again."""
        path = f"/outbox/{quote(delivery_id, safe='')}/retry"
        return dict(self._ask(f"retry delivery {delivery_id}", "POST", path)["delivery"])

    def stats(self, since: str, by: str | None, zone: str) -> Json:
        """What the handoffs came to.

        Args:
            since: how long ago to begin, e.g. ``7d``.
            by: ``backend``, ``group``, ``day`` or ``reason``, for a row of each.
            zone: where a day begins, e.g. ``Europe/Berlin``.
        """
        query = urlencode({"since": since, "by": by or "", "zone": zone})
        return self._ask("sum up the handoffs", "GET", f"/stats?{query}", seconds=LONGEST_SUM)

    def export(self, sender_id: str) -> Json:
        """All that is kept of a user."""
        asked = {"sender_id": sender_id}
        return dict(self._ask("export the user", "POST", "/users/export", asked, LONGEST_ERASURE)["user"])

    def save(self, link: str, file: BinaryIO) -> None:
        """Write into *file* what a link of an export opens."""
        doing = "give a file"
        with self._answering(doing, urllib.request.Request(self.url + urlsplit(link).path), LONGEST_ERASURE) as answer:
            shutil.copyfileobj(answer, file)
            if answer.length:  # it was cut off, which reading piece by piece does not tell
                raise IncompleteRead(b"", answer.length)

    def erase(self, sender_id: str, *, close: bool) -> Json:
        """Delete all that is kept of a user; *close* ends their open handoff first."""
        asked = {"sender_id": sender_id, "close": close}
        return self._ask("erase the user", "POST", "/users/erase", asked, LONGEST_ERASURE)

    def _ask(
        self, doing: str, method: str, path: str, body: Json | None = None, seconds: float = LONGEST_ANSWER
    ) -> Json:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        request = urllib.request.Request(
            f"{self.url}{PREFIX}{path}",
            method=method,
            data=json.dumps(body or {}).encode() if method == "POST" else None,
            headers={**headers, "Content-Type": "application/json"},
        )
        with self._answering(doing, request, seconds) as answer:
            return _read(answer.read(), doing, self.url, answer.status)

    @contextmanager
    def _answering(self, doing: str, request: urllib.request.Request, seconds: float) -> Iterator[Any]:
        """The server's answer to *request*, to be read.

        Raises:
            ClientError: there is none, or it is a refusal.
        """
        try:
            with self._opener().open(request, timeout=seconds) as answer:
                yield answer
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error.code, error.read(), doing, self.url) from None
        except (OSError, HTTPException, ValueError) as error:  # URLError and time-outs are OSErrors
            reason = getattr(error, "reason", error)
            raise ServerUnreachable(
                f"{self.url} does not answer, so it could not {doing}: {reason}. "
                "Is the Rasa server running? If it is elsewhere, give --url."
            ) from None

    def _opener(self) -> urllib.request.OpenerDirector:
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1"):
            handlers.append(urllib.request.ProxyHandler({}))  # no proxy knows this machine's own servers
        return urllib.request.build_opener(*handlers)


def _refusal(status: int, body: bytes, doing: str, url: str) -> ClientError:
    """What an answer that is not 2xx means."""
    if status == 401:
        return NotAuthorised(
            f"{url} did not let us {doing}: HTTP 401. The token is not the server's; "
            "use the one in its .rasa_handoff/access.json, or that of its credentials.yml."
        )
    error = _error_in(body)
    if error is None:
        return _not_ours(url, doing, status)
    return ServerRefused(f"{url} could not {doing}: {error['message']}", status, str(error.get("code", "")))


def _error_in(body: bytes) -> Json | None:
    """The error as our routes write it; None when it is not one of ours."""
    try:
        error = json.loads(body)["error"]
        return {"code": error["code"], "message": error["message"]}
    except (ValueError, KeyError, TypeError):
        return None


def _read(body: bytes, doing: str, url: str, status: int) -> Json:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise _not_ours(url, doing, status)
    return answer


def _not_ours(url: str, doing: str, status: int) -> ServerRefused:
    return ServerRefused(
        f"{url} could not {doing}: HTTP {status}, and not in our words. Is this a Rasa server with "
        "rasa_handoff.HandoffInput in its credentials.yml?",
        status,
    )
