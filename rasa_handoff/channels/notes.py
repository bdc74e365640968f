"""What a channel has in mind: the last few of each kind, and for a while what its service refused."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

T = TypeVar("T")

ANEW = 3600.0  #: seconds for which it is in mind that a service does not let a bot do something


def note(notes: OrderedDict[str, T], key: str, value: T, most: int) -> None:
    """Note *value* under *key*; what was noted longest ago goes where there are more than *most*."""
    notes[key] = value
    notes.move_to_end(key)
    if len(notes) > most:
        notes.popitem(last=False)
