"""What is wrong with the settings: one fault for each setting, in a sentence that says what to write."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar

from rasa_handoff.errors import ConfigError

T = TypeVar("T")
Path = tuple[Any, ...]  #: keys and list indexes, from the section down


class Faults:
    """What is wrong so far: the first fault of each setting."""

    def __init__(self) -> None:
        self._sentences: dict[Path, str] = {}
        self._pages: dict[Path, str | None] = {}

    def add(self, path: Path, what: str) -> None:
        """Remember *what* is wrong with the setting at *path*, unless something is already."""
        self._sentences.setdefault(path, f"{_spell(path)}: {what}" if path else what)

    def read(self, path: Path, reader: Callable[[Any], T], value: Any, instead: T) -> T:
        """What *reader* makes of *value*; a ValueError of its becomes a fault."""
        try:
            return reader(value)
        except ValueError as error:
            self.add(path, str(error))
            return instead

    def explain(self, path: Path, page: str | None) -> None:
        """Have the faults below *path* name the *page* of the documentation that says where to find the values."""
        self._pages[path] = page

    def raise_if_any(self) -> None:
        """Raise ConfigError with all of them, if there are any."""
        if self._sentences:
            raise ConfigError([self._explained(path, sentence) for path, sentence in self._sentences.items()])

    def _explained(self, path: Path, sentence: str) -> str:
        page = next((page for above, page in self._pages.items() if path[: len(above)] == above), None)
        return f"{sentence} (see {page})" if page else sentence


def _spell(path: Path) -> str:
    """As in `backends.desk.agents[1].token`."""
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return words.removeprefix(".")


def unknown(what: str, name: str, known: list[str]) -> str:
    """*what* is wrong with *name*, and which of the *known* names was perhaps meant."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"{what}; did you mean `{close[0]}`?"
    return f"{what}; known: {', '.join(sorted(known)) or 'none'}"
