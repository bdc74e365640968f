"""The files of our two pages, read once and served with a strict Content-Security-Policy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

from sanic.request import Request
from sanic.response import HTTPResponse, raw

from rasa_handoff.errors import UnknownChat

# Nothing inline, nothing from elsewhere but pictures and sounds that a message shows; blob: is a picture of the
# page's own making, of a file that is about to be sent.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data: blob:; "
    "media-src 'self' https:; connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of a page."""

    content: bytes
    type: str
    etag: str


class Pages:
    """The files in the folder ``pages`` of a package, and those that both pages use."""

    def __init__(self, package: str, index: str) -> None:
        folders = (resources.files(package) / "pages", resources.files("rasa_handoff.web") / "shared")
        found = (each for folder in folders for each in folder.iterdir() if each.is_file())
        self._files = {each.name: _file(each.name, each.read_bytes()) for each in found}
        self._index = index

    def serve(self, request: Request, name: str = "") -> HTTPResponse:
        """The file *name*, or the page itself.

        Raises:
            UnknownChat: there is no such file.
        """
        file = self._files.get(name or self._index)
        if file is None:
            raise UnknownChat("no such page")
        headers = {**HEADERS, "ETag": file.etag}
        if request.headers.get("if-none-match") == file.etag:
            return raw(b"", status=304, headers=headers)
        return raw(file.content, headers=headers, content_type=file.type)


def _file(name: str, content: bytes) -> File:
    kind = _TYPES.get(name.rpartition(".")[2], "application/octet-stream")
    return File(content=content, type=kind, etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"')
