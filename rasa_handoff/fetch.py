"""Files from elsewhere: only from public addresses, and bounded in size and time."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import aiohttp
from yarl import URL

from rasa_handoff.errors import FetchError

TIMEOUT = 20.0  #: seconds for a whole file, and of silence where somebody looks at it while it comes
LONGEST = 1800.0  #: seconds for a file that somebody looks at, who may do so slowly
_PART = 64 * 1024  #: bytes
_LONGEST_NAME = 200
_UNNAMED = re.compile(r"[\x00-\x1f\x7f/\\\\]+")

# What `ipaddress` calls global and is not: addresses that lead to others (NAT64, 6to4, Teredo, IPv4 inside IPv6),
# old site-local ones, and protocol assignments. https://www.iana.org/assignments/iana-ipv6-special-registry
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(each)
    for each in (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "::/96",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
        "fec0::/10",
    )
)


def host_of(url: str) -> str:
    """``host:port`` of *url*, as a `Fetcher` wants to be told whom to trust."""
    where = urlsplit(url)
    return f"{where.hostname}:{where.port or (443 if where.scheme == 'https' else 80)}"


def is_public(address: str) -> bool:
    """Whether *address*, an IP address as text, is one of the open internet."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inside = any(known.version == network.version and known in network for network in _NOT_PUBLIC)
    return known.is_global and not known.is_multicast and not inside


class _Guarded(aiohttp.TCPConnector):
    """Connects to public addresses only.

    A resolver of one's own would not see literal addresses; here every address passes that is connected to.
    """

    def __init__(self, trusted: Collection[str]) -> None:
        super().__init__(use_dns_cache=False)
        self._trusted = trusted

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[dict[str, Any]]:
        try:
            found = await super()._resolve_host(host, port, traces)
        except UnicodeError:  # of the name's encoding for DNS: a part of it is empty, or too long
            raise FetchError("its address cannot be read") from None
        if f"{host}:{port}" in self._trusted:
            return found
        public = [each for each in found if is_public(each["host"])]
        if not public:
            raise FetchError("its address is not a public one")
        return public


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A whole file."""

    body: bytes
    mime: str  #: as its server says, in lower case and without parameters; ``application/octet-stream`` if it says none
    name: str | None


class AnyFile(Protocol):
    """A file that is being read, wherever it is."""

    mime: str
    name: str | None
    size: int | None  #: bytes; None where nobody says

    def parts(self, skip: int = 0) -> AsyncIterator[bytes]:
        """Its bytes, but for the first *skip*.

        Raises:
            FetchError: the rest cannot be had.
        """
        ...


class File:
    """A file that is being received; see `AnyFile`."""

    def __init__(self, reply: aiohttp.ClientResponse, largest: int) -> None:
        self._reply = reply
        self._largest = largest
        self.mime = (reply.headers.get("Content-Type") or "application/octet-stream").partition(";")[0].strip().lower()
        self.name = _name(reply)
        self.size = reply.content_length

    async def parts(self, skip: int = 0) -> AsyncIterator[bytes]:
        left = self._largest
        async for part in self._reply.content.iter_chunked(_PART):
            left -= len(part)
            if left < 0:
                raise FetchError(f"it is larger than {self._largest} bytes")
            if skip < len(part):
                yield part[skip:]
            skip = max(skip - len(part), 0)


class Fetcher:
    """Gets files whose addresses somebody else wrote.

    Args:
        trusted: ``host:port`` of servers that may be at any address, because the bot's owner named them.
    """

    def __init__(self, trusted: Collection[str] = (), timeout: float = TIMEOUT) -> None:
        self._trusted = frozenset(trusted)
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, url: str, largest: int, headers: Mapping[str, str] | None = None) -> Fetched:
        """A whole file of at most *largest* bytes.

        Raises:
            FetchError: it cannot be had.
        """
        async with self.open(url, largest, headers, longest=self._timeout) as file:
            return await whole(file, largest)

    @asynccontextmanager
    async def open(
        self,
        url: str,
        largest: int,
        headers: Mapping[str, str] | None = None,
        redirects: int = 0,
        *,
        proxy: str | None = None,
        longest: float = LONGEST,
    ) -> AsyncIterator[File]:
        """A file, to be received part by part.

        Args:
            redirects: how many are followed; an ``Authorization`` header stays behind at another origin.
            proxy: the owner's, which then connects in our place; only for addresses whose host is known.
            longest: seconds for all of it. Its server may be silent for the fetcher's timeout; whoever is given
                the parts may take them more slowly.

        Raises:
            FetchError: it cannot be had; its message has nothing of the address, which may hold a secret.
        """
        where = _parsed(url)
        try:
            async with self._opened().get(
                where,
                headers=headers,
                allow_redirects=redirects > 0,
                max_redirects=redirects + 1,
                proxy=proxy,
                timeout=aiohttp.ClientTimeout(total=longest, connect=self._timeout, sock_read=self._timeout),
            ) as reply:
                with _closing_unread(reply):
                    if reply.status != 200:
                        raise FetchError(f"its server answered with HTTP {reply.status}")
                    file = File(reply, largest)
                    if file.size is not None and file.size > largest:
                        raise FetchError(f"it is larger than {largest} bytes")
                    yield file
        except asyncio.TimeoutError as error:
            raise FetchError("it did not come in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise FetchError(f"its server cannot be reached: {type(error).__name__}") from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Guarded(self._trusted),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        return self._session


async def whole(file: AnyFile, largest: int) -> Fetched:
    """All of *file*, if it has no more than *largest* bytes.

    Raises:
        FetchError: it cannot be had.
    """
    if file.size is not None and file.size > largest:
        raise FetchError(f"it is larger than {largest} bytes")
    parts, left = [], largest
    async for part in file.parts():
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise FetchError(f"it is larger than {largest} bytes")
    return Fetched(body=b"".join(parts), mime=file.mime, name=file.name)


@contextmanager
def _closing_unread(reply: aiohttp.ClientResponse) -> Iterator[None]:
    """Close the connection at the end, unless all of *reply* has been read.

    aiohttp 3.9 keeps it for the next request where the rest has come, although it may have stopped listening there.
    """
    try:
        yield
    finally:
        if not reply.content.at_eof():
            reply.close()


def _parsed(url: str) -> URL:
    try:
        where = URL(url)
        host = where.host
    except ValueError:
        raise FetchError("its address cannot be read") from None
    if where.scheme not in ("http", "https") or not host:
        raise FetchError("its address is no web address")
    if where.user is not None or where.password is not None:
        raise FetchError("its address holds a password")
    return where


def _name(reply: aiohttp.ClientResponse) -> str | None:
    """The file's name, as its server gives it or else as its address ends."""
    told = reply.content_disposition.filename if reply.content_disposition else None
    name = _UNNAMED.sub(" ", told or unquote(reply.url.name)).strip()
    return name[:_LONGEST_NAME] or None
