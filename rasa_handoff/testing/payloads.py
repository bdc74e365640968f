"""Payload files: what an agent system says, one file for each thing, in a folder beside the tests."""

from __future__ import annotations

import json
from pathlib import Path

from rasa_handoff.model import Json


class Payloads:
    """The files of a folder, by name without ``.json``.

    Args:
        beside: the test module's ``__file__``; the files are in ``payloads`` beside it.
    """

    def __init__(self, beside: str) -> None:
        self.folder = Path(beside).parent / "payloads"

    def raw(self, name: str) -> bytes:
        """The file as it is, byte for byte."""
        return (self.folder / f"{name}.json").read_bytes()

    def __getitem__(self, name: str) -> Json:
        """What the file says; a new object each time."""
        found: Json = json.loads(self.raw(name))
        return found
