"""Rasa's callback channel: every message is a request to the bot owner's own server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from rasa.core.channels.channel import CollectingOutputChannel, OutputChannel
from rasa.utils.endpoints import ClientResponseError, EndpointConfig
from sanic.request import Request

from rasa_handoff import attachments
from rasa_handoff.channels.base import Around, Channel, Heard, To, Traits
from rasa_handoff.errors import TemporaryError, UserUnreachable
from rasa_handoff.model import Json

ANSWER_TIMEOUT = 10.0  #: seconds; Rasa would wait 300
_AGAIN_LATER = {408, 409, 425, 429}


class Callback(Channel):
    """Rasa's own output would only log that a callback failed."""

    traits = Traits(
        name="callback",
        push="yes: a request to the URL in credentials.yml",
        hears=("image", "file", "audio", "video", "location"),
        shows=("image", "links to files", "buttons", "cards", "custom"),
        needs=("Attachments of users in `metadata.attachments` of the request, see docs/http.md.",),
        sources=("https://rasa.com/docs/rasa/connectors/your-own-website#callbackinput",),
    )

    def __init__(self, rasa: Any, around: Around) -> None:
        super().__init__(rasa, around)
        self._endpoint = _KeptEndpoint(rasa.callback_endpoint)

    def heard(self, request: Request) -> Sequence[Heard]:
        """Rasa's channel leaves the metadata out that its other channels of this kind take."""
        sender_id, metadata = request.json.get("sender"), request.json.get("metadata")
        if sender_id is None or not isinstance(metadata, dict):
            return ()
        theirs = metadata.get("message_id")
        heard = Heard(
            sender_id=str(sender_id),
            id=theirs if isinstance(theirs, str) and theirs else None,
            edits=attachments.edits_in(metadata),
            attachments=attachments.in_metadata(metadata),
        )
        return (heard,)

    def output(self, to: To) -> OutputChannel:
        return _Output(self._endpoint)

    async def close(self) -> None:
        await self._endpoint.close()
        await super().close()


class _KeptEndpoint(EndpointConfig):
    """An endpoint that keeps its connections, where Rasa's opens one for each request."""

    def __init__(self, endpoint: EndpointConfig) -> None:
        self.__dict__.update(vars(endpoint))
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        if self._session is None:
            self._session = super().session()
        yield self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class _Output(CollectingOutputChannel):
    def __init__(self, endpoint: EndpointConfig) -> None:
        super().__init__()
        self._endpoint = endpoint

    @classmethod
    def name(cls) -> str:
        return "callback"

    async def _persist_message(self, message: Json) -> None:
        await super()._persist_message(message)
        try:
            timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT)
            await self._endpoint.request("post", content_type="application/json", json=message, timeout=timeout)
        except ClientResponseError as error:
            if error.status in _AGAIN_LATER or error.status >= 500:
                raise TemporaryError("callback", "call back", error.status) from error
            raise UserUnreachable(f"callback: could not call back: HTTP {error.status}") from error
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise TemporaryError("callback", "call back", detail=type(error).__name__) from error
