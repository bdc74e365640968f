"""A bot's files, found and read as Rasa finds and reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasa_handoff.errors import FilesError
from rasa_handoff.project import actions, documents, domain, training
from rasa_handoff.project.actions import Actions
from rasa_handoff.project.documents import Document
from rasa_handoff.project.domain import Domain
from rasa_handoff.project.places import Places, data_files, yaml_files
from rasa_handoff.project.training import Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """All that a bot's files say."""

    places: Places
    credentials: Document | None  #: None: there is no such file, or it cannot be read
    endpoints: Document | None
    config: Document | None
    domain: Domain
    training: Training
    actions: Actions
    faults: tuple[str, ...] = ()  #: files that cannot be read, each with its place and what is wrong
    unread: frozenset[Path] = frozenset()  #: the same files

    def can_read(self, *places: Path) -> bool:
        """Whether no file at or below *places* is one that cannot be read."""
        return not any(path.is_relative_to(place) for path in self.unread for place in places)


def read(places: Places) -> Project:
    """Read the bot's files; what cannot be read is among its faults."""
    reader = _Reader(places)
    return Project(
        places=places,
        credentials=reader.document(places.credentials),
        endpoints=reader.document(places.endpoints),
        config=reader.document(places.config),
        domain=Domain(documents=list(reader.domain())),
        training=training.gather(reader.training()),
        actions=actions.look(places.actions),
        faults=tuple(reader.faults),
        unread=frozenset(reader.unread),
    )


class _Reader:
    """Reads on when a file is broken, and remembers which."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.faults: list[str] = []
        self.unread: set[Path] = set()

    def document(self, path: Path) -> Document | None:
        if not path.exists():
            return None
        try:
            return documents.read(path)
        except FilesError as error:
            self._fault(path, error)
            return None

    def domain(self) -> Iterator[Document]:
        """The files of the domain; in a folder only those that Rasa takes for it."""
        for path in yaml_files(self._places.domain):
            found = self.document(path)
            if found is not None and (self._places.domain.is_file() or domain.is_domain(found)):
                yield found

    def training(self) -> Iterator[tuple[Path, Any]]:
        for place in self._places.data:
            for path in data_files(place):
                try:
                    yield path, documents.read_values(path)
                except FilesError as error:
                    self._fault(path, error)

    def _fault(self, path: Path, error: FilesError) -> None:
        self.unread.add(path)
        self.faults += [each.replace(f"{self._places.folder}/", "") for each in error.faults]
