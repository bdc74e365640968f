"""YAML files, read as Rasa reads them, with the place of everything in their text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from rasa_handoff.errors import FilesError

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_BOM = "\ufeff"


class Constructor(SafeConstructor):
    """Fills in ${VARIABLES}, and only where they stand without quotes, as Rasa does."""

    def construct_yaml_str(self, node: ScalarNode) -> str:
        text = str(super().construct_yaml_str(node))
        return os.path.expandvars(text) if not node.style and _VARIABLE.search(text) else text


Constructor.add_constructor("tag:yaml.org,2002:str", Constructor.construct_yaml_str)
Constructor.add_constructor("!env_var", Constructor.construct_yaml_str)  # Rasa's tag, once it is imported


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A YAML file."""

    path: Path
    text: str  #: without a byte-order mark
    content: Any  #: None for a file with nothing in it
    root: Node | None  #: the same, with places in the text; None where there is nothing
    bom: bool = False  #: whether the file begins with a byte-order mark

    @property
    def mapping(self) -> dict[str, Any]:
        """The content, where it is a mapping; else nothing."""
        return self.content if isinstance(self.content, dict) else {}

    def line_of(self, *path: str) -> int:
        """The line, from 1, on which the setting at *path* begins; as near as the file has it."""
        line, node = 1, self.root
        for name in path:
            pairs = node.value if isinstance(node, MappingNode) else ()
            found = next(((key, value) for key, value in pairs if key.value == name), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        return line

    def quoted_variables(self) -> Iterator[tuple[int, str]]:
        """The variables that Rasa does not fill in, because they are in quotes: the line, from 1, and the name."""
        for node in _scalars(self.root):
            if node.style in ("'", '"'):
                yield from ((node.start_mark.line + 1, name) for name in _VARIABLE.findall(node.value))

    def encoded(self, text: str) -> bytes:
        """*text* as this file's bytes."""
        return ((_BOM if self.bom else "") + text).encode("utf-8")


def _scalars(node: Node | None) -> Iterator[ScalarNode]:
    if isinstance(node, ScalarNode):
        yield node
    elif isinstance(node, MappingNode):
        for pair in node.value:
            yield from chain.from_iterable(map(_scalars, pair))
    elif isinstance(node, SequenceNode):
        yield from chain.from_iterable(map(_scalars, node.value))


def read(path: Path) -> Document:
    """Read a small YAML file.

    Raises:
        FilesError: it cannot be read, or is not YAML; with the line.
    """
    text, bom = _text(path)
    try:
        return parse(path, text, bom)
    except YAMLError as error:
        raise FilesError([_fault(path, text, error)]) from None


def parse(path: Path, text: str, bom: bool = False) -> Document:
    """*text* as the document that it would be at *path*.

    Raises:
        YAMLError: it is not YAML.
    """
    content = _loader().load(text)
    root = None if content is None else _loader().compose(text)
    return Document(path=path, text=text, content=content, root=root, bom=bom)


def read_values(path: Path) -> Any:
    """Only the values of a YAML file, for one that may be large.

    Raises:
        FilesError: it cannot be read, or is not YAML; with the line.
    """
    text, _ = _text(path)
    try:
        return _loader().load(text)
    except YAMLError as error:
        raise FilesError([_fault(path, text, error)]) from None


def _fault(path: Path, text: str, error: Exception) -> str:
    """Where *path* is not YAML, without the lines around it: they may hold a secret."""
    if isinstance(error, ReaderError):
        character = error.character if isinstance(error.character, str) else chr(error.character)
        line, problem = text.count("\n", 0, text.find(character)), _unknown(character)
    elif isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        line = error.problem_mark.line
        problem = _in_words(str(error.problem), text.split("\n")[line : line + 1])
    else:
        return f"{path} is not YAML"
    return f"{path}:{line + 1}: is not YAML: {problem}"


def _unknown(character: str) -> str:
    return f"there is a character that it does not know (U+{ord(character):04X}); take it out"


def _in_words(problem: str, lines: list[str]) -> str:
    """A *problem* of the parser's, and for two that are common what to do."""
    if problem == "but found another document":
        return "a second document begins, and Rasa takes one; take out the `---`, or what is behind it"
    if "character" in problem and any(re.match(r"[ ]*\t", line) for line in lines):
        return "there is a tab, and only spaces indent"
    return problem.partition(" with value")[0]


def _loader() -> YAML:
    # Rasa's, too: quick, and content with what the others are not, such as a tab behind a value.
    yaml = YAML(typ="safe")
    yaml.version = (1, 2)  # type: ignore[assignment]  # Rasa's, in which `yes` is a word
    yaml.Constructor = Constructor
    return yaml


def _text(path: Path) -> tuple[str, bool]:
    try:
        text = path.read_bytes().decode("utf-8")  # as it is: `read_text` would change the ends of lines
    except OSError as error:
        raise FilesError([f"{path} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise FilesError([f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8"]) from None
    return text.removeprefix(_BOM), text.startswith(_BOM)
