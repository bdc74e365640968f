"""What can go wrong, as one tree.

HandoffError
├── ConfigError            the settings are wrong; the message names every fault and its remedy
├── FilesError             a bot's files cannot be used as they are; the message names each and its line
├── StoreError             the database cannot be used
│   ├── StoreClosed        the server is starting or stopping
│   └── StoreInUse         another process writes this SQLite file
├── BackendError           the agent system said no for good
│   ├── TemporaryError     … or could not answer now: try again
│   ├── Unavailable        nobody there to take the chat: the bot stays in charge
│   ├── Refused            it looked at the request and declined: the bot stays in charge
│   └── ChatGone           the chat is over on their side
├── UserUnreachable        a message cannot reach the user on their channel
│   └── UserAway           … now: it waits
├── FetchError             a file from elsewhere cannot be had
├── WebhookError           an inbound request that has no effect
│   ├── NotAuthentic       401: the token or signature is missing or wrong
│   ├── Malformed          400: theirs, but unreadable
│   ├── UnknownChat        404: no such conversation (or not theirs to know)
│   └── Conflict           409: not possible in the state the chat is in
"""

from __future__ import annotations


class HandoffError(Exception):
    """Anything this package raises on purpose."""


class ConfigError(HandoffError):
    """The settings are wrong.

    Args:
        faults: one sentence each, naming the setting, the fault and the remedy.
        file: where they are.
        cannot: what is not possible with them.
    """

    def __init__(
        self, faults: list[str], file: str = "credentials.yml", cannot: str = "rasa_handoff cannot start"
    ) -> None:
        self.faults = faults
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"{cannot} with these settings ({file}):\n{lines}")


class FilesError(HandoffError):
    """A bot's files cannot be used as they are.

    Args:
        faults: one sentence each, with the file, the line where there is one, and the remedy.
    """

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


class StoreError(HandoffError):
    """The database cannot be used."""


class StoreClosed(StoreError):
    """The server is starting or stopping, and the database is not open."""


class StoreInUse(StoreError):
    """Another process writes this SQLite file."""


class BackendError(HandoffError):
    """The agent system said no for good.

    Args:
        who: the backend's name.
        doing: what was tried, as in "open a chat".
        status: the HTTP status that came back, if one did.
        detail: what came back, shortened; never a secret, never a user's text.
    """

    def __init__(self, who: str, doing: str, status: int | None = None, detail: str = "") -> None:
        self.who = who
        self.doing = doing
        self.status = status
        self.detail = detail
        came_back = " ".join(filter(None, [f"HTTP {status}" if status else "", detail[:200]]))
        super().__init__(f"{who}: could not {doing}" + (f": {came_back}" if came_back else ""))


class TemporaryError(BackendError):
    """The agent system could not answer now; try again.

    Args:
        retry_after: seconds the other side asked us to wait, if it did.
    """

    def __init__(
        self,
        who: str,
        doing: str,
        status: int | None = None,
        detail: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(who, doing, status, detail)
        self.retry_after = retry_after


class Unavailable(BackendError):
    """Nobody is there to take the chat."""


class Refused(BackendError):
    """The agent system looked at the request and declined it."""


class ChatGone(BackendError):
    """The chat is over on the agent system's side."""


class UserUnreachable(HandoffError):
    """A message cannot reach the user on their channel, and will not."""


class UserAway(UserUnreachable):
    """The user cannot be reached now (not connected); the message waits.

    Args:
        everywhere: no other process on the same database can reach them either.
    """

    def __init__(self, message: str, *, everywhere: bool = False) -> None:
        self.everywhere = everywhere
        super().__init__(message)


class FetchError(HandoffError):
    """A file from elsewhere cannot be had; the message says why, and begins with "it" or "its"."""


class WebhookError(HandoffError):
    """An inbound request that has no effect; its class is the answer."""

    status = 400


class NotAuthentic(WebhookError):
    """The token or signature is missing or wrong."""

    status = 401


class Malformed(WebhookError):
    """The request is theirs, but cannot be read; the message names the field."""

    status = 400


class UnknownChat(WebhookError):
    """No such conversation, or not theirs to know."""

    status = 404


class Conflict(WebhookError):
    """Not possible in the state the chat is in; the message says which.

    Args:
        code: a stable word for programs, e.g. an end reason or "taken".
    """

    status = 409

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)
