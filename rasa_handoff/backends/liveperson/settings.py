"""LivePerson's section in the settings, for conversations through the Connector API."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from rasa_handoff.backends import sources
from rasa_handoff.backends.liveperson.domains import BASE, require_base
from rasa_handoff.settings import TextOrNumber, faults_in, matching, read_duration

URGENCIES = ("NORMAL", "URGENT", "PRIORITIZED")
_FEATURES = ("AUTO_MESSAGES", "RICH_CONTENT", "QUICK_REPLIES")
SURVEYS = "MULTI_DIALOG"  #: the feature without which no survey follows


class Campaign(BaseModel, extra="forbid", frozen=True):
    """A campaign for messaging, which routes as the brand has set it up."""

    campaign_id: TextOrNumber
    engagement_id: TextOrNumber


class LivePersonSettings(BaseModel, extra="forbid", frozen=True):
    """The section. Where a value is a source, it is one of `rasa_handoff.backends.sources`."""

    needs_public_url: ClassVar[bool] = True

    account: TextOrNumber  #: their number of the account, also called site id and brand id
    client_id: TextOrNumber  #: of the app that is installed in the account
    client_secret: str = Field(repr=False)  #: of the same; it signs their webhooks, too
    former_client_secret: str | None = Field(None, repr=False)  #: taken in webhooks as well, while it is being changed
    skill: TextOrNumber = "-1"  #: where conversations go that the route names no group for; -1 is any
    campaign: Campaign | None = None
    urgency: str = "NORMAL"  #: `ttrDefName`, where the request names no priority
    customer_info: dict[str, str] = {}  #: SDE of the user by name, and the source of each
    personal_info: dict[str, str] = {}  #: likewise; a dot leads inwards
    context: dict[str, str] = {}  #: `conversationContext` by name, likewise
    features: list[str] = list(_FEATURES)  #: what the user's side can show
    survey: bool = False  #: whether a survey that follows the conversation is part of it
    receipts: bool = True  #: whether agents see what has reached the user, and what has been read
    automatic_messages: bool = True  #: whether users see what the system says by itself
    agent_name: str = "An agent"  #: for users; what we are told has only ids
    agent_names: dict[str, str] = {}  #: of some, by their ids
    transcript_heading: str = "Conversation with the bot:"
    upload_files: bool = True  #: whether agents get users' pictures as such; else as links
    file_hosts: list[str] = []  #: ``host:port`` that users' pictures may come from though it is not public
    file_links: Any = "7d"  #: how long a link to an agent's file opens it
    domain_api: str = BASE

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the types cannot say."""
        yield from faults_in(self, _CHECKS)
        for name in ("customer_info", "personal_info", "context"):
            wanted = getattr(self, name)
            yield from sources.faults_in_sources(wanted, name)
            yield from ((f"{name}.{key}", _ODD_NAME) for key in wanted if not _NAME.fullmatch(key))
            outer = [key for key in wanted if any(other.startswith(f"{key}.") for other in wanted)]
            yield from ((f"{name}.{key}", _IS_OUTER) for key in outer)


_NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", re.ASCII)
_IS_OUTER = "has others inside it, so it cannot have a value itself; leave it out"
_ODD_NAME = "must be a name of theirs; write e.g. firstname, or contacts.email for one inside another"


def _require_features(features: list[str]) -> None:
    if SURVEYS in features:
        raise ValueError(f"must not have {SURVEYS}, which invites a survey; write survey: true for that")
    if not all(re.fullmatch(r"[A-Z_]+", feature, re.ASCII) for feature in features):
        raise ValueError(f"must be their names; write e.g. [{', '.join(_FEATURES)}]")


def _require_hosts(hosts: list[str]) -> None:
    if not all(re.fullmatch(r"[^\s/:]+:\d{1,5}", host, re.ASCII) for host in hosts):
        raise ValueError("must be hosts with their ports; write e.g. [files.internal:8080]")


_WHOLE = matching(r"[!-~]{16,}", "is shorter than theirs, or has odd characters; copy it from the app's installation")
_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "account": matching(r"[A-Za-z0-9]+", "must be the account's number; copy it from the address of their console"),
    "client_id": matching(r"[!-~]+", "is empty or has odd characters; copy it from the app's installation"),
    "client_secret": _WHOLE,
    "former_client_secret": _WHOLE,
    "skill": matching(r"-1|\d+", "must be a skill's number, or -1 for any; the name will not do"),
    "urgency": matching("|".join(URGENCIES), f"must be one of {', '.join(URGENCIES)}"),
    "features": _require_features,
    "file_hosts": _require_hosts,
    "file_links": read_duration,
    "domain_api": require_base,
}
