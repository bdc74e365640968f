"""What it means when Slack's Web API says no, or nothing."""

from __future__ import annotations

import asyncio

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from rasa_handoff.backends.http import retry_after
from rasa_handoff.errors import TemporaryError, UserUnreachable

NO_ANSWER = (SlackClientError, aiohttp.ClientError, asyncio.TimeoutError, OSError)  #: beside `SlackApiError`
MISSING_SCOPE = "missing_scope"

# When it is Slack's own trouble: https://docs.slack.dev/reference/methods/chat.postMessage#errors
_AGAIN = {"fatal_error", "internal_error", "ratelimited", "rate_limited", "request_timeout", "service_unavailable"}


def code_of(error: SlackApiError) -> str:
    """Slack's word for it; empty where its answer is none of its API's."""
    data = getattr(error.response, "data", None)
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def meaning(error: SlackApiError, doing: str = "send a message") -> TemporaryError | UserUnreachable:
    """The error that says whether to try again."""
    response, code = error.response, code_of(error)
    status = getattr(response, "status_code", None) or getattr(response, "status", None)
    if status == 429 or code in _AGAIN or not code:
        wait = retry_after(getattr(response, "headers", {}))
        return TemporaryError("slack", doing, status, code, retry_after=wait)
    needed = f" (the bot token needs the scope {response['needed']})" if code == MISSING_SCOPE else ""
    return UserUnreachable(f"slack: could not {doing}: {code}{needed}")


def no_answer(error: Exception, doing: str = "send a message") -> TemporaryError:
    """Slack cannot be reached, or did not answer in time."""
    return TemporaryError("slack", doing, detail=type(error).__name__)
