"""Which host serves what for a LivePerson account: the Domain API.

https://developers.liveperson.com/domain-api-retrieve-api-domains-by-service-name.html (read 2026-11)
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from rasa_handoff import strict_json as read
from rasa_handoff.backends.http import Http, Reply
from rasa_handoff.errors import BackendError, Malformed, TemporaryError
from rasa_handoff.model import Json
from rasa_handoff.settings import read_url

BASE = "https://api.liveperson.net"  #: the only address of theirs that never changes
GOOD_FOR = 4 * 3600.0  #: seconds; "never hardcode" is all they say
SOONEST_AGAIN = 30.0  #: seconds between two looks, however often connections fail

_WHO = "liveperson"
_DOING = "look up its domains"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_HOST = re.compile(r"(?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+(?::[0-9]{1,5})?")
_MOST_SERVICES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a look gave."""

    host: str
    at: float  #: seconds since the epoch
    doubted: bool = False  #: a connection to it failed since


class Domains:
    """The hosts of one account: each looked up when it is needed, and once however many wait for it.

    Args:
        http: what asks; its time-outs hold.
        account: their number of the account, e.g. ``"42257269"``.
        base: where the Domain API is. With ``http://`` to this machine, as tests have it, `url` has no TLS either.
        now: seconds since the epoch.
    """

    def __init__(self, http: Http, account: str, base: str = BASE, now: Callable[[], float] = time.time) -> None:
        self._http = http
        self._account = account
        self._base = base.rstrip("/")
        self._now = now
        self._scheme = "http" if _is_http_on_loopback(base) else "https"
        self._found: dict[str, _Found] = {}
        self._looking: dict[str, asyncio.Task[str]] = {}

    async def get(self, service: str) -> str:
        """The host of *service*, e.g. ``"asyncMessagingEnt"``; with a port where they name one, without a scheme.

        Raises:
            TemporaryError: it is not known, and cannot be looked up now.
            BackendError: they know no such account or service.
        """
        found = self._found.get(service)
        if found is not None and not self._is_due(found):
            return found.host
        if service not in self._looking:
            looking = asyncio.create_task(self._look(service))
            looking.add_done_callback(partial(self._looked, service))
            self._looking[service] = looking
        # Who waits may be cancelled; the others still want it.
        return await asyncio.shield(self._looking[service])

    async def url(self, service: str, path: str) -> str:
        """The address of *path*, which begins with a slash, at *service*. Raises what `get` raises."""
        return f"{self._scheme}://{await self.get(service)}{path}"

    def forget(self, service: str) -> None:
        """Look *service* up again before it is used: a connection to it failed."""
        found = self._found.get(service)
        if found is not None:
            self._found[service] = _Found(host=found.host, at=found.at, doubted=True)

    async def ask(
        self, service: str, doing: str, method: str, path: str, *, by: Http | None = None, **how: Any
    ) -> Reply:
        """`Http.ask` at *service*, which is forgotten when there was no connection or no answer.

        Args:
            by: what asks, if it is another than what looks up.
        """
        url = await self.url(service, path)
        try:
            return await (by or self._http).ask(doing, method, url, **how)
        except TemporaryError as error:
            if error.status is None:
                self.forget(service)
            raise

    def _is_due(self, found: _Found) -> bool:
        return self._now() - found.at >= (SOONEST_AGAIN if found.doubted else GOOD_FOR)

    def _looked(self, service: str, looking: asyncio.Task[str]) -> None:
        del self._looking[service]
        if not looking.cancelled():
            looking.exception()  # seen, also where nobody waits any more

    async def _look(self, service: str) -> str:
        path = f"/api/account/{quote(self._account, safe='')}/service/{quote(service, safe='')}/baseURI.json"
        known = self._found.get(service)
        try:
            reply = await self._http.ask(_DOING, "GET", f"{self._base}{path}?version=1.0")
            found = _Found(host=read_host(reply.json(_WHO, _DOING), service), at=self._now())
        except TemporaryError:
            if known is None:
                raise
            found = _Found(host=known.host, at=self._now(), doubted=True)  # old, but better than nothing
        except Malformed as error:
            raise BackendError(_WHO, _DOING, reply.status, str(error)) from None
        self._found[service] = found
        return found.host


async def knows(account: str, base: str, service: str) -> str:
    """What is to be said when they know *account* and have *service* for it; for `Backend.probe`.

    Raises:
        BackendError: they do not.
    """
    http = Http(_WHO)
    try:
        await Domains(http, account, base).get(service)
    finally:
        await http.close()
    return "knows the account"


def read_host(payload: Json, service: str) -> str:
    """The host of *service*, from an answer of either shape: one entry, or a list of them.

    Raises:
        Malformed: it is in neither, or is no host.
    """
    for entry in _entries(payload):
        if entry.get("service", service) == service:
            host = read.text(entry, "baseURI", max_length=300)
            if not _HOST.fullmatch(host):
                raise Malformed("baseURI must be a host without a scheme")
            return host
    raise Malformed(f"there is no service {service} for this account; see the account's number")


def _entries(payload: Json) -> Iterator[Json]:
    if "baseURIs" not in payload:
        yield payload
        return
    for entry in read.sequence(payload, "baseURIs", max_length=_MOST_SERVICES):
        if not isinstance(entry, dict):
            raise Malformed("baseURIs must be a list of objects")
        yield entry


def require_base(text: str) -> None:
    """Require *text*, a setting, to be an address that secrets may follow: with TLS, or on this machine."""
    url = read_url(text)
    if urlsplit(url).scheme != "https" and not _is_http_on_loopback(url):
        raise ValueError(f"must be an https:// address; write {BASE}, or leave it out")


def _is_http_on_loopback(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in _LOOPBACK
