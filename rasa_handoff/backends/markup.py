"""HTML, as an agent's editor makes it, read as the text that a person sees."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = frozenset(
    (
        "address",
        "article",
        "blockquote",
        "div",
        "dl",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "ol",
        "p",
        "pre",
        "table",
        "ul",
    )
)
_LINES = frozenset(("dd", "dt", "li", "tr"))
_UNSEEN = frozenset(("head", "script", "style", "template", "title"))
_SPACE = re.compile(r"[ \t\r\n\f]+")


def text_of(html: str) -> str:
    """The text of *html*: entities as their characters, blocks on lines of their own, a link behind its words."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._unseen: list[str] = []  #: the elements around that nobody sees
        self._link: tuple[str, int] | None = None  #: where the link around leads, and where its words begin

    def text(self) -> str:
        # A space before or behind the end of a line is none.
        lines = (line.strip(" ") for line in "".join(self._parts).split("\n"))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag in _UNSEEN:
            self._unseen.append(tag)
        elif tag == "br":
            self._parts.append("\n")
        elif tag == "img":
            self._parts.append(" ".join(filter(None, (told.get("alt"), _address(told.get("src"))))))
        elif tag == "a":
            self._end_link()
            self._link = (_address(told.get("href")), len(self._parts))
        else:
            self._begin_line(tag)
            if tag == "li":
                self._parts.append("- ")

    def handle_endtag(self, tag: str) -> None:
        if self._unseen and tag == self._unseen[-1]:
            self._unseen.pop()
        elif tag == "a":
            self._end_link()
        else:
            self._begin_line(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            text = _SPACE.sub(" ", data)
            if not self._parts or self._parts[-1].endswith((" ", "\n")):
                text = text.lstrip(" ")
            if text:
                self._parts.append(text)

    def close(self) -> None:
        super().close()
        self._end_link()

    def _begin_line(self, tag: str) -> None:
        if (tag in _BLOCKS or tag in _LINES) and self._parts and not self._parts[-1].endswith("\n"):
            self._parts.append("\n")

    def _end_link(self) -> None:
        if self._link is None:
            return
        address, start = self._link
        words = "".join(self._parts[start:]).strip()
        self._link = None
        if address and not words:
            self._parts.append(address)
        elif address and words not in (address, address.partition(":")[2].lstrip("/")):
            self._parts.append(f" ({address})")


def _address(url: str | None) -> str:
    """*url* where a person can use it outside the page."""
    url = (url or "").strip()
    return url if re.match(r"(?:https?://|mailto:|tel:)[^\s]+$", url, re.IGNORECASE) else ""
