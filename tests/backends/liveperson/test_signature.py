"""The signature of LivePerson's webhooks: over the bytes that came, in every form that is documented."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from rasa_handoff.errors import NotAuthentic
from rasa_handoff.signing import require_hmac
from rasa_handoff.testing import Payloads

# Of LivePerson's own example: https://github.com/LivePersonInc/lp-demo-app-connector-api (test/notifications.test.js)
SECRET = "rl9hacst6kqilbofup64n11ga3"
PUBLISHED = [
    ("consumer_pauses_signed", "sha1=e/TfS0wv1HbvEsMqcBMmFLcMslI="),
    ("consumer_closed_signed", "sha1=CKiT6u4nb4Mpi0tdbCbgBXKAF1E="),
]

payloads = Payloads(__file__)


@pytest.mark.parametrize(("name", "signature"), PUBLISHED)
def test_the_published_signatures_fit(name: str, signature: str) -> None:
    require_hmac(signature, payloads.raw(name), SECRET)


@pytest.mark.parametrize(("name", "signature"), PUBLISHED)
def test_they_fit_no_other_bytes_and_no_other_secret(name: str, signature: str) -> None:
    body = payloads.raw(name)
    for wrong in (body + b" ", body.replace(b'":', b'": ', 1), b""):
        with pytest.raises(NotAuthentic):
            require_hmac(signature, wrong, SECRET)
    with pytest.raises(NotAuthentic):
        require_hmac(signature, body, "another")


@pytest.mark.parametrize("scheme", ["sha1", "sha256"])
@pytest.mark.parametrize("form", ["base64", "hex", "HEX"])
def test_both_hashes_in_base64_and_hex(scheme: str, form: str) -> None:
    body = '{"text": "\N{BICYCLE} \'Räder\'"}'.encode()
    digest = hmac.new(SECRET.encode(), body, getattr(hashlib, scheme)).digest()
    text = {"base64": base64.b64encode(digest).decode(), "hex": digest.hex(), "HEX": digest.hex().upper()}[form]
    require_hmac(f"{scheme}={text}", body, "the-one-after-it", SECRET)
    with pytest.raises(NotAuthentic):
        require_hmac(f"{scheme}={text}", body, "the-one-after-it")


@pytest.mark.parametrize("given", [None, "", "=", "sha1=", "sha1", "sha512=aa", "md5=aa", "sha1=\ud800", "SHA1 =x"])
def test_anything_else_opens_nothing(given: str | None) -> None:
    with pytest.raises(NotAuthentic):
        require_hmac(given, b"{}", SECRET)


def test_an_empty_secret_opens_nothing() -> None:
    digest = hmac.new(b"", b"{}", hashlib.sha1).hexdigest()
    with pytest.raises(NotAuthentic):
        require_hmac(f"sha1={digest}", b"{}", "")
