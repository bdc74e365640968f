"""How the programs of a crash test speak to the sink outside."""

from __future__ import annotations

import aiohttp

from rasa_handoff.errors import TemporaryError


class ToSink:
    """Posts to the sink; what fails may be tried again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http: aiohttp.ClientSession

    async def start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=10)
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)

    async def post(self, to: str, conversation: str, message_id: str, text: str) -> None:
        body = {"conversation": conversation, "id": message_id, "text": text}
        try:
            async with self._http.post(f"{self._url}/{to}", json=body) as response:
                if response.status >= 500:
                    raise TemporaryError("sink", "post", response.status)
        except aiohttp.ClientError as error:
            raise TemporaryError("sink", "post", detail=type(error).__name__) from error
