"""One function per scheme; a check returns nothing or raises."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any

from rasa_handoff.errors import NotAuthentic

_SIGNED = re.compile(r"(?P<body>(?P<value>[A-Za-z0-9_-]*)\.(?P<expires>[0-9]{0,12}))\.(?P<mac>[0-9a-f]{64})")
_HASHES: Mapping[str, Callable[..., Any]] = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}


def require_bearer(header: str | None, *secrets: str) -> None:
    """Require an Authorization *header* to be `Bearer` and one of *secrets*."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer":
        raise NotAuthentic("the Authorization header is missing or not a bearer token")
    require_token(token.strip(" "), *secrets)


def require_token(given: str | None, *secrets: str) -> None:
    """Require *given* to be one of *secrets*; an empty secret opens nothing."""
    digest = _digest(given or "")
    # Every secret is compared, so that the time tells neither which one fits nor how far.
    found = [hmac.compare_digest(digest, _digest(secret)) for secret in secrets if secret]
    if not given or not any(found):
        raise NotAuthentic("the token is missing or wrong")


def require_hmac(given: str | None, body: bytes, *secrets: str) -> None:
    """Require *given*, ``sha1=…`` or ``sha256=…``, to be the HMAC of the raw *body* with one of *secrets*.

    It may be in base64 or in hexadecimal digits; an empty secret opens nothing.
    """
    scheme, _, value = (given or "").strip().partition("=")
    made_with = _HASHES.get(scheme.lower())
    if made_with is None:
        raise NotAuthentic("the signature is missing, or of a kind that is not known")
    digests = [hmac.new(_encoded(secret), body, made_with).digest() for secret in secrets if secret]
    # Every form is compared, so that the time tells neither which one fits nor how far.
    found = [
        hmac.compare_digest(_encoded(text), form)
        for digest in digests
        for text, form in ((value, base64.b64encode(digest)), (value.lower(), digest.hex().encode()))
    ]
    if not any(found):
        raise NotAuthentic("the signature does not match")


def sign(secret: str, purpose: str, value: str, expires: float | None = None) -> str:
    """*value* in a form that only *secret* makes, for one *purpose* and until *expires* (epoch seconds)."""
    encoded = base64.urlsafe_b64encode(_encoded(value)).rstrip(b"=").decode()
    body = f"{encoded}.{'' if expires is None else int(expires)}"
    return f"{body}.{_mac(secret, purpose, body)}"


def require_signed(secret: str, purpose: str, token: str | None, now: float) -> str:
    """Require *token* to be ours, for *purpose*, and not expired; gives the value that was signed."""
    found = _SIGNED.fullmatch(token or "")
    if found is None:
        raise NotAuthentic("the signature is missing or unreadable")
    _require_mac(secret, purpose, found["body"], found["mac"])
    if found["expires"] and int(found["expires"]) <= now:
        raise NotAuthentic("the signature has expired")
    padding = "=" * (-len(found["value"]) % 4)
    return base64.urlsafe_b64decode(found["value"] + padding).decode("utf-8", "surrogatepass")


def alias(secret: str, purpose: str, name: str) -> str:
    """64 hexadecimal digits in the place of *name*: the same each time, and telling nothing of it."""
    return _mac(secret, purpose, name)


def conversation_token(secret: str, sender: str) -> str:
    """What opens the conversation of *sender*, and no other."""
    return _mac(secret, "conversation", sender)


def require_conversation_token(secret: str, sender: str, token: str | None) -> None:
    """Require *token* to open the conversation of *sender*."""
    _require_mac(secret, "conversation", sender, token or "")


def _require_mac(secret: str, purpose: str, text: str, given: str) -> None:
    if not hmac.compare_digest(_encoded(_mac(secret, purpose, text)), _encoded(given)):
        raise NotAuthentic("the signature does not match")


def _mac(secret: str, purpose: str, text: str) -> str:
    """HMAC-SHA256, under a key of its own for each purpose."""
    if not secret:
        raise ValueError("an empty secret signs nothing")
    key = hmac.digest(_encoded(secret), _encoded(purpose), hashlib.sha256)
    return hmac.new(key, _encoded(text), hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    """The same length for every text, so that comparing tells no length."""
    return hashlib.sha256(_encoded(text)).digest()


def _encoded(text: str) -> bytes:
    # Headers can bring halves of surrogate pairs; they are wrong, not an error of ours.
    return text.encode("utf-8", "surrogatepass")
