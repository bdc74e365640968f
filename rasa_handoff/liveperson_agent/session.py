"""Signed in as an agent: login, the agent session with its cookies, what keeps both alive, and every call.

Login Service API: https://developers.liveperson.com/login-service-api-overview.html
Retry and keep-alive: https://developers.liveperson.com/retry-policy-recommendations.html (both read 2026-11)
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from http.cookies import CookieError, SimpleCookie
from typing import TypeVar
from urllib.parse import quote, urlsplit

from rasa_handoff.backends.breaker import NotAsked, jittered
from rasa_handoff.backends.http import Http, Reply
from rasa_handoff.backends.liveperson.domains import Domains
from rasa_handoff.errors import BackendError, Malformed, TemporaryError
from rasa_handoff.liveperson_agent import reading
from rasa_handoff.liveperson_agent.settings import ChannelSettings
from rasa_handoff.model import Json

log = logging.getLogger(__name__)

WHO = "liveperson_agent"
SIGN_IN = "sign in"  #: what was tried, in an error
SERVICE = "agentVep"  #: Login Service and Chat Agent API
VISITS = "smt"  #: Visit Information API
LARGEST = 1024 * 1024  #: bytes of an answer: a chat as a whole can be long

_LOGIN_AGAIN = 5.0  #: seconds at least between two logins when the first was not answered with one
_TOO_MANY = 429
_TOO_MANY_PAUSE = 1.25  #: seconds; a second at least, whatever the jitter
_PAUSES = (5.0, 10.0, 15.0)  #: seconds between tries, and then …
_LONG_PAUSES = (120.0, 240.0, 480.0)  #: … until it works again
_JSON = {"Accept": "application/json", "Content-Type": "application/json"}
_THEIRS = ".liveperson.net"

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


def pauses() -> Iterator[float]:
    """Seconds to wait before each further try, without an end."""
    yield from _PAUSES
    yield from _LONG_PAUSES
    while True:
        yield _LONG_PAUSES[-1]


def pause_after(error: TemporaryError, waits: Iterator[float]) -> float:
    """Seconds to wait after *error*: what is right for too many requests, what they ask for, or the next of *waits*."""
    if isinstance(error, NotAsked):  # no failure of what wanted to ask
        return error.retry_after or _TOO_MANY_PAUSE
    pause = _TOO_MANY_PAUSE if error.status == _TOO_MANY else next(waits)
    return max(jittered(pause), error.retry_after or 0.0)


class Session:
    """One agent, signed in. Every call signs in anew when the session has ended.

    Args:
        now: seconds on a clock that only goes forward.
    """

    def __init__(
        self, http: Http, domains: Domains, settings: ChannelSettings, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._http = http
        self._domains = domains
        self._settings = settings
        self._now = now
        self._account = f"/api/account/{quote(settings.account, safe='')}"
        self._login: reading.Login | None = None
        self._base = ""  #: the agent session's address
        self._cookies: dict[str, str] = {}  #: of this agent session, and of no other
        self._signing_in = asyncio.Lock()
        self._next_login = 0.0
        self._refused: str | None = None
        self.number = 0  #: grows with each agent session

    @property
    def is_signed_in(self) -> bool:
        return self._login is not None

    # -- begin and end ------------------------------------------------------------------------

    async def sign_in(self, instead_of: int) -> None:
        """Begin an agent session, unless there is one already that is not number *instead_of*.

        Raises:
            TemporaryError: not now; or never, as long as the settings are the same.
        """
        async with self._signing_in:
            if self._login is not None and self.number != instead_of:
                return
            if self._refused is not None:
                raise TemporaryError(WHO, SIGN_IN, detail=self._refused)
            if self._now() < self._next_login:
                wait = self._next_login - self._now()
                raise TemporaryError(WHO, SIGN_IN, detail="too soon after the last try", retry_after=wait)
            self._next_login = self._now() + _LOGIN_AGAIN
            self._login = None
            self._cookies.clear()
            await self._begin()

    async def log_in(self) -> reading.Login:
        """The user's session, without an agent session in it: nobody is there yet.

        Raises:
            TemporaryError, BackendError: none; of the latter, it will never be one with these settings.
        """
        answer = await self._send(SIGN_IN, "POST", f"{self._account}/login?v=1.3", self._settings.credentials)
        return _read(SIGN_IN, answer, reading.read_login)

    async def _begin(self) -> None:
        try:
            login = await self.log_in()
        except TemporaryError:
            raise
        except BackendError as error:
            self._refused = "they refused; see account, username and its password or app_key, and start again"
            log.error("liveperson_agent.refused %s; see account, username and its password or app_key", error)
            raise TemporaryError(WHO, SIGN_IN, error.status, self._refused) from None
        self._login = login
        try:
            body = {"loginData": ""}
            answer = await self._send("begin", "POST", f"{self._account}/agentSession?v=1&NC=true", body)
            self._base = await self._checked(_read("begin", answer, _session_address))
            self.number += 1
            await self.be(self._settings.availability)
        except BackendError as error:
            self._login = None
            if isinstance(error, TemporaryError):
                raise
            log.error("liveperson_agent.no_session %s", error)
            raise TemporaryError(WHO, "begin", error.status, "no agent session; see what the user may do") from None
        log.info("liveperson_agent.signed_in session=%s", self.number)

    async def _checked(self, address: str) -> str:
        """*address*, if the bearer may go there: to the host that the Domain API names, or another of theirs."""
        ours, given = urlsplit(await self._domains.url(SERVICE, "/")), urlsplit(address)
        if given.netloc == ours.netloc:
            return f"{ours.scheme}://{given.netloc}{given.path.rstrip('/')}"
        if given.scheme == "https" and (given.hostname or "").endswith(_THEIRS) and given.port in (None, 443):
            return f"https://{given.hostname}{given.path.rstrip('/')}"
        raise BackendError(WHO, "begin", detail="an agent session at a host that is not theirs")

    async def refresh(self) -> None:
        """Keep the user's session alive; every 3 to 5 minutes."""
        number, login = self.number, self._login
        if login is None:
            return
        try:
            await self._send("refresh", "POST", f"{self._account}/refresh?v=1.3", {"csrf": login.csrf}, heed=False)
        except TemporaryError:
            raise
        except BackendError as error:
            log.warning("liveperson_agent.not_refreshed %s", error)
            await self.sign_in(instead_of=number)

    async def sign_out(self) -> None:
        """End the session; chats that are held go back to the queue."""
        login, self._login = self._login, None
        if login is not None:
            await self._send("sign out", "POST", f"{self._account}/logout?v=1.3", {"csrf": login.csrf}, heed=False)

    # -- calls --------------------------------------------------------------------------------

    async def ask(
        self,
        doing: str,
        method: str,
        where: str,
        body: Json | None = None,
        *,
        put: bool = False,
        heed: bool = True,
    ) -> Json:
        """Ask below the agent session; once more in a new one when this one has ended.

        Args:
            where: a path below the session, or an address that they gave, of this session or an earlier one.
            put: what they want is a PUT, which goes as a POST.
            heed: whether the answer matters.

        Raises:
            TemporaryError: not now, or the answer cannot be read.
            ChatGone, BackendError: no.
        """
        path = below_session(where)
        number = self.number
        if self._login is None:
            await self.sign_in(instead_of=number)
            number = self.number
        try:
            return await self._send(doing, method, self._base + path, body, put=put, heed=heed)
        except TemporaryError:
            raise
        except BackendError as error:
            if error.status != 401:
                raise
        await self.sign_in(instead_of=number)
        return await self._send(doing, method, self._base + path, body, put=put, heed=heed)

    async def ask_for(
        self, doing: str, where: str, read: Callable[[Json], T], method: str = "GET", body: Json | None = None
    ) -> T:
        """What *read* makes of the answer. Raises what `ask` raises."""
        return _read(doing, await self.ask(doing, method, where, body), read)

    async def visit(self, visitor: str, session: str) -> Json:
        """What the Visit Information API knows of a visitor. Raises what `ask` raises, and signs in for nobody."""
        path = f"{self._account}/monitoring/visitors/{quote(visitor, safe='')}/visits/current/state"
        query = f"?v=1&filter=agent&sid={quote(session, safe='')}"
        bearer = self._login.bearer if self._login else ""
        headers = {"Accept": "application/json", "Authorization": f"Bearer {bearer}"}
        doing = "look at the visit"
        reply = await self._domains.ask(VISITS, doing, "GET", path + query, headers=headers, largest=LARGEST)
        return _object(doing, reply)

    async def _send(
        self,
        doing: str,
        method: str,
        url: str,
        body: Json | None = None,
        *,
        put: bool = False,
        heed: bool = True,
    ) -> Json:
        """One request, with the bearer and the session's cookies; a path goes to the Domain API's host."""
        headers = dict(_JSON)
        if self._login is not None:
            headers["Authorization"] = f"Bearer {self._login.bearer}"
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        if put:
            headers["X-HTTP-Method-Override"] = "PUT"
        if url.startswith("/"):
            url = await self._domains.url(SERVICE, url)
        try:
            reply = await self._http.ask(doing, method, url, body=body, headers=headers, heed=heed, largest=LARGEST)
        except TemporaryError as error:
            if error.status is None:
                self._domains.forget(SERVICE)
            raise
        self._keep_cookies(reply)
        return _object(doing, reply) if heed else {}

    def _keep_cookies(self, reply: Reply) -> None:
        for line in getattr(reply.headers, "getall", lambda *_: [])("Set-Cookie", []):
            try:
                found = SimpleCookie(line)
            except CookieError:
                continue
            for name, morsel in found.items():
                if morsel.value and morsel["max-age"] != "0":
                    self._cookies[name] = morsel.coded_value
                else:
                    self._cookies.pop(name, None)

    # -- who is there -------------------------------------------------------------------------

    async def be(self, state: str) -> None:
        """Be Online, Occupied or Away."""
        body = {"availability": {"chat": state}}
        path = below_session("/availability")
        await self._send("set the availability", "POST", self._base + path, body, put=True, heed=False)

    async def availability(self) -> str:
        """What they take us for; Away when a ringing chat was not taken in time."""
        return await self.ask_for("look at the availability", "/availability", reading.read_availability)

    async def colleagues(self, state: str | None = None) -> list[reading.Colleague]:
        """The other agents of the account, those in *state* or all."""
        query = f"?chatState={state}" if state else ""
        found = await self.ask_for("look for agents", f"/availableAgents{query}", reading.read_agents)
        return [agent for agent in found if agent.login != self._settings.username]

    async def held(self) -> list[str]:
        """The ids of the chats that are ours."""
        return await self.ask_for("look for our chats", "/chatSessions", reading.read_held)


_BELOW = re.compile(r"/agentSession/[^/?]+(.*)", re.DOTALL)


def below_session(where: str) -> str:
    """The path below an agent session, with the version that every call names."""
    parts = urlsplit(where)
    found = _BELOW.search(parts.path) if parts.scheme else None
    path = found[1] if found else parts.path
    known = [each for each in parts.query.split("&") if each and not re.match(r"(v|NC)=", each)]
    return f"{path}?{'&'.join([*known, 'v=1', 'NC=true'])}"


def _session_address(answer: Json) -> str:
    return reading.read_location(answer, "agentSessionLocation")


def _object(doing: str, reply: Reply) -> Json:
    """The answer; one that cannot be read comes from something between us, and may be another next time.

    Not as strict as with strangers: an odd text of a visitor must not keep the next ones from being heard.
    """
    try:
        found = json.loads(reply.body.decode(errors="replace"))
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    raise TemporaryError(WHO, doing, reply.status, "an answer that cannot be read")


def _read(doing: str, answer: Json, read: Callable[[Json], T]) -> T:
    try:
        return read(answer)
    except Malformed as error:
        raise TemporaryError(WHO, doing, detail=f"an answer that cannot be read: {error}") from None
