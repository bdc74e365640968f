"""Tokens and signatures: the right one passes, anything else is NotAuthentic and nothing worse."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasa_handoff.errors import NotAuthentic
from rasa_handoff.signing import (
    conversation_token,
    require_bearer,
    require_conversation_token,
    require_hmac,
    require_signed,
    require_token,
    sign,
)

SECRET = "s" * 43
OTHER = "o" * 43
NOW = 1_700_000_000.0

# Headers reach us with lone surrogates, NUL and worse in them.
anything = st.one_of(st.none(), st.text(st.characters(), max_size=80), st.text(alphabet="Bearer .=-_aA0é\ud800\0\n"))


class TestBearer:
    @pytest.mark.parametrize("header", [f"Bearer {SECRET}", f"bearer {SECRET}", f"Bearer  {SECRET} "])
    def test_the_right_token_passes(self, header: str) -> None:
        require_bearer(header, SECRET)

    @pytest.mark.parametrize("secret", [SECRET, OTHER])
    def test_any_of_several_secrets_passes(self, secret: str) -> None:
        require_bearer(f"Bearer {secret}", SECRET, OTHER)

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "Bearer",
            "Bearer ",
            SECRET,
            f"Basic {SECRET}",
            f"Bearer {SECRET}x",
            f"Bearer {SECRET[:-1]}",
            f"Bearer\t{SECRET}",
        ],
    )
    def test_anything_else_is_refused(self, header: str | None) -> None:
        with pytest.raises(NotAuthentic):
            require_bearer(header, SECRET)

    @pytest.mark.parametrize("secrets", [(), ("",), ("", "")])
    def test_without_a_secret_nothing_opens(self, secrets: tuple[str, ...]) -> None:
        for header in ("Bearer ", "Bearer x", None):
            with pytest.raises(NotAuthentic):
                require_bearer(header, *secrets)

    @given(anything)
    def test_hostile_headers_are_only_ever_refused(self, header: str | None) -> None:
        with pytest.raises(NotAuthentic):
            require_bearer(header, SECRET)
        with pytest.raises(NotAuthentic):
            require_token(header, SECRET)


class TestSigned:
    @given(st.text(st.characters(), max_size=100), st.text(max_size=20))
    def test_what_was_signed_comes_back(self, value: str, purpose: str) -> None:
        assert require_signed(SECRET, purpose, sign(SECRET, purpose, value), NOW) == value

    def test_a_signature_holds_until_it_expires(self) -> None:
        token = sign(SECRET, "session", "agent-1", expires=NOW + 60)
        assert require_signed(SECRET, "session", token, NOW + 59) == "agent-1"
        with pytest.raises(NotAuthentic, match="expired"):
            require_signed(SECRET, "session", token, NOW + 60)

    def test_it_opens_one_purpose_only(self) -> None:
        with pytest.raises(NotAuthentic):
            require_signed(SECRET, "reset", sign(SECRET, "session", "agent-1"), NOW)

    def test_another_secret_makes_another_signature(self) -> None:
        with pytest.raises(NotAuthentic):
            require_signed(OTHER, "session", sign(SECRET, "session", "agent-1"), NOW)

    def test_no_character_of_it_can_be_changed(self) -> None:
        token = sign(SECRET, "session", "agent-1", expires=NOW + 60)
        for place in range(len(token)):
            changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
            with pytest.raises(NotAuthentic):
                require_signed(SECRET, "session", changed, NOW)

    def test_the_time_cannot_be_taken_off(self) -> None:
        value, _, mac = sign(SECRET, "session", "agent-1", expires=NOW - 1).split(".")
        with pytest.raises(NotAuthentic):
            require_signed(SECRET, "session", f"{value}..{mac}", NOW)

    @given(anything)
    def test_hostile_tokens_are_only_ever_refused(self, token: str | None) -> None:
        with pytest.raises(NotAuthentic):
            require_signed(SECRET, "session", token, NOW)

    def test_an_empty_secret_signs_nothing(self) -> None:
        with pytest.raises(ValueError, match="empty secret"):
            sign("", "session", "x")


class TestHmac:
    """Signatures of others over a body; the published ones are tests of who publishes them."""

    @given(st.binary(max_size=200), st.sampled_from(["sha1", "sha256"]))
    def test_a_signature_opens_its_own_body_with_its_own_secret(self, body: bytes, scheme: str) -> None:
        given = f"{scheme}={hmac.new(SECRET.encode(), body, scheme).hexdigest()}"
        require_hmac(given, body, OTHER, SECRET)
        for wrong, secret in ((body + b"x", SECRET), (body, OTHER), (body, "")):
            with pytest.raises(NotAuthentic):
                require_hmac(given, wrong, secret)

    @given(anything, st.binary(max_size=50))
    def test_hostile_signatures_are_only_ever_refused(self, given: str | None, body: bytes) -> None:
        for prefix in ("", "sha1=", "sha256="):
            with pytest.raises(NotAuthentic):
                require_hmac(None if given is None else prefix + given, body, SECRET)


class TestConversation:
    @given(st.text(st.characters(), max_size=50))
    def test_a_token_opens_its_own_conversation(self, sender: str) -> None:
        require_conversation_token(SECRET, sender, conversation_token(SECRET, sender))

    def test_it_opens_no_other(self) -> None:
        with pytest.raises(NotAuthentic):
            require_conversation_token(SECRET, "web-2", conversation_token(SECRET, "web-1"))

    def test_a_signed_value_is_no_conversation_token(self) -> None:
        body, _, mac = sign(SECRET, "conversation", "web-1").rpartition(".")
        with pytest.raises(NotAuthentic):
            require_conversation_token(SECRET, "web-1", mac)
        assert body

    @given(anything, anything)
    def test_hostile_tokens_are_only_ever_refused(self, sender: str | None, token: str | None) -> None:
        with pytest.raises(NotAuthentic):
            require_conversation_token(SECRET, sender or "", token)
