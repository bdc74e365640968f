"""Asks the other processes for what only one of them may have: a user's page, or their socket."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rasa_handoff.model import new_id
from rasa_handoff.store import Shared, Store, Tx, workers
from rasa_handoff.tasks import Tasks

log = logging.getLogger(__name__)

_COUNT_AGAIN = 1.0  #: seconds; one that has died answers nothing

Answer = Callable[[str], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A process asks the others."""

    id: str
    what: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One of them answers."""

    id: str
    yes: bool


class _Question:
    """What came back so far."""

    def __init__(self) -> None:
        self.noes = 0
        self.yes = False
        self.news = asyncio.Event()

    def take(self, answered: Answered) -> None:
        self.noes += not answered.yes
        self.yes = self.yes or answered.yes
        self.news.set()


class Elsewhere:
    """The other processes on the same database, as somebody who can be asked; nobody, where there are none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answers: dict[str, Answer] = {}
        self._questions: dict[str, _Question] = {}
        self._tasks = Tasks()

    def listen(self) -> None:
        """Answer others, from here on."""
        self._store.share(Shared(kind=Asked, key=_key_of_asked, find=_asked))
        self._store.share(Shared(kind=Answered, key=_key_of_answered, find=_answered))
        self._store.subscribe(Asked, self._hear_question)
        self._store.subscribe(Answered, self._hear_answer)

    async def stop(self) -> None:
        await self._tasks.stop()

    def answer(self, what: str, how: Answer) -> None:
        """Answer others' questions for *what* by calling *how* with what they are about."""
        self._answers[what] = how

    async def ask(self, what: str, about: str, seconds: float) -> bool:
        """Whether any other process says yes; ends early when one does, or none is left that could."""
        others = await self._others()
        if not others:
            return False
        asked = Asked(id=new_id(), what=what, about=about)
        question = self._questions[asked.id] = _Question()
        self._store.tell([asked])
        try:
            return await self._answer_to(question, others, time.monotonic() + seconds)
        finally:
            del self._questions[asked.id]

    async def _answer_to(self, question: _Question, others: int, end: float) -> bool:
        while not question.yes and question.noes < others:
            left = end - time.monotonic()
            if left <= 0:
                return False
            try:
                await asyncio.wait_for(question.news.wait(), min(left, _COUNT_AGAIN))
            except asyncio.TimeoutError:
                others = await self._others()
            question.news.clear()
        return question.yes

    async def _others(self) -> int:
        return await self._store.read(workers.count) - 1 if self._store.is_shared else 0

    def _hear_question(self, asked: Asked) -> None:
        if asked.id not in self._questions:  # else it is our own
            self._tasks.start(self._tell_answer(asked))

    async def _tell_answer(self, asked: Asked) -> None:
        how, yes = self._answers.get(asked.what), False
        try:
            yes = how is not None and await how(asked.about)
        except Exception as error:
            log.debug("elsewhere.no what=%s error=%s", asked.what, type(error).__name__)
        self._store.tell([Answered(id=asked.id, yes=yes)])

    def _hear_answer(self, answered: Answered) -> None:
        question = self._questions.get(answered.id)
        if question is not None:
            question.take(answered)


def _key_of_asked(asked: Asked) -> tuple[str, str, str]:
    return asked.id, asked.what, asked.about


def _asked(tx: Tx, id_: str, what: str, about: str) -> Asked:
    return Asked(id=id_, what=what, about=about)


def _key_of_answered(answered: Answered) -> tuple[str, bool]:
    return answered.id, answered.yes


def _answered(tx: Tx, id_: str, yes: bool) -> Answered:
    return Answered(id=id_, yes=yes)
