"""Tokens from LiveChat's accounts: a customer's by either grant, and the agent's that one of them needs."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http.cookies import CookieError, SimpleCookie
from typing import Any, cast
from urllib.parse import urlencode

from rasa_handoff import strict_json as read
from rasa_handoff.backends.http import Http, Reply, require_success
from rasa_handoff.backends.livechat.regions import Region, require_here
from rasa_handoff.backends.livechat.settings import NAME, LiveChatSettings
from rasa_handoff.backends.tokens import Token
from rasa_handoff.errors import BackendError, Malformed
from rasa_handoff.model import Json
from rasa_handoff.settings import read_url

log = logging.getLogger(__name__)

_DOING = "get a customer's token"
_COOKIES = ("__lc_cid", "__lc_cst")  #: who the customer is, and the proof of it
_SAY_WHY = range(400, 500)
_LONGEST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who a user is there."""

    id: str  #: the same in tokens, chats and webhooks
    cookies: dict[str, str] = field(default_factory=dict, repr=False)  #: what proves it


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """A customer's token."""

    token: str = field(repr=False)  #: as they want it back, with the region at its front
    seconds: float  #: for which it is good
    customer: Customer
    organization: str | None  #: whose customer that is, where they say so


class Accounts:
    """LiveChat's accounts, for the app that the settings name.

    https://platform.text.com/docs/authorization/customer-authorization (read 2026-11)
    """

    def __init__(self, settings: LiveChatSettings, http: Http, now: Callable[[], float]) -> None:
        self._settings = settings
        self._root = read_url(settings.accounts_url)
        self._http = http
        self._region = Region()
        self._refresh_token = settings.refresh_token
        self.agent = Token(self._agents_token, now, spread=0.0)  #: an agent's, that gets customers theirs

    async def mint(self, known: Customer | None, organization: str | None) -> Minted:
        """A token of the customer *known*; None: of a new one.

        Raises:
            TemporaryError, BackendError: they give none.
        """
        reply = await (
            self._by_agent(known, organization) if self._settings.as_agent else self._by_cookies(known, organization)
        )
        answer = reply.json(NAME, _DOING)
        try:
            token, seconds = _token_in(answer)
            theirs = read.text(answer, "entity_id", max_length=_LONGEST)
            named = read.text(answer, "organization_id", max_length=_LONGEST, required=False)
        except Malformed as error:
            raise unreadable(_DOING, error) from None
        customer = Customer(id=theirs, cookies=_cookies_of(reply, known))
        return Minted(token=token, seconds=seconds, customer=customer, organization=named or None)

    async def _by_agent(self, known: Customer | None, organization: str | None) -> Reply:
        body = {
            "grant_type": "agent_token",
            "client_id": self._settings.client_id,
            "response_type": "token",
            "entity_id": known.id if known else None,
            "organization_id": organization,
        }
        agent = await self.agent.get()
        reply = await self._ask(body, {"Authorization": f"Bearer {agent}"}, also=(401,))
        if reply.status == 401:  # it was revoked, or ended early
            agent = await self.agent.get(instead_of=agent)
            reply = await self._ask(body, {"Authorization": f"Bearer {agent}"})
        return reply

    async def _by_cookies(self, known: Customer | None, organization: str | None) -> Reply:
        body = {
            "grant_type": "cookie",
            "client_id": self._settings.client_id,
            "response_type": "token",
            "organization_id": organization,
            "redirect_uri": self._settings.redirect_uri,
        }
        cookies = known.cookies if known else {}
        sent = "; ".join(f"{name}={cookies[name]}" for name in _COOKIES if name in cookies)
        return await self._ask(body, {"Cookie": sent} if sent else {})

    async def _ask(self, body: Json, headers: dict[str, str], also: tuple[int, ...] = ()) -> Reply:
        url = f"{self._root}/v2/customer/token"
        sent = {name: value for name, value in body.items() if value is not None}
        reply = await self._http.ask(_DOING, "POST", url, body=sent, headers=headers, also=_SAY_WHY)
        if reply.status not in also:
            _require_token(_DOING, reply)
        return reply

    async def _agents_token(self) -> tuple[str, float]:
        if self._settings.agent_token:
            return self._settings.agent_token, float("inf")
        doing = "get the agent's token"
        form = {
            "grant_type": "refresh_token",
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret or "",
            "refresh_token": self._refresh_token or "",
        }
        reply = await self._http.ask(doing, "POST", f"{self._root}/v2/token", form=form, also=_SAY_WHY)
        _require_token(doing, reply)
        answer = reply.json(NAME, doing)
        try:
            newer = read.text(answer, "refresh_token", max_length=_LONGEST, required=False)
            found = _token_in(answer)
        except Malformed as error:
            raise unreadable(doing, error) from None
        if newer and newer != self._refresh_token:
            log.warning("livechat.refresh_token_changes use a server-side app, whose refresh token stays")
            self._refresh_token = newer
        return found

    async def organization_of_license(self) -> str:
        """The organization's id, from the number of its license; the one call that needs no token."""
        doing = "find the organization"
        query = urlencode({"license_id": self._settings.license_id or ""})
        action = f"v{self._settings.version}/customer/action/get_dynamic_configuration"
        url = f"{read_url(self._settings.api_url)}/{action}?{query}"
        ask = partial(self._http.ask, doing, "GET", url, judge=partial(_judge, doing))
        reply = await self._region.ask(lambda headers: ask(headers=headers))
        try:
            return read.text(reply.json(NAME, doing), "organization_id", max_length=_LONGEST)
        except Malformed as error:
            raise unreadable(doing, error) from None


def unreadable(doing: str, error: Malformed) -> BackendError:
    return BackendError(NAME, doing, detail=f"an answer that cannot be read: {error}")


def _token_in(answer: Json) -> tuple[str, float]:
    token = read.text(answer, "access_token", max_length=_LONGEST)
    if not re.fullmatch(r"[!-~]+", token):
        raise Malformed("access_token has characters that a header cannot carry")
    return token, read.number(answer, "expires_in")


def _cookies_of(reply: Reply, known: Customer | None) -> dict[str, str]:
    """The cookies to send next time: those that came now, else the ones before."""
    found = dict(known.cookies) if known else {}
    for header in cast("Any", reply.headers).getall("Set-Cookie", ()):
        try:
            found |= {name: each.value for name, each in SimpleCookie(header).items() if name in _COOKIES}
        except CookieError:
            continue  # of another name; ours are well-formed
    # What a Cookie header can carry (RFC 6265, section 4.1.1).
    return {name: value for name, value in found.items() if re.fullmatch(r"[!#-+\--:<-[\]-~]+", value)}


def _judge(doing: str, reply: Reply) -> None:
    require_here(doing, reply)
    require_success(NAME, doing, reply)


def _require_token(doing: str, reply: Reply) -> None:
    """Raise their word for what is wrong; the description beside it may repeat what was sent."""
    if reply.status not in _SAY_WHY:
        return
    try:
        found = reply.json(NAME, doing).get("oauth_exception")
    except BackendError:
        found = None
    word = found if isinstance(found, str) and re.fullmatch(r"[a-z_]{1,40}", found) else "no"
    raise BackendError(NAME, doing, reply.status, f"{word}; see client_id and the credentials beside it")
