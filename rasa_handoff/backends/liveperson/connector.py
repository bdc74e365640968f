"""Calls to LivePerson's Connector API, on behalf of a user, with the two tokens that each of them needs.

https://developers.liveperson.com/connector-api-send-api-authorization-and-authentication.html (read 2026-11)
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlencode

import jwt

from rasa_handoff import strict_json as read
from rasa_handoff.backends.http import TIMEOUT, Http, Reply
from rasa_handoff.backends.liveperson.domains import Domains
from rasa_handoff.backends.liveperson.requests import CONVERSATION_ID, client_properties
from rasa_handoff.backends.liveperson.settings import LivePersonSettings
from rasa_handoff.backends.tokens import Token
from rasa_handoff.errors import BackendError, Malformed, TemporaryError
from rasa_handoff.model import Json

_WHO = "liveperson"
_FILES = "swift"  #: the service
_LONGEST_TOKEN = 16_000
_LONGEST_ID = 200
_LONGEST_PATH = 2048
_APP_TOKEN_LIFE = 3600.0  #: seconds, where the token does not say
_MOST_USERS = 10_000  #: whose tokens are kept
_REFUSED = range(400, 500)  #: statuses whose bodies say what is wrong

# Their errorCode -> which token to renew
# (https://developers.liveperson.com/connector-api-authorization-and-authentication-authorization-error-responses.html;
# in their example a missing AppJWT has the code of a missing ConsumerJWS, so those two renew both)
_APP, _CONSUMER = "app", "consumer"
_RENEW: Mapping[int, frozenset[str]] = {
    40102: frozenset((_APP,)),
    40103: frozenset((_CONSUMER,)),
}
_BOTH = frozenset((_APP, _CONSUMER))

_OK = (None, "OK", 200, "200")  #: `code` of an answer that is a success


class Connector:
    """The API.

    Args:
        http: what asks for what a user waits for; who tries again has a schedule of their own.
        domains: also what asks for tokens.
        now: seconds since the epoch.
    """

    def __init__(
        self, settings: LivePersonSettings, http: Http, domains: Domains, now: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._http = http
        self._domains = domains
        self._now = now
        self._app = Token(self._fetch_app, now)
        self._consumers: OrderedDict[str, Token] = OrderedDict()
        self._root = f"/api/account/{settings.account}"

    # -- calls on behalf of a user, who is called *consumer* there ------------------------------

    async def name_of(self, consumer: str) -> str:
        """What notifications call a user; where their token does not say it, a name that no notification has.

        https://developers.liveperson.com/connector-api-send-api-authorization-and-authentication.html#get-consumerjwt
        (read 2026-11): the token of the example has ``account_id``, ``ext_consumer_id`` and ``lp_consumer_id``.

        Raises:
            TemporaryError: they give no token.
        """
        return lp_consumer_id(await self._keeping(consumer).get()) or consumer

    async def converse(self, consumer: str, wanted: list[Json], timeout: float = TIMEOUT) -> str:
        """Open a conversation; its id.

        Raises:
            TemporaryError, BackendError: as `Http.ask`; or the answer names no conversation.
        """
        doing = "open a conversation"
        reply = await self._call(doing, consumer, "conversation", wanted, timeout)
        try:
            return read_conversation(read.loads(reply.body))
        except Malformed as error:
            raise BackendError(_WHO, doing, reply.status, f"no conversation: {error}") from None

    async def say(self, doing: str, consumer: str, said: Json) -> Json:
        """Send one thing into a conversation; the body of their answer.

        Raises:
            TemporaryError, ChatGone, BackendError: as `Http.ask`; or their answer is an error.
        """
        reply = await self._call(doing, consumer, "conversation/send", said)
        answer = reply.json(_WHO, doing) if reply.body.strip() else {}
        if answer.get("code") not in _OK:
            raise BackendError(_WHO, doing, reply.status, f"code {str(answer['code'])[:40]}")
        body = answer.get("body")
        return body if isinstance(body, dict) else {}

    async def file_place(self, doing: str, consumer: str, wanted: Json) -> tuple[str, str]:
        """Where a file can be put or had for about a minute: its path, and the same with what opens it.

        Raises:
            TemporaryError, ChatGone, BackendError: as `say`.
        """
        answer = await self.say(doing, consumer, wanted)
        try:
            path = read.text(answer, "relativePath", max_length=_LONGEST_PATH)
            signature = read.mapping(answer, "queryParams")
        except Malformed as error:
            raise BackendError(_WHO, doing, detail=f"an answer that cannot be read: {error}") from None
        query = {name: str(signature.get(name) or "") for name in ("temp_url_sig", "temp_url_expires")}
        return path, f"/{path.lstrip('/')}?{urlencode(query)}"

    async def file_url(self, place: str) -> str:
        """The whole address of a place."""
        return await self._domains.url(_FILES, place)

    async def put_file(self, place: str, body: bytes) -> None:
        """Put a file at a place.

        Raises:
            TemporaryError, ChatGone, BackendError: as `Http.ask`.
        """
        headers = {"Content-Type": "application/octet-stream"}
        how: Json = {"headers": headers, "heed": False}
        await self._domains.ask(_FILES, "upload a file", "PUT", place, by=self._http, body=body, **how)

    async def _call(self, doing: str, consumer: str, path: str, body: Any, timeout: float = TIMEOUT) -> Reply:
        """Ask with both tokens; once more, with what they say is missing or wrong renewed."""
        keeping = self._keeping(consumer)
        app, user = await self._app.get(), await keeping.get()
        reply = await self._ask(doing, path, body, app, user, timeout)
        if reply.status == 401:
            renew = _RENEW.get(error_code(reply), _BOTH)
            app = await self._app.get(instead_of=app if _APP in renew else None)
            user = await keeping.get(instead_of=user if _CONSUMER in renew else None)
            reply = await self._ask(doing, path, body, app, user, timeout)
        if reply.status in _REFUSED:
            raise BackendError(_WHO, doing, reply.status, _why(reply))
        return reply

    async def _ask(self, doing: str, path: str, body: Any, app: str, user: str, timeout: float) -> Reply:
        headers = {"Authorization": app, "X-LP-ON-BEHALF": user, **client_properties(self._settings)}
        where = f"{self._root}/messaging/consumer/{path}?v=3"
        how: Json = {"headers": headers, "also": _REFUSED, "timeout": timeout}
        return await self._domains.ask("asyncMessagingEnt", doing, "POST", where, by=self._http, body=body, **how)

    # -- tokens -------------------------------------------------------------------------------

    def _keeping(self, consumer: str) -> Token:
        """The user's token; of many users those who were not heard of for the longest time are forgotten."""
        token = self._consumers.pop(consumer, None) or Token(partial(self._fetch_consumer, consumer), self._now)
        self._consumers[consumer] = token
        if len(self._consumers) > _MOST_USERS:
            self._consumers.popitem(last=False)
        return token

    async def _fetch_app(self) -> tuple[str, float]:
        doing = "get an AppJWT"
        form = {"client_id": self._settings.client_id, "client_secret": self._settings.client_secret}
        path = f"/sentinel{self._root}/app/token?v=1.0&grant_type=client_credentials"
        with _token_trouble(doing, "see client_id and client_secret"):
            reply = await self._domains.ask("sentinel", doing, "POST", path, form=form)
            token = read.text(reply.json(_WHO, doing), "access_token", max_length=_LONGEST_TOKEN)
        return token, life_of(token, self._now())

    async def _fetch_consumer(self, consumer: str) -> tuple[str, float]:
        """A ConsumerJWS, which does not expire."""
        doing = "get a ConsumerJWS"

        async def ask(app: str) -> Reply:
            path = f"{self._root}/consumer?v=1.0"
            headers = {"Authorization": app}
            body = {"ext_consumer_id": consumer}
            return await self._domains.ask("idp", doing, "POST", path, body=body, headers=headers, also=(401,))

        with _token_trouble(doing, "see whether the app has the scope msg.consumer"):
            reply = await self._with_app(doing, ask)
            return read.text(reply.json(_WHO, doing), "token", max_length=_LONGEST_TOKEN), float("inf")

    async def _with_app(self, doing: str, ask: Callable[[str], Awaitable[Reply]]) -> Reply:
        """Ask with the AppJWT; once more with a new one."""
        app = await self._app.get()
        reply = await ask(app)
        if reply.status == 401:
            reply = await ask(await self._app.get(instead_of=app))
        if reply.status == 401:
            raise BackendError(_WHO, doing, 401)
        return reply


@contextmanager
def _token_trouble(doing: str, remedy: str) -> Iterator[None]:
    """Whatever is wrong with a token can be put right while messages wait: none of them is lost for it."""
    try:
        yield
    except TemporaryError:
        raise
    except (BackendError, Malformed) as error:
        status = error.status if isinstance(error, BackendError) else None
        raise TemporaryError(_WHO, doing, status, f"they gave none; {remedy}") from None


def life_of(token: str, now: float) -> float:
    """For how many seconds a JWT is good. Its own two times are compared: our clock may not agree with theirs."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return float(claims["exp"]) - float(claims.get("iat") or now)
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
        return _APP_TOKEN_LIFE


def lp_consumer_id(token: str) -> str | None:
    """Their name for the user of a ConsumerJWS, which is theirs and not ours to verify; None where it has none."""
    try:
        found = jwt.decode(token, options={"verify_signature": False}).get("lp_consumer_id")
    except jwt.InvalidTokenError:
        return None
    return found if isinstance(found, str) and 0 < len(found) <= _LONGEST_ID else None


def read_conversation(answers: Any) -> str:
    """The conversation's id, from the answers to the requests that opened it.

    Raises:
        Malformed: there is none; the message has their codes.
    """
    if not isinstance(answers, list):
        raise Malformed("the answer is no list")
    found = [each for each in answers if isinstance(each, dict)]
    for answer in found:
        body = answer.get("body")
        if answer.get("reqId") in (CONVERSATION_ID, None) and isinstance(body, dict) and "conversationId" in body:
            return read.text(body, "conversationId", max_length=_LONGEST_ID)
    codes = [str(each.get("code"))[:40] for each in found]
    raise Malformed(f"code {', '.join(codes)}" if codes else "the answer is empty")


def error_code(reply: Reply) -> int:
    """Their ``errorCode``, e.g. 40102; 0 where there is none.

    https://developers.liveperson.com/connector-api-authorization-and-authentication-authorization-error-responses.html
    """
    try:
        body = read.loads_object(reply.body).get("body")
    except Malformed:
        return 0
    code = body.get("errorCode") if isinstance(body, dict) else None
    return code if isinstance(code, int) else 0


def _why(reply: Reply) -> str:
    code = error_code(reply)
    remedy = "; see backends.liveperson.account, client_id and client_secret" if reply.status == 401 else ""
    return f"errorCode {code}{remedy}" if code else remedy.lstrip("; ")
