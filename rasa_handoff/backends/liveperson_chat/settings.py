"""The settings of `liveperson_chat`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from rasa_handoff.backends import sources
from rasa_handoff.backends.liveperson.domains import BASE, require_base
from rasa_handoff.settings import TextOrNumber, faults_in, matching, read_duration

# https://developers.liveperson.com/server-chat-api-getting-started.html (read 2026-11): the same key for everybody
_APP_KEY = "721c180b09eb463d9f3191c41762bb68"

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 15.0  #: seconds; they drop a user from whom nothing came for 40
_LONGEST_WAIT = 86_400.0

# What a request for a chat may say beside skill, waiting time, lines and survey: name -> whether it is a number
# (https://developers.liveperson.com/server-chat-api-start-chat.html, read 2026-11).
REQUEST_FIELDS: Mapping[str, bool] = {
    "chatReferrer": False,
    "userAgent": False,
    "language": False,
    "visitorId": True,
    "interactionTimeout": True,
    "engagementId": True,
    "campaignId": True,
    "LETagVisitorId": False,
    "LETagSessionId": False,
    "LETagContextId": False,
    "participantId": False,
    "conversationId": False,
}


class Speakers(BaseModel, extra="forbid", frozen=True):
    """What the two sides are called in front of their lines, for agents."""

    user: str = "Visitor"
    bot: str = "Bot"


class LivePersonChatSettings(BaseModel, extra="forbid", frozen=True):
    """The section in the settings."""

    account: TextOrNumber  #: their number of the account
    skill: TextOrNumber | None = None  #: for requests without a group
    max_wait: Any = None  #: how long somebody may be in their queue; None: what the account says
    details: dict[str, str] | None = None  #: what agents read before the transcript; None: every slot that is set
    speakers: Speakers = Speakers()
    visitor_name: str | None = None  #: where it comes from
    survey: dict[str, str] = {}  #: a question of the pre-chat survey, by its id or label -> where the answer comes from
    request: dict[str, str] = {}  #: `REQUEST_FIELDS`, and where each comes from
    agent_name: str = "An agent"  #: where they do not say who it is
    poll_every: Any = "2s"  #: while an agent has the chat
    poll_queue_every: Any = "5s"  #: while nobody has it
    app_key: str = _APP_KEY
    domain_api: str = BASE

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the types cannot say."""
        yield from faults_in(self, _CHECKS)
        for name in ("details", "survey", "request"):
            yield from sources.faults_in_sources(getattr(self, name) or {}, name)
        for name in self.request.keys() - REQUEST_FIELDS.keys():
            yield f"request.{name}", f"there is no such field; there are {', '.join(REQUEST_FIELDS)}"


def read_pause(value: Any) -> float:
    """Seconds between two looks at a chat."""
    seconds = read_duration(value)
    if not _SHORTEST_PAUSE <= seconds <= _LONGEST_PAUSE:
        raise ValueError("must be 100ms to 15s: LivePerson drops a user from whom nothing came for 40s; write e.g. 2s")
    return seconds


def read_max_wait(value: Any) -> float:
    """Seconds in their queue."""
    seconds = read_duration(value)
    if seconds > _LONGEST_WAIT:
        raise ValueError("must be at most a day; write e.g. 2m")
    return seconds


_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "account": matching(r"[A-Za-z0-9]{3,30}", 'must be the number of the account; write e.g. "42257269"'),
    "app_key": matching(r"[A-Za-z0-9]{8,100}", "must be letters and digits; leave it out for the one of their page"),
    "domain_api": require_base,
    "max_wait": read_max_wait,
    "poll_every": read_pause,
    "poll_queue_every": read_pause,
    "visitor_name": sources.require_source,
}
