"""Lets a bot's action server serve the plugin's actions."""

from __future__ import annotations

import ast
from pathlib import Path

from rasa_handoff.project.actions import OURS, Actions

_LINE = f"from {OURS} import *  # noqa: F403 (the action server finds actions by their class)"
_MODULE = "handoff.py"


def serving(actions: Actions) -> tuple[Path, bytes | None, bytes]:
    """The file that imports our actions: its path, what is in it, and what is to be."""
    if actions.path.is_file():
        before = actions.path.read_bytes()
        return actions.path, before, _with_import(before)
    if actions.path.is_dir() and not (actions.path / _MODULE).exists():
        return actions.path / _MODULE, None, f'"""The plugin\'s actions."""\n\n{_LINE}\n'.encode()
    if actions.path.is_dir():
        before = (actions.path / _MODULE).read_bytes()
        return actions.path / _MODULE, before, _with_import(before)
    path = actions.path if actions.path.suffix == ".py" else actions.path.with_suffix(".py")
    return path, None, f'"""What the action server serves."""\n\n{_LINE}\n'.encode()


def _with_import(source: bytes) -> bytes:
    """*source* with our line behind its other imports."""
    newline = b"\r\n" if b"\r\n" in source else b"\n"
    lines = source.splitlines(keepends=True)
    at = _behind_imports(ast.parse(source))
    if lines and at == len(lines) and not lines[-1].endswith((b"\n", b"\r")):
        lines[-1] += newline
    if at == 0:
        at = _behind_comments(lines)
    return b"".join([*lines[:at], _LINE.encode() + newline, *lines[at:]])


def _behind_imports(module: ast.Module) -> int:
    """How many lines the docstring and the first imports take."""
    line = 0
    for node in module.body:
        is_docstring = node is module.body[0] and ast.get_docstring(module) is not None
        if not is_docstring and not isinstance(node, (ast.Import, ast.ImportFrom)):
            break
        line = node.end_lineno or line
    return line


def _behind_comments(lines: list[bytes]) -> int:
    """How many lines the comments at the top take: the encoding and the licence stay first."""
    for number, line in enumerate(lines):
        if not line.startswith((b"#", b"\xef\xbb\xbf#")):
            return number
    return len(lines)
