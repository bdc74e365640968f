"""What was sent, acknowledged and delivered in a crash test, and whether it adds up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Lane(NamedTuple):
    """One direction of one conversation: what is written in it has an order."""

    to: str  #: "agent" or "user"
    conversation: str


class Entry(NamedTuple):
    """Something that happened to a message."""

    lane: Lane
    id: str  #: the sender's
    ours: str = ""  #: the id that went along with it when it was delivered


@dataclass(kw_only=True)
class Book:
    """Everything that was seen from outside, in the order in which it was seen."""

    attempts: list[Entry] = field(default_factory=list)
    acks: list[Entry] = field(default_factory=list)
    deliveries: list[Entry] = field(default_factory=list)
    mistaken: int = 0  #: deliveries that were answered with a failure all the same
    kills: int = 0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is wrong; empty where nothing is."""

    lost: list[Entry]  #: acknowledged, never delivered
    unexpected: list[Entry]  #: delivered, never sent
    overtaken: list[Lane]  #: delivered for the first time in another order than acknowledged
    renamed: list[Entry]  #: delivered again under another id, so that nobody can know the repeat
    duplicates: int  #: delivered more than once
    bound: int  #: so many duplicates have a cause: an answer that lied, a kill between delivery and note


def judge(book: Book) -> Verdict:
    """Whether what was acknowledged was delivered, in order, and nothing else."""
    sent = {(entry.lane, entry.id) for entry in book.attempts}
    first = _first(book.deliveries)
    lanes = {entry.lane for entry in book.attempts}
    return Verdict(
        lost=[entry for entry in book.acks if (entry.lane, entry.id) not in first],
        unexpected=[entry for entry in book.deliveries if (entry.lane, entry.id) not in sent],
        overtaken=_overtaken(book.acks, first.values()),
        renamed=[entry for entry in book.deliveries if entry.ours != first[entry.lane, entry.id].ours],
        duplicates=len(book.deliveries) - len(first),
        bound=book.mistaken + book.kills * len(lanes),
    )


def _first(deliveries: Iterable[Entry]) -> dict[tuple[Lane, str], Entry]:
    first: dict[tuple[Lane, str], Entry] = {}
    for entry in deliveries:
        first.setdefault((entry.lane, entry.id), entry)
    return first


def _overtaken(acks: Iterable[Entry], first: Iterable[Entry]) -> list[Lane]:
    acked, came = _by_lane(acks), _by_lane(first)
    return [
        lane
        for lane, ids in acked.items()
        if [id_ for id_ in came[lane] if id_ in set(ids)] != [id_ for id_ in ids if id_ in set(came[lane])]
    ]


def _by_lane(entries: Iterable[Entry]) -> dict[Lane, list[str]]:
    lanes: dict[Lane, list[str]] = defaultdict(list)
    for entry in entries:
        lanes[entry.lane].append(entry.id)
    return lanes
