"""What will be changed in a bot's files, thought through before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasa_handoff.errors import FilesError
from rasa_handoff.init import code, missing
from rasa_handoff.init.insertion import CannotInsert, insert
from rasa_handoff.init.missing import Missing
from rasa_handoff.init.pieces import Piece, head, template
from rasa_handoff.project import Project
from rasa_handoff.project.documents import Document, parse, read

_FILE = "handoff.yml"  #: where what is new goes, in a folder of the bot's


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One file that becomes another, or a new one."""

    path: Path
    before: bytes | None  #: None: there is no such file
    after: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All changes, and what only a person can do."""

    changes: tuple[Change, ...]
    by_hand: tuple[str, ...] = ()  #: sentences, with the lines to add
    notes: tuple[str, ...] = ()  #: what to think about


def make(project: Project, intent: str | None = None) -> Plan:
    """What `rasa-handoff init` would do with *project*.

    Args:
        intent: one of the bot's own that means "I want a person", where it has one.

    Raises:
        FilesError: files of the bot cannot be read, so that nobody knows what is missing; or there is no such intent.
    """
    if project.faults or project.actions.faults:
        raise FilesError([*project.faults, *project.actions.faults])
    if intent is not None and intent not in project.domain.intents:
        raise FilesError([f"the domain has no intent {intent}; it has: {', '.join(sorted(project.domain.intents))}"])
    lacking = missing.look(project, intent)
    planner = _Planner()
    planner.credentials(project, lacking)
    planner.endpoints(project, lacking)
    planner.config(project, lacking)
    planner.domain(project, lacking)
    planner.training(project, lacking)
    planner.code(project, lacking)
    return Plan(changes=tuple(planner.changes), by_hand=tuple(planner.by_hand), notes=tuple(_notes(project, lacking)))


@dataclass(slots=True)
class _Planner:
    changes: list[Change] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)

    def credentials(self, project: Project, lacking: Missing) -> None:
        self._add(project.credentials or _empty(project.places.credentials), {None: lacking.credentials})

    def endpoints(self, project: Project, lacking: Missing) -> None:
        document = project.endpoints or _empty(project.places.endpoints)
        # An `action_endpoint:` with nothing behind it gets the lines that it lacks.
        section = "action_endpoint" if "action_endpoint" in document.mapping else None
        inner = [_inside(piece) for piece in lacking.endpoints] if section else lacking.endpoints
        self._add(document, {section: inner})

    def config(self, project: Project, lacking: Missing) -> None:
        if project.config is not None:
            self._add(project.config, {"policies": lacking.policies})

    def domain(self, project: Project, lacking: Missing) -> None:
        sections = {
            "intents": lacking.intents,
            "slots": lacking.slots,
            "actions": lacking.actions,
            "responses": lacking.responses,
        }
        self._add(_target(project.places.domain, "domain.yml", project.domain.documents), sections)

    def training(self, project: Project, lacking: Missing) -> None:
        target = _target(project.places.data[0], "training.yml", ())
        self._add(target, {"nlu": lacking.nlu, "rules": lacking.rules}, spaced=True)

    def code(self, project: Project, lacking: Missing) -> None:
        if lacking.served:
            path, before, after = code.serving(project.actions)
            self.changes.append(Change(path=path, before=before, after=after))

    def _add(self, document: Document, sections: Mapping[Any, Sequence[Piece]], *, spaced: bool = False) -> None:
        """Put into *document* what its sections lack."""
        changed = document
        for section, pieces in sections.items():
            try:
                changed = insert(changed, section, pieces, spaced=spaced) if pieces else changed
            except CannotInsert as error:
                self.by_hand += error.faults
        if changed is not document:
            before = document.encoded(document.text) if document.path.exists() else None
            self.changes.append(Change(path=document.path, before=before, after=changed.encoded(changed.text)))


def _target(place: Path, form: str, documents: Sequence[Document]) -> Document:
    """The file for what is new: *place* itself, or ours in that folder."""
    path = place if place.is_file() or place.suffix in (".yml", ".yaml") else place / _FILE
    known = next((each for each in documents if each.path == path), None)
    if known is not None or path.exists():
        return known or read(path)
    return parse(path, head(template(form)))


def _empty(path: Path) -> Document:
    return Document(path=path, text="", content=None, root=None)


def _inside(piece: Piece) -> Piece:
    """What stands below the only key of *piece*."""
    (key,) = piece.value
    below = piece.lines[piece.lines.index(f"{key}:") + 1 :]
    return Piece(name=piece.name, lines=tuple(line[2:] for line in below))


# What to think about

_LOOK_ALIKES = (
    "human",
    "agent",
    "handoff",
    "handover",
    "operator",
    "representative",
    "livechat",
    "live_chat",
    "person",
)


def _notes(project: Project, lacking: Missing) -> Iterator[str]:
    if any(piece.name == missing.ASKED for piece in lacking.intents):
        for intent in sorted(project.domain.intents):
            if any(word in intent.lower() for word in _LOOK_ALIKES):
                yield (
                    f"The bot has an intent {intent}. If that is how its users ask for a person, take it in the place "
                    f"of {missing.ASKED}: rasa-handoff init --intent {intent}"
                )
    language = project.config.mapping.get("language") if project.config else None
    if lacking.responses and language and not str(language).lower().startswith("en"):
        yield f"The bot speaks {language}, and the new responses and examples are English: translate them."
