"""The other processes on the same database: asks them for what only one may have, gives them what each has to have."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from rasa_handoff.model import Json, new_id
from rasa_handoff.store import Shared, Store, Tx, kept, workers
from rasa_handoff.tasks import Tasks

log = logging.getLogger(__name__)

_COUNT_AGAIN = 1.0  #: seconds; one that has died answers nothing
_TAKEN_WITHIN = 60.0  #: seconds; one that stalls takes late what it was given
_GIVEN = "elsewhere"  #: under which is kept what others have not taken yet

Answer = Callable[[str], Awaitable[bool]]
Take = Callable[[str, Json], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A process asks the others, or gives them something."""

    id: str
    asker: str
    what: str
    about: str
    given: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One of them answers."""

    id: str
    yes: bool


class _Question:
    """What came back so far."""

    def __init__(self) -> None:
        self.count = 0
        self.news = asyncio.Event()
        self.answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def take(self, answered: Answered) -> None:
        self.count += 1
        if answered.yes:
            self.settle(True)
        self.news.set()

    def settle(self, yes: bool) -> None:
        if not self.answer.done():
            self.answer.set_result(yes)


class Elsewhere:
    """The other processes, as somebody who can be asked and given something; nobody, where there are none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._id = new_id()
        self._answers: dict[str, Answer] = {}
        self._takers: dict[str, Take] = {}
        self._questions: dict[str, _Question] = {}
        self._tasks = Tasks()
        self._stopped = False

    def listen(self) -> None:
        """Answer others, from here on."""
        self._store.share(Shared(kind=Asked, key=_key_of_asked, find=_asked))
        self._store.share(Shared(kind=Answered, key=_key_of_answered, find=_answered))
        self._store.subscribe(Asked, self._hear_question)
        self._store.subscribe(Answered, self._hear_answer)

    async def stop(self) -> None:
        self._stopped = True
        await self._tasks.stop()

    def answer(self, what: str, how: Answer) -> None:
        """Answer others' questions for *what* by calling *how* with what they are about."""
        self._answers[what] = how

    def take(self, what: str, how: Take) -> None:
        """Take what others give as *what* by calling *how* with the ``sender_id`` and with what is given.

        It is called in the order in which they gave it, and says whether anybody here had a use for it.
        """
        self._takers[what] = how

    async def ask(self, what: str, about: str, seconds: float) -> bool:
        """Whether any other process says yes; ends early when one does, or none is left that could."""
        others = await self._others()
        if not others:
            return False
        asked = Asked(id=new_id(), asker=self._id, what=what, about=about)
        answer = self._expect_answers(asked, others, seconds, seconds)
        self._store.tell([asked])
        return await answer

    async def give(self, what: str, sender_id: str, given: Json, seconds: float, *, lasting: bool) -> Awaitable[bool]:
        """Give every other process something for a user. It is on its way when this returns.

        Processes tell each other ids alone: until all have taken it, what is given is on disk.

        Args:
            seconds: for the answer.
            lasting: whether others may take it later than that, since nobody gives it again.

        Returns:
            what can be awaited to learn whether any of them had a use for it, as with `ask`.

        Raises:
            StoreError: the database cannot take it.
        """
        others = await self._others()
        if not others:
            return _nobody()
        asked = Asked(id=new_id(), asker=self._id, what=what, about=sender_id, given=given)
        answer = self._expect_answers(asked, others, seconds, max(seconds, _TAKEN_WITHIN) if lasting else seconds)
        await self._store.write(partial(_lay_down, asked=asked, now=time.time()))
        return answer

    def _expect_answers(self, asked: Asked, others: int, seconds: float, patience: float) -> asyncio.Future[bool]:
        question = self._questions[asked.id] = _Question()
        asyncio.get_running_loop().call_later(seconds, question.settle, False)
        self._tasks.start(self._wait_for_all(asked, question, others, time.monotonic() + patience))
        return question.answer

    async def _wait_for_all(self, asked: Asked, question: _Question, others: int, end: float) -> None:
        """Until all have answered: whoever asked goes on before, but others may still have to take what is given."""
        try:
            while question.count < others and time.monotonic() < end:
                try:
                    await asyncio.wait_for(question.news.wait(), min(end - time.monotonic(), _COUNT_AGAIN))
                except asyncio.TimeoutError:
                    others = await self._others()
                question.news.clear()
        finally:
            del self._questions[asked.id]
            question.settle(False)
        if asked.given is not None:
            await self._store.write(lambda tx: kept.forget(tx, _GIVEN, asked.id))

    async def _others(self) -> int:
        alive = await self._store.read(workers.count) if self._store.is_shared else 1
        return 0 if self._stopped else max(alive - 1, 0)

    def _hear_question(self, asked: Asked) -> None:
        if asked.asker != self._id:
            self._tasks.start(self._tell_answer(asked))

    async def _tell_answer(self, asked: Asked) -> None:
        yes = False
        try:
            yes = await self._answer_to(asked)
        except Exception as error:
            log.debug("elsewhere.no what=%s error=%s", asked.what, type(error).__name__)
        self._store.tell([Answered(id=asked.id, yes=yes)])

    async def _answer_to(self, asked: Asked) -> bool:
        if asked.given is not None:
            take = self._takers.get(asked.what)
            return take is not None and await take(asked.about, asked.given)
        answer = self._answers.get(asked.what)
        return answer is not None and await answer(asked.about)

    def _hear_answer(self, answered: Answered) -> None:
        question = self._questions.get(answered.id)
        if question is not None:
            question.take(answered)


def _nobody() -> asyncio.Future[bool]:
    """The answer where there is nobody to ask; whoever asked need not wait for it."""
    answer = asyncio.get_running_loop().create_future()
    answer.set_result(False)
    return answer


def _lay_down(tx: Tx, asked: Asked, now: float) -> None:
    assert asked.given is not None
    kept.put(tx, _GIVEN, asked.id, asked.given, now, sender_id=asked.about)
    tx.announce(asked)


def _key_of_asked(asked: Asked) -> tuple[str, str, str, str, bool]:
    return asked.id, asked.asker, asked.what, asked.about, asked.given is not None


def _asked(tx: Tx, id_: str, asker: str, what: str, about: str, is_given: bool) -> Asked | None:
    given = kept.get(tx, _GIVEN, id_) if is_given else None
    if is_given and given is None:  # the asker waits no more
        return None
    return Asked(id=id_, asker=asker, what=what, about=about, given=given)


def _key_of_answered(answered: Answered) -> tuple[str, bool]:
    return answered.id, answered.yes


def _answered(tx: Tx, id_: str, yes: bool) -> Answered:
    return Answered(id=id_, yes=yes)
