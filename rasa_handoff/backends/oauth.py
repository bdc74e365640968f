"""Bearer tokens by OAuth2 client credentials (RFC 6749, section 4.4)."""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar
from urllib.parse import quote_plus

from pydantic import BaseModel, Field

from rasa_handoff import strict_json as read
from rasa_handoff.backends.http import Http
from rasa_handoff.backends.tokens import Token
from rasa_handoff.errors import BackendError, Malformed, TemporaryError
from rasa_handoff.model import Json
from rasa_handoff.settings import TextOrNumber, faults_in, read_url

_DOING = "get an access token"

T = TypeVar("T")


class OAuth2Settings(BaseModel, extra="forbid", frozen=True):
    """How to get a token."""

    client_id: TextOrNumber
    client_secret: str = Field(repr=False)
    authorization_url: str
    scope: str | None = None

    def faults(self) -> Iterator[tuple[str, str]]:
        return faults_in(self, {"client_id": _require, "client_secret": _require, "authorization_url": read_url})


class OAuth2:
    """Calls with a token."""

    def __init__(self, who: str, http: Http, settings: OAuth2Settings, now: Callable[[], float] = time.time) -> None:
        self._who = who
        self._http = http
        self._settings = settings
        self._token = Token(self._fetch, now, spread=0.0)

    async def call(self, ask: Callable[[str], Awaitable[T]]) -> T:
        """Have *ask* call with a token; once more, with a new one, when the answer is a 4xx.

        Raises:
            TemporaryError: no token can be had now.
            BackendError: whatever *ask* raises.
        """
        token = await self._token.get()
        try:
            return await ask(token)
        except TemporaryError:
            raise
        except BackendError as error:
            if error.status is None or not 400 <= error.status < 500:
                raise
        # Expired early or revoked, for all that a 4xx tells.
        return await ask(await self._token.get(instead_of=token))

    async def _fetch(self) -> tuple[str, float]:
        try:
            reply = await self._http.ask(
                _DOING,
                "POST",
                self._settings.authorization_url,
                headers={"Authorization": f"Basic {_credentials(self._settings)}", "Accept": "application/json"},
                form=_form(self._settings),
            )
            return read_token(reply.json(self._who, _DOING))
        except TemporaryError:
            raise
        except (BackendError, Malformed) as error:
            # A secret can be put right while messages wait: none of them is lost for it.
            status = error.status if isinstance(error, BackendError) else None
            what = "; see client_id and client_secret" if status in (400, 401, 403) else f" ({error})"
            raise TemporaryError(self._who, _DOING, status, f"the OAuth2 provider gave none{what}") from None


def read_token(payload: Json) -> tuple[str, float]:
    """The access token, and for how many seconds it is good.

    Raises:
        Malformed: it is no answer of RFC 6749, section 5.1.
    """
    token = read.text(payload, "access_token", max_length=16_000)
    if (read.text(payload, "token_type", max_length=100, required=False) or "bearer").lower() != "bearer":
        raise Malformed("token_type must be bearer")
    seconds = payload.get("expires_in")
    if isinstance(seconds, str) and seconds.isdecimal():  # not as the RFC has it, but seen
        payload = {**payload, "expires_in": int(seconds[:15])}
    return token, read.number(payload, "expires_in", required=False) or float("inf")


def _credentials(settings: OAuth2Settings) -> str:
    # RFC 6749, section 2.3.1: each is encoded before they are joined.
    pair = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret)}"
    return base64.b64encode(pair.encode()).decode()


def _form(settings: OAuth2Settings) -> dict[str, str]:
    scope = {"scope": settings.scope} if settings.scope else {}
    return {"grant_type": "client_credentials", **scope}


def _require(text: str) -> None:
    if not text.strip():
        raise ValueError("is empty; copy it from the OAuth2 provider")
