"""LiveChat's section in the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, Field

from rasa_handoff.backends import sources
from rasa_handoff.settings import (
    TextOrNumber,
    faults_in,
    matching,
    read_duration,
    read_url,
    require_address,
    require_secret,
)

NAME = "livechat"
_CONSOLE = "https://platform.text.com/console"


class LiveChatUser(BaseModel, extra="forbid", frozen=True):
    """Where each field of the customer comes from (`rasa_handoff.backends.sources`)."""

    name: str | None = None
    email: str | None = None
    avatar: str | None = None


class Speakers(BaseModel, extra="forbid", frozen=True):
    """What a line of the transcript begins with."""

    user: str = "User"
    bot: str = "Bot"


class LiveChatSettings(BaseModel, extra="forbid", frozen=True):
    """The section in the settings."""

    client_id: TextOrNumber
    organization_id: TextOrNumber | None = None
    license_id: TextOrNumber | None = None  #: tells the organization, where that is not set

    # One of three ways to a customer's token
    client_secret: str | None = Field(None, repr=False)
    refresh_token: str | None = Field(None, repr=False)
    agent_token: str | None = Field(None, repr=False)
    redirect_uri: str | None = None

    webhook_secret: str | None = Field(None, repr=False)  #: they present it to us; without one we ask
    former_webhook_secret: str | None = Field(None, repr=False)

    # For the command line alone: it registers the webhooks
    account_id: TextOrNumber | None = None
    personal_access_token: str | None = Field(None, repr=False)

    version: str = "3.6"
    group: TextOrNumber | None = None
    continuous: bool = False
    user: LiveChatUser = LiveChatUser()
    speakers: Speakers = Speakers()
    session_fields: dict[str, str] | None = None  #: None: every slot that is set
    upload: bool = True
    agent_name: str = "An agent"  #: where they do not say who it is
    edited_text: str | None = "✎ {text}"
    deleted_text: str | None = "✎ (A message was taken back.)"
    poll_every: Any = "3s"
    repair_every: Any = "2m"
    api_url: str = "https://api.livechatinc.com"
    accounts_url: str = "https://accounts.livechat.com"

    @property
    def as_agent(self) -> bool:
        """Whether an agent's token gets the customers theirs; else cookies do."""
        return bool(self.refresh_token or self.agent_token)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from faults_in(self, _CHECKS)
        yield from sources.faults_in_sources(dict(self.user), "user")
        yield from sources.faults_in_sources(self.session_fields or {}, "session_fields")
        yield from self._faults_in_grant()
        if bool(self.account_id) != bool(self.personal_access_token):
            missing = "account_id" if self.personal_access_token else "personal_access_token"
            yield missing, f"is missing; the two belong together, copy both from {_CONSOLE}"

    def _faults_in_grant(self) -> Iterator[tuple[str, str]]:
        if self.refresh_token and not self.client_secret:
            yield "client_secret", f"is missing; a refresh_token needs it, copy it from your app at {_CONSOLE}"
        if self.refresh_token and self.agent_token:
            yield "agent_token", "is there beside refresh_token, which makes new ones; leave it out"
        if self.as_agent:
            return
        if not self.redirect_uri:
            what = "write `refresh_token` and `client_secret` of a server-side app, or its `redirect_uri`"
            yield "redirect_uri", f"is missing; {what}"
        if not self.organization_id and not self.license_id:
            yield "organization_id", f"is missing; copy it from {_CONSOLE} > Settings > Account"


_ID = matching(r"[\w-]+", f"is not an id; copy it from {_CONSOLE}")
_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "client_id": _ID,
    "organization_id": _ID,
    "license_id": matching(r"\d+", "must be its digits, as the tracking code has them"),
    "redirect_uri": require_address,
    "webhook_secret": require_secret,
    "former_webhook_secret": require_secret,
    "version": matching(r"\d+\.\d+", 'must be a version of the API; write e.g. "3.6"'),
    "group": matching(r"\d+", "must be a group's number, as the address of its page in LiveChat ends"),
    "poll_every": read_duration,
    "repair_every": read_duration,
    "api_url": read_url,
    "accounts_url": read_url,
}
