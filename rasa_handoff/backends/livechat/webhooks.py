"""The webhooks that LiveChat calls, registered and taken back from the command line."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from rasa_handoff.backends.base import Command
from rasa_handoff.backends.http import Http, Reply, require_success
from rasa_handoff.backends.livechat.regions import Region, require_here
from rasa_handoff.backends.livechat.settings import NAME, LiveChatSettings
from rasa_handoff.errors import BackendError, ConfigError, Malformed
from rasa_handoff.model import Json
from rasa_handoff.settings import Settings, read_url
from rasa_handoff.strict_json import loads

Row = dict[str, str]

PATH = "webhook"  #: below ``/webhooks/handoff/livechat/``
_AGENTS = {"author_type": "agent"}

# What we want to hear of, and of whom. https://platform.text.com/docs/management/webhooks (read 2026-11)
ACTIONS: Mapping[str, Json] = {
    "incoming_chat": {},
    "incoming_event": _AGENTS,
    "event_updated": _AGENTS,
    "event_deleted": {},
    "events_marked_as_seen": {},
    "user_added_to_chat": {},
    "user_removed_from_chat": {},
    "chat_transferred": {},
    "chat_deactivated": {},
}
_OPTIONAL = {"event_deleted"}  #: documented, and unknown to their own SDK


def registration(settings: LiveChatSettings, url: str, action: str) -> Json:
    """`register_webhook`: of the chats that were started by our app, and with who is in them."""
    return {
        "url": url,
        "description": "rasa_handoff",
        "action": action,
        "secret_key": settings.webhook_secret,
        "owner_client_id": settings.client_id,
        "type": "license",
        "filters": {**ACTIONS[action], "only_my_chats": True},
        "additional_data": ["chat_presence_user_ids"],
    }


class Registry:
    """The webhooks of our app, over the Configuration API.

    https://platform.text.com/docs/management/configuration-api#webhooks (read 2026-11)
    """

    def __init__(self, settings: LiveChatSettings, http: Http, url: str) -> None:
        self._settings = settings
        self._http = http
        self._url = url
        self._region = Region()

    async def ours(self) -> list[Json]:
        """The registered ones that lead to this bot."""
        found = await self._call("list the webhooks", "list_webhooks", {})
        return [each for each in found if isinstance(each, dict) and each.get("url") == self._url]

    async def register(self) -> list[Row]:
        """Register all that are missing, and anew those with another secret; then switch them on."""
        known = await self.ours()
        rows = [await self._register(action, known) for action in ACTIONS]
        await self._call("switch the webhooks on", "enable_license_webhooks", {})
        return rows

    async def _register(self, action: str, known: list[Json]) -> Row:
        there = [each for each in known if each.get("action") == action]
        good = next((each for each in there if self._has_our_secret(each)), None)
        if good is not None:
            return _row(action, good.get("id"), "was there")
        body = registration(self._settings, self._url, action)
        try:
            answer = await self._call("register a webhook", "register_webhook", body)
        except BackendError as error:
            if action not in _OPTIONAL or error.status != 400:
                raise
            return _row(action, "-", "not offered")
        for each in there:  # with another secret
            await self._unregister(each)
        return _row(action, answer.get("id"), "registered again" if there else "registered")

    def _has_our_secret(self, webhook: Json) -> bool:
        """Whether it is called with our secret, as far as they show it."""
        return webhook.get("secret_key", self._settings.webhook_secret) == self._settings.webhook_secret

    async def listed(self) -> list[Row]:
        return [_row(each.get("action"), each.get("id"), "registered") for each in await self.ours()]

    async def unregister(self) -> list[Row]:
        return [await self._unregister(each) for each in await self.ours()]

    async def _unregister(self, webhook: Json) -> Row:
        await self._call("take a webhook back", "unregister_webhook", {"id": webhook.get("id")})
        return _row(webhook.get("action"), webhook.get("id"), "taken back")

    async def _call(self, doing: str, action: str, body: Json) -> Any:
        settings = self._settings
        credentials = base64.b64encode(f"{settings.account_id}:{settings.personal_access_token}".encode()).decode()
        url = f"{read_url(settings.api_url)}/v{settings.version}/configuration/action/{action}"
        body = {"owner_client_id": settings.client_id, **body}
        known = {"Authorization": f"Basic {credentials}"}
        ask = partial(self._http.ask, doing, "POST", url, body=body, judge=partial(_judge, doing))
        reply = await self._region.ask(lambda headers: ask(headers={**known, **headers}))
        try:
            return loads(reply.body) if reply.body.strip() else {}
        except Malformed as error:
            raise BackendError(NAME, doing, detail=f"an answer that cannot be read: {error}") from None


def _judge(doing: str, reply: Reply) -> None:
    """Raise what a refusal means; their word for it says which setting to look at."""
    require_here(doing, reply)
    if 400 <= reply.status < 500:
        try:
            kind = str(reply.json(NAME, doing)["error"]["type"])[:40]
        except (BackendError, KeyError, TypeError):
            kind = ""
        remedy = "see account_id and personal_access_token (scope webhooks.configuration:rw)"
        raise BackendError(NAME, doing, reply.status, f"{kind}; {remedy}" if reply.status in (401, 403) else kind)
    require_success(NAME, doing, reply)


def _row(action: Any, webhook_id: Any, state: str) -> Row:
    return {"action": str(action), "id": str(webhook_id), "state": state}


def _with_registry(
    run: Callable[[Registry], Awaitable[list[Row]]],
) -> Callable[[Any, Settings], Coroutine[Any, Any, list[Row]]]:
    async def work(settings: LiveChatSettings, everything: Settings) -> list[Row]:
        _require(settings, everything)
        http = Http(NAME)
        try:
            url = f"{everything.public_url}/webhooks/handoff/{NAME}/{PATH}"
            return await run(Registry(settings, http, url))
        finally:
            await http.close()

    return work


def _require(settings: LiveChatSettings, everything: Settings) -> None:
    """Require the settings that the server can do without, and this cannot."""
    found = {
        "public_url": everything.public_url,
        f"backends.{NAME}.account_id": settings.account_id,
        f"backends.{NAME}.webhook_secret": settings.webhook_secret,
    }
    missing = [name for name, value in found.items() if not value]
    if missing:
        why = f"is missing; webhooks cannot be registered without it (see docs/backends/{NAME}.md)"
        faults = [f"{name}: {why}" for name in missing]
        raise ConfigError(faults, cannot="this cannot be done")


COMMANDS = (
    Command(
        name="register", words="have LiveChat call the webhooks of this bot", run=_with_registry(Registry.register)
    ),
    Command(
        name="list", words="list the webhooks of this bot that are registered", run=_with_registry(Registry.listed)
    ),
    Command(name="unregister", words="take the webhooks of this bot back", run=_with_registry(Registry.unregister)),
)
