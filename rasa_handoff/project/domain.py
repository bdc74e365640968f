"""A bot's domain, from one file or from many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasa_handoff.project.documents import Document
from rasa_handoff.project.shapes import items, mapping

# What makes a YAML file one of the domain's, in a folder of them (rasa.shared.core.domain.ALL_DOMAIN_KEYS).
KEYS = ("slots", "forms", "actions", "entities", "intents", "responses", "e2e_actions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """All that the bot's domain files say together."""

    documents: Sequence[Document] = ()

    @property
    def intents(self) -> frozenset[str]:
        return frozenset(self._names("intents"))

    @property
    def actions(self) -> frozenset[str]:
        return frozenset(self._names("actions"))

    @property
    def responses(self) -> frozenset[str]:
        return frozenset(self._names("responses"))

    @property
    def forms(self) -> Mapping[str, Any]:
        return self._merged("forms")

    @property
    def slots(self) -> Mapping[str, Any]:
        return self._merged("slots")

    def place_of(self, section: str, name: str) -> tuple[Path, int]:
        """The file and the line, from 1, of *name*.

        Raises:
            KeyError: it is nowhere.
        """
        for document in self.documents:
            if name in _names_in(document.mapping.get(section)):
                return document.path, document.line_of(section, name)
        raise KeyError(name)

    def _names(self, section: str) -> Iterator[str]:
        for document in self.documents:
            yield from _names_in(document.mapping.get(section))

    def _merged(self, section: str) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for document in self.documents:
            found.update(mapping(document.mapping.get(section)))
        return found


def is_domain(document: Document) -> bool:
    """Whether Rasa takes this file of a domain's folder."""
    return any(key in document.mapping for key in KEYS)


def _names_in(section: Any) -> Iterator[str]:
    """The names in a mapping, or in a list of names and of `name: {…}`."""
    yield from map(str, mapping(section))
    for item in items(section):
        yield from map(str, item) if isinstance(item, dict) else [str(item)]
