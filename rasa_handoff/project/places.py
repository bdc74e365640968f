"""Where a bot's files are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rasa_handoff.errors import FilesError

_YAML = {".yml", ".yaml"}
_DATA = {*_YAML, ".json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The files and folders of a bot; not each must be there."""

    folder: Path  #: where Rasa is started
    credentials: Path
    endpoints: Path
    config: Path
    domain: Path  #: a file, or a folder of them
    data: tuple[Path, ...]  #: files, or folders of them
    actions: Path  #: ``actions.py``, or the folder of a package

    def shown(self, path: Path) -> str:
        """*path* as a person in the bot's folder would write it."""
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else str(path)


def find(
    folder: Path,
    *,
    credentials: Path | None = None,
    endpoints: Path | None = None,
    config: Path | None = None,
    domain: Path | None = None,
    data: Sequence[Path] = (),
    actions: Path | None = None,
) -> Places:
    """The files of the bot in *folder*, by Rasa's default names where none is given.

    Raises:
        FilesError: there is no bot, or not what was given.
    """
    folder = folder.resolve()
    given = [folder / each for each in (credentials, endpoints, config, domain, *data, actions) if each is not None]
    absent = [str(each) for each in given if not each.exists()]
    if absent:
        raise FilesError([f"{each} is not there; see how it is spelt" for each in absent])
    found = Places(
        folder=folder,
        credentials=_given(folder, credentials) or folder / "credentials.yml",
        endpoints=_given(folder, endpoints) or folder / "endpoints.yml",
        config=_given(folder, config) or folder / "config.yml",
        domain=_given(folder, domain) or _first_there(folder / "domain.yml", folder / "domain"),
        data=tuple(folder / each for each in data) or (folder / "data",),
        actions=_given(folder, actions) or _first_there(folder / "actions", folder / "actions.py"),
    )
    if not any(each.exists() for each in (found.config, found.domain, *found.data)):
        raise FilesError(
            [f"there is no bot in {folder}: no config.yml, no domain, no data; make one with `rasa init`, or go to it"]
        )
    return found


def yaml_files(path: Path) -> Iterator[Path]:
    """The YAML files at or below *path*, in the order of their names."""
    return _files(path, _YAML)


def data_files(path: Path) -> Iterator[Path]:
    """Likewise, with the files of JSON in which Rasa takes examples, too."""
    return _files(path, _DATA)


def _files(path: Path, kinds: set[str]) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(each for each in path.rglob("*") if each.suffix in kinds and each.is_file())


def _given(folder: Path, path: Path | None) -> Path | None:
    return None if path is None else folder / path


def _first_there(*paths: Path) -> Path:
    return next((path for path in paths if path.exists()), paths[0])
