"""Pieces of YAML that a bot may lack, each with the comment above it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from rasa_handoff.project.documents import Document, parse, read

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A key with its value, or an item of a list."""

    name: str
    lines: tuple[str, ...]  #: without indentation; an item begins with its dash

    @property
    def value(self) -> Any:
        """What it is: ``{key: value}``, or ``[item]``."""
        return parse(Path(self.name), "\n".join(self.lines) + "\n").content

    def with_(self, old: str, new: str) -> Piece:
        """The same with another word in it."""
        return Piece(name=self.name.replace(old, new), lines=tuple(line.replace(old, new) for line in self.lines))


@cache
def template(name: str) -> Document:
    """The file of ours with all that a bot may lack in its domain or its training data."""
    return read(_TEMPLATES / name)


def pieces(document: Document, section: str) -> list[Piece]:
    """The pieces of one section of a file that is written as ours are."""
    lines = document.text.splitlines()
    return [
        Piece(name=name, lines=_cut(lines, node.start_mark.line, last, node.start_mark.column - dash))
        for name, node, last, dash in _items(document, section)
    ]


def head(document: Document) -> str:
    """What stands before the first section."""
    assert isinstance(document.root, MappingNode)
    first = next(key for key, value in document.root.value if not isinstance(value.value, str))
    return document.text[: first.start_mark.index].rstrip() + "\n"


def _items(document: Document, section: str) -> Iterator[tuple[str, Node, int, int]]:
    """Of each item: its name, where it begins, its last line, and how far before that its dash is."""
    assert isinstance(document.root, MappingNode)
    node = next(value for key, value in document.root.value if key.value == section)
    if isinstance(node, SequenceNode):
        for item in node.value:
            yield _name(item), item, last_line(document.text, item), 2
    else:
        for key, value in node.value:
            yield key.value, key, last_line(document.text, value), 0


def _name(item: Node) -> str:
    """The item itself, or the first value in it: `rule: …`, `intent: …`; or the key of `name: {…}`."""
    if isinstance(item, MappingNode):
        key, value = item.value[0]
        return str(value.value if isinstance(value.value, str) else key.value)
    return str(item.value)


def _cut(lines: list[str], first: int, last: int, indent: int) -> tuple[str, ...]:
    while lines[first - 1].strip().startswith("#"):
        first -= 1
    return tuple(line[indent:] for line in lines[first : last + 1])


def end_of(text: str, node: Node) -> int:
    """Where in *text* the last character of *node* is passed; what is only named in it is somewhere else."""
    if isinstance(node, ScalarNode):
        return _end_of_scalar(text, node)
    assert isinstance(node, CollectionNode)
    if node.flow_style:
        return int(node.end_mark.index)
    parts = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
    start = int(node.start_mark.index)
    return max([start, *(end_of(text, part) for part in parts if part.start_mark.index >= start)])


def last_line(text: str, node: Node) -> int:
    """The number, from 0, of the line on which *node* ends."""
    return text.count("\n", 0, end_of(text, node))


def _end_of_scalar(text: str, node: ScalarNode) -> int:
    start, end = int(node.start_mark.index), int(node.end_mark.index)
    if node.style in ("|", ">"):  # its mark is behind the empty lines that follow
        return start + len(text[start:end].rstrip())
    return end
