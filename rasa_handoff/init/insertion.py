"""Puts pieces into a YAML file of somebody else's, of which every other byte stays as it is.

The file is not written from its values again: that would mend what its owner wrote on purpose, such as two kinds of
indentation or a long line. The places come from ruamel.yaml, and the outcome is read again before it counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, SequenceNode
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from rasa_handoff.errors import FilesError
from rasa_handoff.init.pieces import Piece, end_of
from rasa_handoff.project.documents import Document, parse

_INDENT = 2  #: where the file shows no habit of its own
_END = re.compile(r"^\.\.\.([ \t]*|[ \t]+#.*)\r?$", re.MULTILINE)  #: of a YAML document


_NOTHING = {"", "~", "null", "Null", "NULL"}  #: with a name (`&name`) it is what somebody refers to


class CannotInsert(FilesError):
    """The file is written in a way in which only a person can add to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edit:
    """*text* for what is in the file from *start* to *end*."""

    start: int
    end: int
    text: str


def insert(document: Document, section: str | None, pieces: Sequence[Piece], *, spaced: bool = False) -> Document:
    """*document* with *pieces* at the end of one of its sections.

    Args:
        section: a key at the top of the file, made where there is none; None: the file itself.
        spaced: put an empty line before each piece but the first of a section.

    Raises:
        CannotInsert: with the lines that a person can add.
    """
    edit = _edit(document, section, pieces, spaced)
    text = document.text[: edit.start] + edit.text + document.text[edit.end :]
    try:
        changed = parse(document.path, text, document.bom)
    except YAMLError:
        raise _by_hand(document, section, pieces) from None
    if changed.content != _expected(document.content, section, [piece.value for piece in pieces]):
        raise _by_hand(document, section, pieces)
    return changed


def _edit(document: Document, section: str | None, pieces: Sequence[Piece], spaced: bool) -> _Edit:
    root = document.root
    if root is not None and not isinstance(root, MappingNode):
        raise _by_hand(document, section, pieces)
    if section is None:
        return _on_top(document, pieces)
    value = next((value for key, value in root.value if key.value == section), None) if root else None
    if value is None:
        return _new_section(document, section, pieces, spaced)
    if isinstance(value, _kind_of(pieces)):
        return _grown(document, value, pieces, spaced)
    if value.tag.endswith(":null") and _written(document, value) in _NOTHING:
        return _filled(document, value, pieces, spaced)
    raise _by_hand(document, section, pieces)


def _on_top(document: Document, pieces: Sequence[Piece]) -> _Edit:
    root = document.root
    if isinstance(root, CollectionNode) and root.flow_style:
        return _in_brackets(document, root, _expected(None, None, [each.value for each in pieces]))
    return _appended(document, _lines(pieces, 0, False))


def _new_section(document: Document, section: str, pieces: Sequence[Piece], spaced: bool) -> _Edit:
    root = document.root
    if isinstance(root, CollectionNode) and root.flow_style:
        return _in_brackets(document, root, {section: _expected(None, None, [each.value for each in pieces])})
    return _appended(document, [f"{section}:", *_lines(pieces, _habit(document, pieces), spaced)])


def _appended(document: Document, lines: list[str]) -> _Edit:
    """At the end of the file, behind an empty line."""
    text, newline = document.text, _newline(document.text)
    ended = _END.search(text, end_of(text, document.root) if document.root else 0)
    at = ended.start() if ended else len(text)
    before = text[:at]
    gap = "" if not before else newline if before.endswith("\n") else newline * 2
    if re.search(r"\n[ \t]*\r?\n$", before):
        gap = ""
    return _Edit(start=at, end=at, text=gap + _joined(lines, newline))


def _grown(document: Document, section: CollectionNode, pieces: Sequence[Piece], spaced: bool) -> _Edit:
    """Behind what the section has."""
    if section.flow_style:
        return _in_brackets(document, section, _expected(None, None, [each.value for each in pieces]))
    text, newline = document.text, _newline(document.text)
    spaced = spaced or _is_airy(text, section)
    lines = _lines(pieces, _column(text, _first(text, section)), spaced)
    end = text.find("\n", end_of(text, section))
    if end < 0:
        return _Edit(start=len(text), end=len(text), text=newline + _joined(lines, newline))
    gap = newline if spaced else ""
    return _Edit(start=end + 1, end=end + 1, text=gap + _joined(lines, newline))


def _filled(document: Document, nothing: Node, pieces: Sequence[Piece], spaced: bool) -> _Edit:
    """Below a key that has nothing, or `null`, behind it."""
    text, newline = document.text, _newline(document.text)
    start, behind = nothing.start_mark.index, nothing.end_mark.index
    end = text.find("\n", behind)
    end = len(text) if end < 0 else end
    rest = text[behind:end].rstrip("\r")
    lines = _joined(_lines(pieces, _habit(document, pieces), spaced), newline)
    return _Edit(start=start, end=min(end + 1, len(text)), text=rest + newline + lines)


def _in_brackets(document: Document, collection: Node, addition: Any) -> _Edit:
    """Before the bracket that ends `[…]` or `{…}`."""
    at = collection.end_mark.index - 1
    last = collection.value[-1] if collection.value else None
    behind = "" if last is None else document.text[end_of(document.text, _last_of(last)) : at]
    comma = ", " if last is not None and "," not in re.sub("#.*", "", behind) else ""
    return _Edit(start=at, end=at, text=comma + _on_one_line(addition))


def _last_of(item: Any) -> Node:
    """The node at the end of an item, or of a key and its value."""
    node: Node = item[1] if isinstance(item, tuple) else item
    return node


def _on_one_line(value: Any) -> str:
    yaml = YAML()
    yaml.default_flow_style = True
    yaml.width = 1_000_000  # type: ignore[assignment]
    out = StringIO()
    yaml.dump(_quoted(value), out)
    return out.getvalue().strip()[1:-1]


def _quoted(value: Any) -> Any:
    """*value* with its sentences in quotes: within brackets, YAML's readers do not agree on more than words."""
    if isinstance(value, dict):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    is_sentence = isinstance(value, str) and not re.fullmatch(r"\w+", value)
    return DoubleQuotedScalarString(value) if is_sentence else value


# How the file is written


def _lines(pieces: Sequence[Piece], indent: int, spaced: bool) -> list[str]:
    lines: list[str] = []
    for piece in pieces:
        if spaced and lines:
            lines.append("")
        lines += [(" " * indent + line).rstrip() for line in piece.lines]
    return lines


def _joined(lines: list[str], newline: str) -> str:
    return "".join(line + newline for line in lines)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _habit(document: Document, pieces: Sequence[Piece]) -> int:
    """How far the file indents its sections of this kind."""
    wanted = _kind_of(pieces)
    for _, value in document.root.value if document.root else ():
        if isinstance(value, wanted) and not value.flow_style and value.value:
            return _column(document.text, _first(document.text, value))
    return _INDENT


def _kind_of(pieces: Sequence[Piece]) -> type[CollectionNode]:
    """What such pieces stand in."""
    return SequenceNode if isinstance(pieces[0].value, list) else MappingNode


def _first(text: str, section: Node) -> int:
    """Where the first key or the first dash of a section is."""
    if isinstance(section, MappingNode):
        return int(section.value[0][0].start_mark.index)
    start = int(section.start_mark.index)
    return start if text[start] == "-" else text.rfind("-", start, section.value[0].start_mark.index)


def _written(document: Document, node: Node) -> str:
    return document.text[node.start_mark.index : node.end_mark.index]


def _is_airy(text: str, section: Node) -> bool:
    """Whether its owner keeps the last two items apart by an empty line."""
    starts = [(item[0] if isinstance(item, tuple) else item).start_mark.index for item in section.value[-2:]]
    return len(starts) == 2 and re.search(r"\n[ \t]*\r?\n", text[starts[0] : starts[1]]) is not None


def _column(text: str, at: int) -> int:
    return at - text.rfind("\n", 0, at) - 1


# What must come out


def _expected(content: Any, section: str | None, values: Sequence[Any]) -> Any:
    """*content* with *values*, each a ``{key: value}`` or an ``[item]``, in it."""
    if section is not None:
        content = content or {}
        return {**content, section: _expected(content.get(section), None, values)}
    if isinstance(values[0], list):
        return [*(content or []), *(item for value in values for item in value)]
    return {**(content or {}), **{key: item for value in values for key, item in value.items()}}


def _by_hand(document: Document, section: str | None, pieces: Sequence[Piece]) -> CannotInsert:
    lines = _lines(pieces, _INDENT if section else 0, False)
    shown = "\n".join([f"{section}:", *lines] if section else lines)
    # A line break behind a text that is written on lines of its own would become part of it.
    ends = not document.text or document.text.endswith("\n")
    remedy = "please add" if ends else "end its last line, and run this again; or please add"
    return CannotInsert([f"{document.path} is written in a way that only a person can add to; {remedy}:\n{shown}"])
