"""LiveChat's section: what is missing or wrong is named, with the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from rasa_handoff.backends import settings_models
from rasa_handoff.backends.livechat.backend import LiveChat
from rasa_handoff.backends.livechat.settings import LiveChatSettings
from rasa_handoff.errors import ConfigError, TemporaryError
from rasa_handoff.settings import read_section
from rasa_handoff.testing import Wire
from tests.backends.livechat.test_chats import cookie_grant
from tests.backends.livechat.test_livechat import section
from tests.backends.livechat.vendor import LICENSE, Vendor


def read(**more: Any) -> LiveChatSettings:
    known = {name: value for name, value in section("https://api.test", **more).items() if value is not None}
    settings = read_section({"backends": {"livechat": known}}, settings_models())
    found: LiveChatSettings = settings.backends["livechat"]
    return found


def test_both_grants() -> None:
    assert read().as_agent
    assert read(refresh_token=None, client_secret=None, agent_token="dal:abc").as_agent
    assert not read(**cookie_grant()).as_agent


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"client_id": None}, "client_id: is missing"),
        ({"client_id": "a b"}, "client_id: is not an id"),
        ({"client_secret": None}, "client_secret: is missing; a refresh_token needs it"),
        ({"refresh_token": None}, "redirect_uri: is missing; write `refresh_token` and `client_secret`"),
        (cookie_grant(organization_id=None), "organization_id: is missing; copy it from"),
        ({"license_id": "abc"}, "license_id: must be its digits"),
        ({"account_id": None}, "account_id: is missing; the two belong together"),
        ({"personal_access_token": None}, "personal_access_token: is missing"),
        ({"webhook_secret": "short"}, "webhook_secret: is shorter than 16"),
        ({"agent_token": "dal:a"}, "agent_token: is there beside refresh_token, which makes new ones; leave it out"),
        ({"version": "3"}, "version: must be a version"),
        ({"group": "billing"}, "group: must be a group's number"),
        ({"user": {"name": "nothing"}}, "user.name: does not say where the value is"),
        ({"session_fields": {"a": "request:nothing"}}, "session_fields.a: there is no such thing"),
        ({"poll_every": "often"}, "poll_every: is not a duration"),
        ({"api_url": "api.livechatinc.com"}, "api_url: must be an http"),
    ],
)
def test_faults(wrong: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError) as found:
        read(**wrong)
    assert any(f"backends.livechat.{fault}" in each for each in found.value.faults), found.value.faults


def test_a_group_is_written_as_a_number_too() -> None:
    assert read(group=3).group == "3"


class TestProbe:
    async def probe(self, **more: Any) -> str | None:
        with Wire() as wire:
            Vendor().on(wire)
            urls = {"api_url": wire.url, "accounts_url": wire.url}
            return await LiveChat(read(**urls, **more)).probe()

    async def test_what_can_be_asked_without_an_effect(self) -> None:
        assert await self.probe() == "takes client_id, client_secret and refresh_token"
        assert await self.probe(**cookie_grant(license_id=LICENSE)) == "knows the license"
        assert await self.probe(**cookie_grant()) is None

    async def test_who_does_not_answer(self) -> None:
        with pytest.raises(TemporaryError):
            await LiveChat(read(api_url="http://127.0.0.1:9", accounts_url="http://127.0.0.1:9")).probe()
