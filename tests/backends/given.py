"""Files that users have given us, for tests of the agent systems that take them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from rasa_handoff.media import OURS, MediaFile, kind_of
from rasa_handoff.model import Attachment, new_id
from rasa_handoff.store.files import KeptFile
from rasa_handoff.testing import Stage


async def given(stage: Stage, body: bytes, name: str = "bike.png", mime: str = "image/png") -> Attachment:
    """A file that the user of the stage's handoff has given on our own channel, as their message has it."""
    handoff = await stage.handoff()
    file = KeptFile(
        id=new_id(), handoff_id=handoff.id, who="user", kind=kind_of(mime), name=name, mime=mime, size=len(body)
    )

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    await stage.runtime.files.receive(file, pieces(), lambda tx: None)
    link = MediaFile(channel=OURS, handoff_id=handoff.id, reference={"file": file.id}, kind=file.kind, name=name)
    return Attachment(url=stage.runtime.media.link(link), kind=file.kind, name=name, mime=mime)
