"""The code that a bot's action server serves, looked at without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OURS = "rasa_handoff.actions"
HANDOFF = "action_handoff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """The Python files of the actions."""

    path: Path  #: ``actions.py``, or the folder of a package
    files: tuple[Path, ...] = ()
    serves_ours: bool = False  #: whether the plugin's actions are imported somewhere in them
    leads_to_people: bool = False  #: whether one of them names `action_handoff`, to be taken next
    faults: tuple[str, ...] = ()  #: files that Python cannot read


def look(path: Path) -> Actions:
    """The actions at *path*, which may not be there."""
    files = tuple(_files(path))
    faults: list[str] = []
    ours = leads = False
    for file in files:
        try:
            module = ast.parse(file.read_bytes())
            ours, leads = ours or _imports_ours(module), leads or _names_handoff(module)
        except SyntaxError as error:
            faults.append(f"{file}:{error.lineno or 1}: is not Python: {error.msg}")
        except (OSError, ValueError) as error:
            faults.append(f"{file} cannot be read: {type(error).__name__}")
    return Actions(path=path, files=files, serves_ours=ours, leads_to_people=leads, faults=tuple(faults))


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(path.rglob("*.py"))


def _imports_ours(module: ast.Module) -> bool:
    return any(_is_ours(node) for node in ast.walk(module))


def _names_handoff(module: ast.Module) -> bool:
    return any(isinstance(node, ast.Constant) and node.value == HANDOFF for node in ast.walk(module))


def _is_ours(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name == OURS for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        package, _, name = OURS.rpartition(".")
        return node.module == OURS or (node.module == package and any(alias.name == name for alias in node.names))
    return False
