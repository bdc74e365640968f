"""Files of users and agents: received part by part, opened part by part, and nothing left of what broke off."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial

from rasa_handoff.errors import Conflict, FetchError, Malformed, StoreError, UnknownChat
from rasa_handoff.fetch import AnyFile
from rasa_handoff.media import OURS, Media, MediaFile
from rasa_handoff.model import Attachment
from rasa_handoff.store import Store, Tx, files
from rasa_handoff.store.files import PART, Giver, KeptFile
from rasa_handoff.tasks import Tasks

log = logging.getLogger(__name__)

_TIMES = 4  #: how many files of the largest size one side may give in a handoff
_MOST = 200  #: files, of whatever size
_AT_ONCE = 20  #: files of one side that are coming
_AT_ONCE_HERE = 200  #: files that this process receives: each may hold a part in memory
_LOOKS_EVERY = 10.0  #: seconds after which somebody sums up again what is kept in all
_COMING = 120.0  #: seconds since its last part after which a file is not taken to be coming

Allowed = Callable[[Tx], object]  #: raises what keeps somebody from giving a file now; it only reads


class Files:
    """Files that are kept in our database.

    Args:
        media: makes links to them.
        largest: bytes of one.
        most: bytes of all that are kept, of everybody; it may be a little more, for it is summed up now and then.
        now: seconds since the epoch.
        givers: who may give some, of ``users`` and ``agents``.
    """

    def __init__(
        self,
        store: Store,
        media: Media,
        largest: int,
        most: int,
        now: Callable[[], float],
        *,
        givers: Collection[str] = ("users", "agents"),
    ) -> None:
        self.largest = largest
        self._givers = givers
        self._most = most
        self._kept, self._sum_until = 0, 0.0
        self._store = store
        self._media = media
        self._now = now
        self._coming: Counter[tuple[str, Giver]] = Counter()  # what the database hears of only with a whole part, too
        self._tasks = Tasks()

    async def stop(self) -> None:
        await self._tasks.stop()

    # -- allowed ------------------------------------------------------------------------------

    def are_taken_from(self, who: Giver) -> bool:
        """Whether this side may give files at all."""
        return f"{who}s" in self._givers

    def require_taken_from(self, who: Giver) -> None:
        """Require that this side may give files at all.

        Raises:
            Conflict: ``files_off``.
        """
        if not self.are_taken_from(who):
            raise Conflict("files_off", f"files of {who}s are switched off here")

    # -- received -----------------------------------------------------------------------------

    async def require_room(self, file: KeptFile, size: int, allowed: Allowed) -> None:
        """Require that *file*, of so many bytes as far as anybody knows, would be taken.

        Raises:
            Conflict: ``full``, its side has given too much in this handoff, or all together have; or what *allowed*
                raises.
        """
        await self._store.read(partial(self._require_new, file=file, size=size, allowed=allowed))
        await self._require_room_for_all()

    async def receive(self, file: KeptFile, body: AsyncIterator[bytes], allowed: Allowed) -> KeptFile:
        """Keep *file* whole, or nothing of it.

        Args:
            file: what is known of it before it comes; its id is new.
            body: its bytes; no more of them are asked for while a part is being written.
            allowed: asked at every part, for the conversation may end meanwhile.

        Raises:
            Malformed: it is empty.
            Conflict: ``full``; or what *allowed* raises.
            StoreError: it could not be written.
        """
        with self._counted((file.handoff_id, file.who)):
            try:
                await self._keep(file, body, allowed)
                return await self._store.write(partial(self._finish, file_id=file.id, allowed=allowed))
            except BaseException:  # whoever sent it is gone, too
                self._tasks.start(self._forget(file.id))
                raise

    @contextmanager
    def _counted(self, side: tuple[str, Giver]) -> Iterator[None]:
        """Let a file of this *side* of a handoff come, among the others that do."""
        if self._coming[side] >= _AT_ONCE or self._coming.total() >= _AT_ONCE_HERE:
            raise _too_many()
        self._coming[side] += 1
        try:
            yield
        finally:
            self._coming[side] -= 1
            self._coming += Counter()  # forgets who has none

    async def _keep(self, file: KeptFile, body: AsyncIterator[bytes], allowed: Allowed) -> None:
        number = 0
        async for part in in_parts(body):
            await self._require_room_for_all()
            take = self._begin if number == 0 else self._go_on
            await self._store.write(partial(take, file=file, number=number, body=part, allowed=allowed))
            number += 1
        if number == 0:
            raise Malformed("the file is empty")

    async def _require_room_for_all(self) -> None:
        if time.monotonic() >= self._sum_until:
            self._sum_until = time.monotonic() + _LOOKS_EVERY
            self._kept = await self._store.read(files.kept_in_all)
        if self._kept >= self._most:
            log.warning("files.no_room kept=%s most=%s", self._kept, self._most)
            raise Conflict("full", "the server has no room for more files")

    def _begin(self, tx: Tx, file: KeptFile, number: int, body: bytes, allowed: Allowed) -> None:
        self._require_new(tx, file, len(body), allowed)
        files.begin(tx, file, self._now())
        files.add(tx, file.id, number, body, self._now())

    def _go_on(self, tx: Tx, file: KeptFile, number: int, body: bytes, allowed: Allowed) -> None:
        allowed(tx)
        self._require_sum(self._given(tx, file), len(body))
        if not files.add(tx, file.id, number, body, self._now()):
            raise _deleted()

    def _finish(self, tx: Tx, file_id: str, allowed: Allowed) -> KeptFile:
        allowed(tx)
        kept = files.finish(tx, file_id, self._now())
        if kept is None:
            raise _deleted()
        return kept

    def _require_new(self, tx: Tx, file: KeptFile, size: int, allowed: Allowed) -> None:
        allowed(tx)
        given = self._given(tx, file)
        self._require_sum(given, size)
        if given.files >= _MOST:
            raise Conflict("full", f"no more than {_MOST} files fit into one conversation")
        if given.coming >= _AT_ONCE:
            raise _too_many()

    def _require_sum(self, given: files.Given, more: int) -> None:
        most = self.largest * _TIMES
        if given.size + more > most:
            raise Conflict("full", f"no more than {in_words(most)} of files fit into one conversation")

    def _given(self, tx: Tx, file: KeptFile) -> files.Given:
        return files.given(tx, file.handoff_id, file.who, self._now() - _COMING)

    async def _forget(self, file_id: str) -> None:
        """Delete what there is of a file that will never be whole."""
        try:
            while await self._store.write(partial(files.shrink, file_id=file_id)):
                pass
            await self._store.write(partial(files.delete, file_id=file_id))
        except StoreError as error:  # the clock does it, once the database is there again
            log.warning("files.not_forgotten %s", error)

    # -- taken back ---------------------------------------------------------------------------

    async def take_back(self, file_id: str, is_theirs: Callable[[Tx, KeptFile], bool]) -> None:
        """Delete a file that was given and that no message has.

        Args:
            is_theirs: says whether a file is of whoever takes it back; it only reads.

        Raises:
            UnknownChat: they have given no such file, or it is gone.
            Conflict: ``sent``, a message has it.
        """
        await self._store.write(partial(_take_back, file_id=file_id, is_theirs=is_theirs))
        self._tasks.start(self._forget(file_id))

    # -- sent and opened ----------------------------------------------------------------------

    def url(self, file: KeptFile, *, ours: bool) -> str | None:
        """A link that opens *file*; None where whoever reads it could not use it.

        Args:
            ours: it is for a page of ours, which finds it without knowing the server's address.
        """
        reference = {"file": file.id}
        known = MediaFile(channel=OURS, handoff_id=file.handoff_id, reference=reference, kind=file.kind, name=file.name)
        return self._media.url(known, ours=ours)

    def opens_on(self, channel: str) -> bool:
        """Whether the users of *channel* can open a link to a file of ours."""
        return self._media.opens_on(channel)

    def attachments(self, tx: Tx, ids: Sequence[str], handoff_id: str, channel: str) -> list[Attachment]:
        """An agent's files, which are being sent to the user of a handoff on *channel*.

        Raises:
            Malformed: one is none that an agent has given in this handoff.
            Conflict: ``no_public_url``; this user could not open it.
        """
        return [self._attachment(tx, each, handoff_id, channel) for each in ids]

    def _attachment(self, tx: Tx, file_id: str, handoff_id: str, channel: str) -> Attachment:
        file = files.get(tx, file_id)
        if file is None or (file.handoff_id, file.who) != (handoff_id, "agent"):
            raise Malformed("files: there is no such file in this chat; give it first")
        url = self.url(file, ours=channel == OURS)
        if url is None:
            raise no_public_url()
        files.sent(tx, file_id)
        return Attachment(url=url, kind=file.kind, name=file.name, mime=file.mime, size=file.size)

    def behind(self, url: str) -> AbstractAsyncContextManager[AnyFile] | None:
        """The file that *url* opens, without the way over the network; None where it is no link to one of these."""
        found = self._media.behind(url)
        return self.open(found.reference["file"]) if found is not None and found.channel == OURS else None

    @asynccontextmanager
    async def open(self, file_id: str) -> AsyncIterator[AnyFile]:
        """A whole file, to be read part by part.

        Raises:
            FetchError: it has been deleted, perhaps while it was being read.
        """
        kept = await self._store.read(lambda tx: files.get(tx, file_id))
        if kept is None:
            raise FetchError("it has been deleted")
        yield _OpenFile(self._store, kept)


class _OpenFile:
    """A file that is being read; see `AnyFile`."""

    def __init__(self, store: Store, kept: KeptFile) -> None:
        self._store = store
        self._id = kept.id
        self.mime = kept.mime
        self.name: str | None = kept.name
        self.size: int | None = kept.size
        self._parts = -(-kept.size // PART)

    async def parts(self, skip: int = 0) -> AsyncIterator[bytes]:
        first, skip = divmod(skip, PART)
        for number in range(first, self._parts):
            body = await self._store.read(partial(files.part, file_id=self._id, number=number))
            if body is None:
                raise FetchError("it has been deleted")
            yield body[skip:]
            skip = 0
            await asyncio.sleep(0)  # a database and a reader that are both quick would leave nobody else a turn


def _take_back(tx: Tx, file_id: str, is_theirs: Callable[[Tx, KeptFile], bool]) -> None:
    file = files.get(tx, file_id)
    if file is None or not is_theirs(tx, file):
        raise UnknownChat("no such file")
    if not files.take_back(tx, file_id):
        raise Conflict("sent", "a message has this file")


async def in_parts(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """*body* in parts of `PART` bytes, the last of which may be smaller."""
    gathered = bytearray()
    async for piece in body:
        gathered += piece
        while len(gathered) >= PART:
            yield bytes(gathered[:PART])
            del gathered[:PART]
    if gathered:
        yield bytes(gathered)


def in_words(size: int) -> str:
    """Bytes, as people say it: 25 MB."""
    for unit, name in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")):
        if size >= unit:
            return f"{round(size / unit, 1):g} {name}"
    return f"{size} bytes"


def _too_many() -> Conflict:
    return Conflict("full", "too many files at once; try again when some of them are there")


def not_open() -> Conflict:
    return Conflict("not_open", "the bot has the conversation, and takes no files")


def no_public_url() -> Conflict:
    return Conflict("no_public_url", "it could not be opened there, because the bot's server has no public_url")


def _deleted() -> Conflict:
    return Conflict("not_open", "the conversation has been deleted")
