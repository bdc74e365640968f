"""Looking up names: every one leads to one port of this machine, but for this machine's own."""

from __future__ import annotations

import socket
from typing import Any

import aiohttp.resolver

_look_up, _resolve = socket.getaddrinfo, aiohttp.resolver.ThreadedResolver.resolve


def _is_here(host: Any) -> bool:
    return host in (None, "", "0.0.0.0", "127.0.0.1", "localhost", "::", "::1")


class Names:
    def __init__(self, port: int) -> None:
        self._port = port

    def look_up(self, host: Any, port: Any, *more: Any, **named: Any) -> Any:
        """In the place of `socket.getaddrinfo`."""
        return (
            _look_up(host, port, *more, **named)
            if _is_here(host)
            else _look_up("127.0.0.1", self._port, *more, **named)
        )

    def resolver(self) -> Any:
        """In the place of what aiohttp asks: uvloop's own look-up does not pass by Python's."""
        where = self._port

        async def resolve(resolver: Any, hostname: str, port: int = 0, family: int = socket.AF_INET) -> Any:
            if _is_here(hostname):
                return await _resolve(resolver, hostname, port, family)
            found = await _resolve(resolver, "127.0.0.1", where, socket.AF_INET)
            return [{**each, "hostname": hostname} for each in found]

        return resolve
